//! The commands: one table says what each is called, what it wants, and what answers it.

use readyloop_protocols::resp::Arguments;

use super::call::Run;
use super::store::Which;
use super::{keys, pubsub, server, strings, transaction};

/// A command.
pub struct Command {
    /// Its name, in lower case.
    pub name: &'static str,
    /// How many arguments it takes at least and at most, its name included.
    arguments_min: usize,
    arguments_max: usize,
    /// Which of its arguments are keys.
    pub keys: Keys,
    /// What clients and the server have to know of it.
    pub flags: Flags,
    /// What answers it.
    pub run: Run,
    /// What it does, for people.
    pub summary: &'static str,
    word: u64,
}

/// Which arguments of a command are keys.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Keys {
    /// None.
    None,
    /// The first.
    First,
    /// All of them.
    Each,
    /// Every second one, from the first on.
    EachSecond,
    /// It works on all keys, whatever its arguments are.
    All,
}

/// What a command is, as a set.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Flags(u8);

impl Flags {
    /// Changes nothing.
    pub const READ: Flags = Flags(1);
    /// Changes keys.
    pub const WRITE: Flags = Flags(1 << 1);
    /// Needs memory: refused when there is no more.
    pub const GROWS: Flags = Flags(1 << 2);
    /// Takes the same time however many keys there are.
    pub const FAST: Flags = Flags(1 << 3);
    /// Has to do with channels.
    pub const PUBSUB: Flags = Flags(1 << 4);
    /// Also for a client of RESP2 that listens to channels.
    pub const LISTENER: Flags = Flags(1 << 5);
    /// Not queued behind MULTI.
    pub const AT_ONCE: Flags = Flags(1 << 6);

    const fn and(self, other: Flags) -> Flags {
        Flags(self.0 | other.0)
    }

    /// Whether this is in the set.
    #[inline]
    pub fn has(self, flag: Flags) -> bool {
        self.0 & flag.0 != 0
    }

    /// What COMMAND calls those that it tells.
    pub fn names(self) -> impl Iterator<Item = &'static str> + Clone {
        let told = [
            (Flags::WRITE, "write"),
            (Flags::READ, "readonly"),
            (Flags::GROWS, "denyoom"),
            (Flags::PUBSUB, "pubsub"),
            (Flags::FAST, "fast"),
        ];
        told.into_iter().filter(move |(flag, _)| self.has(*flag)).map(|(_, name)| name)
    }
}

impl Keys {
    /// The places of the first and the last key, and how far one is from the next, as COMMAND
    /// tells them.
    pub fn places(self) -> [i64; 3] {
        match self {
            Keys::None | Keys::All => [0, 0, 0],
            Keys::First => [1, 1, 1],
            Keys::Each => [1, -1, 1],
            Keys::EachSecond => [1, -1, 2],
        }
    }
}

impl Command {
    /// What it works on; `arguments` are those behind its name.
    pub fn which<'k>(&self, arguments: &Arguments<'k>) -> Which<'k> {
        let mut arguments = arguments.clone();
        match self.keys {
            Keys::None => Which::None,
            Keys::First => arguments.next().map_or(Which::None, Which::Key),
            Keys::Each => Which::Keys(arguments.step_by(1)),
            Keys::EachSecond => Which::Keys(arguments.step_by(2)),
            Keys::All => Which::All,
        }
    }

    /// Whether it takes so many arguments, its name included.
    #[inline]
    pub fn takes(&self, count: usize) -> bool {
        (self.arguments_min..=self.arguments_max).contains(&count)
    }

    /// How many it takes, as COMMAND tells it: if negative, that many at least.
    pub fn arity(&self) -> i64 {
        let least = self.arguments_min as i64;
        if self.arguments_min == self.arguments_max { least } else { -least }
    }
}

/// Finds a command by its name, in whatever case.
#[inline]
pub fn find(name: &[u8]) -> Option<&'static Command> {
    let word = word(name);
    let mut place = place(word);
    while let Some(command) = PLACES[place] {
        if command.word == word && command.name.len() == name.len() {
            let is_all = name.len() <= size_of_val(&word);
            return (is_all || is_spelled(name, command)).then_some(command);
        }
        place = (place + 1) % PLACES.len();
    }
    None
}

