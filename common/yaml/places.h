/*
 * Where each node of a document stood: a map from cJSON node to marks, kept beside the tree.
 */
#ifndef YAML_PLACES_H
#define YAML_PLACES_H

#include "yaml/yaml.h"

struct yaml_places *yaml_places_new(void);
void yaml_places_free(struct yaml_places *p);
/* key may be {0, 0}. */
void yaml_places_add(struct yaml_places *p, const cJSON *node, struct yaml_mark value,
                     struct yaml_mark key);
bool yaml_places_get(const struct yaml_places *p, const cJSON *node, bool key,
                     struct yaml_mark *ret);

#endif
