//! A server of one topology on which a script is performed, and the record of what came of it.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use readyloop::framers::{LengthPrefixed, Order, Prefix};
use readyloop::sim::{Client, End, Faults};
use readyloop::{
    Address, Bytes, Context, Errno, Group, Limits, SessionId, SlowMember, TimerId, Trigger,
};

use super::encodings::encoding;
use super::verbs::{Act, Answer, Door, Round, Verb, Who};
use crate::town::{Plan, Town};
use crate::world::{Fact, React, Remote, framed};

const HIGH_BYTES: usize = 4_000;
/// Enough for every thread to have had its turns, whatever the order.
const STEPS_TO_STOP: usize = 400;
const HOUR: Duration = Duration::from_secs(3_600);

/// What can be compared between topologies, each under its own name.
pub type Record = BTreeMap<String, Vec<String>>;

/// What handlers know of each other, and have to do.
#[derive(Default)]
struct Shared {
    remote: Option<Remote>,
    groups: Vec<Group>,
    ids: BTreeMap<Who, SessionId>,
    names: BTreeMap<SessionId, Who>,
    callers: usize,
    /// Of the round, whose client acts in it.
    actor: Option<Who>,
    /// By the number that is the frame's text.
    frames: Vec<Vec<Verb>>,
    open: Vec<Verb>,
    last_words: Vec<Verb>,
    finish: Vec<Verb>,
    close: Vec<Verb>,
    drained: BTreeMap<Who, Vec<Verb>>,
    timers: BTreeMap<usize, (TimerId, Who, Vec<Verb>)>,
    /// Those that were set before this round.
    old_timers: BTreeMap<usize, (TimerId, Who)>,
    /// What each dialled peer answers, and what is to be done then.
    dials: BTreeMap<usize, (Answer, Vec<Verb>)>,
    /// Moments of this round at which something may be due, in seconds.
    dues: Vec<u64>,
    opened: BTreeSet<Who>,
    stopping: bool,
    stopping_now: bool,
    record: Record,
}

type State = Arc<Mutex<Shared>>;

fn with<R>(state: &State, act: impl FnOnce(&mut Shared) -> R) -> R {
    act(&mut state.lock().unwrap())
}

impl Shared {
    fn note(&mut self, whose: String, what: String) {
        self.record.entry(whose).or_default().push(what);
    }

    fn id(&self, who: Who, own: SessionId) -> SessionId {
        match who {
            Who::Own => own,
            who => self.ids.get(&who).copied().unwrap_or(SessionId::NONE),
        }
    }

    fn name(&mut self, id: SessionId) -> Who {
        let next = Who::Caller(self.callers);
        let name = *self.names.entry(id).or_insert(next);
        if name == next {
            self.callers += 1;
            self.ids.insert(name, id);
        }
        name
    }

    /// What is told, by names that are the same everywhere, and what the handler has to do.
    fn hear(&mut self, fact: &Fact) -> (String, Vec<Verb>) {
        let who = self.name(fact.id());
        if self.stopping && matches!(fact, Fact::Timer(..)) {
            // How long a server drains is the clients' matter.
            return (String::new(), Vec::new());
        }
        let (text, mut verbs) = self.task(fact, who);
        self.note(format!("events of {who:?}"), text.clone());
        if let Fact::Open(_) = fact {
            self.opened.insert(who);
        }
        verbs.retain(|_| !self.stopping);
        (format!("returns in {who:?}, {text}"), verbs)
    }

