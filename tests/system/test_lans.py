# SPDX-License-Identifier: GPL-2.0-or-later
"""Several LANs: what is one's own is no other's, whatever a client says; hosts of one reach what another has mapped."""
import pytest

from clients import ask, natpmp_map, natpmp_packet, pcp_map, pcp_packet
from lab import GUEST, GUEST_LAN, LAN, LAN1, WAN, second_lan, wait_for
from upnp_client import IP, call, error_of, mapping, name_of, port_range

NONCE = b"twelve bytes"
# Everything that a rule can allow is.
OPEN = "rule {\n action = allow\n internal-client = 0.0.0.0/0\n}\nrule {\n action = allow\n}\n"


@pytest.fixture
def guest(lab):
    return second_lan(lab)


@pytest.fixture
def daemon(lab, guest):
    daemon = lab.daemon(extra=OPEN, lan=("br-lan", "guest0"))
    wait_for(lambda: all(lan["worker"]["state"] == "ready" for lan in daemon.status()["interfaces"][1:]))
    return daemon


def ports(daemon):
    return [(lease["internal_address"], lease["external_port"]) for lease in daemon.leases()]


def test_neither_maps_to_the_other(lab, guest, daemon):
    for host, own, gateway, other in ((guest, GUEST, GUEST_LAN, LAN1), (lab.lan1, LAN1, LAN, GUEST)):
        assert error_of(host, IP, 1, "AddPortMapping", mapping(4000, 8000, other), address=gateway) != 0
        assert error_of(host, IP, 2, "AddAnyPortMapping", mapping(4000, 8000, other), address=gateway) != 0
        # One of PCP's own words: the address that it says it is must be the one that it has.
        assert pcp_map(host, other, "tcp", 8000, 4000, to=gateway).result == 12
        assert ports(daemon) == []
        assert error_of(host, IP, 1, "AddPortMapping", mapping(4000, 8000, own), address=gateway) == 0
        assert ports(daemon) == [(own, 4000)]
        call(host, IP, 1, "DeletePortMapping", name_of(4000), address=gateway)


def test_nobody_is_heard_who_says_that_he_is_another(lab, guest, daemon):
    """A host of one LAN that sends from an address of the other, at the other's gateway or its own."""
    guest.ip(f"address add {LAN1}/32 dev eth0")
    assert natpmp_map(lab.lan1, "tcp", 8000, 4000).external == 4000
    for to in (LAN, GUEST_LAN):
        assert ask(guest, natpmp_packet("tcp", 8000, 0, 0), to=to, source=LAN1, timeout=0.5) is None
        assert ask(guest, pcp_packet(LAN1, "tcp", 8000, 4000, lifetime=0), to=to, source=LAN1, timeout=0.5) is None
        # Nor at an address of the gateway that is not of its LAN.
        assert to == GUEST_LAN or ask(guest, natpmp_packet("tcp", 8000), to=to, timeout=0.5) is None
    assert ports(daemon) == [(LAN1, 4000)]
    assert natpmp_map(guest, "tcp", 8000, 4001, to=GUEST_LAN).external == 4001


def test_neither_deletes_nor_renews_the_others(lab, guest, daemon):
    assert natpmp_map(lab.lan1, "tcp", 8000, 4000).external == 4000
    assert pcp_map(lab.lan1, LAN1, "tcp", 8001, 4001, nonce=NONCE).external == 4001
    call(lab.lan1, IP, 1, "AddPortMapping", mapping(4002, 8002, LAN1))
    before = daemon.leases()
    at = {"address": GUEST_LAN}
    for port in (4000, 4001, 4002):
        assert error_of(guest, IP, 1, "DeletePortMapping", name_of(port), **at) != 0
        assert error_of(guest, IP, 1, "AddPortMapping", mapping(port, 4000 + port, LAN1), **at) != 0
        assert error_of(guest, IP, 1, "AddPortMapping", mapping(port, 8000, GUEST), **at) == 718
    assert error_of(guest, IP, 2, "DeletePortMappingRange", port_range(4000, 4002), **at) != 0
    # These can only speak of their own, which they have not.
    assert natpmp_map(guest, "tcp", 8000, 0, 0, to=GUEST_LAN).result == 0
    assert pcp_map(guest, GUEST, "tcp", 8001, 4001, lifetime=0, nonce=NONCE, to=GUEST_LAN).result == 0
    assert natpmp_map(guest, "tcp", 0, 0, 0, to=GUEST_LAN).result == 0
    assert natpmp_map(guest, "tcp", 8000, 4000, to=GUEST_LAN).external != 4000
    for lease in before:
        assert [[now[key] for key in ("internal_address", "internal_port", "lifetime", "origin")]
                for now in daemon.leases() if now["id"] == lease["id"]] == \
            [[lease[key] for key in ("internal_address", "internal_port", "lifetime", "origin")]]
    call(lab.lan1, IP, 1, "DeletePortMapping", name_of(4002))
    assert pcp_map(lab.lan1, LAN1, "tcp", 8001, 4001, lifetime=0, nonce=NONCE).result == 0
    assert natpmp_map(lab.lan1, "tcp", 8000, 0, 0).result == 0
    assert [address for address, _ in ports(daemon)] == [GUEST]


