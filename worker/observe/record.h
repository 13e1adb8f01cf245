/*
 * struct clone_record: what the worker must know of one clone and the cluster cannot show. The
 * worker writes it to status.cloneStatus before the act that it announces, so that a restarted
 * worker continues safely. It never takes names from it, but computes them again
 * (wukong/api/child_names.h).
 *
 * Strings are borrowed from the arena given to record_read. Times are Unix milliseconds, 0 = unset.
 */
#ifndef OBSERVE_RECORD_H
#define OBSERVE_RECORD_H

#include <stdbool.h>
#include <stdint.h>

#include <cjson/cJSON.h>

#include "base/mem.h"
#include "wukong/source/cut.h"
#include "wukong/source/cut_rule.h"
#include "wukong/source/disks.h"

enum clone_phase { PHASE_NONE, PHASE_PENDING, PHASE_CLONING, PHASE_SUCCEEDED, PHASE_FAILED };
#define CLONE_PHASES (PHASE_FAILED + 1)
extern const char *const clone_phase_names[CLONE_PHASES];

/* Who shares the snapshot that this attempt takes. */
#define ATTEMPT_ID_TEXT 17
struct share_member {
    const char *uid, *name;
    const char *attempt_id; /* which of its attempts (worker/clones/share_rules.h) */
};

/* A machine of a batch that has been there and ready: its user's, whatever becomes of the others.
 */
struct ready_target {
    int64_t index;
    const char *vm_uid;
    int64_t ready_ms, cut_ms;     /* when, and of which point in time its disks are */
    enum consistency consistency; /* and what they are worth; UNKNOWN: noted by a worker before */
};

/* status.cloneStatus.disks[].method where CDI copies byte by byte, which is no plan of ours. */
#define DISK_METHOD_HOST_COPY "CDIHostCopy"

/* One disk as it was planned. It stays in status when what carried the capture is gone: what is
   there of the clone is told by it, nothing is made from it. */
struct record_disk {
    const char *name, *volume, *claim;
    const char *storage_class; /* NULL: none */
    int64_t bytes;             /* 0: unknown */
    enum disk_method method;
    enum cut_rule cut;
    bool grouped; /* with others of its driver */
};

/* What is true of one attempt alone. The next one begins with one assignment of all of it, so that
   nothing that was recorded of the last is taken for its own. */
struct attempt {
    int64_t begun_ms;
    int64_t progress;       /* percent */
    const char *source_uid; /* the VMI's for running, the VM's for a stopped source */
    struct {
        int64_t requested_ms, deadline_ms, acknowledged_ms, thawed_ms;
        const char *vmi_uid;
    } freeze;
    int64_t cut_ms;      /* all snapshots of this attempt were seen cut, and consistency is known */
    int64_t snapshot_ms; /* when they were, by the storage's clock, whatever that shows; 0: unset */
    int64_t snapshot_bytes;
    /* How long the guest was, or may have been, frozen in this attempt; while the thaw is owed, so
       far. Of a cut that was taken over: at most. */
    int64_t freeze_ms;
    bool froze; /* freeze_ms is meant */
    enum consistency consistency;
    /* Machines and claims of this run bear an owner from their creation; those of the release
       before did not. */
    bool owned;
    struct {
        const char *uid, *name; /* uid NULL: this attempt takes its own snapshot */
        int64_t attempt;
    } shared; /* the Wukong whose snapshot was taken over, and in which of its attempts */
    const struct share_member *members;
    size_t member_count;
    int64_t shared_until_ms; /* those take the cut over before */
};

struct clone_record {
    enum clone_phase phase;
    int64_t attempts; /* 1 = the first attempt is under way or over */
    struct attempt attempt;
    int64_t start_ms, completion_ms; /* the deadline's clock runs from start_ms */
    const char *source_vmi;          /* of the attempt before, until the present one has begun */
    struct {
        int64_t at_ms;
        const char *vmi_uid;
    } started;                  /* we started the source */
    const char *const *vm_uids; /* of the machines, by index; NULL where none was seen yet */
    size_t vm_uid_count;
    const struct record_disk *disks; /* of the attempt whose cut is recorded; all or none */
    size_t disk_count;
    bool labelled; /* claims of the source may bear the label of a cut (teardown/claim_labels.c) */
    const char *vm_snapshot_uid; /* the VirtualMachineSnapshot whose VolumeSnapshots are ours */
    const struct ready_target *ready; /* of a batch; each once */
    size_t ready_count;
    struct {
        int64_t count;  /* machines of a batch that were made anew, each time */
        int64_t target; /* which is being removed for that, its index + 1; 0: none */
    } repair;
    const char *retry_token; /* value of the retry annotation that was acted upon */
    struct {
        const char *reason, *message, *disk; /* reason NULL: none */
        int64_t at_ms, attempt;
        int64_t in_a_row; /* attempts that ended so, one after the other, this one included */
        bool terminal;
        bool froze; /* freeze_ms of the attempt that ended so */
        int64_t freeze_ms;
    } error;
    struct {
        int64_t at_ms; /* it has expired: what follows is the action of then; 0: it has not */
        enum expiry action;
        int64_t done_ms; /* its machines were stopped, each once; 0: not yet */
    } expired;
    bool cloning_refused; /* by a CSI driver, in this attempt or an earlier one; never forgotten */
    /* By snapshotMethod Auto no VolumeGroupSnapshot is taken any more. */
    struct {
        const char *message; /* how one failed; NULL: none has */
        int64_t attempt;     /* it cost this one, which does not count; 0: it cost none */
    } groups_refused;
};

/* True while the present attempt has failed and is being cleaned up after. */
static inline bool record_aborted(const struct clone_record *r)
{
    return r->error.reason && r->attempts > 0 && r->error.attempt == r->attempts;
}
/* Those that count against retryLimit. */
static inline int64_t record_counted_attempts(const struct clone_record *r)
{
    return r->attempts - (r->groups_refused.attempt > 0);
}
/* True while a freeze was announced whose thaw is not known to have happened. */
static inline bool record_owes_thaw(const struct clone_record *r)
{
    return r->attempt.freeze.requested_ms && !r->attempt.freeze.thawed_ms;
}
/* It has begun, even if it only started its source: it holds its slot until its end. */
static inline bool record_begun(const struct clone_record *r)
{
    return r->attempts > 0 || r->started.at_ms;
}
/* NULL: not known. */
static inline const char *record_vm_uid(const struct clone_record *r, size_t index)
{
    return index < r->vm_uid_count ? r->vm_uids[index] : NULL;
}
static inline bool record_final(const struct clone_record *r)
{
    return r->phase == PHASE_SUCCEEDED || r->phase == PHASE_FAILED;
}

/* When what it has made goes, of a clone that is over, or by the clock; 0: never, or not known yet.
 */
int64_t record_expires(const struct clone_record *r, const struct wukong_effective *e);
/* The attempt has begun: by itself, or with a cut taken over. */
bool share_begun(const struct clone_record *r);

/* clone_status: status.cloneStatus, NULL when absent. Unknown or wrong fields count as unset. */
struct clone_record record_read(struct arena *a, const cJSON *clone_status);

#endif
