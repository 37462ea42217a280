# SPDX-License-Identifier: GPL-2.0-or-later
"""What `make install` lays down for service managers, and what the daemon tells them."""
import contextlib
import os
import pwd
import re
import shutil
import signal
import socket
import subprocess
import sys
import time

import pytest

from clients import natpmp_map
from lab import BUILD, WAN, wait_for

ROOT = os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "..")
PREFIX = "/usr/local"
FILES = ["/etc/init.d/portleased", PREFIX + "/lib/systemd/system/portleased.service", PREFIX + "/lib/sysusers.d/portlease.conf",
         PREFIX + "/lib/tmpfiles.d/portlease.conf", PREFIX + "/lib/modules-load.d/portlease.conf"]


def run(*argv, **options):
    done = subprocess.run(argv, capture_output=True, text=True, timeout=60, **options)
    assert done.returncode == 0, f"{argv}: {done.returncode}\n{done.stdout}{done.stderr}"
    return done.stdout + done.stderr


def make(target, destination):
    run("make", "-C", ROOT, target, "BUILD=" + BUILD, "DESTDIR=" + str(destination))


@pytest.fixture(scope="module")
def installed(tmp_path_factory):
    """The folder that stands for / of an installation."""
    folder = tmp_path_factory.mktemp("installed")
    make("install", folder)
    return str(folder)


@pytest.fixture(scope="module")
def unit(installed, tmp_path_factory):
    """The unit, which starts the program where it was put."""
    path = tmp_path_factory.mktemp("unit") / "portleased.service"
    with open(installed + FILES[1], encoding="utf-8") as file:
        text = file.read()
    assert f"ExecStart={PREFIX}/sbin/portleased\n" in text
    path.write_text(text.replace(f"={PREFIX}", f"={installed}{PREFIX}"))
    return str(path)


def settings(unit, name):
    with open(unit, encoding="utf-8") as file:
        return re.findall(rf"^{name}=(.*)$", file.read(), re.M)


def test_all_is_laid_down_and_taken_away(installed, tmp_path):
    for name in FILES:
        with open(installed + name, encoding="utf-8") as file:
            assert "bindir@" not in file.read(), name
    make("install", tmp_path)
    make("uninstall", tmp_path)
    left = [os.path.join(at, name) for at, _, names in os.walk(tmp_path) for name in names]
    assert left == [str(tmp_path) + "/etc/portlease/portlease.conf"]


def test_the_unit_is_right(unit):
    assert run("systemd-analyze", "verify", "--man=no", unit) == ""
    with open(unit, encoding="utf-8") as file:
        text = file.read()
    with open(unit, "w", encoding="utf-8") as file:
        file.write(text.replace("Restart=", "Restarts="))
    said = run("systemd-analyze", "verify", "--man=no", unit)
    with open(unit, "w", encoding="utf-8") as file:
        file.write(text)
    assert "Restarts" in said


def test_the_units_exposure_is_printed(unit, record_property):
    said = run("systemd-analyze", "security", "--offline=true", "--no-pager", unit)
    record_property("table", said)
    assert float(re.search(r"Overall exposure level for portleased.service: ([0-9.]+)", said)[1]) < 3


def test_users_and_folders(installed, tmp_path):
    for name in FILES[2:4]:
        os.makedirs(tmp_path / name[1:].rpartition("/")[0])
        shutil.copy(installed + name, tmp_path / name[1:])
    os.mkdir(tmp_path / "etc")
    run("systemd-sysusers", f"--root={tmp_path}")
    for name in ("portlease", "portlease-upnp"):
        assert re.search(rf"^{name}:x:\d+:\d+:.*:/usr/sbin/nologin$", (tmp_path / "etc/passwd").read_text(), re.M)
        assert re.search(rf"^{name}:x:\d+:$", (tmp_path / "etc/group").read_text(), re.M)
    run("systemd-tmpfiles", f"--root={tmp_path}", "--create")
    uid = int(re.search(r"^portlease:x:(\d+):", (tmp_path / "etc/passwd").read_text(), re.M)[1])
    state, control = os.stat(tmp_path / "var/lib/portlease"), os.stat(tmp_path / "run/portlease")
    assert (state.st_uid, state.st_mode & 0o7777) == (uid, 0o700)
    assert (control.st_uid, control.st_mode & 0o7777) == (0, 0o755)


