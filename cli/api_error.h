/*
 * What the API server refused, in the words in which kubectl shows it (k8s.io/kubectl
 * pkg/cmd/util/helpers.go checkErr): field errors one a line, everything else with its reason.
 * Pure.
 */
#ifndef CLI_API_ERROR_H
#define CLI_API_ERROR_H

#include "base/buf.h"
#include "kube/status.h"

/* body: of the refusal as it came, since a kube_status keeps only so many causes; NULL: none. Lines
   end with a line end. */
void api_error_text(const struct kube_status *status, const char *body, struct buf *out);

#endif
