//! What the kernel is told about every connection's socket (tcp(7), socket(7)).
//!
//! A TCP listener has the options itself, and the sockets that are accepted inherit all of them, so an
//! accept costs no call more. A Unix socket inherits none.
#![allow(unsafe_code)]

use std::mem::size_of_val;
use std::os::fd::{AsFd, AsRawFd};
use std::time::Duration;

use rustix::io::{Errno, retry_on_intr};
use rustix::net::sockopt;

use crate::error::{Error, Result};

/// What accepted and dialled sockets get. Where nothing is said, the kernel's own choice stands.
///
/// `TCP_QUICKACK` is not among them: it is no option but a mode, in which every connection begins and
/// which the kernel leaves after a few answers, so it would have to be set again for each message. A
/// route may have it for good: `ip route change … quickack 1`.
///
/// ```
/// use readyloop::{Server, SocketOptions};
///
/// let options = SocketOptions { send_buffer_bytes: Some(32 << 10), ..SocketOptions::game() };
/// let builder = Server::builder().listen("127.0.0.1:0").socket_options(options);
/// # builder.bind::<()>().unwrap();
/// ```
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct SocketOptions {
    /// Whether a small write leaves at once, and does not wait for the answer to the one before
    /// (`TCP_NODELAY`). Default yes: a turn's messages leave in one write anyway.
    pub nodelay: bool,
    /// How a peer that vanished without a word is found while nothing is on its way to it. Default:
    /// the default [`KeepAlive`].
    pub keep_alive: Option<KeepAlive>,
    /// How long bytes may wait for the peer to acknowledge them, or to make room for them, before the
    /// connection is given up (`TCP_USER_TIMEOUT`). Default: the kernel's, which sends for about 15
    /// minutes (`tcp_retries2`), and waits for ever for room.
    pub user_timeout: Option<Duration>,
    /// How many bytes the kernel takes that it cannot send yet (`TCP_NOTSENT_LOWAT`). The rest waits
    /// in the send queue, where limits count it.
    pub notsent_lowat_bytes: Option<u32>,
    /// How much the kernel keeps of what was sent (`SO_SNDBUF`); it takes twice that, for its own
    /// needs, and no more than `net.core.wmem_max`. By default it grows with the connection's speed.
    pub send_buffer_bytes: Option<u32>,
    /// How much the kernel keeps of what was not read (`SO_RCVBUF`); as the one before.
    pub recv_buffer_bytes: Option<u32>,
    /// How long a read that finds nothing looks at the network card before it gives up
    /// (`SO_BUSY_POLL`): less delay, for a CPU that never rests. It needs `CAP_NET_ADMIN`, without
    /// which the server does not begin.
    pub busy_poll: Option<Duration>,
}

/// A peer that says nothing for `idle` is asked whether it is there, each `interval`; when it did not
/// answer `count` times, the connection is given up (`SO_KEEPALIVE`, `TCP_KEEPIDLE`, `TCP_KEEPINTVL`,
/// `TCP_KEEPCNT`). Whole seconds.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct KeepAlive {
    /// Default 60 s.
    pub idle: Duration,
    /// Default 10 s.
    pub interval: Duration,
    /// Default 6.
    pub count: u32,
}

impl Default for KeepAlive {
    /// Found within two minutes. The kernel's own default is two hours.
    fn default() -> KeepAlive {
        KeepAlive { idle: Duration::from_secs(60), interval: Duration::from_secs(10), count: 6 }
    }
}

impl Default for SocketOptions {
    fn default() -> SocketOptions {
        SocketOptions {
            nodelay: true,
            keep_alive: Some(KeepAlive::default()),
            user_timeout: None,
            notsent_lowat_bytes: None,
            send_buffer_bytes: None,
            recv_buffer_bytes: None,
            busy_poll: None,
        }
    }
}

const fn keep_alive(idle_s: u64, interval_s: u64, count: u32) -> Option<KeepAlive> {
    let (idle, interval) = (Duration::from_secs(idle_s), Duration::from_secs(interval_s));
    Some(KeepAlive { idle, interval, count })
}

impl SocketOptions {
    /// For a state that is sent again and again: what a player has not received is soon of no use.
    ///
    /// | option | value | why |
    /// |---|---|---|
    /// | `notsent_lowat_bytes` | 16 KiB | old state waits in the send queue, where it can be dropped |
    /// | `send_buffer_bytes` | 64 KiB | at 100 ms to the player it still carries 640 KB/s |
    /// | `keep_alive` | 15 s, then 3 times each 5 s | who is gone leaves the game within 30 s |
    /// | `user_timeout` | 30 s | also who is gone while state is on its way, and who never reads |
    pub fn game() -> SocketOptions {
        SocketOptions {
            keep_alive: keep_alive(15, 5, 3),
            user_timeout: Some(Duration::from_secs(30)),
            notsent_lowat_bytes: Some(16 << 10),
            send_buffer_bytes: Some(64 << 10),
            ..SocketOptions::default()
        }
    }

    /// For short messages that must arrive soon, all of them, between machines that are near.
    ///
    /// | option | value | why |
    /// |---|---|---|
    /// | `notsent_lowat_bytes` | 16 KiB | a counterparty that is behind is seen by us, not by the kernel |
    /// | `keep_alive` | 5 s, then 3 times each 1 s | a dead line is found within 8 s |
    /// | `user_timeout` | 8 s | the same while an order is on its way |
    ///
    /// `busy_poll` would help, and needs a privilege: ask for it.
    pub fn trading() -> SocketOptions {
        SocketOptions {
            keep_alive: keep_alive(5, 1, 3),
            user_timeout: Some(Duration::from_secs(8)),
            notsent_lowat_bytes: Some(16 << 10),
            ..SocketOptions::default()
        }
    }

