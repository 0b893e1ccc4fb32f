//! Encodings: whoever sends to a session that has one, and however, its peer gets each message behind a
//! head of its own, or as the session's encoder makes it, once and in order; and nobody else notices.

use std::cell::{Cell, RefCell};
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use readyloop::sim::{Client, End, Faults};
use readyloop::{
    Address, Bytes, CloseReason, Context, Encoder, Encoding, Group, Header, HeaderBytes,
    LengthPrefixed, Limits, SessionId, SlowMember, Trigger,
};

use super::order::{town, ways};
use super::town::{Plan, Town};
use super::world::{Fact, React, Remote, framed};

/// Each message between a bar with its length and the next bar.
static BARS: Header =
    Header { head: |bytes| HeaderBytes::new(format!("|{bytes}:").as_bytes()), closing: b"|bye|" };

/// Each byte, and the length ahead of it, is changed by a running counter: one message that is lost, doubled,
/// in another's place or encoded twice garbles all that follow.
#[derive(Default)]
pub struct Cipher(u64);

impl Cipher {
    fn put(&mut self, byte: u8, out: &mut Vec<u8>) {
        out.push(byte ^ (self.0 * 37 + 101) as u8);
        self.0 += 1;
    }

    /// The messages that the peer finds in what it has received, all of which is encoded.
    pub fn decode(received: &[u8]) -> Vec<String> {
        let (mut cipher, mut plain) = (Cipher::default(), Vec::new());
        received.iter().for_each(|byte| cipher.put(*byte, &mut plain));
        let (mut messages, mut rest) = (Vec::new(), &plain[..]);
        while let Some((length, more)) = rest.split_first() {
            let message = more.get(..*length as usize).unwrap_or_else(|| {
                panic!(
                    "behind {messages:?}: {length} bytes, not {:?}",
                    String::from_utf8_lossy(more)
                )
            });
            messages.push(String::from_utf8_lossy(message).into_owned());
            rest = &more[*length as usize..];
        }
        messages
    }
}

impl Encoder for Cipher {
    fn encode(&mut self, message: &[u8], out: &mut Vec<u8>) {
        self.put(message.len() as u8, out);
        message.iter().for_each(|byte| self.put(*byte, out));
    }

    fn encoded_bytes_max(bytes: usize) -> usize {
        bytes + 1
    }

    fn closing(&mut self, out: &mut Vec<u8>) {
        self.encode(b"bye", out);
    }
}

fn cipher() -> Encoding {
    Encoding::stateful(Cipher::default())
}

/// Bytes that leave as they are, or not.
enum Part {
    Bare(&'static [u8]),
    Message(&'static [u8]),
}
use Part::{Bare, Message};

/// What a peer receives of these, from the beginning of a cipher on.
fn encoded(parts: &[Part]) -> Vec<u8> {
    let (mut cipher, mut received) = (Cipher::default(), Vec::new());
    for part in parts {
        match part {
            Bare(bytes) => received.extend_from_slice(bytes),
            Message(message) => cipher.encode(message, &mut received),
        }
    }
    received
}

/// `wrap` gives the session a header and `hide` an encoder; everything else is said to the group, after
/// answers of every kind.
fn service(group: &Group) -> React {
    let group = group.clone();
    let lengths =
        LengthPrefixed::new(readyloop::framers::Prefix::One, readyloop::framers::Order::Big, 255);
    Box::new(move |fact: &Fact, context: &mut Context<'_>| match fact {
        Fact::Open(id) if *id != SessionId::NONE => context.join(&group),
        Fact::Frame(_, frame) if frame == b"wrap" => {
            assert!(context.send(b"plain") && context.set_encoding(Encoding::header(&BARS)));
        }
        Fact::Frame(_, frame) if frame == b"hide" => {
            assert!(context.send(b"plain") && context.set_encoding(cipher()));
        }
        Fact::Frame(_, frame) if frame == b"end" => context.close(),
        Fact::Frame(_, frame) if frame == b"cut" => context.abort(),
        Fact::Frame(id, frame) => {
            assert!(context.send(b"1") && context.send(b"22") && context.send(b""));
            assert!(context.send_framed(&lengths, b"A"));
            assert!(context.send_bare(b"bare"));
            context.send_to(*id, b"333");
            assert!(context.send_shared(Bytes::from_static(b"4444")));
            context.send_shared_to(*id, Bytes::from_static(b"5"));
            context.broadcast(&group, frame.clone());
            assert!(context.send(b"last"));
        }
        Fact::Closing(..) => {
            context.send(b"closing");
        }
        _ => {}
    })
}

const PLAIN: &[u8] = b"122\x01Abare33344445all of youlast";
const WRAPPED: &[u8] = b"|1:1|2:22|0:|2:\x01Abare|3:333|4:4444|1:5|10:all of you|4:last";
const HIDDEN: [Part; 10] = [
    Message(b"1"),
    Message(b"22"),
    Message(b""),
    Message(b"\x01A"),
    Bare(b"bare"),
    Message(b"333"),
    Message(b"4444"),
    Message(b"5"),
    Message(b"all of you"),
    Message(b"last"),
];

/// Three callers: one with a header, one with an encoder, and one who gets everything as it is.
struct Three {
    town: Town,
    group: Group,
    clients: [Client; 3],
    ids: [SessionId; 3],
}

impl Three {
    fn new((plan, trigger): (Plan, Trigger)) -> Three {
        let group = Group::new(SlowMember::default());
        let limits = Limits { drain_timeout: Duration::from_secs(1), ..Limits::default() };
        let mut town = Town::new(0, plan, trigger, Faults::none(), &limits, || service(&group));
        let callers = [(); 3].map(|()| town.caller());
        let (clients, ids) = (callers.clone().map(|one| one.0), callers.map(|one| one.1));
        for (client, text) in clients.iter().zip([b"wrap", b"hide"]) {
            say(&mut town, client, text);
            assert_eq!(client.take_received(), b"plain", "{plan:?}, {trigger:?}");
        }
        Three { town, group, clients, ids }
    }

