# SPDX-License-Identifier: GPL-2.0-or-later
"""The core dies at each of the points that the source names (backend/crash_point.h).  Afterwards list, kernel and journal
agree, what was answered carries traffic, and what was not answered is there as a whole or not at all."""
import contextlib
import glob
import os
import re
import shutil
import socket
import time

import pytest

from clients import ask, natpmp_address, natpmp_map, natpmp_packet, pcp_map, pcp_packet
from lab import BUILD, LAN, LAN1, WAN, WAN_NEW, is_running, wait_for
from sources import agree, in_kernel
from test_forwards import forward
from upnp_client import IP, UpnpError, call, mapping, name_of

NONCE = b"n" * 12
MANY = "requests-per-second = 0"
OLD = {4000: 8000, 4001: 8001, 4002: 8002}  # external ports and those behind them

# Where each point is passed: what of the matrix below has it, and its Nth passing is fatal.
ANSWERING = ["before-kernel-commit", "after-kernel-commit", "in-journal-transaction", "after-journal-commit", "before-reply"]
EXPIRING = ["in-expiry", *ANSWERING[:-1]]
RECOVERING = ["after-journal-read", "in-review", "in-review:500", "in-expiry", "after-forwards-staged", "after-kernel-commit",
              "in-journal-transaction", "after-journal-commit"]
RESTORING = ["between-table-pieces", "between-table-pieces:2", "after-kernel-commit"]
RELOADING = ["in-reload", "after-policy-set", "after-forwards-staged", *ANSWERING[:-1], "in-review", "in-review:251",
             "before-kernel-commit:2", "after-kernel-commit:2", "in-journal-transaction:2", "after-journal-commit:2",
             "before-reload-answer"]
RENUMBERING = ["after-address-change", "in-journal-transaction"]
MAKING = ["in-migration"]
FORGETTING = ["after-table-removed", "in-journal-forget"]


def name_of_point(point):
    return point.partition(":")[0]


def test_the_matrix_has_every_point():
    """Each case below asserts that its point was passed."""
    root = os.path.join(os.path.dirname(__file__), "../..")
    named = []
    for folder in ("protocols", "backend", "daemon"):
        for path in glob.glob(os.path.join(root, folder, "**/*.c"), recursive=True):
            with open(path, encoding="utf-8") as file:
                named += re.findall(r'crash_point\("([a-z-]+)"\)', file.read())
    assert len(named) == len(set(named)), "a name must say where"
    tested = ANSWERING + EXPIRING + RECOVERING + RESTORING + RELOADING + RENUMBERING + MAKING + FORGETTING
    assert set(named) == set(map(name_of_point, tested))


def test_what_is_shipped_does_not_die():
    with open(os.path.join(BUILD, "portleased"), "rb") as file:
        assert b"PORTLEASE_CRASH" not in file.read()


class Crashing:
    """A daemon that dies at one point, each time it is armed."""

    def __init__(self, lab, point, extra="", start=True):
        folder = os.path.join(lab.folder, "bin")
        os.mkdir(folder, 0o755)
        for source, name in (("tests/system/portleased_crash", "portleased"), ("portleased-upnp",) * 2, ("portlease",) * 2):
            shutil.copy(os.path.join(BUILD, source), os.path.join(folder, name))
        self.lab, self.point = lab, point
        self.passed = os.path.join(lab.folder, "passed")
        self.daemon = lab.daemon(extra, build=folder, start=False)
        self.daemon.environment = {"PORTLEASE_CRASH_AT": point, "PORTLEASE_CRASH_LOG": self.passed}
        if start:
            self.start()

    def start(self):
        self.daemon.start()
        self.served()

    def served(self):
        wait_for(lambda: self.daemon.answers() and self.daemon.status()["interfaces"][1]["worker"]["state"] == "ready", 15,
                 "a core and its worker")

    def arm(self):
        with open(self.passed, "w", encoding="ascii"):
            os.chmod(self.passed, 0o666)

    def passings(self):
        with open(self.passed, encoding="ascii") as file:
            return file.read().split().count(name_of_point(self.point))

    def was_reached(self):
        name, _, number = self.point.partition(":")
        return self.passings() >= int(number or 1)

    @contextlib.contextmanager
    def dying(self):
        """What is done here ends the core, and the next one is there after it."""
        core = self.daemon.pid
        self.arm()
        yield
        wait_for(lambda: not is_running(core), 10, f"the end at {self.point}; passed: {self.passings()}")
        assert self.was_reached()
        self.served()
        os.unlink(self.passed)


def map_old(lab):
    """Answered mappings, one of each protocol, each with a server."""
    for port in OLD.values():
        lab.server(lab.lan1, "tcp", port)
    assert natpmp_map(lab.lan1, "tcp", 8000, 4000).external == 4000
    assert pcp_map(lab.lan1, LAN1, "tcp", 8001, 4001, nonce=NONCE).external == 4001
    call(lab.lan1, IP, 1, "AddPortMapping", mapping(4002, 8002, LAN1))


