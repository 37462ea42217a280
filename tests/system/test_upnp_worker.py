# SPDX-License-Identifier: GPL-2.0-or-later
"""The UPnP worker alone, between its LAN and a core that is none."""
import os
import re
import select
import socket
import threading
import time

import pytest

import upnp_client as upnp
from lab import LAN, LAN1, LAN2, TIMED, WAN, wait_for
from upnp_client import COMMON, IP, L3F, call, error_of, mapping, name_of, port_range, request, search, send
from worker_core import ADD, PORT, UDN, Core

GET = 'GET /1/desc.xml HTTP/1.1\r\n'
HOST = f"Host: {LAN}:{PORT}\r\n"
TEXT = 'Content-Type: text/xml\r\n'
ACTION = f'SOAPAction: "{IP}1#GetExternalIPAddress"\r\n'
BODY = upnp.envelope(IP + "1", "GetExternalIPAddress", {}).decode()
POST = "POST /1/WANIP/control HTTP/1.1\r\n"


@pytest.fixture
def core(lab, request):
    """A Core; indirect parameters are its options."""
    return lab.closing(Core(lab, **getattr(request, "param", {})))


def address_of_link(lab, host=None):
    """The link-local address of the LAN's interface, once it may be used."""
    def look():
        text = (host or lab.gw).run("ip", "-6", "-o", "address", "show", "dev", "eth0" if host else "br-lan", "scope",
                                    "link").stdout
        return None if "tentative" in text else re.search(r"inet6 (fe80[0-9a-f:]+)/", text)
    return wait_for(look, 10, "a link-local address")[1]


# --- requests that are looked at, and those that are not ---

def soap(headers="", body=BODY, start=POST):
    return f"{start}{HOST}{TEXT}{ACTION}{headers}Content-Length: {len(body)}\r\n\r\n{body}"


REQUESTS = {
    "as it should be": (GET + HOST + "\r\n", 200),
    "two hosts": (GET + HOST + HOST + "\r\n", 400),
    "no host": (GET + "\r\n", 400),
    "no host in 1.0": ("GET /1/desc.xml HTTP/1.0\r\n\r\n", 200),
    "a name as host": (GET + "Host: gateway.example\r\n\r\n", 400),
    "a name as host in 1.0": ("GET /1/desc.xml HTTP/1.0\r\nHost: gateway.example\r\n\r\n", 400),
    "another's address as host": (GET + f"Host: {LAN1}:{PORT}\r\n\r\n", 400),
    "another port": (GET + f"Host: {LAN}:80\r\n\r\n", 400),
    "no port": (GET + f"Host: {LAN}\r\n\r\n", 200),
    "a page's": (GET + HOST + "Origin: http://192.168.1.1\r\n\r\n", 403),
    "a folded host": (GET + HOST + " x\r\n\r\n", 400),
    "blank before the colon": (POST + HOST + TEXT + ACTION + f"Content-Length : {len(BODY)}\r\n\r\n{BODY}", 400),
    "two lengths": (soap(f"Content-Length: {len(BODY)}\r\n"), 400),
    "two different lengths": (soap("Content-Length: 3\r\n"), 400),
    "length and chunked": (soap("Transfer-Encoding: chunked\r\n"), 400),
    "another coding": (POST + HOST + TEXT + ACTION + "Transfer-Encoding: gzip\r\n\r\n" + BODY, 501),
    "chunked": (POST + HOST + TEXT + ACTION + f"Transfer-Encoding: chunked\r\n\r\n{len(BODY):x}\r\n{BODY}\r\n0\r\n\r\n", 200),
    "no length": (POST + HOST + TEXT + ACTION + "\r\n", 411),
    "absolute": (f"GET http://{LAN}:{PORT}/1/desc.xml HTTP/1.1\r\n{HOST}\r\n", 200),
    "absolute, a name": (f"GET http://gateway.example/1/desc.xml HTTP/1.1\r\n{HOST}\r\n", 400),
    "bare line feeds": ((GET + HOST + "\r\n").replace("\r\n", "\n"), 200),
    "no blank after the colon": (GET + HOST.replace(": ", ":") + "\r\n", 200),
    "lower case": (POST + (HOST + TEXT).lower() + ACTION.replace("SOAPAction", "soapaction") +
                   f"content-length:{len(BODY)}\r\n\r\n{BODY}", 200),
    "line ends before": ("\r\n" + GET + HOST + "\r\n", 200),
    "doubled slashes, capitals": ("GET //1//DESC.xml HTTP/1.1\r\n" + HOST + "\r\n", 200),
    "a query": ("GET /1/desc.xml?a=b HTTP/1.1\r\n" + HOST + "\r\n", 200),
    "elsewhere": ("GET /3/desc.xml HTTP/1.1\r\n" + HOST + "\r\n", 404),
    "an escape": ("GET /1/desc%2exml HTTP/1.1\r\n" + HOST + "\r\n", 404),
    "no action named": (POST + HOST + TEXT + f"Content-Length: {len(BODY)}\r\n\r\n{BODY}", 400),
    "action unquoted": (soap().replace(ACTION, ACTION.replace('"', " ")), 200),
    "a form's type": (soap().replace("text/xml", "text/plain"), 415),
    "no type": (soap().replace(TEXT, ""), 200),
    "a body and line ends": (soap() + "\r\n\r\n", 200),
    "no XML": (soap(body="<a"), 400),
    "a method of none": (soap(start=POST.replace("POST", "BREW")), 405),
}


def test_what_is_looked_at_and_what_is_not(lab, core):
    got = {name: getattr(send(lab.lan1, text.encode()), "status", None) for name, (text, _) in REQUESTS.items()}
    assert got == {name: status for name, (_, status) in REQUESTS.items()}
    assert core.counted("refused", 15)


