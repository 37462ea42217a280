#!/usr/bin/python3
# SPDX-License-Identifier: GPL-2.0-or-later
"""Holds the C files against the architecture: who may include whom, no include cycles, no function too long.

Usage: check_layers.py [--self-test] [ROOT]
"""
import os
import re
import sys
import tempfile

FUNCTION_LINES = 100

NOUNS = ["protocols/mapping.h", "protocols/address.h"]
TESTED = ["protocols/", "backend/", "daemon/base/", "daemon/core/", "daemon/frontends/", "daemon/worker/", "tests/"]

# folder: (what of ours it may include beside its own files, libraries beside libc and the kernel's headers)
LAYERS = {
    "protocols": ([], ["jansson.h", "upnp/ixml.h"]),
    "backend": (NOUNS, ["libmnl/", "libnftnl/", "sqlite3.h"]),
    "daemon/base": (NOUNS, ["confuse.h", "cap-ng.h"]),
    "daemon/core": (NOUNS + ["daemon/base/", "backend/"], ["bsd/"]),
    "daemon/frontends": (["daemon/base/", "daemon/core/", "backend/network.h", "protocols/"], ["event2/", "bsd/"]),
    "daemon/ctl": (["daemon/base/", "protocols/"], ["jansson.h"]),
    "daemon/worker": (["daemon/base/", "protocols/"], ["event2/", "microhttpd.h"]),
    "daemon/parent": (["daemon/base/"], []),
    "daemon/worker": (["daemon/base/", "protocols/"], ["event2/", "microhttpd.h", "upnp/"]),
    "daemon": (["daemon/base/", "daemon/core/", "daemon/frontends/", "daemon/parent/", "backend/", "protocols/"], ["event2/"]),
    "tests/fakes": (NOUNS + ["backend/", "daemon/base/"], ["bsd/"]),
    "tests/unit": (TESTED, ["cmocka.h", "jansson.h", "event2/", "bsd/", "sqlite3.h"]),
    "tests/scenario": (TESTED, ["cmocka.h", "event2/"]),
    "tests/kernel": (TESTED, ["cmocka.h", "event2/", "libmnl/", "libnftnl/"]),
    "tests/fuzz": (["protocols/"], []),
    "tests/system": (["daemon/base/", "backend/"], ["upnp/"]),
    "tests/bench": (["protocols/", "backend/", "tests/"], ["libmnl/", "libnftnl/"]),
}
# Libraries that only some files of a folder may use.
ONLY_IN = {"jansson.h": r"control|/ctl/|tests/", "confuse.h": r"config", "cap-ng.h": r"sandbox",
           "upnp/ixml.h": r"igd_action"}
SYSTEM = re.compile(r"(sys|linux|net|netinet|arpa|asm)/[a-z0-9_/-]+\.h$|[a-z0-9_]+\.h$")
LIBRARIES = {name for _, names in LAYERS.values() for name in names if name.endswith(".h")}
INCLUDE = re.compile(r'^\s*#\s*include\s+([<"])([^>"]+)[>"]')


def c_files(root):
    for folder in ("protocols", "backend", "daemon", "tests"):
        for path, folders, names in os.walk(os.path.join(root, folder)):
            folders.sort()
            for name in sorted(names):
                if name.endswith((".c", ".h")):
                    yield os.path.relpath(os.path.join(path, name), root)


def matches(name, allowed):
    return any(name.startswith(a) if a.endswith("/") else name == a for a in allowed)


def may_include_ours(source, target):
    folder, theirs = os.path.dirname(source), os.path.dirname(target)
    if target.endswith(".c"):  # a test may look inside
        return folder == "tests/unit" and matches(target, TESTED)
    return theirs == folder or matches(target, LAYERS[folder][0])


def may_include_system(source, target):
    for library, where in ONLY_IN.items():
        if target == library and not re.search(where, source):
            return False
    if matches(target, LAYERS[os.path.dirname(source)][1]):
        return True
    return target not in LIBRARIES and SYSTEM.match(target) is not None


def check_file(root, source, includes, faults):
    if os.path.dirname(source) not in LAYERS:
        faults.append(f"{source}: the architecture knows no folder {os.path.dirname(source)}/")
        return
    start = 0
    with open(os.path.join(root, source), encoding="utf-8") as file:
        for number, line in enumerate(file, 1):
            where = f"{source}:{number}"
            if line.rstrip() == "{":
                start = number
            if line.rstrip() == "}" and start:
                if number - start - 1 > FUNCTION_LINES:
                    faults.append(f"{source}:{start}: a function of {number - start - 1} lines, {FUNCTION_LINES} at most")
                start = 0
            found = INCLUDE.match(line)
            if not found:
                continue
            if found[1] == "<":
                if not may_include_system(source, found[2]):
                    faults.append(f"{where}: must not include <{found[2]}>")
                continue
            target = os.path.normpath(os.path.join(os.path.dirname(source), found[2]))
            includes[source].append(target)
            if not may_include_ours(source, target):
                faults.append(f"{where}: must not include {target}")


