#include "json/json.h"

#include <assert.h>
#include <math.h>
#include <stdio.h>
#include <string.h>

#include "base/buf.h"
#include "base/str.h"
#include "json/scan.h"

/* Visits the nodes of a tree in document order, depth first. */
static cJSON *next_node(cJSON *node, cJSON **stack, size_t *depth)
{
    if (node->child) {
        assert(*depth < LIMIT_JSON_DEPTH);
        stack[(*depth)++] = node;
        return node->child;
    }
    while (!node->next) {
        if (*depth == 0)
            return NULL;
        node = stack[--*depth];
    }
    /* The root itself has no next. */
    return node->next;
}

struct number_walk {
    cJSON *node;
    cJSON *stack[LIMIT_JSON_DEPTH];
    size_t depth;
};

/* Most numbers are small integers, which cJSON prints back as they stand. */
static bool is_plain(const char *token, size_t n)
{
    for (size_t i = 0; i < n; i++)
        if (token[i] < '0' || token[i] > '9')
            return false;
    return n < 10;
}

static void note_number(void *arg, const char *token, size_t n)
{
    bool *all_plain = arg;
    *all_plain = *all_plain && is_plain(token, n);
}

static bool prints_back(const cJSON *node, const char *token, size_t n)
{
    if (is_plain(token, n))
        return true;
    char *printed = cJSON_PrintUnformatted(node);
    bool same = printed && strlen(printed) == n && memcmp(printed, token, n) == 0;
    cJSON_free(printed);
    return same;
}

static void keep_token(void *arg, const char *token, size_t n)
{
    struct number_walk *walk = arg;
    while (walk->node && !cJSON_IsNumber(walk->node))
        walk->node = next_node(walk->node, walk->stack, &walk->depth);
    cJSON *node = walk->node;
    assert(node);
    walk->node = next_node(node, walk->stack, &walk->depth);
    if (prints_back(node, token, n))
        return;
    /* cJSON frees the valuestring of a raw node with its hooks: free, or node_pool_free, which
     * knows malloc's. */
    node->type = cJSON_Raw;
    node->valuestring = xstrndup(token, n);
}

static int compare_names(const void *a, const void *b)
{
    return strcmp(*(const char *const *)a, *(const char *const *)b);
}

/* Below this many members, comparing each with each costs less than sorting. */
#define FEW_MEMBERS 12

static const char *named_twice(const cJSON *object)
{
    for (const cJSON *m = object->child; m; m = m->next)
        for (const cJSON *n = m->next; n; n = n->next)
            if (m->string[0] == n->string[0] && strcmp(m->string, n->string) == 0)
                return m->string;
    return NULL;
}

static int fail_repeated(const char *name, struct err *err)
{
    return err_set(err, ERR_INVALID, "the key \"%.100s\" stands twice in one object", name);
}

static int check_members(const cJSON *object, struct err *err)
{
    size_t count = 0;
    for (const cJSON *m = object->child; m; m = m->next)
        count++;
    if (count > LIMIT_JSON_MEMBERS)
        return err_set(err, ERR_LIMIT, "a JSON object has more than %d members",
                       LIMIT_JSON_MEMBERS);
    if (count <= FEW_MEMBERS) {
        const char *name = named_twice(object);
        return name ? fail_repeated(name, err) : 0;
    }
    CLEANUP_FREE const char **names = xmalloc(count * sizeof *names);
    size_t i = 0;
    for (const cJSON *m = object->child; m; m = m->next)
        names[i++] = m->string;
    qsort(names, count, sizeof *names, compare_names);
    for (i = 1; i < count; i++)
        if (strcmp(names[i - 1], names[i]) == 0)
            return fail_repeated(names[i], err);
    return 0;
}

static int check_duplicates(cJSON *root, struct err *err)
{
    cJSON *stack[LIMIT_JSON_DEPTH];
    size_t depth = 0;
    for (cJSON *node = root; node; node = next_node(node, stack, &depth))
        if (cJSON_IsObject(node) && check_members(node, err) < 0)
            return -1;
    return 0;
}

/* The scanner has passed over this text before, and did not refuse it. */
static void keep_tokens(const char *text, size_t len, cJSON *tree)
{
    struct number_walk walk = {.node = tree};
    struct json_scan again = {
        .text = text, .len = len, .data = true, .number = keep_token, .arg = &walk};
    struct err ignored = {0};
    if (json_scan_document(&again, &ignored) < 0)
        return;
}

