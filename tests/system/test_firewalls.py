# SPDX-License-Identifier: GPL-2.0-or-later
"""portlease beside the firewalls that are there, and the one line that it keeps in their chains."""
import re
import socket
import threading
import time

import pytest

from clients import natpmp_map
from firewalls import FIREWALLS, NATS, Firewalld, Fw4, Plain, Ufw
from lab import BUILD, LAN1, REMOTE, REMOTE2, WAN, WAN_NEW, Lab, wait_for

TAG = "portlease: what it opened"
TRANSPORTS = ("tcp", "udp")


@pytest.fixture
def bare():
    """A Lab whose gateway has no firewall yet."""
    lab = Lab(admin=None)
    yield lab
    lab.close()


def lines(lab, chain):
    """How often our line is in it; None: there is no such chain."""
    done = lab.gw.run("nft", "list", "chain", *chain.split(), check=False)
    if done.returncode != 0:
        return None
    if chain.startswith("ip filter"):  # nft does not print iptables' comments
        return lab.gw.run("iptables", "-S", "FORWARD").stdout.count(TAG)
    return done.stdout.count(TAG)


def has_line(lab, chain):
    return wait_for(lambda: lines(lab, chain) == 1, 20, f"the line in {chain}, once; there is {lines(lab, chain)}")


REMOVE = "on-exit = remove\n"


def section(chain):
    return f'foreign-chain "{chain}" {{ }}\n' if chain else ""


class Traffic:
    """A TCP connection and a UDP flow from the WAN through mappings, never silent, until closed."""

    def __init__(self, lab, address, port):
        self.sock = {kind: lab.wan.bound(kind) for kind in (socket.SOCK_STREAM, socket.SOCK_DGRAM)}
        for sock in self.sock.values():
            sock.settimeout(30)
            sock.connect((address, port))
        self.lost = self.echoed = 0
        self.error = None
        self.stop = threading.Event()
        self.thread = threading.Thread(target=self._run, daemon=True)
        self.thread.start()

    def _run(self):
        stream, datagrams = self.sock.values()
        number = 0
        try:
            while not self.stop.wait(0.02):
                number += 1
                payload = b"n%d!" % number
                datagrams.send(payload)
                stream.sendall(payload)
                got = b""
                while not got.endswith(payload):
                    part = stream.recv(2048)
                    if not part:
                        raise ConnectionError("the connection ended")
                    got += part
                self.echoed += 1
        except OSError as error:
            self.error = error

    def close(self):
        self.stop.set()
        self.thread.join(40)
        for sock in self.sock.values():
            sock.close()


