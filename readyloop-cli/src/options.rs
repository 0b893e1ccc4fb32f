//! What options of every service must not contradict, and which of them would mean nothing beside
//! others: refused by the names of both, with a way out.
//!
//! The library checks its settings too, but it knows no options. What only one service has is checked
//! there, and what belongs to a topology is in `topology`.

use readyloop::{Address, Error, Poller, Result, Trigger};

use crate::args::{LimitOptions, ServerOptions};
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
    check_limits(&options.limits)?;
    check_addresses(options, addresses)
}

fn check_limits(limits: &LimitOptions) -> Result<()> {
    let LimitOptions { send_low: Bytes(low), send_high: Bytes(high), .. } = limits;
    require(low < high, || {
        format!(
            "--send-low {} must lie under --send-high {}; lower the one, or raise the other",
            limits.send_low, limits.send_high
        )
    })
}

fn check_addresses(options: &ServerOptions, addresses: &[(&'static str, Address)]) -> Result<()> {
    let shares = options.topology.accept == Some(AcceptName::ReusePort);
    for (option, address) in addresses {
        require(!shares || address.ip().is_some(), || {
            format!(
                "{option} {address} cannot be shared: --accept reuseport (SO_REUSEPORT, socket(7)) is \
                 for TCP; use --accept handoff"
            )
        })?;
    }
    Ok(())
}

fn require(holds: bool, what: impl FnOnce() -> String) -> Result<()> {
    if holds { Ok(()) } else { Err(Error::settings(what())) }
}
