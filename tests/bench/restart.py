# SPDX-License-Identifier: GPL-2.0-or-later
"""The daemon is stopped and started with many leases, while datagrams of new flows come in all the time."""
import os
import random
import selectors
import socket
import time

from gateway import DAEMON_CPU, FIRST_PORT, QUICK, WAN, middle, say
from lab import Background  # of the system tests, which gateway makes known

RESTARTS = 2 if QUICK else 7
HOUSES = range(20000, 20030)  # internal ports, as crowd.c has them
IP_PKTINFO = 8
PATIENCE = 1.0  # seconds for an answer
READY_MS = 250


class Visitors(Background):
    """Each datagram, from a port of its own to a random mapping, is to come back."""

    def __init__(self, gateway, leases):
        super().__init__(self.receive, self.visit)
        self.gateway, self.leases = gateway, leases
        self.visits = self.failures = 0
        self.houses = selectors.DefaultSelector()
        for port in HOUSES:
            house = gateway.lan.bound(socket.SOCK_DGRAM, port)
            house.setsockopt(socket.IPPROTO_IP, IP_PKTINFO, 1)
            self.houses.register(house, selectors.EVENT_READ)

    def receive(self):
        """Answers from the address that was asked, without NAT of the host's own."""
        while not self.over.is_set():
            for key, _ in self.houses.select(0.1):
                data, more, _, peer = key.fileobj.recvmsg(100, 100)
                address = more[0][2][4:8]
                key.fileobj.sendmsg([data], [(socket.IPPROTO_IP, IP_PKTINFO, bytes(4) + address + bytes(4))], 0, peer)

    def visit(self):
        dice = random.Random(7)
        while not self.over.is_set():
            with self.gateway.wan.socket() as sock:
                sock.settimeout(PATIENCE)
                sock.sendto(b"x", (WAN, FIRST_PORT + dice.randrange(self.leases)))
                self.visits += 1
                try:
                    sock.recv(100)
                except OSError:
                    self.failures += 1

    def __exit__(self, *_):
        super().__exit__()
        for key in list(self.houses.get_map().values()):
            key.fileobj.close()
        self.houses.close()


def restart(daemon, manager):
    """Milliseconds from the start until it says that it is ready."""
    assert daemon.stop() == 0
    begin = time.monotonic()
    daemon.start(ready=False)
    while b"READY=1" not in manager.recv(4096):
        pass
    return (time.monotonic() - begin) * 1000


def measure(table, gateway, leases):
    say("restarts")
    gateway.hold(leases)
    path = os.path.join(gateway.folder, "notify")
    times = []
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as manager, Visitors(gateway, leases) as visitors:
        manager.bind(path)
        manager.settimeout(30)
        gateway.daemon.environment["NOTIFY_SOCKET"] = path
        gateway.daemon.within = ("taskset", "-c", str(DAEMON_CPU))
        for _ in range(RESTARTS):
            time.sleep(0.3)
            times.append(restart(gateway.daemon, manager))
            time.sleep(0.3)
    gateway.expect(leases)
    table.at_most(f"ready after a restart with {leases} leases", middle(times), READY_MS, "{:.0f} ms")
    table.at_most(f"  failed of {visitors.visits} new flows meanwhile", visitors.failures, 0, "{}")
