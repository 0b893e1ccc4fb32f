"""Servers that are measured: processes that say where they listen, on one CPU if that is wanted."""

import os
import re
import signal
import socket
import subprocess
import sys
import time

# The server has the first one for itself, and the load the last one, so that the scheduler's choices
# are not part of what is measured.
CPUS = sorted(os.sched_getaffinity(0))


def start(command, cpu=None, **how):
    """A process, on this CPU."""
    pin = None if cpu is None else lambda: os.sched_setaffinity(0, {cpu})
    return subprocess.Popen(command, preexec_fn=pin, stdout=subprocess.PIPE, **how)


def free_port():
    with socket.socket() as found:
        found.bind(("127.0.0.1", 0))
        return found.getsockname()[1]


def wait_until_it_answers(port):
    for _ in range(200):
        try:
            return socket.create_connection(("127.0.0.1", port)).close()
        except ConnectionRefusedError:
            time.sleep(0.02)
    sys.exit(f"nobody listens at port {port}")


def children(pid):
    with open(f"/proc/{pid}/task/{pid}/children") as file:
        return [int(each) for each in file.read().split()]


class Server:
    """A running program that says in a line on standard output where it listens."""

    def __init__(self, command, wrapper=(), cpu=None, **how):
        self.wrapper = wrapper
        self.process = start([*wrapper, *command], cpu, **how)
        ready = self.process.stdout.readline().decode()
        where = re.search(r":(\d+) ", ready)
        if where is None:
            self.kill()
            raise ValueError(f"{command[0]} does not say where it listens: '{ready.strip()}'")
        self.port = int(where.group(1))
        self.pids = [self.process.pid]

    def __enter__(self):
        return self

    def __exit__(self, *fault):
        self.kill()

    def connect(self):
        peer = socket.create_connection(("127.0.0.1", self.port), timeout=60)
        peer.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        return peer

    def stop(self):
        """Asks it to end, and gives back what it, or its wrapper, has written to stderr."""
        # strace has the program as a child, callgrind has become it.
        inner = children(self.process.pid)[:1] if self.wrapper else []
        os.kill((inner or [self.process.pid])[0], signal.SIGTERM)
        written = self.process.communicate(timeout=60)[1]
        return written.decode() if written else ""

    def kill(self):
        if self.process.poll() is None:
            for pid in [*(children(self.process.pid) if self.wrapper else []), self.process.pid]:
                os.kill(pid, signal.SIGKILL)
            self.process.communicate()


class Silent(Server):
    """A running program that listens at this port and does not say so."""

    def __init__(self, command, port, cpu=None):
        self.process, self.wrapper, self.port = start(command, cpu), (), port
        wait_until_it_answers(port)
        self.pids = [self.process.pid]


def service(program, name, *options):
    """How one of ours is started."""
    return [program, "serve", name, "--listen", "127.0.0.1:0", *options]
