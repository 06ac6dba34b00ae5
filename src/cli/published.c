#include "cli/published.h"

/* Where the numbers come from:
 *   2B embedding: the model card of Qwen/Qwen3-VL-Embedding-2B (cosines of four queries with its text document);
 *                 examples/embedding.ipynb of the models' repository, texts; the fixtures of mnmly's port to MLX,
 * written by the official classes in bf16 8B embedding: the vllm-ascend guide for Qwen3-VL-Embedding (bf16), and 30
 * values that its issue 8818 quotes 2B reranker:  examples/reranker.ipynb of the models' repository, texts; the
 * fixtures of the port What was published of pictures needs the pictures, and is not here. */

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
    "how much do bartenders make",
    ("The average Walgreens salary ranges from approximately $15,000 per year for Customer Service Associate "
     "/ Cashier to $179,900 per year for District Manager. Average Walgreens hourly pay ranges from "
     "approximately $7.35 per hour for Laboratory Technician to $68.90 per hour for Pharmacy Manager. Salary "
     "information comes from 7,810 data points collected directly from employees, users, and jobs on Indeed."),
    ("The average revenue in 2011 of a Starbuck Store was $1,078,000, up  from $1,011,000 in 2010.    The "
     "average ticket (total purchase) at domestic Starbuck stores in  No … vember 2007 was reported at $6.36. "
     "   In 2008, the average ticket was flat (0.0% change)."),
    ("In fiscal 2014, Walgreens opened a total of 184 new locations and acquired 84 locations, for a net "
     "decrease of 273 after relocations and closings. How big are your stores? The average size for a typical "
     "Walgreens is about 14,500 square feet and the sales floor averages about 11,000 square feet. How do we "
     "select locations for new stores? There are several factors that Walgreens takes into account, such as "
     "major intersections, traffic patterns, demographics and locations near hospitals."),
    ("th store in 1984, reaching $4 billion in sales in 1987, and $5 billion two years later. Walgreens ended "
     "the 1980s with 1,484 stores, $5.3 billion in revenues and $154 million in profits. However, profit "
     "margins remained just below 3 percent of sales, and returns on assets of less than 10 percent."),
    ("The number of Walgreen stores has risen from 5,000 in 2005 to more than 8,000 at present. The average "
     "square footage per store stood at approximately 10,200 and we forecast the figure to remain constant "
     "over our review period. Walgreen earned $303 as average front-end revenue per store square foot in "
     "2012."),
    ("Your Walgreens Store. Select a store from the search results to make it Your Walgreens Store and save "
     "time getting what you need. Your Walgreens Store will be the default location for picking up "
     "prescriptions, photos, in store orders and finding deals in the Weekly Ad."),
    ("A bartender’s income is comprised mostly of tips– 55% to be exact. In some states, employers aren’t "
     "even required to pay their bartenders the minimum wage and can pay as low as $2.13 per hour, and they "
     "depend on their tips almost entirely. Bartending can be a lot of things. For some it is exciting, for "
     "others exhausting. At times there is a lot of fun to be had, at others it is rather dull. But for the "
     "most part, bartending is almost always rewarding in the financial sense, as long as you stick with it."),
    ("According to the Bureau of Labor Statistics, the average hourly wage for a bartender is $10.36, and the "
     "average yearly take-home is $21,550. Bartending can be a lot of things. For some it is exciting, for "
     "others exhausting. At times there is a lot of fun to be had, at others it is rather dull. But for the "
     "most part, bartending is almost always rewarding in the financial sense, as long as you stick with it."),
    ("About 551,100 individuals are employed as bartenders, with half of this number working part-time. The "
     "average annual salary for bartenders is $19,050 or an equivalent of $9.16 per hour, including tips. No "
     "formal training is needed for one to get a job as a bartender as all it takes are good customer service "
     "skills and a comprehensive knowledge about beverages and recipes. "),
    ("Best Answer: An average bartender makes about...2 to 3 dollars an hour. but all the money is made off "
     "tips depending on the popularity of the bar. I used to make $700 to $1000 a night. but that is in "
     "Atlanta. If the bar is busy and you are a good bartender you will make quite a bit. I dont know how "
     "much, because I live in a town with a population of 2000 so there is not alot going on around here. Im "
     "sure the bartenders make a hundred to two hundred a night total (on a good night)...just depends."),
    ("Report Abuse. no way to tell you how much bartenders make. in wages anything from minimum to $15 an "
     "hour. tips, anywhere from $20 to $300 or more a night. depends on a lot of things. those top dollar "
     "jobs only come after a lot of experience. If the bar is busy and you are a good bartender you will make "
     "quite a bit. I dont know how much, because I live in a town with a population of 2000 so there is not "
     "alot going on around here. Im sure the bartenders make a hundred to two hundred a night total (on a "
     "good night)...just depends."),
    ("Pay by Employment Setting. Bartenders who worked in hotels and hotel restaurants generally reported the "
     "highest incomes in 2011, an average of $26,180 a year. Bartenders employed in full-service restaurants "
     "tended to earn somewhat less, averaging about $22,130 a year. Bartenders employed by bars earned an "
     "average of $20,230 per year, and bartenders who worked for civic and social organizations earned an "
     "average of $18,970 a year. The median earnings of bartenders during this period were $9.06 an hour and "
     "$18,850 a year. Eighty percent of bartenders in the U.S. reported annual incomes of between $16,170 and "
     "$31,860."),
    ("Tips make up half or more of bartender's salaries. If a bartender earned $6.00 an hour, their tips "
     "generally average out to $12.00 to $18.00 an hour as additional income. A bartender in an average bar "
     "will typically earn $15.00 $30.00 an hour between their wages and tips. According to bartending.org, "
     "bartenders in a high volume resort or establishment can earn $50,000 to $75,000 per year between hourly "
     "wages and tips. Indeed.com 2010 results show bartenders in restaurants at median salary rates can make "
     "a good salary per year: Bartender $73,000."),
    ("How much do RNs make? According to the Bureau of Labor Statistics records for May 2012, the average "
     "registered nurse salary in the United States is $67,930, which is equivalent to a mean hourly wage of "
     "$32.66. Registered nurses that are employed in general medical hospitals make an average mean salary of "
     "$69,490, while those in physician offices earn significantly less than average at $62,120."),
    ("In Florida, however, though RN demand still is high, the pay scale for nurses has yet to be pushed up "
     "to the $30 per hour average standard. MSN's in Florida working in hospitals stand to make only about "
     "$34-$42 per hour for their extra 3 years post BSN training. On average a RN makes from $38,000 to "
     "$70,000 per year. New grads in some areas such as NY can ma … ke $50,000 per year.... After you get a "
     "year or two under your belt in med surge, try traveling nursing.....you can make upwards of $80K to "
     "$90K per year...this assignments usually are 4 weeks to 12 weeks."),
    ("As stated on the bls.gov website, the median average wage for a RN (Registered Nurse) was around "
     "$69,790 or about $33.55 as an hourly rate in 2014. The lowest paid 10% of employed RN’s made less than "
     "$45,880 ($22.06 per hour), and the upper 10% percent made more than $98,880 ($47.54 per hour). The "
     "average salary for a RN working for an outpatient care center is $72,390 or $34.80 an hour. In local, "
     "private, and state hospitals, the average annual salary is roughly $71,640 ($34.44 per hour). Home "
     "health service RN’s earn an estimated $67,880 ($32.64 hourly). For nursing and residential care "
     "facilities, the average annually salary is around $62,440 or $28.28 per hour. Finally, in offices of "
     "physicians, a RN can earn an average of $58,420 ($30.02 per hour). In 2014, the top paying state for a "
     "registered nurse was California with an average annual salary of $98,440 ($47.31 an"),
    ("Salary Potential. Although the Bureau of Labor Statistics does not have specific salary information for "
     "import/export agents, according to national data from May 2013, Purchasing Agents earned an average "
     "salary of $63,420. Today, much of what we buy is available to us as the direct result of the work of "
     "import/export traders. If you’re considering a career in business, sales or marketing and you have an "
     "interest in international negotiation and communication, you may find this career choice particularly "
     "rewarding."),
    ("Los Angeles professionals reported an average annual wage of $64,558 per the year. Import/export agents "
     "working in Miami averaged the highest salaries at $80,888 per year. Workers in Phoenix averaged the "
     "lowest and made $48,827 per year. For example, import/export agents working in New York City averaged a "
     "salary of $78,892 per year. Agents in Chicago reported an average salary of $63,935 per year. In "
     "Atlanta, import/export agents averaged $69,177 per year."),
};

