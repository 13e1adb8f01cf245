/* Requests: paths, verbs, and the Status bodies of refusals. */
#include "apiserver/apiserver.h"

#include <assert.h>
#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>

#include "base/buf.h"
#include "base/mem.h"
#include "base/str.h"
#include "json/writer.h"

/* --- paths --- */

static int hex(char c)
{
    if (c >= '0' && c <= '9')
        return c - '0';
    if (c >= 'A' && c <= 'F')
        return c - 'A' + 10;
    return c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

static char *unescape(const char *s, size_t n)
{
    char *out = xmalloc(n + 1);
    size_t len = 0;
    for (size_t i = 0; i < n; i++) {
        if (s[i] == '%' && i + 2 < n && hex(s[i + 1]) >= 0 && hex(s[i + 2]) >= 0) {
            out[len++] = (char)(hex(s[i + 1]) * 16 + hex(s[i + 2]));
            i += 2;
        } else {
            out[len++] = s[i] == '+' ? ' ' : s[i];
        }
    }
    out[len] = '\0';
    return out;
}

char *api_query(const struct api_target *t, const char *key)
{
    size_t k = strlen(key);
    for (const char *p = t->query; *p;) {
        size_t n = strcspn(p, "&");
        if (n > k && p[k] == '=' && strncmp(p, key, k) == 0)
            return unescape(p + k + 1, n - k - 1);
        p += n + (p[n] == '&');
    }
    return NULL;
}

bool api_is_watch(const struct api_target *t)
{
    CLEANUP_FREE char *w = api_query(t, "watch");
    return str_eq(w, "1") || str_eq(w, "true");
}

#define SEGMENTS 9

static size_t split(const char *path, char *parts[SEGMENTS])
{
    size_t n = 0;
    while (*path == '/' && n < SEGMENTS) {
        size_t len = strcspn(++path, "/?");
        parts[n++] = unescape(path, len);
        path += len;
    }
    return n;
}

static const char *served_version(const struct apiserver *s, const struct api_kind_info *k)
{
    return s->older_groups && str_eq(k->group, "groupsnapshot.storage.k8s.io") ? "v1beta2"
                                                                               : k->version;
}

static bool find_kind(const struct apiserver *s, const char *group, const char *version,
                      const char *resource, struct api_target *t)
{
    t->aggregated = str_eq(group, "subresources.kubevirt.io");
    for (enum api_kind k = 0; k < API_KINDS; k++) {
        const struct api_kind_info *i = &api_kinds[k];
        bool same = t->aggregated
                        ? str_eq(i->group, "kubevirt.io")
                        : str_eq(i->group, group) && str_eq(served_version(s, i), version);
        if (same && str_eq(i->resource, resource)) {
            t->kind = k;
            return true;
        }
    }
    return false;
}

static void keep(char *to, size_t cap, const char *from)
{
    (void)snprintf(to, cap, "%s", from);
}

bool api_parse_path(const struct apiserver *s, const char *path, struct api_target *t)
{
    char *parts[SEGMENTS] = {0};
    size_t n = split(path, parts), i = 0;
    const char *mark = strchr(path, '?');
    *t = (struct api_target){0};
    t->query = xstrdup(mark ? mark + 1 : "");
    bool core = n && str_eq(parts[0], "api");
    bool ok = n >= (core ? 3u : 4u) && (core || str_eq(parts[0], "apis"));
    if (ok) {
        const char *group = core ? "" : parts[1];
        const char *version = parts[core ? 1 : 2];
        i = core ? 2 : 3;
        if (str_eq(parts[i], "namespaces") && n > i + 2) {
            keep(t->ns, sizeof t->ns, parts[i + 1]);
            i += 2;
        }
        bool function = str_eq(parts[i], "expand-vm-spec");
        ok = find_kind(s, group, version, function ? "virtualmachines" : parts[i], t) &&
             !s->unserved[t->kind];
        if (ok && function)
            keep(t->sub, sizeof t->sub, parts[i]);
        if (ok && i + 1 < n)
            keep(t->name, sizeof t->name, parts[i + 1]);
        if (ok && i + 2 < n)
            keep(t->sub, sizeof t->sub, parts[i + 2]);
        ok = ok && i + 3 >= n;
    }
    for (size_t k = 0; k < n; k++)
        free(parts[k]);
    return ok;
}

/* --- refusals --- */

void api_fail(struct api_reply *reply, int code, const char *reason, const struct api_target *ref,
              const char *format, ...)
{
    char message[1024];
    struct buf out = BUF_INIT(16 * KIB);
    struct json_writer w = json_writer(&out);
    va_list args;
    va_start(args, format);
    (void)vsnprintf(message, sizeof message, format, args);
    va_end(args);
    json_object(&w, NULL);
    json_string(&w, "kind", "Status");
    json_string(&w, "apiVersion", "v1");
    json_object(&w, "metadata");
    json_end(&w);
    json_string(&w, "status", "Failure");
    json_string(&w, "message", message);
    json_string(&w, "reason", reason);
    if (ref || reply->retry_after_s) {
        json_object(&w, "details");
        if (ref) {
            json_string(&w, "name", ref->name);
            json_string(&w, "group", api_kinds[ref->kind].group);
            json_string(&w, "kind", api_kinds[ref->kind].resource);
        }
        if (reply->retry_after_s)
            json_number(&w, "retryAfterSeconds", reply->retry_after_s);
        json_end(&w);
    }
    json_number(&w, "code", code);
    json_end(&w);
    free(reply->body);
    reply->code = code;
    reply->body = buf_take(&out);
}

/* "virtualmachines.kubevirt.io", as GroupResource.String() has it. */
static const char *qualified(const struct api_target *t, char out[256])
{
    const struct api_kind_info *k = &api_kinds[t->kind];
    (void)snprintf(out, 256, "%s%s%s", k->resource, *k->group ? "." : "", k->group);
    return out;
}

static void not_found(struct api_reply *reply, const struct api_target *t)
{
    char q[256];
    api_fail(reply, 404, "NotFound", t, "%s \"%s\" not found", qualified(t, q), t->name);
}

static void conflict(struct api_reply *reply, const struct api_target *t, const char *why)
{
    char q[256];
    api_fail(reply, 409, "Conflict", t, "Operation cannot be fulfilled on %s \"%s\": %s",
             qualified(t, q), t->name, why);
}

static void answer(struct api_reply *reply, int code, const char *text)
{
    reply->code = code;
    reply->body = xstrdup(text);
}

/* --- verbs --- */

struct work {
    struct apiserver *s;
    const struct api_call *call;
    struct api_target t;
    struct api_reply *reply;
    cJSON *body;
    bool dry_run;
};

/* Without a name for itself a client is known by its User-Agent. */
static void manage(const struct work *w, cJSON *tree, const cJSON *written)
{
    CLEANUP_FREE char *manager = api_query(&w->t, "fieldManager");
    if (str_starts(w->call->who, "worker"))
        api_manage_labels(tree, written, str_or(manager, "wukong-worker"));
}

static bool admitted(struct work *w, cJSON *tree, const cJSON *before)
{
    const struct api_hooks *h = &w->s->hooks;
    return !h->admit ||
           !h->admit(h->arg, w->call->who, w->t.kind, tree, before, w->dry_run, w->reply);
}

static void do_create(struct work *w)
{
    const struct api_kind_info *k = &api_kinds[w->t.kind];
    CLEANUP_JSON cJSON *tree = jt_copy(w->body);
    char group_version[256], q[256];
    (void)snprintf(group_version, sizeof group_version, "%s%s%s", k->group, *k->group ? "/" : "",
                   served_version(w->s, k));
    const char *name = json_str(tree, "metadata.name");
    if (!str_eq(json_str(tree, "kind"), k->kind) ||
        !str_eq(json_str(tree, "apiVersion"), group_version) || str_empty(name) || *w->t.name) {
        api_fail(w->reply, 400, "BadRequest", NULL, "the object provided is unrecognized");
        return;
    }
    if (!k->cluster_scoped && !json_at(tree, "metadata.namespace"))
        jt_str(tree, "metadata.namespace", w->t.ns);
    if (!k->cluster_scoped && !str_eq(json_str(tree, "metadata.namespace"), w->t.ns)) {
        api_fail(w->reply, 400, "BadRequest", NULL,
                 "the namespace of the provided object does not match the namespace sent on the "
                 "request");
        return;
    }
    keep(w->t.name, sizeof w->t.name, name);
    if (json_at(tree, "metadata.resourceVersion")) {
        api_fail(w->reply, 400, "BadRequest", NULL,
                 "resourceVersion should not be set on objects to be created");
        return;
    }
    if (k->status_sub)
        jt_drop(tree, "status");
    /* Admission comes before the name is looked at in storage. */
    if (!admitted(w, tree, NULL))
        return;
    if (api_find(w->s, w->t.kind, w->t.ns, name)) {
        api_fail(w->reply, 409, "AlreadyExists", &w->t, "%s \"%s\" already exists",
                 qualified(&w->t, q), w->t.name);
        return;
    }
    if (w->dry_run) {
        CLEANUP_FREE char *text = json_print(tree);
        answer(w->reply, 201, text);
        return;
    }
    manage(w, tree, w->body);
    struct api_object *o = api_create(w->s, w->call->who, w->t.kind, TAKE(tree));
    assert(o);
    answer(w->reply, 201, o->text->s);
}

static bool same_version(const struct api_object *o, const char *version)
{
    return str_eq(version, json_str(o->tree, "metadata.resourceVersion"));
}

/* Replaces and answers; the object may be gone by that (its last finalizer). */
static void store(struct work *w, struct api_object *o, cJSON *tree)
{
    char *key = xstrdup(o->name);
    CLEANUP_FREE char *text = json_print(tree);
    if (!w->dry_run)
        api_replace(w->s, w->call->who, o, tree);
    else
        cJSON_Delete(tree);
    struct api_object *now = api_find(w->s, w->t.kind, w->t.ns, key);
    answer(w->reply, 200, now ? now->text->s : text);
    free(key);
}

static void do_update(struct work *w)
{
    struct api_object *o = api_find(w->s, w->t.kind, w->t.ns, w->t.name);
    const char *version = json_str(w->body, "metadata.resourceVersion");
    if (!o) {
        not_found(w->reply, &w->t);
        return;
    }
    if (!version) {
        api_fail(w->reply, 422, "Invalid", &w->t,
                 "metadata.resourceVersion: Invalid value: 0x0: "
                 "must be specified for an update");
        return;
    }
    if (!same_version(o, version)) {
        conflict(w->reply, &w->t,
                 "the object has been modified; please apply your changes to the latest version "
                 "and try again");
        return;
    }
    CLEANUP_JSON cJSON *tree = jt_copy(w->body);
    static const char *const kept[] = {"metadata.uid", "metadata.creationTimestamp",
                                       "metadata.generation", "metadata.deletionTimestamp",
                                       "metadata.deletionGracePeriodSeconds"};
    for (size_t i = 0; i < ARRAY_LEN(kept); i++)
        jt_put(tree, kept[i], jt_copy(json_at(o->tree, kept[i])));
    if (api_kinds[w->t.kind].status_sub)
        jt_put(tree, "status", jt_copy(json_get(o->tree, "status")));
    if (admitted(w, tree, o->tree))
        store(w, o, TAKE(tree));
}

static bool patch_precondition(struct work *w, const struct api_object *o)
{
    const char *uid = json_str(w->body, "metadata.uid");
    const char *version = json_str(w->body, "metadata.resourceVersion");
    if (uid && !str_eq(uid, o->uid)) {
        char why[256];
        (void)snprintf(why, sizeof why,
                       "Precondition failed: UID in precondition: %s, UID in object meta: %s", uid,
                       o->uid);
        conflict(w->reply, &w->t, why);
        return false;
    }
    if (version && !same_version(o, version)) {
        conflict(w->reply, &w->t,
                 "the object has been modified; please apply your changes to the latest version "
                 "and try again");
        return false;
    }
    return true;
}

static void do_merge(struct work *w)
{
    struct api_object *o = api_find(w->s, w->t.kind, w->t.ns, w->t.name);
    if (!o) {
        not_found(w->reply, &w->t);
        return;
    }
    if (!patch_precondition(w, o))
        return;
    CLEANUP_JSON cJSON *tree = jt_copy(o->tree);
    CLEANUP_JSON cJSON *patch = jt_copy(w->body);
    bool split = api_kinds[w->t.kind].status_sub;
    if (split && *w->t.sub) {
        cJSON *status = jt_copy(json_get(patch, "status"));
        cJSON_Delete(patch);
        patch = cJSON_CreateObject();
        if (status)
            jt_put(patch, "status", status);
    } else if (split) {
        jt_drop(patch, "status");
    }
    api_merge(tree, patch);
    manage(w, tree, patch);
    if (admitted(w, tree, o->tree))
        store(w, o, TAKE(tree));
}

static void absent_apply(struct work *w)
{
    const char *uid = json_str(w->body, "metadata.uid");
    if (*w->t.sub) {
        not_found(w->reply, &w->t);
    } else if (uid) {
        char why[256];
        (void)snprintf(why, sizeof why,
                       "uid mismatch: the provided object specified uid %s, and no existing object "
                       "was found",
                       uid);
        conflict(w->reply, &w->t, why);
    } else {
        w->s->hooks.illegal(w->s->hooks.arg, w->call->who, "an apply that would create",
                            w->call->path);
        api_fail(w->reply, 422, "Invalid", &w->t, "%s.%s \"%s\" is invalid: spec: Required value",
                 api_kinds[w->t.kind].kind, api_kinds[w->t.kind].group, w->t.name);
    }
}

/* Only what this server implements: status, and finalizers alone. */
static bool apply_supported(const struct work *w)
{
    const cJSON *m;
    if (!api_kinds[w->t.kind].status_sub || json_at(w->body, "metadata.managedFields"))
        return false;
    if (str_eq(w->t.sub, "status"))
        return true;
    cJSON_ArrayForEach (m, w->body)
        if (!str_eq(m->string, "apiVersion") && !str_eq(m->string, "kind") &&
            !str_eq(m->string, "metadata"))
            return false;
    cJSON_ArrayForEach (m, json_get(w->body, "metadata"))
        if (!str_eq(m->string, "name") && !str_eq(m->string, "namespace") &&
            !str_eq(m->string, "uid") && !str_eq(m->string, "finalizers"))
            return false;
    return !*w->t.sub;
}

static void do_apply(struct work *w)
{
    struct api_object *o = api_find(w->s, w->t.kind, w->t.ns, w->t.name);
    CLEANUP_FREE char *manager = api_query(&w->t, "fieldManager");
    if (str_empty(manager)) {
        api_fail(w->reply, 422, "Invalid", NULL,
                 "PatchOptions.meta.k8s.io \"\" is invalid: "
                 "fieldManager: Required value: is required for apply patch");
        return;
    }
    if (!apply_supported(w)) {
        w->s->hooks.illegal(w->s->hooks.arg, w->call->who,
                            "an apply of more than status or "
                            "finalizers",
                            w->call->path);
        api_fail(w->reply, 500, "InternalError", NULL, "this server does not implement it");
        return;
    }
    if (!o) {
        absent_apply(w);
        return;
    }
    if (!patch_precondition(w, o))
        return;
    CLEANUP_JSON cJSON *tree = jt_copy(o->tree);
    api_apply(o, tree, manager, *w->t.sub ? "status" : "metadata", w->body);
    if (admitted(w, tree, o->tree))
        store(w, o, TAKE(tree));
}

static void do_delete(struct work *w)
{
    struct api_object *o = api_find(w->s, w->t.kind, w->t.ns, w->t.name);
    const char *uid = json_str(w->body, "preconditions.uid");
    const char *version = json_str(w->body, "preconditions.resourceVersion");
    if (!o) {
        not_found(w->reply, &w->t);
        return;
    }
    if ((uid && !str_eq(uid, o->uid)) || (version && !same_version(o, version))) {
        char why[256];
        (void)snprintf(why, sizeof why,
                       "Precondition failed: UID in precondition: %s, UID in object meta: %s",
                       str_or(uid, ""), o->uid);
        conflict(w->reply, &w->t, why);
        return;
    }
    if (w->call->who && !uid && str_starts(w->call->who, "worker"))
        w->s->hooks.illegal(w->s->hooks.arg, w->call->who, "a delete without preconditions.uid",
                            w->call->path);
    CLEANUP_FREE char *name = xstrdup(o->name);
    CLEANUP_FREE char *object_uid = xstrdup(o->uid);
    api_delete(w->s, w->call->who, o);
    struct api_object *now = api_find(w->s, w->t.kind, w->t.ns, name);
    if (now && str_eq(now->uid, object_uid)) {
        answer(w->reply, 200, now->text->s);
        return;
    }
    CLEANUP_FREE char *text = xasprintf(
        "{\"kind\":\"Status\",\"apiVersion\":\"v1\",\"metadata\":{},\"status\":\"Success\","
        "\"details\":{\"name\":\"%s\",\"group\":\"%s\",\"kind\":\"%s\",\"uid\":\"%s\"}}",
        name, api_kinds[w->t.kind].group, api_kinds[w->t.kind].resource, object_uid);
    answer(w->reply, 200, text);
}

static void do_subresource(struct work *w)
{
    const struct api_hooks *h = &w->s->hooks;
    /* KubeVirt's subresources answer 406 to application/json alone (seen on v1.9). */
    bool function = !*w->t.name;
    if (!function && (!w->call->accept || str_eq(w->call->accept, "application/json"))) {
        answer(w->reply, 406, "406: Not Acceptable");
        return;
    }
    if (w->call->method != KUBE_PUT) {
        answer(w->reply, 405, "405: Method Not Allowed");
        return;
    }
    assert(h->subresource);
    h->subresource(h->arg, w->call->who, w->t.kind, w->t.ns, w->t.name, w->t.sub, w->body,
                   w->reply);
}

static void do_get(struct work *w)
{
    struct api_object *o = api_find(w->s, w->t.kind, w->t.ns, w->t.name);
    if (!o)
        not_found(w->reply, &w->t);
    else
        answer(w->reply, 200, o->text->s);
}

static void do_patch(struct work *w)
{
    const char *type = str_or(w->call->content_type, "");
    if (str_eq(type, "application/merge-patch+json"))
        do_merge(w);
    else if (str_eq(type, "application/apply-patch+yaml"))
        do_apply(w);
    else
        api_fail(w->reply, 415, "UnsupportedMediaType", NULL,
                 "the body of the request was in an unknown format - accepted media types include: "
                 "application/json-patch+json, application/merge-patch+json, "
                 "application/apply-patch+yaml");
}

static bool read_body(struct work *w)
{
    struct err err = {0};
    CLEANUP_FREE char *dry_run = api_query(&w->t, "dryRun");
    w->dry_run = str_eq(dry_run, "All");
    if (!w->call->body_len)
        return w->call->method == KUBE_GET || w->call->method == KUBE_DELETE || w->t.aggregated;
    return json_parse(w->call->body, w->call->body_len, true, &w->body, &err) == 0;
}

static void dispatch(struct work *w)
{
    bool subject = !*w->t.sub || str_eq(w->t.sub, "status");
    if (w->t.aggregated)
        do_subresource(w);
    else if (!read_body(w))
        api_fail(w->reply, 400, "BadRequest", NULL, "the object provided is unrecognized");
    else if (!subject)
        answer(w->reply, 404, "404 page not found");
    else if (w->call->method == KUBE_GET && *w->t.name)
        do_get(w);
    else if (w->call->method == KUBE_GET)
        api_list(w->s, &w->t, w->call->accept, w->reply, rng_chance(w->s->rng, w->s->stale_lists));
    else if (w->call->method == KUBE_POST)
        do_create(w);
    else if (!*w->t.name)
        answer(w->reply, 405, "405: Method Not Allowed");
    else if (w->call->method == KUBE_PUT)
        do_update(w);
    else if (w->call->method == KUBE_PATCH)
        do_patch(w);
    else
        do_delete(w);
}

/* A question, not an object: nothing is stored. */
static void do_ask(struct work *w)
{
    const struct api_hooks *h = &w->s->hooks;
    w->t.query = xstrdup("");
    if (w->call->method != KUBE_POST || !read_body(w) || !json_at(w->body, "spec.user")) {
        api_fail(w->reply, 422, "Invalid", NULL,
                 "SubjectAccessReview.authorization.k8s.io \"\" is invalid: spec.user: Invalid "
                 "value: \"\": at least one of user or group must be specified");
        return;
    }
    bool may = h->may(h->arg, json_get(w->body, "spec"));
    CLEANUP_FREE char *text = xasprintf("{\"kind\":\"SubjectAccessReview\",\"apiVersion\":"
                                        "\"authorization.k8s.io/v1\",\"metadata\":{},\"spec\":{},"
                                        "\"status\":{\"allowed\":%s}}",
                                        may ? "true" : "false");
    answer(w->reply, 201, text);
}

void api_handle(struct apiserver *s, const struct api_call *call, struct api_reply *reply)
{
    struct work w = {.s = s, .call = call, .reply = reply};
    if (str_eq(call->path, "/apis/authorization.k8s.io/v1/subjectaccessreviews")) {
        do_ask(&w);
    } else if (!api_parse_path(s, call->path, &w.t)) {
        /* An unserved group or resource: the mux answers, not a handler. */
        answer(reply, 404, "404 page not found\n");
    } else {
        if (w.t.aggregated)
            (void)read_body(&w);
        dispatch(&w);
    }
    cJSON_Delete(w.body);
    free(w.t.query);
}
