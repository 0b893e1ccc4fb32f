"""Whether the kv service says what Redis says, byte for byte.

    same_words.py PORT PORT_OF_REDIS [SEED]

A fixed script of what clients do right and wrong, then random commands on few keys, each in both
versions of RESP. Prints the first difference, and the seed.
"""

import random
import socket
import sys


class Client:
    def __init__(self, port):
        self.socket = socket.create_connection(("127.0.0.1", port), timeout=20)
        self.file = self.socket.makefile("rb")

    def ask(self, command):
        if isinstance(command, bytes):
            self.socket.sendall(command)
        else:
            words = [word if isinstance(word, bytes) else str(word).encode() for word in command]
            parts = [b"*%d\r\n" % len(words)] + [b"$%d\r\n%s\r\n" % (len(word), word) for word in words]
            self.socket.sendall(b"".join(parts))
        return self.reply()

    def reply(self):
        """One reply, with its bytes as they came."""
        line = self.file.readline()
        if not line:
            return b"closed"
        kind, count = line[:1], line[1:-2]
        if kind in b"$=" and count != b"-1":
            return line + self.file.read(int(count) + 2)
        if kind in b"*~>%" and count != b"-1":
            replies = int(count) * (2 if kind == b"%" else 1)
            return line + b"".join(self.reply() for _ in range(replies))
        return line


FIXED = """
PING|PING hello|PING a b|ECHO hi|ECHO|SELECT 0|SELECT 1|SELECT x|SELECT -1
GET|GET a b|GET nokey|SET k|SET k v|GET k|set k w|get k|sEt k x
SET k v NX|SET k v XX|SET n v XX|SET n v NX|SET k v GET|SET k2 v GET|SET k v NX GET|SET k v XX GET|SET k v NX XX
SET k v EX 10|TTL k|SET k v KEEPTTL|TTL k|SET k v|TTL k|PTTL k|TTL none|PTTL none
SET k v EX 0|SET k v EX -1|SET k v EX x|SET k v EX|SET k v PX 0|SET k v EX 9223372036854775807|SET k v EX 10 PX 10
SET k v EX 10 KEEPTTL|SET k v KEEPTTL EX 10|SET k v FOO|SET k v EXAT 1|GET k|SET k v PXAT 0|SET k v EXAT 99999999999|TTL none
SET k v PX 9223372036854775807|SET k v EXAT 9223372036854775807
SETNX k v|SETNX fresh v|SETEX k 10 v|TTL k|SETEX k 0 v|SETEX k x v|SETEX k 10|PSETEX k 10000 v|TTL k|PSETEX k -5 v
GETSET k w|GETSET nothere w|GET nothere|GETDEL k|GETDEL k|GETDEL|APPEND k abc|APPEND k def|GET k|STRLEN k|STRLEN none
DEL k none|DEL|EXISTS k|SET a 1|SET b 2|EXISTS a b a none|DEL a b a|UNLINK a
INCR c|INCR c|DECR c|INCRBY c 10|DECRBY c 3|INCRBY c x|INCRBY c 1.5|INCRBY c|DECRBY c -9223372036854775808|INCRBY c 9223372036854775807
SET c 9223372036854775807|INCR c|SET c -9223372036854775808|DECR c|DECRBY c 1|SET c abc|INCR c|SET c 010|INCR c|SET c " 1"|INCR c
DECRBY c 9223372036854775808|INCRBY c 9223372036854775808
MSET a 1 b 2|MGET a b none|MSET a|MSET a 1 b|MGET|MSETNX a 1 z 2|EXISTS z|MSETNX y 1 z 2|MSETNX y
EXPIRE a 100|TTL a|EXPIRE none 100|EXPIRE a x|EXPIRE a|EXPIRE a 100 NX|EXPIRE a 200 XX|TTL a|EXPIRE a 100 GT|EXPIRE a 300 GT|TTL a|EXPIRE a 400 LT|EXPIRE a 50 LT|TTL a
EXPIRE b 100 GT|EXPIRE b 100 LT|TTL b|EXPIRE b 100 FOO|EXPIRE b 100 NX XX|EXPIRE b 100 NX GT|EXPIRE b 100 GT LT|EXPIRE b 9223372036854775807|EXPIRE b -9223372036854775808
EXPIRE b -1|EXISTS b|PEXPIRE a 100000|TTL a|PEXPIRE a 9223372036854775807|PERSIST a|PERSIST a|PERSIST none|TTL a|PEXPIRE a 0|GET a
TYPE c|TYPE none|TYPE|KEYS|KEYS zzz*|SCAN|SCAN x|SCAN 0 COUNT 0|SCAN 0 COUNT x|SCAN 0 MATCH|SCAN 0 FOO 1|SCAN 0 MATCH nothing*|SCAN 0 TYPE list
FLUSHALL|DBSIZE|SET a 1|DBSIZE|KEYS *|SCAN 0|SCAN 0 COUNT 100 MATCH a|SCAN 0 TYPE string|FLUSHDB|FLUSHALL SYNC|FLUSHALL ASYNC|FLUSHALL FOO|FLUSHALL SYNC SYNC|DBSIZE x
NOSUCH|NOSUCH a b c|nosuch "a b"|CONFIG|CONFIG GET|CONFIG NOSUCH|CONFIG GET nosuch|CONFIG GET save|CONFIG GET appendonly|CONFIG GET databases-nope
CLIENT|CLIENT NOSUCH|CLIENT GETNAME|CLIENT SETNAME me|CLIENT GETNAME|CLIENT SETNAME "a b"|CLIENT SETNAME|CLIENT ID x|CLIENT LIST TYPE nosuch|CLIENT LIST FOO|CLIENT LIST ID x|CLIENT GETNAME x
CLIENT SETNAME ""|CLIENT GETNAME
COMMAND COUNT x|COMMAND NOSUCH|COMMAND INFO nosuch|AUTH|AUTH x|AUTH default x|AUTH nobody x|AUTH a b c
HELLO 4|HELLO x|HELLO 2 FOO|HELLO 2 SETNAME|HELLO 2 AUTH x
MULTI|SET t 1|INCR t|GET t|EXEC|EXEC|DISCARD|MULTI|MULTI|DISCARD|MULTI|GET|SET t 5|EXEC|GET t|MULTI|NOSUCH|EXEC|MULTI|INCR none x|EXEC|MULTI|SET t abc|INCR t|EXEC|GET t
MULTI|PING|MGET t none|ECHO hi|SELECT 0|EXEC|MULTI|EXEC
PUBLISH ch hi|PUBLISH ch|PUBSUB CHANNELS|PUBSUB NUMSUB|PUBSUB NUMSUB a b|PUBSUB NUMPAT|PUBSUB NOSUCH|PUBSUB NUMPAT x|PUBSUB
UNSUBSCRIBE|PUNSUBSCRIBE|UNSUBSCRIBE x|SUBSCRIBE|RESET|TIME x
SUBSCRIBE c1|PSUBSCRIBE p*|SUBSCRIBE c1|UNSUBSCRIBE c1|PUNSUBSCRIBE|UNSUBSCRIBE|GET t|RESET|GET t
"""

