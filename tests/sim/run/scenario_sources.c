/* What there is: classes, CDI, and the machines that are cloned. */
#include <inttypes.h>
#include <stdio.h>

#include "base/mem.h"
#include "base/str.h"
#include "run/scenario.h"

#define DRIVER "csi.sim"
#define FILE_DRIVER "nfs.csi.k8s.io"
#define LATE_DRIVER "local.csi.openebs.io" /* answers before it cuts, as the worker knows */

const char scenario_fresh_source[] = "fresh";
static const char *const storage_classes[] = {"fast", "late"};

/* In a fifth of the runs the driver answers CreateSnapshot before it cuts. The seed itself says so,
   and no draw: the other runs are what they would be without this. */
static bool cuts_late(const struct sim *s)
{
    return s->seed % 5 == 3;
}

/* In a tenth it copies files. */
static bool copies_files(const struct sim *s)
{
    return s->seed % 10 == 6;
}

/* In half of them the worker has it from the class's annotation. */
static const char *driver_of(const struct sim *s)
{
    return cuts_late(s) && s->seed % 2 ? LATE_DRIVER : copies_files(s) ? FILE_DRIVER : DRIVER;
}

void scenario_classes(struct sim *s)
{
    const char *driver = driver_of(s);
    s->cluster.cuts_late = cuts_late(s);
    s->cluster.copies_files = copies_files(s);
    for (size_t i = 0; i < ARRAY_LEN(storage_classes); i++) {
        cJSON *c = api_new(API_STORAGE_CLASS, NULL, storage_classes[i]);
        jt_str(c, "provisioner", driver);
        jt_str(c, "volumeBindingMode", i ? "WaitForFirstConsumer" : "Immediate");
        jt_bool(c, "allowVolumeExpansion", true);
        (void)api_create(&s->api, "admin", API_STORAGE_CLASS, c);
    }
    cJSON *v = api_new(API_SNAPSHOT_CLASS, NULL, "snap");
    jt_str(v, "driver", driver);
    if (cuts_late(s) && str_eq(driver, DRIVER))
        jt_str(v, "metadata.annotations[vm.novasphere.dev/cut-rule]", "Ready");
    jt_str(v, "deletionPolicy", maybe(s, 250) ? "Retain" : "Delete");
    (void)api_create(&s->api, "admin", API_SNAPSHOT_CLASS, v);
    cJSON *g = api_new(API_GROUP_CLASS, NULL, "group");
    jt_str(g, "driver", driver);
    jt_str(g, "deletionPolicy", maybe(s, 250) ? "Retain" : "Delete");
    if (maybe(s, 500))
        jt_str(g, "metadata.annotations[vm.novasphere.dev/keeps-write-order]", "true");
    (void)api_create(&s->api, "admin", API_GROUP_CLASS, g);
    cJSON *d = api_new(API_CSI_DRIVER, NULL, driver);
    (void)api_create(&s->api, "admin", API_CSI_DRIVER, d);
    webhook_stub_publish(s);
}

void scenario_install_cdi(struct sim *s, bool installed)
{
    s->api.unserved[API_STORAGE_PROFILE] = s->api.unserved[API_DATA_VOLUME] = !installed;
    for (size_t i = 0; installed && i < ARRAY_LEN(storage_classes); i++) {
        cJSON *p = api_new(API_STORAGE_PROFILE, NULL, storage_classes[i]),
              *set = cJSON_CreateObject();
        jt_add(set, "accessModes", "ReadWriteOnce");
        jt_str(set, "volumeMode", "Filesystem");
        cJSON_AddItemToArray(jt_array(p, "status.claimPropertySets"), set);
        (void)api_create(&s->api, "cdi", API_STORAGE_PROFILE, p);
    }
}

