# SPDX-License-Identifier: GPL-2.0-or-later
"""NAT-PMP and PCP packets, made and read by the letter of RFC 6886 and RFC 6887, independent of the daemon's codecs."""
import os
import socket
import struct
import time
from collections import namedtuple

from lab import LAN

TCP, UDP = 6, 17
NUMBER = {"tcp": TCP, "udp": UDP}

Address = namedtuple("Address", "result epoch address")
Mapping = namedtuple("Mapping", "result epoch internal external lifetime")
Pcp = namedtuple("Pcp", "opcode result lifetime epoch nonce protocol internal external address")


def ask(host, packet, to=LAN, source="0.0.0.0", sport=0, timeout=10.0, port=5351):
    """Sends it once and returns the answer, None if none comes."""
    # (Of sockets that may share a port, two would now and then be given the same one.)
    named = sport or source != "0.0.0.0"
    with host.bound(socket.SOCK_DGRAM, sport, source) if named else host.socket() as sock:
        sock.connect((to, port))
        end = time.monotonic() + timeout
        try:
            sock.send(packet)
            sock.settimeout(max(0.01, end - time.monotonic()))
            return sock.recv(2048)
        except OSError:
            return None


def natpmp_address_packet():
    return bytes([0, 0])


def natpmp_packet(transport, internal, external=0, lifetime=3600):
    return struct.pack("!BBHHHI", 0, {"udp": 1, "tcp": 2}[transport], 0, internal, external, lifetime)


def natpmp_read_address(answer):
    version, opcode, result, epoch = struct.unpack("!BBHI", answer[:8])
    assert (version, opcode, len(answer)) == (0, 128, 12), answer.hex()
    return Address(result, epoch, socket.inet_ntoa(answer[8:12]))


def natpmp_address(host, **options):
    return natpmp_read_address(ask(host, natpmp_address_packet(), **options))


def natpmp_map(host, transport, internal, external=0, lifetime=3600, **options):
    answer = ask(host, natpmp_packet(transport, internal, external, lifetime), **options)
    assert answer is not None, "no answer"
    version, opcode = answer[:2]
    assert (version, opcode, len(answer)) == (0, {"udp": 129, "tcp": 130}[transport], 16), answer.hex()
    return Mapping(*struct.unpack("!HIHHI", answer[2:]))


def mapped_address(address):
    return bytes(10) + b"\xff\xff" + socket.inet_aton(address)


def pcp_packet(client, transport, internal, external=0, lifetime=3600, nonce=None, options=b"", address="0.0.0.0"):
    nonce = os.urandom(12) if nonce is None else nonce
    protocol = NUMBER.get(transport, transport)
    return (struct.pack("!BBHI", 2, 1, 0, lifetime) + mapped_address(client) + nonce +
            struct.pack("!B3xHH", protocol, internal, external) + mapped_address(address) + options)


def pcp_announce_packet(client):
    return struct.pack("!BBHI", 2, 0, 0, 0) + mapped_address(client)


PREFER_FAILURE = struct.pack("!BBH", 2, 0, 0)


def pcp_read(answer):
    assert answer is not None, "no answer"
    version, opcode, result, lifetime, epoch = struct.unpack("!BBxBII", answer[:12])
    assert version == 2 and opcode & 0x80 and len(answer) % 4 == 0, answer.hex()
    if len(answer) < 60:
        return Pcp(opcode & 0x7f, result, lifetime, epoch, None, None, None, None, None)
    protocol, internal, external = struct.unpack("!B3xHH", answer[36:44])
    return Pcp(opcode & 0x7f, result, lifetime, epoch, answer[24:36], protocol, internal, external,
               socket.inet_ntoa(answer[56:60]))


def pcp_map(host, client, transport, internal, external=0, timeout=10.0, to=LAN, **options):
    return pcp_read(ask(host, pcp_packet(client, transport, internal, external, **options), timeout=timeout, to=to))
