/* qvec verify: proves an install, step by step: the folder opens, its tensors are all there and finite, two kernel
 * tiers give the same bytes, and answers equal the published ones. With --against: another server instead. */
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
#include "cli/model_flags.h"
#include "cli/published.h"
#include "kernels/tier.h"
#include "lib/session.h"
#include "store/dummy.h"
#include "store/quantized.h"

/* Of a score or a cosine when matrices are 8-bit codes. */
static const double INT8_TOLERANCE = 0.02;

typedef struct {
    qv__model_flags model;
    const char *against, *against_model, *against_key, *prompt;
    const char *load_format; /* resolved */
    char *folder;
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
    qv_model_options options = {.load_format = v->load_format,
                                .cpu_tier = tier,
                                .threads = (int)v->model.threads,
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

/* ---- published values ---- */

static double cosine(const float *a, const float *b, int size) {
    double sum = 0;
    for (int i = 0; i < size; i++) sum += (double)a[i] * (double)b[i];
    return sum;
}

/* Largest difference, or infinity on failure. */
static double compare_vectors(qv_model *model, const qv__published *p, qv_error *err) {
    enum { MOST = 8 };
    qv_part parts[MOST];
    qv_input inputs[MOST] = {0};
    qv_embedding vectors[MOST] = {0};
    double worst = 0;
    for (size_t i = 0; i < p->text_count; i++) {
        parts[i] = text_part(p->texts[i]);
        inputs[i] = (qv_input){.parts = &parts[i], .part_count = 1, .prompt = p->prompt, .instruction = p->instruction};
    }
    if (qv_model_embed(model, inputs, p->text_count, vectors, err)) worst = INFINITY;
    for (size_t i = 0; i < p->pair_count && isfinite(worst); i++) {
        const qv__published_pair *pair = &p->pairs[i];
        double found = cosine(vectors[pair->query].values, vectors[pair->document].values, vectors[0].dimensions);
        worst = fmax(worst, fabs(found - pair->value));
    }
    for (size_t i = 0; i < p->value_count && isfinite(worst); i++)
        worst = fmax(worst, fabs((double)vectors[0].values[i] - (double)p->values[i]));
    qv_embedding_clear(vectors, p->text_count);
    return worst;
}

static double compare_scores(qv_model *model, const qv__published *p, qv_error *err) {
    double worst = 0;
    for (size_t i = 0; i < p->pair_count && isfinite(worst); i++) {
        const qv__published_pair *pair = &p->pairs[i];
        qv_part query = text_part(p->texts[pair->query]), document = text_part(p->texts[pair->document]);
        qv_input q = {.parts = &query, .part_count = 1, .instruction = p->instruction};
        qv_input d = {.parts = &document, .part_count = 1};
        qv_score score;
        if (qv_model_rerank(model, &q, &d, 1, &score, err)) return INFINITY;
        worst = fmax(worst, fabs((double)score.score - pair->value));
    }
    return worst;
}

static bool is_seed_zero(const char *load_format) {
    return load_format && (!strcmp(load_format, "dummy") || !strcmp(load_format, "dummy:0"));
}

static void check_published(verify *v) {
    qv_model *model = NULL;
    qv_error err = {0};
    if (open_tier(v, NULL, &model, &err)) {
        tell(v, false, "%s", err.message);
        return;
    }
    bool dummy = qv__checkpoint_is_dummy(model->checkpoint);
    const qv__published *p = qv__published_find(model->task, qv__checkpoint_config(model->checkpoint), dummy);
    if (!p || (dummy && !is_seed_zero(v->load_format)))
        printf("-     no answers were published for a model of this shape\n");
    else {
        double worst = p->task == QV_TASK_RERANK ? compare_scores(model, p, &err) : compare_vectors(model, p, &err);
        double allowed = model->int8 ? fmax(p->tolerance, INT8_TOLERANCE) : p->tolerance;
        if (isfinite(worst))
            tell(v, worst <= allowed, "%s: largest difference %.2g, allowed %.2g%s", p->name, worst, allowed,
                 worst <= allowed || dummy ? "" : " (are these the published weights, untuned?)");
        else
            tell(v, false, "%s: %s", p->name, err.message);
    }
    qv_model_close(&model);
}

/* ---- another server ---- */

enum { ANSWER_S = 120 };

static int run_against(verify *v) {
    qv_model *model = NULL;
    qv_error err = {0};
    bool agrees = false;
    qv__remote_options remote = {v->against, v->against_model, v->against_key, ANSWER_S};
    if (!remote.api_key) remote.api_key = getenv("QVEC_AGAINST_API_KEY");
    if (open_tier(v, NULL, &model, &err)) return qv__complain("%s", err.message), QV__EXIT_MODEL;
    qv_prompt prompt = v->prompt && !strcmp(v->prompt, "official") ? QV_PROMPT_OFFICIAL : QV_PROMPT_RAW;
    qv_status status = model->task == QV_TASK_RERANK ? qv__against_scores(model, &remote, &agrees, &err)
                                                     : qv__against_vectors(model, &remote, prompt, &agrees, &err);
    qv_model_close(&model);
    if (status) qv__complain("%s", err.message);
    return status || !agrees ? QV__EXIT_FAILED : QV__EXIT_DONE;
}

/* ---- the command ---- */

static int run(verify *v) {
    if (!qv__model_flags_folder(&v->model, &v->folder, &v->load_format)) return QV__EXIT_MODEL;
    if (v->against) return run_against(v);
    qv__checkpoint *c = NULL;
    qv_error err = {0};
    qv__checkpoint_options options = {.load_format = v->load_format, .threads = (int)v->model.threads};
    if (qv__checkpoint_open(v->folder, &options, &c, &err)) return qv__complain("%s", err.message), QV__EXIT_MODEL;
    tell(v, true, "%s opens: %s model", v->folder, qv__checkpoint_task(c) == QV_TASK_RERANK ? "rerank" : "embedding");
    check_tensors(v, c);
    check_finite(v, c);
    qv__checkpoint_close(&c);
    if (!v->failures) check_tiers(v);
    if (!v->failures) check_published(v);
    return v->failures ? QV__EXIT_FAILED : QV__EXIT_DONE;
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
    };
    verify v = {.model = qv__model_flags_default()};
    qv__option_set sets[] = {
        {"Model", qv__model_rows, QV__MODEL_ROWS, &v.model},
        {"Model", rows, sizeof rows / sizeof *rows, &v.model},
        {"Another server", others, sizeof others / sizeof *others, &v},
    };
    qv__usage usage = {
        .name = "verify",
        .summary = "proof that an install works: files, weights, kernels, published answers",
        .examples = "  qvec verify                                      the built-in model\n"
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
    qv__free(v.folder);
    return status;
}
