/*
 * What `plan` plans of one Wukong: the disks, the point in time, what is made and what it
 * costs, when it would begin, and everything that speaks against it. The judgements are those of
 * the webhook and the worker (common/wukong, common/lookup); here they are put together. Pure: what
 * was looked up goes in.
 */
#ifndef CLI_PLAN_H
#define CLI_PLAN_H

#include <stdbool.h>
#include <stdint.h>

#include <cjson/cJSON.h>

#include "base/mem.h"
#include "lookup/source_lookup.h"
#include "manifests/manifest.h"
#include "wukong/api/spec.h"
#include "wukong/policy/policy.h"
#include "wukong/source/cut.h"
#include "wukong/source/disks.h"

#define PLAN_NOTES_MAX 512
#define PLAN_OBJECTS_MAX 8
#define PLAN_CHANGES_MAX 64

enum plan_note_kind {
    NOTE_REFUSED, /* it would be refused */
    NOTE_WAITS,   /* it would be held until somebody mends it */
    NOTE_LATER,   /* it would be held until a time that is known */
    NOTE_UNKNOWN, /* could not be looked up */
    NOTE_WARNING,
    NOTE_KINDS
};
extern const char *const plan_note_kind_names[NOTE_KINDS]; /* in JSON */

struct plan_note {
    enum plan_note_kind kind;
    const char *subject; /* a field, "ClonePolicy gold", "ResourceQuota x", "right" */
    const char *text;
};

enum plan_verdict { PLAN_RUNS, PLAN_REFUSED, PLAN_WAITS, PLAN_UNKNOWN, PLAN_VERDICTS };
extern const char *const plan_verdict_names[PLAN_VERDICTS];

/* What the shell looked up beside common/lookup. */
struct plan_input {
    const cJSON *tree;      /* the Wukong; not looked at by the rules when it is in the cluster */
    bool stored;            /* it is in the cluster: admitted already */
    bool admission_known;   /* stored, or the API server accepted or refused a dry run */
    const struct wukong *w; /* decoded from tree; ns is set */
    const struct wukong_effective *e;
    const struct source_info *g;
    const cJSON *quotas; /* list of the target namespace; NULL: not known */
    const char *user;    /* NULL: not known */
    const char *const *groups;
    size_t group_count;
    int64_t now_ms;
};

struct plan_disk {
    const struct disk_plan *plan;
    const char *snapshot; /* name of the VolumeSnapshot; NULL: none is taken, or its name is not
                             known yet because the Wukong has no UID */
    bool takes_snapshot;
};

struct plan {
    const struct plan_input *in;
    struct arena *arena;
    struct disks disks;
    struct plan_disk *items; /* disks.count */
    struct cut_foreseen cut;
    bool known; /* its disks are planned */
    const char
        *vm_snapshot; /* method VirtualMachineSnapshot: "" while it has no name yet; else NULL */
    struct {
        int64_t snapshot_bytes, claim_bytes, objects;
        struct planned_count {
            const char *kind;
            int64_t count;
            bool temporary;
        } items[PLAN_OBJECTS_MAX];
        size_t count;
    } cost;
    int64_t start_ms;    /* 0: now; INT64_MAX: never */
    size_t policy_count; /* those that match */
    const struct policy **policies;
    const char *machine;                   /* the first VirtualMachine, as JSON; NULL: not known */
    const char *changes[PLAN_CHANGES_MAX]; /* beside its source, one sentence each */
    size_t change_count, changes_left_out;
    struct plan_need {
        const char *kind, *ns, *name;
    } * needs; /* what the machine names and must find */
    size_t need_count;
    struct plan_note notes[PLAN_NOTES_MAX];
    size_t note_count;
    enum plan_verdict verdict;
};

/* in and arena are borrowed for the life of ret. Notes that the shell has already added stay. */
void plan_build(const struct plan_input *in, struct arena *arena, struct plan *ret);
void plan_note_add(struct plan *f, enum plan_note_kind kind, const char *subject,
                   const char *format, ...) __attribute__((format(printf, 4, 5)));
/* Sets the verdict from the notes; again after the shell has added some. */
void plan_conclude(struct plan *f);
/* Builds the first machine from what was read of the source, and notes what the worker would say of
   it. After plan_build. */
void plan_machine(struct plan *f, const struct manifest_source *source);
/* Names of what a clone makes; the base is generateName's when there is no name yet. */
const char *plan_name(const struct wukong *w);

/* --- plan_output.c --- */

/* columns: of the terminal, for wrapping. */
void plan_text(const struct plan *f, unsigned columns, struct buf *out);
void plan_json(const struct plan *f, struct buf *out);

#endif
