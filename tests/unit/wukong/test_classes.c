/*
 * Proves the choice of VolumeSnapshotClass in its order, and that each refusal names the
 * driver, the candidates and a way out.
 */
#include "support.h"
#include "wukong/source/class.h"

static const struct snapshot_class_facts one[] = {
    {"only", "d.csi", false, false, {0}, false, NULL}};
static const struct snapshot_class_facts two[] = {
    {"a", "d.csi", false, false, {0}, false, NULL},
    {"b", "d.csi", true, true, {0}, false, NULL},
    {"x", "other.csi", true, false, {0}, false, NULL}};
static const struct snapshot_class_facts no_default[] = {
    {"a", "d.csi", false, false, {0}, false, NULL}, {"b", "d.csi", false, false, {0}, false, NULL}};
static const struct snapshot_class_facts two_defaults[] = {
    {"a", "d.csi", true, false, {0}, false, NULL}, {"b", "d.csi", true, false, {0}, false, NULL}};
static const struct storage_profile_facts profile[] = {{"sc", "a", false}};
static const struct storage_profile_facts profile_of_other[] = {{"sc", "x", false}};
static const struct storage_profile_facts profile_gone[] = {{"sc", "gone", false},
                                                            {"sc2", "a", false}};
static const char *const drivers[] = {"d.csi"};

struct row {
    const char *name;
    const struct snapshot_class_facts *classes;
    size_t class_count;
    const struct storage_profile_facts *profiles;
    size_t profile_count;
    const char *wanted, *driver;
    enum class_verdict verdict;
    enum class_origin origin;
    const char *chosen; /* the class, or words of the refusal separated by | */
};

#define CLASSES(a) a, ARRAY_LEN(a)
#define NO_PROFILES NULL, 0

static const struct row rows[] = {
    {"wanted", CLASSES(two), CLASSES(profile), "b", "d.csi", CLASS_CHOSEN, CLASS_OF_WUKONG, "b"},
    {"profile before default", CLASSES(two), CLASSES(profile), NULL, "d.csi", CLASS_CHOSEN,
     CLASS_OF_PROFILE, "a"},
    {"profile of another driver is passed over", CLASSES(two), CLASSES(profile_of_other), NULL,
     "d.csi", CLASS_CHOSEN, CLASS_OF_DEFAULT, "b"},
    {"profile of a class that is gone is passed over", CLASSES(two), CLASSES(profile_gone), NULL,
     "d.csi", CLASS_CHOSEN, CLASS_OF_DEFAULT, "b"},
    {"default before only", CLASSES(two), NO_PROFILES, NULL, "d.csi", CLASS_CHOSEN,
     CLASS_OF_DEFAULT, "b"},
    {"only", CLASSES(one), NO_PROFILES, NULL, "d.csi", CLASS_CHOSEN, CLASS_OF_ONLY, "only"},
    {"empty name is none", CLASSES(one), NO_PROFILES, "", "d.csi", CLASS_CHOSEN, CLASS_OF_ONLY,
     "only"},
    {"none", CLASSES(one), NO_PROFILES, NULL, "e.csi", CLASS_NONE, 0,
     "e.csi|no VolumeSnapshotClass"},
    {"several, no default", CLASSES(no_default), NO_PROFILES, NULL, "d.csi", CLASS_AMBIGUOUS, 0,
     "d.csi|a, b|no default|volumeSnapshotClassName"},
    {"several defaults", CLASSES(two_defaults), NO_PROFILES, NULL, "d.csi", CLASS_AMBIGUOUS, 0,
     "d.csi|a, b|2 default|volumeSnapshotClassName"},
    {"wanted, of another driver", CLASSES(two), NO_PROFILES, "x", "d.csi", CLASS_WRONG_DRIVER, 0,
     "\"x\"|other.csi|d.csi|a, b"},
    {"wanted, of another driver, no other", CLASSES(one), NO_PROFILES, "only", "e.csi",
     CLASS_WRONG_DRIVER, 0, "\"only\"|d.csi|e.csi"},
    {"wanted, gone", CLASSES(two), NO_PROFILES, "nope", "d.csi", CLASS_MISSING, 0,
     "\"nope\"|d.csi|a, b"},
    {"wanted, gone, none there", NULL, 0, NO_PROFILES, "nope", "d.csi", CLASS_MISSING, 0,
     "\"nope\"|d.csi"},
    {"no driver", CLASSES(one), NO_PROFILES, NULL, NULL, CLASS_NO_DRIVER, 0, "\"sc\""},
};

static void check(const struct row *r, const struct class_choice *c)
{
    if (c->verdict != r->verdict)
        fail_msg("%s: verdict %d: %s", r->name, (int)c->verdict, c->text);
    if (r->verdict == CLASS_CHOSEN) {
        assert_string_equal(c->chosen->name, r->chosen);
        assert_int_equal(c->origin, r->origin);
        return;
    }
    assert_null(c->chosen);
    char words[200];
    snprintf(words, sizeof(words), "%s", r->chosen);
    for (char *word = words, *end; word; word = end) {
        end = strchr(word, '|');
        if (end)
            *end++ = '\0';
        if (!strstr(c->text, word))
            fail_msg("%s: \"%s\" lacks \"%s\"", r->name, c->text, word);
    }
}

static void test_rows(void **state)
{
    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        const struct row *r = &rows[i];
        struct class_facts f = {.looked_up = true,
                                .snapshot_api = true,
                                .snapshot_classes = r->classes,
                                .snapshot_class_count = r->class_count,
                                .profiles = r->profiles,
                                .profile_count = r->profile_count};
        struct class_choice c;
        class_choose(&f, r->wanted, "sc", r->driver, &c);
        check(r, &c);
    }
}

static void test_cluster_lacks(void **state)
{
    (void)state;
    struct class_facts f = {.looked_up = true,
                            .snapshot_classes = one,
                            .snapshot_class_count = 1,
                            .drivers = drivers,
                            .driver_count = 1};
    struct class_choice c;
    class_choose(&f, NULL, "sc", "d.csi", &c);
    assert_int_equal(c.verdict, CLASS_NO_API);
    assert_non_null(strstr(c.text, "snapshot.storage.k8s.io"));
    f.snapshot_api = true;
    f.drivers_known = true;
    class_choose(&f, NULL, "sc", "rancher.io/local-path", &c);
    assert_int_equal(c.verdict, CLASS_NOT_CSI);
    assert_non_null(strstr(c.text, "rancher.io/local-path"));
    class_choose(&f, NULL, "sc", "d.csi", &c);
    assert_int_equal(c.verdict, CLASS_CHOSEN);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_rows),
        cmocka_unit_test(test_cluster_lacks),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
