//! Commands on values: GET, SET and their kin.

use readyloop::Now;
use readyloop_protocols::resp::integer;

use super::call::{Ask, Visit};
use super::clock;
use super::fault::{Answer, Fault};
use super::shard::Expiry;

pub fn get(ask: &mut Ask<'_>, visit: &mut Visit<'_, '_>) -> Answer {
    match visit.held.get(ask.argument()?) {
        Some(value) => ask.reply.bulk(value),
        None => ask.reply.null(),
    }
    Ok(())
}

/// What SET may be told besides a key and a value.
#[derive(Default)]
struct Options {
    expiry: Option<Expiry>,
    /// `Some(true)` for XX, `Some(false)` for NX.
    if_there: Option<bool>,
    returns_old: bool,
}

pub fn set(ask: &mut Ask<'_>, visit: &mut Visit<'_, '_>) -> Answer {
    let (key, value) = (ask.argument()?, ask.argument()?);
    if ask.arguments.len() == 0 {
        visit.held.set(key, value, Expiry::Never);
        ask.reply.ok();
        return Ok(());
    }
    let options = set_options(ask)?;
    let there = match visit.held.get(key) {
        Some(old) => {
            if options.returns_old {
                ask.reply.bulk(old);
            }
            true
        }
        None => {
            if options.returns_old {
                ask.reply.null();
            }
            false
        }
    };
    let is_set = options.if_there.is_none_or(|wanted| wanted == there);
    if is_set {
        visit.held.set(key, value, options.expiry.unwrap_or(Expiry::Never));
    }
    match (options.returns_old, is_set) {
        (true, _) => {}
        (false, true) => ask.reply.ok(),
        (false, false) => ask.reply.null(),
    }
    Ok(())
}

fn set_options(ask: &mut Ask<'_>) -> Result<Options, Fault> {
    let mut options = Options::default();
    let mut deadline = None;
    while let Some(word) = ask.arguments.next() {
        let word = word.to_ascii_uppercase();
        match &word[..] {
            b"NX" if options.if_there != Some(true) => options.if_there = Some(false),
            b"XX" if options.if_there != Some(false) => options.if_there = Some(true),
            b"GET" => options.returns_old = true,
            b"KEEPTTL" if deadline.is_none() => options.expiry = Some(Expiry::Keep),
            b"EX" | b"PX" | b"EXAT" | b"PXAT" if options.expiry.is_none() && deadline.is_none() => {
                deadline = Some((ask.arguments.next().ok_or(Fault::Syntax)?, word));
            }
            _ => return Err(Fault::Syntax),
        }
    }
    if let Some((given, word)) = deadline {
        let given = integer(given).ok_or(Fault::NotInteger)?;
        options.expiry = Some(Expiry::At(due(ask, given, &word)?));
    }
    Ok(options)
}

/// When a value expires that is given so long, or until then: in seconds or, with a `P`, in
/// milliseconds; with an `AT`, since 1970.
fn due(ask: &Ask<'_>, given: i64, word: &[u8]) -> Result<Now, Fault> {
    let invalid = Fault::ExpireTime(ask.command.name);
    let unit = if word.starts_with(b"P") { 1 } else { 1000 };
    if given <= 0 {
        return Err(invalid);
    }
    let millis = given.checked_mul(unit).ok_or(invalid.clone())?;
    let moment = if word.ends_with(b"AT") {
        clock::at_unix(millis, ask.now)
    } else {
        clock::after(millis, ask.now)
    };
    moment.ok_or(invalid)
}

pub fn setnx(ask: &mut Ask<'_>, visit: &mut Visit<'_, '_>) -> Answer {
    let (key, value) = (ask.argument()?, ask.argument()?);
    let is_set = !visit.held.has(key);
    if is_set {
        visit.held.set(key, value, Expiry::Never);
    }
    ask.reply.integer(is_set.into());
    Ok(())
}

pub fn setex(ask: &mut Ask<'_>, visit: &mut Visit<'_, '_>) -> Answer {
    set_for(ask, visit, b"EX")
}

pub fn psetex(ask: &mut Ask<'_>, visit: &mut Visit<'_, '_>) -> Answer {
    set_for(ask, visit, b"PX")
}

fn set_for(ask: &mut Ask<'_>, visit: &mut Visit<'_, '_>, unit: &[u8]) -> Answer {
    let (key, given, value) = (ask.argument()?, ask.integer()?, ask.argument()?);
    let due = due(ask, given, unit)?;
    visit.held.set(key, value, Expiry::At(due));
    ask.reply.ok();
    Ok(())
}

