#include "wukong/source/cloud_init.h"

#include <ctype.h>
#include <stdio.h>
#include <string.h>
#include <strings.h>

#include "base/limits.h"
#include "base/mem.h"
#include "base/str.h"
#include "json/json.h"
#include "yaml/yaml.h"

#include <openssl/evp.h>

/* --- Where they stand --- */

/* Go's decoder skips line ends, EVP_DecodeBlock does not. */
static void decode_user_data(const char *text, struct buf *out)
{
    CLEANUP_FREE char *letters = xmalloc(strlen(text) + 1);
    size_t n = 0;
    for (; *text; text++)
        if (*text != '\n' && *text != '\r')
            letters[n++] = *text;
    if (n % 4 || n / 4 * 3 > out->max) {
        out->failed = true;
        return;
    }
    CLEANUP_FREE unsigned char *bytes = xmalloc(n / 4 * 3 + 1);
    int len = n ? EVP_DecodeBlock(bytes, (const unsigned char *)letters, (int)n) : 0;
    int padding = n ? (letters[n - 1] == '=') + (letters[n - 2] == '=') : 0;
    if (len < padding)
        out->failed = true;
    else
        buf_add(out, bytes, (size_t)(len - padding));
}

bool cloud_init_data(const cJSON *drive, const char *plain, const char *encoded, struct buf *out)
{
    const char *text = json_str(drive, plain);
    if (!str_empty(text)) {
        buf_adds(out, text);
        return true;
    }
    text = json_str(drive, encoded);
    if (!str_empty(text))
        decode_user_data(text, out);
    return !str_empty(text);
}

const cJSON *cloud_init_drive(const cJSON *volume)
{
    static const char *const drives[] = {"cloudInitNoCloud", "cloudInitConfigDrive"};
    for (size_t i = 0; i < ARRAY_LEN(drives); i++)
        if (cJSON_IsObject(json_get(volume, drives[i])))
            return json_get(volume, drives[i]);
    return NULL;
}

static void copy_name(char out[CLOUD_NAME_MAX], const char *text)
{
    (void)snprintf(out, CLOUD_NAME_MAX, "%s", text);
    for (char *c = out; *c; c++)
        if (iscntrl((unsigned char)*c) || !isascii((unsigned char)*c))
            *c = '?';
}

/* Any of the words, without regard to case. text holds no NUL but at its end. */
static bool has_word(const char *text, const char *const *words, size_t n)
{
    for (size_t i = 0; i < n; i++)
        if (strcasestr(text, words[i]))
            return true;
    return false;
}
#define HAS_WORD(text, words) has_word(text, words, ARRAY_LEN(words))

static const char *const format_words[] = {
    "mkfs",     "wipefs", "mkswap",  "sgdisk",       "sfdisk",    "parted ",
    "pvcreate", "dd of=", "mke2fs ", "zpool create", "blkdiscard"};
static const char *const password_words[] = {"chpasswd", "passwd:", "password:", "passwd ",
                                             "usermod -p"};

/* The text as C text; NULL when it cannot be one. What follows a NUL is not looked at. */
static char *as_text(const char *bytes, size_t len)
{
    return xstrndup(bytes, strnlen(bytes, len));
}

static const char *after_space(const char *text)
{
    if (str_starts(text, "\xEF\xBB\xBF"))
        text += 3;
    while (isspace((unsigned char)*text))
        text++;
    return text;
}

static bool begins(const char *text, const char *prefix)
{
    return strncasecmp(text, prefix, strlen(prefix)) == 0;
}

static cJSON *parse_yaml(const char *text)
{
    CLEANUP_YAML struct yaml_stream s = {0};
    struct err err = {0};
    if (yaml_parse_small(text, strlen(text), LIMIT_CLOUD_INIT_NODES, &s, &err) < 0)
        return NULL;
    return TAKE(s.documents[0].tree);
}

/* --- User data --- */

static const char *text_of(const cJSON *o, const char *member)
{
    const cJSON *v = json_get(o, member);
    return cJSON_IsString(v) && *v->valuestring ? v->valuestring : NULL;
}

static bool has_key(const cJSON *o, const char *member)
{
    const cJSON *v = json_get(o, member);
    return v && !cJSON_IsNull(v) && !cJSON_IsFalse(v) &&
           !((cJSON_IsArray(v) || cJSON_IsObject(v)) && !v->child);
}

