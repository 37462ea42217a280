# SPDX-License-Identifier: GPL-2.0-or-later
"""Each action that the gateway publishes, in both views, against each error that the standard lists for it: through the
worker, the core and the kernel.  What the published descriptions have and these tables have not is a failure."""
import textwrap
from collections import namedtuple

import pytest

from clients import natpmp_map
from lab import LAN, LAN1, LAN2, wait_for
from test_upnp import ControlPoint
from test_upnp_worker import address_of_link
from upnp_client import COMMON, IP, L3F, PORT, call, error_of, mapping, name_of, port_range, request, xml

VIEWS = (1, 2)
GENERAL = (401, 402, 501, 600, 601, 602, 603, 604, 605, 606)

COUNTERS = ["GetTotalBytesSent", "GetTotalBytesReceived", "GetTotalPacketsSent", "GetTotalPacketsReceived"]
STATUS = ["GetDefaultConnectionService", "GetCommonLinkProperties", "GetConnectionTypeInfo", "GetStatusInfo",
          "GetNATRSIPStatus", "GetExternalIPAddress"]
ADDS = ["AddPortMapping", "AddAnyPortMapping"]
QUIET = [*COUNTERS, *STATUS, "RequestConnection", "RequestTermination", "ForceTermination"]  # without arguments
GETS = ["GetGenericPortMappingEntry", "GetSpecificPortMappingEntry"]
RANGES = ["DeletePortMappingRange", "GetListOfPortMappings"]
ENDS = ["RequestTermination", "ForceTermination"]

# What each action may say beside the general errors (WANIPConnection:2, 2.5; Layer3Forwarding:1).
SHEET = {
    **dict.fromkeys(COUNTERS + STATUS, ()),
    "SetDefaultConnectionService": (720, 721, 723),
    "SetConnectionType": (703, 731),
    "RequestConnection": (704, 705, 706, 707, 708, 709, 710),
    **dict.fromkeys(ENDS, (706, 707, 710, 711)),
    "GetGenericPortMappingEntry": (713,),
    "GetSpecificPortMappingEntry": (714,),
    "AddPortMapping": (715, 716, 718, 724, 725, 726, 727, 728, 729, 732),
    "AddAnyPortMapping": (715, 716, 728, 729, 732),
    "DeletePortMapping": (714,),
    **dict.fromkeys(RANGES, (730, 733)),
}

# Optional actions that are not there, and must say so (401), and one that never was.
LEFT_OUT = {
    IP: [way + what for what in ("AutoDisconnectTime", "IdleDisconnectTime", "WarnDisconnectDelay")
         for way in ("Set", "Get")] + ["GetPortMapping"],
    COMMON: ["SetEnabledForInternet", "GetEnabledForInternet", "GetMaximumActiveConnections", "GetWANAccessProvider",
             "GetActiveConnection", "X_GetICSStatistics"],
    L3F: ["GetForwardingEntry"],
}

# --- what is asked ---

# The table when they are asked: lan1's 4000, lan2's 4001, lan1's 4002 by NAT-PMP, and 4100 for who deletes.
LISTED = {**port_range(4000, 4001), "NewNumberOfPorts": 0}
WELL = {
    "SetConnectionType": {"NewConnectionType": "IP_Routed"},
    "GetGenericPortMappingEntry": {"NewPortMappingIndex": 0},
    "GetSpecificPortMappingEntry": name_of(4000),
    "AddPortMapping": mapping(4000, 8000, LAN1),
    "AddAnyPortMapping": mapping(4000, 8000, LAN1),
    "DeletePortMapping": name_of(4100),
    "DeletePortMappingRange": port_range(4100, 4101),
    "GetListOfPortMappings": LISTED,
}

# arguments: what differs from the above.  told: another code than the column's in that view (0: success).
# when: a daemon with its default, a strict one, or one without a WAN.
Probe = namedtuple("Probe", "arguments told when", defaults=({}, {}, "default"))


def both(actions, probe):
    return dict.fromkeys(actions, probe)


