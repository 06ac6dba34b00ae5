/* qvec verify: proves an install, step by step: the folder opens, its tensors are all there and finite, two kernel
 * tiers give the same bytes, and answers equal those stored beside the weights or published for them. With --against:
 * another server instead. */
#include <math.h>
#include <stdatomic.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/memory.h"
#include "base/threads.h"
#include "cli/against.h"
#include "cli/command.h"
#include "cli/console.h"
#include "cli/expected.h"
#include "cli/model_flags.h"
#include "cli/published.h"
#include "kernels/tier.h"
#include "lib/session.h"
#include "store/dummy.h"
#include "store/quantized.h"

/* Of a score, a cosine or 1 - cosine when matrices are 8-bit codes. */
static const double INT8_TOLERANCE = 0.02;

typedef struct {
    qv__model_flags model;
    const char *against, *against_model, *against_key, *prompt, *cacert;
    bool insecure;
    char *folder; /* the one looked at */
    int failures;
} verify;

__attribute__((format(printf, 3, 4))) static void tell(verify *v, bool ok, const char *format, ...) {
    char line[700];
    va_list args;
    va_start(args, format);
    vsnprintf(line, sizeof line, format, args);
    va_end(args);
    printf("%-5s %s\n", ok ? "ok" : "FAIL", line);
    fflush(stdout);
    v->failures += !ok;
}

/* ---- tensors ---- */

typedef struct {
    verify *v;
    const qv__checkpoint *checkpoint;
    size_t wanted, missing;
} inventory;

/* An embedding model needs no lm_head, and published ones come without it. */
static bool check_tensor(void *context, const char *name, int rank, const int64_t *shape) {
    inventory *i = context;
    const qv__tensor *tensor, *scales, *input;
    qv_error err = {0};
    if (!strcmp(name, "lm_head.weight") && qv__checkpoint_task(i->checkpoint) == QV_TASK_EMBED) return true;
    i->wanted++;
    bool coded = qv__checkpoint_config(i->checkpoint)->quantized && qv__quantized_name(name);
    qv_status status = coded
                           ? qv__quantized_need(i->checkpoint, name, shape[0], shape[1], &tensor, &scales, &input, &err)
                           : qv__checkpoint_need(i->checkpoint, name, rank, shape, &tensor, &err);
    if (!status) return true;
    if (i->missing++ < 5) tell(i->v, false, "%s", err.message);
    return true;
}

static void check_tensors(verify *v, const qv__checkpoint *c) {
    inventory i = {v, c, 0, 0};
    qv__dummy_list(qv__checkpoint_config(c), check_tensor, &i);
    tell(v, !i.missing, "%zu of %zu tensors are there in the right shape", i.wanted - i.missing, i.wanted);
}

typedef struct {
    const qv__checkpoint *checkpoint;
    _Atomic(const qv__tensor *) bad;
} finite_check;

/* Exponent bits all set: infinite or not a number. */
static bool is_finite(const qv__tensor *t) {
    if (t->dtype == QV__U8) return true;
    size_t count = t->bytes / qv__dtype_size(t->dtype);
    const uint16_t *half = t->data;
    const uint32_t *full = t->data;
    uint16_t mask = t->dtype == QV__BF16 ? 0x7F80 : 0x7C00;
    bool bad = false;
    if (t->dtype == QV__F32)
        for (size_t i = 0; i < count; i++) bad |= (full[i] & 0x7F800000u) == 0x7F800000u;
    else
        for (size_t i = 0; i < count; i++) bad |= (half[i] & mask) == mask;
    return !bad;
}

static void check_one(void *context, size_t i, int worker) {
    finite_check *f = context;
    const qv__tensor *t = qv__checkpoint_at(f->checkpoint, i);
    if (!f->bad && !is_finite(t)) f->bad = t;
}

static void check_finite(verify *v, const qv__checkpoint *c) {
    finite_check f = {.checkpoint = c};
    qv__threads *threads = qv__threads_open(v->model.threads ? (int)v->model.threads : qv__cpu_count());
    if (!threads) {
        tell(v, false, "no threads could be started");
        return;
    }
    qv__threads_run(threads, qv__checkpoint_count(c), check_one, &f);
    qv__threads_close(&threads);
    const qv__tensor *bad = f.bad;
    if (bad)
        tell(v, false, "%s holds values that are not finite", bad->name);
    else
        tell(v, true, "all weights are finite numbers");
}

/* ---- answers ---- */

static qv_part text_part(const char *text) {
    return (qv_part){.kind = QV_PART_TEXT, .data = text, .size = strlen(text)};
}

