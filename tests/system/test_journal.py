# SPDX-License-Identifier: GPL-2.0-or-later
"""What was answered is still there after the daemon was killed, the machine was booted, or the disk did what disks do."""
import glob
import os
import socket
import subprocess

import pytest

from clients import natpmp_address, natpmp_map, pcp_map
from lab import LAN1, LAN2, WAN, wait_for
from test_parent import kill_core
from upnp_client import IP, call, mapping

# What differs from one moment to the next.
MOMENTARY = ("remaining", "age", "connections", "live")


def lasting(daemon):
    return [{key: value for key, value in lease.items() if key not in MOMENTARY} for lease in daemon.leases()]


def state(lab, daemon):
    return os.path.join(lab.folder, daemon.name + ".state")


def journal(daemon, lab, suffix=""):
    return os.path.join(state(lab, daemon), "journal.db" + suffix)


def map_by_all(lab, daemon):
    """One mapping of each protocol, with a server behind each; what the list says of them."""
    daemon.logged("upnp: serving")
    for port in (8000, 8001, 8002):
        lab.server(lab.lan1, "tcp", port)
    assert natpmp_map(lab.lan1, "tcp", 8000, 4000).external == 4000
    assert pcp_map(lab.lan1, LAN1, "tcp", 8001, 4001, nonce=b"n" * 12).external == 4001
    call(lab.lan1, IP, 1, "AddPortMapping", mapping(4002, 8002, LAN1))
    return lasting(daemon)


def all_are_there(lab, daemon, leases):
    assert lasting(daemon) == leases
    assert sorted(lab.external_ports("tcp")) == [4000, 4001, 4002]
    for port in (4000, 4001, 4002):
        assert lab.wan.tcp(WAN, port).startswith("lan1 saw")


def test_a_killed_daemon_starts_with_all_it_had(lab, daemon):
    leases = map_by_all(lab, daemon)
    epoch = wait_for(lambda: natpmp_address(lab.lan1).epoch, 3, "an epoch above 0")
    with lab.wan.bound(socket.SOCK_STREAM) as busy:
        busy.settimeout(10)
        busy.connect((WAN, 4000))
        busy.send(b"one")
        assert busy.recv(100).endswith(b"one")
        daemon.kill()
        daemon.start()
        busy.send(b"two")
        assert busy.recv(100).endswith(b"two")
    all_are_there(lab, daemon, leases)
    daemon.logged(r"journal: leases put back count=3 ended=0")
    assert natpmp_address(lab.lan1).epoch >= epoch
    # It is still the client's, and nobody else's.
    assert pcp_map(lab.lan1, LAN1, "tcp", 8001, 4001, nonce=b"x" * 12).result == 2
    assert pcp_map(lab.lan1, LAN1, "tcp", 8001, 4001, nonce=b"n" * 12).external == 4001
    assert natpmp_map(lab.lan1, "tcp", 8000, 4000, 0).result == 0
    call(lab.lan1, IP, 1, "DeletePortMapping", {"NewRemoteHost": "", "NewExternalPort": 4002, "NewProtocol": "TCP"})
    daemon.kill()
    daemon.start()
    assert [lease["external_port"] for lease in daemon.leases()] == [4001]
    assert sorted(lab.external_ports("tcp")) == [4001]


def test_the_next_core_goes_on(lab, daemon):
    leases = map_by_all(lab, daemon)
    kill_core(daemon)
    all_are_there(lab, daemon, leases)


def test_a_table_that_is_not_there_is_made_anew(lab, daemon):
    leases = map_by_all(lab, daemon)
    daemon.kill()
    lab.gw.nft("delete table inet portlease\n")
    daemon.start()
    all_are_there(lab, daemon, leases)


def boot(lab, daemon, also=""):
    """The next start finds another boot id, a clock that begins again, and an empty kernel; and what the shell is to do also."""
    lab.gw.nft("delete table inet portlease\n")
    boot_id = os.path.join(lab.folder, "boot_id")
    with open(boot_id, "w", encoding="ascii") as file:
        file.write("0b00d000-1111-4222-8333-444455556666\n")
    with open("/proc/uptime", encoding="ascii") as file:
        up = int(float(file.read().split()[0]))
    # Who is started in another time namespace is not in it yet; the core, which it starts, is.
    daemon.within = ("unshare", "--mount", "--time", "--boottime", str(10 - up), "sh", "-c",
                     f'mount --bind {boot_id} /proc/sys/kernel/random/boot_id {also}&& exec "$@"', "sh")