int json_parse(const char *text, size_t len, bool lossless, cJSON **ret, struct err *err)
{
    bool all_plain = true;
    struct json_scan scan = {.text = text, .len = len, .number = note_number, .arg = &all_plain};
    if (json_scan_document(&scan, err) < 0)
        return -1;
    CLEANUP_JSON cJSON *tree = cJSON_ParseWithLength(text, len);
    /* Past the scanner only a lone surrogate is left that cJSON refuses. */
    if (!tree)
        return err_set(err, ERR_INVALID, "JSON holds an invalid \\u escape");
    if (check_duplicates(tree, err) < 0)
        return -1;
    if (lossless && !all_plain)
        keep_tokens(text, len, tree);
    *ret = TAKE(tree);
    return 0;
}

bool json_is_odd(const char *text, size_t len)
{
    struct json_scan scan = {.text = text, .len = len, .data = true};
    struct err ignored = {0};
    return json_scan_document(&scan, &ignored) == 0 && scan.odd;
}

int json_read(const char *text, size_t len, cJSON **ret, struct err *err)
{
    bool all_plain = true;
    CLEANUP_BUF struct buf mended = BUF_INIT(3 * len + 1);
    struct json_scan scan = {
        .text = text, .len = len, .data = true, .number = note_number, .arg = &all_plain};
    if (json_scan_document(&scan, err) < 0)
        return -1;
    if (scan.odd) {
        json_scan_mend(text, len, &mended);
        text = mended.data;
        len = mended.len;
    }
    CLEANUP_JSON cJSON *tree = cJSON_ParseWithLength(text, len);
    if (!tree)
        return err_set(err, ERR_INVALID, "JSON that cannot be read");
    if (!all_plain)
        keep_tokens(text, len, tree);
    *ret = TAKE(tree);
    return 0;
}

static const cJSON *find_member(const cJSON *o, const char *name, size_t n)
{
    if (!cJSON_IsObject(o))
        return NULL;
    for (const cJSON *m = o->child; m; m = m->next)
        if (m->string[0] == name[0] && strncmp(m->string, name, n) == 0 && !m->string[n])
            return m;
    return NULL;
}

const cJSON *json_get(const cJSON *o, const char *name)
{
    return find_member(o, name, strlen(name));
}

static const cJSON *step(const cJSON *o, const char *name, size_t n)
{
    uint64_t index;
    char key[24];
    if (n > 1 && name[0] == '#' && n < sizeof key) {
        memcpy(key, name, n);
        key[n] = '\0';
        if (str_to_u64(key + 1, &index))
            return cJSON_IsArray(o) && index < INT32_MAX ? cJSON_GetArrayItem(o, (int)index) : NULL;
    }
    return find_member(o, name, n);
}

const cJSON *json_at(const cJSON *o, const char *path)
{
    while (o && *path) {
        size_t n;
        if (*path == '[') {
            n = strcspn(++path, "]");
            o = step(o, path, n);
            path += n + (path[n] == ']');
        } else {
            n = strcspn(path, ".[");
            o = step(o, path, n);
            path += n;
        }
        if (*path == '.')
            path++;
    }
    return o;
}

const char *json_str(const cJSON *o, const char *path)
{
    const cJSON *node = json_at(o, path);
    return cJSON_IsString(node) ? node->valuestring : NULL;
}

bool json_is_number(const cJSON *node)
{
    return cJSON_IsNumber(node) || cJSON_IsRaw(node);
}

bool json_node_int(const cJSON *node, int64_t *ret)
{
    if (cJSON_IsRaw(node))
        return str_to_i64(node->valuestring, ret);
    /* Beyond 2^53 a double no longer tells neighbours apart. */
    if (!cJSON_IsNumber(node) || fabs(node->valuedouble) > 9007199254740992.0 ||
        floor(node->valuedouble) != node->valuedouble)
        return false;
    *ret = (int64_t)node->valuedouble;
    return true;
}

bool json_int(const cJSON *o, const char *path, int64_t *ret)
{
    return json_node_int(json_at(o, path), ret);
}

bool json_bool(const cJSON *o, const char *path, bool fallback)
{
    const cJSON *node = json_at(o, path);
    return cJSON_IsBool(node) ? cJSON_IsTrue(node) : fallback;
}

char *json_print(const cJSON *tree)
{
    char *text = cJSON_PrintUnformatted(tree);
    if (!text)
        abort();
    char *own = xstrdup(
        text); /* text is cJSON_free's, which is not free in every program (json/node_pool.h) */
    cJSON_free(text);
    return own;
}

