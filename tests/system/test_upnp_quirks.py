# SPDX-License-Identifier: GPL-2.0-or-later
"""What clients in the field do, one test an oddity, on one gateway.  D…: oddities of the wire; B…: what one product does
from its search to its mapping."""
import re
import struct
import time

import pytest

import upnp_client as upnp
from clients import ask, natpmp_packet, pcp_packet, pcp_read
from lab import LAN, LAN1, LAN2, WAN, Lab, wait_for
from upnp_client import COMMON, IP, PORT, call, error_of, mapping, name_of, read_soap, request, search, send

QUIRKS = []


def quirk(number, what, extra=None):
    """A test of its own, named by the oddity.  extra: for a daemon of its own, which is else shared."""
    def add(function):
        QUIRKS.append(pytest.param(extra, function, id=f"{number}: {what}"))
        return function
    return add


class House:
    """A gateway for a while."""

    def __init__(self, extra=""):
        self.lab = Lab()
        try:
            self.daemon = self.lab.daemon(extra=extra)
            self.daemon.logged("upnp: serving")
        except BaseException:
            self.lab.close()
            raise
        self.lan1, self.lan2 = self.lab.lan1, self.lab.lan2

    def forget(self):
        for lease in self.daemon.leases():
            self.daemon.cli("remove", f"{lease['transport']}:{lease['external_port']}")

    def add(self, version=1, host=None, without=(), **changes):
        """The code of an AddPortMapping that is well but for these."""
        well = {**mapping(4000, 8000, LAN1), **changes}
        arguments = {name: value for name, value in well.items() if name not in without}
        return error_of(host or self.lan1, IP, version, "AddPortMapping", arguments)

    def shown(self, external=4000, version=1):
        return call(self.lan1, IP, version, "GetSpecificPortMappingEntry", name_of(external))


@pytest.fixture(scope="module")
def shared():
    house = House()
    yield house
    house.lab.close()


@pytest.fixture
def house(request):
    if request.param is None:
        house = request.getfixturevalue("shared")
        yield house
        house.forget()
    else:
        house = House(request.param)
        yield house
        house.lab.close()


def soap(action="GetExternalIPAddress", arguments=(), version=1, replace=(), **parts):
    """A request as it should be, octet by octet, but for its parts and what is replaced in its body."""
    kind = f"{IP}{version}"
    body = upnp.envelope(kind, action, dict(arguments)).decode()
    for old, new in replace:
        assert old in body
        body = body.replace(old, new)
    lines = {"start": f"POST /{version}/WANIP/control HTTP/1.1", "host": f"Host: {LAN}:{PORT}",
             "type": 'Content-Type: text/xml; charset="utf-8"', "soapaction": f'SOAPAction: "{kind}#{action}"',
             "length": f"Content-Length: {len(body.encode())}", **parts}
    after = lines.pop("after", "")
    body = lines.pop("body", body)
    return ("\r\n".join([*(line for line in lines.values() if line), "", ""]) + body + after).encode()


def status(house, octets):
    answer = send(house.lan1, octets)
    return answer and answer.status


def values(house, octets, action="GetExternalIPAddress", version=1):
    """The answer's arguments."""
    return read_soap(send(house.lan1, octets), IP, version, action)


ADDRESS = {"NewExternalIPAddress": WAN}


# --- D: the wire ---

@quirk("D1", "SOAPAction without quotes, in others, with blanks")
def soapaction_quotes(house):
    name = IP + "1#GetExternalIPAddress"
    for line in (f"SOAPAction: {name}", f"SOAPAction: '{name}'", f'SOAPAction: "{name}"  ', f'SOAPAction:  \t"{name}"',
                 f'SOAPAction: " {name} "'):
        assert values(house, soap(soapaction=line)) == ADDRESS, line


@quirk("D2", "names of headers in any case, no blank after the colon, tabs")
def header_case(house):
    for turn in (str.lower, str.upper, str.title):
        octets = soap().decode()
        for name in ("Host", "Content-Type", "SOAPAction", "Content-Length"):
            octets = octets.replace(name + ": ", turn(name) + ":")
        assert values(house, octets.encode()) == ADDRESS
    assert values(house, soap().replace(b"Content-Length: ", b"content-length:\t ")) == ADDRESS
    text = f'M-SEARCH * HTTP/1.1\r\nhost:239.255.255.250:1900\r\nst:{IP}1\r\nman:"ssdp:discover"\r\nmx:1\r\n\r\n'
    assert len(search(house.lan1, "", to=LAN, text=text.encode(), seconds=1)) == 1


