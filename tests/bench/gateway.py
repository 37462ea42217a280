# SPDX-License-Identifier: GPL-2.0-or-later
"""What is measured, and the table of what was found."""
import os
import statistics
import subprocess
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
LIFETIME = 80000
WINDOW = 256       # requests that wait for an answer at a time

DAEMON_CPU, OTHERS_CPU = max(os.sched_getaffinity(0)), min(os.sched_getaffinity(0))
BEGIN = time.monotonic()

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

    def __init__(self, folder, settings="", disk=None):
        """disk: a folder for the journal, if it is to be somewhere else."""
        self.folder = tempfile.mkdtemp(dir=folder)
        os.chmod(self.folder, 0o755)
        self.closers = []
        self.daemons = 0
        self.gw, self.lan, self.wan = (lab.Host(n) for n in ("gw", "lan", "wan"))
        for name, host in (("lan0", self.lan), ("wan0", self.wan)):
            subprocess.run(["ip", "link", "add", name, "netns", self.gw.path(), "type", "veth",
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
        limits = "requests-per-second = 0\nhttp-requests-per-second = 0\nmin-lifetime = 1\n"
        self.daemon = lab.Daemon(self, limits + settings, lan=("lan0",), build=BUILD, start=False)
        self.state = os.path.join(self.folder, self.daemon.name + ".state")
        self.mounted = disk is not None
        if self.mounted:
            os.mkdir(self.state)
            subprocess.run(["mount", "--bind", disk, self.state], check=True)
        self.daemon.start()
        os.sched_setaffinity(self.daemon.pid, [DAEMON_CPU])

    def crowd(self, *arguments, cpu=OTHERS_CPU):
        done = self.lan.run("taskset", "-c", str(cpu), TOOLS + "/crowd", SERVER, *map(str, arguments), timeout=120)
        return [float(word) for word in done.stdout.split()]

    def map(self, first, count, lifetime=LIFETIME, window=WINDOW):
        """Seconds for it, and how many requests had to be repeated."""
        return self.crowd("map", first, count, lifetime, window)

    def time(self, *arguments):
        """Microseconds for one mapping; on one CPU, lest the waking of another one hides the work."""
        return self.crowd("time", *arguments, cpu=DAEMON_CPU)[0]

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

    def flows(self, ports, first, count):
        """New flows per second, each of one packet and its answer; conntrack begins and ends empty."""
        before = self.answers()
        done = subprocess.run([TOOLS + "/flows", self.wan.path(), self.lan.path(), WAN, str(FIRST_PORT), str(ports),
                                   str(first), str(count)], capture_output=True, text=True, check=True, timeout=60)
        answers = self.answers() - before
        self.gw.run("conntrack", "-F")
        if answers < 0.99 * count:
            raise AssertionError(f"{answers} of {count} flows were answered")
        return answers / float(done.stdout.split()[0])

    def close(self):
        self.daemon.close()
        if self.mounted:
            subprocess.run(["umount", self.state], check=True)
        for host in (self.gw, self.lan, self.wan):
            host.close()


class Table:
    """What was found, each beside its bound."""

    def __init__(self):
        self.rows = []

    def add(self, what, found, bound="", good=True):
        self.rows.append((what, found, bound, "" if not bound else "pass" if good else "MISS"))

    def leave(self, what, found, why):
        """Not judged."""
        self.rows.append((what, found, "not judged: " + why, ""))

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
