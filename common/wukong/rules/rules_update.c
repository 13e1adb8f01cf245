/* What an UPDATE may not change. The CRD says the same in transition rules. */
#include "wukong/rules/rules_table.h"

const struct rule rules_update[] = {
    {
        .id = "clone-presence-immutable",
        .group = RULE_UPDATE,
        .cause = FINDING_FORBIDDEN,
        .on = "spec.cloneSource",
        .condition = "cloneSource added or removed",
        .message = "cloneSource cannot be added or removed after creation",
        .remedy = "create another Wukong",
    },
    {
        .id = "source-immutable",
        .group = RULE_UPDATE,
        .cause = FINDING_FORBIDDEN,
        .on = "spec.cloneSource",
        .condition = "type, vmName, vmiName or namespace changed",
        .message = "the source is immutable",
        .remedy = "restore the old value, or create another Wukong",
    },
    {
        .id = "clone-type-immutable",
        .group = RULE_UPDATE,
        .cause = FINDING_FORBIDDEN,
        .on = "spec.cloneSource.cloneType",
        .condition = "cloneType changed",
        .message = "cloneType is immutable",
        .remedy = "restore the old value, or create another Wukong",
    },
    {
        .id = "method-immutable",
        .group = RULE_UPDATE,
        .cause = FINDING_FORBIDDEN,
        .on = "spec.cloneSource",
        .condition = "quiesce, snapshotMethod, volumeSnapshotClassName, "
                     "volumeGroupSnapshotClassName, stopSourceAfter, allowUnsnapshottable or "
                     "allowSecrets changed",
        .message = "this field is immutable",
        .remedy = "restore the old value, or create another Wukong",
    },
    {
        .id = "timing-immutable",
        .group = RULE_UPDATE,
        .cause = FINDING_FORBIDDEN,
        .on = "spec.cloneSource",
        .condition = "deadlineSeconds, retryLimit, window, notBefore or gates changed after the "
                     "snapshot was taken, unless the clone has failed",
        .message = "this field is immutable once the snapshot is taken",
        .remedy = "restore the old value, or create another Wukong",
    },
    {
        .id = "disks-immutable",
        .group = RULE_UPDATE,
        .cause = FINDING_FORBIDDEN,
        .on = "spec.disks",
        .condition = "a disk of a clone added, removed or changed (sizes are compared by value)",
        .message = "disks of a clone are immutable (sizes are compared by value)",
        .remedy = "restore the old list, or create another Wukong",
    },
    {
        .id = "target-immutable",
        .group = RULE_UPDATE,
        .cause = FINDING_FORBIDDEN,
        .on = "spec.target",
        .condition = "anything in target changed",
        .message = "target is immutable",
        .remedy = "restore the old value, or create another Wukong",
    },
    {
        .id = "guest-immutable",
        .group = RULE_UPDATE,
        .cause = FINDING_FORBIDDEN,
        .on = "spec.guest",
        .condition = "anything in guest changed",
        .message = "guest is immutable",
        .remedy = "restore the old value, or create another Wukong",
    },
    {
        .id = "replicas-immutable",
        .group = RULE_UPDATE,
        .cause = FINDING_FORBIDDEN,
        .on = "spec.replicas",
        .condition = "replicas changed",
        .message = "replicas is immutable",
        .remedy = "restore the old value, or create another Wukong",
    },
};
const size_t rules_update_count = ARRAY_LEN(rules_update);
