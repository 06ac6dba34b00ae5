/* Who a client is by its address: for the log, and for taking turns. */
#ifndef QVEC_HTTP_CLIENT_H
#define QVEC_HTTP_CLIENT_H

#include <netinet/in.h>
#include <stdint.h>

/* The address without its port, "unix" or "-" (NULL: not known); an IPv4 client of an IPv6 socket as IPv4. */
void qv__client_name(const struct sockaddr *client, char out[INET6_ADDRSTRLEN]);
/* Equal for what one client can change at will: ports, and the lower half of an IPv6 address. 0: there is no address.
 */
uint64_t qv__client_number(const struct sockaddr *client);
#endif
