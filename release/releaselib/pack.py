"""Archives whose bytes depend on nothing but what goes in: entries sorted, one time, owner root, no names
of users, gzip without a time."""

import gzip
import hashlib
import io
import json
import os
import tarfile
from pathlib import Path


def sha256(data):
    return hashlib.sha256(data).hexdigest()


def tar(entries, epoch, modes=None):
    """The tar of `entries`: {path in the archive: bytes, a Path of a file, or ("link", target)}. Folders above
    them come by themselves; `modes` are of paths, and else 0755 of what can be run and 0644."""
    out = io.BytesIO()
    folders = {str(up) for name in entries for up in Path(name).parents if str(up) != "."}
    with tarfile.open(fileobj=out, mode="w", format=tarfile.GNU_FORMAT) as archive:
        for name in sorted(folders | entries.keys()):
            info = tarfile.TarInfo(name)
            info.mtime = epoch
            content = entries.get(name)
            if content is None:
                info.type, info.mode = tarfile.DIRTYPE, 0o755
                data = None
            elif isinstance(content, tuple):
                info.type, info.linkname, info.mode = tarfile.SYMTYPE, content[1], 0o777
                data = None
            else:
                data = content if isinstance(content, bytes) else content.read_bytes()
                runs = isinstance(content, Path) and os.access(content, os.X_OK)
                info.size, info.mode = len(data), 0o755 if runs else 0o644
            info.mode = (modes or {}).get(name, info.mode)
            archive.addfile(info, io.BytesIO(data) if data is not None else None)
    return out.getvalue()


def gz(data):
    return gzip.compress(data, compresslevel=6, mtime=0)


def tree(folder, prefix=""):
    """{path: Path or link} of all files below a folder, for tar()."""
    found = {}
    for path in sorted(Path(folder).rglob("*")):
        name = f"{prefix}{path.relative_to(folder).as_posix()}"
        if path.is_symlink():
            found[name] = ("link", os.readlink(path))
        elif path.is_file():
            found[name] = path
    return found


def ar(members, epoch):
    """An ar archive, which a .deb is: deb(5)."""
    out = b"!<arch>\n"
    for name, data in members:
        out += f"{name:<16}{epoch:<12}{0:<6}{0:<6}{'100644':<8}{len(data):<10}`\n".encode() + data
        out += b"\n" * (len(data) % 2)
    return out


def as_json(value):
    return (json.dumps(value, indent=1, sort_keys=True) + "\n").encode()


class Oci:
    """An OCI image layout in one tar: https://github.com/opencontainers/image-spec, image-layout.md."""

    def __init__(self, epoch, created):
        self.epoch, self.created = epoch, created
        self.blobs, self.manifests = {}, {}

    def _blob(self, data, media):
        digest = sha256(data)
        self.blobs[f"blobs/sha256/{digest}"] = data
        return {"mediaType": media, "digest": f"sha256:{digest}", "size": len(data)}

    def add(self, name, architecture, layer, config, labels):
        """`layer`: an uncompressed tar. Images of the same name become one index of architectures."""
        image = {"created": self.created, "architecture": architecture, "os": "linux",
                 "config": {**config, "Labels": labels},
                 "rootfs": {"type": "layers", "diff_ids": [f"sha256:{sha256(layer)}"]},
                 "history": [{"created": self.created, "created_by": "release/make"}]}
        body = {"schemaVersion": 2, "mediaType": "application/vnd.oci.image.manifest.v1+json",
                "config": self._blob(as_json(image), "application/vnd.oci.image.config.v1+json"),
                "layers": [self._blob(gz(layer), "application/vnd.oci.image.layer.v1.tar+gzip")],
                "annotations": labels}
        entry = self._blob(as_json(body), "application/vnd.oci.image.manifest.v1+json")
        self.manifests[name] = {**entry, "platform": {"architecture": architecture, "os": "linux"}}
        return entry["digest"]

    def bytes(self):
        # containerd imports an image under the first name, others take the reference name.
        listed = [{**entry, "annotations": {"io.containerd.image.name": name,
                                            "org.opencontainers.image.ref.name": name.rpartition(":")[2]}}
                  for name, entry in sorted(self.manifests.items())]
        index = {"schemaVersion": 2, "mediaType": "application/vnd.oci.image.index.v1+json", "manifests": listed}
        return tar({**self.blobs, "index.json": as_json(index),
                    "oci-layout": as_json({"imageLayoutVersion": "1.0.0"})}, self.epoch)
