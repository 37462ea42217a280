# SPDX-License-Identifier: GPL-2.0-or-later
"""`portlease flush`: what clients mapped ends, in the kernel, on disk and for who talks through it; forwards stay."""
import json
import socket
import subprocess
import time

from clients import natpmp_address, natpmp_address_packet, natpmp_map, natpmp_packet, natpmp_read_address, pcp_map
from lab import BUILD, LAN, LAN1, LAN2, TIMED, WAN, wait_for
from test_flows import SOON, Stream, conversation
from upnp_client import IP, Subscriber, call, mapping

WEB = f'forward "web" {{\n transport = tcp\n external-ports = 80\n target = {LAN1}:8080\n}}\n'


def map_by_all(lab, host, address, first):
    assert natpmp_map(host, "tcp", first, first).external == first
    assert pcp_map(host, address, "udp", first + 1, first + 1, nonce=b"n" * 12).external == first + 1
    call(host, IP, 2, "AddPortMapping", mapping(first + 2, first + 2, address))


def update_id(lab):
    """As a new subscription is told it."""
    subscriber = lab.closing(Subscriber(lab.lan1, LAN1))
    assert subscriber.subscribe("/2/WANIP/event").status == 200
    return int(wait_for(lambda: subscriber.events, 10)[0].variables["SystemUpdateID"])


def kernel_ports(lab):
    return sorted([*lab.external_ports("tcp"), *lab.external_ports("udp")])


def test_all_of_the_clients_end_and_they_are_told(lab):
    daemon = lab.daemon(extra=WEB)
    daemon.logged("upnp: serving")
    lab.server(lab.lan1, "tcp", 8080)
    daemon.cli("add", "shell", "tcp:2222", f"{LAN1}:8080")
    map_by_all(lab, lab.lan1, LAN1, 4000)
    map_by_all(lab, lab.lan2, LAN2, 5000)
    wait_for(lambda: natpmp_address(lab.lan1).epoch > 1, 5, "an epoch")
    heard = lab.announcements()
    ends = [lab.closing(end) for end in conversation(lab, 4000, 4000)]
    seen = lab.listener(lab.lan1, 4001)
    stream = lab.closing(Stream(lab, 4001))
    wait_for(lambda: seen.got, SOON, "the stream comes in")
    assert kernel_ports(lab) == daemon.ports() == [80, 2222, 4000, 4001, 4002, 5000, 5001, 5002]
    assert json.loads(daemon.cli("flush", "--json").stdout) == {"removed": 6, "failed": 0, "result": "ok"}
    began = time.monotonic()
    assert kernel_ports(lab) == daemon.ports() == [80, 2222]
    wait_for(lambda: all(end.reset for end in ends), SOON, "both ends of the connection are told")
    wait_for(lambda: LAN1 not in lab.gw.run("conntrack", "-L", "-p", "udp", "--orig-port-dst", "4001").stdout, SOON,
             "the flow ends")
    epochs = wait_for(lambda: [natpmp_read_address(data).epoch for at, _, data in heard.got
                               if at > began and data[0] == 0], SOON, "the announcement")
    assert epochs[0] <= 1 and natpmp_address(lab.lan1).epoch < 60
    assert any(data[:2] == b"\2\x80" for at, _, data in heard.got if at > began)
    stream.close()
    for port in (80, 2222):
        assert lab.wan.tcp(WAN, port).startswith("lan1 saw")
    daemon.kill()
    daemon.start()
    assert kernel_ports(lab) == daemon.ports() == [80, 2222]
    # Who asks again gets what he had.
    assert pcp_map(lab.lan1, LAN1, "udp", 4001, 0, nonce=b"x" * 12).result == 0


def test_of_one_host_or_protocol(lab, daemon):
    daemon.logged("upnp: serving")
    map_by_all(lab, lab.lan1, LAN1, 4000)
    map_by_all(lab, lab.lan2, LAN2, 5000)
    daemon.cli("add", "shell", "tcp:2222", LAN1)
    wait_for(lambda: natpmp_address(lab.lan1).epoch > 1, 5, "an epoch")
    before, epoch = update_id(lab), natpmp_address(lab.lan1).epoch
    assert daemon.cli("flush", "--client", LAN1).stdout == "removed 3 leases\n"
    assert update_id(lab) == before + 1
    assert kernel_ports(lab) == daemon.ports() == [2222, 5000, 5001, 5002]
    assert daemon.cli("flush", "--protocol", "upnp").stdout == "removed 1 lease\n"
    assert update_id(lab) == before + 2
    assert daemon.cli("flush", "--client", f"{LAN1}/32", "--transport", "udp").stdout == "removed 0 leases\n"
    assert update_id(lab) == before + 2
    assert kernel_ports(lab) == daemon.ports() == [2222, 5000, 5001]
    assert natpmp_address(lab.lan1).epoch >= epoch


def map_many(lab, count):
    with lab.lan1.bound(socket.SOCK_DGRAM, 0) as sock:
        sock.connect((LAN, 5351))
        sock.settimeout(10)
        for at in range(0, count, 50):
            for port in range(10000 + at, 10050 + at):
                sock.send(natpmp_packet("udp", port, port))
            for _ in range(50):
                assert sock.recv(64)[2:4] == b"\0\0"


def answer_times_during(lab, command):
    """In seconds, of another host's requests, one after the other, until the program ends."""
    spans = []
    with lab.lan2.bound(socket.SOCK_DGRAM, 0) as sock:
        sock.connect((LAN, 5351))
        sock.settimeout(10)
        while command.poll() is None:
            sent = time.monotonic()
            sock.send(natpmp_address_packet())
            sock.recv(64)
            spans.append(time.monotonic() - sent)
    return spans


@TIMED
def test_ten_thousand_stop_nobody(lab, record_property):
    daemon = lab.daemon(build=BUILD, extra="max-mappings-per-client = 20000\nrequests-per-second = 0\nlog-level = warning\n")
    map_many(lab, 10000)
    begin = time.monotonic()
    command = lab.gw.start(daemon.build + "/portlease", "flush", "--socket", daemon.socket, stdout=subprocess.PIPE)
    spans = answer_times_during(lab, command)
    span = time.monotonic() - begin
    assert command.stdout.read() == b"removed 10000 leases\n"
    assert daemon.leases() == [] and lab.external_ports("udp") == {}
    spans.sort()
    late = spans[len(spans) * 99 // 100]
    record_property("table", f"flush, 10000 leases: {1e3 * span:.0f} ms; of {len(spans)} answers meanwhile the median after "
                             f"{1e3 * spans[len(spans) // 2]:.1f} ms, the 99th of 100 after {1e3 * late:.1f} ms, the last after "
                             f"{1e3 * spans[-1]:.1f} ms")
    assert late < 0.05
