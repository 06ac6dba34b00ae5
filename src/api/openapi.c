/* GET /openapi.json: an OpenAPI 3.1 document made of the route table and of the schemas in web/schemas.json. */
#include <ctype.h>
#include <string.h>

#include "api/files.h"
#include "api/job.h"
#include "api/write.h"

/* ---- /openapi.json ---- */

static const char *error_schema(qv__errors errors) {
    switch (errors) {
    case QV__ERRORS_COHERE: return "CohereError";
    case QV__ERRORS_DETAIL: return "DetailError";
    case QV__ERRORS_TEI: return "TeiError";
    default: return "Error"; /* a path with several dialects */
    }
}

static void write_schema(qv__buffer *b, const char *media, const char *schema) {
    qv__buffer_printf(b, "\"%s\":{\"schema\":{\"$ref\":\"#/components/schemas/%s\"}}", media, schema);
}

static bool is_media(const char *gives) {
    return strchr(gives, '/');
}

static void write_header(qv__buffer *b, const char *name, const char *type) {
    qv__buffer_printf(b, ",\"headers\":{\"%s\":{\"schema\":{\"type\":\"%s\"}}}", name, type);
}

/* A route that takes something and gives nothing always refuses. */
static void write_success(qv__buffer *b, const qv__route *route) {
    if (route->takes && !route->gives) return;
    qv__buffer_puts(b, "\"200\":{\"description\":\"Done\"");
    if (route->gives) {
        qv__buffer_puts(b, ",\"content\":{");
        if (is_media(route->gives))
            qv__buffer_printf(b, "\"%s\":{\"schema\":{\"type\":\"string\"}}", route->gives);
        else
            write_schema(b, "application/json", route->gives);
        if (route->flags & QV__ROUTE_BYTES) qv__buffer_puts(b, ",\"application/octet-stream\":{}");
        qv__buffer_puts(b, "}");
    }
    qv__buffer_puts(b, "},");
}

/* ---- refusals ---- */

/* What makes a route answer so; a row needs all of its bits. */
enum {
    KEYED = 1, /* keys are set, and the route needs one */
    POSTED = 2,
    BODY = 4,   /* takes JSON */
    NAMED = 8,  /* ... in which a model may be named */
    MEDIA = 16, /* ... and pictures may be */
    COMPUTES = 32,
    FETCHES = 64, /* pictures behind URLs are fetched */
    PLAIN = 128,  /* some dialect of the path has the statuses that the others share */
    TEI = 256,    /* some dialect is TEI's, which has others */
    LACKS = 512,  /* ... and can ask for what a model cannot do */
    EMPTY = 1024, /* ... and tells an empty list from other mistakes */
    PROBE = 2048, /* says whether the server is well */
};

static const struct {
    int status, needs;
    const char *why, *header, *type;
} refusals[] = {
    {400, PLAIN, "The request is wrong; the text names the field and the limit", NULL, NULL},
    {400, EMPTY, "There is no input", NULL, NULL},
    {401, KEYED, "An API key is needed", "WWW-Authenticate", "string"},
    {404, NAMED, "This model is not served here", NULL, NULL},
    {405, 0, "The path does not take this method", "Allow", "string"},
    {411, POSTED, "Neither Content-Length nor chunks", NULL, NULL},
    {413, BODY, "The body, a picture or a video is over a limit", NULL, NULL},
    {422, MEDIA | TEI, "A picture or video cannot be decoded, or a request of TEI's form is wrong", NULL, NULL},
    {422, MEDIA, "A picture or video cannot be decoded", NULL, NULL},
    {422, TEI, "The request is wrong; the text names the field and the limit", NULL, NULL},
    {424, LACKS, "The model cannot do that", NULL, NULL},
    {429, BODY, "The queue is full", "Retry-After", "integer"},
    {500, COMPUTES, "The model failed", NULL, NULL},
    {501, COMPUTES | PLAIN, "The model or the server cannot do that", NULL, NULL},
    {501, MEDIA, "The server cannot do that", NULL, NULL},
    {502, FETCHES, "A picture or video could not be fetched", NULL, NULL},
    {503, BODY, "The server is shutting down, or out of memory", "Retry-After", "integer"},
    {503, PROBE, "The server is shutting down", "Retry-After", "integer"},
    {504, BODY, "It took longer than --request-timeout", NULL, NULL},
};

static bool is_one_of(const char *path, const char *const *list) {
    while (*list && strcmp(*list, path)) list++;
    return *list;
}

