# SPDX-License-Identifier: GPL-2.0-or-later
"""UPnP from the control point to the packet: the daemon, its worker, the kernel."""
import os
import re
import signal
import socket
import subprocess
import sys
import threading
import time

import pytest

import upnp_client as upnp
from clients import natpmp_map, pcp_map
from lab import BUILD, LAN, LAN1, LAN2, REMOTE, REMOTE2, TIMED, WAN, WAN_NEW, is_running, wait_for
from upnp_client import COMMON, IP, L3F, call, error_of, mapping, name_of, port_range, search
from test_upnp_worker import address_of_link, subscriber

VERSIONS = pytest.mark.parametrize("version", [1, 2])
BOTH = pytest.mark.parametrize("transport", ["tcp", "udp"])


@pytest.fixture
def daemon(lab):
    daemon = lab.daemon()
    daemon.logged("upnp: serving")
    return daemon


def upnpc(host, *arguments, check=True):
    return host.run("upnpc", *arguments, check=check).stdout


def test_upnpc_maps_lists_and_deletes(lab, daemon):
    lab.server(lab.lan1, "tcp", 8000)
    assert lab.wan.refused("tcp", WAN, 4000)
    assert f"external {WAN}:4000 TCP is redirected to internal {LAN1}:8000" in \
        upnpc(lab.lan1, "-e", "A web server & more", "-a", LAN1, "8000", "4000", "tcp", "3600")
    assert lab.wan.tcp(WAN, 4000, sport=5555) == f"lan1 saw {REMOTE}:5555: ping"
    lease, = daemon.leases()
    assert (lease["origin"], lease["description"], lease["external_port"]) == ("upnp", "A web server & more", 4000)
    listed = upnpc(lab.lan2, "-l")
    assert re.search(rf"0 TCP  4000->{LAN1}:8000 +'A web server &amp; more' '' 3[56]\d\d", listed), listed
    assert f"ExternalIPAddress = {WAN}" in listed and "Status : Connected" in listed
    assert "UPNP_DeletePortMapping() returned : 0" in upnpc(lab.lan1, "-d", "4000", "tcp")
    assert lab.wan.refused("tcp", WAN, 4000)
    assert daemon.leases() == []


def test_upnpc_of_the_second_version(lab):
    daemon = lab.daemon(extra="igd-version = 2")
    daemon.logged("upnp: serving")
    upnpc(lab.lan1, "-e", "A & b", "-a", LAN1, "8000", "4000", "tcp", "3600")
    assert f"external {WAN}:4001 TCP is redirected to internal {LAN1}:8001" in \
        upnpc(lab.lan1, "-n", LAN1, "8001", "4001", "tcp", "600")
    listed = upnpc(lab.lan1, "-L", "1", "65535", "tcp")
    assert re.search(rf"TCP  4000->{LAN1}:8000 +'A &amp; b' ''", listed), listed
    assert re.search(rf"TCP  4001->{LAN1}:8001 +'libminiupnpc' ''", listed), listed
    assert "returned : 0" in upnpc(lab.lan1, "-N", "1", "65535", "tcp", "1")
    assert daemon.leases() == []


@VERSIONS
@BOTH
def test_a_mapping_does_what_it_says(lab, daemon, version, transport):
    lab.server(lab.lan1, transport, 8000)
    name = transport.upper()
    call(lab.lan1, IP, version, "AddPortMapping", mapping(4000, 8000, LAN1, name))
    assert lab.wan.talk(transport, WAN, 4000).startswith("lan1 saw")
    # The same once more is a renewal; another internal port is a change; another client's is a conflict.
    call(lab.lan1, IP, version, "AddPortMapping", mapping(4000, 8000, LAN1, name, lease=60))
    shown = call(lab.lan2, IP, version, "GetSpecificPortMappingEntry", name_of(4000, name))
    assert 55 <= int(shown["NewLeaseDuration"]) <= 60 and shown["NewInternalClient"] == LAN1
    assert error_of(lab.lan2, IP, version, "AddPortMapping", mapping(4000, 8000, LAN2, name)) == 718
    assert error_of(lab.lan2, IP, version, "DeletePortMapping", name_of(4000, name)) == 606
    lab.server(lab.lan1, transport, 8001)
    call(lab.lan1, IP, version, "AddPortMapping", mapping(4000, 8001, LAN1, name))
    assert lab.wan.talk(transport, WAN, 4000).startswith("lan1 saw")
    call(lab.lan1, IP, version, "DeletePortMapping", name_of(4000, name))
    assert lab.wan.refused(transport, WAN, 4000)


