/* The pure half of leader election. */
#include "kube/lease.h"

#include <inttypes.h>
#include <string.h>

#include "base/buf.h"
#include "base/mem.h"
#include "base/str.h"
#include "json/json.h"
#include "json/writer.h"

_Static_assert(LEASE_RETRY_MS < LEASE_RENEW_DEADLINE_MS, "a leader has several attempts");
_Static_assert(LEASE_RENEW_DEADLINE_MS < LEASE_DURATION_MS,
               "a leader stops before another one may start");

/* What a record may claim as its duration; a broken one must not block for ever. */
#define DURATION_MS_MAX 3600000

static struct lease_decision decide(enum lease_verdict verdict, int64_t again_ms)
{
    return (struct lease_decision){.verdict = verdict, .again_ms = again_ms};
}

bool lease_held(const struct lease_view *v, int64_t now_ms)
{
    return v->leading && now_ms - v->renewed_ms < LEASE_RENEW_DEADLINE_MS;
}

static struct lease_decision decide_leading(const struct lease_view *v, int64_t now)
{
    int64_t end = v->renewed_ms + LEASE_RENEW_DEADLINE_MS, next = v->renewed_ms + LEASE_RETRY_MS;
    bool ours = v->record.exists && str_eq(v->record.holder, v->self);
    if (now >= end || (v->known && !ours))
        return decide(LEASE_LOST, INT64_MAX);
    if (v->not_before_ms > next)
        next = v->not_before_ms;
    if (now < next)
        return decide(LEASE_WAIT, next < end ? next : end);
    return decide(v->known ? LEASE_RENEW : LEASE_READ, end);
}

struct lease_decision lease_decide(const struct lease_view *v, int64_t now)
{
    if (v->leading)
        return decide_leading(v, now);
    if (now < v->not_before_ms)
        return decide(LEASE_WAIT, v->not_before_ms);
    if (!v->known)
        return decide(LEASE_READ, INT64_MAX);
    if (!v->record.exists)
        return decide(LEASE_CREATE, INT64_MAX);
    int64_t expiry = v->observed_ms + v->record.duration_ms;
    if (!*v->record.holder || str_eq(v->record.holder, v->self) || now >= expiry)
        return decide(LEASE_ACQUIRE, INT64_MAX);
    int64_t next = v->read_ms + LEASE_RETRY_MS;
    if (now >= next)
        return decide(LEASE_READ, INT64_MAX);
    return decide(LEASE_WAIT, next < expiry ? next : expiry);
}

void lease_saw(struct lease_view *v, const struct lease_record *record, int64_t now)
{
    bool same = v->record.exists == record->exists &&
                str_eq(v->record.resource_version, record->resource_version) &&
                str_eq(v->record.holder, record->holder);
    if (!same || v->read_ms == 0)
        v->observed_ms = now;
    v->record = *record;
    v->known = true;
    v->read_ms = now;
    v->not_before_ms = 0;
}

void lease_wrote(struct lease_view *v, const struct lease_record *record, int64_t begun_ms,
                 int64_t now)
{
    v->record = *record;
    v->known = true;
    v->read_ms = v->observed_ms = now;
    v->not_before_ms = 0;
    v->renewed_ms = begun_ms;
    /* An answer that took longer than the hold (a paused process) makes nobody a leader. */
    v->leading =
        str_eq(record->holder, v->self) && (v->leading || now - begun_ms < LEASE_RENEW_DEADLINE_MS);
}

void lease_failed(struct lease_view *v, enum err_kind why, int64_t now)
{
    v->not_before_ms = now + LEASE_RETRY_MS;
    /* Others have written, or we have and do not know it. */
    if (why == ERR_CONFLICT || why == ERR_EXISTS || why == ERR_NOT_FOUND || why == ERR_AMBIGUOUS)
        v->known = false;
}