def read_only(folder):
    """For the shell of the next start: only the daemon sees it so."""
    return f"mount --bind {folder} {folder} && mount -o remount,bind,ro {folder}"


def make_writable(daemon, folder):
    subprocess.run(["nsenter", f"--mount=/proc/{daemon.parent}/ns/mnt", "mount", "-o", "remount,bind,rw", folder], check=True)


def test_after_a_boot(lab):
    """Another boot id, a clock that begins again, and an empty kernel."""
    daemon = lab.daemon()
    leases = map_by_all(lab, daemon)
    assert natpmp_map(lab.lan1, "tcp", 8000, 4000, 7200).lifetime == 7200
    natpmp_map(lab.lan1, "udp", 8005, 4005, 1)
    leases[0]["lifetime"] = 7200
    daemon.kill()
    boot(lab, daemon)
    daemon.start()
    wait_for(lambda: len(daemon.leases()) == 3, 10, "the one of a second ends")
    all_are_there(lab, daemon, leases)
    assert 7200 - 600 < daemon.leases()[0]["remaining"] <= 7200
    assert natpmp_address(lab.lan1).epoch < 600
    daemon.logged("journal: leases put back")


def ruin(daemon, lab):
    for path in glob.glob(journal(daemon, lab, "*")):
        with open(path, "r+b") as file:
            file.write(b"rubbish " * 1024)


@pytest.mark.parametrize("harm", ["ruined", "gone"])
def test_without_a_journal_the_kernel_tells(lab, daemon, harm):
    """Ids, endpoints, names and what is left of the lifetimes; not the nonce, nor the texts."""
    map_by_all(lab, daemon)
    assert daemon.cli("add", "by hand", "tcp:4003", f"{LAN1}:8003").returncode == 0
    lab.server(lab.lan1, "tcp", 8003)
    before = daemon.leases()
    daemon.kill()
    if harm == "ruined":
        ruin(daemon, lab)
    else:
        for path in glob.glob(journal(daemon, lab, "*")):
            os.unlink(path)
    daemon.start()
    if harm == "ruined":
        daemon.logged("journal: ruined moved-to=journal.db.ruined.1")
        with open(journal(daemon, lab, ".ruined.1"), "rb") as file:
            assert file.read(7) == b"rubbish"
    daemon.logged("firewall: leases taken from the kernel count=4")
    after = daemon.leases()
    assert len(after) == 4
    for old, new in zip(before, after):
        for key in ("id", "origin", "transport", "external_port", "internal_address", "internal_port", "remote_address", "name",
                    "lifetime", "outbound"):
            assert new[key] == old[key], key
        assert new["remaining"] is None or old["remaining"] - 10 <= new["remaining"] <= old["remaining"]
    assert natpmp_address(lab.lan1).epoch < 60
    for port in (4000, 4001, 4002, 4003):
        assert lab.wan.tcp(WAN, port).startswith("lan1 saw")
    # The first nonce of the lease's own host is its nonce; another's, of whatever nonce, makes another mapping.
    assert pcp_map(lab.lan2, LAN2, "tcp", 8001, 4001, nonce=b"x" * 12).external != 4001
    assert pcp_map(lab.lan1, LAN1, "tcp", 8001, 4001, nonce=b"m" * 12).external == 4001
    assert pcp_map(lab.lan1, LAN1, "tcp", 8001, 4001, nonce=b"n" * 12).result == 2
    daemon.kill()
    daemon.start()
    assert len(daemon.leases()) == 5


def test_a_journal_of_a_newer_version_stops_the_start(lab, daemon):
    natpmp_map(lab.lan1, "tcp", 8000, 4000)
    assert daemon.stop() == 0
    path = journal(daemon, lab)
    with open(path, "r+b") as file:
        file.seek(60)  # the user version
        file.write((99).to_bytes(4, "big"))
    with open(path, "rb") as file:
        before = file.read()
    daemon.start(ready=False)
    assert daemon.process.wait(20) == 1
    daemon.logged("was written by a newer portlease: its schema is 99")
    with open(path, "rb") as file:
        assert file.read() == before
    with open(path, "r+b") as file:
        file.seek(60)
        file.write((1).to_bytes(4, "big"))
    daemon.start()


