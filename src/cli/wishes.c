#include "cli/wishes.h"

#include <stddef.h>
#include <string.h>

#include "base/hash.h"
#include "base/number.h"
#include "cli/console.h"

#define AT(field) offsetof(qv__wish_flags, field)

const qv__option qv__wish_rows[QV__WISH_ROWS] = {
    QV__ROW("instruction", TEXT, AT(instruction), "S", "Instruction of the prompt. Default: the model's own."),
    QV__ROW("max-length", COUNT, AT(max_length), "N", "Cut prompts to N tokens. Default: the models' own limit.",
            .min = 1, .max = 1 << 30),
    QV__ROW("min-pixels", COUNT, AT(min_pixels), "N", "Enlarge smaller pictures. Default: 4096.", .min = 1,
            .max = INT32_MAX),
    QV__ROW("max-pixels", COUNT, AT(max_pixels), "N", "Shrink larger pictures. Default: 1843200.", .min = 1,
            .max = INT32_MAX),
    QV__ROW("apply-orientation", SWITCH, AT(apply_orientation), NULL,
            "Turn pictures as their EXIF orientation says; the reference does not. Default: no."),
    QV__ROW("fps", NUMBER, AT(fps), "X", "Frames taken per second of video. Default: 1.", .min = 0, .max = 1000),
    QV__ROW("max-frames", INT, AT(max_frames), "N", "Most frames of a video. Default: 64.", .min = 1, .max = 100000),
    QV__ROW("echo", TEXT, AT(echo), "WHAT", "Add to answers: ids, frames, or ids,frames."),
};

bool qv__wishes_check(qv__wish_flags *wishes) {
    for (const char *at = wishes->echo; at;) {
        size_t size = strcspn(at, ",");
        if (size == 3 && !strncmp(at, "ids", 3))
            wishes->echo_ids = true;
        else if (size == 6 && !strncmp(at, "frames", 6))
            wishes->echo_frames = true;
        else {
            qv__complain("--echo takes ids, frames, or ids,frames, not %.80s", wishes->echo);
            return false;
        }
        at = at[size] ? at + size + 1 : NULL;
    }
    return true;
}

void qv__wishes_apply(const qv__wish_flags *wishes, qv_input *input) {
    input->instruction = wishes->instruction;
    input->max_length = wishes->max_length;
    input->min_pixels = wishes->min_pixels;
    input->max_pixels = wishes->max_pixels;
    input->apply_orientation = wishes->apply_orientation;
    input->fps = wishes->fps;
    input->max_frames = (int)wishes->max_frames;
}

void qv__write_frames(const qv__item *item, const qv__config *config, qv__buffer *out) {
    const qv__sequence *s = &item->sequence;
    qv__buffer_puts(out, "[");
    for (int i = 0; i < s->run_count; i++) {
        const qv__vision_run *run = &s->runs[i];
        int frames = s->ids[run->first_token] == config->video_token ? 2 : 1; /* a picture stands in both places */
        for (int k = 0; k < frames; k++) {
            char hex[65];
            qv__sha256_hex(run->frame[k], (size_t)run->height * (size_t)run->width * 3, hex);
            qv__buffer_printf(out, "%s[%d,%d,\"%s\"]", i || k ? "," : "", run->height, run->width, hex);
        }
    }
    qv__buffer_puts(out, "]");
}

void qv__write_float(float value, qv__buffer *out) {
    char text[QV__FLOAT_TEXT_MAX];
    qv__buffer_append(out, text, qv__float_shortest(value, text));
}
