# SPDX-License-Identifier: GPL-2.0-or-later
"""A control point by the letter of the UPnP Device Architecture: searches, HTTP, SOAP, events.  Knows no code of ours."""
import re
import socket
import struct
import threading
import time
import xml.etree.ElementTree as xml
from collections import namedtuple
from html import escape

from lab import LAN

PORT = 5431
SSDP_GROUP, SSDP_PORT = "239.255.255.250", 1900
IP = "urn:schemas-upnp-org:service:WANIPConnection:"
COMMON = "urn:schemas-upnp-org:service:WANCommonInterfaceConfig:"
L3F = "urn:schemas-upnp-org:service:Layer3Forwarding:"
FOLDER = {IP: "WANIP", COMMON: "WANCommon", L3F: "L3F"}

Answer = namedtuple("Answer", "status headers body")
Datagram = namedtuple("Datagram", "time source first headers")


def connect(host, address=LAN, port=PORT, timeout=20.0, source=None):
    family = socket.AF_INET6 if ":" in address else socket.AF_INET
    sock = host.socket(socket.SOCK_STREAM, family)
    sock.settimeout(timeout)
    try:
        with host.inside():
            scope = socket.if_nametoindex("eth0") if address.startswith("fe80") else 0
        if source:
            sock.bind((source, 0, 0, scope) if family == socket.AF_INET6 else (source, 0))
        sock.connect((address, port, 0, scope) if family == socket.AF_INET6 else (address, port))
    except OSError:
        sock.close()
        raise
    return sock


def read_headers(text):
    first, *lines = text.split("\r\n")
    headers = {}
    for line in lines:
        name, _, value = line.partition(":")
        headers[name.strip().lower()] = value.strip()
    return first, headers


def read_answer(sock, buffered=b"", head=False):
    """One answer from a connection, and what follows it; None if it ends before."""
    data = buffered
    while True:
        while b"\r\n\r\n" not in data:
            more = sock.recv(65536)
            if not more:
                return None, data
            data += more
        text, _, data = data.partition(b"\r\n\r\n")
        first, headers = read_headers(text.decode())
        status = int(first.split()[1])
        if status != 100:
            break
    length = 0 if head else int(headers.get("content-length", 0))
    while len(data) < length:
        more = sock.recv(65536)
        if not more:
            return None, data
        data += more
    return Answer(status, headers, data[:length].decode()), data[length:]


def send(host, octets, **options):
    """Raw octets on a connection of their own; the first answer, None if there is none."""
    with connect(host, **options) as sock:
        try:
            sock.sendall(octets)
            return read_answer(sock)[0]
        except OSError:
            return None


def request(host, method, path, headers=(), body=b"", address=LAN, version="1.1", port=PORT, **options):
    literal = f"[{address}]" if ":" in address else address
    lines = [f"{method} {path} HTTP/{version}", f"Host: {literal}:{port}", *headers]
    if body or method == "POST":
        lines.append(f"Content-Length: {len(body)}")
    octets = "\r\n".join(lines + ["", ""]).encode() + body
    with connect(host, address, port, **options) as sock:
        sock.sendall(octets)
        return read_answer(sock, head=method == "HEAD")[0]


def envelope(kind, action, arguments):
    inner = "".join(f"<{n}>{escape(str(v))}</{n}>" for n, v in arguments.items())
    return (f'<?xml version="1.0"?><s:Envelope xmlns:s="http://schemas.xmlsoap.org/soap/envelope/" '
            f's:encodingStyle="http://schemas.xmlsoap.org/soap/encoding/"><s:Body><u:{action} xmlns:u="{kind}">'
            f'{inner}</u:{action}></s:Body></s:Envelope>').encode()


def control_url(kind, view):
    return f"/{view}/{FOLDER[kind]}/control"


def post(host, kind, version, action, arguments=(), view=None, headers=(), **options):
    body = envelope(f"{kind}{version}", action, dict(arguments))
    return request(host, "POST", control_url(kind, view or version),
                   ['Content-Type: text/xml; charset="utf-8"', f'SOAPAction: "{kind}{version}#{action}"', *headers], body,
                   **options)