    fn task(&mut self, fact: &Fact, who: Who) -> (String, Vec<Verb>) {
        match fact {
            Fact::Open(_) => match who {
                Who::Dialled(number) => ("open".to_string(), self.task_of_dial(number)),
                _ => ("open".to_string(), std::mem::take(&mut self.open)),
            },
            Fact::Frame(_, text) => {
                let number: usize = std::str::from_utf8(text).unwrap().parse().unwrap();
                (format!("frame {number}"), std::mem::take(&mut self.frames[number]))
            }
            Fact::Timer(_, timer) => {
                let is_it = |(id, owner): (&TimerId, &Who)| (id, owner) == (timer, &who);
                let found = self.timers.iter().find(|(_, (id, owner, _))| is_it((id, owner)));
                let number = *found.expect("a timer that was set").0;
                // Its name may be given again.
                let (.., verbs) = self.timers.remove(&number).unwrap();
                (format!("timer {number}"), verbs)
            }
            Fact::Message(..) => panic!("no script tells any"),
            Fact::Drained(_) => {
                ("drained".to_string(), self.drained.remove(&who).unwrap_or_default())
            }
            Fact::PeerFinished(_) => {
                ("peer finished".to_string(), self.if_acts(who, |shared| &mut shared.finish))
            }
            Fact::Closing(_, reason) => {
                let verbs = self.if_acts(who, |shared| &mut shared.last_words);
                (format!("closing, {reason:?}"), verbs)
            }
            Fact::Close(_, reason) => {
                let verbs = self.if_acts(who, |shared| &mut shared.close);
                (format!("closed, {reason:?}"), verbs)
            }
            Fact::ConnectFailed(_, reason) => {
                let Who::Dialled(number) = who else { panic!("{who:?} was not dialled") };
                (format!("connect failed, {reason:?}"), self.task_of_dial(number))
            }
        }
    }

    fn task_of_dial(&mut self, number: usize) -> Vec<Verb> {
        std::mem::take(&mut self.dials.get_mut(&number).unwrap().1)
    }

    /// Only the session whose client acts in this round does something at its end: what two did at once
    /// would have no order.
    fn if_acts(&mut self, who: Who, verbs: fn(&mut Shared) -> &mut Vec<Verb>) -> Vec<Verb> {
        match self.actor == Some(who) {
            true => std::mem::take(verbs(self)),
            false => Vec::new(),
        }
    }
}

fn react(state: &State) -> React {
    let state = state.clone();
    Box::new(move |fact, context| {
        if *fact != Fact::Open(SessionId::NONE) {
            let (label, verbs) = with(&state, |shared| shared.hear(fact));
            perform(&verbs, &state, &label, Some(context));
        }
    })
}

/// Asks for all of this in its order, and writes down what is returned.
fn perform(verbs: &[Verb], state: &State, label: &str, mut context: Option<&mut Context<'_>>) {
    for verb in verbs {
        let returned = match context.as_deref_mut() {
            Some(context) => ask(verb, state, context),
            None => ask_remote(verb, state, SessionId::NONE),
        };
        if let Some(returned) = returned {
            with(state, |shared| shared.note(label.to_string(), format!("{verb:?}: {returned}")));
        }
    }
}

fn text(number: usize) -> Vec<u8> {
    format!("<{number}>").into_bytes()
}

fn say(door: Door, number: usize, state: &State, context: &mut Context<'_>) -> Option<String> {
    let (bytes, own) = (text(number), context.id());
    let id = |who| with(state, |shared| shared.id(who, own));
    match door {
        Door::Send => return Some(context.send(&bytes).to_string()),
        Door::Framed => {
            let framer = LengthPrefixed::new(Prefix::Two, Order::Big, 1_000);
            return Some(context.send_framed(&framer, &bytes).to_string());
        }
        Door::Shared => return Some(context.send_shared(bytes.into()).to_string()),
        Door::Bare => return Some(context.send_bare(&bytes).to_string()),
        Door::To(who) => context.send_to(id(who), &bytes),
        Door::SharedTo(who) => context.send_shared_to(id(who), bytes.into()),
        Door::Broadcast(group) => {
            let group = with(state, |shared| shared.groups[group].clone());
            context.broadcast(&group, bytes);
        }
        Door::Remote(_) | Door::RemoteBroadcast(_) => {
            return ask_remote(&Verb::Say(door, number), state, own);
        }
    }
    None
}

