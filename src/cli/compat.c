#include "cli/compat.h"

#include <jansson.h>
#include <string.h>
#include <strings.h>

#include "cli/console.h"

#define ONE_DEVICE "qvec computes on one device; run one server per device behind a balancer"
#define FP32 "qvec computes in fp32 on the weights as stored; lower precision would change the answers"
#define NO_KV "there is no token generation, so no cache of that kind"
#define OWN_QUEUE "qvec batches by tokens: see --max-num-batched-tokens"

const qv__compat qv__compat_serve[] = {
    {"runner", QV__COMPAT_VALUE, "auto|pooling", NULL, "qvec serves pooling models only"},
    {"convert", QV__COMPAT_VALUE, "auto|none|embed|classify", NULL, "it is one of auto, none, embed, classify"},
    {"dtype", QV__COMPAT_VALUE, "auto|float32|float", NULL, FP32 " (--dtype auto is what it does)"},
    {"kv-cache-dtype", QV__COMPAT_VALUE, "auto", NULL, NO_KV},
    {"device", QV__COMPAT_VALUE, "auto|cpu", NULL, "this build computes on the CPU"},
    {"tensor-parallel-size", QV__COMPAT_VALUE, "1", NULL, ONE_DEVICE},
    {"pipeline-parallel-size", QV__COMPAT_VALUE, "1", NULL, ONE_DEVICE},
    {"data-parallel-size", QV__COMPAT_VALUE, "1", NULL, ONE_DEVICE},
    {"distributed-executor-backend", QV__COMPAT_VALUE, "*", NULL, NULL},
    {"trust-remote-code", QV__COMPAT_SWITCH, NULL, "qvec runs no code from checkpoints; nothing to trust", NULL},
    {"enforce-eager", QV__COMPAT_SWITCH, NULL, "there are no graphs to capture; ignored", NULL},
    {"gpu-memory-utilization", QV__COMPAT_VALUE, NULL,
     "memory is bounded by --max-num-batched-tokens and the caches; ignored", NULL},
    {"swap-space", QV__COMPAT_VALUE, NULL, NO_KV "; ignored", NULL},
    {"cpu-offload-gb", QV__COMPAT_VALUE, "0", "weights are mapped from the page cache; ignored", NULL},
    {"block-size", QV__COMPAT_VALUE, NULL, NO_KV "; ignored", NULL},
    {"max-num-seqs", QV__COMPAT_VALUE, NULL, OWN_QUEUE "; ignored", NULL},
    {"enable-chunked-prefill", QV__COMPAT_SWITCH, NULL, NULL, NULL},
    {"no-enable-chunked-prefill", QV__COMPAT_SWITCH, NULL, "long inputs are computed in blocks of rows always; ignored",
     NULL},
    {"scheduling-policy", QV__COMPAT_VALUE, "fcfs", NULL,
     "requests are served in the order of arrival, fair between clients"},
    {"seed", QV__COMPAT_VALUE, "*", NULL, NULL},
    {"revision", QV__COMPAT_VALUE, "main", NULL,
     "the snapshot of refs/main is opened; give the folder of another one as MODEL"},
    {"tokenizer", QV__COMPAT_VALUE, NULL, NULL, "the tokenizer comes from the model's own folder"},
    {"tokenizer-mode", QV__COMPAT_VALUE, "auto|hf", NULL,
     "there is one tokenizer, with the same ids as the reference's"},
    {"tokenizer-revision", QV__COMPAT_VALUE, "main", NULL, "the tokenizer comes from the model's own folder"},
    {"config-format", QV__COMPAT_VALUE, "auto|hf", NULL, "config.json is read in the published form"},
    {"hf-overrides", QV__COMPAT_OBJECT, NULL, NULL, NULL},
    {"override-pooler-config", QV__COMPAT_OBJECT, NULL, NULL, NULL},
    {"pooler-config", QV__COMPAT_OBJECT, NULL, NULL, NULL},
    {"chat-template", QV__COMPAT_VALUE, NULL, "not read: the models' published recipe is built in", NULL},
    {"chat-template-content-format", QV__COMPAT_VALUE, "auto|openai|string", NULL, "it is one of auto, openai, string"},
    {"trust-request-chat-template", QV__COMPAT_SWITCH, NULL, "templates in requests are not read; ignored", NULL},
    {"generation-config", QV__COMPAT_VALUE, "*", NULL, NULL},
    {"media-io-kwargs", QV__COMPAT_VALUE, "{}", "give fps and max_frames in --mm-processor-kwargs; ignored", NULL},
    {"mm-processor-cache-gb", QV__COMPAT_VALUE, NULL, "the cache of picture features has --image-cache; ignored", NULL},
    {"mm-processor-cache-type", QV__COMPAT_VALUE, "*", NULL, NULL},
    {"disable-log-requests", QV__COMPAT_SWITCH, NULL, NULL, NULL},
    {"disable-log-stats", QV__COMPAT_SWITCH, NULL, NULL, NULL},
    {"no-enable-log-requests", QV__COMPAT_SWITCH, NULL, NULL, NULL},
    {"enable-log-requests", QV__COMPAT_SWITCH, NULL, "contents of requests are never logged; ignored", NULL},
    {"max-log-len", QV__COMPAT_VALUE, "*", NULL, NULL},
    {"enable-request-id-headers", QV__COMPAT_SWITCH, NULL, NULL, NULL},
    {"enable-server-load-tracking", QV__COMPAT_SWITCH, NULL, NULL, NULL},
    {"disable-fastapi-docs", QV__COMPAT_SWITCH, NULL, NULL, NULL},
    {"root-path", QV__COMPAT_VALUE, "", NULL, "let the proxy strip the prefix"},
    {"h11-max-incomplete-event-size", QV__COMPAT_VALUE, "*", NULL, NULL},
    {"h11-max-header-count", QV__COMPAT_VALUE, "*", NULL, NULL},
    {0},
};

