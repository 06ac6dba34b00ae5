/* Who takes turns with whom: the line before the pool, and what a client is. */
#include <arpa/inet.h>
#include <semaphore.h>
#include <sys/un.h>

#include "api/key.h"
#include "api/pool.h"
#include "base/clock.h"
#include "base/error.h"
#include "check.h"
#include "http/client.h"

/* ---- the line ---- */

enum { PIECES = 64 };

typedef struct {
    qv__work work;
    char name;
} piece;

static sem_t started, go;
static char ran[PIECES + 1];
static size_t ran_count;

/* The only thread is busy here while a line grows behind it. */
static void plug(qv__work *work) {
    sem_post(&started);
    sem_wait(&go);
}

static void note(qv__work *work) {
    ran[ran_count++] = ((const piece *)work)->name;
}

static const qv__work *ran_first;
static int *ran_order;

static void note_place(qv__work *work) {
    ran_order[ran_count++] = (int)(work - ran_first);
}

/* A pool of one thread, which is busy until `go`. */
static qv__pool *open_busy(size_t max_waiting) {
    static qv__work first;
    first = (qv__work){.run = plug};
    sem_init(&started, 0, 0);
    sem_init(&go, 0, 0);
    qv__pool *pool = qv__pool_open(1, max_waiting);
    CHECK(pool && qv__pool_add(pool, &first));
    sem_wait(&started);
    return pool;
}

/* Adds a piece for each letter, of the client that the letter is (0 for '.'), urgent behind '!', to a busy pool of one
 * thread. Gives the order in which they ran; *refused: how many found no room. */
static const char *order_of(const char *letters, size_t max_waiting, int *refused) {
    static piece pieces[PIECES];
    memset(ran, 0, sizeof ran);
    ran_count = 0;
    *refused = 0;
    qv__pool *pool = open_busy(max_waiting);
    for (size_t i = 0; letters[i]; i++) {
        bool urgent = letters[i] == '!';
        char name = letters[i += urgent];
        pieces[i] = (piece){.work = {.run = note, .client = name == '.' ? 0 : (uint64_t)name}, .name = name};
        if (urgent)
            qv__pool_add_urgent(pool, &pieces[i].work);
        else
            *refused += !qv__pool_add(pool, &pieces[i].work);
    }
    sem_post(&go);
    qv__pool_close(&pool);
    return ran;
}

TEST(clients_take_turns_in_the_line) {
    int refused;
    CHECK_STR(order_of("aaaaaab", 64, &refused), "abaaaaa");
    CHECK_STR(order_of("aaabbbcd", 64, &refused), "abcdabab");
    CHECK_STR(order_of("aab.a.!z!y", 64, &refused), "zyab.a.a");
    CHECK_STR(order_of("ababab", 64, &refused), "ababab");
    CHECK_STR(order_of("", 64, &refused), "");
    CHECK_INT(refused, 0);
}

TEST(the_last_eighth_of_the_line_is_for_others) {
    int refused;
    CHECK_STR(order_of("aaaaaaaaaaaaaaaaaaaa", 16, &refused), "aaaaaaaaaaaaaa");
    CHECK_INT(refused, 6);
    CHECK_STR(order_of("aaaaaaaaaaaaaaaabcdb", 16, &refused), "abcaaaaaaaaaaaaa");
    CHECK_INT(refused, 4);
    CHECK_STR(order_of(".................", 16, &refused), "................");
    CHECK_INT(refused, 1);
    CHECK_STR(order_of("aaaaa", 3, &refused), "aaa"); /* too short a line to keep anything */
    CHECK_INT(refused, 2);
}

/* A thousand clients are more than there are buckets. */
TEST(clients_of_one_bucket_are_told_apart) {
    enum { CLIENTS = 1000 };
    static qv__work works[2 * CLIENTS];
    static int order[2 * CLIENTS];
    qv__pool *pool = open_busy(2 * CLIENTS);
    for (int i = 0; i < 2 * CLIENTS; i++) {
        works[i] = (qv__work){.run = note_place, .client = (uint64_t)(i / 2 + 1)};
        CHECK(qv__pool_add(pool, &works[i]));
    }
    ran_first = works;
    ran_order = order;
    ran_count = 0;
    sem_post(&go);
    qv__pool_close(&pool);
    for (int i = 0; i < CLIENTS; i++) CHECK(order[i] == 2 * i && order[CLIENTS + i] == 2 * i + 1);
}