static const qv__published_pair notebook_cosines[] = {
    {0, 5, 0.798835993},  {0, 6, 0.790066123},  {0, 2, 0.770858049},  {0, 4, 0.728108346},  {0, 7, 0.700098157},
    {0, 3, 0.536356568},  {0, 15, 0.482713103}, {0, 18, 0.462405711}, {0, 17, 0.438832581}, {0, 19, 0.431644261},
    {1, 12, 0.860865057}, {1, 11, 0.83109498},  {1, 13, 0.822388291}, {1, 14, 0.816869855}, {1, 9, 0.808051109},
    {1, 8, 0.805396378},  {1, 10, 0.791638613}, {1, 15, 0.551818013}, {1, 16, 0.524586141},
};

static const qv__published_pair notebook_scores[] = {
    {0, 6, 0.67612797},   {0, 4, 0.625235736},  {0, 2, 0.524763942},  {0, 5, 0.524003685},  {0, 7, 0.370979458},
    {0, 3, 0.28467536},   {0, 18, 0.185048908}, {0, 17, 0.161583483}, {0, 19, 0.160590187}, {0, 15, 0.143781319},
    {1, 12, 0.706399798}, {1, 13, 0.69344449},  {1, 11, 0.678944886}, {1, 10, 0.67694658},  {1, 9, 0.672047973},
    {1, 14, 0.646120787}, {1, 8, 0.589063048},  {1, 16, 0.197712675}, {1, 15, 0.172464371},
};

