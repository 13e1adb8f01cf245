#include "wukong/source/differences.h"

#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include "base/buf.h"
#include "base/limits.h"
#include "base/mem.h"
#include "base/str.h"
#include "json/json.h"
#include "wukong/api/marks.h"
#include "wukong/api/volumes.h"
#include "wukong/rules/findings.h"
#include "wukong/source/cloud_init.h"

/* KubeVirt takes one cloud-init volume; more are not looked into. */
#define CLOUD_VOLUMES_MAX 4

struct telling {
    const struct differences_of *of;
    const cJSON *instance;
    difference_found *found;
    void *arg;
    size_t count;
    bool destroys; /* the next sentence */
};

static void tell_of(struct telling *t, const char *secret, const char *format, ...)
    __attribute__((format(printf, 3, 4)));
static void tell_of(struct telling *t, const char *secret, const char *format, ...)
{
    char text[FINDING_WARNING_MAX + 1];
    va_list args;
    if (t->count == DIFFERENCES_MAX)
        return;
    t->count++;
    va_start(args, format);
    int n = vsnprintf(text, sizeof text, format, args);
    va_end(args);
    if (n >= (int)sizeof text)
        memcpy(text + sizeof text - 4, "...", 4);
    t->found(t->arg, &(struct difference){text, secret, t->destroys});
    t->destroys = false;
}
#define tell(t, ...) tell_of(t, NULL, __VA_ARGS__)

/* --- Annotations --- */

static const struct {
    const char *prefix, *words;
} known_annotations[] = {
    {"hooks.kubevirt.io/", "no hook sidecar runs beside the clone"},
    {"kubevirt.io/ignitiondata", "the clone gets no Ignition config"},
    {"kubevirt.io/allow-pod-bridge-network-live-migration", "the clone cannot migrate live"},
    {"cpu-load-balancing.crio.io", "the clone's CPUs are not tuned"},
    {"cpu-quota.crio.io", "the clone's CPUs are not tuned"},
    {"irq-load-balancing.crio.io", "the clone's CPUs are not tuned"},
    {"kubevirt.io/libvirt-log-filters", "libvirt logs for the clone as by default"},
};

static const char *words_of(const char *key)
{
    for (size_t i = 0; i < ARRAY_LEN(known_annotations); i++)
        if (str_starts(key, known_annotations[i].prefix))
            return known_annotations[i].words;
    return NULL;
}

#define CARRIED_MAX (64u * KIB)

bool annotation_is_carried(const cJSON *annotation, size_t *used)
{
    if (!cJSON_IsString(annotation))
        return false;
    size_t n = strlen(annotation->string) + strlen(annotation->valuestring);
    if (n > CARRIED_MAX - *used)
        return false;
    *used += n;
    return true;
}

/* A sidecar's PersistentVolumeClaim (cmd/sidecars, pkg/hooks: HookSidecar.PVC). What cannot be read
   KubeVirt cannot read either. */
static bool hook_mounts_claim(const char *text)
{
    CLEANUP_JSON cJSON *list = NULL;
    const cJSON *hook;
    struct err err;
    if (json_parse(text, strlen(text), true, &list, &err) < 0)
        return false;
    cJSON_ArrayForEach (hook, list)
        if (cJSON_IsObject(json_get(hook, "pvc")))
            return true;
    return false;
}

enum annotation_fate annotation_fate(const struct differences_of *of, const cJSON *annotation)
{
    const char *key = annotation->string;
    if (!of->target || !wukong_keeps_annotation(of->target, key) || !annotation_is_missed(key))
        return ANNOTATION_LEFT_OUT;
    if (!cJSON_IsString(annotation))
        return ANNOTATION_LONG;
    if (!str_eq(key, ANNOTATION_HOOKS))
        return ANNOTATION_KEPT;
    if (of->elsewhere)
        return ANNOTATION_FOREIGN;
    return hook_mounts_claim(annotation->valuestring) ? ANNOTATION_CLAIM : ANNOTATION_KEPT;
}

