#include "cli/remote.h"

#include <math.h>
#include <string.h>

#include "base/error.h"
#include "base/memory.h"

enum { ANSWER_MAX = 256 << 20, COLUMNS_MAX = 1 << 16, ROWS_MAX = 1 << 16, CONNECT_S = 10 };

void qv__matrix_clear(qv__matrix *m) {
    qv__free(m->values);
    *m = (qv__matrix){0};
}

/* ---- texts ---- */

static char *joined(const char *a, size_t a_size, const char *b) {
    qv__buffer text = {0};
    qv__buffer_append(&text, a, a_size);
    qv__buffer_puts(&text, b);
    qv__buffer_append(&text, "", 1);
    if (text.failed) qv__buffer_clear(&text);
    return text.data;
}

static bool ends_with(const char *text, size_t size, const char *end) {
    size_t n = strlen(end);
    return size >= n && !memcmp(text + size - n, end, n);
}

/* ---- answers ---- */

static qv_status unreadable(qv_error *err, const char *what) {
    return qv__fail(err, QV_INVALID_JSON, "the answer is not one of this route: %s", what);
}

/* Vectors are at data[i].embedding; servers that know no OpenAI answer with the bare rows. */
static const json_t *row_of(const json_t *rows, size_t i) {
    const json_t *row = json_array_get(rows, i);
    return json_is_object(row) ? json_object_get(row, "embedding") : row;
}

static qv_status copy_row(const json_t *row, size_t columns, float *out, qv_error *err) {
    if (json_array_size(row) != columns) return unreadable(err, "its vectors are not of one size");
    for (size_t k = 0; k < columns; k++) {
        const json_t *value = json_array_get(row, k);
        double number = json_number_value(value);
        if (!json_is_number(value)) return unreadable(err, "a vector holds something that is no number");
        if (fabs(number) > 1e30) return unreadable(err, "a vector holds a number that is not sound");
        out[k] = (float)number;
    }
    return QV_OK;
}

/* The place of row i: its index, or its position where the first row has none. */
static qv_status place_of(const json_t *rows, size_t i, size_t *place, qv_error *err) {
    bool indexed = json_is_integer(json_object_get(json_array_get(rows, 0), "index"));
    const json_t *index = json_object_get(json_array_get(rows, i), "index");
    json_int_t at = json_integer_value(index);
    *place = i;
    if (json_is_integer(index) != indexed || (indexed && (at < 0 || (uint64_t)at >= json_array_size(rows))))
        return unreadable(err, "a vector has no index of its own");
    if (indexed) *place = (size_t)at;
    return QV_OK;
}

/* values[count][columns]; NaN where nothing has been put yet, which no answer can hold. */
static qv_status place_rows(const json_t *rows, size_t count, size_t columns, float *values, qv_error *err) {
    qv_status status = QV_OK;
    for (size_t i = 0; i < count; i++) values[i * columns] = NAN;
    for (size_t i = 0; i < count && !status; i++) {
        size_t place;
        status = place_of(rows, i, &place, err);
        if (!status && !isnan(values[place * columns])) status = unreadable(err, "two vectors have one index");
        if (!status) status = copy_row(row_of(rows, i), columns, values + place * columns, err);
    }
    return status;
}

static qv_status read_rows(const json_t *root, qv__matrix *out, qv_error *err) {
    const json_t *rows = json_is_object(root) ? json_object_get(root, "data") : root;
    size_t count = json_array_size(rows), columns = json_array_size(row_of(rows, 0));
    if (!count || !columns) return unreadable(err, "it has no data[0].embedding");
    if (count > ROWS_MAX || columns > COLUMNS_MAX) return unreadable(err, "it is too large");
    out->values = qv__alloc_array(count * columns, sizeof *out->values);
    if (!out->values) return qv__fail(err, QV_NO_MEMORY, "out of memory for the answer");
    out->rows = count;
    out->columns = columns;
    qv_status status = place_rows(rows, count, columns, out->values, err);
    if (status) qv__matrix_clear(out);
    return status;
}

qv_status qv__remote_read_vectors(const char *text, size_t size, qv__matrix *out, qv_error *err) {
    *out = (qv__matrix){0};
    json_t *root = json_loadb(text, size, 0, NULL);
    qv_status status = root ? read_rows(root, out, err) : unreadable(err, "it is not JSON");
    json_decref(root);
    return status;
}

/* {"results": [{"index", "relevance_score"}]}; Voyage's list is "data", TEI's the bare list of {"index", "score"}. */
static qv_status read_scores(const json_t *root, size_t count, double *scores, qv_error *err) {
    const json_t *results = json_is_object(root) ? json_object_get(root, "results") : root;
    if (!results) results = json_object_get(root, "data");
    if (json_array_size(results) != count) return unreadable(err, "it has not one result for each document");
    for (size_t i = 0; i < count; i++) scores[i] = NAN;
    for (size_t i = 0; i < count; i++) {
        const json_t *result = json_array_get(results, i), *index = json_object_get(result, "index");
        const json_t *score = json_object_get(result, "relevance_score");
        if (!score) score = json_object_get(result, "score");
        json_int_t at = json_integer_value(index);
        if (!json_is_integer(index) || !json_is_number(score) || at < 0 || (uint64_t)at >= count || !isnan(scores[at]))
            return unreadable(err, "a result has no index and score of its own");
        scores[at] = json_number_value(score);
    }
    return QV_OK;
}

