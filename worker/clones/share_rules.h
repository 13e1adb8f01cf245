/*
 * Who shares whose snapshot; pure. Wukongs form a group when they wait for the same source and are
 * equal in all that the snapshot depends on. The oldest one that is ready leads: it takes the
 * snapshot as any clone does. The others take over what it cut. docs/contributor/decisions.md says
 * why it is so:
 *
 *   - The leader's record that begins its attempt lists the others (cloneStatus.sharedWith). That
 * one write closes the group: who is not in it when it is stored does not share.
 *   - Until the leader's cut is in its record the others have written nothing and owe nothing. Each
 *     then takes it over into its own record (cloneStatus.shared), in one write.
 *   - A snapshot keeps its leader's label. Whoever has no use for it any more leaves it when
 * somebody else still has, and removes it when nobody has: the references are the records
 * themselves.
 *
 * Times are monotonic milliseconds unless they say wall.
 */
#ifndef CLONES_SHARE_RULES_H
#define CLONES_SHARE_RULES_H

#include "base/buf.h"
#include "observe/state.h"

/* The largest group: the leader's status holds its list. */
#define SHARE_MEMBERS_MAX 100
/* A leader waits this long for the next equal Wukong after the last one appeared, but never longer
   than the second figure: one `kubectl apply` of many is one group. */
#define SHARE_QUIET_MS 1000
#define SHARE_LINGER_MS 5000
/* A clone found ready counts as ready this long, unless a later reconcile finds otherwise. */
#define SHARE_READY_MS 60000
/* The others pass over a leader that cannot write its record for this long. */
#define SHARE_STUCK_MS 20000
/* A follower may have stored its take-over at the last moment, and our watch may not show it yet.
   The leader keeps the snapshots this much longer, so that it removes none that a follower needs.
   */
#define SHARE_SETTLE_MS 30000

struct share_candidate {
    const char *uid, *name, *attempt_id;
    int64_t created_ms; /* wall, whole seconds */
    int64_t seen_ms;    /* this process saw it first */
    enum share_state state;
    bool equal; /* ready, and from the very same source, disks and classes */
    bool stuck; /* see SHARE_STUCK_MS */
};

/* Clones of this kind can share at all. */
bool share_possible(const struct wukong_effective *e);
/* What must be equal of two specs, and their namespace; as text, so that equal is equal. */
void share_write_key(const struct wukong *w, const struct wukong_effective *e, struct buf *out);
/* What must be equal of two clones that are ready: source UID and resolved disks. */
void share_write_ready_key(const struct clone_state *v, struct buf *out);
/* One attempt of one Wukong: another attempt, an edited spec or a retry has another attempt_id. */
void share_write_attempt_id(const struct wukong *w, const struct clone_record *r,
                            char out[ATTEMPT_ID_TEXT]);

struct share_verdict {
    enum share_role role;                 /* SHARE_LEAD, SHARE_LINGER or SHARE_FOLLOW */
    const struct share_candidate *leader; /* SHARE_FOLLOW */
    int64_t until_ms;                     /* SHARE_LINGER */
};
/* self is ready. lead_since_ms: since when it would lead; 0: since now. Candidates have the same
   key, have not begun and have not ended. */
struct share_verdict share_judge(const struct share_candidate *self,
                                 const struct share_candidate *candidates, size_t count,
                                 int64_t lead_since_ms, int64_t now_ms);
/* The candidates that share when self begins now, oldest first. Changes the order of candidates;
   the result lives in the arena. */
const struct share_member *share_members(struct arena *a, struct share_candidate *candidates,
                                         size_t count, size_t *ret_count);
/* A cut may be taken over, or may just have been (settle_ms). until_ms: wall, as recorded with the
   cut (cloneStatus.sharedUntil), so that a worker that starts anew does not offer what the one
   before it has removed; seen_ms: monotonic, this process saw the record, for a clock that is set
   back; 0: now. */
bool share_offered(int64_t until_ms, int64_t seen_ms, int64_t settle_ms, const struct now *now);
/* The leader's attempt failed before the cut: true when the cause would hit its followers too. A
   failed freeze, snapshot or source would; the leader's own name or deadline would not. */
bool share_failure_is_common(const struct clone_record *leader);

#endif