@quirk("D3", "arguments with attributes, other prefixes, a namespace of their own")
def prefixes(house):
    octets = soap("AddPortMapping", mapping(4000, 8000, LAN1), replace=(
        ("xmlns:s=", "xmlns:SOAP-ENV="), ("<s:", "<SOAP-ENV:"), ("</s:", "</SOAP-ENV:"), (" s:", " SOAP-ENV:"),
        ("u:AddPortMapping", "m:AddPortMapping"), ("xmlns:u", "xmlns:m"),
        ("<NewExternalPort>", '<NewExternalPort xmlns:dt="urn:schemas-microsoft-com:datatypes" dt:dt="ui2">'),
        ("<NewProtocol>", '<m:NewProtocol a="b">'), ("</NewProtocol>", "</m:NewProtocol>")))
    assert b"SOAP-ENV:Envelope" in octets
    assert values(house, octets, "AddPortMapping") == {}
    assert house.shown()["NewInternalPort"] == "8000"


@quirk("D4", "arguments in another order, and more of them than there are")
def argument_order(house):
    for version in (1, 2):
        turned = dict(reversed(list(mapping(4000 + version, 8000, LAN1).items())))
        assert error_of(house.lan1, IP, version, "AddPortMapping", {"NewSurplus": 1, **turned, "NewMore": "x"}) == 0
        assert house.shown(4000 + version)["NewInternalPort"] == "8000"


@quirk("D5", "missing RemoteHost, LeaseDuration, Enabled, description")
def missing_arguments(house):
    for name in ("NewRemoteHost", "NewLeaseDuration", "NewEnabled", "NewPortMappingDescription"):
        assert house.add(2, without=[name]) == 402
        assert house.add(1, without=[name]) == 0
    assert house.add(1, without=["NewRemoteHost", "NewLeaseDuration", "NewEnabled", "NewPortMappingDescription"]) == 0
    shown = house.shown()
    assert (shown["NewEnabled"], shown["NewPortMappingDescription"]) == ("1", "")
    assert 604800 - 60 <= int(shown["NewLeaseDuration"]) <= 604800
    assert house.add(1, without=["NewExternalPort"]) == 402


@quirk("D6", "True and true, yes and no")
def booleans(house):
    for version in (1, 2):
        for text, told in (("True", "1"), ("true", "1"), ("yes", "1"), ("1", "1"), ("False", "0"), ("no", "0"), ("0", "0")):
            assert house.add(version, NewEnabled=text) == 0
            assert house.shown()["NewEnabled"] == told
        assert house.add(version, NewEnabled="on") == 402


@quirk("D7", "a transport in small letters")
def transport_case(house):
    for version in (1, 2):
        assert house.add(version, NewProtocol="tcp", NewExternalPort=4000) == 0
        assert house.add(version, NewProtocol="udp", NewExternalPort=4000) == 0
    for index, name in enumerate(("TCP", "UDP")):
        assert call(house.lan1, IP, 1, "GetGenericPortMappingEntry", {"NewPortMappingIndex": index})["NewProtocol"] == name
    assert house.add(1, NewProtocol="sctp") == 601


@quirk("D8", "an empty internal client, and one by its name")
def internal_client(house):
    assert house.add(1, NewInternalClient="") == 0
    assert house.shown()["NewInternalClient"] == LAN1
    assert house.add(2, NewInternalClient="") == 715
    assert house.add(1, NewInternalClient="lan1") == 715 and house.add(2, NewInternalClient="lan1") == 715


@quirk("D9", "leases beyond all bounds, below them, and no number")
def lease_texts(house):
    for version in (1, 2):
        for text in ("604801", "4294967295", "99999999999999999999", "0"):
            assert house.add(version, NewLeaseDuration=60) == 0
            assert house.add(version, NewLeaseDuration=text) == 0
            assert 604800 - 60 <= int(house.shown()["NewLeaseDuration"]) <= 604800, text
    for text in ("-1", "ui4", "Infinity", ""):
        assert house.add(1, NewLeaseDuration=60) == 0
        assert house.add(1, NewLeaseDuration=text) == 0
        assert 604800 - 60 <= int(house.shown()["NewLeaseDuration"]) <= 604800, text
        assert house.add(2, NewLeaseDuration=text) == 402