qv_status qv__remote_read_scores(const char *text, size_t size, size_t count, double *scores, qv_error *err) {
    json_t *root = json_loadb(text, size, 0, NULL);
    qv_status status = root ? read_scores(root, count, scores, err) : unreadable(err, "it is not JSON");
    json_decref(root);
    return status;
}

/* ---- requests ---- */

static size_t receive(char *data, size_t size, size_t count, void *user) {
    return qv__buffer_append(user, data, size * count) ? size * count : 0;
}

/* What an error answer says, on one line and not too much of it. */
static void tell_refusal(const qv__buffer *answer, char out[200]) {
    size_t n = answer->size < 199 ? answer->size : 199;
    for (size_t i = 0; i < n; i++) out[i] = (unsigned char)answer->data[i] < ' ' ? ' ' : answer->data[i];
    out[n] = 0;
}

/* One exchange; body NULL: GET. */
static qv_status exchange(qv__remote *r, const char *url, const char *body, qv__buffer *answer, qv_error *err) {
    char said[200];
    *answer = (qv__buffer){.max = ANSWER_MAX};
    curl_easy_setopt(r->easy, CURLOPT_URL, url);
    if (body) curl_easy_setopt(r->easy, CURLOPT_POSTFIELDS, body);
    curl_easy_setopt(r->easy, body ? CURLOPT_POST : CURLOPT_HTTPGET, 1L);
    curl_easy_setopt(r->easy, CURLOPT_WRITEDATA, answer);
    r->code = 0;
    r->failure[0] = 0;
    CURLcode result = curl_easy_perform(r->easy);
    if (result != CURLE_OK) {
        const char *reason = r->failure[0] ? r->failure : curl_easy_strerror(result);
        return qv__fail(err, QV_IO, "%.200s: %s", url, answer->failed ? "more than 256 MiB came" : reason);
    }
    curl_easy_getinfo(r->easy, CURLINFO_RESPONSE_CODE, &r->code);
    if (r->code == 200) return QV_OK;
    tell_refusal(answer, said);
    return qv__fail(err, QV_IO, "HTTP %ld: %s", r->code, said);
}

/* Steals body. */
static qv_status post(qv__remote *r, json_t *body, qv__buffer *answer, qv_error *err) {
    *answer = (qv__buffer){0};
    if (r->model) json_object_set_new(body, "model", json_string(r->model));
    char *text = json_dumps(body, JSON_COMPACT);
    json_decref(body);
    if (!text) return qv__fail(err, QV_NO_MEMORY, "out of memory for a request");
    qv_status status = exchange(r, r->route, text, answer, err);
    free(text);
    return status;
}

qv_status qv__remote_embed(qv__remote *remote, json_t *body, qv__matrix *out, qv_error *err) {
    qv__buffer answer;
    *out = (qv__matrix){0};
    qv_status status = post(remote, body, &answer, err);
    if (!status) status = qv__remote_read_vectors(answer.data ? answer.data : "", answer.size, out, err);
    qv__buffer_clear(&answer);
    return status;
}

/* One request in the form that r->texts says. */
static qv_status ask_scores(qv__remote *r, const char *query, const char *const *documents, size_t count,
                            qv__buffer *answer, qv_error *err) {
    json_t *list = json_array();
    for (size_t i = 0; i < count; i++) json_array_append_new(list, json_string(documents[i]));
    json_t *body = json_pack("{s:s, s:o}", "query", query, r->texts ? "texts" : "documents", list);
    *answer = (qv__buffer){0};
    return body ? post(r, body, answer, err) : qv__fail(err, QV_NO_MEMORY, "out of memory for a request");
}

/* Whether the server may have refused the form of a request, and not its sender. */
static bool is_form_refused(const qv__remote *r) {
    return r->code == 400 || r->code == 404 || r->code == 405 || r->code == 422;
}

/* The same address not below /v1, where TEI's routes are; an address without it as it is. */
static char *without_v1(const char *route) {
    static const char end[] = "/v1/rerank";
    size_t size = strlen(route), n = sizeof end - 1;
    return ends_with(route, size, end) ? joined(route, size - n, "/rerank") : joined(route, size, "");
}

