/*
 * Proves that the guest of a source of another namespace gets no Secret and no ServiceAccount of
 * the clone's namespace that the Wukong does not name, whatever field of the source names it, that
 * the machine stays one that KubeVirt takes (no disk without its volume, no empty cloud-init
 * drive), and that each loss is told. A clone within one namespace keeps all of it.
 */
#include "manifest_test.h"

#include "wukong/source/dependencies.h"

#define INSTANCE "spec.template.spec."
#define VOLUME(name, kind) "{'name':'" name "'," kind "}"
#define DISK(name) "{'name':'" name "','disk':{'bus':'virtio'}}"
#define ROOT VOLUME("root", "'persistentVolumeClaim':{'claimName':'src-root'}")
#define WITH(volume)                                                                               \
    SOURCE("{'domain':{'devices':{'disks':[" DISK("root") "," DISK(                                \
        "v") "]}},'volumes':[" ROOT "," VOLUME("v", volume) "]}")
#define GONE                                                                                       \
    INSTANCE "volumes.#1 = -", INSTANCE "domain.devices.disks.#1 = -",                             \
        INSTANCE "volumes.#0.name = 'root'"
#define REFERENCES(items) "'target':{'references':[" items "]}"
#define AS_SECRET(from, to) "{'kind':'Secret','from':'" from "','to':'" to "'}"
#define CREDENTIAL(kind, name) "{'" kind "':{'source':{'secret':{'secretName':'" name "'}}}}"

struct row {
    const char *name, *source, *spec;
    const char *expect[6];
    const char *told;  /* part of a warning */
    const char *error; /* part of the refusal */
};

