/* qvec info: what a model is and needs. Reads config.json, tokenizer files and the headers of the weights only. */
#include <dirent.h>
#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "base/memory.h"
#include "base/threads.h"
#include "cli/command.h"
#include "cli/console.h"
#include "cli/model_flags.h"
#include "kernels/tier.h"
#include "lib/session.h"
#include "store/checkpoint.h"
#include "store/file.h"
#include "store/quantized.h"

enum { DTYPES = QV__DTYPE_COUNT, DEFAULT_LENGTH = 32768, DEFAULT_BATCH = 2048 };
enum { PROGRAM_BYTES = 48 << 20 }; /* code, libraries, tokenizer, threads: as measured, much the same for every model */

typedef struct {
    qv__model_flags model;
    bool json;
} info;

typedef struct {
    const char *folder;
    const qv__config *config;
    bool dummy;
    bool int8, coded; /* matrices are computed with as 8-bit codes; the files have them so already */
    qv_task task;
    size_t tensors;
    int64_t parameters, bytes[DTYPES]; /* by qv__dtype */
    int64_t loaded, made;              /* bytes of the weights that are computed with; of those that lie in no file */
    int64_t max_model_len, max_batched_tokens, image_cache, prefix_cache;
    int64_t text_memory, workspace; /* of texts alone; of everything that is not a cache */
    int threads;
    const char *tier, *best_tier;
} facts;

static const qv__option rows[] = {
    QV__ROW("json", SWITCH, offsetof(info, json), NULL, "Print one JSON object."),
};

/* ---- gathering ---- */

static bool is_scale(const char *name) {
    size_t n = strlen(name), end = strlen(".weight_scale"); /* as long as ".weight_input" */
    return n > end && (!strcmp(name + n - end, ".weight_scale") || !strcmp(name + n - end, ".weight_input"));
}

/* `loaded` counts what is made of the tensor while the model is opened. */
static void count_weights(const qv__checkpoint *c, facts *f) {
    f->tensors = qv__checkpoint_count(c);
    for (size_t i = 0; i < f->tensors; i++) {
        const qv__tensor *t = qv__checkpoint_at(c, i);
        int64_t bytes = (int64_t)t->bytes;
        if (!f->coded || !is_scale(t->name)) f->parameters += bytes / (int64_t)qv__dtype_size(t->dtype);
        f->bytes[t->dtype] += bytes;
        if (f->int8 && !f->coded && t->rank == 2 && qv__quantized_name(t->name)) {
            bytes = qv__int8_bytes(t->shape[0], t->shape[1]);
            bytes += bytes / QV__INT8_GROUP * (int64_t)sizeof(float);
            f->made += bytes;
        }
        f->loaded += bytes;
    }
}

static int64_t or_default(int64_t value, int64_t fallback) {
    return value > 0 ? value : fallback;
}

static int64_t least(int64_t a, int64_t b) {
    return a < b ? a : b;
}

static int64_t with_program(size_t bytes) {
    return bytes > INT64_MAX - PROGRAM_BYTES ? INT64_MAX : PROGRAM_BYTES + (int64_t)bytes;
}

static qv_status gather(const info *o, const qv__checkpoint *c, facts *f, qv_error *err) {
    const qv__model_flags *m = &o->model;
    *f = (facts){.folder = qv__checkpoint_folder(c), .config = qv__checkpoint_config(c)};
    f->dummy = qv__checkpoint_is_dummy(c);
    f->task = qv__checkpoint_task(c);
    if (m->task && strcmp(m->task, "auto")) f->task = strcmp(m->task, "rerank") ? QV_TASK_EMBED : QV_TASK_RERANK;
    f->coded = f->config->quantized;
    f->int8 = f->coded || (m->quantization && !strcmp(m->quantization, "int8"));
    count_weights(c, f);
    f->max_model_len = or_default(m->max_model_len, least(f->config->text.max_positions, DEFAULT_LENGTH));
    f->max_batched_tokens = or_default(m->max_batched_tokens, DEFAULT_BATCH);
    f->image_cache = m->image_cache < 0 ? 256 << 20 : m->image_cache;
    f->prefix_cache = m->prefix_cache < 0 ? 512 << 20 : m->prefix_cache;
    f->threads = m->threads ? (int)m->threads : qv__cpu_count();
    int64_t longest = f->max_batched_tokens > f->max_model_len ? f->max_batched_tokens : f->max_model_len;
    qv__network_options options = {.max_tokens = longest,
                                   .nested_tokens = least(longest, QV__NESTED_TOKENS),
                                   .score_head = f->task == QV_TASK_RERANK};
    f->workspace = with_program(qv__network_bytes(f->config, &options));
    f->text_memory = with_program(qv__network_text_bytes(f->config, &options));
    qv__tier tier;
    qv_status status = qv__tier_parse(m->cpu_tier, &tier, err);
    if (status) return status;
    f->tier = f->int8 ? qv__tier_name8(tier) : qv__tier_name(tier);
    f->best_tier = f->int8 ? qv__tier_name8(qv__tier_best()) : qv__tier_name(qv__tier_best());
    return QV_OK;
}

