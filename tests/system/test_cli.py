# SPDX-License-Identifier: GPL-2.0-or-later
"""What `portlease` shows of UPnP: clients by what they call themselves, and the workers."""
import os
import re
import signal

import pytest

from clients import natpmp_map
from lab import LAN, LAN1, LAN2, REMOTE2, wait_for
from test_upnp_worker import subscriber
from upnp_client import IP, PORT, call, connect, control_url, envelope, error_of, mapping, send


@pytest.fixture
def daemon(lab):
    daemon = lab.daemon()
    daemon.logged("upnp: serving")
    return daemon


def add_as(host, agent, external, client=LAN1):
    """AddPortMapping with any octets as User-Agent; the HTTP status."""
    body = envelope(IP + "2", "AddPortMapping", mapping(external, 8000, client))
    head = (f"POST {control_url(IP, 2)} HTTP/1.1\r\nHost: {LAN}:{PORT}\r\nContent-Type: text/xml\r\n"
            f"SOAPAction: \"{IP}2#AddPortMapping\"\r\nContent-Length: {len(body)}\r\n").encode()
    return send(host, head + (b"User-Agent: " + agent + b"\r\n" if agent is not None else b"") + b"\r\n" + body).status


AGENTS = [
    (None, ""),
    (b"Debian/12, UPnP/1.1, MiniUPnPc/2.2.4", "Debian/12, UPnP/1.1, MiniUPnPc/2.2.4"),
    (b'a "quoted" \\name', 'a "quoted" \\name'),
    (b"red\x1b[31m\x07\x7f\tend", "red?[31m???end"),
    (b"\xff\xfe\xc3\x28 caf\xc3\xa9", "???( caf??"),
    (b"<b>&amp;%s%n{}'", "<b>&amp;%s%n{}'"),
    (b"x" * 300, "x" * 63),
]


def test_user_agents_are_harmless(lab, daemon):
    for number, (agent, _) in enumerate(AGENTS):
        assert add_as(lab.lan1, agent, 4000 + number) == 200, agent
    leases = daemon.leases()
    assert [lease["user_agent"] for lease in leases] == [shown for _, shown in AGENTS]
    listed = daemon.cli("list").stdout
    assert all(c.isprintable() or c == "\n" for c in listed) and len(listed.splitlines()) == 1 + len(AGENTS)
    assert "red?[31m???end" in listed and "x" * 24 + " " in listed and "x" * 25 not in listed
    shown = daemon.cli("show", "tcp:4002").stdout
    assert 'user agent   a "quoted" \\\\name\n' in shown
    # The last one that spoke of a mapping counts.
    assert add_as(lab.lan1, b"Other/2", 4001) == 200
    assert daemon.leases()[1]["user_agent"] == "Other/2"


def test_upnp_mappings_are_shown_in_full(lab, daemon):
    natpmp_map(lab.lan2, "tcp", 8000, 5000)
    call(lab.lan1, IP, 2, "AddPortMapping", mapping(4000, 8000, LAN1, remote=REMOTE2, description='a "game"'))
    call(lab.lan1, IP, 2, "AddPortMapping", mapping(4001, 8001, LAN1, enabled=0))
    natpmp, one, two = daemon.leases()
    assert (natpmp["user_agent"], natpmp["enabled"], natpmp["remote_address"]) == ("", True, None)
    assert (one["description"], one["remote_address"], one["enabled"]) == ('a "game"', REMOTE2, True)
    assert (two["remote_address"], two["enabled"]) == (None, False)
    for lease in natpmp, one, two:
        entry = call(lab.lan1, IP, 2, "GetGenericPortMappingEntry", {"NewPortMappingIndex": lease["upnp_index"]})
        assert (int(entry["NewExternalPort"]), entry["NewRemoteHost"], entry["NewEnabled"]) == \
            (lease["external_port"], lease["remote_address"] or "", str(int(lease["enabled"])))
    daemon.cli("remove", "tcp:5000")
    assert [lease["upnp_index"] for lease in daemon.leases("--protocol", "upnp")] == [0, 1]
    assert "enabled      no: kept, but not forwarded\nupnp index   1\n" in daemon.cli("show", "tcp:4001").stdout
    first, line, _ = daemon.cli("list").stdout.splitlines()
    assert first.split()[-4:] == ["INDEX", "REMOTE", "ENABLED", "DESCRIPTION"] and REMOTE2 in line


def completed(daemon, *words):
    """What bash offers for the last of these words, as the program's own completion says."""
    conf = os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "..", "conf", "portlease.bash")
    script = 'source "$0"; COMP_WORDS=(portlease "$@"); COMP_CWORD=$#; _portlease; printf "%s\n" "${COMPREPLY[@]}"'
    done = daemon.lab.gw.run("env", f"PATH={daemon.build}:{os.environ['PATH']}", "bash", "--norc", "-uc", script, conf, *words)
    assert not done.stderr
    return done.stdout.split()


