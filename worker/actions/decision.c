#include "actions/decision.h"

#include <stdarg.h>
#include <stdio.h>

const char *const condition_type_names[CONDITION_TYPES] = {
    [COND_READY] = "Ready",
    [COND_RECONCILING] = "Reconciling",
    [COND_STALLED] = "Stalled",
    [COND_SOURCE_READY] = "SourceReady",
    [COND_POLICY_ALLOWED] = "PolicyAllowed",
    [COND_SNAPSHOT_READY] = "SnapshotReady",
    [COND_SNAPSHOT_TAKEN] = "SnapshotTaken",
    [COND_DISKS_READY] = "DisksReady",
    [COND_VM_READY] = "VirtualMachineReady",
    [COND_TEMPORARIES_CLEANED] = "TemporariesCleaned",
    [COND_AWAITING_GATES] = "AwaitingGates",
};

void why_set(struct why *why, enum reason reason, const char *format, ...)
{
    va_list args;
    va_start(args, format);
    why->reason = reason;
    (void)vsnprintf(why->message, sizeof why->message, format, args);
    va_end(args);
}

void decision_again(struct decision *d, int64_t at_ms)
{
    if (at_ms && (!d->again_ms || at_ms < d->again_ms))
        d->again_ms = at_ms;
}

void decision_condition(struct decision *d, enum condition_type type, enum condition_status status,
                        enum reason reason, const char *message)
{
    d->conditions[type] = (struct condition){status, reason, message};
}
