/* Files of web/ inside the program; made by tools/embed_files.py at build time. */
#ifndef QVEC_API_FILES_H
#define QVEC_API_FILES_H

#include <stddef.h>

#define QV__FILE(name)                                                                                                 \
    extern const unsigned char qv__file_##name[];                                                                      \
    extern const size_t qv__file_##name##_size

QV__FILE(schemas_json);
QV__FILE(docs_html);
QV__FILE(page_html);
QV__FILE(base_css);
QV__FILE(page_css);
QV__FILE(icon_svg);
QV__FILE(page_js);
QV__FILE(dom_js);
QV__FILE(server_js);
QV__FILE(items_js);
QV__FILE(examples_js);
QV__FILE(results_js);
QV__FILE(snippets_js);
#endif
