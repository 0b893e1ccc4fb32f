//! Models of the mailbox and its bell: many writers, one reader, and writers that wait for room.

use std::collections::VecDeque;
use std::sync::Arc;

use loom::sync::Mutex;
use loom::sync::atomic::{AtomicBool, Ordering};
use loom::thread::spawn;

use crate::load::Load;
use crate::mailbox::{Mailbox, Refused};

use super::{ONE, Reader, Until, explore, join};

/// Takes what is in the box and is done with it.
fn take<M>(mailbox: &Mailbox<M>) -> VecDeque<M> {
    let inbox = super::take(mailbox);
    mailbox.handled(Load { mails: inbox.len(), bytes: 0 });
    inbox
}

/// Two writers of two mails each and a reader: all is read, each writer's mails in their order, and
/// the reader is woken when it sleeps, once for each sleep, and not otherwise. At most 4
/// preemptions.
#[test]
fn every_mail_is_read_in_its_writers_order() {
    explore(Some(4), || {
        let reader = Reader::new();
        let mailbox = reader.mailbox(usize::MAX);
        let writers = [0, 1].map(|writer| {
            let mailbox = mailbox.clone();
            spawn(move || (0..2).for_each(|mail| mailbox.post((writer, mail), ONE).unwrap()))
        });
        let mut seen = Vec::new();
        while seen.len() < 4 {
            if reader.wait(Until::Rung) {
                seen.extend(take(&mailbox));
            }
        }
        join(writers);
        for writer in 0..2 {
            let own = seen.iter().filter(|(of, _)| *of == writer);
            assert!(own.map(|(_, mail)| *mail).eq(0..2), "{seen:?}");
        }
    });
}

/// A reader that announced its sleep and was woken by a socket, as the letter came, finds the letter
/// in this turn or in one of the next, and the eventfd that was written meanwhile does no harm. At
/// most 4 preemptions.
#[test]
fn a_sleeper_that_a_socket_wakes_misses_no_mail() {
    explore(Some(4), || {
        let reader = Reader::new();
        let mailbox = reader.mailbox(usize::MAX);
        let writers = [0, 1].map(|mail| {
            let mailbox = mailbox.clone();
            spawn(move || mailbox.post(mail, ONE).unwrap())
        });
        let mut untils = [Until::Socket, Until::Now, Until::Socket].into_iter();
        let mut seen = Vec::new();
        while seen.len() < 2 {
            if reader.wait(untils.next().unwrap_or(Until::Rung)) {
                seen.extend(take(&mailbox));
            }
        }
        join(writers);
        seen.sort_unstable();
        assert_eq!(seen, [0, 1]);
    });
}

/// Letters and callers ring one bell. Nothing is missed in either box, and a reader that takes the
/// letters first finds every caller that came before a letter. At most 4 preemptions.
#[test]
fn a_caller_that_came_before_a_letter_is_found_before_it() {
    explore(Some(4), || {
        let reader = Reader::new();
        let (letters, callers) = (reader.mailbox(usize::MAX), reader.mailbox(usize::MAX));
        let acceptor = {
            let (letters, callers) = (letters.clone(), callers.clone());
            spawn(move || {
                callers.post("before", ONE).unwrap();
                letters.post("stop", ONE).unwrap();
            })
        };
        let other = {
            let letters = letters.clone();
            spawn(move || letters.post("run", ONE).unwrap())
        };
        let mut seen = Vec::new();
        while seen.len() < 3 {
            if reader.wait(Until::Rung) {
                let letters = take(&letters);
                seen.extend(take(&callers));
                seen.extend(letters);
            }
        }
        join([acceptor, other]);
        let place = |mail| seen.iter().position(|one| *one == mail).unwrap();
        assert!(place("before") < place("stop") && seen.contains(&"run"), "{seen:?}");
    });
}

/// Letters, and lanes that come home, lie in two boxes. A lane is stamped with the number of letters that
/// were posted before it, and the reader takes letters first: of what one thread posts, and of what a
/// second one posts because of it, neither overtakes the other. At most 3 preemptions.
#[test]
fn letters_and_lanes_that_come_home_keep_their_order() {
    explore(Some(3), || {
        let reader = Reader::new();
        let (letters, home) = (reader.mailbox(usize::MAX), reader.mailbox(usize::MAX));
        let told = Arc::new(AtomicBool::new(false));
        let worker = {
            let (letters, home, told) = (letters.clone(), home.clone(), told.clone());
            spawn(move || {
                letters.post("letter 1", ONE).unwrap();
                home.post_always((letters.posted(), "lane 2")).unwrap();
                told.store(true, Ordering::Release);
                letters.post("letter 3", ONE).unwrap();
            })
        };
        let other = {
            let letters = letters.clone();
            spawn(move || {
                let mail = if told.load(Ordering::Acquire) { "because of 2" } else { "any time" };
                letters.post(mail, ONE).unwrap();
            })
        };
        let (mut seen, mut opened, mut lanes) = (Vec::new(), 0, VecDeque::new());
        while seen.len() < 4 {
            if !reader.wait(if lanes.is_empty() { Until::Rung } else { Until::Now }) {
                continue;
            }
            let mut taken = take(&letters);
            home.take(&mut lanes);
            loop {
                while lanes.front().is_some_and(|(behind, _)| *behind <= opened) {
                    seen.extend(lanes.pop_front().map(|(_, lane)| lane));
                }
                let Some(letter) = taken.pop_front() else { break };
                seen.push(letter);
                opened += 1;
            }
        }
        join([worker, other]);
        let place = |mail| seen.iter().position(|one| *one == mail);
        assert!(
            place("letter 1") < place("lane 2") && place("lane 2") < place("letter 3"),
            "{seen:?}"
        );
        assert!(place("because of 2").is_none_or(|it| Some(it) > place("lane 2")), "{seen:?}");
    });
}

