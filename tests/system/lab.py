# SPDX-License-Identifier: GPL-2.0-or-later
"""A gateway between an Internet host and two LAN hosts, each in a network namespace of its own, with portlease on it.

    wan (11.0.0.9, .10, .11) ---- wan0 gw br-lan ---- lan1 (192.168.1.11), lan2 (192.168.1.12)

The namespaces are held by descriptors of this process: they go when it ends.
"""
import contextlib
import ctypes
import json
import os
import re
import shutil
import signal
import socket
import struct
import subprocess
import tempfile
import threading
import time

import pytest

# Asserts how long something took, or that an answer came in time: a busy machine may need another go.
TIMED = pytest.mark.flaky(reruns=3)

BUILD = os.environ.get("PORTLEASE_BUILD", "build/gcc")
SANITIZED = os.environ.get("PORTLEASE_SANITIZED", BUILD)

WAN, WAN_NEW, WAN_PRIVATE = "11.0.0.1", "11.0.0.2", "192.168.100.1"
REMOTE, REMOTE2, REMOTE3 = "11.0.0.9", "11.0.0.10", "11.0.0.11"
LAN, LAN1, LAN2 = "192.168.1.1", "192.168.1.11", "192.168.1.12"
GUEST_LAN, GUEST = "192.168.2.1", "192.168.2.11"

# What a careful admin has: nothing new comes in but what portlease opened.
ADMIN = """
table inet admin {
	chain prerouting {
		type nat hook prerouting priority dstnat; policy accept;
	}
	chain forward {
		type filter hook forward priority filter; policy drop;
		ct state established,related accept
		iifname "br-lan" accept
		ct status dnat ct mark & 0x40000000 == 0x40000000 accept
	}
	chain postrouting {
		type nat hook postrouting priority srcnat; policy accept;
		oifname "wan0" masquerade
	}
}
"""

CLONE_NEWNET = 0x40000000
IP_PKTINFO = 8
libc = ctypes.CDLL(None, use_errno=True)


def _namespace(call, *arguments):
    if call(*arguments) != 0:
        raise OSError(ctypes.get_errno(), f"{call.__name__}: {os.strerror(ctypes.get_errno())}")


def wait_for(condition, seconds=5.0, what=None):
    """The first true value of condition(), which comes within these seconds on a quiet machine; a busy one has more."""
    end = time.monotonic() + 5 * seconds
    while True:
        value = condition()
        if value:
            return value
        if time.monotonic() > end:
            raise AssertionError(f"not within {seconds} s: {what or condition}")
        time.sleep(0.01)


