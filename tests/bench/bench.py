#!/usr/bin/python3
# SPDX-License-Identifier: GPL-2.0-or-later
"""Measures the daemon on gateways in network namespaces and holds each figure against its bound.

What is compared with each other is measured in turns, in one run, since the machine may be busy with other things.
"""
import contextlib
import os
import statistics
import sys
import tempfile
import time

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "system"))
import lab  # noqa: E402

BUILD = os.environ["PORTLEASE_BUILD"]
TOOLS = os.path.abspath(os.path.join(BUILD, "tests", "bench"))
QUICK = os.environ.get("BENCH_QUICK", "") not in ("", "0")

SERVER, LAN_HOST, CLIENTS = "10.64.255.1", "10.64.255.2", "10.64.0.0/17"
WAN, WAN_HOST, STRANGERS = "11.0.0.1", "11.0.0.9", "198.18.0.0/15"
FIRST_PORT = 5352  # of mapping 0, as crowd.c has it
SPARE = 60000      # its mapping and those above are made and deleted again
OTHERS = 10000     # clients from there up hold no mapping
LIFETIME = 80000
WINDOW = 256       # requests that wait for an answer at a time
RATE_WANTED = 20000

DAEMON_CPU, OTHERS_CPU = max(os.sched_getaffinity(0)), min(os.sched_getaffinity(0))

LEASES = {"0": 0, "1k": 1000, "10k": 3000 if QUICK else 10000, "60k": 6000 if QUICK else 60000}
MAP_ROUNDS, MAPS = (5, 50) if QUICK else (25, 100)
FLOW_ROUNDS, FLOWS = (3, 5000) if QUICK else (25, 20000)
RATE_ROUNDS, RATE_MAPS = (2, 6000) if QUICK else (5, 60000)
FLUSHES = 5 if QUICK else 25
FLUSH_GAP = 1.1    # seconds: the daemon puts the table back at most once a second for long
ANNOUNCEMENTS_OVER = 0 if QUICK else 130
IDLE = 5 if QUICK else 30

# Packets end here, counted.
SINK = """
table inet sink {
	chain prerouting {
		type filter hook prerouting priority raw; policy accept;
		ip saddr %s ip daddr %s counter drop
	}
}
"""


class Gateway:
    """A gateway with the daemon between an Internet host and a LAN host, which is all the clients."""

    def __init__(self, folder):
        self.folder = tempfile.mkdtemp(dir=folder)
        os.chmod(self.folder, 0o755)
        self.closers = []
        self.daemons = 0
        self.gw, self.lan, self.wan = (lab.Host(n) for n in ("gw", "lan", "wan"))
        for name, host in (("lan0", self.lan), ("wan0", self.wan)):
            lab.subprocess.run(["ip", "link", "add", name, "netns", self.gw.path(), "type", "veth",
                                "peer", "name", "eth0", "netns", host.path()], check=True)
        self.lan.ip(f"address add {LAN_HOST}/16 dev eth0", "link set eth0 up", f"route add default via {SERVER}",
                    f"route add local {CLIENTS} dev lo")
        self.wan.ip(f"address add {WAN_HOST}/24 dev eth0", "link set eth0 up")
        # One neighbour, however many clients.
        self.gw.ip(f"address add {SERVER}/16 dev lan0", "link set lan0 up", f"route add {CLIENTS} via {LAN_HOST}",
                   f"address add {WAN}/24 dev wan0", "link set wan0 up", f"route add default via {WAN_HOST}")
        self.gw.sysctl("net/ipv4/ip_forward", 1)
        # The kernel's advice for routers: no search for a socket before routing.
        self.gw.sysctl("net/ipv4/ip_early_demux", 0)
        self.gw.nft(lab.ADMIN.replace("br-lan", "lan0"))
        self.lan.nft(SINK % (STRANGERS, CLIENTS))  # flows.c has taken its copy before
        self.wan.nft(SINK % (WAN, STRANGERS))
        self.daemon = lab.Daemon(self, "requests-per-second = 0\nmin-lifetime = 1", lan=("lan0",), build=BUILD)
        os.sched_setaffinity(self.daemon.pid, [DAEMON_CPU])

    def crowd(self, *arguments, cpu=OTHERS_CPU):
        done = self.lan.run("taskset", "-c", str(cpu), TOOLS + "/crowd", SERVER, *map(str, arguments), timeout=120)
        return [float(word) for word in done.stdout.split()]

    def map(self, first, count, lifetime=LIFETIME):
        """Seconds for it, and how many requests had to be repeated."""
        return self.crowd("map", first, count, lifetime, WINDOW)

    def time(self, *arguments):
        """Microseconds for one mapping; on one CPU, lest the waking of another one hides the work."""
        return self.crowd("time", *arguments, MAPS, cpu=DAEMON_CPU)[0]

    def mappings(self):
        return int(self.gw.run(TOOLS + "/flusher", "count").stdout)

    def hold(self, count):
        """From nothing to so many leases."""
        self.map(0, count)
        self.expect(count)

    def expect(self, count):
        found = self.mappings()
        if found != count:
            raise AssertionError(f"{found} mappings in the kernel's table, not {count}")

    def flush(self, *program):
        return float(self.gw.run(TOOLS + "/flusher", "flush", *program).stdout)

    def proc(self, file, name):
        """The number after the name."""
        with open(f"/proc/{self.daemon.pid}/{file}", encoding="ascii") as text:
            return next(int(line.split()[1]) for line in text if line.startswith(name + ":"))

    def cpu_seconds(self):
        with open(f"/proc/{self.daemon.pid}/schedstat", encoding="ascii") as text:
            return int(text.read().split()[0]) / 1e9

    def sleeps(self):
        return self.proc("status", "voluntary_ctxt_switches")

    def answers(self):
        """Packets that reached the strangers."""
        words = self.wan.run("nft", "list", "table", "inet", "sink").stdout.split()
        return int(words[words.index("packets") + 1])

    def flows(self, ports, first):
        """New flows per second, each of one packet and its answer; conntrack begins and ends empty."""
        before = self.answers()
        done = lab.subprocess.run([TOOLS + "/flows", self.wan.path(), self.lan.path(), WAN, str(FIRST_PORT), str(ports),
                                   str(first), str(FLOWS)], capture_output=True, text=True, check=True, timeout=60)
        answers = self.answers() - before
        self.gw.run("conntrack", "-F")
        if answers < 0.99 * FLOWS:
            raise AssertionError(f"{answers} of {FLOWS} flows were answered")
        return answers / float(done.stdout.split()[0])

    def close(self):
        self.daemon.close()
        for host in (self.gw, self.lan, self.wan):
            host.close()


