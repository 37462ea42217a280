# SPDX-License-Identifier: GPL-2.0-or-later
"""The three places that know the mappings, read each by its own means: the command line, the kernel's table, the journal."""
import contextlib
import glob
import ipaddress
import json
import os
import shutil
import sqlite3
import tempfile
import time
from collections import namedtuple

from lab import wait_for

Mapping = namedtuple("Mapping", "transport external address internal remote")
TRANSPORTS = {"tcp": "tcp", "udp": "udp", 6: "tcp", 17: "udp"}
CLOSE = 60  # seconds, between two times that are the same


def listed(daemon):
    """{id: Mapping} by `portlease list`, and when they end: {id: seconds from now}."""
    leases = daemon.leases()
    return ({lease["id"]: Mapping(lease["transport"], lease["external_port"], lease["internal_address"],
                                  lease["internal_port"], lease["remote_address"] or "") for lease in leases},
            {lease["id"]: lease["remaining"] for lease in leases if lease["remaining"] is not None})


def parts(element):
    """An element's key in parts, and all that is said of it."""
    named = element["elem"] if "elem" in element else {"val": element}
    return named["val"]["concat"], named


def in_kernel(lab):
    """{id: Mapping} by the table, whose other sets must fit, and when its elements end; nothing if there is none."""
    done = lab.gw.run("nft", "-j", "list", "table", "inet", "portlease", check=False)
    if done.returncode != 0:
        assert "No such file or directory" in done.stderr, done.stderr
        return {}, {}
    elements = {item[kind]["name"]: item[kind].get("elem", []) for item in json.loads(done.stdout)["nftables"]
                for kind in ("set", "map") if kind in item}
    found, ends = {}, {}
    for name in ("rfwd4", "fwd4"):
        for element, (address, internal) in ((key, data["concat"]) for key, data in elements[name]):
            (*remote, transport, external), named = parts(element)
            mapping = Mapping(TRANSPORTS[transport], external, address, internal, *(remote or [""]))
            number = int(named["comment"].split()[1])
            assert number not in found, f"two elements of lease {number}: {mapping}, {found[number]}"
            found[number] = mapping
            if "expires" in named:
                ends[number] = named["expires"]
    reserved = {(TRANSPORTS[t], port) for (t, port), _ in map(parts, elements["ext4"])}
    outbound = {(TRANSPORTS[t], address, port) for (t, address, port), _ in (parts(key) for key, _ in elements["out4"])}
    assert reserved == {(m.transport, m.external) for m in found.values()}
    assert outbound == {(m.transport, m.address, m.internal) for m in found.values()}
    return found, ends


@contextlib.contextmanager
def copy_of_journal(lab, daemon):
    """Its path: the daemon lets nobody else read the file itself."""
    with tempfile.TemporaryDirectory() as folder:
        for path in glob.glob(os.path.join(lab.folder, daemon.name + ".state", "journal.db*")):
            with contextlib.suppress(FileNotFoundError):
                shutil.copy(path, folder)
        yield os.path.join(folder, "journal.db")


def plain(address):
    return str(ipaddress.IPv6Address(address).ipv4_mapped or "")


def in_journal(lab, daemon):
    """{id: Mapping} by the file, of a daemon that writes nothing now, and when they end."""
    with copy_of_journal(lab, daemon) as path, contextlib.closing(sqlite3.connect(path)) as db:
        rows = db.execute("SELECT id, transport, external_port, internal_address, internal_port, remote, ends FROM lease").fetchall()
    now = time.clock_gettime(time.CLOCK_BOOTTIME)
    return ({number: Mapping(TRANSPORTS[transport], external, plain(address), internal, plain(remote))
             for number, transport, external, address, internal, remote, _ in rows},
            {row[0]: row[-1] / 1000 - now for row in rows if row[-1] < 1 << 62})


def agree(lab, daemon):
    """All three know the same mappings, as soon as nothing is pending; they are returned.  (One may end between two looks.)"""
    seen = []

    def same():
        seen[:] = listed(daemon), in_kernel(lab), in_journal(lab, daemon)
        return all(mappings == seen[0][0] and ends.keys() == seen[0][1].keys() and
                   all(abs(ends[number] - seen[0][1][number]) < CLOSE for number in ends) for mappings, ends in seen)

    try:
        wait_for(same, 2)
    except AssertionError as error:
        raise AssertionError("list, kernel and journal differ:\n" + "\n".join(map(str, seen)) + daemon.log()) from error
    return seen[0][0]