class Cell:
    """One firewall with one kind of NAT: what was seen."""

    def __init__(self, firewall, nat):
        self.lab = Lab(admin=None)
        self.nat = nat
        self.firewall = firewall(self.lab, nat)
        self.marks = {}
        try:
            self.lab.set_wan(WAN, WAN_NEW)
            self.lab.wan.ip(f"route add 192.168.1.0/24 via {WAN}")
            self.firewall.start()
            self.daemon = self.lab.daemon(extra=REMOVE + section(self.firewall.chain), wan=nat.wan, build=BUILD)
            self.look()
        finally:
            self.lab.close()

    def mark(self, name, good):
        self.marks[name] = bool(good)

    def look(self):
        lab, at, chain = self.lab, self.nat.address, self.firewall.chain
        for transport in TRANSPORTS:
            for port in (8000, 4100):
                lab.server(lab.lan1, transport, port)
            assert natpmp_map(lab.lan1, transport, 8000, 4000).external == 4000
        lab.server(lab.lan2, "tcp", 7000)
        lab.server(lab.wan, "udp", 9000)
        if chain:
            has_line(lab, chain)
        for transport in TRANSPORTS:
            self.mark("mapped " + transport, self.answers(transport, at, 4000, "lan1"))
            self.mark("hairpin " + transport, self.answers(transport, at, 4000, "lan1", host=lab.lan2))
        self.closed()
        self.outbound(at)
        self.mark("admin's, his", self.answers("tcp", at, 7000, "lan2", source=REMOTE))
        self.mark("admin's, others", lab.wan.refused("tcp", at, 7000, source=REMOTE2))
        self.reload(at)
        if chain:
            assert self.daemon.stop() == 0
            self.mark("line gone", lines(lab, chain) == 0)

    def answers(self, transport, address, port, who, host=None, **options):
        try:
            return (host or self.lab.wan).talk(transport, address, port, **options).startswith(who + " saw")
        except OSError:
            return False

    def closed(self):
        """Neither an unmapped port of the gateway, nor a host behind it, where anything is dropped at all."""
        for transport in TRANSPORTS:
            self.mark("unmapped " + transport, self.lab.wan.refused(transport, self.nat.address, 4100))
            if type(self.firewall) is not Plain:
                self.mark("host " + transport, self.lab.wan.refused(transport, LAN1, 4100))

    def outbound(self, at):
        """A mapped socket's packets leave from its external port, another's as the admin says."""
        assert natpmp_map(self.lab.lan1, "udp", 8002, 4002).external == 4002
        self.mark("out mapped", f"saw {at}:4002:" in self.lab.lan1.udp(REMOTE, 9000, sport=8002))
        as_admin = at if self.nat.nft else LAN1
        self.mark("out other", f"saw {as_admin}:" in self.lab.lan1.udp(REMOTE, 9000, sport=8003))

    def reload(self, at):
        lab = self.lab
        before = {transport: lab.external_ports(transport) for transport in TRANSPORTS}
        traffic = lab.closing(Traffic(lab, at, 4000))
        wait_for(lambda: traffic.echoed > 5, 20, "traffic")
        self.firewall.reload()
        echoed = traffic.echoed
        if self.firewall.chain:
            has_line(lab, self.firewall.chain)
        wait_for(lambda: traffic.error or traffic.echoed > echoed + 5, 30, "traffic after the reload")
        self.mark("reload, flow", not traffic.error)
        traffic.close()
        self.mark("reload, leases", {transport: lab.external_ports(transport) for transport in TRANSPORTS} == before)
        self.mark("reload, new", all(self.answers(transport, at, 4000, "lan1") for transport in TRANSPORTS))
        self.mark("reload, closed", lab.wan.refused("tcp", at, 4100) and lab.wan.refused("tcp", at, 7000, source=REMOTE2))


def table(firewall, cells):
    names = list(dict.fromkeys(name for cell in cells for name in cell.marks))
    yield f"{firewall.name + ':':28}" + "".join(f"{cell.nat.name:14}" for cell in cells)
    for name in names:
        yield f"  {name:26}" + "".join(f"{'+' if cell.marks.get(name) else '! WRONG':14}" for cell in cells)


@pytest.mark.long
@pytest.mark.parametrize("firewall", FIREWALLS, ids=[firewall.name for firewall in FIREWALLS])
def test_the_matrix(firewall, record_property):
    cells = [Cell(firewall, nat) for nat in NATS]
    text = "\n".join(table(firewall, cells))
    record_property("table", text)
    assert "!" not in text, text


@pytest.mark.parametrize("firewall", [Fw4, Ufw], ids=["fw4", "ufw"])
def test_without_the_line_nothing_comes_in(bare, firewall):
    """So that what the matrix says of the line means something."""
    wall = firewall(bare, NATS[0])
    wall.start()
    before = bare.gw.run("nft", "list", "ruleset").stdout
    daemon = bare.daemon(build=BUILD)
    bare.server(bare.lan1, "tcp", 8000)
    natpmp_map(bare.lan1, "tcp", 8000, 4000)
    assert bare.wan.refused("tcp", WAN, 4000)
    daemon.close()
    daemon = bare.daemon(extra=REMOVE + section(wall.chain))
    natpmp_map(bare.lan1, "tcp", 8000, 4000)
    assert bare.wan.tcp(WAN, 4000).startswith("lan1 saw")
    assert daemon.stop() == 0

    def uncounted(text):
        return re.sub(r"counter packets \d+ bytes \d+", "counter", text)
    assert uncounted(bare.gw.run("nft", "list", "ruleset").stdout) == uncounted(before)


def state_of(daemon, chain):
    found = [one for one in daemon.status()["foreign_chains"] if one["chain"] == chain]
    return found and (found[0]["exists"], found[0]["has_line"])


