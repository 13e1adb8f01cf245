#include "certs/keeper.h"

#include <assert.h>

#include "base/buf.h"
#include "base/mem.h"
#include "base/str.h"
#include "certs/bundle.h"
#include "certs/files.h"
#include "certs/secret.h"
#include "json/json.h"
#include "json/writer.h"
#include "kube/reflector.h"

/* A write that failed is tried again after this long, with jitter: other replicas try too. */
#define RETRY_MS 1000
#define RETRY_JITTER_PERCENT 100
/* Turns in one go: make a leaf, look again, be done. */
#define TURNS_MAX 4
#define SANS_MAX 4

const char *const keeper_mode_names[KEEPER_MODES] = {"selfSigned", "certManager", "provided"};

enum watched_kind { WATCH_SECRET, WATCH_MUTATING, WATCH_VALIDATING, WATCH_STAMP, WATCHES };

/* One object, watched by name. */
struct watched {
    struct keeper *keeper;
    struct kube_kind kind;
    const char *name;
    struct store *store;
    struct reflector *reflector;
    struct kube_op *write; /* under way */
    int64_t retry_ms;      /* monotonic: no write before */
};

struct keeper {
    struct keeper_options o;
    struct watched watched[WATCHES];
    struct timer timer, files_timer;
    struct bundle_config config;
    struct bundle_memo memo;
    struct ca_secret secret;
    struct cert_files files;
    struct keypair leaf;
    char *host;
    char *sans[SANS_MAX];
    struct {
        char *hook, *bundle;
        enum watched_kind of;
    } live[BUNDLE_HOOKS_MAX];
    size_t live_count;
    int64_t next_live_since_ms, leaf_expiry_ms, ca_expiry_ms;
    const char *why_not;
    bool ready, turning;
};

/* --- What is seen ---------------------------------------------------------------------------- */

static const struct kube_object *object_of(const struct watched *w, const char *ns)
{
    return w->store ? store_get(w->store, w->kind.cluster_scoped ? "" : ns, w->name) : NULL;
}

static bool is_synced(const struct watched *w)
{
    return w->reflector && reflector_synced(w->reflector);
}

static void see_secret(struct keeper *k)
{
    const struct kube_object *o = object_of(&k->watched[WATCH_SECRET], k->o.ns);
    if (o && str_eq(o->uid, k->secret.uid) &&
        str_eq(o->resource_version, k->secret.resource_version))
        return;
    ca_secret_release(&k->secret);
    if (!o)
        return;
    const char *text = str_or(kube_object_field(o, "data{}"), "{}");
    CLEANUP_JSON cJSON *data = NULL;
    struct err err = {0};
    if (json_read(text, strlen(text), &data, &err) < 0)
        k->o.failed(k->o.arg, "read the secret", &err);
    ca_secret_read(data, o->uid, o->resource_version, &k->secret);
}

static void forget_live(struct keeper *k)
{
    for (size_t i = 0; i < k->live_count; i++) {
        free(k->live[i].hook);
        free(k->live[i].bundle);
    }
    k->live_count = 0;
}

static void see_configuration(struct keeper *k, enum watched_kind of)
{
    const struct kube_object *o = object_of(&k->watched[of], NULL);
    const char *text = o ? kube_object_field(o, "webhooks[]") : NULL;
    CLEANUP_JSON cJSON *hooks = NULL;
    struct err err = {0};
    if (!text || json_read(text, strlen(text), &hooks, &err) < 0)
        return;
    const cJSON *hook = NULL;
    cJSON_ArrayForEach (hook, hooks) {
        const char *name = json_str(hook, "name");
        if (!name || k->live_count == BUNDLE_HOOKS_MAX)
            continue;
        const char *bundle = json_str(hook, "clientConfig.caBundle");
        k->live[k->live_count].of = of;
        k->live[k->live_count].hook = xstrdup(name);
        k->live[k->live_count++].bundle = bundle ? base64_decode_text(bundle) : NULL;
    }
}

