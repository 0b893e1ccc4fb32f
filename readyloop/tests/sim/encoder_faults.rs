//! Encoders on a bad day: their own panics, more bytes than they had said, and a network that takes
//! little at a time.

use std::cell::{Cell, RefCell};
use std::collections::BTreeMap;
use std::rc::Rc;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use readyloop::sim::{Client, End, Faults, Rng};
use readyloop::{
    CloseReason, Context, Encoder, Encoding, Group, Header, HeaderBytes, Incident, Limits, Report,
    SessionId, SlowMember, Trigger,
};

use super::encoders::Cipher;
use super::order::{town, ways};
use super::town::{Plan, Town};
use super::world::{Fact, React, Remote, framed};
use super::worlds::each_world;

/// A cipher that does not survive the word.
#[derive(Default)]
struct Bomb(Cipher);

impl Encoder for Bomb {
    fn encode(&mut self, message: &[u8], out: &mut Vec<u8>) {
        self.0.encode(message, out);
        assert_ne!(message, b"bomb", "boom");
    }

    fn encoded_bytes_max(bytes: usize) -> usize {
        Cipher::encoded_bytes_max(bytes)
    }

    fn closing(&mut self, out: &mut Vec<u8>) {
        self.encode(b"bomb", out);
    }
}

/// A head that cannot be told for a message of that length.
static FUSE: Header = Header {
    head: |bytes| {
        assert_ne!(bytes, b"bomb".len(), "boom");
        HeaderBytes::new(b"")
    },
    closing: b"",
};

/// Three callers in a group, of whom the first one has an encoding that panics.
struct Victim {
    town: Town,
    group: Group,
    clients: [Client; 3],
    ids: [SessionId; 3],
    incidents: Arc<Mutex<Vec<Incident>>>,
}

impl Victim {
    fn new((plan, trigger): (Plan, Trigger), encoding: &str) -> Victim {
        let incidents = Arc::new(Mutex::new(Vec::new()));
        let (tells, group) = (incidents.clone(), Group::new(SlowMember::default()));
        let report = Report::new(move |incident| tells.lock().unwrap().push(incident));
        let to = Rc::new(Cell::new(SessionId::NONE));
        let service = || bomber(to.clone(), &group);
        let limits = Limits::default();
        let mut town = Town::reporting(0, plan, trigger, Faults::none(), &limits, service, report);
        let callers = [(); 3].map(|()| town.caller());
        let (clients, ids) = (callers.clone().map(|one| one.0), callers.map(|one| one.1));
        to.set(ids[0]);
        clients[0].send(&framed(encoding.as_bytes()));
        town.settle();
        town.facts();
        Victim { town, group, clients, ids, incidents }
    }

    /// Only the first one has ended, and nobody else has missed anything.
    fn assert_only_it_is_lost(mut self, how: &str, heard: &[u8]) {
        self.town.settle();
        let close = |fact| match fact {
            Fact::Close(id, reason) => Some((id, reason)),
            _ => None,
        };
        let closed: Vec<_> = self.town.facts().into_iter().filter_map(close).collect();
        assert_eq!(closed, [(self.ids[0], CloseReason::HandlerPanicked)], "{how}");
        let [victim, others @ ..] = &self.clients;
        let mut hidden = Vec::new();
        Cipher::default().encode(b"before", &mut hidden);
        assert!([&hidden, &b"before"[..]].contains(&&victim.received()[..]), "{how}: nothing half");
        assert_eq!(victim.end(), Some(End::Reset), "{how}");
        assert_eq!(self.town.stats().panics, 1, "{how}");
        let told = std::mem::take(&mut *self.incidents.lock().unwrap());
        let [Incident::Panicked { id, message }] = &told[..] else { panic!("{how}: {told:?}") };
        assert!(*id == self.ids[0] && message.contains("boom"), "{how}: {told:?}");
        for client in others {
            assert_eq!(client.take_received(), heard, "{how}");
            client.send(&framed(b"hello"));
            self.town.settle();
            assert_eq!(client.take_received(), b"hello", "{how}");
        }
    }
}

