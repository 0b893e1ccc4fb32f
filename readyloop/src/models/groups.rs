//! Models of what groups share: who counts whom, and who waits for whom.

use std::collections::BTreeSet;
use std::sync::Arc;

use loom::sync::Mutex;
use loom::thread::spawn;

use crate::group::{Group, SlowMember};
use crate::id::SessionId;

use super::{ONE, Reader, explore, join, take};

fn session(reactor: u8) -> SessionId {
    SessionId::new(reactor, 1, 1)
}

/// Two slow members on two reactors catch up while two senders look whether they must wait: each
/// that waits is released, each once, and nobody who does not wait is. At most 3 preemptions.
#[test]
fn whoever_waits_for_slow_members_is_released_once() {
    explore(Some(3), || {
        let group = Group::new(SlowMember::PauseSender);
        let released = Arc::new(Mutex::new(Vec::new()));
        (0..2).for_each(|_| group.slowed_down());
        let mut threads: Vec<_> = (0..2)
            .map(|_| {
                let (group, released) = (group.clone(), released.clone());
                spawn(move || {
                    let senders = group.caught_up();
                    released.lock().unwrap().extend(senders);
                })
            })
            .collect();
        let waited = Arc::new(Mutex::new(BTreeSet::new()));
        threads.push({
            let (group, waited) = (group.clone(), waited.clone());
            spawn(move || {
                if group.wait(session(2)) {
                    waited.lock().unwrap().insert(session(2));
                }
            })
        });
        if group.wait(session(3)) {
            waited.lock().unwrap().insert(session(3));
        }
        join(threads);
        assert!(!group.is_slow());
        let mut released = released.lock().unwrap().clone();
        released.sort_unstable();
        assert!(waited.lock().unwrap().iter().eq(&released), "{released:?}");
    });
}

/// A member that is slow again at once, while the senders of its first time are released: whoever
/// waits is released when it has caught up for the second time, at the latest. All interleavings.
#[test]
fn a_member_that_is_slow_again_leaves_nobody_waiting() {
    explore(None, || {
        let group = Group::new(SlowMember::PauseSender);
        let released = Arc::new(Mutex::new(BTreeSet::new()));
        group.slowed_down();
        let threads = [false, true].map(|again| {
            let (group, released) = (group.clone(), released.clone());
            spawn(move || {
                if again {
                    group.slowed_down();
                }
                let senders = group.caught_up();
                released.lock().unwrap().extend(senders);
            })
        });
        let waits = group.wait(session(2));
        join(threads);
        assert_eq!(released.lock().unwrap().contains(&session(2)), waits);
    });
}

/// A member is counted, and its mail is posted, by a thread that has a lock; who broadcasts under the
/// same lock after it finds its reactor, though that may not have read the mail, or reads it just
/// now. At most 3 preemptions. Only the first eight reactors: how the others' counters come to be
/// is the standard library's matter (`OnceLock`), of which the model checker knows nothing.
#[test]
fn a_broadcast_reaches_whoever_has_joined_before_it() {
    explore(Some(3), || {
        let (group, reader) = (Group::new(SlowMember::default()), Reader::new());
        let mailbox = reader.mailbox(usize::MAX);
        let lock = Arc::new(Mutex::new(false));
        let joins = {
            let (group, mailbox, lock) = (group.clone(), mailbox.clone(), lock.clone());
            spawn(move || {
                let mut joined = lock.lock().unwrap();
                group.joined(1);
                mailbox.post((), ONE).unwrap();
                *joined = true;
            })
        };
        let sends = {
            let (group, lock) = (group.clone(), lock.clone());
            spawn(move || {
                let joined = lock.lock().unwrap();
                assert!(group.is_on(1) || !*joined, "it was not found");
            })
        };
        // The owner counts it itself, and only then takes back what was counted ahead.
        let read = || {
            for () in take(&mailbox) {
                group.joined(1);
                group.left(1);
            }
        };
        read();
        join([joins, sends]);
        read();
        assert!(group.is_on(1) && group.len() == 1);
    });
}
