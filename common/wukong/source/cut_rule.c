#include "wukong/source/cut_rule.h"

#include <assert.h>
#include <string.h>

#include "base/mem.h"
#include "base/str.h"

const char *const cut_rule_names[] = {
    [CUT_RULE_CREATED] = "Created",
    [CUT_RULE_READY] = "Ready",
    [CUT_RULE_WHILE_FROZEN] = "WhileFrozen",
    [CUT_RULE_REFUSE] = "Refuse",
};
static_assert(ARRAY_LEN(cut_rule_names) == CUT_RULES, "one name each");

const char *const cut_origin_texts[] = {
    [CUT_BY_DEFAULT] = "as CSI demands",
    [CUT_BY_TABLE] = "known of the driver",
    [CUT_BY_ANNOTATION] = "annotated on the class",
    [CUT_BY_POLICY] = "demanded by a ClonePolicy",
};
static_assert(ARRAY_LEN(cut_origin_texts) == CUT_ORIGINS, "one text each");

#define KEEPS_CSI(name)                                                                            \
    {                                                                                              \
        .driver = (name), .why = "the driver cuts first and answers then"                          \
    }

#define KEEPS_ORDER                                                                                \
    .ordered = true, .why = "the driver cuts a group at one point in time and answers then"

/* The first row that fits counts. Where each was read, and when: docs/admin/compatibility.md. */
const struct cut_driver cut_drivers[] = {
    {.driver = "local.csi.openebs.io",
     .rule = CUT_RULE_READY,
     .why = "LVM LocalPV answers when it has stored the request; its node agent cuts later"},
    {.driver = "zfs.csi.openebs.io",
     .field = CUT_FIELD_WAIT,
     .absent = true,
     .rule = CUT_RULE_READY,
     .why = "ZFS LocalPV answers when it has stored the request, unless the class has the "
            "parameter wait"},
    {.driver = "vpc.block.csi.ibm.io",
     .rule = CUT_RULE_READY,
     .why = "the driver answers when the cloud has accepted the request"},
    {.driver = "pxd.portworx.com",
     .field = CUT_FIELD_PORTWORX,
     .value = "cloud",
     .rule = CUT_RULE_READY,
     .why = "the driver answers while the cloud still queues the snapshot"},
    {.driver = "diskplugin.csi.alibabacloud.com",
     .group = true,
     .rule = CUT_RULE_READY,
     .why = "the driver answers at once, without the group's members, and cuts later"},
    {.driver = "rbd.csi.ceph.com", .group = true, KEEPS_ORDER},
    {.driver = "cephfs.csi.ceph.com", .group = true, KEEPS_ORDER},
    {.driver = "csi.trident.netapp.io", .group = true, KEEPS_ORDER},
    {.driver = "linstor.csi.linbit.com", .group = true, KEEPS_ORDER},
    {.driver = "driver.longhorn.io",
     .field = CUT_FIELD_TYPE,
     .value = "bi",
     .rule = CUT_RULE_REFUSE,
     .why = "Longhorn reports a backing image as ready before it has taken the snapshot for it; "
            "use a class with type snap"},
    {.driver = "nfs.csi.k8s.io",
     .rule = CUT_RULE_WHILE_FROZEN,
     .why = "the driver packs the files of the volume one after the other"},
    {.driver = "blockvolume.csi.oraclecloud.com",
     .slow = true,
     .why = "the driver waits for the backup, some 50 s or more"},
    {.driver = "pd.csi.storage.gke.io",
     .field = CUT_FIELD_SNAPSHOT_TYPE,
     .value = "images",
     .slow = true,
     .why = "the driver waits for an image, which takes minutes"},
    {.driver = "cinder.csi.openstack.org",
     .field = CUT_FIELD_TYPE,
     .value = "backup",
     .slow = true,
     .why = "the driver waits for the backup, which takes minutes"},
    /* Read, and found to answer after the cut. */
    KEEPS_CSI("rbd.csi.ceph.com"),
    KEEPS_CSI("cephfs.csi.ceph.com"),
    KEEPS_CSI("csi.vsphere.vmware.com"),
    KEEPS_CSI("ebs.csi.aws.com"),
    KEEPS_CSI("disk.csi.azure.com"),
    KEEPS_CSI("diskplugin.csi.alibabacloud.com"),
    KEEPS_CSI("pd.csi.storage.gke.io"),
    KEEPS_CSI("cinder.csi.openstack.org"),
    KEEPS_CSI("pxd.portworx.com"),
    KEEPS_CSI("driver.longhorn.io"),
    KEEPS_CSI("zfs.csi.openebs.io"),
    KEEPS_CSI("topolvm.io"),
    KEEPS_CSI("csi.trident.netapp.io"),
    KEEPS_CSI("csi-powerstore.dellemc.com"),
    KEEPS_CSI("csi-vxflexos.dellemc.com"),
    KEEPS_CSI("csi-powermax.dellemc.com"),
    KEEPS_CSI("block.csi.ibm.com"),
    KEEPS_CSI("csi.hpe.com"),
    KEEPS_CSI("csi.huawei.com"),
    KEEPS_CSI("csi.san.synology.com"),
    KEEPS_CSI("dobs.csi.digitalocean.com"),
    KEEPS_CSI("lvm.hwameistor.io"),
    KEEPS_CSI("linstor.csi.linbit.com"),
    KEEPS_CSI("io.openebs.csi-mayastor"),
    KEEPS_CSI("lvm.driver.harvesterhci.io"),
    KEEPS_CSI("csi.juicefs.com"),
};
const size_t cut_driver_count = ARRAY_LEN(cut_drivers);