    /// For long streams: throughput, whatever the delay.
    ///
    /// | option | value | why |
    /// |---|---|---|
    /// | buffers | the kernel's | it makes them as large as the line is fast and long |
    /// | `notsent_lowat_bytes` | 256 KiB | of those buffers, only what is on its way fills up |
    /// | `user_timeout` | 5 min | a receiver may stand still for some time, and not for ever |
    pub fn bulk() -> SocketOptions {
        SocketOptions {
            user_timeout: Some(Duration::from_secs(300)),
            notsent_lowat_bytes: Some(256 << 10),
            ..SocketOptions::default()
        }
    }

    /// Whether the kernel can take them.
    ///
    /// # Errors
    /// Names what it cannot.
    pub(crate) fn check(&self) -> Result<()> {
        let seconds =
            |what: Duration| what.subsec_nanos() == 0 && KEEP_SECS.contains(&what.as_secs());
        let wrong = match self.keep_alive {
            Some(keep) if !seconds(keep.idle) => Some("keep_alive.idle: 1 to 32,767 whole seconds"),
            Some(keep) if !seconds(keep.interval) => {
                Some("keep_alive.interval: 1 to 32,767 whole seconds")
            }
            Some(keep) if !(1..=127).contains(&keep.count) => Some("keep_alive.count: 1 to 127"),
            _ => None,
        };
        let some_int = |value: Option<u128>| value.is_none_or(|value| INTS.contains(&value));
        let more = [
            (self.user_timeout.map(|timeout| timeout.as_millis()), "user_timeout: 1 ms to 24 days"),
            (self.busy_poll.map(|time| time.as_micros()), "busy_poll: 1 us to 35 minutes"),
            (self.notsent_lowat_bytes.map(u128::from), "notsent_lowat_bytes: 1 to 2 GiB"),
            (self.send_buffer_bytes.map(u128::from), "send_buffer_bytes: 1 to 2 GiB"),
            (self.recv_buffer_bytes.map(u128::from), "recv_buffer_bytes: 1 to 2 GiB"),
        ];
        let more = more.into_iter().find(|(value, _)| !some_int(*value)).map(|(_, what)| what);
        match wrong.or(more) {
            Some(what) => Err(Error::settings(format!("of a socket's options, {what} can be"))),
            None => Ok(()),
        }
    }

    /// Gives them to a TCP socket, before it listens or connects: the buffers decide about its window.
    pub(super) fn give_tcp(&self, socket: impl AsFd) -> std::result::Result<(), Errno> {
        let socket = &socket;
        self.give_buffers(socket)?;
        retry_on_intr(|| sockopt::set_tcp_nodelay(socket, self.nodelay))?;
        retry_on_intr(|| sockopt::set_socket_keepalive(socket, self.keep_alive.is_some()))?;
        if let Some(KeepAlive { idle, interval, count }) = self.keep_alive {
            retry_on_intr(|| sockopt::set_tcp_keepidle(socket, idle))?;
            retry_on_intr(|| sockopt::set_tcp_keepintvl(socket, interval))?;
            retry_on_intr(|| sockopt::set_tcp_keepcnt(socket, count))?;
        }
        if let Some(timeout) = self.user_timeout {
            let millis = timeout.as_millis() as u32;
            retry_on_intr(|| sockopt::set_tcp_user_timeout(socket, millis))?;
        }
        if let Some(bytes) = self.notsent_lowat_bytes {
            set_int(socket, libc::IPPROTO_TCP, libc::TCP_NOTSENT_LOWAT, bytes as i32)?;
        }
        if let Some(time) = self.busy_poll {
            set_int(socket, libc::SOL_SOCKET, libc::SO_BUSY_POLL, time.as_micros() as i32)?;
        }
        Ok(())
    }

    /// Gives a socket of any kind what has a meaning for all.
    pub(super) fn give_buffers(&self, socket: impl AsFd) -> std::result::Result<(), Errno> {
        if let Some(bytes) = self.send_buffer_bytes {
            retry_on_intr(|| sockopt::set_socket_send_buffer_size(&socket, bytes as usize))?;
        }
        if let Some(bytes) = self.recv_buffer_bytes {
            retry_on_intr(|| sockopt::set_socket_recv_buffer_size(&socket, bytes as usize))?;
        }
        Ok(())
    }
}

/// What the kernel takes as seconds of keep-alive (`MAX_TCP_KEEPIDLE`).
const KEEP_SECS: std::ops::RangeInclusive<u64> = 1..=32_767;
/// What is an int, and not "as usual".
const INTS: std::ops::RangeInclusive<u128> = 1..=i32::MAX as u128;

/// An option that rustix does not know.
fn set_int(socket: impl AsFd, level: i32, name: i32, value: i32) -> std::result::Result<(), Errno> {
    let (fd, length) = (socket.as_fd().as_raw_fd(), size_of_val(&value) as libc::socklen_t);
    retry_on_intr(|| {
        // SAFETY: the descriptor is borrowed, so it is open; and the kernel reads `length` bytes of
        // `value`, which are all that it has.
        let done = unsafe { libc::setsockopt(fd, level, name, (&raw const value).cast(), length) };
        match done {
            0 => Ok(()),
            _ => Err(std::io::Error::last_os_error()
                .raw_os_error()
                .map_or(Errno::INVAL, Errno::from_raw_os_error)),
        }
    })
}