static qv_status open_tier(const verify *v, const char *tier, qv_model **out, qv_error *err) {
    qv_model_options options = {.load_format = v->model.load_format,
                                .cpu_tier = tier,
                                .threads = (int)v->model.threads,
                                .media_root = v->folder,
                                .quantization = qv__model_flags_quantization(&v->model)};
    return qv_model_open(v->folder, &options, out, err);
}

/* The answer of one short prompt as bytes: a vector, or a score and its logit. *out: malloc'd. */
static qv_status answer(qv_model *model, void **out, size_t *size, qv_error *err) {
    qv_part parts[2] = {text_part("What is the capital of China?"), text_part("The capital of China is Beijing.")};
    qv_input inputs[2] = {{.parts = &parts[0], .part_count = 1}, {.parts = &parts[1], .part_count = 1}};
    qv_embedding vector = {0};
    qv_score score;
    if (model->task == QV_TASK_EMBED) {
        qv_status status = qv_model_embed(model, inputs, 1, &vector, err);
        *out = vector.values;
        *size = (size_t)vector.dimensions * sizeof(float);
        return status;
    }
    qv_status status = qv_model_rerank(model, &inputs[0], &inputs[1], 1, &score, err);
    if (status) return status;
    float *values = qv__alloc_array(2, sizeof *values);
    if (!values) return QV_NO_MEMORY;
    values[0] = score.score;
    values[1] = score.logit;
    *out = values;
    *size = 2 * sizeof *values;
    return QV_OK;
}

static qv_status answer_of_tier(const verify *v, const char *tier, void **out, size_t *size, qv_error *err) {
    qv_model *model = NULL;
    qv_status status = open_tier(v, tier, &model, err);
    if (!status) status = answer(model, out, size, err);
    qv_model_close(&model);
    return status;
}

static void check_tiers(verify *v) {
    const char *best = qv__tier_name(qv__tier_best());
    void *fast = NULL, *plain = NULL;
    size_t fast_size = 0, plain_size = 0;
    qv_error err = {0};
    qv_status status = answer_of_tier(v, best, &fast, &fast_size, &err);
    if (!status) status = answer_of_tier(v, "c", &plain, &plain_size, &err);
    if (status)
        tell(v, false, "%s", err.message);
    else
        tell(v, fast_size == plain_size && !memcmp(fast, plain, fast_size),
             "the kernels of tier %s and plain C give the same bytes", best);
    qv__free(fast);
    qv__free(plain);
}

/* ---- stored answers ---- */

static const double VECTORS_APART = 1e-6, SCORES_APART = 1e-5;

/* Whether there were any. */
static bool check_expected(verify *v, qv_model *model) {
    qv__expected expected;
    qv__expected_result r = {0};
    qv_error err = {0};
    double allowed = model->task == QV_TASK_RERANK ? SCORES_APART : VECTORS_APART;
    if (model->int8) allowed = INT8_TOLERANCE;
    qv_status status = qv__expected_open(v->folder, &expected, &err);
    if (status == QV_NOT_FOUND) return false;
    if (!status) status = qv__expected_compare(&expected, model, &r, &err);
    if (status)
        tell(v, false, "stored answers: %s", err.message);
    else
        tell(v, r.distance <= allowed, "%zu stored answers of the reference: largest %s %.2g (%s), allowed %.2g",
             r.cases, model->task == QV_TASK_RERANK ? "difference" : "1 - cosine", r.distance, r.worst, allowed);
    qv__expected_close(&expected);
    return true;
}

/* ---- published values ---- */

static double dot(const float *a, const float *b, size_t size) {
    double sum = 0;
    for (size_t i = 0; i < size; i++) sum += (double)a[i] * (double)b[i];
    return sum;
}

/* The largest difference of cosines, or of the known values' cosine from 1. */
static double compare_found(const qv__published *p, const qv_embedding *vectors) {
    double worst = 0;
    for (size_t i = 0; i < p->pair_count; i++) {
        const qv__published_pair *pair = &p->pairs[i];
        const float *query = vectors[pair->query].values;
        double found = dot(query, vectors[pair->document].values, (size_t)vectors[0].dimensions);
        worst = fmax(worst, fabs(found - pair->value));
    }
    for (size_t i = 0; p->values && i < p->text_count; i++) {
        const float *stored = p->values + i * p->value_count, *found = vectors[i].values + p->value_offset;
        double lengths = dot(found, found, p->value_count) * dot(stored, stored, p->value_count);
        worst = fmax(worst, 1 - dot(found, stored, p->value_count) / sqrt(lengths));
    }
    return worst;
}

