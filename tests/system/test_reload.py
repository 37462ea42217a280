# SPDX-License-Identifier: GPL-2.0-or-later
"""Another configuration for a daemon that runs: what follows it, what stays, and what is refused."""
import os
import re
import signal
import socket
import subprocess
import threading
import time

import pytest

from clients import ask, natpmp_map, pcp_map, pcp_packet
from lab import BUILD, GUEST, GUEST_LAN, Host, LAN1, LAN2, TIMED, WAN, is_running, second_lan, wait_for
from test_flush import answer_times_during, map_many
from test_parent import worker_of
from upnp_client import IP, call, mapping

DENY_5000 = "rule {\n action = deny\n external-ports = 5000-5999\n}\n"


def is_deaf(guest):
    return ask(guest, bytes([0, 0]), to=GUEST_LAN, timeout=0.5) is None


def write(daemon, text):
    with open(daemon.config, "w", encoding="utf-8") as file:
        file.write(text)


def read(daemon):
    with open(daemon.config, encoding="utf-8") as file:
        return file.read()


def reload(daemon, text=None):
    if text is not None:
        write(daemon, text)
    assert daemon.cli("reload").stdout == "reloaded\n"


def refused(daemon, text):
    """By `portlease reload`; what it says."""
    write(daemon, text)
    done = daemon.cli("reload", check=False)
    assert (done.returncode, done.stdout) == (1, ""), done
    return done.stderr


def served(daemon):
    """Its UPnP workers are ready."""
    wait_for(lambda: all(lan["worker"]["state"] == "ready" for lan in daemon.status()["interfaces"][1:]))


def reloads(daemon):
    return daemon.log().count("config: reloaded")


@pytest.mark.parametrize("whom", ["parent", "pid", "cli"])
def test_leases_that_the_new_rules_deny_end(lab, whom):
    daemon = lab.daemon()
    lab.server(lab.lan1, "tcp", 8000)
    lab.server(lab.lan2, "tcp", 8000)
    assert natpmp_map(lab.lan1, "tcp", 8000, 4000).external == 4000
    assert pcp_map(lab.lan2, LAN2, "tcp", 8000, 5000).external == 5000
    text, pids = read(daemon), [daemon.parent, daemon.pid, worker_of(daemon)]
    write(daemon, text + DENY_5000)
    if whom == "cli":
        reload(daemon)
    else:
        os.kill(getattr(daemon, whom), signal.SIGHUP)
    wait_for(lambda: reloads(daemon) == 1)
    line = text.count("\n") + 1
    daemon.logged(rf"lease: denied id=2 client={LAN2} .*external=5000 .*rule-line={line}")
    assert [lease["external_port"] for lease in daemon.leases()] == [4000]
    assert lab.wan.talk("tcp", WAN, 4000).startswith("lan1 saw")
    assert lab.wan.refused("tcp", WAN, 5000)
    assert pcp_map(lab.lan2, LAN2, "tcp", 8000, 5000).external not in (5000, 4000)
    assert all(is_running(pid) for pid in pids) and worker_of(daemon) == pids[2]
    reload(daemon, text)
    assert natpmp_map(lab.lan1, "tcp", 8001, 5001).external == 5001
    assert [lease["external_port"] for lease in daemon.leases()][0] == 4000


def test_a_bad_one_is_refused(lab, daemon):
    assert natpmp_map(lab.lan1, "tcp", 8000, 5000).external == 5000
    text = read(daemon)
    line = text.count("\n") + 1
    said = refused(daemon, text + DENY_5000.replace("deny", "perhaps"))
    assert f"{daemon.config}:{line + 1}: action: found \"perhaps\"" in said
    daemon.logged(rf"config: refused reason=\"{daemon.config}:{line + 1}: action")
    os.kill(daemon.parent, signal.SIGHUP)
    wait_for(lambda: daemon.log().count("config: refused") == 2)
    assert [lease["external_port"] for lease in daemon.leases()] == [5000]
    os.unlink(daemon.config)
    assert f"{daemon.config}: cannot read: No such file" in daemon.cli("reload", check=False).stderr
    reload(daemon, text + DENY_5000)
    assert daemon.leases() == []


@pytest.mark.parametrize("key, value", [
    ("user", "nobody"), ("worker-user", "54322"), ("state-directory", None), ("control-socket", None),
    ("control-access", "all"), ("log", "syslog")])
def test_what_cannot_change(lab, daemon, key, value):
    text = read(daemon)
    lines = text.splitlines()
    at = next((i for i, line in enumerate(lines) if line.startswith(key + " ")), None)
    if at is None:
        lines, at = [f"{key} = {value}"] + lines, 0
    else:
        lines[at] = f'{key} = {54999 if value else chr(34) + "/tmp/other" + chr(34)}'
    said = refused(daemon, "\n".join(lines) + "\n")
    assert f"{daemon.config}:{at + 1}: {key} is " in said and "started again" in said
    reload(daemon, text)


