//! The service `rooms`: people in rooms who talk to each other, over TCP in lines, and over
//! WebSocket in the same lines, one or several to a message.
//!
//! It exists to show what readyloop is for: many sessions that hear each other, on any number of
//! threads. It keeps nothing on disk, and it has no accounts: a name belongs to whoever has it.
//!
//! A client says:
//!
//! ```text
//! NICK name [token]     have this name; with its token, take it over from another session
//! JOIN room [after]     come in; with a number, hear what was said after it
//! LEAVE room            go out
//! SAY room text         say it to all who are in the room
//! MSG nick text         say it to one person
//! WHO room              who is in there
//! ROOMS                 which rooms there are
//! HISTORY room n        the last n lines that are remembered
//! PING [text], PONG     are you there? I am
//! QUIT                  the end
//! ```
//!
//! and hears, each on a line of its own, the fields in this order and free text last:
//!
//! ```text
//! HELLO rooms text                  at first
//! OK NICK name token                the token is for coming back
//! OK JOIN room last missed lost     the last number; so many lines follow; so many are forgotten
//! OK LEAVE room, OK MSG nick, OK HISTORY room count
//! SAID room number nick text        also to who said it
//! PRIVATE nick text
//! JOINED room nick, LEFT room nick, RENAMED room old new
//! MEMBERS room nick...              then OK WHO room count
//! ROOM room members last            then OK ROOMS count
//! PONG [text], PING
//! BYE [text]                        the session ends; lines behind this are not heard
//! ERR code text                     what was said had no effect
//! ```
//!
//! What is promised: the lines of a room are numbered, and all members hear them in the order of
//! their numbers, whatever thread they are on. Who joins with a number hears each later line once,
//! from the history or as it is said; a member that does not read misses lines, and sees the gap in
//! the numbers. Answers come in the order of the questions.
//!
//! All of this is so because all that is said is mail: under the hall's lock it is posted to the
//! reactors by [`Remote`], and mail is read in its order.

mod hall;
mod rate;
mod room;
mod words;

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use readyloop::{
    Bytes, CloseReason, Context, Error, Group, Handler, Lines, Now, Peer, Refused, Remote, Result,
    SessionId, TimerId,
};
use readyloop_protocols::websocket::{Kind, Page, WebSocket};

use crate::args::{Identity, RoomsOptions};
use crate::logged::Logged;
use crate::serve;
use crate::units;

use hall::{Bounds, Hall, Post};
use rate::{Bucket, Rate};
use room::Memory;
use words::{Command, Refusal};

/// How it differs from other services.
pub const IDENTITY: Identity = Identity {
    name: "rooms",
    address: "127.0.0.1:7100",
    max_frame: "The longest line of a client [default: 4KiB]",
};

const LINE_BYTES_MAX: usize = 4 << 10;
/// What a line has besides one name, at most, if it is not of free text: `NICK name token`.
const LINE_BESIDE_NAME_BYTES: usize = "NICK  ".len() + 16;
/// What a line that was said has besides two names, if its text is short: `SAID room number nick text`.
const LINE_SAID_BESIDE_NAMES_BYTES: usize = "SAID  18446744073709551615  .\n".len();
const HISTORY_LINES: u32 = 200;
const ROOMS_PER_SESSION: u32 = 20;
/// A line that would cost less than a nanosecond would cost nothing.
pub const RATE_MAX: u32 = 1_000_000_000;
const PAGE: &str = include_str!("rooms/page.html");
/// The page is one file: its own script and style, and a connection to where it came from.
const PAGE_MAY: &str = "default-src 'none'; script-src 'unsafe-inline'; style-src 'unsafe-inline'; \
                        connect-src 'self'; img-src data:; base-uri 'none'; form-action 'none'; \
                        frame-ancestors 'none'";

/// Serves until it is stopped.
pub fn serve(options: &RoomsOptions) -> Result<()> {
    let line_bytes_max = options.server.limits.max_frame.map_or(LINE_BYTES_MAX, |bytes| bytes.0);
    let limits = serve::limits(&options.server.limits, line_bytes_max);
    check_what_means_nothing(options)?;
    let bounds = Bounds {
        rooms_max: options.max_rooms as usize,
        rooms_per_session_max: options.max_rooms_per_session.unwrap_or(ROOMS_PER_SESSION) as usize,
        name_bytes_max: options.max_name.0,
        memory: Memory {
            lines_max: options.history.unwrap_or(HISTORY_LINES) as usize,
            bytes_max: options.history_bytes.0,
        },
        slow_member: options.slow.0,
    };
    // A whole history is one answer.
    let what = format!("a room's --history-bytes {}", options.history_bytes);
    serve::check_that_an_answer_fits(&limits, bounds.memory.bytes_max, &what)?;
    // The longest line that is not of free text, and that of the shortest text.
    let longest = bounds.name_bytes_max.saturating_add(LINE_BESIDE_NAME_BYTES);
    let what = format!("a line with a name of --max-name {}", options.max_name);
    serve::check_that_a_frame_has_room(line_bytes_max, longest, &what)?;
    let manners = Manners {
        line_bytes_max,
        rate: Rate { per_second: options.rate, burst: options.burst },
        heartbeat: options.heartbeat.0,
    };
    let web = options.server.listen.len()..;
    let page = Page::new("/", "text/html; charset=utf-8", PAGE)
        .header("Content-Security-Policy", PAGE_MAY)
        .header("Cache-Control", "no-cache");
    let addresses = [options.web.clone()];
    serve::serve(&IDENTITY, &options.server, &addresses, limits, |remote| {
        let hall = Arc::new(Mutex::new(Hall::new(bounds)));
        move |_thread| {
            let rooms = Rooms { hall: hall.clone(), remote: remote.clone(), manners };
            let layer = WebSocket::new(rooms, Kind::Text).path("/ws").page(page.clone());
            Logged(layer.listeners(web.clone()).message_bytes_max(line_bytes_max))
        }
    })
}

