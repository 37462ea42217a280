# SPDX-License-Identifier: GPL-2.0-or-later
"""Each kind of UPnP mapping by what comes through it: octets from outside, and none once it is over."""
import pytest

from lab import LAN1, LAN2, REMOTE, REMOTE2, REMOTE3, TIMED, WAN, wait_for
from test_upnp import BOTH, VERSIONS, daemon
from upnp_client import IP, call, error_of, mapping, name_of, port_range


def serve(lab, host, transport, port, name):
    """A server that is known by its name."""
    lab.server(host, transport, port).name = name


def check(lab, transport, answers):
    """Who answers at each port, or at (port, to whom); None: nobody."""
    for place, who in answers.items():
        port, source = place if isinstance(place, tuple) else (place, REMOTE)
        try:
            said = lab.wan.talk(transport, WAN, port, source=source, timeout=5.0 if who else 0.4).split(" saw ")[0]
        except OSError:
            said = None
        assert said == who, (port, source)


def add(lab, transport, external, internal, version=2, action="AddPortMapping", **options):
    return call(lab.lan1, IP, version, action, mapping(external, internal, LAN1, transport.upper(), **options))


@VERSIONS
@BOTH
def test_the_same_port_and_another(lab, daemon, version, transport):
    serve(lab, lab.lan1, transport, 8000, "eight")
    serve(lab, lab.lan1, transport, 9000, "nine")
    add(lab, transport, 8000, 8000, version)
    add(lab, transport, 4000, 9000, version, lease=0)
    check(lab, transport, {8000: "eight", 4000: "nine", 9000: None})
    for port in (8000, 4000):
        call(lab.lan1, IP, version, "DeletePortMapping", name_of(port, transport.upper()))
        check(lab, transport, {port: None})
    assert daemon.leases() == []


@VERSIONS
@BOTH
def test_overwriting_leads_elsewhere(lab, daemon, version, transport):
    serve(lab, lab.lan1, transport, 8000, "first")
    serve(lab, lab.lan1, transport, 8001, "second")
    add(lab, transport, 4000, 8000, version)
    check(lab, transport, {4000: "first"})
    add(lab, transport, 4000, 8001, version, description="another")
    check(lab, transport, {4000: "second"})
    add(lab, transport, 4000, 8001, version, description="a third", lease=60)
    check(lab, transport, {4000: "second"})
    assert error_of(lab.lan2, IP, version, "AddPortMapping", mapping(4000, 8000, LAN2, transport.upper())) == 718
    check(lab, transport, {4000: "second"})
    lease, = daemon.leases()
    assert (lease["description"], lease["internal_port"]) == ("a third", 8001)


@VERSIONS
@BOTH
def test_off_and_on_and_off(lab, daemon, version, transport):
    serve(lab, lab.lan1, transport, 8000, "server")
    for enabled, who in ((0, None), (1, "server"), (0, None), (1, "server")):
        add(lab, transport, 4000, 8000, version, enabled=enabled)
        check(lab, transport, {4000: who})
    assert len(daemon.leases()) == 1


@VERSIONS
@BOTH
def test_one_remote_host_and_nobody_else(lab, daemon, version, transport):
    serve(lab, lab.lan1, transport, 8000, "server")
    add(lab, transport, 4000, 8000, version, remote=REMOTE2)
    for source, who in ((REMOTE2, "server"), (REMOTE, None), (REMOTE2, "server"), (REMOTE3, None)):
        check(lab, transport, {(4000, source): who})
    call(lab.lan1, IP, version, "DeletePortMapping", name_of(4000, transport.upper(), REMOTE2))
    check(lab, transport, {(4000, REMOTE2): None})


@BOTH
def test_a_remote_host_beside_all_others(lab, daemon, transport):
    serve(lab, lab.lan1, transport, 8000, "for all")
    serve(lab, lab.lan1, transport, 8001, "for one")
    add(lab, transport, 4000, 8000)
    add(lab, transport, 4000, 8001, remote=REMOTE2)
    check(lab, transport, {(4000, REMOTE): "for all", (4000, REMOTE2): "for one", (4000, REMOTE3): "for all"})
    call(lab.lan1, IP, 2, "DeletePortMapping", name_of(4000, transport.upper()))
    check(lab, transport, {(4000, REMOTE): None, (4000, REMOTE2): "for one"})
    add(lab, transport, 4000, 8000)
    call(lab.lan1, IP, 2, "DeletePortMapping", name_of(4000, transport.upper(), REMOTE2))
    check(lab, transport, {(4000, REMOTE): "for all", (4000, REMOTE2): "for all"})
    assert len(daemon.leases()) == 1


@BOTH
def test_any_port(lab, daemon, transport):
    serve(lab, lab.lan1, transport, 8000, "mine")
    serve(lab, lab.lan2, transport, 8000, "theirs")
    call(lab.lan2, IP, 2, "AddPortMapping", mapping(4000, 8000, LAN2, transport.upper()))
    port = int(add(lab, transport, 4000, 8000, action="AddAnyPortMapping")["NewReservedPort"])
    check(lab, transport, {4000: "theirs", port: "mine"})
    call(lab.lan2, IP, 2, "DeletePortMapping", name_of(4000, transport.upper()))
    check(lab, transport, {4000: None, port: "mine"})
    # A wish for none, and one that is free.
    port = int(add(lab, transport, 0, 8000, action="AddAnyPortMapping")["NewReservedPort"])
    check(lab, transport, {port: "mine"})
    assert add(lab, transport, 4005, 8000, action="AddAnyPortMapping") == {"NewReservedPort": "4005"}
    check(lab, transport, {4005: "mine"})


@BOTH
def test_a_range_is_closed_at_once(lab, daemon, transport):
    serve(lab, lab.lan1, transport, 8000, "mine")
    serve(lab, lab.lan2, transport, 8000, "theirs")
    ports = (4000, 4001, 4003, 4010)
    for port in ports:
        add(lab, transport, port, 8000)
    call(lab.lan2, IP, 2, "AddPortMapping", mapping(4002, 8000, LAN2, transport.upper()))
    check(lab, transport, {**dict.fromkeys(ports, "mine"), 4002: "theirs"})
    call(lab.lan1, IP, 2, "DeletePortMappingRange", port_range(4000, 4005, transport.upper()))
    check(lab, transport, {4000: None, 4001: None, 4002: "theirs", 4003: None, 4010: "mine"})


@pytest.mark.long
@TIMED
@VERSIONS
def test_a_lease_that_ends_closes(lab, daemon, version):
    for transport in ("tcp", "udp"):
        serve(lab, lab.lan1, transport, 8000, "server")
        add(lab, transport, 4000, 8000, version, lease=6)
        add(lab, transport, 4001, 8000, version)
        check(lab, transport, {4000: "server"})
    wait_for(lambda: len(daemon.leases()) == 2, 30)
    assert error_of(lab.lan1, IP, version, "GetSpecificPortMappingEntry", name_of(4000)) == 714
    for transport in ("tcp", "udp"):
        check(lab, transport, {4000: None, 4001: "server"})
