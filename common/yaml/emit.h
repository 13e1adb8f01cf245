/*
 * Writes a cJSON tree as YAML, block style, as kubectl's -o yaml looks. Text that YAML might read
 * as anything but that text is quoted as JSON, which is YAML too; whatever is written here,
 * yaml_parse and sigs.k8s.io/yaml read back as the same tree.
 */
#ifndef YAML_EMIT_H
#define YAML_EMIT_H

#include <cjson/cJSON.h>

#include "base/buf.h"

void yaml_emit(const cJSON *tree, struct buf *out);

#endif
