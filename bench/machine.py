"""On what it was measured: the machine, the compilers, and the versions of everything."""

import os
import re
import resource
import subprocess

from frameworks import C, HERE, RUST


def said(*command):
    """The first line that a program says, if it is there."""
    try:
        done = subprocess.run(command, capture_output=True, text=True)
    except FileNotFoundError:
        return ""
    return (done.stdout + done.stderr).partition("\n")[0]


def version(*command):
    """A program and its version, without the rest of what it says."""
    found = re.search(r"\d+\.[\w.]*\d", said(*command))
    return f"{command[0]} {found.group(0)}" if found else f"no {command[0]}"


def locked():
    """The versions of what the peers name as their dependencies. Cargo.lock has the version beside a
    name only where there are several."""
    with open(os.path.join(HERE, "Cargo.lock")) as file:
        lock = file.read()
    versions = dict(re.findall(r'name = "(.+)"\nversion = "(.+)"', lock))
    peers = re.search(r'name = "peers"\n(?:.+\n)*?dependencies = \[\n((?: ".+",\n)*)\]', lock).group(1)
    named = (entry.split() for entry in re.findall(r'"(.+)"', peers))
    return {name: (version or [versions[name]])[0] for name, *version in named}


def versions():
    """Of all peers, by the name of the library."""
    asking = ["pkg-config", "--silence-errors", "--modversion"]
    libraries = [library for _, library in C.values() if library]
    return locked() | {library: said(*asking, library) or "missing" for library in libraries}


def processor():
    with open("/proc/cpuinfo") as file:
        found = re.search(r"model name\s*: (.+)", file.read())
    return found.group(1) if found else os.uname().machine


def described(program):
    """In markdown: what ran where."""
    commit = said("git", "-C", HERE, "describe", "--always", "--dirty")
    descriptors, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    titles = " ".join([*RUST.values(), *(title for title, _ in C.values())])
    theirs = {name: number for name, number in versions().items() if "{" + name + "}" in titles}
    yield f"* {len(os.sched_getaffinity(0))} CPUs, {processor()}; Linux {os.uname().release}; loopback; "\
          f"RLIMIT_NOFILE {descriptors:,}."
    compilers = f"{version('rustc', '-V')}, {version('cc', '-dumpfullversion')}"
    yield f"* {said(program, '--version')}, {commit}; {compilers}."
    yield f"* {', '.join(' '.join(each) for each in sorted(theirs.items()))}."
    tools = [("redis-server", "--version"), ("nginx", "-v"), ("wrk", "-v"), ("valgrind", "--version"), ("strace", "-V")]
    yield f"* {', '.join(version(*tool) for tool in tools)}."