bool cut_rule_find(const char *name, enum cut_rule *ret)
{
    for (int i = 0; name && i < CUT_RULES; i++) {
        if (!str_eq(name, cut_rule_names[i]))
            continue;
        *ret = (enum cut_rule)i;
        return true;
    }
    return false;
}

/* Rook and others install a driver as "namespace.driver". */
static bool is_driver(const char *name, const char *driver)
{
    size_t n = name ? strlen(name) : 0, tail = strlen(driver);
    return n >= tail && str_eq(name + n - tail, driver) && (n == tail || name[n - tail - 1] == '.');
}

static bool fits(const struct cut_driver *row, const char *driver, bool group, cut_field field,
                 const void *class)
{
    if (!is_driver(driver, row->driver) || row->group != group)
        return false;
    if (!row->field)
        return true;
    const char *value = field(class, row->field);
    return row->absent ? !value : row->value ? str_eq(value, row->value) : value != NULL;
}

static struct cut_verdict by_table(const char *driver, bool group, cut_field field,
                                   const void *class)
{
    for (size_t i = 0; i < cut_driver_count; i++)
        if (fits(&cut_drivers[i], driver, group, field, class))
            return (struct cut_verdict){.rule = cut_drivers[i].rule,
                                        .origin = CUT_BY_TABLE,
                                        .slow = cut_drivers[i].slow,
                                        .known = true,
                                        .ordered = cut_drivers[i].ordered,
                                        .why = cut_drivers[i].why};
    return (struct cut_verdict){.rule = CUT_RULE_CREATED};
}

static struct cut_verdict refuse_unreadable(const char *why)
{
    return (struct cut_verdict){
        .rule = CUT_RULE_REFUSE, .origin = CUT_BY_ANNOTATION, .known = true, .why = why};
}

/* True when it is one of them. */
static bool is_yes_or_no(const char *text, bool *ret)
{
    *ret = str_eq(text, "true");
    return *ret || str_eq(text, "false");
}

struct cut_verdict cut_rule_of(const char *driver, bool group, cut_field field, const void *class)
{
    struct cut_verdict v = by_table(driver, group, field, class);
    const char *rule = field(class, CUT_FIELD_RULE), *slow = field(class, CUT_FIELD_SLOW);
    const char *order = field(class, CUT_FIELD_ORDER);
    if (rule) {
        if (!cut_rule_find(rule, &v.rule))
            return refuse_unreadable("its annotation " CUT_RULE_ANNOTATION
                                     " is none of Created, Ready, "
                                     "WhileFrozen, Refuse");
        v.origin = CUT_BY_ANNOTATION;
        v.known = true;
        v.why = NULL;
    }
    if (slow && !is_yes_or_no(slow, &v.slow))
        return refuse_unreadable("its annotation " CUT_SLOW_ANNOTATION
                                 " is neither \"true\" nor \"false\"");
    if (order && !is_yes_or_no(order, &v.ordered))
        return refuse_unreadable("its annotation " CUT_ORDER_ANNOTATION
                                 " is neither \"true\" nor \"false\"");
    return v;
}
