# SPDX-License-Identifier: GPL-2.0-or-later
"""What the journal costs on the disk that the build is on, by journal-sync, beside what that disk itself takes."""
import contextlib
import os
import subprocess
import tempfile
import threading
import time

from gateway import BUILD, QUICK, Gateway, middle, ratio, say

MODES = ("full", "normal", "off")
HELD = 1000        # leases, of which all renewals are
# By how many ask at a time: rounds, requests of each.
CROWDS = {1: (3, 200), 8: (3, 800), 64: (3, 3200)} if QUICK else {1: (9, 400), 8: (9, 1600), 64: (15, 6400)}
TIMES = 50 if QUICK else 100
SYNCS = 20 if QUICK else 50
COMMIT = 4096      # octets of a small commit, in whole blocks of the disk
RENEWALS = 50 if QUICK else 200
CHANGES, CHURN = (10000, 2000) if QUICK else (100000, 5000)
IDLE = 10
JUDGED = 0.5       # milliseconds: what a disk may take for the bounds to be judged
RATE_WANTED = 20000
KEPT = {"full": 0.5, "normal": 0.85}  # of the rate without waiting
RENEWAL_MAX = 8192 # a page of the journal, which may lie on two blocks
FILES_MAX = 4      # megabytes


def name_of_disk(folder):
    """Its file system and device; None: it is only memory."""
    found = subprocess.run(["findmnt", "-no", "FSTYPE,SOURCE", "-T", folder], capture_output=True, text=True, check=True)
    kind, source = found.stdout.split()[:2]
    return None if kind in ("tmpfs", "ramfs") else f"{kind} on {source}"


class Disk:
    """Times its bare fdatasync(), over blocks that it has, as the journal's log does most times."""

    def __init__(self, folder):
        self.file = os.open(os.path.join(folder, "bare"), os.O_CREAT | os.O_RDWR, 0o600)
        os.pwrite(self.file, bytes(COMMIT * SYNCS), 0)
        os.fsync(self.file)
        self.block = b"x" * COMMIT
        self.took = []

    def measure(self):
        """The median, in milliseconds."""
        for number in range(SYNCS):
            start = time.perf_counter()
            os.pwrite(self.file, self.block, COMMIT * number)
            os.fdatasync(self.file)
            self.took.append((time.perf_counter() - start) * 1000)
        return middle(self.took[-SYNCS:])

    def close(self):
        os.close(self.file)


class Stalls:
    """How long a fdatasync() takes at most, until it is closed: no answer comes sooner."""

    def __init__(self, folder):
        self.disk = Disk(folder)
        self.over = threading.Event()
        self.thread = threading.Thread(target=self._sync, daemon=True)
        self.thread.start()

    def _sync(self):
        while not self.over.wait(0.02):
            start = time.monotonic()
            os.pwrite(self.disk.file, self.disk.block, 0)
            os.fdatasync(self.disk.file)
            self.disk.took.append(time.monotonic() - start)

    def longest(self):
        """In seconds."""
        return max(self.disk.took, default=0)

    def close(self):
        self.over.set()
        self.thread.join()
        self.disk.close()


def size_of(folder):
    return sum(entry.stat().st_size for entry in os.scandir(folder))


def written(folder):
    """What changes with anything that is written there."""
    return sorted((entry.name, entry.stat().st_size, entry.stat().st_mtime_ns) for entry in os.scandir(folder))


def measure_rates(disk, gateways, clients):
    """One crowd after the other, and the bare disk, each round."""
    say(f"journal, {clients} at a time")
    count, rounds = CROWDS[clients][1], []
    for _ in range(CROWDS[clients][0]):
        rounds.append({"disk": disk.measure()})
        for mode, gateway in gateways.items():
            rounds[-1][mode] = count / gateway.map(HELD, count, window=clients)[0]
            gateway.map(HELD, count, 0)
    return rounds


def judge(table, take, name, value, bound, form):
    """A bound that holds for disks that are fast enough."""
    if take <= JUDGED:
        table.at_least(name, value, bound, form)
    else:
        table.leave(name, form.format(value), f"this disk takes {take:.2f} ms")


