/* Which addresses and URLs may be fetched. No network: tests/api/test_media_urls.py has one. */
#include <arpa/inet.h>
#include <netinet/in.h>
#include <stdio.h>
#include <sys/un.h>

#include "base/memory.h"
#include "check.h"
#include "fetch/address.h"
#include "fetch/fetch.h"
#include "fetch/url.h"

static qv__address_class class_of(const char *text) {
    union {
        struct sockaddr any;
        struct sockaddr_in four;
        struct sockaddr_in6 six;
    } a = {0};
    a.any.sa_family = strchr(text, ':') ? AF_INET6 : AF_INET;
    void *to = strchr(text, ':') ? (void *)&a.six.sin6_addr : (void *)&a.four.sin_addr;
    CHECK_MSG(inet_pton(a.any.sa_family, text, to) == 1, "%s is no address", text);
    return qv__address_classify(&a.any);
}

/* Each range by its first and last address, and the neighbours that are outside it. */
TEST(addresses) {
    static const struct {
        const char *name, *first, *last, *before, *after; /* NULL: the neighbour is in another range */
    } ranges[] = {
        {"unspecified", "0.0.0.0", "0.255.255.255", NULL, "1.0.0.0"},
        {"private", "10.0.0.0", "10.255.255.255", "9.255.255.255", "11.0.0.0"},
        {"shared", "100.64.0.0", "100.127.255.255", "100.63.255.255", "100.128.0.0"},
        {"loopback", "127.0.0.0", "127.255.255.255", "126.255.255.255", "128.0.0.0"},
        {"link-local", "169.254.0.0", "169.254.255.255", "169.253.255.255", "169.255.0.0"},
        {"metadata", "169.254.169.254", "169.254.169.254", NULL, NULL},
        {"metadata", "100.100.100.200", "100.100.100.200", NULL, NULL},
        {"metadata", "168.63.129.16", "168.63.129.16", "168.63.129.15", "168.63.129.17"},
        {"metadata", "192.0.0.192", "192.0.0.192", NULL, NULL},
        {"private", "172.16.0.0", "172.31.255.255", "172.15.255.255", "172.32.0.0"},
        {"reserved", "192.0.0.0", "192.0.0.255", "191.255.255.255", "192.0.1.0"},
        {"reserved", "192.0.2.0", "192.0.2.255", "192.0.1.255", "192.0.3.0"},
        {"IPv4-in-IPv6", "192.88.99.0", "192.88.99.255", "192.88.98.255", "192.88.100.0"},
        {"private", "192.168.0.0", "192.168.255.255", "192.167.255.255", "192.169.0.0"},
        {"reserved", "198.18.0.0", "198.19.255.255", "198.17.255.255", "198.20.0.0"},
        {"reserved", "198.51.100.0", "198.51.100.255", "198.51.99.255", "198.51.101.0"},
        {"reserved", "203.0.113.0", "203.0.113.255", "203.0.112.255", "203.0.114.0"},
        {"multicast", "224.0.0.0", "239.255.255.255", "223.255.255.255", NULL},
        {"reserved", "240.0.0.0", "255.255.255.255", NULL, NULL},
        {"unspecified", "::", "::", NULL, NULL},
        {"loopback", "::1", "::1", NULL, NULL},
        {"IPv4-in-IPv6", "::2", "::255.255.255.255", NULL, NULL},
        {"IPv4-in-IPv6", "::ffff:0.0.0.0", "::ffff:255.255.255.255", NULL, NULL},
        {"IPv4-in-IPv6", "::ffff:0:0:0", "::ffff:0:255.255.255.255", NULL, NULL},
        {"unspecified", "64:ff9b::", "64:ff9b::0.255.255.255", NULL, "64:ff9b::1.0.0.0"},
        {"loopback", "64:ff9b::127.0.0.0", "64:ff9b::127.255.255.255", "64:ff9b::126.255.255.255",
         "64:ff9b::128.0.0.0"},
        {"metadata", "64:ff9b::169.254.169.254", "64:ff9b::a9fe:a9fe", NULL, NULL},
        {"IPv4-in-IPv6", "64:ff9b:1::", "64:ff9b:1:ffff:ffff:ffff:ffff:ffff", NULL, NULL},
        {"reserved", "64:ff9b:2::", "1fff:ffff:ffff:ffff:ffff:ffff:ffff:ffff", NULL, "2000::"},
        {"IPv4-in-IPv6", "2001::", "2001:0:ffff:ffff:ffff:ffff:ffff:ffff", "2000:ffff::", NULL},
        {"reserved", "2001:1::", "2001:1ff:ffff:ffff:ffff:ffff:ffff:ffff", NULL, "2001:200::"},
        {"reserved", "2001:db8::", "2001:db8:ffff:ffff:ffff:ffff:ffff:ffff", "2001:db7:ffff::1", "2001:db9::"},
        {"IPv4-in-IPv6", "2002::", "2002:ffff:ffff:ffff:ffff:ffff:ffff:ffff", "2001:ffff::1", "2003::"},
        {"reserved", "3fff::", "3fff:fff:ffff:ffff:ffff:ffff:ffff:ffff", "3ffe:ffff::1", "3fff:1000::"},
        {"reserved", "4000::", "fbff:ffff:ffff:ffff:ffff:ffff:ffff:ffff", "3fff:ffff::1", NULL},
        {"private", "fc00::", "fdff:ffff:ffff:ffff:ffff:ffff:ffff:ffff", NULL, NULL},
        {"metadata", "fd00:ec2::254", "fd00:ec2::254", NULL, NULL},
        {"metadata", "fd20:ce::254", "fd20:ce::254", NULL, NULL},
        {"link-local", "fe80::", "febf:ffff:ffff:ffff:ffff:ffff:ffff:ffff", NULL, NULL},
        {"private", "fec0::", "feff:ffff:ffff:ffff:ffff:ffff:ffff:ffff", NULL, NULL},
        {"multicast", "ff00::", "ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff", NULL, NULL},
        {"IPv4-in-IPv6", "2606:2800::5efe:10.0.0.1", "2606:2800::200:5efe:10.0.0.1", NULL, NULL},
        {"public", "8.8.8.8", "2606:2800:220:1::1", NULL, "64:ff9b::8.8.8.8"},
    };
    for (size_t i = 0; i < sizeof ranges / sizeof *ranges; i++) {
        CHECK_STR(qv__address_class_name(class_of(ranges[i].first)), ranges[i].name);
        CHECK_STR(qv__address_class_name(class_of(ranges[i].last)), ranges[i].name);
        if (ranges[i].before) CHECK_STR(qv__address_class_name(class_of(ranges[i].before)), "public");
        if (ranges[i].after) CHECK_STR(qv__address_class_name(class_of(ranges[i].after)), "public");
    }
    struct sockaddr_un local = {.sun_family = AF_UNIX};
    CHECK_INT(qv__address_classify((struct sockaddr *)&local), QV__ADDRESS_RESERVED);
}

