#include "cli/published.h"

/* Where the numbers come from:
 *   2B embedding: the model card of Qwen/Qwen3-VL-Embedding-2B (cosines of four queries with its text document)
 *   8B embedding: the vllm-ascend guide for Qwen3-VL-Embedding (bf16)
 *   2B reranker:  examples/reranker.ipynb of the models' repository, first query
 *   built-in:     the fp32 reference over the same rule-made weights (tests/golden) */

static const char *const card_texts[] = {
    "A woman playing with her dog on a beach at sunset.",
    "Pet owner training dog outdoors near water.",
    "Woman surfing on waves during a sunny day.",
    "City skyline view from a high-rise building at night.",
    ("A woman shares a joyful moment with her golden retriever on a sun-drenched beach at sunset, as "
     "the dog offers its paw in a heartwarming display of companionship and trust."),
};
static const qv__published_pair card_pairs[] = {
    {0, 4, 0.815778613},
    {1, 4, 0.519509196},
    {2, 4, 0.388405949},
    {3, 4, 0.109260432},
};

static const char *const guide_texts[] = {
    ("Instruct: Given a web search query, retrieve relevant passages that answer the query\nQuery: "
     "What is the capital of China?"),
    ("Instruct: Given a web search query, retrieve relevant passages that answer the query\nQuery: "
     "Explain gravity"),
    "The capital of China is Beijing.",
    ("Gravity is a force that attracts two bodies towards each other. It gives weight to physical "
     "objects and is responsible for the movement of planets around the sun."),
};
static const qv__published_pair guide_pairs[] = {
    {0, 2, 0.927912056},
    {0, 3, 0.327477425},
    {1, 2, 0.412462711},
    {1, 3, 0.742525756},
};

static const char *const notebook_texts[] = {
    "walgreens store sales average",
    ("The number of Walgreen stores has risen from 5,000 in 2005 to more than 8,000 at present. The "
     "average square footage per store stood at approximately 10,200 and we forecast the figure to "
     "remain constant over our review period. Walgreen earned $303 as average front-end revenue per "
     "store square foot in 2012."),
    ("Your Walgreens Store. Select a store from the search results to make it Your Walgreens Store "
     "and save time getting what you need. Your Walgreens Store will be the default location for "
     "picking up prescriptions, photos, in store orders and finding deals in the Weekly Ad."),
    ("The average revenue in 2011 of a Starbuck Store was $1,078,000, up  from $1,011,000 in 2010.    "
     "The average ticket (total purchase) at domestic Starbuck stores in  No … vember 2007 was "
     "reported at $6.36.    In 2008, the average ticket was flat (0.0% change)."),
};
static const qv__published_pair notebook_pairs[] = {
    {0, 1, 0.67612797},
    {0, 2, 0.370979458},
    {0, 3, 0.28467536},
};

static const char *const builtin_texts[] = {"hello world"};
static const float builtin_values[] = {
    0.0677440986f, -0.0880307704f, 0.00658955565f, -0.0461196266f, 0.129581764f,  -0.068811655f,
    0.0491676591f, 0.00114867161f, -0.116231099f,  -0.0827051848f, 0.0146970423f, 0.065929614f,
    -0.133031189f, -0.0256180037f, 0.0123538673f,  -0.0673832819f,
};

#define COUNT(list) (sizeof(list) / sizeof *(list))

static const qv__published all[] = {
    {.name = "the model card's cosines",
     .task = QV_TASK_EMBED,
     .hidden = 2048,
     .layers = 28,
     .prompt = QV_PROMPT_OFFICIAL,
     .texts = card_texts,
     .text_count = COUNT(card_texts),
     .pairs = card_pairs,
     .pair_count = COUNT(card_pairs),
     .tolerance = 5e-3},
    {.name = "the guide's cosines",
     .task = QV_TASK_EMBED,
     .hidden = 4096,
     .layers = 36,
     .prompt = QV_PROMPT_RAW,
     .texts = guide_texts,
     .text_count = COUNT(guide_texts),
     .pairs = guide_pairs,
     .pair_count = COUNT(guide_pairs),
     .tolerance = 2e-2},
    {.name = "the notebook's scores",
     .task = QV_TASK_RERANK,
     .hidden = 2048,
     .layers = 28,
     .instruction = "Given a query, retrieve passages that are relevant to the query.",
     .texts = notebook_texts,
     .text_count = COUNT(notebook_texts),
     .pairs = notebook_pairs,
     .pair_count = COUNT(notebook_pairs),
     .tolerance = 1e-2},
    {.name = "the reference's vector",
     .task = QV_TASK_EMBED,
     .hidden = 256,
     .layers = 4,
     .dummy = true,
     .prompt = QV_PROMPT_OFFICIAL,
     .texts = builtin_texts,
     .text_count = COUNT(builtin_texts),
     .values = builtin_values,
     .value_count = COUNT(builtin_values),
     .tolerance = 2e-5},
};

const qv__published *qv__published_find(qv_task task, const qv__config *config, bool dummy) {
    for (size_t i = 0; i < COUNT(all); i++)
        if (all[i].task == task && all[i].hidden == config->text.hidden && all[i].layers == config->text.layers &&
            all[i].dummy == dummy)
            return &all[i];
    return NULL;
}