def test_bash_completes_all_subcommands(lab, daemon):
    natpmp_map(lab.lan1, "udp", 8000, 5000)
    daemon.cli("add", "cameras", "tcp:8100-8109", LAN2)
    there = ["--socket", daemon.socket]
    # Those of the program itself, whatever they are.
    names = re.findall("^  ([a-z]+) ", daemon.lab.gw.run(daemon.build + "/portlease", "help").stdout, re.M)
    assert {"status", "list", "show", "add", "remove", "flush", "reload", "version", "help"} == set(names)
    assert sorted(completed(daemon, "")) == sorted(completed(daemon, "help", "")) == sorted(names)
    for name in names:
        assert completed(daemon, name[:-1]) == [other for other in completed(daemon, "") if other.startswith(name[:-1])]
        usage = daemon.lab.gw.run(daemon.build + "/portlease", name, "--help").stdout
        assert set(completed(daemon, name, "--")) >= set(re.findall("^  (--[a-z]+)", usage, re.M)), name
    for name in "show", "remove":
        words = completed(daemon, *there, name, "")
        assert words == ["1", "udp:5000", "2", "tcp:8100"] + (["cameras"] if name == "remove" else [])
        assert completed(daemon, *there, name, "tcp:") == ["tcp:8100"]
        for word in words[:4]:
            daemon.cli("show", word)  # it takes what was offered
    daemon.cli("add", "front door", "tcp:8200", LAN2)
    assert completed(daemon, *there, "remove", "fr") == ["front\\", "door"]
    assert completed(daemon, "flush", "--protocol", "") == ["nat-pmp", "pcp", "upnp"]
    assert completed(daemon, "list", "--protocol", "") == ["nat-pmp", "pcp", "upnp", "static"]
    assert completed(daemon, "list", "--transport", "u") == ["udp"]
    assert completed(daemon, "add", "x", "tcp:80", LAN1, "--helper", "f") == ["ftp"]
    assert completed(daemon, "--socket", daemon.socket[:-1]) == [daemon.socket]


def lan_of(daemon, number=1):
    return daemon.status()["interfaces"][number]


def test_the_workers_are_shown(lab, daemon):
    worker = lan_of(daemon)["worker"]
    assert (worker["state"], worker["starts"], worker["calls"], worker["largest_batch"]) == ("ready", 1, 0, 0)
    with open(f"/proc/{worker['pid']}/comm", encoding="ascii") as file:
        assert file.read().startswith("portleased-upnp"[:15])
    assert daemon.status()["interfaces"][0]["worker"] is None
    call(lab.lan1, IP, 2, "AddPortMapping", mapping(4000, 8000, LAN1))
    assert error_of(lab.lan1, IP, 2, "DeletePortMapping",
                    {"NewRemoteHost": "", "NewExternalPort": 4999, "NewProtocol": "TCP"}) == 714
    natpmp_map(lab.lan2, "tcp", 8000, 5000)
    one = subscriber(lab)
    assert one.subscribe("/2/WANIP/event").status == 200
    with connect(lab.lan1):
        # What the worker counts comes once a second.
        wait_for(lambda: (w := lan_of(daemon)["worker"])["gena_subscriptions"] == 1 and w["http_connections"] >= 1 and
                 w["http_requests"] >= 3)
        lan = lan_of(daemon)
        text = daemon.cli("status").stdout
    assert (lan["worker"]["calls"], lan["worker"]["batches"], lan["worker"]["largest_batch"]) == (2, 2, 1)
    assert lan["udp"] == {"received": 1, "foreign": 0, "limited": 0, "ignored": 0, "refused": 0, "unsent": 0}
    counters = daemon.status()["counters"]
    assert (counters["batches"], counters["largest_batch"]) == (3, 1)
    assert f"  upnp      worker ready, pid {worker['pid']}, 1 start, 2 calls in 2 batches, largest 1," in text
    assert all(len(line) < 80 for line in text.splitlines())


def test_a_worker_that_died_is_shown(lab, daemon):
    first = lan_of(daemon)["worker"]
    daemon.process.send_signal(signal.SIGSTOP)  # nobody makes another one
    try:
        os.kill(first["pid"], signal.SIGKILL)
        wait_for(lambda: lan_of(daemon)["worker"]["state"] == "respawning")
        assert (lan_of(daemon)["worker"]["pid"], lan_of(daemon)["worker"]["starts"]) == (None, 1)
        assert "  upnp      worker respawning, 1 start, " in daemon.cli("status").stdout
    finally:
        daemon.process.send_signal(signal.SIGCONT)
    wait_for(lambda: lan_of(daemon)["worker"]["state"] == "ready", 15)
    assert lan_of(daemon)["worker"]["starts"] == 2 and lan_of(daemon)["worker"]["pid"] != first["pid"]


def test_upnp_that_is_off(lab):
    daemon = lab.daemon(extra="upnp = no")
    natpmp_map(lab.lan1, "tcp", 8000, 4000)
    assert daemon.status()["upnp"] is False and lan_of(daemon)["worker"] is None
    assert daemon.leases()[0]["upnp_index"] is None
    assert "INDEX" not in daemon.cli("list").stdout
