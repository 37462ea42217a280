# SPDX-License-Identifier: GPL-2.0-or-later
"""What a mapping does to packets, from the first request to its end."""
import time

import pytest

from clients import PREFER_FAILURE, natpmp_map, pcp_map
from lab import ADMIN, LAN, LAN1, LAN2, REMOTE, REMOTE2, REMOTE3, TIMED, WAN, wait_for

BOTH = pytest.mark.parametrize("transport", ["tcp", "udp"])
NONCE = b"twelve bytes"


@BOTH
def test_natpmp_maps_renews_and_deletes(lab, daemon, transport):
    lab.server(lab.lan1, transport, 8000)
    assert lab.wan.refused(transport, WAN, 4000)

    first = natpmp_map(lab.lan1, transport, 8000, 4000, 600)
    assert (first.result, first.internal, first.external, first.lifetime) == (0, 8000, 4000, 600)
    assert lab.wan.talk(transport, WAN, 4000, sport=5555) == f"lan1 saw {REMOTE}:5555: ping"

    # Whatever port is suggested now: the client has one already.
    renewed = natpmp_map(lab.lan1, transport, 8000, 4999, 1200)
    assert (renewed.result, renewed.external, renewed.lifetime) == (0, 4000, 1200)
    assert lab.wan.talk(transport, WAN, 4000).startswith("lan1 saw")
    assert lab.wan.refused(transport, WAN, 4999)
    assert len(daemon.leases()) == 1

    deleted = natpmp_map(lab.lan1, transport, 8000, 4000, 0)
    assert (deleted.result, deleted.internal, deleted.external, deleted.lifetime) == (0, 8000, 0, 0)
    assert lab.wan.refused(transport, WAN, 4000)
    assert daemon.leases() == []


@BOTH
def test_pcp_maps_renews_and_deletes(lab, daemon, transport):
    lab.server(lab.lan1, transport, 8000)
    assert lab.wan.refused(transport, WAN, 4000)

    first = pcp_map(lab.lan1, LAN1, transport, 8000, 4000, lifetime=600, nonce=NONCE)
    assert (first.result, first.nonce, first.internal, first.external, first.lifetime, first.address) == \
        (0, NONCE, 8000, 4000, 600, WAN)
    assert lab.wan.talk(transport, WAN, 4000, sport=5555) == f"lan1 saw {REMOTE}:5555: ping"

    renewed = pcp_map(lab.lan1, LAN1, transport, 8000, 4000, lifetime=1200, nonce=NONCE)
    assert (renewed.result, renewed.external, renewed.lifetime) == (0, 4000, 1200)
    other = pcp_map(lab.lan1, LAN1, transport, 8000, 4000, lifetime=0, nonce=b"other nonce.")
    assert other.result == 2
    assert lab.wan.talk(transport, WAN, 4000).startswith("lan1 saw")

    deleted = pcp_map(lab.lan1, LAN1, transport, 8000, 4000, lifetime=0, nonce=NONCE)
    assert (deleted.result, deleted.lifetime) == (0, 0)
    assert lab.wan.refused(transport, WAN, 4000)


def test_a_mapping_of_one_transport_opens_no_other(lab, daemon):
    lab.server(lab.lan1, "tcp", 8000)
    lab.server(lab.lan1, "udp", 8000)
    natpmp_map(lab.lan1, "tcp", 8000, 4000)
    assert lab.wan.tcp(WAN, 4000).startswith("lan1 saw")
    assert lab.wan.refused("udp", WAN, 4000)


@BOTH
@TIMED
def test_a_lease_ends_in_time(lab, transport):
    daemon = lab.daemon(extra="min-lifetime = 1")
    lab.server(lab.lan1, transport, 8000)
    natpmp = natpmp_map(lab.lan1, transport, 8000, 4000, 2)
    pcp = pcp_map(lab.lan1, LAN1, transport, 8001, 4001, lifetime=2)
    granted = time.monotonic()
    assert (natpmp.result, natpmp.lifetime, pcp.result, pcp.lifetime) == (0, 2, 0, 2)
    assert lab.wan.talk(transport, WAN, 4000).startswith("lan1 saw")
    wait_for(lambda: lab.external_ports(transport) == {}, 4, "the mappings end")
    assert 1.9 < time.monotonic() - granted < 3.2
    assert lab.wan.refused(transport, WAN, 4000)
    assert daemon.leases() == []