# Said while it listens; a client of RESP2 may say little then.
LISTENING = "GET a|SET a 1|PING|PING x|PING a b|PUBLISH c x|MULTI|ECHO x|NOSUCH|GET|HELLO 2|INFO x y|UNSUBSCRIBE c|GET a|RESET"

INLINE = [
    b"PING\r\n", b"ping\n", b"SET ik \"a b\"\r\n", b"GET ik\r\n", b"set ik 'x\\'y'\r\n", b"GET ik\r\n",
    b'SET ik "\\x41\\n\\t\\"q"\r\n', b"GET   ik  \r\n", b"NOSUCH a 'b c'\r\n", b"\r\n\r\nPING\r\n",
]

BROKEN = [
    b"*x\r\n", b"*1\r\nPING\r\n", b"*1\r\n$x\r\n", b"*1\r\n$-1\r\n", b"*1\r\n:4\r\n", b'SET k "v\r\n',
    b"SET k 'v\r\n", b'SET k "a"b\r\n', b"*99999999999\r\n", b"*1\r\n$99999999999\r\n", b"*1\r\n\r\n", b"*\r\n",
    b"*1\r\n$4 \r\n", b"*2147483648\r\n", b"*-5\r\n*1\r\n$4\r\nPING\r\n", b"*0\r\nPING\r\n",
    b"a" * 70000, b"*" + b"1" * 70000, b"*1\r\n$" + b"1" * 70000,
]


