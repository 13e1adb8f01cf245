#include "certs/files.h"

#include "base/buf.h"
#include "base/mem.h"
#include "base/str.h"

void cert_files_release(struct cert_files *f)
{
    keypair_release(&f->good);
}

static int read_file(const char *folder, const char *name, char **ret, struct err *err)
{
    CLEANUP_FREE char *path = xasprintf("%s/%s", folder, name);
    CLEANUP_BUF struct buf text = BUF_INIT(LIMIT_PEM_BYTES);
    if (buf_read_file(&text, path, err) < 0)
        return err_wrap(err, "%s", path);
    *ret = buf_take(&text);
    return 0;
}

int cert_files_read(struct cert_files *f, bool *ret_changed, struct err *err)
{
    CLEANUP_KEYPAIR struct keypair found = {0};
    *ret_changed = false;
    if (read_file(f->folder, CERT_FILE, &found.cert, err) < 0 ||
        read_file(f->folder, KEY_FILE, &found.key, err) < 0)
        return -1;
    if (str_eq(found.cert, f->good.cert) && str_eq(found.key, f->good.key))
        return 0;
    if (authority_check_pair(&found, err) < 0)
        return err_wrap(err, "%s", f->folder);
    keypair_release(&f->good);
    f->good = found;
    found = (struct keypair){0};
    *ret_changed = true;
    return 0;
}
