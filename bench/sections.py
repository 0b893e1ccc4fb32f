"""What can be measured: each section is a command of this repository, or a function of this folder,
that tells its rows."""

import csv
import os
import subprocess
import tempfile
from dataclasses import dataclass
from typing import Callable

import frameworks
from told import tell

IDLE_REACTORS = "6"
ROOT = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))


class Missing(Exception):
    """Why a section could not be measured."""


def run(*command, rounds=None):
    """Runs it to its end; its rows are told by itself."""
    environment = os.environ | ({"READYLOOP_ROUNDS": str(rounds)} if rounds else {})
    try:
        done = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True)
    except FileNotFoundError:
        raise Missing(f"{command[0]} is not there") from None
    if done.returncode != 0:
        raise Missing(frameworks.complaint(done))
    return done.stdout


def cost(program, rounds):
    run("scripts/cost", program)


def kv(program, rounds):
    run("scripts/ratio-kv", program, str(rounds))


def http(program, rounds):
    run("scripts/ratio-http", program, str(rounds))


def idle(program, rounds):
    """Throughput with idle sessions over that with none, with as many threads on both sides: those that
    100,000 sessions take where a process has 20,000 descriptors."""
    with tempfile.TemporaryDirectory() as folder:
        run(program, "compare", "--pollers", "epoll", "--idle", "0,100000", "--reactors", IDLE_REACTORS, "--rounds", str(rounds), "--out", folder)
        with open(os.path.join(folder, "compare.csv")) as file:
            points = list(csv.DictReader(file))
    for trigger in ("level", "edge"):
        alone, beside = (float(point["messages_per_second"]) for point in points if point["trigger"] == trigger)
        tell("idle", trigger, ratio=beside / alone)


def figures(test):
    """One of the figures that the tests measure."""

    def measure(program, rounds):
        command = ["cargo", "test", "--release", "--quiet", "-p", "readyloop-cli", "--test", "figures", test]
        said = run(*command, "--", "--ignored", "--nocapture", "--test-threads", "1", rounds=rounds)
        without = [line for line in said.splitlines() if line.startswith("without ")]
        if without:
            raise Missing("; ".join(without))

    return measure


def broadcast(program, rounds):
    """Ours and Redis', and what a loop of nothing but sends delivers."""
    run("cargo", "build", "--release", "--quiet", "--example", "broadcast")
    with tempfile.TemporaryDirectory() as folder:
        bare = os.path.join(folder, "broadcast")
        run("cc", "-O2", "-o", bare, os.path.join(frameworks.HERE, "c", "broadcast.c"))
        for depth in (1, 20):
            rates = sorted(float(run(bare, str(depth), "50").split()[4]) for _ in range(rounds))
            tell(f"deliveries, {depth} on their way", "bare", per_second=rates[len(rates) // 2])
    figures(BROADCAST)(program, rounds)


def firehose(program, rounds):
    frameworks.measure_ours(program, rounds)


def peers(program, rounds):
    frameworks.measure_all(program, rounds)


def tests(test):
    return f"cargo test --release -p readyloop-cli --test figures {test} -- --ignored --nocapture --test-threads 1"


def asking(load):
    return f"PROGRAM bench echo --target ADDR --sessions 50 {' '.join(frameworks.LOADS[load])}"


@dataclass
class Section:
    measure: Callable[[str, int], None]
    # How one sees the same, or most of it, by hand.
    commands: list[str]


BROADCAST, WORKERS = "broadcast_to_ten_thousand", "cheap_sessions_beside_expensive_ones"
ACCEPTS = "accept_rate_handoff_against_reuseport"
SECTIONS = {
    "cost": Section(cost, ["scripts/cost PROGRAM"]),
    "kv": Section(kv, ["scripts/ratio-kv PROGRAM"]),
    "http": Section(http, ["scripts/ratio-http PROGRAM"]),
    "idle": Section(idle, [f"PROGRAM compare --pollers epoll --idle 0,100000 --reactors {IDLE_REACTORS}"]),
    "firehose": Section(firehose, [asking(load) for load in frameworks.POLITE]),
    "broadcast": Section(broadcast, [tests(BROADCAST), "cc -O2 -o bare bench/peers/c/broadcast.c && ./bare 1 50"]),
    "workers": Section(figures(WORKERS), [tests(WORKERS)]),
    "accepts": Section(figures(ACCEPTS), [tests(ACCEPTS)]),
    "peers": Section(peers, [asking(load) for load in frameworks.LOADS]),
}