def find_cycle(includes):
    done = set()

    def walk(name, above):
        if name in above:
            return above[above.index(name):] + [name]
        if name in done:
            return None
        for target in includes.get(name, []):
            cycle = walk(target, above + [name])
            if cycle:
                return cycle
        done.add(name)
        return None

    for name in includes:
        cycle = walk(name, [])
        if cycle:
            return cycle
    return None


def check(root):
    faults, includes = [], {}
    for source in c_files(root):
        includes[source] = []
        check_file(root, source, includes, faults)
    cycle = find_cycle(includes)
    if cycle:
        faults.append("include cycle: " + " -> ".join(cycle))
    return faults, len(includes)


BODY = "void\nf(void)\n{\n%s}\n"
# Name of a file, its text, and what must be said of it (None: nothing).
SELF_TEST = [
    ("protocols/a.c", '#include "mapping.h"\n#include <string.h>\n' + BODY % ("\tg();\n" * FUNCTION_LINES), None),
    ("protocols/b.c", '#include "../backend/firewall.h"\n', "must not include backend/firewall.h"),
    ("protocols/c.c", "#include <event2/event.h>\n", "must not include <event2/event.h>"),
    ("protocols/control.c", "#include <jansson.h>\n", None),
    ("protocols/natpmp.c", "#include <jansson.h>\n", "must not include <jansson.h>"),
    ("protocols/igd_action.c", "#include <upnp/ixml.h>\n", None),
    ("protocols/igd_answer.c", "#include <upnp/ixml.h>\n", "must not include <upnp/ixml.h>"),
    ("protocols/long.c", BODY % ("\tg();\n" * (FUNCTION_LINES + 1)), "a function of 101 lines"),
    ("protocols/x.h", '#include "y.h"\n', "include cycle: protocols/x.h -> protocols/y.h -> protocols/x.h"),
    ("protocols/y.h", '#include "x.h"\n', "include cycle"),
    ("backend/a.c", '#include "../protocols/mapping.h"\n#include <libmnl/libmnl.h>\n#include <linux/netlink.h>\n', None),
    ("backend/b.c", '#include "../protocols/pcp.h"\n', "must not include protocols/pcp.h"),
    ("backend/c.c", '#include "../daemon/base/log.h"\n', "must not include daemon/base/log.h"),
    ("daemon/core/a.c", '#include "../../backend/firewall.h"\n#include "../base/log.h"\n', None),
    ("daemon/core/b.c", '#include "../../protocols/natpmp.h"\n', "must not include protocols/natpmp.h"),
    ("daemon/core/c.c", '#include "../../backend/firewall_nft.c"\n', "must not include backend/firewall_nft.c"),
    ("daemon/core/d.c", '#include <libmnl/libmnl.h>\n', "must not include <libmnl/libmnl.h>"),
    ("daemon/ctl/a.c", '#include "../core/engine.h"\n', "must not include daemon/core/engine.h"),
    ("daemon/parent/a.c", '#include "../base/sandbox.h"\n#include <sys/wait.h>\n', None),
    ("daemon/parent/b.c", '#include "../core/engine.h"\n', "must not include daemon/core/engine.h"),
    ("daemon/parent/c.c", '#include "../../protocols/ssdp.h"\n', "must not include protocols/ssdp.h"),
    ("daemon/worker/a.c", '#include "../../protocols/ssdp.h"\n#include <event2/event.h>\n#include <microhttpd.h>\n', None),
    ("daemon/worker/b.c", '#include "../core/engine.h"\n', "must not include daemon/core/engine.h"),
    ("daemon/worker/c.c", '#include "../../backend/firewall.h"\n', "must not include backend/firewall.h"),
    ("daemon/frontends/a.c", "#include <microhttpd.h>\n", "must not include <microhttpd.h>"),
    ("daemon/main.c", '#include "core/engine.h"\n#include "../backend/network.h"\n', None),
    ("tests/unit/a.c", '#include <bsd/sys/tree.h>\n#include "../../daemon/core/lease_table.c"\n', None),
    ("daemon/new/a.c", "", "knows no folder daemon/new/"),
]


def self_test():
    with tempfile.TemporaryDirectory() as root:
        for name, text, _ in SELF_TEST:
            os.makedirs(os.path.join(root, os.path.dirname(name)), exist_ok=True)
            with open(os.path.join(root, name), "w", encoding="utf-8") as file:
                file.write(text)
        faults, _ = check(root)
    for name, _, expected in SELF_TEST:
        said = [fault for fault in faults if name in fault]
        if (expected is None) != (not said) or (expected and not any(expected in fault for fault in said)):
            sys.exit(f"self-test: {name}: expected {expected}, got {said}")


def main(arguments):
    if "--self-test" in arguments:
        self_test()
        arguments.remove("--self-test")
    root = arguments[0] if arguments else os.path.join(os.path.dirname(os.path.abspath(__file__)), "..")
    faults, files = check(root)
    for fault in faults:
        print(fault)
    print(f"layers: {files} files, {len(faults)} faults")
    return 1 if faults or not files else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
