# SPDX-License-Identifier: GPL-2.0-or-later
"""libtorrent's port mapper, a PCP client that nobody here wrote: maps its listening port and says what it got.

Prints a line for each alert about port mappings.  When its standard input closes it deletes the mappings and ends.
Usage: pcp_client.py ADDRESS PORT
"""
import select
import sys

import libtorrent

session = libtorrent.session({
    "listen_interfaces": f"{sys.argv[1]}:{sys.argv[2]}",
    "alert_mask": libtorrent.alert.category_t.port_mapping_notification |
                  libtorrent.alert.category_t.port_mapping_log_notification,
    "enable_natpmp": True, "enable_upnp": False, "enable_dht": False, "enable_lsd": False,
})

while not select.select([sys.stdin], [], [], 0)[0]:
    session.wait_for_alert(100)
    for alert in session.pop_alerts():
        print(type(alert).__name__, alert.message(), flush=True)
