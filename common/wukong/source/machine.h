/*
 * The source at this moment: its VirtualMachine and that one's VirtualMachineInstance. The webhook
 * and the command line read them as whole objects, the worker from the fields that its caches keep;
 * what the fields mean is said once, here. Pure. All strings are borrowed from what was read.
 */
#ifndef SOURCE_MACHINE_H
#define SOURCE_MACHINE_H

#include <stdbool.h>
#include <stdint.h>

#include <cjson/cJSON.h>

#include "base/mem.h"
#include "wukong/source/holds.h"

struct source_machine {
    bool vm_exists, vm_deleting;
    bool vmi_exists; /* there is an instance, and it has not ended */
    bool vmi_ended;  /* there is one in phase Succeeded or Failed: it never runs again */
    bool vmi_deleting;
    /* The worker has both names of what it looked for, though it be not there. */
    const char *vm_name, *vmi_name, *vm_uid, *vmi_uid;
    const char *phase; /* of the instance; NULL */
    bool running;      /* in phase Running, and nobody has deleted it */
    bool agent, paused;
    int64_t began_ms;     /* to run, by virt-controller's clock; 0: unknown */
    const char *guest_os; /* as the guest agent names it: "debian", "mswindows"; NULL: unknown */
    const char *freeze_status; /* NULL: thawed, as far as KubeVirt's poll of 5 s knows */
    struct source_holds holds; /* what others do to it */
};

/* There is an instance, ended or not. */
static inline bool machine_has_instance(const struct source_machine *m)
{
    return m->vmi_exists || m->vmi_ended;
}

/* The fields of both objects that tell; what is NULL or false is not there. */
struct machine_fields {
    bool vm_exists, vm_deleting;
    const char *vm_name, *vm_uid, *snapshot, *restore;
    const cJSON *vm_conditions;
    bool vmi_exists, vmi_deleting; /* exists, ended or not */
    const char *vmi_name, *vmi_uid, *phase, *freeze_status, *guest_os;
    int64_t created_ms; /* the instance */
    const cJSON *vmi_conditions, *phase_times, *migrated_volumes, *migration, *backup;
};
struct source_machine machine_read(const struct machine_fields *f);
/* The same from whole objects; NULL: not there. */
struct source_machine machine_of(const cJSON *vm, const cJSON *vmi);
/* A VMI in that phase, Succeeded or Failed, runs no more. */
bool vmi_has_ended(const char *phase);
/* Copies its strings into the arena. */
void machine_keep(struct arena *a, struct source_machine *m);

#endif
