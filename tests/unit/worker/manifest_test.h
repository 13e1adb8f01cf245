/*
 * Shared by tests/unit/worker/test_target*.c: JSON written with ' for ", so that rows stay
 * readable, and checks of one path each.
 *
 * An expectation is "path = json"; "path = -" says that the path is absent. Paths are json_at's.
 */
#ifndef TESTS_MANIFEST_TEST_H
#define TESTS_MANIFEST_TEST_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "base/str.h"
#include "manifests/manifest.h"

#define UID "0f8fad5b-d9cb-469f-a165-70867728950e"

/* A source spec around the spec of a VirtualMachineInstance. */
#define SOURCE(instance) "{'metadata':{},'spec':{'template':{'metadata':{},'spec':" instance "}}}"
/* With extra members beside template. */
#define SOURCE_WITH(extra, instance)                                                               \
    "{'metadata':{},'spec':{" extra ",'template':{'metadata':{},'spec':" instance "}}}"

static inline cJSON *parse(const char *quoted)
{
    struct err err = {0};
    cJSON *tree = NULL;
    CLEANUP_FREE char *text = xstrdup(quoted);
    for (char *p = text; *p; p++)
        if (*p == '\'')
            *p = '"';
    if (json_parse(text, strlen(text), true, &tree, &err) < 0)
        fail_msg("%s in %s", err.message, quoted);
    return tree;
}

/* Strings in a row's expectation use ' as well. */
static inline void check_path(const char *row, const cJSON *tree, const char *expect)
{
    const char *equals = strstr(expect, " = ");
    assert_non_null(equals);
    CLEANUP_FREE char *path = xstrndup(expect, (size_t)(equals - expect));
    const cJSON *found = json_at(tree, path);
    CLEANUP_FREE char *text = found ? json_print(found) : xstrdup("nothing");
    if (str_eq(equals + 3, "-")) {
        if (found)
            fail_msg("%s: %s is %s, wanted nothing", row, path, text);
        return;
    }
    CLEANUP_JSON cJSON *want = parse(equals + 3);
    if (!json_equal(found, want))
        fail_msg("%s: %s is %s, wanted %s", row, path, text, equals + 3);
}

/* A Wukong "clone" in namespace "lab" of VM "src" there; extra members of spec as text. */
struct wukong_fixture {
    struct arena arena;
    cJSON *tree;
    struct wukong wukong;
    struct wukong_effective effective;
};
static inline void fixture_init(struct wukong_fixture *f, const char *labels, const char *spec)
{
    struct err err = {0};
    CLEANUP_FREE char *text =
        xasprintf("{'metadata':{'name':'clone','namespace':'lab','uid':'" UID "','labels':%s},"
                  "'spec':{'cloneSource':{'type':'vm','vmName':'src'}%s%s}}",
                  labels ? labels : "{}", str_empty(spec) ? "" : ",", spec ? spec : "");
    f->tree = parse(text);
    arena_init(&f->arena, MIB);
    if (wukong_decode(&f->arena, f->tree, &f->wukong, &err) < 0)
        fail_msg("%s", err.message);
    f->effective = wukong_resolve_defaults(&f->wukong.spec, f->wukong.ns);
}
static inline void fixture_release(struct wukong_fixture *f)
{
    cJSON_Delete(f->tree);
    arena_release(&f->arena);
}
#define CLEANUP_FIXTURE __attribute__((cleanup(fixture_release)))

/* "root data*" -> disks root and data with claims clone-root, clone-data; * marks the boot disk. */
struct disk_list {
    char names[LIMIT_DISKS][NAME_BUF], claims[LIMIT_DISKS][PVC_NAME_BUF];
    struct manifest_disk items[LIMIT_DISKS];
    size_t count;
};
static inline void disk_list_init(struct disk_list *d, const char *text)
{
    d->count = 0;
    while (text && *text) {
        size_t n = strcspn(text, " ");
        bool boot = text[n - 1] == '*';
        size_t i = d->count++;
        assert_true(i < LIMIT_DISKS);
        (void)snprintf(d->names[i], NAME_BUF, "%.*s", (int)(n - boot), text);
        (void)snprintf(d->claims[i], PVC_NAME_BUF, "clone-%.*s", (int)(n - boot), text);
        d->items[i] = (struct manifest_disk){d->names[i], d->claims[i], boot};
        text += n + strspn(text + n, " ");
    }
}

#endif
