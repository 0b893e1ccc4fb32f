"""What the ratio scripts share: servers on one CPU, their CPU time, and the table."""

import os
import re
import signal
import socket
import statistics
import subprocess
import sys
import time

TRIGGERS = ("level", "edge")
TICKS = os.sysconf("SC_CLK_TCK")
CPUS = sorted(os.sched_getaffinity(0))


def start(command, cpu, **how):
    """A process on one CPU, so that the scheduler's choices are not part of the ratio."""
    pin = lambda: os.sched_setaffinity(0, {cpu})
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


def cpu_seconds(pids):
    """User and system time, threads included (proc_pid_stat(5))."""
    user = system = 0
    for pid in pids:
        fields = open(f"/proc/{pid}/stat").read().rsplit(")", 1)[1].split()
        user, system = user + int(fields[11]), system + int(fields[12])
    return user / TICKS, system / TICKS


def cost(server, load):
    """What `load` returns: how much it did, and in how many seconds; as rate, user and system
    microseconds."""
    before = cpu_seconds(server.pids)
    count, seconds = load()
    user, system = (spent - was for spent, was in zip(cpu_seconds(server.pids), before))
    return count / seconds, user / count * 1e6, system / count * 1e6


class Ours:
    def __init__(self, program, service, trigger):
        command = [program, "serve", service, "--listen", "127.0.0.1:0", "--trigger", trigger]
        self.process = start(command, CPUS[0])
        self.port = int(re.search(r":(\d+) ", self.process.stdout.readline().decode()).group(1))
        self.pids = [self.process.pid]


def stop(servers):
    for server in servers:
        server.process.send_signal(signal.SIGTERM)
        server.process.wait(timeout=20)


def report(what, unit, peer, loads, measured):
    """One row for each load and server. A ratio over 1 says how much better ours is; the kernel's
    share says how good it could be if we did nothing at all."""
    print(f"{what}, medians | CPU us/{unit} = user + kernel | {peer} over it | {unit}s/s | over {peer}")
    for load in loads:
        medians = {name: [statistics.median(each) for each in zip(*measured[name, load])] for name in (peer, *TRIGGERS)}
        their_rate, their_user, their_system = medians[peer]
        for name, (rate, user, system) in medians.items():
            ratio = (their_user + their_system) / (user + system)
            row = f"{name}, {load}"
            print(f"{row:24} | {user + system:6.2f} = {user:5.2f} + {system:5.2f} | {ratio:5.2f} | {rate:10,.0f} | {rate / their_rate:5.2f}")