def test_methods_and_documents(lab, core):
    description = request(lab.lan1, "GET", "/1/desc.xml", ["Accept-Language: de"])
    assert description.headers["content-type"] == 'text/xml; charset="utf-8"'
    assert description.headers["content-language"] == "en"
    assert re.fullmatch(r"Linux/\d+\.\d+ UPnP/1\.1 portlease/0\.1\.0", description.headers["server"])
    assert "The &lt;gateway&gt; &amp; co" in description.body and UDN + "2" in description.body
    head = request(lab.lan1, "HEAD", "/1/desc.xml")
    assert (head.status, head.body, head.headers["content-length"]) == (200, "", str(len(description.body)))
    for method, path, allowed in (("POST", "/1/desc.xml", "GET, HEAD"), ("PUT", "/2/WANIP.xml", "GET, HEAD"),
                                  ("GET", "/1/WANIP/control", "POST"), ("M-POST", "/1/WANIP/control", "POST"),
                                  ("GET", "/1/WANIP/event", "SUBSCRIBE, UNSUBSCRIBE")):
        refused = request(lab.lan1, method, path)
        assert (refused.status, refused.headers["allow"]) == (405, allowed), path
    for view in (1, 2):
        described = request(lab.lan1, "GET", f"/{view}/desc.xml").body
        assert f"InternetGatewayDevice:{view}" in described and f"InternetGatewayDevice:{3 - view}" not in described
        for path in re.findall(r"<SCPDURL>(.*?)</SCPDURL>", described):
            assert request(lab.lan1, "GET", path).status == 200


@pytest.mark.parametrize("agent, view", [
    ("Microsoft-Windows/10.0 UPnP/1.0", 1), ("FDSSDP", 1), ("Xbox/2.0.17559.0 UPnP/1.0 Xbox/2.0.17559.0", 1),
    ("Mozilla/4.0 (compatible; UPnP/1.0; Windows 9x)", 1), ("syncthing/1.0", 2)])
def test_a_client_that_knows_only_the_first_version(lab, core, agent, view):
    described = request(lab.lan1, "GET", "/2/desc.xml", [f"User-Agent: {agent}"]).body
    assert f"InternetGatewayDevice:{view}" in described
    assert ("AddAnyPortMapping" in request(lab.lan1, "GET", "/2/WANIP.xml", [f"User-Agent: {agent}"]).body) == (view == 2)


@pytest.mark.parametrize("core, views", [({"view_2": False}, [1]), ({"view_1": False}, [2])], indirect=["core"])
@TIMED
def test_one_version_alone(lab, core, views):
    for view in (1, 2):
        assert request(lab.lan1, "GET", f"/{view}/desc.xml").status == (200 if view in views else 404)
    found = {d.headers["location"] for d in search(lab.lan1, "ssdp:all")}
    assert found == {f"http://{LAN}:{PORT}/{views[0]}/desc.xml"}
    # One of the second version is one of the first, too: asked for as such, it answers as such.
    one, = search(lab.lan1, IP + "1", to=LAN)
    assert (one.headers["st"], one.headers["usn"], one.headers["location"]) == \
        (IP + "1", f"{UDN}2::{IP}1", f"http://{LAN}:{PORT}/{views[0]}/desc.xml")
    assert len(search(lab.lan1, IP + "2", to=LAN, seconds=0.3)) == (views == [2])
    microsofts = request(lab.lan1, "GET", f"/{views[0]}/desc.xml", ["User-Agent: Microsoft-Windows/10.0"]).body
    assert f"InternetGatewayDevice:{views[0]}" in microsofts


def test_bodies_and_heads_end_somewhere(lab, core):
    def padded(size):
        return BODY.replace("<s:Body>", "<!--" + "x" * (size - len(BODY) - 7) + "--><s:Body>")

    assert send(lab.lan1, soap(body=padded(16384)).encode()).status == 200
    assert send(lab.lan1, soap(body=padded(16385)).encode()).status == 413
    chunk = "8\r\n        \r\n"
    chunked = POST + HOST + TEXT + ACTION + "Transfer-Encoding: chunked\r\n\r\n"
    assert send(lab.lan1, (chunked + chunk * 3000 + "0\r\n\r\n").encode()).status == 413
    assert send(lab.lan1, (chunked + chunk * 30000).encode()) is None
    assert send(lab.lan1, (GET + HOST + "X: " + "x" * 4000 + "\r\n\r\n").encode()).status == 200
    long = send(lab.lan1, (GET + HOST + "X: " + "x" * 40000 + "\r\n\r\n").encode())
    assert long is None or long.status in (413, 431)
    assert request(lab.lan1, "GET", "/1/desc.xml").status == 200


def test_a_body_that_is_waited_for(lab, core):
    with upnp.connect(lab.lan1) as sock:
        sock.sendall((POST + HOST + TEXT + ACTION + f"Expect: 100-continue\r\nContent-Length: {len(BODY)}\r\n\r\n").encode())
        assert sock.recv(64).startswith(b"HTTP/1.1 100")
        for octet in BODY.encode():
            sock.send(bytes([octet]))
        assert upnp.read_answer(sock)[0].status == 200


def test_several_requests_of_one_connection(lab, core):
    with upnp.connect(lab.lan1) as sock:
        sock.sendall(soap().encode() * 3 + (GET + HOST + "Connection: close\r\n\r\n").encode())
        rest, got = b"", []
        for _ in range(4):
            answer, rest = upnp.read_answer(sock, rest)
            got.append(answer.status)
        assert got == [200] * 4
        assert sock.recv(1) == b""


# --- actions ---

def test_what_the_wan_is_needs_no_core(lab, core):
    core.held = []
    assert call(lab.lan1, IP, 1, "GetExternalIPAddress") == {"NewExternalIPAddress": WAN}
    assert call(lab.lan1, IP, 2, "GetNATRSIPStatus") == {"NewRSIPAvailable": "0", "NewNATEnabled": "1"}
    status = call(lab.lan1, IP, 2, "GetStatusInfo")
    assert status["NewConnectionStatus"] == "Connected" and int(status["NewUptime"]) > 0
    assert call(lab.lan1, IP, 1, "GetConnectionTypeInfo")["NewConnectionType"] == "IP_Routed"
    properties = call(lab.lan1, COMMON, 1, "GetCommonLinkProperties", view=2)
    assert properties["NewLayer1UpstreamMaxBitRate"] == str(10 ** 9)
    assert properties["NewLayer1DownstreamMaxBitRate"] == str(2 ** 32 - 1)
    assert call(lab.lan1, L3F, 1, "GetDefaultConnectionService")["NewDefaultConnectionService"] == \
        f"{UDN}2:WANConnectionDevice:1,urn:upnp-org:serviceId:WANIPConn1"
    core.external = ""
    core.tell_state()
    wait_for(lambda: call(lab.lan1, IP, 1, "GetExternalIPAddress") == {"NewExternalIPAddress": ""})
    assert core.calls == []


