/* Decodes what its standard input names, for the Python tests. One request a line:
 *
 *     image FILE | upright FILE | video FILE [INDEX ...]
 *
 * One answer each: "ok COUNT FRAMES RATE\n" and COUNT times "HEIGHT WIDTH\n" with the RGB bytes, or
 * "CODE MESSAGE\n". FILE has no spaces. */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "media/media.h"

enum { MAX_INDICES = 4096 };

static void answer(const qv__bitmap *frames, int count, const qv__video_facts *facts) {
    printf("ok %d %" PRId64 " %.17g\n", count, facts->frames, facts->rate);
    for (int i = 0; i < count; i++) {
        printf("%d %d\n", frames[i].height, frames[i].width);
        fwrite(frames[i].rgb, 3, (size_t)frames[i].height * (size_t)frames[i].width, stdout);
    }
}

static qv_status image(const void *bytes, size_t size, bool upright, qv_error *err) {
    qv__bitmap b;
    qv_status status = qv__image_decode(bytes, size, upright, &qv__media_default_limits, &b, err);
    if (status) return status;
    answer(&b, 1, &(qv__video_facts){.frames = 1});
    qv__bitmap_clear(&b);
    return QV_OK;
}

static qv_status video(const void *bytes, size_t size, char *words, qv_error *err) {
    static int64_t indices[MAX_INDICES];
    static qv__bitmap frames[MAX_INDICES];
    int count = 0;
    for (char *w; count < MAX_INDICES && (w = strsep(&words, " "));) indices[count++] = atoll(w);
    qv__video *v = NULL;
    qv__video_facts facts;
    qv_status status = qv__video_open(bytes, size, &qv__media_default_limits, &v, &facts, err);
    if (!status) status = qv__video_read(v, indices, count, frames, err);
    if (!status) {
        answer(frames, count, &facts);
        for (int i = 0; i < count; i++) qv__bitmap_clear(&frames[i]);
    }
    qv__video_close(&v);
    return status;
}

static qv_status serve(char *line, qv_error *err) {
    void *bytes = NULL;
    size_t size = 0;
    const char *kind = strsep(&line, " "), *path = strsep(&line, " ");
    if (!path) return QV_INVALID_ARGUMENT;
    qv_status status = qv__media_load(path, NULL, NULL, &qv__media_default_limits, &bytes, &size, err);
    if (!status)
        status =
            !strcmp(kind, "video") ? video(bytes, size, line, err) : image(bytes, size, !strcmp(kind, "upright"), err);
    free(bytes);
    return status;
}

int main(void) {
    char *line = NULL;
    size_t room = 0;
    for (ssize_t n; (n = getline(&line, &room, stdin)) > 0;) {
        qv_error err = {0};
        if (line[n - 1] == '\n') line[n - 1] = 0;
        if (serve(line, &err)) printf("%s %s\n", qv_status_name(err.code), err.message);
        fflush(stdout);
    }
    free(line);
    return 0;
}
