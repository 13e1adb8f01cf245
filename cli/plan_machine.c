/* The very machine that the clone would be, by the worker's own code, and how it differs. Pure. */
#include "cli/plan.h"

#include <string.h>

#include "base/str.h"
#include "json/json.h"
#include "wukong/api/child_names.h"

/* The Wukong has no UID before it is created; what follows from it is not shown. */
#define NO_UID "00000000-0000-0000-0000-000000000000"
#define VALUE_BYTES 60

/* --- Differences --- */

struct comparing {
    struct plan *f;
    struct buf path;
};

static void add_change(struct comparing *c, const cJSON *was, const cJSON *is)
{
    struct plan *f = c->f;
    if (f->change_count == PLAN_CHANGES_MAX) {
        f->changes_left_out++;
        return;
    }
    CLEANUP_FREE char *before = was ? json_print_start(was, VALUE_BYTES) : NULL;
    CLEANUP_FREE char *after = is ? json_print_start(is, VALUE_BYTES) : NULL;
    CLEANUP_FREE char *text =
        is ? was ? xasprintf("%s: %.*s becomes %.*s", c->path.data, VALUE_BYTES, before,
                             VALUE_BYTES, after)
                 : xasprintf("%s: %.*s is new", c->path.data, VALUE_BYTES, after)
           : xasprintf("%s: %.*s goes", c->path.data, VALUE_BYTES, before);
    f->changes[f->change_count++] = str_or(arena_strdup(f->arena, text), "");
}

/* New in each clone, and not known before it is created. */
static bool is_identity(const char *member)
{
    return str_eq(member, "macAddress") || str_eq(member, "uuid") || str_eq(member, "serial");
}

static const cJSON *named_item(const cJSON *list, const char *name)
{
    const cJSON *item;
    cJSON_ArrayForEach (item, list)
        if (name && str_eq(json_str(item, "name"), name))
            return item;
    return NULL;
}

static bool all_named(const cJSON *list)
{
    const cJSON *item;
    cJSON_ArrayForEach (item, list)
        if (!json_str(item, "name"))
            return false;
    return cJSON_IsArray(list) && list->child;
}

static void compare(struct comparing *c, const cJSON *was, const cJSON *is);

static void compare_below(struct comparing *c, const char *name, bool item, const cJSON *was,
                          const cJSON *is)
{
    size_t len = c->path.len;
    if (item)
        buf_addf(&c->path, "[%s]", name);
    else
        buf_addf(&c->path, "%s%s", len ? "." : "", name);
    compare(c, was, is);
    c->path.len = len;
    c->path.data[len] = '\0';
}

static void compare_members(struct comparing *c, const cJSON *was, const cJSON *is)
{
    const cJSON *m;
    cJSON_ArrayForEach (m, was)
        if (!is_identity(m->string))
            compare_below(c, m->string, false, m, json_get(is, m->string));
    cJSON_ArrayForEach (m, is)
        if (!is_identity(m->string) && !json_get(was, m->string))
            compare_below(c, m->string, false, NULL, m);
}

static void compare_items(struct comparing *c, const cJSON *was, const cJSON *is)
{
    const cJSON *m;
    cJSON_ArrayForEach (m, was)
        compare_below(c, json_str(m, "name"), true, m, named_item(is, json_str(m, "name")));
    cJSON_ArrayForEach (m, is)
        if (!named_item(was, json_str(m, "name")))
            compare_below(c, json_str(m, "name"), true, NULL, m);
}

static void compare(struct comparing *c, const cJSON *was, const cJSON *is)
{
    if (was && is && json_equal(was, is))
        return;
    if (cJSON_IsObject(was) && cJSON_IsObject(is))
        compare_members(c, was, is);
    else if (all_named(was) && all_named(is))
        compare_items(c, was, is);
    else
        add_change(c, was, is);
}

static void note_changes(struct plan *f, const cJSON *source, const cJSON *machine)
{
    struct comparing c = {.f = f, .path = BUF_INIT(64 * KIB)};
    buf_adds(&c.path, "");
    compare(&c, json_get(source, "spec"), json_get(machine, "spec"));
    buf_release(&c.path);
}

/* --- What is told --- */

