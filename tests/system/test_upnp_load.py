# SPDX-License-Identifier: GPL-2.0-or-later
"""A worker under load, under attack, and dying of it."""
import os
import signal
import statistics
import threading
import time

import pytest

import upnp_client as upnp
from lab import LAN, LAN1, LAN2, TIMED, is_running, wait_for
from upnp_client import IP, call, mapping
from upnp_load import Asker, seconds_until_served, times_under_attack

CLIENTS = 64
KILLS = 10
KILL_GAP = 2.6  # seconds: who dies five times in ten seconds has to wait
FLOOR = 0.01    # seconds that are no delay, whatever the machine


def worker_counters(daemon):
    return next(i["worker"] for i in daemon.status()["interfaces"] if i["role"] == "lan")


def worker_of(daemon):
    """One that serves."""
    wait_for(lambda: worker_counters(daemon)["state"] == "ready", 10, "a worker serves")
    return daemon.children("portleased-upnp")[0]


def add_at_once(lab, first):
    """64 clients, each with its mapping; their requests leave together."""
    wishes = [mapping(first + n, 8000 + n, LAN1, description=f"client {n}") for n in range(CLIENTS)]
    together, answers = threading.Barrier(CLIENTS), [None] * CLIENTS

    def ask(number):
        together.wait(20)
        answers[number] = call(lab.lan1, IP, 2, "AddAnyPortMapping", wishes[number])
    threads = [threading.Thread(target=ask, args=(n,)) for n in range(CLIENTS)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert answers == [{"NewReservedPort": str(first + n)} for n in range(CLIENTS)]


def test_clients_that_add_at_once(lab):
    """Each gets its own answer and mapping, and calls that come together share a batch."""
    daemon = lab.daemon()
    worker_of(daemon)
    for attempt in range(10):
        add_at_once(lab, 10000 + attempt * CLIENTS)
        counters = worker_counters(daemon)
        if 1 < counters["largest_batch"] and counters["batches"] < counters["calls"]:
            break
    assert counters["calls"] == (attempt + 1) * CLIENTS
    assert counters["largest_batch"] > 1 and counters["batches"] < counters["calls"]
    leases = {lease["external_port"]: lease for lease in daemon.leases()}
    assert sorted(leases) == list(range(10000, 10000 + counters["calls"]))
    for port, lease in leases.items():
        number = (port - 10000) % CLIENTS
        assert (lease["internal_address"], lease["internal_port"], lease["description"]) == \
            (LAN1, 8000 + number, f"client {number}")


@TIMED
@pytest.mark.parametrize("held", [100, 550])
def test_who_idles_or_drips_does_not_delay_others(lab, held):
    daemon = lab.daemon(extra=f"http-connections-per-client = {held}\nhttp-requests-per-second = 0")
    worker_of(daemon)
    quiet, attacked, most = times_under_attack(lab.lan2, lab.lan1, LAN)
    assert most == held, "the attack is one"
    assert attacked <= max(3 * quiet, FLOOR), (quiet, attacked)


def leases_of(daemon):
    return {lease["external_port"]: (lease["id"], lease["internal_address"], lease["internal_port"])
            for lease in daemon.leases()}


@TIMED
def test_a_worker_killed_again_and_again(lab):
    daemon = lab.daemon()
    worker_of(daemon)
    call(lab.lan2, IP, 1, "AddPortMapping", mapping(1024, 8000, LAN2))
    askers = [lab.closing(Asker(host, LAN, client, range(first, first + 20))) for host, client, first in
              ((lab.lan1, LAN1, 10000), (lab.lan1, LAN1, 30000), (lab.lan2, LAN2, 50000))]
    wait_for(lambda: all(a.progress() >= len(a.ports) for a in askers), 10, "each has all of its mappings")
    leases, waits = leases_of(daemon), []
    for _ in range(KILLS):
        worker, before = worker_of(daemon), [asker.progress() for asker in askers]
        wait_for(lambda: all(a.progress() > b for a, b in zip(askers, before)), 10, "all are served")
        os.kill(worker, signal.SIGKILL)
        wait_for(lambda: not is_running(worker))
        waits.append(seconds_until_served(lab.lan2, LAN, 1024))
        time.sleep(KILL_GAP)
    for asker in askers:
        asker.close()
        asker.progress()
    assert leases_of(daemon) == leases, "none is lost, not even for a while"
    assert sorted(leases) == sorted([1024, *(port for asker in askers for port in asker.ports)])
    assert worker_counters(daemon)["starts"] == KILLS + 1
    assert statistics.median(waits) < 1, waits
