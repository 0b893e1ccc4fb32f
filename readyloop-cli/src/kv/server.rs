//! What all threads share besides keys, and the commands that tell of it: HELLO, CLIENT, INFO and
//! their kin.

use std::borrow::Cow;
use std::fmt::Write as _;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Instant;

use readyloop_protocols::resp::{Protocol, Reply, integer};

use super::call::{Ask, Visit};
use super::channels::Channels;
use super::client::{Client, Clients, version};
use super::clock;
use super::fault::{Answer, Fault, unknown_subcommand};
use super::table::{self, COMMANDS, Command};
use super::{glob, pubsub};

/// The version of Redis whose words are spoken here: by it clients choose what they may use.
const REDIS_VERSION: &str = "7.0.0";

/// How much of everything there may be, in bytes.
pub struct Bounds {
    /// The longest command, and so the longest value, and the longest transaction.
    pub command_bytes_max: usize,
    /// A client with more than this in its queue gets no further answer before it has taken it.
    pub queued_bytes_max: usize,
    /// The longest reply to one command.
    pub reply_bytes_max: usize,
    /// What keys and values may take.
    pub memory_bytes_max: Option<usize>,
}

/// What all threads share besides keys.
pub struct Server {
    channels: Mutex<Channels>,
    clients: Mutex<Clients>,
    pub bounds: Bounds,
    /// What CONFIG GET tells.
    pub settings: Fields,
    /// How it serves, in the words of its options.
    pub how: String,
    started: Instant,
}

impl Server {
    /// Without clients.
    pub fn new(bounds: Bounds, settings: Fields, how: String) -> Server {
        Server {
            channels: Mutex::default(),
            clients: Mutex::default(),
            bounds,
            settings,
            how,
            started: Instant::now(),
        }
    }

    /// Who listens to what, for one thread at a time.
    pub fn channels(&self) -> MutexGuard<'_, Channels> {
        // What is called under these locks leaves nothing half changed.
        self.channels.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// All clients, for one thread at a time.
    pub fn clients(&self) -> MutexGuard<'_, Clients> {
        self.clients.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Lets others see to how much this client listens.
    pub fn tell_subscriptions(&self, client: &Client) {
        if let Some(card) = self.clients().card(client.number) {
            card.listens = client.subscriptions.as_ref().map_or((0, 0), |mine| mine.lens());
        }
    }
}

pub fn ping(ask: &mut Ask<'_>, visit: &mut Visit<'_, '_>) -> Answer {
    let word = ask.arguments.next();
    if ask.arguments.len() > 0 {
        return Err(ask.arity());
    }
    if visit.client.only_listens() {
        // It expects a message wherever it reads.
        ask.reply.array(2);
        ask.reply.bulk(b"pong");
        ask.reply.bulk(word.unwrap_or_default());
        return Ok(());
    }
    match word {
        Some(word) => ask.reply.bulk(word),
        None => ask.reply.simple("PONG"),
    }
    Ok(())
}

pub fn echo(ask: &mut Ask<'_>, _: &mut Visit<'_, '_>) -> Answer {
    let word = ask.argument()?;
    ask.reply.bulk(word);
    Ok(())
}

pub fn select(ask: &mut Ask<'_>, _: &mut Visit<'_, '_>) -> Answer {
    match ask.integer()? {
        0 => ask.reply.ok(),
        _ => return Err(Fault::words("ERR DB index is out of range")),
    }
    Ok(())
}

pub fn quit(ask: &mut Ask<'_>, visit: &mut Visit<'_, '_>) -> Answer {
    visit.client.has_quit = true;
    ask.reply.ok();
    Ok(())
}

pub fn reset(ask: &mut Ask<'_>, visit: &mut Visit<'_, '_>) -> Answer {
    pubsub::leave_all(visit.server, visit.client, visit.context);
    visit.client.transaction = None;
    set_protocol(Protocol::Resp2, ask, visit);
    set_name("", visit);
    ask.reply.simple("RESET");
    Ok(())
}

