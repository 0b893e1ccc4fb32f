//! The handle that reaches a reactor's sessions from any other thread.

use std::fmt;
use std::sync::Arc;

use bytes::Bytes;

use crate::context::Context;
use crate::id::SessionId;
use crate::mailbox::{Mailbox, Refused};
use crate::wake::Wake;

use super::mail::Mail;

/// Reaches a server from any thread: `Clone`, `Send` and `Sync`.
///
/// Every call posts a mail, in order, and returns at once; the reactor acts on it in its next turn.
/// A mail for a session that has ended meanwhile reaches nobody, and never another session's peer.
/// What comes back says only whether the mail was taken: [`Refused::Full`] when the reactor is
/// behind by `Limits::mailbox_mails_max` mails, [`Refused::Stopped`] when the server has ended.
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
#[derive(Clone)]
pub struct Remote {
    pub(super) mailbox: Arc<Mailbox<Mail>>,
}

impl Remote {
    /// The handle of a reactor that is woken by `waker`, with a mailbox for at most `mails_max`
    /// mails.
    pub(super) fn new(mails_max: usize, waker: Arc<dyn Wake>) -> Remote {
        Remote { mailbox: Arc::new(Mailbox::new(mails_max, waker)) }
    }

    /// Queues `bytes` for a session, without a copy.
    ///
    /// # Errors
    /// When the mail was not taken.
    pub fn send(&self, id: SessionId, bytes: impl Into<Bytes>) -> Result<(), Refused> {
        self.post(Mail::Send(id, bytes.into()))
    }

    /// Closes a session after its queue has left.
    ///
    /// # Errors
    /// When the mail was not taken.
    pub fn close(&self, id: SessionId) -> Result<(), Refused> {
        self.post(Mail::Close(id))
    }

    /// Cuts a session off at once.
    ///
    /// # Errors
    /// When the mail was not taken.
    pub fn abort(&self, id: SessionId) -> Result<(), Refused> {
        self.post(Mail::Abort(id))
    }

    /// Runs `work` on the reactor's thread, between two of its sessions.
    ///
    /// # Errors
    /// When the mail was not taken; `work` is dropped.
    pub fn run(&self, work: impl FnOnce(&mut Context<'_>) + Send + 'static) -> Result<(), Refused> {
        self.post(Mail::Run(Box::new(work)))
    }

    /// Stops the server: no more callers, every session drains within `Limits::drain_timeout`, then
    /// `run` returns. Gets through to a reactor that is behind; does nothing to a server that has
    /// ended.
    pub fn stop(&self) {
        let _already_stopped = self.mailbox.post_always(Mail::Stop);
    }

    /// Stops the server without draining: what is queued is dropped, and the peers are told so.
    pub fn stop_now(&self) {
        let _already_stopped = self.mailbox.post_always(Mail::StopNow);
    }

    fn post(&self, mail: Mail) -> Result<(), Refused> {
        self.mailbox.post(mail).map_err(|(_, refused)| refused)
    }
}

impl fmt::Debug for Remote {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Remote").finish_non_exhaustive()
    }
}
