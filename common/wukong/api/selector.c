#include "wukong/api/selector.h"

#include <assert.h>
#include <string.h>

#include "apimachinery/dns_names.h"
#include "base/str.h"
#include "json/json.h"

/* labels.Parse has no bound; etcd and the API server's URL length have. */
#define TERMS_MAX 1024
#define VALUES_MAX 4096

/* --- Requirements (labels/selector.go NewRequirement) --- */

static bool parse_int(const char *s, int64_t *ret)
{
    /* strconv.ParseInt takes a plus sign, str_to_i64 does not. */
    bool negative = *s == '-';
    if (*s == '+' || *s == '-')
        s++;
    uint64_t v;
    if (!str_to_u64(s, &v) || v > (uint64_t)INT64_MAX + negative)
        return false;
    *ret = (int64_t)(negative ? 0 - v : v);
    return true;
}

static int check_term(const struct selector_term *t, struct err *err)
{
    const char *why = name_qualified_error(t->key);
    if (why)
        return err_set(err, ERR_INVALID, "key \"%.64s\": %s", t->key, why);
    bool set = t->op == SELECTOR_IN || t->op == SELECTOR_NOT_IN;
    bool order = t->op == SELECTOR_GREATER || t->op == SELECTOR_LESS;
    if (set && t->count == 0)
        return err_set(err, ERR_INVALID, "key \"%.64s\": In and NotIn need values", t->key);
    if (!set && !order && t->count != 0)
        return err_set(err, ERR_INVALID, "key \"%.64s\": Exists and DoesNotExist take no values",
                       t->key);
    int64_t ignored;
    if (order && (t->count != 1 || !parse_int(t->values[0], &ignored)))
        return err_set(err, ERR_INVALID, "key \"%.64s\": > and < need one whole number", t->key);
    for (size_t i = 0; i < t->count; i++) {
        why = name_label_value_error(t->values[i]);
        if (why)
            return err_set(err, ERR_INVALID, "value \"%.64s\": %s", t->values[i], why);
    }
    return 0;
}

static const char *label(const struct wukong_pairs *labels, const char *key)
{
    return labels ? wukong_pairs_get(labels, key) : NULL;
}

static bool contains(const struct selector_term *t, const char *value)
{
    for (size_t i = 0; i < t->count; i++)
        if (str_eq(t->values[i], value))
            return true;
    return false;
}

static bool term_matches(const struct selector_term *t, const char *value)
{
    int64_t have, want;
    switch (t->op) {
    case SELECTOR_IN:
        return value && contains(t, value);
    case SELECTOR_NOT_IN:
        return !value || !contains(t, value);
    case SELECTOR_EXISTS:
        return value != NULL;
    case SELECTOR_DOES_NOT_EXIST:
        return value == NULL;
    case SELECTOR_GREATER:
    case SELECTOR_LESS:
        if (!value || !parse_int(value, &have) || !parse_int(t->values[0], &want))
            return false;
        return t->op == SELECTOR_GREATER ? have > want : have < want;
    }
    return false;
}

bool selector_matches(const struct selector *s, const struct wukong_pairs *labels)
{
    for (size_t i = 0; i < s->count; i++)
        if (!term_matches(&s->terms[i], label(labels, s->terms[i].key)))
            return false;
    return true;
}

/* --- String form --- */

enum token {
    T_END,
    T_WORD, /* also "in" and "notin", which are words where a value may stand */
    T_COMMA,
    T_OPEN,
    T_CLOSE,
    T_NOT,
    T_EQUALS, /* = and == */
    T_NOT_EQUALS,
    T_GREATER,
    T_LESS
};

struct lexer {
    const char *at;
    enum token token; /* the one that comes next */
    const char *text;
    size_t len;
};

static void advance(struct lexer *l)
{
    static const char special[] = "=!(),><";
    while (*l->at == ' ' || *l->at == '\t' || *l->at == '\r' || *l->at == '\n')
        l->at++;
    l->text = l->at;
    char c = *l->at;
    if (c == '\0') {
        l->token = T_END;
        l->len = 0;
        return;
    }
    if (!strchr(special, c)) {
        l->token = T_WORD;
        l->len = strcspn(l->at, "=!(),>< \t\r\n");
        l->at += l->len;
        return;
    }
    l->len = (c == '=' || c == '!') && l->at[1] == '=' ? 2 : 1;
    l->at += l->len;
    l->token = c == '='   ? T_EQUALS
               : c == '!' ? (l->len == 2 ? T_NOT_EQUALS : T_NOT)
               : c == '(' ? T_OPEN
               : c == ')' ? T_CLOSE
               : c == ',' ? T_COMMA
               : c == '>' ? T_GREATER
                          : T_LESS;
}

