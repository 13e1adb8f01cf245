/*
 * struct wukong: one Wukong object, decoded from its JSON into an arena. Every string is borrowed
 * from the arena and lives as long as it. Decoding never fails on what a user wrote: a value of the
 * wrong type counts as absent, because wukong/rules/validate.h is what reports it; so validate
 * first where that matters. Absent strings are NULL, absent numbers are 0 with has_… false where 0
 * means something, absent enums are their …_UNSET value.
 *
 * `struct wukong_spec` is what was written. What is in force (defaults that depend on other fields)
 * is struct wukong_effective, from wukong_resolve_defaults(): the webhook, the worker and the
 * command line all read it there and nowhere else.
 */
#ifndef API_SPEC_H
#define API_SPEC_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <cjson/cJSON.h>

#include "base/err.h"
#include "base/mem.h"

#define WUKONG_GROUP "vm.novasphere.dev"
#define WUKONG_VERSION_NAME "v1alpha1"
#define WUKONG_API_VERSION "vm.novasphere.dev/v1alpha1"
#define WUKONG_KIND "Wukong"
#define WUKONG_RESOURCE "wukongs"
#define WUKONG_FINALIZER "vm.novasphere.dev/clone"
/* On every child: the UID of the Wukong it belongs to. */
#define WUKONG_UID_LABEL "vm.novasphere.dev/wukong-uid"
/* On every object that is made for a while (snapshots, groups, contents): namespace and name of the
   Wukong, and where the object was made, "team/copy in shop". A copy elsewhere does not say so of
   itself, and the name is whole (observe/orphan.h). */
#define MADE_FOR_ANNOTATION "vm.novasphere.dev/made-for"
#define WUKONG_RETRY_ANNOTATION "vm.novasphere.dev/retry"
#define WUKONG_STAMP_ANNOTATION "vm.novasphere.dev/admission"

#define WUKONG_DEADLINE_DEFAULT_S 3600
#define WUKONG_RETRY_DEFAULT 5

enum source_type { SOURCE_UNSET, SOURCE_VM, SOURCE_VMI, SOURCE_TYPES };
enum clone_type { CLONE_UNSET, CLONE_FULL, CLONE_LINKED, CLONE_RUNNING, CLONE_TYPES };
/* What a point in time is worth. */
enum consistency {
    CONSISTENCY_UNKNOWN,
    CONSISTENCY_FILESYSTEM,     /* all disks while the guest was frozen */
    CONSISTENCY_CRASH,          /* one disk of a guest that ran: as after a power cut */
    CONSISTENCY_CRASH_PER_DISK, /* several, of which each is so: of moments that are not the same */
    CONSISTENCY_OFFLINE,        /* all disks while nothing ran */
};
#define CONSISTENCIES (CONSISTENCY_OFFLINE + 1)
enum quiesce { QUIESCE_UNSET, QUIESCE_REQUIRED, QUIESCE_IF_AVAILABLE, QUIESCE_NEVER, QUIESCES };
enum snapshot_method {
    METHOD_UNSET,
    METHOD_AUTO,
    METHOD_VM_SNAPSHOT,
    METHOD_VOLUME_SNAPSHOT,
    METHOD_GROUP_SNAPSHOT,
    METHODS
};
enum run_strategy {
    RUN_UNSET,
    RUN_ALWAYS,
    RUN_RERUN_ON_FAILURE,
    RUN_MANUAL,
    RUN_ONCE,
    RUN_INHERIT, /* as the source's; Always where that says nothing */
    RUN_STRATEGIES
};
enum links { LINKS_UNSET, LINKS_KEEP, LINKS_DOWN, LINKS_COUNT };
enum cloud_init {
    CLOUD_INIT_UNSET,
    CLOUD_INIT_RERUN,
    CLOUD_INIT_DROP,
    CLOUD_INIT_REPLACE,
    CLOUD_INITS
};
enum expiry { EXPIRY_UNSET, EXPIRY_DELETE, EXPIRY_STOP, EXPIRIES };
enum reference_kind {
    REFERENCE_UNSET,
    REFERENCE_SECRET,
    REFERENCE_CONFIG_MAP,
    REFERENCE_NETWORK,
    REFERENCE_KINDS
};
enum cpu_shape { SHAPE_UNSET, SHAPE_AUTO, SHAPE_SOCKETS, SHAPE_CORES, CPU_SHAPES };
enum reclaim_policy { RECLAIM_UNSET, RECLAIM_DELETE, RECLAIM_RETAIN, RECLAIM_POLICIES };
enum network_type {
    NETWORK_UNSET,
    NETWORK_BRIDGE,
    NETWORK_MACVLAN,
    NETWORK_SRIOV,
    NETWORK_OVS,
    NETWORK_TYPES
};
enum ip_mode { IP_UNSET, IP_STATIC, IP_DHCP, IP_MODES };
enum restart_policy {
    RESTART_UNSET,
    RESTART_ALWAYS,
    RESTART_ON_FAILURE,
    RESTART_NEVER,
    RESTART_POLICIES
};
enum tristate { TRI_UNSET, TRI_FALSE, TRI_TRUE };

