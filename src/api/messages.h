/* A conversation as one input. System + user (+ an empty assistant turn), as the models' own clients send it, is the
 * official recipe; anything else is the chat form exactly as vLLM renders it: each turn as
 * <|im_start|>role\n…<|im_end|>\n, nothing added that was not asked for. */
#ifndef QVEC_API_MESSAGES_H
#define QVEC_API_MESSAGES_H

#include "api/content.h"

typedef struct {
    bool add_generation_prompt, continue_final_message, add_special_tokens;
    bool exact;    /* prompt "raw" was asked for: always the chat form */
    bool official; /* prompt "official" was asked for: never the chat form */
} qv__chat_options;

qv_status qv__chat_options_read(const json_t *object, qv__chat_options *out, qv__refusal *r);
/* `messages`: a list of {role, content}. Fills parts, prompt, instruction, no_special_tokens of `input`. */
qv_status qv__messages_input(qv__content *c, const json_t *messages, const qv__chat_options *options, qv_input *input);
#endif