TEST(private_hosts_may_have_few_more_addresses) {
    int allowed = 0, private_too = 0;
    for (int c = QV__ADDRESS_PUBLIC; c <= QV__ADDRESS_EMBEDDED; c++) {
        allowed |= qv__address_allowed((qv__address_class)c, false) << c;
        private_too |= qv__address_allowed((qv__address_class)c, true) << c;
    }
    CHECK_INT(allowed, 1 << QV__ADDRESS_PUBLIC);
    CHECK_INT(private_too,
              1 << QV__ADDRESS_PUBLIC | 1 << QV__ADDRESS_LOOPBACK | 1 << QV__ADDRESS_PRIVATE | 1 << QV__ADDRESS_SHARED);
}

static void list_hosts(qv__url_hosts *hosts) {
    static const char *const names[] = {"a.example",      "A.Example:8080", "10.0.0.1",
                                        "[2606:2800::1]", "[::1]:81",       "xn--bcher-kva.example"};
    qv_error err = {0};
    for (size_t i = 0; i < sizeof names / sizeof *names; i++)
        CHECK_OK(qv__url_hosts_add(hosts, names[i], false, &err), err);
    CHECK_OK(qv__url_hosts_add(hosts, "b.example", true, &err), err);
}

/* The host that a URL is taken to, or why not. Static buffer. */
static const char *taken(const qv__url_hosts *hosts, const char *text) {
    static char out[600];
    qv__url url;
    qv_error err = {0};
    qv_status status = qv__url_check(hosts, text, &url, &err);
    CHECK(!status == !!url.parsed && (!status || status == QV_MEDIA_SOURCE));
    snprintf(out, sizeof out, "%s%s", status ? err.message : url.host, !status && url.private_too ? " (private)" : "");
    qv__url_clear(&url);
    return out;
}

