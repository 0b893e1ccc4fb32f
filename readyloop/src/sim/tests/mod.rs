//! What the model promises, one promise a test. Here: the bench that all of them share.

mod bytes;
mod callers;
mod ends;
mod hostile;
mod kernels;
mod memory;
mod misuse;
mod readiness;

use std::time::Duration;

use super::{Client, Faults, Net, Sim, SimListener, SimSocket};
use crate::id::{SessionId, Token};
use crate::kernel::{Accept, Interest, Io, Kernel, Ready, Trigger};

const R: u32 = Ready::READABLE;
const W: u32 = Ready::WRITABLE;
const E: u32 = Ready::ERROR;
const H: u32 = Ready::HANGUP;
const P: u32 = Ready::PEER_FINISHED;

/// What a wait of this kernel reports.
fn told(kernel: &mut Sim, timeout: Option<Duration>) -> Vec<(Token, u32)> {
    let length = kernel.wait(timeout).unwrap();
    (0..length).filter_map(|nth| kernel.ready(nth)).map(|r| (r.token, r.flags)).collect()
}

/// A net with one listener, driven call by call.
struct Bench {
    net: Net,
    kernel: Sim,
    listener: SimListener,
    sessions: u32,
}

impl Bench {
    fn new(trigger: Trigger) -> Bench {
        Bench::with(1, trigger, Faults::none())
    }

    fn with(seed: u64, trigger: Trigger, faults: Faults) -> Bench {
        let net = Net::new(seed, trigger, faults);
        let (kernel, listener) = (net.kernel(), net.listener());
        Bench { net, kernel, listener, sessions: 0 }
    }

    fn accept(&mut self) -> SimSocket {
        match self.kernel.accept(&self.listener) {
            Accept::Socket(socket, _) => socket,
            other => panic!("no caller: {other:?}"),
        }
    }

    /// A token that no socket of this bench had before.
    fn token(&mut self) -> Token {
        self.sessions += 1;
        Token::session(SessionId::new(0, self.sessions, 1))
    }

    fn watch(&mut self, socket: &SimSocket, want: Interest) -> Token {
        let token = self.token();
        self.kernel.watch(socket, token, want).unwrap();
        token
    }

    /// A connected client and its socket, watched, with the first edge taken.
    fn pair(&mut self, want: Interest) -> (Client, SimSocket, Token) {
        let client = self.net.connect(0);
        let socket = self.accept();
        let token = self.watch(&socket, want);
        self.events();
        (client, socket, token)
    }

    /// What a wait reports that need not sleep.
    fn events(&mut self) -> Vec<(Token, u32)> {
        self.wait(Some(Duration::ZERO))
    }

    fn wait(&mut self, timeout: Option<Duration>) -> Vec<(Token, u32)> {
        told(&mut self.kernel, timeout)
    }

    fn recv(&mut self, socket: &SimSocket, asked: usize) -> Io {
        self.kernel.recv(socket, &mut vec![0; asked])
    }
}
