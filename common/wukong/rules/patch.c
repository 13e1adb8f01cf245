#include "wukong/rules/patch.h"

#include <string.h>

#include "base/mem.h"
#include "base/str.h"
#include "json/json.h"
#include "json/writer.h"
#include "wukong/api/spec.h"

#define SOURCE "/spec/cloneSource"

struct patch {
    struct json_writer w;
    struct buf *out;
    bool begun;
};

static void begin_operation(struct patch *p)
{
    if (!p->begun)
        json_array(&p->w, NULL);
    p->begun = true;
}

static void operation(struct patch *p, const char *op, const char *path, const char *value)
{
    begin_operation(p);
    json_object(&p->w, NULL);
    json_string(&p->w, "op", op);
    json_string(&p->w, "path", path);
    json_string(&p->w, "value", value);
    json_end(&p->w);
}

/* RFC 6901: "~" and "/" in a key. */
static void escape_pointer(const char *key, struct buf *out)
{
    for (; *key; key++) {
        if (*key == '~')
            buf_adds(out, "~0");
        else if (*key == '/')
            buf_adds(out, "~1");
        else
            buf_addc(out, *key);
    }
}

/* null is pruned before it is stored, but it is there while we look. */
static const char *text_member(const cJSON *o, const char *name)
{
    const cJSON *v = json_get(o, name);
    return cJSON_IsString(v) ? v->valuestring : NULL;
}

static bool absent(const cJSON *o, const char *name)
{
    const cJSON *v = json_get(o, name);
    return !v || cJSON_IsNull(v);
}

/* What cloneType becomes: the old object's, else the default of the type. NULL: leave it. */
static const char *clone_type(const cJSON *source, const cJSON *old)
{
    const char *type = text_member(source, "type");
    if (!absent(source, "cloneType"))
        return NULL;
    if (old)
        return text_member(old, "cloneType");
    if (str_eq(type, "vmi"))
        return "running";
    return str_eq(type, "vm") ? "full" : NULL;
}

static const char *source_namespace(const cJSON *object, const cJSON *source, const cJSON *old)
{
    if (!absent(source, "namespace"))
        return NULL;
    return old ? text_member(old, "namespace") : json_str(object, "metadata.namespace");
}

/* The tests: that the fields the defaults follow from are what was looked at. */
static void add_tests(struct patch *p, const cJSON *source)
{
    static const struct {
        const char *name, *path;
    } followed[] = {
        {"type", SOURCE "/type"}, {"vmName", SOURCE "/vmName"}, {"vmiName", SOURCE "/vmiName"}};
    for (size_t i = 0; i < ARRAY_LEN(followed); i++)
        if (text_member(source, followed[i].name))
            operation(p, "test", followed[i].path, text_member(source, followed[i].name));
}

static void add_stamp(struct patch *p, const cJSON *object, const struct patch_stamp *stamp)
{
    CLEANUP_BUF struct buf path = BUF_INIT(1024);
    const cJSON *annotations = json_at(object, "metadata.annotations");
    const char *now = text_member(annotations, stamp->key);
    buf_adds(&path, "/metadata/annotations/");
    escape_pointer(stamp->key, &path);
    if (str_eq(now, stamp->value) && (now || !json_get(annotations, stamp->key)))
        return;
    if (!stamp->value) {
        operation(p, "remove", path.data, NULL);
        return;
    }
    /* Only an absent map is created: adding one over another would wipe kubectl's record. */
    if (!cJSON_IsObject(annotations)) {
        begin_operation(p);
        json_object(&p->w, NULL);
        json_string(&p->w, "op", "add");
        json_string(&p->w, "path", "/metadata/annotations");
        json_raw(&p->w, "value", "{}");
        json_end(&p->w);
    }
    operation(p, "add", path.data, stamp->value);
}

bool patch_defaults(const cJSON *object, const cJSON *old, const struct patch_stamp *stamp,
                    struct buf *out)
{
    struct patch p = {.w = json_writer(out), .out = out};
    const cJSON *source = json_at(object, "spec.cloneSource");
    const cJSON *before = json_at(old, "spec.cloneSource");
    if (cJSON_IsObject(source)) {
        const cJSON *from = cJSON_IsObject(before) ? before : NULL;
        const char *type = clone_type(source, from);
        const char *ns = source_namespace(object, source, from);
        if (type || ns)
            add_tests(&p, source);
        if (type)
            operation(&p, "add", SOURCE "/cloneType", type);
        if (ns)
            operation(&p, "add", SOURCE "/namespace", ns);
    }
    if (stamp)
        add_stamp(&p, object, stamp);
    if (!p.begun)
        return false;
    json_end(&p.w);
    return true;
}
