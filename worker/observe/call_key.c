#include "observe/call_key.h"

#include <assert.h>
#include <string.h>

#include "base/str.h"

const struct call_kind_info call_kinds[CALL_KINDS] = {
    [CALL_UNNAMED] = {"", CALL_WORKED_OUT, false},

    [CALL_STATUS] = {"status", CALL_CHANGES, false},
    [CALL_FINALIZER_ADD] = {"finalizer/add", CALL_CHANGES, false},
    [CALL_FINALIZER_REMOVE] = {"finalizer/remove", CALL_CHANGES, false},
    [CALL_READ_OWN] = {"read/own", CALL_READS, false},
    [CALL_EVENT] = {"event/{name}", CALL_CHANGES, false},
    [CALL_ACCESS_CLONE] = {"access/clone/{number}", CALL_READS, false},
    [CALL_ACCESS_START] = {"access/start/{number}", CALL_READS, false},

    [CALL_READ_SOURCE_VM] = {"read/vm/{name}", CALL_READS, false},
    [CALL_READ_SOURCE_VMI] = {"read/vmi/{name}", CALL_READS, false},
    [CALL_READ_SOURCE_ABSENT] = {"read/absent/{name}", CALL_READS, false},
    [CALL_READ_SOURCE_REVISION] = {"read/revision/{name}", CALL_READS, false},
    [CALL_READ_SOURCE_CLAIM] = {"read/claim/{name}", CALL_READS, false},
    [CALL_EXPAND_SOURCE] = {"read/spec/expand", CALL_READS, false},
    [CALL_READ_CARRIER] = {"read/carrier/{name}", CALL_READS, false},
    [CALL_PODS_BEFORE] = {"pods/before/{page}", CALL_READS, false},
    [CALL_PODS_AFTER] = {"pods/after/{number}/{page}", CALL_READS, false},
    [CALL_PODS_COPIED] = {"pods/copied/{number}/{page}", CALL_READS, false},
    [CALL_START_SOURCE] = {"start", CALL_CHANGES, false},
    [CALL_STOP_SOURCE] = {"stop", CALL_CHANGES, false},
    [CALL_FREEZE] = {"freeze/{number}", CALL_CHANGES, false},
    [CALL_THAW] = {"thaw/{number}", CALL_CHANGES, true},
    [CALL_LABEL_CLAIM] = {"label/{number}/{name}", CALL_CHANGES, false},
    [CALL_UNLABEL_CLAIM] = {"unlabel/{name}", CALL_CHANGES, false},
    [CALL_LIST_LABELLED] = {"labelled", CALL_READS, false},
    [CALL_LOOK_AFTER_VMI] = {"read/after/{number}", CALL_READS, false},
    [CALL_LOOK_AFTER_VM] = {"read/after-vm/{number}", CALL_READS, false},
    [CALL_LOOK_COPIED_VMI] = {"read/copied/{number}", CALL_READS, false},
    [CALL_LOOK_COPIED_VM] = {"read/copied-vm/{number}", CALL_READS, false},

    [CALL_NEED] = {"need/{resource}/{ns}/{name}", CALL_READS, false},
    [CALL_DRY_CLAIM] = {"dry/{number}/claim/{name}", CALL_TRIES, false},
    [CALL_DRY_VM] = {"dry/{number}/vm/{name}", CALL_TRIES, false},
    [CALL_DRY_SNAPSHOT] = {"dry/{number}/snapshot/{name}", CALL_TRIES, false},
    [CALL_CREATE_SNAPSHOT] = {"create/snapshot/{name}", CALL_CREATES, false},
    [CALL_CREATE_VM_SNAPSHOT] = {"create/vmsnapshot/{name}", CALL_CREATES, false},
    [CALL_CREATE_GROUP] = {"create/group/{name}", CALL_CREATES, false},
    [CALL_CREATE_CONTENT] = {"create/content/{name}", CALL_CREATES, false},
    [CALL_CREATE_SNAPSHOT_COPY] = {"create/snapshotcopy/{name}", CALL_CREATES, false},
    [CALL_CREATE_CLAIM] = {"create/claim/{name}", CALL_CREATES, false},
    [CALL_CREATE_VM] = {"create/vm/{name}", CALL_CREATES, false},
    [CALL_OWN_CLAIM] = {"own/{name}", CALL_CHANGES, false},
    [CALL_OWN_VM] = {"own/{name}", CALL_CHANGES, false},
    [CALL_DISOWN_VM] = {"disown/{name}", CALL_CHANGES, false},
    [CALL_STOP_TARGET] = {"stop/{name}", CALL_CHANGES, false},
    [CALL_START_TARGET] = {"start/{name}", CALL_CHANGES, false},

    [CALL_READ_LIVE] = {"read/{resource}/{name}", CALL_READS, false},
    [CALL_READ_CONTENT] = {"read/content/{name}", CALL_READS, false},
    [CALL_READ_BOUND_CONTENT] = {"read/content/{name}/bound", CALL_READS, false},
    [CALL_LABEL_SNAPSHOT] = {"label/{name}", CALL_CHANGES, false},
    [CALL_SET_DELETE] = {"policy/{name}", CALL_CHANGES, false},
    [CALL_SET_RETAIN] = {"retain/{name}", CALL_CHANGES, false},
    [CALL_RETRIGGER_CONTENT] = {"nudge/{name}", CALL_CHANGES, false},
    [CALL_RELEASE_SNAPSHOT] = {"release/{name}", CALL_CHANGES, false},
    [CALL_DELETE] = {"delete/{resource}/{name}", CALL_CHANGES, false},
    [CALL_LIST_LEFT] = {"left/{resource}/{ns}", CALL_READS, false},
    [CALL_READ_ORPHAN] = {"orphan/{resource}/{name}", CALL_READS, false},

    [CALL_CAPTURE] = {"capture", CALL_WORKED_OUT, false},
    [CALL_SPEC_VERDICT] = {"valid/{number}", CALL_WORKED_OUT, false},
};

