//! Messages and ends that meet: a close behind a message, by the handler itself, by others or by a stop, and what
//! slow members and held askers make of it.

use std::cell::Cell;
use std::rc::Rc;

use readyloop::sim::{End, Faults};
use readyloop::{CloseReason, Encoder, Encoding, Group, Limits, SessionId, SlowMember, Trigger};

use super::order::{town, ways};
use super::town::Plan;
use super::world::{BOTH, Fact, Told, framed};

fn all() -> impl Iterator<Item = (Plan, Trigger)> {
    BOTH.map(|trigger| (Plan::Single, trigger)).into_iter().chain(ways())
}

fn verdict(failed: Vec<String>) {
    assert!(failed.is_empty(), "{}", failed.join("\n"));
}

/// A handler that answers a message by both doors, and closes.
#[test]
fn a_handler_that_closes_behind_a_message_is_closed() {
    let mut failed = Vec::new();
    for way in all() {
        let limits = Limits::default();
        let mut town = town(0, way, Faults::none(), &limits, |fact, context, remote| {
            if let Fact::Message(id, _) = fact {
                remote.send(*id, "1").unwrap();
                context.send(b"2");
                context.close();
            }
        });
        let (client, id) = town.caller();
        town.remote.tell(id, Told::new("x")).unwrap();
        town.settle();
        client.finish();
        town.settle();
        town.net.advance(10 * limits.drain_timeout);
        town.settle();
        let facts = town.facts();
        if !facts.contains(&Fact::Close(id, CloseReason::Closed)) {
            failed.push(format!("{way:?}: {:?} {:?} {facts:?}", client.received(), client.end()));
        }
    }
    verdict(failed);
}

#[test]
fn a_stop_behind_a_message_is_a_drain() {
    let mut failed = Vec::new();
    for way in all() {
        let limits = Limits::default();
        let mut town = town(0, way, Faults::none(), &limits, |fact, context, remote| {
            if let Fact::Message(id, _) = fact {
                remote.send(*id, "1").unwrap();
                context.send(b"2");
            }
        });
        let (client, id) = town.caller();
        let begun = town.net.now();
        town.remote.tell(id, Told::new("x")).unwrap();
        town.remote.stop();
        (0..200).for_each(|_| town.step());
        client.finish();
        town.run_out();
        let (facts, took) = (town.facts(), town.net.now().since(begun));
        if !facts.contains(&Fact::Close(id, CloseReason::Stopped)) {
            let heard = String::from_utf8(client.received()).unwrap();
            failed.push(format!("{way:?}: {heard:?} {:?} {took:?} {facts:?}", client.end()));
        }
    }
    verdict(failed);
}

#[test]
fn an_answer_by_remote_leaves_before_the_close_behind_the_message() {
    let mut failed = Vec::new();
    for way in all() {
        let limits = Limits::default();
        let mut town = town(0, way, Faults::none(), &limits, |fact, _, remote| {
            if let Fact::Message(id, _) = fact {
                remote.send(*id, "answer").unwrap();
            }
        });
        let (client, id) = town.caller();
        town.remote.tell(id, Told::new("x")).unwrap();
        town.remote.close(id).unwrap();
        town.settle();
        let heard = String::from_utf8(client.received()).unwrap();
        if heard != "answer" {
            failed.push(format!("{way:?}: {heard:?}"));
        }
    }
    verdict(failed);
}

/// The message comes while the worker is busy with the frame that pauses the session.
#[test]
fn a_message_that_gathers_while_a_worker_pauses_the_session_is_told() {
    let limits = Limits { send_low_bytes: 100, send_high_bytes: 800, ..Limits::default() };
    let mut failed = Vec::new();
    for way in all() {
        let mut town = town(0, way, Faults::none(), &limits, |fact, context, _| {
            if let Fact::Frame(_, text) = fact
                && text == b"pause"
            {
                context.send(&[1; 2_000]);
            }
        });
        let (client, id) = town.caller();
        client.set_window(10);
        client.stop_reading();
        town.without_workers(|town| {
            client.send(&[framed(b"pause"), framed(b"later")].concat());
            town.settle();
            town.remote.tell(id, Told::new("now")).unwrap();
            town.settle();
        });
        town.settle();
        let facts = town.facts();
        if !facts.contains(&Fact::Message(id, b"now".into())) {
            failed.push(format!("{way:?}: {facts:?}"));
        }
    }
    verdict(failed);
}