/* Names as in the API; NULL at index 0 (…_UNSET). */
extern const char *const source_type_names[SOURCE_TYPES];
extern const char *const clone_type_names[CLONE_TYPES];
/* As in the API; NULL: unknown. */
extern const char *const consistency_names[CONSISTENCIES];
extern const char *const quiesce_names[QUIESCES];
extern const char *const snapshot_method_names[METHODS];
extern const char *const run_strategy_names[RUN_STRATEGIES];
extern const char *const reclaim_policy_names[RECLAIM_POLICIES];
extern const char *const links_names[LINKS_COUNT];
extern const char *const reference_kind_names[REFERENCE_KINDS];
extern const char *const cpu_shape_names[CPU_SHAPES];
extern const char *const expiry_names[EXPIRIES];
extern const char *const cloud_init_names[CLOUD_INITS];
extern const char *const network_type_names[NETWORK_TYPES];
extern const char *const ip_mode_names[IP_MODES];
extern const char *const restart_policy_names[RESTART_POLICIES];

struct wukong_pair {
    const char *key, *value;
};
struct wukong_pairs {
    struct wukong_pair *items;
    size_t count;
};
/* The members of a JSON object whose values are texts, such as labels. Copied into the arena. */
void wukong_pairs_read(struct arena *a, const cJSON *object, struct wukong_pairs *ret);
const char *wukong_pairs_get(const struct wukong_pairs *p, const char *key);

struct wukong_disk {
    const char *name, *size, *storage_class, *source_disk, *image;
    enum tristate boot;
    int64_t size_bytes; /* rounded up; 0 when absent or not a quantity */
};

struct wukong_network {
    const char *name, *nad_name, *bridge_name, *physical_interface;
    enum network_type type;
    int64_t vlan_id; /* 0: absent */
    enum tristate primary;
    struct {
        enum ip_mode mode;
        const char *address, *gateway;
        const char **dns_servers;
        size_t dns_count;
    } ip;
};

struct wukong_window {
    bool present;
    const char *schedule, *duration, *time_zone;
};

struct wukong_source {
    bool present; /* false: this Wukong is no clone and is left alone */
    enum source_type type;
    const char *vm_name, *vmi_name, *ns, *snapshot_class, *group_class;
    enum clone_type clone_type;
    enum quiesce quiesce;
    enum snapshot_method method;
    enum tristate stop_source_after, allow_unsnapshottable;
    bool has_deadline, has_retry_limit;
    int64_t deadline_s, retry_limit;
    struct wukong_window window;
    const char *not_before; /* RFC 3339 */
    const char **gates;
    size_t gate_count;
    const char **allow_secrets; /* Secrets and ServiceAccounts that the source may name */
    size_t allow_secret_count;
};

bool wukong_allows_secret(const struct wukong_source *s, const char *name);

#define NETWORK_POD "pod" /* the Pod network, in a map of networks */
struct wukong_network_map {
    const char *from, *to; /* NULL: absent */
};

/* Another object of its kind instead of one that the source names. */
struct wukong_reference {
    enum reference_kind kind;
    const char *from, *to; /* NULL: absent */
};
#define LIMIT_REFERENCES 32

/* What the new machine has beside what its source has. */
struct wukong_target {
    bool present;
    struct wukong_pairs labels, annotations;
    const char **keep; /* annotations of the source's template: keys, or prefixes that end in '/' */
    size_t keep_count;
    enum links links;
    struct wukong_network_map *map;
    size_t map_count;
    enum cpu_shape cpu_shape;
    const char *overrides; /* compact JSON of the object; NULL when absent */
    struct wukong_reference *references;
    size_t reference_count;
};