def words(text):
    """Splits a line; words in double quotes hold spaces."""
    parts, rest = [], text.strip()
    while rest:
        if rest[0] == '"':
            word, _, rest = rest[1:].partition('"')
        else:
            word, _, rest = rest.partition(" ")
        parts.append(word)
        rest = rest.strip()
    return parts


def same(clients, command):
    replies = [client.ask(command) for client in clients]
    if replies[0] != replies[1]:
        sys.exit(f"{command!r}:\n  ours  {replies[0]!r}\n  Redis {replies[1]!r}")


def random_command(dice):
    """Without GT and LT: which of two deadlines is later may hang on one millisecond."""
    key, value = dice.choice("abcdef"), dice.choice(["1", "-7", "abc", "", "9223372036854775806", "x" * 100])
    number = dice.choice(["1", "-3", "100", "x", "9223372036854775807"])
    return dice.choice([
        ["GET", key], ["SET", key, value], ["SET", key, value, dice.choice(["NX", "XX", "GET", "KEEPTTL"])],
        ["SET", key, value, "EX", number.replace("1", "50", 1)], ["SETNX", key, value], ["GETSET", key, value], ["GETDEL", key],
        ["APPEND", key, value], ["STRLEN", key], ["DEL", key, dice.choice("abcdef")], ["EXISTS", key, "a"],
        ["INCR", key], ["DECR", key], ["INCRBY", key, number], ["DECRBY", key, number], ["MGET", key, "a", "zz"],
        ["MSET", key, value, dice.choice("abcdef"), value], ["MSETNX", key, value, dice.choice("abcdef"), value],
        ["EXPIRE", key, dice.choice(["100", "-1", "1000"]), *dice.choice([[], ["NX"], ["XX"]])],
        ["TTL", key], ["PERSIST", key], ["TYPE", key], ["DBSIZE"], ["MULTI"], ["EXEC"], ["DISCARD"],
    ])


def in_one_version(ports, version, dice):
    clients = [Client(port) for port in ports]
    for client in clients:
        client.ask(["FLUSHALL"])
        client.ask(["HELLO", version])
    for line in FIXED.strip().splitlines():
        for text in line.split("|"):
            same(clients, words(text))
            if text == "RESET":
                [client.ask(["HELLO", version]) for client in clients]
    same(clients, ["SUBSCRIBE", "c"])
    for text in LISTENING.split("|") if version == 2 else []:
        same(clients, words(text))
    for command in INLINE if version == 2 else []:
        same(clients, command)
    clients = [Client(port) for port in ports]
    for client in clients:
        client.ask(["FLUSHALL"])
        client.ask(["HELLO", version])
    for _ in range(3000):
        same(clients, random_command(dice))


def messages(ports, version):
    """What a listener hears."""
    for port in ports:
        listener, speaker = Client(port), Client(port)
        heard = [listener.ask(["HELLO", version]) and b""]
        heard += [listener.ask(["SUBSCRIBE", "news"]), listener.ask(["PSUBSCRIBE", "n*"])]
        heard += [speaker.ask(["PUBLISH", "news", "one"]), listener.reply(), listener.reply()]
        heard += [speaker.ask(["PUBLISH", "none", "two"]), listener.reply()]
        heard += [speaker.ask(["PUBSUB", "NUMSUB", "news", "x"]), speaker.ask(["PUBSUB", "NUMPAT"])]
        heard += [speaker.ask(["PUBSUB", "CHANNELS"]), listener.ask(["UNSUBSCRIBE"])]
        yield heard


def main():
    ports = [int(sys.argv[1]), int(sys.argv[2])]
    seed = int(sys.argv[3]) if len(sys.argv) > 3 else random.randrange(1 << 32)
    print(f"seed {seed}")
    dice = random.Random(seed)
    for version in (2, 3):
        in_one_version(ports, version, dice)
        ours, theirs = messages(ports, version)
        if ours != theirs:
            sys.exit(f"messages:\n  ours  {ours}\n  Redis {theirs}")
    for command in BROKEN:
        clients = [Client(port) for port in ports]
        same(clients, command)
        same(clients, b"PING\r\n") if command[:2] in (b"*-", b"*0") else same(clients, b"")


main()
