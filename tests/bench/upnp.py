# SPDX-License-Identifier: GPL-2.0-or-later
"""What UPnP costs with few and many leases and clients, beside Debian's miniupnpd on the same gateway."""
import contextlib
import os
import resource
import signal
import socket
import time
from collections import namedtuple

from gateway import DAEMON_CPU, LAN_HOST, OTHERS_CPU, QUICK, SERVER, TOOLS, Gateway, lab, middle, ratio, say
import journal
import upnp_load  # of the system tests, which gateway makes known

Door = namedtuple("Door", "port path")
OURS, THEIRS = Door(5431, "/1/WANIP/control"), Door(5000, "/ctl/IPConn")
LISTS = Door(5431, "/2/WANIP/control")

LEASES = {"0": 0, "1k": 1000, "10k": 3000 if QUICK else 10000}
SPARE = 50000      # its mapping and those above are made and deleted again
# By how many ask at a time: rounds, requests of each.  miniupnpd leaves 64 to their retransmissions.
GETS = {1: (3, 500), 8: (3, 800), 64: (1, 320)} if QUICK else {1: (15, 2000), 8: (15, 3200), 64: (3, 640)}
ADDS = {1: (2, 64), 8: (2, 64), 64: (1, 64)} if QUICK else {1: (9, 128), 8: (3, 64), 64: (3, 64)}
GETS_WANTED = {1: 0.9, 8: 0.9, 64: 2}
ADDS_WANTED = {"0": 1, "1k": 10}
TIME_ROUNDS, TIMES = (5, 50) if QUICK else (25, 100)
WALKS = 3 if QUICK else 5
IDLE_CONNECTIONS = 900
VICTIM = "10.64.255.3"
ATTACK = {"rounds": 2 if QUICK else 9, "count": 40 if QUICK else 200}
KILLS = 5 if QUICK else 50
KILL_GAP = 2.6     # seconds: a worker that dies five times in ten seconds has to wait

MINIUPNPD = "/usr/sbin/miniupnpd"
# As its package's script makes it.
MINIUPNPD_TABLE = """
table inet miniupnpd {
	chain forward {
		type filter hook forward priority 0; policy accept;
		jump forward_upnp
	}
	chain forward_upnp {
	}
	chain prerouting {
		type nat hook prerouting priority -100; policy accept;
		jump prerouting_upnp
	}
	chain postrouting {
		type nat hook postrouting priority 100; policy accept;
		jump postrouting_upnp
	}
	chain prerouting_upnp {
	}
	chain postrouting_upnp {
	}
}
"""
MINIUPNPD_CONFIG = f"""
ext_ifname=wan0
listening_ip=lan0
port={THEIRS.port}
enable_upnp=yes
enable_natpmp=no
secure_mode=yes
upnp_table_name=miniupnpd
upnp_nat_table_name=miniupnpd
upnp_forward_chain=forward_upnp
upnp_nat_chain=prerouting_upnp
upnp_nat_postrouting_chain=postrouting_upnp
uuid=ee6a1b6c-8a5c-4a57-a36d-6b0f1f1c39e8
allow 1024-65535 0.0.0.0/0 1024-65535
deny 0-65535 0.0.0.0/0 0-65535
"""


