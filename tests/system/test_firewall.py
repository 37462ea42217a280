# SPDX-License-Identifier: GPL-2.0-or-later
"""The kernel's table beside an admin's own, and what becomes of it when others, or the end, come over us."""
import os
import socket
import time

import pytest

from clients import PREFER_FAILURE, natpmp_address, natpmp_map, pcp_map
from lab import ADMIN, BUILD, LAN1, LAN2, REMOTE, REMOTE2, TIMED, WAN, wait_for

BOTH = pytest.mark.parametrize("transport", ["tcp", "udp"])


def cpu_seconds(pid):
    with open(f"/proc/{pid}/stat", encoding="ascii") as file:
        fields = file.read().rsplit(")", 1)[1].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def test_other_tables_are_not_touched(lab):
    before = lab.gw.run("nft", "list", "ruleset").stdout
    assert lab.gw.run("nft", "list", "table", "inet", "admin").stdout == before
    daemon = lab.daemon("on-exit = remove")
    natpmp_map(lab.lan1, "tcp", 8000, 4000)
    assert lab.gw.run("nft", "list", "tables").stdout.split("\n") == ["table inet admin", "table inet portlease", ""]
    assert lab.gw.run("nft", "list", "table", "inet", "admin").stdout == before
    assert "drop" not in lab.gw.run("nft", "list", "table", "inet", "portlease").stdout
    assert daemon.stop() == 0
    assert lab.gw.run("nft", "list", "ruleset").stdout == before


def test_the_table_listed_by_nft_loads_again(lab, daemon):
    natpmp_map(lab.lan1, "tcp", 8000, 4000)
    pcp_map(lab.lan2, LAN2, "udp", 8000, 4001)
    listed = lab.gw.run("nft", "list", "table", "inet", "portlease").stdout
    lab.wan.nft(listed)


@BOTH
def test_a_foreign_flush_is_undone_under_traffic(lab, daemon, transport):
    lab.server(lab.lan1, transport, 8000)
    natpmp_map(lab.lan1, transport, 8000, 4000, 3600)
    kind = socket.SOCK_STREAM if transport == "tcp" else socket.SOCK_DGRAM
    with lab.wan.bound(kind) as busy:
        busy.settimeout(10)
        busy.connect((WAN, 4000))
        for round_ in range(5):
            lab.gw.nft("flush ruleset\n" + ADMIN)
            wait_for(lambda: lab.external_ports(transport) == {4000: (LAN1, 8000)}, 2, "the mapping is back")
            assert lab.wan.talk(transport, WAN, 4000).startswith("lan1 saw")
            busy.send(b"still there?")
            assert busy.recv(100).endswith(b"still there?")
            assert daemon.status()["counters"]["table_restores"] == round_ + 1


def test_a_deleted_table_comes_back_with_the_time_that_was_left(lab, daemon):
    for port in range(100):
        natpmp_map(lab.lan1, "tcp", 10000 + port, 20000 + port, 1000 + port)
    assert len(lab.external_ports("tcp")) == 100
    for ruin in ("delete table inet portlease", "flush table inet portlease", "flush ruleset"):
        lab.gw.nft(ruin + "\n")
        wait_for(lambda: len(lab.external_ports("tcp")) == 100, 2, f"the mappings are back after {ruin}")
    elements = {key["elem"]["val"]["concat"][1]: key["elem"] for key, _ in lab.elements("fwd4")}
    for port in range(100):
        assert 980 + port < elements[20000 + port]["expires"] < 1030 + port
    assert natpmp_map(lab.lan1, "tcp", 10000, 0, 1000).external == 20000


@TIMED
def test_a_program_that_keeps_deleting_the_table_costs_little(lab):
    daemon = lab.daemon(build=BUILD)
    lab.server(lab.lan1, "tcp", 8000)
    natpmp_map(lab.lan1, "tcp", 8000, 4000)
    spent, begun, deleted = cpu_seconds(daemon.pid), time.monotonic(), 0
    while deleted < 100 or time.monotonic() - begun < 4:
        lab.gw.run("nft", "delete", "table", "inet", "portlease", check=False)
        deleted += 1
    # Twenty times at once, then once a second.
    assert 15 < daemon.status()["counters"]["table_restores"] <= 20 + time.monotonic() - begun + 1
    assert cpu_seconds(daemon.pid) - spent < 0.5
    assert natpmp_address(lab.lan1).result == 0
    wait_for(lambda: lab.external_ports("tcp"), 10, "the table is back when it is left alone")
    assert lab.wan.tcp(WAN, 4000).startswith("lan1 saw")


@pytest.mark.parametrize("priority", [-100, -90, -50], ids=["dstnat", "firewalld", "late"])
def test_an_admins_own_forward_stays_restricted(lab, priority):
    lab.gw.nft(f"""
        table inet own {{
            chain prerouting {{
                type nat hook prerouting priority {priority}; policy accept;
                ip daddr {WAN} tcp dport 7000 dnat ip to {LAN2}:7000
            }}
        }}
        insert rule inet admin forward ip saddr {REMOTE} ip daddr {LAN2} tcp dport 7000 accept
    """)
    lab.daemon()
    lab.server(lab.lan2, "tcp", 7000)
    lab.server(lab.lan1, "tcp", 8000)
    natpmp_map(lab.lan1, "tcp", 8000, 4000)
    for source in (REMOTE, REMOTE2):
        assert lab.wan.tcp(WAN, 4000, source=source).startswith("lan1 saw")
    assert lab.wan.tcp(WAN, 7000, source=REMOTE).startswith("lan2 saw")
    assert lab.wan.refused("tcp", WAN, 7000, source=REMOTE2)