/* Those that nothing particular is known of, in one sentence. */
static void tell_rest(struct telling *t, const cJSON *annotations)
{
    CLEANUP_BUF struct buf names = BUF_INIT(KIB);
    size_t left = 0,
           room = FINDING_WARNING_MAX - sizeof "annotations of the template are left out:  and 999";
    for (const cJSON *m = annotations->child; m; m = m->next) {
        if (!annotation_is_missed(m->string) || words_of(m->string) ||
            annotation_fate(t->of, m) != ANNOTATION_LEFT_OUT)
            continue;
        if (names.len + strlen(m->string) + 2 < room)
            buf_addf(&names, "%s%s", names.len ? ", " : "", m->string);
        else
            left++;
    }
    if (names.len && left)
        tell(t, "annotations of the template are left out: %s and %zu more", names.data, left);
    else if (names.len)
        tell(t, "annotations of the template are left out: %s", names.data);
    else if (left)
        tell(t, "%zu annotations of the template are left out", left);
}

static void tell_annotation(struct telling *t, const cJSON *m, bool carried)
{
    static const char *const why[] = {
        [ANNOTATION_LONG] = "with those before it, it is too long to be kept",
        [ANNOTATION_FOREIGN] = "it would run an image of the source's owner in your namespace",
        [ANNOTATION_CLAIM] = "it mounts a claim, which the clone would share",
    };
    enum annotation_fate fate = annotation_fate(t->of, m);
    if (fate == ANNOTATION_KEPT && !carried)
        fate = ANNOTATION_LONG;
    if (fate == ANNOTATION_KEPT || (fate == ANNOTATION_LEFT_OUT && !words_of(m->string)))
        return;
    tell(t, "annotation %.55s is left out: %s", m->string,
         fate == ANNOTATION_LEFT_OUT ? words_of(m->string) : why[fate]);
}

static void tell_annotations(struct telling *t, const cJSON *annotations)
{
    size_t used = 0;
    if (!cJSON_IsObject(annotations))
        return;
    for (const cJSON *m = annotations->child; m; m = m->next)
        if (annotation_is_missed(m->string))
            tell_annotation(t, m, annotation_is_carried(m, &used));
    tell_rest(t, annotations);
}

/* --- Disks, as the guest names them --- */

static const char *bus_of(const cJSON *disk)
{
    return str_or(json_str(disk, "disk.bus"), json_str(disk, "lun.bus"));
}

static const cJSON *nth_disk(const cJSON *disks, const char *buses, size_t n)
{
    const cJSON *disk;
    cJSON_ArrayForEach (disk, disks) {
        const char *bus = bus_of(disk);
        if (bus && strstr(buses, bus) && n-- == 0)
            return disk;
    }
    return NULL;
}

static const cJSON *disk_by_serial(const cJSON *disks, const char *serial)
{
    const cJSON *disk;
    cJSON_ArrayForEach (disk, disks) {
        const char *own = json_str(disk, "serial");
        if (own && str_starts(serial, own))
            return disk;
    }
    return NULL;
}

/* /dev/vdc, /dev/vdc1, vdc, /dev/disk/by-id/virtio-SERIAL; NULL: which one it is is not known. */
static const char *disk_of_device(const cJSON *instance, const char *device)
{
    static const char by_id[] = "/dev/disk/by-id/virtio-";
    const cJSON *disks = json_at(instance, "domain.devices.disks"), *disk = NULL;
    if (str_starts(device, by_id))
        return json_str(disk_by_serial(disks, device + sizeof by_id - 1), "name");
    if (str_starts(device, "/dev/"))
        device += 5;
    bool letter = strlen(device) >= 3 && device[2] >= 'a' && device[2] <= 'z' &&
                  strspn(device + 3, "0123456789") == strlen(device + 3);
    size_t n = letter ? (size_t)(device[2] - 'a') : 0;
    if (letter && str_starts(device, "vd"))
        disk = nth_disk(disks, "virtio", n);
    if (letter && str_starts(device, "sd"))
        disk = nth_disk(disks, "scsi sata usb", n);
    return json_str(disk, "name");
}

