/* The recipes, as text: pictures and clips are written as their tokens' names, the whole is tokenised in one pass
 * (so that merges across seams come out right), and then each pad token is expanded to its run's length. A pad that
 * came out of the user's own text would be taken for a picture; the count tells, and it is refused. */
#include "prep/prompt.h"

#include <stdio.h>
#include <string.h>
#include <utf8proc.h>

#include "base/error.h"
#include "base/utf8.h"

#define EMBED_INSTRUCTION "Represent the user's input."
#define RERANK_INSTRUCTION "Given a search query, retrieve relevant candidates that answer the query."
#define RERANK_SYSTEM                                                                                                  \
    "Judge whether the Document meets the requirements based on the Query and the Instruct provided. Note that the "   \
    "answer can only be \"yes\" or \"no\"."

enum { EMBED_LENGTH = 8192, RERANK_LENGTH = 10240, RERANK_TAIL = 5 };

typedef struct {
    const qv__tokenizer *t;
    const qv__config *config;
    const qv__prompt_options *options;
    qv__arena *arena;
    qv__buffer text;
    qv__ids ids;
    qv__vision_run *runs; /* [run_count], in the order of their pads */
    int run_count, run_capacity;
    qv_error *err;
} builder;

static qv_status no_memory(const builder *b) {
    return qv__fail(b->err, QV_NO_MEMORY, "out of memory for the prompt");
}

static void begin(builder *b, const qv__prompt_options *options) {
    b->options = options;
    b->text = (qv__buffer){0};
    b->ids = (qv__ids){0};
}

static void end(builder *b) {
    qv__buffer_clear(&b->text);
    qv__ids_clear(&b->ids);
}

static int64_t tokens_of(const builder *b, const qv__vision_run *run) {
    return qv__vision_tokens(&b->config->vision, run->height, run->width);
}

/* ---- writing the text ---- */

static qv_status put_token(builder *b, int32_t id) {
    size_t size;
    const char *name = qv__tokenizer_bytes(b->t, id, &size);
    if (!name)
        return qv__fail(b->err, QV_BAD_CHECKPOINT, "the vision token %d of config.json is not in the tokenizer", id);
    qv__buffer_append(&b->text, name, size);
    return QV_OK;
}

/* "1.5", rounded as Python's format does; printf may write another decimal point in some locales. */
static void put_seconds(builder *b, double seconds) {
    char number[400];
    snprintf(number, sizeof number, "%.1f", seconds);
    for (char *p = number; *p; p++)
        if ((*p < '0' || *p > '9') && *p != '-') *p = '.';
    qv__buffer_puts(&b->text, "<");
    qv__buffer_puts(&b->text, number);
    qv__buffer_puts(&b->text, " seconds>");
}

static qv_status put_visual(builder *b, const qv__visual *v) {
    if (!b->config->has_vision) return qv__fail(b->err, QV_UNSUPPORTED, "this model takes no pictures and no videos");
    for (int i = 0; i < v->run_count; i++) {
        if (v->video) put_seconds(b, v->seconds[i]);
        qv_status status = put_token(b, b->config->vision_start_token);
        if (!status) status = put_token(b, v->video ? b->config->video_token : b->config->image_token);
        if (!status) status = put_token(b, b->config->vision_end_token);
        if (status) return status;
        b->runs[b->run_count++] = v->runs[i];
    }
    return QV_OK;
}

static qv_status put_text(builder *b, const char *text, size_t size, const char *what, size_t number) {
    size_t bad = qv__utf8_valid_prefix(text, size);
    if (bad != size)
        return number ? qv__fail(b->err, QV_INVALID_UTF8, "%s %zu is not valid UTF-8 at byte %zu", what, number, bad)
                      : qv__fail(b->err, QV_INVALID_UTF8, "%s is not valid UTF-8 at byte %zu", what, bad);
    qv__buffer_append(&b->text, text, size);
    return QV_OK;
}