def test_the_openrc_script(installed, tmp_path):
    """As openrc-run sources it: what it would start, and that a bad configuration stops it before."""
    script = f"""
        checkpath() {{ echo checkpath "$@"; }}
        . {installed}/etc/init.d/portleased
        command={installed}$command
        echo "$supervisor $command"
        start_pre"""
    said = run("sh", "-e", "-c", script.replace("start_pre", "").rstrip())
    assert said == f"supervise-daemon {installed}{PREFIX}/sbin/portleased\n"
    bad = subprocess.run(["sh", "-c", script.replace(f"command={installed}$command", "command=false")],
                         capture_output=True, text=True, check=False)
    assert bad.returncode != 0
    good = run("sh", "-c", script.replace(f"command={installed}$command", "command=true"))
    assert re.findall("/[a-z/]+portlease$", good, re.M) == ["/run/portlease", "/var/lib/portlease"]


class Manager:
    """The socket to which a service says how it is; what it said is kept."""

    def __init__(self, lab):
        self.path = os.path.join(lab.folder, "notify")
        self.sock = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_NONBLOCK)
        self.sock.bind(self.path)
        lab.closing(self.sock)

    def within(self, watchdog=0):
        """A command that starts a service so that it knows this manager."""
        more = [f"WATCHDOG_USEC={int(watchdog * 1e6)}"] if watchdog else []
        return ("env", "NOTIFY_SOCKET=" + self.path, *more)

    def hear(self):
        """What was said since; a service that says the same again and again counts once."""
        said = []
        with contextlib.suppress(BlockingIOError):
            while True:
                message = self.sock.recv(4096).decode()
                if message not in said:
                    said.append(message)
        return said

    def waits_for(self, message, seconds=10):
        wait_for(lambda: message in self.hear(), seconds, message)


def has_table(lab):
    return lab.gw.run("nft", "list", "table", "inet", "portlease", check=False).returncode == 0


def test_a_reload_is_told_from_its_begin_to_its_end(lab):
    """Whoever began it, and also where the new configuration is refused."""
    manager = Manager(lab)
    daemon = lab.daemon(build=BUILD, within=manager.within(), start=False)
    daemon.start(ready=False)
    manager.waits_for("READY=1")
    with open(daemon.config, encoding="utf-8") as file:
        text = file.read()
    for code, more in enumerate(("", "nonsense\n")):
        with open(daemon.config, "w", encoding="utf-8") as file:
            file.write(text + more)
        assert daemon.cli("reload", check=False).returncode == code
        said = []
        wait_for(lambda: said.extend(manager.hear()) or "READY=1" in said)
        assert said[0].startswith("RELOADING=1\nMONOTONIC_USEC=") and said[-1] == "READY=1"
        os.kill(daemon.parent, signal.SIGHUP)
        said.clear()
        wait_for(lambda: said.extend(manager.hear()) or "READY=1" in said)
        assert said[0].startswith("RELOADING=1\nMONOTONIC_USEC=") and said[-1] == "READY=1"


def test_ready_is_said_when_the_table_is_there(lab):
    manager = Manager(lab)
    daemon = lab.daemon(build=BUILD, within=manager.within(), start=False)
    daemon.start(ready=False)
    manager.waits_for("READY=1")
    assert has_table(lab) and natpmp_map(lab.lan1, "tcp", 8000, 4000).result == 0
    for pid in (daemon.pid, *wait_for(lambda: daemon.children("portleased-upnp"))):
        with open(f"/proc/{pid}/environ", "rb") as file:
            assert b"NOTIFY_SOCKET" not in file.read()
    assert manager.hear() == []
    assert daemon.stop() == 0
    assert manager.hear() == ["STOPPING=1"]


def test_ready_is_not_said_of_what_cannot_serve(lab):
    manager = Manager(lab)
    daemon = lab.daemon(build=BUILD, within=manager.within(), start=False)
    taken = lab.gw.bound(socket.SOCK_DGRAM, 5351)
    daemon.start(ready=False)
    assert daemon.process.wait(10) == 1
    assert manager.hear() == [] and not has_table(lab)
    taken.close()


