/*
 * What snapshotMethod Auto takes: one VolumeGroupSnapshot for the disks of a driver, or a
 * VolumeSnapshot for each. A group is one object to the sidecars, however many disks it has, so the
 * guest stands still for less; it is taken only where nothing tells that single snapshots would
 * do better. Pure.
 */
#ifndef SOURCE_GROUP_CHOICE_H
#define SOURCE_GROUP_CHOICE_H

#include "wukong/source/disks.h"

/*
 * Fills grouped, snapshot_class, cut and method_why of each disk that is to be snapshotted. The
 * disks come with the VolumeSnapshotClass that was chosen for them; one that has none is left as it
 * is. Nothing is done for another method.
 */
void group_choice_make(struct arena *a, const struct wukong_source *s,
                       const struct wukong_effective *e, const struct class_facts *c,
                       struct disks *disks);
/* The Wukong names a VolumeGroupSnapshotClass, and no disk is cut by it. */
bool group_choice_unused(const struct wukong_source *s, const struct wukong_effective *e,
                         const struct disks *disks);

#endif
