//! A chat with rooms in one file: `cargo run --example chat`, then several `nc 127.0.0.1 7100`.
//!
//! `/join ROOM` changes the room, `/nick NAME` the name, `/quit` leaves; any other line is said to
//! the room. A line is stored once, however many members it goes to.

use std::collections::{HashMap, HashSet};
use std::time::Duration;

use readyloop::{Bytes, CloseReason, Context, Handler, Limits, Lines, Peer, Server, SessionId};

#[derive(Default)]
struct Chat {
    rooms: HashMap<String, HashSet<SessionId>>,
}

struct Member {
    name: String,
    room: String,
}

impl Chat {
    fn enter(&mut self, member: &mut Member, room: &str, context: &mut Context<'_>) {
        self.leave(member, context);
        member.room = room.to_string();
        self.rooms.entry(member.room.clone()).or_default().insert(context.id());
        self.say(&member.room, &format!("* {} joined {room}\n", member.name), context);
    }

    fn leave(&mut self, member: &Member, context: &mut Context<'_>) {
        let Some(members) = self.rooms.get_mut(&member.room) else { return };
        members.remove(&context.id());
        if members.is_empty() {
            self.rooms.remove(&member.room);
        } else {
            self.say(&member.room, &format!("* {} left\n", member.name), context);
        }
    }

    fn say(&self, room: &str, line: &str, context: &mut Context<'_>) {
        let line = Bytes::from(line.to_string());
        for member in self.rooms.get(room).into_iter().flatten() {
            context.send_shared_to(*member, line.clone());
        }
    }
}

impl Handler for Chat {
    type Framer = Lines;
    type Session = Member;

    fn on_open(&mut self, _: &Peer, context: &mut Context<'_>) -> (Lines, Member) {
        let name = format!("guest-{}", context.id());
        let mut member = Member { name, room: String::new() };
        self.enter(&mut member, "lobby", context);
        (Lines::new(512), member)
    }

    fn on_frame(&mut self, member: &mut Member, line: &[u8], context: &mut Context<'_>) {
        let line = String::from_utf8_lossy(line);
        match line.split_once(' ').unwrap_or((&line, "")) {
            ("/join", room) if !room.is_empty() => self.enter(member, room, context),
            ("/nick", name) if !name.is_empty() => member.name = name.to_string(),
            ("/quit", _) => context.close(),
            _ => self.say(&member.room, &format!("{}: {line}\n", member.name), context),
        }
    }

    fn on_close(&mut self, member: Member, _: CloseReason, context: &mut Context<'_>) {
        self.leave(&member, context);
    }
}

fn main() -> readyloop::Result<()> {
    let limits = Limits { idle_timeout: Some(Duration::from_secs(600)), ..Limits::default() };
    let server = Server::builder().listen("127.0.0.1:7100").limits(limits).stop_on_signals();
    server.run(|_thread| Chat::default())
}
