/*
 * The closed list of reasons: in conditions, Events, status.cloneStatus.lastError, metrics and
 * docs/user/reasons.md. The kind says what the worker does about it, the remedy what a person can
 * do.
 */
#ifndef API_REASONS_H
#define API_REASONS_H

enum reason {
    REASON_NONE,
    /* Progress. */
    REASON_CLONING,
    REASON_SUCCEEDED,
    REASON_TAKEN,
    REASON_READY,
    REASON_CLEANED,
    REASON_CLEANING_UP,
    REASON_RETRYING,
    REASON_EXPIRED,       /* what it has made is gone, or stopped, by spec.expires */
    REASON_FINAL_STOPPED, /* Ready: the clone is done and its VM is meant to be stopped */
    /* Waits: something outside has to change, until the deadline. */
    REASON_SOURCE_NOT_FOUND,
    REASON_OBJECT_UNREADABLE,
    REASON_TOO_LARGE,
    REASON_SOURCE_NOT_RUNNING,
    REASON_SOURCE_RUNNING,
    REASON_SOURCE_STARTING,
    REASON_SOURCE_BUSY,
    REASON_AGENT_NOT_CONNECTED,
    REASON_SOURCE_PAUSED,
    REASON_NOT_ADMITTED,
    REASON_POLICY_DENIED,
    REASON_OUTSIDE_WINDOW,
    REASON_NOT_BEFORE,
    REASON_AWAITING_GATES,
    REASON_QUEUED,
    REASON_SHARED_SNAPSHOT, /* another Wukong takes the snapshot for both */
    REASON_SNAPSHOT_CLASS_MISSING,
    REASON_CUT_REFUSED,  /* no point in time could be known of */
    REASON_CUT_TOO_SLOW, /* for a freeze, which is Required */
    REASON_DISK_UNSUITABLE,
    REASON_QUOTA_EXCEEDED,
    REASON_NAME_TAKEN,
    REASON_PREFLIGHT_REFUSED,
    REASON_DEPENDENCY_MISSING,
    REASON_WAITING_FOR_CONSUMER,
    REASON_WAITING,
    /* Ends of an attempt. */
    REASON_FREEZE_FAILED,
    REASON_FREEZE_LOST,
    REASON_CUT_TIMEOUT,
    REASON_SNAPSHOT_FAILED,
    REASON_SNAPSHOT_LOST,
    REASON_RESTORE_FAILED,
    REASON_CHANGED_BY_ADMISSION, /* what was stored is not what was asked for */
    REASON_CLONING_REFUSED,      /* by the CSI driver; snapshots are taken instead */
    REASON_SOURCE_CHANGED,
    REASON_SOURCE_STARTED,
    REASON_TARGET_LOST,
    REASON_VM_FAILED,
    /* Ends of a clone. */
    REASON_INVALID,
    REASON_SOURCE_UNSUPPORTED,
    REASON_DEADLINE_EXCEEDED,
    REASON_CANCELLED,
    REASON_RESTORED,      /* from a backup, without its status */
    REASON_EXPIRED_EARLY, /* before it has begun */
    REASON_LEFTOVERS,
    REASONS
};

enum reason_class {
    REASON_INFORMS,
    REASON_WAITS,     /* goes on by itself when the cause is gone, until the deadline */
    REASON_TRANSIENT, /* ends the attempt; another one follows after a backoff */
    REASON_TERMINAL,  /* ends the clone at once */
};

struct reason_info {
    const char *name;
    enum reason_class kind;
    const char *remedy; /* one sentence for people; NULL when there is nothing to do */
};
extern const struct reason_info reason_table[REASONS];
/* By its name as users see it; REASON_NONE when there is none of that name. */
enum reason reason_find(const char *name);

#endif
