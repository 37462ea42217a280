# SPDX-License-Identifier: GPL-2.0-or-later
"""The processes: who makes whom, what each may do, what happens when one of them ends."""
import os
import re
import shutil
import signal
import socket
import sys
import time

import pytest

from clients import natpmp_address, natpmp_map
from lab import BUILD, is_running, wait_for
from test_process import CAP_NET_ADMIN, proc_status
from upnp_client import request

KILL, SETGID, SETUID, SETPCAP, NET_ADMIN = 5, 6, 7, 8, 12
PARENT_CAPS = sum(1 << cap for cap in (KILL, SETGID, SETUID, SETPCAP, NET_ADMIN))
WORKER = "portleased-upnp"
WORKER_UID = 54322


def program_folder(lab, worker=None):
    """portleased and portlease in a folder of their own, with that program as the worker's."""
    folder = os.path.join(lab.folder, "bin")
    os.mkdir(folder, 0o755)
    for name in ("portleased", "portlease"):
        shutil.copy(os.path.join(BUILD, name), folder)
    if worker:
        shutil.copy(worker, os.path.join(folder, WORKER))
    return folder


def worker_of(daemon, interface="br-lan"):
    return wait_for(lambda: daemon.children(f"{WORKER} {interface}"), 5, f"a worker of {interface}; {daemon.log()}")[0]


def set_worker_user(daemon, user):
    with open(daemon.config, encoding="utf-8") as file:
        text = file.read()
    with open(daemon.config, "w", encoding="utf-8") as file:
        file.write(text.replace("worker-user = 54322", f"worker-user = {user}"))


def caps(pid, *names):
    status = proc_status(pid)
    return [int(status[name], 16) for name in names]


def test_each_process_has_what_it_needs(lab):
    daemon = lab.daemon(build=BUILD)
    worker = worker_of(daemon)
    assert caps(daemon.parent, "CapPrm", "CapEff", "CapBnd") == [PARENT_CAPS] * 3
    assert caps(daemon.pid, "CapPrm", "CapEff") == [CAP_NET_ADMIN] * 2
    assert caps(daemon.pid, "CapInh", "CapBnd", "CapAmb") == [0] * 3
    assert caps(worker, "CapPrm", "CapEff", "CapInh", "CapBnd", "CapAmb") == [0] * 5
    for pid, uid, name in ((daemon.parent, 0, "portleased"), (daemon.pid, 65534, "portleased"), (worker, WORKER_UID, WORKER)):
        status = proc_status(pid)
        assert status["Uid"] == status["Gid"] == "\t".join([str(uid)] * 4)
        assert status["NoNewPrivs"] == "1"
        assert status["Name"] == name
    assert proc_status(worker)["Groups"].strip() == ""
    with open(f"/proc/{worker}/environ", "rb") as file:
        assert file.read() == b""
    with open(f"/proc/{worker}/limits", encoding="ascii") as file:
        limits = {line[:26].strip(): line[26:].split()[:2] for line in file}
    assert limits["Max processes"] == limits["Max core file size"] == ["0", "0"]
    assert limits["Max open files"] == ["2280"] * 2
    assert limits["Max data size"] == [str(128 << 20)] * 2


# Starts a program for which landlock_create_ruleset(2) is a system call its kernel does not know.
WITHOUT_LANDLOCK = """
import ctypes, errno, os, struct, sys
steps = b"".join(struct.pack("HBBI", *step) for step in ((0x20, 0, 0, 0), (0x15, 0, 1, 444), (0x06, 0, 0, 0x50000 | errno.ENOSYS),
                                                         (0x06, 0, 0, 0x7fff0000)))
filter = ctypes.create_string_buffer(steps)
program = struct.pack("HP", len(steps) // 8, ctypes.addressof(filter))
assert ctypes.CDLL(None).prctl(22, 2, program) == 0
os.execv(sys.argv[1], sys.argv[1:])
"""


