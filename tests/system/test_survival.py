# SPDX-License-Identifier: GPL-2.0-or-later
"""A lease of every kind outlives whatever happens to the daemon, its table, its journal, the clock and the machine."""
import contextlib
import os
import pwd
import shutil
import struct

import pytest

from clients import natpmp_address, natpmp_map, pcp_map
from firewalls import NATS, Firewalld, Ufw
from ftp import FILE, FtpServer, fetch
from lab import ADMIN, BUILD, LAN1, REMOTE, REMOTE2, WAN, Lab, wait_for
from test_firewalls import Traffic, has_line, section
from test_flush import WEB, update_id
from test_journal import all_are_there, boot, journal, lasting, make_writable, map_by_all, read_only, state
from test_parent import kill_core
from upnp_client import IP, call, mapping

NONCE = b"n" * 12
NOBODY = pwd.getpwnam("nobody")  # the daemon's user here


class Leases:
    """One of each kind, with servers behind them."""

    def __init__(self, lab, extra="", **options):
        self.lab = lab
        self.daemon = lab.daemon(extra=WEB + extra, **options)
        self.daemon.logged("upnp: serving")
        for port in (22, 8000, 8001, 8002, 8003, 8004, 8080):
            lab.server(lab.lan1, "tcp", port)
        lab.server(lab.lan1, "udp", 8000)
        lab.closing(FtpServer(lab.lan1))
        self.daemon.cli("add", "shell", "tcp:2222", f"{LAN1}:22", "--remote", "11.0.0.8/31", "--description", "for us")
        self.daemon.cli("add", "files", "tcp:2121", f"{LAN1}:21", "--helper", "ftp")
        for transport in ("tcp", "udp"):
            assert natpmp_map(lab.lan1, transport, 8000, 4000).external == 4000
        assert pcp_map(lab.lan1, LAN1, "tcp", 8001, 4001, nonce=NONCE).external == 4001
        for port, options in ((4002, {}), (4003, {"remote": REMOTE2}), (4004, {"enabled": 0})):
            call(lab.lan1, IP, 2, "AddPortMapping", mapping(port, port + 4000, LAN1, **options))
        self.all = lasting(self.daemon)
        self.order = self.entries()
        self.update_id = update_id(lab)

    def entries(self):
        """As UPnP counts them through."""
        keys = "NewExternalPort", "NewRemoteHost", "NewProtocol", "NewEnabled", "NewInternalPort", "NewPortMappingDescription"
        found = []
        for index in range(len(self.all)):
            entry = call(self.lab.lan1, IP, 2, "GetGenericPortMappingEntry", {"NewPortMappingIndex": index})
            found.append([entry[key] for key in keys])
        return found

    def kernel(self):
        """What of them has an element: (transport, external port, the host and port it leads to)."""
        found = set()
        for name, at in (("fwd4", 0), ("rfwd4", 1), ("ffwd4", 0)):
            for key, data in self.lab.elements(name):
                concat = (key["elem"]["val"] if "elem" in key else key)["concat"][at:]
                transport = {6: "tcp", 17: "udp"}.get(concat[0], concat[0])
                found.add((transport, concat[1], *data["concat"]))
        return found

    def are_in_the_kernel(self):
        return self.kernel() == {(lease["transport"], lease["external_port"], lease["internal_address"], lease["internal_port"])
                                 for lease in self.all if lease["enabled"]}

    def carry(self):
        """A byte through each, for those whom it is for."""
        lab = self.lab
        for transport, port in (("tcp", 80), ("tcp", 2222), ("tcp", 4000), ("udp", 4000), ("tcp", 4001), ("tcp", 4002)):
            assert lab.wan.talk(transport, WAN, port, source=REMOTE).startswith("lan1 saw"), port
        assert lab.wan.tcp(WAN, 4003, source=REMOTE2).startswith("lan1 saw")
        for port, source in ((2222, REMOTE2), (4003, REMOTE), (4004, REMOTE)):
            assert lab.wan.refused("tcp", WAN, port, source=source), port
        assert fetch(lab.wan, WAN, 2121, "EPSV") == FILE

    def are_there(self):
        wait_for(self.are_in_the_kernel, 20, f"{self.all}\nin the kernel, where is {self.kernel()}")
        assert lasting(self.daemon) == self.all
        self.carry()

    def are_there_again(self):
        """After a start of the core."""
        self.are_there()
        wait_for(lambda: self.daemon.log().count("upnp: serving") > self.served, 10, "UPnP")
        assert self.entries() == self.order
        assert update_id(self.lab) >= self.update_id
        assert pcp_map(self.lab.lan1, LAN1, "tcp", 8001, 4001, nonce=b"x" * 12).result == 2
        assert pcp_map(self.lab.lan1, LAN1, "tcp", 8001, 4001, nonce=NONCE).external == 4001
        self.daemon.cli("remove", "shell")
        self.daemon.cli("add", "shell", "tcp:2222", f"{LAN1}:22")

    def end(self, how):
        self.served = self.daemon.log().count("upnp: serving")
        how()


