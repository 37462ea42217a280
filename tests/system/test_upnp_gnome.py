# SPDX-License-Identifier: GPL-2.0-or-later
"""GNOME's libraries against the gateway: GSSDP finds it, GUPnP reads its descriptions, GUPnPIgd maps a port.  (Debian's
gssdp-tools and gupnp-tools have windows only.)"""
import os
import signal
import sys
import time

import pytest

from lab import LAN, LAN1, TIMED, WAN, WAN_NEW, wait_for
from test_upnp import Speaker, daemon, workers
from upnp_client import COMMON, IP, L3F, PORT

DEVICES = "urn:schemas-upnp-org:device:"


def gnome(lab, *arguments):
    return Speaker(lab, lab.lan1, sys.executable, os.path.join(os.path.dirname(os.path.abspath(__file__)), "upnp_gobject.py"),
                   *map(str, arguments))


def settled(client):
    """What it has said when it has nothing more to say."""
    said = -1
    while said != len(client.got):
        said = len(client.got)
        time.sleep(1.5)
    return said


@pytest.fixture
def gateway(lab, daemon):
    lab.lan1.ip("route add 239.0.0.0/8 dev eth0")  # the library's multicasts follow the routes
    return daemon


@pytest.mark.parametrize("target, view", [
    ("upnp:rootdevice", 1), (L3F + "1", 1), (COMMON + "1", 1), (IP + "1", 1), (IP + "2", 2),
    *((f"{DEVICES}{name}:{version}", version) for name in ("InternetGatewayDevice", "WANDevice", "WANConnectionDevice")
      for version in (1, 2))])
def test_gssdp_finds_each_type_at_its_description(lab, gateway, target, view):
    client = gnome(lab, "search", target)
    wanted = f"http://{LAN}:{PORT}/{view}/desc.xml"
    wait_for(lambda: any(line[1].endswith(target) and line[2:] == [wanted] for line in client.got if line[0] == "found"), 15,
             f"{target} in {client.got}")


@TIMED
@pytest.mark.parametrize("version", [1, 2])
def test_gupnp_reads_the_service_and_calls_it(lab, gateway, version):
    client = gnome(lab, "call", IP + str(version))
    assert client.told("service")[0] == "urn:upnp-org:serviceId:WANIPConn1"
    assert client.told("value") == ["NewExternalIPAddress", WAN]
    assert client.told("changed") == ["ExternalIPAddress", WAN]
    actions = {line[1]: line[2:] for line in client.got if line[0] == "action"}
    assert actions["DeletePortMapping"] == ["NewRemoteHost", "NewExternalPort", "NewProtocol"]
    assert version == 1 or actions["AddAnyPortMapping"][-1] == "NewReservedPort"
    lab.set_wan(WAN_NEW)
    wait_for(lambda: ["changed", "ExternalIPAddress", WAN_NEW] in client.got, 15, f"the new address in {client.got}")


@TIMED
def test_gupnp_igd_maps_a_port(lab, gateway):
    lab.server(lab.lan1, "tcp", 8000)
    client = gnome(lab, "map", "TCP", 4000, LAN1, 8000, 600)
    assert client.told("mapped") == [WAN, "4000"]
    assert lab.wan.tcp(WAN, 4000, timeout=5).startswith("lan1 saw")
    # A device that says goodbye and comes again.
    worker, = workers(gateway)
    before = settled(client)
    os.kill(worker, signal.SIGKILL)
    wait_for(lambda: gateway.log().count("upnp: serving") == 2, 15)
    # It asks each service that it finds: now those of the new worker.
    wait_for(lambda: settled(client) > before, 15)
    assert client.told("mapped") == [WAN, "4000"]
    assert lab.wan.tcp(WAN, 4000, timeout=5).startswith("lan1 saw")
    client.say("remove")
    wait_for(lambda: gateway.leases() == [], 15)
    assert lab.wan.refused("tcp", WAN, 4000)
