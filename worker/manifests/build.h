/*
 * The parts of manifest_vm_body, one file per subject; nobody but worker/manifests includes this.
 * Each part changes the copy of the source spec inside the build.
 */
#ifndef MANIFESTS_BUILD_H
#define MANIFESTS_BUILD_H

#include "manifests/manifest.h"
#include "manifests/tree.h"
#include "wukong/source/differences.h"

/* One body in the making; everything but ret is borrowed for the call. */
struct manifest_build {
    const struct manifest_request *r;
    const struct wukong *w;
    const cJSON *source;
    cJSON *vm;       /* the VirtualMachine */
    cJSON *spec;     /* its spec */
    cJSON *template; /* spec.template */
    cJSON *instance; /* spec.template.spec */
    cJSON *domain, *devices;
    struct manifest_vm *ret;
};

void build_warn(struct manifest_build *b, const char *format, ...)
    __attribute__((format(printf, 2, 3)));

/* secrets.c: Secrets and ServiceAccounts that the source may not have. */
WUKONG_CHECK int build_secrets(struct manifest_build *b, struct err *err);
/* No other one stands anywhere, in a known field or not. */
WUKONG_CHECK int build_audit_secrets(const struct manifest_build *b, struct err *err);

/* volumes.c: our claims for the source's, the rest dropped; boot order; the last look. */
WUKONG_CHECK int build_volumes(struct manifest_build *b, struct err *err);
/* Removes a volume with its disk, filesystem and what else names it. */
void build_drop_volume(struct manifest_build *b, cJSON *volumes, cJSON *volume);
WUKONG_CHECK int build_boot_order(struct manifest_build *b, struct err *err);
WUKONG_CHECK int build_audit(const struct manifest_build *b, struct err *err);

/* overrides.c: what the Wukong asks for beyond the source. */
WUKONG_CHECK int build_resources(struct manifest_build *b, struct err *err);
WUKONG_CHECK int build_networks(struct manifest_build *b, struct err *err);
WUKONG_CHECK int build_placement(struct manifest_build *b, struct err *err);
WUKONG_CHECK int build_access(struct manifest_build *b, struct err *err);
WUKONG_CHECK int build_run_strategy(struct manifest_build *b, struct err *err);

/* guest.c: cloud-init, before volumes are the clone's own; the hostname. */
WUKONG_CHECK int build_guest(struct manifest_build *b, struct err *err);
void build_hostname(const struct manifest_build *b, const char *vm, char out[NAME_BUF]);

/* target.c: labels and annotations of the template. */
struct differences_of build_differences_of(const struct manifest_build *b);
/* Networks that go elsewhere, links that are down; after build_networks. */
WUKONG_CHECK int build_target_networks(struct manifest_build *b, struct err *err);
WUKONG_CHECK int build_marks(struct manifest_build *b, struct err *err);

/* references.c: other names; after build_secrets, which leaves those that get one. */
WUKONG_CHECK int build_references(struct manifest_build *b, struct err *err);

/* merge_patch.c: spec.target.overrides, after the source's Secrets were looked for: those that the
   patch names the Wukong names. */
WUKONG_CHECK int build_overrides(struct manifest_build *b, struct err *err);

/* dependencies.c: what must exist beside it, and what may surprise. */
WUKONG_CHECK int build_dependencies(struct manifest_build *b, struct err *err);
/* While the instance is still the source's, less the Secrets that it may not have. */
WUKONG_CHECK int build_differences(struct manifest_build *b, struct err *err);

#endif
