/* Jina's and Voyage's fields on /v1/embeddings, and Voyage's /v1/multimodalembeddings. */
#include <string.h>

#include "api/embed.h"
#include "api/forms.h"

/* ---- Jina ---- */

qv_status qv__read_jina(qv__embed_reader *p) {
    static const qv__output types[] = {{QV__FLOAT, false, "float"},
                                       {QV__FLOAT, true, "base64"},
                                       {QV__BINARY, false, "binary"},
                                       {QV__UBINARY, false, "ubinary"},
                                       {0}};
    const json_t *o = p->out->body.root;
    bool normalized = true, truncate = false, late = false, many = false;
    p->out->errors = QV__ERRORS_DETAIL;
    /* or Jina's older name, or OpenAI's */
    const char *type = qv__field(o, "embedding_type")  ? "embedding_type"
                       : qv__field(o, "encoding_type") ? "encoding_type"
                                                       : "encoding_format";
    qv_status status = qv__read_purpose(p, o, "task");
    if (!status) status = qv__read_dimensions(p, o, "dimensions");
    if (!status) status = qv__field_bool(o, "normalized", &normalized, p->r);
    if (!status) status = qv__field_bool(o, "truncate", &truncate, p->r);
    if (!status) status = qv__field_bool(o, "late_chunking", &late, p->r);
    if (!status) status = qv__field_bool(o, "return_multivector", &many, p->r);
    if (!status) status = qv__read_outputs(p, type, types, true);
    if (status) return status;
    if (many)
        return qv__refuse_field(p->r, "return_multivector",
                                "return_multivector: this model makes one vector of each input.");
    if (late) p->out->warning = "late_chunking is ignored: each input was embedded by itself";
    p->common.no_normalize = !normalized;
    qv__read_cut(p, truncate ? QV__CUT_END : QV__CUT_NOT, 0);
    status = qv__check_outputs(p, type);
    if (status) return status;
    return qv__read_inputs(p, "input", qv__field(o, "input"),
                           QV__TAKE_TEXT | QV__TAKE_IDS | QV__TAKE_OBJECT | QV__TAKE_MIXED);
}

/* ---- Voyage ---- */

/* output_dtype says which numbers, `encoding` ("base64") how they are written. */
static qv_status read_voyage(qv__embed_reader *p, const char *encoding) {
    static const qv__output dtypes[] = {{QV__FLOAT, false, "float"},     {QV__INT8, false, "int8"},
                                        {QV__UINT8, false, "uint8"},     {QV__BINARY, false, "binary"},
                                        {QV__UBINARY, false, "ubinary"}, {0}};
    static const char *const encodings[] = {"float", "base64", NULL};
    const json_t *o = p->out->body.root;
    bool truncation = true;
    int base64 = 0;
    p->out->errors = QV__ERRORS_DETAIL;
    qv_status status = qv__read_purpose(p, o, "input_type");
    if (!status) status = qv__read_dimensions(p, o, "dimensions");
    if (!status) status = qv__read_dimensions(p, o, "output_dimension"); /* wins */
    if (!status) status = qv__field_bool(o, "truncation", &truncation, p->r);
    if (!status) status = qv__read_outputs(p, "output_dtype", dtypes, false);
    if (!status) status = qv__field_choice(o, encoding, encodings, &base64, p->r);
    if (status) return status;
    p->out->outputs[0].base64 = base64 == 1;
    qv__read_cut(p, truncation ? QV__CUT_END : QV__CUT_NOT, 0);
    return qv__check_outputs(p, "output_dtype");
}

qv_status qv__read_voyage(qv__embed_reader *p) {
    qv_status status = read_voyage(p, "encoding_format");
    if (status) return status;
    return qv__read_inputs(p, "input", qv__field(p->out->body.root, "input"),
                           QV__TAKE_TEXT | QV__TAKE_IDS | QV__TAKE_OBJECT);
}

qv_status qv__read_voyage_multimodal(qv__embed_reader *p) {
    const json_t *o = p->out->body.root;
    qv_status status = read_voyage(p, qv__field(o, "output_encoding") ? "output_encoding" : "encoding_format");
    return status ? status : qv__read_inputs(p, "inputs", qv__field(o, "inputs"), QV__TAKE_OBJECT | QV__TAKE_LIST);
}

/* What the vision tower saw: pixels after resizing, and tokens made of them. A picture's run shows one frame twice. */
typedef struct {
    long long image_pixels, video_pixels, tokens;
} seen;

static seen count_seen(const qv__job *job) {
    seen s = {0};
    for (size_t i = 0; i < job->count; i++) {
        const qv__sequence *sequence = &job->items[i]->sequence;
        for (int k = 0; k < sequence->run_count; k++) {
            const qv__vision_run *run = &sequence->runs[k];
            long long pixels = (long long)run->height * run->width;
            if (run->frame[0] == run->frame[1])
                s.image_pixels += pixels;
            else
                s.video_pixels += 2 * pixels;
            s.tokens += pixels / (32 * 32);
        }
    }
    return s;
}

static qv_status write_multimodal(qv__job *job, float *values, qv__response *response, qv__refusal *r) {
    const qv__embed_request *q = job->parsed;
    qv__buffer *b = &response->body;
    qv__buffer_puts(b, "{\"object\":\"list\",\"data\":[");
    for (size_t i = 0; i < job->count; i++) {
        qv_status status = qv__embed_vector(job, i, values, r);
        if (status) return status;
        qv__buffer_puts(b,
                        i ? ",{\"object\":\"embedding\",\"embedding\":" : "{\"object\":\"embedding\",\"embedding\":");
        qv__embed_write_vector(q, &q->outputs[0], values, (size_t)job->facts[i].dimensions, b);
        qv__buffer_printf(b, ",\"index\":%zu}", i);
    }
    qv__buffer_puts(b, "],\"model\":");
    qv__write_string(b, qv__job_model(job), strlen(qv__job_model(job)));
    seen s = count_seen(job);
    long long total = (long long)qv__job_tokens(job);
    qv__buffer_printf(b,
                      ",\"usage\":{\"text_tokens\":%lld,\"image_pixels\":%lld,\"video_pixels\":%lld,\"total_tokens\":"
                      "%lld}",
                      total - s.tokens, s.image_pixels, s.video_pixels, total);
    qv__embed_write_facts(job, b);
    qv__buffer_puts(b, "}");
    return QV_OK;
}

qv_status qv__start_multimodal(qv__job *job, qv__response *response, qv__refusal *r) {
    static const qv__embed_form form = {qv__read_voyage_multimodal, write_multimodal};
    return qv__embed_start(job, &form, r);
}