def test_the_watchdog_watches_the_cores_loop(lab):
    manager = Manager(lab)
    daemon = lab.daemon(build=BUILD, within=manager.within(watchdog=0.4))
    for _ in range(3):
        manager.waits_for("WATCHDOG=1")
    core = daemon.pid
    os.kill(core, signal.SIGSTOP)
    try:
        time.sleep(0.5)
        manager.hear()  # an answer that was on its way
        time.sleep(1)
        assert manager.hear() == []
    finally:
        os.kill(core, signal.SIGCONT)
    manager.waits_for("WATCHDOG=1")


def test_another_core_is_ready_again(lab):
    manager = Manager(lab)
    daemon = lab.daemon(build=BUILD, within=manager.within(watchdog=0.4))
    os.kill(daemon.pid, signal.SIGKILL)
    daemon.logged("core ended signal=9")
    manager.hear()
    wait_for(daemon.answers, 10)
    manager.waits_for("WATCHDOG=1")


def test_a_manager_that_does_not_read_holds_nothing_up(lab):
    manager = Manager(lab)
    daemon = lab.daemon(build=BUILD, within=manager.within())
    for _ in range(20):  # more than its queue has room for
        assert daemon.cli("reload").stdout == "reloaded\n"
    core = daemon.pid
    os.kill(core, signal.SIGKILL)
    wait_for(lambda: [pid for pid in daemon.children("portleased --core") if pid != core])
    wait_for(daemon.answers, 10)
    manager.hear()
    manager.waits_for("READY=1")


# Becomes what the unit allows, then the program that is named.  Read-only files need the mount namespace it is started in.
CONFINE = """
import ctypes, errno, os, seccomp, socket, subprocess, sys
calls, caps, writable, families, *argv = sys.argv[1:]
prctl = ctypes.CDLL(None, use_errno=True).prctl
if writable:
    for path in writable.split():
        subprocess.run(["mount", "--bind", path, path], check=True)
    subprocess.run(["mount", "-o", "remount,bind,ro", "/"], check=True)
for cap in range(64):
    if str(cap) not in caps.split():
        prctl(24, cap, 0, 0, 0)  # PR_CAPBSET_DROP
os.umask(0o077)
rules = seccomp.SyscallFilter(seccomp.ERRNO(errno.EPERM))
for family in families.split():
    rules.add_rule(seccomp.ALLOW, "socket", seccomp.Arg(0, seccomp.EQ, getattr(socket, family)))
for name in set(calls.split()) - {"socket"}:
    try:
        rules.add_rule(seccomp.ALLOW, name)
    except (RuntimeError, ValueError, OSError):
        pass  # another machine's
prctl(38, 1, 0, 0, 0)  # PR_SET_NO_NEW_PRIVS
rules.load()
os.execvp(argv[0], argv)
"""
CAPS = {"CAP_CHOWN": 0, "CAP_KILL": 5, "CAP_SETGID": 6, "CAP_SETUID": 7, "CAP_SETPCAP": 8, "CAP_NET_ADMIN": 12}


def system_calls(unit):
    """What the unit's filter lets through."""
    groups, name = {}, None
    for line in run("systemd-analyze", "syscall-filter").splitlines():
        if line.startswith("@"):
            name = line.strip()
            groups[name] = []
        elif name and line.startswith("    ") and not line.strip().startswith("#"):
            groups[name].append(line.strip())

    def expand(word):
        return set().union(*map(expand, groups[word])) if word.startswith("@") else {word}
    allowed = set()
    for line in settings(unit, "SystemCallFilter"):
        words = set().union(*map(expand, line.lstrip("~").split()))
        allowed = allowed - words if line.startswith("~") else allowed | words
    return allowed