static bool text_equal(const char *a, const char *b)
{
    return str_eq(str_or(a, ""), str_or(b, ""));
}

bool call_key_equal(const struct call_key *a, const struct call_key *b)
{
    return a->kind == b->kind && a->number == b->number && a->page == b->page &&
           text_equal(a->name, b->name) && text_equal(a->ns, b->ns) &&
           text_equal(a->resource, b->resource);
}

static void print_part(const struct call_key *k, const char *part, size_t len, struct buf *out)
{
    const struct {
        const char *part, *text;
    } texts[] = {{"resource", k->resource}, {"ns", k->ns}, {"name", k->name}};
    for (size_t i = 0; i < ARRAY_LEN(texts); i++)
        if (strlen(texts[i].part) == len && strncmp(texts[i].part, part, len) == 0) {
            buf_adds(out, str_or(texts[i].text, ""));
            return;
        }
    if (strncmp(part, "page", len) == 0)
        buf_addf(out, "%u", k->page);
    else
        buf_addf(out, "%lld", (long long)k->number);
}

void call_key_print(const struct call_key *k, struct buf *out)
{
    assert(k->kind < CALL_KINDS);
    const char *at = call_kinds[k->kind].name;
    for (const char *open; (open = strchr(at, '{')); at = strchr(open, '}') + 1) {
        buf_add(out, at, (size_t)(open - at));
        print_part(k, open + 1, (size_t)(strchr(open, '}') - open - 1), out);
    }
    buf_adds(out, at);
}

static const char **texts_of(struct call_key *k, size_t i)
{
    const char **texts[] = {&k->resource, &k->ns, &k->name};
    return i < ARRAY_LEN(texts) ? texts[i] : NULL;
}

size_t call_key_room(const struct call_key *k)
{
    struct call_key of = *k;
    size_t n = 0;
    const char **text;
    for (size_t i = 0; (text = texts_of(&of, i)); i++)
        n += *text ? strlen(*text) + 1 : 0;
    return n;
}

struct call_key call_key_store(const struct call_key *k, char *room)
{
    struct call_key kept = *k;
    const char **text;
    for (size_t i = 0; (text = texts_of(&kept, i)); i++) {
        if (!*text)
            continue;
        size_t n = strlen(*text) + 1;
        memcpy(room, *text, n);
        *text = room;
        room += n;
    }
    return kept;
}
