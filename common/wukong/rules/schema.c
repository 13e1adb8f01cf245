#include "wukong/rules/schema.h"

#include <math.h>
#include <stdlib.h>

#include "base/mem.h"
#include "base/str.h"
#include "json/json.h"

/* clang-format off */
#define STRING(n)        {n, SCHEMA_STRING, NULL, 0, 0}
#define INTEGER(n)       {n, SCHEMA_INTEGER, NULL, 0, 0}
#define BOOLEAN(n)       {n, SCHEMA_BOOLEAN, NULL, 0, 0}
#define QUANTITY(n)      {n, SCHEMA_INT_OR_STRING, NULL, 0, 0}
#define ANY(n)           {n, SCHEMA_ANY, NULL, 0, 0}
#define MAP(n)           {n, SCHEMA_STRING_MAP, NULL, 0, 0}
#define OBJECT(n, f)     {n, SCHEMA_OBJECT, f, ARRAY_LEN(f), SCHEMA_MEMBERS_MAX}
#define ARRAY(n, item)   {n, SCHEMA_ARRAY, item, 1, 0}
/* The same with the CRD's maxItems or maxProperties, where no rule of its own says so. */
#define LIST(n, item, m) {n, SCHEMA_ARRAY, item, 1, m}
#define PAIRS(n, m)      {n, SCHEMA_STRING_MAP, NULL, 0, m}
#define OPEN(n)          {n, SCHEMA_OPEN, NULL, 0, SCHEMA_MEMBERS_MAX}

static const struct schema string_item[] = {STRING("")};

static const struct schema metadata[] = {
    STRING("name"), STRING("generateName"), STRING("namespace"), MAP("labels"), MAP("annotations"),
    /* The rest of ObjectMeta is the API server's to judge. */
    ANY("uid"), ANY("resourceVersion"), ANY("generation"), ANY("creationTimestamp"),
    ANY("deletionTimestamp"), ANY("deletionGracePeriodSeconds"), ANY("ownerReferences"),
    ANY("finalizers"), ANY("managedFields"), ANY("selfLink"),
};

static const struct schema window[] = {
    STRING("schedule"), STRING("duration"), STRING("timeZone"),
};

static const struct schema clone_source[] = {
    STRING("type"), STRING("vmName"), STRING("vmiName"), STRING("namespace"), STRING("cloneType"),
    STRING("quiesce"), STRING("snapshotMethod"), STRING("volumeSnapshotClassName"),
    STRING("volumeGroupSnapshotClassName"),
    BOOLEAN("stopSourceAfter"), INTEGER("deadlineSeconds"), INTEGER("retryLimit"),
    OBJECT("window", window), STRING("notBefore"), ARRAY("gates", string_item),
    BOOLEAN("allowUnsnapshottable"), ARRAY("allowSecrets", string_item),
};

static const struct schema disk[] = {
    STRING("name"), QUANTITY("size"), STRING("storageClassName"), STRING("sourceDisk"),
    BOOLEAN("boot"), STRING("image"),
};
static const struct schema disk_item[] = {OBJECT("", disk)};

static const struct schema start_strategy[] = {BOOLEAN("autoStart"), STRING("runStrategy")};

static const struct schema cloud_init_user[] = {
    STRING("name"), STRING("password"), STRING("passwordHash"), STRING("sudo"), STRING("shell"),
    ARRAY("groups", string_item), BOOLEAN("lockPasswd"),
};

static const struct schema ip_config[] = {
    STRING("mode"), STRING("address"), STRING("gateway"), ARRAY("dnsServers", string_item),
};
static const struct schema network[] = {
    STRING("name"), STRING("type"), STRING("nadName"), INTEGER("vlanId"), STRING("bridgeName"),
    STRING("physicalInterface"), BOOLEAN("primary"), OBJECT("ipConfig", ip_config),
};
static const struct schema network_item[] = {OBJECT("", network)};