def confined(lab, unit, calls=None):
    """A command that starts a program within the unit's limits."""
    assert settings(unit, "CapabilityBoundingSet") and settings(unit, "ProtectSystem") == ["strict"]
    caps = [str(CAPS[name]) for name in settings(unit, "CapabilityBoundingSet")[0].split()]
    return ("unshare", "--mount", sys.executable, "-c", CONFINE, " ".join(sorted(calls or system_calls(unit))),
            " ".join(caps), lab.folder, " ".join(settings(unit, "RestrictAddressFamilies")))


def test_the_daemon_works_within_what_the_unit_allows(lab, unit):
    manager = Manager(lab)
    lab.server(lab.lan1, "tcp", 8000)
    daemon = lab.daemon(build=BUILD, within=(*manager.within(), *confined(lab, unit)), start=False)
    daemon.start()
    manager.waits_for("READY=1")
    assert natpmp_map(lab.lan1, "tcp", 8000, 4000).result == 0
    assert lab.wan.tcp(WAN, 4000).startswith("lan1 saw")
    worker = wait_for(lambda: daemon.children("portleased-upnp"), 5, daemon.log())[0]
    state = os.path.join(lab.folder, daemon.name + ".state")
    wait_for(lambda: os.path.exists(os.path.join(state, "bootid")), 5)
    assert os.stat(state).st_uid == pwd.getpwnam("nobody").pw_uid
    daemon.cli("reload")
    assert lab.wan.tcp(WAN, 4000).startswith("lan1 saw")
    os.kill(worker, signal.SIGKILL)
    wait_for(lambda: daemon.children("portleased-upnp") not in ([], [worker]), 5, "another worker")
    os.kill(daemon.pid, signal.SIGKILL)
    daemon.logged("core ended signal=9")
    wait_for(daemon.answers, 10)
    daemon.stop()
    daemon.start()  # where everything is there already
    assert daemon.stop() == 0
    complaints = [line for line in daemon.log().splitlines() if re.match("<[0-4]>", line)]
    assert all(re.search("core ended signal=9|worker lost", line) for line in complaints), complaints


def test_what_the_unit_does_not_allow_is_denied(lab, unit):
    """So that the test above means something."""
    lacks = system_calls(unit) - {"landlock_create_ruleset"}
    daemon = lab.daemon(build=BUILD, within=confined(lab, unit, lacks))
    daemon.logged("sandbox: no landlock")
    for command, why in ((("touch", "/root/portlease-test"), "Read-only file system"),
                         (("python3", "-c", "import socket; socket.socket(socket.AF_PACKET)"), "Operation not permitted")):
        done = lab.gw.run(*confined(lab, unit), *command, check=False)
        assert done.returncode != 0 and why in done.stderr


def test_a_predecessors_table_is_gone_on_with(lab):
    """Of a daemon that crashed: one transaction, which touches no mapping, and connections go on."""
    daemon = lab.daemon(build=BUILD)
    lab.server(lab.lan1, "tcp", 8000)
    natpmp_map(lab.lan1, "tcp", 8000, 4000, 3600)
    seen = os.path.join(lab.folder, "monitor")
    with lab.wan.bound(socket.SOCK_STREAM) as busy:
        busy.settimeout(5)
        busy.connect((WAN, 4000))
        busy.send(b"one")
        assert busy.recv(100).endswith(b"one")
        daemon.kill()
        assert lab.external_ports("tcp")
        with open(seen, "wb") as file:
            lab.gw.start("stdbuf", "-oL", "nft", "monitor", stdout=file)

        def monitored(name):
            lab.gw.nft(f"add table inet {name}\ndelete table inet {name}\n")
            with open(seen, encoding="utf-8") as file:
                return name in (text := file.read()) and text
        wait_for(lambda: monitored("begin"), 10)
        daemon.start()
        text = wait_for(lambda: monitored("end"), 10)
        assert lab.external_ports("tcp") == {4000: ("192.168.1.11", 8000)}
        busy.send(b"two")
        assert busy.recv(100).endswith(b"two")
    transactions = [part for part in text.split("# new generation") if "inet portlease " in part]
    assert len(transactions) == 1, text
    assert "table inet portlease\n" not in text
    assert "add rule inet portlease dn4" in transactions[0] and "add element inet portlease wan4" in transactions[0]
    assert not any(f"element inet portlease {name}" in text for name in ("fwd4", "out4", "ext4")), text