TEST(urls_that_are_taken) {
    qv__url_hosts hosts = {0};
    list_hosts(&hosts);
    static const char *const cases[][2] = {
        {"http://a.example", "a.example"},
        {"https://A.EXAMPLE:443/b?c#d", "a.example"},
        {"http://a.example:8080/", "a.example"},
        {"https://a.example:8080/", "a.example"},
        {"http://a.example/\xC3\xA4", "a.example"},
        {"http://b.example/", "b.example (private)"},
        {"http://10.0.0.1/", "10.0.0.1"},
        {"http://0xA.1/", "10.0.0.1"}, /* one reading, the one that is connected to */
        {"http://012.1/", "10.0.0.1"},
        {"http://167772161/", "10.0.0.1"},
        {"http://[2606:2800:0::1]/", "[2606:2800::1]"},
        {"http://[::1]:81/", "[::1]"},
        {"http://xn--bcher-kva.example/", "xn--bcher-kva.example"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) CHECK_STR(taken(&hosts, cases[i][0]), cases[i][1]);
    qv__url_hosts_clear(&hosts);
}

TEST(urls_that_are_not) {
    qv__url_hosts hosts = {0};
    list_hosts(&hosts);
    static const char *const cases[][2] = {
        {"http://c.example/", "nothing from the host c.example"},
        {"http://a.example./", "nothing from the host a.example."},
        {"http://a.example:81/", "nothing from port 81 of the host a.example"},
        {"https://a.example:80/", "nothing from port 80"},
        {"http://[::1]/", "nothing from port 80 of the host [::1]"},
        {"http://127.1/", "nothing from the host 127.0.0.1"},
        {"http://u@a.example/", "user name"},
        {"http://:p@a.example/", "user name"},
        {"http://a.example\\@c.example/", "backslash"},
        {"http://a.example /", "space"},
        {"http://a.example/\x7f", "control"},
        {"http://[2606:2800::1%25eth0]/", "zone"},
        {"http://b\xC3\xBC"
         "cher.example/",
         "not a plain name"},
        {"http:///a.example/", "must begin"},
        {"http:a.example", "must begin"},
        {"ftp://a.example/", "must begin"},
        {"", "must begin"},
        {"http://", "malformed"},
        {"http://a.example:x/", "malformed"},
        {"http://a.example:70000/", "malformed"},
        {"http://[::1", "malformed"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        const char *got = taken(&hosts, cases[i][0]);
        CHECK_MSG(strstr(got, cases[i][1]), "%s: %s", cases[i][0], got);
    }
    static char text[9000];
    memset(text, 'a', sizeof text - 1);
    memcpy(text, "http://", 7);
    CHECK(strstr(taken(&hosts, text), "longer than 8192 bytes"));
    qv__url_hosts_clear(&hosts);
}

TEST(entries_that_are_no_hosts) {
    static const char *const entries[] = {
        "",     "http://a",         "a/b",       "*.a", "u@a", "a b", "a:0x", "a:70000",
        "[::1", "[fe80::1%25eth0]", "b\xC3\xBC", "a,b", "a?b", "a#b", "%61"};
    for (size_t i = 0; i < sizeof entries / sizeof *entries; i++) {
        qv__url_hosts hosts = {0};
        qv_error err = {0};
        CHECK_MSG(qv__url_hosts_add(&hosts, entries[i], false, &err) == QV_INVALID_ARGUMENT, "%s is taken", entries[i]);
        CHECK(!hosts.count && err.message[0]);
        qv__url_hosts_clear(&hosts);
    }
}

static bool never(void *user) {
    return false;
}
static bool at_once(void *user) {
    return true;
}

TEST(refused_urls_have_errors_without_a_network) {
    static const char *const hosts[] = {"127.0.0.1:9"};
    qv__fetcher *f;
    qv_error err = {0};
    CHECK_OK(qv__fetch_open(&(qv__fetch_options){.hosts = hosts, .host_count = 1}, &f, &err), err);
    CHECK_INT(f->max_urls, 64);
    CHECK_INT(f->check(f->context, "http://127.0.0.1:9/", &err), QV_OK);
    CHECK_INT(f->check(f->context, "http://127.0.0.1/", &err), QV_MEDIA_SOURCE);
    qv__fetch fetches[] = {{.url = "http://127.0.0.1:9/"}, {.url = "http://c.example/"}},
              *list[] = {fetches, fetches + 1};
    f->run(f->context, list, 2, never, NULL);
    CHECK(fetches[0].error.code == QV_MEDIA_SOURCE && strstr(fetches[0].error.message, "loopback"));
    CHECK(fetches[1].error.code == QV_MEDIA_SOURCE && strstr(fetches[1].error.message, "c.example"));
    CHECK(!fetches[0].bytes && !fetches[1].bytes);
    fetches[0].error.code = QV_OK;
    f->run(f->context, list, 1, at_once, NULL);
    CHECK_INT(fetches[0].error.code, QV_CANCELLED);
    qv__fetch_close(&f);
    CHECK(!f);
}

TEST(every_failed_allocation_is_an_error) {
    static const char *const hosts[] = {"127.0.0.1:9", "a.example"};
    bool done = false;
    for (uint64_t n = 1; !done; n++) {
        qv__fetcher *f;
        qv_error err = {0};
        qv__fetch fetch = {.url = "http://127.0.0.1:9/"}, *list[] = {&fetch};
        qv__alloc_fail_at(n, false);
        qv_status status = qv__fetch_open(&(qv__fetch_options){.hosts = hosts, .host_count = 2}, &f, &err);
        if (!status) f->run(f->context, list, 1, never, NULL);
        qv__alloc_fail_at(0, false);
        done = !status && fetch.error.code == QV_MEDIA_SOURCE;
        CHECK(done || status == QV_NO_MEMORY || (!status && fetch.error.code == QV_NO_MEMORY));
        CHECK(!fetch.bytes && (status == QV_OK) == (f != NULL));
        qv__fetch_close(&f);
    }
}