/* A copy of at most so many bytes that ends between two characters. */
static char *string_start(const char *s, size_t max)
{
    size_t n = strnlen(s, max + 1);
    if (n <= max)
        return xstrdup(s);
    while (n && ((unsigned char)s[n] & 0xc0) == 0x80)
        n--;
    return xstrndup(s, n);
}

static void quote_start(struct buf *out, const char *s, size_t max)
{
    CLEANUP_FREE char *start = string_start(s, max);
    cJSON node = {.type = cJSON_String, .valuestring = start};
    CLEANUP_FREE char *text = json_print(&node);
    buf_adds(out, text);
}

static void print_start(struct buf *out, const cJSON *node, size_t max)
{
    bool object = cJSON_IsObject(node);
    if (cJSON_IsString(node)) {
        quote_start(out, node->valuestring, max);
    } else if (cJSON_IsRaw(node)) {
        CLEANUP_FREE char *start = string_start(node->valuestring, max);
        buf_adds(out, start);
    } else if (!object && !cJSON_IsArray(node)) {
        CLEANUP_FREE char *text = json_print(node);
        buf_adds(out, text);
    } else {
        buf_addc(out, object ? '{' : '[');
        for (const cJSON *m = node->child; m && out->len < max; m = m->next) {
            if (object) {
                quote_start(out, m->string, max);
                buf_addc(out, ':');
            }
            print_start(out, m, max);
            if (m->next)
                buf_addc(out, ',');
        }
        if (out->len < max || !node->child)
            buf_addc(out, object ? '}' : ']');
    }
}

char *json_print_start(const cJSON *tree, size_t max)
{
    CLEANUP_BUF struct buf out = BUF_INIT(LIMIT_OBJECT_BYTES);
    print_start(&out, tree, max);
    return buf_take(&out);
}

char *json_text(const cJSON *node)
{
    if (!node)
        return NULL;
    return cJSON_IsString(node) ? xstrdup(node->valuestring) : json_print(node);
}

static bool same_number(const cJSON *a, const cJSON *b)
{
    if (cJSON_IsNumber(a) && cJSON_IsNumber(b) && a->valuedouble == b->valuedouble)
        return true;
    if (cJSON_IsRaw(a) && cJSON_IsRaw(b))
        return strcmp(a->valuestring, b->valuestring) == 0;
    CLEANUP_FREE char *x = json_print(a);
    CLEANUP_FREE char *y = json_print(b);
    return str_eq(x, y);
}

static int compare_members(const void *a, const void *b)
{
    return strcmp((*(const cJSON *const *)a)->string, (*(const cJSON *const *)b)->string);
}

static const cJSON **sorted_members(const cJSON *o, size_t count)
{
    const cJSON **members = xmalloc(count * sizeof *members);
    size_t i = 0;
    for (const cJSON *m = o->child; m; m = m->next)
        members[i++] = m;
    qsort(members, count, sizeof *members, compare_members);
    return members;
}

static bool same_many(const cJSON *a, const cJSON *b, size_t count)
{
    CLEANUP_FREE const cJSON **x = sorted_members(a, count);
    CLEANUP_FREE const cJSON **y = sorted_members(b, count);
    for (size_t i = 0; i < count; i++)
        if (strcmp(x[i]->string, y[i]->string) != 0 || !json_equal(x[i], y[i]))
            return false;
    return true;
}

static bool same_members(const cJSON *a, const cJSON *b)
{
    int count = cJSON_GetArraySize(a);
    if (count != cJSON_GetArraySize(b))
        return false;
    if (count > FEW_MEMBERS)
        return same_many(a, b, (size_t)count);
    for (const cJSON *m = a->child; m; m = m->next) {
        const cJSON *other = json_get(b, m->string);
        if (!other || !json_equal(m, other))
            return false;
    }
    return true;
}

bool json_equal(const cJSON *a, const cJSON *b)
{
    if (!a || !b)
        return a == b;
    if (json_is_number(a) || json_is_number(b))
        return json_is_number(a) && json_is_number(b) && same_number(a, b);
    if ((a->type & 0xFF) != (b->type & 0xFF))
        return false;
    if (cJSON_IsString(a))
        return strcmp(a->valuestring, b->valuestring) == 0;
    if (cJSON_IsObject(a))
        return same_members(a, b);
    if (cJSON_IsArray(a)) {
        const cJSON *y = b->child;
        for (const cJSON *x = a->child; x; x = x->next, y = y->next)
            if (!y || !json_equal(x, y))
                return false;
        return y == NULL;
    }
    return true;
}
