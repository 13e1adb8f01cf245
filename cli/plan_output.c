/* How `plan` looks: text for people, JSON for scripts. Pure. */
#include <inttypes.h>
#include <string.h>

#include "apimachinery/duration.h"
#include "apimachinery/quantity.h"
#include "base/str.h"
#include "cli/plan.h"
#include "cli/terminal_text.h"
#include "json/json.h"
#include "json/writer.h"
#include "wukong/api/child_names.h"

#define LABEL_COLUMNS 14
#define NAMES_SHOWN 8

static const char *kind_of(const struct plan *f)
{
    return f->in->e->source_type == SOURCE_VM ? "VirtualMachine" : "VirtualMachineInstance";
}

static bool freezes(const struct plan *f)
{
    return f->cut.mode == CUT_FROZEN || (f->vm_snapshot && f->in->g->source.machine.agent);
}

static const char *cut_text(const struct plan *f)
{
    const struct source_facts *s = &f->in->g->source;
    if (!f->cut.known)
        return "not known, because the source is not";
    if (f->cut.mode == CUT_OFFLINE)
        return "the source is stopped and stays stopped, so there is nothing to freeze";
    if (f->vm_snapshot)
        return s->machine.agent
                   ? "KubeVirt's snapshot of the whole machine; it freezes the guest itself"
                   : "KubeVirt's snapshot of the whole machine; without an agent it freezes "
                     "nothing";
    if (f->cut.mode == CUT_FROZEN)
        return f->cut.starts_source ? "the worker starts the source, gives its agent 120 s, and "
                                      "freezes the guest while all snapshots are cut"
                                    : "the agent is connected: the worker freezes the guest while "
                                      "all snapshots are cut, then thaws it";
    if (f->in->e->quiesce == QUIESCE_REQUIRED)
        return "quiesce is Required: the clone waits until the guest can be frozen";
    if (f->in->e->quiesce == QUIESCE_NEVER)
        return "no freeze: quiesce is Never";
    if (s->machine.agent && !s->machine.paused)
        return "no freeze: a snapshot takes longer than a guest may stay frozen";
    return s->machine.paused ? "no freeze: the source is paused"
                             : "no freeze: the guest agent is not connected";
}

/* The columns of a table or a list of names: "a, b, … (5 in all)". */
static const char *machines(const struct plan *f, struct buf *out)
{
    char name[NAME_BUF];
    int64_t n = f->in->e->replicas;
    for (int64_t i = 0; i < n && i < NAMES_SHOWN; i++) {
        name_vm(plan_name(f->in->w), n, i, name);
        buf_addf(out, "%s%s", i ? ", " : "", name);
    }
    if (n > NAMES_SHOWN)
        buf_addf(out, ", … (%" PRId64 " in all)", n);
    return out->data;
}

/* --- Text --- */

struct page {
    const struct plan *f;
    unsigned columns;
    struct buf *out;
};

static void line(const struct page *p, const char *label, const char *text)
{
    CLEANUP_BUF struct buf body = BUF_INIT(LIMIT_OBJECT_BYTES);
    terminal_text_add_wrapped(&body, text, p->columns, LABEL_COLUMNS, 100, false);
    buf_addf(p->out, "%-*s", LABEL_COLUMNS, label);
    buf_adds(p->out, body.len > LABEL_COLUMNS ? body.data + LABEL_COLUMNS : "\n");
}

static void linef(const struct page *p, const char *label, const char *format, ...)
    __attribute__((format(printf, 3, 4)));
static void linef(const struct page *p, const char *label, const char *format, ...)
{
    CLEANUP_BUF struct buf text = BUF_INIT(LIMIT_OBJECT_BYTES);
    va_list args;
    va_start(args, format);
    (void)buf_vaddf(&text, format, args);
    va_end(args);
    line(p, label, text.data);
}

static void text_verdict(const struct page *p)
{
    char when[TIME_TEXT_MAX], wait[TERMINAL_TEXT_WAIT_MAX];
    const struct plan *f = p->f;
    switch (f->verdict) {
    case PLAN_REFUSED:
        line(p, "Verdict:", "it would be refused, for what is named below");
        return;
    case PLAN_WAITS:
        line(p, "Verdict:", "it would wait until you correct what is named below");
        return;
    case PLAN_UNKNOWN:
        line(p,
             "Verdict:", "not known: nothing speaks against it, but not everything could be read");
        return;
    case PLAN_RUNS:
    case PLAN_VERDICTS:
        break;
    }
    if (!f->start_ms) {
        line(p, "Verdict:", "it would run now");
        return;
    }
    time_to_str(f->start_ms, false, when);
    terminal_text_wait(f->start_ms - f->in->now_ms, wait);
    linef(p, "Verdict:", "it would run, from %s on (in %s)", when, wait);
}

