/* qvec bench: finds the benchmark that is meant. */
#include <stdio.h>
#include <string.h>

#include "cli/command.h"
#include "cli/console.h"

static const struct {
    const char *name, *whole_name, *summary;
    int (*run)(int argc, char **argv);
} benchmarks[] = {
    {"serve", "bench serve", "how a server answers under load, whichever make it is", qv__command_bench_serve},
    {"latency", "bench latency", "how long one call with a batch of inputs takes, in process",
     qv__command_bench_latency},
    {"throughput", "bench throughput", "how many inputs a second, all at once and in process",
     qv__command_bench_throughput},
};

enum { BENCHMARKS = sizeof benchmarks / sizeof *benchmarks };

static void print_help(void) {
    printf("qvec bench: how fast a server or a model is, with the flags of vLLM's benchmarks\n\n");
    for (size_t i = 0; i < BENCHMARKS; i++)
        printf("  qvec bench %-10s %s\n", benchmarks[i].name, benchmarks[i].summary);
    printf("\nqvec bench NAME --help tells more.\n");
}

int qv__command_bench(int argc, char **argv) {
    bool asked = argc && (!strcmp(argv[0], "--help") || !strcmp(argv[0], "-h"));
    if (!argc || asked) return print_help(), asked ? QV__EXIT_DONE : QV__EXIT_USAGE;
    for (size_t i = 0; i < BENCHMARKS; i++) {
        if (strcmp(argv[0], benchmarks[i].name)) continue;
        qv__console_set_command(benchmarks[i].whole_name);
        return benchmarks[i].run(argc - 1, argv + 1);
    }
    qv__complain("there is no benchmark %.80s; qvec bench --help lists them all", argv[0]);
    return QV__EXIT_USAGE;
}
