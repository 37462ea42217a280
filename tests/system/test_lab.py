# SPDX-License-Identifier: GPL-2.0-or-later
"""The laboratory itself, without the daemon: what the other tests take for granted."""
from lab import LAN1, REMOTE, WAN


def test_the_admins_gateway_forwards_and_masquerades(lab):
    lab.server(lab.wan, "tcp", 80)
    lab.server(lab.wan, "udp", 53)
    for transport, port in (("tcp", 80), ("udp", 53)):
        assert lab.lan1.talk(transport, REMOTE, port, sport=4000) == f"wan saw {WAN}:4000: ping"


def test_nothing_comes_in_by_itself(lab):
    lab.server(lab.lan1, "tcp", 80)
    assert lab.lan2.tcp(LAN1, 80).startswith("lan1 saw")
    assert lab.wan.refused("tcp", WAN, 80)
