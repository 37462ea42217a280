# SPDX-License-Identifier: GPL-2.0-or-later
"""A restart with many leases, while connections keep coming in: nobody notices."""
import contextlib
import os
import random
import signal
import socket
import time

import pytest

from clients import natpmp_map, pcp_packet
from lab import BUILD, Background, LAN, LAN1, TIMED, WAN, wait_for
from test_boot import Manager
from test_parent import another_core

LEASES = 10000
FIRST = 10000
# What a quiet machine does in less; elsewhere other work may come between.
READY_MS = 250
RETRANSMISSION = 0.9  # who waits longer lost a packet


def load(lab, count=LEASES):
    """PCP mappings of TCP ports, 64 at once; all lead to port 7000 of their host."""
    lab.lan1.nft(f"add table ip every\nadd chain ip every pre {{ type nat hook prerouting priority -100; }}\n"
                 f"add rule ip every pre tcp dport {FIRST}-{FIRST + count - 1} redirect to :7000\n")
    wanted = set(range(FIRST, FIRST + count))
    with lab.lan1.bound(socket.SOCK_DGRAM) as sock:
        sock.connect((LAN, 5351))
        sock.settimeout(0.5)
        for _ in range(20 * count // 64):
            if not wanted:
                return
            batch = list(wanted)[:64]
            for port in batch:
                sock.send(pcp_packet(LAN1, "tcp", port, port))
            try:
                for _ in batch:
                    answer = sock.recv(1100)
                    assert answer[3] == 0, answer.hex()
                    wanted.discard(int.from_bytes(answer[42:44], "big"))
            except TimeoutError:
                pass
    raise AssertionError(f"{len(wanted)} are not mapped")


class Visitors(Background):
    """Connects to mapped ports all the time; each visit is to succeed at once."""

    def __init__(self, lab):
        super().__init__(self.receive, self.visit)
        self.lab, self.visits, self.failures = lab, 0, []
        self.random = random.Random(7)
        self.house = lab.lan1.bound(socket.SOCK_STREAM, 7000)
        self.house.listen(4096)
        self.house.settimeout(0.1)

    def receive(self):
        while not self.over.is_set():
            with contextlib.suppress(TimeoutError):
                self.house.accept()[0].close()

    def visit(self):
        with self.lab.wan.inside():
            while not self.over.is_set():
                port = self.random.randrange(FIRST, FIRST + LEASES)
                begin = time.monotonic()
                try:
                    socket.create_connection((WAN, port), 5).close()
                    failed = time.monotonic() - begin > RETRANSMISSION and "late"
                except OSError as error:
                    failed = str(error)
                self.visits += 1
                if failed:
                    self.failures.append((port, failed))

    def __exit__(self, *_):
        super().__exit__()
        self.house.close()


def total(daemon):
    return sum(lease["connections"] for lease in daemon.leases())


def ready(manager, start):
    """Milliseconds from then until the service manager heard of it."""
    begin = time.monotonic()
    manager.hear()
    start()
    manager.waits_for("READY=1", 60)
    return (time.monotonic() - begin) * 1000


@TIMED
@pytest.mark.parametrize("how", ["stopped", "killed", "core killed"])
def test_a_restart_with_many_leases(lab, record_property, how):
    manager = Manager(lab)
    daemon = lab.daemon(f"max-mappings-per-client = {LEASES + 1}\nrequests-per-second = 100000", build=BUILD, start=False,
                        within=manager.within())
    daemon.start(ready=False)
    manager.waits_for("READY=1", 20)
    wait_for(daemon.answers, 10)
    load(lab)
    lab.server(lab.lan1, "tcp", 8000)
    natpmp_map(lab.lan1, "tcp", 8000, 4000)
    before = daemon.leases()
    assert len(before) == LEASES + 1
    core = daemon.pid
    with Visitors(lab) as visitors, lab.wan.bound(socket.SOCK_STREAM) as busy:
        busy.settimeout(10)
        busy.connect((WAN, 4000))
        wait_for(lambda: visitors.visits > 200, 20)
        if how == "stopped":
            assert daemon.stop() == 0
        elif how == "killed":
            daemon.kill()
        took = ready(manager, (lambda: os.kill(core, signal.SIGKILL)) if how == "core killed" else
                     lambda: daemon.start(ready=False))
        if how == "core killed":
            another_core(daemon, core)
        wait_for(daemon.answers, 30)
        so_far = visitors.visits
        wait_for(lambda: visitors.visits > so_far + 200, 20)
        busy.send(b"still")
        assert busy.recv(100).endswith(b"still")
    record_property("table", f"{LEASES} leases, {how}: ready in {took:.0f} ms, {visitors.visits} new connections, "
                    f"{len(visitors.failures)} failed")
    assert visitors.failures == []
    after = daemon.leases()
    assert [lease["id"] for lease in after] == [lease["id"] for lease in before]
    # What was counted before goes on; a flow that began where another had just ended may count twice.
    assert visitors.visits < total(daemon) < 1.1 * visitors.visits
    assert "elements put right" not in daemon.log()
    assert took < 20 * READY_MS
