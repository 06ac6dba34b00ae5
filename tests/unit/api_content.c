/* What conversations, typed inputs and their parts become. */
#include <stdio.h>
#include <string.h>

#include "api/forms.h"
#include "check.h"

static qv_status parse(const char *body, qv__embed_request *out, qv__refusal *r) {
    static const qv__embed_limits limits = {
        .max_inputs = 10, .max_model_len = 100, .embedding_size = 256, .max_images = 3, .max_videos = 2};
    qv__body_setup();
    *out = (qv__embed_request){0};
    return qv__embed_request_parse(qv__read_embeddings, body, strlen(body), &limits, out, r);
}

static bool text_is(const qv_part *part, const char *text) {
    return part->kind == QV_PART_TEXT && part->size == strlen(text) && memcmp(part->data, text, part->size) == 0;
}

TEST(a_system_and_a_user_turn_are_the_official_recipe) {
    qv__embed_request q;
    qv__refusal r;
    CHECK_INT(parse("{\"messages\":[{\"role\":\"system\",\"content\":[{\"type\":\"text\",\"text\":\"Find "
                    "\"},\"it\"]},{\"role\":\"user\",\"content\":["
                    "{\"type\":\"image_url\",\"image_url\":{\"url\":\"data:image/"
                    "png;base64,Zm9v\"}},{\"type\":\"text\",\"text\":\"cat\"}]},"
                    "{\"role\":\"assistant\",\"content\":[{\"type\":\"text\",\"text\":\"\"}]}],\"continue_final_"
                    "message\":true,\"add_special_tokens\":true,"
                    "\"mm_processor_kwargs\":{\"max_pixels\":5000}}",
                    &q, &r),
              QV_OK);
    const qv_input *in = q.inputs;
    CHECK(q.single && in->prompt == QV_PROMPT_OFFICIAL && in->part_count == 2 && !in->no_special_tokens);
    CHECK_STR(in->instruction, "Find it");
    CHECK(in->parts[0].kind == QV_PART_IMAGE && in->parts[0].size == 3 && memcmp(in->parts[0].data, "foo", 3) == 0);
    CHECK(text_is(&in->parts[1], "cat"));
    CHECK_INT(in->max_pixels, 5000);
    qv__embed_request_clear(&q);
}

TEST(other_conversations_are_rendered_as_they_are) {
    qv__embed_request q;
    qv__refusal r;
    CHECK_INT(parse("{\"messages\":[{\"role\":\"user\",\"content\":\"\\n\\na\"},{\"role\":\"assistant\",\"content\":"
                    "\"b\"},{\"role\":\"user\",\"content\":"
                    "[\"c\",{\"image\":\"Zm9v\"},\"d\"]}],\"add_generation_prompt\":true}",
                    &q, &r),
              QV_OK);
    const qv_input *in = q.inputs;
    CHECK(in->prompt == QV_PROMPT_RAW && in->part_count == 3 && in->no_special_tokens);
    CHECK(text_is(&in->parts[0],
                  "<|im_start|>user\n\n\na<|im_end|>\n<|im_start|>assistant\nb<|im_end|>\n<|im_start|>user\nc"));
    CHECK(in->parts[1].kind == QV_PART_IMAGE);
    CHECK(text_is(&in->parts[2], "d<|im_end|>\n<|im_start|>assistant\n"));
    qv__embed_request_clear(&q);
    CHECK_INT(parse("{\"messages\":[{\"role\":\"user\",\"content\":\"a\"}],\"prompt\":\"raw\",\"continue_final_"
                    "message\":true,\"add_special_tokens\":true}",
                    &q, &r),
              QV_OK);
    CHECK(q.inputs->prompt == QV_PROMPT_RAW && !q.inputs->no_special_tokens &&
          text_is(q.inputs->parts, "<|im_start|>user\na"));
    qv__embed_request_clear(&q);
}

static const char image_place[] = "<|vision_start|><|image_pad|><|vision_end|>";
static const char video_place[] = "<|vision_start|><|video_pad|><|vision_end|>";

/* A user's turn of parts, "I" and "V" in `text` being places; the chat form, so that the order shows. */
static qv_status parse_places(const char *parts, qv__embed_request *out, qv__refusal *r) {
    char body[1024] = "{\"prompt\":\"raw\",\"messages\":[{\"role\":\"user\",\"content\":[";
    for (size_t n = strlen(body); *parts; parts++, n = strlen(body)) {
        const char *place = *parts == 'I' ? image_place : *parts == 'V' ? video_place : NULL;
        if (place)
            strcpy(body + n, place);
        else
            body[n] = *parts, body[n + 1] = 0;
    }
    return parse(strcat(body, "]}]}"), out, r);
}