static const struct schema toleration[] = {
    STRING("key"), STRING("operator"), STRING("value"), STRING("effect"),
    INTEGER("tolerationSeconds"),
};
static const struct schema toleration_item[] = {OBJECT("", toleration)};
static const struct schema high_availability[] = {
    STRING("restartPolicy"), BOOLEAN("antiAffinity"), MAP("nodeSelector"),
    ARRAY("tolerations", toleration_item),
};

static const struct schema gpu[] = {STRING("name"), STRING("deviceName")};
static const struct schema gpu_item[] = {OBJECT("", gpu)};

static const struct schema network_map[] = {STRING("from"), STRING("to")};
static const struct schema network_map_item[] = {OBJECT("", network_map)};
static const struct schema target_network[] = {STRING("links"), ARRAY("map", network_map_item)};
static const struct schema reference[] = {STRING("kind"), STRING("from"), STRING("to")};
static const struct schema reference_item[] = {OBJECT("", reference)};
static const struct schema target[] = {
    MAP("labels"), MAP("annotations"), ARRAY("keepAnnotations", string_item),
    OBJECT("network", target_network), STRING("cpuShape"), OPEN("overrides"),
    ARRAY("references", reference_item),
};

static const struct schema guest[] = {
    STRING("hostname"), STRING("cloudInit"), STRING("userData"), STRING("networkData"),
    STRING("userDataSecret"), STRING("networkDataSecret"), BOOLEAN("resetMachineId"),
    BOOLEAN("resetSSHHostKeys"),
};
static const struct schema expires[] = {STRING("after"), STRING("at"), STRING("action")};

static const struct schema spec[] = {
    INTEGER("cpu"), QUANTITY("memory"), OBJECT("cloneSource", clone_source),
    ARRAY("disks", disk_item), INTEGER("replicas"), STRING("reclaimPolicy"),
    OBJECT("startStrategy", start_strategy), STRING("osImage"), STRING("sshKeySecret"),
    OBJECT("cloudInitUser", cloud_init_user), ARRAY("networks", network_item),
    OBJECT("highAvailability", high_availability), ARRAY("gpus", gpu_item),
    STRING("restoreFromSnapshot"), OBJECT("target", target),
    OBJECT("guest", guest), OBJECT("expires", expires),
};

static const struct schema wukong[] = {
    STRING("apiVersion"), STRING("kind"), OBJECT("metadata", metadata), OBJECT("spec", spec),
    ANY("status"),
};
const struct schema schema_wukong = OBJECT("", wukong);

/* --- ClonePolicy --- */

static const struct schema expression[] = {
    STRING("key"), STRING("operator"), LIST("values", string_item, 32),
};
static const struct schema expression_item[] = {OBJECT("", expression)};
static const struct schema selector[] = {
    PAIRS("matchLabels", 32), LIST("matchExpressions", expression_item, 32),
};
static const struct schema subject[] = {
    STRING("kind"), STRING("apiGroup"), STRING("name"), STRING("namespace"),
};
static const struct schema subject_item[] = {OBJECT("", subject)};
static const struct schema match_source[] = {
    OBJECT("namespaceSelector", selector), OBJECT("virtualMachineSelector", selector),
};
static const struct schema match_target[] = {OBJECT("namespaceSelector", selector)};
static const struct schema match[] = {
    LIST("subjects", subject_item, 64), OBJECT("source", match_source),
    OBJECT("target", match_target),
};
static const struct schema policy_rules[] = {
    LIST("cloneTypes", string_item, 3), STRING("placement"), STRING("requireSource"),
    STRING("quiesce"), STRING("minimumConsistency"), STRING("cutRule"),
    STRING("unknownDriverCutRule"),
    LIST("storageClasses", string_item, 64),
    LIST("volumeSnapshotClasses", string_item, 64), QUANTITY("maxDiskSize"), INTEGER("maxReplicas"),
    LIST("requiredLabels", string_item, 16), STRING("isolation"), STRING("maxLifetime"),
    STRING("overrides"), LIST("overridePaths", string_item, 64),
};
static const struct schema policy_limits[] = {
    INTEGER("concurrentPerCluster"), INTEGER("concurrentPerSource"),
    INTEGER("concurrentPerTargetNamespace"), INTEGER("concurrentPerStorageClass"),
    INTEGER("retainedSnapshotsPerSource"), QUANTITY("storagePerTargetNamespace"),
};
static const struct schema window_item[] = {OBJECT("", window)};
static const struct schema policy_spec[] = {
    OBJECT("match", match), OBJECT("exclude", match), OBJECT("rules", policy_rules),
    OBJECT("limits", policy_limits), LIST("windows", window_item, 16), STRING("outsideWindow"),
    LIST("validationActions", string_item, 3), STRING("message"),
};
static const struct schema policy[] = {
    STRING("apiVersion"), STRING("kind"), OBJECT("metadata", metadata),
    OBJECT("spec", policy_spec), ANY("status"),
};
const struct schema schema_policy = OBJECT("", policy);
/* clang-format on */

