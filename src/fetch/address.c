#include "fetch/address.h"

#include <netinet/in.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#define IP(a, b, c, d) ((uint32_t)(a) << 24 | (uint32_t)(b) << 16 | (uint32_t)(c) << 8 | (uint32_t)(d))

/* The first that fits counts. IANA's special-purpose registries, and before them the clouds' metadata services. */
static const struct {
    uint32_t network;
    int bits;
    qv__address_class c;
} ranges4[] = {
    {IP(169, 254, 169, 254), 32, QV__ADDRESS_METADATA}, /* AWS, Google, Azure, ... */
    {IP(169, 254, 170, 2), 32, QV__ADDRESS_METADATA},   /* AWS, containers */
    {IP(100, 100, 100, 200), 32, QV__ADDRESS_METADATA}, /* Alibaba */
    {IP(168, 63, 129, 16), 32, QV__ADDRESS_METADATA},   /* Azure's wire server */
    {IP(192, 0, 0, 192), 32, QV__ADDRESS_METADATA},     /* Oracle */
    {IP(0, 0, 0, 0), 8, QV__ADDRESS_UNSPECIFIED},
    {IP(10, 0, 0, 0), 8, QV__ADDRESS_PRIVATE},
    {IP(100, 64, 0, 0), 10, QV__ADDRESS_SHARED},
    {IP(127, 0, 0, 0), 8, QV__ADDRESS_LOOPBACK},
    {IP(169, 254, 0, 0), 16, QV__ADDRESS_LINK_LOCAL},
    {IP(172, 16, 0, 0), 12, QV__ADDRESS_PRIVATE},
    {IP(192, 0, 0, 0), 24, QV__ADDRESS_RESERVED},   /* protocols */
    {IP(192, 0, 2, 0), 24, QV__ADDRESS_RESERVED},   /* documentation */
    {IP(192, 88, 99, 0), 24, QV__ADDRESS_EMBEDDED}, /* relays of 6to4 */
    {IP(192, 168, 0, 0), 16, QV__ADDRESS_PRIVATE},
    {IP(198, 18, 0, 0), 15, QV__ADDRESS_RESERVED},   /* benchmarks */
    {IP(198, 51, 100, 0), 24, QV__ADDRESS_RESERVED}, /* documentation */
    {IP(203, 0, 113, 0), 24, QV__ADDRESS_RESERVED},  /* documentation */
    {IP(224, 0, 0, 0), 4, QV__ADDRESS_MULTICAST},
    {IP(240, 0, 0, 0), 4, QV__ADDRESS_RESERVED}, /* the future's, and broadcast */
};

/* The same. What none holds is reserved. */
static const struct {
    uint8_t network[16];
    int bits;
    qv__address_class c;
} ranges6[] = {
    {{0xfd, 0x00, 0x0e, 0xc2}, 32, QV__ADDRESS_METADATA}, /* AWS */
    {{0xfd, 0x20, 0x00, 0xce}, 32, QV__ADDRESS_METADATA}, /* Google */
    {{0}, 128, QV__ADDRESS_UNSPECIFIED},
    {{[15] = 1}, 128, QV__ADDRESS_LOOPBACK},
    {{0}, 96, QV__ADDRESS_EMBEDDED},                            /* compatible */
    {{[10] = 0xff, [11] = 0xff}, 96, QV__ADDRESS_EMBEDDED},     /* mapped */
    {{[8] = 0xff, [9] = 0xff}, 96, QV__ADDRESS_EMBEDDED},       /* translated */
    {{0x00, 0x64, 0xff, 0x9b, 0, 1}, 48, QV__ADDRESS_EMBEDDED}, /* NAT64 by local rules */
    {{0x20, 0x01, 0x00, 0x00}, 32, QV__ADDRESS_EMBEDDED},       /* Teredo */
    {{0x20, 0x02}, 16, QV__ADDRESS_EMBEDDED},                   /* 6to4 */
    {{0x20, 0x01, 0x00}, 23, QV__ADDRESS_RESERVED},             /* protocols */
    {{0x20, 0x01, 0x0d, 0xb8}, 32, QV__ADDRESS_RESERVED},       /* documentation */
    {{0x3f, 0xff}, 20, QV__ADDRESS_RESERVED},                   /* documentation */
    {{0xfc}, 7, QV__ADDRESS_PRIVATE},
    {{0xfe, 0xc0}, 10, QV__ADDRESS_PRIVATE}, /* site-local of old */
    {{0xfe, 0x80}, 10, QV__ADDRESS_LINK_LOCAL},
    {{0xff}, 8, QV__ADDRESS_MULTICAST},
    {{0x20}, 3, QV__ADDRESS_PUBLIC},
};

enum { RANGES4 = sizeof ranges4 / sizeof *ranges4, RANGES6 = sizeof ranges6 / sizeof *ranges6 };

static qv__address_class classify4(uint32_t address) {
    for (size_t i = 0; i < RANGES4; i++)
        if (!((address ^ ranges4[i].network) >> (32 - ranges4[i].bits))) return ranges4[i].c;
    return QV__ADDRESS_PUBLIC;
}

static bool same_bits(const uint8_t *a, const uint8_t *b, int bits) {
    int whole = bits / 8, rest = bits % 8;
    return !memcmp(a, b, (size_t)whole) && (!rest || !((a[whole] ^ b[whole]) >> (8 - rest)));
}

static qv__address_class classify6(const uint8_t a[16]) {
    static const uint8_t nat64[12] = {0x00, 0x64, 0xff, 0x9b};
    if (same_bits(a, nat64, 96)) return classify4(IP(a[12], a[13], a[14], a[15]));
    /* ISATAP: the IPv4 address of a host at home, in an interface's number below any prefix. */
    if ((a[8] & 0xfd) == 0 && a[9] == 0 && a[10] == 0x5e && a[11] == 0xfe) return QV__ADDRESS_EMBEDDED;
    for (size_t i = 0; i < RANGES6; i++)
        if (same_bits(a, ranges6[i].network, ranges6[i].bits)) return ranges6[i].c;
    return QV__ADDRESS_RESERVED;
}

qv__address_class qv__address_classify(const struct sockaddr *address) {
    if (address->sa_family == AF_INET) {
        struct sockaddr_in in;
        memcpy(&in, address, sizeof in);
        return classify4(ntohl(in.sin_addr.s_addr));
    }
    if (address->sa_family == AF_INET6) {
        struct sockaddr_in6 in;
        memcpy(&in, address, sizeof in);
        return classify6(in.sin6_addr.s6_addr);
    }
    return QV__ADDRESS_RESERVED;
}

const char *qv__address_class_name(qv__address_class c) {
    static const char *const names[] = {"public",   "loopback",    "private",   "shared",   "link-local",
                                        "metadata", "unspecified", "multicast", "reserved", "IPv4-in-IPv6"};
    return names[c];
}

bool qv__address_allowed(qv__address_class c, bool private_too) {
    switch (c) {
    case QV__ADDRESS_PUBLIC: return true;
    case QV__ADDRESS_LOOPBACK:
    case QV__ADDRESS_PRIVATE:
    case QV__ADDRESS_SHARED: return private_too;
    default: return false;
    }
}
