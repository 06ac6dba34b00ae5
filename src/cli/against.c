#include "cli/against.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

#include "base/error.h"
#include "base/memory.h"
#include "cli/recipe.h"

/* Cosines above SAME are of the same recipe and precision; from CLOSE on, of the same recipe in fewer bits (bf16 stays
 * above 0.999, 8 bits above 0.99); below, some other recipe explains the vectors better or none does. */
#define SAME 0.99999
#define CLOSE 0.99
/* A recipe is named as the cause when it fits this much better than the one that was meant. */
#define BETTER 0.001

/* Languages, scripts, code, case, white space; all short, because a recipe may take a pass for each token. */
static const char *const probes[] = {
    "What is the capital of China?",
    "The capital of China is Beijing.",
    "Explain gravity",
    "Gravity is a force that attracts two bodies towards each other.",
    "Die größten Straßen führen über die Brücke.",
    "北京是中国的首都。",
    "القاهرة هي عاصمة مصر",
    "🐶 on a beach 🏖️, 3 photos",
    "for (int i = 0; i < n; i++) sum += x[i];",
    "THE QUICK BROWN FOX",
    "  white space around \n",
    "a",
};
enum { PROBES = sizeof probes / sizeof *probes, LONG_SENTENCES = 60, SHOWN = 44 };

typedef struct {
    qv_model *model;
    qv__remote remote;
    qv_prompt prompt;
    size_t size, columns;                  /* values of a full vector; of the server's */
    float *theirs[PROBES];                 /* [columns], NULL: the server refused the probe */
    float *ours[QV__RECIPE_COUNT][PROBES]; /* [size], NULL: not computed yet */
    int answered;
    double longest, shortest; /* lengths of their vectors */
    bool whole_numbers;
    bool agrees;
} comparison;

static void say(comparison *c, bool ok, const char *text) {
    printf("%-5s %s\n", ok ? "ok" : "FAIL", text);
    c->agrees &= ok;
}

static double cosine(const float *a, const float *b, size_t size) {
    double ab = 0, aa = 0, bb = 0;
    for (size_t i = 0; i < size; i++) {
        ab += (double)a[i] * (double)b[i];
        aa += (double)a[i] * (double)a[i];
        bb += (double)b[i] * (double)b[i];
    }
    return aa > 0 && bb > 0 ? ab / sqrt(aa * bb) : 0;
}

/* ---- what they say ---- */

static json_t *request_of(const char *const *texts, size_t count) {
    json_t *list = json_array();
    for (size_t i = 0; i < count; i++) json_array_append_new(list, json_string(texts[i]));
    return json_pack("{s:o}", "input", list);
}

static void look_at(comparison *c, const float *values) {
    double squares = 0;
    bool whole = true;
    for (size_t k = 0; k < c->columns; k++) {
        squares += (double)values[k] * (double)values[k];
        whole &= values[k] == rintf(values[k]);
    }
    double length = sqrt(squares);
    c->longest = c->answered ? fmax(c->longest, length) : length;
    c->shortest = c->answered ? fmin(c->shortest, length) : length;
    c->whole_numbers = (c->whole_numbers || !c->answered) && whole;
}

/* Each probe in a request of its own: a server that refuses one still answers the others. */
static qv_status ask_probes(comparison *c, qv_error *err) {
    qv_error first = {0};
    for (int i = 0; i < PROBES; i++) {
        qv__matrix m;
        qv_error own = {0};
        if (qv__remote_embed(&c->remote, request_of(&probes[i], 1), &m, &own)) {
            if (!first.code) first = own;
            continue;
        }
        if (!c->answered) c->columns = m.columns;
        if (m.rows != 1 || m.columns != c->columns) {
            qv__matrix_clear(&m);
            return qv__fail(err, QV_INVALID_JSON, "the answers are not one vector each, all of one size");
        }
        c->theirs[i] = m.values;
        look_at(c, m.values);
        c->answered++;
    }
    if (c->answered) return QV_OK;
    *err = first;
    return first.code;
}