class Table:
    """What was found, each beside its bound."""

    def __init__(self):
        self.rows = []

    def add(self, what, found, bound="", good=True):
        self.rows.append((what, found, bound, "" if not bound else "pass" if good else "MISS"))

    def at_most(self, what, value, bound, form):
        self.add(what, form.format(value), "<= " + form.format(bound), value <= bound)

    def at_least(self, what, value, bound, form):
        self.add(what, form.format(value), ">= " + form.format(bound), value >= bound)

    def print(self):
        widths = [max(len(row[column]) for row in self.rows) for column in range(4)]
        print()
        for what, found, bound, verdict in self.rows:
            print(f"{what:<{widths[0]}}  {found:>{widths[1]}}  {bound:<{widths[2]}}  {verdict}".rstrip())

    def missed(self):
        return sum(row[3] == "MISS" for row in self.rows)


def go_first():
    """Before whatever else the machine does, for this process and all it starts."""
    try:
        os.sched_setscheduler(0, os.SCHED_FIFO, os.sched_param(1))
    except OSError as error:
        say(f"no real-time priority ({error.strerror}): other programs disturb the figures")


def say(text):
    print(f"{time.monotonic() - BEGIN:5.0f} s  {text}", flush=True)


def middle(values):
    return statistics.median(values)


def ratio(rounds, last, first):
    """The median over the rounds: both of a pair met the same disturbance."""
    return middle([r[last] / r[first] for r in rounds])


def measure_maps(table, gateways):
    """The time of one client's request with more and more leases alive."""
    for kind, says, first, step in (("suggested", "its port free", SPARE, 0), ("any", "port left to us", OTHERS, MAPS)):
        say(f"time per MAP, {says}")
        rounds = [{name: g.time(kind, first + number * step) for name, g in gateways.items()}
                  for number in range(MAP_ROUNDS)]
        for name, g in gateways.items():
            table.add(f"PCP MAP, {says}, {name} leases", f"{middle([r[name] for r in rounds]):.1f} us")
            g.expect(LEASES[name])
        table.at_most("  60k : 0", ratio(rounds, "60k", "0"), 1.5, "{:.2f}")


