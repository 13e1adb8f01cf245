#include "webhook/options.h"

#include <stddef.h>
#include <stdio.h>

#include "apimachinery/duration.h"
#include "base/mem.h"
#include "base/str.h"
#include "http/server.h"
#include "wukong/api/scope.h"

enum flag_kind { FLAG_TEXT, FLAG_NUMBER, FLAG_DURATION, FLAG_SWITCH };

struct flag {
    const char *name;
    enum flag_kind kind;
    size_t offset;
    const char *fallback; /* NULL: none */
    const char *help;
};

#define AT(member) offsetof(struct options, member)

static const struct flag flags[] = {
    {"listen-address", FLAG_TEXT, AT(listen_address), SERVER_ANY,
     "IP address to serve on; *: all, IPv6 and IPv4"},
    {"listen-port", FLAG_NUMBER, AT(listen_port), "9443", "HTTPS port for the API server"},
    {"metrics-address", FLAG_TEXT, AT(metrics_address), NULL, "the same for the plain port"},
    {"metrics-port", FLAG_NUMBER, AT(metrics_port), "8081", "port of /healthz, /readyz, /metrics"},
    {"namespace", FLAG_TEXT, AT(ns), NULL, "namespace of this program (required)"},
    {"service", FLAG_TEXT, AT(service), "wukong-webhook", "Service that the API server calls"},
    {"cert-mode", FLAG_TEXT, AT(cert_mode), "selfSigned", "selfSigned, certManager or provided"},
    {"cert-dir", FLAG_TEXT, AT(cert_dir), NULL, "folder with tls.crt and tls.key"},
    {"ca-secret", FLAG_TEXT, AT(ca_secret), "wukong-webhook-ca", "Secret of CA and stamp key"},
    {"mutating-config", FLAG_TEXT, AT(mutating_config), NULL, "our MutatingWebhookConfiguration"},
    {"validating-config", FLAG_TEXT, AT(validating_config), NULL,
     "our ValidatingWebhookConfiguration"},
    {"stamp-configmap", FLAG_TEXT, AT(stamp_configmap), NULL,
     "ConfigMap of the stamps' public key"},
    {"tls-min", FLAG_TEXT, AT(tls_min), "1.2", "oldest TLS version served: 1.2 or 1.3"},
    {"client-ca", FLAG_TEXT, AT(client_ca), NULL, "ask callers for a certificate of this CA (PEM)"},
    {"client-names", FLAG_TEXT, AT(client_names), NULL, "names accepted, separated by commas"},
    {"kubeconfig", FLAG_TEXT, AT(kubeconfig), NULL, "instead of the Pod's ServiceAccount"},
    {"ca-life", FLAG_DURATION, AT(ca_life_ms), "8760h", "life of the self-signed CA"},
    {"leaf-life", FLAG_DURATION, AT(leaf_life_ms), "168h", "life of the serving certificate"},
    {"settle", FLAG_DURATION, AT(settle_ms), "30s",
     "how long a new CA must be live before it is used"},
    {"drain", FLAG_DURATION, AT(drain_ms), "5s", "how long to continue to serve after SIGTERM"},
    {"max-connections", FLAG_NUMBER, AT(max_connections), "256", "connections kept"},
    {"max-requests", FLAG_NUMBER, AT(max_requests), "128",
     "requests at once; more are answered 429"},
    {"watch-namespaces", FLAG_TEXT, AT(watch_namespaces), NULL,
     "namespaces to serve, separated by commas (all)"},
    {"no-cross-namespace", FLAG_SWITCH, AT(no_cross_namespace), NULL,
     "refuse clones from another namespace"},
    {"log-level", FLAG_TEXT, AT(log_level), "info", "debug, info, warn or error"},
    {"help", FLAG_SWITCH, AT(help), NULL, "this text"},
    {"version", FLAG_SWITCH, AT(version), NULL, "print the version"},
};

