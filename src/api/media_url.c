#include "api/media_url.h"

#include <string.h>

/* ---- noted ---- */

static qv_status no_memory(qv__refusal *r) {
    return qv__refuse(r, QV_NO_MEMORY, NULL, "No memory for the request.");
}

static qv__fetch *find(const qv__media_urls *urls, const char *url) {
    for (size_t i = 0; i < urls->count; i++)
        if (!strcmp(urls->list[i]->url, url)) return urls->list[i];
    return NULL;
}

/* A fetch and its own copy of the URL, in one block. */
static qv__fetch *make(const char *url, size_t size) {
    qv__fetch *fetch = qv__malloc(sizeof *fetch + size + 1);
    if (!fetch) return NULL;
    char *copy = (char *)(fetch + 1);
    memcpy(copy, url, size + 1);
    *fetch = (qv__fetch){.url = copy};
    return fetch;
}

static qv_status add(qv__media_urls *urls, const char *url, size_t size, qv__fetch **out, qv__refusal *r) {
    if (urls->count == urls->capacity) {
        size_t capacity = urls->capacity ? urls->capacity * 2 : 4;
        qv__fetch **list = qv__realloc(urls->list, capacity * sizeof(qv__fetch *));
        if (!list) return no_memory(r);
        urls->list = list;
        urls->capacity = capacity;
    }
    *out = urls->list[urls->count] = make(url, size);
    if (!*out) return no_memory(r);
    urls->count++;
    return QV_OK;
}

qv_status qv__media_url_note(qv__media_urls *urls, const char *url, size_t size, const char *name, qv_part *part,
                             qv__refusal *r) {
    const qv__fetcher *f = urls ? urls->fetcher : NULL;
    if (!f)
        return qv__refuse(r, QV_MEDIA_SOURCE, name,
                          "%s: this server fetches no URLs; send the bytes as a data: URL (data:image/png;base64,…).",
                          name);
    if (strlen(url) != size)
        return qv__refuse(r, QV_MEDIA_SOURCE, name, "%s: the URL holds the character U+0000.", name);
    qv__fetch *fetch = find(urls, url);
    qv_error err = {0};
    if (!fetch && f->check(f->context, url, &err)) return qv__refuse(r, err.code, name, "%s: %s.", name, err.message);
    if (!fetch && urls->count >= (size_t)f->max_urls)
        return qv__refuse(r, QV_MEDIA_LIMIT, name, "%s: the server fetches at most %d URLs for one request.", name,
                          f->max_urls);
    qv_status status = fetch ? QV_OK : add(urls, url, size, &fetch, r);
    if (!status)
        *part = (qv_part){.kind = (qv_part_kind)(part->kind == QV_PART_VIDEO ? QV__PART_VIDEO_URL : QV__PART_IMAGE_URL),
                          .data = fetch};
    return status;
}

void qv__media_urls_clear(qv__media_urls *urls) {
    for (size_t i = 0; i < urls->count; i++) {
        qv__free(urls->list[i]->bytes);
        qv__free(urls->list[i]);
    }
    qv__free(urls->list);
    *urls = (qv__media_urls){.fetcher = urls->fetcher};
}

/* ---- settled ---- */

static qv_status settle(const qv_part *parts, size_t count, const char *name, qv__refusal *r) {
    for (size_t i = 0; i < count; i++) {
        qv_part *part = (qv_part *)&parts[i]; /* made by content.c, in the request's arena */
        int kind = (int)part->kind;
        if (kind == QV_PART_VIDEO_FRAMES) {
            qv_status status = settle(part->data, part->size, name, r);
            if (status) return status;
        }
        if (kind != QV__PART_IMAGE_URL && kind != QV__PART_VIDEO_URL) continue;
        const qv__fetch *fetch = part->data;
        if (fetch->error.code) return qv__refuse(r, fetch->error.code, name, "%s: %s.", name, fetch->error.message);
        *part = (qv_part){.kind = kind == QV__PART_VIDEO_URL ? QV_PART_VIDEO : QV_PART_IMAGE,
                          .data = fetch->bytes,
                          .size = fetch->size};
    }
    return QV_OK;
}

qv_status qv__media_url_settle(const qv_input *input, const char *name, qv__refusal *r) {
    return settle(input->parts, input->part_count, name, r);
}
