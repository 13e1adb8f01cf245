/*
 * Any bytes as YAML: no crash, an error has a place, and what is read prints as JSON that our own
 * strict parser takes. Every node has a place.
 */
#include <assert.h>
#include <stdint.h>
#include <string.h>

#include "json/json.h"
#include "yaml/yaml.h"

static void visit(const struct yaml_document *d, const cJSON *node, unsigned depth)
{
    assert(depth <= LIMIT_JSON_DEPTH + 1);
    struct yaml_mark m = yaml_position_of(d, node, false);
    assert(m.line > 0 && m.column > 0);
    for (const cJSON *c = node->child; c; c = c->next)
        visit(d, c, depth + 1);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    CLEANUP_YAML struct yaml_stream s = {0};
    struct yaml_mark at = {0};
    struct err err = {0};
    if (yaml_parse((const char *)data, size, &s, &at, &err) < 0) {
        assert(*err.message && s.count == 0);
        return 0;
    }
    for (size_t i = 0; i < s.count; i++) {
        const struct yaml_document *d = &s.documents[i];
        visit(d, d->tree, 0);
        (void)yaml_position(d, "spec.disks[0].name", true);
        CLEANUP_FREE char *text = json_print(d->tree);
        CLEANUP_JSON cJSON *again = NULL;
        if (json_parse(text, strlen(text), true, &again, &err) == 0) {
            CLEANUP_FREE char *twice = json_print(again);
            assert(strcmp(text, twice) == 0);
        }
    }
    return 0;
}
