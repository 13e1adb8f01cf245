/*
 * A certificate that others make, in two files that they replace when they like (cert-manager, or
 * an admin, through a Secret volume). They are told apart by their content, because a Secret volume
 * swaps a symbolic link and times say nothing. The last good pair is kept for as long as what is
 * there now is not readable or does not belong together: the kubelet writes both files at once, a
 * human does not.
 */
#ifndef CERTS_FILES_H
#define CERTS_FILES_H

#include <stdbool.h>

#include "certs/authority.h"

#define CERT_FILE "tls.crt"
#define KEY_FILE "tls.key"

struct cert_files {
    const char *folder;  /* borrowed */
    struct keypair good; /* what is in force */
};
void cert_files_release(struct cert_files *f);
/* Looks again. 0: nothing new, or *ret_changed and `good` is a new pair. -1: what is there cannot
   be used, and `good` is as it was. */
WUKONG_CHECK int cert_files_read(struct cert_files *f, bool *ret_changed, struct err *err);

#endif