class UpnpError(Exception):
    def __init__(self, code, text):
        super().__init__(f"{code} {text}")
        self.code = code


def read_soap(answer, kind, version, action):
    """The arguments of an answer, as a dict; UpnpError if it is a fault."""
    root = xml.fromstring(answer.body)
    body = root.find("{http://schemas.xmlsoap.org/soap/envelope/}Body")
    fault = body.find("{http://schemas.xmlsoap.org/soap/envelope/}Fault")
    if fault is not None:
        assert answer.status == 500, answer
        error = fault.find(".//{urn:schemas-upnp-org:control-1-0}UPnPError")
        space = "{urn:schemas-upnp-org:control-1-0}"
        raise UpnpError(int(error.find(space + "errorCode").text), error.find(space + "errorDescription").text)
    assert answer.status == 200, answer
    assert answer.headers["content-type"] == 'text/xml; charset="utf-8"' and answer.headers["ext"] == "", answer
    assert body[0].tag == "{%s%s}%sResponse" % (kind, version, action), answer.body
    return {child.tag: child.text or "" for child in body[0]}


def call(host, kind, version, action, arguments=(), **options):
    return read_soap(post(host, kind, version, action, arguments, **options), kind, version, action)


def error_of(*arguments, **options):
    """Its code; 0 if it succeeds."""
    try:
        call(*arguments, **options)
    except UpnpError as error:
        return error.code
    return 0


def mapping(external, internal, client, transport="TCP", remote="", enabled=1, description="test", lease=3600):
    return {"NewRemoteHost": remote, "NewExternalPort": external, "NewProtocol": transport, "NewInternalPort": internal,
            "NewInternalClient": client, "NewEnabled": enabled, "NewPortMappingDescription": description,
            "NewLeaseDuration": lease}


def name_of(external, transport="TCP", remote=""):
    return {"NewRemoteHost": remote, "NewExternalPort": external, "NewProtocol": transport}


def port_range(first, last, transport="TCP", manage=1):
    return {"NewStartPort": first, "NewEndPort": last, "NewProtocol": transport, "NewManage": manage}


# --- discovery ---

def search_text(target, headers=('MAN: "ssdp:discover"', "MX: 1"), group=SSDP_GROUP):
    literal = f"[{group}]" if ":" in group else group
    return "\r\n".join(["M-SEARCH * HTTP/1.1", f"HOST: {literal}:1900", f"ST: {target}", *headers, "", ""]).encode()


def search(host, target, to=SSDP_GROUP, seconds=0.6, text=None, sport=0, source="0.0.0.0"):
    """What is answered, in order of arrival, with the time it took."""
    family = socket.AF_INET6 if ":" in to else socket.AF_INET
    with host.inside():
        index = socket.if_nametoindex("eth0")
    with host.socket(socket.SOCK_DGRAM, family) as sock:
        if family == socket.AF_INET6:
            sock.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_MULTICAST_IF, index)
            destination = (to, SSDP_PORT, 0, 0 if not to.lower().startswith(("fe80", "ff02")) else index)
        else:
            sock.bind((source, sport))
            sock.setsockopt(socket.IPPROTO_IP, socket.IP_MULTICAST_IF, struct.pack("=4s4si", bytes(4), bytes(4), index))
            destination = (to, SSDP_PORT)
        begun = time.monotonic()
        sock.sendto(text or search_text(target), destination)
        answers = []
        while (left := begun + seconds - time.monotonic()) > 0:
            sock.settimeout(left)
            try:
                octets, peer = sock.recvfrom(2048)
            except OSError:
                break
            answers.append(Datagram(time.monotonic() - begun, peer, *read_headers(octets.decode().rstrip("\r\n"))))
        return answers