    fn received(&self) -> [Vec<u8>; 3] {
        self.clients.clone().map(|client| client.received())
    }
}

fn say(town: &mut Town, client: &Client, text: &[u8]) {
    client.send(&framed(text));
    town.settle();
}

fn closed(town: &Town) -> Vec<(SessionId, CloseReason)> {
    let close = |fact| match fact {
        Fact::Close(id, reason) => Some((id, reason)),
        _ => None,
    };
    town.facts().into_iter().filter_map(close).collect()
}

#[test]
fn each_message_is_encoded_by_itself_in_whatever_way_it_was_sent() {
    for way in ways() {
        for (window, speaker) in [1 << 16, 3].into_iter().flat_map(|w| [(w, 0), (w, 1), (w, 2)]) {
            let Three { mut town, clients, .. } = Three::new(way);
            clients.iter().for_each(|client| client.set_window(window));
            let mut expected = [
                b"|10:all of you".to_vec(),
                encoded(&[Message(b"all of you")]),
                b"all of you".to_vec(),
            ];
            expected[speaker] = match speaker {
                0 => WRAPPED.to_vec(),
                1 => encoded(&HIDDEN),
                _ => PLAIN.to_vec(),
            };
            say(&mut town, &clients[speaker], b"all of you");
            let received = clients.clone().map(|client| client.received());
            assert_eq!(received, expected, "{way:?}, window {window}, {speaker}");
        }
    }
}

/// Sends in every way in which a context can, and says what waits then.
fn say_by_all_doors(context: &mut Context<'_>) -> usize {
    let id = context.id();
    assert!(context.send(b"1") && context.send_bare(b"bare"));
    assert!(context.send_shared(Bytes::from_static(b"22")));
    context.send_to(id, b"333");
    context.send_shared_to(id, Bytes::from_static(b"4444"));
    context.queued_bytes()
}

const WITH_HEADS: usize = b"|1:1bare|2:22|3:333|4:4444".len();
const BY_CIPHER: usize = 2 + b"bare".len() + 3 + 4 + 5;

#[test]
fn what_an_encoding_adds_to_a_message_waits_for_the_peer_like_the_rest_of_it() {
    let forms: [(fn() -> Encoding, usize); 2] =
        [(|| Encoding::header(&BARS), WITH_HEADS), (cipher, BY_CIPHER)];
    let cases = forms.into_iter().flat_map(|form| [(form, 0), (form, 1)]);
    for ((make, bytes), more) in cases {
        for way in ways() {
            for (by_remote, before) in [(false, true), (true, true), (true, false)] {
                let limits = Limits {
                    send_low_bytes: 1,
                    send_high_bytes: 2,
                    send_max_bytes: bytes + more,
                    ..Limits::default()
                };
                let told = Rc::new(Cell::new((0, false)));
                let (result, group) = (told.clone(), Group::new(SlowMember::default()));
                let react =
                    move |fact: &Fact, context: &mut Context<'_>, remote: &Remote| match fact {
                        Fact::Open(_) if before => assert!(context.set_encoding(make())),
                        Fact::Frame(id, _) => {
                            if by_remote {
                                remote.leave(*id, &group).unwrap();
                            }
                            assert!(before || context.set_encoding(make()));
                            result.set((say_by_all_doors(context), context.send_bare(b"x")));
                        }
                        _ => {}
                    };
                let mut town = town(0, way, Faults::none(), &limits, react);
                let (client, _) = town.caller();
                say(&mut town, &client, b"x");
                assert_eq!(told.get(), (bytes, more == 1), "{way:?} {by_remote} {before} {bytes}");
            }
        }
    }
}