static int traits_of(const qv__route *route, qv__api *api) {
    /* fields tell the dialects of these apart, and one of them is TEI's */
    static const char *const with_tei[] = {"/rerank", "/v1/rerank", "/v2/rerank", "/invocations", NULL};
    static const char *const without_model[] = {"/decode", "/embed_all", "/embed_sparse", NULL};
    static const char *const texts_only[] = {"/embedding", "/detokenize", NULL};
    const char *path = route->path;
    bool tei = qv__route_errors(path) == QV__ERRORS_TEI, computes = route->flags & QV__ROUTE_QUEUED;
    int traits = tei ? TEI : is_one_of(path, with_tei) ? TEI | PLAIN : PLAIN;
    if (route->flags & QV__ROUTE_KEY && qv__keys_needed(&api->keys)) traits |= KEYED;
    if (strcmp(route->method, "POST") == 0) traits |= POSTED;
    if (route->takes) traits |= BODY;
    if (route->takes && !is_one_of(path, without_model)) traits |= NAMED;
    if (route->takes && !tei && !is_one_of(path, texts_only)) traits |= MEDIA;
    if (traits & MEDIA && api->options.fetcher) traits |= FETCHES;
    if (computes) traits |= COMPUTES;
    if (computes && (tei || strcmp(path, "/invocations") == 0)) traits |= LACKS;
    if (route->takes && route->gives && tei) traits |= EMPTY;
    if (!route->takes && !route->gives) traits |= PROBE;
    return traits;
}

static void write_refusals(qv__buffer *b, const qv__route *route, qv__api *api) {
    int traits = traits_of(route, api), last = 0;
    for (size_t i = 0; i < sizeof refusals / sizeof *refusals; i++) {
        if ((traits & refusals[i].needs) != refusals[i].needs || refusals[i].status == last) continue;
        qv__buffer_printf(b, "%s\"%d\":{\"description\":\"%s\"", last ? "," : "", refusals[i].status, refusals[i].why);
        if (refusals[i].header) write_header(b, refusals[i].header, refusals[i].type);
        qv__buffer_puts(b, ",\"content\":{");
        write_schema(b, "application/json", error_schema(qv__route_errors(route->path)));
        qv__buffer_puts(b, "}}");
        last = refusals[i].status;
    }
}

static void write_answers(qv__buffer *b, const qv__route *route, qv__api *api) {
    qv__buffer_puts(b, "\"responses\":{");
    write_success(b, route);
    write_refusals(b, route, api);
    qv__buffer_puts(b, "}");
}

/* ---- operations ---- */

/* "postV1Embeddings" */
static void write_operation_id(qv__buffer *b, const qv__route *route) {
    qv__buffer_puts(b, "\"operationId\":\"");
    for (const char *p = route->method; *p; p++) {
        char c = (char)tolower((unsigned char)*p);
        qv__buffer_append(b, &c, 1);
    }
    bool up = true;
    for (const char *p = route->path; *p; p++) {
        bool letter = isalnum((unsigned char)*p);
        char c = up ? (char)toupper((unsigned char)*p) : *p;
        if (letter) qv__buffer_append(b, &c, 1);
        up = !letter;
    }
    qv__buffer_puts(b, "\"");
}

static void write_operation(qv__buffer *b, const qv__route *route, qv__api *api) {
    qv__buffer_puts(b, strcmp(route->method, "GET") == 0 ? "\"get\":{" : "\"post\":{");
    write_operation_id(b, route);
    qv__buffer_puts(b, ",\"summary\":");
    qv__write_string(b, route->summary, strlen(route->summary));
    if (qv__keys_needed(&api->keys) && route->flags & QV__ROUTE_KEY) qv__buffer_puts(b, ",\"security\":[{\"key\":[]}]");
    if (route->takes) {
        qv__buffer_puts(b, ",\"requestBody\":{\"required\":true,\"content\":{");
        write_schema(b, "application/json", route->takes);
        qv__buffer_puts(b, "}}");
    }
    qv__buffer_puts(b, ",");
    write_answers(b, route, api);
    qv__buffer_puts(b, "}");
}

static bool is_first_of_path(size_t i) {
    for (size_t k = 0; k < i; k++)
        if (strcmp(qv__route_at(k)->path, qv__route_at(i)->path) == 0) return false;
    return true;
}

static void write_paths(qv__buffer *b, qv__api *api) {
    const qv__route *route, *other;
    for (size_t i = 0; (route = qv__route_at(i)); i++) {
        if (!route->summary || !is_first_of_path(i)) continue;
        qv__buffer_printf(b, "%s\"%s\":{", i ? "," : "", route->path);
        write_operation(b, route, api);
        for (size_t k = i + 1; (other = qv__route_at(k)); k++) {
            if (strcmp(other->path, route->path)) continue;
            qv__buffer_puts(b, ",");
            write_operation(b, other, api);
        }
        qv__buffer_puts(b, "}");
    }
}

qv_status qv__start_openapi(qv__job *job, qv__response *response, qv__refusal *r) {
    qv__buffer *b = &response->body;
    qv__buffer_printf(
        b,
        "{\"openapi\":\"3.1.0\",\"info\":{\"title\":\"qvec\",\"version\":\"%s\",\"description\":\"Qwen3-VL "
        "embedding and reranking, in the forms that clients already speak.\"},\"paths\":{",
        QVEC_VERSION);
    write_paths(b, job->api);
    qv__buffer_puts(b, "},\"components\":{\"securitySchemes\":{\"key\":{\"type\":\"http\",\"scheme\":\"bearer\"}},"
                       "\"schemas\":");
    qv__buffer_append(b, qv__file_schemas_json, qv__file_schemas_json_size);
    qv__buffer_puts(b, "}}");
    return QV_OK;
}
