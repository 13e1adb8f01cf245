/*
 * The capture: what a clone is made from. Built once per attempt out of live reads (the source, its
 * ControllerRevision, its claims) and the classes; carried on the first snapshot of the attempt;
 * read back from there when the call log is gone. Its JSON:
 *   {"source": <spec, see worker/manifests/manifest.h>, "disks": [{name, volume, claim, …, "pvc":
 * <claim>}]}
 */
#ifndef OBSERVE_CAPTURE_H
#define OBSERVE_CAPTURE_H

#include "observe/cache_reader.h"
#include "observe/state.h"

/* An object to be read live; key names the call log's slot. */
struct capture_read {
    int kind; /* enum worker_kind */
    const char *ns, *name;
    struct call_key key;
    const char *body; /* not NULL: a spec to be expanded, sent by PUT */
};
/* The reads that the capture needs, as far as they are known by now: the source first, what it
   names (ControllerRevision, claims) once the source has been read. With the snapshots of this
   attempt there, the one that carries the capture instead. Lives in the state's arena. */
const struct capture_read *capture_reads(const struct clone_state *v, size_t *ret_count);

/*
 * Fills v->capture (and v->disks with the plan; snapshots are the caller's) from the call log: from
 * the finished capture, else from the reads when all are there. Stores a new capture in the
 * call log. v->wukong, effective, record, source, classes and snapshot_carrier must be filled
 * already. After the cut v->disks come from the record while there is no capture: what was made
 * from it is seen all the same.
 */
void capture_build(struct clone_state *v, struct call_log *call_log);
/* Fills v->capture.current. */
void capture_compare(struct clone_state *v, const struct cache_reader *caches);
/* The claim (PersistentVolumeClaim tree) behind disk i. NULL when the capture lacks it. */
const cJSON *capture_claim(const struct clone_state *v, size_t disk);
/* The source spec. */
const cJSON *capture_source(const struct clone_state *v);
/* How the source is restarted; NULL: it is Halted, or says nothing of it. */
const char *capture_run_strategy(const struct clone_state *v);

#endif
