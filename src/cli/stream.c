#include "cli/stream.h"

#include <errno.h>
#include <pthread.h>
#include <string.h>
#include <time.h>

#include "base/error.h"
#include "cli/console.h"

enum { HELPERS_MAX = 64, TICK_NS = 100000000 };

/* Lock order: reading, then lock. */
struct qv__stream {
    qv__lines *lines;
    const qv__stream_steps *steps;
    pthread_mutex_t reading; /* held while a line is read and gets its place: places are in the lines' order */
    pthread_mutex_t lock;    /* all below */
    pthread_cond_t room;     /* an entry was written: helpers may read on */
    pthread_cond_t ready;    /* the next entry to write may be ready, or the input ended */
    size_t taken, written;   /* entries so far; entry k lives in entries[k % QV__STREAM_WINDOW] */
    size_t bytes;            /* of the entries under way */
    bool ended, stopping;
    qv_status status; /* of reading */
    qv_error error;
    pthread_t helpers[HELPERS_MAX];
    int helper_count;
    qv__entry entries[QV__STREAM_WINDOW];
};

/* ---- holds ---- */

void qv__entry_hold(qv__entry *entry, size_t count) {
    pthread_mutex_lock(&entry->stream->lock);
    entry->holds += count;
    pthread_mutex_unlock(&entry->stream->lock);
}

void qv__entry_release(qv__entry *entry) {
    qv__stream *s = entry->stream;
    pthread_mutex_lock(&s->lock);
    bool next = --entry->holds == 0 && entry == &s->entries[s->written % QV__STREAM_WINDOW];
    if (next) pthread_cond_signal(&s->ready);
    pthread_mutex_unlock(&s->lock);
}

bool qv__entry_is_stopping(qv__entry *entry) {
    pthread_mutex_lock(&entry->stream->lock);
    bool stopping = entry->stream->stopping;
    pthread_mutex_unlock(&entry->stream->lock);
    return stopping;
}

/* ---- helpers ---- */

/* Waits until another entry may be taken; false: no more. */
static bool wait_for_room(qv__stream *s) {
    pthread_mutex_lock(&s->lock);
    for (;;) {
        size_t under_way = s->taken - s->written;
        bool full = under_way == QV__STREAM_WINDOW || (under_way && s->bytes > QV__STREAM_BYTES);
        if (s->stopping || s->ended || !full) break;
        pthread_cond_wait(&s->room, &s->lock);
    }
    bool more = !s->stopping && !s->ended;
    pthread_mutex_unlock(&s->lock);
    return more;
}

static void end_input(qv__stream *s, qv_status status, const qv_error *error) {
    pthread_mutex_lock(&s->lock);
    s->ended = true;
    s->status = status;
    s->error = *error;
    pthread_cond_signal(&s->ready);
    pthread_cond_broadcast(&s->room);
    pthread_mutex_unlock(&s->lock);
}

/* The next line in its place; NULL at the end. */
static qv__entry *take(qv__stream *s) {
    qv__entry *entry = NULL;
    qv__line line;
    qv_error error = {0};
    pthread_mutex_lock(&s->reading);
    if (wait_for_room(s)) {
        qv_status status = qv__lines_next(s->lines, &line, &error);
        bool is_item = line.text || status == QV_TOO_LARGE;
        if (!is_item) end_input(s, status, &error);
        pthread_mutex_lock(&s->lock);
        if (is_item && !s->stopping) {
            entry = &s->entries[s->taken++ % QV__STREAM_WINDOW];
            *entry = (qv__entry){.stream = s, .line = line, .status = status, .error = error, .holds = 1};
            s->bytes += entry->bytes = line.size;
        }
        pthread_mutex_unlock(&s->lock);
        if (!entry) qv__free(line.text);
    }
    pthread_mutex_unlock(&s->reading);
    return entry;
}

static void prepare(qv__stream *s, qv__entry *entry) {
    if (entry->status) { /* a line that is too long: only its place is known */
        entry->record = (qv__record){.number = entry->line.number, .line = entry->line.line};
        return;
    }
    size_t before = entry->bytes;
    entry->status = qv__record_open(&entry->record, &entry->line, &s->steps->names, &entry->error);
    if (!entry->status) entry->status = s->steps->prepare(s->steps->user, entry, &entry->error);
    pthread_mutex_lock(&s->lock);
    s->bytes += entry->bytes - before;
    pthread_mutex_unlock(&s->lock);
}

static void *helper(void *context) {
    qv__stream *s = context;
    qv__entry *entry;
    while ((entry = take(s))) {
        prepare(s, entry);
        qv__entry_release(entry);
    }
    return NULL;
}

/* ---- the writer ---- */

static void drop(qv__stream *s, qv__entry *entry) {
    if (s->steps->drop) s->steps->drop(entry);
    qv__record_clear(&entry->record);
    qv__free(entry->line.text);
    pthread_mutex_lock(&s->lock);
    s->bytes -= entry->bytes;
    s->written++;
    pthread_cond_broadcast(&s->room);
    pthread_mutex_unlock(&s->lock);
}

