//! The service `kv`: keys and values in memory, for every client of Redis.
//!
//! It exists to show stateful sessions over shared state on every topology, and to be measured
//! against a server that people know. It keeps strings, deadlines and channels, and nothing on disk:
//! what it holds is gone when it stops.
//!
//! One command at a time: the framer cuts it, the table says what it is, its keys are held, it
//! answers. Under `single` the keys are the handler's own and nothing is locked.
//!
//! Invariants: answers come in the order of commands; a client that does not take its answers gets
//! no further ones, so the answer to any command that is taken fits its send queue.

mod call;
mod channels;
mod client;
mod clock;
mod fault;
mod glob;
mod keys;
mod pubsub;
mod server;
mod shard;
mod store;
mod strings;
mod table;
mod transaction;

use std::sync::Arc;

use readyloop::{CloseReason, Context, Error, Handler, Peer, Result};
use readyloop_protocols::resp::{
    Arguments, Commands, Reply, UNBALANCED_QUOTES, is_inline, write_as_array,
};

use crate::args::{Identity, KvOptions};
use crate::logged::Logged;
use crate::serve;
use crate::topology::TopologyName;
use crate::units::Bytes;

use call::{Ask, Visit};
use client::{Client, Stalled};
use fault::{Fault, unknown_command};
use server::{Bounds, Server};
use store::{Held, SharedStore, Store};
use table::{Command, Flags};

/// How it differs from other services.
pub const IDENTITY: Identity = Identity {
    name: "kv",
    address: "127.0.0.1:7379",
    max_frame: "The longest command, and so the longest value [default: 16MiB]",
};

const COMMAND_BYTES_MAX: usize = 16 << 20;

/// Serves until it is stopped.
pub fn serve(options: &KvOptions) -> Result<()> {
    let given = &options.server.limits;
    let command_bytes_max = given.max_frame.map_or(COMMAND_BYTES_MAX, |bytes| bytes.0);
    let limits = serve::limits(given, command_bytes_max);
    let bounds = Bounds {
        command_bytes_max,
        queued_bytes_max: limits.send_high_bytes,
        reply_bytes_max: limits.send_max_bytes.saturating_sub(limits.send_high_bytes),
        memory_bytes_max: options.max_memory.map(|bytes| bytes.0),
    };
    serve::check_that_a_frame_has_room(command_bytes_max, SHORTEST_SET.len(), "SET k v")?;
    check_that_a_key_has_room(bounds.memory_bytes_max)?;
    let what = format!("a value of --max-frame {}", Bytes(command_bytes_max));
    let longest = command_bytes_max.saturating_add(WRAPPING_BYTES_MAX);
    serve::check_that_an_answer_fits(&limits, longest, &what)?;
    let settings = settings(options, command_bytes_max);
    let server = Arc::new(Server::new(bounds, settings, options.server.how()));
    // One thread has its keys to itself.
    let shared = (options.server.topology.topology != TopologyName::Single).then(SharedStore::new);
    serve::serve(&IDENTITY, &options.server, &[], limits, |_remote| {
        move |_thread| {
            let store = shared.clone().map_or_else(Store::own, Store::Shared);
            Logged(Kv { store, server: server.clone(), out: Vec::new() })
        }
    })
}

/// A command with which something can be kept.
const SHORTEST_SET: &str = "*3\r\n$3\r\nSET\r\n$1\r\nk\r\n$1\r\nv\r\n";

/// What a key takes besides itself and its value is more than nothing; and in Redis, zero is no limit.
fn check_that_a_key_has_room(memory_bytes_max: Option<usize>) -> Result<()> {
    const NEEDED: usize = 102;
    match memory_bytes_max {
        Some(bytes) if bytes < NEEDED => Err(Error::settings(format!(
            "--max-memory {} has no room for one key; make it at least {NEEDED}, or leave it out for \
             no limit",
            Bytes(bytes)
        ))),
        _ => Ok(()),
    }
}

/// What lies around a value in the longest command, and around it in an answer, in bytes.
const WRAPPING_BYTES_MAX: usize = 64;