def test_an_admins_forward_wins_over_a_lease_of_its_port(lab, daemon):
    lab.server(lab.lan1, "tcp", 8000)
    lab.server(lab.lan2, "tcp", 7000)
    natpmp_map(lab.lan1, "tcp", 8000, 4000)
    assert lab.wan.tcp(WAN, 4000).startswith("lan1 saw")
    lab.gw.nft(f"""
        add rule inet admin prerouting ip daddr {WAN} tcp dport 4000 dnat ip to {LAN2}:7000
        insert rule inet admin forward ip saddr {REMOTE} ip daddr {LAN2} tcp dport 7000 accept
    """)
    assert lab.wan.tcp(WAN, 4000, source=REMOTE).startswith("lan2 saw")
    assert lab.wan.refused("tcp", WAN, 4000, source=REMOTE2)


@pytest.mark.parametrize("lab", [{"admin": ADMIN.replace("ct status dnat ct mark & 0x40000000 == 0x40000000 accept", "")}],
                         indirect=True, ids=["strict"])
def test_a_forward_chain_without_the_line_is_not_widened(lab, daemon):
    lab.server(lab.lan1, "tcp", 8000)
    natpmp_map(lab.lan1, "tcp", 8000, 4000)
    assert lab.wan.refused("tcp", WAN, 4000)
    lab.gw.nft("add rule inet admin forward ct status dnat ct mark & 0x40000000 == 0x40000000 accept\n")
    assert lab.wan.tcp(WAN, 4000).startswith("lan1 saw")


@BOTH
@TIMED
def test_killed_the_kernel_closes_the_port_at_the_leases_end(lab, daemon, transport):
    lab.server(lab.lan1, transport, 8000)
    natpmp_map(lab.lan1, transport, 8000, 4000, 3)
    natpmp_map(lab.lan1, transport, 8001, 4001, 3600)
    granted = time.monotonic()
    daemon.kill()
    assert lab.wan.talk(transport, WAN, 4000).startswith("lan1 saw")
    wait_for(lambda: 4000 not in lab.external_ports(transport), 15, "the element ends")
    assert 2.9 < time.monotonic() - granted < 15
    assert lab.wan.refused(transport, WAN, 4000)
    assert 4001 in lab.external_ports(transport)


def test_sigterm_takes_the_table_away(lab):
    daemon = lab.daemon("on-exit = remove")
    lab.server(lab.lan1, "tcp", 8000)
    natpmp_map(lab.lan1, "tcp", 8000, 4000)
    assert lab.wan.tcp(WAN, 4000).startswith("lan1 saw")
    assert daemon.stop() == 0
    assert lab.gw.run("nft", "list", "table", "inet", "portlease", check=False).returncode != 0
    assert lab.wan.refused("tcp", WAN, 4000)


@BOTH
@pytest.mark.parametrize("address", ["0.0.0.0", WAN])
def test_the_gateways_own_ports_are_not_given_away(lab, daemon, transport, address):
    service = lab.server(lab.gw, transport, 4000, address)
    given = natpmp_map(lab.lan1, transport, 8000, 4000)
    assert given.result == 0 and given.external != 4000
    assert pcp_map(lab.lan1, LAN1, transport, 8001, 4000, options=PREFER_FAILURE).result == 11
    assert lab.wan.talk(transport, WAN, 4000).startswith("gw saw")
    service.close()
    assert pcp_map(lab.lan1, LAN1, transport, 8001, 4000, options=PREFER_FAILURE).external == 4000


def test_the_protocols_own_ports_are_not_given_away(lab, daemon):
    for port in (5350, 5351, 1900):
        assert pcp_map(lab.lan1, LAN1, "udp", port, port).external not in (0, port)
        assert pcp_map(lab.lan1, LAN1, "udp", port + 10, port + 10).external == port + 10


def test_elements_that_another_program_changes_are_put_right(lab, daemon):
    """The table and its other elements are not touched by it."""
    for port in (8000, 8001, 8002):
        lab.server(lab.lan1, "tcp", port)
        natpmp_map(lab.lan1, "tcp", port, port - 4000)
    assert lab.wan.tcp(WAN, 4002).startswith("lan1 saw")
    before = lab.external_ports("tcp")
    lab.gw.nft("delete element inet portlease fwd4 { tcp . 4000 }\n"
               "delete element inet portlease fwd4 { tcp . 4001 }\n"
               "add element inet portlease fwd4 { tcp . 4001 timeout 1h : 192.168.1.66 . 6 }\n"
               "add element inet portlease fwd4 { tcp . 666 : 192.168.1.66 . 6 }\n"
               "flush set inet portlease ext4\n")
    daemon.logged("firewall: elements put right added=4 replaced=1 removed=1 kept=4", 20)
    assert lab.external_ports("tcp") == before
    for port in (4000, 4001):
        assert lab.wan.tcp(WAN, port).startswith("lan1 saw")
    assert [lease["connections"] for lease in daemon.leases()] == [1, 1, 1]
    assert "table lost" not in daemon.log()