/// Options that would have no effect beside others.
fn check_what_means_nothing(options: &RoomsOptions) -> Result<()> {
    let no = |what: String| Err(Error::settings(what));
    let history_bytes = options.history_bytes.0;
    // The shortest text, of whoever has the longest name, in a room that has it too.
    let needed = options.max_name.0.saturating_mul(2).saturating_add(LINE_SAID_BESIDE_NAMES_BYTES);
    if let (0, Some(lines)) = (history_bytes, options.history) {
        return no(format!(
            "--history {lines} means nothing beside --history-bytes 0; leave one of them out"
        ));
    }
    if (1..needed).contains(&history_bytes) {
        return no(format!(
            "--history-bytes {} has no room for a line with names of --max-name {}; make it at least \
             {}, or 0 for no history",
            options.history_bytes,
            options.max_name,
            units::Bytes(needed)
        ));
    }
    if let Some(idle) =
        options.server.limits.idle_timeout.filter(|idle| idle.0 <= options.heartbeat.0)
    {
        return no(format!(
            "--heartbeat {} would ask nobody, because --idle-timeout {idle} closes who is silent before; \
             make --heartbeat shorter, or --idle-timeout longer",
            options.heartbeat
        ));
    }
    if let Some(rooms) = options.max_rooms_per_session.filter(|rooms| *rooms > options.max_rooms) {
        return no(format!(
            "--max-rooms-per-session {rooms} are more than --max-rooms {}; make it less, or leave it out",
            options.max_rooms
        ));
    }
    Ok(())
}

/// How sessions have to behave.
#[derive(Clone, Copy)]
struct Manners {
    line_bytes_max: usize,
    rate: Rate,
    /// Who is silent for so long is asked whether he is there; who is for twice as long, is not.
    heartbeat: Duration,
}

/// The handler.
struct Rooms {
    hall: Arc<Mutex<Hall>>,
    remote: Remote,
    manners: Manners,
}

/// What is known of a session without the hall.
struct Caller {
    bucket: Bucket,
    /// Lines refused since the last one that was heard.
    too_fast: u32,
    heard: Now,
    beat: Option<TimerId>,
}

/// The hall's words as mail.
struct Mail<'a> {
    remote: &'a Remote,
    /// Who speaks, and whether its answer was refused.
    speaker: SessionId,
    lost: std::cell::Cell<bool>,
}

impl Mail<'_> {
    fn note(&self, to: SessionId, outcome: std::result::Result<(), Refused>) {
        if to == self.speaker && outcome == Err(Refused::Full) {
            self.lost.set(true);
        }
    }
}

impl Post for Mail<'_> {
    fn send(&self, to: SessionId, lines: String) {
        self.note(to, self.remote.send(to, Bytes::from(lines)));
    }

    fn broadcast(&self, group: &Group, line: String) {
        // Taken, unless the speaker is held already and goes on; then members miss it, as slow ones do,
        // and see it by the number.
        let _some_miss_it = self.remote.broadcast(group, Bytes::from(line));
    }

    fn join(&self, id: SessionId, group: &Group) {
        self.note(id, self.remote.join(id, group));
    }

    fn leave(&self, id: SessionId, group: &Group) {
        self.note(id, self.remote.leave(id, group));
    }

    fn close(&self, id: SessionId) {
        self.note(id, self.remote.close(id));
    }
}

