# SPDX-License-Identifier: GPL-2.0-or-later
"""What the admin publishes himself: `forward` sections and `portlease add`, bytes end to end."""
import pytest

from lab import LAN1, REMOTE, WAN

BOTH = pytest.mark.parametrize("transport", ["tcp", "udp"])


def forward(name, **keys):
    lines = "".join(f"\t{key.replace('_', '-')} = {value}\n" for key, value in keys.items())
    return f'forward "{name}" {{\n{lines}}}\n'


@BOTH
def test_a_port_below_1024_is_published_and_listed(lab, transport):
    daemon = lab.daemon(extra=forward("web", transport=transport, external_ports=80, target=f"{LAN1}:8080"))
    lab.server(lab.lan1, transport, 8080)
    assert lab.wan.talk(transport, WAN, 80, sport=5555) == f"lan1 saw {REMOTE}:5555: ping"
    assert lab.wan.refused(transport, WAN, 8080)
    lease, = daemon.leases("--protocol", "static")
    assert (lease["name"], lease["transport"], lease["external_port"], lease["internal_port"], lease["ports"]) == \
        ("web", transport, 80, 8080, 1)
    assert lease["remaining"] is None
    assert "web" in daemon.cli("list").stdout
    daemon.logged(r'forward: added name="web"')
