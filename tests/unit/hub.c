/* What users call MODEL: a folder, or org/name in a download folder or a hub cache. */
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/memory.h"
#include "check.h"
#include "store/checkpoint.h"

#define HASH "0123456789abcdef0123456789abcdef01234567"

static void make_folder(const char *parent, const char *name) {
    char path[512];
    snprintf(path, sizeof path, "%s/%s", parent, name);
    CHECK(mkdir(path, 0755) == 0);
}

/* CACHE/models--org--name with refs/main and one snapshot. */
static void make_repository(const char *cache, const char *commit) {
    char path[256];
    make_folder(cache, "models--org--name");
    snprintf(path, sizeof path, "%s/models--org--name", cache);
    check_write(path, "refs/main", commit, strlen(commit));
    make_folder(path, "snapshots");
    make_folder(path, "snapshots/" HASH);
}

static void set_caches(const char *hub_cache, const char *hf_home, const char *home) {
    setenv("HF_HUB_CACHE", hub_cache, 1);
    setenv("HF_HOME", hf_home, 1);
    setenv("HOME", home, 1);
}

static void check_found(const char *model, const char *downloads, const char *begin, const char *end) {
    qv_error err = {0};
    char *found, expected[512];
    snprintf(expected, sizeof expected, "%s%s", begin, end);
    CHECK_OK(qv__model_folder(model, downloads, &found, &err), err);
    CHECK_STR(found, expected);
    qv__free(found);
}

static void check_not_found(const char *model, const char *downloads, qv_status status, const char *words) {
    qv_error err = {0};
    char *found = (char *)"";
    CHECK_FAILS(qv__model_folder(model, downloads, &found, &err), status, words, err);
    CHECK(!found);
}

TEST(caches_in_their_order) {
    const char *downloads = check_folder(), *hub = check_folder(), *hf_home = check_folder(), *home = check_folder();
    char deep[256];
    set_caches(hub, hf_home, home);
    check_not_found("org/name", NULL, QV_NOT_FOUND, "org/name is in neither $HF_HUB_CACHE");
    check_not_found("org/name", downloads, QV_NOT_FOUND, downloads);

    make_folder(home, ".cache");
    make_folder(home, ".cache/huggingface");
    make_folder(home, ".cache/huggingface/hub");
    snprintf(deep, sizeof deep, "%s/.cache/huggingface/hub", home);
    make_repository(deep, HASH "\n");
    check_found("org/name", downloads, deep, "/models--org--name/snapshots/" HASH);

    make_folder(hf_home, "hub");
    snprintf(deep, sizeof deep, "%s/hub", hf_home);
    make_repository(deep, HASH);
    check_found("org/name", NULL, deep, "/models--org--name/snapshots/" HASH);

    make_repository(hub, HASH);
    check_found("org/name", NULL, hub, "/models--org--name/snapshots/" HASH);
    make_folder(downloads, "org");
    make_folder(downloads, "org/name");
    check_found("org/name", downloads, hub, "/models--org--name/snapshots/" HASH); /* no config.json there yet */
    snprintf(deep, sizeof deep, "%s/org", downloads);
    check_write(deep, "name/config.json", "{}", 2);
    check_found("org/name", downloads, downloads, "/org/name");
    check_found(downloads, NULL, downloads, ""); /* a folder is a folder, whatever the caches hold */
}

TEST(refs_that_are_no_hash) {
    static const char *const refs[] = {
        "",          "\n",      "../../../../etc", "main", HASH "/..",
        "0123 4567", HASH HASH, "ABCDEF",          ".",    "0000000000000000000000000000000000000000"};
    for (size_t i = 0; i < sizeof refs / sizeof *refs; i++) {
        const char *hub = check_folder();
        set_caches(hub, "", "/nonexistent");
        make_repository(hub, refs[i]);
        check_not_found("org/name", NULL, QV_NOT_FOUND, "org/name is in neither");
    }
}

TEST(names_that_would_lead_elsewhere) {
    static const char *const names[] = {"name",      "a/b/c",      "../name",    "org/..",     "./name",
                                        "org/",      "/name/x",    "o--rg/name", "-org/name",  "org/name.",
                                        "org/na me", "org/na\nme", "org/..name", "org/na..me", "org//name"};
    set_caches("/", "/", "/");
    for (size_t i = 0; i < sizeof names / sizeof *names; i++)
        check_not_found(names[i], "/", QV_NOT_FOUND, "is neither a folder nor of the form org/name");
    check_not_found("", NULL, QV_INVALID_ARGUMENT, "the model's name is empty");
    char large[512];
    memset(large, 'a', sizeof large - 1);
    large[sizeof large - 1] = 0;
    large[3] = '/';
    check_not_found(large, NULL, QV_NOT_FOUND, "is neither a folder nor");
    const char *file = check_write(check_folder(), "model.safetensors", "", 0);
    check_not_found(file, NULL, QV_INVALID_ARGUMENT, "is a file; a model is the folder");
}
