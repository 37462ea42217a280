# SPDX-License-Identifier: GPL-2.0-or-later
"""Interfaces that come late, go, come back, are of another kind or another one; a gateway that stops being one."""
import contextlib
import fcntl
import os
import re
import select
import struct
import subprocess
import threading
import time

import pytest

from clients import ask, natpmp_address, natpmp_address_packet, natpmp_map, natpmp_read_address, pcp_map
from lab import LAN, LAN1, REMOTE, WAN, WAN_NEW, Host, wait_for

SECOND, SECOND_REMOTE = "11.1.0.1", "11.1.0.9"
TUNSETIFF, IFF_TUN, IFF_NO_PI = 0x400454CA, 0x0001, 0x1000


def tells(lab, address, seconds=2):
    """Waits until clients are told this external address; None: that there is none."""
    def told():
        answer = ask(lab.lan1, natpmp_address_packet(), timeout=0.5)
        got = answer and natpmp_read_address(answer)
        return got and (got.address if got.result == 0 else None, got.result) == (address, 0 if address else 3)
    wait_for(told, seconds, f"clients are told {address}")


def serves(lab, seconds=3):
    wait_for(lambda: ask(lab.lan1, natpmp_address_packet(), timeout=0.5), seconds, "the LAN is served")


def passes(lab, address, remote=None):
    """The mapping udp 4000 -> lan1:8000 brings octets from outside in and back."""
    assert (remote or lab.wan).udp(address, 4000).startswith("lan1 saw")


def map_one(lab):
    lab.server(lab.lan1, "udp", 8000)
    assert natpmp_map(lab.lan1, "udp", 8000, 4000).external == 4000


def hears(listener, address):
    """Has NAT-PMP announced this external address?"""
    return any(data[0] == 0 and natpmp_read_address(data).address == address for _, _, data in listener.got)


def interface(daemon, role="wan"):
    return next(i for i in daemon.status()["interfaces"] if i["role"] == role)


@pytest.fixture(name="second")
def _second(lab):
    """Another Internet host, behind wan1."""
    host = lab.closing(Host("second"))
    lab._cable("wan1", host)
    host.ip(f"address add {SECOND_REMOTE}/24 dev eth0", "link set eth0 up")
    lab.gw.ip(f"address add {SECOND}/24 dev wan1", "link set wan1 up")
    lab.gw.nft('insert rule inet admin postrouting oifname "wan1" masquerade\n')
    return host


def test_the_wan_follows_the_default_route(lab, second):
    daemon = lab.daemon(wan_name="auto")
    daemon.logged("wan: waiting wan=auto reason=no-default-route")
    assert natpmp_address(lab.lan1).result == 3
    assert re.search(r"^wan +auto waiting: no default route$", daemon.cli("status").stdout, re.M)
    lab.gw.ip(f"route add default via {REMOTE} dev wan0 metric 200")
    tells(lab, WAN)
    map_one(lab)
    passes(lab, WAN)
    lab.server(second, "udp", 53)
    # Another table's is not ours; nor is a worse one.
    lab.gw.ip(f"route add default via {SECOND_REMOTE} dev wan1 table 7", f"route add default via {SECOND_REMOTE} dev wan1 metric 300")
    lab.gw.ip("address add 11.0.0.77/24 dev wan0")
    wait_for(lambda: len(interface(daemon)["addresses"]) == 2, 2, "the daemon has seen all this")
    assert natpmp_address(lab.lan1).address == WAN and interface(daemon)["name"] == "wan0"
    listener = lab.announcements()
    lab.gw.ip(f"route add default via {SECOND_REMOTE} dev wan1 metric 100")
    tells(lab, SECOND)
    assert interface(daemon)["name"] == "wan1"
    wait_for(lambda: hears(listener, SECOND), 3, "it is announced")
    passes(lab, SECOND, second)
    assert lab.lan1.udp(SECOND_REMOTE, 53, sport=8000) == f"second saw {SECOND}:4000: ping"
    # The kernel takes the route away with the link, and says nothing of it.
    lab.gw.ip("link set wan1 down")
    tells(lab, WAN)
    passes(lab, WAN)
    lab.gw.ip("route del default metric 200")
    tells(lab, None)
    assert len(daemon.leases()) == 1


