/* qvec bench latency: how long one call with a batch takes, again and again. */
#include <stddef.h>
#include <stdio.h>

#include "base/clock.h"
#include "bench/stats.h"
#include "cli/bench_work.h"
#include "cli/command.h"
#include "cli/console.h"
#include "cli/progress.h"

typedef struct {
    qv__model_flags model;
    qv__work_flags work_flags;
    int64_t batch_size, iterations, warmups;
    bool no_progress;
    /* measured */
    qv__work work;
    double *seconds; /* [iterations] */
    size_t count;
    int64_t tokens; /* of the counted calls */
} latency;

#define AT(field) offsetof(latency, field)

static const qv__option rows[] = {
    QV__ROW("batch-size", INT, AT(batch_size), "N", "Inputs of a call. Default: 8.", .min = 1, .max = 1 << 20),
    QV__ROW("num-iters", INT, AT(iterations), "N", "Calls that are measured. Default: 30.", .min = 1, .max = 1 << 24),
    QV__ROW("num-iters-warmup", INT, AT(warmups), "N", "Calls before them. Default: 10.", .min = 0, .max = 1 << 24),
    QV__ROW("disable-tqdm", SWITCH, AT(no_progress), NULL, "No progress line on a terminal."),
};

static const double percentiles[] = {10, 25, 50, 75, 90, 99};
enum { PERCENTILES = sizeof percentiles / sizeof *percentiles };

static qv_status measure(latency *l, bool counts, qv_error *err) {
    int64_t tokens;
    qv_status status = qv__work_fill(&l->work, err);
    int64_t start = qv__now_ns();
    if (!status) status = qv__work_run(&l->work, &tokens, err);
    if (status || !counts) return status;
    l->seconds[l->count++] = (double)(qv__now_ns() - start) / 1e9;
    l->tokens += tokens;
    return QV_OK;
}

static qv_status measure_all(latency *l, qv_error *err) {
    qv__progress progress;
    qv_status status = QV_OK;
    qv__complain("%lld calls to warm up, then %lld of %lld inputs each", (long long)l->warmups,
                 (long long)l->iterations, (long long)l->batch_size);
    for (int64_t i = 0; i < l->warmups && !status && !qv__is_interrupted(); i++) status = measure(l, false, err);
    qv__progress_start(&progress, !l->no_progress);
    while (!status && l->count < (size_t)l->iterations && !qv__is_interrupted()) {
        status = measure(l, true, err);
        progress.items = (int64_t)l->count * l->batch_size;
        progress.tokens = l->tokens;
        progress.fraction = (double)l->count / (double)l->iterations;
        qv__progress_tick(&progress);
    }
    qv__progress_clear(&progress);
    return status;
}

static void write_json(const latency *l, double mean, const double *sorted, qv__buffer *json) {
    qv__buffer_printf(json, "{\"avg_latency\": %.9g, \"latencies\": [", mean);
    for (size_t i = 0; i < l->count; i++) qv__buffer_printf(json, "%s%.9g", i ? ", " : "", l->seconds[i]);
    qv__buffer_puts(json, "], \"percentiles\": {");
    for (size_t i = 0; i < PERCENTILES; i++)
        qv__buffer_printf(json, "%s\"%g\": %.9g", i ? ", " : "", percentiles[i],
                          qv__percentile(sorted, l->count, percentiles[i]));
    qv__buffer_printf(json,
                      "}, \"batch_size\": %lld, \"input_len\": %lld, \"total_num_tokens\": %lld, "
                      "\"tokens_per_second\": %.9g}\n",
                      (long long)l->batch_size, (long long)l->work_flags.data.input_len, (long long)l->tokens,
                      (double)l->tokens / (mean * (double)l->count));
}

static bool report(const latency *l) {
    double mean = qv__mean(l->seconds, l->count), *sorted = qv__alloc_array(l->count, sizeof *sorted);
    if (!sorted) return qv__complain("out of memory"), false;
    for (size_t i = 0; i < l->count; i++) sorted[i] = l->seconds[i];
    qv__sort_values(sorted, l->count);
    printf("Avg latency: %.6f seconds\n", mean);
    for (size_t i = 0; i < PERCENTILES; i++)
        printf("%g%% percentile latency: %.6f seconds\n", percentiles[i],
               qv__percentile(sorted, l->count, percentiles[i]));
    printf("Tokens per call: %.1f, %.2f tokens/s\n", (double)l->tokens / (double)l->count,
           (double)l->tokens / (mean * (double)l->count));
    qv__buffer json = {0};
    write_json(l, mean, sorted, &json);
    bool saved = qv__work_save(&l->work_flags, &json);
    qv__buffer_clear(&json);
    qv__free(sorted);
    return saved;
}

static int run(latency *l) {
    qv_error err = {0};
    l->seconds = qv__alloc_array((size_t)l->iterations, sizeof *l->seconds);
    if (!l->seconds) return qv__complain("out of memory"), QV__EXIT_FAILED;
    int opened =
        qv__work_open(&l->work, &l->work_flags, &l->model, (size_t)l->batch_size, (size_t)(l->iterations + l->warmups));
    if (opened) return opened;
    qv__interrupts_note();
    qv_status status = measure_all(l, &err);
    if (status && status != QV_CANCELLED) return qv__complain("%s", err.message), QV__EXIT_FAILED;
    bool reported = !l->count || report(l);
    if (qv__is_interrupted()) {
        qv__complain("interrupted after %zu calls", l->count);
        return QV__EXIT_INTERRUPTED;
    }
    return reported ? QV__EXIT_DONE : QV__EXIT_FAILED;
}

int qv__command_bench_latency(int argc, char **argv) {
    latency l = {.model = qv__model_flags_default(),
                 .work_flags = {.data = qv__data_flags_default(32)},
                 .batch_size = 8,
                 .iterations = 30,
                 .warmups = 10};
    qv__option_set sets[] = {
        {"Calls", rows, sizeof rows / sizeof *rows, &l},
        {"Calls", qv__work_rows, QV__WORK_ROWS, &l.work_flags},
        {"Inputs", qv__data_rows, QV__DATA_ROWS, &l.work_flags.data},
        {"Model", qv__model_rows, QV__MODEL_ROWS, &l.model},
        {"Model", qv__compute_rows, QV__COMPUTE_ROWS, &l.model},
    };
    qv__usage usage = {
        .name = "bench latency",
        .summary = "how long one call with a batch of inputs takes, in process",
        .examples =
            "  qvec bench latency --input-len 200 --batch-size 1\n"
            "  qvec bench latency Qwen/Qwen3-VL-Embedding-2B --batch-size 4 --num-iters 10 --output-json l.json\n",
        .usage = "[MODEL] [flags]",
        .sets = sets,
        .set_count = sizeof sets / sizeof *sets,
        .notes = qv__work_notes,
        .max_positionals = 1,
        .vllm_flags = {qv__compat_serve, qv__compat_generation},
    };
    qv__words words = {0};
    qv__parsed parsed = qv__options_parse(&usage, argc, argv, &words);
    int status = parsed == QV__PARSED_HELP ? QV__EXIT_DONE : QV__EXIT_USAGE;
    if (parsed == QV__PARSED && qv__take_model(&words, &l.model)) status = run(&l);
    qv__words_clear(&words);
    qv__work_close(&l.work);
    qv__free(l.seconds);
    return status;
}
