# SPDX-License-Identifier: GPL-2.0-or-later
"""Mappings that nobody has use for end: those of a host that is gone, and those through which nothing goes."""
import socket

import pytest

from clients import natpmp_map, pcp_map
from lab import LAN, LAN1, LAN2, REMOTE, WAN, Host, wait_for
from test_flows import SOON, conversation
from upnp_client import IP, call, mapping

# How long the daemon needs to be sure that a host is gone: it looks twice, and waits for each answer.
GONE = 40
FORWARD = f'forward "web" {{\n transport = tcp\n external-ports = 80\n target = {LAN1}:80\n}}\n'


@pytest.fixture
def quick(lab):
    """The gateway takes no minute to doubt what it knows of its neighbours."""
    for name, value in (("base_reachable_time_ms", 2000), ("delay_first_probe_time", 1), ("retrans_time_ms", 200)):
        lab.gw.sysctl(f"net/ipv4/neigh/br-lan/{name}", value)


def unplug(lab, host, port):
    """Its end of the cable is gone, and with it the host."""
    host.ip("link del eth0")
    wait_for(lambda: port not in lab.gw.run("ip", "-o", "link").stdout, SOON)


@pytest.mark.long
def test_a_host_that_is_gone_leaves_its_ports_to_the_next(lab, quick):
    daemon = lab.daemon("host-gone-timeout = 4\n" + FORWARD)
    daemon.logged("upnp: serving")
    # One host, by all three protocols; another that sleeps, and whose kernel answers ARP alone.
    assert natpmp_map(lab.lan1, "udp", 3074, 3074).external == 3074
    assert pcp_map(lab.lan1, LAN1, "tcp", 3075, 3075, nonce=bytes(12)).external == 3075
    call(lab.lan1, IP, 1, "AddPortMapping", mapping(3076, 3076, LAN1))
    assert natpmp_map(lab.lan2, "udp", 4000, 4000).external == 4000
    lab.server(lab.lan2, "udp", 4000)
    for end in conversation(lab, 3075, 3075):
        end.stop.set()
    before = daemon.status()["counters"]
    unplug(lab, lab.lan1, "port1")
    wait_for(lambda: daemon.ports() == [80, 4000], GONE, "its mappings ended")
    daemon.logged(r"lease: host-gone id=\d+ client=192.168.1.11 protocol=nat-pmp transport=udp external=3074")
    after = daemon.status()["counters"]
    assert after["gone"] - before["gone"] == 3 and after["idle"] == after["removed"] == 0
    assert sorted(lab.external_ports("tcp")) == [80] and sorted(lab.external_ports("udp")) == [4000]
    assert lab.wan.talk("udp", WAN, 4000).startswith("lan2 saw")
    wait_for(lambda: daemon.status()["counters"]["flows_ended"] == 1, SOON, "who is connected to it will be told")
    # The next console has the same ports at once, by each protocol, and they carry.
    assert natpmp_map(lab.lan2, "udp", 3074, 3074).external == 3074
    assert pcp_map(lab.lan2, LAN2, "tcp", 3075, 3075, nonce=bytes(12)).external == 3075
    call(lab.lan2, IP, 1, "AddPortMapping", mapping(3076, 3076, LAN2))
    for transport, port in (("udp", 3074), ("tcp", 3075), ("tcp", 3076)):
        lab.server(lab.lan2, transport, port)
        assert lab.wan.talk(transport, WAN, port).startswith("lan2 saw")
    assert daemon.ports() == [80, 3074, 3075, 3076, 4000]


@pytest.mark.long
def test_a_host_that_answers_nobody_but_sends_is_there(lab, quick):
    daemon = lab.daemon("host-gone-timeout = 4")
    third = lab.closing(Host("third"))
    lab._cable("port3", third)
    lab.gw.ip("link set port3 master br-lan up")
    third.ip("address add 192.168.1.13/24 dev eth0", "link set eth0 up", f"route add default via {LAN}")
    # The one sends on after its last answer, the other does not.
    lab.server(lab.wan, "udp", 7000)
    for host, port in ((lab.lan1, 4000), (third, 4003)):
        assert natpmp_map(host, "udp", port, port).external == port
        assert host.talk("udp", REMOTE, 7000, sport=5000).startswith("wan saw")
    sender = lab.lan1.bound(socket.SOCK_DGRAM, 5000)
    unplug(lab, third, "port3")
    lladdr = lab.gw.run("ip", "-o", "link", "show", "br-lan").stdout.split("link/ether ")[1].split()[0]
    lab.lan1.ip(f"neighbour replace {LAN} lladdr {lladdr} nud permanent dev eth0")
    lab.lan1.sysctl("net/ipv4/conf/eth0/arp_ignore", 8)

    def ended():
        sender.sendto(b"x", (REMOTE, 7000))
        return 4003 not in daemon.ports()

    wait_for(ended, GONE, "the other's mapping ended")
    assert daemon.ports() == [4000]
    assert daemon.status()["counters"]["gone"] == 1
    # It falls silent as well.
    wait_for(lambda: daemon.ports() == [], 3 * GONE, "its mapping ended, too")
    sender.close()


@pytest.mark.long
def test_a_mapping_that_nobody_uses_ends(lab):
    daemon = lab.daemon("idle-mapping-timeout = 16\n" + FORWARD)
    for port in (4000, 4001):
        assert natpmp_map(lab.lan1, "tcp", port, port).external == port
    assert natpmp_map(lab.lan1, "udp", 4002, 4002).external == 4002
    lab.server(lab.lan1, "udp", 4002)
    # A connection that is old, and says no more.
    for end in conversation(lab, 4001, 4001):
        end.stop.set()

    def without(port):
        """With traffic through another now and then."""
        lab.wan.udp(WAN, 4002)
        return port not in daemon.ports()

    wait_for(lambda: without(4000), GONE, "the one that nobody used ended")
    daemon.logged(r"lease: idle id=\d+ client=192.168.1.11 protocol=nat-pmp transport=tcp external=4000")
    # Its client may have it again at once, for as long.
    assert natpmp_map(lab.lan1, "tcp", 4000, 4000).external == 4000
    wait_for(lambda: without(4000), GONE, "again")
    assert daemon.ports() == [80, 4001, 4002]
    counters = daemon.status()["counters"]
    assert counters["idle"] == 2 and counters["gone"] == counters["removed"] == 0
    wait_for(lambda: daemon.ports() == [80, 4001], GONE, "no more traffic")


@pytest.mark.long
def test_both_are_off_until_they_are_asked_for(lab, quick):
    daemon = lab.daemon()
    assert natpmp_map(lab.lan1, "udp", 4000, 4000).external == 4000
    assert natpmp_map(lab.lan2, "udp", 4002, 4002).external == 4002
    unplug(lab, lab.lan1, "port1")
    assert daemon.ports() == [4000, 4002]
    with open(daemon.config, "a", encoding="utf-8") as file:
        file.write("host-gone-timeout = 4\n")
    daemon.cli("reload")
    wait_for(lambda: daemon.ports() == [4002], GONE, "as it is now")