def test_without_forwarding_nobody_is_served(lab):
    daemon = lab.daemon()
    map_one(lab)

    def ports():
        """Those at which the gateway listens on the LAN: 5351, SSDP's and HTTP's."""
        listed = lab.gw.run("ss", "-Hlntu").stdout
        return set(re.findall(r":(5351|1900|5431) ", listed))

    wait_for(lambda: ports() == {"5351", "1900", "5431"}, 5, "all are served")
    for _ in range(2):
        lab.gw.sysctl("net/ipv4/ip_forward", 0)
        wait_for(lambda: not ports(), 5, "the sockets are closed")
        assert ask(lab.lan1, natpmp_address_packet(), timeout=0.2) is None
        status = daemon.status()
        assert status["forwarding"] is False and not interface(daemon, "lan")["served"]
        assert "net.ipv4.ip_forward is 0" in daemon.cli("status").stdout
        lab.gw.sysctl("net/ipv4/ip_forward", 1)
        serves(lab)
        wait_for(lambda: ports() == {"5351", "1900", "5431"}, 5, "all are served again")
        assert daemon.status()["forwarding"] is True
    passes(lab, WAN)
    assert len(re.findall("gateway: serves nobody", daemon.log())) == 2
    assert not re.search("lan waiting", daemon.log())


def test_started_without_forwarding_it_waits(lab):
    lab.gw.sysctl("net/ipv4/ip_forward", 0)
    daemon = lab.daemon()
    daemon.logged("gateway: serves nobody")
    assert ask(lab.lan1, natpmp_address_packet(), timeout=0.2) is None
    lab.gw.sysctl("net/ipv4/ip_forward", 1)
    serves(lab)


def make_wan(lab, name="wan0"):
    lab._cable(name, lab.wan)
    lab.wan.ip(f"address add {REMOTE}/24 dev eth0", "link set eth0 up")
    lab.gw.ip(f"address add {WAN}/24 dev {name}", f"link set {name} up")


def make_lan(lab):
    lab.gw.ip("link add br-lan type bridge", "link set port1 master br-lan up", "link set port2 master br-lan up",
              f"address add {LAN}/24 dev br-lan", "link set br-lan up")


def test_interfaces_that_do_not_exist_yet_are_waited_for(lab):
    lab.gw.ip("link del br-lan", "link del wan0")
    daemon = lab.daemon()
    assert daemon.log().count("udp: lan waiting lan=br-lan") == 1
    assert daemon.log().count("wan: waiting wan=wan0") == 1
    said = daemon.cli("status").stdout
    assert re.search(r"^wan +wan0 waiting: does not exist$", said, re.M)
    assert re.search(r"^lan +br-lan waiting: does not exist$", said, re.M)
    assert [i["index"] for i in daemon.status()["interfaces"]] == [0, 0]
    daemon.logged("upnp: worker ready lan=br-lan")
    assert "lan served" not in daemon.log()
    make_lan(lab)
    serves(lab)
    assert natpmp_address(lab.lan1).result == 3
    make_wan(lab)
    tells(lab, WAN)
    map_one(lab)
    passes(lab, WAN)
    assert all(i["served"] for i in daemon.status()["interfaces"])


def test_several_addresses_on_each_side(lab):
    lab.gw.ip("address add 192.168.2.1/24 dev br-lan", f"address add {WAN_NEW}/24 dev wan0", "address add 11.5.0.1/24 dev wan0")
    lab.lan2.ip("address flush dev eth0", "address add 192.168.2.12/24 dev eth0", "route add default via 192.168.2.1")
    lab.wan.ip("address add 11.5.0.9/24 dev eth0")
    lab.daemon()
    map_one(lab)
    lab.server(lab.lan2, "udp", 8000)
    assert natpmp_map(lab.lan2, "udp", 8000, 4001, to="192.168.2.1").external == 4001
    for address in (WAN, WAN_NEW, "11.5.0.1"):
        assert lab.wan.udp(address, 4000).startswith("lan1 saw")
        assert lab.wan.udp(address, 4001).startswith("lan2 saw")
    assert natpmp_address(lab.lan2, to="192.168.2.1").address == natpmp_address(lab.lan1).address == WAN
    # Each of them may go.
    lab.gw.ip("address del 11.5.0.1/24 dev wan0", "address del 192.168.2.1/24 dev br-lan")
    wait_for(lambda: lab.wan.refused("udp", "11.5.0.1", 4000), 3, "the address is not ours any more")
    passes(lab, WAN_NEW)


