/*
 * What is wrong with what a user wrote: a list of findings, all of them, each complete in itself
 * (value, rule, remedy), because kubectl prints causes and drops the message (kubectl
 * pkg/cmd/util/helpers.go checkErr). Texts live in the list's own arena. The list is bounded:
 * findings past ISSUES_MAX are counted and dropped, but an error stays an error: `errors` decides,
 * not what was kept.
 */
#ifndef WUKONG_ISSUES_H
#define WUKONG_ISSUES_H

#include <stdbool.h>
#include <stddef.h>

#include "base/buf.h"
#include "base/mem.h"

#define ISSUES_MAX 256
/* Of these at most so many are warnings, so that there is room for what an error says. */
#define ISSUES_WARNINGS_MAX 128
/* A user's value in a message is cut to this many bytes. */
#define ISSUE_VALUE_MAX 96
/* kube-apiserver asks for warnings of at most 120 characters (admission/v1 types.go). */
#define ISSUE_WARNING_MAX 120
/* Of all warnings of one answer: past 4,096 characters kube-apiserver cuts and drops them
   (apiserver pkg/endpoints/filters/warning.go), and other webhooks have warnings, too. */
#define ISSUE_WARNINGS_MAX 3800

/* metav1.CauseType, as in details.causes[].reason. */
enum issue_reason {
    ISSUE_INVALID,
    ISSUE_REQUIRED,
    ISSUE_NOT_SUPPORTED,
    ISSUE_DUPLICATE,
    ISSUE_FORBIDDEN,
    ISSUE_NOT_FOUND,
    ISSUE_REASONS
};
extern const char *const issue_reason_names[ISSUE_REASONS]; /* "FieldValueInvalid", … */

enum issue_severity { ISSUE_ERROR, ISSUE_WARNING };

struct rule;

struct issue {
    const struct rule *rule; /* its id: rule->id */
    const char *field;       /* "spec.disks[1].size" */
    enum issue_reason reason;
    enum issue_severity severity;
    const char
        *message; /* errors: "Invalid value: \"x\": must be …; set …"; warnings: a sentence */
};

struct issues {
    struct arena arena;
    struct issue *items;
    size_t count, cap, dropped;
    size_t errors, warnings; /* those that were dropped too */
};

void issues_init(struct issues *l);
void issues_release(struct issues *l);
/* No text of a further finding is kept: none needs to be composed. */
bool issues_full(const struct issues *l);
/* How much was found by now, and back to that. */
struct issues_mark {
    size_t count, dropped, errors, warnings;
};
struct issues_mark issues_mark(const struct issues *l);
void issues_rewind(struct issues *l, struct issues_mark mark);
#define CLEANUP_ISSUES __attribute__((cleanup(issues_release)))

/*
 * Adds a finding of the rule at the field. value: what the user wrote, printed as JSON would ("x",
 * 5), or NULL for none. detail: what is particular about this case (printf), appended to the rule's
 * own message; NULL for none. Reason, severity, message and remedy are the rule's.
 */
void issues_add(struct issues *l, const struct rule *rule, const char *field, const char *value,
                const char *detail, ...) __attribute__((format(printf, 5, 6)));
/* The same with the list of allowed values: "Unsupported value: …: supported values: …". names is
   terminated by count; NULL entries are skipped; the closest one is suggested. */
void issues_add_unsupported(struct issues *l, const struct rule *rule, const char *field,
                            const char *value, const char *const *names, size_t count);
/* The nearest of names within a third of its length, or NULL. */
const char *issues_suggest(const char *value, const char *const *names, size_t count);
/* Drops the finding at index i. */
void issues_drop(struct issues *l, size_t i);
/* True when a finding of that rule id is there. */
bool issues_has(const struct issues *l, const char *rule_id);
/* All errors in one text, as kube-apiserver joins them: "[spec.a: …, spec.b: …]", one alone without
   brackets. */
void issues_message(const struct issues *l, struct buf *out);

#endif
