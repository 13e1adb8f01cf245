"""The bill of materials as SPDX 2.3 in JSON: https://spdx.github.io/spdx-spec/v2.3/."""

import re

from . import pack

LICENCES = {"wukong-clone": "Apache-2.0"}


def _id(*parts):
    return "SPDXRef-" + re.sub(r"[^A-Za-z0-9.-]", "-", "-".join(parts))


def document(name, version, created, arch, release, packages, files):
    """`packages`: what the programs are linked with; `files`: {name: bytes} of the programs themselves."""
    own = _id("Package", "wukong-clone")
    distro = f"{release.get('ID', 'debian')}-{release.get('VERSION_ID', '').strip(chr(34))}"
    listed = [{"SPDXID": own, "name": "wukong-clone", "versionInfo": version, "downloadLocation": "NOASSERTION",
               "filesAnalyzed": False, "licenseConcluded": "Apache-2.0", "licenseDeclared": "Apache-2.0",
               "copyrightText": "Copyright 2026 The Wukong Clone authors", "supplier": "NOASSERTION",
               "primaryPackagePurpose": "APPLICATION"}]
    relations = [{"spdxElementId": "SPDXRef-DOCUMENT", "relationshipType": "DESCRIBES",
                  "relatedSpdxElement": own}]
    for item in packages:
        ref = _id("Package", item.name, item.arch)
        purl = f"pkg:deb/debian/{item.name}@{item.version.replace('+', '%2B').replace(':', '%3A')}"
        listed.append({
            "SPDXID": ref, "name": item.name, "versionInfo": item.version, "downloadLocation": "NOASSERTION",
            "filesAnalyzed": False, "licenseConcluded": "NOASSERTION", "licenseDeclared": "NOASSERTION",
            "licenseComments": f"usr/share/doc/{item.name}/copyright in the image",
            "copyrightText": "NOASSERTION", "supplier": f"Person: {item.fields.get('Maintainer', 'Debian')}",
            "sourceInfo": f"built from Debian's source package {item.source}",
            "externalRefs": [{"referenceCategory": "PACKAGE-MANAGER", "referenceType": "purl",
                              "referenceLocator": f"{purl}?arch={item.arch}&distro={distro}"}]})
        relations.append({"spdxElementId": own, "relationshipType": "DEPENDS_ON", "relatedSpdxElement": ref})
    held = []
    for path, data in sorted(files.items()):
        ref = _id("File", path)
        held.append({"SPDXID": ref, "fileName": f"./{path}", "licenseConcluded": "Apache-2.0",
                     "copyrightText": "Copyright 2026 The Wukong Clone authors", "fileTypes": ["BINARY"],
                     "checksums": [{"algorithm": "SHA1", "checksumValue": pack.hashlib.sha1(data).hexdigest()},
                                   {"algorithm": "SHA256", "checksumValue": pack.sha256(data)}]})
        relations.append({"spdxElementId": own, "relationshipType": "CONTAINS", "relatedSpdxElement": ref})
    body = {"spdxVersion": "SPDX-2.3", "dataLicense": "CC0-1.0", "SPDXID": "SPDXRef-DOCUMENT",
            "name": f"{name}-{version}-{arch}",
            "creationInfo": {"created": created, "creators": ["Tool: wukong-clone release/make"]},
            "packages": listed, "files": held, "relationships": relations}
    # A name space of its own for each content, without a host that somebody would have to own.
    body["documentNamespace"] = f"urn:sha256:{pack.sha256(pack.as_json(body))}"
    return pack.as_json(body)


def provenance(subjects, commit, created, command, release, packages):
    """Where the files come from: an in-toto statement with SLSA's predicate, to be signed by who publishes
    (https://slsa.dev/spec/v1.0/provenance)."""
    made_with = [{"name": p.name, "uri": f"pkg:deb/debian/{p.name}@{p.version}?arch={p.arch}"} for p in packages]
    return pack.as_json({
        "_type": "https://in-toto.io/Statement/v1",
        "subject": [{"name": n, "digest": {"sha256": d}} for n, d in sorted(subjects.items())],
        "predicateType": "https://slsa.dev/provenance/v1",
        "predicate": {
            "buildDefinition": {
                "buildType": "release/make", "externalParameters": {"command": command},
                "resolvedDependencies": [{"name": "source", "digest": {"gitCommit": commit}}, *made_with]},
            "runDetails": {"builder": {"id": f"release/make on {release.get('ID')} {release.get('VERSION_ID')}"},
                           "metadata": {"startedOn": created}}}})