def test_a_restarted_core_has_what_was_read_last(lab, daemon):
    reload(daemon, read(daemon) + DENY_5000)
    assert "expected" in refused(daemon, "nonsense\n")
    core = daemon.pid
    os.kill(core, signal.SIGKILL)
    wait_for(lambda: [pid for pid in daemon.children("portleased --core") if pid != core])
    wait_for(daemon.answers, 10)
    assert natpmp_map(lab.lan1, "tcp", 8000, 5000).external not in (5000,)
    assert natpmp_map(lab.lan1, "tcp", 8001, 4000).external == 4000


def test_without_a_core_it_waits_for_the_next(lab):
    daemon = lab.daemon(build=BUILD)
    core = daemon.pid
    os.kill(daemon.parent, signal.SIGSTOP)
    os.kill(core, signal.SIGKILL)
    wait_for(lambda: not is_running(core))
    write(daemon, read(daemon) + DENY_5000)
    os.kill(daemon.parent, signal.SIGHUP)
    os.kill(daemon.parent, signal.SIGCONT)
    wait_for(lambda: reloads(daemon) == 1, 10)
    assert natpmp_map(lab.lan1, "tcp", 8000, 5000).external != 5000


def has_pending(pid, number):
    with open(f"/proc/{pid}/status", encoding="utf-8") as file:
        return int(re.search(r"ShdPnd:\s*(\w+)", file.read())[1], 16) >> (number - 1) & 1


def test_the_next_core_does_what_the_one_before_it_never_saw(lab):
    daemon = lab.daemon(build=BUILD)
    core = daemon.pid
    os.kill(core, signal.SIGSTOP)
    write(daemon, read(daemon) + DENY_5000)
    os.kill(daemon.parent, signal.SIGHUP)
    wait_for(lambda: not has_pending(daemon.parent, signal.SIGHUP))
    os.kill(core, signal.SIGKILL)
    wait_for(lambda: reloads(daemon) == 1, 10)
    assert natpmp_map(lab.lan1, "tcp", 8000, 5000).external != 5000
    assert natpmp_map(lab.lan1, "tcp", 8001, 4001).external == 4001


def test_protocols_are_switched(lab, daemon):
    text = read(daemon)
    assert natpmp_map(lab.lan1, "tcp", 8000, 4000).result == 0
    reload(daemon, "nat-pmp = no\n" + text)
    assert ask(lab.lan1, bytes([0, 0]), timeout=5)[0] == 2  # PCP's words for a wrong version
    assert pcp_map(lab.lan1, LAN1, "tcp", 8001, 4001).external == 4001
    reload(daemon, "nat-pmp = no\npcp = no\n" + text)
    assert ask(lab.lan1, pcp_packet(LAN1, "tcp", 8001), timeout=0.5) is None
    reload(daemon, text)
    assert natpmp_map(lab.lan1, "tcp", 8000, 4000).external == 4000
    assert len(daemon.leases()) == 2


def test_upnp_is_switched(lab, daemon):
    text, worker = read(daemon), worker_of(daemon)
    served(daemon)
    call(lab.lan1, IP, 1, "AddPortMapping", mapping(4000, 8000, LAN1))
    reload(daemon, "upnp = no\n" + text)
    wait_for(lambda: not is_running(worker))
    assert len(daemon.leases()) == 1
    reload(daemon, text)
    worker = worker_of(daemon)
    served(daemon)
    call(lab.lan1, IP, 1, "AddPortMapping", mapping(4001, 8000, LAN1))
    reload(daemon, "log-level = debug\n" + text)
    assert worker_of(daemon) == worker
    reload(daemon, "http-port = 5999\n" + text)
    wait_for(lambda: not is_running(worker))
    served(daemon)
    call(lab.lan1, IP, 1, "AddPortMapping", mapping(4002, 8000, LAN1), port=5999)
    assert [lease["external_port"] for lease in daemon.leases()] == [4000, 4001, 4002]


