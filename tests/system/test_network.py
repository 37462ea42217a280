# SPDX-License-Identifier: GPL-2.0-or-later
"""The network around the daemon: WAN addresses come and go, packets come from where they should not."""
import re
import socket
import statistics
import time

import pytest

from clients import (ask, natpmp_address, natpmp_address_packet, natpmp_map, natpmp_packet, natpmp_read_address,
                     pcp_announce_packet, pcp_map, pcp_packet, pcp_read)
from lab import LAN, LAN1, LAN2, REMOTE, REMOTE2, TIMED, WAN, WAN_NEW, WAN_PRIVATE, wait_for

SO_RCVBUFFORCE = 33


def natpmp_announcements(listener, address):
    return [(when, natpmp_read_address(data)) for when, source, data in listener.got
            if source == (LAN, 5351) and data[0] == 0 and natpmp_read_address(data).address == address]


def pcp_announcements(listener, since=0.0):
    return [(when, pcp_read(data)) for when, source, data in listener.got
            if source == (LAN, 5351) and data[0] == 2 and when >= since]


@TIMED
def test_start_is_announced_by_both_protocols(lab):
    listener = lab.announcements()
    lab.daemon()
    wait_for(lambda: len(natpmp_announcements(listener, WAN)) >= 4, 4, "four NAT-PMP announcements")
    wait_for(lambda: len(pcp_announcements(listener)) >= 4, 4, "four PCP announcements")
    times = [when for when, _ in natpmp_announcements(listener, WAN)][:4]
    gaps = [later - sooner for sooner, later in zip(times, times[1:])]
    assert gaps == pytest.approx([0.25, 0.5, 1.0], abs=0.15)
    assert all(announced.result == 0 for _, announced in natpmp_announcements(listener, WAN))
    # Each is sent with the epoch of its moment.
    assert [int(announced.epoch) for _, announced in natpmp_announcements(listener, WAN)[:4]] == \
        pytest.approx([0, 0, 0, 1], abs=1)
    _, first = pcp_announcements(listener)[0]
    assert (first.opcode, first.result, first.lifetime) == (0, 0, 0)


@TIMED
def test_a_new_wan_address_is_acted_on_at_once(lab, daemon):
    lab.server(lab.lan1, "tcp", 8000)
    lab.server(lab.wan, "tcp", 53)
    natpmp_map(lab.lan1, "tcp", 8000, 4000)
    assert lab.wan.tcp(WAN, 4000).startswith("lan1 saw")
    listener = lab.announcements()
    wait_for(lambda: natpmp_address(lab.lan1).epoch >= 2, 4, "an epoch that shows its end")

    lab.set_wan(WAN_NEW)
    changed = time.monotonic()
    wait_for(lambda: natpmp_announcements(listener, WAN_NEW) and pcp_announcements(listener, changed), 2,
             "announcements")
    when, announced = natpmp_announcements(listener, WAN_NEW)[0]
    assert when - changed < 0.5 and announced.epoch <= 1
    when, announced = pcp_announcements(listener, changed)[0]
    assert when - changed < 0.5 and announced.epoch <= 1

    assert natpmp_address(lab.lan1).address == WAN_NEW
    assert len(daemon.leases()) == 1
    assert lab.wan.tcp(WAN_NEW, 4000).startswith("lan1 saw")
    # The admin's masquerade takes the new address too; our port stays.
    assert lab.lan1.tcp(REMOTE, 53, sport=8000) == f"wan saw {WAN_NEW}:4000: ping"
    assert pcp_map(lab.lan1, LAN1, "udp", 8000).address == WAN_NEW


def test_without_an_address_errors_are_told_and_leases_kept(lab, daemon):
    lab.server(lab.lan1, "udp", 8000)
    natpmp_map(lab.lan1, "udp", 8000, 4000)
    assert natpmp_address(lab.lan1)[::2] == (0, WAN)

    lab.set_wan()
    wait_for(lambda: natpmp_address(lab.lan1).result == 3, 0.5, "NAT-PMP says network failure")
    assert natpmp_address(lab.lan1).address == "0.0.0.0"
    assert natpmp_map(lab.lan1, "udp", 8001, 4001).result == 3
    assert pcp_map(lab.lan1, LAN1, "udp", 8002, 4002).result == 7
    assert [lease["external_port"] for lease in daemon.leases()] == [4000]

    lab.set_wan(WAN)
    wait_for(lambda: natpmp_address(lab.lan1).result == 0, 0.5, "the address is back")
    assert lab.wan.udp(WAN, 4000).startswith("lan1 saw")
    assert natpmp_map(lab.lan1, "udp", 8001, 4001).result == 0


