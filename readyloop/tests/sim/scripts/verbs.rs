//! What a script is made of, and how one is made from a seed.

use readyloop::sim::Rng;

/// A session by the order of opening: callers come first, and then whoever is dialled.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub enum Who {
    Own,
    Caller(usize),
    Dialled(usize),
}

/// What a dialled peer answers.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Answer {
    Yes,
    No,
    Never,
}

/// A door through which bytes are sent.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Door {
    Send,
    Framed,
    Shared,
    Bare,
    /// To itself, as to anybody.
    To(Who),
    SharedTo(Who),
    Remote(Who),
    Broadcast(usize),
    RemoteBroadcast(usize),
}

/// One thing that a callback asks for. A number tells which text is sent, or which timer or dialled
/// session it is.
#[derive(Clone, Debug)]
pub enum Verb {
    Say(Door, usize),
    Encode(Option<usize>),
    Close,
    Abort,
    /// By `close_session` and `abort_session`.
    CloseSession(Who),
    AbortSession(Who),
    RemoteClose(Who),
    RemoteAbort(Who),
    Join(usize),
    Leave(usize),
    RemoteJoin(Who, usize),
    RemoteLeave(Who, usize),
    SetTimer(usize, u64, Vec<Verb>),
    ResetTimer(usize, u64),
    CancelTimer(usize),
    Connect {
        number: usize,
        from: bool,
        answer: Answer,
        then: Vec<Verb>,
    },
    /// What waits for the peer.
    Queued,
    IsPaused,
    /// How many sessions there are.
    Count,
    /// Asks for a pause, by the verb or by more bytes than the high mark, and has more to say
    /// afterwards.
    Pause {
        big: bool,
        then: Vec<Verb>,
    },
    /// On the reactor of this session.
    RunOn(Who, usize, Vec<Verb>),
    Stop,
    RemoteStop,
    RemoteStopNow,
}

/// What happens between two moments in which all is quiet.
#[derive(Clone, Debug)]
pub enum Round {
    /// The next caller comes.
    Call {
        unix: bool,
        open: Vec<Verb>,
    },
    /// A client sends so many frames at once; what the handler does at each.
    Frames(Who, Vec<Vec<Verb>>),
    /// A client sends a frame that is too long.
    Garbage(Who, Vec<Verb>),
    /// A client ends its direction.
    Finish(Who, Vec<Verb>),
    Reset(Who),
    /// Another thread asks; only by a `Remote`.
    Outside(Vec<Verb>),
}

/// A round, and what the handler does when the session of its client ends in it.
#[derive(Clone, Debug)]
pub struct Act {
    pub round: Round,
    pub close: Vec<Verb>,
}

pub const GROUPS: usize = 3;
/// Headers, and behind them an encoder.
pub const HEADERS: usize = 2;
const CALLERS: usize = 3;
const ROUNDS_MAX: usize = 6;

/// Makes scripts: counts what is named by a number.
struct Author {
    rng: Rng,
    texts: usize,
    timers: usize,
    runs: usize,
    dialled: usize,
    /// Parts of this round's spans of time: none is used twice.
    spans: u64,
    callers: usize,
    /// Whether all that is sent to the acting session in this round is sent by its context.
    is_queue_known: bool,
    /// Whether anything is encoded in this script.
    encodes: bool,
    /// How many there were before this round of those who ask beside the sessions, on a reactor's thread.
    runs_before: usize,
    /// Whose end was asked for in this round: once is enough.
    ended: Vec<Who>,
}

/// Where verbs are asked for.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Place {
    /// In a callback that a round begins.
    Session,
    /// In a callback that follows another one.
    Nested,
    /// On another thread.
    Outside,
    /// On a reactor's thread, for one session.
    Run(Who),
}

pub fn script(seed: u64) -> Vec<Act> {
    let mut author = Author {
        rng: Rng::new(seed),
        texts: 0,
        timers: 0,
        runs: 0,
        dialled: 0,
        spans: 0,
        callers: 0,
        is_queue_known: false,
        encodes: !seed.is_multiple_of(3),
        runs_before: 0,
        ended: Vec::new(),
    };
    author.script()
}

impl Author {
    fn script(&mut self) -> Vec<Act> {
        let mut acts: Vec<Act> = (0..CALLERS).map(|_| self.caller()).collect();
        for _ in 0..1 + self.rng.below(ROUNDS_MAX) {
            let act = self.act();
            acts.push(act);
        }
        acts
    }

    fn caller(&mut self) -> Act {
        self.begin_round();
        self.is_queue_known = self.rng.below(2) == 0;
        let open = self.verbs(Place::Session, 3);
        self.callers += 1;
        Act { round: Round::Call { unix: self.rng.below(4) == 0, open }, close: Vec::new() }
    }