#[test]
fn a_message_that_may_become_too_long_is_refused_at_the_same_place_everywhere_and_not_encoded() {
    for way in ways() {
        let limits = Limits {
            send_low_bytes: 1,
            send_high_bytes: 10,
            send_max_bytes: 10,
            ..Limits::default()
        };
        for by_remote in [false, true] {
            let told = Rc::new(RefCell::new(Vec::new()));
            let result = told.clone();
            let group = Group::new(SlowMember::default());
            let react = move |fact: &Fact, context: &mut Context<'_>, remote: &Remote| {
                if let Fact::Frame(id, _) = fact {
                    assert!(context.set_encoding(cipher()));
                    if by_remote {
                        remote.leave(*id, &group).unwrap();
                    }
                    let sent = [&b"1234"[..], b"123", b"", b"4"].map(|text| context.send(text));
                    result.borrow_mut().extend(sent);
                }
            };
            let mut town = town(0, way, Faults::none(), &limits, react);
            let (client, id) = town.caller();
            say(&mut town, &client, b"x");
            assert_eq!(*told.borrow(), [true, true, true, false], "{way:?}, {by_remote}");
            assert_eq!(closed(&town), [(id, CloseReason::SendFull)], "{way:?}, {by_remote}");
        }
    }
}

/// Writes each message as it is, and nothing for one without bytes; counts itself.
struct Copier {
    encoded: Arc<AtomicUsize>,
    alive: Arc<AtomicUsize>,
}

impl Copier {
    fn new(encoded: &Arc<AtomicUsize>, alive: &Arc<AtomicUsize>) -> Copier {
        alive.fetch_add(1, Ordering::Relaxed);
        Copier { encoded: encoded.clone(), alive: alive.clone() }
    }
}

impl Drop for Copier {
    fn drop(&mut self) {
        self.alive.fetch_sub(1, Ordering::Relaxed);
    }
}

impl Encoder for Copier {
    fn encode(&mut self, message: &[u8], out: &mut Vec<u8>) {
        self.encoded.fetch_add(1, Ordering::Relaxed);
        out.extend_from_slice(message);
    }

    fn encoded_bytes_max(bytes: usize) -> usize {
        bytes
    }
}

#[test]
fn a_message_without_bytes_is_encoded_and_one_that_becomes_nothing_sends_nothing() {
    static NOTHING: Header = Header { head: |_| HeaderBytes::new(b""), closing: b"" };
    for way in ways() {
        for stateful in [false, true] {
            let counts: [Arc<AtomicUsize>; 2] = Default::default();
            let [encoded, alive] = counts.clone();
            let group = Group::new(SlowMember::default());
            let react = move |fact: &Fact, context: &mut Context<'_>, remote: &Remote| match fact {
                Fact::Open(_) => {
                    context.join(&group);
                    assert!(context.set_encoding(match stateful {
                        true => Encoding::stateful(Copier::new(&encoded, &alive)),
                        false => Encoding::header(&NOTHING),
                    }));
                }
                Fact::Frame(id, frame) => {
                    context.send_to(*id, b"");
                    context.send(b"");
                    context.send_shared(Bytes::new());
                    context.broadcast(&group, "");
                    remote.send(*id, "").unwrap();
                    context.send_bare(b"");
                    context.send(frame);
                }
                _ => {}
            };
            let mut town = town(0, way, Faults::none(), &Limits::default(), react);
            let client = town.caller().0;
            say(&mut town, &client, b"");
            assert_eq!(client.take_received(), b"", "{way:?}");
            say(&mut town, &client, b"something");
            assert_eq!(client.take_received(), b"something", "{way:?}");
            let expected = if stateful { [12, 1] } else { [0, 0] };
            assert_eq!(counts.map(|count| count.load(Ordering::Relaxed)), expected, "{way:?}");
        }
    }
}

/// Says more than it writes.
struct Roomy(Copier);

impl Encoder for Roomy {
    fn encode(&mut self, message: &[u8], out: &mut Vec<u8>) {
        self.0.encode(message, out);
    }