@BOTH
def test_a_port_of_the_gateways_own(lab, daemon, transport):
    """IGD:1 has no code of its own for it."""
    lab.server(lab.gw, transport, 8080)
    wish = mapping(8080, 8000, LAN1, transport.upper())
    assert (error_of(lab.lan1, IP, 1, "AddPortMapping", wish), error_of(lab.lan1, IP, 2, "AddPortMapping", wish)) == (718, 729)
    daemon.logged("reason=gateway-port")
    assert lab.wan.talk(transport, WAN, 8080).startswith("gw saw")
    other = int(call(lab.lan1, IP, 2, "AddAnyPortMapping", wish)["NewReservedPort"])
    lab.server(lab.lan1, transport, 8000)
    assert other != 8080 and lab.wan.talk(transport, WAN, other).startswith("lan1 saw")


@BOTH
def test_a_mapping_for_one_remote_host(lab, daemon, transport):
    lab.server(lab.lan1, transport, 8000)
    call(lab.lan1, IP, 2, "AddPortMapping", mapping(4000, 8000, LAN1, transport.upper(), remote=REMOTE2))
    assert lab.wan.talk(transport, WAN, 4000, source=REMOTE2).startswith("lan1 saw " + REMOTE2)
    assert lab.wan.refused(transport, WAN, 4000, source=REMOTE)
    assert error_of(lab.lan1, IP, 2, "GetSpecificPortMappingEntry", name_of(4000, transport.upper())) == 714
    call(lab.lan1, IP, 2, "DeletePortMapping", name_of(4000, transport.upper(), REMOTE2))
    assert lab.wan.refused(transport, WAN, 4000, source=REMOTE2)


def test_a_mapping_that_is_not_enabled(lab, daemon):
    lab.server(lab.lan1, "tcp", 8000)
    call(lab.lan1, IP, 2, "AddPortMapping", mapping(4000, 8000, LAN1, enabled=0))
    assert call(lab.lan1, IP, 2, "GetSpecificPortMappingEntry", name_of(4000))["NewEnabled"] == "0"
    assert lab.wan.refused("tcp", WAN, 4000)
    assert error_of(lab.lan2, IP, 2, "AddPortMapping", mapping(4000, 8000, LAN2)) == 718
    call(lab.lan1, IP, 2, "AddPortMapping", mapping(4000, 8000, LAN1, enabled=1))
    assert lab.wan.tcp(WAN, 4000).startswith("lan1 saw")


def test_any_port_and_ranges(lab, daemon):
    lab.server(lab.lan2, "tcp", 8000)
    call(lab.lan1, IP, 2, "AddPortMapping", mapping(4000, 8000, LAN1))
    assert call(lab.lan1, IP, 2, "AddAnyPortMapping", mapping(4001, 8001, LAN1)) == {"NewReservedPort": "4001"}
    other = int(call(lab.lan2, IP, 2, "AddAnyPortMapping", mapping(4000, 8000, LAN2))["NewReservedPort"])
    assert other not in (4000, 4001)
    assert lab.wan.tcp(WAN, other).startswith("lan2 saw")
    text = call(lab.lan1, IP, 2, "GetListOfPortMappings", {**port_range(1, 65535), "NewNumberOfPorts": 0})["NewPortListing"]
    assert sorted(map(int, re.findall(r"<p:NewExternalPort>(\d+)<", text))) == sorted([4000, 4001, other])
    mine = call(lab.lan1, IP, 2, "GetListOfPortMappings", {**port_range(1, 65535, manage=0), "NewNumberOfPorts": 0})
    assert re.findall(r"<p:NewExternalPort>(\d+)<", mine["NewPortListing"]) == ["4000", "4001"]
    call(lab.lan1, IP, 2, "DeletePortMappingRange", port_range(1, 65535))
    assert [lease["external_port"] for lease in daemon.leases()] == [other]
    assert error_of(lab.lan1, IP, 2, "DeletePortMappingRange", port_range(1, 65535)) == 730