pub fn getset(ask: &mut Ask<'_>, visit: &mut Visit<'_, '_>) -> Answer {
    let mut again = ask.arguments.clone();
    get(ask, visit)?;
    if let (Some(key), Some(value)) = (again.next(), again.next()) {
        visit.held.set(key, value, Expiry::Never);
    }
    Ok(())
}

pub fn getdel(ask: &mut Ask<'_>, visit: &mut Visit<'_, '_>) -> Answer {
    let key = ask.arguments.clone().next();
    get(ask, visit)?;
    if let Some(key) = key {
        visit.held.remove(key);
    }
    Ok(())
}

pub fn append(ask: &mut Ask<'_>, visit: &mut Visit<'_, '_>) -> Answer {
    let (key, more) = (ask.argument()?, ask.argument()?);
    let there = visit.held.get(key).map_or(0, <[u8]>::len);
    if there + more.len() > visit.server.bounds.command_bytes_max {
        return Err(Fault::words("ERR string exceeds maximum allowed size (proto-max-bulk-len)"));
    }
    let bytes = visit.held.change(key, |value| {
        value.extend_from_slice(more);
        value.len()
    });
    ask.reply.integer(bytes as i64);
    Ok(())
}

pub fn strlen(ask: &mut Ask<'_>, visit: &mut Visit<'_, '_>) -> Answer {
    let bytes = visit.held.get(ask.argument()?).map_or(0, <[u8]>::len);
    ask.reply.integer(bytes as i64);
    Ok(())
}

pub fn incr(ask: &mut Ask<'_>, visit: &mut Visit<'_, '_>) -> Answer {
    add(1, ask, visit)
}

pub fn decr(ask: &mut Ask<'_>, visit: &mut Visit<'_, '_>) -> Answer {
    add(-1, ask, visit)
}

pub fn incrby(ask: &mut Ask<'_>, visit: &mut Visit<'_, '_>) -> Answer {
    let by = ask.integer_at(1)?;
    add(by, ask, visit)
}

pub fn decrby(ask: &mut Ask<'_>, visit: &mut Visit<'_, '_>) -> Answer {
    let by = ask.integer_at(1)?.checked_neg().ok_or(Fault::DecrementOverflow)?;
    add(by, ask, visit)
}

/// Adds to the number that a value spells; one that is not there is 0.
fn add(by: i64, ask: &mut Ask<'_>, visit: &mut Visit<'_, '_>) -> Answer {
    let key = ask.argument()?;
    let old = match visit.held.get(key) {
        Some(value) => integer(value).ok_or(Fault::NotInteger)?,
        None => 0,
    };
    let new = old.checked_add(by).ok_or(Fault::Overflow)?;
    visit.held.change(key, |value| {
        value.clear();
        value.extend_from_slice(itoa::Buffer::new().format(new).as_bytes());
    });
    ask.reply.integer(new);
    Ok(())
}

pub fn mget(ask: &mut Ask<'_>, visit: &mut Visit<'_, '_>) -> Answer {
    ask.reply.array(ask.arguments.len());
    while let Some(key) = ask.arguments.next() {
        match visit.held.get(key) {
            Some(value) => ask.reply.bulk(value),
            None => ask.reply.null(),
        }
        ask.check_room(visit)?;
    }
    Ok(())
}

pub fn mset(ask: &mut Ask<'_>, visit: &mut Visit<'_, '_>) -> Answer {
    set_all(ask, visit)?;
    ask.reply.ok();
    Ok(())
}

pub fn msetnx(ask: &mut Ask<'_>, visit: &mut Visit<'_, '_>) -> Answer {
    if ask.arguments.len() % 2 == 1 {
        return Err(ask.arity());
    }
    let taken = ask.arguments.clone().step_by(2).any(|key| visit.held.has(key));
    if !taken {
        set_all(ask, visit)?;
    }
    ask.reply.integer((!taken).into());
    Ok(())
}

fn set_all(ask: &mut Ask<'_>, visit: &mut Visit<'_, '_>) -> Answer {
    if ask.arguments.len() % 2 == 1 {
        return Err(ask.arity());
    }
    while let (Some(key), Some(value)) = (ask.arguments.next(), ask.arguments.next()) {
        visit.held.set(key, value, Expiry::Never);
    }
    Ok(())
}
