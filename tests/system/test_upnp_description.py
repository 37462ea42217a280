# SPDX-License-Identifier: GPL-2.0-or-later
"""The descriptions in both views, as they are served and as tests/golden/igd has them, under the rules of the Device
Architecture (2.3, 2.5) and with the names, types and events of the standards' services."""
import os
import re

import pytest

from test_upnp import VERSIONS, daemon
from upnp_client import COMMON, IP, L3F, request, xml

GOLDEN = os.path.join(os.path.dirname(os.path.dirname(os.path.abspath(__file__))), "golden/igd")
DEVICE, SERVICE = "{urn:schemas-upnp-org:device-1-0}", "{urn:schemas-upnp-org:service-1-0}"

# Elements in the order that 2.3 gives them: (name, required, most characters).
DEVICE_ELEMENTS = [
    ("deviceType", True, None), ("friendlyName", True, 63), ("manufacturer", True, 63), ("manufacturerURL", False, None),
    ("modelDescription", False, 127), ("modelName", True, 31), ("modelNumber", False, 31), ("modelURL", False, None),
    ("serialNumber", False, 63), ("UDN", True, None), ("UPC", False, 12), ("iconList", False, None),
    ("serviceList", False, None), ("deviceList", False, None), ("presentationURL", False, None)]
SERVICE_ELEMENTS = ["serviceType", "serviceId", "SCPDURL", "controlURL", "eventSubURL"]
TYPES = {"ui1", "ui2", "ui4", "i1", "i2", "i4", "int", "boolean", "string", "uri", "uuid"}

# IGD: (device, its service, the service's id, version of the service in each view).
TREE = [("InternetGatewayDevice", L3F, "L3Forwarding1", (1, 1)), ("WANDevice", COMMON, "WANCommonIFC1", (1, 1)),
        ("WANConnectionDevice", IP, "WANIPConn1", (1, 2))]

# Name: (type, evented), as in the services' standards; and what WANIPConnection:2 has more.
VARIABLES = {
    L3F: {"DefaultConnectionService": ("string", True)},
    COMMON: {"WANAccessType": ("string", False), "Layer1UpstreamMaxBitRate": ("ui4", False),
             "Layer1DownstreamMaxBitRate": ("ui4", False), "PhysicalLinkStatus": ("string", True),
             **{f"Total{what}{way}": ("ui4", False) for what in ("Bytes", "Packets") for way in ("Sent", "Received")}},
    IP: {"ConnectionType": ("string", False), "PossibleConnectionTypes": ("string", True), "ConnectionStatus": ("string", True),
         "Uptime": ("ui4", False), "LastConnectionError": ("string", False), "RSIPAvailable": ("boolean", False),
         "NATEnabled": ("boolean", False), "ExternalIPAddress": ("string", True), "PortMappingNumberOfEntries": ("ui2", True),
         "PortMappingEnabled": ("boolean", False), "PortMappingLeaseDuration": ("ui4", False), "RemoteHost": ("string", False),
         "ExternalPort": ("ui2", False), "InternalPort": ("ui2", False), "PortMappingProtocol": ("string", False),
         "InternalClient": ("string", False), "PortMappingDescription": ("string", False)},
}
VARIABLES_2 = {"SystemUpdateID": ("ui4", True), "A_ARG_TYPE_Manage": ("boolean", False),
               "A_ARG_TYPE_PortListing": ("string", False)}


class Rules:
    """What a document breaks."""

    def __init__(self):
        self.broken = []

    def hold(self, holds, *what):
        if not holds:
            self.broken.append(" ".join(map(str, what)))
        return holds


def names(node, space):
    return [child.tag.removeprefix(space) for child in node]


def judge_root(rules, root, space, tag, view):
    rules.hold(root.tag == space + tag, "the root is", root.tag)
    version = [root.findtext(f"{space}specVersion/{space}{part}") for part in ("major", "minor")]
    rules.hold(version == ["1", str(view - 1)], "specVersion", version)
    rules.hold(names(root, space)[0] == "specVersion", "specVersion is not first")
    rules.hold(("configId" in root.attrib) == (view == 2), "configId", root.attrib)
    rules.hold(0 <= int(root.get("configId", 0)) < 2 ** 24, "configId", root.attrib)
    for node in root.iter():
        rules.hold(node.tag.startswith(space), node.tag, "is of another namespace")
        rules.hold(len(node) == 0 or not (node.text or "").strip(), node.tag, "mixes text and elements")