    fn encoded_bytes_max(bytes: usize) -> usize {
        2 * bytes
    }
}

#[test]
fn what_may_become_too_long_is_refused_everywhere_before_it_is_encoded() {
    let limits =
        Limits { send_low_bytes: 1, send_high_bytes: 9, send_max_bytes: 9, ..Limits::default() };
    for way in ways() {
        for (length, by_remote) in [(4, false), (4, true), (5, false), (5, true)] {
            let counts: [Arc<AtomicUsize>; 2] = Default::default();
            let [encoded, alive] = counts.clone();
            let group = Group::new(SlowMember::default());
            let sent = Rc::new(Cell::new(None));
            let told = sent.clone();
            let react = move |fact: &Fact, context: &mut Context<'_>, remote: &Remote| {
                if let Fact::Frame(id, _) = fact {
                    let roomy = Roomy(Copier::new(&encoded, &alive));
                    assert!(context.set_encoding(Encoding::stateful(roomy)));
                    if by_remote {
                        remote.leave(*id, &group).unwrap();
                    }
                    told.set(Some(context.send(&vec![b'x'; length])));
                }
            };
            let mut town = town(0, way, Faults::none(), &limits, react);
            let (client, _) = town.caller();
            say(&mut town, &client, b"x");
            let how = format!("{way:?}, {length}, {by_remote}");
            assert_eq!(sent.get(), Some(length == 4), "{how}");
            assert_eq!(counts[0].load(Ordering::Relaxed), usize::from(length == 4), "{how}");
        }
    }
}

#[test]
fn other_threads_need_not_know_of_it() {
    for way in ways() {
        let Three { mut town, group, clients, ids } = Three::new(way);
        ids.iter().for_each(|id| town.remote.send(*id, "hello").unwrap());
        town.remote.broadcast(&group, "to all").unwrap();
        town.settle();
        let expected = [
            b"|5:hello|6:to all".to_vec(),
            encoded(&[Message(b"hello"), Message(b"to all")]),
            b"helloto all".to_vec(),
        ];
        assert_eq!(clients.map(|client| client.received()), expected, "{way:?}");
    }
}

#[test]
fn an_encoding_is_for_what_is_sent_behind_it_and_for_nothing_before_also_in_one_callback() {
    let service = |fact: &Fact, context: &mut Context<'_>, remote: &Remote| {
        let Fact::Frame(id, frame) = fact else { return };
        let say = |context: &mut Context<'_>, text: &'static str| {
            assert!(context.send(text.as_bytes()));
            if frame == b"send" {
                return;
            }
            if frame == b"remote" {
                remote.send(*id, text).unwrap();
            }
            context.send_to(*id, text.as_bytes());
            context.send_shared(text.into());
        };
        say(context, "a");
        assert!(context.set_encoding(cipher()));
        say(context, "b");
        assert!(context.set_encoding(cipher()));
        say(context, "c");
        assert!(context.set_encoding(Encoding::header(&BARS)));
        say(context, "d");
        assert!(context.set_encoding(cipher()));
        say(context, "e");
        assert!(context.set_encoding(Encoding::NONE));
        say(context, "f");
    };
    for way in ways() {
        for (frame, times) in [(&b"send"[..], 1), (b"context", 3), (b"remote", 4)] {
            let mut town = town(0, way, Faults::none(), &Limits::default(), service);
            let client = town.caller().0;
            let hidden = |text: &'static [u8]| -> Vec<u8> {
                encoded(&(0..times).map(|_| Message(text)).collect::<Vec<_>>())
            };
            let expected = [
                b"a".repeat(times),
                hidden(b"b"),
                hidden(b"c"),
                b"|1:d".repeat(times),
                hidden(b"e"),
                b"f".repeat(times),
            ];
            say(&mut town, &client, frame);
            assert_eq!(client.take_received(), expected.concat(), "{way:?} {times}");
            // Several frames of one run, of which the last one has switched it off.
            client.send(&framed(frame).repeat(2));
            town.settle();
            assert_eq!(client.take_received(), expected.concat().repeat(2), "{way:?} {times}");
        }
    }
}