static void text_source(const struct page *p)
{
    const struct plan *f = p->f;
    const struct source_facts *s = &f->in->g->source;
    const struct wukong_effective *e = f->in->e;
    if (!s->looked_up)
        linef(p, "Source:", "%s %s/%s (could not be read)", kind_of(f), e->source_ns,
              e->source_name);
    else if (!facts_source_exists(s))
        linef(p, "Source:", "%s %s/%s (does not exist)", kind_of(f), e->source_ns, e->source_name);
    else
        linef(p, "Source:", "%s %s/%s (%s, guest agent %s%s)", kind_of(f), e->source_ns,
              e->source_name, str_or(s->machine.phase, "stopped"),
              s->machine.agent ? "connected" : "not connected",
              s->machine.paused ? ", paused" : "");
}

static void text_disk(const struct page *p, const struct plan_disk *d)
{
    char size[QUANTITY_PRINT_MAX], was[QUANTITY_PRINT_MAX];
    const struct disk_plan *k = d->plan;
    const struct wukong_effective *e = p->f->in->e;
    bool kept = e->clone_type == CLONE_LINKED;
    quantity_print(k->bytes, size);
    quantity_print(k->source_bytes, was);
    buf_addf(p->out, "  %s%s\n", k->name, k->boot ? " (boot)" : "");
    struct page inner = {p->f, p->columns, p->out};
    linef(&inner, "    from", "claim %s/%s, %s", e->source_ns, k->claim,
          k->source_bytes ? was : "size not known");
    linef(&inner, "    to", "%s, StorageClass %s, by %s", k->bytes ? size : "size not known",
          str_or(k->storage_class, "not known"),
          k->method ? disk_method_names[k->method] : "a method that is not known");
    if (!d->takes_snapshot) {
        if (k->method)
            line(&inner, "    snapshot", "none: the claim itself is copied");
        return;
    }
    if (p->f->vm_snapshot)
        line(&inner, "    snapshot", "KubeVirt takes it and chooses the class");
    else
        linef(&inner, "    snapshot", "%s%sin namespace %s, %s%s%s%s%s; %s %s%s%s%s",
              str_or(d->snapshot, ""), d->snapshot ? " " : "", e->source_ns,
              kept ? "kept as the parent of the clone" : "removed when the claims are bound",
              k->method == DISK_HANDLE_COPY ? ", and a second one for the same data in namespace "
                                            : "",
              k->method == DISK_HANDLE_COPY ? p->f->in->w->ns : "",
              k->grouped ? ", one group with the other disks of its driver" : "", "",
              k->grouped ? "VolumeGroupSnapshotClass" : "VolumeSnapshotClass",
              str_or(k->snapshot_class, "not known"), k->snapshot_class ? " (" : "",
              k->snapshot_class ? class_origin_texts[k->snapshot_class_origin] : "",
              k->snapshot_class ? ")" : "");
    if (k->method_why)
        linef(&inner, "    method", "Auto takes a %s: %s",
              snapshot_method_names[k->grouped ? METHOD_GROUP_SNAPSHOT : METHOD_VOLUME_SNAPSHOT],
              k->method_why);
    if (k->snapshot_class || p->f->vm_snapshot)
        linef(&inner, "    cut", "rule %s, %s%s%s%s", cut_rule_names[k->cut.rule],
              cut_origin_texts[k->cut.origin], k->cut.why ? ": " : "", str_or(k->cut.why, ""),
              k->cut.slow ? "; it outlasts a freeze" : "");
}

static void text_disks(const struct page *p)
{
    const struct plan *f = p->f;
    buf_adds(p->out, f->disks.count ? "Disks:\n" : "Disks:        not known\n");
    for (size_t i = 0; f->items && i < f->disks.count; i++)
        text_disk(p, &f->items[i]);
    for (size_t i = 0; i < f->disks.left_out_count; i++)
        linef(p, "Left out:", "%s (claim %s): %s", f->disks.left_out[i].volume,
              f->disks.left_out[i].claim, f->disks.left_out[i].reason);
}

