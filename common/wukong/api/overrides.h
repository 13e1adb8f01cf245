/*
 * spec.target.overrides: a merge patch (RFC 7386) on the spec of the clone's VirtualMachine. It is
 * the last word about the machine but for what makes it another one than its source: identity,
 * names, disks and networks. Those places are listed here once, for the rules, the worker and the
 * policies. Pure, and safe on any tree.
 */
#ifndef API_OVERRIDES_H
#define API_OVERRIDES_H

#include <stdbool.h>
#include <stddef.h>

#include <cjson/cJSON.h>

/* As compact JSON. A whole VirtualMachine of a large installation has some 10 KiB. */
#define OVERRIDES_BYTES_MAX 16384
/* Objects and lists in one another; the deepest of KubeVirt's own fields, a term of an affinity,
   needs 12. */
#define OVERRIDES_DEPTH_MAX 16
/* A path as users read it, "template.spec.domain.cpu"; longer ones are cut. */
#define OVERRIDES_PATH_MAX 256

enum override_fault {
    OVERRIDE_PROTECTED, /* identity, a name, a disk or a network */
    OVERRIDE_PARENT,    /* removes or replaces an object that holds one */
    OVERRIDE_CLAIM,     /* names a claim */
    OVERRIDE_KEY,       /* a name that no field has */
    OVERRIDE_FAULTS
};

struct override_place {
    const char *path;   /* lives for the call */
    const char *remedy; /* PROTECTED: the field that is there for it */
};
typedef void override_found(void *arg, const struct override_place *place);

/* Each place of that kind in the patch. Names are compared without regard to case, as Go's decoder
   does (encoding/json: "preferring an exact match but also accepting a case-insensitive match"). */
void overrides_each(const cJSON *patch, enum override_fault fault, override_found *found,
                    void *arg);
size_t overrides_depth(const cJSON *patch);
/* RFC 7386; spec, an object, is changed. */
void overrides_apply(cJSON *spec, const cJSON *patch);
/* False: *ret is the first protected place that is not the same in both. */
bool overrides_kept(const cJSON *before, const cJSON *after, const char **ret);
/* True: out is the first place of the patch that none of the paths covers. */
bool overrides_leave(const cJSON *patch, const char *const *paths, size_t count,
                     char out[OVERRIDES_PATH_MAX]);
/* True: out is the first place that the patch sets and that stored has not. */
bool overrides_dropped(const cJSON *stored, const cJSON *patch, char out[OVERRIDES_PATH_MAX]);

#endif
