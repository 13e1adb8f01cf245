/*
 * The rules, one table to a file (rules_*.c): everything that a Wukong can be refused or warned
 * for. The webhook, the worker's pre-flight, `kubectl wukong lint` and docs/user/rules.md all come
 * from it, so none can know a rule that another does not.
 *
 * A static rule names the place it looks at (`on`, a path whose [] stands for every item) and a
 * check; the engine (rules/validate.c) calls the check for each value found there that has the type
 * the schema gives it, so a check never meets a wrong type. A rule without a check is reported by
 * code that needs more than the object: facts of the cluster, the old object, a policy.
 */
#ifndef RULES_RULES_H
#define RULES_RULES_H

#include <stddef.h>

#include <cjson/cJSON.h>

#include "wukong/api/reasons.h"
#include "wukong/rules/findings.h"

struct check;

enum rule_group { RULE_SCHEMA, RULE_STATIC, RULE_UPDATE, RULE_SOURCE, RULE_POLICY };

/* A warning of admission that means that the clone is held until somebody mends it. */
enum rule_wait {
    RULE_GOES_ON,
    RULE_WAITS,
    RULE_WAITS_TO_QUIESCE, /* where quiesce is Required */
};

struct rule {
    const char *id;
    enum rule_group group;
    enum finding_severity severity;
    enum finding_reason cause; /* of the refusal, as the API server words it */
    enum reason reason;        /* why a clone that is stored waits or ends; NONE: the rule warns, or
                                  only the webhook asks it */
    enum rule_wait waits;
    const char *on;        /* the value looked at; also the field reported unless `field` is set */
    const char *field;     /* where it is reported, relative to `on` (".vmName"), or NULL */
    const char *condition; /* when it strikes, for the reference page */
    const char *message;   /* the rule: "must be between 1 and 64"; NULL: the check words it */
    const char *remedy;    /* what to do: "set a whole number of cores, such as 4"; or NULL */
    void (*check)(struct check *c, const cJSON *value);
    const void *arg; /* of the check */
};

/* In the order of the tables. */
size_t rule_count(void);
const struct rule *rule_at(size_t index);

/* The rule with that id; never NULL (asserts: ids are written by programmers). */
const struct rule *rule_find(const char *id);

#endif