/* Room for the runs of these parts too. */
static qv_status reserve_runs(builder *b, const qv__prompt_part *parts, size_t count) {
    int64_t n = b->run_capacity;
    for (size_t i = 0; i < count; i++)
        if (!parts[i].text && parts[i].visual) n += parts[i].visual->run_count;
    if (n > 1 << 24) return qv__fail(b->err, QV_TOO_LARGE, "more than 16777216 pictures and frame pairs");
    if (n == b->run_capacity) return QV_OK;
    qv__vision_run *runs = qv__arena_alloc(b->arena, (size_t)n, sizeof *runs);
    if (!runs) return no_memory(b);
    if (b->run_count) memcpy(runs, b->runs, (size_t)b->run_count * sizeof *runs);
    b->runs = runs;
    b->run_capacity = (int)n;
    return QV_OK;
}

typedef enum { VIDEOS, IMAGES, TEXTS, ANY } kind;

static kind kind_of(const qv__prompt_part *p) {
    return p->text || !p->visual ? TEXTS : p->visual->video ? VIDEOS : IMAGES;
}

static qv_status put_kind(builder *b, const qv__prompt_part *parts, size_t count, kind wanted, const char *what) {
    for (size_t i = 0; i < count; i++) {
        if (wanted != ANY && kind_of(&parts[i]) != wanted) continue;
        qv_status status = kind_of(&parts[i]) == TEXTS ? put_text(b, parts[i].text ? parts[i].text : "",
                                                                  parts[i].text ? parts[i].size : 0, what, i + 1)
                                                       : put_visual(b, parts[i].visual);
        if (status) return status;
    }
    return QV_OK;
}

/* Videos, pictures, texts, nothing between them; no parts at all are the text NULL. */
static qv_status put_content(builder *b, const qv__prompt_part *parts, size_t count, const char *what) {
    qv_status status = reserve_runs(b, parts, count);
    if (count == 0) qv__buffer_puts(&b->text, "NULL");
    for (kind k = VIDEOS; k <= TEXTS && !status; k++) status = put_kind(b, parts, count, k, what);
    return status;
}

/* ---- the instruction ---- */

/* Python's str.isspace. */
static bool is_strippable(uint32_t c) {
    if (c < 0x80) return c == ' ' || (c >= 0x09 && c <= 0x0D) || (c >= 0x1C && c <= 0x1F);
    return c == 0x85 || c == 0xA0 || c == 0x1680 || (c >= 0x2000 && c <= 0x200A) || c == 0x2028 || c == 0x2029 ||
           c == 0x202F || c == 0x205F || c == 0x3000;
}

/* Strips, as Python's str.strip; *last gets the last character, 0 when nothing is left. text: valid UTF-8. */
static void strip(const char **text, size_t *size, uint32_t *last) {
    const char *start = *text, *stop = *text + *size, *first_kept = NULL, *last_kept = *text;
    *last = 0;
    for (size_t n; start < stop; start += n) {
        uint32_t c = qv__utf8_decode(start, (size_t)(stop - start), &n);
        if (is_strippable(c)) continue;
        if (!first_kept) first_kept = start;
        last_kept = start + n;
        *last = c;
    }
    if (!first_kept) first_kept = last_kept;
    *text = first_kept;
    *size = (size_t)(last_kept - first_kept);
}

static bool is_punctuation(uint32_t c) {
    utf8proc_category_t k = utf8proc_category((utf8proc_int32_t)c);
    return k >= UTF8PROC_CATEGORY_PC && k <= UTF8PROC_CATEGORY_PO;
}

/* Embedding: stripped, and closed by a full stop when no punctuation ends it. Reranking: as given. */
static qv_status put_instruction(builder *b, const char *otherwise, bool finish) {
    const char *given = b->options->instruction ? b->options->instruction : "", *text = given;
    size_t given_size = strlen(given), size = given_size;
    uint32_t last;
    size_t bad = qv__utf8_valid_prefix(given, given_size);
    if (bad != given_size)
        return qv__fail(b->err, QV_INVALID_UTF8, "the instruction is not valid UTF-8 at byte %zu", bad);
    strip(&text, &size, &last);
    if (size == 0)
        qv__buffer_puts(&b->text, otherwise);
    else if (!finish)
        qv__buffer_append(&b->text, given, given_size);
    else {
        qv__buffer_append(&b->text, text, size);
        if (!is_punctuation(last)) qv__buffer_puts(&b->text, ".");
    }
    return QV_OK;
}