static void text_cost(const struct page *p)
{
    char snapshots[QUANTITY_PRINT_MAX], claims[QUANTITY_PRINT_MAX];
    CLEANUP_BUF struct buf made = BUF_INIT(4 * KIB), gone = BUF_INIT(4 * KIB);
    const struct plan *f = p->f;
    quantity_print(f->cost.snapshot_bytes, snapshots);
    quantity_print(f->cost.claim_bytes, claims);
    for (size_t i = 0; i < f->cost.count; i++) {
        struct buf *to = f->cost.items[i].temporary ? &gone : &made;
        buf_addf(to, "%s%" PRId64 " %s%s", to->len ? ", " : "", f->cost.items[i].count,
                 f->cost.items[i].kind, f->cost.items[i].count > 1 ? "s" : "");
    }
    if (!f->known) {
        line(p, "Cost:", "not known, because the disks are not");
        return;
    }
    linef(p, "Cost:", "%s of new claims, snapshots of %s; %" PRId64 " objects, of which stay: %s",
          claims, snapshots, f->cost.objects, made.data);
    if (gone.len)
        line(p, "Temporary:", gone.data);
}

static void add_limit(struct buf *out, const char *name, int64_t value, bool bytes)
{
    char text[QUANTITY_PRINT_MAX];
    if (!value)
        return;
    quantity_print(value, text);
    if (bytes)
        buf_addf(out, "%s%s %s", out->len ? ", " : "", name, text);
    else
        buf_addf(out, "%s%s %" PRId64, out->len ? ", " : "", name, value);
}

static void text_policies(const struct page *p)
{
    const struct plan *f = p->f;
    for (size_t i = 0; i < f->policy_count; i++) {
        const struct policy *y = f->policies[i];
        CLEANUP_BUF struct buf limits = BUF_INIT(4 * KIB);
        CLEANUP_FREE char *subject = xasprintf("ClonePolicy %s", y->name);
        const char *word = "allows it";
        for (size_t k = 0; k < f->note_count; k++)
            if (str_eq(f->notes[k].subject, subject) && f->notes[k].kind != NOTE_WARNING)
                word = f->notes[k].kind == NOTE_REFUSED ? "denies it"
                       : f->notes[k].kind == NOTE_LATER ? "holds it until its window opens"
                                                        : "holds it";
        add_limit(&limits, "concurrentPerCluster", y->limits.per_cluster, false);
        add_limit(&limits, "concurrentPerSource", y->limits.per_source, false);
        add_limit(&limits, "concurrentPerTargetNamespace", y->limits.per_target_ns, false);
        add_limit(&limits, "concurrentPerStorageClass", y->limits.per_storage_class, false);
        add_limit(&limits, "retainedSnapshotsPerSource", y->limits.retained_snapshots, false);
        add_limit(&limits, "storagePerTargetNamespace", y->limits.storage_bytes, true);
        linef(p, i ? "" : "Policies:", "%s %s%s%s", y->name, word,
              limits.len ? "; judged when it runs: " : "", limits.data);
    }
}

static void text_notes(const struct page *p)
{
    static const char *const labels[NOTE_KINDS] = {[NOTE_REFUSED] = "Refused:",
                                                   [NOTE_WAITS] = "Waits:",
                                                   [NOTE_LATER] = "Later:",
                                                   [NOTE_UNKNOWN] = "Not known:",
                                                   [NOTE_WARNING] = "Warning:"};
    for (enum plan_note_kind kind = 0; kind < NOTE_KINDS; kind++)
        for (size_t i = 0; i < p->f->note_count; i++) {
            const struct plan_note *n = &p->f->notes[i];
            /* A policy's text names it already; what is not known names the right. */
            bool named = str_starts(n->text, n->subject) || kind == NOTE_UNKNOWN;
            if (n->kind == kind)
                linef(p, labels[kind], "%s%s%s", named ? "" : n->subject,
                      named || !*n->subject ? "" : ": ", n->text);
        }
}

static void add_pairs(struct buf *out, const char *what, const struct wukong_pairs *pairs)
{
    for (size_t i = 0; i < pairs->count; i++)
        buf_addf(out, "%s%s%s=%.63s",
                 i          ? ", "
                 : out->len ? "; "
                            : "",
                 i ? "" : what, pairs->items[i].key, pairs->items[i].value);
}