fn ask(verb: &Verb, state: &State, context: &mut Context<'_>) -> Option<String> {
    let own = context.id();
    let id = |who| with(state, |shared| shared.id(who, own));
    let group = |nth: usize| with(state, |shared| shared.groups[nth].clone());
    match verb {
        Verb::Say(door, number) => return say(*door, *number, state, context),
        Verb::Encode(nth) => return Some(context.set_encoding(encoding(*nth)).to_string()),
        Verb::Close => context.close(),
        Verb::Abort => context.abort(),
        Verb::CloseSession(who) => context.close_session(id(*who)),
        Verb::AbortSession(who) => context.abort_session(id(*who)),
        Verb::Join(nth) => context.join(&group(*nth)),
        Verb::Leave(nth) => context.leave(&group(*nth)),
        Verb::SetTimer(number, span, then) => {
            let timer = context.set_timer(Duration::from_secs(*span));
            with(state, |shared| shared.set(*number, *span, timer, own, then, context));
            return Some(timer.is_some().to_string());
        }
        Verb::ResetTimer(number, span) => {
            let timer = with(state, |shared| shared.timer(*number, own))?;
            with(state, |shared| shared.is_due(*span, context));
            return Some(context.reset_timer(timer, Duration::from_secs(*span)).to_string());
        }
        Verb::CancelTimer(number) => {
            let timer = with(state, |shared| shared.timer(*number, own))?;
            let cancelled = context.cancel_timer(timer);
            if cancelled {
                with(state, |shared| shared.timers.remove(number));
            }
            return Some(cancelled.to_string());
        }
        Verb::Connect { number, from, answer, then } => {
            return Some(connect(*number, *from, (*answer, then), state, context));
        }
        Verb::Queued => return Some(context.queued_bytes().to_string()),
        Verb::IsPaused => return Some(context.is_paused().to_string()),
        Verb::Count => return Some(context.session_count().to_string()),
        Verb::Pause { big, then } => {
            let who = with(state, |shared| {
                let who = shared.name(own);
                shared.drained.insert(who, then.clone());
                who
            });
            let taken = match big {
                true => context.send(&[b'x'; HIGH_BYTES + 1]),
                false => context.pause_until_drained(),
            };
            return Some(format!("{taken}, {who:?}"));
        }
        Verb::Stop => {
            with(state, |shared| shared.stopping = true);
            context.stop();
        }
        _ => return ask_remote(verb, state, own),
    }
    None
}

impl Shared {
    /// Its own, or one that another session has set before this round, to which alone it means something.
    fn timer(&mut self, number: usize, own: SessionId) -> Option<TimerId> {
        let who = self.name(own);
        let own = self.timers.get(&number).map(|(timer, owner, _)| (*timer, *owner));
        let foreign = self.old_timers.get(&number).copied().filter(|(_, owner)| *owner != who);
        Some(own.filter(|(_, owner)| *owner == who).or(foreign)?.0)
    }

    fn begin(&mut self, act: &Act) {
        (self.close, self.actor) = (act.close.clone(), None);
        let old = self.timers.iter().map(|(number, (id, who, _))| (*number, (*id, *who)));
        self.old_timers = old.collect();
    }

    fn is_due(&mut self, span: u64, context: &Context<'_>) {
        let now = context.now().as_nanos() / 1_000_000_000;
        self.dues.push(now + span + 1);
    }

    fn set(
        &mut self,
        number: usize,
        span: u64,
        timer: Option<TimerId>,
        own: SessionId,
        then: &[Verb],
        context: &Context<'_>,
    ) {
        if let Some(timer) = timer {
            let who = self.name(own);
            self.timers.insert(number, (timer, who, then.to_vec()));
            self.is_due(span, context);
        }
    }
}

/// In which the peer's number is, so that each is known.
fn address(number: usize) -> Address {
    format!("10.9.9.{number}:9").parse().unwrap()
}

fn connect(
    number: usize,
    from: bool,
    (answer, then): (Answer, &[Verb]),
    state: &State,
    context: &mut Context<'_>,
) -> String {
    // No timer's span.
    let (to, span) = (address(number), Duration::from_secs(600 + number as u64));
    let id = match from {
        true => context.connect_from("10.0.0.1".parse().unwrap(), &to, span),
        false => context.connect(&to, span),
    };
    if let Some(id) = id {
        with(state, |shared| {
            shared.ids.insert(Who::Dialled(number), id);
            shared.names.insert(id, Who::Dialled(number));
            shared.dials.insert(number, (answer, then.to_vec()));
            if answer == Answer::Never {
                shared.is_due(span.as_secs(), context);
            }
        });
    }
    id.is_some().to_string()
}

