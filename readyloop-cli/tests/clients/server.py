"""How the clients' checks start the program, and the ways in which it is told to serve."""

import os
import re
import shutil
import signal
import socket
import subprocess
import sys

TOPOLOGIES = {
    "single": ["--topology", "single"],
    "multi handoff": ["--topology", "multi", "--reactors", "2", "--accept", "handoff"],
    "multi reuseport": ["--topology", "multi", "--reactors", "2", "--accept", "reuseport"],
    "workers": ["--topology", "workers", "--workers", "2"],
}
TRIGGERS = ("level", "edge")
WAYS = [
    (f"{topology}, {trigger}", [*options, "--trigger", trigger])
    for topology, options in TOPOLOGIES.items()
    for trigger in TRIGGERS
]


class Serving:
    """`with Serving(program, service, options) as addresses`: until the end of the block."""

    def __init__(self, program, service, options):
        self.command = [program, "serve", service, *options]

    def __enter__(self):
        self.process = subprocess.Popen(self.command, stdout=subprocess.PIPE, text=True)
        ready = self.process.stdout.readline()
        self.ports = [int(port) for port in re.findall(r":(\d+)[/,]? ", ready.replace(",", ", "))]
        if not self.ports:
            sys.exit(f"{' '.join(self.command)} is not ready: {ready!r}")
        return self.ports

    def __exit__(self, *_):
        self.process.send_signal(signal.SIGTERM)
        status = self.process.wait(timeout=20)
        if status != 0:
            sys.exit(f"{' '.join(self.command)} ended with {status}")


def free_port():
    with socket.socket() as found:
        found.bind(("127.0.0.1", 0))
        return found.getsockname()[1]


def missing(*programs):
    """Those of these programs that are not installed."""
    return [program for program in programs if shutil.which(program) is None]


def has_module(name):
    return subprocess.run([sys.executable, "-c", f"import {name}"], capture_output=True).returncode == 0


def has_package(name):
    """Whether Node finds a package: in NODE_PATH, or near the script."""
    return not missing("node") and subprocess.run(["node", "-e", f"require('{name}')"], capture_output=True).returncode == 0


def has_chromium():
    return not missing(os.environ.get("CHROMIUM", "chromium")) and has_package("playwright-core")


def installed(clients):
    """Those of these clients that are there, of pairs (what runs it, whether it is there); names the rest."""
    there = {name: run for name, (run, is_there) in clients.items() if is_there}
    for name in clients:
        if name not in there:
            print(f"skipped, not installed: {name}")
    return there


def run_all(program, service, options, clients):
    """Every client that is installed, told the port, in every way of serving."""
    there = installed(clients)
    for way, more in WAYS:
        with Serving(program, service, ["--listen", "127.0.0.1:0", *options, *more]) as (port,):
            for run in there.values():
                run(port)
        print(f"{service}, {way}: {', '.join(there)}")


def call(command, **how):
    """Runs a client; what it says if it fails ends this."""
    done = subprocess.run(command, capture_output=True, text=True, timeout=120, **how)
    if done.returncode != 0:
        sys.exit(f"{' '.join(map(str, command))} ended with {done.returncode}:\n{done.stdout}{done.stderr}")
    return done.stdout
