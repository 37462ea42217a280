#!/usr/bin/python3
# SPDX-License-Identifier: GPL-2.0-or-later
"""Measures the daemon on gateways in network namespaces and holds each figure against its bound.

What is compared with each other is measured in turns, in one run, since the machine may be busy with other things.
"""
import contextlib
import os
import sys
import tempfile
import time

import journal
import restart
import upnp
from gateway import OTHERS_CPU, QUICK, Gateway, Table, go_first, middle, ratio, say

SPARE = 60000      # its mapping and those above are made and deleted again
OTHERS = 10000     # clients from there up hold no mapping
RATE_WANTED = 20000

LEASES = {"0": 0, "1k": 1000, "10k": 3000 if QUICK else 10000, "60k": 6000 if QUICK else 60000}
MAP_ROUNDS, MAPS = (5, 50) if QUICK else (25, 100)
FLOW_ROUNDS, FLOWS = (3, 5000) if QUICK else (25, 20000)
RATE_ROUNDS, RATE_MAPS = (2, 6000) if QUICK else (5, 60000)
FLUSHES = 5 if QUICK else 25
FLUSH_GAP = 1.1    # seconds: the daemon puts the table back at most once a second for long
ANNOUNCEMENTS_OVER = 0 if QUICK else 130
IDLE = 5 if QUICK else 30


def measure_maps(table, gateways):
    """The time of one client's request with more and more leases alive."""
    for kind, says, first, step in (("suggested", "its port free", SPARE, 0), ("any", "port left to us", OTHERS, MAPS)):
        say(f"time per MAP, {says}")
        rounds = [{name: g.time(kind, first + number * step, MAPS) for name, g in gateways.items()}
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
        rounds.append({name: gateways["0" if name == "1" else name].flows(count, number * FLOWS, FLOWS)
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
    table.at_most("  if a lease ends meanwhile", after[1] - before[1], 2, "{}")  # the disk is waited for, too


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
    restart.measure(table, gateway(), LEASES["10k"])
    journal.measure(table, folder)
    upnp.measure(table, lambda beside: stack.enter_context(contextlib.closing(upnp.UpnpGateway(folder, beside))))
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


if __name__ == "__main__":
    sys.exit(main())
