/*
 * The static rules on a Wukong that was stored past the webhook (it was down, or off): the same
 * rules, so that what the webhook would have refused ends with the rule's own words.
 */
#include "observe/observe.h"

#include "base/str.h"
#include "json/json.h"
#include "wukong/rules/validate.h"

/* As the rules read it; spec is borrowed. */
static cJSON *whole_object(const struct wukong *w, cJSON *spec)
{
    cJSON *root = cJSON_CreateObject();
    cJSON *meta = cJSON_AddObjectToObject(root, "metadata");
    (void)cJSON_AddStringToObject(root, "apiVersion", WUKONG_API_VERSION);
    (void)cJSON_AddStringToObject(root, "kind", WUKONG_KIND);
    (void)cJSON_AddStringToObject(meta, "name", w->name);
    (void)cJSON_AddStringToObject(meta, "namespace", w->ns);
    (void)cJSON_AddItemReferenceToObject(root, "spec", spec);
    return root;
}

static void judge_whole_spec(const struct clone_state *v, const char *text, struct call *verdict)
{
    CLEANUP_JSON cJSON *spec = NULL;
    CLEANUP_FINDINGS struct findings findings;
    CLEANUP_BUF struct buf message = BUF_INIT(4096);
    findings_init(&findings);
    if (!text || json_read(text, strlen(text), &spec, NULL) < 0)
        return;
    CLEANUP_JSON cJSON *root = whole_object(v->wukong, spec);
    validate_create(root, &findings);
    verdict->state = CALL_OK;
    if (!findings.errors)
        return;
    findings_message(&findings, &message);
    verdict->state = CALL_FAILED;
    free(verdict->message);
    verdict->message = xstrdup(buf_ok(&message) ? message.data : findings.items[0].message);
}

void observe_spec_findings(struct clone_state *v, struct call_log *call_log,
                           const struct kube_object *object)
{
    /* What was begun under an earlier version's rules is ended under them. */
    if (record_final(&v->record) || v->record.attempts || v->wukong->deleted_ms)
        return;
    struct call *verdict =
        call_log_get(call_log, call_key_numbered(CALL_SPEC_VERDICT, v->wukong->generation));
    if (verdict->state == CALL_NONE)
        judge_whole_spec(v, kube_object_field(object, F_SPEC), verdict);
    if (verdict->state == CALL_FAILED)
        v->invalid = arena_strdup(v->arena, verdict->message);
}
