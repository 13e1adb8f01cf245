/*
 * Objects of people who have nothing to do with any clone, in a namespace that sorts first. They
 * hold whatever Kubernetes stores: annotations take any text and 256 KiB, and below a schema's
 * x-kubernetes-preserve-unknown-fields there is no bound on depth. What must hold is not said here:
 * all other clones go on (end.c).
 *
 * They have a source of randomness of their own, so that a run without them is the same run.
 */
#include <stdio.h>

#include "base/buf.h"
#include "base/mem.h"
#include "base/str.h"
#include "run/sim.h"

#define STRANGERS_NS "aaa"
#define STRANGERS 4
#define STRANGERS_PER_MILLE 250

static cJSON *many_members(void)
{
    CLEANUP_BUF struct buf text = BUF_INIT(MIB);
    for (unsigned i = 0; i <= 20000; i++)
        buf_addf(&text, "%c\"k%u\":\"\"", i ? ',' : '{', i);
    buf_addc(&text, '}');
    return cJSON_CreateRaw(text.data);
}

static cJSON *deep(unsigned levels)
{
    CLEANUP_BUF struct buf text = BUF_INIT(MIB);
    for (unsigned i = 0; i < levels; i++)
        buf_adds(&text, "{\"x\":");
    buf_addc(&text, '1');
    for (unsigned i = 0; i < levels; i++)
        buf_addc(&text, '}');
    return cJSON_CreateRaw(text.data);
}

static cJSON *long_text(unsigned bytes)
{
    CLEANUP_FREE char *text = xmalloc(bytes + 1);
    memset(text, 'a', bytes);
    text[bytes] = '\0';
    return cJSON_CreateString(text);
}

static void make_strange(struct sim *s, cJSON *o)
{
    switch (s->calm ? 4 : rng_range(&s->stranger_rng, 0, 7)) {
    case 0:
        jt_put(o, "metadata.annotations[a/n]", cJSON_CreateRaw("\"\\u0000\""));
        break;
    case 1:
        jt_put(o, "metadata.annotations", many_members());
        break;
    case 2:
        jt_put(o, "metadata.annotations[a/n]", long_text(256 * KIB));
        break;
    case 3:
        jt_put(o, "spec.unknown", deep(101));
        break;
    case 4:
        /* What the worker keeps of the kinds below. The provisioner reads a claim's status. */
        jt_put(o, "spec.resources.requests.storage", deep(150));
        jt_put(o, "spec.volumeBackups", deep(150));
        jt_put(o, "message", deep(150));
        break;
    case 5:
        jt_put(o, "metadata.annotations[a/n]", cJSON_CreateRaw("\"\xff\xfe \\ud800\""));
        break;
    case 6:
        jt_put(o, "spec.resources", cJSON_CreateRaw("\"x\""));
        jt_put(o, "involvedObject.name", cJSON_CreateRaw("[]"));
        break;
    default:
        jt_put(o, "spec.unknown", long_text(1536 * KIB));
        break;
    }
}

/* What it is without anything strange. */
static void make_plain(cJSON *o, enum api_kind kind)
{
    jt_drop(o, "metadata.annotations");
    jt_drop(o, "spec");
    jt_drop(o, "status");
    jt_drop(o, "message");
    jt_str(o, "status.phase", kind == API_PVC ? "Bound" : "Succeeded");
    if (kind == API_PVC) {
        jt_str(o, "spec.volumeName", "theirs");
        jt_str(o, "spec.storageClassName", "theirs");
    }
    if (kind == API_EVENT) {
        jt_str(o, "involvedObject.kind", "PersistentVolumeClaim");
        jt_str(o, "involvedObject.name", "theirs");
        jt_str(o, "reason", "ProvisioningFailed");
    }
}

static void write_one(struct sim *s, size_t i)
{
    static const enum api_kind kinds[STRANGERS] = {API_PVC, API_PVC, API_VM_SNAPSHOT_CONTENT,
                                                   API_EVENT};
    char name[16];
    (void)snprintf(name, sizeof name, "s%zu", i);
    struct api_object *o = api_find(&s->api, kinds[i], STRANGERS_NS, name);
    if (o && !s->calm && rng_chance(&s->stranger_rng, 200)) {
        api_delete(&s->api, "stranger", o);
        return;
    }
    cJSON *tree = o ? jt_copy(o->tree) : api_new(kinds[i], STRANGERS_NS, name);
    make_plain(tree, kinds[i]);
    make_strange(s, tree);
    if (o)
        api_replace(&s->api, "stranger", o, tree);
    else
        (void)api_create(&s->api, "stranger", kinds[i], tree);
}

/* In the calm all of them are there, at their worst, and stay so. */
static void act(void *arg)
{
    struct sim *s = arg;
    if (s->calm) {
        for (size_t i = 0; i < STRANGERS; i++)
            write_one(s, i);
        return;
    }
    write_one(s, (size_t)rng_range(&s->stranger_rng, 0, STRANGERS - 1));
    timer_arm(&s->timers, &s->strangers, s->now_ms + rng_range(&s->stranger_rng, 5000, 60000));
}

void strangers_init(struct sim *s)
{
    rng_seed(&s->stranger_rng, s->seed ^ 0x57a9e5);
    timer_init(&s->strangers, act, s);
    s->strange = rng_chance(&s->stranger_rng, STRANGERS_PER_MILLE);
    if (s->strange)
        timer_arm(&s->timers, &s->strangers, s->now_ms);
}

void strangers_mark_source(struct sim *s, cJSON *source)
{
    if (s->strange)
        jt_put(source, "metadata.annotations[a/n]", cJSON_CreateRaw("\"\\u0000\""));
}