#define NOT_GENERATED "nothing is generated; ignored"

const qv__compat qv__compat_generation[] = {
    {"ignore-eos", QV__COMPAT_SWITCH, NULL, NOT_GENERATED, NULL},
    {"use-beam-search", QV__COMPAT_SWITCH, NULL, NOT_GENERATED, NULL},
    {"n", QV__COMPAT_VALUE, "1", NOT_GENERATED, NULL},
    {"logprobs", QV__COMPAT_VALUE, NULL, NOT_GENERATED, NULL},
    {"top-p", QV__COMPAT_VALUE, NULL, NOT_GENERATED, NULL},
    {"top-k", QV__COMPAT_VALUE, NULL, NOT_GENERATED, NULL},
    {"min-p", QV__COMPAT_VALUE, NULL, NOT_GENERATED, NULL},
    {"temperature", QV__COMPAT_VALUE, NULL, NOT_GENERATED, NULL},
    {"frequency-penalty", QV__COMPAT_VALUE, NULL, NOT_GENERATED, NULL},
    {"presence-penalty", QV__COMPAT_VALUE, NULL, NOT_GENERATED, NULL},
    {"repetition-penalty", QV__COMPAT_VALUE, NULL, NOT_GENERATED, NULL},
    {"disable-detokenize", QV__COMPAT_SWITCH, NULL, NULL, NULL},
    {"profile", QV__COMPAT_SWITCH, NULL, "no profiler is asked, here or of the server; ignored", NULL},
    {0},
};

const qv__compat qv__compat_bench[] = {
    {"tokenizer-mode", QV__COMPAT_VALUE, "auto|hf|slow", "there is one tokenizer, with the reference's ids; ignored",
     NULL},
    {"trust-remote-code", QV__COMPAT_SWITCH, NULL, "no code from checkpoints is run; nothing to trust", NULL},
    {"skip-chat-template", QV__COMPAT_SWITCH, NULL, NULL, NULL},
    {"disable-shuffle", QV__COMPAT_SWITCH, NULL, NULL, NULL},
    {"plot-dataset-stats", QV__COMPAT_SWITCH, NULL, "lengths are in the file of --save-detailed; ignored", NULL},
    {"custom-output-len", QV__COMPAT_VALUE, "*", NULL, NULL},
    {"sharegpt-output-len", QV__COMPAT_VALUE, "*", NULL, NULL},
    {"hf-output-len", QV__COMPAT_VALUE, "*", NULL, NULL},
    {"no-stream", QV__COMPAT_SWITCH, NULL, NULL, NULL},
    {0},
};

const qv__compat *qv__compat_find(const qv__compat *list, const char *name) {
    for (; list && list->name; list++)
        if (!strcmp(list->name, name)) return list;
    return NULL;
}

/* ---- JSON values ---- */

/* What is done anyway, field by field; every other field or value would change something. */
static bool is_usual(const char *key, const json_t *value) {
    const char *text = json_is_string(value) ? json_string_value(value) : "";
    if (!strcmp(key, "is_matryoshka")) return json_is_true(value);
    if (!strcmp(key, "is_original_qwen3_reranker")) return json_is_true(value);
    if (!strcmp(key, "architectures")) return json_is_array(value);
    if (!strcmp(key, "classifier_from_token")) {
        const char *no = json_string_value(json_array_get(value, 0)),
                   *yes = json_string_value(json_array_get(value, 1));
        return json_array_size(value) == 2 && no && yes && !strcmp(no, "no") && !strcmp(yes, "yes");
    }
    if (!strcmp(key, "pooling_type") || !strcmp(key, "seq_pooling_type")) return !strcasecmp(text, "LAST");
    if (!strcmp(key, "normalize") || !strcmp(key, "use_activation")) return json_is_true(value);
    if (!strcmp(key, "task")) return !strcmp(text, "embed") || !strcmp(text, "classify");
    return json_is_null(value);
}

static bool accept_object(const qv__compat *flag, const char *text) {
    json_error_t e;
    json_t *object = json_loads(text, JSON_REJECT_DUPLICATES, &e);
    if (!json_is_object(object)) {
        json_decref(object);
        qv__complain("--%s takes a JSON object, not %.120s", flag->name, text);
        return false;
    }
    const char *key;
    json_t *value;
    bool fine = true;
    json_object_foreach(object, key, value) {
        if (is_usual(key, value)) continue;
        qv__complain("--%s: \"%.60s\" cannot be changed to that here", flag->name, key);
        fine = false;
    }
    json_decref(object);
    return fine;
}

static bool is_listed(const char *list, const char *value) {
    size_t size = strlen(value);
    for (const char *at = list; at; at = strchr(at, '|') ? strchr(at, '|') + 1 : NULL)
        if (!strncmp(at, value, size) && (!at[size] || at[size] == '|')) return true;
    return false;
}

bool qv__compat_accept(const qv__compat *flag, const char *value) {
    if (flag->kind != QV__COMPAT_SWITCH && !value) {
        qv__complain("--%s needs a value", flag->name);
        return false;
    }
    if (flag->kind == QV__COMPAT_OBJECT) return accept_object(flag, value);
    if (flag->fine && (!strcmp(flag->fine, "*") || is_listed(flag->fine, value))) return true;
    if (flag->refusal) {
        if (value)
            qv__complain("--%s %.80s: %s", flag->name, value, flag->refusal);
        else
            qv__complain("--%s: %s", flag->name, flag->refusal);
        return false;
    }
    if (flag->warning) qv__warn("--%s: %s", flag->name, flag->warning);
    return true;
}
