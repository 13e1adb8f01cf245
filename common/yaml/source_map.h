/*
 * Where each node of a document stood: a map from cJSON node to marks, kept beside the tree.
 */
#ifndef YAML_SOURCE_MAP_H
#define YAML_SOURCE_MAP_H

#include "yaml/yaml.h"

struct source_map *source_map_new(void);
void source_map_free(struct source_map *p);
/* key may be {0, 0}. */
void source_map_add(struct source_map *p, const cJSON *node, struct yaml_mark value,
                    struct yaml_mark key);
bool source_map_get(const struct source_map *p, const cJSON *node, bool key, struct yaml_mark *ret);

#endif