/* All probes in one request: the rows must be those of the single requests, in their order. */
static void check_batch(comparison *c) {
    const char *texts[PROBES];
    int number[PROBES], count = 0, moved = -1;
    double lowest = 1;
    char line[300];
    qv__matrix m;
    qv_error err = {0};
    for (int i = 0; i < PROBES; i++)
        if (c->theirs[i]) texts[count] = probes[i], number[count++] = i;
    if (count < 2) return;
    if (qv__remote_embed(&c->remote, request_of(texts, (size_t)count), &m, &err)) {
        printf("-     a request of %d texts was refused: %s\n", count, err.message);
        return;
    }
    for (int i = 0; i < count && m.rows == (size_t)count && m.columns == c->columns; i++) {
        const float *row = m.values + (size_t)i * m.columns;
        double own = cosine(row, c->theirs[number[i]], m.columns);
        lowest = fmin(lowest, own);
        for (int j = 0; j < count && moved < 0; j++)
            if (j != i && cosine(row, c->theirs[number[j]], m.columns) > fmax(own, SAME)) moved = i;
    }
    if (m.rows != (size_t)count || m.columns != c->columns)
        snprintf(line, sizeof line, "a request of %d texts was answered with %zu vectors of %zu values", count, m.rows,
                 m.columns);
    else if (moved >= 0)
        snprintf(line, sizeof line, "the vectors of one request come in another order: that of text %d is another's",
                 moved + 1);
    else if (lowest < CLOSE)
        snprintf(line, sizeof line, "%d texts in one request give other vectors than each alone: lowest cosine %.7f",
                 count, lowest);
    else
        snprintf(line, sizeof line, "%d texts in one request give the vectors of each alone: lowest cosine %.7f", count,
                 lowest);
    say(c, m.rows == (size_t)count && m.columns == c->columns && moved < 0 && lowest >= CLOSE, line);
    qv__matrix_clear(&m);
}

/* ---- what we say ---- */

/* Ours of one probe, computed at its first use. NULL: it cannot be computed. */
static const float *ours(comparison *c, qv__recipe r, int probe) {
    float **slot = &c->ours[r][probe];
    if (*slot) return *slot;
    float *out = qv__alloc_array(c->size, sizeof *out);
    if (!out || qv__recipe_embed(c->model, r, probes[probe], out, NULL)) {
        qv__free(out);
        return NULL;
    }
    return *slot = out;
}

/* Lowest cosine over the probes that were answered. */
static double fit(comparison *c, qv__recipe r) {
    double lowest = 1;
    size_t size = c->columns < c->size ? c->columns : c->size;
    for (int i = 0; i < PROBES; i++) {
        if (!c->theirs[i]) continue;
        const float *own = ours(c, r, i);
        lowest = fmin(lowest, own ? cosine(own, c->theirs[i], size) : -1);
    }
    return lowest;
}

static void print_table(comparison *c) {
    size_t size = c->columns < c->size ? c->columns : c->size;
    printf("\n%-*s  %10s  %10s\n", SHOWN, "cosine with ours", "raw", "official");
    for (int i = 0; i < PROBES; i++) {
        char text[4 * SHOWN];
        size_t n = 0, width = 0;
        for (const char *p = probes[i]; *p && n + 4 < sizeof text && width < SHOWN; p++) {
            width += (*p & 0xC0) != 0x80;
            text[n++] = *p == '\n' ? ' ' : *p;
        }
        text[n] = 0;
        if (!c->theirs[i]) {
            printf("%s%*s  refused\n", text, (int)(SHOWN - width), "");
            continue;
        }
        const float *raw = ours(c, QV__RECIPE_RAW, i), *official = ours(c, QV__RECIPE_OFFICIAL, i);
        printf("%s%*s  %10.7f  %10.7f\n", text, (int)(SHOWN - width), "", raw ? cosine(raw, c->theirs[i], size) : NAN,
               official ? cosine(official, c->theirs[i], size) : NAN);
    }
    printf("\n");
}

/* ---- the verdict ---- */

static void judge_form(comparison *c) {
    char line[300];
    if (c->columns > c->size) {
        snprintf(line, sizeof line, "vectors of %zu values, this model's have %zu: it is another model", c->columns,
                 c->size);
        say(c, false, line);
        return;
    }
    if (c->columns < c->size) {
        snprintf(line, sizeof line,
                 "vectors are cut to %zu of %zu values: ask qvec for \"dimensions\": %zu to go on with them",
                 c->columns, c->size, c->columns);
        say(c, false, line);
    }
    if (c->whole_numbers)
        say(c, false, "vectors are whole numbers: they have been quantised, ask both servers for float");
    else if (c->longest > 1.01 || c->shortest < 0.99) {
        snprintf(line, sizeof line, "vectors are not of unit length (%.4g to %.4g): they were not normalised",
                 c->shortest, c->longest);
        say(c, false, line);
    }
}