static const struct row rows[] = {
    {.name = "secret volume",
     .source = WITH("'secret':{'secretName':'s'}"),
     .expect = {GONE},
     .told = "Secret \"s\" is not in allowSecrets: volume \"v\" is left out"},
    {.name = "secret volume, optional",
     .source = WITH("'secret':{'secretName':'s','optional':true}"),
     .expect = {GONE},
     .told = "Secret \"s\""},
    {.name = "service account",
     .source = WITH("'serviceAccount':{'serviceAccountName':'s'}"),
     .expect = {GONE},
     .told = "ServiceAccount \"s\" is not in allowSecrets: volume \"v\" is left out"},
    {.name = "files of the launcher Pod",
     .source = WITH("'containerPath':{'path':'/var/run/secrets'}"),
     .expect = {GONE},
     .told = "volume \"v\" of the source is left out: it shows the guest"},
    {.name = "sysprep",
     .source = WITH("'sysprep':{'secret':{'name':'s'}}"),
     .expect = {GONE},
     .told = "Secret \"s\""},
    {.name = "sysprep by ConfigMap",
     .source = WITH("'sysprep':{'configMap':{'name':'s'}}"),
     .expect = {INSTANCE "volumes.#1.sysprep.configMap.name = 's'"}},
    {.name = "cloud-init user data",
     .source = WITH("'cloudInitNoCloud':{'secretRef':{'name':'s'},'networkData':'version: 2'}"),
     .expect = {GONE},
     .told = "Secret \"s\" is not in allowSecrets: volume \"v\" is left out"},
    {.name = "cloud-init config drive",
     .source = WITH("'cloudInitConfigDrive':{'secretRef':{'name':'s'}}"),
     .expect = {GONE},
     .told = "Secret \"s\""},
    {.name = "cloud-init network data",
     .source = WITH("'cloudInitNoCloud':{'networkDataSecretRef':{'name':'s'},'userData':'x'}"),
     .expect = {INSTANCE "volumes.#1.cloudInitNoCloud = {'userData':'x'}",
                INSTANCE "domain.devices.disks.#1.name = 'v'"},
     .told = "Secret \"s\" is not in allowSecrets: network data of volume \"v\" is left out"},
    {.name = "cloud-init network data alone",
     .source = WITH("'cloudInitConfigDrive':{'networkDataSecretRef':{'name':'s'}}"),
     .expect = {GONE},
     .told = "volume \"v\" is left out"},
    {.name = "both cloud-init Secrets",
     .source = WITH("'cloudInitNoCloud':{'networkDataSecretRef':{'name':'s'},'secretRef':{'name':"
                    "'t'}}"),
     .expect = {GONE},
     .told = "Secret \"t\""},
    {.name = "both cloud-init Secrets, one allowed",
     .source = WITH("'cloudInitNoCloud':{'networkDataSecretRef':{'name':'s'},'secretRef':{'name':"
                    "'ok'}}"),
     .expect = {INSTANCE "volumes.#1.cloudInitNoCloud = {'secretRef':{'name':'ok'}}"},
     .told = "network data of volume \"v\""},
    {.name = "image pull secret",
     .source = WITH("'containerDisk':{'image':'i','imagePullSecret':'s'}"),
     .expect = {INSTANCE "volumes.#1.containerDisk = {'image':'i'}"},
     .told = "Secret \"s\" is not in allowSecrets: imagePullSecret of volume \"v\" is left out"},
    {.name = "image pull secret of a kernel",
     .source = SOURCE("{'domain':{'firmware':{'kernelBoot':{'container':{'image':'i',"
                      "'imagePullSecret':'s'}}}}}"),
     .expect = {INSTANCE "domain.firmware.kernelBoot.container = {'image':'i'}"},
     .told = "imagePullSecret is left out"},
    {.name = "ServiceAccount of the launcher",
     .source = SOURCE("{'domain':{},'serviceAccountName':'s'}"),
     .expect = {INSTANCE "serviceAccountName = -"},
     .told = "ServiceAccount \"s\" is not in allowSecrets: serviceAccountName is left out"},
    {.name = "access credentials",
     .source = SOURCE("{'domain':{},'accessCredentials':[" CREDENTIAL("sshPublicKey", "s") "," //
                      CREDENTIAL("userPassword", "t") "," CREDENTIAL("sshPublicKey", "ok") "]}"),
     .expect = {INSTANCE "accessCredentials = [" CREDENTIAL("sshPublicKey", "ok") "]"},
     .told = "Secret \"t\" is not in allowSecrets: its access credential is left out"},
    {.name = "the Wukong's own key is no wish of the source",
     .source = SOURCE(
         "{'domain':{},'volumes':[{'name':'c','cloudInitNoCloud':{'userData':'x'}},{'name':'v',"
         "'secret':{'secretName':'keys'}}]}"),
     .spec = "'sshKeySecret':'keys'",
     .expect = {INSTANCE "volumes.#1 = -",
                INSTANCE "accessCredentials.#0.sshPublicKey.source.secret.secretName = 'keys'"},
     .told = "Secret \"keys\""},
    {.name = "the key cannot reach the guest without the drive",
     .source = WITH("'cloudInitNoCloud':{'secretRef':{'name':'s'}}"),
     .spec = "'sshKeySecret':'keys'",
     .error = "Secret that cloneSource.allowSecrets names"},
    {.name = "allowed ones stay",
     .source = SOURCE("{'domain':{'devices':{'disks':[" DISK("a") "]}},'volumes':["     //
                      VOLUME("a", "'secret':{'secretName':'ok','volumeLabel':'l'}") "," //
                      VOLUME("b", "'serviceAccount':{'serviceAccountName':'ok'}") ","   //
                      VOLUME("c", "'sysprep':{'secret':{'name':'ok'}}") "]}"),
     .expect = {INSTANCE "volumes.#0.secret = {'secretName':'ok','volumeLabel':'l'}",
                INSTANCE "volumes.#1.serviceAccount.serviceAccountName = 'ok'",
                INSTANCE "volumes.#2.sysprep.secret.name = 'ok'",
                INSTANCE "domain.devices.disks.#0.name = 'a'"}},
    {.name = "what is no Secret stays",
     .source = SOURCE("{'nodeSelector':{'secret-zone':'a'},'affinity':{'x':{'secretName':'y'}},"
                      "'domain':{},'volumes':[{'name':'v','configMap':{'name':'c'}}],'networks':[{"
                      "'name':'n','multus':{'networkName':'lan'}}]}"),
     .expect = {INSTANCE "volumes.#0.configMap.name = 'c'",
                INSTANCE "nodeSelector.secret-zone = 'a'",
                INSTANCE "networks.#0.multus.networkName = 'lan'"}},
    {.name = "a Secret where nobody expects one",
     .source = SOURCE("{'domain':{'devices':{'novel':{'secretName':'s'}}}}"),
     .error = "the source names \"s\" in secretName"},
    {.name = "a reference where nobody expects one",
     .source = SOURCE("{'domain':{},'vendorDataSecretRef':{'name':'s'}}"),
     .error = "the source names \"s\" in name"},
    {.name = "a list of Secrets where nobody expects one",
     .source = SOURCE("{'domain':{},'imagePullSecrets':[{'name':'ok'},{'name':'s'}]}"),
     .error = "the source names \"s\""},
    {.name = "a list of names where nobody expects one",
     .source = SOURCE("{'domain':{'novel':{'secrets':['ok','s']}}}"),
     .error = "the source names \"s\""},
    {.name = "another Secret in its place",
     .source = WITH("'secret':{'secretName':'s'}"),
     .spec = REFERENCES(AS_SECRET("s", "keys")),
     .expect = {INSTANCE "volumes.#1.secret.secretName = 'keys'"}},
    {.name = "the source guesses what comes in another place",
     .source =
         SOURCE("{'domain':{},'volumes':[" VOLUME("v", "'secret':{'secretName':'s'}") "," VOLUME(
             "w", "'secret':{'secretName':'keys'}") "]}"),
     .spec = REFERENCES(AS_SECRET("s", "keys")),
     .expect = {INSTANCE "volumes = [{'name':'v','secret':{'secretName':'keys'}}]"},
     .told = "Secret \"keys\" is not in allowSecrets: volume \"w\" is left out"},
    {.name = "each place is renamed once",
     .source =
         SOURCE("{'domain':{},'volumes':[" VOLUME("v", "'secret':{'secretName':'s'}") "," VOLUME(
             "w", "'secret':{'secretName':'keys'}") "]}"),
     .spec = REFERENCES(AS_SECRET("s", "keys") "," AS_SECRET("keys", "ok")),
     .expect = {INSTANCE "volumes.#0.secret.secretName = 'keys'",
                INSTANCE "volumes.#1.secret.secretName = 'ok'"}},
    {.name = "what comes in one place, where nobody expects one",
     .source = SOURCE("{'domain':{'novel':{'secretName':'keys'}},'volumes':[" VOLUME(
         "v", "'secret':{'secretName':'s'}") "]}"),
     .spec = REFERENCES(AS_SECRET("s", "keys")),
     .error = "the source names \"keys\" in secretName"},
    {.name = "what is replaced, where nobody expects one",
     .source = SOURCE("{'domain':{'novel':{'secretName':'s'}},'volumes':[" VOLUME(
         "v", "'secret':{'secretName':'s'}") "]}"),
     .spec = REFERENCES(AS_SECRET("s", "keys")),
     .error = "the source names \"s\" in secretName"},
    {.name = "Secrets of a kernel's image",
     .source =
         SOURCE("{'domain':{'firmware':{'kernelBoot':{'container':{'imagePullSecret':'s'}}}}}"),
     .spec = REFERENCES(AS_SECRET("s", "keys")),
     .expect = {INSTANCE "domain.firmware.kernelBoot.container.imagePullSecret = 'keys'"}},
    {.name = "an unknown member of a known volume",
     .source = WITH("'emptyDisk':{},'serviceAccountToken':{'serviceAccountName':'s'}"),
     .error = "the source names \"s\" in serviceAccountName"},
};