/* ---- tokenising and expanding ---- */

static bool is_pad(const builder *b, int32_t id) {
    return b->config->has_vision && (id == b->config->image_token || id == b->config->video_token);
}

/* Pads of the text must be ours, unless raw text is taken literally. */
static qv_status check_pads(const builder *b, bool literal) {
    int64_t pads = 0;
    if (literal && b->run_count == 0) return QV_OK;
    for (size_t i = 0; i < b->ids.size; i++) pads += is_pad(b, b->ids.data[i]);
    if (pads == b->run_count) return QV_OK;
    size_t image, video;
    const char *image_name = qv__tokenizer_bytes(b->t, b->config->image_token, &image);
    const char *video_name = qv__tokenizer_bytes(b->t, b->config->video_token, &video);
    return qv__fail(b->err, QV_INVALID_ARGUMENT, "the text holds %.*s or %.*s, which stand for pictures and frames",
                    (int)image, image_name ? image_name : "", (int)video, video_name ? video_name : "");
}

/* Length after expansion; sets first_token of every run. */
static int64_t place_runs(builder *b) {
    int64_t n = 0;
    int run = 0;
    for (size_t i = 0; i < b->ids.size; i++) {
        bool pad = run < b->run_count && is_pad(b, b->ids.data[i]);
        if (pad && n <= INT32_MAX) b->runs[run].first_token = (int32_t)n;
        n += pad ? tokens_of(b, &b->runs[run++]) : 1;
    }
    return n;
}

static qv_status expand(builder *b, int64_t length, int32_t **out) {
    if (length > INT32_MAX / 8)
        return qv__fail(b->err, QV_TOO_LONG, "the prompt has %lld tokens; %d can be counted", (long long)length,
                        INT32_MAX / 8);
    int32_t *ids = qv__arena_alloc(b->arena, (size_t)length, sizeof *ids);
    if (!ids) return no_memory(b);
    int32_t *to = ids;
    int run = 0;
    for (size_t i = 0; i < b->ids.size; i++) {
        bool pad = run < b->run_count && is_pad(b, b->ids.data[i]);
        for (int64_t n = pad ? tokens_of(b, &b->runs[run++]) : 1; n > 0; n--) *to++ = b->ids.data[i];
    }
    *out = ids;
    return QV_OK;
}

static qv_status tokenize(builder *b, bool literal, qv__sequence *out) {
    if (b->text.failed) return no_memory(b);
    const char *text = b->text.data ? b->text.data : "";
    qv_status status = qv__tokenizer_encode(b->t, text, b->text.size, false, 0, &b->ids, b->err);
    if (status || (status = check_pads(b, literal))) return status;
    int64_t length = place_runs(b);
    if ((status = expand(b, length, &out->ids))) return status;
    out->length = (int32_t)length;
    out->runs = b->runs;
    out->run_count = b->run_count;
    return QV_OK;
}

/* ---- cutting and finishing ---- */

