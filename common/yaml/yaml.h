/*
 * YAML (and so JSON) text to cJSON trees that remember where each value stood, over libyaml. It may
 * depend on base and json. Scalars become what `kubectl apply` would send: they are resolved as
 * sigs.k8s.io/yaml does (go.yaml.in/yaml/v2 resolve.go: YAML 1.1 with yes/no/on/off/y/n, 0x, 0o and
 * 0b numbers, `_` in digits; a timestamp stays the string that was written). Anchors, aliases and
 * merge keys (<<) are expanded. Refused, each with line and column: a duplicate key, a key that is
 * no scalar, a value JSON cannot hold (.inf, .nan), !!binary, an unknown alias, a cycle, more than
 * LIMIT_YAML_BYTES of text, LIMIT_YAML_NODES nodes once expanded, or LIMIT_JSON_DEPTH levels.
 *
 * Whole numbers past 2^53 keep their digits as cJSON_Raw, as in json_parse's lossless trees.
 * Lines and columns count from 1; columns count characters, not bytes.
 */
#ifndef YAML_YAML_H
#define YAML_YAML_H

#include <stdbool.h>
#include <stddef.h>

#include <cjson/cJSON.h>

#include "base/err.h"
#include "base/mem.h"

struct yaml_mark {
    unsigned line, column; /* 0, 0: unknown */
};

struct source_map;

/* One document. An empty one (`---` twice, a file of comments) is left out. */
struct yaml_document {
    cJSON *tree;
    struct yaml_mark start;
    struct source_map *places;
};

struct yaml_stream {
    struct yaml_document *documents;
    size_t count;
};

void yaml_stream_release(struct yaml_stream *s);
#define CLEANUP_YAML __attribute__((cleanup(yaml_stream_release)))

/*
 * Reads every document of the text. On failure nothing is returned: ERR_INVALID or ERR_LIMIT with
 * "line L, column C: what is wrong" in err, and the place in *ret_mark when that is not NULL. Later
 * documents of a file that does not parse are not looked at, as with kubectl.
 */
WUKONG_CHECK int yaml_parse(const char *text, size_t len, struct yaml_stream *ret,
                            struct yaml_mark *ret_mark, struct err *err);

/* The text's only document: an empty text, or a second document, is ERR_INVALID. Release the
   stream; its first document is the tree. */
WUKONG_CHECK int yaml_parse_one(const char *text, size_t len, struct yaml_stream *ret,
                                struct err *err);

/* The same with fewer nodes, for texts whose author is not trusted. */
WUKONG_CHECK int yaml_parse_small(const char *text, size_t len, size_t max_nodes,
                                  struct yaml_stream *ret, struct err *err);

/* Where the value at the path stands, "spec.disks[0].name" as in field errors (a key that holds
   dots in brackets). The place of the nearest parent that exists when the value does not; the
   key's own place when key is true and there is a key. */
struct yaml_mark yaml_position(const struct yaml_document *d, const char *path, bool key);
/* The same below a node of the document's tree (an item of a List). */
struct yaml_mark yaml_position_in(const struct yaml_document *d, const cJSON *root,
                                  const char *path, bool key);
/* The same for a node itself. */
struct yaml_mark yaml_position_of(const struct yaml_document *d, const cJSON *node, bool key);

#endif