def externals(mappings):
    return sorted(m.external for m in mappings.values())


def carry(lab, *ports):
    for port in ports:
        assert lab.wan.tcp(WAN, port).startswith("lan1 saw")


# One protocol's requests for TCP 8010 at 5010: sent once, whatever comes of it; and until it is answered.

def upnp_call(lab, action, arguments):
    with contextlib.suppress(OSError, AttributeError):  # it breaks off
        call(lab.lan1, IP, 1, action, arguments, timeout=2.0)


def remaining(daemon):
    return {lease["external_port"]: lease["remaining"] for lease in daemon.leases()}


SEND = {
    "natpmp": lambda lab, lifetime: ask(lab.lan1, natpmp_packet("tcp", 8010, 5010 if lifetime else 0, lifetime), timeout=0.2),
    "pcp": lambda lab, lifetime: ask(lab.lan1, pcp_packet(LAN1, "tcp", 8010, 5010, lifetime, NONCE), timeout=0.2),
    "upnp": lambda lab, lifetime: upnp_call(lab, *(("AddPortMapping", mapping(5010, 8010, LAN1, lease=lifetime)) if lifetime else
                                                   ("DeletePortMapping", name_of(5010)))),
}


def answered(lab, protocol, lifetime):
    if protocol == "natpmp":
        assert natpmp_map(lab.lan1, "tcp", 8010, 5010 if lifetime else 0, lifetime).result == 0
    elif protocol == "pcp":
        assert pcp_map(lab.lan1, LAN1, "tcp", 8010, 5010, lifetime=lifetime, nonce=NONCE).result == 0
    elif lifetime:
        call(lab.lan1, IP, 1, "AddPortMapping", mapping(5010, 8010, LAN1, lease=lifetime))
    else:
        with contextlib.suppress(UpnpError):  # it was done before the crash
            call(lab.lan1, IP, 1, "DeletePortMapping", name_of(5010))


@pytest.mark.parametrize("protocol", ["natpmp", "pcp", "upnp"])
@pytest.mark.parametrize("point", ANSWERING)
def test_before_an_answer(lab, point, protocol):
    crashing = Crashing(lab, point)
    daemon = crashing.daemon
    map_old(lab)
    lab.server(lab.lan1, "tcp", 8010)
    for lifetime in (3600, 7200, 0):  # a new one, its renewal, its end
        before = externals(agree(lab, daemon))
        with crashing.dying():
            SEND[protocol](lab, lifetime)
        after = externals(agree(lab, daemon))
        assert after in (sorted(OLD), sorted([*OLD, 5010])), daemon.log()
        if lifetime == 7200:
            assert after == before
        carry(lab, *after)
        answered(lab, protocol, lifetime)
        assert externals(agree(lab, daemon)) == sorted([*OLD, 5010] if lifetime else OLD)
        carry(lab, *OLD, *([5010] if lifetime else []))
        if lifetime:
            assert lifetime - 600 < remaining(daemon)[5010] <= lifetime
    assert lab.wan.refused("tcp", WAN, 5010)



@pytest.mark.parametrize("point", EXPIRING)
def test_as_some_end(lab, point):
    crashing = Crashing(lab, point)
    map_old(lab)
    for port in range(5010, 5013):
        assert natpmp_map(lab.lan1, "udp", port, port, 3).external == port
    with crashing.dying():
        pass
    wait_for(lambda: externals(agree(lab, crashing.daemon)) == sorted(OLD), 15, "they end")
    carry(lab, *OLD)


@pytest.mark.parametrize("point", ["after-kernel-commit", "in-journal-transaction"])
def test_as_the_admin_changes(lab, point):
    crashing = Crashing(lab, point)
    daemon = crashing.daemon
    map_old(lab)
    with crashing.dying():
        assert daemon.cli("add", "web", "tcp:4000", f"{LAN1}:8001", check=False).returncode != 0  # a client has it
    assert externals(agree(lab, daemon)) == sorted(OLD)
    carry(lab, *OLD)
    with crashing.dying():
        daemon.cli("remove", str(daemon.leases()[0]["id"]), check=False)
    left = externals(agree(lab, daemon))
    assert len(left) >= 2
    carry(lab, *left)


def map_many(lab):
    """600 of two hosts, half of them above 20000."""
    for host, above in ((lab.lan1, 10000), (lab.lan2, 20000)):
        with host.bound(socket.SOCK_DGRAM) as sock:
            sock.settimeout(10)
            sock.connect((LAN, 5351))
            for port in range(above, above + 300):
                sock.send(natpmp_packet("udp", port, port))
                assert sock.recv(100)[2:4] == b"\0\0"


