"""What readyloop should be, row by row, and what it is today."""

from dataclasses import dataclass
from typing import Callable

import frameworks


@dataclass
class Seen:
    """Today's figure in words, whether it is good enough, and what stands in the way if it is not."""

    words: str
    met: bool | None
    limit: str = ""

    def verdict(self):
        if self.met is None:
            return "recorded"
        if self.met:
            return "met"
        return f"no; {self.limit}" if self.limit else "no"


@dataclass
class Goal:
    """A row: which section measures it, and how today's figure is read from what was told. A row that
    was not told is a KeyError."""

    section: str
    what: str
    wanted: str
    seen: Callable[[dict], Seen]


def counted(name, most, bare=None):
    """A count of scripts/cost; `bare` is what the same count is of the bare loop."""

    def seen(told):
        measured = told["cost", name]["measured"]
        limit = told.get(("counted", "bare"), {}).get(bare)
        return Seen(f"{measured:,.2f}", round(measured, 2) <= most,
                    f"the bare loop: {limit:.0f}" if limit else "")

    return seen


def over_server(peer, loads, least):
    """CPU of a real server over ours, and its throughput; what it would be if our own code cost nothing
    is the limit."""

    def seen(told):
        rows = {load: told[f"server CPU, {peer} over level", load] for load in loads}
        ratios, rates = ([row[value] for row in rows.values()] for value in ("ratio", "rate_ratio"))
        ratio_words, rate_words = (", ".join(f"{each:.2f}" for each in values) for values in (ratios, rates))
        words = f"{ratio_words}; throughput {rate_words}"
        best = ", ".join(f"{row['at_best']:.1f}" if row["at_best"] else "?" for row in rows.values())
        return Seen(words, min(ratios) >= least and min(rates) >= 1, f"the kernel's share of ours allows {best}")

    return seen


def idle(told):
    ratios = [told["idle", trigger]["ratio"] for trigger in ("level", "edge")]
    return Seen("level {:.2f}, edge {:.2f}".format(*ratios), min(ratios) >= 0.95)


def firehose(told):
    alone, beside = (told[f"echo, {load}", frameworks.OURS] for load in frameworks.POLITE)
    ratio, bare = (frameworks.fairness(told, name) for name in (frameworks.OURS, "bare"))
    words = f"{ratio:.1f} ({beside['p99_us']:.0f} us over {alone['p99_us']:.0f}, {beside['poured_mb']:,.0f} MB/s)"
    return Seen(words, ratio <= 3, f"the bare loop: {bare:.1f}" if bare else "")


def broadcast(told):
    def over_redis(name, depth):
        ours, redis = (told[f"deliveries, {depth} on their way", each]["per_second"] for each in (name, "Redis"))
        return ours / redis

    ours, bare = ([over_redis(name, depth) for depth in (1, 20)] for name in ("readyloop", "bare"))
    words = "one message on its way: {:.2f}, 20: {:.2f}".format(*ours)
    return Seen(words, min(ours) >= 3, "a loop of nothing but send(2): {:.2f}, {:.2f}".format(*bare))


def workers(told):
    single, pool, stranger = (told[f"waits beside {beside}", topology] for beside, topology in
                              (("the expensive", "single"), ("the expensive", "workers"), ("a stranger", "workers")))
    alone = told["waits beside nobody", "workers"]["p99_us"]
    words = f"{pool['over_alone']:.1f} ({pool['p99_us']:.0f} us over {alone:.0f}); single {single['over_alone']:.1f}"
    limit = f"while a process that is nobody's concern burns: {stranger['over_alone']:.1f}"
    return Seen(words, pool["over_alone"] <= 2, limit)


def accepts(told):
    rows = {name: row for (figure, name), row in told.items() if figure == "accepts"}
    ratios = ", ".join(f"{name} {row['over_first']:.2f}" for name, row in rows.items() if name != "single")
    # A KeyError if it was not told.
    single = rows["single"]["per_second"]
    return Seen(f"single {single:,.0f}/s; over it: {ratios}", None)


INSTRUCTIONS = "user instructions per message, 20 sessions, {}"
MEMORY = "anonymous bytes per idle session, 10,000 sessions, {}"
GOALS = [
    Goal("cost", "user instructions a message, raw", "bare 43, mio by hand 80; at most 120",
         counted(INSTRUCTIONS.format("raw"), 120, "instructions")),
    Goal("cost", "user instructions a message, length-framed", "tokio with its codec 1,616; at most 180",
         counted(INSTRUCTIONS.format("length:4be"), 180, "instructions")),
    *(Goal("cost", f"system calls a message, one session, {trigger}", "bare 3.0; at most 3.0",
           counted(f"system calls per message, one session, raw, {trigger}", 3.0)) for trigger in ("level", "edge")),
    *(Goal("cost", f"anonymous bytes an idle session, {topology}", "tokio 9,017, Redis 9,755; at most 256",
           counted(MEMORY.format(topology), 256)) for topology in ("single", "multi", "workers")),
    *(Goal("kv", f"kv, server CPU a command, Redis over ours, SET and GET at -P {depth}",
           f"at least {least}, throughput 1", over_server("Redis", [f"SET -P {depth}", f"GET -P {depth}"], least))
      for depth, least in ((1, 1.1), (16, 2), (64, 3))),
    Goal("http", "http, server CPU a request, nginx over ours", "at least 1.3, throughput 1",
         over_server("nginx", ["1"], 1.3)),
    Goal("idle", "throughput of 100 busy sessions beside 100,000 idle ones, over alone", "at least 0.95", idle),
    Goal("firehose", "p99 of 50 polite sessions beside one firehose, over alone", "at most 3", firehose),
    Goal("broadcast", "deliveries/s to 10,000 sessions, over Redis pub/sub", "at least 3", broadcast),
    Goal("workers", "p99 of cheap sessions while 1 in 100 burns 5 ms a frame, over nobody burning, workers",
         "at most 2", workers),
    Goal("accepts", "sessions of one frame a second", "", accepts),
]


def table(told, sections, missing):
    """In markdown: the rows of the sections that were asked for."""
    yield "| what (64-byte echo unless said) | known, and the goal | today | met, or the limit |"
    yield "|---|---|---|---|"
    for goal in GOALS:
        if goal.section not in sections:
            continue
        try:
            seen = goal.seen(told)
            today, verdict = seen.words, seen.verdict()
        except KeyError:
            today, verdict = "not measured", missing.get(goal.section, "its rows were not told")
        yield f"| {goal.what} | {goal.wanted} | {today} | {verdict} |"