static qv_input input_of(const qv__published *p, size_t i, const qv_part *part) {
    return (qv_input){
        .parts = part, .part_count = 1, .prompt = p->prompt, .instruction = i < p->query_count ? p->instruction : NULL};
}

static qv_status compare_vectors(qv_model *model, const qv__published *p, double *worst, qv_error *err) {
    qv_part *parts = qv__alloc_array(p->text_count, sizeof *parts);
    qv_input *inputs = qv__alloc_array(p->text_count, sizeof *inputs);
    qv_embedding *vectors = qv__calloc(p->text_count, sizeof *vectors);
    qv_status status = QV_OK;
    if (!parts || !inputs || !vectors)
        status = qv__fail(err, QV_NO_MEMORY, "out of memory for %zu texts", p->text_count);
    for (size_t i = 0; i < p->text_count && !status; i++) {
        parts[i] = text_part(p->texts[i]);
        inputs[i] = input_of(p, i, &parts[i]);
    }
    if (!status) status = qv_model_embed(model, inputs, p->text_count, vectors, err);
    if (!status) *worst = compare_found(p, vectors);
    if (vectors) qv_embedding_clear(vectors, p->text_count);
    qv__free(vectors);
    qv__free(inputs);
    qv__free(parts);
    return status;
}

static qv_status compare_scores(qv_model *model, const qv__published *p, double *worst, qv_error *err) {
    *worst = 0;
    for (size_t i = 0; i < p->pair_count; i++) {
        const qv__published_pair *pair = &p->pairs[i];
        qv_part query = text_part(p->texts[pair->query]), document = text_part(p->texts[pair->document]);
        qv_input q = input_of(p, (size_t)pair->query, &query), d = input_of(p, (size_t)pair->document, &document);
        qv_score score;
        qv_status status = qv_model_rerank(model, &q, &d, 1, &score, err);
        if (status) return status;
        *worst = fmax(*worst, fabs((double)score.score - pair->value));
    }
    return QV_OK;
}

static void check_one_published(verify *v, qv_model *model, const qv__published *p) {
    double worst = 0, allowed = model->int8 ? fmax(p->tolerance, INT8_TOLERANCE) : p->tolerance;
    qv_error err = {0};
    qv_status status =
        p->task == QV_TASK_RERANK ? compare_scores(model, p, &worst, &err) : compare_vectors(model, p, &worst, &err);
    if (status)
        tell(v, false, "%s: %s", p->name, err.message);
    else
        tell(v, worst <= allowed, "%s: largest difference %.2g, allowed %.2g%s", p->name, worst, allowed,
             worst <= allowed ? "" : " (are these the published weights, untuned?)");
}

static void check_answers(verify *v) {
    qv_model *model = NULL;
    qv_error err = {0};
    if (open_tier(v, NULL, &model, &err)) {
        tell(v, false, "%s", err.message);
        return;
    }
    const qv__config *config = qv__checkpoint_config(model->checkpoint);
    bool dummy = qv__checkpoint_is_dummy(model->checkpoint), any = false;
    if (!dummy) {
        any = check_expected(v, model);
        for (const qv__published *p = NULL; (p = qv__published_next(p, model->task, config)); any = true)
            check_one_published(v, model, p);
    }
    if (!any) printf("-     no answers are stored beside these weights or were published for them\n");
    qv_model_close(&model);
}

/* ---- another server ---- */

enum { ANSWER_S = 120 };

static int run_against(verify *v) {
    qv_model *model = NULL;
    qv_error err = {0};
    bool agrees = false;
    const char *roots = v->cacert ? v->cacert : getenv("SSL_CERT_FILE");
    qv__remote_options remote = {.url = v->against,
                                 .model = v->against_model,
                                 .api_key = v->against_key,
                                 .timeout_s = ANSWER_S,
                                 .ca_file = roots && *roots ? roots : NULL,
                                 .insecure = v->insecure};
    if (!remote.api_key) remote.api_key = getenv("QVEC_AGAINST_API_KEY");
    if (v->insecure && v->cacert)
        return qv__complain("--insecure takes any certificate, --cacert does not; give one"), QV__EXIT_USAGE;
    if (v->insecure) qv__warn("--insecure: nobody checks whose server this is");
    if (open_tier(v, NULL, &model, &err)) return qv__complain("%s", err.message), QV__EXIT_MODEL;
    qv_prompt prompt = v->prompt && !strcmp(v->prompt, "official") ? QV_PROMPT_OFFICIAL : QV_PROMPT_RAW;
    qv_status status = model->task == QV_TASK_RERANK ? qv__against_scores(model, &remote, &agrees, &err)
                                                     : qv__against_vectors(model, &remote, prompt, &agrees, &err);
    qv_model_close(&model);
    if (status) qv__complain("%s", err.message);
    return status || !agrees ? QV__EXIT_FAILED : QV__EXIT_DONE;
}