fn bomber(to: Rc<Cell<SessionId>>, group: &Group) -> React {
    let group = group.clone();
    Box::new(move |fact: &Fact, context: &mut Context<'_>| match fact {
        Fact::Open(id) if *id != SessionId::NONE => context.join(&group),
        Fact::Frame(_, frame) => match &frame[..] {
            b"encoder" => {
                assert!(context.set_encoding(Encoding::stateful(Bomb::default())));
                assert!(context.send(b"before"));
            }
            b"header" => {
                assert!(context.set_encoding(Encoding::header(&FUSE)));
                assert!(context.send(b"before"));
            }
            b"own" => {
                context.send(b"bomb");
                context.send(b"behind it");
            }
            b"shared" => drop(context.send_shared("bomb".into())),
            b"close" => context.close(),
            b"to" => context.send_to(to.get(), b"bomb"),
            b"group" => context.broadcast(&group, "bomb"),
            other => drop(context.send(other)),
        },
        _ => {}
    })
}

#[test]
fn an_encoder_that_panics_ends_its_session_and_hurts_nobody_else_whoever_has_sent_the_message() {
    for way in ways() {
        for encoding in ["encoder", "header"] {
            blow_up(way, encoding);
        }
        let victim = Victim::new(way, "encoder");
        victim.clients[0].send(&framed(b"close"));
        victim.assert_only_it_is_lost(&format!("{way:?}, closed"), b"");
        let victim = Victim::new(way, "encoder");
        victim.town.remote.close(victim.ids[0]).unwrap();
        victim.assert_only_it_is_lost(&format!("{way:?}, closed by a remote"), b"");
    }
}

/// In whatever way the message is sent.
fn blow_up(way: (Plan, Trigger), encoding: &str) {
    let ways =
        [(0, "own"), (0, "shared"), (0, "group"), (1, "to"), (2, "to"), (1, "group"), (2, "group")];
    for (speaker, text) in ways {
        let victim = Victim::new(way, encoding);
        victim.clients[speaker].send(&framed(text.as_bytes()));
        let heard: &[u8] = if text == "group" { b"bomb" } else { b"" };
        victim.assert_only_it_is_lost(&format!("{way:?}, {encoding}, {text} of {speaker}"), heard);
    }
    let victim = Victim::new(way, encoding);
    victim.town.remote.send(victim.ids[0], "bomb").unwrap();
    victim.assert_only_it_is_lost(&format!("{way:?}, {encoding}, by a remote"), b"");
    let victim = Victim::new(way, encoding);
    victim.town.remote.broadcast(&victim.group, "bomb").unwrap();
    let how = format!("{way:?}, {encoding}, to a group by a remote");
    victim.assert_only_it_is_lost(&how, b"bomb");
}

/// Panics when it is dropped, once.
struct Dud;

impl Encoder for Dud {
    fn encode(&mut self, message: &[u8], out: &mut Vec<u8>) {
        out.extend_from_slice(message);
    }

    fn encoded_bytes_max(bytes: usize) -> usize {
        bytes
    }
}

impl Drop for Dud {
    fn drop(&mut self) {
        panic!("boom");
    }
}

#[test]
fn an_encoder_that_panics_when_it_is_dropped_hurts_nobody_else() {
    for way in ways() {
        for text in ["plain", "end", "next"] {
            let react = |fact: &Fact, context: &mut Context<'_>, _: &Remote| match fact {
                Fact::Frame(_, frame) if frame == b"encode" => {
                    assert!(context.set_encoding(Encoding::stateful(Dud)));
                }
                Fact::Frame(_, frame) => match &frame[..] {
                    b"plain" => assert!(context.set_encoding(Encoding::NONE)),
                    b"end" => context.close(),
                    b"next" => context.abort(),
                    _ => assert!(context.send(frame)),
                },
                _ => {}
            };
            let mut town = town(0, way, Faults::none(), &Limits::default(), react);
            let [dud, other] = [(); 2].map(|()| town.caller());
            for text in ["encode", text] {
                dud.0.send(&framed(text.as_bytes()));
                town.settle();
            }
            dud.0.finish();
            other.0.send(&framed(b"hello"));
            town.settle();
            assert_eq!(other.0.received(), b"hello", "{way:?}, {text}");
            assert_eq!(town.stats().panics, 1, "{way:?}, {text}");
            let panicked = Fact::Close(dud.1, CloseReason::HandlerPanicked);
            assert_eq!(town.facts().contains(&panicked), text == "plain", "{way:?}, {text}");
        }
    }
}

