#include "cli/group.h"

#include <time.h>

#include "base/error.h"

enum { HELPERS_MAX = 8, RETRY_NS = 2000000 };

int qv__helper_count(int compute) {
    int n = compute / 2;
    return n < 1 ? 1 : n > HELPERS_MAX ? HELPERS_MAX : n;
}

qv_status qv__group_open(qv__group *group, qv__entry *entry, size_t count, qv_error *err) {
    *group = (qv__group){.entry = entry, .count = count};
    group->items = qv__calloc(count, sizeof *group->items);
    group->facts = qv__calloc(count, sizeof *group->facts);
    group->errors = qv__calloc(count, sizeof *group->errors);
    if (group->items && group->facts && group->errors) return QV_OK;
    return qv__fail(err, QV_NO_MEMORY, "out of memory for %zu items", count);
}

void qv__group_clear(qv__group *group) {
    for (size_t i = 0; i < group->count && group->items; i++) qv__item_free(group->items[i]);
    qv__free(group->items);
    qv__free(group->facts);
    qv__free(group->errors);
    *group = (qv__group){0};
}

static void done(qv__item *item) {
    qv__group *group = item->user;
    qv__entry_release(group->entry);
}

/* One that cannot be handed over keeps its reason. */
static qv_status submit(qv__group *group, qv_model *model, qv__item *item, qv_error *err) {
    item->user = group;
    item->done = done;
    qv__entry_hold(group->entry, 1);
    qv_status status;
    while ((status = qv__engine_submit(model->engine, &item, 1, err)) == QV_OVERLOADED) {
        if (qv__entry_is_stopping(group->entry)) break;
        nanosleep(&(struct timespec){.tv_nsec = RETRY_NS}, NULL);
    }
    if (status) qv__entry_release(group->entry);
    return status;
}

qv_status qv__group_submit(qv__group *group, qv_model *model, size_t first, size_t count, qv_error *err) {
    for (size_t i = first; i < first + count; i++) {
        qv__item *item = group->items[i];
        if (!item) continue;
        group->entry->bytes += item->arena.used;
        qv_status status = submit(group, model, item, err);
        if (status) return status;
    }
    return QV_OK;
}

void qv__group_cancel(qv__group *group, qv_model *model) {
    for (size_t i = 0; i < group->count && group->items; i++)
        if (group->items[i] && group->items[i]->user == group) qv__engine_cancel(model->engine, group->items[i]);
}