/* ---- the command ---- */

/* The folder's own checks. */
static int check_folder(verify *v) {
    qv__checkpoint *c = NULL;
    qv_error err = {0};
    qv__checkpoint_options options = {.load_format = v->model.load_format, .threads = (int)v->model.threads};
    if (qv__checkpoint_open(v->folder, &options, &c, &err)) return qv__complain("%s", err.message), QV__EXIT_MODEL;
    tell(v, true, "%s opens: %s model", v->folder, qv__checkpoint_task(c) == QV_TASK_RERANK ? "rerank" : "embedding");
    check_tensors(v, c);
    check_finite(v, c);
    qv__checkpoint_close(&c);
    if (!v->failures) check_tiers(v);
    if (!v->failures) check_answers(v);
    return v->failures ? QV__EXIT_FAILED : QV__EXIT_DONE;
}

static int run_model(verify *v, qv_task wanted) {
    if (!qv__model_flags_folder(&v->model, wanted, &v->folder)) return QV__EXIT_MODEL;
    int status = v->against ? run_against(v) : check_folder(v);
    qv__free(v->folder);
    v->folder = NULL;
    return status;
}

/* Without MODEL both built-in ones; against a server, the one that embeds. */
static int run(verify *v) {
    int status = run_model(v, QV_TASK_EMBED);
    if (v->model.model || v->against || status) return status;
    printf("\n");
    return run_model(v, QV_TASK_RERANK);
}

#define OWN(field) offsetof(verify, field)

int qv__command_verify(int argc, char **argv) {
    static const qv__option rows[] = {
        QV__ROW("threads", INT, offsetof(qv__model_flags, threads), "N",
                "Compute threads. Default: the CPUs this process may use.", .min = 1, .max = 1024),
        QV__ROW("quantization", CHOICE, offsetof(qv__model_flags, quantization), "KIND",
                "int8: with matrices as 8-bit codes. Default: auto, as the folder has them.",
                .choices = "auto|none|None|int8"),
    };
    static const qv__option others[] = {
        QV__ROW("against", TEXT, OWN(against), "URL",
                "Embed or score the same probes through this server, of any make, and say whether its numbers are "
                "this model's, and if not, what it likely does otherwise: http://host:8000, or the whole address of "
                "the route."),
        QV__ROW("prompt", CHOICE, OWN(prompt), "RECIPE",
                "The recipe that the other server is meant to use. Default: raw, what a plain input means.",
                .choices = "raw|official"),
        QV__ROW("against-model", TEXT, OWN(against_model), "NAME",
                "The model to ask the other server for. Default: the first of its /v1/models."),
        QV__ROW("against-api-key", TEXT, OWN(against_key), "KEY",
                "Its API key. Default: the environment's QVEC_AGAINST_API_KEY."),
        QV__ROW("cacert", TEXT, OWN(cacert), "FILE",
                "With https: PEM file of the roots that may have signed its certificate. Default: $SSL_CERT_FILE, else "
                "the system's."),
        QV__ROW("insecure", SWITCH, OWN(insecure), NULL,
                "With https: take any certificate, of any name. Default: off."),
    };
    verify v = {.model = qv__model_flags_default()};
    qv__option_set sets[] = {
        {"Model", qv__model_rows, QV__MODEL_ROWS, &v.model},
        {"Model", rows, sizeof rows / sizeof *rows, &v.model},
        {"Another server", others, sizeof others / sizeof *others, &v},
    };
    qv__usage usage = {
        .name = "verify",
        .summary = "proof that an install works: files, weights, kernels, stored and published answers",
        .examples = "  qvec verify                                      the built-in models\n"
                    "  qvec verify Qwen/Qwen3-VL-Embedding-2B           against the model card's own numbers\n"
                    "  qvec verify MODEL --against http://host:8000     do old vectors and ours agree?\n",
        .usage = "[MODEL] [flags]",
        .sets = sets,
        .set_count = sizeof sets / sizeof *sets,
        .max_positionals = 1,
    };
    qv__words words = {0};
    qv__parsed parsed = qv__options_parse(&usage, argc, argv, &words);
    if (words.count) v.model.model = words.items[0].text;
    int status = parsed == QV__PARSED ? run(&v) : parsed == QV__PARSED_HELP ? QV__EXIT_DONE : QV__EXIT_USAGE;
    qv__words_clear(&words);
    return status;
}