def test_the_core_crashes(lab):
    leases = Leases(lab)
    leases.end(lambda: kill_core(leases.daemon))
    leases.are_there_again()


def test_the_daemon_is_restarted(lab):
    leases = Leases(lab)
    assert leases.daemon.stop() == 0
    leases.carry()
    leases.end(leases.daemon.start)
    leases.are_there_again()


def test_the_machine_is_booted(lab):
    leases = Leases(lab)
    leases.daemon.kill()
    boot(lab, leases.daemon)
    leases.end(leases.daemon.start)
    leases.are_there_again()


@pytest.mark.parametrize("end", ["kill", "stop"])
def test_connections_are_counted_over_a_restart(lab, daemon, end):
    for port in (8000, 8080):
        lab.server(lab.lan1, "tcp", port)
    daemon.cli("add", "web", "tcp:80", f"{LAN1}:8080")
    natpmp_map(lab.lan1, "tcp", 8000, 4000)

    def connect(times):
        for _ in range(times):
            for port in (80, 4000):
                assert lab.wan.tcp(WAN, port).startswith("lan1 saw")

    def counted():
        return [lease["connections"] for lease in daemon.leases()]
    connect(2)
    assert counted() == [2, 2]
    renew(lab)
    connect(1)
    getattr(daemon, end)()
    connect(1)
    daemon.start()
    assert counted() == [4, 4]
    kill_core(daemon)
    connect(1)
    assert counted() == [5, 5]
    renew(lab)
    assert counted() == [5, 5]


RUINS = {"flush": "flush ruleset\n",
         "reload": "flush ruleset\n" + ADMIN,
         "own table": "delete table inet portlease\n",
         "own elements": "flush table inet portlease\n"}


@pytest.mark.parametrize("ruin", RUINS)
def test_another_program_ruins_the_table(lab, ruin):
    """Connections survive where a chain of the kernel's NAT is left at every moment: all but the first."""
    leases = Leases(lab)
    traffic = lab.closing(Traffic(lab, WAN, 4000))
    wait_for(lambda: traffic.echoed > 5, 20, "traffic")
    for _ in range(3):
        lab.gw.nft(RUINS[ruin])
        leases.are_there()
        if ruin == "flush":
            lab.gw.nft(ADMIN)
    if ruin != "flush":
        echoed = traffic.echoed
        wait_for(lambda: traffic.error or traffic.echoed > echoed + 5, 20, "traffic")
        assert not traffic.error
    leases.are_there()
    assert update_id(lab) == leases.update_id


@pytest.mark.parametrize("firewall", [Firewalld, Ufw], ids=["firewalld", "ufw"])
def test_another_firewall_is_reloaded(firewall):
    lab = Lab(admin=None)
    with contextlib.closing(lab):
        wall = firewall(lab, NATS[0])
        wall.start()
        leases = Leases(lab, section(wall.chain), build=BUILD)
        has_line(lab, wall.chain)
        traffic = lab.closing(Traffic(lab, WAN, 4000))
        wait_for(lambda: traffic.echoed > 5, 20, "traffic")
        for _ in range(2):
            wall.reload()
            has_line(lab, wall.chain)
            leases.are_there()
        echoed = traffic.echoed
        wait_for(lambda: traffic.error or traffic.echoed > echoed + 5, 20, "traffic")
        assert not traffic.error