static bool user_has_password(const cJSON *user)
{
    return has_key(user, "passwd") || has_key(user, "hashed_passwd") ||
           has_key(user, "plain_text_passwd");
}

static bool sets_passwords(const cJSON *config)
{
    const cJSON *user;
    if (has_key(config, "password") || user_has_password(json_get(config, "user")))
        return true;
    const cJSON *changes = json_get(config, "chpasswd");
    if (has_key(changes, "list") || has_key(changes, "users"))
        return true;
    cJSON_ArrayForEach (user, json_get(config, "users")) {
        if (user_has_password(user))
            return true;
    }
    return false;
}

/* device_aliases: {data: /dev/vdc} */
static const char *device_name(const cJSON *config, const char *name)
{
    return str_or(json_str(json_get(config, "device_aliases"), name), name);
}

static void add_format(struct cloud_user_data *u, const char *device, bool overwrites, bool table)
{
    if (u->format_count == CLOUD_FORMATS_MAX)
        return;
    struct cloud_format *f = &u->formats[u->format_count++];
    copy_name(f->device, device);
    f->overwrites = overwrites;
    f->table = table;
}

/* disk_setup leaves a disk with partitions alone unless it may overwrite it; fs_setup leaves alone
   only what has that file system and label. */
static void read_formats(const cJSON *config, struct cloud_user_data *u)
{
    const cJSON *setup;
    cJSON_ArrayForEach (setup, json_get(config, "disk_setup")) {
        if (setup->string && json_bool(setup, "overwrite", false))
            add_format(u, device_name(config, setup->string), true, true);
    }
    cJSON_ArrayForEach (setup, json_get(config, "fs_setup")) {
        const char *device = text_of(setup, "device");
        if (device)
            add_format(u, device_name(config, device), json_bool(setup, "overwrite", false), false);
    }
}

static void read_commands(const cJSON *config, struct cloud_user_data *u)
{
    static const char *const members[] = {"runcmd", "bootcmd", "write_files"};
    for (size_t i = 0; i < ARRAY_LEN(members); i++) {
        CLEANUP_FREE char *text = json_text(json_get(config, members[i]));
        u->calls_mkfs |= text && HAS_WORD(text, format_words);
    }
}

static void read_config(const cJSON *config, struct cloud_user_data *u)
{
    const char *hostname = text_of(config, "fqdn");
    u->passwords |= sets_passwords(config);
    u->commands |= has_key(config, "runcmd") || has_key(config, "bootcmd");
    u->files |= has_key(config, "write_files");
    u->packages |= has_key(config, "packages") || has_key(config, "package_upgrade") ||
                   has_key(config, "snap");
    u->keys |= has_key(config, "ssh_authorized_keys") || has_key(config, "ssh_import_id") ||
               has_key(config, "ssh_keys");
    if (!*u->hostname && str_or(hostname, text_of(config, "hostname")))
        copy_name(u->hostname, str_or(hostname, text_of(config, "hostname")));
    read_formats(config, u);
    read_commands(config, u);
}

static void guess(const char *text, struct cloud_user_data *u)
{
    static const char *const setup_words[] = {"fs_setup", "disk_setup"};
    u->reading = CLOUD_GUESSED;
    u->passwords |= HAS_WORD(text, password_words);
    u->calls_mkfs |= HAS_WORD(text, format_words) || HAS_WORD(text, setup_words);
}

static void read_part(const char *text, int depth, struct cloud_user_data *u);

/* #cloud-config-archive: a list of texts, or of {type, content}. */
static void read_archive(const cJSON *list, int depth, struct cloud_user_data *u)
{
    const cJSON *part;
    cJSON_ArrayForEach (part, list) {
        const char *text = cJSON_IsString(part) ? part->valuestring : text_of(part, "content");
        if (text)
            read_part(text, depth + 1, u);
    }
}

static bool only_comments(const char *text)
{
    for (text = after_space(text); *text == '#'; text = after_space(text))
        text += strcspn(text, "\n");
    return !*text;
}

static bool is_script(const char *text)
{
    return begins(text, "#!") || begins(text, "#cloud-boothook");
}