static int set(struct options *o, const struct flag *f, const char *value, struct err *err)
{
    char *at = (char *)o + f->offset;
    int64_t number = 0;
    switch (f->kind) {
    case FLAG_TEXT:
        *(const char **)(void *)at = value;
        return 0;
    case FLAG_SWITCH:
        *(bool *)(void *)at = true;
        return 0;
    case FLAG_NUMBER:
        if (!str_to_i64(value, &number) || number < 1 || number > 65535)
            return err_set(err, ERR_INVALID, "--%s %s: must be a number from 1 to 65535", f->name,
                           value);
        break;
    case FLAG_DURATION:
        if (!duration_parse(value, &number) || number < 0)
            return err_set(err, ERR_INVALID, "--%s %s: must be a duration such as 30s or 24h",
                           f->name, value);
        number /= 1000000; /* nanoseconds */
        break;
    }
    *(int64_t *)(void *)at = number;
    return 0;
}

static const struct flag *find_flag(const char *name, size_t n)
{
    for (size_t i = 0; i < ARRAY_LEN(flags); i++)
        if (strlen(flags[i].name) == n && memcmp(flags[i].name, name, n) == 0)
            return &flags[i];
    return NULL;
}

static int check_options(const struct options *o, struct err *err)
{
    if (o->help || o->version)
        return 0;
    if (str_empty(o->ns))
        return err_set(err, ERR_INVALID, "--namespace is required");
    struct scope scope;
    int scoped = scope_parse(o->watch_namespaces, &scope, err);
    scope_release(&scope);
    if (scoped < 0)
        return err_wrap(err, "--watch-namespaces");
    bool self_signed = str_eq(o->cert_mode, "selfSigned");
    if (!self_signed && !str_eq(o->cert_mode, "certManager") && !str_eq(o->cert_mode, "provided"))
        return err_set(err, ERR_INVALID,
                       "--cert-mode %s: must be selfSigned, certManager or provided", o->cert_mode);
    if (!self_signed && str_empty(o->cert_dir))
        return err_set(err, ERR_INVALID, "--cert-mode %s needs --cert-dir", o->cert_mode);
    if (!str_eq(o->tls_min, "1.2") && !str_eq(o->tls_min, "1.3"))
        return err_set(err, ERR_INVALID, "--tls-min %s: must be 1.2 or 1.3", o->tls_min);
    if (o->ca_life_ms < 3000 || o->leaf_life_ms < 3000)
        return err_set(err, ERR_INVALID, "--ca-life and --leaf-life must be at least 3s");
    if (o->leaf_life_ms > o->ca_life_ms)
        return err_set(err, ERR_INVALID, "--leaf-life must not exceed --ca-life");
    return 0;
}

int options_read(int argc, char *const *argv, struct options *ret, struct err *err)
{
    struct options o = {0};
    for (size_t i = 0; i < ARRAY_LEN(flags); i++)
        if (flags[i].fallback && set(&o, &flags[i], flags[i].fallback, err) < 0)
            return -1;
    for (int i = 1; i < argc; i++) {
        const char *name = argv[i], *value = strchr(name, '=');
        if (!str_starts(name, "--"))
            return err_set(err, ERR_INVALID, "%s: not understood, see --help", name);
        name += 2;
        const struct flag *f = find_flag(name, value ? (size_t)(value - name) : strlen(name));
        if (!f)
            return err_set(err, ERR_INVALID, "--%s: no such flag, see --help", name);
        if (value)
            value++;
        else if (f->kind != FLAG_SWITCH && ++i < argc)
            value = argv[i];
        if (!value && f->kind != FLAG_SWITCH)
            return err_set(err, ERR_INVALID, "--%s needs a value", f->name);
        if (set(&o, f, value, err) < 0)
            return -1;
    }
    if (!o.metrics_address)
        o.metrics_address = o.listen_address;
    if (check_options(&o, err) < 0)
        return -1;
    *ret = o;
    return 0;
}

void options_help(void)
{
    puts("wukong-webhook: admission for Wukong objects (vm.novasphere.dev/v1alpha1)\n");
    for (size_t i = 0; i < ARRAY_LEN(flags); i++)
        printf("  --%-20s %s%s%s%s\n", flags[i].name, flags[i].help, flags[i].fallback ? " (" : "",
               flags[i].fallback ? flags[i].fallback : "", flags[i].fallback ? ")" : "");
}