/// Says less than it writes.
struct Liar;

impl Encoder for Liar {
    fn encode(&mut self, message: &[u8], out: &mut Vec<u8>) {
        out.extend_from_slice(&message.repeat(3));
    }

    fn encoded_bytes_max(_: usize) -> usize {
        0
    }
}

#[test]
fn an_encoder_that_writes_more_than_it_has_said_is_heard_or_its_queue_is_full() {
    let limits = Limits {
        send_low_bytes: 10,
        send_high_bytes: 20,
        send_max_bytes: 100,
        ..Limits::default()
    };
    for way in ways() {
        for (length, ends) in [(10, false), (30, false), (40, true)] {
            let react = move |fact: &Fact, context: &mut Context<'_>, _: &Remote| {
                if let Fact::Frame(..) = fact {
                    assert!(context.set_encoding(Encoding::stateful(Liar)));
                    context.send(&vec![7; length]);
                }
            };
            let mut town = town(0, way, Faults::none(), &limits, react);
            let (client, id) = town.caller();
            client.send(&framed(b"x"));
            town.settle();
            let expected = if ends { vec![] } else { vec![7; 3 * length] };
            assert_eq!(client.received(), expected, "{way:?}, {length}");
            let full = Fact::Close(id, CloseReason::SendFull);
            assert_eq!(town.facts().contains(&full), ends, "{way:?}, {length}");
        }
    }
}

/// Tells another session of each message.
struct Gossip(Remote, SessionId, Cipher);

impl Encoder for Gossip {
    fn encode(&mut self, message: &[u8], out: &mut Vec<u8>) {
        self.0.send(self.1, message.to_vec()).unwrap();
        self.2.encode(message, out);
    }

    fn encoded_bytes_max(bytes: usize) -> usize {
        Cipher::encoded_bytes_max(bytes)
    }
}

#[test]
fn what_an_encoder_asks_of_a_remote_is_done_and_never_within_it() {
    for way in ways() {
        let (other, group) =
            (Rc::new(Cell::new(SessionId::NONE)), Group::new(SlowMember::default()));
        let (to, all) = (other.clone(), group.clone());
        let react = move |fact: &Fact, context: &mut Context<'_>, remote: &Remote| match fact {
            Fact::Frame(_, frame) if frame == b"first" => {
                context.join(&all);
                let gossip = Gossip(remote.clone(), to.get(), Cipher::default());
                assert!(context.set_encoding(Encoding::stateful(gossip)));
            }
            Fact::Frame(..) => {
                context.send(b"1");
                context.broadcast(&all, "2");
                context.send_shared("3".into());
                context.send(b"4");
            }
            _ => {}
        };
        let mut town = town(0, way, Faults::none(), &Limits::default(), react);
        let [first, second] = [(); 2].map(|()| town.caller());
        other.set(second.1);
        for text in [b"first", b"speak"] {
            first.0.send(&framed(text));
            town.settle();
        }
        town.remote.broadcast(&group, "5").unwrap();
        town.settle();
        assert_eq!(Cipher::decode(&first.0.received()), ["1", "2", "3", "4", "5"], "{way:?}");
        assert_eq!(second.0.received(), b"12345", "{way:?}");
    }
}

