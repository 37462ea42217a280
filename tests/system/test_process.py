# SPDX-License-Identifier: GPL-2.0-or-later
"""The process: its privileges, its one instance, who may talk to it, what it does when nothing happens."""
import json
import os
import socket
import statistics
import subprocess
import time

import pytest

from clients import natpmp_address, natpmp_map, pcp_packet, pcp_read, ask
from lab import BUILD, LAN, LAN1, TIMED, wait_for

CAP_NET_ADMIN = 1 << 12


def proc_status(pid):
    with open(f"/proc/{pid}/status", encoding="ascii") as file:
        return dict(line.rstrip("\n").split(":\t", 1) for line in file if ":\t" in line)


def test_privileges_are_one_capability(lab):
    daemon = lab.daemon(build=BUILD)
    status = proc_status(daemon.pid)
    nobody = "\t".join(["65534"] * 4)
    assert (status["Uid"], status["Gid"], status["Groups"].strip()) == (nobody, nobody, "")
    for name in ("CapPrm", "CapEff"):
        assert int(status[name], 16) == CAP_NET_ADMIN, name
    for name in ("CapInh", "CapBnd", "CapAmb"):
        assert int(status[name], 16) == 0, name
    assert status["NoNewPrivs"] == "1"
    assert natpmp_address(lab.lan1).result == 0


def test_a_user_may_be_a_number(lab):
    daemon = lab.daemon(extra="", build=BUILD, start=False)
    with open(daemon.config, encoding="utf-8") as file:
        text = file.read().replace("user = nobody", "user = 54321")
    with open(daemon.config, "w", encoding="utf-8") as file:
        file.write(text)
    daemon.start()
    assert proc_status(daemon.pid)["Uid"].split()[0] == "54321"
    assert natpmp_map(lab.lan1, "tcp", 8000).result == 0


def test_the_privileged_process_links_no_http_or_xml():
    linked = subprocess.run(["ldd", os.path.join(BUILD, "portleased")], capture_output=True, text=True, check=True).stdout
    assert "libevent_core" in linked
    for unwanted in ("microhttpd", "upnp", "ixml", "xml2", "libevent_extra", "libevent-", "ssl", "curl"):
        assert unwanted not in linked


def test_a_second_instance_is_refused(lab, daemon):
    second = lab.daemon(start=False)
    second.start(ready=False)
    assert second.process.wait(10) != 0
    assert f"pid {daemon.parent}" in second.log()
    assert natpmp_map(lab.lan1, "tcp", 8000, 4000).result == 0
    daemon.stop()
    second.start()
    assert natpmp_map(lab.lan1, "tcp", 8000, 4000).result == 0


def as_user(lab, daemon, subcommand, *arguments, groups="--clear-groups"):
    return lab.gw.run("setpriv", "--reuid=54321", "--regid=54321", groups, daemon.build + "/portlease",
                      subcommand, "--socket", daemon.socket, *arguments, check=False)


def one_clear_line(done):
    return done.returncode != 0 and len(done.stderr.strip().splitlines()) == 1 and done.stderr.startswith("portlease: ")


def test_only_root_may_use_the_control_socket_by_default(lab):
    daemon = lab.daemon(build=BUILD)
    natpmp_map(lab.lan1, "tcp", 8000, 4000)
    assert len(daemon.leases()) == 1
    for arguments in (("list",), ("status",), ("remove", "tcp:4000")):
        assert one_clear_line(as_user(lab, daemon, *arguments)), arguments
    assert len(daemon.leases()) == 1


def test_others_may_read_if_configured_but_never_change(lab):
    daemon = lab.daemon(extra="control-access = all", build=BUILD)
    natpmp_map(lab.lan1, "tcp", 8000, 4000)
    assert "4000" in as_user(lab, daemon, "list").stdout
    assert one_clear_line(as_user(lab, daemon, "remove", "tcp:4000"))
    assert len(daemon.leases()) == 1
    daemon.cli("remove", "tcp:4000")
    assert daemon.leases() == [] and lab.external_ports("tcp") == {}


