//! A chat with rooms in one file: `cargo run --example chat`, then several `nc 127.0.0.1 7100`.
//!
//! `/join ROOM` changes the room, `/nick NAME` the name, `/quit` leaves; any other line is said to
//! the room. A line is stored once, however many members it goes to. Two reactors serve it, and
//! members of one room may live on either.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use readyloop::{
    CloseReason, Context, Group, Handler, Limits, Lines, Peer, Server, SlowMember, Topology,
};

/// Shared by all threads, and locked only when somebody goes from room to room.
#[derive(Clone, Default)]
struct Chat(Arc<Mutex<HashMap<String, Group>>>);

struct Member {
    name: String,
    room: Group,
}

impl Chat {
    /// The room with this name; those that are empty are forgotten.
    fn room(&self, name: &str) -> Group {
        let mut rooms = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        rooms.retain(|other, room| other == name || !room.is_empty());
        let new = || Group::new(SlowMember::CloseMember);
        rooms.entry(name.to_string()).or_insert_with(new).clone()
    }

    fn enter(&self, member: &mut Member, room: &str, context: &mut Context<'_>) {
        context.leave(&member.room);
        context.broadcast(&member.room, format!("* {} left\n", member.name));
        member.room = self.room(room);
        context.join(&member.room);
        context.broadcast(&member.room, format!("* {} joined {room}\n", member.name));
    }
}

impl Handler for Chat {
    type Framer = Lines;
    type Session = Member;

    fn on_open(&mut self, _: &Peer, context: &mut Context<'_>) -> (Lines, Member) {
        let name = format!("guest-{}", context.id());
        let mut member = Member { name, room: Group::new(SlowMember::CloseMember) };
        self.enter(&mut member, "lobby", context);
        (Lines::new(512), member)
    }

    fn on_frame(&mut self, member: &mut Member, line: &[u8], context: &mut Context<'_>) {
        let line = String::from_utf8_lossy(line);
        match line.split_once(' ').unwrap_or((&line, "")) {
            ("/join", room) if !room.is_empty() => self.enter(member, room, context),
            ("/nick", name) if !name.is_empty() => member.name = name.to_string(),
            ("/quit", _) => context.close(),
            _ => {
                context.broadcast(&member.room, format!("{}: {line}\n", member.name));
            }
        }
    }

    fn on_close(&mut self, member: Member, _: CloseReason, context: &mut Context<'_>) {
        context.broadcast(&member.room, format!("* {} left\n", member.name));
    }
}

fn main() -> readyloop::Result<()> {
    let limits = Limits { idle_timeout: Some(Duration::from_secs(600)), ..Limits::default() };
    let server = Server::builder().listen("127.0.0.1:7100").limits(limits).stop_on_signals();
    let chat = Chat::default();
    server.topology(Topology::multi(2)).run(|_thread| chat.clone())
}