def test_events_of_what_other_protocols_do(lab, daemon):
    one = subscriber(lab)
    assert one.subscribe("/2/WANIP/event").status == 200
    wait_for(lambda: one.events)
    assert one.events[0].variables["ExternalIPAddress"] == WAN

    def told(name, value):
        wait_for(lambda: any(e.variables.get(name) == value for e in one.events), 5, f"{name} = {value} in {one.events}")
    natpmp_map(lab.lan2, "tcp", 8000, 4000)
    told("PortMappingNumberOfEntries", "1")
    pcp_map(lab.lan2, LAN2, "udp", 8001, 4001)
    told("PortMappingNumberOfEntries", "2")
    call(lab.lan1, IP, 1, "AddPortMapping", mapping(5000, 8000, LAN1))
    told("PortMappingNumberOfEntries", "3")
    daemon.cli("remove", "tcp:4000", "udp:4001", "tcp:5000")
    told("PortMappingNumberOfEntries", "0")
    natpmp_map(lab.lan2, "tcp", 8000, 4000, lifetime=2)
    wait_for(lambda: one.events[-1].variables["PortMappingNumberOfEntries"] == "1")
    wait_for(lambda: one.events[-1].variables["PortMappingNumberOfEntries"] == "0", 15, "it expires")
    for event in one.events[1:]:
        assert set(event.variables) == {"PortMappingNumberOfEntries", "SystemUpdateID"}
    numbers = [int(e.variables["SystemUpdateID"]) for e in one.events]
    assert numbers == sorted(set(numbers)) and [e.seq for e in one.events] == list(range(len(one.events)))
    lab.set_wan(WAN_NEW)
    told("ExternalIPAddress", WAN_NEW)


def test_counters_are_the_wans(lab, daemon):
    lab.server(lab.lan1, "udp", 8000)
    call(lab.lan1, IP, 1, "AddPortMapping", mapping(4000, 8000, LAN1, "UDP"))
    before = int(call(lab.lan1, COMMON, 1, "GetTotalBytesReceived")["NewTotalBytesReceived"])
    for _ in range(5):
        lab.wan.udp(WAN, 4000, b"x" * 1000)
    after = int(call(lab.lan1, COMMON, 1, "GetTotalBytesReceived")["NewTotalBytesReceived"])
    assert 5000 <= after - before <= 10000


def workers(daemon):
    return daemon.children("portleased-upnp")


def test_a_worker_that_dies_takes_nothing_with_it(lab, daemon):
    lab.server(lab.lan1, "tcp", 8000)
    heard = lab.closing(upnp.Announcements(lab.lan1))
    call(lab.lan1, IP, 1, "AddPortMapping", mapping(4000, 8000, LAN1))
    worker, = workers(daemon)
    wait_for(lambda: heard.of("alive"))
    os.kill(worker, signal.SIGKILL)
    wait_for(lambda: not is_running(worker))
    before = list(heard.got)
    wait_for(lambda: workers(daemon) not in ([], [worker]))
    assert lab.wan.tcp(WAN, 4000).startswith("lan1 saw")

    def answered():
        try:
            return call(lab.lan1, IP, 1, "GetSpecificPortMappingEntry", name_of(4000))
        except OSError:
            return None
    assert wait_for(answered)["NewInternalPort"] == "8000"
    wait_for(lambda: heard.of("alive")[-1] not in before)
    after = heard.got[len(before):]
    assert after[0].headers["nts"] == "ssdp:byebye"
    assert int(after[0].headers["bootid.upnp.org"]) > max(int(d.headers["bootid.upnp.org"]) for d in before)


@TIMED
def test_a_core_that_dies_takes_its_workers_with_it(lab, daemon):
    heard = lab.closing(upnp.Announcements(lab.lan1))
    worker, = workers(daemon)
    os.kill(daemon.pid, signal.SIGKILL)
    wait_for(lambda: heard.of("byebye"))
    wait_for(lambda: workers(daemon) not in ([], [worker]), 10)
    wait_for(lambda: heard.of("alive"), 10)
    wait_for(lambda: search(lab.lan1, IP + "1"), 10)


@TIMED
def test_byebye_at_the_end(lab, daemon):
    heard = lab.closing(upnp.Announcements(lab.lan1))
    wait_for(lambda: search(lab.lan1, IP + "1", to=LAN) and heard.of("alive"))
    assert daemon.stop() == 0
    wait_for(lambda: heard.of("byebye"))
    # Started anew it is the same device under a larger BOOTID.
    names, boots = names_and_boots(heard.got)
    time.sleep(0.2)  # nothing of the first one is under way
    before = len(heard.got)
    daemon.start()
    wait_for(lambda: [d for d in heard.got[before:] if d.headers["nts"] == "ssdp:alive"])
    again, later = names_and_boots(heard.got[before:])
    assert heard.got[before].headers["nts"] == "ssdp:byebye"
    assert again == names and min(later) > max(boots)