def test_nobody_else_reads_it(lab, daemon):
    natpmp_map(lab.lan1, "tcp", 8000, 4000)
    files = glob.glob(journal(daemon, lab, "*"))
    assert len(files) == 2
    for path in files:
        assert os.stat(path).st_mode & 0o777 == 0o600


@pytest.mark.parametrize("sync", ["full", "normal", "off"])
def test_all_ways_to_sync(lab, sync):
    daemon = lab.daemon(f"journal-sync = {sync}")
    natpmp_map(lab.lan1, "tcp", 8000, 4000)
    daemon.kill()
    daemon.start()
    assert len(daemon.leases()) == 1


def test_the_log_stays_short(lab):
    """Each of these writes a page of 1 KB, and more than its size goes into it."""
    daemon = lab.daemon("requests-per-second = 0")
    assert pcp_map(lab.lan1, LAN1, "tcp", 8000, 4000, nonce=b"n" * 12).result == 0
    before = os.stat(journal(daemon, lab)).st_mtime_ns
    for _ in range(1100):
        assert pcp_map(lab.lan1, LAN1, "tcp", 8000, 4000, nonce=b"n" * 12).result == 0
    assert os.stat(journal(daemon, lab)).st_mtime_ns > before
    assert os.path.getsize(journal(daemon, lab, "-wal")) < 1200 << 10
    daemon.kill()
    daemon.start()
    assert len(daemon.leases()) == 1


def test_stopped_and_started_nobody_notices(lab, daemon):
    """Packets come in all the time."""
    leases = map_by_all(lab, daemon)
    with lab.wan.bound(socket.SOCK_STREAM) as busy:
        busy.settimeout(10)
        busy.connect((WAN, 4000))
        assert daemon.stop() == 0
        for port in (4000, 4001, 4002):
            assert lab.wan.tcp(WAN, port).startswith("lan1 saw")
        daemon.start()
        busy.send(b"two")
        assert busy.recv(100).endswith(b"two")
    all_are_there(lab, daemon, leases)


def test_on_exit_remove(lab):
    daemon = lab.daemon("on-exit = remove")
    natpmp_map(lab.lan1, "tcp", 8000, 4000)
    daemon.cli("add", "web", "tcp:80", LAN1)
    assert daemon.stop() == 0
    daemon.start()
    assert daemon.leases() == [] and lab.external_ports("tcp") == {}
    assert natpmp_map(lab.lan1, "tcp", 8000, 4000).external == 4000
    # A crash is no end that was wanted.
    daemon.kill()
    daemon.start()
    assert len(daemon.leases()) == 1


def start_on_small_disk(lab, daemon):
    """Of one megabyte; where a file can take what is left."""
    folder = state(lab, daemon)
    os.makedirs(folder)
    daemon.within = ("unshare", "--mount", "sh", "-c", f'mount -t tmpfs -o size=1m none {folder} && exec "$@"', "sh")
    daemon.start()
    return f"/proc/{daemon.parent}/root{folder}/big"


def fill(path):
    with open(path, "wb", buffering=0) as file:
        try:
            while file.write(b"x" * 4096) == 4096:
                pass
        except OSError:
            pass


def test_a_disk_that_is_full(lab):
    """Of one megabyte, and another's file takes what is left: mappings are granted, and written once there is room."""
    daemon = lab.daemon(start=False)
    big = start_on_small_disk(lab, daemon)
    assert daemon.status()["journal_fault"] == ""
    assert "journal     works" in daemon.cli("status").stdout
    fill(big)
    for port in range(4000, 4040):
        assert natpmp_map(lab.lan1, "tcp", port, port).external == port
    daemon.logged("<3>journal: failed reason=.*full")
    assert daemon.log().count("journal: failed") == 1
    assert "full" in daemon.status()["journal_fault"]
    assert "journal     failed: " in daemon.cli("status").stdout
    os.unlink(big)
    daemon.logged("journal: works again leases=40", 15)
    assert daemon.status()["journal_fault"] == ""
    kill_core(daemon)
    assert len(daemon.leases()) == 40
