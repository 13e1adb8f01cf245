#include "wukong/api/reset_data.h"

#include <string.h>
#include <strings.h>

#include "base/str.h"
#include "json/writer.h"

/* A part replaces what an earlier one says, but for lists, which one that says so appends to. */
static const char ssh_part[] = "#cloud-config\nssh_deletekeys: true\n";
static const char machine_id_part[] =
    "#cloud-config\n"
    "merge_how: [{name: list, settings: [append]}, {name: dict, settings: [no_replace, "
    "recurse_list]}]\n"
    "bootcmd: [[cloud-init-per, instance, wukong-machine-id, sh, -c, 'rm -f /etc/machine-id "
    "/var/lib/dbus/machine-id; systemd-machine-id-setup']]\n";

bool reset_is_wanted(const struct wukong_guest *g)
{
    return g->reset_machine_id == TRI_TRUE || g->reset_ssh_host_keys == TRI_TRUE;
}

static bool starts(const char *text, const char *prefix)
{
    return strncasecmp(text, prefix, strlen(prefix)) == 0;
}

/* What cloud-init knows by its first line, as a part of an archive. */
static bool can_be_part(const char *text)
{
    return starts(text, "#cloud-config\n") || starts(text, "#cloud-config\r") ||
           starts(text, "#cloud-config ") || str_eq(text, "#cloud-config") || starts(text, "#!");
}

static void add_part(struct json_writer *w, const char *content)
{
    json_object(w, NULL);
    json_string(w, "content", content);
    json_end(w);
}

const char *reset_user_data(const char *given, const struct wukong_guest *g, struct buf *out)
{
    bool has = !str_empty(given);
    if (has && !can_be_part(given))
        return "the user data are neither #cloud-config nor a script, so that nothing can be added "
               "to them: add what docs/user/generalise.md shows to them yourself";
    if (has && g->reset_ssh_host_keys == TRI_TRUE && strstr(given, "ssh_keys"))
        return "the user data set SSH host keys themselves (ssh_keys): remove them there, or "
               "replace the data with guest.cloudInit";
    struct json_writer w = json_writer(out);
    buf_adds(out, "#cloud-config-archive\n");
    json_array(&w, NULL);
    if (has)
        add_part(&w, given);
    if (g->reset_ssh_host_keys == TRI_TRUE)
        add_part(&w, ssh_part);
    if (g->reset_machine_id == TRI_TRUE)
        add_part(&w, machine_id_part);
    json_end(&w);
    if (!buf_ok(out) || out->len > RESET_BYTES_MAX)
        return "with what is added the user data have more than 2048 bytes, which KubeVirt does "
               "not take: put them into a Secret, with what docs/user/generalise.md shows";
    return NULL;
}