static const char *const port_texts[] = {
    "A photograph of a golden retriever puppy.",
    "The Eiffel Tower at sunset.",
    "Quarterly revenue grew 12% year over year.",
};

static const float port_values[] = {
    -0.00128936768f, 0.00909423828f,  -0.0277099609f,   0.0078125f,       -0.0593261719f,  0.044921875f,
    -0.0166015625f,  -0.00537109375f, -0.0302734375f,   0.00144195557f,   0.0405273438f,   -0.0101318359f,
    0.00732421875f,  0.00421142578f,  0.0634765625f,    0.00280761719f,   0.017578125f,    -0.00762939453f,
    0.0766601562f,   0.00579833984f,  -0.0529785156f,   0.07421875f,      -0.0341796875f,  -0.0766601562f,
    0.0196533203f,   -0.0139160156f,  -0.000537872314f, -0.0329589844f,   0.0363769531f,   -0.0250244141f,
    -0.00662231445f, 0.0113525391f,   -0.00994873047f,  0.00415039062f,   0.00262451172f,  0.00659179688f,
    0.0111694336f,   0.0141601562f,   -0.00762939453f,  -0.0375976562f,   0.0201416016f,   -0.0213623047f,
    0.0291748047f,   0.0275878906f,   0.0189208984f,    -0.00769042969f,  -0.00897216797f, -0.0184326172f,
    -0.0155029297f,  0.00296020508f,  -0.0505371094f,   0.00112915039f,   0.0127563477f,   -0.00408935547f,
    -0.00552368164f, 0.0341796875f,   0.01953125f,      -0.0302734375f,   -0.0461425781f,  -0.0100708008f,
    -0.0296630859f,  0.00521850586f,  0.0055847168f,    -0.0206298828f,   -0.0114746094f,  -0.0163574219f,
    -0.00439453125f, 0.00933837891f,  -0.0203857422f,   -0.00588989258f,  0.0170898438f,   0.00135803223f,
    -0.0230712891f,  -0.0310058594f,  0.00555419922f,   -0.0229492188f,   0.0111083984f,   0.00354003906f,
    0.0422363281f,   -0.00769042969f, 0.00151062012f,   -0.00640869141f,  -0.0222167969f,  -0.00543212891f,
    0.00964355469f,  0.00497436523f,  -0.0216064453f,   -0.0610351562f,   -0.00793457031f, -0.0230712891f,
    0.0202636719f,   0.0415039062f,   -0.00205993652f,  -0.0048828125f,   0.0130615234f,   0.0111083984f,
    -0.00253295898f, -0.0299072266f,  0.0140991211f,    0.00872802734f,   0.0278320312f,   0.00331115723f,
    0.0238037109f,   -0.0139770508f,  -0.0305175781f,   0.0322265625f,    -0.0311279297f,  -0.0314941406f,
    -0.00262451172f, -0.0275878906f,  0.0119018555f,    -0.0161132812f,   0.0155029297f,   0.00854492188f,
    0.0444335938f,   0.00601196289f,  0.0016784668f,    -0.00723266602f,  -0.00939941406f, 0.000831604004f,
    0.0441894531f,   -0.00854492188f, 0.0141601562f,    -0.0172119141f,   -0.0252685547f,  0.0228271484f,
    -0.0131835938f,  -0.00106811523f, -0.0559082031f,   -0.0419921875f,   0.04296875f,     -0.0512695312f,
    -0.00393676758f, -0.0234375f,     -0.0712890625f,   -0.037109375f,    -0.0108032227f,  0.00750732422f,
    0.0483398438f,   -0.0134887695f,  0.083984375f,     0.00717163086f,   -0.0522460938f,  0.00610351562f,
    0.00473022461f,  0.0311279297f,   0.0649414062f,    0.00248718262f,   -0.0329589844f,  0.000610351562f,
    0.048828125f,    -0.06640625f,    0.0405273438f,    -0.0119018555f,   -0.00805664062f, 0.0119018555f,
    0.0178222656f,   -0.0286865234f,  -0.0397949219f,   -0.0101318359f,   0.0245361328f,   0.0244140625f,
    -0.00387573242f, -0.0216064453f,  0.0427246094f,    -0.0166015625f,   0.012512207f,    -0.0300292969f,
    0.0432128906f,   0.0541992188f,   -0.00607299805f,  0.00196838379f,   0.00927734375f,  -0.00982666016f,
    -0.0201416016f,  0.0106811523f,   0.000413894653f,  0.0223388672f,    0.00503540039f,  -0.00048828125f,
    -0.0194091797f,  0.000503540039f, 0.015625f,        0.0166015625f,    0.0512695312f,   0.00793457031f,
    -0.0283203125f,  0.0161132812f,   -0.0634765625f,   -0.0157470703f,   -0.0261230469f,  0.0101318359f,
    0.00469970703f,  0.0108642578f,   -0.0159912109f,   0.000732421875f,  -0.0412597656f,  0.0168457031f,
    0.0485839844f,   -0.0136108398f,  0.00506591797f,   -0.0128173828f,   -0.0397949219f,  0.0135498047f,
    -0.0185546875f,  0.00503540039f,  -0.00518798828f,  0.02734375f,      0.00970458984f,  0.0400390625f,
    0.00595092773f,  0.0179443359f,   -0.00860595703f,  0.009765625f,     -0.0250244141f,  0.0201416016f,
    0.005859375f,    -0.0122680664f,  -0.0111694336f,   0.0393066406f,    0.00509643555f,  -0.00946044922f,
    0.0446777344f,   0.0164794922f,   -0.00191497803f,  -0.0208740234f,   0.013671875f,    -0.00775146484f,
    -0.0388183594f,  0.0434570312f,   -0.0179443359f,   0.00154876709f,   0.00382995605f,  -0.0131835938f,
    -0.0124511719f,  0.0314941406f,   0.0133056641f,    -0.00646972656f,  -0.0238037109f,  0.0402832031f,
    0.0251464844f,   0.0422363281f,   0.0251464844f,    0.0161132812f,    0.00329589844f,  -0.0163574219f,
    -0.0151367188f,  -0.00500488281f, 0.037109375f,     -0.0152587891f,   -0.0240478516f,  0.0202636719f,
    0.00747680664f,  -0.00491333008f, 0.0162353516f,    0.0192871094f,    -0.0141601562f,  0.0239257812f,
    -0.0162353516f,  -0.0334472656f,  0.0388183594f,    0.00135803223f,   0.00360107422f,  -0.00100708008f,
    -0.0180664062f,  0.0205078125f,   -0.00289916992f,  -0.0202636719f,   -0.0139770508f,  0.0225830078f,
    0.00331115723f,  -0.00735473633f, 0.0295410156f,    0.04296875f,      0.0522460938f,   -0.00247192383f,
    0.00885009766f,  0.0490722656f,   0.0108642578f,    -0.0266113281f,   -0.00762939453f, 0.00576782227f,
    -0.0319824219f,  0.00164794922f,  0.0380859375f,    -0.0649414062f,   0.0136108398f,   -0.0549316406f,
    -0.00314331055f, -0.00619506836f, 0.00964355469f,   0.00158691406f,   0.0395507812f,   0.0106811523f,
    0.0267333984f,   0.0151977539f,   -0.00704956055f,  0.0451660156f,    0.0485839844f,   0.0168457031f,
    -0.00207519531f, 0.00915527344f,  0.00708007812f,   -0.06640625f,     0.00188446045f,  0.0356445312f,
    -0.0249023438f,  -0.0454101562f,  -0.0266113281f,   0.0168457031f,    0.000583648682f, 0.0186767578f,
    -0.0123291016f,  0.00848388672f,  -0.00479125977f,  -0.000885009766f, -0.00872802734f, -0.00387573242f,
    0.0087890625f,   -0.0186767578f,  -0.0366210938f,   0.0285644531f,    -0.04296875f,    0.0129394531f,
    -0.0129394531f,  0.00994873047f,  0.033203125f,     0.0361328125f,    0.0177001953f,   -0.0223388672f,
    0.014831543f,    -0.03515625f,    -0.00637817383f,  0.00238037109f,   0.0324707031f,   0.014831543f,
    -0.0257568359f,  0.0103759766f,   0.00145721436f,   -0.0147094727f,   0.0412597656f,   -0.0192871094f,
    0.00494384766f,  -0.0366210938f,  0.00399780273f,   -0.0225830078f,   0.033203125f,    0.00579833984f,
    0.0209960938f,   -0.03125f,       -0.0158691406f,   0.0615234375f,    0.000310897827f, -0.00897216797f,
    -0.0329589844f,  0.0190429688f,   0.0136108398f,    0.0356445312f,    -0.0128173828f,  0.0104370117f,
    -0.00256347656f, -0.0123901367f,  0.0264892578f,    -0.0251464844f,   -0.0122680664f,  0.00494384766f,
    -0.0127563477f,  -0.0142822266f,  0.0437011719f,    -0.000308990479f, 0.0327148438f,   -0.0373535156f,
    0.00283813477f,  0.00145721436f,  0.0201416016f,    0.010925293f,     -0.00190734863f, 0.00723266602f,
    0.021484375f,    -0.00171661377f, 0.0173339844f,    0.0250244141f,    0.00564575195f,  0.0222167969f};