static void see(struct keeper *k, struct bundle_view *ret)
{
    see_secret(k);
    forget_live(k);
    bool read = true;
    for (int of = WATCH_MUTATING; of <= WATCH_VALIDATING; of++) {
        see_configuration(k, (enum watched_kind)of);
        read &= !k->watched[of].name || is_synced(&k->watched[of]);
    }
    *ret = (struct bundle_view){
        .memo = &k->memo,
        .secret = is_synced(&k->watched[WATCH_SECRET]) ? &k->secret : NULL,
        .configurations_read = read,
        .live_count = k->live_count,
        .leaf = k->leaf.cert,
        .next_live_since_ms = k->next_live_since_ms,
        .now_ms = clock_wall(k->o.client->clock),
    };
    for (size_t i = 0; i < k->live_count; i++)
        ret->live[i] = k->live[i].bundle;
}

/* --- What is done ---------------------------------------------------------------------------- */

static void turn_keeper(struct keeper *k);

static int64_t now_mono(const struct keeper *k)
{
    return clock_mono(k->o.client->clock);
}

/* A conflict, or somebody else's create, is no failure: the watch brings what they wrote. */
static void on_secret_written(void *arg, const struct kube_reply *reply)
{
    struct watched *w = arg;
    struct keeper *k = w->keeper;
    w->write = NULL;
    enum err_kind kind = reply->status.err.kind;
    w->retry_ms = now_mono(k) + rng_jitter(k->o.rng, RETRY_MS, RETRY_JITTER_PERCENT);
    if (kind != ERR_NONE && kind != ERR_CONFLICT && kind != ERR_EXISTS)
        k->o.failed(k->o.arg, w->kind.resource, &reply->status.err);
    turn_keeper(k);
}

static bool may_write(const struct keeper *k, const struct watched *w)
{
    return !w->write && now_mono(k) >= w->retry_ms;
}

static void write_secret(struct keeper *k, unsigned change, int64_t now_ms)
{
    struct watched *w = &k->watched[WATCH_SECRET];
    if (!change || !may_write(k, w))
        return;
    CLEANUP_CA_SECRET struct ca_secret changed = {0};
    struct err err = {0};
    if (bundle_change_secret(&k->config, &k->secret, change, now_ms, &changed, &err) < 0) {
        w->retry_ms = now_mono(k) + RETRY_MS;
        k->o.failed(k->o.arg, "make a key", &err);
        return;
    }
    CLEANUP_BUF struct buf body = BUF_INIT(LIMIT_OBJECT_BYTES);
    ca_secret_write(&changed, k->o.ns, w->name, &body);
    struct kube_ref ref = {.kind = &w->kind, .ns = k->o.ns};
    struct kube_answer answer = {.done = on_secret_written, .arg = w};
    if (k->secret.exists) {
        ref.name = w->name;
        w->write = kube_update(k->o.client, ref, body.data, answer);
    } else {
        w->write = kube_create(k->o.client, ref, body.data, false, answer);
    }
}

/* caBundle of every webhook, and nothing else. With uid and resourceVersion an apply can neither
   create the object nor overwrite what was not seen. */
static void publish_to(struct keeper *k, enum watched_kind of, const char *wanted)
{
    struct watched *w = &k->watched[of];
    const struct kube_object *o = object_of(w, NULL);
    if (!o || !may_write(k, w))
        return;
    CLEANUP_BUF struct buf body = BUF_INIT(LIMIT_OBJECT_BYTES);
    CLEANUP_FREE char *encoded = base64_encode_text(wanted);
    struct json_writer writer = json_writer(&body);
    json_object(&writer, NULL);
    json_stringf(&writer, "apiVersion", "%s/%s", w->kind.group, w->kind.version);
    json_string(&writer, "kind", w->kind.kind);
    json_object(&writer, "metadata");
    json_string(&writer, "name", w->name);
    json_string(&writer, "uid", o->uid);
    json_string(&writer, "resourceVersion", o->resource_version);
    json_end(&writer);
    json_array(&writer, "webhooks");
    bool differs = false;
    for (size_t i = 0; i < k->live_count; i++) {
        if (k->live[i].of != of)
            continue;
        differs |= !k->live[i].bundle || !authority_bundle_equal(k->live[i].bundle, wanted);
        json_object(&writer, NULL);
        json_string(&writer, "name", k->live[i].hook);
        json_object(&writer, "clientConfig");
        json_string(&writer, "caBundle", encoded);
        json_end(&writer);
        json_end(&writer);
    }
    json_end(&writer);
    json_end(&writer);
    if (!differs)
        return;
    struct kube_ref ref = {.kind = &w->kind, .name = w->name};
    w->write =
        kube_apply(k->o.client, ref, body.data, true, (struct kube_answer){on_secret_written, w});
}

