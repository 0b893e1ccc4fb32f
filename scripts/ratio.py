"""What the ratio scripts share: our servers, the CPU time of all, and the table."""

import os
import statistics

from servers import CPUS, Server, service
from told import tell

TRIGGERS = ("level", "edge")
TICKS = os.sysconf("SC_CLK_TCK")


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


def ours(program, name, trigger):
    return Server(service(program, name, "--trigger", trigger), cpu=CPUS[0])


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
            # Time in the kernel is counted in ticks, so a short load may have none.
            at_best = (their_user + their_system) / system if system else None
            tell(f"server CPU, {peer} over {name}", str(load), ratio=ratio, rate_ratio=rate / their_rate, at_best=at_best)
            print(f"{row:24} | {user + system:6.2f} = {user:5.2f} + {system:5.2f} | {ratio:5.2f} | {rate:10,.0f} | {rate / their_rate:5.2f}")
