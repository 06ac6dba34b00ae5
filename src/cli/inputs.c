#include "cli/inputs.h"

#include <stddef.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "api/write.h"
#include "base/error.h"
#include "base/utf8.h"
#include "cli/console.h"

#define AT(field) offsetof(qv__input_flags, field)

const qv__option qv__text_rows[QV__TEXT_ROWS] = {
    QV__ROW("text", TEXTS, AT(parts), "S", "A text; each use is an item of its own.", .tag = QV__WORD_TEXT),
};

const qv__option qv__media_rows[QV__MEDIA_ROWS] = {
    QV__ROW("image", TEXTS, AT(parts), "FILE", "A picture: JPEG, PNG, WebP, GIF, BMP, TIFF, or a data: URL.",
            .tag = QV__WORD_IMAGE),
    QV__ROW("video", TEXTS, AT(parts), "FILE", "A video, or a data: URL.", .tag = QV__WORD_VIDEO),
    QV__ROW("together", SWITCH, AT(together), NULL, "All texts, pictures and videos given make one item."),
    QV__ROW("media-root", TEXT, AT(media_root), "DIR",
            "Folder that file names are relative to and must lie in; no symbolic link is followed there. Default: the "
            "input file's folder, and files "
            "anywhere."),
};

const qv__option qv__lines_rows[QV__LINES_ROWS] = {
    QV__ROW("shard", FRACTION, AT(shard), "I/N", "Take every N-th line, from line I on (counted from 0).",
            .max = 1 << 20),
};

/* ---- arguments ---- */

static bool ends_with(const char *text, const char *end) {
    size_t n = strlen(text), m = strlen(end);
    return n > m && !strcmp(text + n - m, end);
}

static bool is_file(const char *argument) {
    struct stat facts;
    if (!strcmp(argument, "-")) return true;
    if (!stat(argument, &facts)) return !S_ISDIR(facts.st_mode);
    return ends_with(argument, ".jsonl") || ends_with(argument, ".ndjson") || ends_with(argument, ".json");
}

bool qv__take_positionals(const qv__words *words, qv__model_flags *model, qv__input_flags *inputs) {
    for (size_t i = 0; i < words->count; i++) {
        const char *argument = words->items[i].text;
        bool file = i > 0 || is_file(argument);
        if (file && inputs->file) {
            qv__complain("%.200s: there is one input file already, %.200s", argument, inputs->file);
            return false;
        }
        if (!file && model->model) {
            qv__complain("the model is given twice: --model %.200s and %.200s", model->model, argument);
            return false;
        }
        *(file ? &inputs->file : &model->model) = argument;
    }
    return true;
}

bool qv__inputs_check(qv__input_flags *inputs) {
    bool flags = inputs->parts.count || inputs->given.size;
    if (inputs->file && flags) {
        qv__complain("items come from flags or from %.200s, not from both", inputs->file);
        return false;
    }
    if (!inputs->file && !flags) {
        if (isatty(STDIN_FILENO)) {
            qv__complain("there is nothing to do: give a FILE.jsonl, lines on stdin, or flags (--help shows examples)");
            return false;
        }
        inputs->file = "-";
    }
    return true;
}

void qv__inputs_clear(qv__input_flags *inputs) {
    qv__words_clear(&inputs->parts);
    qv__buffer_clear(&inputs->given);
}

bool qv__inputs_folder(const qv__input_flags *inputs, char **folder) {
    const char *slash = inputs->file ? strrchr(inputs->file, '/') : NULL;
    *folder = NULL;
    if (inputs->media_root)
        *folder = qv__strdup(inputs->media_root);
    else if (slash)
        *folder = slash == inputs->file ? qv__strdup("/") : qv__strndup(inputs->file, (size_t)(slash - inputs->file));
    else
        return true;
    if (!*folder) qv__complain("out of memory");
    return *folder != NULL;
}

/* ---- items from flags: lines as a file would have them ---- */

static const char *const member_names[] = {"text", "image", "video"}; /* by tag */

static void write_single(const qv__word *word, qv__buffer *out) {
    qv__buffer_printf(out, "{\"%s\":", member_names[word->tag]);
    qv__write_string(out, word->text, strlen(word->text));
    qv__buffer_puts(out, "}");
}

static qv_status check_utf8(const qv__words *words, qv_error *err) {
    for (size_t i = 0; i < words->count; i++) {
        const char *text = words->items[i].text;
        size_t bad = qv__utf8_valid_prefix(text, strlen(text));
        if (text[bad])
            return qv__fail(err, QV_INVALID_UTF8, "--%s %zu is not valid UTF-8 at byte %zu",
                            member_names[words->items[i].tag], i + 1, bad);
    }
    return QV_OK;
}

/* {"text":[...],"image":[...],"video":"..."}; a list under video would be the frames of one. */
qv_status qv__write_together(const qv__words *words, qv__buffer *out, qv_error *err) {
    bool first = true;
    qv_status status = check_utf8(words, err);
    if (status) return status;
    qv__buffer_puts(out, "{");
    for (int tag = QV__WORD_TEXT; tag <= QV__WORD_VIDEO; tag++) {
        size_t count = 0;
        bool list = tag != QV__WORD_VIDEO;
        for (size_t i = 0; i < words->count; i++) {
            if (words->items[i].tag != tag) continue;
            if (count && !list) return qv__fail(err, QV_INVALID_ARGUMENT, "one video fits into an item");
            if (count)
                qv__buffer_puts(out, ",");
            else
                qv__buffer_printf(out, "%s\"%s\":%s", first ? "" : ",", member_names[tag], list ? "[" : "");
            first = false;
            qv__write_string(out, words->items[i].text, strlen(words->items[i].text));
            count++;
        }
        if (count && list) qv__buffer_puts(out, "]");
    }
    qv__buffer_puts(out, "}");
    return QV_OK;
}

static qv_status give_parts(const qv__input_flags *inputs, qv__lines *lines, qv_error *err) {
    qv__buffer line = {0};
    qv_status status = check_utf8(&inputs->parts, err);
    for (size_t i = 0; i < inputs->parts.count && !status && !inputs->together; i++) {
        write_single(&inputs->parts.items[i], &line);
        status = line.failed ? QV_NO_MEMORY : qv__lines_give(lines, line.data, line.size, err);
        line.size = 0;
    }
    if (!status && inputs->together) {
        status = qv__write_together(&inputs->parts, &line, err);
        if (!status) status = line.failed ? QV_NO_MEMORY : qv__lines_give(lines, line.data, line.size, err);
    }
    qv__buffer_clear(&line);
    return status == QV_NO_MEMORY ? qv__fail(err, status, "out of memory for the items") : status;
}

qv_status qv__inputs_open(const qv__input_flags *inputs, qv__lines *lines, qv_error *err) {
    *lines = (qv__lines){.fd = -1, .name = "the flags", .shard = inputs->shard};
    if (inputs->file) return qv__lines_open(lines, inputs->file, err);
    if (inputs->given.size) return qv__lines_give(lines, inputs->given.data, inputs->given.size, err);
    return give_parts(inputs, lines, err);
}

void qv__write_ids(const int32_t *ids, size_t count, qv__buffer *out) {
    qv__buffer_puts(out, "[");
    for (size_t i = 0; i < count; i++) qv__buffer_printf(out, i ? ",%d" : "%d", ids[i]);
    qv__buffer_puts(out, "]");
}