static void publish_stamp_key(struct keeper *k)
{
    struct watched *w = &k->watched[WATCH_STAMP];
    if (!w->name || !k->secret.stamp_public || !is_synced(w) || !may_write(k, w))
        return;
    const struct kube_object *o = object_of(w, k->o.ns);
    const char *text = o ? kube_object_field(o, "data{}") : NULL;
    CLEANUP_JSON cJSON *data = NULL;
    CLEANUP_BUF struct buf keys = BUF_INIT(LIMIT_PEM_BYTES);
    struct err err = {0};
    if (text && json_read(text, strlen(text), &data, &err) < 0)
        data = NULL;
    const cJSON *entry = json_get(data, KEEPER_STAMP_ENTRY);
    const char *published = cJSON_IsString(entry) ? entry->valuestring : "";
    stamp_keys_join(k->secret.stamp_public, published, &keys);
    if (!buf_ok(&keys) || str_eq(published, keys.data))
        return;
    CLEANUP_BUF struct buf body = BUF_INIT(LIMIT_OBJECT_BYTES);
    struct json_writer writer = json_writer(&body);
    json_object(&writer, NULL);
    json_string(&writer, "apiVersion", "v1");
    json_string(&writer, "kind", "ConfigMap");
    json_object(&writer, "metadata");
    json_string(&writer, "namespace", k->o.ns);
    json_string(&writer, "name", w->name);
    json_end(&writer);
    json_object(&writer, "data");
    json_string(&writer, KEEPER_STAMP_ENTRY, keys.data);
    json_end(&writer);
    json_end(&writer);
    struct kube_ref ref = {.kind = &w->kind, .ns = k->o.ns, .name = w->name};
    w->write =
        kube_apply(k->o.client, ref, body.data, true, (struct kube_answer){on_secret_written, w});
}

static int64_t known_expiry(struct keeper *k, const char *cert)
{
    int64_t end_ms = bundle_expiry(&k->memo, cert);
    return end_ms == INT64_MAX ? 0 : end_ms;
}

static void use_leaf(struct keeper *k)
{
    k->leaf_expiry_ms = known_expiry(k, k->leaf.cert);
    k->o.use(k->o.arg, &k->leaf);
}

static bool sign_leaf(struct keeper *k, int64_t now_ms)
{
    struct keypair leaf = {0};
    struct err err = {0};
    if (authority_sign_leaf(&k->secret.current, (const char *const *)k->sans, SANS_MAX, now_ms,
                            k->o.leaf_life_ms, &leaf, &err) < 0) {
        k->o.failed(k->o.arg, "sign a certificate", &err);
        return false;
    }
    keypair_release(&k->leaf);
    k->leaf = leaf;
    use_leaf(k);
    return true;
}

/* --- Turns ----------------------------------------------------------------------------------- */

static void wake_in(struct keeper *k, int64_t delay_ms)
{
    if (delay_ms < 10)
        delay_ms = 10;
    timer_arm(k->o.client->timers, &k->timer,
              now_mono(k) + (delay_ms < KEEPER_LOOK_MS ? delay_ms : KEEPER_LOOK_MS));
}

static void set_ready(struct keeper *k, bool ready, const char *why_not)
{
    bool changed = ready != k->ready || !str_eq(why_not, k->why_not);
    k->ready = ready;
    k->why_not = why_not;
    if (changed)
        k->o.turned(k->o.arg);
}

/* A write that must wait for its retry time needs a turn of its own then. */
static int64_t retry_delay(const struct keeper *k)
{
    int64_t delay = KEEPER_LOOK_MS, now = now_mono(k);
    for (size_t i = 0; i < WATCHES; i++)
        if (k->watched[i].retry_ms > now && k->watched[i].retry_ms - now < delay)
            delay = k->watched[i].retry_ms - now;
    return delay;
}