class UpnpGateway(Gateway):
    """Both daemons at once; the one that is not asked sleeps."""

    def __init__(self, folder, beside=False):
        super().__init__(folder)
        self.daemon.logged("upnp: worker ready")
        os.sched_setaffinity(self.worker, [DAEMON_CPU])
        self.asked = 0
        if beside:
            self.start_miniupnpd()

    def start_miniupnpd(self):
        config, pid = (os.path.join(self.folder, "miniupnpd." + end) for end in ("conf", "pid"))
        with open(config, "w", encoding="ascii") as file:
            file.write(MINIUPNPD_CONFIG)
        self.gw.nft(MINIUPNPD_TABLE)
        self.gw.run("taskset", "-c", str(DAEMON_CPU), MINIUPNPD, "-f", config, "-P", pid)
        request = b"GET / HTTP/1.0\r\n\r\n"
        lab.wait_for(lambda: not self.lan.refused("tcp", SERVER, THEIRS.port, request), 10, "miniupnpd")

    @property
    def worker(self):
        return self.daemon.children("portleased-upnp")[0]

    def ask(self, kind, count, clients=1, first=SPARE, door=OURS):
        """Seconds for all of them, microseconds for one (the median), entries in the last answer.

        One client is on the daemons' CPU, lest the waking of another one hides the work."""
        cpu = DAEMON_CPU if clients == 1 else OTHERS_CPU
        done = self.lan.run("taskset", "-c", str(cpu), TOOLS + "/control_points", SERVER, str(door.port), door.path, kind,
                            str(first), str(count), str(clients), timeout=300)
        return [float(word) for word in done.stdout.split()]

    def rate(self, kind, count, *arguments):
        rate = count / self.ask(kind, count, *arguments)[0]
        self.gw.run("conntrack", "-F")
        return rate

    def hold_mappings(self, count, *doors):
        for door in doors:
            self.ask("add", count, 8, 0, door)
        self.expect(count)

    def counters(self):
        """The worker's, as `portlease status` has them."""
        return next(interface["worker"] for interface in self.daemon.status()["interfaces"] if interface["role"] == "lan")

    def rss(self):
        with open(f"/proc/{self.worker}/status", encoding="ascii") as text:
            return next(int(line.split()[1]) for line in text if line.startswith("VmRSS:")) / 1024


def measure_adds(table, gateways):
    say("UPnP: time per AddPortMapping")
    rounds = [{name: gateways[name].ask("turns", TIMES)[1] for name in ("0", "10k")}
              for _ in range(TIME_ROUNDS)]
    for name in ("0", "10k"):
        table.add(f"UPnP AddPortMapping, {name} leases", f"{middle([r[name] for r in rounds]):.0f} us")
        gateways[name].expect(LEASES[name])
    table.at_most("  10k : 0", ratio(rounds, "10k", "0"), 1.5, "{:.2f}")


def measure_lists(table, gateway):
    say("UPnP: reading all of the table")
    half, rounds = LEASES["10k"] // 2, []
    for _ in range(WALKS):
        rounds.append({first: gateway.ask("walk", half, first=first)[0] / half for first in (0, half)})
    table.add("UPnP walk of 10k leases, an entry", f"{middle([sum(r.values()) / 2 for r in rounds]) * 1e6:.0f} us")
    table.at_most("  second half : first", ratio(rounds, half, 0), 1.3, "{:.2f}")
    lists = [gateway.ask("list", 1, door=LISTS) for _ in range(WALKS)]
    if any(entries != LEASES["10k"] for _, _, entries in lists):
        raise AssertionError(f"{[l[2] for l in lists]} entries in a list of {LEASES['10k']}")
    table.at_most("UPnP GetListOfPortMappings of 10k leases", middle([l[0] for l in lists]) * 1000, 1000, "{:.0f} ms")


def compare(table, gateway, what, kind, rounds_of, wanted):
    """Requests per second beside miniupnpd's, by how many clients ask at a time."""
    for clients, (rounds, count) in rounds_of.items():
        say(f"{what}, {clients} at a time")
        found = []
        for number in range(rounds):
            first = SPARE if kind == "turns" else number * count
            found.append({door: gateway.rate(kind, count, clients, first, door) for door in (OURS, THEIRS)})
        ours, theirs = (middle([r[door] for r in found]) for door in (OURS, THEIRS))
        table.add(f"{what}, {clients} at a time", f"{ours:.0f} /s")
        table.add("  miniupnpd", f"{theirs:.0f} /s")
        table.at_least("  ours : theirs", ratio(found, OURS, THEIRS), wanted[clients], "{:.2f}")


def measure_kept(table, gateway):
    for clients, (rounds, count) in GETS.items():
        rates = [gateway.rate("get-kept", count, clients, number * count) for number in range(rounds)]
        table.add(f"  on kept connections (miniupnpd keeps none), {clients} at a time", f"{middle(rates):.0f} /s")


