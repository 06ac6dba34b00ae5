#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "cli/command.h"
#include "cli/console.h"
#include "cli/options.h"

static const struct {
    const char *name, *summary;
    int (*run)(int argc, char **argv);
} commands[] = {
    {"serve", "the model behind HTTP", qv__command_serve},
    {"embed", "vectors of texts, pictures and videos", qv__command_embed},
    {"rerank", "scores of documents for a query", qv__command_rerank},
    {"tokenize", "token ids of texts and prompts", qv__command_tokenize},
    {"info", "what a model is and needs, without opening its weights", qv__command_info},
    {"quantize", "a folder with matrices as 8-bit codes: 0.6 of the memory, faster", qv__command_quantize},
    {"verify", "proof that an install works", qv__command_verify},
    {"bench", "how fast a server or a model is", qv__command_bench},
};

enum { COMMANDS = sizeof commands / sizeof *commands };

static void print_help(void) {
    printf("qvec %s: Qwen3-VL-Embedding and Qwen3-VL-Reranker, exact and fast\n\n"
           "  qvec embed --text \"A woman playing with her dog\"\n"
           "  qvec rerank --query \"What is the capital of China?\" --document Beijing --document Paris\n"
           "  qvec serve Qwen/Qwen3-VL-Embedding-2B --port 8000\n\n"
           "Commands (qvec COMMAND --help tells more):\n",
           QVEC_VERSION);
    for (size_t i = 0; i < COMMANDS; i++) printf("  %-10s %s\n", commands[i].name, commands[i].summary);
    printf(
        "\nMODEL is a checkpoint folder, or an org/name from the hub caches; without one, a small model that comes along.\n"
        "Results go to stdout, everything else to stderr. Exit status: 0 all done; 1 some items failed; 2 wrong "
        "usage;\n"
        "3 the model could not be opened; 130 interrupted.\n");
}

static int complain_unknown(const char *name) {
    const char *near = NULL;
    int best = 3;
    for (size_t i = 0; i < COMMANDS; i++) {
        int d = qv__edit_distance(name, strlen(name), commands[i].name, strlen(commands[i].name), best - 1);
        if (d < best) best = d, near = commands[i].name;
    }
    if (near)
        qv__complain("there is no command %.80s; did you mean %s?", name, near);
    else
        qv__complain("there is no command %.80s; qvec help lists them all", name);
    return QV__EXIT_USAGE;
}

static int run(const char *name, int argc, char **argv) {
    for (size_t i = 0; i < COMMANDS; i++) {
        if (strcmp(name, commands[i].name)) continue;
        qv__console_set_command(commands[i].name);
        return commands[i].run(argc, argv);
    }
    return complain_unknown(name);
}

static int dispatch(int argc, char **argv) {
    static char help[] = "--help";
    if (argc < 2) return print_help(), QV__EXIT_USAGE;
    const char *name = argv[1];
    if (!strcmp(name, "--version") || !strcmp(name, "-V") || !strcmp(name, "version"))
        return printf("qvec %s\n", QVEC_VERSION), QV__EXIT_DONE;
    bool asked = !strcmp(name, "--help") || !strcmp(name, "-h") || !strcmp(name, "help");
    if (asked && argc > 3) return run(argv[2], 2, (char *[]){argv[3], help, NULL}); /* help bench latency */
    if (asked && argc > 2) return run(argv[2], 1, (char *[]){help, NULL});
    if (asked) return print_help(), QV__EXIT_DONE;
    return run(name, argc - 2, argv + 2);
}

int main(int argc, char **argv) {
    signal(SIGPIPE, SIG_DFL); /* `qvec ... | head` ends quietly, also below a parent that ignores the signal */
    int status = dispatch(argc, argv);
    if (fflush(stdout) && status == QV__EXIT_DONE) {
        qv__complain("writing to stdout failed");
        status = QV__EXIT_FAILED;
    }
    return status;
}