static void nap(qv__work *work) {
    nanosleep(&(struct timespec){0, 20000000}, NULL);
}

TEST(the_wait_is_measured) {
    qv__work naps[100], first = {.run = plug};
    sem_init(&started, 0, 0);
    sem_init(&go, 0, 0);
    qv__pool *pool = qv__pool_open(1, 100);
    CHECK(pool && qv__pool_seconds(pool) == 0);
    for (int i = 0; i < 40; i++) {
        naps[i] = (qv__work){.run = nap};
        CHECK(qv__pool_add(pool, &naps[i]));
    }
    CHECK(qv__pool_add(pool, &first));
    sem_wait(&started); /* all naps are over */
    CHECK(qv__pool_seconds(pool) == 0);
    for (int i = 50; i < 100; i++) {
        naps[i] = (qv__work){.run = nap};
        CHECK(qv__pool_add(pool, &naps[i]));
    }
    double seconds = qv__pool_seconds(pool); /* 50 of 20 ms; a busy machine makes naps longer */
    CHECK_MSG(seconds > 0.95 && seconds < 10, "%g seconds", seconds);
    sem_post(&go);
    qv__pool_close(&pool);
}

/* ---- keys ---- */

TEST(a_key_is_one_client_however_it_is_spelled) {
    static const char *const keys[] = {"one", "two"};
    qv__keys k = {0};
    qv_error err;
    uint64_t first = 7, other = 7, client = 7;
    qv__keys_open(&k);
    CHECK(qv__keys_fit(&k, "Bearer made-up", &client) && client == 7); /* no keys: a header makes nobody somebody */
    CHECK_INT(qv__keys_set(&k, keys, 2, &err), QV_OK);
    CHECK(qv__keys_fit(&k, "Bearer one", &first) && first != 7 && first != 0);
    CHECK(qv__keys_fit(&k, "bearer one", &client) && client == first);
    CHECK(qv__keys_fit(&k, "BEARER   one", &client) && client == first);
    CHECK(qv__keys_fit(&k, "Bearer two", &other) && other != first);
    CHECK(!qv__keys_fit(&k, "Bearer three", &client) && client == first);
    qv__keys_close(&k);
}

/* ---- addresses ---- */

static const char *name_of(const char *text, uint16_t port, uint64_t *number) {
    static char name[INET6_ADDRSTRLEN];
    struct sockaddr_in6 v6 = {.sin6_family = AF_INET6, .sin6_port = htons(port)};
    struct sockaddr_in v4 = {.sin_family = AF_INET, .sin_port = htons(port)};
    bool six = inet_pton(AF_INET6, text, &v6.sin6_addr) == 1;
    CHECK(six || inet_pton(AF_INET, text, &v4.sin_addr) == 1);
    const struct sockaddr *address = six ? (const void *)&v6 : (const void *)&v4;
    *number = qv__client_number(address);
    qv__client_name(address, name);
    return name;
}

TEST(a_client_is_its_address_without_what_it_can_change) {
    uint64_t a, b;
    CHECK_STR(name_of("192.0.2.1", 1000, &a), "192.0.2.1");
    CHECK_STR(name_of("192.0.2.1", 2000, &b), "192.0.2.1");
    CHECK(a == b && a);
    CHECK_STR(name_of("::ffff:192.0.2.1", 1000, &b), "192.0.2.1");
    CHECK(a == b);
    name_of("192.0.2.2", 1000, &b);
    CHECK(a != b);
    name_of("::ffff:192.0.2.2", 1000, &a);
    CHECK(a == b); /* not the /64 that all mapped addresses have in common */
    CHECK_STR(name_of("2001:db8:1:2::5", 1, &a), "2001:db8:1:2::5");
    name_of("2001:db8:1:2:ffff::1", 1, &b);
    CHECK(a == b);
    name_of("2001:db8:1:3::5", 1, &b);
    CHECK(a != b);
}

TEST(without_an_address_there_is_nobody) {
    char name[INET6_ADDRSTRLEN];
    struct sockaddr_un local = {.sun_family = AF_UNIX};
    CHECK(qv__client_number(NULL) == 0 && qv__client_number((const void *)&local) == 0);
    qv__client_name(NULL, name);
    CHECK_STR(name, "-");
    qv__client_name((const void *)&local, name);
    CHECK_STR(name, "unix");
}