def test_members_of_the_group_may_change(lab):
    """The group is told by a group file of this daemon's own, in a mount namespace."""
    within = ("unshare", "--mount")
    if lab.gw.run(*within, "true", check=False).returncode != 0:
        pytest.skip("no private mount namespace to be had here")
    group = os.path.join(lab.folder, "group")
    with open("/etc/group", encoding="utf-8") as theirs, open(group, "w", encoding="utf-8") as ours:
        ours.write(theirs.read() + "portlease:x:54399:\n")
    daemon = lab.daemon(build=BUILD, within=(*within, "sh", "-c", f'mount --bind {group} /etc/group && exec "$@"', "sh"))
    natpmp_map(lab.lan1, "tcp", 8000, 4000)
    assert one_clear_line(as_user(lab, daemon, "remove", "tcp:4000", groups="--groups=54398"))
    assert len(daemon.leases()) == 1
    assert as_user(lab, daemon, "remove", "tcp:4000", groups="--groups=54398,54399").returncode == 0
    assert daemon.leases() == []


def test_the_cli_says_in_one_line_what_is_wrong(lab, daemon):
    assert one_clear_line(daemon.cli("remove", "tcp:4000", check=False))
    assert one_clear_line(daemon.cli("show", "99", check=False))
    daemon.stop()
    assert one_clear_line(daemon.cli("status", check=False))


def test_a_bad_configuration_is_refused_with_its_line(lab):
    path = os.path.join(lab.folder, "bad.conf")
    with open(path, "w", encoding="utf-8") as file:
        file.write('lan "br-lan" {}\nwan "wan0" {}\nmax-lifetime = never\n')
    done = lab.gw.run(BUILD + "/portleased", "-n", "-f", path, check=False)
    assert done.returncode != 0 and f"{path}:3:" in done.stderr
    with open(path, "w", encoding="utf-8") as file:
        file.write('lan "br-lan" {}\nwan "wan0" {}\nmax-lifetime = 7200\n')
    assert lab.gw.run(BUILD + "/portleased", "-n", "-f", path).returncode == 0


def test_the_log_tells_a_leases_life(lab, daemon):
    natpmp_map(lab.lan1, "tcp", 8000, 4000, 1)
    daemon.logged(r"<6>lease: granted .*client=192\.168\.1\.11\b.*4000")
    daemon.logged(r"<6>lease: expired .*4000", 4)
    natpmp_map(lab.lan1, "tcp", 80, 4000)
    daemon.logged(r"refused .*client=192\.168\.1\.11\b.*not-authorized")


def fill(lab, count):
    """That many leases, by PCP, for one client."""
    with lab.lan1.bound(socket.SOCK_DGRAM) as sock:
        sock.settimeout(10)
        sock.connect((LAN, 5351))
        asked = 0
        while asked < count:
            batch = range(asked, min(asked + 32, count))
            for number in batch:
                sock.send(pcp_packet(LAN1, "tcp", 1024 + number, 1024 + number))
            for _ in batch:
                assert pcp_read(sock.recv(1100)).result == 0
            asked += len(batch)


@TIMED
def test_a_stalled_reader_of_a_long_list_delays_nobody(lab):
    daemon = lab.daemon(extra="requests-per-second = 0\nmax-mappings-per-client = 65535", build=BUILD)
    fill(lab, 60000)
    begin = time.monotonic()
    assert len(daemon.leases()) == 60000
    listing = time.monotonic() - begin

    descriptors = f"/proc/{daemon.pid}/fd"
    idle = len(os.listdir(descriptors))
    with socket.socket(socket.AF_UNIX) as stalled:
        stalled.connect(daemon.socket)
        stalled.sendall(json.dumps({"command": "list"}).encode() + b"\n")
        assert stalled.recv(1) == b"{"
        assert len(os.listdir(descriptors)) == idle + 1
        waits, end = [], time.monotonic() + max(1.0, listing)
        while time.monotonic() < end:
            begin = time.monotonic()
            natpmp_address(lab.lan1)
            waits.append(time.monotonic() - begin)
        assert statistics.median(waits) < 0.01 and max(waits) < 0.5
        wait_for(lambda: len(os.listdir(descriptors)) == idle, 60, "the reader is dropped")
    assert len(daemon.leases("--client", LAN1)) == 60000


@pytest.mark.long
def test_an_idle_daemon_does_not_wake_up(lab):
    daemon = lab.daemon(build=BUILD)
    natpmp_map(lab.lan1, "tcp", 8000, 4000, 3600)
    started = time.monotonic()
    listener = lab.announcements()
    # The last announcement of the start comes after 127.75 s.
    time.sleep(max(0.0, started + 131 - time.monotonic()))
    assert listener.got and time.monotonic() - listener.got[-1][0] < 5
    before = proc_status(daemon.pid)
    time.sleep(30)
    after = proc_status(daemon.pid)
    for name in ("voluntary_ctxt_switches", "nonvoluntary_ctxt_switches"):
        assert int(after[name]) == int(before[name]), name
    assert ask(lab.lan1, bytes([0, 0]))