def test_another_external_address_is_announced(lab, core):
    """As the same device that it was."""
    heard = lab.closing(upnp.Announcements(lab.lan1))
    wait_for(lambda: search(lab.lan1, IP + "1", to=LAN) and len(heard.of("alive")) >= 2 * len(SET))
    time.sleep(0.7)  # that of the start is over
    before = len(heard.got)
    core.update_id += 1
    core.tell_state()
    core.external = ""
    core.tell_state()
    core.external = "11.0.0.2"
    core.tell_state()
    wait_for(lambda: len(heard.got) == before + len(SET))
    assert as_set(heard.got[before:], "nt") == expected_set("nt")
    assert {(d.headers["nts"], d.headers["bootid.upnp.org"]) for d in heard.got[before:]} == {("ssdp:alive", "1000")}


@pytest.mark.parametrize("version", [1, 2])
def test_a_mapping_from_its_making_to_its_end(lab, core, version):
    call(lab.lan1, IP, version, "AddPortMapping", mapping(8080, 80, LAN1, remote="11.0.0.9", description="a <b> & 'ü'"),
         headers=["User-Agent: a\x7fclient"])
    made = core.calls[0]
    assert (made.client, made.agent, made.view, made.version, made.action) == (LAN1, "a?client", version, version, ADD)
    assert made.entry == {"remote": "11.0.0.9", "external": 8080, "transport": 6, "client": LAN1, "internal": 80,
                          "enabled": True, "description": "a <b> & 'ü'", "lease": 3600}
    shown = call(lab.lan1, IP, version, "GetSpecificPortMappingEntry", name_of(8080, remote="11.0.0.9"))
    assert shown == {"NewInternalPort": "80", "NewInternalClient": LAN1, "NewEnabled": "1",
                     "NewPortMappingDescription": "a <b> & 'ü'", "NewLeaseDuration": "3600"}
    assert call(lab.lan2, IP, version, "GetGenericPortMappingEntry", {"NewPortMappingIndex": 0}) == \
        {"NewRemoteHost": "11.0.0.9", "NewExternalPort": "8080", "NewProtocol": "TCP", **shown}
    assert error_of(lab.lan2, IP, version, "GetGenericPortMappingEntry", {"NewPortMappingIndex": 1}) == 713
    call(lab.lan1, IP, version, "DeletePortMapping", name_of(8080, remote="11.0.0.9"))
    assert error_of(lab.lan1, IP, version, "DeletePortMapping", name_of(8080, remote="11.0.0.9")) == 714


def test_only_what_a_version_has(lab, core):
    assert call(lab.lan1, IP, 2, "AddAnyPortMapping", mapping(8081, 81, LAN1)) == {"NewReservedPort": "8081"}
    assert error_of(lab.lan1, IP, 1, "AddAnyPortMapping", mapping(8081, 81, LAN1)) == 401
    assert error_of(lab.lan1, IP, 1, "AddAnyPortMapping", mapping(8081, 81, LAN1), view=2) == 401
    call(lab.lan1, IP, 1, "GetSpecificPortMappingEntry", name_of(8081), view=2)
    assert error_of(lab.lan1, IP, 2, "GetSpecificPortMappingEntry", name_of(8081), view=1) == 401


def test_counters_begin_anew(lab, core):
    assert call(lab.lan1, COMMON, 1, "GetTotalBytesSent") == {"NewTotalBytesSent": "11"}
    assert call(lab.lan1, COMMON, 1, "GetTotalPacketsReceived") == {"NewTotalPacketsReceived": "44"}


def test_a_list_comes_in_pages(lab, core):
    for n in range(200):
        entry = {"external": 1024 + n, "transport": 6, "client": LAN1, "internal": 80, "enabled": True,
                 "description": f"<{n}> & ]]>", "lease": 60}
        core.change(("", 1024 + n, 6), entry)
    def rows(limit):
        text = call(lab.lan1, IP, 2, "GetListOfPortMappings", {**port_range(1, 65535), "NewNumberOfPorts": limit})["NewPortListing"]
        root = upnp.xml.fromstring(text)
        space = "{urn:schemas-upnp-org:gw:WANIPConnection}"
        assert root.tag == space + "PortMappingList" and {r.tag for r in root} == {space + "PortMappingEntry"}
        return [(int(r.find(space + "NewExternalPort").text), r.find(space + "NewDescription").text) for r in root]
    everything = [(1024 + n, f"<{n}> & ]]>") for n in range(200)]
    assert rows(0) == everything
    assert len(core.calls) == 4
    assert rows(70) == everything[:70]
    assert rows(64) == everything[:64]
    assert len(core.calls) == 4 + 2 + 1
    core.table.clear()
    assert error_of(lab.lan1, IP, 2, "GetListOfPortMappings", {**port_range(1, 65535), "NewNumberOfPorts": 0}) == 730


def test_lists_that_nobody_reads(lab, core):
    for n in range(10000):
        core.table["", n, 6] = {"external": 1024 + n, "transport": 6, "client": LAN1, "internal": 80, "enabled": True,
                                "description": "x" * 100, "lease": 60}
    arguments = {**port_range(1, 65535), "NewNumberOfPorts": 0}
    body = upnp.envelope(IP + "2", "GetListOfPortMappings", arguments).decode()
    text = soap(body=body, start=POST.replace("/1/", "/2/")).replace("1#GetExternalIPAddress", "2#GetListOfPortMappings")
    deaf = []
    for _ in range(9):
        deaf.append(upnp.connect(lab.lan1))
        deaf[-1].setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        deaf[-1].sendall(text.encode())
        assert select.select(deaf[-1:], [], [], 30)[0]
    assert deaf[0].recv(12) == b"HTTP/1.1 200" and deaf[-1].recv(12) == b"HTTP/1.1 500"
    assert error_of(lab.lan2, IP, 2, "GetListOfPortMappings", arguments, timeout=30) == 603
    assert call(lab.lan2, IP, 1, "GetExternalIPAddress") == {"NewExternalIPAddress": WAN}
    for sock in deaf:
        sock.close()

    def listed():
        try:
            return call(lab.lan2, IP, 2, "GetListOfPortMappings", arguments, timeout=30)["NewPortListing"]
        except upnp.UpnpError:
            return None
    assert wait_for(listed, 20).count("</p:PortMappingEntry>") == 10000


