//! Callers while descriptors are short: they wait for one of ours, and are hung up on only when none
//! becomes free.

use std::cell::RefCell;
use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use readyloop::kernel::{Kernel, Wake};
use readyloop::sim::{Client, End, Faults, Net};
use readyloop::{Acceptor, Balance, Limits, Reactor, Setup, Trigger};

use super::town::{Plan, Town};
use super::world::{BOTH, Probe, echo, framed};

const PLANS: [Plan; 4] =
    [Plan::Single, Plan::Handoff(2, Balance::RoundRobin), Plan::ReusePort(2), Plan::Workers(2)];

fn every_way() -> impl Iterator<Item = (Plan, Trigger)> {
    PLANS.into_iter().flat_map(|plan| BOTH.map(|trigger| (plan, trigger)))
}

fn town(plan: Plan, trigger: Trigger, limits: &Limits) -> Town {
    Town::new(7, plan, trigger, Faults::none(), limits, echo)
}

/// Callers who have asked something, on all listeners.
fn callers(town: &Town, count: usize) -> Vec<Client> {
    let call = |nth: usize| {
        let client = town.net.connect(nth % town.listeners);
        client.send(&framed(b"hello"));
        client
    };
    (0..count).map(call).collect()
}

fn is_answered(client: &Client) -> bool {
    client.end().is_none() && client.received() == framed(b"hello")
}

#[test]
fn callers_behind_dead_ones_get_their_descriptors_without_a_rest() {
    for (plan, trigger) in every_way() {
        let mut town = town(plan, trigger, &Limits::default());
        town.net.limit_descriptors(6);
        // They have called and gone before anybody looked.
        callers(&town, 100).iter().for_each(Client::finish);
        let clients = callers(&town, 4);
        // While it settles no rest ends by time.
        town.settle();
        let answered = clients.iter().filter(|client| is_answered(client)).count();
        assert_eq!(answered, 4, "{plan:?}, {trigger:?}: {:?}", town.stats());
        assert_eq!(town.stats().refused_by_descriptors, 0, "{plan:?}, {trigger:?}");
    }
}

#[test]
fn a_listener_that_rests_takes_its_next_caller_when_one_of_ours_ends_and_not_before() {
    for (plan, trigger) in every_way() {
        let mut town = town(plan, trigger, &Limits::default());
        town.net.limit_descriptors(4);
        let inside = callers(&town, 4);
        town.settle();
        let outside = callers(&town, 8);
        let calls = town.net.calls().accepts;
        town.settle();
        let tries = town.net.calls().accepts - calls;
        assert!(tries <= 2 * 2 + 1, "{plan:?}, {trigger:?}: {tries} accepts with nothing closed");
        for (nth, client) in inside.iter().enumerate() {
            assert!(outside.iter().filter(|client| is_answered(client)).count() == nth);
            client.finish();
            town.settle();
        }
        let ended = outside.iter().filter(|client| client.end().is_some()).count();
        assert_eq!(ended, 0, "{plan:?}, {trigger:?}: somebody was hung up on");
        // Those for whom nothing becomes free are hung up on when a whole rest is over.
        town.net.advance(Limits::default().listener_rest);
        town.settle();
        let ended = outside.iter().filter(|client| client.end().is_some()).count();
        assert_eq!(ended, 4, "{plan:?}, {trigger:?}");
        assert_eq!(outside.iter().filter(|client| is_answered(client)).count(), 4);
    }
}

#[test]
fn who_is_hung_up_on_gives_a_descriptor_to_a_listener_that_rests_on_another_thread() {
    let home: IpAddr = [10, 9, 9, 9].into();
    let limits = Limits {
        sessions_per_address_max: Some(1),
        listener_rest: Duration::from_secs(60),
        ..Limits::default()
    };
    for trigger in BOTH {
        let mut town = town(Plan::ReusePort(2), trigger, &limits);
        let _inside = town.net.connect_from(0, home);
        town.settle();
        // It waits for the place of the first one, on the first reactor.
        let pending = town.net.connect_from(0, home);
        town.settle();
        town.net.limit_descriptors(2);
        let other = town.net.connect(1);
        other.send(&framed(b"hello"));
        town.settle();
        assert!(other.is_waiting() && pending.end().is_none(), "{trigger:?}");
        town.net.advance(limits.admission_grace);
        town.settle();
        assert_eq!(pending.end(), Some(End::Finished), "{trigger:?}");
        assert!(is_answered(&other), "{trigger:?}");
    }
}

thread_local! {
    /// The net that [`Witness`] looks at, and how many sockets were open at each wake.
    static SEEN: RefCell<(Option<Net>, Vec<usize>)> = const { RefCell::new((None, Vec::new())) };
}

/// Wakes an acceptor, which may be faster than whoever wakes it.
struct Witness(Arc<dyn Wake>);

impl Wake for Witness {
    fn wake(&self) {
        SEEN.with_borrow_mut(|(net, seen)| seen.extend(net.as_ref().map(Net::open_sockets)));
        self.0.wake();
    }
}

#[test]
fn a_socket_is_closed_before_a_listener_that_waits_for_its_descriptor_hears_of_it() {
    let net = Net::new(7, Trigger::Level, Faults::none());
    let limits = Limits { listener_rest: Duration::from_secs(60), ..Limits::default() };
    let (head, kernel) = (net.kernel(), net.kernel());
    let waker = Arc::new(Witness(head.waker()));
    let (mut setups, mut setup) = Setup::several(&[kernel.waker()], waker, &limits);
    setup.listeners.push(net.listener());
    let probe = Probe::new(Default::default(), echo(), limits.frame_bytes_max);
    let mut reactor = Reactor::new(kernel, setups.remove(0), probe).unwrap();
    let mut acceptor = Acceptor::new(head, setup).unwrap();
    net.limit_descriptors(1);
    let clients = [net.connect(0), net.connect(0)];
    net.settle(1000, || {
        acceptor.turn().unwrap();
        reactor.turn().unwrap();
    });
    assert!(!clients[0].is_waiting() && clients[1].is_waiting());
    clients[0].finish();
    SEEN.replace((Some(net.clone()), Vec::new()));
    // The reactor works while the acceptor sleeps.
    net.while_asleep(move || {
        reactor.turn().unwrap();
    });
    while clients[1].is_waiting() {
        acceptor.turn().unwrap();
        assert_eq!(net.now().as_nanos() / 1_000_000_000, 0, "it has waited for its time");
    }
    let (_, seen) = SEEN.take();
    assert_eq!(seen.first(), Some(&0), "{seen:?}");
    net.no_hook();
}