static int unexpected(const struct lexer *l, const char *expected, struct err *err)
{
    return err_set(err, ERR_INVALID, "found \"%.*s\", expected %s",
                   (int)(l->len < 64 ? l->len : 64), l->text, expected);
}

struct parser {
    struct arena *a;
    struct lexer l;
    struct selector_term terms[TERMS_MAX];
    size_t count;
};

struct values {
    const char *items[VALUES_MAX];
    size_t count;
};

static int add_value(struct parser *p, struct values *v, const char *s, size_t n, struct err *err)
{
    char *copy = arena_strndup(p->a, s, n);
    if (!copy || v->count == VALUES_MAX)
        return err_set(err, ERR_LIMIT, "the selector has too many values");
    v->items[v->count++] = copy;
    return 0;
}

/* "(a,,b)": empty parts are empty values. */
static int read_set(struct parser *p, struct values *v, struct err *err)
{
    if (p->l.token != T_OPEN)
        return unexpected(&p->l, "'('", err);
    advance(&p->l);
    bool need = true; /* a value, empty or not, may still stand here */
    for (;; advance(&p->l)) {
        if (p->l.token == T_WORD) {
            if (!need)
                return unexpected(&p->l, "',' or ')'", err);
            if (add_value(p, v, p->l.text, p->l.len, err) < 0)
                return -1;
            need = false;
        } else if (p->l.token == T_COMMA || p->l.token == T_CLOSE) {
            if (need && add_value(p, v, "", 0, err) < 0)
                return -1;
            need = true;
            if (p->l.token == T_CLOSE)
                break;
        } else {
            return unexpected(&p->l, "',', ')' or a value", err);
        }
    }
    advance(&p->l);
    return 0;
}

static int read_exact(struct parser *p, struct values *v, struct err *err)
{
    if (p->l.token == T_END || p->l.token == T_COMMA)
        return add_value(p, v, "", 0, err);
    if (p->l.token != T_WORD)
        return unexpected(&p->l, "a value", err);
    if (add_value(p, v, p->l.text, p->l.len, err) < 0)
        return -1;
    advance(&p->l);
    return 0;
}

static bool word_is(const struct lexer *l, const char *s)
{
    return l->token == T_WORD && l->len == strlen(s) && memcmp(l->text, s, l->len) == 0;
}

static int read_operator(struct parser *p, struct selector_term *t, struct values *v,
                         struct err *err)
{
    bool set = word_is(&p->l, "in") || word_is(&p->l, "notin");
    if (word_is(&p->l, "in") || p->l.token == T_EQUALS)
        t->op = SELECTOR_IN;
    else if (word_is(&p->l, "notin") || p->l.token == T_NOT_EQUALS)
        t->op = SELECTOR_NOT_IN;
    else if (p->l.token == T_GREATER)
        t->op = SELECTOR_GREATER;
    else if (p->l.token == T_LESS)
        t->op = SELECTOR_LESS;
    else
        return unexpected(&p->l, "one of = == != in notin > <", err);
    advance(&p->l);
    return set ? read_set(p, v, err) : read_exact(p, v, err);
}

static int read_term(struct parser *p, struct selector_term *t, struct values *v, struct err *err)
{
    bool negated = p->l.token == T_NOT;
    v->count = 0;
    if (negated)
        advance(&p->l);
    if (p->l.token != T_WORD)
        return unexpected(&p->l, "a key", err);
    t->key = arena_strndup(p->a, p->l.text, p->l.len);
    if (!t->key)
        return err_set(err, ERR_LIMIT, "the selector is too long");
    advance(&p->l);
    if (negated)
        t->op = SELECTOR_DOES_NOT_EXIST;
    else if (p->l.token == T_END || p->l.token == T_COMMA)
        t->op = SELECTOR_EXISTS;
    else if (read_operator(p, t, v, err) < 0)
        return -1;
    t->count = v->count;
    t->values = arena_alloc(p->a, (v->count + 1) * sizeof(*t->values));
    if (!t->values)
        return err_set(err, ERR_LIMIT, "the selector is too long");
    memcpy(t->values, v->items, v->count * sizeof(*t->values));
    return check_term(t, err);
}

static int hand_over(struct arena *a, const struct selector_term *terms, size_t count,
                     struct selector *ret, struct err *err)
{
    struct selector_term *copy = arena_alloc(a, (count + 1) * sizeof(*copy));
    if (!copy)
        return err_set(err, ERR_LIMIT, "the selector is too long");
    memcpy(copy, terms, count * sizeof(*copy));
    *ret = (struct selector){copy, count};
    return 0;
}

