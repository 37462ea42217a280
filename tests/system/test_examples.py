# SPDX-License-Identifier: GPL-2.0-or-later
"""Each file of conf/examples as it is shipped: loaded, and octets of TCP and UDP through all that it says."""
import glob
import os

import pytest

from clients import natpmp_map
from ftp import FILE, FtpServer, fetch
from lab import LAN1, LAN2, REMOTE, WAN, Host
from test_forwards import FAR, FAR_GATEWAY, far_host

FOLDER = os.path.join(os.path.dirname(__file__), "../../conf/examples")
BRANCH = "198.51.100.7"
GUEST, GUESTS_HOST = "192.168.122.10", "192.168.122.1"
BOTH = ("tcp", "udp")


def load(lab, name):
    with open(os.path.join(FOLDER, name + ".conf"), encoding="utf-8") as file:
        return lab.daemon(extra=file.read(), lan=(), wan=None)


def branch_office(lab):
    lab.wan.ip(f"address add {BRANCH}/24 dev eth0")
    lab.gw.ip("route add 198.51.100.0/24 dev wan0")


def servers(lab, host, *places):
    for transport, port in places:
        lab.server(host, transport, port)


def web_server(lab):
    daemon = load(lab, "web-server")
    servers(lab, lab.lan1, ("tcp", 8080), ("tcp", 443), ("udp", 443))
    assert lab.wan.tcp(WAN, 80, sport=5555) == f"lan1 saw {REMOTE}:5555: ping"
    for transport in BOTH:
        assert lab.wan.talk(transport, WAN, 443, sport=5555) == f"lan1 saw {REMOTE}:5555: ping"
        assert lab.lan2.talk(transport, WAN, 443).startswith(f"lan1 saw {WAN}:")
    assert lab.wan.refused("udp", WAN, 80) and lab.wan.refused("tcp", WAN, 8080)
    assert "web secure: HTTPS and HTTP/3" in daemon.cli("list").stdout


def ftp_server(lab):
    branch_office(lab)
    load(lab, "ftp-server")
    lab.closing(FtpServer(lab.lan1))
    for passive in ("PASV", "EPSV"):
        assert fetch(lab.wan, WAN, 21, passive) == FILE
    assert lab.wan.refused("tcp", WAN, 2121, source=REMOTE)
    assert lab.wan.tcp(WAN, 2121, source=BRANCH).startswith("220 ready")


def erp_server(lab):
    branch_office(lab)
    load(lab, "erp-server")
    servers(lab, lab.lan1, ("tcp", 8069), ("tcp", 8072))
    servers(lab, lab.lan2, ("tcp", 5060), ("udp", 5060), ("udp", 10000), ("udp", 10999))
    for transport, port, host in (("tcp", 8069, "lan1"), ("tcp", 8072, "lan1"), ("tcp", 5060, "lan2"),
                                  ("udp", 5060, "lan2"), ("udp", 10000, "lan2"), ("udp", 10999, "lan2")):
        assert lab.wan.talk(transport, WAN, port, source=BRANCH).startswith(f"{host} saw {BRANCH}:")
        assert lab.wan.refused(transport, WAN, port, source=REMOTE)
    assert natpmp_map(lab.lan1, "tcp", 9000, 9000).result == 2
    assert natpmp_map(lab.lan2, "tcp", 9000, 9000).result == 0


def cameras(lab):
    load(lab, "cameras")
    for transport in BOTH:
        for port in (8100, 8117, 8131):
            servers(lab, lab.lan2, (transport, port))
            assert lab.wan.talk(transport, WAN, port, sport=5555) == f"lan2 saw {REMOTE}:5555: ping"
            assert lab.lan1.talk(transport, WAN, port).startswith(f"lan2 saw {WAN}:")
        assert lab.wan.refused(transport, WAN, 8132)


def virtual_machine(lab):
    guest = Host("guest")
    lab.stack.callback(guest.close)
    lab._cable("vnet0", guest)
    lab.gw.ip("link add virbr0 type bridge", "link set vnet0 master virbr0 up",
              f"address add {GUESTS_HOST}/24 dev virbr0", "link set virbr0 up")
    guest.ip(f"address add {GUEST}/24 dev eth0", "link set eth0 up", f"route add default via {GUESTS_HOST}")
    load(lab, "virtual-machine")
    servers(lab, guest, ("tcp", 22), ("udp", 51820))
    servers(lab, lab.lan1, ("tcp", 8000))
    for transport, port in (("tcp", 2222), ("udp", 51820)):
        assert lab.wan.talk(transport, WAN, port, sport=5555) == f"guest saw {REMOTE}:5555: ping"
        assert lab.lan1.talk(transport, WAN, port).startswith(f"guest saw {WAN}:")
        assert lab.gw.talk(transport, WAN, port).startswith("guest saw ")
        assert guest.talk(transport, WAN, port).startswith(f"guest saw {WAN}:")
    # Both are LANs: each may ask for ports, and reaches the other's.
    assert natpmp_map(lab.lan1, "tcp", 8000, 8000).external == 8000
    assert natpmp_map(guest, "udp", 51820, 0, 0, to=GUESTS_HOST).result == 2


def server_off_the_lan(lab):
    far = far_host(lab)
    load(lab, "server-off-the-lan")
    for transport in BOTH:
        servers(lab, far, (transport, 443), (transport, 8209))
        for port in (443, 8209):
            for client in (lab.wan, lab.lan1):
                assert client.talk(transport, WAN, port).startswith(f"far saw {FAR_GATEWAY}:")
            assert lab.gw.talk(transport, WAN, port).startswith("far saw ")
        assert lab.wan.refused(transport, FAR, 443)


EXAMPLES = [web_server, ftp_server, erp_server, cameras, virtual_machine, server_off_the_lan]


@pytest.mark.parametrize("example", EXAMPLES, ids=lambda example: example.__name__)
def test_example(lab, example):
    example(lab)


def test_no_example_is_left_out():
    files = {os.path.basename(path) for path in glob.glob(FOLDER + "/*.conf")}
    assert files == {example.__name__.replace("_", "-") + ".conf" for example in EXAMPLES}