def test_the_wan_interface_may_be_made_anew(lab, daemon):
    lab.server(lab.lan1, "udp", 8000)
    natpmp_map(lab.lan1, "udp", 8000, 4000)
    assert lab.wan.udp(WAN, 4000).startswith("lan1 saw")
    lab.gw.ip("link del wan0")
    wait_for(lambda: natpmp_address(lab.lan1).result == 3, 0.5, "no WAN")
    lab._cable("wan0", lab.wan)
    lab.wan.ip(f"address add {REMOTE}/24 dev eth0", "link set eth0 up")
    lab.gw.ip(f"address add {WAN}/24 dev wan0", "link set wan0 up")
    wait_for(lambda: natpmp_address(lab.lan1).result == 0, 2, "the WAN is back")
    assert lab.wan.udp(WAN, 4000).startswith("lan1 saw")


def test_the_lan_interface_may_be_made_anew(lab, daemon):
    assert natpmp_address(lab.lan1).result == 0
    lab.gw.ip("link del br-lan")
    lab.gw.ip("link add br-lan type bridge", "link set port1 master br-lan up", "link set port2 master br-lan up",
              f"address add {LAN}/24 dev br-lan", "link set br-lan up")
    wait_for(lambda: ask(lab.lan1, natpmp_address_packet(), timeout=0.2), 3, "the new br-lan is served")


def test_a_private_wan_is_served_with_a_warning(lab):
    lab.set_wan(WAN_PRIVATE)
    daemon = lab.daemon()
    assert natpmp_address(lab.lan1)[::2] == (0, WAN_PRIVATE)
    assert pcp_map(lab.lan1, LAN1, "udp", 8000).address == WAN_PRIVATE
    assert len(re.findall(r"<4>.*private", daemon.log())) == 1
    assert daemon.status()["external_scope"] == "private"


def test_a_private_wan_is_refused_if_so_configured(lab):
    daemon = lab.daemon(wan="private-wan = refuse")
    assert natpmp_address(lab.lan1)[::2] == (0, WAN)
    assert pcp_map(lab.lan1, LAN1, "udp", 8000).result == 0
    lab.set_wan(WAN_PRIVATE)
    wait_for(lambda: natpmp_address(lab.lan1).result == 3, 0.5, "NAT-PMP says network failure")
    assert pcp_map(lab.lan1, LAN1, "udp", 8001).result == 7
    assert len(daemon.leases()) == 1


def test_a_fixed_external_address_is_told_and_matched_in_hairpin(lab):
    outer = "11.0.0.77"  # of a 1:1 NAT in front of us
    lab.daemon(wan=f"external-address = {outer}")
    lab.server(lab.lan1, "tcp", 8000)
    assert natpmp_address(lab.lan1).address == outer
    mapped = pcp_map(lab.lan1, LAN1, "tcp", 8000, 4000)
    assert (mapped.result, mapped.address, mapped.external) == (0, outer, 4000)
    assert lab.wan.tcp(WAN, 4000, sport=5555) == f"lan1 saw {REMOTE}:5555: ping"
    assert lab.lan2.tcp(outer, 4000).startswith(f"lan1 saw {outer}:")


def test_a_mapped_socket_sends_from_the_external_address_if_it_is_an_own_one(lab):
    lab.set_wan(WAN, WAN_NEW)
    lab.daemon(wan=f"external-address = {WAN_NEW}")
    lab.server(lab.wan, "udp", 53)
    lab.server(lab.lan1, "udp", 8000)
    assert lab.lan1.udp(REMOTE, 53, sport=8000) == f"wan saw {WAN}:8000: ping"
    natpmp_map(lab.lan1, "udp", 8001, 4001)
    assert lab.lan1.udp(REMOTE, 53, sport=8001) == f"wan saw {WAN_NEW}:4001: ping"
    # The port there is reserved against others, too.
    seen = lab.lan2.udp(REMOTE2, 53, sport=4001).split(":")
    assert seen[0] == f"wan saw {WAN_NEW}" and int(seen[1]) >= 61000
    assert lab.lan1.udp(REMOTE2, 53, sport=8001) == f"wan saw {WAN_NEW}:4001: ping"


def ignored_from(lab, daemon, send, packet):
    """Sends a request that must be ignored; a later one from the allowed side is the fence that says it was read."""
    leases = [lease["id"] for lease in daemon.leases()]
    answers = lab.listener(lab.lan1, 7777)
    send(packet)
    lab.lan1.send_raw(LAN1, 7777, LAN, 5351, natpmp_address_packet())
    wait_for(lambda: answers.got, 2, "an answer to the allowed request")
    assert [data[:2] for _, _, data in answers.got] == [bytes([0, 128])]
    answers.close()
    assert [lease["id"] for lease in daemon.leases()] == leases
    return True