def names_and_boots(datagrams):
    return {d.headers["usn"] for d in datagrams}, {int(d.headers["bootid.upnp.org"]) for d in datagrams}


def test_addresses_and_links_of_the_lan_are_followed(lab, daemon):
    heard = lab.closing(upnp.Announcements(lab.lan1))
    wait_for(lambda: heard.of("alive"))
    boot = max(names_and_boots(heard.got)[1])

    def alive(address):
        return [d for d in heard.of("alive") if d.source[0] == address and int(d.headers["bootid.upnp.org"]) > boot]
    lab.gw.ip("address add 192.168.3.1/24 dev br-lan")
    wait_for(lambda: alive("192.168.3.1") and alive(LAN), 10)
    lab.lan2.ip("address add 192.168.3.12/24 dev eth0")
    call(lab.lan2, IP, 1, "AddPortMapping", mapping(4000, 8000, "192.168.3.12"), address="192.168.3.1", source="192.168.3.12")
    boot = max(names_and_boots(heard.got)[1])
    lab.gw.ip("address del 192.168.3.1/24 dev br-lan")
    wait_for(lambda: alive(LAN), 10)
    boot = max(names_and_boots(heard.got)[1])
    lab.gw.ip("link set br-lan down")
    lab.gw.ip("link set br-lan up")
    wait_for(lambda: alive(LAN), 10)
    assert call(lab.lan1, IP, 1, "GetExternalIPAddress") == {"NewExternalIPAddress": WAN}


def test_caps_of_the_configuration_are_the_workers(lab):
    daemon = lab.daemon(extra="event-subscriptions-per-client = 2 event-subscriptions = 3 http-request-timeout = 1\n"
                              "ssdp-searches-per-second = 1")
    daemon.logged("upnp: serving")
    one, two = subscriber(lab), subscriber(lab, lab.lan2, LAN2)
    assert [one.subscribe().status for _ in range(3)] == [200, 200, 503]
    assert [two.subscribe().status for _ in range(2)] == [200, 503]
    with upnp.connect(lab.lan1, timeout=10) as idle:  # the default is 15
        assert idle.recv(1) == b""
    begun = time.monotonic()
    answered = sum(len(search(lab.lan1, IP + "1", to=LAN, seconds=0.01)) for _ in range(20))
    assert answered <= 3 + time.monotonic() - begun


@TIMED
def test_two_lans_are_two_devices(lab):
    lab.gw.ip("link set port2 nomaster", "address add 192.168.2.1/24 dev port2")
    lab.lan2.ip("address flush dev eth0", "address add 192.168.2.12/24 dev eth0", "route add default via 192.168.2.1")
    daemon = lab.daemon(lan=("br-lan", "port2"))
    wait_for(lambda: daemon.log().count("upnp: serving") == 2)
    first, second = search(lab.lan1, IP + "1", to=LAN), search(lab.lan2, IP + "1", to="192.168.2.1")
    assert first[0].headers["location"].startswith(f"http://{LAN}:")
    assert second[0].headers["location"].startswith("http://192.168.2.1:")
    assert first[0].headers["usn"] != second[0].headers["usn"]
    assert search(lab.lan1, IP + "1", to="192.168.2.1", seconds=0.3) == []
    call(lab.lan2, IP, 1, "AddPortMapping", mapping(4000, 8000, "192.168.2.12"), address="192.168.2.1")
    assert error_of(lab.lan1, IP, 1, "AddPortMapping", mapping(4000, 8000, LAN1)) == 718


@TIMED
def test_without_upnp(lab):
    daemon = lab.daemon(extra="upnp = no")
    assert natpmp_map(lab.lan1, "tcp", 8000, 4000).result == 0
    assert workers(daemon) == [] and search(lab.lan1, "ssdp:all") == []


