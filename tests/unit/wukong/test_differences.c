/*
 * Proves what is told of the differences between a source and its clone: what cloud-init does
 * again (plain and base64, block and flow style, version 1 and 2, scripts and other formats), which
 * annotations stay behind, and that no sentence passes what an admission warning may hold, whatever
 * bytes the source holds. That nothing is told of what does no harm is shown as well.
 */
#include "support.h"

#include "base/rng.h"
#include "wukong/rules/findings.h"
#include "wukong/source/cloud_init.h"
#include "wukong/source/differences.h"

struct told {
    char text[8192];
    size_t count;
};

static void collect(void *arg, const struct difference *d)
{
    struct told *told = arg;
    size_t used = strlen(told->text);
    assert_true(*d->text && strlen(d->text) <= FINDING_WARNING_MAX);
    assert_true(++told->count <= DIFFERENCES_MAX);
    snprintf(told->text + used, sizeof told->text - used, "%s%s%s|", d->text, d->secret ? " @" : "",
             str_or(d->secret, ""));
}

static void tell(const char *annotations, const char *instance, struct told *told)
{
    CLEANUP_JSON cJSON *a = parse_yaml(annotations);
    CLEANUP_JSON cJSON *i = parse_yaml(instance);
    *told = (struct told){0};
    differences_each(&(struct differences_of){.annotations = a, .instance = i}, collect, told);
}

#define DISKS                                                                                      \
    "domain: {devices: {disks: [{name: root, disk: {bus: virtio}}, {name: ci, disk: {bus: "        \
    "virtio}}, {name: data, disk: {bus: virtio}, serial: D123}, {name: tmp, disk: {bus: virtio}}," \
    " {name: sata, disk: {bus: sata}}]}}"
#define VOLUMES_WITH(ci)                                                                           \
    "{" DISKS ", volumes: [{name: root, persistentVolumeClaim: {claimName: r}}, {name: ci, " ci    \
    "}, {name: data, persistentVolumeClaim: {claimName: d}}, {name: tmp, emptyDisk: {capacity: "   \
    "1Gi}}, {name: sata, dataVolume: {name: s}}]}"

struct row {
    const char *data;
    const char *told[4];  /* each part of a sentence */
    const char *quiet[2]; /* not said */
};