def names(daemon):
    return [lease["name"] for lease in daemon.leases() if lease["name"]]


def configure(daemon, text):
    with open(daemon.config, "a", encoding="utf-8") as file:
        file.write(text)


@pytest.mark.parametrize("point, table", [*((point, table) for point in RECOVERING for table in ("kept", "gone")),
                                          *((point, "gone") for point in RESTORING[:-1])])
def test_as_one_starts(lab, point, table):
    """Meanwhile a mapping ended, a forward of the configuration took another's port, and a rule denies some."""
    crashing = Crashing(lab, point, MANY)
    daemon = crashing.daemon
    map_old(lab)
    map_many(lab)
    natpmp_map(lab.lan1, "tcp", 8010, 5010, 1)
    daemon.kill()
    if table == "gone":
        lab.gw.nft("delete table inet portlease\n")
    configure(daemon, forward("games", transport="udp", external_ports=10000, target=f"{LAN1}:8000") +
              "rule {\n action = deny\n external-ports = 20290-20299\n}\n")
    time.sleep(1)
    crashing.arm()
    daemon.start(ready=False)
    assert daemon.process.wait(30) != 0
    assert crashing.was_reached()
    os.unlink(crashing.passed)
    crashing.start()
    assert externals(agree(lab, daemon)) == sorted([*OLD, *range(10000, 10300), *range(20000, 20290)])
    assert names(daemon) == ["games"]
    carry(lab, *OLD)


@pytest.mark.parametrize("point", RESTORING)
def test_as_a_lost_table_is_made_anew(lab, point):
    crashing = Crashing(lab, point, MANY)
    map_old(lab)
    map_many(lab)
    with crashing.dying():
        lab.gw.nft("delete table inet portlease\n")
    assert len(agree(lab, crashing.daemon)) == 603
    carry(lab, *OLD)


@pytest.mark.parametrize("point", RELOADING)
def test_as_it_reloads(lab, point):
    """The first to go on does so by the old configuration; what was done of the new one is done in all places."""
    crashing = Crashing(lab, point, MANY)
    daemon = crashing.daemon
    map_old(lab)
    map_many(lab)
    configure(daemon, forward("games", transport="udp", external_ports=10000, target=f"{LAN1}:8000") +
              "rule {\n action = deny\n external-ports = 20000-65535\n}\n")
    with crashing.dying():
        daemon.cli("reload", check=False)
    after = agree(lab, daemon)
    assert {*OLD, *range(10001, 10300)} <= set(externals(after)) <= {*OLD, *range(10000, 10300), *range(20000, 20300)}
    carry(lab, *OLD)
    daemon.cli("reload")
    assert externals(agree(lab, daemon)) == sorted([*OLD, *range(10000, 10300)])
    assert names(daemon) == ["games"]
    carry(lab, *OLD)


@pytest.mark.parametrize("point", RENUMBERING)
def test_as_the_external_address_changes(lab, point):
    crashing = Crashing(lab, point)
    daemon = crashing.daemon
    map_old(lab)
    epoch = natpmp_address(lab.lan1).epoch
    wait_for(lambda: natpmp_address(lab.lan1).epoch >= epoch + 2)
    changed = time.monotonic()
    with crashing.dying():
        lab.set_wan(WAN_NEW)
    answer = wait_for(lambda: (got := natpmp_address(lab.lan1)).address == WAN_NEW and got, 5, "the new address is told")
    assert answer.epoch <= time.monotonic() - changed  # it began anew
    assert externals(agree(lab, daemon)) == sorted(OLD)
    for port in OLD:
        assert lab.wan.tcp(WAN_NEW, port).startswith("lan1 saw")


@pytest.mark.parametrize("point", MAKING)
def test_as_the_journal_is_made(lab, point):
    crashing = Crashing(lab, point, start=False)
    crashing.arm()
    crashing.daemon.start(ready=False)
    assert crashing.daemon.process.wait(30) != 0
    assert crashing.was_reached()
    os.unlink(crashing.passed)
    crashing.start()
    map_old(lab)
    assert externals(agree(lab, crashing.daemon)) == sorted(OLD)
    assert "ruined" not in crashing.daemon.log()


@pytest.mark.parametrize("point", FORGETTING)
def test_as_all_is_forgotten(lab, point):
    """All or nothing of it."""
    crashing = Crashing(lab, point, "on-exit = remove")
    daemon = crashing.daemon
    map_old(lab)
    crashing.arm()
    assert daemon.stop() != 0
    assert crashing.was_reached()
    assert in_kernel(lab) == ({}, {})
    os.unlink(crashing.passed)
    crashing.start()
    after = externals(agree(lab, daemon))
    assert after in ([], sorted(OLD))
    carry(lab, *after)
