//! All rooms and everybody who is in them: what a command does, and who hears of it.
//!
//! It knows no sockets. What it wants to be said it gives to a [`Post`], in order, and it is called
//! under one lock; so the order in which things are posted is the order in which they happened, on
//! all threads.
//!
//! Invariants: a name belongs to at most one session; who is a member of a room has a name, and is
//! in the room's list, in its own, and in the group that gets the room's lines. Who was told goodbye
//! is heard no more and told nothing more, although its end is mail too, and lines that came with
//! the last one are read before it arrives. Its name and its rooms are not its own any more either:
//! a session lingers until its peer has closed too, and nobody should wait for that.

use std::collections::{HashMap, HashSet};
use std::fmt::Write as _;
use std::hash::{BuildHasher, RandomState};

use readyloop::{Group, SessionId, SlowMember};

use super::room::{Memory, Room};
use super::words::{Command, Refusal};

/// Where the hall says things.
pub trait Post {
    /// To one session.
    fn send(&self, to: SessionId, lines: String);
    /// To all members of a group.
    fn broadcast(&self, group: &Group, line: String);
    /// What is broadcast from now on is for this session too.
    fn join(&self, id: SessionId, group: &Group);
    /// From now on it is not.
    fn leave(&self, id: SessionId, group: &Group);
    /// Ends a session, behind what was said to it.
    fn close(&self, id: SessionId);
}

/// How much there may be.
#[derive(Clone, Copy, Debug)]
pub struct Bounds {
    /// Rooms, also empty ones that are remembered.
    pub rooms_max: usize,
    /// Rooms in which one session is.
    pub rooms_per_session_max: usize,
    /// Bytes of a name, of a person or of a room.
    pub name_bytes_max: usize,
    /// What a room remembers.
    pub memory: Memory,
    /// What becomes of lines for members that do not read.
    pub slow_member: SlowMember,
}

/// Everything.
pub struct Hall {
    bounds: Bounds,
    guests: HashMap<SessionId, Guest>,
    /// Who has which name, by its key.
    names: HashMap<String, Holder>,
    /// By the keys of their names.
    rooms: HashMap<String, Room>,
    /// Grows with every room that becomes empty.
    departures: u64,
    /// Who was told goodbye, and has not ended yet.
    dismissed: HashSet<SessionId>,
    /// Makes tokens that nobody can guess: a keyed hash of a number.
    secret: RandomState,
    tokens: u64,
}

/// Somebody with a name.
struct Guest {
    key: String,
    name: String,
    /// Keys of the rooms that it is in.
    rooms: Vec<String>,
}

struct Holder {
    id: SessionId,
    token: u64,
}

type Heard = Result<(), Refusal>;

/// Names that differ only in case are the same name.
fn key_of(name: &str) -> String {
    name.to_lowercase()
}

impl Hall {
    /// Without anybody in it.
    pub fn new(bounds: Bounds) -> Hall {
        Hall {
            bounds,
            guests: HashMap::new(),
            names: HashMap::new(),
            rooms: HashMap::new(),
            departures: 0,
            dismissed: HashSet::new(),
            secret: RandomState::new(),
            tokens: 0,
        }
    }

    /// Does what a session says.
    ///
    /// # Errors
    /// Why it is not done; then nothing was.
    pub fn hear(&mut self, id: SessionId, command: Command<'_>, post: &impl Post) -> Heard {
        if self.dismissed.contains(&id) {
            return Ok(());
        }
        match command {
            Command::Nick(name, token) => self.name(id, name, token, post),
            Command::Join(room, after) => self.join(id, room, after, post),
            Command::Leave(room) => self.leave(id, room, post),
            Command::Say(room, text) => self.say(id, room, text, post),
            Command::Msg(nick, text) => self.whisper(id, nick, text, post),
            Command::Who(room) => self.who(id, room, post),
            Command::Rooms => self.list(id, post),
            Command::History(room, count) => self.history(id, room, count, post),
            Command::Ping(text) => {
                post.send(id, format!("PONG {text}").trim_end().to_string() + "\n");
                Ok(())
            }
            Command::Pong => Ok(()),
            Command::Quit => {
                self.dismiss(id, "BYE\n", post);
                Ok(())
            }
        }
    }

    /// Says something to a session, behind all that was said to it.
    pub fn tell(&self, id: SessionId, line: &str, post: &impl Post) {
        if !self.dismissed.contains(&id) {
            post.send(id, line.to_string());
        }
    }

    /// Tells a session goodbye, behind all that was said to it, and ends it.
    pub fn dismiss(&mut self, id: SessionId, goodbye: &str, post: &impl Post) {
        if !self.dismissed.contains(&id) {
            self.depart(id, post);
            post.send(id, goodbye.to_string());
            post.close(id);
        }
    }