static const char *task_name(const facts *f) {
    return f->task == QV_TASK_RERANK ? "rerank" : "embed";
}

static const char *instruction(const facts *f) {
    return f->task == QV_TASK_RERANK ? "Given a search query, retrieve relevant candidates that answer the query."
                                     : "Represent the user's input.";
}

/* ---- files ---- */

typedef struct {
    char name[256];
    int64_t bytes;
} weight_file;

static int by_name(const void *a, const void *b) {
    return strcmp(((const weight_file *)a)->name, ((const weight_file *)b)->name);
}

/* The folder's *.safetensors, sorted, at most `max`. */
static size_t list_files(const char *folder, weight_file *files, size_t max) {
    DIR *directory = opendir(folder);
    size_t count = 0;
    for (struct dirent *e; directory && count < max && (e = readdir(directory));) {
        size_t n = strlen(e->d_name), end = strlen(".safetensors");
        if (n <= end || strcmp(e->d_name + n - end, ".safetensors")) continue;
        char *path = qv__path_join(folder, e->d_name);
        struct stat facts_of_file;
        if (path && !stat(path, &facts_of_file)) {
            qv__text_print(files[count].name, sizeof files[count].name, "%s", e->d_name);
            files[count++].bytes = facts_of_file.st_size;
        }
        qv__free(path);
    }
    if (directory) closedir(directory);
    qsort(files, count, sizeof *files, by_name);
    return count;
}

enum { FILES_MAX = 128 };

/* ---- as text ---- */

static const char *bytes_text(int64_t bytes, char out[32]) {
    static const char *const units[] = {"B", "KiB", "MiB", "GiB", "TiB"};
    double value = (double)bytes;
    int unit = 0;
    while (value >= 1024 && unit < 4) value /= 1024, unit++;
    qv__text_print(out, 32, unit ? "%.2f %s" : "%.0f %s", value, units[unit]);
    return out;
}

static void print_shapes(const facts *f) {
    const qv__text_config *t = &f->config->text;
    const qv__vision_config *v = &f->config->vision;
    printf("decoder        %d layers, hidden %d, mlp %d, %d heads and %d key-value heads of %d, vocabulary %d, %s\n",
           t->layers, t->hidden, t->intermediate, t->heads, t->kv_heads, t->head_dim, t->vocab,
           f->config->tie_embeddings ? "embeddings tied" : "own lm_head");
    if (!f->config->has_vision) {
        printf("vision         none: text only\n");
        return;
    }
    printf("vision         %d blocks, hidden %d, mlp %d, %d heads, patch %d, merge %d, deepstack after block", v->depth,
           v->hidden, v->intermediate, v->heads, v->patch, v->merge);
    for (int i = 0; i < v->deepstack_count; i++) printf("%s %d", i ? "," : "", v->deepstack[i]);
    putchar('\n');
}