class Host:
    """One network namespace."""

    def __init__(self, name):
        self.name = name
        self.children = []
        home = os.open("/proc/thread-self/ns/net", os.O_RDONLY)
        try:
            _namespace(libc.unshare, CLONE_NEWNET)
            self.fd = os.open("/proc/thread-self/ns/net", os.O_RDONLY)
        finally:
            _namespace(libc.setns, home, CLONE_NEWNET)
            os.close(home)
        self.ip("link set lo up")

    @contextlib.contextmanager
    def inside(self):
        """This thread, and what it starts or opens, is on the host."""
        home = os.open("/proc/thread-self/ns/net", os.O_RDONLY)
        try:
            _namespace(libc.setns, self.fd, CLONE_NEWNET)
            yield
        finally:
            _namespace(libc.setns, home, CLONE_NEWNET)
            os.close(home)

    def path(self):
        return f"/proc/{os.getpid()}/fd/{self.fd}"

    def start(self, *argv, **options):
        with self.inside():
            child = subprocess.Popen(argv, **{"stdin": subprocess.DEVNULL, **options})
        self.children.append(child)
        return child

    def run(self, *argv, text=None, check=True, timeout=60):
        with self.inside():
            done = subprocess.run(argv, input=text, capture_output=True, text=True, timeout=timeout)
        if check and done.returncode != 0:
            raise AssertionError(f"{self.name}# {' '.join(argv)}: {done.returncode}\n{done.stdout}{done.stderr}")
        return done

    def ip(self, *lines):
        self.run("ip", "-batch", "-", text="\n".join(lines) + "\n")

    def nft(self, text, check=True):
        return self.run("nft", "-f", "-", text=text, check=check)

    def sysctl(self, name, value):
        with self.inside(), open("/proc/sys/" + name, "w", encoding="ascii") as file:
            file.write(str(value))

    def socket(self, kind=socket.SOCK_DGRAM, family=socket.AF_INET, protocol=0):
        with self.inside():
            return socket.socket(family, kind, protocol)

    def bound(self, kind, port=0, address="0.0.0.0"):
        sock = self.socket(kind)
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        if kind == socket.SOCK_STREAM:  # a client may use its own server's port
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
        sock.bind((address, port))
        return sock

    def tcp(self, address, port, payload=b"ping", sport=0, source="0.0.0.0", timeout=10.0):
        """Connects, says payload, and returns what the server answered; OSError as it comes."""
        with self.bound(socket.SOCK_STREAM, sport, source) as sock:
            sock.settimeout(timeout)
            sock.connect((address, port))
            sock.sendall(payload)
            return sock.recv(2048).decode()

    def udp(self, address, port, payload=b"ping", sport=0, source="0.0.0.0", timeout=10.0):
        with self.bound(socket.SOCK_DGRAM, sport, source) as sock:
            sock.settimeout(timeout)
            sock.connect((address, port))
            sock.send(payload)
            return sock.recv(2048).decode()

    def talk(self, transport, *arguments, **options):
        return getattr(self, transport)(*arguments, **options)

    def refused(self, transport, *arguments, **options):
        """True if nobody answers there."""
        try:
            self.talk(transport, *arguments, **{"timeout": 0.5, **options})
        except OSError:
            return True
        return False

    def send_raw(self, source, sport, address, port, payload):
        """A UDP packet from whatever address."""
        udp = struct.pack("!HHHH", sport, port, 8 + len(payload), 0) + payload
        header = struct.pack("!BBHHHBBH4s4s", 0x45, 0, 20 + len(udp), 0, 0, 64, 17, 0,
                             socket.inet_aton(source), socket.inet_aton(address))
        with self.socket(socket.SOCK_RAW, protocol=socket.IPPROTO_RAW) as raw:
            raw.sendto(header + udp, (address, 0))

    def close(self):
        for child in self.children:
            if child.poll() is None:
                child.kill()
            child.wait()
        os.close(self.fd)


class Server:
    """Answers each payload with 'NAME saw ADDRESS:PORT: PAYLOAD', until closed."""

    def __init__(self, host, transport, port, address="0.0.0.0"):
        self.name = host.name
        self.seen = []
        kind = socket.SOCK_STREAM if transport == "tcp" else socket.SOCK_DGRAM
        self.sock = host.bound(kind, port, address)
        self.connections = []
        if transport == "tcp":
            self.sock.listen(64)
        self.thread = threading.Thread(target=self._tcp if transport == "tcp" else self._udp, daemon=True)
        self.thread.start()

    def _answer(self, peer, data):
        self.seen.append((peer, data))
        return f"{self.name} saw {peer[0]}:{peer[1]}: ".encode() + data

    def _tcp(self):
        with contextlib.suppress(OSError):
            while True:
                connection, peer = self.sock.accept()
                self.connections.append(connection)
                threading.Thread(target=self._serve, args=(connection, peer), daemon=True).start()

    def _serve(self, connection, peer):
        with contextlib.suppress(OSError), connection:
            while data := connection.recv(2048):
                connection.sendall(self._answer(peer, data))

    def _udp(self):
        """Answers from the address that was asked."""
        self.sock.setsockopt(socket.IPPROTO_IP, IP_PKTINFO, 1)
        with contextlib.suppress(OSError):
            while True:
                data, control, _, peer = self.sock.recvmsg(2048, 64)
                if peer is None:  # shut down
                    return
                _, asked = struct.unpack("=I4s4x", control[0][2])
                self.sock.sendmsg([self._answer(peer, data)],
                                  [(socket.IPPROTO_IP, IP_PKTINFO, struct.pack("=I4s4x", 0, asked))], 0, peer)

    def close(self):
        for sock in [self.sock] + self.connections:
            with contextlib.suppress(OSError):
                sock.shutdown(socket.SHUT_RDWR)
            sock.close()
        self.thread.join(5)


class Listener:
    """Collects (time, source, datagram) of what arrives at a UDP port, until closed."""

    def __init__(self, host, port, address="0.0.0.0"):
        self.got = []
        self.sock = host.bound(socket.SOCK_DGRAM, port, address)
        self.thread = threading.Thread(target=self._collect, daemon=True)
        self.thread.start()

    def _collect(self):
        with contextlib.suppress(OSError):
            while True:
                data, source = self.sock.recvfrom(2048)
                if source is None:  # shut down
                    return
                self.got.append((time.monotonic(), source, data))

    def close(self):
        with contextlib.suppress(OSError):
            self.sock.shutdown(socket.SHUT_RDWR)
        self.sock.close()
        self.thread.join(5)