static const struct row user_rows[] = {
    {"#cloud-config\n", {NULL}, {"cloud-init runs again"}},
    {"#cloud-config\npassword: x\n",
     {"sets passwords", "cloud-init runs again in the clone (\"ci\")"},
     {0}},
    {"#cloud-config\n{password: x}\n", {"sets passwords"}, {0}},
    {"\xEF\xBB\xBF  #cloud-config\npassword: x\n", {"sets passwords"}, {0}},
    {"#cloud-config\nchpasswd: {expire: false}\n", {"cloud-init runs again"}, {"passwords"}},
    {"#cloud-config\nchpasswd:\n  list: |\n    root:x\n", {"sets passwords"}, {0}},
    {"#cloud-config\nchpasswd: {users: [{name: a, password: b}]}\n", {"sets passwords"}, {0}},
    {"#cloud-config\nusers: [default, {name: a, passwd: $6$x}]\n", {"sets passwords"}, {0}},
    {"#cloud-config\nusers: [default, {name: a, hashed_passwd: $6$x}]\n", {"sets passwords"}, {0}},
    {"#cloud-config\nusers:\n- name: a\n  plain_text_passwd: b\n", {"sets passwords"}, {0}},
    {"#cloud-config\nuser: {name: a, passwd: b}\n", {"sets passwords"}, {0}},
    {"#cloud-config\nusers: [{name: a, lock_passwd: true}]\n",
     {"cloud-init runs again"},
     {"passwords"}},
    {"#cloud-config\nruncmd: [[echo, hi]]\nwrite_files: [{path: /a, content: b}]\npackages: [vim]\n"
     "ssh_authorized_keys: [k]\n",
     {"cloud-init runs again in the clone (\"ci\"): its commands, files, packages, SSH keys"},
     {"format"}},
    {"#cloud-config\nhostname: db\n", {"sets the hostname \"db\""}, {0}},
    {"#cloud-config\nfqdn: db.example.com\nhostname: db\n", {"hostname \"db.example.com\""}, {0}},

    {"#cloud-config\nfs_setup: [{device: /dev/vdc, filesystem: ext4, overwrite: true}]\n",
     {"\"ci\" formats /dev/vdc (disk \"data\") in the clone: what was cloned there is lost"},
     {0}},
    {"#cloud-config\nfs_setup:\n- device: /dev/vdc1\n  overwrite: yes\n",
     {"formats /dev/vdc1 (disk \"data\")"},
     {0}},
    {"#cloud-config\nfs_setup: [{device: /dev/vdc, filesystem: ext4}]\n",
     {"may format /dev/vdc (disk \"data\")"},
     {0}},
    {"#cloud-config\nfs_setup: [{device: /dev/disk/by-id/virtio-D123, overwrite: true}]\n",
     {"(disk \"data\")"},
     {0}},
    {"#cloud-config\nfs_setup: [{device: /dev/disk/by-id/virtio-D123-part1, overwrite: true}]\n",
     {"(disk \"data\")"},
     {0}},
    {"#cloud-config\ndevice_aliases: {d: /dev/vdc}\nfs_setup: [{device: d, overwrite: true}]\n",
     {"formats /dev/vdc (disk \"data\")"},
     {0}},
    {"#cloud-config\nfs_setup: [{device: /dev/sda, overwrite: true}]\n", {"(disk \"sata\")"}, {0}},
    {"#cloud-config\nfs_setup: [{device: LABEL=x, overwrite: true}]\n",
     {"formats LABEL=x in the clone"},
     {0}},
    {"#cloud-config\nfs_setup: [{device: /dev/vdd, overwrite: true}]\n",
     {"cloud-init runs again"},
     {"formats"}},
    {"#cloud-config\ndisk_setup: {/dev/vdc: {table_type: gpt, layout: true, overwrite: true}}\n",
     {"repartitions /dev/vdc (disk \"data\")"},
     {0}},
    {"#cloud-config\ndisk_setup: {/dev/vdc: {table_type: gpt, layout: true}}\n",
     {"cloud-init"},
     {"repartitions"}},
    {"#cloud-config\nruncmd: [mkfs.ext4 /dev/vdc]\n", {"seems to format a disk"}, {0}},
    {"#cloud-config\nbootcmd: [[sgdisk, -Z, /dev/vdc]]\n", {"seems to format a disk"}, {0}},
    {"#cloud-config\nwrite_files: [{path: /x, content: \"wipefs -a /dev/vdc\"}]\n",
     {"seems to format a disk"},
     {0}},

    {"#!/bin/sh\nmkfs.xfs /dev/vdc\necho a | chpasswd\n",
     {"seems to format", "seems to set passwords", "its commands"},
     {0}},
    {"## template: jinja\n#cloud-config\npassword: {{ v1.x }}\n", {"seems to set passwords"}, {0}},
    {"#cloud-config\npassword: [\n", {"seems to set passwords"}, {0}},
    {"Content-Type: multipart/mixed; boundary=x\n\n--x\n#cloud-config\npassword: a\n",
     {"seems to set passwords"},
     {0}},
    {"#cloud-config-archive\n- type: text/cloud-config\n  content: |\n    #cloud-config\n    "
     "password: x\n",
     {"sets passwords"},
     {0}},
    {"#include\nhttp://x/y\n", {"Wukong cannot read"}, {"cloud-init runs again"}},
    {"#cloud-config\na: &a [x, x, x, x, x, x, x, x]\nb: &b [*a, *a, *a, *a, *a, *a, *a, *a]\nc: &c "
     "[*b, *b, *b, *b, *b, "
     "*b, *b, *b]\nd: [*c, *c, *c, *c, *c]\npassword: x\n",
     {"seems to set passwords"},
     {0}},
};

