/*
 * What is wrong with what a user wrote: a list of findings, all of them, each complete in itself
 * (value, rule, remedy), because kubectl prints causes and drops the message (kubectl
 * pkg/cmd/util/helpers.go checkErr). Texts live in the list's own arena. The list is bounded:
 * findings past FINDINGS_MAX are counted and dropped, but an error stays an error: `errors`
 * decides, not what was kept.
 */
#ifndef RULES_FINDINGS_H
#define RULES_FINDINGS_H

#include <stdbool.h>
#include <stddef.h>

#include "base/buf.h"
#include "base/mem.h"

#define FINDINGS_MAX 256
/* Of these at most so many are warnings, so that there is room for what an error says. */
#define FINDINGS_WARNINGS_MAX 128
/* A user's value in a message is cut to this many bytes. */
#define FINDING_VALUE_MAX 96
/* kube-apiserver asks for warnings of at most 120 characters (admission/v1 types.go). */
#define FINDING_WARNING_MAX 120
/* Of all warnings of one answer: past 4,096 characters kube-apiserver cuts and drops them
   (apiserver pkg/endpoints/filters/warning.go), and other webhooks have warnings, too. */
#define FINDING_WARNINGS_MAX 3800

/* metav1.CauseType, as in details.causes[].reason. */
enum finding_reason {
    FINDING_INVALID,
    FINDING_REQUIRED,
    FINDING_NOT_SUPPORTED,
    FINDING_DUPLICATE,
    FINDING_FORBIDDEN,
    FINDING_NOT_FOUND,
    FINDING_REASONS
};
extern const char *const finding_reason_names[FINDING_REASONS]; /* "FieldValueInvalid", … */

enum finding_severity { FINDING_ERROR, FINDING_WARNING };

struct rule;

struct finding {
    const struct rule *rule; /* its id: rule->id */
    const char *field;       /* "spec.disks[1].size" */
    enum finding_reason reason;
    enum finding_severity severity;
    const char
        *message; /* errors: "Invalid value: \"x\": must be …; set …"; warnings: a sentence */
};

struct findings {
    struct arena arena;
    struct finding *items;
    size_t count, cap, dropped;
    size_t errors, warnings; /* those that were dropped too */
};

void findings_init(struct findings *l);
void findings_release(struct findings *l);
/* No text of a further finding is kept: none needs to be composed. */
bool findings_full(const struct findings *l);
/* How much was found by now, and back to that. */
struct findings_mark {
    size_t count, dropped, errors, warnings;
};
struct findings_mark findings_mark(const struct findings *l);
void findings_rewind(struct findings *l, struct findings_mark mark);
#define CLEANUP_FINDINGS __attribute__((cleanup(findings_release)))

/*
 * Adds a finding of the rule at the field. value: what the user wrote, printed as JSON would ("x",
 * 5), or NULL for none. detail: what is particular about this case (printf), appended to the rule's
 * own message; NULL for none. Reason, severity, message and remedy are the rule's.
 */
void findings_add(struct findings *l, const struct rule *rule, const char *field, const char *value,
                  const char *detail, ...) __attribute__((format(printf, 5, 6)));
/* The same with the list of allowed values: "Unsupported value: …: supported values: …". names is
   terminated by count; NULL entries are skipped; the closest one is suggested. */
void findings_add_unsupported(struct findings *l, const struct rule *rule, const char *field,
                              const char *value, const char *const *names, size_t count);
/* The nearest of names within a third of its length, or NULL. */
const char *findings_suggest(const char *value, const char *const *names, size_t count);
/* Drops the finding at index i. */
void findings_drop(struct findings *l, size_t i);
/* True when a finding of that rule id is there. */
bool findings_has(const struct findings *l, const char *rule_id);
/* All errors in one text, as kube-apiserver joins them: "[spec.a: …, spec.b: …]", one alone without
   brackets. */
void findings_message(const struct findings *l, struct buf *out);

#endif