const char *schema_type_text(enum schema_type type)
{
    switch (type) {
    case SCHEMA_OBJECT:
    case SCHEMA_OPEN:
        return "must be an object";
    case SCHEMA_ARRAY:
        return "must be a list";
    case SCHEMA_STRING:
        return "must be a string";
    case SCHEMA_INTEGER:
        return "must be a whole number";
    case SCHEMA_BOOLEAN:
        return "must be true or false";
    case SCHEMA_INT_OR_STRING:
        return "must be a quantity";
    case SCHEMA_STRING_MAP:
        return "must map strings to strings";
    case SCHEMA_ANY:
        break;
    }
    return "must be a value";
}

const char *schema_type_remedy(enum schema_type type)
{
    switch (type) {
    case SCHEMA_OBJECT:
    case SCHEMA_OPEN:
        return "write its fields indented below it";
    case SCHEMA_ARRAY:
        return "write each item on a line of its own that begins with \"- \"";
    case SCHEMA_STRING:
        return "put it in quotes";
    case SCHEMA_INTEGER:
        return "write digits without quotes, such as 4";
    case SCHEMA_BOOLEAN:
        return "write true or false without quotes";
    case SCHEMA_INT_OR_STRING:
        return "write a number with a unit, such as 10Gi";
    case SCHEMA_STRING_MAP:
        return "write \"key: value\" lines and put values that look like numbers or booleans in "
               "quotes";
    case SCHEMA_ANY:
        break;
    }
    return "write a value";
}

bool schema_integer(const cJSON *value, long long *ret)
{
    int64_t whole;
    if (json_node_int(value, &whole)) {
        *ret = whole;
        return true;
    }
    if (!json_is_number(value))
        return false;
    double d = cJSON_IsRaw(value) ? strtod(value->valuestring, NULL) : value->valuedouble;
    if (!(fabs(d) < 9007199254740992.0) || floor(d) != d)
        return false;
    *ret = (long long)d;
    return true;
}

static bool is_string_map(const cJSON *value)
{
    const cJSON *v;
    if (!cJSON_IsObject(value))
        return false;
    cJSON_ArrayForEach (v, value)
        if (!cJSON_IsString(v) && !cJSON_IsNull(v))
            return false;
    return true;
}

bool schema_fits(enum schema_type type, const cJSON *value)
{
    long long ignored;
    switch (type) {
    case SCHEMA_OBJECT:
    case SCHEMA_OPEN:
        return cJSON_IsObject(value);
    case SCHEMA_ARRAY:
        return cJSON_IsArray(value);
    case SCHEMA_STRING:
        return cJSON_IsString(value);
    case SCHEMA_INTEGER:
        return schema_integer(value, &ignored);
    case SCHEMA_BOOLEAN:
        return cJSON_IsBool(value);
    case SCHEMA_INT_OR_STRING:
        return cJSON_IsString(value) || schema_integer(value, &ignored);
    case SCHEMA_STRING_MAP:
        return is_string_map(value);
    case SCHEMA_ANY:
        break;
    }
    return true;
}

const struct schema *schema_field(const struct schema *object, const char *name)
{
    for (size_t i = 0; i < object->count; i++)
        if (str_eq(object->fields[i].name, name))
            return &object->fields[i];
    return NULL;
}