def test_calls_wait_for_the_core_and_nothing_waits_for_them(lab, core):
    core.held = []
    answers = {}

    def add(n):
        answers[n] = upnp.post(lab.lan1, IP, 1, "AddPortMapping", mapping(5000 + n, 80, LAN1), timeout=20)
    threads = [threading.Thread(target=add, args=(n,)) for n in range(80)]
    for thread in threads:
        thread.start()
    wait_for(lambda: len(core.held) == 80, 10, "all of them reach the core")
    assert call(lab.lan2, IP, 1, "GetExternalIPAddress") == {"NewExternalIPAddress": WAN}
    assert answers == {}
    assert len({c.ticket for c in core.held}) == 80
    for held in reversed(core.held):  # each gets its own, in whatever order
        core.answer(held, 718 if held.entry["external"] % 2 else 0)
    for thread in threads:
        thread.join(20)
    assert {n: answer.status for n, answer in answers.items()} == {n: 500 if n % 2 else 200 for n in range(80)}


def test_a_client_that_does_not_wait(lab, core):
    core.held = []
    body = upnp.envelope(IP + "1", "AddPortMapping", mapping(5000, 80, LAN1)).decode()
    with upnp.connect(lab.lan1) as sock:
        sock.sendall(soap(body=body).replace("GetExternalIPAddress", "AddPortMapping").encode())
        wait_for(lambda: core.held)
    core.answer(core.held[0])
    core.held = None
    assert call(lab.lan1, IP, 1, "GetExternalIPAddress") == {"NewExternalIPAddress": WAN}
    wait_for(lambda: core.stats["connections"] == 0, 5, "the connection is forgotten")


@pytest.mark.parametrize("message", [b"", b"\x01\x03\0\0" + bytes(100), b"\x01\x06\0\0" + bytes(100)],
                         ids=["nothing", "of another length", "of a worker"])
def test_what_no_core_says_ends_the_link(lab, message):
    core = Core(lab)
    core.socket.send(message)
    assert core.process.wait(10) == 0
    assert "the core is gone" in core.said()


# --- discovery ---

GATEWAY, CONNECTION = "urn:schemas-upnp-org:device:InternetGatewayDevice:", "urn:schemas-upnp-org:device:WANConnectionDevice:"
SET = [("upnp:rootdevice", 0, 1), (UDN + "0", 0, 1), (UDN + "1", 1, 1), (UDN + "2", 2, 1),
       (GATEWAY + "1", 0, 1), ("urn:schemas-upnp-org:device:WANDevice:1", 1, 1), (CONNECTION + "1", 2, 1),
       (L3F + "1", 0, 1), (COMMON + "1", 1, 1), (IP + "1", 2, 1),
       (GATEWAY + "2", 0, 2), ("urn:schemas-upnp-org:device:WANDevice:2", 1, 2), (CONNECTION + "2", 2, 2), (IP + "2", 2, 2)]
V6, V6_LAN1, V6_GLOBAL = "fd00:1::1", "fd00:1::11", "2001:db8:1::"


def location(view, address=LAN):
    return f"http://[{address}]:{PORT}/{view}/desc.xml" if ":" in address else f"http://{address}:{PORT}/{view}/desc.xml"


def expected_set(field, address=LAN):
    return [(name, f"{UDN}{device}" + ("" if name.startswith("uuid:") else "::" + name), location(view, address))
            for name, device, view in SET]


def as_set(datagrams, field):
    return [(d.headers[field], d.headers["usn"], d.headers["location"]) for d in datagrams]


@TIMED
def test_searches_by_unicast_are_answered_at_once(lab, core):
    everything = search(lab.lan1, "ssdp:all", to=LAN)
    assert as_set(everything, "st") == expected_set("st")
    assert everything[-1].time < 0.1
    for d in everything:
        assert d.source == (LAN, 1900) and d.first == "HTTP/1.1 200 OK"
        assert (d.headers["ext"], d.headers["bootid.upnp.org"], d.headers["configid.upnp.org"]) == ("", "1000", "77")
        assert int(re.fullmatch(r"max-age=(\d+)", d.headers["cache-control"])[1]) >= 1800
        assert re.fullmatch(r"Linux/\d+\.\d+ UPnP/1\.1 portlease/0\.1\.0", d.headers["server"])
        assert "opt" not in d.headers


@TIMED
def test_searches_by_multicast(lab, core):
    got = search(lab.lan1, "ssdp:all")
    assert as_set(got, "st") == expected_set("st") and got[-1].time < 0.25
    assert {d.source for d in got} == {(LAN, 1900)}
    for target, view in ((IP + "1", 1), (IP + "2", 2), (GATEWAY + "1", 1), (GATEWAY + "2", 2), (CONNECTION + "2", 2),
                         (COMMON + "1", 1), ("upnp:rootdevice", 1), (UDN + "2", 1)):
        found = search(lab.lan1, target, seconds=0.3)
        assert [(d.headers["st"], d.headers["location"]) for d in found] == [(target, location(view))], target
        assert found[0].time < 0.25
    for target in (IP + "3", COMMON + "2", "urn:schemas-upnp-org:service:WANPPPConnection:1", UDN + "9", IP + "0"):
        assert search(lab.lan1, target, seconds=0.3) == [], target
    core.counted("replied", 9)


LENIENT = {"no MX": ('MAN: "ssdp:discover"',), "no MAN": ("MX: 2",), "unquoted": ("MAN: ssdp:discover", "MX:2"), "neither": ()}


@pytest.mark.parametrize("core, answered", [({}, True), ({"strict": True}, False)], indirect=["core"])
@TIMED
def test_headers_that_some_clients_leave_out(lab, core, answered):
    for what, headers in LENIENT.items():
        got = search(lab.lan1, "upnp:rootdevice", text=upnp.search_text("upnp:rootdevice", headers), seconds=0.3)
        assert bool(got) == answered, what
    right = upnp.search_text("upnp:rootdevice")
    for what, text in {"no empty line": right[:-2], "bare line feeds": right.replace(b"\r\n", b"\n"),
                       "no blanks": right.replace(b": ", b":")}.items():
        assert bool(search(lab.lan1, "", text=text, seconds=0.3)) == (answered or what == "no blanks"), what
    assert len(search(lab.lan1, "", text=right + b"\r\n", seconds=0.3)) == 1
    wrong = upnp.search_text("upnp:rootdevice", ('MAN: "ssdp:other"', "MX: 1"))
    assert search(lab.lan1, "", text=wrong, seconds=0.3) == []
    assert len(search(lab.lan1, "upnp:rootdevice", seconds=0.3)) == 1