def add_rates(table, clients, rounds):
    take = middle([r["disk"] for r in rounds])
    for mode in MODES:
        value = middle([r[mode] for r in rounds])
        name = f"PCP MAPs answered, {clients} at a time, {mode}"
        if clients == 64 and mode == "full":
            judge(table, take, name, value, RATE_WANTED, "{:.0f} /s")
        else:
            table.add(name, f"{value:.0f} /s")
    for mode, bound in KEPT.items():
        name, value = f"  {mode} : off", ratio(rounds, mode, "off")
        if clients == 64:
            judge(table, take, name, value, bound, "{:.2f}")
        else:
            table.add(name, f"{value:.2f}")


def measure_time(table, disk, gateways):
    say("journal, time for one")
    rounds = []
    for _ in range(CROWDS[1][0]):
        rounds.append({mode: gateway.time("suggested", HELD, TIMES) for mode, gateway in gateways.items()})
        rounds[-1]["disk"] = disk.measure() * 1000
    for mode in MODES:
        table.add(f"time per PCP MAP, {mode}", f"{middle([r[mode] for r in rounds]):.0f} us")
    syncs = middle([(r["full"] - r["off"]) / r["disk"] for r in rounds])
    table.at_most("  full - off, in bare fdatasyncs", syncs, 2, "{:.2f}")


def measure_writes(table, gateways):
    """By each page of the file that is made to differ from the disk; the log of the daemon is in memory."""
    say("journal, octets written")
    for mode, gateway in gateways.items():
        before = gateway.proc("io", "write_bytes")
        gateway.map(0, RENEWALS, window=1)
        found = (gateway.proc("io", "write_bytes") - before) / RENEWALS
        table.at_most(f"written for a renewal, {mode}", found, RENEWAL_MAX, "{:.0f} octets")


def measure_size(table, gateway):
    say(f"journal, {CHANGES} changes")
    largest = 0
    for _ in range(CHANGES // CHURN // 2):
        gateway.map(HELD, CHURN)
        gateway.map(HELD, CHURN, 0)
        largest = max(largest, size_of(gateway.state))
    gateway.expect(HELD)
    table.at_most(f"journal after {CHANGES} changes, {HELD} leases", largest / 1e6, FILES_MAX, "{:.2f} MB")


def measure_idle(table, gateways):
    say(f"journal, idle for {IDLE} s")
    before = [(gateway.proc("io", "wchar"), written(gateway.state)) for gateway in gateways.values()]
    time.sleep(IDLE)
    after = [(gateway.proc("io", "wchar"), written(gateway.state)) for gateway in gateways.values()]
    table.at_most(f"written by the idle daemon in {IDLE} s", sum(a[0] - b[0] for a, b in zip(after, before)), 0, "{} octets")
    table.at_most("  files touched", sum(a[1] != b[1] for a, b in zip(after, before)), 0, "{}")


def measure(table, folder):
    with contextlib.ExitStack() as stack:
        disk_folder = stack.enter_context(tempfile.TemporaryDirectory(prefix="journal-", dir=BUILD))
        name = name_of_disk(disk_folder)
        if not name:
            table.leave("the journal on a disk", "", "the build is in memory")
            return
        gateways = {}
        for mode in MODES:
            state = os.path.join(disk_folder, mode)
            os.mkdir(state)
            gateways[mode] = stack.enter_context(contextlib.closing(Gateway(folder, f"journal-sync = {mode}", state)))
            gateways[mode].hold(HELD)
        disk = stack.enter_context(contextlib.closing(Disk(disk_folder)))
        measure_all(table, name, disk, gateways)


def measure_all(table, name, disk, gateways):
    rounds = {clients: measure_rates(disk, gateways, clients) for clients in CROWDS}
    took = sorted(disk.took)
    table.add(f"bare fdatasync of {COMMIT} octets, {name}", f"{middle(took):.3f} ms")
    table.add("  99 of 100 take less than", f"{took[len(took) * 99 // 100]:.3f} ms")
    for clients in CROWDS:
        add_rates(table, clients, rounds[clients])
    measure_time(table, disk, gateways)
    measure_writes(table, gateways)
    measure_size(table, gateways["full"])
    measure_idle(table, gateways)