def judge_device(rules, device, view, depth=0):
    """And those in it."""
    order = [name for name, _, _ in DEVICE_ELEMENTS]
    there = names(device, DEVICE)
    rules.hold(there == sorted(set(there), key=order.index), "elements out of order, or twice:", there)
    for name, required, most in DEVICE_ELEMENTS:
        text = device.findtext(DEVICE + name)
        rules.hold(text is not None or not required, name, "is missing")
        rules.hold(text is None or text.strip() or name.endswith("List"), name, "is empty")
        rules.hold(most is None or len(text or "") <= most, name, "is too long")
    rules.hold(re.fullmatch("uuid:[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}", device.findtext(DEVICE + "UDN")), "UDN")
    device_type, service, service_id, versions = TREE[depth]
    rules.hold(device.findtext(DEVICE + "deviceType") == f"urn:schemas-upnp-org:device:{device_type}:{view}", "deviceType")
    services = device.findall(f"{DEVICE}serviceList/{DEVICE}service")
    rules.hold(len(services) == 1, "services:", len(services))
    for node in services:
        rules.hold(names(node, DEVICE) == SERVICE_ELEMENTS, "elements of a service:", names(node, DEVICE))
        said = {name: node.findtext(DEVICE + name) for name in SERVICE_ELEMENTS}
        rules.hold(said["serviceType"] == f"{service}{versions[view - 1]}", said["serviceType"])
        rules.hold(said["serviceId"] == f"urn:upnp-org:serviceId:{service_id}", said["serviceId"])
        urls = [said[name] for name in SERVICE_ELEMENTS[2:]]
        rules.hold(all(url and url.startswith("/") for url in urls) and len(set(urls)) == 3, urls)
    inner = device.findall(f"{DEVICE}deviceList/{DEVICE}device")
    rules.hold(len(inner) == (depth < 2), "devices:", len(inner))
    for node in inner:
        judge_device(rules, node, view, depth + 1)


def judge_description(text, view):
    rules, root = Rules(), xml.fromstring(text)
    judge_root(rules, root, DEVICE, "root", view)
    rules.hold(names(root, DEVICE) == ["specVersion", "device"], "the root has", names(root, DEVICE))
    judge_device(rules, root.find(DEVICE + "device"), view)
    udns = [node.text for node in root.iter(DEVICE + "UDN")]
    rules.hold(len(set(udns)) == 3, "UDNs", udns)
    return rules.broken


def judge_action(rules, action, variables):
    """The variables that it refers to."""
    name = action.findtext(SERVICE + "name")
    rules.hold(names(action, SERVICE) in (["name"], ["name", "argumentList"]), name, "has", names(action, SERVICE))
    rules.hold(re.fullmatch("[A-Za-z_][A-Za-z0-9_]{0,31}", name), name, "is no name")
    arguments = action.findall(f"{SERVICE}argumentList/{SERVICE}argument")
    rules.hold(arguments or action.find(SERVICE + "argumentList") is None, name, "has an empty list")
    rows = [tuple(child.text for child in argument) for argument in arguments]
    for argument in arguments:
        rules.hold(names(argument, SERVICE) == ["name", "direction", "relatedStateVariable"], name, names(argument, SERVICE))
    directions = [direction for _, direction, _ in rows]
    rules.hold(directions == sorted(directions) and set(directions) <= {"in", "out"}, name, "in after out:", directions)
    rules.hold(len({argument for argument, _, _ in rows}) == len(rows), name, "has an argument twice")
    for argument, _, variable in rows:
        rules.hold(variable in variables, name, argument, "refers to nothing:", variable)
        rules.hold(argument.startswith("New"), name, argument)
    return {variable for _, _, variable in rows}


def judge_variable(rules, node):
    """(type, evented)."""
    name, kind = node.findtext(SERVICE + "name"), node.findtext(SERVICE + "dataType")
    parts = names(node, SERVICE)
    rules.hold(parts[:2] == ["name", "dataType"] and set(parts[2:]) <= {"defaultValue", "allowedValueList", "allowedValueRange"}
               and len(parts[2:]) <= 2, name, "has", parts)
    rules.hold(node.get("sendEvents") in ("yes", "no"), name, "sendEvents", node.get("sendEvents"))
    rules.hold(kind in TYPES, name, "is of type", kind)
    values = [value.text for value in node.findall(f"{SERVICE}allowedValueList/{SERVICE}allowedValue")]
    if "allowedValueList" in parts:
        rules.hold(kind == "string" and values and len(set(values)) == len(values), name, "allows", values)
        rules.hold(all(0 < len(value) < 32 for value in values), name, "allows", values)
    if "allowedValueRange" in parts:
        span = node.find(SERVICE + "allowedValueRange")
        least, most = (int(span.findtext(SERVICE + part)) for part in ("minimum", "maximum"))
        rules.hold(kind.strip("u").startswith("i") and 0 <= least < most < 256 ** int(kind[-1]), name, least, most)
    rules.hold(not name.startswith("A_ARG_TYPE_") or node.get("sendEvents") == "no", name, "has events")
    return kind, node.get("sendEvents") == "yes"