@quirk("D10", "a search without MX or MAN, MAN unquoted, line ends too many or too few")
def searches(house):
    first = "M-SEARCH * HTTP/1.1\r\nHOST: 239.255.255.250:1900\r\nST: upnp:rootdevice\r\n"
    man = 'MAN: "ssdp:discover"\r\n'
    for n, text in enumerate((first + man + "\r\n", first + "MX: 1\r\n\r\n", first + "MAN: ssdp:discover\r\nMX: 1\r\n\r\n",
                              first + man + "MX: 1\r\n\r\n\r\n", first + man + "MX: 1\r\n", first + man + "MX: 1")):
        host = house.lan1 if n % 2 else house.lan2
        assert len(search(host, "", to=LAN, text=text.encode(), seconds=1)) == 1, text
    assert search(house.lan1, "", to=LAN, text=(first + 'MAN: "ssdp:other"\r\n\r\n').encode(), seconds=0.3) == []


@quirk("D11", "HTTP/1.0, without a Host")
def old_http(house):
    old = soap(start="POST /1/WANIP/control HTTP/1.0", host="")
    with upnp.connect(house.lan1) as sock:
        sock.sendall(old)
        answer, _ = upnp.read_answer(sock)
        assert read_soap(answer, IP, 1, "GetExternalIPAddress") == ADDRESS
        assert sock.recv(1) == b""  # and closed
    assert send(house.lan1, b"GET /1/desc.xml HTTP/1.0\r\n\r\n").status == 200


@quirk("D12", "Expect: 100-continue")
def expectation(house):
    head, _, body = soap(expect="Expect: 100-continue").partition(b"\r\n\r\n")
    with upnp.connect(house.lan1) as sock:
        sock.sendall(head + b"\r\n\r\n")
        assert sock.recv(25, 0x100) == b"HTTP/1.1 100 Continue\r\n\r\n"  # MSG_WAITALL
        sock.sendall(body)
        assert read_soap(upnp.read_answer(sock)[0], IP, 1, "GetExternalIPAddress") == ADDRESS
    # Who does not wait for it.
    assert values(house, soap(expect="Expect: 100-continue")) == ADDRESS


@quirk("D13", "a body in chunks")
def chunks(house):
    head, _, body = soap(length="Transfer-Encoding: chunked").partition(b"\r\n\r\n")
    for size in (1, 7, len(body)):
        parts = [body[at:at + size] for at in range(0, len(body), size)]
        text = b"".join(b"%x\r\n%b\r\n" % (len(part), part) for part in parts) + b"0\r\n\r\n"
        assert values(house, head + b"\r\n\r\n" + text) == ADDRESS, size
    named = head + b"\r\n\r\n" + b"%x;a=b\r\n%b\r\n0\r\nX: y\r\n\r\n" % (len(body), body)
    assert values(house, named) == ADDRESS


@quirk("D14", "one segment or many, line ends after the body")
def segments(house):
    octets = soap()
    with upnp.connect(house.lan1) as sock:
        sock.setsockopt(6, 1, 1)  # TCP_NODELAY
        for at in range(0, len(octets), 97):
            sock.sendall(octets[at:at + 97])
            time.sleep(0.002)
        sock.sendall(b"\r\n" + octets + b"\r\n")
        first, rest = upnp.read_answer(sock)
        second, _ = upnp.read_answer(sock, rest)
        assert (first.status, second.status) == (200, 200)


@quirk("D15", "doubled slashes, another case, the absolute form")
def paths(house):
    for path in ("//1//WANIP//control", "/1/wanip/CONTROL", f"http://{LAN}:{PORT}/1/WANIP/control"):
        assert values(house, soap(start=f"POST {path} HTTP/1.1")) == ADDRESS, path
    assert status(house, soap(start="POST http://192.0.2.1/1/WANIP/control HTTP/1.1")) == 400