def connection_service(udn="{udn}", service="WANIPConn1"):
    return {"NewDefaultConnectionService": f"{udn}:WANConnectionDevice:1,urn:upnp-org:serviceId:{service}"}


PROBES = {
    501: {**both(COUNTERS, Probe(when="no WAN")),
          **both(ADDS, Probe({"NewExternalPort": 4100, "NewInternalPort": 8100}, when="no WAN")),
          "SetConnectionType": Probe(told={2: 731}, when="no WAN"),
          **both(ENDS, Probe(told={2: 606}))},
    606: {**both(ADDS, Probe({"NewInternalClient": LAN2, "NewExternalPort": 4300}, told={1: 718})),
          **both(ENDS, Probe(told={1: 501})),
          "GetGenericPortMappingEntry": Probe({"NewPortMappingIndex": 1}, when="strict"),
          "GetSpecificPortMappingEntry": Probe({"NewExternalPort": 4001}, when="strict"),
          "DeletePortMapping": Probe({"NewExternalPort": 4001}),
          "DeletePortMappingRange": Probe(port_range(4001, 4001), told={2: 730}),
          "GetListOfPortMappings": Probe(port_range(4001, 4001), told={2: 730}, when="strict")},
    703: {"SetConnectionType": Probe(told={2: 731})},
    704: {"RequestConnection": Probe(when="no WAN")},
    711: both(ENDS, Probe(when="no WAN")),
    713: {"GetGenericPortMappingEntry": Probe({"NewPortMappingIndex": 99})},
    714: {"GetSpecificPortMappingEntry": Probe({"NewExternalPort": 4200}),
          "DeletePortMapping": Probe({"NewExternalPort": 4200})},
    715: both(ADDS, Probe({"NewInternalClient": ""}, told={1: 0})),
    716: {"AddPortMapping": Probe({"NewExternalPort": 0}), "AddAnyPortMapping": Probe({"NewExternalPort": 0}, told={2: 0})},
    718: {"AddPortMapping": Probe({"NewExternalPort": 4001})},
    720: {"SetDefaultConnectionService": Probe(connection_service(udn="uuid:00000000-0000-4000-8000-000000000000"))},
    721: {"SetDefaultConnectionService": Probe(connection_service(service="WANPPPConn1"))},
    728: both(ADDS, Probe({"NewExternalPort": 4100}, told={1: 501}, when="strict")),
    729: {"AddPortMapping": Probe({"NewExternalPort": 4002}, told={1: 718}),
          "AddAnyPortMapping": Probe({"NewExternalPort": 4002}, told={2: 0})},
    730: both(RANGES, Probe(port_range(4200, 4201))),
    731: {"SetConnectionType": Probe(told={1: 703})},
    732: both(ADDS, Probe({"NewInternalPort": 0}, told={1: 402})),
    733: both(RANGES, Probe(port_range(4101, 4100))),
}

