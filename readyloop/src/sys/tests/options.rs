//! Options that were asked for, read back from sockets that were accepted and dialled.

use std::mem::size_of;

use super::*;

/// Reads an option that rustix does not know.
#[allow(unsafe_code)]
fn int(socket: &OwnedFd, level: i32, name: i32) -> i32 {
    let (mut value, mut length) = (0i32, size_of::<i32>() as libc::socklen_t);
    // SAFETY: the kernel writes at most `length` bytes, which `value` has.
    let done = unsafe {
        let into = (&raw mut value).cast();
        libc::getsockopt(socket.as_raw_fd(), level, name, into, &raw mut length)
    };
    assert_eq!(done, 0);
    value
}

/// What a TCP socket has, as options; buffers as they were asked for, which is half of what the
/// kernel says (socket(7), `SO_SNDBUF`).
fn of(socket: &OwnedFd, asked: &SocketOptions) -> SocketOptions {
    let half = |bytes: usize| bytes as u32 / 2;
    let keep_alive = sockopt::socket_keepalive(socket).unwrap().then(|| KeepAlive {
        idle: sockopt::tcp_keepidle(socket).unwrap(),
        interval: sockopt::tcp_keepintvl(socket).unwrap(),
        count: sockopt::tcp_keepcnt(socket).unwrap(),
    });
    let millis = sockopt::tcp_user_timeout(socket).unwrap();
    let lowat = int(socket, libc::IPPROTO_TCP, libc::TCP_NOTSENT_LOWAT);
    let micros = int(socket, libc::SOL_SOCKET, libc::SO_BUSY_POLL);
    SocketOptions {
        nodelay: sockopt::tcp_nodelay(socket).unwrap(),
        keep_alive,
        user_timeout: (millis > 0).then_some(Duration::from_millis(millis.into())),
        notsent_lowat_bytes: (lowat > 0).then_some(lowat as u32),
        // What was not asked for is the kernel's choice.
        send_buffer_bytes: asked
            .send_buffer_bytes
            .map(|_| half(sockopt::socket_send_buffer_size(socket).unwrap())),
        recv_buffer_bytes: asked
            .recv_buffer_bytes
            .map(|_| half(sockopt::socket_recv_buffer_size(socket).unwrap())),
        busy_poll: (micros > 0).then_some(Duration::from_micros(micros as u64)),
    }
}

/// An accepted and a dialled socket of a kernel with these options, and what else must live.
fn sockets(options: &SocketOptions, at: &str) -> (OwnedFd, OwnedFd, Listener) {
    let mut linux = linux_with(Poller::Epoll, Trigger::Level, options.clone()).unwrap();
    let listening = ListenOptions { sockets: options.clone(), ..ListenOptions::default() };
    let listener = Listener::bind(&at.parse().unwrap(), &listening).unwrap();
    linux.watch_listener(&listener, 0).unwrap();
    let dialled = linux.connect(&listener.local_address().into()).unwrap();
    await_ready(&mut linux, Token::listener(0), Ready::READABLE);
    let Accept::Socket(accepted, _) = linux.accept(&listener) else { panic!("no caller") };
    (accepted, dialled, listener)
}

fn every_option() -> SocketOptions {
    SocketOptions {
        nodelay: false,
        keep_alive: Some(KeepAlive {
            idle: Duration::from_secs(7),
            interval: Duration::from_secs(3),
            count: 2,
        }),
        user_timeout: Some(Duration::from_millis(12_345)),
        notsent_lowat_bytes: Some(9_999),
        send_buffer_bytes: Some(40_000),
        recv_buffer_bytes: Some(50_000),
        busy_poll: None,
    }
}

#[test]
fn accepted_and_dialled_sockets_have_what_was_asked_for() {
    let none = SocketOptions { keep_alive: None, ..SocketOptions::default() };
    let profiles = [SocketOptions::game(), SocketOptions::trading(), SocketOptions::bulk()];
    let mut all = vec![SocketOptions::default(), none, every_option()];
    all.extend(profiles);
    for options in all {
        options.check().unwrap();
        for at in [LOOPBACK, "[::1]:0"] {
            let (accepted, dialled, _listener) = sockets(&options, at);
            assert_eq!(of(&accepted, &options), options, "accepted at {at}");
            assert_eq!(of(&dialled, &options), options, "dialled to {at}");
        }
    }
}

#[test]
fn busy_polling_is_inherited_where_it_is_allowed() {
    let time = Some(Duration::from_micros(50));
    let options = SocketOptions { busy_poll: time, ..SocketOptions::default() };
    let listening = ListenOptions { sockets: options.clone(), ..ListenOptions::default() };
    match Listener::bind(&LOOPBACK.parse().unwrap(), &listening) {
        // Without CAP_NET_ADMIN.
        Err(error) => assert_eq!(error.errno(), Some(Errno::PERM)),
        Ok(_) => {
            let (accepted, dialled, _listener) = sockets(&options, LOOPBACK);
            assert_eq!(
                (of(&accepted, &options).busy_poll, of(&dialled, &options).busy_poll),
                (time, time)
            );
        }
    }
}

#[test]
fn a_unix_socket_has_the_buffers_that_were_asked_for() {
    let path = std::env::temp_dir().join(format!("readyloop-{}-options", std::process::id()));
    let (accepted, dialled, _listener) =
        sockets(&every_option(), &format!("unix:{}", path.display()));
    for socket in [accepted, dialled] {
        assert_eq!(sockopt::socket_send_buffer_size(&socket).unwrap(), 80_000);
        assert_eq!(sockopt::socket_recv_buffer_size(&socket).unwrap(), 100_000);
    }
}

#[test]
fn what_the_kernel_would_not_take_is_refused_by_its_name() {
    let base = SocketOptions::default;
    let keep = |idle, interval, count| SocketOptions {
        keep_alive: Some(KeepAlive { idle, interval, count }),
        ..base()
    };
    let second = Duration::from_secs(1);
    let cases = [
        (keep(Duration::from_millis(1_500), second, 1), "keep_alive.idle"),
        (keep(Duration::from_secs(40_000), second, 1), "keep_alive.idle"),
        (keep(second, Duration::ZERO, 1), "keep_alive.interval"),
        (keep(second, second, 128), "keep_alive.count"),
        (SocketOptions { user_timeout: Some(Duration::ZERO), ..base() }, "user_timeout"),
        (SocketOptions { user_timeout: Some(Duration::MAX), ..base() }, "user_timeout"),
        (SocketOptions { busy_poll: Some(Duration::from_nanos(1)), ..base() }, "busy_poll"),
        (SocketOptions { notsent_lowat_bytes: Some(0), ..base() }, "notsent_lowat_bytes"),
        (SocketOptions { send_buffer_bytes: Some(u32::MAX), ..base() }, "send_buffer_bytes"),
        (SocketOptions { recv_buffer_bytes: Some(0), ..base() }, "recv_buffer_bytes"),
    ];
    for (options, named) in cases {
        let error = options.check().unwrap_err();
        assert!(error.is_settings() && error.to_string().contains(named), "{error}");
    }
}
