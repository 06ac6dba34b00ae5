/* Files of web/ inside the program; made by tools/embed_files.py at build time. */
#ifndef QVEC_API_FILES_H
#define QVEC_API_FILES_H

#include <stddef.h>

extern const unsigned char qv__file_schemas_json[];
extern const size_t qv__file_schemas_json_size;
extern const unsigned char qv__file_docs_html[];
extern const size_t qv__file_docs_html_size;
#endif