fn set_protocol(protocol: Protocol, ask: &mut Ask<'_>, visit: &mut Visit<'_, '_>) {
    pubsub::change_protocol(protocol, visit);
    ask.reply.set_protocol(protocol);
    if let Some(card) = visit.server.clients().card(visit.client.number) {
        card.protocol = protocol;
    }
}

fn set_name(name: &str, visit: &mut Visit<'_, '_>) {
    if let Some(card) = visit.server.clients().card(visit.client.number) {
        card.name = name.into();
    }
}

pub fn hello(ask: &mut Ask<'_>, visit: &mut Visit<'_, '_>) -> Answer {
    let mut protocol = visit.client.protocol;
    if let Some(wanted) = ask.arguments.next() {
        protocol = match integer(wanted) {
            Some(2) => Protocol::Resp2,
            Some(3) => Protocol::Resp3,
            Some(_) => return Err(Fault::words("NOPROTO unsupported protocol version")),
            None => {
                return Err(Fault::words("ERR Protocol version is not an integer or out of range"));
            }
        };
    }
    let mut name = None;
    while let Some(word) = ask.arguments.next() {
        match &word.to_ascii_uppercase()[..] {
            b"AUTH" if ask.arguments.len() >= 2 => log_in(ask.argument()?, ask.argument()?)?,
            b"SETNAME" if ask.arguments.len() >= 1 => name = Some(plain(ask.argument()?, NAMES)?),
            _ => {
                let word = String::from_utf8_lossy(word);
                let words = format!("ERR Syntax error in HELLO option '{word}'");
                return Err(Fault::Words(words.into()));
            }
        }
    }
    if let Some(name) = name {
        set_name(&name, visit);
    }
    set_protocol(protocol, ask, visit);
    let reply = &mut ask.reply;
    reply.map(7);
    let mut pair = |name: &str, value: &str| {
        reply.bulk(name.as_bytes());
        reply.bulk(value.as_bytes());
    };
    pair("server", "readyloop");
    pair("version", REDIS_VERSION);
    pair("mode", "standalone");
    pair("role", "master");
    reply.bulk(b"proto");
    reply.integer(version(protocol));
    reply.bulk(b"id");
    reply.integer(visit.client.number as i64);
    reply.bulk(b"modules");
    reply.array(0);
    Ok(())
}

/// Nobody has to log in; the user that Redis has by itself may, with any password.
fn log_in(user: &[u8], _password: &[u8]) -> Answer {
    if user == b"default" {
        return Ok(());
    }
    Err(Fault::words("WRONGPASS invalid username-password pair or user is disabled."))
}

pub fn auth(ask: &mut Ask<'_>, _: &mut Visit<'_, '_>) -> Answer {
    match (ask.argument()?, ask.arguments.next(), ask.arguments.next()) {
        (_, None, _) => {
            return Err(Fault::words(
                "ERR AUTH <password> called without any password configured for the default \
                 user. Are you sure your configuration is correct?",
            ));
        }
        (user, Some(password), None) => log_in(user, password)?,
        _ => return Err(Fault::Syntax),
    }
    ask.reply.ok();
    Ok(())
}

/// Of what a client may not have spaces in.
const NAMES: &str = "Client names";

/// Text that can stand on a line of CLIENT LIST.
fn plain<'a>(text: &'a [u8], what: &str) -> Result<Cow<'a, str>, Fault> {
    if text.iter().all(|byte| (b'!'..=b'~').contains(byte)) {
        return Ok(String::from_utf8_lossy(text));
    }
    Err(Fault::Words(
        format!("ERR {what} cannot contain spaces, newlines or special characters.").into(),
    ))
}