static const cJSON *volume_named(const cJSON *instance, const char *name)
{
    const cJSON *volume;
    cJSON_ArrayForEach (volume, json_get(instance, "volumes")) {
        if (name && str_eq(json_str(volume, "name"), name))
            return volume;
    }
    return NULL;
}

static void tell_format(struct telling *t, const char *volume, const struct cloud_format *f)
{
    const char *disk = disk_of_device(t->instance, f->device);
    const cJSON *of = volume_named(t->instance, disk);
    char name[64] = "";
    /* An emptyDisk is empty in the clone, too: there it does what it did. */
    if (of && !volume_claim(of))
        return;
    if (disk)
        (void)snprintf(name, sizeof name, " (disk \"%.20s\")", disk);
    t->destroys = f->table || f->overwrites;
    if (f->table)
        tell(t, "\"%.15s\" repartitions %.24s%s in the clone: what was cloned there is lost",
             volume, f->device, name);
    else if (f->overwrites)
        tell(t, "\"%.15s\" formats %.24s%s in the clone: what was cloned there is lost", volume,
             f->device, name);
    else
        tell(t, "\"%.15s\" may format %.24s%s in the clone, unless it is as fs_setup wants it",
             volume, f->device, name);
}

/* --- cloud-init --- */

static void tell_again(struct telling *t, const char *volume, const struct cloud_user_data *u)
{
    CLEANUP_BUF struct buf what = BUF_INIT(KIB);
    const struct {
        bool is;
        const char *words;
    } parts[] = {
        {u->commands, "commands"},
        {u->files, "files"},
        {u->packages, "packages"},
        {u->keys, "SSH keys"},
    };
    for (size_t i = 0; i < ARRAY_LEN(parts); i++)
        if (parts[i].is)
            buf_addf(&what, "%s%s", what.len ? ", " : ": its ", parts[i].words);
    tell(t, "cloud-init runs again in the clone (\"%.20s\")%s", volume, what.len ? what.data : "");
}

static void tell_user_data(struct telling *t, const char *volume, const struct cloud_user_data *u)
{
    const char *seems = u->reading == CLOUD_GUESSED ? "seems to set" : "sets";
    if (u->reading == CLOUD_NOTHING)
        return;
    for (size_t i = 0; i < u->format_count; i++)
        tell_format(t, volume, &u->formats[i]);
    if (u->calls_mkfs)
        tell(t, "user data of \"%.20s\" seems to format a disk; it runs again, on cloned disks",
             volume);
    if (u->passwords)
        tell(t, "user data of \"%.20s\" %s passwords: those of the clone are set back", volume,
             seems);
    if (*u->hostname)
        tell(t, "user data of \"%.20s\" sets the hostname \"%.30s\": the clone has it, too", volume,
             u->hostname);
    if (u->reading == CLOUD_UNREADABLE)
        tell(t, "Wukong cannot read the user data of \"%.20s\"; cloud-init runs it again", volume);
    else
        tell_again(t, volume, u);
}

static void tell_network(struct telling *t, const char *volume, const struct cloud_network *n)
{
    if (n->reading == CLOUD_UNREADABLE)
        tell(t, "Wukong cannot read the network data of \"%.20s\"; the clone has them, too",
             volume);
    if (n->addresses && !*n->address)
        tell(t, "network data of \"%.20s\" seem to set a fixed address: the clone has it, too",
             volume);
    else if (n->addresses > 1)
        tell(t,
             "network data of \"%.20s\" set %zu fixed addresses (%.40s): the clone has them, too",
             volume, n->addresses, n->address);
    else if (n->addresses)
        tell(t, "network data of \"%.20s\" set the fixed address %.40s: the clone has it, too",
             volume, n->address);
    if (n->macs)
        tell(t,
             "network data of \"%.20s\" name MAC addresses: the clone's are new, its network may "
             "fail",
             volume);
}

