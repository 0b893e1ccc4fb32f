"""One of several who talk in a room: talk.py tcp|websocket PORT NAME TALKERS LINES

Comes in, waits until all are there, says its lines, and prints all that was said as JSON once it has
heard everybody's.
"""

import contextlib
import json
import socket
import sys


class Tcp:
    def __init__(self, port):
        self.socket = socket.create_connection(("127.0.0.1", port), timeout=60)
        self.file = self.socket.makefile("r", encoding="utf-8", newline="\n")

    def send(self, line):
        self.socket.sendall(line.encode() + b"\n")

    def lines(self):
        for line in self.file:
            yield line.rstrip("\n")

    def close(self):
        self.socket.close()


class WebSocket:
    def __init__(self, port):
        from websockets.sync.client import connect

        self.until_the_end = contextlib.ExitStack()
        self.socket = self.until_the_end.enter_context(connect(f"ws://127.0.0.1:{port}/ws", open_timeout=60))

    def send(self, line):
        self.socket.send(line)

    def lines(self):
        while True:
            yield from self.socket.recv(timeout=60).splitlines()

    def close(self):
        self.until_the_end.close()


def main():
    kind, port, name, talkers, count = sys.argv[1], int(sys.argv[2]), sys.argv[3], int(sys.argv[4]), int(sys.argv[5])
    client = {"tcp": Tcp, "websocket": WebSocket}[kind](port)
    client.send(f"NICK {name}")
    client.send("JOIN den 0")
    client.send("WHO den")
    here, said = set(), []
    for line in client.lines():
        word, *fields = line.split(" ")
        if word == "ERR":
            sys.exit(f"{name}: {line}")
        if word in ("MEMBERS", "JOINED"):
            was = len(here)
            here.update(fields[1:])
            if was < talkers == len(here):
                for nth in range(count):
                    client.send(f"SAY den {name} says {nth}: grüße, <b>&amp;")
        if word == "SAID":
            said.append([int(fields[1]), fields[2], " ".join(fields[3:])])
            if len(said) == talkers * count:
                break
    print(json.dumps(said))
    client.close()


main()
