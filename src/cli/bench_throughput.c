/* qvec bench throughput: all prompts at once, as one call. */
#include <pthread.h>
#include <stdatomic.h>
#include <stddef.h>
#include <stdio.h>
#include <time.h>
#include <unistd.h>

#include "base/clock.h"
#include "cli/bench_work.h"
#include "cli/command.h"
#include "cli/console.h"
#include "cli/progress.h"
#include "lib/session.h"

enum { LOOK_NS = 20000000 };

typedef struct {
    qv__model_flags model;
    qv__work_flags work_flags;
    int64_t prompts;
    bool no_progress;
    /* measured */
    qv__work work;
    atomic_bool over;
    int64_t end_ns, tokens;
    qv_status status;
    qv_error err;
} throughput;

#define AT(field) offsetof(throughput, field)

static const qv__option rows[] = {
    QV__ROW("num-prompts", INT, AT(prompts), "N", "Inputs. Default: 1000.", .min = 1, .max = 1 << 24),
    QV__ROW("disable-tqdm", SWITCH, AT(no_progress), NULL, "No progress line on a terminal."),
};

/* ---- the call, on a thread of its own, and what is seen of it meanwhile ---- */

static void *call(void *context) {
    throughput *t = context;
    t->status = qv__work_run(&t->work, &t->tokens, &t->err);
    t->end_ns = qv__now_ns();
    t->over = true;
    return NULL;
}

static void print_figures(double seconds, int64_t items, int64_t tokens) {
    printf("Throughput: %.2f requests/s, %.2f total tokens/s\n", (double)items / seconds, (double)tokens / seconds);
}

/* The call cannot be stopped; the system takes back what it uses. */
static _Noreturn void leave_early(qv__progress *progress) {
    qv__progress_clear(progress);
    if (progress->items)
        print_figures((double)(qv__now_ns() - progress->start_ns) / 1e9, progress->items, progress->tokens);
    qv__complain("interrupted after %lld of the inputs", (long long)progress->items);
    fflush(stdout);
    _exit(QV__EXIT_INTERRUPTED);
}

static void watch(throughput *t, qv__progress *progress) {
    qv__engine_stats now;
    while (!t->over) {
        nanosleep(&(struct timespec){.tv_nsec = LOOK_NS}, NULL);
        qv__engine_get_stats(t->work.model->engine, &now);
        progress->items = now.finished_items;
        progress->tokens = now.finished_tokens;
        progress->fraction = (double)now.finished_items / (double)t->prompts;
        if (qv__is_interrupted()) leave_early(progress);
        qv__progress_tick(progress);
    }
    qv__progress_clear(progress);
}

static bool report(const throughput *t, double seconds) {
    double requests = (double)t->prompts;
    printf("Elapsed: %.3f s, %lld requests, %lld tokens\n", seconds, (long long)t->prompts, (long long)t->tokens);
    print_figures(seconds, t->prompts, t->tokens);
    qv__buffer json = {0};
    qv__buffer_printf(&json,
                      "{\"elapsed_time\": %.9g, \"num_requests\": %lld, \"total_num_tokens\": %lld, "
                      "\"requests_per_second\": %.9g, \"tokens_per_second\": %.9g}\n",
                      seconds, (long long)t->prompts, (long long)t->tokens, requests / seconds,
                      (double)t->tokens / seconds);
    bool saved = qv__work_save(&t->work_flags, &json);
    qv__buffer_clear(&json);
    return saved;
}

static int run(throughput *t) {
    int opened = qv__work_open(&t->work, &t->work_flags, &t->model, (size_t)t->prompts, 1);
    if (opened) return opened;
    qv__interrupts_note();
    if (qv__work_fill(&t->work, &t->err)) {
        qv__complain("%s", t->err.message);
        return qv__is_interrupted() ? QV__EXIT_INTERRUPTED : QV__EXIT_FAILED;
    }
    qv__complain("computing %lld inputs", (long long)t->prompts);
    qv__progress progress;
    qv__progress_start(&progress, !t->no_progress);
    pthread_t thread;
    int64_t start_ns = qv__now_ns();
    if (pthread_create(&thread, NULL, call, t)) return qv__complain("no thread could be started"), QV__EXIT_FAILED;
    watch(t, &progress);
    pthread_join(thread, NULL);
    if (t->status) return qv__complain("%s", t->err.message), QV__EXIT_FAILED;
    return report(t, (double)(t->end_ns - start_ns) / 1e9) ? QV__EXIT_DONE : QV__EXIT_FAILED;
}

int qv__command_bench_throughput(int argc, char **argv) {
    throughput t = {
        .model = qv__model_flags_default(), .work_flags = {.data = qv__data_flags_default(1024)}, .prompts = 1000};
    qv__option_set sets[] = {
        {"Inputs", rows, sizeof rows / sizeof *rows, &t},
        {"Inputs", qv__data_rows, QV__DATA_ROWS, &t.work_flags.data},
        {"Inputs", qv__work_rows, QV__WORK_ROWS, &t.work_flags},
        {"Model", qv__model_rows, QV__MODEL_ROWS, &t.model},
        {"Model", qv__compute_rows, QV__COMPUTE_ROWS, &t.model},
    };
    qv__usage usage = {
        .name = "bench throughput",
        .summary = "how many inputs a second, all at once and in process",
        .examples = "  qvec bench throughput --num-prompts 200 --input-len 200\n"
                    "  qvec bench throughput Qwen/Qwen3-VL-Reranker-2B --num-prompts 50 --output-json t.json\n",
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
    if (parsed == QV__PARSED && qv__take_model(&words, &t.model)) status = run(&t);
    qv__words_clear(&words);
    qv__work_close(&t.work);
    return status;
}