#[test]
fn closing_bytes_are_the_last_of_a_close_behind_what_on_closing_says_and_none_of_an_abort() {
    let on_closing = |ended_by: &str| match ended_by {
        // A handler that closes has had its last word.
        "end" => (b"|bye|".to_vec(), encoded(&[Message(b"bye")])),
        _ => (b"|7:closing|bye|".to_vec(), encoded(&[Message(b"closing"), Message(b"bye")])),
    };
    for way in ways() {
        for ended_by in ["end", "bad", "stop"] {
            let Three { mut town, clients, .. } = Three::new(way);
            match ended_by {
                "stop" => town.remote.stop(),
                "bad" => clients.iter().for_each(|client| client.send(&u32::MAX.to_be_bytes())),
                _ => clients.iter().for_each(|client| client.send(&framed(b"end"))),
            }
            // A server that has ended is never quiet.
            town.net.hold_clock(true);
            (0..400).for_each(|_| town.step());
            let (wrapped, hidden) = on_closing(ended_by);
            let received = clients.clone().map(|client| client.received());
            assert_eq!(received[..2], [wrapped, hidden], "{way:?}, {ended_by}");
            clients.iter().for_each(|client| assert_eq!(client.end(), Some(End::Finished)));
        }
        let three = Three::new(way);
        let Three { mut town, ids, clients, .. } = three;
        ids.iter().for_each(|id| town.remote.close(*id).unwrap());
        town.settle();
        let received = clients.map(|client| client.received());
        let expected = [b"|bye|".to_vec(), encoded(&[Message(b"bye")]), vec![]];
        assert_eq!(received, expected, "{way:?}, by a remote");

        let mut three = Three::new(way);
        for client in &three.clients {
            say(&mut three.town, client, b"cut");
        }
        assert_eq!(three.received(), [vec![], vec![], vec![]], "{way:?}");
    }
}

#[test]
fn an_encoder_ends_with_its_session_or_with_the_next_encoding_and_is_no_other_sessions() {
    for way in ways() {
        let counts: [Arc<AtomicUsize>; 2] = Default::default();
        let [encoded, alive] = counts.clone();
        let service = move |fact: &Fact, context: &mut Context<'_>, _: &Remote| match fact {
            Fact::Frame(_, frame) if frame == b"encode" => {
                let make = || Encoding::stateful(Copier::new(&encoded, &alive));
                assert!(context.set_encoding(make()) && context.set_encoding(make()));
            }
            Fact::Frame(_, frame) if frame == b"end" => {
                context.close();
                assert!(!context.send(b"late") && !context.send_shared("late".into()));
                context.close();
            }
            Fact::Frame(_, frame) => assert!(context.send(frame)),
            Fact::Close(..) => {
                let late = Encoding::stateful(Copier::new(&encoded, &alive));
                assert!(!context.set_encoding(late));
            }
            _ => {}
        };
        let mut town = town(0, way, Faults::none(), &Limits::default(), service);
        let ([encoded, alive], (client, id)) = (counts, town.caller());
        let count = |count: &Arc<AtomicUsize>| count.load(Ordering::Relaxed);
        say(&mut town, &client, b"encode");
        say(&mut town, &client, b"x");
        assert_eq!((count(&encoded), count(&alive)), (1, 1), "{way:?}");
        say(&mut town, &client, b"end");
        client.finish();
        town.settle();
        assert_eq!((count(&encoded), count(&alive)), (1, 0), "{way:?}");
        let new: Vec<_> = (0..2).map(|_| town.caller()).collect();
        assert!(new.iter().any(|(_, new)| new.index() == id.index()), "{way:?}: the same slot");
        for (client, _) in &new {
            say(&mut town, client, b"y");
            assert_eq!(client.received(), b"y");
        }
        assert_eq!((count(&encoded), count(&alive)), (1, 0), "{way:?}");
    }
}

#[test]
fn a_session_that_was_dialled_has_an_encoder_like_any_other() {
    let address: Address = "10.9.9.9:9".parse().unwrap();
    for way in ways() {
        let to = address.clone();
        let react = move |fact: &Fact, context: &mut Context<'_>, _: &Remote| match fact {
            Fact::Frame(_, frame) if frame == b"dial" => {
                let id = context.connect(&to, Duration::from_secs(1)).unwrap();
                context.send_to(id, b"plain");
            }
            Fact::Frame(..) => {
                assert!(context.set_encoding(cipher()));
                assert!(context.send(b"1") && context.send_bare(b"bare") && context.send(b"2"));
            }
            _ => {}
        };
        let mut town = town(0, way, Faults::none(), &Limits::default(), react);
        let client = town.caller().0;
        say(&mut town, &client, b"dial");
        let peer = town.net.dialled().expect("a dial");
        peer.accept();
        town.settle();
        say(&mut town, &peer, b"speak");
        let expected = [b"plain".to_vec(), encoded(&[Message(b"1"), Bare(b"bare"), Message(b"2")])];
        assert_eq!(peer.received(), expected.concat(), "{way:?}");
        town.remote.stop();
        client.finish();
        peer.finish();
        town.run_out();
    }
}
