# SPDX-License-Identifier: GPL-2.0-or-later
"""Control points that wish a worker ill, and some that go on asking whatever happens to it."""
import contextlib
import statistics
import threading
import time

from upnp_client import IP, call, connect, mapping, name_of, post, read_soap

DRIP = 0.1    # seconds from octet to octet
RETRY = 0.01  # seconds, where nobody answers


class Attack:
    """Connections of one host that say nothing, or an octet now and then, until closed."""

    def __init__(self, host, address, idle=500, dripping=50):
        self.over = threading.Event()
        self.idle = [connect(host, address) for _ in range(idle)]
        self.dripping = [connect(host, address) for _ in range(dripping)]
        for sock in self.idle + self.dripping:
            sock.setblocking(False)
        self._say(b"GET / HTTP/1.1\r\nX: ")
        self.thread = threading.Thread(target=self._drip, daemon=True)
        self.thread.start()

    def _say(self, octets):
        for sock in self.dripping:
            with contextlib.suppress(OSError):  # those over the limit are closed
                sock.send(octets)

    def _drip(self):
        while not self.over.wait(DRIP):
            self._say(b"x")

    def held(self):
        """How many of them the worker has not closed."""
        open_ones = 0
        for sock in self.idle + self.dripping:
            try:
                open_ones += sock.recv(1) != b""
            except BlockingIOError:
                open_ones += 1
            except OSError:
                pass
        return open_ones

    def close(self):
        self.over.set()
        self.thread.join()
        for sock in self.idle + self.dripping:
            sock.close()


def request_times(host, address, source, count):
    times = []
    for _ in range(count):
        begun = time.monotonic()
        call(host, IP, 1, "GetExternalIPAddress", address=address, source=source)
        times.append(time.monotonic() - begun)
    return times


def times_under_attack(victim, attacker, address, source=None, rounds=5, count=40):
    """Medians of the seconds a request takes, without and with an attack, measured in turns; connections it held."""
    quiet, attacked, held = [], [], []
    for _ in range(rounds):
        quiet += request_times(victim, address, source, count)
        with contextlib.closing(Attack(attacker, address)) as attack:
            attacked += request_times(victim, address, source, count)
            held.append(attack.held())
    return statistics.median(quiet), statistics.median(attacked), min(held)


def answered(host, action, arguments, address):
    """False: nobody was there, or no more before the answer was complete.  One that is wrong raises what is no OSError."""
    try:
        answer = post(host, IP, 1, action, arguments, address=address)
    except OSError:
        return False
    if answer is None:
        return False
    read_soap(answer, IP, 1, action)
    return True


class Asker:
    """Adds its mappings in turn, each until it is told that it has it, again and again until closed."""

    def __init__(self, host, address, client, ports):
        self.host, self.address, self.client = host, address, client
        self.ports = ports
        self.granted = 0
        self.failed = None
        self.over = threading.Event()
        self.thread = threading.Thread(target=self._add, daemon=True)
        self.thread.start()

    def _add(self):
        try:
            while not self.over.is_set():
                port = self.ports[self.granted % len(self.ports)]
                if answered(self.host, "AddPortMapping", mapping(port, port, self.client), self.address):
                    self.granted += 1
                else:
                    self.over.wait(RETRY)
        except Exception as error:  # for who looks at us
            self.failed = error

    def progress(self):
        if self.failed:
            raise self.failed
        return self.granted

    def close(self):
        self.over.set()
        self.thread.join()


def seconds_until_served(host, address, port):
    """Until somebody is asked about a mapping that exists, and answers; each try is a request of its own."""
    begun = time.monotonic()
    while not answered(host, "GetSpecificPortMappingEntry", name_of(port), address):
        assert time.monotonic() - begun < 20, "nobody serves"
        time.sleep(RETRY)
    return time.monotonic() - begun
