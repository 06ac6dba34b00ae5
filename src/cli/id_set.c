/* Which answers a file holds already. Ids are compared as they are written, by the first half of their SHA-256. */
#include <string.h>

#include "base/error.h"
#include "base/hash.h"
#include "cli/lines.h"
#include "cli/output.h"
#include "cli/record.h"

static void digest_of(const char *id, size_t size, uint64_t out[2]) {
    uint8_t digest[32];
    qv__sha256(id, size, digest);
    memcpy(out, digest, 16);
}

/* The slot that holds key, or the free one where it belongs. */
static size_t slot_of(const qv__id_set *set, const uint64_t key[2]) {
    size_t i = key[0] & (set->capacity - 1);
    while ((set->slots[i][0] || set->slots[i][1]) && (set->slots[i][0] != key[0] || set->slots[i][1] != key[1]))
        i = (i + 1) & (set->capacity - 1);
    return i;
}

static bool grow(qv__id_set *set) {
    qv__id_set bigger = {.capacity = set->capacity ? 2 * set->capacity : 1024, .count = set->count};
    bigger.slots = qv__calloc(bigger.capacity, sizeof *bigger.slots);
    if (!bigger.slots) return false;
    for (size_t i = 0; i < set->capacity; i++)
        if (set->slots[i][0] || set->slots[i][1])
            memcpy(bigger.slots[slot_of(&bigger, set->slots[i])], set->slots[i], 16);
    qv__free(set->slots);
    *set = bigger;
    return true;
}

static bool add(qv__id_set *set, const char *id, size_t size) {
    if (2 * set->count >= set->capacity && !grow(set)) return false;
    uint64_t key[2];
    digest_of(id, size, key);
    size_t i = slot_of(set, key);
    if (!set->slots[i][0] && !set->slots[i][1]) set->count++;
    memcpy(set->slots[i], key, sizeof key);
    return true;
}

bool qv__id_set_has(const qv__id_set *set, const char *id, size_t size) {
    if (!set->count) return false;
    uint64_t key[2];
    digest_of(id, size, key);
    size_t i = slot_of(set, key);
    return set->slots[i][0] || set->slots[i][1];
}

void qv__id_set_clear(qv__id_set *set) {
    qv__free(set->slots);
    *set = (qv__id_set){0};
}

static bool find_id(void *context, const qv__member *m) {
    if (m->key.size != 4 || memcmp(m->key.text, "\"id\"", 4)) return true;
    *(qv__slice *)context = m->value;
    return false;
}

qv_status qv__id_set_read(qv__id_set *set, const char *path, qv_error *err) {
    qv__lines lines = {0};
    qv__line line = {0};
    qv_error absent = {0};
    qv_status status = qv__lines_open(&lines, path, &absent);
    if (status) return status == QV_NOT_FOUND ? QV_OK : qv__fail(err, status, "%s", absent.message);
    while (!(status = qv__lines_next(&lines, &line, err)) && line.text) {
        qv__slice id = {0};
        bool object = qv__scan_members(line.text, line.size, find_id, &id) || id.size;
        if (line.ended && !object)
            status = qv__fail(err, QV_INVALID_JSON, "%s, line %lld is not an answer; is this the right file to resume?",
                              path, (long long)line.line);
        bool counts = line.ended && id.size; /* a torn line is cut and made again */
        if (counts && !add(set, id.text, id.size)) status = qv__fail(err, QV_NO_MEMORY, "out of memory for ids");
        qv__free(line.text);
        if (status) break;
    }
    qv__lines_close(&lines);
    return status;
}