/// What CONFIG GET tells: what clients ask for, in the words of Redis.
fn settings(options: &KvOptions, command_bytes_max: usize) -> Vec<(&'static str, String)> {
    let limits = &options.server.limits;
    let seconds = limits.idle_timeout.map_or(0, |span| span.0.as_secs());
    vec![
        ("appendonly", "no".into()),
        ("databases", "1".into()),
        ("maxclients", limits.max_sessions.to_string()),
        ("maxmemory", options.max_memory.map_or(0, |bytes| bytes.0).to_string()),
        ("maxmemory-policy", "noeviction".into()),
        ("proto-max-bulk-len", command_bytes_max.to_string()),
        ("save", String::new()),
        ("timeout", seconds.to_string()),
    ]
}

/// The handler.
struct Kv {
    store: Store,
    server: Arc<Server>,
    /// Where answers are written; what is in there is left over.
    out: Vec<u8>,
}

/// An answer that needed more memory than this gives it back, in bytes.
const OUT_BYTES_KEPT: usize = 64 << 10;

impl Kv {
    /// One command, array or line, whose turn has come.
    #[inline]
    fn command(&mut self, frame: &[u8], client: &mut Client, context: &mut Context<'_>) {
        if is_inline(frame) {
            return self.line(frame, client, context);
        }
        let mut arguments = Arguments::of_array(frame);
        let Some(name) = arguments.next() else { return };
        self.out.clear();
        match self.admit(name, &arguments, client, context) {
            Ok(command) if client.transaction.is_none() || command.flags.has(Flags::AT_ONCE) => {
                self.answer(command, arguments, client, context);
            }
            Ok(_) => self.queue(frame, client),
            Err(fault) => self.refuse(&fault, client),
        }
        context.send(&self.out);
        client.room_bytes = client.room_bytes.saturating_sub(self.out.len());
        if self.out.capacity() > OUT_BYTES_KEPT {
            self.out = Vec::new();
        }
        if client.has_quit {
            context.close();
        }
    }

    /// Whether a command may be done, or queued, now.
    #[inline]
    fn admit(
        &mut self,
        name: &[u8],
        arguments: &Arguments<'_>,
        client: &Client,
        context: &Context<'_>,
    ) -> std::result::Result<&'static Command, Fault> {
        let Some(command) = table::find(name) else {
            return Err(unknown_command(name, arguments.clone()));
        };
        if !command.takes(arguments.len() + 1) {
            return Err(Fault::Arity(command.name.into()));
        }
        if command.flags.has(Flags::GROWS) && self.is_full(context) {
            return Err(Fault::words("OOM command not allowed when used memory > 'maxmemory'."));
        }
        if client.only_listens() && !command.flags.has(Flags::LISTENER) {
            return Err(Fault::Words(
                format!(
                    "ERR Can't execute '{}': only (P|S)SUBSCRIBE / (P|S)UNSUBSCRIBE / PING / QUIT \
                     / RESET are allowed in this context",
                    command.name
                )
                .into(),
            ));
        }
        Ok(command)
    }

    #[inline]
    fn answer(
        &mut self,
        command: &'static Command,
        arguments: Arguments<'_>,
        client: &mut Client,
        context: &mut Context<'_>,
    ) {
        let now = context.now();
        let mut locks;
        let held = match &mut self.store {
            Store::Own(shard, hasher) => Held::own(shard, hasher, now),
            Store::Shared(shared) => {
                locks = shared.lock(command.which(&arguments), now);
                locks.held()
            }
        };
        let reply = Reply::new(&mut self.out, client.protocol);
        let ask = Ask { command, arguments, reply, now };
        ask.answer(&mut Visit { held, server: &self.server, client, context });
        if self.out.len() > self.server.bounds.reply_bytes_max {
            self.out.clear();
            let text = Fault::ReplyTooLong.text();
            Reply::new(&mut self.out, client.protocol).error(text.as_bytes());
        }
    }

    fn queue(&mut self, frame: &[u8], client: &mut Client) {
        let Some(queue) = &mut client.transaction else { return };
        let mut reply = Reply::new(&mut self.out, client.protocol);
        let queued =
            transaction::queue(queue, frame, self.server.bounds.command_bytes_max, &mut reply);
        if let Err(fault) = queued {
            self.refuse(&fault, client);
        }
    }

    #[cold]
    fn refuse(&mut self, fault: &Fault, client: &mut Client) {
        transaction::spoil(client);
        Reply::new(&mut self.out, client.protocol).error(fault.text().as_bytes());
    }

    /// Whether keys and values take more than they may, also when all that has expired is removed.
    #[inline]
    fn is_full(&mut self, context: &Context<'_>) -> bool {
        let Some(bytes_max) = self.server.bounds.memory_bytes_max else { return false };
        if self.store.bytes() <= bytes_max {
            return false;
        }
        self.store.expire(context.now());
        self.store.bytes() > bytes_max
    }

    /// A command as people type it.
    #[cold]
    fn line(&mut self, line: &[u8], client: &mut Client, context: &mut Context<'_>) {
        let mut array = Vec::new();
        match write_as_array(line, &mut array) {
            Ok(()) => self.command(&array, client, context),
            Err(_) => {
                protocol_error(UNBALANCED_QUOTES, context);
                context.close();
            }
        }
    }

    /// Looks how many more bytes may be queued for a client. If none may, its commands wait from here
    /// on.
    #[cold]
    fn look_at_queue(&self, client: &mut Client, context: &mut Context<'_>) {
        let queued = context.queued_bytes();
        match self.server.bounds.queued_bytes_max.checked_sub(queued) {
            // Who listens is sent messages too, which nobody counts here: it is looked at each time.
            Some(room) if client.subscriptions.is_none() => client.room_bytes = room,
            Some(_) => {}
            None if client.has_quit => {}
            None => {
                client.stalled = Some(Box::default());
                context.pause_until_drained();
            }
        }
    }

    /// Does the commands that wait, until the client has to take these many bytes of answers first.
    fn go_on(&mut self, bytes_max: usize, client: &mut Client, context: &mut Context<'_>) {
        let Some(stalled) = client.stalled.take() else { return };
        let Stalled { mut commands, peer_finished } = *stalled;
        while let Some(frame) = commands.next() {
            self.command(frame, client, context);
            if client.has_quit {
                return;
            }
            if context.queued_bytes() > bytes_max {
                client.stalled = Some(Box::new(Stalled { commands, peer_finished }));
                context.pause_until_drained();
                return;
            }
        }
        if peer_finished {
            context.close();
        }
    }
}