/* What a Secret or ConfigMap of that name becomes; NULL: it stays. */
const char *wukong_renamed(const struct wukong_target *t, enum reference_kind kind,
                           const char *name);

/* What runs inside of it. */
struct wukong_guest {
    bool present;
    const char *hostname;
    enum cloud_init cloud_init;
    const char *user_data, *network_data;
    const char *user_data_secret, *network_data_secret;
    enum tristate reset_machine_id, reset_ssh_host_keys;
};

bool wukong_keeps_annotation(const struct wukong_target *t, const char *key);

struct wukong_spec {
    bool has_cpu, has_replicas;
    int64_t cpu, replicas;
    const char *memory;
    int64_t memory_bytes;
    struct wukong_source source;
    struct wukong_disk *disks;
    size_t disk_count;
    struct {
        enum tristate auto_start;
        enum run_strategy run_strategy;
    } start;
    enum reclaim_policy reclaim;
    struct wukong_network *networks;
    size_t network_count;
    struct {
        bool present;
        enum restart_policy restart_policy;
        enum tristate anti_affinity;
        struct wukong_pairs node_selector;
        const char *tolerations; /* compact JSON of the array; NULL when absent */
    } ha;
    const char *ssh_key_secret, *os_image;
    const char *cloud_init_user; /* compact JSON of the object; NULL when absent */
    struct wukong_target target;
    struct wukong_guest guest;
    struct {
        bool present;
        const char *after, *at; /* a duration; RFC 3339 */
        enum expiry action;
    } expires;
};

struct wukong {
    const char *name, *generate_name, *ns, *uid, *resource_version;
    int64_t generation, created_ms, deleted_ms; /* deleted_ms 0: no deletionTimestamp */
    struct wukong_pairs labels, annotations;
    bool has_finalizer; /* ours */
    struct wukong_spec spec;
};

/* Decodes metadata and spec; status is not looked at. -1 with ERR_LIMIT when the arena is full, or
   ERR_INVALID when the tree is no object. */
WUKONG_CHECK int wukong_decode(struct arena *a, const cJSON *tree, struct wukong *ret,
                               struct err *err);
/* Only the spec object. */
WUKONG_CHECK int wukong_decode_spec(struct arena *a, const cJSON *spec, struct wukong_spec *ret,
                                    struct err *err);

/* What is in force: every default resolved. Meaningless unless spec->source.present. */
struct wukong_effective {
    bool is_clone;
    enum source_type source_type; /* SOURCE_UNSET only when the spec is invalid */
    const char *source_name;      /* VM or VMI */
    const char *source_ns;
    bool cross_namespace;
    enum clone_type clone_type;
    enum quiesce quiesce;
    enum snapshot_method method; /* never AUTO: Auto is VolumeSnapshot */
    bool needs_snapshot;         /* running and linked always; full may use one */
    bool stop_source_after, allow_unsnapshottable;
    int64_t deadline_s, retry_limit, replicas;
    bool auto_start;
    enum run_strategy run_strategy; /* of the new VM when it is started; default Always */
    enum reclaim_policy reclaim;
    int64_t not_before_ms; /* 0: none */
    bool selective;        /* disks[] names a subset */
    enum expiry expiry;    /* what becomes of the machines then; UNSET: they stay */
    int64_t expires_at_ms, expires_after_ms; /* one of them; 0: it is the other */
};

/* ns: the Wukong's namespace. Strings are borrowed from spec and ns. */
struct wukong_effective wukong_resolve_defaults(const struct wukong_spec *spec, const char *ns);

/* What the mutating endpoint writes into spec.cloneSource, because the CRD's schema cannot default
   what depends on other fields. NULL: that field stays as it is. */
struct source_defaults {
    const char *clone_type, *ns;
};
/* On CREATE by the defaults; old NULL. On UPDATE as the old object has it: `kubectl replace` of the
   first manifest would be refused as a change. Borrowed from the arguments. */
struct source_defaults wukong_source_defaults(const cJSON *object, const cJSON *old,
                                              const char *ns);

#endif