struct built {
    struct wukong_fixture f;
    struct manifest_vm vm;
    cJSON *source, *body;
    int status;
    struct err err;
};

static void build(const struct row *row, bool elsewhere, struct built *b)
{
    static const char *allowed[] = {"other", "ok"};
    struct disk_list disks;
    *b = (struct built){0};
    fixture_init(&b->f, NULL, row->spec);
    b->f.effective.cross_namespace = elsewhere;
    b->f.wukong.spec.source.allow_secrets = allowed;
    b->f.wukong.spec.source.allow_secret_count = ARRAY_LEN(allowed);
    b->source = parse(row->source);
    disk_list_init(&disks, strstr(row->source, "src-root") ? "root" : NULL);
    struct manifest_request r = {.wukong = &b->f.wukong,
                                 .effective = &b->f.effective,
                                 .disks = disks.items,
                                 .disk_count = disks.count};
    manifest_vm_init(&b->vm);
    b->status = manifest_vm_body(b->source, &r, &b->vm, &b->err);
    struct err err = {0};
    if (b->status == 0)
        assert_int_equal(json_parse(b->vm.body.data, b->vm.body.len, true, &b->body, &err), 0);
}

static void release(struct built *b)
{
    cJSON_Delete(b->body);
    cJSON_Delete(b->source);
    manifest_vm_release(&b->vm);
    fixture_release(&b->f);
}