@TIMED
def test_nobody_else_is_answered(lab, core):
    def raw(source, sport):
        listener = lab.listener(lab.lan1, sport)
        lab.lan1.send_raw(source, sport, LAN, 1900, upnp.search_text("upnp:rootdevice"))
        try:
            return bool(wait_for(lambda: listener.got, 0.4))
        except AssertionError:
            return False
        finally:
            listener.close()
    lab.lan1.ip("address add 10.9.9.9/32 dev eth0")
    lab.gw.ip("route add 10.9.9.9/32 dev br-lan")
    assert raw(LAN1, 4000)
    assert not raw("10.9.9.9", 4000)
    assert not raw(LAN1, 53)
    # Not on the WAN's side, nor under the WAN's address.
    assert search(lab.wan, "upnp:rootdevice", seconds=0.3) == []
    assert search(lab.wan, "upnp:rootdevice", to=WAN, seconds=0.3) == []
    assert search(lab.lan1, "upnp:rootdevice", to=WAN, seconds=0.3) == []
    with pytest.raises(OSError):
        upnp.connect(lab.wan, WAN, timeout=0.5)
    assert request(lab.lan1, "GET", "/1/desc.xml").status == 200


@pytest.mark.parametrize("core", [{"searches": 20, "searches_total": 200}], indirect=True)
@TIMED
def test_repeated_and_too_many_searches(lab, core):
    with lab.lan1.bound(socket.SOCK_DGRAM, 0, LAN1) as sock:
        sock.settimeout(0.4)
        for _ in range(3):
            sock.sendto(upnp.search_text("upnp:rootdevice"), (LAN, 1900))
        sock.recv(2048)
        with pytest.raises(TimeoutError):
            sock.recv(2048)
    core.counted("searches_limited", 2)
    for _ in range(100):
        search(lab.lan2, "upnp:rootdevice", to=LAN, seconds=0.001)
    core.counted("searches_limited", 30)
    assert len(search(lab.lan1, "upnp:rootdevice", to=LAN, seconds=0.3)) == 1


@pytest.mark.parametrize("core, most", [({"searches": 1}, 2), ({"searches": 0, "searches_total": 1}, 2),
                                        ({"searches": 0, "searches_total": 0}, 9)], indirect=["core"])
def test_searches_have_a_rate(lab, core, most):
    """Twice the rate at once, and then, on a slow machine, what a second gives back."""
    begun = time.monotonic()
    answered = sum(len(search(lab.lan1, "upnp:rootdevice", to=LAN, seconds=0.01)) for _ in range(9))
    assert core.counted("searches", 9)
    assert most <= core.stats["replied"] <= most + time.monotonic() - begun + 1
    assert core.stats["replied"] + core.stats["searches_limited"] == 9 and answered <= core.stats["replied"]


def test_announcements_from_the_first_to_the_last(lab):
    heard = lab.closing(upnp.Announcements(lab.lan1))
    outside = lab.closing(upnp.Announcements(lab.wan))
    core = Core(lab)
    wait_for(lambda: len(heard.of("alive")) >= 3 * len(SET), 5, "three times alive")
    kinds = [d.headers["nts"] for d in heard.got]
    assert kinds == ["ssdp:byebye"] * len(SET) + ["ssdp:alive"] * 3 * len(SET)
    for first in (0, len(SET), 2 * len(SET)):
        assert as_set(heard.of("alive")[first:first + len(SET)], "nt") == expected_set("nt")
    for d in heard.got:
        assert d.source == (LAN, 1900) and d.first == "NOTIFY * HTTP/1.1" and d.headers["host"] == "239.255.255.250:1900"
        assert d.headers["bootid.upnp.org"] == "1000"
    core.close()
    wait_for(lambda: len(heard.of("byebye")) == 2 * len(SET), 5, "byebye")
    assert [(d.headers["nt"], d.headers["usn"]) for d in heard.of("byebye")[len(SET):]] == \
        [(nt, usn) for nt, usn, _ in expected_set("nt")]
    assert outside.got == []


@TIMED
def test_both_families(lab):
    lab.gw.ip(f"address add {V6}/64 dev br-lan nodad", f"address add {V6_GLOBAL}1/64 dev br-lan nodad",
              f"address add {V6_GLOBAL[:-2]}:f::1/64 dev wan0 nodad")
    lab.lan1.ip(f"address add {V6_LAN1}/64 dev eth0 nodad", f"address add {V6_GLOBAL}11/64 dev eth0 nodad")
    lab.wan.ip(f"address add {V6_GLOBAL[:-2]}:f::2/64 dev eth0 nodad")
    link, theirs = address_of_link(lab), address_of_link(lab, lab.lan1)
    near, far = (lab.closing(upnp.Announcements(lab.lan1, group)) for group in ("ff02::c", "ff05::c"))
    outside = [lab.closing(upnp.Announcements(lab.wan, group)) for group in ("ff02::c", "ff05::c")]
    addresses = ((LAN, "192.168.1.0", 24), (V6, "fd00:1::", 64), (V6_GLOBAL + "1", V6_GLOBAL, 64), (link, "fe80::", 64))
    lab.closing(Core(lab, addresses))
    for address, heard, group in ((link, near, "[FF02::C]:1900"), (V6, far, "[FF05::C]:1900")):
        def alive(address=address, heard=heard):
            return [d for d in heard.of("alive") if d.source[0].partition("%")[0] == address]
        wait_for(lambda alive=alive: len(alive()) == 3 * len(SET), 5, f"alive from {address}")
        assert as_set(alive()[:len(SET)], "nt") == expected_set("nt", address)
        assert {d.headers["host"] for d in alive()} == {group}
        assert {(d.headers["01-nls"], d.headers["bootid.upnp.org"]) for d in alive()} == {("1000", "1000")}
        assert request(lab.lan1, "GET", "/1/desc.xml", address=address).status == 200
        assert call(lab.lan1, IP, 1, "GetExternalIPAddress", address=address) == {"NewExternalIPAddress": WAN}
    for to, address in (("ff02::c", link), (link, link), (V6, V6), (V6_GLOBAL + "1", V6_GLOBAL + "1")):
        got = search(lab.lan1, IP + "1", to=to)
        assert [(d.headers["location"], d.source[0].partition("%")[0]) for d in got] == [(location(1, address), address)], to
    for address, own in ((V6, V6_LAN1), (V6_GLOBAL + "1", V6_GLOBAL + "11"), (link, theirs)):
        one = subscriber(lab, address=own)
        assert one.subscribe(address=address, source=own).status == 200
        wait_for(lambda one=one: one.events)
        assert one.subscribe(callback=f"<http://{LAN1}:{one.port}/>", address=address, source=own).status == 412
    # Nothing of it on the WAN's side.
    for to in ("ff02::c", "ff05::c", V6_GLOBAL[:-2] + ":f::1"):
        assert search(lab.wan, "upnp:rootdevice", to=to, seconds=0.3) == []
    with pytest.raises(OSError):
        upnp.connect(lab.wan, V6_GLOBAL[:-2] + ":f::1", timeout=0.5)
    assert [o.got for o in outside] == [[], []]
    zoned = f"GET /1/desc.xml HTTP/1.1\r\nHost: [{link}%25eth0]:{PORT}\r\n\r\n".encode()
    assert send(lab.lan1, zoned, address=link).status == 200


