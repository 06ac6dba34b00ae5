/* Which internet addresses a server may be sent to by a stranger's URL: those of the public internet and no others. */
#ifndef QVEC_FETCH_ADDRESS_H
#define QVEC_FETCH_ADDRESS_H

#include <stdbool.h>
#include <sys/socket.h>

typedef enum {
    QV__ADDRESS_PUBLIC,
    QV__ADDRESS_LOOPBACK,    /* 127.0.0.0/8, ::1 */
    QV__ADDRESS_PRIVATE,     /* 10/8, 172.16/12, 192.168/16, fc00::/7 */
    QV__ADDRESS_SHARED,      /* 100.64/10: behind a carrier's NAT */
    QV__ADDRESS_LINK_LOCAL,  /* 169.254/16, fe80::/10 */
    QV__ADDRESS_METADATA,    /* where clouds tell their machines secrets */
    QV__ADDRESS_UNSPECIFIED, /* 0/8, :: */
    QV__ADDRESS_MULTICAST,
    QV__ADDRESS_RESERVED, /* documentation, benchmarks, broadcast, what nobody has assigned */
    QV__ADDRESS_EMBEDDED, /* an IPv4 address in IPv6 clothes: mapped, compatible, 6to4, Teredo, local NAT64 */
} qv__address_class;

/* An address behind the well-known NAT64 prefix (64:ff9b::/96), which networks without IPv4 need, is of the class of
 * the IPv4 address in it. Families other than IPv4 and IPv6 are RESERVED. */
qv__address_class qv__address_classify(const struct sockaddr *address);
const char *qv__address_class_name(qv__address_class c);

/* Whether a connection may be made. private_too: also to loopback, private and shared addresses, never to others. */
bool qv__address_allowed(qv__address_class c, bool private_too);
#endif