/* Keeps the first max_length - suffix tokens and puts the suffix behind, as the reference's tokenizer does. */
static qv_status cut_right(builder *b, qv__sequence *s, int64_t max_length, const int32_t *suffix, int64_t suffix_count,
                           qv__prompt_facts *facts) {
    facts->untruncated = s->length + suffix_count;
    if (max_length && max_length < suffix_count)
        return qv__fail(b->err, QV_INVALID_ARGUMENT, "max_length is %lld, the end alone takes %lld tokens",
                        (long long)max_length, (long long)suffix_count);
    if (max_length && facts->untruncated > max_length) {
        int64_t keep = max_length - suffix_count;
        const qv__vision_run *last = s->run_count ? &s->runs[s->run_count - 1] : NULL;
        int64_t need = last ? last->first_token + tokens_of(b, last) : 0;
        if (keep < need)
            return qv__fail(
                b->err, QV_TOO_LONG,
                "the prompt has %lld tokens; cutting it to %lld would cut into a picture or video, which ends %lld "
                "tokens behind the cut",
                (long long)facts->untruncated, (long long)max_length, (long long)(need - keep));
        s->length = (int32_t)keep;
    }
    int32_t *ids = qv__arena_alloc(b->arena, (size_t)(s->length + suffix_count), sizeof *ids);
    if (!ids) return no_memory(b);
    if (s->length) memcpy(ids, s->ids, (size_t)s->length * sizeof *ids);
    if (suffix_count) memcpy(ids + s->length, suffix, (size_t)suffix_count * sizeof *ids);
    s->ids = ids;
    s->length += (int32_t)suffix_count;
    return QV_OK;
}

static bool is_kept(const builder *b, int32_t id) {
    return is_pad(b, id) || qv__tokenizer_is_special(b->t, id);
}

/* The reference counts max_length without the last 5 tokens; of the rest it keeps all special tokens (vision pads are)
 * and the first others that still fit. */
static void cut_middle(builder *b, qv__sequence *s, int64_t max_length) {
    int32_t head = s->length - RERANK_TAIL, kept = 0;
    if (head <= max_length) return;
    int64_t room = max_length;
    int run = 0;
    for (int32_t i = 0; i < head; i++) room -= is_kept(b, s->ids[i]);
    for (int32_t i = 0; i < s->length; i++) {
        if (i < head && !is_kept(b, s->ids[i]) && room-- <= 0) continue;
        if (run < s->run_count && s->runs[run].first_token == i) s->runs[run++].first_token = kept;
        s->ids[kept++] = s->ids[i];
    }
    s->length = kept;
}

static qv_status finish(builder *b, qv__sequence *s, const qv__prompt_facts *facts) {
    int64_t limit = b->options->max_model_len;
    if (s->length == 0) return qv__fail(b->err, QV_INVALID_ARGUMENT, "the input has no tokens");
    if (limit && s->length > limit)
        return qv__fail(b->err, QV_TOO_LONG, "the prompt has %d tokens, %lld over the %lld that this model takes",
                        s->length, (long long)(s->length - limit), (long long)limit);
    for (int32_t i = 0; i < s->length; i++)
        if (s->ids[i] < 0 || s->ids[i] >= b->config->text.vocab)
            return qv__fail(b->err, QV_INVALID_ARGUMENT, "token %d has the id %d; ids go from 0 to %d", i, s->ids[i],
                            b->config->text.vocab - 1);
    s->positions = qv__arena_alloc(b->arena, 3 * (size_t)s->length, sizeof *s->positions);
    if (!s->positions) return no_memory(b);
    qv__positions(b->config, s->ids, s->length, s->runs, s->run_count, s->positions);
    return QV_OK;
}

static qv_status check_options(const qv__prompt_options *o, qv_error *err) {
    if (o->max_length < 0) return qv__fail(err, QV_INVALID_ARGUMENT, "max_length is negative");
    if (o->no_special_tokens && o->prompt != QV_PROMPT_RAW)
        return qv__fail(err, QV_INVALID_ARGUMENT, "leaving out the special tokens needs the raw prompt");
    return QV_OK;
}

/* ---- the recipes ---- */

static qv_status write_embed(builder *b, const qv__prompt_part *parts, size_t count) {
    if (b->options->prompt == QV_PROMPT_RAW) {
        qv_status status = reserve_runs(b, parts, count);
        return status ? status : put_kind(b, parts, count, ANY, "part");
    }
    qv__buffer_puts(&b->text, "<|im_start|>system\n");
    qv_status status = put_instruction(b, EMBED_INSTRUCTION, true);
    qv__buffer_puts(&b->text, "<|im_end|>\n<|im_start|>user\n");
    if (!status) status = put_content(b, parts, count, "part");
    qv__buffer_puts(&b->text, "<|im_end|>\n<|im_start|>assistant\n");
    return status;
}