    /// A session is being closed: it hears no more of its rooms, not even that it left them, and
    /// others may have its name.
    pub fn depart(&mut self, id: SessionId, post: &impl Post) {
        self.dismissed.insert(id);
        for group in self.groups(id) {
            post.leave(id, group);
        }
        self.vacate(id, post);
    }

    /// A session is being closed whose mail does not get through: its rooms hear of it at its end.
    pub fn ignore(&mut self, id: SessionId) {
        self.dismissed.insert(id);
    }

    /// A session has ended.
    pub fn forget(&mut self, id: SessionId, post: &impl Post) {
        self.dismissed.remove(&id);
        self.vacate(id, post);
    }

    /// Takes a session's name, if it still has one, and it out of its rooms.
    fn vacate(&mut self, id: SessionId, post: &impl Post) {
        let Some(guest) = self.guests.remove(&id) else { return };
        self.names.remove(&guest.key);
        for room in &guest.rooms {
            self.part(room, &guest, post);
        }
    }

    /// In how many rooms a session is: so many hear of its new name.
    pub fn rooms_of(&self, id: SessionId) -> u32 {
        self.guests.get(&id).map_or(0, |guest| guest.rooms.len() as u32)
    }

    /// The groups of the rooms that a session is in.
    fn groups(&self, id: SessionId) -> impl Iterator<Item = &Group> {
        let rooms = self.guests.get(&id).into_iter().flat_map(|guest| &guest.rooms);
        rooms.filter_map(|key| self.rooms.get(key)).map(|room| &room.group)
    }

    fn name(&mut self, id: SessionId, name: &str, token: Option<u64>, post: &impl Post) -> Heard {
        self.check_name(name)?;
        let key = key_of(name);
        match self.names.get(&key) {
            Some(holder) if holder.id == id => {}
            Some(holder) => match token {
                None => return Err(Refusal::NameTaken),
                Some(token) if token != holder.token => return Err(Refusal::WrongToken),
                Some(_) => {
                    self.dismiss(holder.id, "BYE your name was taken over\n", post);
                }
            },
            None => {}
        }
        let token = self.token();
        if let Some(guest) = self.guests.get_mut(&id) {
            self.names.remove(&guest.key);
            let old = std::mem::replace(&mut guest.name, name.to_string());
            let old_key = std::mem::replace(&mut guest.key, key.clone());
            for room in &guest.rooms {
                let Some(room) = self.rooms.get_mut(room) else { continue };
                room.leave(&old_key, 0);
                room.enter(&key, name, id);
                post.broadcast(&room.group, format!("RENAMED {} {old} {name}\n", room.name));
            }
        } else {
            let guest = Guest { key: key.clone(), name: name.to_string(), rooms: Vec::new() };
            self.guests.insert(id, guest);
        }
        self.names.insert(key, Holder { id, token });
        post.send(id, format!("OK NICK {name} {token:016x}\n"));
        Ok(())
    }

    fn join(&mut self, id: SessionId, name: &str, after: Option<u64>, post: &impl Post) -> Heard {
        let guest = self.guests.get_mut(&id).ok_or(Refusal::NoNick)?;
        let key = key_of(name);
        if guest.rooms.contains(&key) {
            return Err(Refusal::Joined);
        }
        if guest.rooms.len() >= self.bounds.rooms_per_session_max {
            return Err(Refusal::TooManyRooms);
        }
        if !self.rooms.contains_key(&key) {
            self.check_name(name)?;
            self.make_room_for_one()?;
            let room = Room::new(name, self.bounds.slow_member, self.bounds.memory);
            self.rooms.insert(key.clone(), room);
        }
        let (Some(guest), Some(room)) = (self.guests.get_mut(&id), self.rooms.get_mut(&key)) else {
            return Err(Refusal::NoRoom);
        };
        post.broadcast(&room.group, format!("JOINED {} {}\n", room.name, guest.name));
        post.join(id, &room.group);
        room.enter(&guest.key, &guest.name, id);
        guest.rooms.push(key);
        // Posted behind the join and before all that comes next: nothing is lost or doubled.
        post.send(id, welcome(room, after));
        Ok(())
    }

    fn leave(&mut self, id: SessionId, name: &str, post: &impl Post) -> Heard {
        let key = self.member(id, name)?;
        let Some(mut guest) = self.guests.remove(&id) else { return Err(Refusal::NoNick) };
        guest.rooms.retain(|room| *room != key);
        if let Some(room) = self.rooms.get(&key) {
            post.leave(id, &room.group);
            post.send(id, format!("OK LEAVE {}\n", room.name));
        }
        self.part(&key, &guest, post);
        self.guests.insert(id, guest);
        Ok(())
    }