static bool turn_self_signed(struct keeper *k, struct bundle_view *v)
{
    CLEANUP_PLAN struct bundle_plan p;
    bundle_decide(&k->config, v, &p);
    int64_t since_ms = k->next_live_since_ms;
    k->next_live_since_ms = !p.next_is_live ? 0 : since_ms ? since_ms : v->now_ms;
    k->ca_expiry_ms = known_expiry(k, k->secret.current.cert);
    write_secret(k, p.secret_change, v->now_ms);
    for (int of = WATCH_MUTATING; p.publish && of <= WATCH_VALIDATING; of++)
        if (k->watched[of].name)
            publish_to(k, (enum watched_kind)of, p.wanted);
    bool again = p.sign_leaf && sign_leaf(k, v->now_ms);
    again |= (since_ms == 0) != (k->next_live_since_ms == 0);
    if (!again)
        set_ready(k, p.ready, p.why_not);
    int64_t delay = p.wake_ms == INT64_MAX ? KEEPER_LOOK_MS : p.wake_ms - v->now_ms;
    /* What is overdue has been tried in this turn and waits for its answer or its retry. */
    wake_in(k, delay > 0 && delay < retry_delay(k) ? delay : retry_delay(k));
    return again;
}

static void turn_files(struct keeper *k, struct bundle_view *v)
{
    const char *why_not = NULL;
    bool ready = bundle_verifies(v, k->host, &why_not);
    if (k->watched[WATCH_SECRET].name && v->secret && !k->secret.stamp_key)
        write_secret(k, SECRET_MAKE_STAMP_KEY, v->now_ms);
    set_ready(k, ready, why_not);
    wake_in(k, retry_delay(k));
}

static void turn_keeper(struct keeper *k)
{
    /* A new certificate or a change of readiness calls out, and that must not come back in. */
    if (k->turning)
        return;
    k->turning = true;
    for (int i = 0; i < TURNS_MAX; i++) {
        struct bundle_view v;
        see(k, &v);
        if (k->o.mode != KEEPER_SELF_SIGNED)
            turn_files(k, &v);
        else if (turn_self_signed(k, &v))
            continue;
        break;
    }
    publish_stamp_key(k);
    k->turning = false;
}

static void on_timer(void *arg)
{
    turn_keeper(arg);
}

static void on_files(void *arg)
{
    struct keeper *k = arg;
    bool changed = false;
    struct err err = {0};
    if (cert_files_read(&k->files, &changed, &err) < 0)
        k->o.failed(k->o.arg, "read the certificate", &err);
    if (changed) {
        keypair_release(&k->leaf);
        k->leaf = keypair_copy(&k->files.good);
        use_leaf(k);
        turn_keeper(k);
    }
    timer_arm(k->o.client->timers, &k->files_timer, now_mono(k) + KEEPER_FILES_MS);
}

static void on_store(void *arg, const struct kube_object *before, const struct kube_object *after)
{
    (void)before;
    (void)after;
    /* Not at once: several objects change together, and the store is in the middle of its work. */
    struct keeper *k = arg;
    timer_arm(k->o.client->timers, &k->timer, now_mono(k));
}

static void on_reflector(void *arg)
{
    on_store(arg, NULL, NULL);
}

static void on_reflector_failed(void *arg, const struct kube_kind *kind, const struct err *err)
{
    struct keeper *k = arg;
    k->o.failed(k->o.arg, kind->resource, err);
}

/* --- Life cycle ------------------------------------------------------------------------------ */

static void watch(struct keeper *k, enum watched_kind which, struct kube_kind kind,
                  const char *name)
{
    struct watched *w = &k->watched[which];
    if (!name)
        return;
    *w = (struct watched){.keeper = k, .kind = kind, .name = name};
    w->store = store_new(&w->kind);
    store_listen(w->store, (struct store_listener){on_store, k});
    struct reflector_options o = {
        .store = w->store,
        .ns = kind.cluster_scoped ? NULL : k->o.ns,
        .name = name,
        .transport = k->o.client->transport,
        .clock = k->o.client->clock,
        .timers = k->o.client->timers,
        .rng = k->o.rng,
        .turned = on_reflector,
        .failed = on_reflector_failed,
        .arg = k,
    };
    w->reflector = reflector_new(&o);
}

