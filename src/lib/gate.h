/* How many threads may be inside at once. Decoding and resizing pass through one, so that any number of API threads
 * cannot take the CPUs from the compute threads. */
#ifndef QVEC_LIB_GATE_H
#define QVEC_LIB_GATE_H

typedef struct qv__gate qv__gate;

qv__gate *qv__gate_open(int places); /* NULL: out of memory. places >= 1 */
void qv__gate_close(qv__gate **gate);
/* NULL gates are always open. In the order of arrival as far as the system's mutexes keep it. */
void qv__gate_enter(qv__gate *gate);
void qv__gate_leave(qv__gate *gate);
#endif