/// Whether a name that is longer than its word is this command's in between too.
#[cold]
fn is_spelled(name: &[u8], command: &Command) -> bool {
    name.eq_ignore_ascii_case(command.name.as_bytes())
}

/// A name's first bytes and its last ones, so that names of one length are compared in one step; up
/// to eight, they are all of it. All names are of letters: setting this bit makes a letter lower, and
/// makes nothing else a letter that was none.
#[inline]
const fn word(name: &[u8]) -> u64 {
    const LOWER: u64 = u64::from_ne_bytes([b'a' ^ b'A'; 8]);
    let word = match (name.first_chunk(), name.last_chunk()) {
        (Some(first), Some(last)) => {
            (u32::from_le_bytes(*first) as u64) << 32 | u32::from_le_bytes(*last) as u64
        }
        _ => match name {
            [] => 0,
            [first, ..] => {
                let (middle, last) = (name[name.len() / 2], name[name.len() - 1]);
                u32::from_le_bytes([*first, middle, last, 0]) as u64
            }
        },
    };
    word | LOWER
}

/// Where a command is looked for first: at the upper bits of a product, in which all letters have a
/// part.
#[inline]
const fn place(word: u64) -> usize {
    const GOLDEN: u64 = 0x9E37_79B9_7F4A_7C15;
    (word.wrapping_mul(GOLDEN) >> 56) as usize
}

/// The commands by their names. Who finds his place taken stands at the next that is free.
static PLACES: [Option<&Command>; 256] = {
    let mut places = [None; 256];
    let mut nth = 0;
    while nth < COMMANDS.len() {
        let mut at = place(COMMANDS[nth].word);
        while places[at].is_some() {
            at = (at + 1) % places.len();
        }
        places[at] = Some(&COMMANDS[nth]);
        nth += 1;
    }
    places
};

const fn command(
    name: &'static str,
    arity: i32,
    keys: Keys,
    flags: Flags,
    run: Run,
    summary: &'static str,
) -> Command {
    let arguments_min = arity.unsigned_abs() as usize;
    let arguments_max = if arity < 0 { usize::MAX } else { arguments_min };
    let word = word(name.as_bytes());
    Command { name, arguments_min, arguments_max, keys, flags, run, summary, word }
}

const READ: Flags = Flags::READ;
const READS: Flags = Flags::READ.and(Flags::FAST);
const WRITE: Flags = Flags::WRITE;
const WRITES: Flags = Flags::WRITE.and(Flags::FAST);
const GROWS: Flags = Flags::WRITE.and(Flags::GROWS);
const GROWS_FAST: Flags = GROWS.and(Flags::FAST);
const NO_KEYS: Flags = Flags::FAST;
const LISTENS: Flags = Flags::PUBSUB.and(Flags::LISTENER);
const AT_ONCE: Flags = Flags::FAST.and(Flags::AT_ONCE);
const ALWAYS: Flags = AT_ONCE.and(Flags::LISTENER);
const FOR_LISTENERS: Flags = NO_KEYS.and(Flags::LISTENER);
const SAYS: Flags = Flags::PUBSUB.and(Flags::FAST);
const ASKS: Flags = Flags::PUBSUB;
const PLAIN: Flags = Flags(0);