static void print_weights(const facts *f) {
    char size[32];
    printf("weights        %lld parameters in %zu tensors", (long long)f->parameters, f->tensors);
    for (int d = 0; d < DTYPES; d++)
        if (f->bytes[d]) printf(", %s %s", qv__dtype_name((qv__dtype)d), bytes_text(f->bytes[d], size));
    printf("%s\n", f->dummy ? ", made by rule (dummy)" : "");
    if (f->int8)
        printf("quantization   int8, groups of %d: 8-bit codes%s, but for embeddings, norms, biases and first layers\n",
               QV__INT8_GROUP, f->coded ? "" : " made while the model is opened");
    if (f->dummy) return;
    weight_file *files = qv__calloc(FILES_MAX, sizeof *files);
    size_t count = files ? list_files(f->folder, files, FILES_MAX) : 0;
    for (size_t i = 0; i < count; i++)
        printf("               %s %s\n", files[i].name, bytes_text(files[i].bytes, size));
    qv__free(files);
}

static void print_memory(const facts *f) {
    char a[32], b[32], c[32], d[32];
    int64_t total = f->workspace + f->image_cache + f->prefix_cache;
    printf("memory         %s with texts alone, for --max-model-len %lld and --max-num-batched-tokens %lld\n",
           bytes_text(f->text_memory, a), (long long)f->max_model_len, (long long)f->max_batched_tokens);
    printf("               up to %s with pictures, and short inputs computed while a long one pauses\n"
           "               + image cache up to %s + prefix cache up to %s = %s\n",
           bytes_text(f->workspace, a), bytes_text(f->image_cache, b), bytes_text(f->prefix_cache, c),
           bytes_text(total, d));
    const char *where = f->dummy  ? "made in memory"
                        : f->made ? "of which some are made in memory; the rest is mapped"
                                  : "mapped: in the page cache, shared between processes";
    printf("               + weights %s, %s\n", bytes_text(f->loaded, a), where);
}

static void print_text(const facts *f) {
    printf("model          %s\n", f->folder);
    printf("task           %s\n", task_name(f));
    print_shapes(f);
    print_weights(f);
    if (f->task == QV_TASK_EMBED) printf("vector         %d values\n", f->config->text.hidden);
    printf("longest input  %lld tokens (the model's own limit: %lld)\n", (long long)f->max_model_len,
           (long long)f->config->text.max_positions);
    printf("prompt         official by default, instruction \"%s\", cut at %d tokens\n", instruction(f),
           f->task == QV_TASK_RERANK ? 10240 : 8192);
    printf("pictures       resized to between 4096 and 1843200 pixels; videos: 1 frame a second, at most 64\n");
    print_memory(f);
    printf("cpu            %s kernels (this machine's best: %s), %d threads\n", f->tier, f->best_tier, f->threads);
}

/* ---- as JSON ---- */

static json_t *files_json(const facts *f) {
    json_t *list = json_array();
    weight_file *files = f->dummy ? NULL : qv__calloc(FILES_MAX, sizeof *files);
    size_t count = files ? list_files(f->folder, files, FILES_MAX) : 0;
    for (size_t i = 0; i < count; i++)
        json_array_append_new(list,
                              json_pack("{s:s, s:I}", "name", files[i].name, "bytes", (json_int_t)files[i].bytes));
    qv__free(files);
    return list;
}

static json_t *vision_json(const facts *f) {
    const qv__vision_config *v = &f->config->vision;
    if (!f->config->has_vision) return json_null();
    json_t *deepstack = json_array();
    for (int i = 0; i < v->deepstack_count; i++) json_array_append_new(deepstack, json_integer(v->deepstack[i]));
    return json_pack("{s:i, s:i, s:i, s:i, s:i, s:i, s:o}", "depth", v->depth, "hidden", v->hidden, "intermediate",
                     v->intermediate, "heads", v->heads, "patch", v->patch, "merge", v->merge, "deepstack", deepstack);
}

static json_t *text_json(const facts *f) {
    const qv__text_config *t = &f->config->text;
    return json_pack("{s:i, s:i, s:i, s:i, s:i, s:i, s:i, s:b}", "layers", t->layers, "hidden", t->hidden,
                     "intermediate", t->intermediate, "heads", t->heads, "kv_heads", t->kv_heads, "head_dim",
                     t->head_dim, "vocab", t->vocab, "tie_embeddings", f->config->tie_embeddings);
}