static void tell_drive(struct telling *t, const char *volume, const cJSON *drive)
{
    static const char *const references[] = {"secretRef", "networkDataSecretRef"};
    struct cloud_user_data user;
    struct cloud_network network;
    CLEANUP_BUF struct buf text = BUF_INIT(2 * LIMIT_CLOUD_INIT_BYTES);
    for (size_t i = 0; i < ARRAY_LEN(references); i++) {
        const char *name = json_str(json_get(drive, references[i]), "name");
        if (!str_empty(name))
            tell_of(t, name,
                    "%s of \"%.20s\" in a Secret, which Wukong does not read: cloud-init %s",
                    i ? "network data" : "user data", volume,
                    i ? "sets it in the clone, too" : "runs it again");
    }
    if (cloud_init_data(drive, "userData", "userDataBase64", &text)) {
        cloud_init_user_data(text.data, text.failed ? SIZE_MAX : text.len, &user);
        tell_user_data(t, volume, &user);
    }
    buf_clear(&text);
    text.failed = false;
    if (cloud_init_data(drive, "networkData", "networkDataBase64", &text)) {
        cloud_init_network(text.data, text.failed ? SIZE_MAX : text.len, &network);
        tell_network(t, volume, &network);
    }
}

/* The clone has the source's cloud-init data. */
static bool keeps_cloud_init(const struct differences_of *of)
{
    return !of->guest || (of->guest->cloud_init != CLOUD_INIT_DROP &&
                          of->guest->cloud_init != CLOUD_INIT_REPLACE);
}

static void tell_cloud_init(struct telling *t)
{
    static const char *const drives[] = {"cloudInitNoCloud", "cloudInitConfigDrive"};
    const cJSON *volume;
    size_t count = 0;
    cJSON_ArrayForEach (volume, json_get(t->instance, "volumes")) {
        for (size_t i = 0; i < ARRAY_LEN(drives); i++) {
            const cJSON *drive = json_get(volume, drives[i]);
            if (cJSON_IsObject(drive) && count++ < CLOUD_VOLUMES_MAX)
                tell_drive(t, str_or(json_str(volume, "name"), "?"), drive);
        }
    }
}

/* --- The rest --- */

static void tell_names(struct telling *t)
{
    const cJSON *item;
    const char *hostname = json_str(t->instance, "hostname");
    const char *subdomain = json_str(t->instance, "subdomain");
    if (!str_empty(hostname))
        tell(t, "hostname \"%.30s\" of the source is not kept: the clone's is %s", hostname,
             t->of->guest && t->of->guest->hostname ? "guest.hostname" : "its own name");
    if (!str_empty(subdomain))
        tell(t, "subdomain \"%.30s\" is kept: the clone answers beside the source there",
             subdomain);
    cJSON_ArrayForEach (item, json_get(t->instance, "volumes")) {
        const char *account = json_str(item, "serviceAccount.serviceAccountName");
        if (!str_empty(account))
            tell_of(t, account, "the clone's guest, too, has the token of ServiceAccount \"%.40s\"",
                    account);
    }
    cJSON_ArrayForEach (item, json_get(t->instance, "resourceClaims")) {
        const char *claim = json_str(item, "resourceClaimName");
        if (!str_empty(claim))
            tell(t, "the clone names ResourceClaim \"%.30s\", too; it may serve one machine only",
                 claim);
    }
}

void differences_each(const struct differences_of *of, difference_found *found, void *arg)
{
    struct telling t = {.of = of, .instance = of->instance, .found = found, .arg = arg};
    if (keeps_cloud_init(of))
        tell_cloud_init(&t);
    tell_annotations(&t, of->annotations);
    tell_names(&t);
}
