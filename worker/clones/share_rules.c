#include "clones/share_rules.h"

#include <assert.h>
#include <stdlib.h>

#include "base/str.h"
#include "json/json.h"
#include "json/writer.h"

bool share_possible(const struct wukong_effective *e)
{
    return e->is_clone && e->clone_type == CLONE_RUNNING && e->method != METHOD_VM_SNAPSHOT;
}

static void write_disk(struct json_writer *w, const struct wukong_disk *d)
{
    json_array(w, NULL);
    json_string(w, NULL, str_or(d->name, ""));
    json_string(w, NULL, str_or(d->source_disk, ""));
    json_string(w, NULL, str_or(d->size, ""));
    json_string(w, NULL, str_or(d->storage_class, ""));
    json_number(w, NULL, d->boot);
    json_end(w);
}

/* Source and claims are looked up under the Wukong's namespace and source, so both belong to it. */
void share_write_key(const struct wukong *wukong, const struct wukong_effective *e, struct buf *out)
{
    const struct wukong_source *s = &wukong->spec.source;
    struct json_writer w = json_writer(out);
    json_array(&w, NULL);
    json_string(&w, NULL, wukong->ns);
    json_string(&w, NULL, e->source_ns);
    json_string(&w, NULL, str_or(e->source_name, ""));
    json_number(&w, NULL, e->clone_type);
    /* What Auto takes is known when the disks are planned, and is part of the other key. */
    json_number(&w, NULL, e->method == METHOD_AUTO ? METHOD_VOLUME_SNAPSHOT : e->method);
    json_number(&w, NULL, e->quiesce);
    json_boolean(&w, NULL, e->allow_unsnapshottable);
    json_string(&w, NULL, str_or(s->snapshot_class, ""));
    json_string(&w, NULL, str_or(s->group_class, ""));
    json_array(&w, NULL);
    for (size_t i = 0; i < s->gate_count; i++)
        json_string(&w, NULL, s->gates[i]);
    json_end(&w);
    json_array(&w, NULL);
    for (size_t i = 0; i < wukong->spec.disk_count; i++)
        write_disk(&w, &wukong->spec.disks[i]);
    json_end(&w);
    json_end(&w);
}

void share_write_ready_key(const struct clone_state *v, struct buf *out)
{
    struct json_writer w = json_writer(out);
    json_array(&w, NULL);
    json_string(&w, NULL, str_or(v->source.vmi_exists ? v->source.vmi_uid : v->source.vm_uid, ""));
    /* An override of cpu or memory resolves the instancetype before the capture is made, and one
       capture serves all. */
    json_string(&w, NULL, str_or(consistency_names[v->least], ""));
    json_boolean(&w, NULL, json_at(v->capture.tree, "source.spec.instancetype") != NULL);
    for (size_t i = 0; i < v->disk_count; i++) {
        const struct disk_plan *p = v->disks[i].plan;
        json_array(&w, NULL);
        json_string(&w, NULL, p->name);
        json_string(&w, NULL, p->volume);
        json_string(&w, NULL, p->claim);
        json_string(&w, NULL, str_or(p->snapshot_class, ""));
        json_boolean(&w, NULL, p->grouped);
        json_string(&w, NULL, str_or(p->storage_class, ""));
        json_string(&w, NULL, cut_rule_names[p->cut.rule]);
        json_number(&w, NULL, p->method);
        json_number(&w, NULL, p->bytes);
        json_end(&w);
    }
    json_end(&w);
}

void share_write_attempt_id(const struct wukong *w, const struct clone_record *r,
                            char out[ATTEMPT_ID_TEXT])
{
    CLEANUP_FREE char *text =
        xasprintf("%s/%lld/%lld/%s", w->uid, (long long)(r->attempts > 0 ? r->attempts : 1),
                  (long long)w->generation, str_or(r->retry_token, ""));
    (void)snprintf(out, ATTEMPT_ID_TEXT, "%016llx",
                   (unsigned long long)str_hash64(text, strlen(text)));
}

static int older(const void *x, const void *y)
{
    const struct share_candidate *a = x, *b = y;
    if (a->created_ms != b->created_ms)
        return a->created_ms < b->created_ms ? -1 : 1;
    return strcmp(a->uid, b->uid);
}

static bool joins(const struct share_candidate *p)
{
    return p->state == SHARE_READY && p->equal;
}

struct share_verdict share_judge(const struct share_candidate *self,
                                 const struct share_candidate *candidates, size_t count,
                                 int64_t lead_since_ms, int64_t now_ms)
{
    struct share_verdict v = {.role = SHARE_LEAD};
    const struct share_candidate *leader = self;
    int64_t last_seen = INT64_MIN;
    bool others = false, coming = false;
    for (size_t i = 0; i < count; i++) {
        const struct share_candidate *p = &candidates[i];
        if (joins(p) && !p->stuck && (leader->stuck || older(p, leader) < 0))
            leader = p;
        if (!joins(p) && p->state != SHARE_COMING)
            continue;
        others = true;
        coming |= p->state == SHARE_COMING;
        last_seen = p->seen_ms > last_seen ? p->seen_ms : last_seen;
    }
    if (leader != self) {
        v.role = SHARE_FOLLOW;
        v.leader = leader;
        return v;
    }
    int64_t limit = (lead_since_ms ? lead_since_ms : now_ms) + SHARE_LINGER_MS;
    int64_t quiet = others ? last_seen + SHARE_QUIET_MS : now_ms;
    if (now_ms >= limit || (now_ms >= quiet && !coming))
        return v;
    v.role = SHARE_LINGER;
    v.until_ms = now_ms < quiet ? quiet : now_ms + SHARE_QUIET_MS / 4;
    v.until_ms = v.until_ms < limit ? v.until_ms : limit;
    return v;
}

const struct share_member *share_members(struct arena *a, struct share_candidate *candidates,
                                         size_t count, size_t *ret_count)
{
    struct share_member *list = arena_alloc(a, (count + 1) * sizeof *list);
    size_t n = 0;
    qsort(candidates, count, sizeof *candidates, older);
    for (size_t i = 0; i < count && n < SHARE_MEMBERS_MAX; i++)
        if (joins(&candidates[i]))
            list[n++] = (struct share_member){candidates[i].uid, candidates[i].name,
                                              candidates[i].attempt_id};
    *ret_count = n;
    return list;
}

bool share_offered(int64_t until_ms, int64_t seen_ms, int64_t settle_ms, const struct now *now)
{
    return until_ms && now->wall_ms < until_ms + settle_ms &&
           (!seen_ms || now->mono_ms < seen_ms + SHARE_TAKE_OVER_MS + settle_ms);
}

bool share_failure_is_common(const struct clone_record *leader)
{
    enum reason reason = reason_find(leader->error.reason);
    return !leader->error.terminal && reason != REASON_NAME_TAKEN &&
           reason_table[reason].kind != REASON_TERMINAL;
}