    fn begin_round(&mut self) {
        (self.spans, self.runs_before, self.ended) = (0, self.runs, Vec::new());
    }

    fn act(&mut self) -> Act {
        self.begin_round();
        self.is_queue_known = self.rng.below(2) == 0;
        let who = self.other();
        let round = match self.rng.below(16) {
            0 => return self.caller(),
            1 => Round::Garbage(who, self.few(Place::Nested)),
            2 => {
                self.ended.push(Who::Own);
                self.ended.push(who);
                let mut verbs = self.few(Place::Session);
                if self.rng.below(2) == 0 {
                    verbs.push(Verb::Close);
                }
                Round::Finish(who, verbs)
            }
            3 => Round::Reset(who),
            4 | 5 => Round::Outside(self.verbs(Place::Outside, 6)),
            _ => {
                self.ended.push(who);
                let frames = 1 + self.rng.below(2);
                let mut all: Vec<_> = (0..frames).map(|_| self.verbs(Place::Session, 7)).collect();
                all[frames - 1].extend(self.tail());
                if self.rng.below(3) == 0 {
                    all[0].insert(0, Verb::Count);
                }
                Round::Frames(who, all)
            }
        };
        Act { round, close: self.few(Place::Nested) }
    }

    fn few(&mut self, place: Place) -> Vec<Verb> {
        self.verbs(place, 3)
    }

    fn verbs(&mut self, place: Place, most: usize) -> Vec<Verb> {
        let count = self.rng.below(most + 1);
        (0..count).flat_map(|_| self.verb(place)).collect()
    }

    fn other(&mut self) -> Who {
        let all = self.callers + self.dialled;
        match self.rng.below(all.max(1)) {
            nth if nth < self.callers => Who::Caller(nth),
            nth if nth < all => Who::Dialled(nth - self.callers),
            _ => Who::Own,
        }
    }

    fn target(&mut self, place: Place) -> Who {
        match place {
            Place::Run(who) => who,
            Place::Session | Place::Nested if self.rng.below(2) == 0 => Who::Own,
            _ => self.other(),
        }
    }

    fn next(counter: &mut usize) -> usize {
        *counter += 1;
        *counter - 1
    }

    fn text(&mut self) -> usize {
        Author::next(&mut self.texts)
    }

    /// A span that no other timer of this round has, in seconds.
    fn span(&mut self, nested: bool) -> u64 {
        self.spans += 1;
        if nested { 3 * self.spans } else { 1_000 * self.spans }
    }

    fn verb(&mut self, place: Place) -> Option<Verb> {
        let (group, to) = (self.rng.below(GROUPS), self.target(place));
        let remote = match place {
            Place::Outside => true,
            Place::Run(_) => return self.verb_of_run(to),
            _ => self.rng.below(3) == 0,
        };
        let remote = remote && (place == Place::Outside || !self.is_queue_known);
        if remote {
            return Some(match self.rng.below(12) {
                0..5 => Verb::Say(Door::Remote(to), self.text()),
                5 | 6 => Verb::RemoteJoin(to, group),
                7 => Verb::RemoteLeave(to, group),
                8 | 9 => Verb::Say(Door::RemoteBroadcast(group), self.text()),
                10 => return self.end(to, true),
                _ => {
                    let number = Author::next(&mut self.runs);
                    let verbs = self.few(Place::Run(to));
                    Verb::RunOn(to, number, verbs)
                }
            });
        }
        Some(match self.rng.below(24) {
            0..3 => Verb::Say(Door::Send, self.text()),
            3 => Verb::Say(Door::Framed, self.text()),
            4 => Verb::Say(Door::Shared, self.text()),
            5 => Verb::Say(Door::Bare, self.text()),
            6 | 7 => Verb::Say(Door::To(to), self.text()),
            8 => Verb::Say(Door::SharedTo(to), self.text()),
            9 | 10 if !self.is_queue_known => Verb::Say(Door::Broadcast(group), self.text()),
            11 if self.encodes => match self.rng.below(HEADERS + 2) {
                0 => Verb::Encode(None),
                nth => Verb::Encode(Some(nth - 1)),
            },
            12 | 13 => Verb::Join(group),
            14 => Verb::Leave(group),
            15 if self.rng.below(2) == 0 => Verb::IsPaused,
            15 if self.is_queue_known => Verb::Queued,
            16 | 17 => {
                let nested = place == Place::Nested;
                let (number, span) = (Author::next(&mut self.timers), self.span(nested));
                let then = if nested { Vec::new() } else { self.few(Place::Nested) };
                Verb::SetTimer(number, span, then)
            }
            18 => {
                let timer = self.rng.below(self.timers.max(1));
                Verb::ResetTimer(timer, self.span(place == Place::Nested))
            }
            19 => Verb::CancelTimer(self.rng.below(self.timers.max(1))),
            20 | 21 if place == Place::Session => {
                let number = Author::next(&mut self.dialled);
                let answer = [Answer::Yes, Answer::Yes, Answer::No, Answer::Never];
                let (answer, from) = (answer[self.rng.below(4)], self.rng.below(3) == 0);
                let then = self.few(Place::Nested);
                if !then.is_empty() {
                    // Ended in this round, it would ask for that beside those who ask now.
                    self.ended.push(Who::Dialled(number));
                }
                Verb::Connect { number, from, answer, then }
            }
            _ => return self.end(to, false),
        })
    }