def test_lans_come_and_go(lab):
    daemon = lab.daemon()
    guest = second_lan(lab)
    text, worker, core = read(daemon), worker_of(daemon), daemon.pid
    lab.server(lab.lan1, "tcp", 8000)
    lab.server(guest, "tcp", 8000)
    assert natpmp_map(lab.lan1, "tcp", 8000, 4000).external == 4000
    assert is_deaf(guest)
    # Before the other, so that its number changes, too.
    reload(daemon, 'lan "guest0" {}\n' + text)
    assert natpmp_map(guest, "tcp", 8000, 4001, to=GUEST_LAN).external == 4001
    served(daemon)
    call(guest, IP, 1, "AddPortMapping", mapping(4002, 8000, GUEST), address=GUEST_LAN)
    assert [i["name"] for i in daemon.status()["interfaces"]] == ["wan0", "guest0", "br-lan"]
    for port, name in ((4000, "lan1"), (4001, "guest"), (4002, "guest")):
        assert lab.wan.talk("tcp", WAN, port).startswith(f"{name} saw")
        assert lab.lan2.talk("tcp", WAN, port).startswith(f"{name} saw")
    other = worker_of(daemon, "guest0")
    reload(daemon, text)
    wait_for(lambda: not is_running(other))
    assert daemon.log().count("reason=lan-removed") == 2
    assert [lease["external_port"] for lease in daemon.leases()] == [4000]
    assert is_deaf(guest)
    assert lab.wan.refused("tcp", WAN, 4001) and lab.wan.talk("tcp", WAN, 4000).startswith("lan1 saw")
    assert natpmp_map(lab.lan2, "tcp", 8000, 4003).external == 4003
    reload(daemon, 'lan "guest0" {}\n' + text)
    assert natpmp_map(guest, "tcp", 8000, 4001, to=GUEST_LAN).external == 4001
    served(daemon)
    call(guest, IP, 1, "AddPortMapping", mapping(4002, 8000, GUEST), address=GUEST_LAN)
    assert daemon.pid == core


def test_a_lan_is_renamed(lab, daemon):
    """Its mappings stay; a client need not ask again."""
    lab.server(lab.lan1, "tcp", 8000)
    assert natpmp_map(lab.lan1, "tcp", 8000, 4000).external == 4000
    lab.gw.nft("add rule inet admin forward iifname br0 accept")
    lab.gw.ip("link set br-lan down", "link set br-lan name br0", "link set br0 up")
    reload(daemon, read(daemon).replace("br-lan", "br0"))
    assert [lease["external_port"] for lease in daemon.leases()] == [4000]
    assert lab.wan.talk("tcp", WAN, 4000).startswith("lan1 saw")
    assert natpmp_map(lab.lan1, "tcp", 8001, 4001).external == 4001


def test_the_wan_is_another(lab, daemon):
    lab.server(lab.lan1, "tcp", 8000)
    assert natpmp_map(lab.lan1, "tcp", 8000, 4000).external == 4000
    text = read(daemon)
    other = lab.closing(Host("other"))
    lab._cable("wan1", other)
    other.ip("address add 12.0.0.9/24 dev eth0", "link set eth0 up", "route add 11.0.0.0/24 via 12.0.0.1")
    lab.gw.ip("address add 12.0.0.1/24 dev wan1", "link set wan1 up")
    lab.gw.nft("add rule inet admin postrouting oifname wan1 masquerade")
    reload(daemon, text.replace('wan "wan0"', 'wan "wan1"'))
    assert other.talk("tcp", "12.0.0.1", 4000).startswith("lan1 saw")
    assert lab.wan.refused("tcp", WAN, 4000)
    assert natpmp_map(lab.lan1, "tcp", 8001, 4001).external == 4001
    assert daemon.status()["external_address"] == "12.0.0.1"
    reload(daemon, text)
    assert lab.wan.talk("tcp", WAN, 4000).startswith("lan1 saw")
    assert len(daemon.leases()) == 2


def test_settings_of_the_wan(lab, daemon):
    """Each is followed, and no mapping is made anew for it."""
    lab.server(lab.lan1, "udp", 8000)
    assert natpmp_map(lab.lan1, "udp", 8000, 4000).external == 4000
    text = read(daemon)

    def rules():
        return lab.gw.run("nft", "list", "chain", "inet", "portlease", "sn4").stdout
    assert lab.wan.talk("udp", WAN, 4000).startswith("lan1 saw")
    before = rules()
    reload(daemon, text.replace('wan "wan0" {', 'wan "wan0" {\nsource-nat = no'))
    assert len(rules()) < len(before) and daemon.status()["table_intact"]
    reload(daemon, text.replace('wan "wan0" {', 'wan "wan0" {\nexternal-address = "203.0.113.5"'))
    assert rules() == before and daemon.status()["external_address"] == "203.0.113.5"
    reload(daemon, text)
    assert natpmp_map(lab.lan1, "udp", 8001, 4001).external == 4001
    assert "udp . 4000 counter packets 1 " in lab.gw.run("nft", "list", "map", "inet", "portlease", "fwd4").stdout