/* metav1.MicroTime wants exactly six digits (RFC3339Micro). */
static void micro_time(int64_t wall_ms, char out[TIME_TEXT_MAX + 4])
{
    char text[TIME_TEXT_MAX];
    time_to_str(wall_ms, true, text);
    size_t n = strlen(text);
    (void)snprintf(out, TIME_TEXT_MAX + 4, "%.*s000Z", n ? (int)(n - 1) : 0, text);
}

char *lease_body(const struct lease_view *v, const char *ns, const char *name, const char *metadata,
                 enum lease_write what, int64_t wall_ms)
{
    struct buf out = BUF_INIT(64 * KIB);
    struct json_writer w = json_writer(&out);
    const struct lease_record *r = &v->record;
    char renewed[TIME_TEXT_MAX + 4], acquired[TIME_TEXT_MAX + 4];
    bool changes_hands = r->exists && !str_eq(r->holder, v->self);
    bool fresh = what == LEASE_WRITE_TAKE && (!r->exists || changes_hands || !r->acquired_wall_ms);
    micro_time(wall_ms, renewed);
    micro_time(fresh ? wall_ms : r->acquired_wall_ms, acquired);
    json_object(&w, NULL);
    json_string(&w, "apiVersion", "coordination.k8s.io/v1");
    json_string(&w, "kind", "Lease");
    if (metadata) {
        json_raw(&w, "metadata", metadata);
    } else {
        json_object(&w, "metadata");
        json_string(&w, "name", name);
        json_string(&w, "namespace", ns);
        json_end(&w);
    }
    json_object(&w, "spec");
    json_string(&w, "holderIdentity", what == LEASE_WRITE_RELEASE ? "" : v->self);
    /* client-go leaderelection.go release(): the API wants at least one second. */
    json_number(&w, "leaseDurationSeconds",
                what == LEASE_WRITE_RELEASE ? 1 : LEASE_DURATION_MS / 1000);
    json_string(&w, "acquireTime", acquired);
    json_string(&w, "renewTime", renewed);
    json_number(&w, "leaseTransitions",
                r->transitions + (what == LEASE_WRITE_TAKE && changes_hands));
    json_end(&w);
    json_end(&w);
    return buf_take(&out);
}

int lease_parse(const char *json, size_t len, struct lease_record *ret, char **ret_metadata,
                struct err *err)
{
    CLEANUP_JSON cJSON *tree = NULL;
    if (json_read(json, len, &tree, err) != 0)
        return err_wrap(err, "lease");
    struct lease_record r = {.exists = true, .duration_ms = LEASE_DURATION_MS};
    const char *version = json_str(tree, "metadata.resourceVersion"),
               *holder = json_str(tree, "spec.holderIdentity"),
               *acquired = json_str(tree, "spec.acquireTime"),
               *renewed = json_str(tree, "spec.renewTime");
    int64_t seconds;
    if (str_empty(version) || strlen(version) >= sizeof r.resource_version ||
        (holder && strlen(holder) >= sizeof r.holder))
        return err_set(err, ERR_INVALID, "lease: resourceVersion or holder is missing or too long");
    (void)snprintf(r.resource_version, sizeof r.resource_version, "%s", version);
    (void)snprintf(r.holder, sizeof r.holder, "%s", holder ? holder : "");
    if (json_int(tree, "spec.leaseDurationSeconds", &seconds) && seconds > 0)
        r.duration_ms = seconds < DURATION_MS_MAX / 1000 ? seconds * 1000 : DURATION_MS_MAX;
    if (acquired)
        (void)str_to_time_ms(acquired, &r.acquired_wall_ms);
    if (renewed)
        (void)str_to_time_ms(renewed, &r.renewed_wall_ms);
    (void)json_int(tree, "spec.leaseTransitions", &r.transitions);
    cJSON *metadata = cJSON_GetObjectItemCaseSensitive(tree, "metadata");
    cJSON_DeleteItemFromObjectCaseSensitive(metadata, "managedFields");
    *ret_metadata = json_print(metadata);
    *ret = r;
    return 0;
}