static void read_part(const char *given, int depth, struct cloud_user_data *u)
{
    const char *text = after_space(given);
    if (!*text || depth > 1)
        return;
    if (begins(text, "\x1f\x8b") || begins(text, "#include")) {
        u->reading = CLOUD_UNREADABLE;
        return;
    }
    if (is_script(text) || begins(text, "content-type:") || begins(text, "mime-version:")) {
        u->commands |= is_script(text);
        guess(text, u);
        return;
    }
    CLEANUP_JSON cJSON *config = parse_yaml(text);
    if (cJSON_IsObject(config)) {
        u->reading = u->reading == CLOUD_NOTHING ? CLOUD_READ : u->reading;
        read_config(config, u);
    } else if (cJSON_IsArray(config) && begins(text, "#cloud-config-archive")) {
        read_archive(config, depth, u);
    } else if (!only_comments(text)) {
        guess(text, u);
    }
}

void cloud_init_user_data(const char *bytes, size_t len, struct cloud_user_data *ret)
{
    *ret = (struct cloud_user_data){0};
    if (len > LIMIT_CLOUD_INIT_BYTES) {
        ret->reading = CLOUD_UNREADABLE;
        return;
    }
    CLEANUP_FREE char *text = as_text(bytes, len);
    read_part(text, 0, ret);
}

/* --- Network data --- */

static void add_address(struct cloud_network *n, const char *text)
{
    if (!n->addresses++)
        copy_name(n->address, text);
}

/* Version 2 writes "10.0.0.2/24" or {"10.0.0.2/24": {…}}. */
static void read_device(const cJSON *device, struct cloud_network *n)
{
    const cJSON *address;
    cJSON_ArrayForEach (address, json_get(device, "addresses")) {
        const char *text = cJSON_IsString(address)                     ? address->valuestring
                           : cJSON_IsObject(address) && address->child ? address->child->string
                                                                       : NULL;
        if (text)
            add_address(n, text);
    }
}

/* ethernets, bonds, bridges, vlans and whatever may come. */
static void read_version_2(const cJSON *config, struct cloud_network *n)
{
    const cJSON *kind, *device;
    cJSON_ArrayForEach (kind, config) {
        if (!cJSON_IsObject(kind))
            continue;
        cJSON_ArrayForEach (device, kind)
            read_device(device, n);
    }
}

static void read_version_1(const cJSON *config, struct cloud_network *n)
{
    const cJSON *device, *subnet;
    cJSON_ArrayForEach (device, json_get(config, "config")) {
        cJSON_ArrayForEach (subnet, json_get(device, "subnets")) {
            if (text_of(subnet, "address"))
                add_address(n, text_of(subnet, "address"));
        }
    }
}

static void read_openstack(const cJSON *config, struct cloud_network *n)
{
    const cJSON *item;
    cJSON_ArrayForEach (item, json_get(config, "networks")) {
        if (text_of(item, "ip_address"))
            add_address(n, text_of(item, "ip_address"));
    }
}

static const char *const mac_words[] = {"macaddress", "mac_address", "hwaddress"};

static void guess_network(const char *text, struct cloud_network *n)
{
    static const char *const address_words[] = {
        "inet static", "inet6 static", "addresses:", "ip_address", "type: static", "address="};
    n->reading = CLOUD_GUESSED;
    n->addresses = HAS_WORD(text, address_words);
}

void cloud_init_network(const char *bytes, size_t len, struct cloud_network *ret)
{
    *ret = (struct cloud_network){0};
    if (len > LIMIT_CLOUD_INIT_BYTES) {
        ret->reading = CLOUD_UNREADABLE;
        return;
    }
    CLEANUP_FREE char *copy = as_text(bytes, len);
    const char *text = after_space(copy);
    if (!*text)
        return;
    if (begins(text, "\x1f\x8b")) {
        ret->reading = CLOUD_UNREADABLE;
        return;
    }
    ret->macs = HAS_WORD(text, mac_words);
    CLEANUP_JSON cJSON *tree = parse_yaml(text);
    const cJSON *config =
        cJSON_IsObject(json_get(tree, "network")) ? json_get(tree, "network") : tree;
    if (!cJSON_IsObject(config)) {
        guess_network(text, ret);
        return;
    }
    ret->reading = CLOUD_READ;
    read_version_1(config, ret);
    read_version_2(config, ret);
    read_openstack(config, ret);
}
