# SPDX-License-Identifier: GPL-2.0-or-later
"""journal-failure = refuse, over disks that are full, read-only or not there: who is told of success finds it at the next start."""
import os

from clients import natpmp_map, pcp_map
from lab import LAN1, WAN, wait_for
from test_journal import fill, make_writable, map_by_all, read_only, start_on_small_disk, state
from test_parent import kill_core
from upnp_client import IP, call, error_of, mapping, name_of

NONCE = b"n" * 12
MANY = 3000


def refusing(lab):
    return lab.daemon("journal-failure = refuse", start=False)


def all_is_refused(lab, daemon):
    """By every protocol and the command line, and kernel and list stay as they were."""
    before = daemon.ports()
    kernel = sorted(lab.external_ports("tcp"))
    assert natpmp_map(lab.lan1, "tcp", 8100, 4100).result == 4
    assert natpmp_map(lab.lan1, "tcp", 8000, 4000, 60).result == 4
    assert natpmp_map(lab.lan1, "tcp", 8000, 4000, 0).result == 4
    answer = pcp_map(lab.lan1, LAN1, "tcp", 8101, 4101, nonce=NONCE)
    assert (answer.result, answer.lifetime) == (8, 30)
    assert pcp_map(lab.lan1, LAN1, "tcp", 8001, 4001, lifetime=0, nonce=NONCE).result == 8
    assert error_of(lab.lan1, IP, 1, "AddPortMapping", mapping(4102, 8102, LAN1)) == 501
    assert error_of(lab.lan1, IP, 1, "AddPortMapping", mapping(4002, 8102, LAN1)) == 501
    assert error_of(lab.lan1, IP, 1, "DeletePortMapping", name_of(4002)) == 501
    for arguments, why in ((["add", "web", "tcp:4103", LAN1 + ":8103"], "journal"), (["remove", "tcp:4000"], "journal"),
                           (["flush"], "still there")):
        done = daemon.cli(*arguments, check=False)
        assert done.returncode == 1 and why in done.stderr, done
    assert daemon.ports() == before and sorted(lab.external_ports("tcp")) == kernel
    assert daemon.status()["counters"]["journal_refusals"] > 0
    for port in (4000, 4001, 4002):
        assert lab.wan.tcp(WAN, port).startswith("lan1 saw")


def all_is_done(lab, daemon):
    assert natpmp_map(lab.lan1, "tcp", 8100, 4100).external == 4100
    assert pcp_map(lab.lan1, LAN1, "tcp", 8001, 4001, lifetime=0, nonce=NONCE).result == 0
    call(lab.lan1, IP, 1, "DeletePortMapping", name_of(4002))
    done = daemon.ports()
    assert 4100 in done and 4001 not in done and 4002 not in done
    kill_core(daemon)
    assert daemon.ports() == done


def is_said(daemon, why):
    daemon.logged(f'<3>journal: failed reason=.*{why}.* hint="new mappings are refused')
    assert daemon.log().count("journal: failed") == 1
    assert daemon.status()["journal_refuses"]
    assert "; new mappings are refused" in daemon.cli("status").stdout


def works_again(daemon):
    daemon.logged("journal: works again", 15)
    assert daemon.status()["journal_fault"] == "" and not daemon.status()["journal_refuses"]


def test_a_disk_that_is_full(lab):
    daemon = refusing(lab)
    big = start_on_small_disk(lab, daemon)
    map_by_all(lab, daemon)
    fill(big)
    # The log still has room of its own.
    granted = 3
    while natpmp_map(lab.lan1, "tcp", 8200, 0, 3600 + granted).result == 0 and granted < MANY:
        granted += 1
    assert granted < MANY
    is_said(daemon, "full")
    all_is_refused(lab, daemon)
    is_said(daemon, "full")
    before = daemon.ports()
    # What is over ends all the same, and what was answered is there for the next core.
    kill_core(daemon)
    assert daemon.ports() == before
    os.unlink(big)
    wait_for(lambda: daemon.status()["journal_fault"] == "", 15)
    all_is_done(lab, daemon)


def test_a_disk_that_can_only_be_read(lab):
    daemon = refusing(lab)
    daemon.start()
    map_by_all(lab, daemon)
    before = daemon.ports()
    assert daemon.stop() == 0
    folder = state(lab, daemon)
    daemon.within = ("unshare", "--mount", "sh", "-c", f'{read_only(folder)} && exec "$@"', "sh")
    daemon.start()
    daemon.logged("upnp: serving")
    assert daemon.ports() == before
    is_said(daemon, "can only be read")
    all_is_refused(lab, daemon)
    make_writable(daemon, folder)
    works_again(daemon)
    all_is_done(lab, daemon)


def test_what_is_over_ends_without_a_disk(lab):
    daemon = refusing(lab)
    daemon.start()
    assert natpmp_map(lab.lan1, "tcp", 8000, 4000, 3).lifetime == 3
    os.rename(state(lab, daemon), state(lab, daemon) + ".gone")
    assert natpmp_map(lab.lan1, "tcp", 8001, 4001).result == 4
    is_said(daemon, "moved or removed")
    wait_for(lambda: daemon.ports() == [], 10)
    assert lab.external_ports("tcp") == {}
    os.rename(state(lab, daemon) + ".gone", state(lab, daemon))
    works_again(daemon)
    assert natpmp_map(lab.lan1, "tcp", 8001, 4001).external == 4001
    kill_core(daemon)
    assert daemon.ports() == [4001]