static const struct row network_rows[] = {
    {"version: 2\nethernets: {eth0: {dhcp4: true}}\n", {NULL}, {"address"}},
    {"version: 2\nethernets: {eth0: {addresses: [192.0.2.10/24], gateway4: 192.0.2.1}}\n",
     {"set the fixed address 192.0.2.10/24: the clone has it, too"},
     {0}},
    {"network:\n  version: 2\n  ethernets:\n    eth0:\n      addresses:\n      - 192.0.2.10/24\n   "
     "   - 2001:db8::1/64\n",
     {"set 2 fixed addresses (192.0.2.10/24)"},
     {0}},
    {"version: 2\nbonds: {b0: {addresses: [{192.0.2.7/24: {label: a}}]}}\n", {"192.0.2.7/24"}, {0}},
    {"version: 2\nvlans: {v: {id: 5, addresses: [10.0.0.1/8]}}\n", {"10.0.0.1/8"}, {0}},
    {"version: 2\nethernets: {e: {match: {macaddress: \"00:11:22:33:44:55\"}, set-name: eth0, "
     "dhcp4: true}}\n",
     {"name MAC addresses"},
     {"fixed"}},
    {"version: 2\nethernets: {e: {nameservers: {addresses: [9.9.9.9]}, dhcp4: true}}\n",
     {NULL},
     {"fixed"}},
    {"version: 1\nconfig: [{type: physical, name: eth0, subnets: [{type: dhcp}]}]\n",
     {NULL},
     {"fixed"}},
    {"version: 1\nconfig:\n- type: physical\n  name: eth0\n  mac_address: \"00:11:22:33:44:55\"\n  "
     "subnets:\n  - type: static\n"
     "    address: 192.0.2.3/24\n",
     {"192.0.2.3/24", "name MAC addresses"},
     {0}},
    {"version: 1\nconfig: disabled\n", {NULL}, {"fixed"}},
    {"{\"links\": [{\"id\": \"a\", \"ethernet_mac_address\": \"00:11:22:33:44:55\"}], "
     "\"networks\": [{\"type\": \"ipv4\", "
     "\"ip_address\": \"192.0.2.4\", \"netmask\": \"255.255.255.0\"}]}",
     {"192.0.2.4", "name MAC addresses"},
     {0}},
    {"{\"networks\": [{\"type\": \"ipv4_dhcp\", \"link\": \"a\"}]}", {NULL}, {"fixed"}},
    {"auto eth0\niface eth0 inet static\n  address 192.0.2.5\n",
     {"seem to set a fixed address"},
     {0}},
    {"version: 2\nethernets: {e: {addresses: [\n", {"seem to set a fixed address"}, {0}},
};

static char *escape(const char *text)
{
    CLEANUP_JSON cJSON *string = cJSON_CreateString(text);
    return json_print(string);
}

