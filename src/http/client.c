#include "http/client.h"

#include <arpa/inet.h>
#include <string.h>

#include "base/hash.h"

/* The bytes of an IPv4 or IPv6 address; NULL: another kind. An IPv4 client of an IPv6 socket is one of IPv4. */
static const uint8_t *address_of(const struct sockaddr *client, int *family) {
    *family = client ? client->sa_family : AF_UNSPEC;
    if (*family == AF_INET) return (const void *)&((const struct sockaddr_in *)(const void *)client)->sin_addr;
    if (*family != AF_INET6) return NULL;
    const struct in6_addr *v6 = &((const struct sockaddr_in6 *)(const void *)client)->sin6_addr;
    if (!IN6_IS_ADDR_V4MAPPED(v6)) return v6->s6_addr;
    *family = AF_INET;
    return v6->s6_addr + 12;
}

void qv__client_name(const struct sockaddr *client, char out[INET6_ADDRSTRLEN]) {
    int family;
    const uint8_t *address = address_of(client, &family);
    if (!address || !inet_ntop(family, address, out, INET6_ADDRSTRLEN)) strcpy(out, family == AF_UNIX ? "unix" : "-");
}

uint64_t qv__client_number(const struct sockaddr *client) {
    enum { NETWORK_BYTES = 8 }; /* a /64 is what a provider gives one customer */
    int family;
    const uint8_t *address = address_of(client, &family);
    if (!address) return 0;
    return qv__fnv1a(QV__FNV1A_START, address, family == AF_INET ? 4 : NETWORK_BYTES) | 1;
}