@quirk("D16", "addresses that are remembered, and such as never were", extra="friendly-name = another")
def remembered(house):
    known = [(view, path) for view in (1, 2) for path in control_paths(house, view)]
    house.daemon.stop()
    house.daemon.start()
    wait_for(lambda: search(house.lan1, IP + "1", to=LAN, seconds=0.2), 10)
    assert [(view, path) for view in (1, 2) for path in control_paths(house, view)] == known
    assert call(house.lan1, IP, 1, "GetExternalIPAddress") == ADDRESS
    for path in ("/ctl/IPConn", "/upnp/control/WANIPConn1", "/1/WANIP", "/rootDesc.xml", "/"):
        assert status(house, soap(start=f"POST {path} HTTP/1.1")) == 404, path


def control_paths(house, view):
    return re.findall("<controlURL>(.*?)</controlURL>", request(house.lan1, "GET", f"/{view}/desc.xml").body)


@quirk("D17", "Content-Type missing, or another")
def content_types(house):
    assert values(house, soap(type="")) == ADDRESS
    for kind in ("text/xml", "text/xml;charset=utf-8", 'TEXT/XML ; charset="UTF-8"'):
        assert values(house, soap(type="Content-Type: " + kind)) == ADDRESS, kind
    for kind in ("application/soap+xml", "application/x-www-form-urlencoded", "text/plain", "multipart/form-data"):
        assert status(house, soap(type="Content-Type: " + kind)) == 415, kind


@quirk("D18", "the envelope of SOAP 1.2")
def soap12(house):
    octets = soap(replace=(("http://schemas.xmlsoap.org/soap/envelope/", "http://www.w3.org/2003/05/soap-envelope"),
                           ("><", ">\n\t<")))
    assert values(house, octets) == ADDRESS


@quirk("D19", "an & that means itself")
def ampersand(house):
    for version in (1, 2):
        for wild, meant in (("R&D", "R&D"), ("a & b", "a & b"), ("&", "&"), ("a &amp; b", "a & b"), ("&unknown;", "&unknown;"),
                            ("&#;", "&#;"), ("a && b &lt;", "a && b <")):
            octets = soap("AddPortMapping", mapping(4000, 8000, LAN1, description="DESCRIPTION"), version,
                          replace=[("DESCRIPTION", wild)])
            assert values(house, octets, "AddPortMapping", version) == {}
            assert house.shown()["NewPortMappingDescription"] == meant


@quirk("D20", "an action of the other version")
def mixed_versions(house):
    for view in (1, 2):
        assert error_of(house.lan1, IP, 1, "AddAnyPortMapping", mapping(4000, 8000, LAN1), view=view) == 401
    assert house.add(2) == 0
    assert call(house.lan1, IP, 1, "GetExternalIPAddress", view=2) == ADDRESS
    assert call(house.lan1, IP, 2, "GetExternalIPAddress") == ADDRESS


@quirk("D21", "a subscription without a time-out, and for ever")
def subscriptions(house):
    one = house.lab.closing(upnp.Subscriber(house.lan1, LAN1))
    for timeout in ([], ["TIMEOUT: infinite"], ["TIMEOUT: Second-infinite"]):
        answer = one.subscribe(headers=[f"CALLBACK: <{one.url}>", "NT: upnp:event", *timeout])
        assert (answer.status, answer.headers["timeout"]) == (200, "Second-1800"), timeout
        assert unsubscribe(house, answer.headers["sid"]) == 200
    long = one.subscribe(headers=[f"CALLBACK: <{one.url}>", "NT: upnp:event", "TIMEOUT: Second-99999999999"])
    assert long.status == 200 and 1800 <= upnp.seconds_of(long.headers["timeout"]) <= 86400


def unsubscribe(house, sid):
    return request(house.lan1, "UNSUBSCRIBE", "/1/WANIP/event", [f"SID: {sid}"]).status


@quirk("D22", "an end said twice, a renewal too late")
def ended_subscriptions(house):
    one = house.lab.closing(upnp.Subscriber(house.lan1, LAN1))
    sid = one.subscribe().headers["sid"]
    assert one.subscribe(headers=[f"SID: {sid}", "TIMEOUT: Second-1800"]).status == 200
    assert [unsubscribe(house, sid) for _ in range(2)] == [200, 412]
    assert one.subscribe(headers=[f"SID: {sid}", "TIMEOUT: Second-1800"]).status == 412
    assert unsubscribe(house, "uuid:00000000-0000-4000-8000-000000000000") == 412


