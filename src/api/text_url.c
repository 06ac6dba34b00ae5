#include "api/text_url.h"

#include <string.h>
#include <strings.h>

static bool starts(const char *text, size_t size, const char *head) {
    size_t n = strlen(head);
    return size > n && strncasecmp(text, head, n) == 0;
}

static bool blank(char c) {
    return c == ' ' || c == '\t' || c == '\n' || c == '\r';
}

/* data:image/png;base64,… : a type, then anything, then a comma within the first 200 characters */
static bool is_data_url(const char *text, size_t size) {
    if (!starts(text, size, "data:")) return false;
    size_t head = size < 200 ? size : 200;
    const char *comma = memchr(text, ',', head);
    for (const char *p = text + 5; comma && p < comma; p++)
        if (blank(*p)) return false;
    return comma && (memchr(text, '/', (size_t)(comma - text)) || memchr(text, ';', (size_t)(comma - text)));
}

bool qv__text_is_url(const char *text, size_t size) {
    while (size && blank(text[0])) text++, size--;
    while (size && blank(text[size - 1])) size--;
    if (is_data_url(text, size)) return true;
    if (!starts(text, size, "http://") && !starts(text, size, "https://") && !starts(text, size, "file://"))
        return false;
    for (size_t i = 0; i < size; i++)
        if (blank(text[i])) return false;
    return true;
}

qv_status qv__refuse_url(qv__refusal *r, const char *name, const char *prefix) {
    return qv__refuse_field(r, name,
                            "%s%s is a URL: the model would read its characters, not the picture or page behind it. "
                            "Send pictures as typed inputs ({\"image\": data URL}, or image_url in messages), or put "
                            "the URL into a sentence to have it read as text.",
                            prefix, name);
}
