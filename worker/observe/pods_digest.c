#include "observe/pods_digest.h"

#include "base/buf.h"
#include "base/str.h"
#include "json/json.h"
#include "json/writer.h"

/* What they are called in KubeVirt and CDI. */
#define CREATED_BY "metadata.labels[kubevirt.io/created-by]"
#define CDI_COMPONENT "metadata.labels[cdi.kubevirt.io]"
#define CDI_CLONE_SOURCE "cdi-clone-source"

static bool container_writes(const cJSON *container, const char *volume)
{
    const cJSON *m;
    cJSON_ArrayForEach (m, json_get(container, "volumeDevices"))
        if (str_eq(json_str(m, "name"), volume))
            return true;
    cJSON_ArrayForEach (m, json_get(container, "volumeMounts"))
        if (str_eq(json_str(m, "name"), volume) && !json_bool(m, "readOnly", false))
            return true;
    return false;
}

/* CDI's Pod that reads a claim of mode Block has it as a device
   (containerized-data-importer, pkg/controller/clone-controller.go). */
static bool may_write(const cJSON *pod, const cJSON *volume)
{
    static const char *const lists[] = {"containers", "initContainers", "ephemeralContainers"};
    const cJSON *spec = json_get(pod, "spec"), *c;
    if (json_at(volume, "persistentVolumeClaim.readOnly") &&
        json_bool(volume, "persistentVolumeClaim.readOnly", false))
        return false;
    if (str_eq(json_str(pod, CDI_COMPONENT), CDI_CLONE_SOURCE))
        return false;
    for (size_t i = 0; i < ARRAY_LEN(lists); i++)
        cJSON_ArrayForEach (c, json_get(spec, lists[i]))
            if (container_writes(c, str_or(json_str(volume, "name"), "")))
                return true;
    return false;
}

static bool uses_any(const cJSON *pod)
{
    const cJSON *v;
    cJSON_ArrayForEach (v, json_at(pod, "spec.volumes"))
        if (json_str(v, "persistentVolumeClaim.claimName") && may_write(pod, v))
            return true;
    return false;
}

static void digest_pod(struct json_writer *w, const cJSON *pod)
{
    const cJSON *v;
    if (!uses_any(pod))
        return;
    json_object(w, NULL);
    json_string(w, "name", str_or(json_str(pod, "metadata.name"), ""));
    json_string(w, "of", str_or(json_str(pod, CREATED_BY), ""));
    json_array(w, "claims");
    cJSON_ArrayForEach (v, json_at(pod, "spec.volumes"))
        if (json_str(v, "persistentVolumeClaim.claimName") && may_write(pod, v))
            json_string(w, NULL, json_str(v, "persistentVolumeClaim.claimName"));
    json_end(w);
    json_end(w);
}

char *pods_digest(const char *list, size_t len)
{
    CLEANUP_JSON cJSON *tree = NULL;
    CLEANUP_BUF struct buf out = BUF_INIT(len + 256);
    struct err err = {0};
    const cJSON *pod;
    if (json_read(list, len, &tree, &err) < 0 || !cJSON_IsArray(json_get(tree, "items")))
        return NULL;
    struct json_writer w = json_writer(&out);
    json_object(&w, NULL);
    json_string(&w, "next", str_or(json_str(tree, "metadata.continue"), ""));
    json_array(&w, "pods");
    cJSON_ArrayForEach (pod, json_get(tree, "items"))
        digest_pod(&w, pod);
    json_end(&w);
    json_end(&w);
    return buf_ok(&out) ? xstrdup(out.data) : NULL;
}