@quirk("D23", "NAT-PMP and PCP with zeros behind")
def padding(house):
    answer = ask(house.lan1, natpmp_packet("udp", 8000, 4000) + bytes(4))
    assert struct.unpack("!HIHHI", answer[2:])[0] == 0
    assert pcp_read(ask(house.lan1, pcp_packet(LAN1, "udp", 8001, 4001) + bytes(8))).result == 0


@quirk("D24", "PCP that claims another address, or none")
def claims(house):
    for claimed in (LAN2, "0.0.0.0"):
        assert pcp_read(ask(house.lan1, pcp_packet(claimed, "udp", 8001, 4001))).result == 12, claimed
    assert pcp_read(ask(house.lan1, pcp_packet(LAN1, "udp", 8001, 4001))).result == 0


@quirk("D25", "the same mapping again and again")
def again(house):
    one = house.lab.closing(upnp.Subscriber(house.lan1, LAN1))
    assert house.add(2) == 0
    assert one.subscribe("/2/WANIP/event").status == 200
    wait_for(lambda: one.events)
    for lease in (3600, 3600, 60, 3600):
        assert house.add(2, NewLeaseDuration=lease) == 0
    assert house.add(2, NewExternalPort=4001) == 0
    wait_for(lambda: len(one.events) == 2)
    numbers = [int(event.variables["SystemUpdateID"]) for event in one.events]
    assert numbers[1] == numbers[0] + 1 and one.events[1].variables["PortMappingNumberOfEntries"] == "2"


@quirk("D26", "ports without end", extra="max-mappings-per-client = 20")
def stale(house):
    assert [house.add(2, NewExternalPort=20000 + n) for n in range(22)] == [0] * 20 + [728] * 2
    assert house.add(1, NewExternalPort=20020) == 501 and house.add(2, NewExternalPort=20019) == 0
    assert house.add(2, host=house.lan2, NewExternalPort=20030, NewInternalClient=LAN2) == 0


# --- B: products ---

FIRST_VERSION_ONLY = ["Microsoft-Windows/10.0 UPnP/1.0", "Microsoft BITS/7.8", "FDSSDP", "Xbox/2.0.17559.0 UPnP/1.0 Xbox/2.0",
                      "Mozilla/4.0 (compatible; UPnP/1.0; Windows 9x)"]


@quirk("B1", "Windows, Xbox, Apple: the first version under either address")
def first_version_only(house):
    for agent in FIRST_VERSION_ONLY:
        headers = [f"User-Agent: {agent}"]
        for path in ("desc.xml", "WANIP.xml", "WANCommon.xml", "L3F.xml"):
            texts = [request(house.lan1, "GET", f"/{view}/{path}", headers).body for view in (1, 2)]
            assert texts[0] == texts[1] == request(house.lan1, "GET", f"/1/{path}").body, (agent, path)
        described = request(house.lan1, "GET", "/2/desc.xml", headers).body
        assert "WANIPConnection:1" in described and ":2<" not in described
        assert error_of(house.lan1, IP, 1, "GetExternalIPAddress", headers=headers) == 0
    for agent in ("syncthing/1.0", "Debian/12 UPnP/1.1 MiniUPnPc/2.2.4"):
        assert "WANIPConnection:2" in request(house.lan1, "GET", "/2/desc.xml", [f"User-Agent: {agent}"]).body


@quirk("B1", "Xbox from its description to its mapping")
def xbox(house):
    headers = ["User-Agent: Xbox/2.0.17559.0 UPnP/1.0 Xbox/2.0.17559.0"]
    location = search(house.lan1, "urn:schemas-upnp-org:device:InternetGatewayDevice:1", to=LAN, seconds=1)[0].headers["location"]
    path = location.split(str(PORT))[1]
    assert "GetListOfPortMappings" not in request(house.lan1, "GET", path.replace("desc", "WANIP"), headers).body
    arguments = mapping(3074, 3074, LAN1, "UDP", description="Teredo", lease=0)
    assert call(house.lan1, IP, 1, "GetExternalIPAddress", headers=headers) == ADDRESS
    assert error_of(house.lan1, IP, 1, "GetSpecificPortMappingEntry", name_of(3074, "UDP"), headers=headers) == 714
    assert error_of(house.lan1, IP, 1, "AddPortMapping", arguments, headers=headers) == 0
    shown = call(house.lan1, IP, 1, "GetSpecificPortMappingEntry", name_of(3074, "UDP"), headers=headers)
    assert (shown["NewInternalClient"], shown["NewInternalPort"]) == (LAN1, "3074")