static void judge_recipe(comparison *c) {
    qv__recipe meant = c->prompt == QV_PROMPT_RAW ? QV__RECIPE_RAW : QV__RECIPE_OFFICIAL, best = meant;
    double own = fit(c, meant), highest = own;
    char line[500];
    for (int r = 0; r < QV__RECIPE_COUNT && own < SAME; r++) {
        double f = fit(c, (qv__recipe)r);
        if (f > highest + BETTER) best = (qv__recipe)r, highest = f;
    }
    if (best != meant && highest >= CLOSE) {
        snprintf(line, sizeof line, "vectors are those of %s (lowest cosine %.7f), not of %s (%.7f). %s",
                 qv__recipe_name(best), highest, qv__recipe_name(meant), own, qv__recipe_remedy(best));
        say(c, false, line);
    } else if (own >= SAME) {
        snprintf(line, sizeof line, "same vectors: lowest cosine %.7f, %s", own, qv__recipe_name(meant));
        say(c, true, line);
    } else if (own >= CLOSE) {
        snprintf(line, sizeof line,
                 "same recipe, fewer bits: lowest cosine %.7f. bf16 stays above 0.999, 8 bits above 0.99", own);
        say(c, true, line);
    } else {
        snprintf(line, sizeof line,
                 "no recipe gives these vectors (nearest: %s, lowest cosine %.4f): other weights, another model, or an "
                 "instruction "
                 "of the server's own",
                 qv__recipe_name(best), highest);
        say(c, false, line);
    }
}

/* A text of about a thousand tokens, no sentence like another. */
static char *long_text(void) {
    qv__buffer text = {0};
    for (int i = 1; i <= LONG_SENTENCES; i++)
        qv__buffer_printf(&text, "In chapter %d the traveller counts %d ships and %d birds over the bay. ", i,
                          7 * i % 50, 11 * i % 90);
    qv__buffer_append(&text, "", 1);
    if (text.failed) qv__buffer_clear(&text);
    return text.data;
}

/* After how many tokens the server cuts; 0: none of the usual lengths fits. */
static int64_t cut_of(comparison *c, const char *text, const float *theirs, float *scratch) {
    static const int64_t lengths[] = {64, 128, 256, 384, 512, 1024};
    for (size_t i = 0; i < sizeof lengths / sizeof *lengths; i++)
        for (int with_end = 1; with_end >= 0; with_end--)
            if (!qv__recipe_embed_cut(c->model, text, lengths[i], with_end, scratch, NULL) &&
                cosine(scratch, theirs, c->columns) >= CLOSE)
                return lengths[i];
    return 0;
}

/* Only where short texts agree: otherwise the recipe is the news. */
static void judge_long(comparison *c) {
    qv__recipe meant = c->prompt == QV_PROMPT_RAW ? QV__RECIPE_RAW : QV__RECIPE_OFFICIAL;
    char *text = long_text(), line[300];
    float *own = qv__alloc_array(c->size, sizeof *own);
    qv__matrix m = {0};
    qv_error err = {0};
    if (text && own && !qv__recipe_embed(c->model, meant, text, own, &err) &&
        !qv__remote_embed(&c->remote, request_of((const char *const *)&text, 1), &m, &err) && m.columns == c->columns) {
        double found = cosine(own, m.values, c->columns);
        int64_t cut = found < CLOSE ? cut_of(c, text, m.values, own) : 0;
        if (found >= CLOSE)
            snprintf(line, sizeof line, "a long text too: cosine %.7f", found);
        else if (cut)
            snprintf(line, sizeof line, "long texts are cut after %lld tokens without a word", (long long)cut);
        else
            snprintf(line, sizeof line, "a long text differs: cosine %.7f; it may be cut, or cut into pieces", found);
        say(c, found >= CLOSE, line);
    } else
        printf("-     a long text was not compared: %s\n", err.message);
    qv__matrix_clear(&m);
    qv__free(own);
    qv__free(text);
}