static void text_target(const struct page *p)
{
    CLEANUP_BUF struct buf text = BUF_INIT(64 * KIB);
    const struct wukong_spec *spec = &p->f->in->w->spec;
    const struct wukong_target *t = &spec->target;
    add_pairs(&text, "labels ", &t->labels);
    add_pairs(&text, "annotations ", &t->annotations);
    for (size_t i = 0; i < t->keep_count; i++)
        buf_addf(&text, "%s%s%s",
                 i          ? ", "
                 : text.len ? "; "
                            : "",
                 i ? "" : "keeps annotations ", t->keep[i]);
    if (t->links == LINKS_DOWN)
        buf_addf(&text, "%slinks down", text.len ? "; " : "");
    for (size_t i = 0; i < t->map_count; i++)
        buf_addf(&text, "%snetwork %s becomes %s", text.len ? "; " : "",
                 str_or(t->map[i].from, "?"), str_or(t->map[i].to, "?"));
    if (t->cpu_shape)
        buf_addf(&text, "%s%" PRId64 " CPUs by %s", text.len ? "; " : "", spec->cpu,
                 cpu_shape_names[t->cpu_shape]);
    if (spec->start.run_strategy)
        buf_addf(&text, "%srunStrategy %s", text.len ? "; " : "",
                 run_strategy_names[spec->start.run_strategy]);
    if (text.len)
        line(p, "With:", text.data);
}

static void text_expiry(const struct page *p)
{
    const struct wukong_spec *spec = &p->f->in->w->spec;
    const char *then = p->f->in->e->expiry == EXPIRY_STOP ? "stopped" : "removed with their disks";
    if (!p->f->in->e->expiry)
        return;
    if (spec->expires.at)
        linef(p, "Expires:", "%s: the machines are %s", spec->expires.at, then);
    else
        linef(p, "Expires:", "%s after it is done: the machines are %s", spec->expires.after, then);
}

static void text_changes(const struct page *p)
{
    for (size_t i = 0; i < p->f->change_count; i++)
        line(p, i ? "" : "Differs:", p->f->changes[i]);
    if (p->f->changes_left_out)
        linef(p, "", "and %zu more; -o yaml shows the whole machine", p->f->changes_left_out);
}

void plan_text(const struct plan *f, unsigned columns, struct buf *out)
{
    CLEANUP_BUF struct buf names = BUF_INIT(4 * KIB);
    struct page p = {f, columns < 40 ? 40 : columns, out};
    const struct wukong_effective *e = f->in->e;
    char deadline[DURATION_PRINT_MAX];
    duration_print(e->deadline_s * 1000, deadline);
    linef(&p, "Wukong:", "%s/%s, a %s clone%s", f->in->w->ns, plan_name(f->in->w),
          str_or(clone_type_names[e->clone_type], "?"), f->in->stored ? "" : " (not created yet)");
    text_verdict(&p);
    text_source(&p);
    linef(&p, "Snapshot at:", "%s%s%s%s", cut_text(f), f->cut.known ? " (" : "",
          f->cut.known ? consistency_names[f->cut.best] : "", f->cut.known ? ")" : "");
    linef(&p, "Makes:", "%s, %s", machines(f, &names), e->auto_start ? "started" : "not started");
    linef(&p, "Gives up:", "%s after it may begin", deadline);
    text_target(&p);
    text_expiry(&p);
    text_disks(&p);
    text_cost(&p);
    text_changes(&p);
    text_policies(&p);
    text_notes(&p);
}

/* --- JSON --- */

static void json_disk(struct json_writer *w, const struct plan *f, const struct plan_disk *d)
{
    const struct disk_plan *k = d->plan;
    json_object(w, NULL);
    json_string(w, "name", k->name);
    json_string(w, "sourcePVC", k->claim);
    json_number(w, "sourceBytes", k->source_bytes);
    json_number(w, "bytes", k->bytes);
    json_boolean(w, "boot", k->boot);
    json_string(w, "method", k->method ? disk_method_names[k->method] : NULL);
    json_string(w, "storageClass", k->storage_class);
    json_string(w, "driver", k->driver);
    if (d->takes_snapshot) {
        json_object(w, "snapshot");
        json_string(w, "namespace", f->in->e->source_ns);
        json_string(w, "name", d->snapshot);
        json_string(w, "class", k->snapshot_class);
        json_boolean(w, "group", k->grouped);
        json_string(w, "groupBecause", k->method_why);
        if (k->snapshot_class)
            json_string(w, "classBecause", class_origin_texts[k->snapshot_class_origin]);
        json_string(w, "cutRule", cut_rule_names[k->cut.rule]);
        json_string(w, "cutBecause", cut_origin_texts[k->cut.origin]);
        json_boolean(w, "outlastsFreeze", k->cut.slow);
        json_boolean(w, "temporary", f->in->e->clone_type != CLONE_LINKED);
        json_end(w);
    }
    json_end(w);
}

