/* The one table from (method, path) to handler. A new form is a row here and a file beside it. */
#include <string.h>

#include "api/job.h"

enum {
    TOKENS = QV__ROUTE_KEY | QV__ROUTE_JSON,
    INFERENCE = TOKENS | QV__ROUTE_QUEUED,
    OPEN = QV__ROUTE_LIGHT,
    KEPT = QV__ROUTE_KEY | QV__ROUTE_LIGHT
};

/* Where one path has several forms, fields of the body tell them apart: see forms.h, rerank_request.h and tei.c. The
 * last three columns make /openapi.json and /docs: what the route does (NULL: it is told in neither), and the schemas
 * of what it takes and gives (web/schemas.json). */
static const qv__route routes[] = {
    /* OpenAI, vLLM, Jina, Voyage, Infinity */
    {"POST", "/v1/embeddings", INFERENCE | QV__ROUTE_BYTES, qv__start_embeddings, QV__ERRORS_VLLM,
     "Embed texts, token ids, conversations or typed inputs (OpenAI, vLLM, Jina, Voyage)", "EmbeddingsRequest",
     "EmbeddingsAnswer"},
    {"POST", "/embeddings", INFERENCE | QV__ROUTE_BYTES, qv__start_bare_embeddings, QV__ERRORS_VLLM,
     "The same without /v1 (Infinity, TEI); with content: llama.cpp's form", "BareEmbeddingsRequest",
     "BareEmbeddingsAnswer"},
    {"POST", "/pooling", INFERENCE | QV__ROUTE_BYTES, qv__start_pooling, QV__ERRORS_VLLM,
     "Embed, in vLLM's pooling form", "PoolingRequest", "PoolingAnswer"},
    {"POST", "/v1/multimodalembeddings", INFERENCE, qv__start_multimodal, QV__ERRORS_DETAIL,
     "Embed lists of texts, pictures and videos (Voyage)", "VoyageMultimodalRequest", "VoyageMultimodalAnswer"},
    {"POST", "/v2/embed", INFERENCE, qv__start_cohere, QV__ERRORS_COHERE, "Embed (Cohere v2)", "CohereEmbedRequest",
     "CohereEmbedAnswer"},
    {"POST", "/v1/embed", INFERENCE, qv__start_cohere, QV__ERRORS_COHERE, "Embed (Cohere v1)", "CohereEmbedRequest",
     "CohereEmbedV1Answer"},
    /* ranking */
    {"POST", "/v1/rerank", INFERENCE, qv__start_rerank, QV__ERRORS_VLLM,
     "Rank documents for a query (vLLM, Jina, Cohere, Voyage)", "RerankRequest", "RerankAnswer"},
    {"POST", "/v2/rerank", INFERENCE, qv__start_rerank, QV__ERRORS_VLLM, "Rank documents for a query (Cohere v2)",
     "RerankRequest", "RerankAnswer"},
    {"POST", "/rerank", INFERENCE, qv__start_rerank, QV__ERRORS_VLLM,
     "Rank documents for a query; with texts: TEI's form", "RerankRequest", "RerankAnswer"},
    {"POST", "/v1/score", INFERENCE, qv__start_score, QV__ERRORS_VLLM, "Score pairs (vLLM)", "ScoreRequest",
     "ScoreAnswer"},
    {"POST", "/score", INFERENCE, qv__start_score, QV__ERRORS_VLLM, "Score pairs (vLLM)", "ScoreRequest",
     "ScoreAnswer"},
    /* TEI */
    {"POST", "/embed", INFERENCE, qv__start_tei, QV__ERRORS_TEI, "Embed (TEI)", "TeiEmbedRequest", "Vectors"},
    {"POST", "/embed_all", INFERENCE, qv__start_embed_all, QV__ERRORS_TEI,
     "Refused: this model makes one vector of each input (TEI)", "TeiEmbedRequest", NULL},
    {"POST", "/embed_sparse", INFERENCE, qv__start_embed_sparse, QV__ERRORS_TEI,
     "Refused: this model makes no sparse vectors (TEI)", "TeiEmbedRequest", NULL},
    {"POST", "/similarity", INFERENCE, qv__start_similarity, QV__ERRORS_TEI, "Cosines of a sentence with others (TEI)",
     "TeiSimilarityRequest", "Numbers"},
    {"POST", "/decode", TOKENS, qv__start_decode, QV__ERRORS_TEI, "Token ids to texts (TEI)", "TeiDecodeRequest",
     "Strings"},
    {"GET", "/info", KEPT, qv__start_info, QV__ERRORS_TEI, "The model and the limits (TEI)", NULL, "TeiInfo"},
    {"POST", "/", INFERENCE, qv__start_default, QV__ERRORS_TEI, "Embed, compare or rank, as the body asks (TEI)",
     "TeiRequest", "TeiAnswer"},
    /* llama.cpp, SageMaker */
    {"POST", "/embedding", INFERENCE, qv__start_llama, QV__ERRORS_VLLM, "Embed (llama.cpp)", "LlamaRequest",
     "LlamaAnswer"},
    {"POST", "/invocations", INFERENCE | QV__ROUTE_BYTES, qv__start_invocations, QV__ERRORS_VLLM,
     "Any of the forms, told by its fields (SageMaker)", "InvocationsRequest", "AnyAnswer"},
    /* tokens */
    {"POST", "/tokenize", TOKENS, qv__start_tokenize, QV__ERRORS_VLLM, "Text or conversation to token ids (vLLM)",
     "TokenizeRequest", "TokenizeAnswer"},
    {"POST", "/detokenize", TOKENS, qv__start_detokenize, QV__ERRORS_VLLM, "Token ids to text (vLLM)",
     "DetokenizeRequest", "DetokenizeAnswer"},
    /* about the server */
    {"GET", "/", OPEN, qv__start_home, QV__ERRORS_VLLM, "What this is; in a browser: a page to try it", NULL, "Server"},
    {"GET", "/docs", OPEN, qv__start_docs, QV__ERRORS_VLLM, "This interface, for people", NULL, "text/html"},
    {"GET", "/openapi.json", OPEN, qv__start_openapi, QV__ERRORS_VLLM, "This interface, for programs", NULL, "OpenApi"},
    {"GET", "/v1/models", KEPT, qv__start_models, QV__ERRORS_VLLM, "The served names", NULL, "Models"},
    {"GET", "/health", OPEN, qv__start_health, QV__ERRORS_VLLM, "Empty when all is well", NULL, NULL},
    {"GET", "/ping", OPEN, qv__start_health, QV__ERRORS_VLLM, "The same (SageMaker)", NULL, NULL},
    {"POST", "/ping", OPEN, qv__start_health, QV__ERRORS_VLLM, "The same (SageMaker)", NULL, NULL},
    {"GET", "/livez", OPEN, qv__start_health, QV__ERRORS_VLLM, "The same (Kubernetes)", NULL, NULL},
    {"GET", "/readyz", OPEN, qv__start_ready, QV__ERRORS_VLLM, "Empty when new requests are welcome", NULL, NULL},
    {"GET", "/version", OPEN, qv__start_version, QV__ERRORS_VLLM, "The program's version", NULL, "Version"},
    {"GET", "/load", OPEN, qv__start_load, QV__ERRORS_VLLM, "Requests being worked on", NULL, "Load"},
    {"GET", "/metrics", OPEN, qv__start_metrics, QV__ERRORS_VLLM, "Counters for Prometheus", NULL, "text/plain"},
    /* what the pages are made of: no part of the interface, so without a summary */
    {"GET", "/ui/base.css", OPEN, qv__start_asset, QV__ERRORS_VLLM, NULL, NULL, NULL},
    {"GET", "/ui/page.css", OPEN, qv__start_asset, QV__ERRORS_VLLM, NULL, NULL, NULL},
    {"GET", "/ui/icon.svg", OPEN, qv__start_asset, QV__ERRORS_VLLM, NULL, NULL, NULL},
    {"GET", "/ui/page.js", OPEN, qv__start_asset, QV__ERRORS_VLLM, NULL, NULL, NULL},
    {"GET", "/ui/dom.js", OPEN, qv__start_asset, QV__ERRORS_VLLM, NULL, NULL, NULL},
    {"GET", "/ui/server.js", OPEN, qv__start_asset, QV__ERRORS_VLLM, NULL, NULL, NULL},
    {"GET", "/ui/items.js", OPEN, qv__start_asset, QV__ERRORS_VLLM, NULL, NULL, NULL},
    {"GET", "/ui/examples.js", OPEN, qv__start_asset, QV__ERRORS_VLLM, NULL, NULL, NULL},
    {"GET", "/ui/results.js", OPEN, qv__start_asset, QV__ERRORS_VLLM, NULL, NULL, NULL},
    {"GET", "/ui/snippets.js", OPEN, qv__start_asset, QV__ERRORS_VLLM, NULL, NULL, NULL},
};

