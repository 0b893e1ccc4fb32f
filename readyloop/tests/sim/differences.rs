//! What a handler on workers may notice, row by row of `docs/topologies.md`: this much and no more.

use std::cell::RefCell;
use std::rc::Rc;
use std::time::Duration;

use readyloop::sim::Faults;
use readyloop::{Address, Group, Limits, SessionId, SlowMember};

use super::order::{town, ways};
use super::town::Plan;
use super::world::{Fact, Remote, framed};

const MS: Duration = Duration::from_millis(1);

#[test]
fn on_a_worker_the_time_is_that_of_the_turn_in_which_the_frames_were_handed_over() {
    for way in ways() {
        let seen = Rc::new(RefCell::new(Vec::new()));
        let times = seen.clone();
        let mut town = town(0, way, Faults::none(), &Limits::default(), move |fact, context, _| {
            if let Fact::Frame(..) = fact {
                times.borrow_mut().push(context.now());
            }
        });
        let (client, _) = town.caller();
        let before = town.net.now();
        client.send(&framed(b"x"));
        town.without_workers(|town| {
            town.settle();
            town.net.advance(50 * MS);
        });
        town.settle();
        let age = seen.borrow()[0].since(before);
        assert!(seen.borrow().len() == 1 && age < 50 * MS, "{way:?}: {age:?}");
    }
}

#[test]
fn on_a_worker_what_others_send_to_a_session_counts_from_its_next_run_on() {
    let limits = Limits { send_low_bytes: 10, send_high_bytes: 1_000, ..Limits::default() };
    for way in ways() {
        let room = Group::new(SlowMember::DropMessage);
        let seen = Rc::new(RefCell::new(Vec::new()));
        let counts = seen.clone();
        let mut town = town(0, way, Faults::none(), &limits, move |fact, context, _| match fact {
            Fact::Open(_) => context.join(&room),
            Fact::Frame(..) => {
                context.broadcast(&room, vec![1; 100]);
                let own = context.queued_bytes();
                context.send(&[2; 10]);
                counts.borrow_mut().push((own, context.queued_bytes()));
            }
            _ => {}
        });
        let (client, _) = town.caller();
        client.set_window(1);
        client.stop_reading();
        for _ in 0..2 {
            client.send(&framed(b"x"));
            town.settle();
        }
        let is_elsewhere = matches!(way.0, Plan::Workers(_) | Plan::Pool(..));
        let expected = match is_elsewhere {
            true => [(0, 10), (109, 119)],
            false => [(100, 110), (209, 219)],
        };
        assert_eq!(*seen.borrow(), expected, "{way:?}");
    }
}

#[test]
fn who_was_dialled_has_one_name_that_is_good_for_everything() {
    for way in ways() {
        let (named, group) = (Rc::new(RefCell::new(None)), Group::new(SlowMember::DropMessage));
        let (name, all) = (named.clone(), group.clone());
        let heard: Rc<RefCell<Vec<SessionId>>> = Rc::default();
        let ids = heard.clone();
        let react =
            move |fact: &Fact, context: &mut readyloop::Context<'_>, remote: &Remote| match fact {
                Fact::Frame(_, frame) if frame == b"dial" => {
                    let to: Address = "10.9.9.9:9".parse().unwrap();
                    let id = context.connect(&to, 1_000 * MS).unwrap();
                    *name.borrow_mut() = Some(id);
                    context.send_to(id, b"1");
                    remote.send(id, "2").unwrap();
                    remote.join(id, &all).unwrap();
                }
                Fact::Open(id) | Fact::Frame(id, _) | Fact::Close(id, _)
                    if *name.borrow() == Some(*id) =>
                {
                    assert_eq!(context.id(), *id);
                    ids.borrow_mut().push(*id);
                    context.send_to(*id, b"3");
                }
                _ => {}
            };
        let mut town = town(0, way, Faults::none(), &Limits::default(), react);
        let (client, caller) = town.caller();
        client.send(&framed(b"dial"));
        town.settle();
        let peer = town.net.dialled().unwrap();
        peer.accept();
        town.settle();
        let id = named.borrow().unwrap();
        assert_ne!(id, caller, "{way:?}");
        peer.send(&framed(b"x"));
        town.settle();
        town.remote.broadcast(&group, "4").unwrap();
        town.settle();
        town.remote.close(id).unwrap();
        town.settle();
        peer.finish();
        town.settle();
        assert_eq!(peer.received(), b"12334", "{way:?}");
        assert_eq!(*heard.borrow(), [id; 3], "{way:?}: open, frame, close");
    }
}