fn protocol_error(words: &str, context: &mut Context<'_>) {
    context.send(format!("-ERR Protocol error: {words}\r\n").as_bytes());
}

impl Handler for Kv {
    type Framer = Commands;
    type Session = Client;

    fn on_open(&mut self, peer: &Peer, context: &mut Context<'_>) -> (Commands, Client) {
        let number = self.server.clients().enter(peer.address.to_string(), context.now());
        (Commands::new(self.server.bounds.command_bytes_max), Client::new(number))
    }

    #[inline]
    fn on_frame(&mut self, client: &mut Client, frame: &[u8], context: &mut Context<'_>) {
        if let Some(stalled) = &mut client.stalled {
            // A worker was handed it with the others: `Limits::lane_bytes_max` bounds them.
            return stalled.commands.push(frame);
        }
        self.command(frame, client, context);
        if client.room_bytes == 0 {
            self.look_at_queue(client, context);
        }
    }

    fn on_drained(&mut self, client: &mut Client, context: &mut Context<'_>) {
        self.go_on(self.server.bounds.queued_bytes_max, client, context);
    }

    /// Who only said all that he had to say gets his answers first.
    fn on_peer_finished(&mut self, client: &mut Client, context: &mut Context<'_>) {
        match &mut client.stalled {
            Some(stalled) => stalled.peer_finished = true,
            None => context.close(),
        }
    }

    fn on_closing(&mut self, client: &mut Client, reason: CloseReason, context: &mut Context<'_>) {
        let words = match reason {
            CloseReason::Malformed(words) => words,
            CloseReason::FrameTooLong => "invalid bulk length",
            _ => return,
        };
        // What was asked before it is answered before it, as far as the queue holds the answers.
        self.go_on(self.server.bounds.reply_bytes_max, client, context);
        if client.stalled.is_none() && !client.has_quit {
            protocol_error(words, context);
        }
    }

    fn on_close(&mut self, mut client: Client, _: CloseReason, context: &mut Context<'_>) {
        self.server.clients().exit(client.number);
        pubsub::leave_all(&self.server, &mut client, context);
    }
}
