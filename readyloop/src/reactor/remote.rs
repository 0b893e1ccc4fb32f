//! The handle that reaches a server's sessions from any other thread.

use std::fmt;
use std::marker::PhantomData;
use std::sync::Arc;

use bytes::Bytes;

use crate::asker::{self, Inboxes};
use crate::close::CloseReason;
use crate::command::Command;
use crate::context::Context;
use crate::group::Group;
use crate::id::SessionId;
use crate::letter::Letter;
use crate::mailbox::{Mailbox, Refused};
use crate::message::Message;

use super::acceptor::Notice;

/// Reaches a server from any thread: `Clone`, `Send` and `Sync`.
///
/// Every call posts a mail to the reactor that owns the session, in order, and returns at once; the
/// reactor acts on it in its next turn. In a callback, what its context was asked for before is posted
/// first, and what it is asked for afterwards follows: one order, whatever the door. A mail for a session
/// that has ended meanwhile reaches nobody, and never another session's peer. What comes back says only
/// whether the mail was taken: [`Refused::Full`] when the reactor is behind by `Limits::mailbox_mails_max`
/// mails or by `Limits::mailbox_bytes_max` bytes, [`Refused::Stopped`] when it has ended, or when there never
/// was such a reactor. A thread that is refused is not held, and nobody tells it when there is room: each
/// reactor counts such mails (`Stats::mails_refused`).
///
/// In a callback of the server, mail is taken also by a reactor that is behind, and the session that is served
/// is not read until half of what waits there is handled: it is held, and nobody else. Refused is only who
/// goes on asking while he is held, by as much again as a mailbox holds: a session with timers, or all work
/// together that belongs to no session.
///
/// ```
/// use readyloop::{Context, Handler, Peer, Raw, Server};
///
/// struct Quiet;
///
/// impl Handler for Quiet {
///     type Framer = Raw;
///     type Session = ();
///     fn on_open(&mut self, _: &Peer, _: &mut Context<'_>) -> (Raw, ()) {
///         (Raw, ())
///     }
///     fn on_frame(&mut self, _: &mut (), _: &[u8], _: &mut Context<'_>) {}
/// }
///
/// let server = Server::builder().listen("127.0.0.1:0").bind()?;
/// let remote = server.remote();
/// let stopper = std::thread::spawn(move || remote.stop());
/// server.run(|_thread| Quiet)?;
/// stopper.join().expect("the stopper does not panic");
/// # Ok::<(), readyloop::Error>(())
/// ```
pub struct Remote<M = ()> {
    /// Of each reactor, by its number.
    letters: Inboxes,
    head: Head,
    told: PhantomData<fn(M)>,
}

/// Who hears that the server is to stop, and lets the others know.
#[derive(Clone)]
pub(super) enum Head {
    /// The one reactor that there is.
    Reactor,
    /// The acceptor of several reactors.
    Acceptor(Arc<Mailbox<Notice>>),
}

impl Remote {
    pub(super) fn new(letters: Vec<Arc<Mailbox<Letter>>>, head: Head) -> Remote {
        Remote { letters: letters.into(), head, told: PhantomData }
    }

    /// The same, for a server whose handlers are told messages of this type.
    pub(crate) fn telling<M>(&self) -> Remote<M> {
        Remote { letters: self.letters.clone(), head: self.head.clone(), told: PhantomData }
    }
}

impl<M> Remote<M> {
    /// Queues `bytes` for a session, without a copy.
    ///
    /// # Errors
    /// When the mail was not taken.
    pub fn send(&self, id: SessionId, bytes: impl Into<Bytes>) -> Result<(), Refused> {
        self.ask(Command::Send(id, bytes.into()))
    }

    /// Closes a session after its queue has left.
    ///
    /// # Errors
    /// When the mail was not taken.
    pub fn close(&self, id: SessionId) -> Result<(), Refused> {
        self.ask(Command::Close(id, CloseReason::Closed))
    }

    /// Cuts a session off at once.
    ///
    /// # Errors
    /// When the mail was not taken.
    pub fn abort(&self, id: SessionId) -> Result<(), Refused> {
        self.ask(Command::Kill(id, CloseReason::Aborted))
    }

    /// Adds a session to a group. Whatever is broadcast to the group after this call reaches it, and
    /// nothing that was broadcast before, if all of it is posted here, and not by a context: mail is
    /// read in order. So who keeps a lock around such calls knows what a new member has missed.
    ///
    /// # Errors
    /// When the mail was not taken.
    pub fn join(&self, id: SessionId, group: &Group) -> Result<(), Refused> {
        self.ask(Command::join(id, group))
    }

