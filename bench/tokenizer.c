/* Opening the tokenizer and encoding mixed text, one thread. The text is that of the golden strings, repeated. */
#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "measure.h"
#include "text/tokenizer.h"

enum { RUNS = 7, QUICK_RUNS = 2, SIZE = 4 << 20, QUICK_SIZE = 1 << 18, WORD = 1 << 20 };

typedef struct {
    const char *folder;
    qv__tokenizer *tokenizer;
    const char *text;
    size_t size;
    qv__ids ids;
} job;

static void open_tokenizer(void *context) {
    job *j = context;
    qv_error err = {0};
    qv__tokenizer_close(&j->tokenizer);
    if (qv__tokenizer_open(j->folder, &j->tokenizer, &err)) bench_fail("%s", err.message);
}

static void encode(void *context) {
    job *j = context;
    qv_error err = {0};
    j->ids.size = 0;
    if (qv__tokenizer_encode(j->tokenizer, j->text, j->size, false, 0, &j->ids, &err)) bench_fail("%s", err.message);
}

static void measure(const bench_options *o, job *j, const char *name, const char *text, size_t size) {
    if (!bench_wants(o, name)) return;
    j->text = text;
    j->size = size;
    bench_times t = bench_time(encode, j, o->quick ? QUICK_RUNS : RUNS);
    printf("%-36s %9.2f ms median %9.2f best %8.2f MB/s %12.0f tokens/s\n", name, t.median, t.best,
           (double)size * 1e-3 / t.median, (double)j->ids.size * 1e3 / t.median);
}

/* `size` bytes or a little more of whole units. *written: how many. */
static char *repeat(const char *const *units, const size_t *sizes, size_t count, size_t size, size_t *written) {
    char *text;
    FILE *f = open_memstream(&text, written);
    if (!f) bench_fail("out of memory");
    for (size_t n = 0, i = 0; n < size; i = (i + 1) % count) n += fwrite(units[i], 1, sizes[i], f);
    fclose(f);
    return text;
}

static void measure_golden(const bench_options *o, job *j, size_t size) {
    json_t *rows = json_load_file(bench_source_path("golden/data/tokenizer.json"), JSON_ALLOW_NUL, NULL);
    size_t count = json_array_size(rows), written;
    const char **units = calloc(count + 1, sizeof *units);
    size_t *sizes = calloc(count + 1, sizeof *sizes);
    if (!rows || !units || !sizes) bench_fail("cannot read the golden strings");
    for (size_t i = 0; i < count; i++) {
        const json_t *s = json_array_get(json_array_get(rows, i), 0);
        units[i] = json_string_value(s);
        sizes[i] = json_string_length(s);
    }
    char *text = repeat(units, sizes, count, size, &written);
    measure(o, j, "mixed scripts", text, written);
    free(text);
    free(units);
    free(sizes);
    json_decref(rows);
}

static void measure_unit(const bench_options *o, job *j, const char *name, const char *unit, size_t size) {
    size_t unit_size = strlen(unit), written;
    char *text = repeat(&unit, &unit_size, 1, size, &written);
    measure(o, j, name, text, written);
    free(text);
}

int main(int argc, char **argv) {
    bench_options o = bench_read_options(argc, argv, "Opening the tokenizer and encoding, one thread.");
    const char *root = getenv("QVEC_TEST_CHECKPOINTS");
    char folder[4096];
    snprintf(folder, sizeof folder, "%s/tiny-embedding", root ? root : "build/tests/checkpoints");
    job j = {.folder = folder};
    bench_times t = bench_time(open_tokenizer, &j, o.quick ? QUICK_RUNS : RUNS);
    printf("%-36s %9.2f ms median %9.2f best\n", "open", t.median, t.best);
    size_t size = o.quick ? QUICK_SIZE : SIZE;
    measure_unit(&o, &j, "English", "The capital of China is Beijing, and it's home to 21 million people. ", size);
    measure_golden(&o, &j, size);
    measure_unit(&o, &j, "one 1 MiB word", "a", WORD);
    qv__ids_clear(&j.ids);
    qv__tokenizer_close(&j.tokenizer);
    return 0;
}
