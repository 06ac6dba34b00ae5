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

/* A route that takes something and gives nothing always refuses. */
static void write_answers(qv__buffer *b, const qv__route *route) {
    qv__buffer_puts(b, "\"responses\":{");
    if (route->gives || !route->takes) qv__buffer_puts(b, "\"200\":{\"description\":\"Done\"");
    if (route->gives) {
        qv__buffer_puts(b, ",\"content\":{");
        if (is_media(route->gives))
            qv__buffer_printf(b, "\"%s\":{\"schema\":{\"type\":\"string\"}}", route->gives);
        else
            write_schema(b, "application/json", route->gives);
        if (route->flags & QV__ROUTE_BYTES) qv__buffer_puts(b, ",\"application/octet-stream\":{}");
        qv__buffer_puts(b, "}");
    }
    if (route->gives || !route->takes) qv__buffer_puts(b, "},");
    qv__buffer_puts(b, "\"default\":{\"description\":\"Refused\",\"content\":{");
    write_schema(b, "application/json", error_schema(route->errors));
    qv__buffer_puts(b, "}}}");
}

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

static void write_operation(qv__buffer *b, const qv__route *route, bool keys) {
    qv__buffer_puts(b, strcmp(route->method, "GET") == 0 ? "\"get\":{" : "\"post\":{");
    write_operation_id(b, route);
    qv__buffer_puts(b, ",\"summary\":");
    qv__write_string(b, route->summary, strlen(route->summary));
    if (keys && route->flags & QV__ROUTE_KEY) qv__buffer_puts(b, ",\"security\":[{\"key\":[]}]");
    if (route->takes) {
        qv__buffer_puts(b, ",\"requestBody\":{\"required\":true,\"content\":{");
        write_schema(b, "application/json", route->takes);
        qv__buffer_puts(b, "}}");
    }
    qv__buffer_puts(b, ",");
    write_answers(b, route);
    qv__buffer_puts(b, "}");
}

static bool is_first_of_path(size_t i) {
    for (size_t k = 0; k < i; k++)
        if (strcmp(qv__route_at(k)->path, qv__route_at(i)->path) == 0) return false;
    return true;
}

static void write_paths(qv__buffer *b, bool keys) {
    const qv__route *route, *other;
    for (size_t i = 0; (route = qv__route_at(i)); i++) {
        if (!route->summary || !is_first_of_path(i)) continue;
        qv__buffer_printf(b, "%s\"%s\":{", i ? "," : "", route->path);
        write_operation(b, route, keys);
        for (size_t k = i + 1; (other = qv__route_at(k)); k++) {
            if (strcmp(other->path, route->path)) continue;
            qv__buffer_puts(b, ",");
            write_operation(b, other, keys);
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
    write_paths(b, qv__keys_needed(&job->api->keys));
    qv__buffer_puts(b, "},\"components\":{\"securitySchemes\":{\"key\":{\"type\":\"http\",\"scheme\":\"bearer\"}},"
                       "\"schemas\":");
    qv__buffer_append(b, qv__file_schemas_json, qv__file_schemas_json_size);
    qv__buffer_puts(b, "}}");
    return QV_OK;
}