# A code in this column cannot be had: one line that says why.  None: any action, any view.
Why = namedtuple("Why", "codes text actions views", defaults=(None, VIEWS))
OWN = "another code that it may say is more exact"
WHYS = [
    Why(["ok"], "the gateway's connection is not the LAN's to change: always refused", ["SetConnectionType", *ENDS]),
    Why([600], "402 says that a value is none of its type, 601 that it is out of range: more exact"),
    Why([602], "what is published is implemented; what is not is not published (401)"),
    Why([603], "memory that ran out: test_lists_that_nobody_reads has it, at the bound of lists"),
    Why([604], "nothing here waits for a human"),
    Why([402, 601, 605], "it takes no argument", QUIET),
    Why([601], "any index beyond the table is 713", ["GetGenericPortMappingEntry"]),
    Why([601], "any text of its length is compared with the own one: 720, 721", ["SetDefaultConnectionService"]),
    Why([501], "it tells what is in memory, which cannot fail", STATUS + GETS + ["GetListOfPortMappings"]),
    Why([501], "needs a kernel that fails: the stories kernel-fails*.txt", ["DeletePortMapping", "DeletePortMappingRange"]),
    Why([501], OWN, ["SetDefaultConnectionService", "RequestConnection"]),
    Why([501, 703], OWN, ["SetConnectionType"], [2]),
    Why([501], OWN, ENDS, [2]),
    Why([606], OWN, ["SetConnectionType"]),
    Why([606], "whoever is in the LAN may", COUNTERS + STATUS + ["RequestConnection", "SetDefaultConnectionService"]),
    Why([606], "others' entries are passed over (2.5.19, 2.5.21): 730 if none is left", RANGES),
    Why([606, 728, 729, 731, 732], "IGD:1 has no such code: 718 for ports, 501, 402 and 703 (RFC 6970, 4.3)", None, [1]),
    Why([715], "in the first version an empty client is the caller; a name is 715 in both (test_names_are_not_looked_up)",
        None, [1]),
    Why([716, 729], "it takes another port then", ["AddAnyPortMapping"]),
    Why([723], "there is one connection service: another is 720 or 721", ["SetDefaultConnectionService"]),
    Why([705, 706, 707, 708, 709, 710], "the WAN is up (ok) or down (704, 711): the gateway has no state between"),
    Why([724, 725, 726, 727], "nothing that these refuse is refused here; IGD:2 forbids to send them"),
]


# --- what is published ---

class Action:
    """As a service description has it: arguments in, as (name, type, has a list of values), and names of those out."""

    def __init__(self, node, variables, space):
        self.name = node.findtext(space + "name")
        every = [(a.findtext(space + "direction"), a.findtext(space + "name"),
                  *variables[a.findtext(space + "relatedStateVariable")]) for a in node.iter(space + "argument")]
        self.arguments = [argument[1:] for argument in every if argument[0] == "in"]
        self.results = [argument[1] for argument in every if argument[0] == "out"]


def published(host, view):
    """{service type: its Actions}, from the descriptions as a control point gets them."""
    root = xml.fromstring(request(host, "GET", f"/{view}/desc.xml").body)
    space, found = "{urn:schemas-upnp-org:device-1-0}", {}
    for service in root.iter(space + "service"):
        document = xml.fromstring(request(host, "GET", service.findtext(space + "SCPDURL")).body)
        s = "{urn:schemas-upnp-org:service-1-0}"
        variables = {v.findtext(s + "name"): (v.findtext(s + "dataType"), v.find(s + "allowedValueList") is not None)
                     for v in document.iter(s + "stateVariable")}
        found[service.findtext(space + "serviceType")] = [Action(a, variables, s) for a in document.iter(s + "action")]
    return found


LENIENT = ("NewRemoteHost", "NewEnabled", "NewPortMappingDescription", "NewLeaseDuration")


def ill_arguments(action, view, code):
    """Ways to earn one of the codes that follow from the types; [] if there is none."""
    ways = []
    for name, kind, listed in action.arguments:
        lenient = view == 1 and name in LENIENT
        number = kind in ("ui2", "ui4", "boolean")
        if code == 402 and not lenient:
            ways.append({name: None})
        if code == 402 and number and not (lenient and kind == "ui4"):
            ways.append({name: "seven"})
        if code == 601 and listed:
            ways.append({name: "SCTP"})
        if code == 601 and kind == "ui2" and name != "NewPortMappingIndex":
            ways.append({name: 65536})
        if code == 605 and not (lenient and name == "NewPortMappingDescription"):
            ways.append({name: "x" * 600})
    return ways


# --- the asking ---