static void clear(comparison *c) {
    for (int i = 0; i < PROBES; i++) {
        qv__free(c->theirs[i]);
        for (int r = 0; r < QV__RECIPE_COUNT; r++) qv__free(c->ours[r][i]);
    }
    qv__remote_close(&c->remote);
    qv__free(c);
}

qv_status qv__against_vectors(qv_model *model, const qv__remote_options *options, qv_prompt prompt, bool *agrees,
                              qv_error *err) {
    qv_model_facts facts;
    comparison *c = qv__calloc(1, sizeof *c);
    *agrees = false;
    if (!c) return qv__fail(err, QV_NO_MEMORY, "out of memory for a comparison");
    qv_model_get_facts(model, &facts);
    c->model = model;
    c->prompt = prompt;
    c->size = (size_t)facts.embedding_size;
    c->agrees = true;
    qv_status status = qv__remote_open(options, "embeddings", &c->remote, err);
    if (!status) status = ask_probes(c, err);
    if (!status) {
        printf("against %s%s%s: %d of %d probes answered, %zu values\n", c->remote.route,
               c->remote.model ? ", model " : "", c->remote.model ? c->remote.model : "", c->answered, PROBES,
               c->columns);
        if (c->columns <= c->size) print_table(c);
        judge_form(c);
        if (c->columns <= c->size) judge_recipe(c);
        check_batch(c);
        if (c->agrees) judge_long(c);
        *agrees = c->agrees;
    }
    clear(c);
    return status;
}

/* ---- rerankers ---- */

static const char *const queries[] = {"What is the capital of China?", "Explain gravity"};
static const char *const documents[] = {"The capital of China is Beijing.",
                                        "Gravity is a force that attracts two bodies towards each other.",
                                        "Paris ist die Hauptstadt von Frankreich.", "a"};
enum { QUERIES = 2, DOCUMENTS = 4 };

static qv_status score_ours(qv_model *model, const char *query, qv_score scores[DOCUMENTS], qv_error *err) {
    qv_part parts[DOCUMENTS + 1];
    qv_input inputs[DOCUMENTS + 1] = {0};
    for (int i = 0; i <= DOCUMENTS; i++) {
        const char *text = i ? documents[i - 1] : query;
        parts[i] = (qv_part){QV_PART_TEXT, text, strlen(text)};
        inputs[i] = (qv_input){.parts = &parts[i], .part_count = 1};
    }
    return qv_model_rerank(model, &inputs[0], &inputs[1], DOCUMENTS, scores, err);
}

static void print_heading(const qv__remote *remote) {
    printf("against %s%s%s\n\n%-32s  %-40s  %8s  %8s\n", remote->route, remote->model ? ", model " : "",
           remote->model ? remote->model : "", "query", "document", "ours", "theirs");
}

qv_status qv__against_scores(qv_model *model, const qv__remote_options *options, bool *agrees, qv_error *err) {
    qv__remote remote;
    double worst = 0, worst_logit = 0;
    *agrees = false;
    qv_status status = qv__remote_open(options, "rerank", &remote, err);
    for (int q = 0; q < QUERIES && !status; q++) {
        qv_score own[DOCUMENTS];
        double theirs[DOCUMENTS];
        status = score_ours(model, queries[q], own, err);
        if (!status) status = qv__remote_rerank(&remote, queries[q], documents, DOCUMENTS, theirs, err);
        if (!status && q == 0) print_heading(&remote);
        for (int i = 0; i < DOCUMENTS && !status; i++) {
            printf("%-32s  %-40.40s  %8.5f  %8.5f\n", queries[q], documents[i], (double)own[i].score, theirs[i]);
            worst = fmax(worst, fabs((double)own[i].score - theirs[i]));
            worst_logit = fmax(worst_logit, fabs((double)own[i].logit - theirs[i]));
        }
    }
    qv__remote_close(&remote);
    if (status) return status;
    *agrees = worst <= 0.02;
    if (*agrees)
        printf("\nok    same scores: largest difference %.2g%s\n", worst, worst > 1e-4 ? " (fewer bits)" : "");
    else if (worst_logit <= 0.1)
        printf("\nFAIL  scores are logits, before the sigmoid (largest difference %.2g)\n", worst_logit);
    else
        printf("\nFAIL  other scores: largest difference %.3g. The published template is an instruction, the query and "
               "the document "
               "between chat turns; a server that sends the bare pair gives other numbers\n",
               worst);
    return QV_OK;
}