# --- the calendar ---


YEAR = 365 * 24 * 3600
ENDS_SOON = 4005


class Calendar:
    """What a daemon takes for the time of day: the true one, and some seconds more."""

    def __init__(self, lab):
        path = os.path.join(lab.folder, "calendar")
        self.file = lab.closing(open(path, "w+b", buffering=0))
        self.set(0)
        os.mkfifo(path + ".set")
        self.pipe = lab.closing(open(os.open(path + ".set", os.O_RDWR | os.O_NONBLOCK), "w+b", buffering=0))
        preloaded = os.path.abspath(os.path.join(BUILD, "tests/system/wall_clock.so"))
        self.environment = f"LD_PRELOAD={preloaded}", f"PORTLEASE_TEST_CLOCK={path}"

    def set(self, more):
        os.pwrite(self.file.fileno(), struct.pack("=q", more), 0)
        os.ftruncate(self.file.fileno(), 16)

    def tell(self):
        """As the kernel does."""
        asked = self.asked
        self.pipe.write(b"x")
        wait_for(lambda: self.asked > asked, 10, "the daemon sees what time it is")

    @property
    def asked(self):
        return struct.unpack("=q", os.pread(self.file.fileno(), 8, 8))[0]


def have_their_time(daemon):
    return all(3000 < lease["remaining"] <= 3600 for lease in daemon.leases() if lease["origin"] != "static")


@pytest.mark.parametrize("jump", [10 * YEAR, -10 * YEAR], ids=["on", "back"])
def test_the_calendar_jumps(lab, jump):
    """While the daemon runs, while the core is dead, and while nothing runs."""
    calendar = Calendar(lab)
    leases = Leases(lab, within=("env", *calendar.environment), build=BUILD)
    daemon = leases.daemon
    epoch = natpmp_address(lab.lan1).epoch
    assert natpmp_map(lab.lan1, "udp", 8005, ENDS_SOON, 2).external == ENDS_SOON
    calendar.set(jump)
    asked = calendar.asked
    renew(lab)
    assert calendar.asked > asked
    wait_for(lambda: len(daemon.leases()) == 9, 10, "the one of two seconds ends")
    for more in (0, jump):
        kill_core(daemon)
        calendar.set(more)
        leases.are_there()
        assert have_their_time(daemon)
    daemon.kill()
    calendar.set(0)
    leases.end(daemon.start)
    assert have_their_time(daemon)
    assert natpmp_address(lab.lan1).epoch >= epoch
    leases.are_there_again()


@pytest.mark.parametrize("before, after", [(0, 10), (0, -10), (10, 0), (-10, 0)])
def test_the_calendar_jumps_with_a_boot(lab, before, after):
    """As many years: the living live, and what ended does not come back."""
    calendar = Calendar(lab)
    calendar.set(before * YEAR)
    daemon = lab.daemon(within=("env", *calendar.environment), build=BUILD)
    leases = map_by_all(lab, daemon)
    assert natpmp_map(lab.lan1, "udp", 8005, ENDS_SOON, 5).external == ENDS_SOON
    daemon.kill()
    calendar.set(after * YEAR)
    asked = calendar.asked
    boot(lab, daemon, f"&& export {' '.join(calendar.environment)} ")
    daemon.start()
    assert calendar.asked > asked
    assert [lease["external_port"] for lease in daemon.leases()] == [4000, 4001, 4002]
    assert have_their_time(daemon)
    all_are_there(lab, daemon, leases)


def is_told(lab, daemon, calendar):
    calendar.tell()
    natpmp_address(lab.lan1)  # whose answer comes after what that led to
    daemon.kill()


def ends(lab, daemon, calendar):
    daemon.stop()