int selector_parse(struct arena *a, const char *text, struct selector *ret, struct err *err)
{
    CLEANUP_FREE struct parser *p = xcalloc(1, sizeof(*p));
    CLEANUP_FREE struct values *v = xcalloc(1, sizeof(*v));
    p->a = a;
    p->l.at = text;
    advance(&p->l);
    while (p->l.token != T_END) {
        if (p->count == TERMS_MAX)
            return err_set(err, ERR_LIMIT, "the selector has more than %d terms", TERMS_MAX);
        if (read_term(p, &p->terms[p->count++], v, err) < 0)
            return -1;
        if (p->l.token == T_END)
            break;
        if (p->l.token != T_COMMA)
            return unexpected(&p->l, "',' or the end", err);
        advance(&p->l);
        if (p->l.token != T_WORD && p->l.token != T_NOT)
            return unexpected(&p->l, "a key after ','", err);
    }
    return hand_over(a, p->terms, p->count, ret, err);
}

/* --- Object form --- */

static int decode_label(struct arena *a, const cJSON *item, struct selector_term *t,
                        struct err *err)
{
    if (!cJSON_IsString(item))
        return err_set(err, ERR_INVALID, "matchLabels[%.64s] is no string", item->string);
    t->key = arena_strdup(a, item->string);
    t->op = SELECTOR_IN;
    t->values = arena_alloc(a, sizeof(*t->values));
    char *value = arena_strdup(a, item->valuestring);
    if (!t->key || !t->values || !value)
        return err_set(err, ERR_LIMIT, "the selector is too long");
    t->values[0] = value;
    t->count = 1;
    return check_term(t, err);
}

static int decode_expression(struct arena *a, const cJSON *item, struct selector_term *t,
                             struct err *err)
{
    static const struct {
        const char *name;
        enum selector_operator op;
    } operators[] = {{"In", SELECTOR_IN},
                     {"NotIn", SELECTOR_NOT_IN},
                     {"Exists", SELECTOR_EXISTS},
                     {"DoesNotExist", SELECTOR_DOES_NOT_EXIST}};
    const char *op = json_str(item, "operator"), *key = json_str(item, "key");
    size_t i = 0;
    while (i < ARRAY_LEN(operators) && !str_eq(op, operators[i].name))
        i++;
    if (i == ARRAY_LEN(operators))
        return err_set(err, ERR_INVALID,
                       "operator \"%.32s\" is none of In, NotIn, Exists, DoesNotExist",
                       str_or(op, ""));
    t->op = operators[i].op;
    t->key = arena_strdup(a, str_or(key, ""));
    const cJSON *values = json_get(item, "values"), *v;
    size_t n = values && cJSON_IsArray(values) ? (size_t)cJSON_GetArraySize(values) : 0;
    t->values = arena_alloc(a, (n + 1) * sizeof(*t->values));
    if (!t->key || !t->values)
        return err_set(err, ERR_LIMIT, "the selector is too long");
    cJSON_ArrayForEach (v, values) {
        if (!cJSON_IsString(v))
            return err_set(err, ERR_INVALID, "values of key \"%.64s\" must be strings", t->key);
        char *copy = arena_strdup(a, v->valuestring);
        if (!copy)
            return err_set(err, ERR_LIMIT, "the selector is too long");
        t->values[t->count++] = copy;
    }
    return check_term(t, err);
}

int selector_decode(struct arena *a, const cJSON *object, struct selector *ret, struct err *err)
{
    const cJSON *labels = json_get(object, "matchLabels"), *item;
    const cJSON *expressions = json_get(object, "matchExpressions");
    size_t n = (size_t)cJSON_GetArraySize(labels) + (size_t)cJSON_GetArraySize(expressions);
    size_t count = 0;
    struct selector_term *terms = arena_alloc(a, (n + 1) * sizeof(*terms));
    if (!terms)
        return err_set(err, ERR_LIMIT, "the selector is too long");
    if (object && !cJSON_IsObject(object) && !cJSON_IsNull(object))
        return err_set(err, ERR_INVALID,
                       "a selector is an object of matchLabels and "
                       "matchExpressions");
    cJSON_ArrayForEach (item, labels)
        if (decode_label(a, item, &terms[count++], err) < 0)
            return -1;
    cJSON_ArrayForEach (item, expressions) {
        if (decode_expression(a, item, &terms[count++], err) < 0)
            return -1;
    }
    *ret = (struct selector){terms, count};
    return 0;
}
