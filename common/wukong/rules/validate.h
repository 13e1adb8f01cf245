/*
 * Judges a Wukong's JSON tree by the table of rules. Pure: no I/O, `now` is not needed. Any tree
 * may be given, of any shape: wrong types are findings and never a crash. null counts as absent, as
 * the API server prunes it. Unknown fields are reported only when asked (lint): a webhook never
 * sees them.
 */
#ifndef RULES_VALIDATE_H
#define RULES_VALIDATE_H

#include <stdbool.h>

#include <cjson/cJSON.h>

#include "wukong/rules/findings.h"
#include "wukong/rules/rules.h"

/* All schema and static rules. object may be NULL: then everything is wrong with it. */
void validate_create(const cJSON *object, struct findings *l);
/* The same, with the rules of UPDATE: immutability (quantities by value), and ratcheting: a finding
   that the old object has too, about a value that did not change, is not reported. */
void validate_update(const cJSON *old, const cJSON *object, struct findings *l);
/* The update changes when, or whether, an admitted clone runs: its timing, or a new value of the
   retry annotation. Whoever does that asks for the clone anew, and needs the right to. */
bool update_asks_anew(const cJSON *old, const cJSON *object);
/* A ClonePolicy object: its schema and static rules. */
void validate_policy(const cJSON *object, struct findings *l);
void validate_policy_unknown_fields(const cJSON *object, struct findings *l);
/* Adds unknown fields, each with the nearest known name. */
void validate_unknown_fields(const cJSON *object, struct findings *l);

#endif