/* Whether the next entry can be written now. */
static bool is_ready(const qv__stream *s) {
    return s->written < s->taken && s->entries[s->written % QV__STREAM_WINDOW].holds == 0;
}

static void sleep_until_ready(qv__stream *s) {
    struct timespec until;
    clock_gettime(CLOCK_MONOTONIC, &until);
    until.tv_nsec += TICK_NS;
    if (until.tv_nsec >= 1000000000) until.tv_nsec -= 1000000000, until.tv_sec++;
    pthread_cond_timedwait(&s->ready, &s->lock, &until);
}

/* The next finished entry; NULL at the end of the input, and with *status set on an interruption or a full disk. What
 * is finished is flushed before anything is waited for. */
static qv__entry *next_finished(qv__stream *s, qv__output *output, qv__progress *progress, qv_status *status,
                                qv_error *err) {
    for (;;) {
        pthread_mutex_lock(&s->lock);
        bool ready = is_ready(s), end = s->ended && s->taken == s->written;
        pthread_mutex_unlock(&s->lock);
        if (qv__is_interrupted()) *status = QV_CANCELLED;
        if (*status || end) return NULL;
        if (ready) return &s->entries[s->written % QV__STREAM_WINDOW];
        qv__progress_tick(progress);
        if ((*status = qv__output_flush(output, err))) return NULL;
        pthread_mutex_lock(&s->lock);
        if (!is_ready(s) && !(s->ended && s->taken == s->written)) sleep_until_ready(s);
        pthread_mutex_unlock(&s->lock);
    }
}

static void count(const qv__entry *entry, qv__progress *progress, qv__stream_totals *totals, const qv__lines *lines) {
    totals->skipped += entry->skip;
    totals->answers += !entry->skip;
    if (entry->status || entry->partial) {
        if (!totals->failed++) totals->first_error = entry->error, totals->first_line = entry->line.line;
    }
    progress->items = totals->answers;
    progress->failed = totals->failed;
    progress->tokens += entry->tokens;
    if (lines->bytes_total) progress->fraction = (double)entry->line.end / (double)lines->bytes_total;
}

static qv_status write_all(qv__stream *s, qv__output *output, qv__progress *progress, qv__stream_totals *totals,
                           qv_error *err) {
    qv_status status = QV_OK;
    qv__entry *entry;
    while ((entry = next_finished(s, output, progress, &status, err))) {
        if (!entry->skip) status = s->steps->write(s->steps->user, entry, output, err);
        if (!status) count(entry, progress, totals, s->lines);
        drop(s, entry);
        qv__progress_tick(progress);
        if (status) break;
    }
    if (!status || status == QV_CANCELLED) {
        qv_status flushed = qv__output_flush(output, err);
        if (flushed) status = flushed;
    }
    return status;
}

/* ---- the whole ---- */

static qv_status start(qv__stream *s, int helpers, qv_error *err) {
    pthread_condattr_t monotonic;
    pthread_condattr_init(&monotonic);
    pthread_condattr_setclock(&monotonic, CLOCK_MONOTONIC);
    pthread_mutex_init(&s->reading, NULL);
    pthread_mutex_init(&s->lock, NULL);
    pthread_cond_init(&s->room, NULL);
    pthread_cond_init(&s->ready, &monotonic);
    pthread_condattr_destroy(&monotonic);
    if (helpers > HELPERS_MAX) helpers = HELPERS_MAX;
    while (s->helper_count < helpers) {
        if (pthread_create(&s->helpers[s->helper_count], NULL, helper, s)) break;
        s->helper_count++;
    }
    return s->helper_count ? QV_OK : qv__fail(err, QV_NO_MEMORY, "no thread could be started");
}

static void finish(qv__stream *s) {
    for (int i = 0; i < s->helper_count; i++) pthread_join(s->helpers[i], NULL);
    pthread_cond_destroy(&s->ready);
    pthread_cond_destroy(&s->room);
    pthread_mutex_destroy(&s->lock);
    pthread_mutex_destroy(&s->reading);
    qv__free(s);
}

static void stop(qv__stream *s) {
    pthread_mutex_lock(&s->lock);
    s->stopping = true;
    pthread_cond_broadcast(&s->room);
    pthread_mutex_unlock(&s->lock);
    for (int i = 0; i < s->helper_count; i++) pthread_detach(s->helpers[i]);
}

qv_status qv__stream_run(qv__lines *lines, int helpers, const qv__stream_steps *steps, qv__output *output,
                         qv__progress *progress, qv__stream_totals *totals, qv_error *err) {
    *totals = (qv__stream_totals){0};
    qv__stream *s = qv__calloc(1, sizeof *s);
    if (!s) return qv__fail(err, QV_NO_MEMORY, "out of memory for the window of lines");
    s->lines = lines;
    s->steps = steps;
    qv_status status = start(s, helpers, err);
    if (!status) status = write_all(s, output, progress, totals, err);
    if (status) return stop(s), status;
    status = s->status;
    totals->input_failed = status != QV_OK;
    if (status && err) *err = s->error;
    finish(s);
    return status;
}