/// Two writers that sleep when the box of one mail is full are rung when there is room: all is
/// read, each is woken only when it sleeps, and once. At most 2 preemptions.
#[test]
fn a_writer_that_found_the_box_full_is_rung_once_there_is_room() {
    explore(Some(2), || {
        let reader = Reader::new();
        let mailbox = reader.mailbox(1);
        let writers = [0, 1].map(|writer| {
            let (mailbox, own) = (mailbox.clone(), Reader::new());
            spawn(move || {
                for mail in 0..2 {
                    while !mailbox.has_room(&own.bell) {
                        while !own.wait(Until::Rung) {}
                    }
                    mailbox.post_beyond((writer, mail), ONE).unwrap();
                }
            })
        });
        let mut seen = Vec::new();
        while seen.len() < 4 {
            if reader.wait(Until::Rung) {
                seen.extend(take(&mailbox));
            }
        }
        join(writers);
        for writer in 0..2 {
            let own = seen.iter().filter(|(of, _)| *of == writer);
            assert!(own.map(|(_, mail)| *mail).eq(0..2), "{seen:?}");
        }
    });
}

/// Turns until as many mails were posted to `other` as came into `own`. As in `Reactor::turn`: what
/// could not be posted is tried again each turn, and is no reason to stay awake.
fn exchange(me: &Reader, own: &Mailbox<u32>, other: &Mailbox<u32>, mails: u32) {
    let (mut seen, mut posted, mut blocked) = (Vec::new(), 0, false);
    while (seen.len() as u32) < mails || posted < mails {
        let has_work = posted < mails && !blocked;
        if me.wait(if has_work { Until::Now } else { Until::Rung }) {
            seen.extend(take(own));
        }
        if posted < mails {
            blocked = !other.has_room(&me.bell);
            if !blocked {
                other.post_beyond(posted, ONE).unwrap();
                posted += 1;
            }
        }
    }
    assert!(seen.into_iter().eq(0..mails));
}

/// Two reactors with boxes of one mail post three mails to each other and never wait in place: both
/// go on, and nothing is lost. At most 4 preemptions.
#[test]
fn two_reactors_that_flood_each_other_go_on() {
    explore(Some(4), || {
        let (one, two) = (Reader::new(), Reader::new());
        let (box_one, box_two) = (one.mailbox(1), two.mailbox(1));
        let thread = {
            let (own, other) = (box_two.clone(), box_one.clone());
            spawn(move || exchange(&two, &own, &other, 3))
        };
        exchange(&one, &box_one, &box_two, 3);
        join([thread]);
    });
}

/// Whatever a close meets, each mail is in one place: taken, given back by the close, or refused;
/// and a mail that was refused comes after all that were not. All interleavings.
#[test]
fn a_mail_is_taken_or_given_back_or_refused() {
    explore(None, || {
        let reader = Reader::new();
        let mailbox = reader.mailbox(usize::MAX);
        let refused = Arc::new(Mutex::new(Vec::new()));
        let writers = [0, 2].map(|first| {
            let (mailbox, refused) = (mailbox.clone(), refused.clone());
            spawn(move || {
                for mail in [first, first + 1] {
                    if let Err((mail, why)) = mailbox.post(mail, ONE) {
                        assert_eq!(why, Refused::Stopped);
                        refused.lock().unwrap().push(mail);
                    }
                }
            })
        });
        let mut kept = take(&mailbox);
        kept.append(&mut mailbox.close());
        join(writers);
        assert_eq!((take(&mailbox), mailbox.close()), (VecDeque::new(), VecDeque::new()));
        let mut all = refused.lock().unwrap().clone();
        assert!(!(all.contains(&0) && kept.contains(&1) || all.contains(&2) && kept.contains(&3)));
        all.extend(kept);
        all.sort_unstable();
        assert_eq!(all, [0, 1, 2, 3]);
    });
}

/// A writer that waits for room in a box that is closed instead is told so, and does not wait for
/// ever. All interleavings.
#[test]
fn a_close_rings_those_who_wait_for_room() {
    explore(None, || {
        let reader = Reader::new();
        let mailbox = reader.mailbox(1);
        let writer = {
            let (mailbox, own) = (mailbox.clone(), Reader::new());
            spawn(move || {
                mailbox.post(0, ONE).unwrap_or_default();
                while !mailbox.has_room(&own.bell) {
                    while !own.wait(Until::Rung) {}
                }
                assert_eq!(mailbox.post_beyond(2, ONE), Err(2));
            })
        };
        mailbox.close();
        join([writer]);
    });
}
