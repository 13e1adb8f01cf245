#include "yaml/emit.h"

#include <stdbool.h>
#include <string.h>

#include "base/mem.h"
#include "base/str.h"
#include "json/json.h"
#include "json/writer.h"

/* Only what certainly is a string to every reader stays bare: it begins with a letter or "/", goes
   on with harmless characters, and is no word that YAML 1.1 takes for something else. */
static bool is_bare(const char *s)
{
    static const char *const words[] = {"y",   "n",    "yes",   "no",   "on",
                                        "off", "true", "false", "null", "nan"};
    static const char letters[] = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ";
    if (!*s || !strchr("/abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ", *s))
        return false;
    if (strspn(s, "0123456789./_-abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ") !=
        strlen(s))
        return false;
    for (size_t i = 0; i < ARRAY_LEN(words); i++)
        if (strcasecmp(s, words[i]) == 0)
            return false;
    return strpbrk(s, letters) != NULL;
}

static void emit_text(const char *s, struct buf *out)
{
    if (is_bare(s))
        buf_adds(out, s);
    else
        json_quote(out, s);
}

static bool is_nested(const cJSON *node)
{
    return (cJSON_IsObject(node) || cJSON_IsArray(node)) && node->child;
}

static void emit_scalar(const cJSON *node, struct buf *out)
{
    if (cJSON_IsString(node)) {
        emit_text(node->valuestring, out);
        return;
    }
    CLEANUP_FREE char *text = json_print(node);
    buf_adds(out, text);
}

/* Depth is that of the tree, which its parser has bounded. begun: the first line's indent is there
   already (behind "- "). */
static void emit(const cJSON *node, unsigned indent, bool begun, struct buf *out)
{
    const cJSON *m;
    cJSON_ArrayForEach (m, node) {
        buf_addf(out, "%*s", begun ? 0 : (int)indent, "");
        begun = false;
        if (cJSON_IsArray(node)) {
            buf_adds(out, "- ");
            if (is_nested(m)) {
                emit(m, indent + 2, true, out);
                continue;
            }
        } else {
            emit_text(m->string, out);
            buf_addc(out, ':');
            if (is_nested(m)) {
                buf_addc(out, '\n');
                emit(m, cJSON_IsArray(m) ? indent : indent + 2, false, out);
                continue;
            }
            buf_addc(out, ' ');
        }
        emit_scalar(m, out);
        buf_addc(out, '\n');
    }
}

void yaml_emit(const cJSON *tree, struct buf *out)
{
    if (is_nested(tree)) {
        emit(tree, 0, false, out);
        return;
    }
    emit_scalar(tree, out);
    buf_addc(out, '\n');
}
