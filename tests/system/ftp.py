# SPDX-License-Identifier: GPL-2.0-or-later
"""An FTP server that knows passive transfers and nothing else, and the client that asks it in raw lines: it goes where
the answer to PASV says, as clients do that take it at its word."""
import contextlib
import re
import socket
import threading

FILE = b"what the file holds\n"


class FtpServer:
    """On a lab host, until closed."""

    def __init__(self, host, port=21):
        self.host = host
        self.peers = []
        self.sock = host.bound(socket.SOCK_STREAM, port)
        self.sock.listen(8)
        self.thread = threading.Thread(target=self._accept, daemon=True)
        self.thread.start()

    def _accept(self):
        with contextlib.suppress(OSError):
            while True:
                control, peer = self.sock.accept()
                self.peers.append(peer)
                threading.Thread(target=self._serve, args=(control,), daemon=True).start()

    def _serve(self, control):
        with contextlib.suppress(OSError), control, self.host.bound(socket.SOCK_STREAM) as data:
            data.listen(1)
            port = data.getsockname()[1]
            address = control.getsockname()[0].replace(".", ",")
            answers = {"PASV": f"227 Entering Passive Mode ({address},{port >> 8},{port & 255})",
                       "EPSV": f"229 Entering Extended Passive Mode (|||{port}|)",
                       "USER": "331 password?", "PASS": "230 welcome"}
            control.sendall(b"220 ready\r\n")
            for line in control.makefile("r", newline="\r\n"):
                word = line.split()[0]
                if word != "RETR":
                    control.sendall((answers.get(word, "502 no") + "\r\n").encode())
                    continue
                control.sendall(b"150 here it comes\r\n")
                connection, _ = data.accept()
                with connection:
                    connection.sendall(FILE)
                control.sendall(b"226 done\r\n")

    def close(self):
        with contextlib.suppress(OSError):
            self.sock.shutdown(socket.SHUT_RDWR)
        self.sock.close()
        self.thread.join(5)


def fetch(host, address, port, passive, timeout=3.0):
    """The file, by PASV or EPSV; OSError if the data connection does not come about."""
    with host.socket(socket.SOCK_STREAM) as control, host.socket(socket.SOCK_STREAM) as data:
        control.settimeout(timeout)
        data.settimeout(timeout)
        control.connect((address, port))
        lines = control.makefile("r", newline="\r\n")

        def command(text, code):
            if text:
                control.sendall((text + "\r\n").encode())
            line = lines.readline()
            assert line.startswith(code), line
            return line

        command("", "220")
        command("USER somebody", "331")
        command("PASS something", "230")
        if passive == "PASV":
            numbers = re.search(r"\((\d+),(\d+),(\d+),(\d+),(\d+),(\d+)\)", command("PASV", "227")).groups()
            data.connect((".".join(numbers[:4]), int(numbers[4]) * 256 + int(numbers[5])))
        else:
            data.connect((address, int(re.search(r"\|\|\|(\d+)\|", command("EPSV", "229")).group(1))))
        command("RETR file", "150")
        content = b""
        while part := data.recv(4096):
            content += part
        command("", "226")
        return content