@pytest.mark.long
def test_hosts_of_a_former_prefix_lose_their_leases(lab, daemon):
    """The one test that waits for the 30 seconds; the stories have the rest."""
    natpmp_map(lab.lan1, "udp", 8000, 4000)
    natpmp_map(lab.lan2, "udp", 8001, 4001)
    changed = time.monotonic()
    lab.gw.ip("address add 10.7.0.1/24 dev br-lan", f"address del {LAN}/24 dev br-lan")
    lab.lan2.ip("address flush dev eth0", "address add 10.7.0.12/24 dev eth0")
    wait_for(lambda: ask(lab.lan2, natpmp_address_packet(), to="10.7.0.1", timeout=0.2), 3, "the new prefix is served")
    assert natpmp_map(lab.lan2, "udp", 8002, 4002, to="10.7.0.1").external == 4002
    assert daemon.ports() == [4000, 4001, 4002]
    wait_for(lambda: [lease["external_port"] for lease in daemon.leases()] == [4002], 40, "only the new lease is left")
    assert time.monotonic() - changed >= 30
    assert set(lab.external_ports("udp")) == {4002}
    daemon.logged("lan: prefix gone prefix=192.168.1.0/24 leases=2")


DHCP_SERVER = """
interface eth0
start {address}
end {address}
max_leases 1
lease_file {folder}/leases
pidfile {folder}/server.pid
option subnet 255.255.255.0
option router 11.0.0.9
option lease 60
"""
DHCP_SCRIPT = """#!/bin/sh
case $1 in
deconfig) ip address flush dev $interface; ip link set $interface up ;;
bound|renew) ip address replace $ip/$mask dev $interface; ip route replace default via $router dev $interface ;;
esac
"""


def test_an_address_given_late_by_dhcp(lab):
    lab.set_wan()
    daemon = lab.daemon(wan_name="auto")
    assert natpmp_address(lab.lan1).result == 3
    script, config = (os.path.join(lab.folder, name) for name in ("udhcpc.sh", "udhcpd.conf"))
    with open(script, "w", encoding="ascii") as file:
        file.write(DHCP_SCRIPT)
    os.chmod(script, 0o755)
    with open(config, "w", encoding="ascii") as file:
        file.write(DHCP_SERVER.format(address=WAN_NEW, folder=lab.folder))
    open(os.path.join(lab.folder, "leases"), "wb").close()
    listener = lab.announcements()
    lab.wan.start("busybox", "udhcpd", "-f", config, stderr=subprocess.DEVNULL)
    lab.gw.start("busybox", "udhcpc", "-f", "-i", "wan0", "-s", script, "-t", "20", "-T", "1", stderr=subprocess.DEVNULL,
                 stdout=subprocess.DEVNULL)
    tells(lab, WAN_NEW, 10)
    wait_for(lambda: hears(listener, WAN_NEW), 3, "it is announced")
    map_one(lab)
    passes(lab, WAN_NEW)
    assert interface(daemon)["name"] == "wan0"


class Tunnel:
    """Carries IP packets between two point-to-point interfaces, until closed."""

    def __init__(self, *ends):
        self.files = [self._open(host, name) for host, name in ends]
        self.stop_at, self.stopping = os.pipe()
        self.thread = threading.Thread(target=self._carry, daemon=True)
        self.thread.start()

    @staticmethod
    def _open(host, name):
        with host.inside():
            file = os.open("/dev/net/tun", os.O_RDWR)
            fcntl.ioctl(file, TUNSETIFF, struct.pack("16sH22x", name.encode(), IFF_TUN | IFF_NO_PI))
        return file

    def _carry(self):
        other = dict(zip(self.files, reversed(self.files)))
        while True:
            readable, _, _ = select.select(self.files + [self.stop_at], [], [])
            if self.stop_at in readable:
                return
            for file in readable:
                with contextlib.suppress(OSError):  # the other end is down
                    os.write(other[file], os.read(file, 65536))

    def close(self):
        os.close(self.stopping)
        self.thread.join(5)
        for file in self.files + [self.stop_at]:
            os.close(file)