/* The second form. False: it is refused as well, and nothing has changed. */
static bool ask_as_tei(qv__remote *r, const char *query, const char *const *documents, size_t count,
                       qv__buffer *answer) {
    bool not_found = r->code == 404 || r->code == 405;
    char *before = r->route, *route = not_found ? without_v1(before) : joined(before, strlen(before), "");
    if (!route) return false;
    r->route = route;
    r->texts = true;
    qv__buffer_clear(answer);
    bool taken = !ask_scores(r, query, documents, count, answer, NULL);
    if (!taken) {
        r->route = before;
        r->texts = false;
    }
    qv__free(taken ? before : route);
    return taken;
}

qv_status qv__remote_rerank(qv__remote *remote, const char *query, const char *const *documents, size_t count,
                            double *scores, qv_error *err) {
    qv__buffer answer;
    qv_status status = ask_scores(remote, query, documents, count, &answer, err);
    if (status && !remote->texts && is_form_refused(remote) && ask_as_tei(remote, query, documents, count, &answer))
        status = QV_OK;
    if (!status) status = qv__remote_read_scores(answer.data ? answer.data : "", answer.size, count, scores, err);
    qv__buffer_clear(&answer);
    return status;
}

/* ---- opening ---- */

/* "http://host" -> its /v1; ".../v1" -> as it is; ".../v1/embeddings" -> the route itself. */
static bool set_addresses(qv__remote *r, const char *url, const char *kind) {
    size_t size = strlen(url);
    while (size && url[size - 1] == '/') size--;
    if (ends_with(url, size, kind)) {
        r->route = joined(url, size, "");
        r->base = joined(url, size - strlen(kind), "");
        return r->route && r->base;
    }
    r->base = joined(url, size, ends_with(url, size, "/v1") ? "/" : "/v1/");
    r->route = r->base ? joined(r->base, strlen(r->base), kind) : NULL;
    return r->route;
}

/* The first name that the server lists, or NULL. */
static char *first_model(qv__remote *r) {
    qv__buffer answer = {0};
    char *url = joined(r->base, strlen(r->base), "models"), *name = NULL;
    if (url && !exchange(r, url, NULL, &answer, NULL)) {
        json_t *root = json_loadb(answer.data ? answer.data : "", answer.size, 0, NULL);
        const char *id = json_string_value(json_object_get(json_array_get(json_object_get(root, "data"), 0), "id"));
        name = id ? qv__strdup(id) : NULL;
        json_decref(root);
    }
    qv__buffer_clear(&answer);
    qv__free(url);
    return name;
}

static void set_trust(qv__remote *r, const qv__remote_options *options) {
    if (options->ca_file) {
        curl_easy_setopt(r->easy, CURLOPT_CAINFO, options->ca_file);
        curl_easy_setopt(r->easy, CURLOPT_CAPATH, NULL); /* or the system's would be trusted as well */
    }
    curl_easy_setopt(r->easy, CURLOPT_SSL_VERIFYPEER, options->insecure ? 0L : 1L);
    curl_easy_setopt(r->easy, CURLOPT_SSL_VERIFYHOST, options->insecure ? 0L : 2L);
}

static bool set_headers(qv__remote *r, const char *api_key) {
    r->headers = curl_slist_append(NULL, "Content-Type: application/json");
    if (!r->headers || !api_key) return r->headers;
    char *line = joined("Authorization: Bearer ", 22, api_key);
    struct curl_slist *more = line ? curl_slist_append(r->headers, line) : NULL;
    qv__free(line);
    return more;
}

qv_status qv__remote_open(const qv__remote_options *options, const char *kind, qv__remote *out, qv_error *err) {
    *out = (qv__remote){.easy = curl_easy_init()};
    if (strncmp(options->url, "http://", 7) && strncmp(options->url, "https://", 8))
        return qv__fail(err, QV_INVALID_ARGUMENT, "\"%.200s\" is not an http or https URL", options->url);
    if (!out->easy || !set_addresses(out, options->url, kind) || !set_headers(out, options->api_key))
        return qv__fail(err, QV_NO_MEMORY, "out of memory for a connection");
    curl_easy_setopt(out->easy, CURLOPT_PROTOCOLS_STR, "http,https");
    curl_easy_setopt(out->easy, CURLOPT_NOSIGNAL, 1L);
    curl_easy_setopt(out->easy, CURLOPT_HTTPHEADER, out->headers);
    curl_easy_setopt(out->easy, CURLOPT_TIMEOUT, options->timeout_s);
    curl_easy_setopt(out->easy, CURLOPT_CONNECTTIMEOUT, (long)CONNECT_S);
    curl_easy_setopt(out->easy, CURLOPT_WRITEFUNCTION, receive);
    curl_easy_setopt(out->easy, CURLOPT_ERRORBUFFER, out->failure);
    set_trust(out, options);
    out->model = options->model ? qv__strdup(options->model) : first_model(out);
    return QV_OK;
}

void qv__remote_close(qv__remote *remote) {
    curl_easy_cleanup(remote->easy);
    curl_slist_free_all(remote->headers);
    qv__free(remote->base);
    qv__free(remote->route);
    qv__free(remote->model);
    *remote = (qv__remote){0};
}
