//! Callers while descriptors are short: they wait for one of ours, and are hung up on only when none
//! becomes free.

use std::cell::{Cell, RefCell};
use std::net::IpAddr;
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use readyloop::kernel::{Kernel, Wake};
use readyloop::sim::{Client, End, Faults, Net};
use readyloop::{Acceptor, Address, Balance, CloseReason, Errno, Limits, Reactor, Setup, Trigger};

use super::town::{Plan, Town};
use super::world::{BOTH, Fact, Probe, ProbeReactor, React, echo, echo_and, framed};

const PLANS: [Plan; 5] = [
    Plan::Single,
    Plan::Handoff(2, Balance::RoundRobin),
    Plan::ReusePort(2),
    Plan::Workers(2),
    Plan::Pool(2, 2),
];

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

/// Two reactors that listen for themselves, and share a descriptor table in which each has one session
/// and which is full.
struct Pair {
    net: Net,
    reactors: Vec<Rc<RefCell<ProbeReactor>>>,
    inside: [Client; 2],
    limits: Limits,
}

impl Pair {
    fn new(trigger: Trigger, react: impl Fn() -> React) -> Pair {
        let net = Net::new(7, trigger, Faults::none());
        let limits = Limits::default();
        let kernels = [net.kernel(), net.kernel()];
        let wakers = kernels.each_ref().map(Kernel::waker);
        // No head is needed before the end.
        let (setups, _) = Setup::several(&wakers, net.kernel().waker(), &limits);
        let reactors = kernels.into_iter().zip(setups).map(|(kernel, mut setup)| {
            setup.listeners.push(net.listener());
            let probe = Probe::new(Default::default(), react(), limits.frame_bytes_max);
            Rc::new(RefCell::new(Reactor::new(kernel, setup, probe).unwrap()))
        });
        let reactors = reactors.collect();
        net.limit_descriptors(2);
        let inside = [0, 1].map(|listener| asking(&net, listener));
        let pair = Pair { net, reactors, inside, limits };
        pair.settle();
        assert!(pair.inside.iter().all(is_answered));
        pair
    }

    /// What the second reactor does in a turn of its own.
    fn second(&self) -> impl FnMut() + 'static {
        let second = self.reactors[1].clone();
        move || assert!(second.borrow_mut().turn().unwrap())
    }

    fn settle(&self) {
        self.net.settle(1000, || {
            for reactor in &self.reactors {
                reactor.borrow_mut().turn().unwrap();
            }
        });
    }

    /// Rests end, so many after each other.
    fn rests(&self, count: usize) {
        for _ in 0..count {
            self.net.advance(self.limits.listener_rest);
            self.settle();
        }
    }
}

fn asking(net: &Net, listener: usize) -> Client {
    let client = net.connect(listener);
    client.send(&framed(b"hello"));
    client
}

fn is_hung_up_on(client: &Client) -> bool {
    client.end().is_some()
}

#[test]
fn a_reactor_that_takes_the_reserve_of_another_gives_it_back_and_all_callers_are_answered() {
    for trigger in BOTH {
        let pair = Pair::new(trigger, echo);
        let clients: Vec<Client> = (0..3).map(|_| asking(&pair.net, 0)).collect();
        pair.settle();
        // Each time that the first reactor gives up the reserve, the second one has a caller.
        let (net, mut second) = (pair.net.clone(), pair.second());
        let others = Rc::new(RefCell::new(Vec::new()));
        let called = others.clone();
        pair.net.while_refusing(move || {
            called.borrow_mut().push(asking(&net, 1));
            second();
        });
        pair.rests(1);
        pair.net.no_hook();
        assert!(!others.borrow().is_empty(), "{trigger:?}: nobody was refused");
        pair.rests(2);
        assert!(clients.iter().all(is_hung_up_on), "{trigger:?}: a caller hangs");
        assert!(others.borrow().iter().all(is_hung_up_on), "{trigger:?}: another caller hangs");
        assert_eq!(pair.net.open_sockets(), 2);
        assert!(pair.inside.iter().all(is_answered), "{trigger:?}");
    }
}

#[test]
fn a_dial_that_takes_the_reserve_of_another_reactor_fails_and_gives_it_back() {
    let to: Address = "192.0.2.1:80".parse().unwrap();
    for trigger in BOTH {
        let failed = Rc::new(Cell::new(0));
        let dial = || -> React {
            let (to, failed) = (to.clone(), failed.clone());
            echo_and(move |fact, context| match fact {
                Fact::Frame(_, frame) if frame == b"dial" => {
                    context.connect(&to, Duration::from_secs(3600)).unwrap();
                }
                Fact::ConnectFailed(_, CloseReason::ConnectFailed(Errno::MFILE)) => {
                    failed.set(failed.get() + 1);
                }
                _ => {}
            })
        };
        let pair = Pair::new(trigger, dial);
        let clients: Vec<Client> = (0..3).map(|_| asking(&pair.net, 0)).collect();
        pair.settle();
        pair.inside[1].send(&framed(b"dial"));
        pair.net.while_refusing(pair.second());
        pair.rests(3);
        pair.net.no_hook();
        assert_eq!((failed.get(), pair.net.open_sockets()), (1, 2), "{trigger:?}");
        assert!(clients.iter().all(is_hung_up_on), "{trigger:?}: a caller hangs");
    }
}

