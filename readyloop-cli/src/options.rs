//! What options of every service must not contradict, and which of them would mean nothing beside
//! others: refused by the names of both, with a way out.
//!
//! The library checks its settings too, but it knows no options. What only one service has is checked
//! there, and what belongs to a topology is in `topology`.

use readyloop::{Address, Balance, Error, Poller, Result, Trigger};

use crate::args::{LimitOptions, ProfileName, ServerOptions};
use crate::topology::AcceptName;
use crate::units::Bytes;

/// The longest path of a Unix socket, in bytes (unix(7)).
const UNIX_PATH_BYTES_MAX: usize = 107;

/// Reads the address that an option names.
///
/// # Errors
/// When it is none, with the option's name.
pub fn address(option: &str, text: &str) -> Result<Address> {
    let address = text.parse().map_err(|error| Error::settings(format!("{option}: {error}")))?;
    if let Address::Unix(path) = &address
        && path.as_os_str().len() > UNIX_PATH_BYTES_MAX
    {
        return Err(Error::settings(format!(
            "{option}: the path of {address} is {} bytes long; make it at most {UNIX_PATH_BYTES_MAX}",
            path.as_os_str().len()
        )));
    }
    Ok(address)
}

/// Where a service listens, with the option that says so: at first `--listen`, then `--web`.
pub fn addresses(options: &ServerOptions, web: &[String]) -> Result<Vec<(&'static str, Address)>> {
    let listen = options.listen.iter().map(|text| ("--listen", text));
    let all = listen.chain(web.iter().map(|text| ("--web", text)));
    all.map(|(option, text)| Ok((option, address(option, text)?))).collect()
}

/// Whether options of a server that listens there go together.
///
/// # Errors
/// What does not, by the names of the options.
pub fn check(options: &ServerOptions, addresses: &[(&'static str, Address)]) -> Result<()> {
    let ServerOptions { poller, trigger, .. } = options;
    require(*trigger == Trigger::Level || *poller == Poller::Epoll, || {
        format!(
            "--trigger {trigger} cannot go with --poller {poller}; use --trigger level, or --poller epoll"
        )
    })?;
    require(!options.measure_waits || options.log.verbose > 0, || {
        "--measure-waits means nothing without -v, which logs them at the end; add -v, or leave it out"
            .to_string()
    })?;
    check_limits(&options.limits)?;
    check_addresses(options, addresses)?;
    check_what_is_for_tcp(options, addresses)
}

fn check_limits(limits: &LimitOptions) -> Result<()> {
    let LimitOptions { send_low: Bytes(low), send_high: Bytes(high), .. } = limits;
    require(low < high, || {
        format!(
            "--send-low {} must lie under --send-high {}; lower the one, or raise the other",
            limits.send_low, limits.send_high
        )
    })?;
    let (all, of_one) = (limits.max_sessions, limits.max_sessions_per_ip.unwrap_or(0));
    require(of_one < all, || {
        let less =
            if all > 1 { format!("make it at most {}, or ", all - 1) } else { String::new() };
        format!(
            "--max-sessions-per-ip {of_one} means nothing beside --max-sessions {all}; {less}leave it out"
        )
    })
}

fn check_addresses(options: &ServerOptions, addresses: &[(&'static str, Address)]) -> Result<()> {
    let shares = options.topology.accept == Some(AcceptName::ReusePort);
    for (nth, (option, address)) in addresses.iter().enumerate() {
        // Of port 0, each takes a free port of its own.
        let takes_any = matches!(address, Address::Tcp(address) if address.port() == 0);
        let mut before = addresses[..nth].iter();
        if let Some((other, _)) = before.find(|(_, other)| other == address && !takes_any) {
            return Err(Error::settings(format!(
                "{option} {address} is there twice, as {other} {address} too; leave one out"
            )));
        }
        require(!shares || address.ip().is_some(), || {
            format!(
                "{option} {address} cannot be shared: --accept reuseport (SO_REUSEPORT, socket(7)) is \
                 for TCP; use --accept handoff"
            )
        })?;
    }
    Ok(())
}

/// What would have no effect, or only that of its default, on Unix sockets.
fn check_what_is_for_tcp(
    options: &ServerOptions,
    addresses: &[(&'static str, Address)],
) -> Result<()> {
    if addresses.iter().any(|(_, address)| address.ip().is_some()) {
        return Ok(());
    }
    let per_ip = options.limits.max_sessions_per_ip;
    // Of all that a profile says, a Unix socket has buffers.
    let has_buffers = |profile: &ProfileName| {
        let sockets = profile.options();
        sockets.send_buffer_bytes.is_some() || sockets.recv_buffer_bytes.is_some()
    };
    let profile = options.profile.filter(|profile| !has_buffers(profile));
    let balance = options.topology.balance.filter(|balance| *balance == Balance::SourceHash);
    let given = [
        per_ip.map(|sessions| format!("--max-sessions-per-ip {sessions}")),
        profile.map(|profile| format!("--profile {profile}")),
        balance.map(|balance| format!("--balance {balance}")),
    ];
    match given.into_iter().flatten().next() {
        None => Ok(()),
        Some(option) => Err(Error::settings(format!(
            "{option} is for TCP, and there are only Unix sockets to listen on; leave it out, or add a \
             --listen at an IP address"
        ))),
    }
}

fn require(holds: bool, what: impl FnOnce() -> String) -> Result<()> {
    if holds { Ok(()) } else { Err(Error::settings(what())) }
}