static const float port_last_values[] = {0.00830078f, 0.010498f,   0.027832f,  -0.0311279f,
                                         0.0200195f,  0.00242615f, 0.0118408f, -0.0111694f};

static const char *const port_rerank_texts[] = {
    "What is the capital of France?",
    "Paris is the capital of France.",
    "The Great Wall of China is a famous landmark.",
    "Bananas are a good source of potassium.",
};

static const qv__published_pair port_scores[] = {
    {0, 1, 0.8203125},
    {0, 2, 0.1640625},
    {0, 3, 0.101074219},
};

static const float guide_values[] = {
    -0.0109340902f,   0.021402901f,    0.0077352873f,   0.0112830503f,  0.00407120399f, -0.0153542543f,
    -0.0184948985f,   0.0131441727f,   -0.0134931328f,  0.00194836187f, -0.014598174f,  -0.00802608766f,
    -0.035593953f,    -0.0302432291f,  0.035593953f,    0.00331512326f, -0.0172153767f, 0.00526348501f,
    -0.0209376197f,   0.00878216792f,  -0.0215192214f,  0.00459464453f, -0.0495523661f, -0.00395488366f,
    -0.000447105413f, -0.00276260264f, -0.00311156292f, -0.011864651f,  0.0386182778f,  -0.0275678653f};