pub fn client(ask: &mut Ask<'_>, visit: &mut Visit<'_, '_>) -> Answer {
    let word = ask.argument()?;
    let number = visit.client.number;
    match &word.to_ascii_uppercase()[..] {
        b"ID" => {
            ask.end("id")?;
            ask.reply.integer(number as i64);
        }
        b"GETNAME" => {
            ask.end("getname")?;
            match visit.server.clients().card(number) {
                Some(card) if !card.name.is_empty() => ask.reply.bulk(card.name.as_bytes()),
                _ => ask.reply.null(),
            }
        }
        b"SETNAME" => {
            let name = ask.arguments.next().ok_or(ask.subcommand_arity("setname"))?;
            ask.end("setname")?;
            set_name(&plain(name, NAMES)?, visit);
            ask.reply.ok();
        }
        b"SETINFO" => client_setinfo(ask, visit)?,
        b"INFO" => {
            ask.end("info")?;
            let line = visit.server.clients().lines(Some(&[number]), ask.now);
            ask.reply.verbatim(line.as_bytes());
        }
        b"LIST" => client_list(ask, visit)?,
        b"HELP" => help(
            &[
                "GETNAME",
                "ID",
                "INFO",
                "LIST [TYPE normal|pubsub] [ID client-id ...]",
                "SETINFO LIB-NAME|LIB-VER value",
                "SETNAME name",
            ],
            ask,
        )?,
        _ => return Err(unknown_subcommand("client", word)),
    }
    Ok(())
}

fn client_setinfo(ask: &mut Ask<'_>, visit: &mut Visit<'_, '_>) -> Answer {
    let wrong = || ask.subcommand_arity("setinfo");
    let mut arguments = ask.arguments.clone();
    let (what, value) = (arguments.next().ok_or_else(wrong)?, arguments.next().ok_or_else(wrong)?);
    let is_name = what.eq_ignore_ascii_case(b"LIB-NAME");
    if !is_name && !what.eq_ignore_ascii_case(b"LIB-VER") {
        let what = String::from_utf8_lossy(what);
        return Err(Fault::Words(format!("ERR Unrecognized option '{what}'").into()));
    }
    let value = plain(value, if is_name { "lib-name" } else { "lib-ver" })?;
    if let Some(card) = visit.server.clients().card(visit.client.number) {
        let kept = if is_name { &mut card.library } else { &mut card.library_version };
        *kept = value.into_owned();
    }
    ask.reply.ok();
    Ok(())
}

fn client_list(ask: &mut Ask<'_>, visit: &mut Visit<'_, '_>) -> Answer {
    let mut only: Option<Vec<u64>> = None;
    let words: Vec<&[u8]> = ask.arguments.by_ref().collect();
    match &words[..] {
        [] => {}
        [word, numbers @ ..] if word.eq_ignore_ascii_case(b"ID") && !numbers.is_empty() => {
            let read = |text: &&[u8]| integer(text).and_then(|number| u64::try_from(number).ok());
            let numbers: Option<Vec<u64>> = numbers.iter().map(read).collect();
            only = Some(numbers.ok_or(Fault::words("ERR Invalid client ID"))?);
        }
        [word, kind] if word.eq_ignore_ascii_case(b"TYPE") => {
            let listens = match &kind.to_ascii_lowercase()[..] {
                b"normal" => false,
                b"pubsub" => true,
                b"master" | b"replica" | b"slave" => {
                    ask.reply.verbatim(b"");
                    return Ok(());
                }
                _ => {
                    let kind = String::from_utf8_lossy(kind);
                    return Err(Fault::Words(format!("ERR Unknown client type '{kind}'").into()));
                }
            };
            only = Some(visit.server.clients().numbers(listens));
        }
        _ => return Err(Fault::Syntax),
    }
    let lines = visit.server.clients().lines(only.as_deref(), ask.now);
    ask.reply.verbatim(lines.as_bytes());
    Ok(())
}

