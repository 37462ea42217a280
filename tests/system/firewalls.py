# SPDX-License-Identifier: GPL-2.0-or-later
"""The firewalls that a gateway may have, each set up as its own manual says, on the gateway of a Lab.

Each lets the LAN out, drops what comes from the WAN, and has one forward of the admin's: TCP port 7000 to lan2, for REMOTE
alone.  `chain` is what the daemon must keep its line in, None if there is nothing to keep.
"""
import os
import shutil

from lab import LAN2, REMOTE, WAN, WAN_NEW, wait_for

LINE = "ct status dnat ct mark & 0x40000000 == 0x40000000 accept"


class Nat:
    """What the admin does to the LAN's source addresses."""

    def __init__(self, name, wan, address, nft, iptables):
        self.name = name
        self.wan = wan          # in the section of our configuration
        self.address = address  # by which mappings are reached
        self.nft = nft          # after a match; "": nothing
        self.iptables = iptables


NATS = [Nat("masquerade", "", WAN, "masquerade", "-j MASQUERADE"),
        Nat("static SNAT", f"external-address = {WAN_NEW}", WAN_NEW, f"snat ip to {WAN_NEW}", f"-j SNAT --to-source {WAN_NEW}"),
        Nat("none", "source-nat = no", WAN, "", "")]


class Plain:
    """A table of the admin's own; nothing keeps what is not dropped from the LAN."""

    name = "policy accept"
    chain = None
    policy, more = "accept", ""
    limit = f"ip saddr {REMOTE} "

    def __init__(self, lab, nat):
        self.lab = lab
        self.nat = nat

    def text(self):
        source_nat = f'oifname "wan0" {self.nat.nft}' if self.nat.nft else ""
        return f"""
            table inet admin
            delete table inet admin
            table inet admin {{
                chain prerouting {{
                    type nat hook prerouting priority dstnat; policy accept;
                    ip daddr {self.nat.address} {self.limit}tcp dport 7000 dnat ip to {LAN2}:7000
                }}
                chain forward {{
                    type filter hook forward priority filter; policy {self.policy};
                    ct state established,related accept
                    iifname "br-lan" accept
                    {self.more}
                }}
                chain postrouting {{
                    type nat hook postrouting priority srcnat; policy accept;
                    {source_nat}
                }}
            }}"""

    def start(self):
        self.lab.gw.nft(self.text())

    reload = start


class Line(Plain):
    """Drops, but for the line in it; limits its own forward in the forward chain."""

    name = "policy drop + line"
    policy = "drop"
    more = f"""{LINE}
                    ip saddr {REMOTE} ip daddr {LAN2} tcp dport 7000 accept"""
    limit = ""


class Fw4(Plain):
    """OpenWrt's: zones lan and wan, input and forward of the wan rejected; a redirect, a traffic rule that limits it.  A reload
    flushes the table and fills it again in one transaction."""

    name = "fw4"
    chain = "inet fw4 forward"

    def text(self):
        srcnat = f'chain srcnat_wan {{ meta nfproto ipv4 {self.nat.nft}; }}' if self.nat.nft else "chain srcnat_wan { }"
        return f"""
            table inet fw4
            flush table inet fw4
            table inet fw4 {{
                chain input {{
                    type filter hook input priority filter; policy accept;
                    iifname "lo" accept
                    ct state established,related accept
                    iifname "br-lan" jump input_lan
                    iifname "wan0" jump input_wan
                }}
                chain forward {{
                    type filter hook forward priority filter; policy drop;
                    ct state established,related accept
                    iifname "br-lan" jump forward_lan
                    iifname "wan0" jump forward_wan
                    jump handle_reject
                }}
                chain output {{
                    type filter hook output priority filter; policy accept;
                    oifname "lo" accept
                }}
                chain handle_reject {{
                    meta l4proto tcp reject with tcp reset
                    reject with icmpx type port-unreachable
                }}
                chain input_lan {{ accept; }}
                chain input_wan {{
                    meta nfproto ipv4 icmp type echo-request accept
                    jump handle_reject
                }}
                chain forward_lan {{
                    oifname {{ "wan0", "br-lan" }} accept
                }}
                chain forward_wan {{
                    ip saddr {REMOTE} ip daddr {LAN2} tcp dport 7000 accept
                    jump handle_reject
                }}
                chain dstnat {{
                    type nat hook prerouting priority dstnat; policy accept;
                    iifname "wan0" jump dstnat_wan
                }}
                chain dstnat_wan {{
                    ip daddr {self.nat.address} tcp dport 7000 dnat ip to {LAN2}:7000
                }}
                chain srcnat {{
                    type nat hook postrouting priority srcnat; policy accept;
                    oifname "wan0" jump srcnat_wan
                }}
                {srcnat}
            }}"""


