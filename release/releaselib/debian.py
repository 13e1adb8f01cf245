"""What Debian knows of the libraries that a program is linked with: which they are, whose they are, under
which licence. Works for programs of a foreign architecture too: nothing is run."""

import functools
import re
import subprocess
from pathlib import Path

TRIPLETS = {"amd64": "x86_64-linux-gnu", "arm64": "aarch64-linux-gnu"}
# Licences that the copyright files name by this path instead of quoting them.
COMMON = re.compile(rb"/usr/share/common-licenses/([\w.+-]*[\w+])")


class Missing(Exception):
    """Something is not installed; the message says what."""


def run(*command, **more):
    return subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True, **more).stdout


def _dynamic(path):
    """(needed libraries, loader or None) of an ELF file."""
    text = run("readelf", "-dl", str(path))
    loader = re.search(r"interpreter: (\S+)\]", text)
    return re.findall(r"\(NEEDED\).*\[(.+)\]", text), loader and loader.group(1)


@functools.cache
def closure(programs, arch):
    """{path in the image: Path here} of all libraries that the programs need, and of the loader."""
    triplet = TRIPLETS[arch]
    folders = [Path(f"{top}/{triplet}") for top in ("/lib", "/usr/lib")] + [Path(f"/usr/{triplet}/lib")]
    found, todo, seen = {}, list(programs), set()
    while todo:
        needed, loader = _dynamic(todo.pop())
        if loader:
            found[loader.lstrip("/")] = _first([Path(loader), *(f / Path(loader).name for f in folders)], loader)
        for name in sorted(set(needed) - seen):
            seen.add(name)
            if name.startswith("ld-linux"):
                continue
            path = _first([folder / name for folder in folders], name)
            found[f"usr/lib/{triplet}/{name}"] = path
            todo.append(path)
    return found


def _first(paths, name):
    for path in paths:
        if path.exists():
            return path
    raise Missing(f"{name} is not installed: looked for {', '.join(map(str, paths))}")


def _names_of(path):
    """What dpkg may know an installed file by: the database names it as the package did, with or without /usr."""
    bare = [re.sub("^/usr(?=/)", "", str(p)) for p in (path, path.resolve())]
    return [*bare, *("/usr" + name for name in bare)]


def owners(paths):
    """{path: package, name:arch} of installed files; what is nobody's is left out."""
    asked = {name: path for path in paths for name in _names_of(path)}
    done = subprocess.run(["dpkg-query", "-S", *asked], stdout=subprocess.PIPE, stderr=subprocess.DEVNULL,
                          text=True, check=False)
    found = {}
    for line in done.stdout.splitlines():
        package, _, name = line.rpartition(": ")
        if name in asked and not line.startswith("diversion"):
            found[asked[name]] = package.split(",")[0].strip()
    return found


class Package:
    def __init__(self, stanza):
        # Of what this machine has done with the package nothing belongs here.
        self.stanza = re.sub(r"(?m)^Conffiles:\n(?: .*\n)*", "", stanza + "\n").strip() + "\n"
        self.fields = dict(re.findall(r"(?m)^([\w-]+): (.*)$", self.stanza))
        self.name, self.version = self.fields["Package"], self.fields["Version"]
        self.source = self.fields.get("Source", self.name)
        self.arch = self.fields["Architecture"]

    def copyright(self):
        path = Path(f"/usr/share/doc/{self.name}/copyright")
        return path.read_bytes() if path.exists() else b""


@functools.cache
def packages(names):
    """The installed packages of these names, in their order."""
    return [Package(text) for text in run("dpkg-query", "-s", *names).strip().split("\n\n")]


@functools.cache
def packages_of(paths):
    """The packages of installed files, sorted; a file that is nobody's is an error: a scanner could not
    tell what it is."""
    found = owners(paths)
    for path in paths:
        if path not in found:
            raise Missing(f"{path} belongs to no Debian package: nobody could say what it is")
    return packages(tuple(sorted(set(found.values()))))


def licences_of(packages):
    """{path: bytes} of the copyright files, and of the licences that they name."""
    found, common = {}, set()
    for package in packages:
        text = package.copyright()
        if text:
            found[f"usr/share/doc/{package.name}/copyright"] = text
        common |= {name.decode() for name in COMMON.findall(text)}
    for name in sorted(common):
        path = Path("/usr/share/common-licenses") / name
        if path.exists():
            found[f"usr/share/common-licenses/{name}"] = path.read_bytes()
    return found


def release():
    return dict(line.strip().split("=", 1) for line in open("/etc/os-release", encoding="utf-8") if "=" in line)


def package_database(packages):
    """What scanners read of an image without a package manager: the layout of distroless images."""
    found = {"etc/os-release": Path("/etc/os-release").read_bytes(),
             "etc/debian_version": Path("/etc/debian_version").read_bytes()}
    for package in packages:
        found[f"var/lib/dpkg/status.d/{package.name}"] = package.stanza.encode()
    return found


def zones():
    """The time zones of spec.window; not those with leap seconds, and none twice under posix/."""
    top = Path("/usr/share/zoneinfo")
    found = {}
    for path in sorted(top.rglob("*")):
        name = path.relative_to(top)
        if path.is_file() and name.parts[0] not in ("right", "posix"):
            found[f"usr/share/zoneinfo/{name.as_posix()}"] = path.read_bytes()
    return found