static void make_claim(struct sim *s, struct machine *m, const char *name, const char *class)
{
    cJSON *c = api_new(API_PVC, SIM_NS, name);
    struct volume *v = volume_new(&s->cluster, SIM_NS, name);
    v->machine = m;
    jt_add(c, "spec.accessModes", "ReadWriteOnce");
    jt_str(c, "spec.volumeMode", "Filesystem");
    jt_str(c, "spec.storageClassName", class);
    jt_str(c, "spec.resources.requests.storage", "1Gi");
    jt_str(c, "spec.volumeName", v->handle);
    jt_str(c, "metadata.annotations[volume.kubernetes.io/storage-provisioner]", driver_of(s));
    jt_add(c, "metadata.finalizers", "kubernetes.io/pvc-protection");
    jt_str(c, "status.phase", "Bound");
    jt_str(c, "status.capacity.storage", "1Gi");
    (void)api_create(&s->api, "user", API_PVC, c);
}

/* Names that the source's owner writes, and that mean other Secrets in another namespace: one by a
   disk, one without. Wukongs allow neither. */
static void name_secrets(cJSON *spec)
{
    cJSON *disk = cJSON_CreateObject(), *volume = cJSON_CreateObject();
    cJSON *credential = cJSON_CreateObject();
    jt_str(disk, "name", "owners");
    jt_str(disk, "disk.bus", "virtio");
    jt_str(volume, "name", "owners");
    jt_str(volume, "secret.secretName", SIM_SECRET);
    jt_str(credential, "userPassword.source.secret.secretName", SIM_SECRET);
    cJSON_AddItemToArray(jt_array(spec, "domain.devices.disks"), disk);
    cJSON_AddItemToArray(jt_array(spec, "volumes"), volume);
    cJSON_AddItemToArray(jt_array(spec, "accessCredentials"), credential);
}

static cJSON *instance_spec(struct sim *s, struct machine *m, int64_t disks, const char *class)
{
    cJSON *spec = cJSON_CreateObject();
    jt_int(spec, "domain.cpu.cores", 2);
    jt_str(spec, "domain.memory.guest", "1Gi");
    for (int64_t i = 0; i < disks; i++) {
        char name[32], claim[80];
        (void)snprintf(name, sizeof name, "d%" PRId64, i);
        (void)snprintf(claim, sizeof claim, "%s-%s", m->name, name);
        cJSON *disk = cJSON_CreateObject(), *volume = cJSON_CreateObject();
        jt_str(disk, "name", name);
        jt_str(disk, "disk.bus", "virtio");
        jt_str(volume, "name", name);
        jt_str(volume, "persistentVolumeClaim.claimName", claim);
        cJSON_AddItemToArray(jt_array(spec, "domain.devices.disks"), disk);
        cJSON_AddItemToArray(jt_array(spec, "volumes"), volume);
        make_claim(s, m, claim, class);
    }
    name_secrets(spec);
    cJSON *nic = cJSON_CreateObject(), *net = cJSON_CreateObject();
    jt_str(nic, "name", "default");
    jt_put(nic, "masquerade", cJSON_CreateObject());
    jt_str(net, "name", "default");
    jt_put(net, "pod", cJSON_CreateObject());
    cJSON_AddItemToArray(jt_array(spec, "domain.devices.interfaces"), nic);
    cJSON_AddItemToArray(jt_array(spec, "networks"), net);
    return spec;
}

/* Policies speak of all but the source that must be cloned in the calm. */
static void label_source(cJSON *source, const char *name)
{
    if (!str_eq(name, scenario_fresh_source))
        jt_str(source, "metadata.labels." HOLD_LABEL, HOLD_SELECTED);
}

void scenario_source(struct sim *s, const char *name, bool agent, const char *strategy)
{
    struct machine *m = machine_get(&s->cluster, SIM_NS, name);
    m->has_agent = agent;
    m->source = true;
    m->windows = maybe(s, 300);
    m->os_hidden = maybe(s, 400);
    cJSON *spec = instance_spec(s, m, rng_range(&s->rng, 1, 3), PICK(s, "fast", "late"));
    if (!strategy) {
        cJSON *vmi = api_new(API_VMI, SIM_NS, name);
        traits_source(s, name, NULL, spec);
        jt_put(vmi, "spec", spec);
        jt_str(vmi, "status.phase", "Pending");
        jt_add(vmi, "metadata.finalizers", "foregroundDeleteVirtualMachine");
        label_source(vmi, name);
        (void)api_create(&s->api, "user", API_VMI, vmi);
        return;
    }
    cJSON *vm = api_new(API_VM, SIM_NS, name);
    jt_str(vm, "spec.runStrategy", strategy);
    jt_str(vm, "spec.template.metadata.labels[kubevirt.io/domain]", name);
    traits_source(s, name, vm, spec);
    jt_put(vm, "spec.template.spec", spec);
    label_source(vm, name);
    if (str_eq(name, scenario_fresh_source))
        strangers_mark_source(s, vm);
    else
        traits_hide_state(s, name, vm);
    (void)api_create(&s->api, "user", API_VM, vm);
}