@TIMED
def test_an_address_that_comes_and_one_that_goes(lab):
    heard = lab.closing(upnp.Announcements(lab.lan1))
    core = lab.closing(Core(lab))
    wait_for(lambda: len(heard.of("alive")) >= 3 * len(SET))
    lab.gw.ip("address add 192.168.2.1/24 dev br-lan")
    core.boot_id = 1001
    core.tell_lan(((LAN, "192.168.1.0", 24), ("192.168.2.1", "192.168.2.0", 24)))
    wait_for(lambda: any(d.source[0] == "192.168.2.1" for d in heard.of("alive")))
    update = heard.of("update")
    assert as_set(update, "nt") == expected_set("nt")
    assert {(d.source[0], d.headers["bootid.upnp.org"], d.headers["nextbootid.upnp.org"]) for d in update} == \
        {(LAN, "1000", "1001")}
    assert len(heard.of("byebye")) == len(SET)
    wait_for(lambda: len([d for d in heard.of("alive") if d.headers["bootid.upnp.org"] == "1001"]) >= 4 * len(SET))
    lab.lan2.ip("address add 192.168.2.12/24 dev eth0")
    assert [d.headers["location"] for d in search(lab.lan2, IP + "1", to="192.168.2.1", source="192.168.2.12")] == \
        [location(1, "192.168.2.1")]
    assert request(lab.lan2, "GET", "/1/desc.xml", address="192.168.2.1", source="192.168.2.12").status == 200
    lab.gw.ip("address del 192.168.2.1/24 dev br-lan")
    core.boot_id = 1002
    core.tell_lan(((LAN, "192.168.1.0", 24),))
    wait_for(lambda: [d for d in heard.of("alive") if d.headers["bootid.upnp.org"] == "1002"])
    assert send(lab.lan1, (GET + f"Host: 192.168.2.1:{PORT}\r\n\r\n").encode()).status == 400


@TIMED
def test_an_interface_that_is_made_anew(lab):
    core = lab.closing(Core(lab))
    assert request(lab.lan1, "GET", "/1/desc.xml").status == 200
    lab.gw.ip("link del br-lan")
    core.tell_lan((), index=0, up=False)
    lab.gw.ip("link add br-lan type bridge", "link set port1 master br-lan up", "link set port2 master br-lan up",
              f"address add {LAN}/24 dev br-lan", "link set br-lan up")
    heard = lab.closing(upnp.Announcements(lab.lan1))
    core.boot_id = 1001
    core.tell_lan(((LAN, "192.168.1.0", 24),))
    wait_for(lambda: len(heard.of("alive")) >= len(SET))
    assert {d.headers["bootid.upnp.org"] for d in heard.got} == {"1001"}
    assert [d.headers["nts"] for d in heard.got][:len(SET)] == ["ssdp:byebye"] * len(SET)
    assert request(lab.lan1, "GET", "/1/desc.xml").status == 200
    assert len(search(lab.lan1, IP + "1")) == 1


@TIMED
def test_an_interface_that_does_not_exist_yet(lab):
    core = Core.__new__(Core)
    original = Core.tell_lan
    try:
        Core.tell_lan = lambda self, addresses: original(self, (), index=0, up=False)
        core.__init__(lab)
    finally:
        Core.tell_lan = original
    lab.closing(core)
    with pytest.raises(OSError):
        upnp.connect(lab.lan1)
    core.tell_lan(((LAN, "192.168.1.0", 24),))
    wait_for(lambda: search(lab.lan1, IP + "1"))
    assert request(lab.lan1, "GET", "/1/desc.xml").status == 200


# --- events ---

EVENTED = {"PossibleConnectionTypes": "IP_Routed", "ConnectionStatus": "Connected", "ExternalIPAddress": WAN,
           "PortMappingNumberOfEntries": "0"}


def subscriber(lab, host=None, address=LAN1, **options):
    return lab.closing(upnp.Subscriber(host or lab.lan1, address, **options))


