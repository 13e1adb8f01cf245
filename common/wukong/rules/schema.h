/*
 * The shape of a Wukong (and of a ClonePolicy): which fields there are and of what type, as in the
 * CRD's OpenAPI schema. Values are the rules' business (rules/rules.h); this table only says where
 * a field may stand, so that a check never meets a wrong type and lint can name an unknown field.
 */
#ifndef RULES_SCHEMA_H
#define RULES_SCHEMA_H

#include <stdbool.h>
#include <stddef.h>

#include <cjson/cJSON.h>

enum schema_type {
    SCHEMA_OBJECT,
    SCHEMA_ARRAY,
    SCHEMA_STRING,
    SCHEMA_INTEGER,
    SCHEMA_BOOLEAN,
    SCHEMA_INT_OR_STRING,
    SCHEMA_STRING_MAP, /* any keys, string values */
    SCHEMA_OPEN,       /* an object with whatever in it */
    SCHEMA_ANY         /* not looked into: metadata's rest, status */
};

struct schema {
    const char *name;
    enum schema_type type;
    const struct schema *fields; /* of an object; of an array: its one item */
    size_t count;
    size_t max; /* members or items; 0: a rule of its own says how many, or nobody does */
};

/* An object of ours has at most some twenty fields. Every look at a field walks over its members,
   so that one with thousands would cost much and mean nothing. */
#define SCHEMA_MEMBERS_MAX 256

extern const struct schema schema_wukong;
extern const struct schema schema_policy;

/* "a string", "a whole number", … */
const char *schema_type_text(enum schema_type type);
/* An example of how such a value is written. */
const char *schema_type_remedy(enum schema_type type);
bool schema_fits(enum schema_type type, const cJSON *value);
const struct schema *schema_field(const struct schema *object, const char *name);

/* A whole number in any spelling that the API server takes for one (4, 4.0, 4e0). */
bool schema_integer(const cJSON *value, long long *ret);

#endif
