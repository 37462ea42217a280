# SPDX-License-Identifier: GPL-2.0-or-later
"""Clients that nobody here wrote."""
import os
import re
import subprocess
import sys

import pytest

from lab import LAN1, WAN, wait_for

HERE = os.path.dirname(os.path.abspath(__file__))


@pytest.mark.parametrize("transport", ["tcp", "udp"])
def test_natpmpc(lab, daemon, transport):
    """natpmpc finds the gateway by the default route."""
    lab.server(lab.lan1, transport, 8000)
    assert f"Public IP address : {WAN}" in lab.lan1.run("natpmpc").stdout

    for lifetime in (3600, 1800):
        done = lab.lan1.run("natpmpc", "-a", "4000", "8000", transport, str(lifetime)).stdout
        assert re.search(rf"Mapped public port 4000 protocol {transport.upper()} to local port 8000 liftime {lifetime}", done)
        assert lab.wan.talk(transport, WAN, 4000).startswith("lan1 saw")

    taken = lab.lan2.run("natpmpc", "-a", "4000", "8000", transport, "3600").stdout
    assert not re.search(r"Mapped public port 4000 ", taken) and re.search(r"Mapped public port \d+ ", taken)

    lab.lan1.run("natpmpc", "-a", "0", "8000", transport, "0")
    assert lab.wan.refused(transport, WAN, 4000)
    assert [lease["internal_address"] for lease in daemon.leases()] == ["192.168.1.12"]


def test_natpmpc_is_refused_a_low_port(lab, daemon):
    done = lab.lan1.run("natpmpc", "-a", "80", "80", "tcp", "3600", check=False)
    assert done.returncode != 0 and "not authorized" in done.stderr


def test_libtorrent_maps_by_pcp(lab, daemon):
    client = lab.lan1.start(sys.executable, os.path.join(HERE, "pcp_client.py"), LAN1, "6881",
                            stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    leases = wait_for(lambda: len(daemon.leases()) == 2 and daemon.leases(), 10, "a lease for each transport")
    assert {(lease["origin"], lease["transport"], lease["internal_address"], lease["internal_port"])
            for lease in leases} == {("pcp", "tcp", LAN1, 6881), ("pcp", "udp", LAN1, 6881)}
    # libtorrent listens there: who connects is let in.
    with lab.wan.bound(1) as sock:
        sock.settimeout(10)
        sock.connect((WAN, 6881))

    client.stdin.close()
    said = client.stdout.read()
    client.wait(20)
    assert len(re.findall(rf"^portmap_alert .*(TCP|UDP).*6881", said, re.MULTILINE)) == 2, said
    assert daemon.leases() == []
    assert lab.wan.refused("tcp", WAN, 6881)
