/*
 * The names of everything that a clone makes: pure arithmetic on the Wukong's name and UID, so that
 * a retry finds what the last try made. Names from users are never adopted by name alone: children
 * carry WUKONG_UID_LABEL.
 */
#ifndef API_CHILD_NAMES_H
#define API_CHILD_NAMES_H

#include <stddef.h>
#include <stdint.h>

#include "base/limits.h"

/* --- Names of children. Each fits in NAME_MAX_BYTES and is NUL-terminated. --- */

#define NAME_BUF (LIMIT_DNS_LABEL + 1)
#define PVC_NAME_BUF (LIMIT_DNS_SUBDOMAIN + 1)

/* "<wukong>-vm", or "<wukong>-vm-<i>" when replicas > 1. Validation keeps it within 63; a longer
   one is shortened with a hash all the same, so that no caller has to care. */
void name_vm(const char *wukong, int64_t replicas, int64_t index, char out[NAME_BUF]);
/* "<wukong>-<disk>", or "<wukong>-vm-<i>-<disk>" when replicas > 1. */
void name_pvc(const char *wukong, int64_t replicas, int64_t index, const char *disk,
              char out[PVC_NAME_BUF]);
/* "snapshot-<sourceVMI>-<wukong>-<uid8>-<attempt>-<disk>": uid8 is the first 8 hex digits of the
   Wukong's UID. Over 63 bytes the middle is cut and a hash of the whole put in, so that the name is
   a label value too and two long names never meet. disk NULL: without it (VirtualMachineSnapshot).
 */
void name_snapshot(const char *source, const char *wukong, const char *uid, int64_t attempt,
                   const char *disk, char out[NAME_BUF]);
/* "wukong-<uid>-<attempt>-<disk>", of the VolumeSnapshotContent that hands a snapshot to another
   namespace: cluster-scoped, so it holds the Wukong's whole UID. */
void name_content(const char *uid, int64_t attempt, const char *disk, char out[PVC_NAME_BUF]);
/* "snapshot-<SHA-256 of both>": the VolumeSnapshot that snapshot-controller makes of one volume of
   a VolumeGroupSnapshot (external-snapshotter
   pkg/common-controller/groupsnapshot_controller_helper.go:
   getSnapshotNameForVolumeGroupSnapshotContent). */
#define MEMBER_NAME_BUF 80
void name_group_member(const char *group_uid, const char *volume_handle, char out[MEMBER_NAME_BUF]);
/* Any text to a DNS label of at most 63 bytes: the text itself when it is one, else its head, "-"
   and 10 hex digits of its SHA-256. */
void name_shorten(const char *text, char out[NAME_BUF]);
/* Guest hostname: the VM name's first label, at most 63 bytes, no '-' at its end. */
void name_hostname(const char *vm, char out[NAME_BUF]);

/* --- Identity of the new machine: a function of the Wukong's UID and the index. --- */

#define MAC_TEXT 18
#define UUID_TEXT 37
/* Locally administered unicast address of interface number nic, such as "02:…". */
void identity_mac(const char *uid, int64_t index, unsigned nic, char out[MAC_TEXT]);
/* RFC 4122 version 5 (SHA-1) in the namespace that is the Wukong's UID. */
void identity_firmware_uuid(const char *uid, int64_t index, char out[UUID_TEXT]);
void identity_firmware_serial(const char *uid, int64_t index, char out[UUID_TEXT]);

#endif