static void watch_all(struct keeper *k)
{
    /* Not in wukong/api/resources.h: certificates know no Wukong, and may not use that layer. */
    struct kube_kind core = {.group = "",
                             .version = "v1",
                             .resource = "secrets",
                             .kind = "Secret",
                             .fields = {"data{}"}};
    struct kube_kind hooks = {.group = "admissionregistration.k8s.io",
                              .version = "v1",
                              .cluster_scoped = true,
                              .fields = {"webhooks[]"}};
    watch(k, WATCH_SECRET, core, k->o.ca_secret);
    core.resource = "configmaps";
    core.kind = "ConfigMap";
    watch(k, WATCH_STAMP, core, k->o.stamp_configmap);
    hooks.resource = "mutatingwebhookconfigurations";
    hooks.kind = "MutatingWebhookConfiguration";
    watch(k, WATCH_MUTATING, hooks, k->o.mutating_config);
    hooks.resource = "validatingwebhookconfigurations";
    hooks.kind = "ValidatingWebhookConfiguration";
    watch(k, WATCH_VALIDATING, hooks, k->o.validating_config);
}

struct keeper *keeper_new(const struct keeper_options *options)
{
    struct keeper *k = xcalloc(1, sizeof *k);
    k->o = *options;
    /* The API server verifies <service>.<namespace>.svc (apiserver pkg/util/webhook/client.go). */
    k->host = xasprintf("%s.%s.svc", k->o.service, k->o.ns);
    k->sans[0] = xstrdup(k->host);
    k->sans[1] = xasprintf("%s.%s", k->o.service, k->o.ns);
    k->sans[2] = xstrdup(k->o.service);
    k->sans[3] = xasprintf("%s.%s.svc.cluster.local", k->o.service, k->o.ns);
    k->config = (struct bundle_config){.ca_life_ms = k->o.ca_life_ms,
                                       .leaf_life_ms = k->o.leaf_life_ms,
                                       .settle_ms = k->o.settle_ms,
                                       .host = k->host};
    k->files.folder = k->o.cert_dir;
    k->why_not = "not started";
    timer_init(&k->timer, on_timer, k);
    timer_init(&k->files_timer, on_files, k);
    watch_all(k);
    return k;
}

void keeper_free(struct keeper *k)
{
    if (!k)
        return;
    timer_cancel(k->o.client->timers, &k->timer);
    timer_cancel(k->o.client->timers, &k->files_timer);
    for (size_t i = 0; i < WATCHES; i++) {
        kube_op_cancel(k->watched[i].write);
        reflector_free(k->watched[i].reflector);
        store_free(k->watched[i].store);
    }
    for (size_t i = 0; i < SANS_MAX; i++)
        free(k->sans[i]);
    forget_live(k);
    bundle_memo_release(&k->memo);
    ca_secret_release(&k->secret);
    keypair_release(&k->leaf);
    cert_files_release(&k->files);
    free(k->host);
    free(k);
}

void keeper_start(struct keeper *k)
{
    for (size_t i = 0; i < WATCHES; i++)
        if (k->watched[i].reflector)
            reflector_start(k->watched[i].reflector);
    if (k->o.mode != KEEPER_SELF_SIGNED)
        on_files(k);
}

bool keeper_ready(const struct keeper *k, const char **ret_why_not)
{
    *ret_why_not = k->why_not;
    bool alive = k->leaf_expiry_ms > clock_wall(k->o.client->clock);
    if (k->ready && !alive)
        *ret_why_not = "the serving certificate has expired";
    return k->ready && alive;
}

void keeper_before_handshake(struct keeper *k)
{
    int64_t now_ms = clock_wall(k->o.client->clock);
    if (k->o.mode != KEEPER_SELF_SIGNED || !k->leaf.cert || k->leaf_expiry_ms > now_ms ||
        k->ca_expiry_ms <= now_ms)
        return;
    (void)sign_leaf(k, now_ms);
    on_store(k, NULL, NULL);
}

const char *keeper_stamp_key(const struct keeper *k)
{
    return k->secret.stamp_key;
}

const char *keeper_stamp_public_key(const struct keeper *k)
{
    return k->secret.stamp_public;
}

static int64_t start_of(const char *cert)
{
    struct cert_facts facts;
    struct err err = {0};
    return cert && authority_facts(cert, &facts, &err) == 0 ? facts.not_before_ms : 0;
}

int64_t keeper_leaf_start_ms(const struct keeper *k)
{
    return start_of(k->leaf.cert);
}

int64_t keeper_ca_start_ms(const struct keeper *k)
{
    return start_of(k->secret.current.cert);
}

int64_t keeper_leaf_expiry_ms(const struct keeper *k)
{
    return k->leaf_expiry_ms;
}

int64_t keeper_ca_expiry_ms(const struct keeper *k)
{
    return k->ca_expiry_ms;
}
