"""The same length-framed echo on other frameworks, beside ours: what it costs each, and how it fares."""

import json
import os
import statistics
import subprocess
import tempfile
from collections import defaultdict

from counting import calls_per_message, instructions_per_message, memory_per_session
from servers import CPUS, Server, service, start
from told import tell

HERE = os.path.join(os.path.dirname(os.path.abspath(__file__)), "peers")
FRAMING = "length:4be"
OURS = "readyloop"
# What each is called in the table.
RUST = {
    "mio": "mio {mio}, by hand",
    "monoio": "monoio {monoio}, on epoll",
    "tokio_plain": "tokio {tokio}, frames cut by hand",
    "tokio_codec": "tokio {tokio}, LengthDelimitedCodec of tokio-util {tokio-util}",
    "smol": "smol {smol}",
    "ntex": "ntex {ntex}",
    "mill_net": "mill-net {mill-net}",
    "reactio": "reactio {reactio}",
}
C = {
    "bare": ("bare: epoll in C, no sessions, no framing", None),
    "libuv": ("libuv {libuv}", "libuv"),
    "libevent": ("libevent {libevent}", "libevent"),
}
# The loads that are timed, 50 sessions each: all that is answered, one and sixteen in flight; and so
# little that nobody has to wait, alone and beside a session that sends without pause.
LOADS = {
    "1 in flight": ["--pipeline", "1", "--duration", "1s"],
    "16 in flight": ["--pipeline", "16", "--duration", "1s"],
    "alone": ["--rate", "5000", "--duration", "2s"],
    "beside a firehose": ["--rate", "5000", "--duration", "2s", "--firehose", "1"],
}
POLITE = ("alone", "beside a firehose")


def complaint(done):
    """Why a program failed, in its own words: cargo says it first and explains it then, others end
    with it."""
    lines = (done.stderr.strip() or done.stdout.strip() or "it does not say why").splitlines()
    return next((line for line in lines if line.startswith("error")), lines[-1])


def run_to_end(command, cpu=None):
    process = start(command, cpu, cwd=HERE, stderr=subprocess.PIPE, text=True)
    stdout, stderr = process.communicate()
    return subprocess.CompletedProcess(command, process.returncode, stdout, stderr)


def recipes(folder):
    """How each is built, and which program comes of it."""
    for name, (_, library) in C.items():
        program = os.path.join(folder, name)
        linked = [f"-l{library.removeprefix('lib')}"] if library else []
        yield name, ["cc", "-O2", "-o", program, f"c/{name}.c", *linked], program
    for name in RUST:
        program = os.path.join(HERE, "target", "release", name)
        yield name, ["cargo", "build", "--release", "--quiet", "--target-dir", "target", "--bin", name], program


def build(folder):
    """The command of each that could be built; tells why the others could not."""
    commands = {}
    for name, command, program in recipes(folder):
        try:
            done = run_to_end(command)
        except FileNotFoundError:
            tell("failed", f"{name}, to be built", why=f"{command[0]} is not there")
            continue
        if done.returncode == 0:
            commands[name] = [program]
        else:
            tell("failed", f"{name}, to be built", why=complaint(done))
    return commands


def ours(program):
    return service(program, "echo", "--framing", FRAMING)


COUNTS = {
    "instructions": lambda command: instructions_per_message(command, FRAMING),
    "calls": lambda command: calls_per_message(command, FRAMING)[0],
    "bytes": memory_per_session,
}


def count(name, command):
    """Tells what can be counted, and why the rest cannot: the programs are others', so whatever goes
    wrong with one is told, and the next has its turn."""
    counts = {}
    for what, counting in COUNTS.items():
        try:
            counts[what] = counting(command)
        except Exception as why:
            tell("failed", f"{name}, {what}", why=f"{type(why).__name__}: {why}")
    tell("counted", name, **counts)


