# SPDX-License-Identifier: GPL-2.0-or-later
"""Interfaces that come late, go, come back, are of another kind or another one; a gateway that stops being one."""
import re

import pytest

from clients import ask, natpmp_address, natpmp_address_packet, natpmp_map, natpmp_read_address
from lab import REMOTE, WAN, Host, wait_for

SECOND, SECOND_REMOTE = "11.1.0.1", "11.1.0.9"


def tells(lab, address, seconds=2):
    """Waits until clients are told this external address; None: that there is none."""
    def told():
        answer = ask(lab.lan1, natpmp_address_packet(), timeout=0.2)
        got = answer and natpmp_read_address(answer)
        return got and (got.address if got.result == 0 else None, got.result) == (address, 0 if address else 3)
    wait_for(told, seconds, f"clients are told {address}")


def serves(lab, seconds=3):
    wait_for(lambda: ask(lab.lan1, natpmp_address_packet(), timeout=0.2), seconds, "the LAN is served")


def passes(lab, address, remote=None):
    """The mapping udp 4000 -> lan1:8000 brings octets from outside in and back."""
    assert (remote or lab.wan).udp(address, 4000).startswith("lan1 saw")


def map_one(lab):
    lab.server(lab.lan1, "udp", 8000)
    assert natpmp_map(lab.lan1, "udp", 8000, 4000).external == 4000


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
    wait_for(lambda: any(data[0] == 0 and natpmp_read_address(data).address == SECOND for _, _, data in listener.got), 3,
             "it is announced")
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