def test_a_subscription_and_its_events(lab, core):
    one, two = subscriber(lab), subscriber(lab, lab.lan2, LAN2)
    granted = one.subscribe()
    assert (granted.status, granted.headers["timeout"], granted.headers["content-length"]) == (200, "Second-1800", "0")
    sid = granted.headers["sid"]
    assert re.fullmatch(r"uuid:[0-9a-f-]{36}", sid)
    assert two.subscribe("/2/WANIP/event").status == 200
    wait_for(lambda: one.events and two.events)
    assert (one.events[0].sid, one.events[0].seq, one.events[0].variables) == (sid, 0, EVENTED)
    assert two.events[0].variables == {**EVENTED, "SystemUpdateID": "0"}

    call(lab.lan2, IP, 1, "AddPortMapping", mapping(8080, 80, LAN2))
    call(lab.lan2, IP, 1, "AddPortMapping", mapping(8081, 81, LAN2))
    wait_for(lambda: len(one.events) == 2 and len(two.events) == 2)
    assert (one.events[1].seq, one.events[1].variables) == (1, {"PortMappingNumberOfEntries": "2"})
    assert two.events[1].variables == {"PortMappingNumberOfEntries": "2", "SystemUpdateID": "2"}

    core.external = "11.0.0.2"
    core.tell_state()
    wait_for(lambda: len(one.events) == 3)
    assert one.events[2].variables == {"ExternalIPAddress": "11.0.0.2"}
    core.external = ""
    core.tell_state()
    wait_for(lambda: len(one.events) == 4)
    assert one.events[3].variables == {"ExternalIPAddress": "", "ConnectionStatus": "Disconnected"}

    renewed = one.subscribe(headers=[f"SID: {sid}", "TIMEOUT: Second-infinite"])
    assert (renewed.status, renewed.headers["sid"], renewed.headers["timeout"]) == (200, sid, "Second-1800")
    assert request(lab.lan1, "UNSUBSCRIBE", "/1/WANIP/event", [f"SID: {sid}"]).status == 200
    assert request(lab.lan1, "UNSUBSCRIBE", "/1/WANIP/event", [f"SID: {sid}"]).status == 412
    core.external = WAN
    core.tell_state()
    wait_for(lambda: len(two.events) == 5)
    assert len(one.events) == 4
    core.counted("delivered", 9)
    assert core.stats["subscriptions"] == 1


def test_changes_are_told_together_and_the_last_value_is_right(lab, core):
    one, slow = subscriber(lab), subscriber(lab, lab.lan2, LAN2, delay=0.5)
    assert one.subscribe().status == slow.subscribe().status == 200
    wait_for(lambda: one.events and slow.events)
    begun = time.monotonic()
    for n in range(50):
        core.external = f"11.0.1.{n}"
        core.tell_state()
        time.sleep(0.02)
    for s in (one, slow):
        wait_for(lambda s=s: s.events[-1].variables.get("ExternalIPAddress") == "11.0.1.49", 10)
        assert len(s.events) <= 2 + (time.monotonic() - begun) / 0.2
        assert [e.seq for e in s.events] == list(range(len(s.events)))
    core.external = WAN
    core.tell_state()
    wait_for(lambda: one.events[-1].variables == {"ExternalIPAddress": WAN} == slow.events[-1].variables, 10)


def test_the_other_services_events(lab, core):
    one = subscriber(lab)
    for path, variables in (("/1/WANCommon/event", {"PhysicalLinkStatus": "Up"}),
                            ("/2/L3F/event", {"DefaultConnectionService":
                                              f"{UDN}2:WANConnectionDevice:2,urn:upnp-org:serviceId:WANIPConn1"})):
        one.events.clear()
        assert one.subscribe(path).status == 200
        wait_for(lambda: one.events)
        assert one.events[0].variables == variables


def test_subscriptions_that_are_refused(lab, core):
    one = subscriber(lab)
    def status(*headers):
        return one.subscribe(headers=headers).status
    callback, nt = f"CALLBACK: <{one.url}>", "NT: upnp:event"
    assert status(callback, nt) == 200
    assert status(callback) == status(nt) == status(callback, "NT: upnp:other") == status() == 412
    assert status("SID: uuid:1", nt) == status("SID: uuid:1", callback) == 400
    assert status("SID: uuid:1") == 412
    for foreign in (f"http://{LAN2}:{one.port}/", f"http://lan1:{one.port}/", f"http://{LAN1}:22/", "https://192.168.1.11/",
                    f"http://{LAN}:{PORT}/"):
        assert status(f"CALLBACK: <{foreign}>", nt) == 412, foreign
    assert status(callback, nt) == 200


@TIMED
def test_a_dead_subscriber_delays_nobody(lab, core):
    deaf = subscriber(lab, status=None)
    nobody = f"<http://{LAN1}:9999/>"
    silent = [subscriber(lab, status=None) for _ in range(10)]
    for s in silent:
        assert s.subscribe().status == 200
    assert deaf.subscribe(callback=nobody).status == 200
    good = subscriber(lab, lab.lan2, LAN2)
    begun = time.monotonic()
    assert good.subscribe().status == 200
    wait_for(lambda: good.events)
    core.external = ""
    core.tell_state()
    wait_for(lambda: len(good.events) == 2)
    assert time.monotonic() - begun < 2
    core.counted("failed", 12, 8)


def test_the_next_url_is_tried(lab, core):
    one = subscriber(lab)
    foreign = subscriber(lab, lab.lan2, LAN2)
    callback = f"<{foreign.url}><http://{LAN1}:9999/><https://{LAN1}:{one.port}/><{one.url}x?y=1>"
    assert one.subscribe(callback=callback).status == 200
    wait_for(lambda: one.events)
    assert one.events[0].variables == EVENTED
    assert foreign.events == []


def test_who_forgot_is_forgotten(lab, core):
    one = subscriber(lab, status=412)
    assert one.subscribe().status == 200
    core.counted("failed", 0)
    wait_for(lambda: core.stats["delivered"] + core.stats["failed"] >= 1 and core.stats["subscriptions"] == 0)


@pytest.mark.parametrize("core", [{"subscriptions_per_client": 3, "subscriptions": 4}], indirect=True)
def test_not_more_subscriptions_than_its_share(lab, core):
    one, two = subscriber(lab), subscriber(lab, lab.lan2, LAN2)
    granted = [one.subscribe() for _ in range(5)]
    assert [answer.status for answer in granted] == [200] * 3 + [503] * 2
    assert [two.subscribe().status for _ in range(2)] == [200, 503]
    wait_for(lambda: two.events and len(one.events) == 3)
    assert request(lab.lan1, "UNSUBSCRIBE", "/1/WANIP/event", [f"SID: {granted[0].headers['sid']}"]).status == 200
    assert two.subscribe().status == 200