/// A sender that waits for a slow member, and is told and closed: its own peer reads everything.
#[test]
fn a_close_of_who_waits_for_a_slow_member_is_a_close() {
    let limits = Limits {
        send_low_bytes: 100,
        send_high_bytes: 800,
        lane_frames_per_run: 1,
        write_timeout: None,
        ..Limits::default()
    };
    let mut failed = Vec::new();
    for way in all() {
        let group = Group::new(SlowMember::PauseSender);
        let mut town = town(0, way, Faults::none(), &limits, move |fact, context, _| match fact {
            Fact::Frame(_, text) if text == b"join" => context.join(&group),
            Fact::Frame(_, text) if text == b"say" => {
                context.broadcast(&group, vec![b'x'; 2_000]);
            }
            Fact::Message(..) => drop(context.send(b"heard")),
            _ => {}
        });
        let (slow, _) = town.caller();
        slow.send(&framed(b"join"));
        town.settle();
        slow.set_window(10);
        slow.stop_reading();
        let (client, id) = town.caller();
        town.without_workers(|town| {
            client.send(&[framed(b"say"), framed(b"later")].concat());
            town.settle();
            town.remote.tell(id, Told::new("now")).unwrap();
            town.settle();
            town.remote.close(id).unwrap();
            town.settle();
        });
        town.settle();
        client.finish();
        town.settle();
        let heard = String::from_utf8(client.received()).unwrap();
        if heard != "heard" || client.end() != Some(End::Finished) {
            town.net.advance(2 * limits.drain_timeout);
            town.settle();
            let facts = town.facts();
            failed.push(format!("{way:?}: {heard:?} {:?} {facts:?}", client.end()));
        }
    }
    verdict(failed);
}

/// As `verbs_meet::forwarded`, with any verb of a `Remote` behind the send.
#[test]
fn a_held_session_that_uses_both_doors_fills_no_inbox_without_bound() {
    let limits = Limits { mailbox_mails_max: 8, ..Limits::default() };
    let mut failed = Vec::new();
    for way in ways().filter(|(plan, _)| matches!(plan, Plan::Handoff(2, _) | Plan::Pool(..))) {
        let to = Rc::new(Cell::new(SessionId::NONE));
        let target = to.clone();
        let mut town = town(0, way, Faults::none(), &limits, move |fact, context, remote| {
            if let Fact::Message(..) = fact {
                context.send_to(target.get(), b"x");
                let _refused = remote.send(target.get(), "");
            }
        });
        let callers = [(); 4].map(|()| town.caller());
        let from = callers.iter().find(|(_, id)| id.reactor() == 0).unwrap();
        let (client, id) = callers.iter().find(|(_, id)| id.reactor() == 1).unwrap();
        to.set(*id);
        for _ in 0..500 {
            let _taken = town.remote.tell(from.1, Told::new("x"));
            (0..3).for_each(|_| {
                town.turn(0);
                town.work();
            });
        }
        (0..500).for_each(|_| town.turn(1));
        if client.received().len() > 32 {
            failed.push(format!("{way:?}: {}", client.received().len()));
        }
    }
    verdict(failed);
}

struct Double;

impl Encoder for Double {
    fn encode(&mut self, message: &[u8], out: &mut Vec<u8>) {
        out.extend_from_slice(message);
        out.extend_from_slice(message);
    }

    fn encoded_bytes_max(bytes: usize) -> usize {
        2 * bytes
    }
}

/// "DropMessage": a member is never closed for what others say.
#[test]
fn a_member_that_encodes_misses_what_is_too_much_and_is_not_closed() {
    let limits = Limits {
        send_low_bytes: 100,
        send_high_bytes: 500,
        send_max_bytes: 1_000,
        ..Limits::default()
    };
    let mut failed = Vec::new();
    for (way, slow) in
        all().flat_map(|way| [SlowMember::DropMessage, SlowMember::CloseMember].map(|s| (way, s)))
    {
        let group = Group::new(slow);
        let mut town = town(0, way, Faults::none(), &limits, move |fact, context, _| match fact {
            Fact::Frame(_, text) if text == b"join" => {
                context.set_encoding(Encoding::stateful(Double));
                context.join(&group);
            }
            Fact::Frame(_, text) if text == b"say" => {
                for length in [200, 200, 150] {
                    context.broadcast(&group, vec![b'x'; length]);
                }
            }
            _ => {}
        });
        let (member, id) = town.caller();
        member.send(&framed(b"join"));
        town.settle();
        let (client, _) = town.caller();
        client.send(&framed(b"say"));
        town.settle();
        if town.facts().contains(&Fact::Close(id, CloseReason::SendFull)) {
            failed.push(format!(
                "{way:?} {slow:?}: {} {:?}",
                member.received().len(),
                member.end()
            ));
        }
    }
    verdict(failed);
}
