# SPDX-License-Identifier: GPL-2.0-or-later
"""Another configuration for a daemon that runs: what follows it, what stays, and what is refused."""
import os
import signal

import pytest

from clients import ask, natpmp_map, pcp_map, pcp_packet
from lab import BUILD, LAN1, LAN2, WAN, is_running, wait_for
from test_parent import worker_of
from upnp_client import IP, call, mapping

DENY_5000 = "rule {\n action = deny\n external-ports = 5000-5999\n}\n"


def write(daemon, text):
    with open(daemon.config, "w", encoding="utf-8") as file:
        file.write(text)


def read(daemon):
    with open(daemon.config, encoding="utf-8") as file:
        return file.read()


def reload(daemon, text=None):
    if text is not None:
        write(daemon, text)
    assert daemon.cli("reload").stdout == "reloaded\n"


def refused(daemon, text):
    """By `portlease reload`; what it says."""
    write(daemon, text)
    done = daemon.cli("reload", check=False)
    assert (done.returncode, done.stdout) == (1, ""), done
    return done.stderr


def served(daemon):
    """Its UPnP workers are ready."""
    wait_for(lambda: all(lan["worker"]["state"] == "ready" for lan in daemon.status()["interfaces"][1:]))


def reloads(daemon):
    return daemon.log().count("config: reloaded")


@pytest.mark.parametrize("whom", ["parent", "pid", "cli"])
def test_leases_that_the_new_rules_deny_end(lab, whom):
    daemon = lab.daemon()
    lab.server(lab.lan1, "tcp", 8000)
    lab.server(lab.lan2, "tcp", 8000)
    assert natpmp_map(lab.lan1, "tcp", 8000, 4000).external == 4000
    assert pcp_map(lab.lan2, LAN2, "tcp", 8000, 5000).external == 5000
    text, pids = read(daemon), [daemon.parent, daemon.pid, worker_of(daemon)]
    write(daemon, text + DENY_5000)
    if whom == "cli":
        reload(daemon)
    else:
        os.kill(getattr(daemon, whom), signal.SIGHUP)
    wait_for(lambda: reloads(daemon) == 1)
    line = text.count("\n") + 1
    daemon.logged(rf"lease: denied id=2 client={LAN2} .*external=5000 .*rule-line={line}")
    assert [lease["external_port"] for lease in daemon.leases()] == [4000]
    assert lab.wan.talk("tcp", WAN, 4000).startswith("lan1 saw")
    assert lab.wan.refused("tcp", WAN, 5000)
    assert pcp_map(lab.lan2, LAN2, "tcp", 8000, 5000).external not in (5000, 4000)
    assert all(is_running(pid) for pid in pids) and worker_of(daemon) == pids[2]
    reload(daemon, text)
    assert natpmp_map(lab.lan1, "tcp", 8001, 5001).external == 5001
    assert [lease["external_port"] for lease in daemon.leases()][0] == 4000


def test_a_bad_one_is_refused(lab, daemon):
    assert natpmp_map(lab.lan1, "tcp", 8000, 5000).external == 5000
    text = read(daemon)
    line = text.count("\n") + 1
    said = refused(daemon, text + DENY_5000.replace("deny", "perhaps"))
    assert f"{daemon.config}:{line + 1}: action: found \"perhaps\"" in said
    daemon.logged(rf"config: refused reason=\"{daemon.config}:{line + 1}: action")
    os.kill(daemon.parent, signal.SIGHUP)
    wait_for(lambda: daemon.log().count("config: refused") == 2)
    assert [lease["external_port"] for lease in daemon.leases()] == [5000]
    os.unlink(daemon.config)
    assert f"{daemon.config}: cannot read: No such file" in daemon.cli("reload", check=False).stderr
    reload(daemon, text + DENY_5000)
    assert daemon.leases() == []


@pytest.mark.parametrize("key, value", [
    ("user", "nobody"), ("worker-user", "54322"), ("state-directory", None), ("control-socket", None),
    ("control-access", "all"), ("log", "syslog")])
def test_what_cannot_change(lab, daemon, key, value):
    text = read(daemon)
    lines = text.splitlines()
    at = next((i for i, line in enumerate(lines) if line.startswith(key + " ")), None)
    if at is None:
        lines, at = [f"{key} = {value}"] + lines, 0
    else:
        lines[at] = f'{key} = {54999 if value else chr(34) + "/tmp/other" + chr(34)}'
    said = refused(daemon, "\n".join(lines) + "\n")
    assert f"{daemon.config}:{at + 1}: {key} is " in said and "started again" in said
    reload(daemon, text)


def test_a_restarted_core_has_what_was_read_last(lab, daemon):
    reload(daemon, read(daemon) + DENY_5000)
    assert "expected" in refused(daemon, "nonsense\n")
    core = daemon.pid
    os.kill(core, signal.SIGKILL)
    wait_for(lambda: [pid for pid in daemon.children("portleased --core") if pid != core])
    wait_for(daemon.answers, 10)
    assert natpmp_map(lab.lan1, "tcp", 8000, 5000).external not in (5000,)
    assert natpmp_map(lab.lan1, "tcp", 8001, 4000).external == 4000


def test_without_a_core_it_waits_for_the_next(lab):
    daemon = lab.daemon(build=BUILD)
    core = daemon.pid
    os.kill(daemon.parent, signal.SIGSTOP)
    os.kill(core, signal.SIGKILL)
    wait_for(lambda: not is_running(core))
    write(daemon, read(daemon) + DENY_5000)
    os.kill(daemon.parent, signal.SIGHUP)
    os.kill(daemon.parent, signal.SIGCONT)
    wait_for(lambda: reloads(daemon) == 1, 10)
    assert natpmp_map(lab.lan1, "tcp", 8000, 5000).external != 5000


def test_protocols_are_switched(lab, daemon):
    text = read(daemon)
    assert natpmp_map(lab.lan1, "tcp", 8000, 4000).result == 0
    reload(daemon, "nat-pmp = no\n" + text)
    assert ask(lab.lan1, bytes([0, 0]), timeout=5)[0] == 2  # PCP's words for a wrong version
    assert pcp_map(lab.lan1, LAN1, "tcp", 8001, 4001).external == 4001
    reload(daemon, "nat-pmp = no\npcp = no\n" + text)
    assert ask(lab.lan1, pcp_packet(LAN1, "tcp", 8001), timeout=0.5) is None
    reload(daemon, text)
    assert natpmp_map(lab.lan1, "tcp", 8000, 4000).external == 4000
    assert len(daemon.leases()) == 2


def test_upnp_is_switched(lab, daemon):
    text, worker = read(daemon), worker_of(daemon)
    served(daemon)
    call(lab.lan1, IP, 1, "AddPortMapping", mapping(4000, 8000, LAN1))
    reload(daemon, "upnp = no\n" + text)
    wait_for(lambda: not is_running(worker))
    assert len(daemon.leases()) == 1
    reload(daemon, text)
    worker = worker_of(daemon)
    served(daemon)
    call(lab.lan1, IP, 1, "AddPortMapping", mapping(4001, 8000, LAN1))
    reload(daemon, "log-level = debug\n" + text)
    assert worker_of(daemon) == worker
    reload(daemon, "http-port = 5999\n" + text)
    wait_for(lambda: not is_running(worker))
    served(daemon)
    call(lab.lan1, IP, 1, "AddPortMapping", mapping(4002, 8000, LAN1), port=5999)
    assert [lease["external_port"] for lease in daemon.leases()] == [4000, 4001, 4002]