def test_a_lan_looking_packet_from_the_wan_is_ignored(lab, daemon):
    for knob in ("all", "wan0", "br-lan"):
        lab.gw.sysctl(f"net/ipv4/conf/{knob}/rp_filter", 0)
    lab.wan.ip("route add 192.168.1.0/24 via " + WAN)
    answers = lab.listener(lab.lan1, 7777)
    lab.lan1.send_raw(LAN1, 7777, LAN, 5351, natpmp_packet("tcp", 8000, 4000))
    wait_for(lambda: answers.got, 2, "the same packet from the LAN is answered")
    assert len(daemon.leases()) == 1
    answers.close()
    for destination in (LAN, WAN):
        for packet in (natpmp_packet("tcp", 8001, 4001), pcp_packet(LAN1, "tcp", 8001, 4001)):
            assert ignored_from(lab, daemon, lambda p: lab.wan.send_raw(LAN1, 7777, destination, 5351, p), packet)
    assert ask(lab.wan, natpmp_address_packet(), to=WAN, timeout=0.3) is None


def test_only_addresses_of_the_lan_are_served(lab, daemon):
    lab.lan1.ip("address add 10.9.9.9/32 dev eth0")
    lab.gw.ip("route add 10.9.9.9/32 via " + LAN1)
    assert ask(lab.lan1, natpmp_address_packet(), source=LAN1)
    assert ask(lab.lan1, natpmp_address_packet(), source="10.9.9.9", timeout=0.3) is None
    # And only at the gateway's address on that LAN.
    assert ask(lab.lan1, natpmp_address_packet(), to=WAN, timeout=0.3) is None
    assert ask(lab.lan1, natpmp_address_packet(), to=LAN)


def test_an_answer_comes_from_the_address_that_was_asked(lab):
    second = "192.168.1.254"
    lab.gw.ip(f"address add {second}/24 dev br-lan")
    lab.daemon()
    # The socket is connected: an answer from elsewhere would not be seen.
    assert ask(lab.lan1, natpmp_address_packet(), to=second)
    assert pcp_map(lab.lan1, LAN1, "udp", 8000, to=second).result == 0


def test_several_lans_are_served_each_for_itself(lab):
    lab.gw.ip("link set port2 nomaster", "address add 192.168.2.1/24 dev port2")
    lab.lan2.ip("address flush dev eth0", "address add 192.168.2.12/24 dev eth0", "route add default via 192.168.2.1")
    lab.gw.nft('insert rule inet admin forward iifname "port2" accept\n')
    lab.daemon(lan=("br-lan", "port2"))
    listener = lab.announcements(lab.lan2)
    lab.server(lab.lan2, "tcp", 8000)
    assert natpmp_map(lab.lan2, "tcp", 8000, 4000, to="192.168.2.1").external == 4000
    assert natpmp_map(lab.lan1, "tcp", 8000, 4000).external != 4000
    assert lab.lan1.tcp(WAN, 4000).startswith(f"lan2 saw {WAN}:")
    wait_for(lambda: any(source[0] == "192.168.2.1" for _, source, _ in listener.got), 3, "announced there too")
    # The other LAN's addresses are not this one's.
    assert ask(lab.lan2, natpmp_address_packet(), to=LAN, timeout=0.3) is None


def test_versions_share_the_port(lab, daemon):
    answer = ask(lab.lan1, bytes([1, 0, 0, 0]))
    assert answer[0] in (0, 2) and answer[3 if answer[0] == 2 else 2:4][-1] == 1
    assert pcp_read(ask(lab.lan1, pcp_announce_packet(LAN1))).result == 0
    assert natpmp_address(lab.lan1).result == 0
    mismatch = pcp_map(lab.lan1, LAN2, "tcp", 8000)
    assert mismatch.result == 12


def test_pcp_off_is_answered_as_natpmp(lab):
    lab.daemon(extra="pcp = no")
    answer = ask(lab.lan1, pcp_announce_packet(LAN1))
    assert answer[:4] == bytes([0, 0, 0, 1]) and len(answer) == 8
    assert natpmp_map(lab.lan1, "tcp", 8000).result == 0


@TIMED
def test_a_flood_of_one_client_starves_nobody(lab, daemon):
    packet = natpmp_address_packet()
    flood = lab.lan2.bound(socket.SOCK_DGRAM)
    flood.setsockopt(socket.SOL_SOCKET, SO_RCVBUFFORCE, 64 << 20)
    flood.connect((LAN, 5351))
    begun = time.monotonic()
    waits, sent, end = [], 0, begun + 2
    while time.monotonic() < end:
        for _ in range(500):
            try:
                flood.send(packet)
                sent += 1
            except OSError:
                pass
        begin = time.monotonic()
        assert ask(lab.lan1, packet)
        waits.append(time.monotonic() - begin)
    assert sent > 2000 and statistics.median(waits) < 0.1 and max(waits) < 0.5
    flood.setblocking(False)
    answered = 0
    try:
        while True:
            flood.recv(64)
            answered += 1
    except BlockingIOError:
        pass
    flood.close()
    # 200 a second and as many at once.
    assert 0 < answered <= 200 * (1 + time.monotonic() - begun)