@pytest.mark.parametrize("within", [(), (sys.executable, "-c", WITHOUT_LANDLOCK)], ids=["landlock", "no landlock"])
def test_a_worker_can_do_nothing(lab, within):
    """Told by a program in its place, which tries."""
    daemon = lab.daemon(build=program_folder(lab, os.path.join(BUILD, "tests/system/probe_worker")), start=False, within=within)
    set_worker_user(daemon, 54321)  # of no other test's worker, which it could signal where Landlock is old
    daemon.start()
    daemon.logged(r"probe: end on br-lan")
    said = dict(re.findall(r"^probe: (\S+) (\S+)$", daemon.log(), re.M))
    if within:
        assert said["landlock"] == "ENOSYS"
    elif said["landlock"] == "DONE":
        files = [said[name] for name in ("open-a-file", "list-a-folder", "write-to-a-file", "make-a-file", "make-a-folder",
                                         "start-a-program")]
        assert set(files) == {"EACCES"}, said
    assert said["udp-socket"] == said["port"] == "DONE" and said["take-a-port-of-root"] == "EACCES"
    assert {said[name] for name in ("become-root", "become-another", "become-another-group", "signal-parent-and-core",
                                    "trace-parent-and-core", "read-parent-and-core", "take-a-capability",
                                    "make-a-raw-socket")} == {"EPERM"}, said
    assert daemon.parent < daemon.pid < worker_of(daemon)
    assert said["make-a-process"] == "EAGAIN" and said["take-much-memory"] == "ENOMEM"
    assert said["descriptors"] == "EBADF" and said["environment"] == "ENOENT"
    assert natpmp_address(lab.lan1).result == 0


@pytest.mark.parametrize("level, lines", [("info", 1), ("error", 0)])
def test_a_kernel_without_landlock(lab, level, lines):
    """One line says so, if lines of its level are wanted, and the worker serves."""
    daemon = lab.daemon(extra=f"log-level = {level}", build=BUILD, within=(sys.executable, "-c", WITHOUT_LANDLOCK))
    wait_for_upnp(lab)
    assert re.findall("^.*landlock.*$", daemon.log(), re.M) == \
        ['<4>sandbox: no landlock error="Function not implemented"'] * lines


# --- the log of a worker is the daemon's ---

def wait_for_upnp(lab):
    def answers():
        try:
            return request(lab.lan1, "GET", "/1/desc.xml").status == 200
        except OSError:
            return False
    wait_for(answers, 10, "HTTP is answered")


@pytest.mark.parametrize("level, serving, answered", [("debug", True, True), ("info", True, False), ("warning", False, False)])
def test_a_worker_logs_what_is_wanted(lab, level, serving, answered):
    daemon = lab.daemon(extra=f"log-level = {level}")
    wait_for_upnp(lab)
    wait_for(lambda: ("upnp: serving" in daemon.log()) >= serving)
    wait_for(lambda: ("<7>http: answered client=192.168.1.11 status=200 method=GET path=/1/desc.xml" in daemon.log()) >= answered)
    assert daemon.stop() == 0
    assert ("upnp: serving" in daemon.log(), "http: answered" in daemon.log()) == (serving, answered)


def test_a_worker_logs_to_where_it_is_wanted(lab):
    """Under a /dev of the test's own, with a syslog."""
    dev = os.path.join(lab.folder, "dev")
    os.mkdir(dev, 0o755)
    with open(dev + "/null", "w", encoding="ascii"):
        pass
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as syslog:
        syslog.bind(dev + "/log")
        os.chmod(dev + "/log", 0o666)
        syslog.setblocking(False)
        lines = []

        def told(line):
            try:
                while True:
                    lines.append(syslog.recv(2048).decode())
            except BlockingIOError:
                return any(line in got for got in lines)
        mount = f'mount --bind /dev/null {dev}/null && mount --rbind {dev} /dev && exec "$0" "$@"'
        daemon = lab.daemon(extra="log = syslog log-level = debug", within=("unshare", "--mount", "sh", "-c", mount))
        wait_for_upnp(lab)
        wait_for(lambda: told("upnp: serving interface=br-lan") and told("http: answered client=192.168.1.11"))
        assert any("portleased-upnp[" in line for line in lines)
        assert daemon.stop() == 0
    assert "upnp:" not in daemon.log() and "http:" not in daemon.log()