TEST(places_of_pictures_in_texts_are_the_pictures) {
    static const struct {
        const char *parts, *order; /* order: texts as they are, i and v for pictures and videos, | between parts */
    } rows[] = {
        {"{\"image\":\"Zm9v\"},\"Ia\"", "i|a"},
        {"{\"image\":\"Zm9v\"},\"aIb\"", "a|i|b"},
        {"\"aI\",{\"image\":\"Zm9v\"},\"b\"", "a|i|b"},
        {"{\"image\":\"Zm9v\"},{\"image\":\"Zm9v\"},\"aIb\"", "i|a|i|b"},
        {"{\"image\":\"Zm9v\"},{\"video\":\"Zm9v\"},\"aVbIc\"", "a|v|b|i|c"},
        {"{\"image\":\"Zm9v\"},\"a<|vision_start|>I\"", "a<|vision_start|>|i"},
        {"{\"image\":\"Zm9v\"},\"a\"", "i|a"},
    };
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        qv__embed_request q;
        qv__refusal r = {0};
        CHECK_MSG(!parse_places(rows[i].parts, &q, &r), "%s: %s", rows[i].parts, r.message);
        char order[200] = "";
        for (size_t k = 0; k < q.inputs->part_count; k++) {
            const qv_part *part = &q.inputs->parts[k];
            size_t n = strlen(order);
            if (part->kind == QV_PART_TEXT)
                snprintf(order + n, sizeof order - n, "|%.*s", (int)part->size, (const char *)part->data);
            else
                strcat(order, part->kind == QV_PART_IMAGE ? "|i" : "|v");
        }
        char wanted[200]; /* the frame stands before and behind */
        bool first = rows[i].order[0] == 'i', last = rows[i].order[strlen(rows[i].order) - 1] == 'i';
        snprintf(wanted, sizeof wanted, "|<|im_start|>user\n%s%s%s<|im_end|>\n", first ? "|" : "", rows[i].order,
                 last ? "|" : "");
        CHECK_STR(order, wanted);
        qv__embed_request_clear(&q);
    }
    static const char *const refused[] = {"\"I\"", "{\"video\":\"Zm9v\"},\"I\"", "{\"image\":\"Zm9v\"},\"II\"",
                                          "{\"image\":\"Zm9v\"},\"VI\""};
    for (size_t i = 0; i < sizeof refused / sizeof *refused; i++) {
        qv__embed_request q;
        qv__refusal r = {0};
        CHECK(parse_places(refused[i], &q, &r) == QV_INVALID_ARGUMENT && strstr(r.message, "Found more"));
        qv__embed_request_clear(&q);
    }
}

TEST(conversations_come_in_lists_and_in_input) {
    qv__embed_request q;
    qv__refusal r;
    static const char two[] = "[[{\"role\":\"user\",\"content\":\"a\"}],[{\"role\":\"user\",\"content\":\"b\"}]]";
    for (int i = 0; i < 2; i++) {
        char body[300];
        snprintf(body, sizeof body, "{\"%s\":%s}", i ? "input" : "messages", two);
        CHECK_INT(parse(body, &q, &r), QV_OK);
        CHECK(q.count == 2 && text_is(q.inputs[1].parts, "b") && q.inputs[1].prompt == QV_PROMPT_OFFICIAL);
        qv__embed_request_clear(&q);
    }
}

TEST(typed_inputs) {
    qv__embed_request q;
    qv__refusal r;
    CHECK_INT(parse("{\"input\":[{\"text\":\"a\",\"image\":[\"Zm9v\",\"data:image/"
                    "png;base64,YmFy\"],\"instruction\":\"i\",\"min_pixels\":7},"
                    "{\"video\":[\"Zm9v\",\"YmFy\"],\"fps\":2},{\"video\":\"data:video/"
                    "jpeg;base64,Zm9v,YmFy,Zm9v\"},{},{\"content\":[\"x\",{\"video_url\":{\"url\":\"Zm9v\"}}]}],"
                    "\"max_frames\":9}",
                    &q, &r),
              QV_OK);
    CHECK_INT(q.count, 5);
    CHECK(q.inputs[0].part_count == 3 && q.inputs[0].parts[2].kind == QV_PART_IMAGE &&
          q.inputs[0].prompt == QV_PROMPT_OFFICIAL);
    CHECK_STR(q.inputs[0].instruction, "i");
    CHECK_INT(q.inputs[0].min_pixels, 7);
    CHECK(q.inputs[1].parts->kind == QV_PART_VIDEO_FRAMES && q.inputs[1].parts->size == 2 && q.inputs[1].fps == 2);
    const qv_part *frames = q.inputs[2].parts->data;
    CHECK(q.inputs[2].parts->size == 3 && frames[1].kind == QV_PART_IMAGE && memcmp(frames[1].data, "bar", 3) == 0);
    CHECK(q.inputs[3].part_count == 0 && q.inputs[3].max_frames == 9 && !q.inputs[1].instruction);
    CHECK(q.inputs[4].part_count == 2 && q.inputs[4].parts[1].kind == QV_PART_VIDEO);
    qv__embed_request_clear(&q);
    CHECK_INT(parse("{\"input\":\"Zm9v\",\"modality\":\"image\"}", &q, &r), QV_OK);
    CHECK(q.inputs->parts->kind == QV_PART_IMAGE && q.inputs->prompt == QV_PROMPT_OFFICIAL);
    qv__embed_request_clear(&q);
}