@quirk("B3", "two consoles and one port")
def consoles(house):
    assert house.add(1, NewExternalPort=9308, NewInternalPort=9308, NewProtocol="UDP") == 0
    other = {"NewInternalClient": LAN2, "NewInternalPort": 9308, "NewProtocol": "UDP"}
    assert house.add(1, house.lan2, NewExternalPort=9308, **other) == 718
    assert house.add(1, house.lan2, NewExternalPort=9309, **other) == 0


@quirk("B5", "miniupnpc's small buffers")
def small_buffers(house):
    described = request(house.lan1, "GET", "/1/desc.xml").body
    for url in re.findall(r"<(?:controlURL|eventSubURL|SCPDURL|serviceType)>(.*?)<", described):
        assert len(f"http://{LAN}:{PORT}" + url) < 100
    assert COMMON + "1" in described


@quirk("B6", "libtorrent's search and header")
def libtorrent(house):
    text = 'M-SEARCH * HTTP/1.1\r\nHOST: 239.255.255.250:1900\r\nST:upnp:rootdevice\r\nMAN:"ssdp:discover"\r\nMX:3\r\n\r\n\r\n'
    assert len(search(house.lan1, "", text=text.encode(), seconds=1)) == 1
    assert values(house, soap().replace(b"SOAPAction: ", b"Soapaction: ")) == ADDRESS


@quirk("B13", "go-ethereum's first questions")
def geth(house):
    for version in (1, 2):
        found = search(house.lan1, f"urn:schemas-upnp-org:device:WANConnectionDevice:{version}", to=LAN, seconds=1)
        assert [d.headers["location"] for d in found] == [f"http://{LAN}:{PORT}/{version}/desc.xml"]
        assert call(house.lan1, IP, version, "GetNATRSIPStatus")["NewNATEnabled"] == "1"


@quirk("B16", "Open.NAT's four targets")
def open_nat(house):
    ppp = IP.replace("IPConnection", "PPPConnection")
    found = {target: len(search(house.lan1, target, to=LAN, seconds=1)) for target in (IP + "2", ppp + "2", IP + "1", ppp + "1")}
    assert found == {IP + "2": 1, ppp + "2": 0, IP + "1": 1, ppp + "1": 0}


@quirk("B17", "Apple: search, description by its text, arguments with types, line ends too many, the text of a conflict")
def apple(house):
    text = f'M-SEARCH * HTTP/1.1\r\nHost:239.255.255.250:1900\r\nST:{IP}1\r\nMan:"ssdp:discover"\r\nMX:3\r\n\r\n'
    location = search(house.lan1, "", to=LAN, text=text.encode(), seconds=1)[0].headers["location"]
    agent = "User-Agent: Mozilla/4.0 (compatible; UPnP/1.0; Windows 9x)"
    described = request(house.lan1, "GET", location.split(str(PORT))[1], [agent]).body
    control = re.search(r"(?i)WANIPConnection:1.*?controlURL>(.*?)<", described, re.S)[1]

    def add(external):
        typed = [(f"<{name}>", f'<{name} xmlns:dt="urn:schemas-microsoft-com:datatypes" dt:dt="{kind}">') for name, kind in
                 (("NewExternalPort", "ui2"), ("NewProtocol", "string"), ("NewLeaseDuration", "ui4"))]
        octets = soap("AddPortMapping", mapping(external, 5353, LAN1, "UDP", description=f"iC{external}", lease=0),
                      start=f"POST {control} HTTP/1.1", agent=agent, replace=typed, after="\r\n")
        return send(house.lan1, octets)
    assert add(4000).status == 200
    assert house.add(1, house.lan2, NewExternalPort=4001, NewInternalClient=LAN2, NewProtocol="UDP") == 0
    refused = add(4001)
    assert refused.status == 500 and ">718</errorCode" in refused.body


@pytest.mark.parametrize("house, told", QUIRKS, indirect=["house"])
def test_quirk(house, told):
    told(house)
