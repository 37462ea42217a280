# SPDX-License-Identifier: GPL-2.0-or-later
"""libtorrent's UPnP client: maps its listening port, says each alert about that, deletes the mappings when its standard
input closes.  Usage: upnp_torrent.py ADDRESS PORT
"""
import select
import sys

import libtorrent

session = libtorrent.session({
    "listen_interfaces": f"{sys.argv[1]}:{sys.argv[2]}",
    "alert_mask": libtorrent.alert.category_t.port_mapping_notification |
                  libtorrent.alert.category_t.port_mapping_log_notification,
    "enable_natpmp": False, "enable_upnp": True, "enable_dht": False, "enable_lsd": False,
})

while not select.select([sys.stdin], [], [], 0)[0]:
    session.wait_for_alert(100)
    for alert in session.pop_alerts():
        print(type(alert).__name__, alert.message(), flush=True)