pub fn config(ask: &mut Ask<'_>, visit: &mut Visit<'_, '_>) -> Answer {
    let word = ask.argument()?;
    match &word.to_ascii_uppercase()[..] {
        b"GET" if ask.arguments.len() == 0 => return Err(ask.subcommand_arity("get")),
        b"GET" => {
            let patterns: Vec<Vec<u8>> =
                ask.arguments.by_ref().map(<[u8]>::to_ascii_lowercase).collect();
            let asked =
                |name: &str| patterns.iter().any(|each| glob::matches(each, name.as_bytes()));
            let found = visit.server.settings.iter().filter(|(name, _)| asked(name));
            ask.reply.map(found.clone().count());
            for (name, value) in found {
                ask.reply.bulk(name.as_bytes());
                ask.reply.bulk(value.as_bytes());
            }
        }
        b"SET" => {
            return Err(Fault::words(
                "ERR CONFIG SET is not for this server: its options are given when it starts",
            ));
        }
        b"HELP" => help(&["GET pattern [pattern ...]"], ask)?,
        _ => return Err(unknown_subcommand("config", word)),
    }
    Ok(())
}

pub fn command(ask: &mut Ask<'_>, _: &mut Visit<'_, '_>) -> Answer {
    let Some(word) = ask.arguments.next() else {
        ask.reply.array(COMMANDS.len());
        COMMANDS.iter().for_each(|command| describe(command, &mut ask.reply));
        return Ok(());
    };
    let named: Vec<&[u8]> = ask.arguments.by_ref().collect();
    match (&word.to_ascii_uppercase()[..], &named[..]) {
        (b"COUNT", []) => ask.reply.integer(COMMANDS.len() as i64),
        (b"COUNT", _) => return Err(ask.subcommand_arity("count")),
        (b"LIST", []) => {
            ask.reply.array(COMMANDS.len());
            COMMANDS.iter().for_each(|command| ask.reply.bulk(command.name.as_bytes()));
        }
        (b"INFO", []) => {
            ask.reply.array(COMMANDS.len());
            COMMANDS.iter().for_each(|command| describe(command, &mut ask.reply));
        }
        (b"INFO", names) => {
            ask.reply.array(names.len());
            for name in names {
                match table::find(name) {
                    Some(command) => describe(command, &mut ask.reply),
                    None => ask.reply.null(),
                }
            }
        }
        (b"DOCS", []) => document(COMMANDS.iter(), &mut ask.reply),
        (b"DOCS", names) => {
            document(names.iter().filter_map(|name| table::find(name)), &mut ask.reply);
        }
        (b"HELP", _) => {
            help(&["COUNT", "DOCS [command ...]", "INFO [command ...]", "LIST"], ask)?;
        }
        _ => return Err(unknown_subcommand("command", word)),
    }
    Ok(())
}

/// A command, as COMMAND INFO tells it.
fn describe(command: &Command, reply: &mut Reply<'_>) {
    reply.array(10);
    reply.bulk(command.name.as_bytes());
    reply.integer(command.arity());
    reply.set(command.flags.names().count());
    command.flags.names().for_each(|flag| reply.simple(flag));
    command.keys.places().into_iter().for_each(|place| reply.integer(place));
    // ACL categories, tips, key specifications, subcommands: there are none.
    reply.set(0);
    (0..3).for_each(|_| reply.array(0));
}

/// Commands, as COMMAND DOCS tells them.
fn document<'c>(commands: impl Iterator<Item = &'c Command>, reply: &mut Reply<'_>) {
    let commands: Vec<&Command> = commands.collect();
    reply.map(commands.len());
    for command in commands {
        reply.bulk(command.name.as_bytes());
        reply.map(1);
        reply.bulk(b"summary");
        reply.bulk(command.summary.as_bytes());
    }
}

/// What HELP answers: the subcommands that there are.
pub fn help(lines: &[&str], ask: &mut Ask<'_>) -> Answer {
    let name = ask.command.name.to_ascii_uppercase();
    ask.reply.array(lines.len() + 1);
    ask.reply.simple(&format!("{name} <subcommand> [<arg> [value] [opt] ...]. Subcommands are:"));
    lines.iter().for_each(|line| ask.reply.simple(line));
    Ok(())
}