def measure_batches(table, gateway):
    """64 clients at a time: their calls share batches."""
    before = gateway.counters()
    gateway.ask("turns", 64 * 10, 64)
    after = gateway.counters()
    calls, batches = (after[name] - before[name] for name in ("calls", "batches"))
    table.at_least("calls a batch when 64 clients add at once", calls / batches, 2, "{:.1f}")
    table.add("  the largest", f"{after['largest_batch']}")


def measure_memory(table, gateway):
    """The worker's, before and while it has many connections, each of another host."""
    say("UPnP: memory")
    table.at_most("UPnP worker, resident when idle", gateway.rss(), 6, "{:.2f} MB")
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    with contextlib.ExitStack() as stack:
        for number in range(IDLE_CONNECTIONS):
            client = f"10.64.{number // 200 + 1}.{number % 200 + 1}"
            sock = stack.enter_context(gateway.lan.bound(socket.SOCK_STREAM, 0, client))
            sock.settimeout(5)
            sock.connect((SERVER, OURS.port))
        lab.wait_for(lambda: gateway.counters()["http_connections"] == IDLE_CONNECTIONS, 10)
        table.at_most(f"  with {IDLE_CONNECTIONS} idle connections", gateway.rss(), 12, "{:.2f} MB")
    resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


def measure_attack(table, gateway):
    say("UPnP: an attack")
    gateway.lan.ip(f"address add {VICTIM}/16 dev eth0")
    quiet, attacked, held = upnp_load.times_under_attack(gateway.lan, gateway.lan, SERVER, VICTIM, **ATTACK)
    table.add("UPnP GetExternalIPAddress, nobody else asks", f"{quiet * 1e6:.0f} us")
    table.add("  another idles 500 times and drips 50 times", f"{attacked * 1e6:.0f} us")
    table.at_most("  attacked : quiet", attacked / quiet, 3, "{:.2f}")
    table.add("  connections the attack could hold", f"{held}")


def measure_deaths(table, gateway):
    """The worker is killed while clients add; a wrong answer ends the measurement."""
    say(f"UPnP: {KILLS} deaths of the worker")
    ports = range(SPARE, SPARE + 20)
    before, waits = gateway.mappings(), []
    with (contextlib.closing(upnp_load.Asker(gateway.lan, SERVER, LAN_HOST, ports)) as asker,
          contextlib.closing(journal.Stalls(gateway.folder)) as stalls):
        lab.wait_for(lambda: asker.progress() >= len(ports), 10)
        leases = {lease["id"] for lease in gateway.daemon.leases()}
        for _ in range(KILLS):
            asked = asker.progress()
            lab.wait_for(lambda asked=asked: asker.progress() > asked, 10)
            os.kill(gateway.worker, signal.SIGKILL)
            waits.append(upnp_load.seconds_until_served(gateway.lan, SERVER, SPARE))
            time.sleep(KILL_GAP)
    asker.progress()
    gateway.expect(before + len(ports))
    lost = leases - {lease["id"] for lease in gateway.daemon.leases()}
    table.at_most(f"UPnP leases lost by {KILLS} deaths of the worker", len(lost), 0, "{}")
    table.at_most("  until a request is served again, at most", max(waits), 1, "{:.3f} s")
    table.add("  of which the disk may have held it", f"{stalls.longest():.3f} s")


def measure(table, gateway):
    """gateway: makes one, which is closed in the end."""
    gateways = {name: gateway(name != "10k") for name in LEASES}
    measure_memory(table, gateways["10k"])
    gateways["1k"].hold_mappings(LEASES["1k"], OURS, THEIRS)
    gateways["10k"].hold_mappings(LEASES["10k"], OURS)
    measure_adds(table, gateways)
    measure_lists(table, gateways["10k"])
    compare(table, gateways["0"], "UPnP GetExternalIPAddress", "get", GETS, GETS_WANTED)
    measure_kept(table, gateways["0"])
    for name, wanted in ADDS_WANTED.items():
        compare(table, gateways[name], f"UPnP AddPortMapping, {name} leases", "turns", ADDS, dict.fromkeys(ADDS, wanted))
        gateways[name].expect(LEASES[name])
    measure_batches(table, gateways["0"])
    measure_attack(table, gateways["0"])
    measure_deaths(table, gateways["1k"])
