/*
 * What cloud-init would do with the data of a source when it runs in the clone. A clone has a new
 * instance id, so everything that cloud-init does once per instance it does again, on disks that
 * hold data. Pure: bytes in, findings out; any bytes are taken. Only plain data are looked at: a
 * Secret is never read, what is fetched or compressed is not known.
 *
 * Sources: cloud-init's documentation of user-data formats and of network-config v1 and v2, its
 * cloudinit/config/cc_{disk_setup,set_passwords,users_groups}.py, and OpenStack's network_data.json
 * (which KubeVirt puts on a config drive).
 */
#ifndef SOURCE_CLOUD_INIT_H
#define SOURCE_CLOUD_INIT_H

#include <stdbool.h>
#include <stddef.h>

#include <cjson/cJSON.h>

#include "base/buf.h"

enum cloud_reading {
    CLOUD_NOTHING,   /* no data */
    CLOUD_READ,      /* parsed; what is said is so */
    CLOUD_GUESSED,   /* a script, several parts, or no YAML: judged by its words */
    CLOUD_UNREADABLE /* compressed, fetched from elsewhere, or longer than LIMIT_CLOUD_INIT_BYTES */
};

#define CLOUD_NAME_MAX 48 /* of a device, host or address; longer ones are cut */
#define CLOUD_FORMATS_MAX 8

struct cloud_format {
    char device[CLOUD_NAME_MAX];
    bool overwrites; /* whatever is there */
    bool table;      /* the partition table, not a file system */
};

struct cloud_user_data {
    enum cloud_reading reading;
    bool passwords; /* of users, by whatever module */
    bool commands, files, packages, keys;
    bool calls_mkfs;               /* in commands or a script */
    char hostname[CLOUD_NAME_MAX]; /* "": none */
    struct cloud_format formats[CLOUD_FORMATS_MAX];
    size_t format_count;
};

struct cloud_network {
    enum cloud_reading reading;
    size_t addresses;             /* fixed ones */
    char address[CLOUD_NAME_MAX]; /* the first of them; "" when it was guessed */
    bool macs;                    /* interfaces are matched by their MAC address */
};

/* Of a volume; NULL: it is no cloud-init drive. */
const cJSON *cloud_init_drive(const cJSON *volume);
/* What stands in the drive, plain or as base64, as KubeVirt takes both; false when there is
   neither. What cannot be decoded leaves out failed. */
bool cloud_init_data(const cJSON *drive, const char *plain, const char *encoded, struct buf *out);

void cloud_init_user_data(const char *text, size_t len, struct cloud_user_data *ret);
void cloud_init_network(const char *text, size_t len, struct cloud_network *ret);

#endif