pub fn time(ask: &mut Ask<'_>, _: &mut Visit<'_, '_>) -> Answer {
    let now = clock::unix_now();
    ask.reply.array(2);
    ask.reply.bulk_integer(now.as_secs() as i64);
    ask.reply.bulk_integer(now.subsec_micros().into());
    Ok(())
}

/// Names and their values.
type Fields = Vec<(&'static str, String)>;
type Tell = fn(&mut Visit<'_, '_>) -> Fields;

/// The sections of INFO, and what tells each.
const SECTIONS: [(&str, Tell); 6] = [
    ("Server", about_server),
    ("Clients", about_clients),
    ("Memory", about_memory),
    ("Persistence", |_| vec![("loading", "0".into()), ("persists", "no".into())]),
    ("Stats", about_stats),
    ("Keyspace", about_keys),
];

pub fn info(ask: &mut Ask<'_>, visit: &mut Visit<'_, '_>) -> Answer {
    let wanted: Vec<&[u8]> = ask.arguments.by_ref().collect();
    let is_wanted = |section: &str| {
        wanted.is_empty()
            || wanted.iter().any(|word| {
                word.eq_ignore_ascii_case(section.as_bytes())
                    || [&b"all"[..], b"default", b"everything"]
                        .iter()
                        .any(|all| word.eq_ignore_ascii_case(all))
            })
    };
    let mut text = String::new();
    for (section, tell) in SECTIONS.iter().filter(|(section, _)| is_wanted(section)) {
        if !text.is_empty() {
            text.push_str("\r\n");
        }
        let failed = "writing to a string does not fail";
        write!(text, "# {section}\r\n").expect(failed);
        for (name, value) in tell(visit) {
            write!(text, "{name}:{value}\r\n").expect(failed);
        }
    }
    ask.reply.verbatim(text.as_bytes());
    Ok(())
}

fn about_server(visit: &mut Visit<'_, '_>) -> Fields {
    let up = visit.server.started.elapsed().as_secs();
    vec![
        ("redis_version", REDIS_VERSION.into()),
        ("redis_mode", "standalone".into()),
        ("server_name", "readyloop".into()),
        ("readyloop_version", env!("CARGO_PKG_VERSION").into()),
        ("topology", visit.server.how.clone()),
        ("process_id", std::process::id().to_string()),
        ("uptime_in_seconds", up.to_string()),
        ("uptime_in_days", (up / 86_400).to_string()),
    ]
}

fn about_clients(visit: &mut Visit<'_, '_>) -> Fields {
    let clients = visit.server.clients();
    vec![
        ("connected_clients", clients.len().to_string()),
        ("pubsub_clients", clients.numbers(true).len().to_string()),
    ]
}

fn about_memory(visit: &mut Visit<'_, '_>) -> Fields {
    let used: usize = visit.held.shards().map(|(_, shard)| shard.bytes()).sum();
    vec![
        ("used_memory", used.to_string()),
        ("maxmemory", visit.server.bounds.memory_bytes_max.unwrap_or(0).to_string()),
        ("maxmemory_policy", "noeviction".into()),
    ]
}

fn about_stats(visit: &mut Visit<'_, '_>) -> Fields {
    let channels = visit.server.channels();
    vec![
        ("total_connections_received", visit.server.clients().total.to_string()),
        ("pubsub_channels", channels.names(None).count().to_string()),
        ("pubsub_patterns", channels.pattern_count().to_string()),
    ]
}

fn about_keys(visit: &mut Visit<'_, '_>) -> Fields {
    let (mut keys, mut expires) = (0, 0);
    for (_, shard) in visit.held.shards() {
        keys += shard.len();
        expires += shard.deadline_count();
    }
    // A database without keys is not there.
    let line = (keys > 0).then(|| ("db0", format!("keys={keys},expires={expires},avg_ttl=0")));
    line.into_iter().collect()
}