class Background:
    """What runs beside a test, in threads of its own, until it is over."""

    def __init__(self, *runs):
        self.over = threading.Event()
        self.threads = [threading.Thread(target=run) for run in runs]

    def __enter__(self):
        for thread in self.threads:
            thread.start()
        return self

    def __exit__(self, *_):
        self.over.set()
        for thread in self.threads:
            thread.join()


class Lab:
    def __init__(self, bridge_nf=0, admin=ADMIN):
        self.stack = contextlib.ExitStack()
        self.daemons = 0
        self.folder = tempfile.mkdtemp(prefix="portlease-lab-")
        self.stack.callback(shutil.rmtree, self.folder, ignore_errors=True)
        os.chmod(self.folder, 0o755)
        self.wan, self.gw, self.lan1, self.lan2 = self.hosts = [Host(n) for n in ("wan", "gw", "lan1", "lan2")]
        for host in self.hosts:
            self.stack.callback(host.close)
        self._cable("wan0", self.wan)
        self._cable("port1", self.lan1)
        self._cable("port2", self.lan2)
        self.wan.ip("link set eth0 up", *[f"address add {a}/24 dev eth0" for a in (REMOTE, REMOTE2, REMOTE3)])
        self.gw.ip("link add br-lan type bridge", "link set port1 master br-lan up", "link set port2 master br-lan up",
                   f"address add {LAN}/24 dev br-lan", "link set br-lan up",
                   f"address add {WAN}/24 dev wan0", "link set wan0 up")
        for host, address in ((self.lan1, LAN1), (self.lan2, LAN2)):
            host.ip(f"address add {address}/24 dev eth0", "link set eth0 up", f"route add default via {LAN}")
        self.gw.sysctl("net/ipv4/ip_forward", 1)
        with contextlib.suppress(FileNotFoundError):  # no br_netfilter: as with 0
            self.gw.sysctl("net/bridge/bridge-nf-call-iptables", bridge_nf)
        if admin:
            self.gw.nft(admin)

    def _cable(self, name, host):
        subprocess.run(["ip", "link", "add", name, "netns", self.gw.path(), "type", "veth",
                        "peer", "name", "eth0", "netns", host.path()], check=True)

    def closing(self, thing):
        self.stack.callback(thing.close)
        return thing

    def server(self, host, transport, port, address="0.0.0.0"):
        return self.closing(Server(host, transport, port, address))

    def listener(self, host, port, address="0.0.0.0"):
        return self.closing(Listener(host, port, address))

    def announcements(self, host=None):
        return self.listener(host or self.lan1, 5350, "224.0.0.1")

    def daemon(self, *arguments, **options):
        return self.closing(Daemon(self, *arguments, **options))

    def set_wan(self, *addresses):
        """The WAN's addresses are these from now on."""
        self.gw.ip("address flush dev wan0", *[f"address add {a}/24 dev wan0" for a in addresses])

    def elements(self, name):
        """The elements of one of our sets or maps, as nft prints them; [] if it is not there."""
        done = self.gw.run("nft", "-j", "list", "table", "inet", "portlease", check=False)
        if done.returncode != 0:
            assert "No such file or directory" in done.stderr, done.stderr  # the table
            return []
        for item in json.loads(done.stdout)["nftables"]:
            for kind in ("set", "map"):
                if kind in item and item[kind]["name"] == name:
                    return item[kind].get("elem", [])
        return []

    def external_ports(self, transport):
        """What the kernel forwards now: {external port: (address, port)}."""
        names = {"tcp": ("tcp", 6), "udp": ("udp", 17)}[transport]  # nft prints numbers if there is no /etc/protocols
        ports = {}
        for key, data in self.elements("fwd4"):
            concat = (key["elem"]["val"] if "elem" in key else key)["concat"]
            if concat[0] in names:
                ports[concat[1]] = tuple(data["concat"])
        return ports

    def close(self):
        """All of it, whatever fails on the way."""
        self.stack.close()


