/*
 * Keys of labels and annotations, and whose they are: the user's, a tool's, KubeVirt's or ours.
 */
#ifndef API_MARKS_H
#define API_MARKS_H

#include <stdbool.h>

/* Somebody else decides on it: Kubernetes, KubeVirt, this operator, or a tool that prunes what
   bears its mark. No clone gets it from its Wukong. */
bool mark_is_reserved(const char *key);

/* Of the template's annotations a clone has these: the user's marks (vm.kubevirt.io/…), and what
   decides on which addresses the guest finds its devices. */
bool annotation_is_inherited(const char *key);
/* The user is told that a clone lacks it: neither inherited nor a tool's or KubeVirt's own notes.
 */
bool annotation_is_missed(const char *key);

#define ANNOTATION_HOOKS "hooks.kubevirt.io/hookSidecars"

#endif