static const char letters[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";

static char *base64(const char *text, bool lines)
{
    CLEANUP_BUF struct buf out = BUF_INIT(64 * KIB);
    size_t n = strlen(text);
    for (size_t i = 0; i < n; i += 3) {
        unsigned v = (unsigned)(unsigned char)text[i] << 16;
        v |= i + 1 < n ? (unsigned)(unsigned char)text[i + 1] << 8 : 0;
        v |= i + 2 < n ? (unsigned)(unsigned char)text[i + 2] : 0;
        buf_addf(&out, "%c%c%c%c", letters[v >> 18], letters[v >> 12 & 63],
                 i + 1 < n ? letters[v >> 6 & 63] : '=', i + 2 < n ? letters[v & 63] : '=');
        if (lines && i % 12 == 9)
            buf_adds(&out, "\n");
    }
    return buf_take(&out);
}

static void check(const struct row *r, const char *drive, const char *member, const char *value)
{
    struct told told;
    CLEANUP_FREE char *text = escape(value);
    CLEANUP_FREE char *volume = xasprintf("%s: {%s: %s}", drive, member, text);
    CLEANUP_FREE char *instance = xasprintf(VOLUMES_WITH("%s"), volume);
    tell(NULL, instance, &told);
    for (size_t i = 0; i < ARRAY_LEN(r->told) && r->told[i]; i++)
        if (!strstr(told.text, r->told[i]))
            fail_msg("%s\nsays %s\nand not %s", r->data, told.text, r->told[i]);
    for (size_t i = 0; i < ARRAY_LEN(r->quiet) && r->quiet[i]; i++)
        if (strstr(told.text, r->quiet[i]))
            fail_msg("%s\nsays %s", r->data, told.text);
}

static void check_rows(const struct row *rows, size_t n, const char *plain, const char *encoded)
{
    for (size_t i = 0; i < n; i++) {
        CLEANUP_FREE char *text = base64(rows[i].data, false);
        CLEANUP_FREE char *lines = base64(rows[i].data, true);
        check(&rows[i], "cloudInitNoCloud", plain, rows[i].data);
        check(&rows[i], "cloudInitConfigDrive", plain, rows[i].data);
        check(&rows[i], "cloudInitNoCloud", encoded, text);
        check(&rows[i], "cloudInitConfigDrive", encoded, lines);
    }
}

static void test_user_data(void **state)
{
    (void)state;
    check_rows(user_rows, ARRAY_LEN(user_rows), "userData", "userDataBase64");
}

static void test_network_data(void **state)
{
    (void)state;
    check_rows(network_rows, ARRAY_LEN(network_rows), "networkData", "networkDataBase64");
}

/* What cannot be read is said to be so: compressed, too long, no base64, or in a Secret. */
static void test_unreadable(void **state)
{
    (void)state;
    struct told told;
    tell(NULL, "{volumes: [{name: ci, cloudInitNoCloud: {userDataBase64: H4sIAAAAAAAA}}]}", &told);
    assert_non_null(strstr(told.text, "cannot read the user data of \"ci\""));
    tell(NULL,
         "{volumes: [{name: ci, cloudInitNoCloud: {userDataBase64: \"?\", networkDataBase64: "
         "\"a\"}}]}",
         &told);
    assert_non_null(strstr(told.text, "cannot read the user data of \"ci\""));
    assert_non_null(strstr(told.text, "cannot read the network data of \"ci\""));
    CLEANUP_BUF struct buf large = BUF_INIT(64 * KIB);
    buf_adds(&large, "{volumes: [{name: ci, cloudInitNoCloud: {userData: \"");
    for (size_t i = 0; i <= LIMIT_CLOUD_INIT_BYTES; i++)
        buf_addc(&large, 'a');
    buf_adds(&large, "\"}}]}");
    tell(NULL, large.data, &told);
    assert_non_null(strstr(told.text, "cannot read the user data of \"ci\""));
    tell(NULL,
         "{volumes: [{name: ci, cloudInitConfigDrive: {secretRef: {name: s}, "
         "networkDataSecretRef: {name: t}}}]}",
         &told);
    assert_string_equal(
        told.text,
        "user data of \"ci\" in a Secret, which Wukong does not read: cloud-init runs it again @s|"
        "network data of \"ci\" in a Secret, which Wukong does not read: cloud-init sets it in "
        "the clone, too @t|");
}

static void test_annotations(void **state)
{
    (void)state;
    static const struct {
        const char *annotations, *told;
    } rows[] = {
        {"{hooks.kubevirt.io/hookSidecars: '[]'}",
         "annotation hooks.kubevirt.io/hookSidecars is left out: no hook sidecar runs beside the "
         "clone|"},
        {"{kubevirt.io/ignitiondata: '{}'}",
         "annotation kubevirt.io/ignitiondata is left out: the clone gets no Ignition config|"},
        {"{cpu-quota.crio.io: disable}",
         "annotation cpu-quota.crio.io is left out: the clone's CPUs are not tuned|"},
        {"{kubevirt.io/libvirt-log-filters: '3:x'}",
         "annotation kubevirt.io/libvirt-log-filters is left out: libvirt logs for the clone as by "
         "default|"},
        {"{smbios.vm.kubevirt.io/baseBoardManufacturer: x, example.com/a: b}",
         "annotations of the template are left out: smbios.vm.kubevirt.io/baseBoardManufacturer, "
         "example.com/a|"},
        {"{kubevirt.io/placePCIDevicesOnRootComplex: 'true', kubevirt.io/pci-topology-version: v3, "
         "vm.kubevirt.io/os: linux, vm.kubevirt.io/name: x}",
         ""},
        {"{kubectl.kubernetes.io/last-applied-configuration: x, kubevirt.io/vm-generation: '1', "
         "ovn.kubernetes.io/ip_address: 10.0.0.1}",
         ""},
        {"[a]", ""},
        {NULL, ""},
    };
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        struct told told;
        tell(rows[i].annotations, NULL, &told);
        assert_string_equal(told.text, rows[i].told);
    }
    CLEANUP_BUF struct buf many = BUF_INIT(64 * KIB);
    buf_adds(&many, "{");
    for (int i = 0; i < 200; i++)
        buf_addf(&many, "example.com/annotation-number-%d: x, ", i);
    buf_adds(&many, "}");
    struct told told;
    tell(many.data, NULL, &told);
    assert_non_null(strstr(told.text, " and 198 more|"));
}

