/*
 * What a plain YAML scalar is: the table of go.yaml.in/yaml/v2 resolve.go, then the conversion to
 * JSON of sigs.k8s.io/yaml.
 */
#ifndef YAML_RESOLVE_H
#define YAML_RESOLVE_H

#include <stdbool.h>
#include <stddef.h>

#include <cjson/cJSON.h>

enum yaml_scalar {
    YAML_SCALAR_NULL,
    YAML_SCALAR_BOOLEAN,
    YAML_SCALAR_NUMBER, /* a cJSON_Number, or cJSON_Raw past 2^53 */
    YAML_SCALAR_STRING,
    YAML_SCALAR_MERGE, /* << */
    YAML_SCALAR_BAD    /* .inf, .nan: JSON has no such value */
};

/* The kind, and in *ret the JSON node (owned; NULL for MERGE and BAD). */
enum yaml_scalar yaml_resolve(const char *text, cJSON **ret);
/* How the value reads as a key: numbers and booleans become strings. NULL: not allowed as a key.
   Free it. */
char *yaml_resolve_key(const char *text);

#endif
