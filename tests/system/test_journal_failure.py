# SPDX-License-Identifier: GPL-2.0-or-later
"""journal-failure = refuse, over disks that are full, read-only or not there: who is told of success finds it at the next start."""
import os
import signal
import subprocess

from clients import natpmp_map, pcp_map
from lab import LAN1, WAN, wait_for
from test_parent import another_core
from upnp_client import IP, call, error_of, mapping, name_of

NONCE = b"n" * 12
MANY = 3000


def state_of(lab, daemon):
    return os.path.join(lab.folder, daemon.name + ".state")


def refusing(lab):
    return lab.daemon("journal-failure = refuse", start=False)


def kill_core(daemon):
    core = daemon.pid
    os.kill(core, signal.SIGKILL)
    another_core(daemon, core)
    wait_for(daemon.answers, 10)


def ports(daemon):
    return sorted(lease["external_port"] for lease in daemon.leases())


def map_by_all(lab, daemon):
    daemon.logged("upnp: serving")
    assert natpmp_map(lab.lan1, "tcp", 8000, 4000).external == 4000
    assert pcp_map(lab.lan1, LAN1, "tcp", 8001, 4001, nonce=NONCE).external == 4001
    call(lab.lan1, IP, 1, "AddPortMapping", mapping(4002, 8002, LAN1))
    for port in (8000, 8001, 8002):
        lab.server(lab.lan1, "tcp", port)


def all_is_refused(lab, daemon):
    """By every protocol and the command line, and kernel and list stay as they were."""
    before = ports(daemon)
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
    assert ports(daemon) == before and sorted(lab.external_ports("tcp")) == kernel
    assert daemon.status()["counters"]["journal_refusals"] > 0
    for port in (4000, 4001, 4002):
        assert lab.wan.tcp(WAN, port).startswith("lan1 saw")


def all_is_done(lab, daemon):
    assert natpmp_map(lab.lan1, "tcp", 8100, 4100).external == 4100
    assert pcp_map(lab.lan1, LAN1, "tcp", 8001, 4001, lifetime=0, nonce=NONCE).result == 0
    call(lab.lan1, IP, 1, "DeletePortMapping", name_of(4002))
    done = ports(daemon)
    assert 4100 in done and 4001 not in done and 4002 not in done
    kill_core(daemon)
    assert ports(daemon) == done


def is_said(daemon, why):
    daemon.logged(f'<3>journal: failed reason=.*{why}.* hint="new mappings are refused')
    assert daemon.log().count("journal: failed") == 1
    assert daemon.status()["journal_refuses"]
    assert "; new mappings are refused" in daemon.cli("status").stdout


def works_again(daemon):
    daemon.logged("journal: works again", 15)
    assert daemon.status()["journal_fault"] == "" and not daemon.status()["journal_refuses"]


def fill(path):
    with open(path, "wb", buffering=0) as file:
        try:
            while file.write(b"x" * 4096) == 4096:
                pass
        except OSError:
            pass


def test_a_disk_that_is_full(lab):
    daemon = refusing(lab)
    state = state_of(lab, daemon)
    os.makedirs(state)
    daemon.within = ("unshare", "--mount", "sh", "-c", f'mount -t tmpfs -o size=1m none {state} && exec "$@"', "sh")
    daemon.start()
    inside = f"/proc/{daemon.parent}/root{state}"
    map_by_all(lab, daemon)
    fill(f"{inside}/big")
    # The log still has room of its own.
    granted = 3
    while natpmp_map(lab.lan1, "tcp", 8200, 0, 3600 + granted).result == 0 and granted < MANY:
        granted += 1
    assert granted < MANY
    is_said(daemon, "full")
    all_is_refused(lab, daemon)
    is_said(daemon, "full")
    before = ports(daemon)
    # What is over ends all the same, and what was answered is there for the next core.
    kill_core(daemon)
    assert ports(daemon) == before
    os.unlink(f"{inside}/big")
    wait_for(lambda: daemon.status()["journal_fault"] == "", 15)
    all_is_done(lab, daemon)


def test_a_disk_that_can_only_be_read(lab):
    daemon = refusing(lab)
    daemon.start()
    map_by_all(lab, daemon)
    before = ports(daemon)
    assert daemon.stop() == 0
    folder = state_of(lab, daemon)
    daemon.within = ("unshare", "--mount", "sh", "-c",
                     f'mount --bind {folder} {folder} && mount -o remount,bind,ro {folder} && exec "$@"', "sh")
    daemon.start()
    daemon.logged("upnp: serving")
    assert ports(daemon) == before
    is_said(daemon, "can only be read")
    all_is_refused(lab, daemon)
    subprocess.run(["nsenter", f"--mount=/proc/{daemon.parent}/ns/mnt", "mount", "-o", "remount,bind,rw", folder], check=True)
    works_again(daemon)
    all_is_done(lab, daemon)


def test_what_is_over_ends_without_a_disk(lab):
    daemon = refusing(lab)
    daemon.start()
    assert natpmp_map(lab.lan1, "tcp", 8000, 4000, 3).lifetime == 3
    os.rename(state_of(lab, daemon), state_of(lab, daemon) + ".gone")
    assert natpmp_map(lab.lan1, "tcp", 8001, 4001).result == 4
    is_said(daemon, "moved or removed")
    wait_for(lambda: ports(daemon) == [], 10)
    assert lab.external_ports("tcp") == {}
    os.rename(state_of(lab, daemon) + ".gone", state_of(lab, daemon))
    works_again(daemon)
    assert natpmp_map(lab.lan1, "tcp", 8001, 4001).external == 4001
    kill_core(daemon)
    assert ports(daemon) == [4001]