def second_lan(lab):
    """guest0 of the gateway, and the host there."""
    guest = lab.closing(Host("guest"))
    lab._cable("guest0", guest)
    lab.gw.ip(f"address add {GUEST_LAN}/24 dev guest0", "link set guest0 up")
    guest.ip(f"address add {GUEST}/24 dev eth0", "link set eth0 up", f"route add default via {GUEST_LAN}")
    lab.gw.nft("add rule inet admin forward iifname guest0 accept")
    return guest


def processes():
    """(pid, its parent's, its command line) of each there is."""
    for name in os.listdir("/proc"):
        with contextlib.suppress(OSError):
            if name.isdigit():
                with open(f"/proc/{name}/stat", encoding="utf-8", errors="replace") as file:
                    ppid = int(file.read().rpartition(")")[2].split()[1])
                with open(f"/proc/{name}/cmdline", encoding="utf-8", errors="replace") as file:
                    yield int(name), ppid, file.read().rstrip("\0").replace("\0", " ")


def is_running(pid):
    try:
        with open(f"/proc/{pid}/stat", encoding="utf-8", errors="replace") as file:
            return file.read().rpartition(")")[2].split()[0] not in "ZX"
    except OSError:
        return False


class Daemon:
    """portleased on the gateway."""

    def __init__(self, lab, extra="", lan=("br-lan",), wan="", wan_name="wan0", build=None, start=True, within=()):
        self.lab = lab
        self.within = within  # a command that starts it
        self.environment = {}
        self.build = os.path.abspath(build or SANITIZED)
        lab.daemons += 1
        self.name = f"portleased-{lab.daemons}"
        self.config = os.path.join(lab.folder, self.name + ".conf")
        self.socket = os.path.join(lab.folder, self.name + ".sock")
        self.log_path = os.path.join(lab.folder, self.name + ".log")
        text = f'state-directory = "{lab.folder}/{self.name}.state"\ncontrol-socket = "{self.socket}"\nuser = nobody\n'
        text += f'worker-user = 54322\n{extra}\n'
        text += "".join(f'lan "{name}" {{}}\n' for name in lan)
        text += "" if wan is None else f'wan "{wan_name}" {{\n{wan}\n}}\n'
        with open(self.config, "w", encoding="utf-8") as file:
            file.write(text)
        self.process = None
        if start:
            self.start()

    def start(self, ready=True):
        with open(self.log_path, "ab") as log:
            self.process = self.lab.gw.start(*self.within, self.build + "/portleased", "-f", self.config,
                                             stderr=log, stdout=log, env={**os.environ, "ASAN_OPTIONS": "detect_leaks=1", **self.environment})
        if ready:
            wait_for(self.answers, 10, f"{self.name} answers; it said:\n{self.log()}")

    def answers(self):
        if self.process.poll() is not None:
            raise AssertionError(f"ended with {self.process.returncode}:\n{self.log()}")
        return self.cli("status", check=False).returncode == 0

    @property
    def parent(self):
        return self.process.pid

    def children(self, name):
        """The parent's children whose command line begins so."""
        return [pid for pid, ppid, command in processes() if ppid == self.parent and command.startswith(name)]

    @property
    def pid(self):
        """The core's."""
        return self.children("portleased --core")[0]

    def log(self):
        with open(self.log_path, encoding="utf-8", errors="replace") as file:
            return file.read()

    def logged(self, pattern, seconds=5.0):
        return wait_for(lambda: re.search(pattern, self.log()), seconds, f"log line {pattern} in:\n{self.log()}")

    def cli(self, subcommand, *arguments, check=True):
        return self.lab.gw.run(self.build + "/portlease", subcommand, "--socket", self.socket, *arguments, check=check)

    def leases(self, *filters):
        """`portlease list`, as dicts."""
        return json.loads(self.cli("list", "--json", *filters).stdout)

    def ports(self):
        return sorted(lease["external_port"] for lease in self.leases())

    def status(self):
        return json.loads(self.cli("status", "--json").stdout)

    def kill(self):
        """Parent and core at once: neither can do anything about the other's end."""
        core = self.pid
        self.process.send_signal(signal.SIGSTOP)
        os.kill(core, signal.SIGKILL)
        self.process.kill()
        self.process.wait()
        wait_for(lambda: not is_running(core), 5, "the core is gone")

    def stop(self):
        """SIGTERM; its exit status."""
        self.process.terminate()
        return self.process.wait(10)

    def close(self):
        if self.process and self.process.poll() is None:
            code = self.stop()
            assert code == 0, f"ended with {code}:\n{self.log()}"
        assert "Sanitizer" not in self.log() and "runtime error" not in self.log(), self.log()
