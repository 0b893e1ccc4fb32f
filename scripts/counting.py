"""How what a message and an idle session cost is counted, of any program that says where it listens.

System calls by strace, user instructions by callgrind (both as the difference of two run lengths, so
that start and stop cancel out), anonymous memory from /proc.
"""

import os
import re
import signal
import socket
import struct
import subprocess
import tempfile

PAYLOAD = b"m" * 64


class Server:
    """A running echo, which has said where it listens."""

    def __init__(self, command, wrapper=()):
        self.process = subprocess.Popen([*wrapper, *command], stdout=subprocess.PIPE, stderr=subprocess.PIPE)
        ready = self.process.stdout.readline().decode()
        self.port = int(re.search(r":(\d+) ", ready).group(1))

    def connect(self):
        peer = socket.create_connection(("127.0.0.1", self.port))
        peer.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        return peer

    def stop(self):
        """Ends the server, and gives back what it, or its wrapper, has written to stderr."""
        child = self.process.pid
        for line in os.popen(f"ps -o pid= --ppid {child}").read().split():
            child = int(line)
        os.kill(child, signal.SIGTERM)
        return self.process.communicate(timeout=60)[1].decode()


def message(framing):
    return PAYLOAD if framing == "raw" else struct.pack(">I", len(PAYLOAD)) + PAYLOAD


def read_exactly(peer, count):
    while count > 0:
        piece = peer.recv(count)
        assert piece, "the server hung up"
        count -= len(piece)


def ping_pong(server, sessions, rounds, framing, pause=False, depth=1):
    """With `pause`, the server is stopped while a round is sent: the round is one ready list then,
    whatever the machine does meanwhile."""
    peers = [server.connect() for _ in range(sessions)]
    sent = message(framing) * depth
    for _ in range(rounds):
        if pause:
            os.kill(server.process.pid, signal.SIGSTOP)
            os.waitpid(server.process.pid, os.WUNTRACED)
        for peer in peers:
            peer.sendall(sent)
        if pause:
            os.kill(server.process.pid, signal.SIGCONT)
        for peer in peers:
            read_exactly(peer, len(sent))
    for peer in peers:
        peer.close()


def system_calls(command, framing, rounds):
    with tempfile.NamedTemporaryFile() as table:
        server = Server(command, ["strace", "-f", "-c", "-o", table.name])
        ping_pong(server, 1, rounds, framing)
        server.stop()
        calls = {}
        for line in open(table.name):
            words = line.split()
            if len(words) >= 5 and words[0].replace(".", "").isdigit() and words[-1] != "total":
                calls[words[-1]] = int(words[3])
        return calls


def calls_per_message(command, framing):
    short, long = (system_calls(command, framing, n) for n in (500, 1500))
    rounds = 1000
    each = {name: (long.get(name, 0) - short.get(name, 0)) / rounds for name in long}
    shown = ", ".join(f"{name} {count:.3f}" for name, count in sorted(each.items()) if count)
    return sum(each.values()), shown


def instructions(command, framing, rounds, depth):
    server = Server(command, ["valgrind", "--tool=callgrind", "--callgrind-out-file=/dev/null"])
    ping_pong(server, 20, rounds, framing, pause=True, depth=depth)
    return int(re.search(r"Collected : (\d+)", server.stop()).group(1))


def instructions_per_message(command, framing, depth=1):
    short, long = 100 // depth + 10, 600 // depth + 30
    more = instructions(command, framing, long, depth)
    more -= instructions(command, framing, short, depth)
    return more / ((long - short) * 20 * depth)


def anonymous_bytes(pid):
    for line in open(f"/proc/{pid}/status"):
        if line.startswith("RssAnon:"):
            return int(line.split()[1]) * 1024
    raise ValueError("no RssAnon")


def memory_per_session(command):
    server = Server(command)
    sent = message("length")

    def served():
        peer = server.connect()
        peer.sendall(sent)
        read_exactly(peer, len(sent))
        return peer

    peers = [served()]
    before = anonymous_bytes(server.process.pid)
    peers += [served() for _ in range(10_000)]
    each = (anonymous_bytes(server.process.pid) - before) / 10_000
    server.process.kill()
    server.process.communicate()
    return each