    /// Takes somebody out of a room's list; the others hear of it.
    fn part(&mut self, room: &str, guest: &Guest, post: &impl Post) {
        let Some(room) = self.rooms.get_mut(room) else { return };
        self.departures += 1;
        room.leave(&guest.key, self.departures);
        post.broadcast(&room.group, format!("LEFT {} {}\n", room.name, guest.name));
    }

    fn say(&mut self, id: SessionId, name: &str, text: &str, post: &impl Post) -> Heard {
        let key = self.member(id, name)?;
        let (Some(guest), Some(room)) = (self.guests.get(&id), self.rooms.get_mut(&key)) else {
            return Err(Refusal::NoRoom);
        };
        let line = room.say(&guest.name, text);
        post.broadcast(&room.group, line);
        Ok(())
    }

    fn whisper(&mut self, id: SessionId, to: &str, text: &str, post: &impl Post) -> Heard {
        let guest = self.guests.get(&id).ok_or(Refusal::NoNick)?;
        let holder = self.names.get(&key_of(to)).ok_or(Refusal::NoSuchNick)?;
        post.send(holder.id, format!("PRIVATE {} {text}\n", guest.name));
        post.send(id, format!("OK MSG {to}\n"));
        Ok(())
    }

    fn who(&mut self, id: SessionId, name: &str, post: &impl Post) -> Heard {
        /// Names on one line, so that no line is endless.
        const NAMES_PER_LINE: usize = 32;
        let room = self.rooms.get(&key_of(name)).ok_or(Refusal::NoRoom)?;
        let names: Vec<&str> = room.names().collect();
        let mut lines = String::new();
        for some in names.chunks(NAMES_PER_LINE) {
            line(&mut lines, format_args!("MEMBERS {} {}", room.name, some.join(" ")));
        }
        line(&mut lines, format_args!("OK WHO {} {}", room.name, names.len()));
        post.send(id, lines);
        Ok(())
    }

    fn list(&mut self, id: SessionId, post: &impl Post) -> Heard {
        let mut rooms: Vec<&Room> = self.rooms.values().collect();
        rooms.sort_by(|one, two| one.name.cmp(&two.name));
        let mut lines = String::new();
        for room in &rooms {
            line(&mut lines, format_args!("ROOM {} {} {}", room.name, room.len(), room.last()));
        }
        line(&mut lines, format_args!("OK ROOMS {}", rooms.len()));
        post.send(id, lines);
        Ok(())
    }

    fn history(&mut self, id: SessionId, name: &str, count: usize, post: &impl Post) -> Heard {
        let key = self.member(id, name)?;
        let room = self.rooms.get(&key).ok_or(Refusal::NoRoom)?;
        let recent: Vec<&str> = room.recent(count).collect();
        let mut lines = format!("OK HISTORY {} {}\n", room.name, recent.len());
        lines.extend(recent);
        post.send(id, lines);
        Ok(())
    }

    /// The key of a room that the session is in.
    fn member(&self, id: SessionId, name: &str) -> Result<String, Refusal> {
        let guest = self.guests.get(&id).ok_or(Refusal::NoNick)?;
        let key = key_of(name);
        if guest.rooms.contains(&key) {
            return Ok(key);
        }
        let there_is_one = self.rooms.contains_key(&key);
        Err(if there_is_one { Refusal::NotMember } else { Refusal::NoRoom })
    }

    fn check_name(&self, name: &str) -> Heard {
        let is_plain = |c: char| c.is_alphanumeric() || "-_.".contains(c);
        let fits = (1..=self.bounds.name_bytes_max).contains(&name.len());
        if fits && name.chars().all(is_plain) { Ok(()) } else { Err(Refusal::BadName) }
    }

    /// Forgets the room that has been empty for the longest, if there are too many.
    fn make_room_for_one(&mut self) -> Heard {
        if self.rooms.len() < self.bounds.rooms_max {
            return Ok(());
        }
        let empty = self.rooms.iter().filter_map(|(key, room)| Some((room.empty_since?, key)));
        let oldest = empty.min().map(|(_, key)| key.clone()).ok_or(Refusal::TooManyRoomsInAll)?;
        self.rooms.remove(&oldest);
        Ok(())
    }

    fn token(&mut self) -> u64 {
        self.tokens += 1;
        self.secret.hash_one(self.tokens)
    }
}

fn line(lines: &mut String, line: std::fmt::Arguments<'_>) {
    writeln!(lines, "{line}").expect("writing to a string does not fail");
}

/// `OK JOIN room last missed lost`, and then the lines that were missed.
fn welcome(room: &Room, after: Option<u64>) -> String {
    let (missed, lost) = match after {
        None => (Vec::new(), 0),
        Some(after) => {
            let (lines, lost) = room.after(after);
            (lines.collect(), lost)
        }
    };
    let mut lines = format!("OK JOIN {} {} {} {lost}\n", room.name, room.last(), missed.len());
    lines.extend(missed);
    lines
}

#[cfg(test)]
mod tests;