class Asked:
    """A gateway in one of the situations, and what an action says there."""

    def __init__(self, lab, situation):
        self.lab, self.situation = lab, situation
        extra = "max-mappings-per-client = 1\nread-others-mappings = no" if situation == "strict" else ""
        self.daemon = lab.daemon(extra=extra)
        self.daemon.logged("upnp: serving")
        call(lab.lan1, IP, 1, "AddPortMapping", mapping(4000, 8000, LAN1))
        call(lab.lan2, IP, 1, "AddPortMapping", mapping(4001, 8001, LAN2))
        if situation != "strict":
            natpmp_map(lab.lan1, "tcp", 8002, 4002)
        self.udn = call(lab.lan1, L3F, 1, "GetDefaultConnectionService")["NewDefaultConnectionService"].split(":W")[0]
        if situation == "no WAN":
            lab.gw.ip("link delete wan0")
            wait_for(lambda: call(lab.lan1, IP, 1, "GetStatusInfo")["NewConnectionStatus"] == "Disconnected", 10)

    def arguments(self, action, changes):
        well = connection_service() if action == "SetDefaultConnectionService" else WELL.get(action, {})
        return {name: str(value).replace("{udn}", self.udn) for name, value in {**well, **changes}.items()
                if value is not None}

    def error(self, kind, view, action, changes):
        """kind: the service's type; its last digit may be another version than the view's."""
        if action.startswith("DeletePortMapping") and self.situation == "default":
            call(self.lab.lan1, IP, 1, "AddPortMapping", mapping(4100, 8100, LAN1))
        return error_of(self.lab.lan1, kind[:-1], int(kind[-1]), action, self.arguments(action, changes), view=view)


def wanted(code, action, view):
    """(what is asked, the code that must be answered, when) for one cell."""
    if code == "ok":
        refused = any(code in why.codes and action.name in why.actions for why in WHYS if why.actions)
        return [] if refused else [({}, 0, "default")]
    if code in (402, 601, 605):
        return [(changes, code, "default") for changes in ill_arguments(action, view, code)]
    probe = PROBES.get(code, {}).get(action.name)
    return [(probe.arguments, probe.told.get(view, code), probe.when)] if probe else []


class Table:
    """Cells: what was heard wrong, or that it was right, or why it cannot be; and how all that is printed."""

    def __init__(self):
        self.cells = {}
        self.rows = {}
        self.reasons = []
        self.wrong = []

    def put(self, action, code, view, mark):
        self.cells[action, code, view] = mark

    def reason(self, action, code, view):
        for why in WHYS:
            if code in why.codes and view in why.views and (why.actions is None or action in why.actions):
                if why.text not in self.reasons:
                    self.reasons.append(why.text)
                return chr(ord("a") + self.reasons.index(why.text))
        self.wrong.append(f"{action} :{view}: nothing shows {code}, and nothing says why")
        return "!"

    def fill(self, asked, kind, view, action):
        """All cells of one action that this situation can show."""
        codes = ("ok", *GENERAL, *SHEET[action.name])
        self.rows[action.name] = codes
        for code in codes:
            if code == 401:  # the next version has it, or none
                probes = [({}, 401, "default")]
                asked_kind = kind[:-1] + str(int(kind[-1]) + 1)
            else:
                probes, asked_kind = wanted(code, action, view), kind
            heard = [(changes, told, asked.error(asked_kind, view, action.name, changes))
                     for changes, told, when in probes if when == asked.situation]
            for changes, told, was in heard:
                if was != told:
                    self.wrong.append(f"{action.name} :{view} {changes}: expected {told}, got {was}")
            if any(was != told for _, told, was in heard):
                self.put(action.name, code, view, "!")
            elif not probes or (heard and any(told != code for _, told, _ in heard if code != "ok")):
                self.put(action.name, code, view, self.reason(action.name, code, view))
            elif heard:
                self.put(action.name, code, view, "+")

    def mark(self, action, code):
        return "".join(self.cells.get((action, code, view), "-" if view in self.views(action) else "·") for view in VIEWS)

    def views(self, action):
        return {view for name, _, view in self.cells if name == action}

    def lines(self):
        """Two marks a cell: of the first view and of the second."""
        yield "+ shown   ! wrong   · not in this version   letters: see below   (first mark :1, second :2)"
        yield f"{'':28}" + " ".join(f"{code:>3}" for code in ("ok", *GENERAL)) + "  its own"
        for action, codes in self.rows.items():
            general = " ".join(f"{self.mark(action, code):>3}" for code in codes[:1 + len(GENERAL)])
            yield f"{action:28}{general}  " + " ".join(f"{code}:{self.mark(action, code)}" for code in
                                                       codes[1 + len(GENERAL):])
        yield from textwrap.wrap("left out, 401: " + ", ".join(name for names in LEFT_OUT.values() for name in names), 120)
        for n, text in enumerate(self.reasons):
            yield f"{chr(ord('a') + n)}  {text}"