TEST(wrong_content_is_refused_by_name) {
    static const struct {
        const char *body;
        int status;
        const char *words;
    } rows[] = {
        {"{\"messages\":[]}", 400, "messages must be a list of messages"},
        {"{\"messages\":\"a\"}", 400, "messages must be a list of messages"},
        {"{\"messages\":[{\"role\":\"user\",\"content\":5}]}", 400, "content must be a string or a list of parts"},
        {"{\"messages\":[{\"role\":\"a<|b\",\"content\":\"x\"}]}", 400, "role must be"},
        {"{\"messages\":[{\"role\":\"user\",\"content\":[{\"type\":\"sound\"}]}]}", 400,
         "Unsupported chat content part type: 'sound'"},
        {"{\"messages\":[{\"role\":\"user\",\"content\":[{}]}]}", 400, "Missing 'type' field in multimodal part."},
        {"{\"messages\":[{\"role\":\"user\",\"content\":[[]]}]}", 400, "is a list"},
        {"{\"messages\":[{\"role\":\"assistant\",\"content\":\"x\"}],\"prompt\":\"official\"}", 400,
         "official recipe takes"},
        {"{\"messages\":[{\"role\":\"user\",\"content\":\"x\"}],\"add_generation_prompt\":true,\"continue_final_"
         "message\":true}",
         400, "Cannot set both"},
        {"{\"messages\":[{\"role\":\"user\",\"content\":\"x\"}],\"chat_template\":\"t\"}", 400, "untrusted"},
        {"{\"input\":{\"image\":\"https://h/a.png\"}}", 400, "fetches no URLs"},
        {"{\"input\":{\"image\":\"file:///etc/passwd\"}}", 400, "opens no local files"},
        {"{\"input\":{\"image\":\"/etc/passwd\"}}", 400, "data: URL"},
        {"{\"input\":{\"image\":\"../a.png\"}}", 400, "data: URL"},
        {"{\"input\":{\"image\":\"data:image/png,abc\"}}", 501, "only base64"},
        {"{\"input\":{\"image\":\"data:image/png;base64,Zm9v!\"}}", 400, "character 4"},
        {"{\"input\":{\"image\":\"\"}}", 400, "data: URL"},
        {"{\"input\":{\"image\":5}}", 400, "not as an integer"},
        {"{\"input\":{\"image\":{\"uri\":\"a\"}}}", 400, "not as null"},
        {"{\"input\":{\"image\":[\"Zm9v\",\"Zm9v\",\"Zm9v\",\"Zm9v\"]}}", 400,
         "At most 3 image(s) may be provided in one prompt."},
        {"{\"input\":{\"video\":\"Zm9v\",\"content\":[{\"video\":\"Zm9v\"},{\"video\":\"Zm9v\"}]}}", 400,
         "At most 2 video(s)"},
        {"{\"input\":{\"video\":[]}}", 400, "video must be given"},
        {"{\"input\":{\"video\":[5]}}", 400, "frame 0"},
        {"{\"input\":{\"text\":5}}", 400, "text must be a string"},
        {"{\"input\":{\"txt\":\"a\"}}", 400, "object without text"},
        {"{\"input\":[{\"text\":\"a\"},\"b\"]}", 400, "one kind of value"},
        {"{\"input\":{\"text\":\"a\",\"instruction\":\"i\"},\"prompt\":\"raw\"}", 400, "instruction goes with"},
        {"{\"input\":\"a\",\"min_pixels\":0}", 400, "min_pixels is 0"},
        {"{\"input\":\"a\",\"fps\":\"x\"}", 400, "fps must be a number"},
        {"{\"input\":\"a\",\"mm_processor_kwargs\":5}", 400, "mm_processor_kwargs must be an object"},
        {"{\"input\":\"a\",\"media_io_kwargs\":{\"video\":{\"num_frames\":0}}}", 400, "num_frames is 0"},
    };
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        qv__embed_request q;
        qv__refusal r = {0};
        CHECK_MSG(parse(rows[i].body, &q, &r), "%s was accepted", rows[i].body);
        CHECK_MSG(r.http == rows[i].status && strstr(r.message, rows[i].words), "%s: %d %s", rows[i].body, r.http,
                  r.message);
        qv__embed_request_clear(&q);
    }
}