def measure_flows(table, gateways):
    say("new flows")
    gateways["0"].map(0, 1)
    ports = {"1": 1, "1k": LEASES["1k"], "60k": LEASES["60k"]}
    rounds = []
    for number in range(FLOW_ROUNDS):
        rounds.append({name: gateways["0" if name == "1" else name].flows(count, number * FLOWS)
                       for name, count in ports.items()})
    gateways["0"].map(0, 1, 0)
    for name in ports:
        table.add(f"new flows through {name} mappings", f"{middle([r[name] for r in rounds]) / 1000:.1f} k/s")
    for name in ("1k", "60k"):
        table.at_least(f"  {name} : 1", ratio(rounds, name, "1"), 0.85, "{:.2f}")


def measure_rate(table, gateway):
    say("requests per second")
    rates, core, again = [], [], 0
    for _ in range(RATE_ROUNDS):
        cpu = gateway.cpu_seconds()
        took, repeated = gateway.map(0, RATE_MAPS)
        core.append(RATE_MAPS / (gateway.cpu_seconds() - cpu))
        rates.append(RATE_MAPS / took)
        again += repeated
        gateway.expect(RATE_MAPS)
        gateway.map(0, RATE_MAPS, 0)
        gateway.expect(0)
    table.at_least("PCP MAPs answered", middle(rates), RATE_WANTED, "{:.0f} /s")
    table.add("  per second of the daemon's CPU time", f"{middle(core):.0f} /s")
    table.add("  requests that had to be repeated", f"{again:.0f}")


def measure_restore(table, gateway):
    say("foreign flushes")
    stays, ends = [], []
    gateway.hold(100)
    for _ in range(FLUSHES):
        for times, program in ((stays, ()), (ends, ("nft", "flush", "ruleset"))):
            times.append(gateway.flush(*program))
            time.sleep(FLUSH_GAP)
    table.at_most("table back after a flush, flusher stays", middle(stays), 5, "{:.1f} ms")
    table.at_most("table back after `nft flush ruleset`", middle(ends), 40, "{:.1f} ms")


def measure_memory(table, gateway, big, before):
    table.at_most("resident with 100 leases", gateway.proc("status", "VmRSS") / 1024, 6, "{:.2f} MB")
    table.at_most("  of it anonymous", gateway.proc("status", "RssAnon") / 1024, 1.5, "{:.2f} MB")
    grown = (big.proc("status", "RssAnon") - before) * 1024
    table.at_most("memory per lease", grown / LEASES["60k"], 400, "{:.0f} octets")


def measure_idle(table, quiet, ending, started):
    wait = started + ANNOUNCEMENTS_OVER - time.monotonic()
    if wait > 0:
        say(f"{wait:.0f} s until the announcements are over")
        time.sleep(wait)
    say(f"idle for {IDLE} s")
    ending.map(100, 1, IDLE // 2)
    before = quiet.sleeps(), ending.sleeps()
    time.sleep(IDLE)
    after = quiet.sleeps(), ending.sleeps()
    quiet.expect(100)
    ending.expect(100)
    table.at_most(f"wake-ups of the idle daemon in {IDLE} s", after[0] - before[0], 0, "{}")
    # Its end, and the kernel's word of the commit.
    table.at_most("  if a lease ends meanwhile", after[1] - before[1], 2, "{}")


def measure(table, stack):
    def gateway():
        return stack.enter_context(contextlib.closing(Gateway(folder)))

    memory = "/dev/shm" if os.path.isdir("/dev/shm") else None  # no log that waits for a disk
    folder = stack.enter_context(tempfile.TemporaryDirectory(prefix="portlease-bench-", dir=memory))
    os.chmod(folder, 0o755)
    go_first()
    os.sched_setaffinity(0, [OTHERS_CPU])
    say("start")
    quiet, ending, started = gateway(), gateway(), time.monotonic()
    quiet.hold(100)
    ending.hold(100)
    gateways = {name: gateway() for name in LEASES}
    before = gateways["60k"].proc("status", "RssAnon")
    for name, count in LEASES.items():
        gateways[name].hold(count)
    measure_memory(table, quiet, gateways["60k"], before)
    measure_flows(table, gateways)
    measure_maps(table, gateways)
    measure_rate(table, gateway())
    measure_restore(table, gateway())
    measure_idle(table, quiet, ending, started)


def main():
    table = Table()
    with contextlib.ExitStack() as stack:
        measure(table, stack)
    table.print()
    missed = table.missed()
    if missed:
        print(f"\n{missed} missed")
    return 1 if missed else 0


BEGIN = time.monotonic()
if __name__ == "__main__":
    sys.exit(main())