def judge_service(text, view, kind):
    rules, root = Rules(), xml.fromstring(text)
    judge_root(rules, root, SERVICE, "scpd", view)
    rules.hold(names(root, SERVICE) == ["specVersion", "actionList", "serviceStateTable"], names(root, SERVICE))
    nodes = root.findall(f"{SERVICE}serviceStateTable/{SERVICE}stateVariable")
    variables = {node.findtext(SERVICE + "name"): judge_variable(rules, node) for node in nodes}
    rules.hold(len(variables) == len(nodes), "a variable is there twice")
    wanted = {**VARIABLES[kind], **(VARIABLES_2 if kind == IP and view == 2 else {})}
    rules.hold(variables == wanted, "variables differ:", set(variables.items()) ^ set(wanted.items()))
    actions = root.findall(f"{SERVICE}actionList/{SERVICE}action")
    used = set().union(*(judge_action(rules, action, variables) for action in actions))
    rules.hold(len({action.findtext(SERVICE + "name") for action in actions}) == len(actions), "an action is there twice")
    idle = {name for name, (_, evented) in variables.items() if name not in used and not evented}
    rules.hold(not idle, "nobody uses", idle)
    return rules.broken


@VERSIONS
def test_what_is_served(lab, daemon, version):
    text = request(lab.lan1, "GET", f"/{version}/desc.xml").body
    assert judge_description(text, version) == []
    root = xml.fromstring(text)
    documents = [request(lab.lan1, "GET", node.text).body for node in root.iter(DEVICE + "SCPDURL")]
    for document, (_, kind, _, _) in zip(documents, TREE):
        assert judge_service(document, version, kind) == []
        assert xml.fromstring(document).get("configId") == root.get("configId")
    other = request(lab.lan1, "GET", f"/{3 - version}/desc.xml").body
    assert re.findall("<UDN>(.*?)</UDN>", other) == re.findall("<UDN>(.*?)</UDN>", text)


def golden(name):
    with open(os.path.join(GOLDEN, name), encoding="utf-8") as file:
        return file.read()


@VERSIONS
def test_what_is_golden(version):
    assert judge_description(golden(f"device-{version}.xml"), version) == []
    for name, kind in (("l3f", L3F), ("wancommon", COMMON), ("wanip", IP)):
        assert judge_service(golden(f"{name}-{version}.xml"), version, kind) == [], name


@pytest.mark.parametrize("name, old, new", [
    ("device-2.xml", "<minor>1<", "<minor>0<"), ("device-2.xml", ' configId="4711"', ""),
    ("device-2.xml", "<UDN>uuid:", "<UDN>"), ("device-2.xml", "8000-000000000002<", "8000-000000000001<"),
    ("device-2.xml", "<modelName>portlease</modelName>\n<modelNumber>1</modelNumber>",
     "<modelNumber>1</modelNumber>\n<modelName>portlease</modelName>"),
    ("device-2.xml", "WANIPConn1<", "WANIPConnection1<"), ("device-2.xml", "WANDevice:2<", "WANDevice:1<"),
    ("device-2.xml", "<eventSubURL>/2/L3F/event<", "<eventSubURL><"),
    ("wanip-2.xml", "<relatedStateVariable>Uptime<", "<relatedStateVariable>UpTime<"),
    ("wanip-2.xml", "<direction>in<", "<direction>inout<"), ("wanip-2.xml", "<name>NewEndPort<", "<name>NewStartPort<"),
    ("wanip-2.xml", "<allowedValue>UDP<", "<allowedValue>TCP<"), ("wanip-2.xml", "<dataType>ui2<", "<dataType>ui8<"),
    ("wanip-2.xml", 'sendEvents="yes"', 'sendEvents="no"'), ("wanip-2.xml", "<maximum>604800<", "<maximum>0<"),
    ("wanip-2.xml", "<name>SystemUpdateID<", "<name>SystemUpdateId<")])
def test_what_breaks_a_rule(name, old, new):
    text = golden(name)
    assert old in text
    broken = text.replace(old, new)
    assert judge_description(broken, 2) if name.startswith("device") else judge_service(broken, 2, IP)