def test_each_action_and_each_error(lab, record_property):
    table = Table()
    for situation in ("default", "strict", "no WAN"):
        asked = Asked(lab, situation)
        services = {view: published(lab.lan1, view) for view in VIEWS}
        assert {action.name for view in VIEWS for actions in services[view].values() for action in actions} == set(SHEET)
        for view in VIEWS:
            for kind, actions in services[view].items():
                for action in actions:
                    table.fill(asked, kind, view, action)
        asked.daemon.close()
        lab.gw.nft("delete table inet portlease\n")  # the next one would go on with its mappings
    record_property("table", "\n".join(["UPnP: each action and each error", *table.lines()]))
    wrong = table.wrong + [f"{name} :{view}: {code} was not asked for" for name, codes in table.rows.items()
                           for view in table.views(name) for code in codes if (name, code, view) not in table.cells]
    if wrong:
        pytest.fail("\n".join(wrong))


# What is always refused: by the first view, by the second.
REFUSED = {"SetConnectionType": (703, 731), **dict.fromkeys(ENDS, (501, 606))}


@pytest.mark.parametrize("view", VIEWS)
def test_a_control_point_of_another_make_calls_each_action(lab, daemon, view):
    """libupnp's: it gets what the descriptions promise."""
    daemon.logged("upnp: serving")
    address_of_link(lab, lab.lan1)  # which it binds, too
    control_point = ControlPoint(lab, lab.lan1)
    control_point.say("describe", f"http://{LAN}:{PORT}/{view}/desc.xml")
    control_point.told("described")
    control = {line[1]: line[2] for line in control_point.got if line[0] == "service"}
    call(lab.lan1, IP, 1, "AddPortMapping", mapping(4000, 8000, LAN1))
    udn = call(lab.lan1, L3F, 1, "GetDefaultConnectionService")["NewDefaultConnectionService"].split(":W")[0]
    services, asked = published(lab.lan1, view), 0
    assert set(services) == set(control)
    for kind, actions in services.items():
        for action in actions:
            if action.name.startswith("Delete"):
                call(lab.lan1, IP, 1, "AddPortMapping", mapping(4100, 8100, LAN1))
            arguments = connection_service(udn) if action.name == "SetDefaultConnectionService" else WELL.get(action.name, {})
            heard = control_point.call(control[kind], kind, action.name, arguments)
            if action.name in REFUSED:
                assert heard == REFUSED[action.name][view - 1], action.name
            else:
                assert isinstance(heard, dict) and list(heard) == action.results, (action.name, heard)
            asked += 1
    assert asked == len(SHEET) - (0 if view == 2 else 3)
    assert [lease["external_port"] for lease in daemon.leases()] == [4000]


@pytest.mark.parametrize("view", VIEWS)
def test_what_is_left_out_says_so(lab, daemon, view):
    daemon.logged("upnp: serving")
    there = {action.name for actions in published(lab.lan1, view).values() for action in actions}
    for kind, names in LEFT_OUT.items():
        version = view if kind == IP else 1
        for name in names:
            assert name not in there
            assert error_of(lab.lan1, kind, version, name, view=view) == 401, name
    assert error_of(lab.lan1, IP, view, "GetExternalIPAddress") == 0


@pytest.mark.parametrize("view", VIEWS)
def test_names_are_not_looked_up(lab, daemon, view):
    daemon.logged("upnp: serving")
    assert error_of(lab.lan1, IP, view, "AddPortMapping", mapping(4000, 8000, "localhost")) == 715
    assert error_of(lab.lan1, IP, view, "AddPortMapping", mapping(4000, 8000, LAN1, remote="localhost")) == 402
    assert error_of(lab.lan1, IP, view, "AddPortMapping", mapping(4000, 8000, LAN1)) == 0
