#include "wukong/api/access.h"

#include "json/json.h"
#include "json/writer.h"
#include "wukong/api/spec.h"

static void write_attributes(struct json_writer *w, const struct access_question *q)
{
    bool start = q->right == ACCESS_START;
    json_object(w, "resourceAttributes");
    json_string(w, "namespace", q->ns);
    json_string(w, "verb", start ? "update" : "create");
    json_string(w, "group", start ? "subresources.kubevirt.io" : WUKONG_GROUP);
    json_string(w, "version", start ? "v1" : WUKONG_VERSION_NAME);
    json_string(w, "resource", start ? "virtualmachines" : WUKONG_RESOURCE);
    json_string(w, "subresource", start ? "start" : "source");
    json_string(w, "name", q->name);
    json_end(w);
}

void access_write(const struct access_question *q, struct buf *out)
{
    struct json_writer w = json_writer(out);
    json_object(&w, NULL);
    json_string(&w, "apiVersion", "authorization.k8s.io/v1");
    json_string(&w, "kind", q->user ? "SubjectAccessReview" : "SelfSubjectAccessReview");
    json_object(&w, "spec");
    write_attributes(&w, q);
    json_string(&w, "user", q->user);
    json_string(&w, "uid", q->uid);
    json_tree(&w, "groups", q->groups);
    json_tree(&w, "extra", q->extra);
    json_end(&w);
    json_end(&w);
}

bool access_allowed(const cJSON *answer, bool *ret_known)
{
    const cJSON *allowed = json_at(answer, "status.allowed");
    *ret_known = cJSON_IsBool(allowed);
    return cJSON_IsTrue(allowed);
}