static bool is_told(const struct manifest_vm *vm, const char *part)
{
    for (size_t i = 0; i < vm->warning_count; i++)
        if (strstr(vm->warnings[i], part))
            return true;
    return false;
}

static void check_row(const struct row *row, const struct built *b)
{
    if (row->error) {
        if (b->status == 0 || b->err.kind != ERR_REFUSED || !strstr(b->err.message, row->error))
            fail_msg("%s: %s", row->name, b->status ? b->err.message : "built");
        return;
    }
    if (b->status < 0)
        fail_msg("%s: %s", row->name, b->err.message);
    for (size_t i = 0; i < ARRAY_LEN(row->expect) && row->expect[i]; i++)
        check_path(row->name, b->body, row->expect[i]);
    if (row->told && !is_told(&b->vm, row->told))
        fail_msg("%s: not told: %s", row->name, row->told);
    for (size_t i = 0; !row->told && i < b->vm.warning_count; i++)
        fail_msg("%s: told %s", row->name, b->vm.warnings[i]);
    for (size_t i = 0; i < b->vm.need_count; i++)
        if (str_eq(b->vm.needs[i].kind, "Secret") || str_eq(b->vm.needs[i].kind, "ServiceAccount"))
            assert_true(str_eq(b->vm.needs[i].name, "ok") || str_eq(b->vm.needs[i].name, "keys"));
}

static void test_elsewhere(void **state)
{
    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        struct built b;
        build(&rows[i], true, &b);
        check_row(&rows[i], &b);
        release(&b);
    }
}

/* Within one namespace everything stays as the source has it. */
static void test_here(void **state)
{
    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        static const char *const kept[] = {"volumes", "accessCredentials", "serviceAccountName"};
        struct built b;
        build(&rows[i], false, &b);
        if (b.status < 0)
            fail_msg("%s: %s", rows[i].name, b.err.message);
        for (size_t k = 0; k < ARRAY_LEN(kept) && !rows[i].spec; k++) {
            const cJSON *was = json_get(json_at(b.source, "spec.template.spec"), kept[k]);
            const cJSON *is = json_get(json_at(b.body, "spec.template.spec"), kept[k]);
            assert_int_equal(cJSON_GetArraySize(was), cJSON_GetArraySize(is));
        }
        assert_false(is_told(&b.vm, "allowSecrets"));
        release(&b);
    }
}

/* However long the names are, the sentence fits a warning and stays whole. */
static void test_text(void **state)
{
    (void)state;
    char name[254] = "", volume[64] = "";
    memset(name, 's', sizeof name - 1);
    memset(volume, 'v', sizeof volume - 1);
    CLEANUP_JSON cJSON *item = cJSON_CreateObject();
    cJSON_AddStringToObject(item, "name", volume);
    static const struct dependency places[] = {
        {.kind = "ServiceAccount", .loss = LOSES_ITEM, .list = "volumes", .path = "a.b"},
        {.kind = "Secret", .loss = LOSES_MEMBER, .list = "volumes", .path = "c.imagePullSecret"},
        {.kind = "Secret",
         .loss = LOSES_MEMBER,
         .list = "volumes",
         .path = "cloudInitConfigDrive.networkDataSecretRef.name"},
        {.kind = "Secret", .loss = LOSES_ITEM, .list = "accessCredentials", .path = "a.b"},
        {.kind = "ServiceAccount", .loss = LOSES_MEMBER, .path = "serviceAccountName"},
    };
    for (size_t i = 0; i < ARRAY_LEN(places); i++) {
        struct dependency need = places[i];
        char text[DEPENDENCY_DENIED_MAX];
        need.name = name;
        need.item = item;
        dependency_denied_text(&need, text);
        assert_true(strlen(text) < DEPENDENCY_DENIED_MAX);
        assert_true(str_ends(text, " is left out"));
        assert_non_null(strstr(text, "...\" is not in allowSecrets"));
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_elsewhere),
        cmocka_unit_test(test_here),
        cmocka_unit_test(test_text),
    };
    return cmocka_run_group_tests_name("target_secrets", tests, NULL, NULL);
}
