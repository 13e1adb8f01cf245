/*
 * Answers questions, one a line, for the differential test (main.go): the same question goes to the
 * Go library that Kubernetes uses. Arguments are hexadecimal, separated by spaces; "-" is the empty
 * string. Lines: q A B (quantities), d A (duration), n A (names), s SELECTOR LABELS, c SCHEDULE
 * ZONE SECONDS (five next times), y TEXT (YAML).
 */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "apimachinery/dns_names.h"
#include "apimachinery/duration.h"
#include "apimachinery/quantity.h"
#include "base/mem.h"
#include "base/str.h"
#include "calendar/cron.h"
#include "json/json.h"
#include "wukong/api/selector.h"
#include "yaml/yaml.h"

#define ARGUMENTS 3
#define LINE_BYTES (1u << 20)

static int nibble(char c)
{
    return c <= '9' ? c - '0' : c - 'a' + 10;
}

/* In place; "-" becomes "". */
static char *unhex(char *s)
{
    size_t n = 0;
    if (strcmp(s, "-") == 0)
        s[0] = '\0';
    for (; s[2 * n]; n++)
        s[n] = (char)(nibble(s[2 * n]) << 4 | nibble(s[2 * n + 1]));
    s[n] = '\0';
    return s;
}

static void answer_quantity(const char *a, const char *b)
{
    struct quantity x, y;
    bool good_a = quantity_parse(a, &x) == QUANTITY_OK,
         good_b = quantity_parse(b, &y) == QUANTITY_OK;
    if (good_a && good_b) {
        int c = quantity_compare(&x, &y);
        printf("ok ok %d %" PRId64 "\n", (c > 0) - (c < 0), quantity_value(&x));
    } else {
        printf("%s %s\n", good_a ? "ok" : "bad", good_b ? "ok" : "bad");
    }
}

static void answer_duration(const char *s)
{
    int64_t ns;
    if (duration_parse(s, &ns))
        printf("%" PRId64 "\n", ns);
    else
        puts("bad");
}

static void answer_names(const char *s)
{
    printf("%d%d%d%d\n", name_is_dns_label(s), name_is_dns_subdomain(s), name_is_qualified(s),
           name_is_label_value(s));
}

/* labels: "k=v\nk=v" */
static void answer_selector(const char *text, char *labels)
{
    CLEANUP_ARENA struct arena a;
    struct selector s;
    struct err err;
    struct wukong_pair items[16];
    struct wukong_pairs pairs = {items, 0};
    arena_init(&a, 16u << 20);
    for (char *line = labels; line && *line && pairs.count < ARRAY_LEN(items);) {
        char *end = strchr(line, '\n'), *equals = strchr(line, '=');
        if (end)
            *end++ = '\0';
        *equals = '\0';
        items[pairs.count++] = (struct wukong_pair){line, equals + 1};
        line = end;
    }
    if (selector_parse(&a, text, &s, &err) < 0)
        puts("bad");
    else
        printf("%d\n", selector_matches(&s, &pairs));
}

static void answer_cron(const char *text, const char *zone_name, const char *seconds)
{
    struct cron c;
    struct err err;
    CLEANUP_ZONE struct zone *zone = NULL;
    int64_t at = strtoll(seconds, NULL, 10);
    if (zone_load(zone_name, &zone, &err) < 0) {
        puts("badzone");
        return;
    }
    if (cron_parse(text, &c, &err) < 0) {
        puts("bad");
        return;
    }
    for (int i = 0; i < 5; i++) {
        if (!cron_next(&c, zone, at, &at)) {
            printf("none");
            break;
        }
        printf("%" PRId64 " ", at);
    }
    putchar('\n');
}

static void answer_yaml(const char *text)
{
    CLEANUP_YAML struct yaml_stream s = {0};
    struct err err;
    if (yaml_parse(text, strlen(text), &s, NULL, &err) < 0) {
        puts("bad");
        return;
    }
    if (!s.count) {
        puts("null");
        return;
    }
    CLEANUP_FREE char *printed = json_print(s.documents[0].tree);
    puts(printed);
}

int main(void)
{
    char *line = malloc(LINE_BYTES);
    while (line && fgets(line, LINE_BYTES, stdin)) {
        char *arg[ARGUMENTS], *rest = line + 1;
        line[strcspn(line, "\n")] = '\0';
        for (int i = 0; i < ARGUMENTS; i++) {
            rest += strspn(rest, " ");
            arg[i] = rest;
            rest += strcspn(rest, " ");
            if (*rest)
                *rest++ = '\0';
            unhex(arg[i]);
        }
        switch (line[0]) {
        case 'q':
            answer_quantity(arg[0], arg[1]);
            break;
        case 'd':
            answer_duration(arg[0]);
            break;
        case 'n':
            answer_names(arg[0]);
            break;
        case 's':
            answer_selector(arg[0], arg[1]);
            break;
        case 'c':
            answer_cron(arg[0], arg[1], arg[2]);
            break;
        case 'y':
            answer_yaml(arg[0]);
            break;
        default:
            puts("?");
        }
    }
    free(line);
    return 0;
}