class Announcements:
    """The NOTIFYs that reach a host."""

    def __init__(self, host, group=SSDP_GROUP):
        self.got = []
        family = socket.AF_INET6 if ":" in group else socket.AF_INET
        with host.inside():
            index = socket.if_nametoindex("eth0")
        self.sock = host.socket(socket.SOCK_DGRAM, family)
        self.sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        if family == socket.AF_INET6:
            self.sock.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_JOIN_GROUP,
                                 socket.inet_pton(family, group) + struct.pack("=I", index))
        else:
            self.sock.setsockopt(socket.IPPROTO_IP, socket.IP_ADD_MEMBERSHIP,
                                 struct.pack("=4s4si", socket.inet_aton(group), bytes(4), index))
        self.sock.bind((group, SSDP_PORT) if family == socket.AF_INET else ("::", SSDP_PORT))
        self.thread = threading.Thread(target=self._collect, daemon=True)
        self.thread.start()

    def _collect(self):
        while True:
            try:
                octets, peer = self.sock.recvfrom(2048)
            except OSError:
                return
            if not octets:
                return
            if octets.startswith(b"NOTIFY"):
                self.got.append(Datagram(time.monotonic(), peer, *read_headers(octets.decode().rstrip("\r\n"))))

    def of(self, kind):
        return [d for d in list(self.got) if d.headers["nts"] == "ssdp:" + kind]

    def close(self):
        try:
            self.sock.shutdown(socket.SHUT_RDWR)
        except OSError:
            pass
        self.sock.close()
        self.thread.join(5)


# --- events ---

Event = namedtuple("Event", "time sid seq variables")


class Subscriber:
    """Listens for events on a host; status: what it answers (None: nothing), after a delay in seconds."""

    def __init__(self, host, address, port=0, status=200, delay=0):
        self.delay = delay
        self.host = host
        self.address = address
        self.status = status
        self.events = []
        is_ipv6 = ":" in address
        self.sock = host.socket(socket.SOCK_STREAM, socket.AF_INET6 if is_ipv6 else socket.AF_INET)
        with host.inside():
            scope = socket.if_nametoindex("eth0") if address.startswith("fe80") else 0
        self.sock.bind((address, port, 0, scope) if is_ipv6 else (address, port))
        self.sock.listen(64)
        self.port = self.sock.getsockname()[1]
        self.url = f"http://[{address}]:{self.port}/" if is_ipv6 else f"http://{address}:{self.port}/"
        self.thread = threading.Thread(target=self._accept, daemon=True)
        self.thread.start()

    def _accept(self):
        while True:
            try:
                connection, _ = self.sock.accept()
            except OSError:
                return
            threading.Thread(target=self._take, args=(connection,), daemon=True).start()

    def _take(self, connection):
        with connection:
            connection.settimeout(20)
            data = b""
            try:
                while b"\r\n\r\n" not in data:
                    data += connection.recv(65536) or b"\r\n\r\n"
                text, _, body = data.partition(b"\r\n\r\n")
                first, headers = read_headers(text.decode())
                while len(body) < int(headers["content-length"]):
                    body += connection.recv(65536)
                if self.status is None:
                    connection.recv(1)
                    return
                assert first.startswith("NOTIFY /") and headers["nt"] == "upnp:event", first
                assert headers["nts"] == "upnp:propchange"
                root = xml.fromstring(body)
                assert root.tag == "{urn:schemas-upnp-org:event-1-0}propertyset"
                variables = {p[0].tag: p[0].text or "" for p in root}
                if self.status == 200:
                    self.events.append(Event(time.monotonic(), headers["sid"], int(headers["seq"]), variables))
                time.sleep(self.delay)
                connection.sendall(b"HTTP/1.1 %d X\r\nContent-Length: 0\r\n\r\n" % self.status)
            except OSError:
                return

    def subscribe(self, path="/1/WANIP/event", callback=None, headers=None, **options):
        """The answer; its SID and time-out are headers of it."""
        if headers is None:
            headers = [f"CALLBACK: {callback or '<' + self.url + '>'}", "NT: upnp:event", "TIMEOUT: Second-1800"]
        return request(self.host, "SUBSCRIBE", path, headers, **options)

    def close(self):
        try:
            self.sock.shutdown(socket.SHUT_RDWR)
        except OSError:
            pass
        self.sock.close()
        self.thread.join(5)


def seconds_of(timeout):
    return int(re.fullmatch(r"Second-(\d+)", timeout)[1])
