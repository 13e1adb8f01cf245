/*
 * Shared by the tests of common/wukong: objects written as YAML, so that a row fits on a line.
 */
#ifndef TESTS_WUKONG_SUPPORT_H
#define TESTS_WUKONG_SUPPORT_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <stdio.h>
#include <string.h>

#include "base/str.h"
#include "json/json.h"
#include "wukong/rules/validate.h"
#include "yaml/yaml.h"

/* A Wukong of the spec, and a clone of the fields. */
#define WUKONG(spec)                                                                               \
    "{apiVersion: vm.novasphere.dev/v1alpha1, kind: Wukong, metadata: {name: w, namespace: prod}," \
    " spec: " spec "}"
#define CLONE(more) WUKONG("{cloneSource: {type: vmi, vmiName: web" more "}}")
#define CLONE_AND(more) WUKONG("{cloneSource: {type: vmi, vmiName: web}, " more "}")
#define VM_CLONE(more) WUKONG("{cloneSource: {type: vm, vmName: web" more "}}")
#define CREATOR(more)                                                                              \
    WUKONG("{cpu: 1, memory: 1Gi, disks: [{name: d, size: 1Gi, storageClassName: s}]" more "}")

/* The only document; fails the test when it does not parse. Owned by the caller. */
static inline cJSON *parse_yaml(const char *text)
{
    struct yaml_stream s = {0};
    struct err err;
    if (!text)
        return NULL;
    if (yaml_parse_one(text, strlen(text), &s, &err) < 0)
        fail_msg("%s in: %s", err.message, text);
    cJSON *tree = TAKE(s.documents[0].tree);
    yaml_stream_release(&s);
    return tree;
}

static inline void print_findings(const struct findings *l)
{
    for (size_t i = 0; i < l->count; i++)
        print_message("    %s: %s: %s\n", l->items[i].rule->id, l->items[i].field,
                      l->items[i].message);
}

/* Every message stands alone: it has text, and no trace of a missing argument. */
static inline void check_messages(const struct findings *l)
{
    for (size_t i = 0; i < l->count; i++) {
        const struct finding *e = &l->items[i];
        bool good = *e->message && !strstr(e->message, "(null)") && !strstr(e->message, "; ;");
        if (e->severity == FINDING_WARNING)
            good = good && strlen(e->message) <= FINDING_WARNING_MAX;
        if (!good)
            fail_msg("message of %s: %s", e->rule->id, e->message);
    }
}

#endif