def test_where_prefixes_overlap_the_interface_tells(lab, guest, daemon):
    """One LAN's prefix lies within the other's: an address alone does not say whose a mapping is."""
    lab.gw.ip("address add 192.168.0.1/16 dev br-lan")
    assert natpmp_map(guest, "tcp", 8000, 4000, to=GUEST_LAN).external == 4000
    wait_for(lambda: "192.168.0.1/16" in str(daemon.status()))
    lab.lan1.ip(f"address add {GUEST}/32 dev eth0")
    for packet in (natpmp_packet("tcp", 8000, 0, 0), pcp_packet(GUEST, "tcp", 8000, 4000, lifetime=0),
                   natpmp_packet("tcp", 0, 0, 0)):
        ask(lab.lan1, packet, to="192.168.0.1", source=GUEST, timeout=0.5)
    assert error_of(lab.lan1, IP, 1, "DeletePortMapping", name_of(4000), address="192.168.0.1") != 0
    assert ports(daemon) == [(GUEST, 4000)]
    assert natpmp_map(guest, "tcp", 8000, 0, 0, to=GUEST_LAN).result == 0
    assert ports(daemon) == []


@pytest.mark.parametrize("transport", ["tcp", "udp"])
def test_hairpin_from_one_to_the_other(lab, guest, daemon, transport):
    lab.server(lab.lan1, transport, 8000)
    lab.server(guest, transport, 8000)
    assert natpmp_map(lab.lan1, transport, 8000, 4000).external == 4000
    assert pcp_map(guest, GUEST, transport, 8000, 4001, to=GUEST_LAN).external == 4001
    for host in (lab.lan2, lab.lan1, guest, lab.wan):
        assert host.talk(transport, WAN, 4000).startswith("lan1 saw"), host.name
        assert host.talk(transport, WAN, 4001).startswith("guest saw"), host.name


RULES = """
rule {
	action = deny
	external-ports = 6000-6999
}
lan "br-lan" {
}
lan "guest0" {
	rule {
		action = allow
		external-ports = 6500
	}
	rule {
		action = deny
	}
}
"""


def test_rules_of_one_lan(lab, guest):
    """Come before the common ones, for its clients alone."""
    daemon = lab.daemon(extra=RULES, lan=())
    wait_for(lambda: all(lan["worker"]["state"] == "ready" for lan in daemon.status()["interfaces"][1:]))
    assert natpmp_map(lab.lan1, "tcp", 8000, 4000).external == 4000
    assert natpmp_map(lab.lan1, "tcp", 8001, 6500).external != 6500
    assert error_of(lab.lan1, IP, 1, "AddPortMapping", mapping(6500, 8002, LAN1)) != 0
    assert error_of(lab.lan1, IP, 1, "AddPortMapping", mapping(4002, 8002, LAN1)) == 0
    at = {"address": GUEST_LAN}
    assert natpmp_map(guest, "udp", 8000, 4003, to=GUEST_LAN).external == 6500
    assert natpmp_map(guest, "udp", 8001, 4003, to=GUEST_LAN).result != 0
    assert pcp_map(guest, GUEST, "udp", 8001, 4003, to=GUEST_LAN).result != 0
    assert error_of(guest, IP, 1, "AddPortMapping", mapping(4003, 8001, GUEST), **at) != 0
    assert error_of(guest, IP, 1, "AddPortMapping", mapping(6500, 8001, GUEST), **at) == 0
    # Taken from the guests, the rules stay the others'.
    text = open(daemon.config, encoding="utf-8").read()
    with open(daemon.config, "w", encoding="utf-8") as file:
        file.write(text.replace("action = allow\n\t\texternal-ports = 6500", "action = deny"))
    daemon.cli("reload")
    assert [address for address, _ in ports(daemon)] == [LAN1] * 3