fn ask_remote(verb: &Verb, state: &State, own: SessionId) -> Option<String> {
    let remote = with(state, |shared| shared.remote.clone()).unwrap();
    let id = |who: &Who| with(state, |shared| shared.id(*who, own));
    let group = |nth: &usize| with(state, |shared| shared.groups[*nth].clone());
    let taken = match verb {
        Verb::Say(Door::Remote(who), number) => remote.send(id(who), text(*number)),
        Verb::Say(Door::RemoteBroadcast(nth), number) => {
            remote.broadcast(&group(nth), Bytes::from(text(*number)))
        }
        Verb::RemoteClose(who) => remote.close(id(who)),
        Verb::RemoteAbort(who) => remote.abort(id(who)),
        Verb::RemoteJoin(who, nth) => remote.join(id(who), &group(nth)),
        Verb::RemoteLeave(who, nth) => remote.leave(id(who), &group(nth)),
        Verb::RunOn(who, number, verbs) => {
            let (state, verbs, label) = (state.clone(), verbs.clone(), format!("run {number}"));
            remote.run_on(id(who).reactor(), move |context| {
                perform(&verbs, &state, &label, Some(context));
            })
        }
        Verb::RemoteStop | Verb::RemoteStopNow => {
            with(state, |shared| shared.stopping = true);
            match verb {
                Verb::RemoteStop => remote.stop(),
                _ => {
                    with(state, |shared| shared.stopping_now = true);
                    remote.stop_now();
                }
            }
            Ok(())
        }
        _ => panic!("{verb:?} is no verb of a remote"),
    };
    Some(format!("{taken:?}"))
}

/// A client, and what is known of it.
struct Seen {
    client: Client,
    /// How much it had received when the round began.
    before: usize,
    finished: bool,
    /// It had finished when the round began, and the server had not: a last word may be on its way.
    is_half: bool,
    torn: bool,
}

pub struct Stage {
    town: Town,
    state: State,
    clients: BTreeMap<Who, Seen>,
}

impl Stage {
    pub fn new(seed: u64, plan: Plan, trigger: Trigger) -> Stage {
        let limits = Limits {
            send_low_bytes: 1_000,
            send_high_bytes: HIGH_BYTES,
            write_timeout: None,
            drain_timeout: 10 * HOUR,
            linger_timeout: 10 * HOUR,
            frame_bytes_max: 1_000,
            ..Limits::default()
        };
        let state = State::default();
        let made = || react(&state);
        let town = Town::new(seed, plan, trigger, Faults::none(), &limits, made);
        let policies = [SlowMember::PauseSender, SlowMember::DropMessage, SlowMember::CloseMember];
        with(&state, |shared| {
            shared.remote = Some(town.remote.clone());
            shared.groups = policies.map(Group::new).into();
        });
        Stage { town, state, clients: BTreeMap::new() }
    }

    /// Performs all of it, and tells what came of it.
    pub fn perform(mut self, script: &[Act]) -> Record {
        for act in script {
            if with(&self.state, |shared| shared.stopping) {
                break;
            }
            self.begin(act);
            if act.stops() {
                self.wait_for_stop();
                continue;
            }
            self.settle();
            while let Some(due) = with(&self.state, |shared| take_least(&mut shared.dues)) {
                let now = self.town.net.now().as_nanos() / 1_000_000_000;
                self.town.net.advance(Duration::from_secs(due.saturating_sub(now)));
                self.settle();
            }
        }
        if !with(&self.state, |shared| std::mem::replace(&mut shared.stopping, true)) {
            self.look_at_clients();
            self.town.remote.stop();
        }
        self.town.run_out();
        self.note_clients();
        self.town.net.no_hook();
        with(&self.state, |shared| std::mem::take(&mut shared.record))
    }

    /// Until the handler has asked for it; a server that has ended is never quiet.
    fn wait_for_stop(&mut self) {
        self.town.net.hold_clock(true);
        (0..STEPS_TO_STOP).for_each(|_| self.town.step());
        self.town.net.hold_clock(false);
        if !with(&self.state, |shared| shared.stopping) {
            self.settle();
        }
    }