    /// Ends somebody, if that was not asked for before.
    fn end(&mut self, who: Who, remote: bool) -> Option<Verb> {
        if who == Who::Own || self.ended.contains(&who) {
            return None;
        }
        self.ended.push(who);
        Some(match self.rng.below(2) {
            0 if remote => Verb::RemoteClose(who),
            _ if remote => Verb::RemoteAbort(who),
            0 => Verb::CloseSession(who),
            _ => Verb::AbortSession(who),
        })
    }

    /// What is asked for by code that runs on a reactor, of one session; not by a `Remote`: that would come
    /// behind what its asker has asked for meanwhile, or before it.
    fn verb_of_run(&mut self, to: Who) -> Option<Verb> {
        Some(match self.rng.below(4) {
            0 | 1 => Verb::Say(Door::To(to), self.text()),
            2 => Verb::Say(Door::SharedTo(to), self.text()),
            _ => Verb::Say(Door::Send, self.text()),
        })
    }

    /// What is asked for when a queue has drained: nothing, if somebody asks beside it meanwhile.
    fn then(&mut self) -> Vec<Verb> {
        let then = self.few(Place::Nested);
        if self.runs > self.runs_before { Vec::new() } else { then }
    }

    /// What is asked for last.
    fn tail(&mut self) -> Vec<Verb> {
        let late = match self.rng.below(3) {
            0 => self.few(Place::Nested),
            _ => Vec::new(),
        };
        let mut tail = vec![match self.rng.below(20) {
            0..3 => Verb::Pause { big: false, then: self.then() },
            3 => Verb::Pause { big: true, then: self.then() },
            4 => Verb::Close,
            5 => Verb::Abort,
            6 => Verb::CloseSession(Who::Own),
            7 => Verb::AbortSession(Who::Own),
            8 => Verb::RemoteClose(Who::Own),
            9 => Verb::RemoteAbort(Who::Own),
            10 if self.rng.below(2) == 0 => Verb::Stop,
            11 if self.rng.below(2) == 0 => Verb::RemoteStop,
            12 if self.ended.len() == 1 => Verb::RemoteStopNow,
            _ => return Vec::new(),
        }];
        let is_broadcast = |verb: &Verb| {
            matches!(verb, Verb::Say(Door::Broadcast(_) | Door::RemoteBroadcast(_), _))
        };
        match tail[0] {
            Verb::Pause { .. } => {
                tail.extend(late.into_iter().filter(|verb| !is_broadcast(verb)));
            }
            Verb::Stop | Verb::RemoteStop | Verb::RemoteStopNow => {}
            _ => tail.extend(late),
        }
        tail
    }
}

impl Act {
    /// Whether it may end the server.
    pub fn stops(&self) -> bool {
        let Round::Frames(_, all) = &self.round else { return false };
        let stops =
            |verb: &Verb| matches!(verb, Verb::Stop | Verb::RemoteStop | Verb::RemoteStopNow);
        all.iter().any(|verbs| verbs.iter().any(stops))
    }

    /// The same without the verb with this number, however deep it lies; `None` if it has fewer.
    pub fn without(&self, mut number: usize) -> Option<Act> {
        let mut act = self.clone();
        let removed = match &mut act.round {
            Round::Frames(_, all) => all.iter_mut().any(|verbs| remove(verbs, &mut number)),
            Round::Call { open: verbs, .. }
            | Round::Garbage(_, verbs)
            | Round::Finish(_, verbs)
            | Round::Outside(verbs) => remove(verbs, &mut number),
            Round::Reset(_) => false,
        };
        (removed || remove(&mut act.close, &mut number)).then_some(act)
    }
}

/// Removes the verb with this number, or counts it down by all that are here.
fn remove(verbs: &mut Vec<Verb>, number: &mut usize) -> bool {
    for nth in 0..verbs.len() {
        if *number == 0 {
            verbs.remove(nth);
            return true;
        }
        *number -= 1;
        if let Verb::SetTimer(.., then)
        | Verb::Connect { then, .. }
        | Verb::Pause { then, .. }
        | Verb::RunOn(.., then) = &mut verbs[nth]
            && remove(then, number)
        {
            return true;
        }
    }
    false
}