def test_a_taken_port_stays_its_owners(lab, daemon):
    lab.server(lab.lan1, "udp", 8000)
    lab.server(lab.lan2, "udp", 8000)
    assert pcp_map(lab.lan1, LAN1, "udp", 8000, 4000).external == 4000

    natpmp = natpmp_map(lab.lan2, "udp", 8000, 4000)
    assert natpmp.result == 0 and natpmp.external != 4000
    pcp = pcp_map(lab.lan2, LAN2, "udp", 8001, 4000)
    assert pcp.result == 0 and pcp.external not in (4000, natpmp.external)
    exact = pcp_map(lab.lan2, LAN2, "udp", 8002, 4000, options=PREFER_FAILURE)
    assert exact.result == 11
    assert pcp_map(lab.lan2, LAN2, "udp", 8002, 4002, options=PREFER_FAILURE).result == 0

    assert lab.wan.udp(WAN, 4000).startswith("lan1 saw")
    assert lab.wan.udp(WAN, natpmp.external).startswith("lan2 saw")
    # Nor does deleting one's own reach it.
    natpmp_map(lab.lan2, "udp", 8000, 4000, 0)
    assert lab.wan.udp(WAN, 4000).startswith("lan1 saw")


def test_natpmp_reserves_the_companion_port(lab, daemon):
    assert natpmp_map(lab.lan1, "tcp", 8000, 4000).external == 4000
    assert natpmp_map(lab.lan2, "udp", 8000, 4000).external != 4000
    assert natpmp_map(lab.lan1, "udp", 8000, 4000).external == 4000


@pytest.mark.parametrize("lab", [{"bridge_nf": 0}, {"bridge_nf": 1}], indirect=True, ids=["routed", "bridge-nf"])
@BOTH
def test_hairpin_shows_the_external_address(lab, daemon, transport):
    lab.server(lab.lan1, transport, 8000)
    assert lab.lan2.refused(transport, WAN, 4000)
    natpmp_map(lab.lan1, transport, 8000, 4000)
    assert lab.lan2.talk(transport, WAN, 4000, sport=6000) == f"lan1 saw {WAN}:6000: ping"
    # A client that has a mapping itself is seen with its external port.
    natpmp_map(lab.lan2, transport, 6001, 4600)
    assert lab.lan2.talk(transport, WAN, 4000, sport=6001) == f"lan1 saw {WAN}:4600: ping"
    # And one that uses a port reserved for another is not taken for that one.
    assert not lab.lan2.talk(transport, WAN, 4000, sport=4000).startswith(f"lan1 saw {WAN}:4000:")


@BOTH
def test_hairpin_to_oneself_and_from_the_gateway(lab, daemon, transport):
    lab.server(lab.lan1, transport, 8000)
    natpmp_map(lab.lan1, transport, 8000, 4000)
    assert lab.lan1.talk(transport, WAN, 4000).startswith(f"lan1 saw {WAN}:")
    assert lab.gw.talk(transport, WAN, 4000).startswith("lan1 saw")


@BOTH
def test_the_gateways_lan_services_are_not_hijacked(lab, daemon, transport):
    lab.server(lab.gw, transport, 4000, LAN)
    lab.server(lab.lan1, transport, 8000)
    assert natpmp_map(lab.lan1, transport, 8000, 4000).external == 4000
    assert lab.wan.talk(transport, WAN, 4000).startswith("lan1 saw")
    assert lab.lan2.talk(transport, LAN, 4000).startswith("gw saw")


@BOTH
def test_a_mapped_socket_sends_from_its_external_port(lab, daemon, transport):
    lab.server(lab.wan, transport, 53)
    assert lab.lan1.talk(transport, REMOTE, 53, sport=8000) == f"wan saw {WAN}:8000: ping"
    natpmp_map(lab.lan1, transport, 8000, 4000)
    # New flows: of TCP none is left on that port, of UDP these remotes are new.
    for remote in (REMOTE2, REMOTE3):
        assert lab.lan1.talk(transport, remote, 53, sport=8000) == f"wan saw {WAN}:4000: ping"
    lab.server(lab.wan, transport, 54)
    for remote in (REMOTE, REMOTE2, REMOTE3):
        assert lab.lan1.talk(transport, remote, 54, sport=8000) == f"wan saw {WAN}:4000: ping"