class Speaker:
    """A program on a host that says lines of fields."""

    def __init__(self, lab, host, *argv):
        self.got = []
        self.process = host.start(*argv, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        self.thread = threading.Thread(target=self._read, daemon=True)
        self.thread.start()
        lab.closing(self)

    def _read(self):
        for line in self.process.stdout:
            self.got.append(line.rstrip("\n").split("\t"))

    def told(self, *kinds, seconds=15):
        """The first line of one of these kinds, taken out; events come when they like."""
        def look():
            return next((line for line in list(self.got) if line[0] in kinds), None)
        line = wait_for(look, seconds, f"{kinds} in {self.got}")
        self.got.remove(line)
        return line[1:]

    def say(self, *fields):
        self.process.stdin.write("\t".join(map(str, fields)) + "\n")
        self.process.stdin.flush()

    def close(self):
        self.process.kill()
        self.process.wait()
        self.thread.join(5)
        self.process.stdin.close()
        self.process.stdout.close()


class ControlPoint(Speaker):
    """upnp_control_point."""

    def __init__(self, lab, host):
        super().__init__(lab, host, os.path.join(os.path.abspath(BUILD), "tests/system/upnp_control_point"), "eth0")
        self.told("ready")

    def call(self, control, kind, action, arguments=()):
        """Arguments of the answer, or the code of the error."""
        self.say("call", control, kind, action, *(x for item in dict(arguments).items() for x in item))
        line = self.told("answer", "error")
        return int(line[0]) if len(line) == 1 and line[0].lstrip("-").isdigit() else dict(zip(line[::2], line[1::2]))


@VERSIONS
@TIMED
def test_a_control_point_of_another_make(lab, daemon, version):
    lab.server(lab.lan1, "tcp", 8000)
    address_of_link(lab, lab.lan1)  # which it binds, too
    lab.lan1.ip("route add 239.0.0.0/8 dev eth0")  # its multicasts follow the routes
    near = f"http://[{address_of_link(lab)}]:{upnp.PORT}/{version}/desc.xml"
    wait_for(lambda: search(lab.lan1, IP + "1", to="ff02::c"))
    control_point = ControlPoint(lab, lab.lan1)
    control_point.say("search", IP + str(version))
    location, kind = f"http://{LAN}:{upnp.PORT}/{version}/desc.xml", IP + str(version)
    wait_for(lambda: ["found", location, kind] in control_point.got)
    wait_for(lambda: ["found", near, kind] in control_point.got)
    assert {tuple(line) for line in control_point.got} == {("found", location, kind), ("found", near, kind)}

    control_point.say("describe", location)
    control_point.told("described")
    devices = [line[1] for line in control_point.got if line[0] == "device"]
    assert devices == [f"urn:schemas-upnp-org:device:{name}:{version}" for name in
                       ("InternetGatewayDevice", "WANDevice", "WANConnectionDevice")]
    services = {line[1]: line[2:] for line in control_point.got if line[0] == "service"}
    assert set(services) == {L3F + "1", COMMON + "1", IP + str(version)}
    control, events = services[IP + str(version)]

    control_point.say("subscribe", events)
    sid, seconds = control_point.told("subscribed")
    assert seconds == "1800"
    event = control_point.told("event")
    assert event[:2] == [sid, "0"] and dict(zip(event[2::2], event[3::2]))["ExternalIPAddress"] == WAN

    assert control_point.call(control, kind, "GetExternalIPAddress") == {"NewExternalIPAddress": WAN}
    assert control_point.call(control, kind, "GetStatusInfo")["NewConnectionStatus"] == "Connected"
    assert control_point.call(control, kind, "GetGenericPortMappingEntry", {"NewPortMappingIndex": 0}) == 713
    assert control_point.call(control, kind, "AddPortMapping", mapping(4000, 8000, LAN1)) == {}
    assert lab.wan.tcp(WAN, 4000).startswith("lan1 saw")
    event = control_point.told("event")
    assert event[:4] == [sid, "1", "PortMappingNumberOfEntries", "1"]
    shown = control_point.call(control, kind, "GetGenericPortMappingEntry", {"NewPortMappingIndex": 0})
    assert (shown["NewExternalPort"], shown["NewInternalClient"]) == ("4000", LAN1)
    any_port = control_point.call(control, kind, "AddAnyPortMapping", mapping(4001, 8000, LAN1))
    assert any_port == ({"NewReservedPort": "4001"} if version == 2 else 401)
    assert control_point.call(control, kind, "DeletePortMapping", name_of(4000)) == {}
    assert control_point.call(control, kind, "DeletePortMapping", name_of(4000)) == 714
    assert "NewTotalBytesSent" in control_point.call(services[COMMON + "1"][0], COMMON + "1", "GetTotalBytesSent")
    assert "NewDefaultConnectionService" in control_point.call(services[L3F + "1"][0], L3F + "1", "GetDefaultConnectionService")
    control_point.say("unsubscribe", sid)
    control_point.told("unsubscribed")

    # Over IPv6, naming its IPv4 address.
    control_point.say("describe", near)
    control_point.told("described")
    services = {line[1]: line[2:] for line in control_point.got if line[0] == "service"}
    control, _ = services[IP + str(version)]
    assert control.startswith("http://[fe80:")
    assert control_point.call(control, kind, "AddPortMapping", mapping(4002, 8000, LAN1)) == {}
    assert lab.wan.tcp(WAN, 4002).startswith("lan1 saw")
    assert control_point.call(control, kind, "AddPortMapping", mapping(4003, 8000, LAN2)) == {1: 718, 2: 606}[version]
    assert control_point.call(control, kind, "DeletePortMapping", name_of(4002)) == {}


@VERSIONS
def test_who_speaks_over_ipv6_and_names_its_own_ipv4_address(lab, daemon, version):
    """The gateway knows who it is by its neighbours; nobody gets or deletes what is another's."""
    lab.gw.ip("address add fd00:1::1/64 dev br-lan nodad")
    lab.lan1.ip("address add fd00:1::11/64 dev eth0 nodad")
    lab.lan2.ip("address add fd00:1::12/64 dev eth0 nodad")
    link = address_of_link(lab)
    for host in (lab.lan1, lab.lan2):
        address_of_link(lab, host)
        call(host, IP, version, "GetExternalIPAddress")  # over IPv4: both are neighbours
    wait_for(lambda: search(lab.lan1, IP + "1", to="ff02::c"))
    lab.server(lab.lan1, "tcp", 8000)
    refusal = {1: 718, 2: 606}[version]
    for external, address in ((4000, link), (4001, "fd00:1::1")):
        via = {"address": address}
        wait_for(lambda: search(lab.lan1, IP + "1", to=address))
        assert error_of(lab.lan2, IP, version, "AddPortMapping", mapping(external, 8000, LAN1), **via) == refusal
        assert lab.wan.refused("tcp", WAN, external)
        call(lab.lan1, IP, version, "AddPortMapping", mapping(external, 8000, LAN1), **via)
        assert lab.wan.tcp(WAN, external).startswith("lan1 saw")
        # Another's it may read.
        assert call(lab.lan2, IP, version, "GetSpecificPortMappingEntry", name_of(external), **via)["NewInternalClient"] == LAN1
        assert error_of(lab.lan2, IP, version, "DeletePortMapping", name_of(external), **via) == 606
        assert error_of(lab.lan2, IP, version, "AddPortMapping", mapping(external, 8000, LAN2), **via) == 718
    assert [lease["internal_address"] for lease in daemon.leases()] == [LAN1, LAN1]
    call(lab.lan1, IP, version, "DeletePortMapping", name_of(4000), address=link)
    assert lab.wan.refused("tcp", WAN, 4000)
    if version == 2:
        assert error_of(lab.lan2, IP, 2, "DeletePortMappingRange", port_range(1, 65535), address=link) == 730
        call(lab.lan1, IP, 2, "DeletePortMappingRange", port_range(1, 65535), address=link)
        assert lab.wan.refused("tcp", WAN, 4001)
    # The gateway has forgotten it.
    lab.gw.ip("neighbour flush dev br-lan")
    lab.gw.ip(f"neighbour replace {LAN1} dev br-lan nud failed")
    assert error_of(lab.lan1, IP, version, "AddPortMapping", mapping(5000, 8000, LAN1), address=link) == refusal


def test_libtorrent_maps_by_upnp(lab, daemon):
    script = os.path.join(os.path.dirname(os.path.abspath(__file__)), "upnp_torrent.py")
    client = lab.lan1.start(sys.executable, script, LAN1, "6881", stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    leases = wait_for(lambda: len(daemon.leases()) == 2 and daemon.leases(), 10, "a lease for each transport")
    assert {(lease["origin"], lease["transport"], lease["internal_address"], lease["internal_port"])
            for lease in leases} == {("upnp", "tcp", LAN1, 6881), ("upnp", "udp", LAN1, 6881)}
    with lab.wan.bound(socket.SOCK_STREAM) as sock:
        sock.settimeout(10)
        sock.connect((WAN, leases[0]["external_port"]))
    client.stdin.close()
    said = client.stdout.read()
    client.wait(20)
    assert "portmap_error_alert" not in said, said
    wait_for(lambda: daemon.leases() == [], 5, f"its mappings end; it said {said}")