static void test_names(void **state)
{
    (void)state;
    struct told told;
    tell(NULL,
         "{hostname: db, subdomain: dbs, volumes: [{name: a, serviceAccount: {serviceAccountName: "
         "robot}}], resourceClaims: [{name: g, resourceClaimName: shared}, {name: h, "
         "resourceClaimTemplateName: t}]}",
         &told);
    assert_string_equal(
        told.text, "hostname \"db\" of the source is not kept: the clone's is its own name|"
                   "subdomain \"dbs\" is kept: the clone answers beside the source there|"
                   "the clone's guest, too, has the token of ServiceAccount \"robot\" @robot|"
                   "the clone names ResourceClaim \"shared\", too; it may serve one machine only|");
}

/* Any bytes: no crash, and sentences within their bounds (collect() looks). */
static void test_any_bytes(void **state)
{
    (void)state;
    static const char *const words[] = {
        "#cloud-config\n",
        "fs_setup",
        ": ",
        "[",
        "]",
        "{",
        "}",
        "&a ",
        "*a",
        "\n",
        "  ",
        "- ",
        "device",
        "/dev/vd",
        "overwrite: true",
        "users",
        "passwd",
        ",",
        "network",
        "config",
        "subnets",
        "address",
        "es",
        "\xC3",
        "\x1b",
        "'",
        "\"",
        "|",
        "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa"};
    struct rng rng;
    rng_seed(&rng, 7);
    for (int i = 0; i < 20000; i++) {
        CLEANUP_BUF struct buf text = BUF_INIT(KIB);
        struct cloud_user_data user;
        struct cloud_network network;
        for (int64_t n = rng_range(&rng, 0, 12); n > 0; n--)
            buf_adds(&text, words[rng_range(&rng, 0, ARRAY_LEN(words) - 1)]);
        cloud_init_user_data(text.data, text.len, &user);
        cloud_init_network(text.data, text.len, &network);
        assert_true(user.format_count <= CLOUD_FORMATS_MAX);
        assert_true(user.reading <= CLOUD_UNREADABLE && network.reading <= CLOUD_UNREADABLE);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_user_data),  cmocka_unit_test(test_network_data),
        cmocka_unit_test(test_unreadable), cmocka_unit_test(test_annotations),
        cmocka_unit_test(test_names),      cmocka_unit_test(test_any_bytes),
    };
    return cmocka_run_group_tests_name("differences", tests, NULL, NULL);
}
