//! Models of the census: callers over a limit, and sessions that end meanwhile.

use std::net::IpAddr;
use std::sync::Arc;

use loom::thread::spawn;

use crate::census::Census;
use crate::limits::Limits;
use crate::sync::{AtomicU64, Ordering};
use crate::wake::Wake;

use super::{Reader, Until, explore, join};

const IP: Option<IpAddr> = Some(IpAddr::V4(std::net::Ipv4Addr::LOCALHOST));

/// As a thread that accepts does it: a caller that is refused waits, is tried once more, and then
/// only when a session has ended.
fn admit(census: &Census, reader: &Reader) {
    if census.enter(0, IP) {
        return;
    }
    let wake: Arc<dyn Wake> = reader.bell.clone();
    census.wait(&wake);
    let mut tried_at = None;
    loop {
        let departures = census.departures();
        if tried_at.replace(departures) != Some(departures) && census.enter(0, IP) {
            return census.stop_waiting(&wake);
        }
        while !reader.wait(Until::Rung) {}
    }
}

/// Limits of the whole server and of an address, for as many sessions as that.
fn limits(sessions: usize) -> [Limits; 2] {
    let most = Some(sessions as u32);
    [
        Limits { sessions_max: sessions, ..Limits::default() },
        Limits { sessions_per_address_max: most, ..Limits::default() },
    ]
}

/// A caller waits for the place of a session that ends meanwhile, and gets it. All interleavings.
#[test]
fn a_caller_gets_the_place_of_a_session_that_ends() {
    for limits in limits(1) {
        explore(None, move || {
            let census = Arc::new(Census::new(1, &limits));
            assert!(census.enter(0, IP));
            let ends = {
                let census = census.clone();
                spawn(move || census.leave(0, IP))
            };
            admit(&census, &Reader::new());
            join([ends]);
            assert_eq!((census.len(), census.departures()), (1, 1));
        });
    }
}

/// Two threads have a caller each, and two sessions end: each of them gets a place, and there are
/// never more sessions than that. At most 2 preemptions.
#[test]
fn two_callers_on_two_threads_get_the_places_of_two_sessions() {
    for limits in limits(2) {
        explore(Some(2), move || {
            let census = Arc::new(Census::new(1, &limits));
            assert!(census.enter(0, IP) && census.enter(0, IP));
            let ends = {
                let census = census.clone();
                spawn(move || (0..2).for_each(|_| census.leave(0, IP)))
            };
            let other = {
                let census = census.clone();
                spawn(move || admit(&census, &Reader::new()))
            };
            admit(&census, &Reader::new());
            join([ends, other]);
            assert!(census.len() == 2 && !census.enter(0, IP));
        });
    }
}

/// As a listener that has found no descriptor does it.
fn wait_for_descriptor(census: &Census, free: &AtomicU64, reader: &Reader) {
    let wake: Arc<dyn Wake> = reader.bell.clone();
    let mut tried_at = None;
    let mut registered = false;
    loop {
        let closed = census.closed();
        if tried_at.replace(closed) != Some(closed) && free.swap(0, Ordering::AcqRel) > 0 {
            break;
        }
        if !registered {
            census.wait(&wake);
            registered = true;
            continue;
        }
        while !reader.wait(Until::Rung) {}
    }
    if registered {
        census.stop_waiting(&wake);
    }
}

/// A listener rests for want of a descriptor, and one is closed meanwhile: a session's, or that of a
/// caller who was hung up on. All interleavings.
#[test]
fn a_listener_that_rests_gets_the_descriptor_that_is_closed() {
    for was_let_in in [true, false] {
        explore(None, move || {
            let census = Arc::new(Census::new(1, &Limits::default()));
            let free = Arc::new(AtomicU64::new(0));
            assert!(!was_let_in || census.enter(0, IP));
            let ends = {
                let (census, free) = (census.clone(), free.clone());
                spawn(move || {
                    free.fetch_add(1, Ordering::Release);
                    if was_let_in { census.leave(0, IP) } else { census.refused() }
                })
            };
            wait_for_descriptor(&census, &free, &Reader::new());
            join([ends]);
            assert_eq!((census.len(), census.closed()), (0, 1));
        });
    }
}

/// A place is taken once, also in the moment in which somebody is refused. All interleavings.
#[test]
fn of_two_callers_for_one_place_one_is_let_in() {
    for limits in limits(1) {
        explore(None, move || {
            let census = Arc::new(Census::new(1, &limits));
            let other = {
                let census = census.clone();
                spawn(move || {
                    if census.enter(0, IP) {
                        census.leave(0, IP);
                    }
                })
            };
            let enters = census.enter(0, IP);
            join([other]);
            assert_eq!(census.len(), usize::from(enters));
            assert!(enters || census.departures() == 1, "both were refused");
        });
    }
}