class Stream:
    """UDP through a mapping from the Internet, a datagram every few milliseconds; each must be echoed."""

    def __init__(self, lab, port):
        self.sock = lab.wan.bound(socket.SOCK_DGRAM, 0)
        self.sock.connect((WAN, port))
        self.sock.settimeout(5)
        self.sent = self.lost = 0
        self.ends = threading.Event()
        self.thread = threading.Thread(target=self.run, daemon=True)
        self.thread.start()

    def run(self):
        while not self.ends.is_set():
            self.sock.send(b"%d" % self.sent)
            self.sent += 1
            try:
                self.lost += not self.sock.recv(2048).endswith(b" %d" % (self.sent - 1))
            except OSError:
                self.lost += 1
            time.sleep(0.002)

    def close(self):
        self.ends.set()
        self.thread.join()
        self.sock.close()


def test_two_hundred_reloads_under_traffic(lab):
    """Rules, protocols, LANs, forwards change all the while; what stays loses no packet, and who asks is answered."""
    daemon = lab.daemon(build=BUILD)
    second_lan(lab)
    lab.server(lab.lan1, "udp", 8000)
    lab.server(lab.lan1, "tcp", 8001)
    assert natpmp_map(lab.lan1, "udp", 8000, 4000).external == 4000
    assert natpmp_map(lab.lan1, "tcp", 8001, 4001).external == 4001
    text, core = read(daemon), daemon.pid
    variants = [text, text + DENY_5000, 'lan "guest0" {}\n' + text,
                text + "rule {\n action = allow\n}\n",
                "pcp = no\nmax-mappings-per-client = 9\nlog-level = warning\n" + text,
                text.replace('wan "wan0" {', 'wan "wan0" {\nexternal-address = "203.0.113.5"'),
                text + f'forward "web" {{\n transport = tcp\n external-ports = 5080\n target = {LAN2}:80\n}}\n']
    stream = Stream(lab, 4000)
    with lab.wan.socket(socket.SOCK_STREAM) as flow:
        flow.settimeout(20)
        flow.connect((WAN, 4001))
        for number in range(200):
            reload(daemon, variants[number % len(variants)])
            assert natpmp_map(lab.lan2, "udp", 9000 + number % 5, 0).result == 0
            flow.sendall(b"%d\n" % number)
            assert flow.recv(2048).endswith(b"%d\n" % number)
    stream.close()
    assert stream.sent > 200 and stream.lost == 0, (stream.sent, stream.lost)
    assert daemon.pid == core and daemon.status()["table_intact"]
    assert len([lease for lease in daemon.leases() if lease["internal_address"] == LAN1]) == 2


def test_signals_in_a_row_are_one_reload_or_more(lab, daemon):
    """The last of them counts."""
    text = read(daemon)
    assert natpmp_map(lab.lan1, "tcp", 8000, 5000).external == 5000
    for number in range(50):
        write(daemon, text + f"# {number}\n" + (DENY_5000 if number == 49 else ""))
        os.kill(daemon.parent if number % 2 else daemon.pid, signal.SIGHUP)
    wait_for(lambda: daemon.leases() == [])
    reload(daemon, text)


RULES = "".join(f"rule {{\n action = deny\n external-ports = {2000 + 5 * i}\n client = 10.1.{i}.0/24\n}}\n"
                for i in range(199))


@TIMED
def test_one_reload_with_ten_thousand_leases(lab, record_property):
    """With 200 rules, which a host's requests come in between of; half of the leases end by it."""
    limits = "max-mappings-per-client = 20000\nrequests-per-second = 0\nlog-level = warning\n"
    daemon = lab.daemon(build=BUILD, extra=limits)
    map_many(lab, 10000)
    assert len(daemon.leases()) == 10000
    text = read(daemon)
    rows = []
    for name, rules, left in (("none ends", RULES, 10000), ("half end", RULES + DENY_HALF, 5000)):
        write(daemon, text + rules + ("" if left < 10000 else "rule {\n action = deny\n external-ports = 1\n}\n"))
        worst, took = slowest_answer(lab, daemon)
        rows.append(f"{name}: {took:.1f} ms until reloaded, the slowest answer meanwhile after {worst:.1f} ms")
        assert len(daemon.leases()) == left
        assert worst < 50, rows
    record_property("table", "reload, 10000 leases, 200 rules\n" + "\n".join(rows))


DENY_HALF = "rule {\n action = deny\n external-ports = 15000-19999\n}\n"


def slowest_answer(lab, daemon):
    """(of the requests sent while it reloads, how long it takes to be done), in milliseconds."""
    begin = time.monotonic()
    command = lab.gw.start(daemon.build + "/portlease", "reload", "--socket", daemon.socket, stdout=subprocess.DEVNULL)
    worst = max(answer_times_during(lab, command), default=0)
    assert command.returncode == 0
    return 1000 * worst, 1000 * (time.monotonic() - begin)