#[test]
fn the_first_descriptor_that_is_free_again_becomes_the_reserve_whoever_finds_it() {
    for trigger in BOTH {
        let pair = Pair::new(trigger, echo);
        let clients: Vec<Client> = (0..4).map(|nth| asking(&pair.net, nth % 2)).collect();
        pair.settle();
        // Code that the server knows nothing of takes the reserve, and keeps it.
        let net = pair.net.clone();
        pair.net.while_refusing(move || net.limit_descriptors(1));
        pair.rests(1);
        pair.net.no_hook();
        let calls = pair.net.calls();
        pair.rests(3);
        assert!(clients.iter().all(Client::is_waiting), "{trigger:?}: there is no descriptor");
        let waits = (pair.net.calls() - calls).waits;
        assert!(waits <= 3 * 2 * 4, "{trigger:?}: {waits} turns in three rests");
        // It finds the descriptor in the turn in which it closes it, and has callers of its own.
        pair.inside[1].finish();
        pair.settle();
        assert!(clients.iter().all(Client::is_waiting), "{trigger:?}: the reserve comes first");
        pair.rests(2);
        assert!(clients.iter().all(is_hung_up_on), "{trigger:?}: a caller hangs");
        // From then on the reserve stays, and who leaves makes room for one who calls.
        let next = [0, 1].map(|listener| asking(&pair.net, listener));
        pair.inside[0].finish();
        pair.settle();
        assert_eq!(next.iter().filter(|client| is_answered(client)).count(), 1, "{trigger:?}");
    }
}

#[test]
fn a_reserve_that_was_lost_is_regained_when_a_rest_is_over() {
    for (plan, trigger) in every_way() {
        let mut town = town(plan, trigger, &Limits::default());
        town.net.limit_descriptors(2);
        let inside = callers(&town, 2);
        town.settle();
        let outside = callers(&town, 4);
        town.settle();
        let net = town.net.clone();
        town.net.while_refusing(move || net.limit_descriptors(1));
        let rest = |town: &mut Town| {
            town.net.advance(Limits::default().listener_rest);
            town.settle();
        };
        rest(&mut town);
        assert!(outside.iter().all(Client::is_waiting), "{plan:?}, {trigger:?}");
        town.net.no_hook();
        // It is closed again, of which nobody tells the server.
        town.net.limit_descriptors(2);
        rest(&mut town);
        assert!(outside.iter().all(is_hung_up_on), "{plan:?}, {trigger:?}: a caller hangs");
        assert!(inside.iter().all(is_answered), "{plan:?}, {trigger:?}");
    }
}

#[test]
fn all_listeners_of_a_reactor_have_their_callers_answered_by_one_reserve() {
    for trigger in BOTH {
        let net = Net::new(7, trigger, Faults::none());
        let (kernel, limits) = (net.kernel(), Limits::default());
        let listeners = vec![net.listener(), net.listener()];
        let setup = Setup::new(&kernel, listeners, limits.clone());
        let probe = Probe::new(Default::default(), echo(), limits.frame_bytes_max);
        let mut reactor = Reactor::new(kernel, setup, probe).unwrap();
        net.limit_descriptors(0);
        let clients = [net.connect(0), net.connect_unix(1), net.connect(0), net.connect_unix(1)];
        let mut settle = || net.settle(1000, || assert!(reactor.turn().unwrap()));
        settle();
        net.set_faults(Faults { reserve_taken: 1000, ..Faults::none() });
        net.advance(limits.listener_rest);
        settle();
        assert!(clients.iter().all(Client::is_waiting), "{trigger:?}: there was a reserve");
        net.set_faults(Faults::none());
        net.advance(limits.listener_rest);
        settle();
        assert!(clients.iter().all(is_hung_up_on), "{trigger:?}: a caller hangs");
    }
}

#[test]
fn every_caller_is_answered_whatever_the_seed_and_whoever_takes_the_reserve() {
    for (seed, (plan, trigger)) in (0..50).flat_map(|seed| every_way().map(move |way| (seed, way)))
    {
        let faults = Faults { reserve_taken: 500, ..Faults::none() };
        let mut town = Town::new(seed, plan, trigger, faults, &Limits::default(), echo);
        town.net.limit_descriptors(3);
        let clients = callers(&town, 12);
        let is_done = |client: &Client| is_answered(client) || is_hung_up_on(client);
        let mut rests = 0;
        town.settle();
        while !clients.iter().all(is_done) {
            rests += 1;
            assert!(rests < 60, "{plan:?}, {trigger:?}, seed {seed}: a caller hangs");
            town.net.advance(Limits::default().listener_rest);
            town.settle();
        }
        let answered = clients.iter().filter(|client| is_answered(client)).count();
        assert_eq!(answered, 3, "{plan:?}, {trigger:?}, seed {seed}");
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
