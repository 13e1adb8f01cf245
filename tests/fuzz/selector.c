/*
 * Any text as a selector, and as a name of each kind: no crash, and the verdicts agree with one
 * another.
 */
#include <assert.h>
#include <stdint.h>
#include <string.h>

#include "apimachinery/dns_names.h"
#include "base/mem.h"
#include "wukong/api/child_names.h"
#include "wukong/api/selector.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    CLEANUP_FREE char *text = xstrndup((const char *)data, size);
    CLEANUP_ARENA struct arena a;
    struct selector s;
    struct err err;
    char name[NAME_BUF];
    struct wukong_pair items[] = {{"a", "1"}, {"b", ""}, {"in", "notin"}};
    struct wukong_pairs labels = {items, ARRAY_LEN(items)};
    arena_init(&a, MIB);
    if (selector_parse(&a, text, &s, &err) == 0) {
        (void)selector_matches(&s, &labels);
        (void)selector_matches(&s, NULL);
        for (size_t i = 0; i < s.count; i++)
            assert(name_is_qualified(s.terms[i].key));
    }
    assert(!name_is_dns_label(text) || name_is_dns_subdomain(text));
    assert(!name_is_dns_label(text) || name_is_label_value(text));
    name_shorten(text, name);
    assert(name_is_dns_label(name));
    if (name_is_dns_subdomain(text)) {
        name_snapshot(text, text, "12345678-9abc", 3, "disk", name);
        assert(name_is_label_value(name));
        name_vm(text, 5, 4, name);
        assert(name_is_dns_subdomain(name));
        name_hostname(text, name);
        assert(strlen(name) <= 63);
    }
    return 0;
}