@BOTH
def test_a_mapped_port_is_reserved_against_another_hosts_masquerade(lab, daemon, transport):
    lab.server(lab.wan, transport, 53)
    assert lab.lan2.talk(transport, REMOTE, 53, sport=4000) == f"wan saw {WAN}:4000: ping"
    natpmp_map(lab.lan1, transport, 8000, 4000)
    seen = lab.lan2.talk(transport, REMOTE2, 53, sport=4000)
    assert seen.startswith(f"wan saw {WAN}:") and f":{4000}:" not in seen
    assert int(seen.split(":")[1]) >= 61000
    # So the owner reaches the same server from its port, at the same time.
    assert lab.lan1.talk(transport, REMOTE2, 53, sport=8000) == f"wan saw {WAN}:4000: ping"


ROUTER = ADMIN.replace('oifname "wan0" masquerade', "")


@pytest.mark.parametrize("lab", [{"admin": ROUTER}], indirect=True, ids=["routed"])
@BOTH
def test_without_source_nat_the_gateway_only_routes(lab, transport):
    lab.daemon(wan="source-nat = no")
    lab.wan.ip("route add 192.168.1.0/24 via " + WAN)
    lab.server(lab.wan, transport, 53)
    lab.server(lab.lan1, transport, 8000)
    natpmp_map(lab.lan1, transport, 8000, 4000)
    assert lab.wan.talk(transport, WAN, 4000, sport=5555) == f"lan1 saw {REMOTE}:5555: ping"
    # No port is reserved against others: who is routed keeps address and port.
    assert lab.lan2.talk(transport, REMOTE, 53, sport=4000) == f"wan saw {LAN2}:4000: ping"
    assert lab.lan2.talk(transport, REMOTE, 53, sport=9999) == f"wan saw {LAN2}:9999: ping"


def test_default_policy_keeps_low_ports(lab, daemon):
    assert natpmp_map(lab.lan1, "tcp", 1024, 1024).external == 1024
    assert natpmp_map(lab.lan1, "tcp", 1023, 4000).result == 2
    assert pcp_map(lab.lan1, LAN1, "tcp", 1023, 4000).result == 2
    # A suggested port that policy forbids counts as taken.
    low = natpmp_map(lab.lan1, "tcp", 8000, 80)
    assert low.result == 0 and low.external >= 1024
    assert pcp_map(lab.lan1, LAN1, "tcp", 8001, 80, options=PREFER_FAILURE).result == 11
    assert all(port >= 1024 for port in lab.external_ports("tcp"))


def test_rules_are_judged_in_order(lab):
    lab.daemon(extra=f"""
        rule {{ action = deny client = {LAN2} transport = tcp }}
        rule {{ action = allow external-ports = 80-81 internal-ports = 80 }}
        rule {{ action = deny external-ports = 1-65535 internal-ports = 9000-9999 }}
    """)
    lab.server(lab.lan1, "tcp", 80)
    assert natpmp_map(lab.lan1, "tcp", 80, 80).external == 80
    assert lab.wan.tcp(WAN, 80).startswith("lan1 saw")
    assert natpmp_map(lab.lan2, "tcp", 8000, 4000).result == 2
    assert natpmp_map(lab.lan2, "udp", 8000, 4000).result == 0
    assert natpmp_map(lab.lan1, "tcp", 8999, 4001).result == 0
    assert natpmp_map(lab.lan1, "tcp", 9000, 4002).result == 2
    # Of the two ports that a rule leaves for port 80, one is the other host's companion; random ports lie elsewhere.
    assert natpmp_map(lab.lan2, "udp", 80, 0).result == 4
    assert natpmp_map(lab.lan2, "udp", 80, 81).external == 81


def test_a_client_has_no_more_than_its_quota(lab):
    lab.daemon(extra="max-mappings-per-client = 2")
    assert [natpmp_map(lab.lan1, "tcp", port).result for port in (8000, 8001, 8002)] == [0, 0, 4]
    assert pcp_map(lab.lan1, LAN1, "tcp", 8002).result == 10
    assert natpmp_map(lab.lan1, "tcp", 8001).result == 0
    assert natpmp_map(lab.lan2, "tcp", 8002).result == 0


def test_connections_are_counted_over_renewals(lab, daemon):
    lab.server(lab.lan1, "tcp", 8000)
    for count in range(1, 4):
        natpmp_map(lab.lan1, "tcp", 8000, 4000)
        lab.wan.tcp(WAN, 4000)
        assert daemon.leases()[0]["connections"] == count


@BOTH
def test_no_new_flow_is_lost_while_a_lease_is_renewed(lab, daemon, transport):
    lab.server(lab.lan1, transport, 8000)
    for _ in range(200):
        natpmp_map(lab.lan1, transport, 8000, 4000)
        assert lab.wan.talk(transport, WAN, 4000, timeout=1).startswith("lan1 saw")