def test_what_an_honest_host_does_meets_no_cap(lab, core):
    """Many programs, each of which searches, describes and subscribes to everything."""
    one = subscriber(lab)
    for _ in range(10):
        for target in ("ssdp:all", "upnp:rootdevice", GATEWAY + "1", GATEWAY + "2"):
            search(lab.lan1, target, to=LAN, seconds=0.001)
        for path in ("/1/WANIP/event", "/1/WANCommon/event", "/2/L3F/event", "/2/WANIP/event"):
            assert one.subscribe(path).status == 200
    idle = [upnp.connect(lab.lan1) for _ in range(40)]
    wait_for(lambda: len(one.events) == 40 and core.stats["connections"] >= 40)
    assert request(lab.lan1, "GET", "/1/desc.xml").status == 200
    assert {core.stats[name] for name in ("surplus", "limited", "searches_limited", "refused")} == {0}
    assert core.stats["replied"] == 40
    for sock in idle:
        sock.close()


# --- crowds ---

@pytest.mark.parametrize("core", [{"per_client": 10, "connections": 20}], indirect=True)
def test_connections_have_places(lab, core):
    idle = [upnp.connect(lab.lan1) for _ in range(30)]
    wait_for(lambda: core.stats["connections"] == 10 and core.stats["surplus"] == 20)
    assert request(lab.lan2, "GET", "/1/desc.xml").status == 200
    # A quarter of all is kept for who holds none.
    lab.lan2.ip("address add 192.168.1.13/24 dev eth0", "address add 192.168.1.14/24 dev eth0")
    idle += [upnp.connect(lab.lan2, source=LAN2) for _ in range(10)]
    wait_for(lambda: core.stats["connections"] == 15)
    for source in ("192.168.1.13", "192.168.1.14"):
        assert request(lab.lan2, "GET", "/1/desc.xml", source=source).status == 200
    for sock in idle:
        sock.close()
    wait_for(lambda: core.stats["connections"] == 0)
    assert request(lab.lan1, "GET", "/1/desc.xml").status == 200


@pytest.mark.parametrize("core", [{"requests": 20}], indirect=True)
def test_requests_have_a_rate(lab, core):
    got = [request(lab.lan1, "GET", "/1/L3F.xml").status for _ in range(60)]
    assert got[:20] == [200] * 20 and got.count(503) >= 10
    assert request(lab.lan2, "GET", "/1/desc.xml").status == 200
    core.counted("limited", 10)
    time.sleep(0.2)
    assert request(lab.lan1, "GET", "/1/desc.xml").status == 200


@pytest.mark.parametrize("core", [{"request_timeout": 2, "answer_timeout": 1}], indirect=True)
def test_who_takes_too_long_is_gone(lab, core):
    """To ask, and to be answered."""
    core.held = []
    sent = {"idle": "", "dripping": GET, "asking": soap(body=upnp.envelope(IP + "1", "AddPortMapping", mapping(1, 2, LAN1)).decode())
            .replace("GetExternalIPAddress", "AddPortMapping")}
    begun, socks = time.monotonic(), {}
    for name, text in sent.items():
        socks[name] = upnp.connect(lab.lan1)
        socks[name].sendall(text.encode())
    wait_for(lambda: core.held, 5, "the core is asked")
    gone = {}
    def drip_and_look():
        for name, sock in socks.items():
            if name in gone:
                continue
            try:
                if name == "dripping":
                    sock.send(b"x")
                if select.select([sock], [], [], 0.1)[0] and sock.recv(1000) == b"":
                    gone[name] = time.monotonic() - begun
            except OSError:
                gone[name] = time.monotonic() - begun
        return len(gone) == 3
    wait_for(drip_and_look, 12, "all are gone")
    assert gone["idle"] > 1.9 and gone["dripping"] > 1.9 and gone["asking"] > 0.9
    assert max(gone.values()) < 14  # the shorter of the defaults is 15
    core.answer(core.held[0])
    core.held = None
    assert call(lab.lan1, IP, 1, "GetExternalIPAddress") == {"NewExternalIPAddress": WAN}
    wait_for(lambda: core.stats["connections"] == 0)


@pytest.mark.long
@TIMED
def test_who_idles_or_drips_is_gone_in_time(lab, core):
    idle = [upnp.connect(lab.lan1) for _ in range(50)]
    dripping = [upnp.connect(lab.lan1) for _ in range(30)]
    begun = time.monotonic()
    gone = None
    for n in range(75):
        for sock in dripping:
            try:
                sock.send((GET + HOST)[n:n + 1].encode() or b"x")
            except OSError:
                gone = gone or time.monotonic() - begun
        quiet = time.monotonic()
        assert call(lab.lan2, IP, 1, "GetExternalIPAddress") == {"NewExternalIPAddress": WAN}
        assert time.monotonic() - quiet < 1
        if gone:
            break
        time.sleep(0.3)
    assert 14 < gone < 18
    wait_for(lambda: core.stats["connections"] == 0)
    for sock in idle:
        sock.settimeout(10)
        assert sock.recv(1) == b""


# --- the process ---

def test_it_may_do_nothing_else(lab, core):
    pid = core.process.pid
    with open(f"/proc/{pid}/status", encoding="ascii") as file:
        status = dict(line.rstrip("\n").split(":\t", 1) for line in file if ":\t" in line)
    assert status["Uid"].split() == ["54322"] * 4
    assert {status[name] for name in ("CapInh", "CapPrm", "CapEff", "CapBnd", "CapAmb")} == {"0" * 16}
    assert status["NoNewPrivs"] == "1" and status["Name"] == "portleased-upnp"
    assert "Threads" not in status or status["Threads"] == "1"


def test_it_is_not_started_by_hand(lab):
    program = os.path.abspath(os.environ["PORTLEASE_SANITIZED"]) + "/portleased-upnp"
    done = lab.gw.run(program, "br-lan", check=False)
    assert done.returncode != 0 and "started by portleased" in done.stderr


@TIMED
def test_a_port_that_is_taken_for_a_while(lab):
    other = lab.gw.bound(socket.SOCK_STREAM, PORT)
    other.listen()
    core = lab.closing(Core(lab))
    wait_for(lambda: "cannot listen" in core.said())
    assert search(lab.lan1, IP + "1", seconds=0.3) == []
    other.close()
    wait_for(lambda: search(lab.lan1, IP + "1", to=LAN, seconds=0.2), 10)
    assert request(lab.lan1, "GET", "/1/desc.xml").status == 200
    assert core.said().count("cannot listen") == 1
