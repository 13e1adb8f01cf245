/*
 * The checks that rules name, and their arguments. A check reports through check_fail and never
 * meets a value of another type than the schema gives its place.
 */
#ifndef RULES_CHECKS_H
#define RULES_CHECKS_H

#include <stdint.h>

#include "wukong/rules/validate.h"

/* A field path of ours: keys, indexes and label keys. */
#define PATH_MAX_BYTES 1024

struct check {
    const struct rule *rule;
    const cJSON *root;
    const char *path; /* of the value looked at, "spec.disks[1]" */
    struct findings *findings;
};
/* Reports the check's rule at c->path plus rule->field. */
void check_fail(const struct check *c, const char *value, const char *detail, ...)
    __attribute__((format(printf, 3, 4)));
/* Reports at c->path plus the suffix (".vmName") instead. */
void check_fail_at(const struct check *c, const char *suffix, const char *value, const char *detail,
                   ...) __attribute__((format(printf, 4, 5)));

struct check_range {
    int64_t min, max;
};
struct check_length { /* characters of a string, items of a list or map */
    size_t min, max;
};
struct check_choices {
    const char *const *names; /* NULL entries are skipped */
    size_t count;
};

/* --- rules/checks_values.c: one value --- */
void check_int_range(struct check *c, const cJSON *v);     /* struct check_range */
void check_length(struct check *c, const cJSON *v);        /* struct check_length */
void check_secret_length(struct check *c, const cJSON *v); /* never shows the value */
void check_choice(struct check *c, const cJSON *v);        /* struct check_choices */
void check_choice_items(struct check *c, const cJSON *v);
void check_dns_label(struct check *c, const cJSON *v);
void check_dns_subdomain(struct check *c, const cJSON *v);
void check_generate_name(struct check *c, const cJSON *v);
void check_label_map(struct check *c, const cJSON *v);
void check_quantity(struct check *c, const cJSON *v);
void check_quantity_unit(struct check *c, const cJSON *v);
void check_cron(struct check *c, const cJSON *v);
void check_cron_fires(struct check *c, const cJSON *v);
void check_window_duration(struct check *c, const cJSON *v);
void check_lifetime(struct check *c, const cJSON *v);
void check_time_zone(struct check *c, const cJSON *v);
void check_time_zone_known(struct check *c, const cJSON *v);
void check_date_time(struct check *c, const cJSON *v);
void check_condition_type(struct check *c, const cJSON *v);
void check_gate_reserved(struct check *c, const cJSON *v);
void check_address(struct check *c, const cJSON *v); /* with a prefix length */
void check_ip(struct check *c, const cJSON *v);
void check_annotation_map(struct check *c, const cJSON *v); /* struct check_length: its values */
void check_nad_name(struct check *c, const cJSON *v);
void check_unique_items(struct check *c, const cJSON *v);
void check_unique_names(struct check *c, const cJSON *v);
void check_unique_from(struct check *c, const cJSON *v);
void check_required(struct check *c, const cJSON *v); /* the rule's field names the member */
void check_equals(struct check *c, const cJSON *v);   /* const char * */

/* --- rules/checks_spec.c: fields against each other --- */
void check_name_required(struct check *c, const cJSON *v);
void check_name_vm(struct check *c, const cJSON *v);
void check_name_disks(struct check *c, const cJSON *v);
void check_required_without_clone(struct check *c, const cJSON *v);
void check_disks_required_without_clone(struct check *c, const cJSON *v); /* member */
void check_disks_forbidden_without_clone(struct check *c, const cJSON *v);
void check_disks_forbidden_with_clone(struct check *c, const cJSON *v);
void check_forbidden_with_clone(struct check *c, const cJSON *v);
void check_forbidden_without_clone(struct check *c, const cJSON *v);
void check_replicas_without_clone(struct check *c, const cJSON *v);
void check_source_name_required(struct check *c, const cJSON *v);  /* const char *: the type */
void check_source_name_forbidden(struct check *c, const cJSON *v); /* const char *: the type */
void check_vmi_full(struct check *c, const cJSON *v);
void check_stop_source_after(struct check *c, const cJSON *v);
void check_vmsnapshot_clone_type(struct check *c, const cJSON *v);
void check_vmsnapshot_quiesce(struct check *c, const cJSON *v);
void check_vmsnapshot_class(struct check *c, const cJSON *v);
void check_group_clone_type(struct check *c, const cJSON *v);
void check_group_method_class(struct check *c, const cJSON *v);
void check_method_group_class(struct check *c, const cJSON *v);
void check_vmsnapshot_selection(struct check *c, const cJSON *v);
void check_start_strategy(struct check *c, const cJSON *v);
void check_disk_sources_unique(struct check *c, const cJSON *v);
void check_disk_boot_one(struct check *c, const cJSON *v);
void check_static_address(struct check *c, const cJSON *v);
void check_networks_with_clone(struct check *c, const cJSON *v);
void check_network_static_with_clone(struct check *c, const cJSON *v);
void check_ha_restart_with_clone(struct check *c, const cJSON *v);
void check_password_plain(struct check *c, const cJSON *v);
void check_quiesce_full(struct check *c, const cJSON *v);
void check_actions(struct check *c, const cJSON *v);

/* --- rules/checks_target.c: spec.target --- */
void check_marks_reserved(struct check *c, const cJSON *v);
void check_marks_size(struct check *c, const cJSON *v); /* struct check_range: bytes */
void check_map_with_networks(struct check *c, const cJSON *v);
void check_links_sriov(struct check *c, const cJSON *v);
void check_data_bytes(struct check *c, const cJSON *v); /* struct check_length */
void check_guest_hostname_length(struct check *c, const cJSON *v);
void check_guest_replace(struct check *c, const cJSON *v);
void check_guest_one(struct check *c, const cJSON *v); /* const char *: the other one */
void check_guest_reset(struct check *c, const cJSON *v);
void check_guest_reset_data(struct check *c, const cJSON *v);
void check_guest_ssh(struct check *c, const cJSON *v);
void check_expires_one(struct check *c, const cJSON *v);
void check_cpu_shape(struct check *c, const cJSON *v);
void check_keep(struct check *c, const cJSON *v);
void check_required_label(struct check *c, const cJSON *v);
void check_field_path(struct check *c, const cJSON *v);
void check_keep_notes(struct check *c, const cJSON *v);
void check_unique_references(struct check *c, const cJSON *v);
void check_reference_namespace(struct check *c, const cJSON *v);
void check_overrides_size(struct check *c, const cJSON *v);
void check_overrides_depth(struct check *c, const cJSON *v);
void check_overrides_places(struct check *c, const cJSON *v); /* enum override_fault * */

/* --- ClonePolicy --- */
void check_subject_namespace(struct check *c, const cJSON *v);
void check_policy_selectors(struct check *c, const cJSON *v);

#endif