def test_a_point_to_point_wan_tells_its_own_address(lab):
    own, peer = "11.9.0.1", "11.9.255.254"
    lab.gw.nft('insert rule inet admin postrouting oifname "ppp-wan" masquerade\n')
    daemon = lab.daemon(wan_name="ppp-wan")
    lab.closing(Tunnel((lab.gw, "ppp-wan"), (lab.wan, "ppp-isp")))
    lab.wan.ip(f"address add {peer} peer {own} dev ppp-isp", "link set ppp-isp up")
    lab.gw.ip("link set ppp-wan up", f"address add {own} peer {peer} dev ppp-wan")
    tells(lab, own)
    assert interface(daemon)["addresses"] == [own + "/32"]
    map_one(lab)
    passes(lab, own)
    lab.server(lab.wan, "udp", 53)
    assert lab.lan1.udp(peer, 53, sport=8000) == f"wan saw {own}:4000: ping"
    # As a provider renumbers: the peer stays.
    lab.wan.ip(f"address del {peer} peer {own} dev ppp-isp", f"address add {peer} peer 11.9.0.2 dev ppp-isp")
    lab.gw.ip(f"address del {own} peer {peer} dev ppp-wan", f"address add 11.9.0.2 peer {peer} dev ppp-wan")
    tells(lab, "11.9.0.2")
    passes(lab, "11.9.0.2")


def test_a_bridge_as_wan(lab):
    lab.gw.ip("address flush dev wan0", "link add br-wan type bridge", "link set wan0 master br-wan", "link set br-wan up",
              f"address add {WAN}/24 dev br-wan")
    lab.gw.nft('insert rule inet admin postrouting oifname "br-wan" masquerade\n')
    lab.daemon(wan_name="br-wan")
    lab.server(lab.wan, "udp", 53)
    tells(lab, WAN)
    map_one(lab)
    passes(lab, WAN)
    assert lab.lan1.udp(REMOTE, 53, sport=8000) == f"wan saw {WAN}:4000: ping"


def test_macvlans_as_wan_and_lan(lab):
    lab.gw.ip("address flush dev wan0", "link add mac-wan link wan0 type macvlan mode bridge", "link set mac-wan up",
              f"address add {WAN}/24 dev mac-wan", "link del br-lan", "link add mac-lan link port1 type macvlan mode bridge",
              "link set mac-lan up", f"address add {LAN}/24 dev mac-lan")
    lab.gw.nft('insert rule inet admin postrouting oifname "mac-wan" masquerade\n'
               'insert rule inet admin forward iifname "mac-lan" accept\n')
    lab.daemon(lan=("mac-lan",), wan_name="mac-wan")
    lab.server(lab.wan, "udp", 53)
    tells(lab, WAN)
    map_one(lab)
    passes(lab, WAN)
    assert lab.lan1.udp(REMOTE, 53, sport=8000) == f"wan saw {WAN}:4000: ping"


def test_fifty_interfaces_made_anew(lab, daemon):
    map_one(lab)
    descriptors = None
    for i in range(50):
        if i % 2:
            lab.gw.ip("link del wan0")
            make_wan(lab)
        else:
            lab.gw.ip("link del br-lan")
            make_lan(lab)
        serves(lab)
        tells(lab, WAN)
        passes(lab, WAN)
        if i == 1:
            descriptors = len(os.listdir(f"/proc/{daemon.pid}/fd"))
    assert len(os.listdir(f"/proc/{daemon.pid}/fd")) == descriptors
    assert [lease["external_port"] for lease in daemon.leases()] == [4000]
    assert daemon.status()["counters"]["granted"] == 1


def test_twenty_renumberings_are_each_learned_by_announcement(lab, daemon):
    map_one(lab)
    listener = lab.announcements()
    for i in range(20):
        address = f"11.0.0.{100 + i}"
        before = len(listener.got)
        lab.set_wan(address)
        wait_for(lambda: hears(listener, address), 2, f"NAT-PMP announces {address}")
        wait_for(lambda: any(data[0] == 2 for _, _, data in listener.got[before:]), 2, "PCP announces that it began anew")
        assert pcp_map(lab.lan1, LAN1, "udp", 9000, nonce=bytes(12)).address == address
        passes(lab, address)
    assert daemon.status()["counters"]["address_changes"] >= 20