/// All of them.
#[rustfmt::skip] // One line for each.
pub static COMMANDS: [Command; 51] = {
    use Keys::{All, Each, EachSecond, First, None};
    [
        command("get", 2, First, READS, strings::get, "The value of a key"),
        command("set", -3, First, GROWS, strings::set, "Give a key a value"),
        command("incr", 2, First, GROWS_FAST, strings::incr, "Add one to a number"),
        command("publish", 3, None, SAYS, pubsub::publish, "Say something on a channel"),
        command("mget", -2, Each, READS, strings::mget, "The values of several keys"),
        command("mset", -3, EachSecond, GROWS, strings::mset, "Give several keys values"),
        command("del", -2, Each, WRITE, keys::del, "Remove keys"),
        command("exists", -2, Each, READS, keys::exists, "How many of these keys are there"),
        command("expire", -3, First, WRITES, keys::expire, "Give a key seconds to live"),
        command("pexpire", -3, First, WRITES, keys::pexpire, "Give a key milliseconds to live"),
        command("ttl", 2, First, READS, keys::ttl, "The seconds a key has to live"),
        command("pttl", 2, First, READS, keys::pttl, "The milliseconds a key has to live"),
        command("persist", 2, First, WRITES, keys::persist, "Let a key live for ever"),
        command("setnx", 3, First, GROWS_FAST, strings::setnx, "Give a new key a value"),
        command("setex", 4, First, GROWS, strings::setex, "Give a key a value for some seconds"),
        command("psetex", 4, First, GROWS, strings::psetex, "The same for milliseconds"),
        command("getset", 3, First, GROWS_FAST, strings::getset, "Swap the value of a key"),
        command("getdel", 2, First, WRITES, strings::getdel, "The value of a key, which goes"),
        command("append", 3, First, GROWS_FAST, strings::append, "Add to the end of a value"),
        command("strlen", 2, First, READS, strings::strlen, "How long a value is"),
        command("decr", 2, First, GROWS_FAST, strings::decr, "Take one from a number"),
        command("incrby", 3, First, GROWS_FAST, strings::incrby, "Add to a number"),
        command("decrby", 3, First, GROWS_FAST, strings::decrby, "Take from a number"),
        command("msetnx", -3, EachSecond, GROWS, strings::msetnx, "Give only new keys values"),
        command("unlink", -2, Each, WRITES, keys::del, "Remove keys"),
        command("type", 2, First, READS, keys::type_of, "Of which type a value is"),
        command("keys", 2, All, READ, keys::keys, "All keys that match"),
        command("scan", -2, All, READ, keys::scan, "The keys, some at a time"),
        command("dbsize", 1, All, READS, keys::dbsize, "How many keys there are"),
        command("flushall", -1, All, WRITE, keys::flush, "Remove all keys"),
        command("flushdb", -1, All, WRITE, keys::flush, "Remove all keys"),
        command("subscribe", -2, None, LISTENS, pubsub::subscribe, "Listen to channels"),
        command("unsubscribe", -1, None, LISTENS, pubsub::unsubscribe, "Listen no more"),
        command("psubscribe", -2, None, LISTENS, pubsub::psubscribe, "Listen to what matches"),
        command("punsubscribe", -1, None, LISTENS, pubsub::punsubscribe, "Listen no more to it"),
        command("pubsub", -2, None, ASKS, pubsub::pubsub, "Who listens to what"),
        command("multi", 1, None, AT_ONCE, transaction::multi, "Queue commands from here on"),
        command("exec", 1, All, AT_ONCE, transaction::exec, "Do what was queued"),
        command("discard", 1, None, AT_ONCE, transaction::discard, "Forget what was queued"),
        command("ping", -1, None, FOR_LISTENERS, server::ping, "Answer PONG"),
        command("echo", 2, None, NO_KEYS, server::echo, "Answer with the argument"),
        command("select", 2, None, NO_KEYS, server::select, "Choose the database: there is one, 0"),
        command("quit", -1, None, ALWAYS, server::quit, "Say goodbye"),
        command("reset", 1, None, ALWAYS, server::reset, "Be as a new client is"),
        command("hello", -1, None, NO_KEYS, server::hello, "Choose the version of the protocol"),
        command("auth", -2, None, NO_KEYS, server::auth, "Log in: nobody has to"),
        command("client", -2, None, PLAIN, server::client, "Who is connected"),
        command("command", -1, None, PLAIN, server::command, "What commands there are"),
        command("config", -2, None, PLAIN, server::config, "How the server was started"),
        command("info", -1, All, PLAIN, server::info, "How the server is"),
        command("time", 1, None, NO_KEYS, server::time, "Time since 1970"),
    ]
};

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_command_is_found_in_whatever_case() {
        for command in &COMMANDS {
            for name in [command.name.to_string(), command.name.to_ascii_uppercase()] {
                assert!(std::ptr::eq(find(name.as_bytes()).unwrap(), command), "{name}");
            }
            assert!(command.name.bytes().all(|byte| byte.is_ascii_lowercase()));
        }
        assert!(find(b"Get").is_some() && find(b"gEtDeL").is_some());
    }

    #[test]
    fn what_is_nearly_a_command_is_none() {
        for name in [
            "subsxribe",
            "",
            "ge",
            "gett",
            "\0get",
            "get\0",
            "ge4",
            "GE\x14",
            "averyveryverylongname",
        ] {
            assert!(find(name.as_bytes()).is_none(), "{name:?}");
        }
    }
}
