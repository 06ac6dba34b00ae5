/* What browsers see: GET / as the playground, GET /docs, and the files under /ui/ that both are made of. All of it lies
 * in the program (web/), and the policy below lets a page load and call nothing but this server. */
#include <string.h>
#include <strings.h>

#include "api/embed_request.h"
#include "api/files.h"
#include "api/job.h"
#include "api/write.h"

#define POLICY                                                                                                         \
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' blob: data:; "                            \
    "connect-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"

static void add_header(qv__response *response, const char *name, const char *value) {
    for (int i = 0; i < QV__RESPONSE_HEADERS; i++) {
        if (response->header_name[i]) continue;
        response->header_name[i] = name;
        response->header_value[i] = value;
        return;
    }
}

/* Browsers ask again after an update of the program, and believe the type we say. */
static void add_page_headers(qv__response *response) {
    add_header(response, "Cache-Control", "no-cache");
    add_header(response, "X-Content-Type-Options", "nosniff");
}

static void begin_html(qv__response *response) {
    response->content_type = "text/html; charset=utf-8";
    add_header(response, "Content-Security-Policy", POLICY);
    add_page_headers(response);
}

/* ---- /ui/ ---- */

typedef struct {
    const char *path, *type;
    const unsigned char *data;
    const size_t *size;
} asset;

#define STYLE(name)                                                                                                    \
    { "/ui/" #name ".css", "text/css; charset=utf-8", qv__file_##name##_css, &qv__file_##name##_css_size }
#define SCRIPT(name)                                                                                                   \
    { "/ui/" #name ".js", "text/javascript; charset=utf-8", qv__file_##name##_js, &qv__file_##name##_js_size }

static const asset assets[] = {
    STYLE(base),      STYLE(page),      {"/ui/icon.svg", "image/svg+xml", qv__file_icon_svg, &qv__file_icon_svg_size},
    SCRIPT(page),     SCRIPT(dom),      SCRIPT(server),
    SCRIPT(items),    SCRIPT(examples), SCRIPT(results),
    SCRIPT(snippets),
};

qv_status qv__start_asset(qv__job *job, qv__response *response, qv__refusal *r) {
    for (size_t i = 0; i < sizeof assets / sizeof *assets; i++) {
        if (strcmp(assets[i].path, job->route->path)) continue;
        qv__buffer_append(&response->body, assets[i].data, *assets[i].size);
        response->content_type = assets[i].type;
        add_page_headers(response);
        return QV_OK;
    }
    return qv__refuse(r, QV_NOT_FOUND, NULL, "There is no such path here.");
}

/* ---- /docs ---- */

static void write_html(qv__buffer *b, const char *text) {
    for (; *text; text++) {
        const char *escape = *text == '<' ? "&lt;" : *text == '>' ? "&gt;" : *text == '&' ? "&amp;" : NULL;
        if (escape)
            qv__buffer_puts(b, escape);
        else
            qv__buffer_append(b, text, 1);
    }
}

static void write_routes(qv__buffer *b) {
    const qv__route *route;
    for (size_t i = 0; (route = qv__route_at(i)); i++) {
        if (!route->summary) continue;
        qv__buffer_printf(b, "<tr><td><code class=\"method\">%s</code><td><code>%s</code><td>", route->method,
                          route->path);
        write_html(b, route->summary);
        qv__buffer_puts(b, "\n");
    }
}

static void write_purposes(qv__buffer *b) {
    const qv__purpose *purpose;
    for (size_t i = 0; (purpose = qv__purpose_at(i))->name; i++) {
        qv__buffer_printf(b, "<tr><td><code>%s</code><td>", purpose->name);
        write_html(b, purpose->instruction ? purpose->instruction : "the model's default");
        qv__buffer_puts(b, "\n");
    }
}

/* The page with <!--routes--> and <!--purposes--> filled in. */
qv_status qv__start_docs(qv__job *job, qv__response *response, qv__refusal *r) {
    static const struct {
        const char *mark;
        void (*write)(qv__buffer *b);
    } marks[] = {{"<!--routes-->", write_routes}, {"<!--purposes-->", write_purposes}};
    const char *page = (const char *)qv__file_docs_html, *end = page + qv__file_docs_html_size;
    for (size_t i = 0; i < sizeof marks / sizeof *marks; i++) {
        const char *at = memmem(page, (size_t)(end - page), marks[i].mark, strlen(marks[i].mark));
        if (!at) continue;
        qv__buffer_append(&response->body, page, (size_t)(at - page));
        marks[i].write(&response->body);
        page = at + strlen(marks[i].mark);
    }
    qv__buffer_append(&response->body, page, (size_t)(end - page));
    begin_html(response);
    return QV_OK;
}

/* ---- / ---- */

/* Thousandths of a weight: "1", "0.5", "0.125". Digits past the third are dropped, as RFC 9110 knows none. */
static int read_weight(const char *text, size_t size) {
    int weight = size && text[0] == '1' ? 1000 : 0;
    if (weight || size < 2 || text[0] != '0' || text[1] != '.') return weight;
    for (size_t i = 2, unit = 100; i < size && unit && text[i] >= '0' && text[i] <= '9'; i++, unit /= 10)
        weight += (text[i] - '0') * (int)unit;
    return weight;
}

/* The weight in thousandths that an Accept header gives to `type` by that very name; 0 when it does not name it. */
static int accepted(const char *accept, const char *type) {
    for (; *accept; accept += strcspn(accept, ",")) {
        accept += strspn(accept, " \t,");
        size_t range = strcspn(accept, ","), name = strcspn(accept, " \t,;");
        if (name != strlen(type) || strncasecmp(accept, type, name)) continue;
        for (size_t i = name; i + 1 < range; i++)
            if ((accept[i] | 0x20) == 'q' && accept[i + 1] == '=' && strchr("; \t", accept[i - 1]))
                return read_weight(accept + i + 2, range - i - 2);
        return 1000;
    }
    return 0;
}

/* Browsers name text/html, API clients do not; who names both alike gets JSON. */
bool qv__accepts_page(const char *accept) {
    return accept && accepted(accept, "text/html") > accepted(accept, "application/json");
}

qv_status qv__start_home(qv__job *job, qv__response *response, qv__refusal *r) {
    qv__buffer *b = &response->body;
    add_header(response, "Vary", "Accept");
    if (qv__accepts_page(job->request->accept)) {
        qv__buffer_append(b, qv__file_page_html, qv__file_page_html_size);
        begin_html(response);
        return QV_OK;
    }
    qv__buffer_printf(b, "{\"name\":\"qvec\",\"version\":\"%s\",\"model\":", QVEC_VERSION);
    qv__write_string(b, qv__job_model(job), strlen(qv__job_model(job)));
    qv__buffer_printf(b, ",\"task\":\"%s\",\"docs\":\"/docs\",\"openapi\":\"/openapi.json\"}",
                      job->api->model.task == QV_TASK_RERANK ? "rerank" : "embed");
    return QV_OK;
}
