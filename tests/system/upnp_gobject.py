#!/usr/bin/python3
# SPDX-License-Identifier: GPL-2.0-or-later
"""GNOME's UPnP libraries as clients: lines of fields on standard output, until standard input ends.

    upnp_gobject.py search TARGET       GSSDP: found USN LOCATION, lost USN
    upnp_gobject.py call TARGET         GUPnP: service ID LOCATION, action NAME ARGUMENT …, value NAME VALUE, changed NAME VALUE
    upnp_gobject.py map PROTOCOL EXTERNAL ADDRESS PORT SECONDS     GUPnPIgd: mapped ADDRESS PORT, failed MESSAGE;
                                                                   a line of input: remove it
"""
import sys

import gi
from gi.repository import GLib

LOOP = GLib.MainLoop()
INTERFACE = "eth0"


def say(*fields):
    print(*fields, sep="\t", flush=True)


def search(target):
    gi.require_version("GSSDP", "1.6")
    from gi.repository import GSSDP
    browser = GSSDP.ResourceBrowser.new(GSSDP.Client.new_full(INTERFACE, None, 0, GSSDP.UDAVersion.VERSION_1_1), target)
    browser.connect("resource-available", lambda _, usn, locations: say("found", usn, *locations))
    browser.connect("resource-unavailable", lambda _, usn: say("lost", usn))
    browser.set_active(True)
    return browser


def call(target):
    gi.require_version("GUPnP", "1.6")
    from gi.repository import GSSDP, GUPnP

    def introspected(service, result):
        for action in service.introspect_finish(result).list_actions():
            say("action", action.name, *(argument.name for argument in action.arguments))
        service.add_notify("ExternalIPAddress", str, lambda _, name, value, *__: say("changed", name, value))
        service.set_subscribed(True)
        service.call_action_async(GUPnP.ServiceProxyAction.new_from_list("GetExternalIPAddress", [], []), None, answered)

    def answered(service, result):
        _, values = service.call_action_finish(result).get_result_list(["NewExternalIPAddress"], [str])
        say("value", "NewExternalIPAddress", *values)

    def available(_, service):
        say("service", service.get_id(), service.get_location())
        service.introspect_async(None, introspected)
    point = GUPnP.ControlPoint.new(GUPnP.Context.new_full(INTERFACE, None, 0, GSSDP.UDAVersion.VERSION_1_1), target)
    point.connect("service-proxy-available", available)
    point.set_active(True)
    return point


def map_port(protocol, external, address, port, seconds):
    gi.require_version("GUPnPIgd", "1.0")
    from gi.repository import GUPnPIgd
    igd = GUPnPIgd.SimpleIgd.new()
    igd.connect("mapped-external-port", lambda _, proto, ip, replaces, given, *rest: say("mapped", ip, given))
    igd.connect("error-mapping-port", lambda _, error, *rest: say("failed", error.message))
    igd.add_port(protocol, int(external), address, int(port), int(seconds), "a mapping")
    return igd


def told(_, condition, kept):
    if condition & GLib.IO_IN and sys.stdin.readline():
        kept.remove_port(sys.argv[2], int(sys.argv[3]))
        return True
    LOOP.quit()
    return False


if __name__ == "__main__":
    KEPT = {"search": search, "call": call, "map": map_port}[sys.argv[1]](*sys.argv[2:])
    GLib.io_add_watch(0, GLib.IO_IN | GLib.IO_HUP, told, KEPT)
    LOOP.run()
