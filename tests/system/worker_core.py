# SPDX-License-Identifier: GPL-2.0-or-later
"""A core for one worker: the other end of its link, written from the layout of the messages alone, with a table that
grants whatever is asked."""
import os
import shutil
import socket
import struct
import subprocess
import threading

from lab import LAN, SANITIZED, WAN, wait_for

SETUP, LAN_NOW, STATE, ANSWER, ENTRIES, READY, CALL, STATS = range(8)
GENERIC, SPECIFIC, ADD, ADD_ANY, DELETE, LIST = 14, 15, 16, 17, 18, 21
STAT_NAMES = ("connections accepted surplus requests limited refused searches replied searches_limited "
              "subscriptions delivered failed").split()
PORT, PAGE = 5431, 64
UDN = "uuid:2fac1234-31f8-11b4-a222-08002b34c00"
ENTRY_SIZE = 16 + 2 + 1 + 16 + 2 + 1 + 128 + 4


def _head(kind):
    return struct.pack("!BBH", 1, kind, 0)


def _text(text, size):
    return text.encode().ljust(size, b"\0")


def _address(text):
    if not text:
        return bytes(16)
    return bytes(10) + b"\xff\xff" + socket.inet_aton(text) if "." in text else socket.inet_pton(socket.AF_INET6, text)


def _print_address(octets):
    if octets == bytes(16):
        return ""
    if octets.startswith(bytes(10) + b"\xff\xff"):
        return socket.inet_ntoa(octets[12:])
    return socket.inet_ntop(socket.AF_INET6, octets)


def _entry(entry):
    entry = entry or {}
    return (_address(entry.get("remote")) + struct.pack("!HB", entry.get("external", 0), entry.get("transport", 0)) +
            _address(entry.get("client")) + struct.pack("!H?", entry.get("internal", 0), entry.get("enabled", False)) +
            _text(entry.get("description", ""), 128) + struct.pack("!I", entry.get("lease", 0)))


def _read_entry(octets):
    external, transport = struct.unpack("!HB", octets[16:19])
    internal, enabled = struct.unpack("!H?", octets[35:38])
    return {"remote": _print_address(octets[:16]), "external": external, "transport": transport,
            "client": _print_address(octets[19:35]), "internal": internal, "enabled": enabled,
            "description": octets[38:166].rstrip(b"\0").decode(), "lease": struct.unpack("!I", octets[166:170])[0]}


class Call:
    def __init__(self, octets):
        self.ticket, = struct.unpack("!I", octets[4:8])
        self.client = _print_address(octets[8:24])
        self.cursor, = struct.unpack("!Q", octets[24:32])
        self.agent = octets[32:96].rstrip(b"\0").decode()
        self.action, self.view, self.version = octets[96:99]
        self.entry = _read_entry(octets[99:])
        self.index, self.first, self.last, self.manage, self.limit = \
            struct.unpack("!HHH?H", octets[99 + ENTRY_SIZE:108 + ENTRY_SIZE])


