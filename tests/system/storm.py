# SPDX-License-Identifier: GPL-2.0-or-later
"""Clients of all protocols that map, renew and delete without a pause, and know what they were answered; held for a moment,
what list, kernel and journal have can be judged by that.

A request without an answer may have been carried out or not.  A client sends it again, or gives up and leaves it open.
"""
import collections
import contextlib
import random
import threading
import time

from clients import ask, natpmp_packet, pcp_packet, pcp_read
from lab import LAN1, LAN2, REMOTE, WAN, wait_for
from sources import in_journal, in_kernel, listed
from upnp_client import IP, UpnpError, call, mapping, name_of

SLOTS = 8          # mappings that one client has at most
FIRST_PORT = 10000  # inside and outside
SERVED = 7000      # where a host's server is, whatever port was dialled
NEAR_END = 5.0     # seconds: so long after its end a mapping may be on its way out
EDGE = 0.1         # seconds: of clocks that are read one after the other
PAUSE = 0.02       # seconds, where nobody answers

REDIRECT = f"""
table ip storm {{
	chain prerouting {{
		type nat hook prerouting priority dstnat;
		meta l4proto {{ tcp, udp }} th dport >= {FIRST_PORT} redirect to :{SERVED}
	}}
}}
"""


class Slot:
    """An internal endpoint, and what its client knows of its mapping."""

    def __init__(self, transport, address, port):
        self.transport, self.address, self.port = transport, address, port
        self.nonce = random.randbytes(12)
        self.open = False     # a request was not answered
        self.external = None  # by the last answer; None: it was ended
        self.sure_until = self.gone_after = 0.0
        self.deleted = 0.0    # when that was answered; 0: it was not

    def granted(self, external, sent, lifetime):
        self.open, self.external, self.deleted = False, external, 0.0
        self.sure_until = sent + lifetime - EDGE
        self.gone_after = time.monotonic() + lifetime + EDGE

    def ended(self):
        self.open, self.external, self.deleted = False, None, time.monotonic()

    def __repr__(self):
        return f"{self.transport} {self.address}:{self.port} {vars(self)}"


class Refused(Exception):
    pass


# One try each: an OSError or None is no answer; (external port, lifetime) is one.

def natpmp(host, slot, lifetime):
    answer = ask(host, natpmp_packet(slot.transport, slot.port, slot.port if lifetime else 0, lifetime), timeout=0.25)
    if answer is None:
        return None
    if answer[2:4] != b"\0\0":
        raise Refused(f"NAT-PMP {answer[3]}")
    return int.from_bytes(answer[10:12], "big"), int.from_bytes(answer[12:16], "big")


def pcp(host, slot, lifetime):
    answer = ask(host, pcp_packet(slot.address, slot.transport, slot.port, slot.port, lifetime, slot.nonce), timeout=0.25)
    if answer is None:
        return None
    read = pcp_read(answer)
    if read.result != 0:
        raise Refused(f"PCP {read.result}")
    return read.external, read.lifetime


def upnp(host, slot, lifetime):
    try:
        if lifetime:
            call(host, IP, 1, "AddPortMapping",
                 mapping(slot.port, slot.port, slot.address, slot.transport.upper(), lease=lifetime))
        else:
            call(host, IP, 1, "DeletePortMapping", name_of(slot.port, slot.transport.upper()))
    except AttributeError:  # the connection ended before the answer
        return None
    except UpnpError as error:
        if lifetime or error.code != 714:  # no such mapping
            raise Refused(f"UPnP {error.code}") from error
    return slot.port, lifetime


class Client:
    def __init__(self, storm, protocol, host, address, first_port):
        self.storm, self.protocol, self.host = storm, protocol, host
        self.random = random.Random(storm.random.random())
        self.slots = [Slot(("tcp", "udp")[i % 2], address, first_port + i) for i in range(SLOTS)]
        self.thread = threading.Thread(target=self._run, daemon=True)

    def _run(self):
        try:
            while self.storm.may_go_on():
                self._request(self.random.choice(self.slots))
        except BaseException as error:  # which the test is to see
            self.storm.failed(error)

    def _request(self, slot):
        """Until it is answered, or given up."""
        lifetime = self.random.choice((3600, 3600, 7200, 1, 2, 3)) if slot.external is None or self.random.random() < 0.6 else 0
        sent = time.monotonic()
        slot.open = True
        while True:
            try:
                got = self.protocol(self.host, slot, lifetime)
            except Refused as refused:  # while the table was not there
                self.storm.refused.append(str(refused))
                return
            except OSError:
                got = None
            if got:
                break
            if self.storm.held.is_set() or self.random.random() < 0.1:
                self.storm.given_up += 1
                return
            time.sleep(PAUSE)
        self.storm.answered += 1
        if lifetime:
            slot.granted(got[0], sent, got[1])
        else:
            slot.ended()