def ask(program, command, options):
    """What bench measures of a server that has a CPU for itself, as has bench."""
    with Server(command, cpu=CPUS[0]) as server, tempfile.NamedTemporaryFile() as report:
        target = f"127.0.0.1:{server.port}"
        bench = [program, "bench", "echo", "--target", target, "--sessions", "50", "--json", report.name, *options]
        done = run_to_end(bench, CPUS[-1])
        if done.returncode != 0:
            raise ValueError(complaint(done))
        return json.load(report)


def measure(program, servers, loads, rounds):
    """Tells the medians of each server under each of these loads, and why there is none."""
    measured = {(name, load): [] for name in servers for load in loads}
    for _ in range(rounds):
        for name, load in list(measured):
            try:
                measured[name, load].append(ask(program, servers[name], LOADS[load]))
            except ValueError as why:
                del measured[name, load]
                tell("failed", f"{name}, {load}", why=str(why))
    for (name, load), reports in measured.items():
        tell(f"echo, {load}", name,
             per_second=statistics.median(report["answers_per_second"] for report in reports),
             p99_us=statistics.median(report["latency_us"]["p99"] for report in reports),
             poured_mb=statistics.median(poured(report) for report in reports))


def poured(report):
    """MB/s that came back to the firehoses."""
    return (report["firehoses"] or {}).get("received_bytes_per_second", 0) / 1e6


def measure_ours(program, rounds):
    """How polite sessions of ours fare beside a firehose."""
    measure(program, {OURS: ours(program)}, POLITE, rounds)


def measure_all(program, rounds):
    with tempfile.TemporaryDirectory(prefix="readyloop-peers-") as folder:
        servers = build(folder) | {OURS: ours(program)}
        for name, command in servers.items():
            count(name, command)
        measure(program, servers, LOADS, rounds)


def fairness(told, name):
    """p99 beside a firehose over p99 alone, if both could be measured."""
    alone, beside = (told.get((f"echo, {load}", name)) for load in POLITE)
    return beside["p99_us"] / alone["p99_us"] if alone and beside else None


def over_ours(told, name, load, value):
    theirs, ours = (told.get((f"echo, {load}", each)) for each in (name, OURS))
    return theirs[value] / ours[value] if theirs and ours else None


def spelled(value, form):
    return "–" if value is None else format(value, form)


def row(told, name, called):
    counts = told["counted", name]
    cells = [
        called,
        spelled(counts.get("instructions"), ",.0f"),
        spelled(counts.get("calls"), ".2f"),
        spelled(counts.get("bytes"), ",.0f"),
        spelled(over_ours(told, name, "1 in flight", "per_second"), ".2f"),
        spelled(over_ours(told, name, "1 in flight", "p99_us"), ".2f"),
        spelled(over_ours(told, name, "16 in flight", "per_second"), ".2f"),
        spelled(fairness(told, name), ".1f"),
        spelled(told.get((f"echo, {POLITE[1]}", name), {}).get("poured_mb"), ",.0f"),
    ]
    return f"| {' | '.join(cells)} |"


def table(told, versions):
    """In markdown; those whose messages take the fewest instructions first, then what went wrong."""
    names = [name for figure, name in told if figure == "counted"]
    names.sort(key=lambda name: told["counted", name].get("instructions", float("inf")))
    yield ("| | user instructions a message | system calls a message | bytes an idle session | messages/s over ours "
           "| p99 over ours | messages/s over ours, 16 in flight | p99 beside a firehose over alone "
           "| MB/s of the firehose |")
    yield "|---|---|---|---|---|---|---|---|---|"
    called = titles(versions)
    for name in names:
        yield row(told, name, called.get(name, f"**{OURS}**"))
    for (figure, what), failed in told.items():
        if figure == "failed":
            yield f"\nNot measured: {what}: {failed['why']}"


def titles(versions):
    """What each is called, with its version; those that are not among the peers have none."""
    titles = RUST | {name: title for name, (title, _) in C.items()}
    known = defaultdict(str, versions)
    return {name: " ".join(title.format_map(known).split()) for name, title in titles.items()}