def test_a_chain_that_comes_late_and_goes(bare):
    wall = Fw4(bare, NATS[0])
    daemon = bare.daemon(extra=section(wall.chain))
    daemon.logged(r'<6>firewall: chain awaited chain="inet fw4 forward"')
    assert state_of(daemon, wall.chain) == (False, False)
    assert "line in     inet fw4 forward: waiting: no such chain" in daemon.cli("status").stdout
    wall.start()
    has_line(bare, wall.chain)
    wait_for(lambda: state_of(daemon, wall.chain) == (True, True))
    bare.gw.nft("delete table inet fw4\n")
    wait_for(lambda: state_of(daemon, wall.chain) == (False, False))
    wall.start()
    has_line(bare, wall.chain)
    assert daemon.log().count("chain awaited") == 2 and daemon.log().count("line put") == 2


def test_a_crashed_daemons_line_is_taken_over(bare):
    wall = Fw4(bare, NATS[0])
    wall.start()
    daemon = bare.daemon(extra=REMOVE + section(wall.chain))
    has_line(bare, wall.chain)
    daemon.kill()
    assert lines(bare, wall.chain) == 1
    daemon.start()
    assert lines(bare, wall.chain) == 1 and state_of(daemon, wall.chain) == (True, True)
    assert daemon.stop() == 0
    assert lines(bare, wall.chain) == 0


def test_the_line_stays_with_the_mappings(bare):
    wall = Fw4(bare, NATS[0])
    wall.start()
    daemon = bare.daemon(extra=section(wall.chain))
    has_line(bare, wall.chain)
    bare.server(bare.lan1, "tcp", 8000)
    natpmp_map(bare.lan1, "tcp", 8000, 4000)
    assert daemon.stop() == 0
    assert bare.wan.tcp(WAN, 4000).startswith("lan1 saw")
    daemon.start()
    assert lines(bare, wall.chain) == 1 and bare.wan.tcp(WAN, 4000).startswith("lan1 saw")


def test_a_reload_of_ours_changes_the_chains(bare):
    wall = Fw4(bare, NATS[0])
    wall.start()
    bare.gw.run("iptables", "-P", "FORWARD", "DROP")
    daemon = bare.daemon(build=BUILD, extra=REMOVE)
    with open(daemon.config, encoding="utf-8") as file:
        text = file.read()

    def reload(*chains):
        with open(daemon.config, "w", encoding="utf-8") as file:
            file.write(text + "".join(map(section, chains)))
        daemon.cli("reload")
        return [lines(bare, chain) for chain in (Fw4.chain, Ufw.chain)]
    assert reload(Fw4.chain) == [1, 0]
    assert reload(Fw4.chain, Ufw.chain) == [1, 1]
    assert reload(Ufw.chain) == [0, 1]
    assert reload() == [0, 0]
    assert reload(Ufw.chain) == [0, 1]
    assert daemon.log().count("line put") == 3
    assert daemon.stop() == 0
    assert [lines(bare, chain) for chain in (Fw4.chain, Ufw.chain)] == [0, 0]


def test_who_keeps_taking_the_line_out_costs_little(bare):
    wall = Fw4(bare, NATS[0])
    wall.start()
    daemon = bare.daemon(extra=section(wall.chain), build=BUILD)
    begun, reloads = time.monotonic(), 0
    while reloads < 60 or time.monotonic() - begun < 4:
        wall.reload()
        reloads += 1
    put = daemon.log().count("line put")
    assert 5 <= put <= 6 + time.monotonic() - begun
    wait_for(lambda: lines(bare, wall.chain) == 1, 15, "the line is back when it is left alone")


def test_firewalld_needs_no_line_for_ipv4(bare):
    """Its forward chain accepts what was translated; without the section nothing of it is touched."""
    wall = Firewalld(bare, NATS[0])
    wall.start()
    before = bare.gw.run("nft", "list", "table", "inet", "firewalld").stdout
    bare.daemon()
    bare.server(bare.lan1, "tcp", 8000)
    natpmp_map(bare.lan1, "tcp", 8000, 4000)
    assert bare.wan.tcp(WAN, 4000).startswith("lan1 saw")
    assert bare.gw.run("nft", "list", "table", "inet", "firewalld").stdout == before