static void json_targets(struct json_writer *w, const struct plan *f)
{
    char name[NAME_BUF], claim[PVC_NAME_BUF];
    int64_t n = f->in->e->replicas;
    json_array(w, "targets");
    for (int64_t i = 0; i < n; i++) {
        name_vm(plan_name(f->in->w), n, i, name);
        json_object(w, NULL);
        json_string(w, "vmName", name);
        json_array(w, "claims");
        for (size_t k = 0; k < f->disks.count; k++) {
            name_pvc(plan_name(f->in->w), n, i, f->disks.items[k].name, claim);
            json_string(w, NULL, claim);
        }
        json_end(w);
        json_end(w);
    }
    json_end(w);
}

static void json_source(struct json_writer *w, const struct plan *f)
{
    const struct source_facts *s = &f->in->g->source;
    json_object(w, "source");
    json_string(w, "kind", kind_of(f));
    json_string(w, "namespace", f->in->e->source_ns);
    json_string(w, "name", f->in->e->source_name);
    json_string(w, "phase", s->machine.phase);
    if (s->looked_up)
        json_boolean(w, "agentConnected", s->machine.agent);
    json_end(w);
    if (!f->cut.known)
        return;
    json_object(w, "cut");
    json_boolean(w, "freeze", freezes(f));
    json_boolean(w, "startsSource", f->cut.starts_source);
    json_string(w, "consistency", consistency_names[f->cut.best]);
    json_end(w);
}

static void json_cost(struct json_writer *w, const struct plan *f)
{
    json_object(w, "cost");
    json_number(w, "claimBytes", f->cost.claim_bytes);
    json_number(w, "snapshotBytes", f->cost.snapshot_bytes);
    json_number(w, "objects", f->cost.objects);
    json_array(w, "kinds");
    for (size_t i = 0; i < f->cost.count; i++) {
        json_object(w, NULL);
        json_string(w, "kind", f->cost.items[i].kind);
        json_number(w, "count", f->cost.items[i].count);
        json_boolean(w, "temporary", f->cost.items[i].temporary);
        json_end(w);
    }
    json_end(w);
    json_end(w);
}

static void json_lists(struct json_writer *w, const struct plan *f)
{
    json_array(w, "disks");
    for (size_t i = 0; f->items && i < f->disks.count; i++)
        json_disk(w, f, &f->items[i]);
    json_end(w);
    json_array(w, "leftOut");
    for (size_t i = 0; i < f->disks.left_out_count; i++) {
        json_object(w, NULL);
        json_string(w, "name", f->disks.left_out[i].volume);
        json_string(w, "sourcePVC", f->disks.left_out[i].claim);
        json_string(w, "reason", f->disks.left_out[i].reason);
        json_end(w);
    }
    json_end(w);
    json_array(w, "policies");
    for (size_t i = 0; i < f->policy_count; i++)
        json_string(w, NULL, f->policies[i]->name);
    json_end(w);
    json_array(w, "notes");
    for (size_t i = 0; i < f->note_count; i++) {
        json_object(w, NULL);
        json_string(w, "kind", plan_note_kind_names[f->notes[i].kind]);
        json_string(w, "subject", f->notes[i].subject);
        json_string(w, "text", f->notes[i].text);
        json_end(w);
    }
    json_end(w);
}

static void json_machine(struct json_writer *w, const struct plan *f)
{
    CLEANUP_JSON cJSON *tree = NULL;
    struct err err = {0};
    if (!f->machine || json_read(f->machine, strlen(f->machine), &tree, &err) < 0)
        return;
    json_tree(w, "virtualMachine", tree);
    json_array(w, "differs");
    for (size_t i = 0; i < f->change_count; i++)
        json_string(w, NULL, f->changes[i]);
    json_end(w);
}

void plan_json(const struct plan *f, struct buf *out)
{
    struct json_writer w = json_writer(out);
    char when[TIME_TEXT_MAX];
    json_object(&w, NULL);
    json_string(&w, "name", plan_name(f->in->w));
    json_string(&w, "namespace", f->in->w->ns);
    json_boolean(&w, "stored", f->in->stored);
    json_string(&w, "verdict", plan_verdict_names[f->verdict]);
    if (f->start_ms != INT64_MAX) {
        time_to_str(f->start_ms ? f->start_ms : f->in->now_ms, false, when);
        json_string(&w, "startTime", when);
    }
    json_string(&w, "cloneType", clone_type_names[f->in->e->clone_type]);
    json_tree(&w, "target", json_at(f->in->tree, "spec.target"));
    json_tree(&w, "expires", json_at(f->in->tree, "spec.expires"));
    json_number(&w, "deadlineSeconds", f->in->e->deadline_s);
    json_source(&w, f);
    json_lists(&w, f);
    json_targets(&w, f);
    json_machine(&w, f);
    if (f->known)
        json_cost(&w, f);
    json_end(&w);
    buf_addc(out, '\n');
}