#define COUNT(list) (sizeof(list) / sizeof *(list))
#define TEXTS(list) .texts = list, .text_count = COUNT(list)
#define PAIRS(list) .pairs = list, .pair_count = COUNT(list)
#define SIZE_2B .hidden = 2048, .layers = 28
#define SIZE_8B .hidden = 4096, .layers = 36

static const qv__published all[] = {
    {.name = "the model card's cosines",
     .task = QV_TASK_EMBED,
     SIZE_2B,
     TEXTS(card_texts),
     PAIRS(card_pairs),
     .tolerance = 5e-3},
    {.name = "the notebook's cosines",
     .task = QV_TASK_EMBED,
     SIZE_2B,
     .instruction = "Retrieve relevant passages.",
     .query_count = 2,
     TEXTS(notebook_texts),
     PAIRS(notebook_cosines),
     .tolerance = 1e-2},
    {.name = "first values of a port's fixtures in bf16",
     .task = QV_TASK_EMBED,
     SIZE_2B,
     TEXTS(port_texts),
     .values = port_values,
     .value_count = COUNT(port_values) / COUNT(port_texts),
     .tolerance = 5e-3},
    {.name = "last values of a port's first fixture in bf16",
     .task = QV_TASK_EMBED,
     SIZE_2B,
     .texts = port_texts,
     .text_count = 1,
     .values = port_last_values,
     .value_offset = 2048 - COUNT(port_last_values),
     .value_count = COUNT(port_last_values),
     .tolerance = 5e-3},
    {.name = "the guide's cosines in bf16",
     .task = QV_TASK_EMBED,
     SIZE_8B,
     .prompt = QV_PROMPT_RAW,
     TEXTS(guide_texts),
     PAIRS(guide_pairs),
     .tolerance = 2e-2},
    {.name = "first values of a vector in bf16",
     .task = QV_TASK_EMBED,
     SIZE_8B,
     .prompt = QV_PROMPT_RAW,
     .texts = guide_texts + 2,
     .text_count = 1,
     .values = guide_values,
     .value_count = COUNT(guide_values),
     .tolerance = 5e-3},
    {.name = "the notebook's scores",
     .task = QV_TASK_RERANK,
     SIZE_2B,
     .instruction = "Given a query, retrieve passages that are relevant to the query.",
     .query_count = 2,
     TEXTS(notebook_texts),
     PAIRS(notebook_scores),
     .tolerance = 1e-2},
    {.name = "scores of a port's fixtures in bf16",
     .task = QV_TASK_RERANK,
     SIZE_2B,
     .query_count = 1,
     TEXTS(port_rerank_texts),
     PAIRS(port_scores),
     .tolerance = 3e-2},
};

const qv__published *qv__published_next(const qv__published *after, qv_task task, const qv__config *config) {
    for (const qv__published *p = after ? after + 1 : all; p < all + COUNT(all); p++)
        if (p->task == task && p->hidden == config->text.hidden && p->layers == config->text.layers) return p;
    return NULL;
}