static json_t *weights_json(const facts *f) {
    json_t *dtypes = json_object();
    for (int d = 0; d < DTYPES; d++)
        if (f->bytes[d]) json_object_set_new(dtypes, qv__dtype_name((qv__dtype)d), json_integer(f->bytes[d]));
    return json_pack("{s:b, s:I, s:I, s:I, s:s, s:o, s:o}", "dummy", f->dummy, "parameters", (json_int_t)f->parameters,
                     "tensors", (json_int_t)f->tensors, "bytes", (json_int_t)f->loaded, "quantization",
                     f->int8 ? "int8" : "none", "dtypes", dtypes, "files", files_json(f));
}

static json_t *memory_json(const facts *f) {
    return json_pack("{s:I, s:I, s:I, s:I, s:I}", "text", (json_int_t)f->text_memory, "workspace",
                     (json_int_t)f->workspace, "image_cache", (json_int_t)f->image_cache, "prefix_cache",
                     (json_int_t)f->prefix_cache, "weights", (json_int_t)f->loaded);
}

static bool print_json(const facts *f) {
    json_t *o = json_pack("{s:s, s:s, s:o, s:o, s:o, s:i, s:I, s:I, s:I, s:{s:s, s:s}, s:o, s:{s:s, s:s, s:i}}",
                          "folder", f->folder, "task", task_name(f), "text", text_json(f), "vision", vision_json(f),
                          "weights", weights_json(f), "embedding_size", f->config->text.hidden, "max_model_len",
                          (json_int_t)f->max_model_len, "max_positions", (json_int_t)f->config->text.max_positions,
                          "max_num_batched_tokens", (json_int_t)f->max_batched_tokens, "prompt", "default", "official",
                          "instruction", instruction(f), "memory", memory_json(f), "cpu", "tier", f->tier, "best_tier",
                          f->best_tier, "threads", f->threads);
    char *text = o ? json_dumps(o, JSON_INDENT(1)) : NULL;
    if (text)
        puts(text);
    else
        qv__complain("out of memory");
    free(text); /* jansson's */
    json_decref(o);
    return text != NULL;
}

/* ---- the command ---- */

static int run(const info *o) {
    char *folder;
    qv__checkpoint_options options = {.headers_only = true, .load_format = o->model.load_format};
    if (!qv__model_flags_folder(&o->model, QV_TASK_EMBED, &folder)) return QV__EXIT_MODEL;
    qv__checkpoint *c = NULL;
    qv_error err = {0};
    facts f;
    qv_status status = qv__checkpoint_open(folder, &options, &c, &err);
    qv__free(folder);
    if (!status) status = gather(o, c, &f, &err);
    if (status)
        qv__complain("%s", err.message);
    else if (!o->json)
        print_text(&f);
    else if (!print_json(&f))
        status = QV_NO_MEMORY;
    qv__checkpoint_close(&c);
    return status ? QV__EXIT_MODEL : QV__EXIT_DONE;
}

int qv__command_info(int argc, char **argv) {
    info o = {.model = qv__model_flags_default()};
    qv__option_set sets[] = {
        {"Output", rows, sizeof rows / sizeof *rows, &o},
        {"Model", qv__model_rows, QV__MODEL_ROWS, &o.model},
        {"What the memory is told for", qv__compute_rows, QV__COMPUTE_ROWS, &o.model},
    };
    qv__usage usage = {
        .name = "info",
        .summary = "what a model is and needs, without opening its weights",
        .examples = "  qvec info                                        the built-in model\n"
                    "  qvec info Qwen/Qwen3-VL-Embedding-2B             from the hub caches\n"
                    "  qvec info ./model --max-model-len 8k --json      memory at that length, as JSON\n",
        .usage = "[MODEL] [flags]",
        .sets = sets,
        .set_count = sizeof sets / sizeof *sets,
        .max_positionals = 1,
    };
    qv__words words = {0};
    qv__parsed parsed = qv__options_parse(&usage, argc, argv, &words);
    if (words.count) o.model.model = words.items[0].text;
    int status = parsed == QV__PARSED ? run(&o) : parsed == QV__PARSED_HELP ? QV__EXIT_DONE : QV__EXIT_USAGE;
    qv__words_clear(&words);
    return status;
}