qv_status qv__prompt_embed(const qv__tokenizer *t, const qv__config *config, const qv__prompt_part *parts, size_t count,
                           const qv__prompt_options *options, qv__arena *arena, qv__sequence *out,
                           qv__prompt_facts *facts, qv_error *err) {
    *out = (qv__sequence){0};
    *facts = (qv__prompt_facts){0};
    qv_status status = check_options(options, err);
    if (status) return status;
    bool raw = options->prompt == QV_PROMPT_RAW;
    builder b = {.t = t, .config = config, .arena = arena, .err = err};
    begin(&b, options);
    status = write_embed(&b, parts, count);
    if (!status) status = tokenize(&b, raw, out);
    const int32_t *suffix;
    size_t suffix_count = qv__tokenizer_suffix(t, &suffix);
    if (options->no_special_tokens) suffix_count = 0;
    int64_t max_length = options->max_length ? options->max_length : raw ? 0 : EMBED_LENGTH;
    if (!status) status = cut_right(&b, out, max_length, suffix, (int64_t)suffix_count, facts);
    if (!status) status = finish(&b, out, facts);
    end(&b);
    return status;
}

static qv_status write_rerank(builder *b, const qv__prompt_part *query, size_t query_count,
                              const qv__prompt_part *document, size_t document_count) {
    qv__buffer_puts(&b->text, "<|im_start|>system\n" RERANK_SYSTEM "<|im_end|>\n<|im_start|>user\n<Instruct>: ");
    qv_status status = put_instruction(b, RERANK_INSTRUCTION, false);
    qv__buffer_puts(&b->text, "<Query>:");
    if (!status) status = put_content(b, query, query_count, "query part");
    qv__buffer_puts(&b->text, "\n<Document>:");
    if (!status) status = put_content(b, document, document_count, "document part");
    qv__buffer_puts(&b->text, "<|im_end|>\n<|im_start|>assistant\n");
    return status;
}

qv_status qv__prompt_rerank(const qv__tokenizer *t, const qv__config *config, const qv__prompt_part *query,
                            size_t query_count, const qv__prompt_part *document, size_t document_count,
                            const qv__prompt_options *options, qv__arena *arena, qv__sequence *out,
                            qv__prompt_facts *facts, qv_error *err) {
    *out = (qv__sequence){0};
    *facts = (qv__prompt_facts){0};
    if (options->max_length < 0) return qv__fail(err, QV_INVALID_ARGUMENT, "max_length is negative");
    builder b = {.t = t, .config = config, .arena = arena, .err = err};
    begin(&b, options);
    qv_status status = write_rerank(&b, query, query_count, document, document_count);
    if (!status) status = tokenize(&b, false, out);
    if (!status) {
        facts->untruncated = out->length;
        cut_middle(&b, out, options->max_length ? options->max_length : RERANK_LENGTH);
        status = finish(&b, out, facts);
    }
    end(&b);
    return status;
}

qv_status qv__prompt_tokens(const qv__tokenizer *t, const qv__config *config, const int32_t *ids, size_t count,
                            const qv__prompt_options *options, qv__arena *arena, qv__sequence *out,
                            qv__prompt_facts *facts, qv_error *err) {
    *out = (qv__sequence){0};
    *facts = (qv__prompt_facts){0};
    if (options->max_length < 0) return qv__fail(err, QV_INVALID_ARGUMENT, "max_length is negative");
    if (count > INT32_MAX / 8) return qv__fail(err, QV_TOO_LONG, "%zu tokens; %d can be counted", count, INT32_MAX / 8);
    builder b = {.t = t, .config = config, .arena = arena, .err = err};
    begin(&b, options);
    out->ids = (int32_t *)ids;
    out->length = (int32_t)count;
    qv_status status = cut_right(&b, out, options->max_length, NULL, 0, facts);
    return status ? status : finish(&b, out, facts);
}