    fn begin(&mut self, act: &Act) {
        self.look_at_clients();
        let state = self.state.clone();
        with(&state, |shared| shared.begin(act));
        match &act.round {
            Round::Call { unix, open } => {
                with(&state, |shared| shared.open = open.clone());
                let number = with(&state, |shared| shared.callers);
                let listener = number % self.town.listeners;
                let client = match unix {
                    true => self.town.net.connect_unix(listener),
                    false => self.town.net.connect(listener),
                };
                self.see(Who::Caller(number), client);
            }
            Round::Frames(who, all) => {
                if let Some(client) = self.speaker(*who) {
                    let first = with(&state, |shared| {
                        shared.frames.extend(all.iter().cloned());
                        shared.frames.len() - all.len()
                    });
                    let numbers = first..first + all.len();
                    let bytes: Vec<u8> =
                        numbers.flat_map(|number| framed(number.to_string().as_bytes())).collect();
                    client.send(&bytes);
                }
            }
            Round::Garbage(who, verbs) => {
                if let Some(client) = self.speaker(*who) {
                    with(&state, |shared| shared.last_words = verbs.clone());
                    client.send(&u32::MAX.to_be_bytes());
                }
            }
            Round::Finish(who, verbs) => {
                if let Some(client) = self.speaker(*who) {
                    with(&state, |shared| shared.finish = verbs.clone());
                    self.clients.get_mut(who).unwrap().finished = true;
                    client.finish();
                }
            }
            Round::Reset(who) => {
                if let Some(client) = self.speaker(*who) {
                    self.clients.get_mut(who).unwrap().torn = true;
                    client.reset();
                }
            }
            Round::Outside(verbs) => perform(verbs, &state, "returns outside", None),
        }
    }

    fn look_at_clients(&mut self) {
        for seen in self.clients.values_mut() {
            let is_open = seen.client.end().is_none();
            seen.is_half = is_open && seen.finished;
            seen.before = if is_open { seen.client.received().len() } else { seen.before };
        }
    }

    fn see(&mut self, who: Who, client: Client) {
        self.clients
            .insert(who, Seen { client, before: 0, finished: false, is_half: false, torn: false });
    }

    /// The client, if it can still say something; the round is its.
    fn speaker(&mut self, who: Who) -> Option<Client> {
        let seen = self.clients.get(&who)?;
        if seen.finished || seen.torn || seen.client.end().is_some() {
            return None;
        }
        with(&self.state, |shared| shared.actor = Some(who));
        Some(seen.client.clone())
    }

    /// Until all is quiet: whoever is dialled answers, one after the other, and who has heard the
    /// end ends too.
    fn settle(&mut self) {
        loop {
            self.town.settle();
            let ended = self.clients.values_mut().find(|seen| {
                seen.client.end() == Some(End::Finished) && !seen.finished && !seen.torn
            });
            if let Some(ended) = ended {
                ended.finished = true;
                ended.client.finish();
            } else if let Some(peer) = self.town.net.dialled() {
                self.answer(peer);
            } else {
                break;
            }
        }
        let lengths = with(&self.state, |shared| {
            let lengths: Vec<_> = shared.groups.iter().map(Group::len).collect();
            format!("{lengths:?}")
        });
        with(&self.state, |shared| shared.note("members".to_string(), lengths));
    }

    fn answer(&mut self, peer: Client) {
        let (state, dialled) = (self.state.clone(), peer.address());
        let dials = with(&state, |shared| shared.dials.clone());
        let (number, (answer, _)) =
            dials.into_iter().find(|(number, _)| address(*number) == dialled).unwrap();
        match answer {
            Answer::Yes => {
                peer.accept();
                self.see(Who::Dialled(number), peer);
            }
            Answer::No => peer.refuse(Errno::CONNREFUSED),
            Answer::Never => {}
        }
    }

    /// What was sent in the round in which a session was cut off may have left, or not.
    fn note_clients(&self) {
        for (who, seen) in &self.clients {
            // Of a dial that is given up at once, the peer may never hear.
            if !with(&self.state, |shared| shared.opened.contains(who)) {
                continue;
            }
            let (mut bytes, end) = (seen.client.received(), seen.client.end());
            let is_cut = with(&self.state, |shared| shared.stopping_now);
            // What is on its way when the server ends arrives nowhere.
            let end = end.filter(|_| !is_cut).unwrap_or(End::Finished);
            if end == End::Reset || seen.torn || seen.is_half || is_cut {
                bytes.truncate(seen.before);
            }
            with(&self.state, |shared| {
                let text = String::from_utf8_lossy(&bytes).replace(&"x".repeat(HIGH_BYTES), "X");
                shared.note(format!("client of {who:?}"), format!("{text:?}, {end:?}"));
            });
        }
    }
}

fn take_least(dues: &mut Vec<u64>) -> Option<u64> {
    let least = *dues.iter().min()?;
    dues.retain(|due| *due != least);
    Some(least)
}