def test_a_limit_that_cannot_be_raised(lab):
    """Then the worker has that one, and serves."""
    daemon = lab.daemon(build=BUILD, within=("prlimit", "--nofile=512:512"))
    with open(f"/proc/{worker_of(daemon)}/limits", encoding="ascii") as file:
        assert re.search(r"^Max open files +512 +512 ", file.read(), re.M)
    wait_for_upnp(lab)


def test_one_worker_a_lan(lab):
    lab.gw.ip("link add br-guest type bridge", "address add 192.168.2.1/24 dev br-guest", "link set br-guest up")
    daemon = lab.daemon(build=BUILD, lan=("br-lan", "br-guest"))
    assert worker_of(daemon, "br-lan") != worker_of(daemon, "br-guest")
    assert len(daemon.children(WORKER)) == 2


def test_without_upnp_there_is_no_worker(lab):
    daemon = lab.daemon(extra="upnp = no", build=BUILD)
    assert natpmp_map(lab.lan1, "tcp", 8000).result == 0
    assert daemon.children(WORKER) == [] and len(daemon.children("portleased --core")) == 1
    assert "upnp" not in daemon.log()


@pytest.mark.parametrize("user, reason", [("no-such-user", "there is no such user"), ("0", "must not be root"),
                                          ("65534", "another than user"), ("54322", "not installed")])
def test_without_what_a_worker_needs_all_else_works(lab, user, reason):
    """One line in the log; user is nobody, whose number is 65534."""
    daemon = lab.daemon(build=program_folder(lab), start=False)
    set_worker_user(daemon, user)
    daemon.start()
    assert natpmp_map(lab.lan1, "tcp", 8000, 4000).external == 4000
    assert len(daemon.leases()) == 1
    assert daemon.children(WORKER) == []
    worker = daemon.status()["interfaces"][1]["worker"]
    assert (worker["state"], worker["pid"], worker["starts"]) == ("missing", None, 0)
    assert len(re.findall("upnp:", daemon.log())) == 1
    assert re.search(rf"<4>upnp: off .*reason=.*{reason}", daemon.log())


def test_a_worker_that_dies_is_made_anew_at_once(lab):
    daemon = lab.daemon()
    natpmp_map(lab.lan1, "tcp", 8000, 4000)
    for _ in range(4):
        first = worker_of(daemon)
        os.kill(first, signal.SIGKILL)
        wait_for(lambda: first not in daemon.children(WORKER) and daemon.children(WORKER), 1, "another worker")
    assert len(daemon.leases()) == 1 and natpmp_address(lab.lan1).result == 0
    os.kill(worker_of(daemon), signal.SIGKILL)
    daemon.logged("worker rests .*seconds=1")
    wait_for(lambda: daemon.children(WORKER), 3, "another worker after the rest")


def another_core(daemon, core):
    return wait_for(lambda: daemon.children("portleased --core") not in ([], [core]), 5, "another core")


def kill_core(daemon):
    core = daemon.pid
    os.kill(core, signal.SIGKILL)
    another_core(daemon, core)
    wait_for(daemon.answers, 10)


def test_the_core_crashes(lab):
    daemon = lab.daemon()
    natpmp_map(lab.lan1, "tcp", 8000, 4000)
    core, worker = daemon.pid, worker_of(daemon)
    os.kill(core, signal.SIGKILL)
    wait_for(lambda: not is_running(worker), 5, "its worker ends")
    another_core(daemon, core)
    daemon.logged(r"<3>parent: core ended signal=9 .*restart-in-seconds=0")
    wait_for(daemon.answers, 10)
    assert natpmp_map(lab.lan1, "tcp", 8000, 4000).external == 4000
    assert lab.external_ports("tcp") == {4000: ("192.168.1.11", 8000)}
    assert worker_of(daemon) != worker


