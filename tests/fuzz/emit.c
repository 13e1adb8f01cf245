/*
 * Any JSON, printed as JSON and as YAML, and read again: the same comes back.
 */
#include <assert.h>
#include <stdint.h>

#include "base/buf.h"
#include "base/mem.h"
#include "json/json.h"
#include "json/writer.h"
#include "yaml/emit.h"
#include "yaml/yaml.h"

static void through_json(const cJSON *tree)
{
    CLEANUP_BUF struct buf out = BUF_INIT(64 * MIB);
    CLEANUP_JSON cJSON *again = NULL;
    struct err err = {0};
    struct json_writer w = json_writer(&out);
    json_object(&w, NULL);
    json_tree(&w, "tree", tree);
    if (cJSON_IsString(tree))
        json_string(&w, "text", tree->valuestring);
    json_end(&w);
    if (!buf_ok(&out) || json_read(out.data, out.len, &again, &err) < 0) {
        assert(err.kind == ERR_LIMIT); /* one level more than may be */
        return;
    }
    assert(json_equal(json_get(again, "tree"), tree));
    if (cJSON_IsString(tree))
        assert(json_equal(json_get(again, "text"), tree));
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    CLEANUP_JSON cJSON *tree = NULL;
    CLEANUP_BUF struct buf yaml = BUF_INIT(64 * MIB);
    struct err err = {0};
    if (json_parse((const char *)data, size, true, &tree, &err) < 0)
        return 0;
    through_json(tree);
    yaml_emit(tree, &yaml);
    return 0;
}