#[test]
fn what_a_slow_member_misses_is_not_encoded() {
    let limits = Limits { send_low_bytes: 1, send_high_bytes: 50, ..Limits::default() };
    for (plan, trigger) in ways() {
        let group = Group::new(SlowMember::DropMessage);
        let service = || -> React {
            let group = group.clone();
            Box::new(move |fact: &Fact, context: &mut Context<'_>| {
                if let Fact::Open(id) = fact
                    && *id != SessionId::NONE
                {
                    context.join(&group);
                    assert!(context.set_encoding(Encoding::stateful(Cipher::default())));
                }
            })
        };
        let mut town = Town::new(0, plan, trigger, Faults::none(), &limits, service);
        let [slow, other] = [(); 2].map(|()| town.caller().0);
        let say_all = |town: &mut Town, numbers: std::ops::Range<usize>| {
            for number in numbers {
                town.remote.broadcast(&group, format!("number {number}")).unwrap();
                town.settle();
            }
        };
        slow.set_window(0);
        say_all(&mut town, 0..20);
        assert!(town.stats().deliveries_dropped > 5, "{plan:?}, {trigger:?}");
        slow.set_window(1 << 16);
        town.settle();
        say_all(&mut town, 20..25);
        let all: Vec<_> = (0..25).map(|number| format!("number {number}")).collect();
        assert_eq!(Cipher::decode(&other.received()), all, "{plan:?}, {trigger:?}");
        let some = Cipher::decode(&slow.received());
        assert!(some.len() < 20 && some.ends_with(&all[20..]), "{plan:?}, {trigger:?}: {some:?}");
    }
}

/// A cipher behind a mark that shows where it begins.
struct Begun(Option<Cipher>);

impl Encoder for Begun {
    fn encode(&mut self, message: &[u8], out: &mut Vec<u8>) {
        if self.0.is_none() {
            out.push(b'|');
        }
        self.0.get_or_insert_default().encode(message, out);
    }

    fn encoded_bytes_max(bytes: usize) -> usize {
        Cipher::encoded_bytes_max(bytes) + 1
    }

    fn closing(&mut self, out: &mut Vec<u8>) {
        self.encode(b"bye", out);
    }
}

/// Sessions that speak to one of them, through any door.
struct Talk {
    rng: RefCell<Rng>,
    /// How much each has said.
    said: RefCell<BTreeMap<SessionId, usize>>,
    /// Who is spoken to.
    to: Cell<SessionId>,
    /// In which that one is, with others.
    group: Group,
}

impl Talk {
    fn below(&self, end: usize) -> usize {
        self.rng.borrow_mut().below(end)
    }

    /// The next thing that somebody says.
    fn text(&self, who: SessionId) -> String {
        let mut said = self.said.borrow_mut();
        let number = said.entry(who).or_default();
        *number += 1;
        format!("{} {};", who.to_bits(), *number - 1)
    }

    fn say(&self, context: &mut Context<'_>, remote: &Remote) {
        let (text, to) = (self.text(context.id()), self.to.get());
        let own = context.id() == to;
        match self.below(7) {
            0 | 1 if own => assert!(context.send(text.as_bytes())),
            2 if own => assert!(context.send_shared(text.into())),
            0..3 => context.send_to(to, text.as_bytes()),
            3 => context.send_shared_to(to, text.into()),
            4 => remote.send(to, text).unwrap(),
            5 => {
                // There are slow members: then nobody has got it.
                if remote.broadcast(&self.group, text).is_err() {
                    *self.said.borrow_mut().entry(context.id()).or_default() -= 1;
                }
            }
            _ => context.broadcast(&self.group, text),
        }
    }

    fn react(&self, fact: &Fact, context: &mut Context<'_>, remote: &Remote) {
        match fact {
            Fact::Frame(_, frame) if frame == b"encode" => {
                self.say(context, remote);
                assert!(context.set_encoding(Encoding::stateful(Begun(None))));
                self.say(context, remote);
            }
            Fact::Frame(..) | Fact::Timer(..) | Fact::Drained(_) => {
                (0..self.below(4)).for_each(|_| self.say(context, remote));
                if self.below(3) == 0 && !matches!(fact, Fact::Drained(_)) {
                    let after = self.below(5) as u64;
                    context.set_timer(Duration::from_millis(after));
                }
            }
            Fact::Closing(..) => self.say(context, remote),
            _ => {}
        }
    }