static const char *source_name(unsigned i, char out[16])
{
    (void)snprintf(out, 16, "src%u", i);
    return out;
}

static unsigned sources(struct sim *s)
{
    unsigned n = 0;
    for (struct machine *m = s->cluster.machines; m; m = m->next)
        n += m->source;
    return n;
}

struct machine *scenario_any_source(struct sim *s)
{
    int64_t n = rng_range(&s->rng, 0, (int64_t)sources(s) - 1);
    for (struct machine *m = s->cluster.machines; m; m = m->next)
        if (m->source && n-- == 0)
            return m;
    return NULL;
}

static void class_goes(void *arg)
{
    struct sim *s = arg;
    struct api_object *o = api_find(&s->api, API_GROUP_CLASS, "", "group");
    /* Of one that is gone nobody knows that it said Retain. */
    if (o && str_eq(json_str(o->tree, "deletionPolicy"), "Delete"))
        api_delete(&s->api, "admin", o);
}

/* What becomes of groups that nobody has asked for by name. It stays so in the calm: Auto must get
   by. */
static void init_groups(struct sim *s)
{
    struct rng *rng = &s->groups.rng;
    rng_seed(rng, s->seed ^ 0x67726f7570);
    s->groups.by_auto = rng_chance(rng, 400);
    s->api.older_groups = rng_chance(rng, 300);
    timer_init(&s->groups.class_goes, class_goes, s);
    if (!s->groups.by_auto || rng_chance(rng, 400))
        return;
    if (rng_chance(rng, 150)) {
        s->groups.refused = true;
    } else if (rng_chance(rng, 150)) {
        timer_arm(&s->timers, &s->groups.class_goes, s->now_ms + rng_range(rng, 0, 300) * 1000);
    } else {
        s->cluster.groups = (enum group_answers)rng_range(rng, GROUPS_SHORT, GROUPS_NO_CONTROLLER);
        s->cluster.groups_go_late = rng_chance(rng, 500);
    }
}

void scenario_init(struct sim *s)
{
    char name[16];
    int64_t n = rng_range(&s->rng, 1, 2);
    scenario_classes(s);
    for (unsigned i = 0; i < (unsigned)n; i++) {
        const char *strategy = PICK(s, "Always", "Always", "Always", "Halted", "Manual", NULL);
        scenario_source(s, source_name(i, name), maybe(s, 800), strategy);
    }
    scenario_install_cdi(s, maybe(s, 250));
    s->cluster.no_volume_clones = maybe(s, 300);
    s->cluster.clones_hold = maybe(s, 250);
    /* A claim that only fails is given up after two minutes: such a run lasts longer. */
    if (maybe(s, 200)) {
        s->cluster.hopeless_claims = (unsigned)rng_range(&s->rng, 100, 400);
        s->calm_ms += rng_range(&s->rng, 100, 300) * 1000;
        s->limit_ms += s->calm_ms;
        s->batches = true;
    }
    if (maybe(s, 400))
        s->cluster.told = (enum storage_clock)rng_range(&s->rng, CLOCK_BEHIND, CLOCK_BIRTH);
    s->api.unserved[API_VM_SNAPSHOT] = maybe(s, 200);
    s->api.unserved[API_VM_SNAPSHOT_CONTENT] = s->api.unserved[API_VM_SNAPSHOT];
    restrictions_init(s);
    init_groups(s);
}
