"""How what a message and an idle session cost is counted, of any program that says where it listens.

System calls by strace, user instructions by callgrind (both as the difference of two run lengths, so
that start and stop cancel out), anonymous memory from /proc.
"""

import os
import re
import signal
import struct
import subprocess
import tempfile
import time

from servers import Server

PAYLOAD = b"m" * 64


def message(framing):
    return PAYLOAD if framing == "raw" else struct.pack(">I", len(PAYLOAD)) + PAYLOAD


def read_exactly(peer, count):
    while count > 0:
        piece = peer.recv(count)
        assert piece, "the server hung up"
        count -= len(piece)


def ping_pong(server, sessions, rounds, framing, pause=False, depth=1, rest=0):
    """With `pause`, the server is stopped while a round is sent: the round is one ready list then,
    whatever the machine does meanwhile. With `rest`, in seconds, the next round is sent so much later
    that the server waits for it: who reads again before it waits must find nothing."""
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
        time.sleep(rest)
    for peer in peers:
        peer.close()


def system_calls(command, framing, rounds):
    with tempfile.NamedTemporaryFile() as table:
        strace = ["strace", "-f", "-c", "-o", table.name]
        with Server(command, strace, stderr=subprocess.DEVNULL) as server:
            ping_pong(server, 1, rounds, framing, rest=0.002)
            server.stop()
        calls = {}
        for line in open(table.name):
            words = line.split()
            if len(words) >= 5 and words[0].replace(".", "").isdigit() and words[-1] != "total":
                calls[words[-1]] = int(words[3])
        return calls


def calls_per_message(command, framing):
    short, long = (system_calls(command, framing, n) for n in (200, 700))
    rounds = 500
    each = {name: (long.get(name, 0) - short.get(name, 0)) / rounds for name in long}
    shown = ", ".join(f"{name} {count:.3f}" for name, count in sorted(each.items()) if count)
    return sum(each.values()), shown


def instructions(command, framing, rounds, depth, sessions, out="/dev/null"):
    callgrind = ["valgrind", "--tool=callgrind", f"--callgrind-out-file={out}"]
    with Server(command, callgrind, stderr=subprocess.PIPE) as server:
        ping_pong(server, sessions, rounds, framing, pause=True, depth=depth)
        return int(re.search(r"Collected : (\d+)", server.stop()).group(1))


def instructions_per_message(command, framing, depth=1, sessions=20):
    short, long = 100 // depth + 10, 600 // depth + 30
    more = instructions(command, framing, long, depth, sessions)
    more -= instructions(command, framing, short, depth, sessions)
    return more / ((long - short) * sessions * depth)


def anonymous_bytes(pid):
    for line in open(f"/proc/{pid}/status"):
        if line.startswith("RssAnon:"):
            return int(line.split()[1]) * 1024
    raise ValueError("no RssAnon")


def memory_per_session(command):
    sent = message("length")

    def served(server):
        peer = server.connect()
        peer.sendall(sent)
        read_exactly(peer, len(sent))
        return peer

    with Server(command) as server:
        peers = [served(server)]
        before = anonymous_bytes(server.process.pid)
        peers += [served(server) for _ in range(10_000)]
        return (anonymous_bytes(server.process.pid) - before) / 10_000
