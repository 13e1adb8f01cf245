/*
 * What some sources and Wukongs are like beside their disks. The seed says who has which trait, and
 * no draw: a run without a trait is what it would be if there were none.
 */
#include "run/sim.h"

#include <inttypes.h>

#include "base/mem.h"
#include "base/str.h"
#include "wukong/api/spec.h"

/* Per mille of those who can have it. */
#define EPHEMERAL_PER_MILLE 120
#define HIDDEN_PER_MILLE 120
#define HOOKED_PER_MILLE 250
#define RESTORED_PER_MILLE 60

/* Of the workers: they run no more clones at once than that. */
#define NARROW_PER_MILLE 250
#define NARROW_IN_FLIGHT 2

bool trait(const struct sim *s, const char *what, const char *whose, unsigned per_mille)
{
    CLEANUP_FREE char *text = xasprintf("%" PRIu64 "/%s/%s", s->seed, what, whose);
    struct rng rng;
    rng_seed(&rng, str_hash64(text, strlen(text)));
    return !s->plan && rng_chance(&rng, per_mille);
}

/* A read-only claim below an overlay on the node. What the guest writes counts as the claim's here:
   the checker of these asks whether the disk is there, and not what it holds. */
static void lay_over_claim(cJSON *spec)
{
    cJSON *volume = cJSON_GetArrayItem(jt_at(spec, "volumes"), 0);
    jt_str(volume, "ephemeral.persistentVolumeClaim.claimName",
           json_str(volume, "persistentVolumeClaim.claimName"));
    jt_drop(volume, "persistentVolumeClaim");
}

void traits_source(struct sim *s, const char *name, cJSON *vm, cJSON *instance_spec)
{
    if (trait(s, "ephemeral", name, EPHEMERAL_PER_MILLE))
        lay_over_claim(instance_spec);
    if (vm && trait(s, "hooked", name, HOOKED_PER_MILLE))
        jt_str(vm, SIM_HOOK, "[{\"image\":\"hook\"}]");
}

void traits_hide_state(struct sim *s, const char *name, cJSON *vm)
{
    if (trait(s, "hidden", name, HIDDEN_PER_MILLE))
        jt_str(vm, "spec.preference.name", CLUSTER_TPM_PREFERENCE);
}

void traits_wukong(struct sim *s, cJSON *wukong)
{
    if (trait(s, "restored", json_str(wukong, "metadata.name"), RESTORED_PER_MILLE)) {
        jt_str(wukong, "metadata.labels[" SIM_RESTORED "]", "nightly-backup");
        /* `kubectl create` of what was dumped puts the finalizer on by its own field manager. */
        if (trait(s, "guarded", json_str(wukong, "metadata.name"), 500))
            jt_add(wukong, "metadata.finalizers", WUKONG_FINALIZER);
    }
}

unsigned traits_in_flight(const struct sim *s)
{
    return trait(s, "narrow", "", NARROW_PER_MILLE) ? NARROW_IN_FLIGHT : s->max_in_flight;
}