def test_the_core_crashes_again_and_again(lab):
    daemon = lab.daemon(build=BUILD)
    for crashes in range(1, 6):
        assert "restart-in-seconds=1" not in daemon.log()
        core = wait_for(lambda: daemon.children("portleased --core"))[0]
        os.kill(core, signal.SIGKILL)
        wait_for(lambda: daemon.log().count("core ended signal=9") == crashes)
    assert "restart-in-seconds=1" in daemon.log() and daemon.children("portleased --core") == []
    another_core(daemon, core)
    wait_for(daemon.answers, 10)
    os.kill(daemon.pid, signal.SIGKILL)
    daemon.logged("restart-in-seconds=2")
    assert daemon.stop() == 0


def test_a_restarted_core_has_the_configuration_that_was_read(lab):
    daemon = lab.daemon()
    with open(daemon.config, "w", encoding="utf-8") as file:
        file.write("nonsense\n")
    core = daemon.pid
    os.kill(core, signal.SIGKILL)
    another_core(daemon, core)
    wait_for(daemon.answers, 10)
    assert natpmp_map(lab.lan1, "tcp", 8000, 4000).external == 4000


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
@pytest.mark.parametrize("whom", ["parent", "pid"])
@pytest.mark.parametrize("on_exit", ["keep", "remove"])
def test_the_end(lab, whom, number, on_exit):
    """Of either of them by a signal: all processes end, the table is removed if that is wanted."""
    daemon = lab.daemon(f"on-exit = {on_exit}")
    natpmp_map(lab.lan1, "tcp", 8000, 4000)
    pids = [daemon.parent, daemon.pid, worker_of(daemon)]
    os.kill(getattr(daemon, whom), number)
    assert daemon.process.wait(5) == 0
    assert sorted(lab.external_ports("tcp")) == ([4000] if on_exit == "keep" else [])
    assert not any(is_running(pid) for pid in pids)


def test_the_parent_is_killed(lab):
    """Its children end, too; what is mapped stays for the next start."""
    daemon = lab.daemon("on-exit = remove")
    natpmp_map(lab.lan1, "tcp", 8000, 4000)
    core, worker = daemon.pid, worker_of(daemon)
    daemon.process.kill()
    wait_for(lambda: not is_running(core) and not is_running(worker), 5, "core and worker end")
    assert sorted(lab.external_ports("tcp")) == [4000]
    daemon.process.wait()
    daemon.start()
    assert len(daemon.leases()) == 1
    assert natpmp_map(lab.lan1, "tcp", 8000, 4000).external == 4000


def test_a_core_that_never_served_is_not_tried_again(lab):
    daemon = lab.daemon(start=False)
    taken = lab.gw.bound(socket.SOCK_DGRAM, 5351)
    daemon.start(ready=False)
    assert daemon.process.wait(10) == 1
    assert re.search("core ended .*status=1", daemon.log())
    taken.close()


def test_the_core_is_not_started_by_hand(lab):
    done = lab.gw.run(BUILD + "/portleased", "--core", check=False)
    assert done.returncode == 1 and "for portleased's own use" in done.stderr


def test_the_identity_stays(lab):
    daemon = lab.daemon(build=BUILD)
    worker_of(daemon)
    state = os.path.join(lab.folder, daemon.name + ".state")

    def read(name):
        with open(os.path.join(state, name), encoding="ascii") as file:
            return file.read().strip()
    uuid, boot_id = wait_for(lambda: os.path.exists(state + "/bootid"), 5) and (read("uuid"), int(read("bootid")))
    assert abs(boot_id - time.time()) < 60
    daemon.stop()
    daemon.start()
    worker_of(daemon)
    wait_for(lambda: int(read("bootid")) > boot_id, 5, "a larger BOOTID")
    assert read("uuid") == uuid