enum { ROUTE_COUNT = sizeof routes / sizeof *routes };

const qv__route *qv__route_at(size_t i) {
    return i < ROUTE_COUNT ? &routes[i] : NULL;
}

const qv__route *qv__route_find(const char *method, const char *path) {
    if (strcmp(method, "HEAD") == 0) method = "GET";
    for (size_t i = 0; i < ROUTE_COUNT; i++)
        if (strcmp(routes[i].path, path) == 0 && strcmp(routes[i].method, method) == 0) return &routes[i];
    return NULL;
}

qv__errors qv__route_errors(const char *path) {
    for (size_t i = 0; path && i < ROUTE_COUNT; i++)
        if (strcmp(routes[i].path, path) == 0) return routes[i].errors;
    return QV__ERRORS_VLLM;
}

const char *qv__api_route_path(const qv__api *api, const char *path) {
    for (size_t i = 0; i < ROUTE_COUNT; i++)
        if (strcmp(routes[i].path, path) == 0) return routes[i].path;
    return NULL;
}

int qv__api_route_status(const qv__api *api, const char *method, const char *path) {
    if (!qv__api_route_path(api, path)) return 404;
    return strcmp(method, "OPTIONS") == 0 || qv__route_find(method, path) ? 200 : 405;
}

static void add_word(char *out, size_t size, const char *word) {
    size_t n = strlen(out), need = strlen(word) + (n ? 2 : 0);
    if (n + need >= size) return;
    strcpy(out + n, n ? ", " : "");
    strcat(out, word);
}

bool qv__api_allowed(const qv__api *api, const char *path, char *out, size_t size) {
    out[0] = 0;
    for (size_t i = 0; i < ROUTE_COUNT; i++) {
        if (strcmp(routes[i].path, path)) continue;
        add_word(out, size, routes[i].method);
        if (strcmp(routes[i].method, "GET") == 0) add_word(out, size, "HEAD");
    }
    if (!out[0]) return false;
    add_word(out, size, "OPTIONS");
    return true;
}