    /// All that was said to it until it was closed, in the order in which it has heard it.
    fn heard(received: &[u8]) -> Vec<String> {
        let end = received.iter().position(|byte| *byte == b'|').unwrap_or_else(|| {
            panic!("it has not begun to encode: {}", String::from_utf8_lossy(received))
        });
        let plain = String::from_utf8(received[..end].to_vec()).unwrap();
        let whole = |text: &str| text.strip_suffix(';').expect("a whole message").to_string();
        let plain: Vec<_> = plain.split_inclusive(';').map(whole).collect();
        let mut hidden = Cipher::decode(&received[end + 1..]);
        assert_eq!(hidden.pop().as_deref(), Some("bye"), "the last to leave");
        plain.into_iter().chain(hidden.iter().map(|text| whole(text))).collect()
    }
}

/// All that may happen to bytes on their way; nobody is lost.
fn faults(seed: u64) -> Faults {
    Faults {
        accept_skipped: 0,
        accept_exhausted: 0,
        watch_refused: 0,
        memory_short: 0,
        rearm_refused: 0,
        ..Faults::random(seed)
    }
}

fn live(seed: u64, way: (Plan, Trigger)) {
    let talk = Rc::new(Talk {
        rng: RefCell::new(Rng::new(seed)),
        said: RefCell::default(),
        to: Cell::new(SessionId::NONE),
        group: Group::new(SlowMember::PauseSender),
    });
    let limits = Limits {
        send_low_bytes: 20,
        send_high_bytes: 60,
        idle_timeout: None,
        write_timeout: None,
        ..Limits::default()
    };
    let reacts = talk.clone();
    let mut town = town(seed, way, faults(seed), &limits, move |fact, context, remote| {
        reacts.react(fact, context, remote);
    });
    let callers = [(); 3].map(|()| town.caller());
    talk.to.set(callers[0].1);
    for (client, id) in &callers {
        client.set_window([3, 50, 1 << 16][talk.below(3)]);
        town.remote.join(*id, &talk.group).unwrap();
    }
    town.settle();
    let begin = talk.below(6);
    for round in 0..12 {
        if round == begin {
            callers[0].0.send(&framed(b"encode"));
        }
        for (client, _) in &callers {
            if talk.below(3) == 0 {
                client.stop_reading()
            } else {
                client.resume_reading()
            }
            client.send(&framed(b"speak").repeat(talk.below(4)));
        }
        (0..talk.below(2)).for_each(|_| {
            let text = talk.text(SessionId::NONE);
            town.remote.send(callers[0].1, text).unwrap();
        });
        (0..talk.below(20)).for_each(|_| town.step());
    }
    for _ in 0..100 {
        callers.iter().for_each(|(client, _)| client.resume_reading());
        town.net.advance(Duration::from_millis(1));
        town.settle();
    }
    town.remote.close(callers[0].1).unwrap();
    town.step_while(|| callers[0].0.end().is_none());
    let mut heard = Talk::heard(&callers[0].0.received());
    for (who, count) in &*talk.said.borrow() {
        let said = (0..*count).map(|number| format!("{} {number}", who.to_bits()));
        let prefix = format!("{} ", who.to_bits());
        let of_this: Vec<_> = heard.extract_if(.., |text| text.starts_with(&prefix)).collect();
        assert!(of_this.iter().cloned().eq(said), "{way:?}: {count} of {who}, not {of_this:?}");
    }
    assert!(heard.is_empty(), "{way:?}: {heard:?}");
}

#[test]
fn whoever_speaks_to_a_session_that_encodes_is_heard_once_and_in_order() {
    each_world(60, "encoder_faults", |seed| ways().for_each(|way| live(seed, way)));
}