    /// Takes a session out of a group, in the same order.
    ///
    /// # Errors
    /// When the mail was not taken.
    pub fn leave(&self, id: SessionId, group: &Group) -> Result<(), Refused> {
        self.ask(Command::Leave(id, group.clone()))
    }

    /// Sends `bytes` to every member of a group: stored once, one mail for each reactor.
    ///
    /// # Errors
    /// [`Refused::Full`] when a reactor with members did not take it; those of other reactors may
    /// have got it. Also when the group is one whose senders wait for slow members
    /// ([`SlowMember::PauseSender`](crate::SlowMember::PauseSender)) and there are some: then
    /// nobody has got it.
    pub fn broadcast(&self, group: &Group, bytes: impl Into<Bytes>) -> Result<(), Refused> {
        let bytes = bytes.into();
        if group.is_slow() {
            return Err(Refused::Full);
        }
        let mut outcome = Ok(());
        for reactor in (0..self.reactors()).map(|reactor| reactor as u8) {
            if group.is_on(reactor) {
                let one = Command::Broadcast(reactor, group.clone(), bytes.clone());
                outcome = outcome.and(self.ask(one));
            }
        }
        outcome
    }

    /// Runs `work` on the thread of a reactor, between two of its sessions. The first reactor has
    /// number 0, and a session's is [`SessionId::reactor`]. It counts with its own size in the
    /// mailbox; what it owns elsewhere in memory is not seen.
    ///
    /// # Errors
    /// When the mail was not taken; `work` is dropped.
    pub fn run_on(
        &self,
        reactor: u8,
        work: impl FnOnce(&mut Context<'_>) + Send + 'static,
    ) -> Result<(), Refused> {
        self.post(reactor, Letter::Run(Box::new(work)))
    }

    /// How many reactors the server has.
    pub fn reactors(&self) -> usize {
        self.letters.len()
    }

    /// Stops the server: no more callers, every session drains within `Limits::drain_timeout`, then
    /// `run` returns. Gets through to a reactor that is behind: it is heard in the reactor's next turn,
    /// in which also all is done that was asked before it. Does nothing to a server that has ended.
    pub fn stop(&self) {
        self.post_so_far();
        let _already_stopped = match &self.head {
            Head::Reactor => self.letters(0).post_urgently(Letter::Stop).is_err(),
            Head::Acceptor(notices) => notices.post_always(Notice::Stop).is_err(),
        };
    }

    /// Stops the server without draining: what is queued is dropped, and the peers are told so.
    pub fn stop_now(&self) {
        self.post_so_far();
        let _already_stopped = match &self.head {
            Head::Reactor => self.letters(0).post_urgently(Letter::StopNow).is_err(),
            Head::Acceptor(notices) => notices.post_always(Notice::StopNow).is_err(),
        };
    }

    /// Whether callers are handed over, so that there is a mailbox of them to look into.
    pub(super) fn has_acceptor(&self) -> bool {
        matches!(self.head, Head::Acceptor(_))
    }

    /// Tells the acceptor, if there is one, that a reactor has ended.
    pub(super) fn ended(&self) {
        if let Head::Acceptor(notices) = &self.head {
            let _nobody_counts = notices.post_always(Notice::Ended);
        }
    }

    /// All reactors' mailboxes.
    pub(super) fn inboxes(&self) -> &Inboxes {
        &self.letters
    }

    /// The mailbox of a reactor that there is.
    pub(super) fn letters(&self, reactor: usize) -> &Arc<Mailbox<Letter>> {
        &self.letters[reactor]
    }

    fn ask(&self, command: Command) -> Result<(), Refused> {
        self.post(command.reactor(), Letter::Command(command))
    }

    fn post(&self, reactor: u8, letter: Letter) -> Result<(), Refused> {
        let number = reactor as usize;
        let inbox = self.letters.get(number).ok_or(Refused::Stopped)?;
        if let Some(asker) = asker::current() {
            return asker.post(&self.letters, number, letter);
        }
        let load = letter.load();
        inbox.post(letter, load).map_err(|(_, refused)| refused)
    }

    /// What the callback that runs on this thread has asked for so far comes before a stop.
    fn post_so_far(&self) {
        if let Some(asker) = asker::current() {
            for reactor in 0..self.reactors() {
                asker.post_so_far(&self.letters, reactor);
            }
        }
    }
}

impl<M: Send + 'static> Remote<M> {
    /// Tells a session's handler `message` ([`Handler::on_message`](crate::Handler::on_message)), in one
    /// order with the other verbs. It weighs its own size; for what it owns elsewhere in memory there is
    /// [`Remote::tell_weighing`].
    ///
    /// What the handler sends because of it takes the way of an answer: on workers, bytes that this thread sends
    /// or broadcasts behind the message may leave before it. If their order matters, send all by one door. An
    /// end is different: a [`Remote::close`] behind the message waits until it was heard and answered; a
    /// [`Remote::abort`] does not.
    ///
    /// A session that was dialled and has not been answered hears it behind its `on_open`. One whose end has
    /// begun hears nothing: the message is dropped, and counted if the reactor knows (`Stats::mails_stale`).
    /// What waits for one session, because its peer has not answered or because its worker is busy, is
    /// bounded like an inbox; beyond that the session ends with [`CloseReason::SendFull`].
    ///
    /// ```
    /// use std::io::{BufRead, BufReader};
    /// use std::net::TcpStream;
    /// use std::sync::mpsc::{Sender, channel};
    ///
    /// use readyloop::{Context, Handler, Lines, Peer, Server, SessionId};
    ///
    /// /// What the market's thread tells a session.
    /// struct Price {
    ///     symbol: &'static str,
    ///     cents: u64,
    /// }
    ///
    /// /// Everybody who connects is subscribed.
    /// struct Gateway(Sender<SessionId>);
    ///
    /// impl Handler<Price> for Gateway {
    ///     type Framer = Lines;
    ///     /// How many prices it was told.
    ///     type Session = u32;
    ///     fn on_open(&mut self, _: &Peer, context: &mut Context<'_>) -> (Lines, u32) {
    ///         let _market_is_closed = self.0.send(context.id());
    ///         (Lines::new(1024), 0)
    ///     }
    ///     fn on_frame(&mut self, _: &mut u32, _: &[u8], _: &mut Context<'_>) {}
    ///     fn on_message(&mut self, told: &mut u32, price: Price, context: &mut Context<'_>) {
    ///         *told += 1;
    ///         context.send(format!("{told}: {} {}\n", price.symbol, price.cents).as_bytes());
    ///     }
    /// }
    ///
    /// let server = Server::builder().listen("127.0.0.1:0").bind()?;
    /// let (remote, address) = (server.remote(), server.addresses()[0].to_string());
    /// let (subscribe, subscribers) = channel();
    /// let market = std::thread::spawn(move || {
    ///     let client = TcpStream::connect(address).expect("the server listens");
    ///     let id = subscribers.recv().expect("the server runs");
    ///     for cents in [4_210, 4_215] {
    ///         remote.tell(id, Price { symbol: "RDY", cents }).expect("there is room");
    ///     }
    ///     let lines = BufReader::new(client).lines().take(2);
    ///     let heard: Vec<String> = lines.map(|line| line.expect("a line comes")).collect();
    ///     remote.stop();
    ///     heard
    /// });
    /// server.run(move |_thread| Gateway(subscribe.clone()))?;
    /// assert_eq!(market.join().expect("it does not panic"), ["1: RDY 4210", "2: RDY 4215"]);
    /// # Ok::<(), readyloop::Error>(())
    /// ```
    ///
    /// # Errors
    /// When the mail was not taken; the message is dropped.
    pub fn tell(&self, id: SessionId, message: M) -> Result<(), Refused> {
        self.tell_weighing(id, message, 0)
    }

    /// Like [`Remote::tell`], for a message that owns so many bytes elsewhere in memory: they count too.
    ///
    /// # Errors
    /// When the mail was not taken; the message is dropped.
    pub fn tell_weighing(&self, id: SessionId, message: M, bytes: usize) -> Result<(), Refused> {
        self.ask(Command::Tell(id, Message::new(message, bytes)))
    }
}

impl<M> Clone for Remote<M> {
    fn clone(&self) -> Remote<M> {
        Remote { letters: self.letters.clone(), head: self.head.clone(), told: PhantomData }
    }
}

impl<M> fmt::Debug for Remote<M> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Remote").field("reactors", &self.reactors()).finish_non_exhaustive()
    }
}
