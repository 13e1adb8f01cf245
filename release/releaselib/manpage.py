"""The manual page of kubectl-wukong, made of what the program says of itself."""

import re
import time


def _escape(text):
    text = text.replace("\\", "\\e").replace("-", "\\-")
    return re.sub(r"(?m)^([.'])", r"\\&\1", text)


def _sections(text):
    """(lead, {title: lines}) of one -h."""
    parts = re.split(r"(?m)^([A-Z][\w ]+):\n", text)
    return parts[0].strip(), dict(zip(parts[1::2], (p.rstrip("\n").split("\n") for p in parts[2::2])))


def _flags(lines):
    """A .TP for each flag; what it does may stand on the next line."""
    out, head = [], None
    for line in lines:
        flag = re.match(r"\s{2,6}(-.*?)(?:\s{2,}(.*))?$", line)
        if flag and line.index("-") <= 6:
            head = flag.group(1)
            out += [".TP", f"\\fB{_escape(head)}\\fR"]
            if flag.group(2):
                out.append(_escape(flag.group(2)))
        elif line.strip():
            out.append(_escape(line.strip()))
    return out


def page(help_of, version, epoch):
    """`help_of(*arguments)` is what the program prints."""
    top = help_of("-h")
    verbs = re.findall(r"(?m)^  kubectl wukong (\S+)(.*)\n      (.*)$", top)
    date = time.strftime("%Y-%m-%d", time.gmtime(epoch))
    out = [f'.TH KUBECTL\\-WUKONG 1 "{date}" "Wukong Clone {version}" "User Commands"', ".SH NAME",
           "kubectl\\-wukong \\- clone KubeVirt's virtual machines while they run", ".SH SYNOPSIS"]
    for verb, arguments, _ in verbs:
        out += [f"\\fBkubectl wukong {_escape(verb)}\\fR{_escape(arguments)}", ".br"]
    out += [".SH DESCRIPTION", _escape(_sections(top)[0]),
            "It asks the cluster with the user's own credentials, as kubectl does."]
    for verb, _, _ in verbs:
        lead, sections = _sections(help_of(verb, "-h"))
        out += [f".SH {verb.upper()}", _escape(lead)]
        for title, lines in sections.items():
            out.append(f".SS {title}")
            if title == "Flags":
                out += _flags(lines)
            else:
                out += [".nf", *(_escape(line) for line in lines), ".fi"]
    out += [".SH ENVIRONMENT", ".TP", "\\fBKUBECONFIG\\fR", "Files that tell of clusters and users.", ".TP",
            "\\fBNO_COLOR\\fR", "When set, nothing is coloured.", ".SH SEE ALSO", "\\fBkubectl\\fR(1)"]
    return ("\n".join(out) + "\n").encode()