/* "disk \"x\" …" and "\"x\" is left out: …" are one for the user. */
static bool is_noted(const struct plan *f, const char *text)
{
    const char *name = strchr(text, '"'), *end = name ? strchr(name + 1, '"') : NULL;
    CLEANUP_FREE char *quoted = end ? xstrndup(name, (size_t)(end - name + 1)) : NULL;
    for (size_t i = 0; i < f->note_count; i++) {
        const char *other = f->notes[i].text;
        if (strstr(other, text) || (quoted && strstr(text, "left out") &&
                                    strstr(other, "left out") && strstr(other, quoted)))
            return true;
    }
    return false;
}

static void note_warnings(struct plan *f, const struct manifest_vm *vm)
{
    for (size_t i = 0; i < vm->warning_count; i++)
        if (!is_noted(f, vm->warnings[i]))
            plan_note_add(f, NOTE_WARNING, "machine", "%s", vm->warnings[i]);
}

static void keep_needs(struct plan *f, const struct manifest_vm *vm)
{
    f->needs = arena_alloc(f->arena, (vm->need_count + 1) * sizeof *f->needs);
    for (size_t i = 0; f->needs && i < vm->need_count; i++) {
        const struct manifest_dependency *n = &vm->needs[i];
        if (n->optional || !n->ns)
            continue;
        f->needs[f->need_count++] =
            (struct plan_need){arena_strdup(f->arena, n->kind), arena_strdup(f->arena, n->ns),
                               arena_strdup(f->arena, n->name)};
    }
}

/* What is refused already has its own words. */
static void note_refusal(struct plan *f, const struct err *err)
{
    for (size_t i = 0; i < f->note_count; i++)
        if (f->notes[i].kind == NOTE_REFUSED || f->notes[i].kind == NOTE_WAITS)
            return;
    plan_note_add(f, NOTE_WAITS, "machine", "%s", err->message);
}

/* --- The machine --- */

/* Only what the Wukong says changes the order in which devices boot. */
static bool boots_by_spec(const struct plan *f, const struct disk_plan *d)
{
    const struct wukong_spec *spec = &f->in->w->spec;
    return d->spec_index < spec->disk_count && spec->disks[d->spec_index].boot == TRI_TRUE;
}

static size_t list_disks(const struct plan *f, const char *name, struct manifest_disk *ret)
{
    size_t n = 0;
    for (; n < f->disks.count && n < LIMIT_DISKS; n++) {
        const struct disk_plan *d = &f->disks.items[n];
        char claim[PVC_NAME_BUF];
        name_pvc(name, f->in->e->replicas, 0, d->name, claim);
        ret[n] = (struct manifest_disk){d->volume, str_or(arena_strdup(f->arena, claim), ""),
                                        boots_by_spec(f, d)};
    }
    return n;
}

static int build(struct plan *f, const cJSON *source, struct manifest_vm *vm, struct err *err)
{
    struct wukong w = *f->in->w;
    struct manifest_disk disks[LIMIT_DISKS];
    w.uid = str_or(w.uid, NO_UID);
    w.name = str_or(w.name, str_empty(w.generate_name) ? "clone" : w.generate_name);
    struct manifest_request r = {.wukong = &w,
                                 .effective = f->in->e,
                                 .disks = disks,
                                 .disk_count = list_disks(f, w.name, disks)};
    return manifest_vm_body(source, &r, vm, err);
}

void plan_machine(struct plan *f, const struct manifest_source *from)
{
    struct err err = {0};
    CLEANUP_JSON cJSON *source = NULL;
    CLEANUP_JSON cJSON *machine = NULL;
    CLEANUP_MANIFEST_VM struct manifest_vm vm;
    manifest_vm_init(&vm);
    if (!f->known)
        return;
    if (manifest_source_spec(from, &source, &err) < 0 || build(f, source, &vm, &err) < 0) {
        note_refusal(f, &err);
        return;
    }
    if (vm.needs_expand) {
        plan_note_add(f, NOTE_WARNING, "machine",
                      "it is not shown: the worker asks KubeVirt for what the instancetype means");
        return;
    }
    note_warnings(f, &vm);
    keep_needs(f, &vm);
    if (json_read(vm.body.data, vm.body.len, &machine, &err) < 0)
        return;
    f->machine = arena_strdup(f->arena, vm.body.data);
    note_changes(f, source, machine);
}