impl Rooms {
    /// Asks the hall to do something, and to say it by mail. A session whose own mail does not get
    /// through would be in a room without hearing it: better it comes again.
    fn ask<T>(&self, context: &mut Context<'_>, ask: impl FnOnce(&mut Hall, &Mail<'_>) -> T) -> T {
        let mail = Mail { remote: &self.remote, speaker: context.id(), lost: false.into() };
        // The hall calls nothing that panics between two changes that belong together.
        let mut hall = self.hall.lock().unwrap_or_else(PoisonError::into_inner);
        let answer = ask(&mut hall, &mail);
        if mail.lost.get() {
            hall.ignore(mail.speaker);
            context.send(Refusal::Busy.to_string().as_bytes());
            context.close();
        }
        answer
    }

    fn tell(&self, line: &str, context: &mut Context<'_>) {
        self.ask(context, |hall, mail| hall.tell(mail.speaker, line, mail));
    }

    fn dismiss(&self, goodbye: &str, context: &mut Context<'_>) {
        self.ask(context, |hall, mail| hall.dismiss(mail.speaker, goodbye, mail));
    }

    fn hear(&mut self, caller: &mut Caller, line: &[u8], context: &mut Context<'_>) {
        let command = Command::read(line);
        let price = command.map_or(1, |command| self.price(command, context));
        if !self.is_slow_enough(caller, price, context) {
            return;
        }
        let id = context.id();
        let heard = command
            .and_then(|command| self.ask(context, |hall, mail| hall.hear(id, command, mail)));
        if let Err(refusal) = heard {
            self.tell(&refusal.to_string(), context);
        }
    }

    /// How many lines a command costs: as many as it makes the hall say to whole rooms.
    fn price(&self, command: Command<'_>, context: &mut Context<'_>) -> u32 {
        match command {
            Command::Nick(..) => self.ask(context, |hall, mail| hall.rooms_of(mail.speaker).max(1)),
            _ => 1,
        }
    }

    /// Whether the session may say something now that costs so many lines; one that goes on when it
    /// may not must go.
    fn is_slow_enough(&self, caller: &mut Caller, price: u32, context: &mut Context<'_>) -> bool {
        if caller.bucket.pay(self.manners.rate, price, context.now()) {
            caller.too_fast = 0;
            return true;
        }
        caller.too_fast = caller.too_fast.saturating_add(1);
        if caller.too_fast == 1 {
            self.tell(&Refusal::TooFast.to_string(), context);
        } else if caller.too_fast == self.manners.rate.burst.saturating_add(1) {
            self.dismiss("BYE you are too fast\n", context);
        }
        false
    }
}

impl Handler for Rooms {
    type Framer = Lines;
    type Session = Caller;

    fn on_open(&mut self, _: &Peer, context: &mut Context<'_>) -> (Lines, Caller) {
        context.send(b"HELLO rooms say NICK name, then JOIN room\n");
        let now = context.now();
        let caller = Caller {
            bucket: Bucket::new(self.manners.rate, now),
            too_fast: 0,
            heard: now,
            beat: context.set_timer(self.manners.heartbeat),
        };
        (Lines::new(self.manners.line_bytes_max), caller)
    }

    /// Over TCP it is a line; over WebSocket a message, which may hold several.
    fn on_frame(&mut self, caller: &mut Caller, lines: &[u8], context: &mut Context<'_>) {
        caller.heard = context.now();
        for line in lines.strip_suffix(b"\n").unwrap_or(lines).split(|byte| *byte == b'\n') {
            self.hear(caller, line.strip_suffix(b"\r").unwrap_or(line), context);
        }
    }

    fn on_timer(&mut self, caller: &mut Caller, timer: TimerId, context: &mut Context<'_>) {
        if caller.beat != Some(timer) {
            return;
        }
        if context.is_held() {
            // What it has said meanwhile was not read.
            caller.heard = context.now();
        }
        let (silent, heartbeat) = (context.now().since(caller.heard), self.manners.heartbeat);
        if silent >= 2 * heartbeat {
            return self.dismiss("BYE nothing was heard of you\n", context);
        }
        let mut next = heartbeat.saturating_sub(silent);
        if silent >= heartbeat {
            self.tell("PING\n", context);
            next = 2 * heartbeat - silent;
        }
        context.reset_timer(timer, next);
    }

    /// What was asked for is still answered, to somebody who is not there any more.
    fn on_peer_finished(&mut self, _: &mut Caller, context: &mut Context<'_>) {
        self.ask(context, |hall, mail| hall.depart(mail.speaker, mail));
        context.close();
    }

    fn on_closing(&mut self, _: &mut Caller, reason: CloseReason, context: &mut Context<'_>) {
        // Where all stop, nobody stays who should hear of it, or have the name.
        if reason != CloseReason::Stopped {
            self.ask(context, |hall, mail| hall.depart(mail.speaker, mail));
        }
        let word = match reason {
            CloseReason::FrameTooLong => Refusal::TooLong.to_string(),
            CloseReason::Stopped => "BYE the server stops\n".to_string(),
            _ => "BYE\n".to_string(),
        };
        context.send(word.as_bytes());
    }

    fn on_close(&mut self, _: Caller, _: CloseReason, context: &mut Context<'_>) {
        let id = context.id();
        self.ask(context, |hall, mail| hall.forget(id, mail));
    }
}