class Core:
    """With a worker on the lab's gateway; options are fields of SETUP."""

    def __init__(self, lab, addresses=((LAN, "192.168.1.0", 24),), **setup):
        self.lab = lab
        self.table = {}
        self.calls = []
        self.stats = dict.fromkeys(STAT_NAMES, 0)
        self.held = None  # a list: calls are kept there, not answered
        self.update_id = 0
        self.boot_id = 1000
        self.external = WAN
        self.is_ready = threading.Event()
        self.socket, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        self.log = os.path.join(lab.folder, "worker.log")
        # The checkout may lie in a folder that only root may enter.
        program = os.path.join(lab.folder, "worker")  # not the name it is to have
        if not os.path.exists(program):
            shutil.copy(SANITIZED + "/portleased-upnp", program)
        with theirs, open(self.log, "wb") as log:
            self.process = lab.gw.start(
                "setpriv", "--reuid=54322", "--regid=54322", "--clear-groups", "--bounding-set=-all", "--inh-caps=-all",
                "--no-new-privs", "bash", "-c", 'exec "$0" "$1" 3<&"$2"', program,
                "br-lan", str(theirs.fileno()), pass_fds=(theirs.fileno(),), stderr=log, stdout=log,
                env={**os.environ, "ASAN_OPTIONS": "detect_leaks=0"})
        self.socket.send(self.setup(**setup))
        self.tell_lan(addresses)
        self.tell_state()
        self.thread = threading.Thread(target=self._read, daemon=True)
        self.thread.start()
        assert self.is_ready.wait(10), self.said()

    def said(self):
        with open(self.log, encoding="utf-8", errors="replace") as file:
            return file.read()

    @staticmethod
    def setup(view_1=True, view_2=True, strict=False, requests=0, per_client=100, connections=1000, interval=600,
              request_timeout=15, answer_timeout=45, subscriptions_per_client=64, subscriptions=1024, searches=50,
              searches_total=500, log_level=3):
        return (_head(SETUP) + struct.pack("!???HIIIIIIIIIIIB?", view_1, view_2, strict, PORT, 77, interval, requests, per_client,
                                           connections, request_timeout, answer_timeout, subscriptions_per_client,
                                           subscriptions, searches, searches_total, log_level, False) +
                _text("The <gateway> & co", 64) + _text("portlease", 32) + bytes(32 + 64 + 256) +
                b"".join(_text(f"{UDN}{n}", 42) for n in range(3)) + _text("0.1.0", 32))

    def tell_lan(self, addresses, index=None, up=True):
        if index is None:
            with self.lab.gw.inside():
                index = socket.if_nametoindex("br-lan")
        rows = [_address(address) + _address(prefix) + bytes([length + (96 if "." in prefix else 0)])
                for address, prefix, length in addresses]
        self.socket.send(_head(LAN_NOW) + _text("br-lan", 16) + struct.pack("!I?IB", index, up, self.boot_id, len(rows)) +
                         b"".join(rows).ljust(33 * 32, b"\0"))

    def tell_state(self):
        self.socket.send(_head(STATE) + _address(self.external) +
                         struct.pack("!?Q?QQII", bool(self.external), 1, True, 10 ** 9, 10 ** 10, len(self.table),
                                     self.update_id))

    def answer(self, call, error=0, entry=None):
        counters = struct.pack("!QQQQ", *((2 ** 32 + 11, 22, 33, 44) if error == 0 else (0, 0, 0, 0)))
        self.socket.send(_head(ANSWER) + struct.pack("!IH", call.ticket, error) + _entry(entry) + counters)

    def answer_list(self, call, rows, cursor=0):
        self.socket.send(_head(ENTRIES) + struct.pack("!IQB", call.ticket, cursor, len(rows)) + b"".join(map(_entry, rows)))

    def change(self, key, entry):
        if entry:
            self.table[key] = entry
        else:
            del self.table[key]
        self.update_id += 1

    def _read(self):
        while True:
            try:
                octets = self.socket.recv(20000)
            except OSError:
                return
            if not octets:
                return
            if octets[1] == READY:
                self.is_ready.set()
            elif octets[1] == STATS:
                self.stats = dict(zip(STAT_NAMES, struct.unpack("!12Q", octets[4:])))
            else:
                call = Call(octets)
                self.calls.append(call)
                if self.held is None:
                    self.serve(call)
                else:
                    self.held.append(call)

    def serve(self, call):
        key = (call.entry["remote"], call.entry["external"], call.entry["transport"])
        rows = list(self.table.values())
        if call.action in (ADD, ADD_ANY):
            self.change(key, {**call.entry, "client": call.entry["client"] or call.client})
            self.answer(call, 0, call.entry)
            self.tell_state()
        elif call.action in (SPECIFIC, DELETE) and key not in self.table:
            self.answer(call, 714)
        elif call.action == SPECIFIC:
            self.answer(call, 0, self.table[key])
        elif call.action == DELETE:
            self.change(key, None)
            self.answer(call)
            self.tell_state()
        elif call.action == GENERIC:
            self.answer(call, *((0, rows[call.index]) if call.index < len(rows) else (713,)))
        elif call.action == LIST and not rows:
            self.answer(call, 730)
        elif call.action == LIST:
            after = call.cursor + PAGE
            self.answer_list(call, rows[call.cursor:after], after if after < len(rows) else 0)
        else:
            self.answer(call)

    def counted(self, name, at_least, seconds=5.0):
        return wait_for(lambda: self.stats[name] >= at_least, seconds, f"{name} >= {at_least} in {self.stats}")

    def close(self):
        """The link ends; so must the worker, cleanly."""
        self.socket.shutdown(socket.SHUT_RDWR)
        self.socket.close()
        try:
            code = self.process.wait(10)
        except subprocess.TimeoutExpired:
            self.process.kill()
            raise
        assert code == 0, f"{code}: {self.said()}"