class Storm:
    """Clients of each protocol on both hosts; held until it is let go on."""

    def __init__(self, lab, daemon, seed):
        self.lab, self.daemon = lab, daemon
        self.random = random.Random(seed)
        self.held, self.over = threading.Event(), threading.Event()
        self.change = threading.Condition()
        self.waiting, self.errors = 0, []
        self.refused, self.answered, self.given_up, self.judged, self.talked = [], 0, 0, 0, 0
        self.hosts = {LAN1: lab.lan1, LAN2: lab.lan2}
        self.held.set()
        for host in self.hosts.values():
            host.nft(REDIRECT)
            for transport in ("tcp", "udp"):
                lab.server(host, transport, SERVED)
        self.clients = [Client(self, protocol, host, address, FIRST_PORT + 100 * number)
                        for number, (protocol, (address, host)) in enumerate(
                            (p, h) for p in (natpmp, pcp, upnp) for h in self.hosts.items())]
        for client in self.clients:
            client.thread.start()

    def failed(self, error):
        with self.change:
            self.errors.append(error)
            self.change.notify_all()

    def may_go_on(self):
        """Waits while it is held."""
        with self.change:
            self.waiting += 1
            self.change.notify_all()
            self.change.wait_for(lambda: self.over.is_set() or not self.held.is_set())
            self.waiting -= 1
        return not self.over.is_set()

    def hold(self):
        """Nothing is under way after this."""
        self.held.set()
        with self.change:
            assert self.change.wait_for(lambda: self.errors or self.waiting == len(self.clients), 120), "clients hang"
        if self.errors:
            raise self.errors[0]

    def go_on(self):
        with self.change:
            self.held.clear()
            self.change.notify_all()

    def close(self):
        self.over.set()
        self.held.set()
        with self.change:
            self.change.notify_all()
        for client in self.clients:
            client.thread.join(60)

    def _slots(self):
        return {(slot.transport, slot.address, slot.port): slot for client in self.clients for slot in client.slots}

    def _faults(self):
        """(lost, revived, not yet settled) in what the three say now."""
        before = time.monotonic()
        views = {"list": listed(self.daemon)[0], "kernel": in_kernel(self.lab)[0], "journal": in_journal(self.lab, self.daemon)[0]}
        after = time.monotonic()
        slots = self._slots()
        has = collections.defaultdict(dict)
        lost, revived, unsettled = [], [], []
        for view, mappings in views.items():
            for m in mappings.values():
                key = m.transport, m.address, m.internal
                if key not in slots or view in has[key]:
                    revived.append(f"{view}: {m}, which nobody asked for")
                has[key][view] = m.external
        for key, slot in slots.items():
            seen = has[key]
            if len({seen.get(view) for view in views}) > 1:
                unsettled.append(f"{seen}: {slot}")
            if slot.open:
                continue
            self.judged += 1
            for view in views:
                external = seen.get(view)
                if slot.external is not None and after < slot.sure_until and external != slot.external:
                    lost.append(f"{view} has {external}: {slot}")
                if external is not None and (slot.external is None or before > slot.gone_after + NEAR_END):
                    revived.append(f"{view} has {external}: {slot}")
                if external is not None and slot.external is not None and before > slot.gone_after:
                    unsettled.append(f"{view} still has {external}: {slot}")
        return lost, revived, unsettled

    def check(self):
        """While it is held: what is wrong, as (lost, revived); the three agree."""
        found = []

        def settled():
            found[:] = self._faults()
            return found[0] or found[1] or not found[2]

        with contextlib.suppress(AssertionError):
            wait_for(settled, 2)
        assert not found[2] or found[0] or found[1], found[2]
        return found[0], found[1]

    def talk(self):
        """Through one of the mappings that are there."""
        sure = [s for s in self._slots().values() if not s.open and s.external is not None and
                s.sure_until > time.monotonic() + 30]
        if sure:
            slot = self.random.choice(sure)
            said = self.lab.wan.talk(slot.transport, WAN, slot.external)
            assert said.startswith(f"{self.hosts[slot.address].name} saw {REMOTE}:"), (said, slot)
            self.talked += 1