class Firewalld(Plain):
    """The real one, on a message bus of its own: zones external and internal; the forward is a rich rule."""

    name = "firewalld"
    chain = "inet firewalld filter_FORWARD"
    BUS = """<!DOCTYPE busconfig PUBLIC "-//freedesktop//DTD D-Bus Bus Configuration 1.0//EN"
        "http://www.freedesktop.org/standards/dbus/1.0/busconfig.dtd">
        <busconfig><type>system</type><listen>unix:path={path}</listen><policy context="default"><allow user="*"/><allow own="*"/>
        <allow send_destination="*" eavesdrop="true"/><allow eavesdrop="true"/></policy></busconfig>"""
    EXTERNAL = """<?xml version="1.0" encoding="utf-8"?><zone><interface name="wan0"/>{masquerade}<rule family="ipv4">
        <source address="{remote}"/><forward-port port="7000" protocol="tcp" to-port="7000" to-addr="{lan2}"/></rule></zone>"""
    INTERNAL = """<?xml version="1.0" encoding="utf-8"?><zone target="ACCEPT"><interface name="br-lan"/><forward/></zone>"""

    def write(self, name, text):
        path = os.path.join(self.folder, name)
        with open(path, "w", encoding="utf-8") as file:
            file.write(text)
        return path

    def start(self):
        self.folder = os.path.join(self.lab.folder, "firewalld")
        os.makedirs(self.folder + "/zones")
        shutil.copy("/etc/firewalld/firewalld.conf", self.folder)
        self.write("zones/external.xml", self.EXTERNAL.format(masquerade="<masquerade/>" if self.nat.nft == "masquerade" else "",
                                                              remote=REMOTE, lan2=LAN2))
        self.write("zones/internal.xml", self.INTERNAL)
        self.bus = os.path.join(self.folder, "bus")
        config = self.write("bus.conf", self.BUS.format(path=self.bus))
        self.environment = {**os.environ, "DBUS_SYSTEM_BUS_ADDRESS": "unix:path=" + self.bus}
        log = open(os.path.join(self.folder, "log"), "ab")
        self.lab.closing(log)
        self.lab.gw.start("dbus-daemon", "--config-file=" + config, "--nofork", "--nopidfile", stdout=log, stderr=log)
        wait_for(lambda: os.path.exists(self.bus), 30, "a message bus")
        self.lab.gw.start("firewalld", "--nofork", "--nopid", "--system-config", self.folder, "--log-target", "console",
                          env=self.environment, stdout=log, stderr=log)
        wait_for(lambda: self.command("--state", check=False).returncode == 0, 60, "firewalld runs")
        if self.nat.nft and self.nat.nft != "masquerade":  # it has no such thing itself
            self.lab.gw.nft(f'''table inet own {{
                chain postrouting {{
                    type nat hook postrouting priority srcnat
                    oifname "wan0" {self.nat.nft}
                }}
            }}''')

    def command(self, *arguments, check=True):
        return self.lab.gw.run("env", "DBUS_SYSTEM_BUS_ADDRESS=unix:path=" + self.bus, "firewall-cmd", *arguments, check=check,
                               timeout=60)

    def reload(self):
        self.command("--reload")


class Ufw(Plain):
    """The real one, on files of its own; NAT and the forward are in before.rules, where its manual has them."""

    name = "ufw"
    chain = "ip filter FORWARD"
    SHELL = """
        mount -t tmpfs none /run
        mount --bind "$0/ufw" /etc/ufw
        mount --bind "$0/default" /etc/default/ufw
        exec "$@" """

    def start(self):
        self.folder = os.path.join(self.lab.folder, "ufw")
        os.mkdir(self.folder)
        shutil.copytree("/etc/ufw", self.folder + "/ufw")
        self.edit("/etc/default/ufw", "default", "IPV6=yes", "IPV6=no")
        self.edit("/etc/ufw/before.rules", "ufw/before.rules", "# End required lines\n", f"""# End required lines
-A ufw-before-input -i br-lan -j ACCEPT
-A ufw-before-forward -i br-lan -j ACCEPT
-A ufw-before-forward -s {REMOTE} -d {LAN2} -p tcp --dport 7000 -j ACCEPT
""", f"""
*nat
:PREROUTING ACCEPT [0:0]
:POSTROUTING ACCEPT [0:0]
-F PREROUTING
-F POSTROUTING
-A PREROUTING -d {self.nat.address} -p tcp --dport 7000 -j DNAT --to-destination {LAN2}:7000
{"-A POSTROUTING -o wan0 " + self.nat.iptables if self.nat.iptables else ""}
COMMIT
""")
        self.command("--force", "enable")

    def edit(self, source, name, old, new, more=""):
        with open(source, encoding="utf-8") as file:
            text = file.read()
        assert text.count(old) == 1, source
        with open(os.path.join(self.folder, name), "w", encoding="utf-8") as file:
            file.write(text.replace(old, new) + more)

    def command(self, *arguments):
        return self.lab.gw.run("unshare", "--mount", "sh", "-ec", self.SHELL, self.folder, "ufw", *arguments, timeout=120)

    def reload(self):
        self.command("reload")


FIREWALLS = [Plain, Line, Firewalld, Ufw, Fw4]