@pytest.mark.parametrize("leave", [is_told, ends])
def test_the_calendar_is_set_before_a_boot(lab, leave):
    """What the journal said of the time of day until then does not count as time that passed."""
    calendar = Calendar(lab)
    daemon = lab.daemon(within=("env", *calendar.environment), build=BUILD)
    leases = map_by_all(lab, daemon)
    calendar.set(1800)
    leave(lab, daemon, calendar)
    boot(lab, daemon, f"&& export {' '.join(calendar.environment)} ")
    daemon.start()
    assert have_their_time(daemon)
    all_are_there(lab, daemon, leases)


# --- the journal ---


def renew(lab):
    assert natpmp_map(lab.lan1, "tcp", 8000, 4000).external == 4000


def replaced_by_garbage(lab, daemon):
    for suffix in ("", "-wal"):
        with open(journal(daemon, lab, ".new"), "wb") as file:
            file.write(b"rubbish " * 4096)
            os.fchown(file.fileno(), NOBODY.pw_uid, NOBODY.pw_gid)
        os.rename(journal(daemon, lab, ".new"), journal(daemon, lab, suffix))


def deleted(lab, daemon):
    for suffix in ("", "-wal"):
        os.unlink(journal(daemon, lab, suffix))


@pytest.mark.parametrize("ruin", [replaced_by_garbage, deleted])
def test_the_journal_is_ruined_while_it_is_used(lab, ruin):
    """The next that is written finds it, and writes all."""
    leases = Leases(lab)
    ruin(lab, leases.daemon)
    renew(lab)
    leases.daemon.logged("journal: works again leases=9", 15)
    assert leases.daemon.status()["journal_fault"] == ""
    leases.end(lambda: kill_core(leases.daemon))
    leases.are_there_again()


def test_the_state_directory_is_deleted(lab):
    """The core may not make it again; once it is there, all is written."""
    leases = Leases(lab)
    folder = state(lab, leases.daemon)
    shutil.rmtree(folder)
    renew(lab)
    leases.daemon.logged("<3>journal: failed")
    leases.are_there()
    assert leases.daemon.status()["journal_fault"] != ""
    os.mkdir(folder, 0o700)
    os.chown(folder, NOBODY.pw_uid, NOBODY.pw_gid)
    leases.daemon.logged("journal: works again leases=9", 15)
    leases.end(lambda: kill_core(leases.daemon))
    leases.are_there_again()

@pytest.mark.parametrize("how", ["kill", "stop"])
@pytest.mark.parametrize("how_it_starts", ["restart", "boot"])
def test_the_disk_becomes_read_only(lab, how, how_it_starts):
    """What is on it is still known by the next start, after a boot, too; and written again once it can be."""
    leases = Leases(lab)
    daemon = leases.daemon
    getattr(daemon, how)()
    folder = state(lab, daemon)
    if how_it_starts == "boot":
        boot(lab, daemon, f"&& {read_only(folder)} ")
    else:
        daemon.within = ("unshare", "--mount", "sh", "-c", f'{read_only(folder)} && exec "$@"', "sh")
    leases.end(daemon.start)
    daemon.logged("<3>journal: failed reason=.*journal.db can only be read")
    assert "can only be read" in daemon.status()["journal_fault"]
    leases.are_there()
    make_writable(daemon, folder)
    daemon.logged("journal: works again leases=9", 15)
    leases.end(lambda: kill_core(daemon))
    leases.are_there_again()


def test_the_journal_is_overwritten_in_its_place(lab):
    """What is read at the next start is no journal any more: the kernel's table tells all that it holds, which what is disabled
    is not."""
    leases = Leases(lab)
    for path in journal(leases.daemon, lab), journal(leases.daemon, lab, "-wal"):
        with open(path, "r+b") as file:
            file.write(b"rubbish " * (os.path.getsize(path) // 8))
    renew(lab)
    kill_core(leases.daemon)
    leases.daemon.logged("journal: ruined moved-to=journal.db.ruined.1")
    leases.carry()
    assert leases.are_in_the_kernel()
    assert [(lease["external_port"], lease["origin"], lease["name"], lease["remote_address"]) for lease in leases.daemon.leases()] \
        == [(lease["external_port"], lease["origin"], lease["name"], lease["remote_address"]) for lease in leases.all if lease["enabled"]]
