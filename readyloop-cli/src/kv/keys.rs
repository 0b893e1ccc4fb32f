//! Commands on keys, whatever their values: DEL, EXPIRE, SCAN and their kin.

use readyloop::Now;
use readyloop_protocols::resp::{Reply, integer};

use super::call::{Ask, Visit};
use super::fault::{Answer, Fault};
use super::{clock, glob};

pub fn del(ask: &mut Ask<'_>, visit: &mut Visit<'_, '_>) -> Answer {
    let removed = ask.arguments.by_ref().filter(|key| visit.held.remove(key)).count();
    ask.reply.integer(removed as i64);
    Ok(())
}

pub fn exists(ask: &mut Ask<'_>, visit: &mut Visit<'_, '_>) -> Answer {
    let there = ask.arguments.by_ref().filter(|key| visit.held.has(key)).count();
    ask.reply.integer(there as i64);
    Ok(())
}

pub fn type_of(ask: &mut Ask<'_>, visit: &mut Visit<'_, '_>) -> Answer {
    let is_there = visit.held.has(ask.argument()?);
    ask.reply.simple(if is_there { "string" } else { "none" });
    Ok(())
}

pub fn expire(ask: &mut Ask<'_>, visit: &mut Visit<'_, '_>) -> Answer {
    expire_in(ask, visit, 1000)
}

pub fn pexpire(ask: &mut Ask<'_>, visit: &mut Visit<'_, '_>) -> Answer {
    expire_in(ask, visit, 1)
}

/// What EXPIRE may demand of the deadline that a key has.
#[derive(Default)]
struct Demands {
    none: bool,
    any: bool,
    earlier: bool,
    later: bool,
}

impl Demands {
    /// Without a deadline a key lives for ever: every deadline is earlier.
    fn allow(&self, old: Option<Now>, due: Now) -> bool {
        let refused = self.none && old.is_some()
            || self.any && old.is_none()
            || self.later && old.is_none_or(|old| due <= old)
            || self.earlier && old.is_some_and(|old| due >= old);
        !refused
    }
}

fn expire_in(ask: &mut Ask<'_>, visit: &mut Visit<'_, '_>, unit: i64) -> Answer {
    let (key, given) = (ask.argument()?, ask.integer()?);
    let demands = demands(ask)?;
    let due = given.checked_mul(unit).and_then(|millis| clock::after(millis, ask.now));
    let due = due.ok_or(Fault::ExpireTime(ask.command.name))?;
    let is_set = match visit.held.deadline(key) {
        None => false,
        Some(old) => demands.allow(old, due) && visit.held.expire_at(key, due),
    };
    ask.reply.integer(is_set.into());
    Ok(())
}

fn demands(ask: &mut Ask<'_>) -> Result<Demands, Fault> {
    let mut demands = Demands::default();
    for word in ask.arguments.by_ref() {
        match &word.to_ascii_uppercase()[..] {
            b"NX" => demands.none = true,
            b"XX" => demands.any = true,
            b"GT" => demands.later = true,
            b"LT" => demands.earlier = true,
            _ => {
                let word = String::from_utf8_lossy(word);
                return Err(Fault::Words(format!("ERR Unsupported option {word}").into()));
            }
        }
    }
    let Demands { none, any, earlier, later } = demands;
    if none && (any || earlier || later) {
        return Err(Fault::words(
            "ERR NX and XX, GT or LT options at the same time are not compatible",
        ));
    }
    if earlier && later {
        return Err(Fault::words("ERR GT and LT options at the same time are not compatible"));
    }
    Ok(demands)
}

pub fn ttl(ask: &mut Ask<'_>, visit: &mut Visit<'_, '_>) -> Answer {
    // To the nearest second, as Redis does.
    left(ask, visit, |millis| (millis + 500) / 1000)
}

pub fn pttl(ask: &mut Ask<'_>, visit: &mut Visit<'_, '_>) -> Answer {
    left(ask, visit, |millis| millis)
}

fn left(ask: &mut Ask<'_>, visit: &mut Visit<'_, '_>, tell: fn(i64) -> i64) -> Answer {
    ask.reply.integer(match visit.held.deadline(ask.arguments.next().unwrap_or_default()) {
        None => -2,
        Some(None) => -1,
        Some(Some(due)) => tell(clock::left(due, ask.now)),
    });
    Ok(())
}

pub fn persist(ask: &mut Ask<'_>, visit: &mut Visit<'_, '_>) -> Answer {
    let had_one = visit.held.persist(ask.argument()?);
    ask.reply.integer(had_one.into());
    Ok(())
}

pub fn keys(ask: &mut Ask<'_>, visit: &mut Visit<'_, '_>) -> Answer {
    let pattern = ask.argument()?;
    let mut found: Vec<Vec<u8>> = Vec::new();
    for (_, shard) in visit.held.shards() {
        shard.scan(0, usize::MAX, |key| {
            if glob::matches(pattern, key) {
                found.push(key.to_vec());
            }
        });
    }
    tell(&found, &mut ask.reply);
    Ok(())
}

fn tell(keys: &[Vec<u8>], reply: &mut Reply<'_>) {
    reply.array(keys.len());
    for key in keys {
        reply.bulk(key);
    }
}

/// A place in a walk over all keys, as a client gives it back to us: the shard in the upper half,
/// the slot in the lower one.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
struct Cursor {
    shard: usize,
    slot: usize,
}

impl Cursor {
    fn read(text: &[u8]) -> Result<Cursor, Fault> {
        let value = str::from_utf8(text).ok().and_then(|text| text.parse::<u64>().ok());
        let value = value.ok_or(Fault::words("ERR invalid cursor"))?;
        Ok(Cursor { shard: (value >> 32) as usize, slot: (value & u64::from(u32::MAX)) as usize })
    }

    fn value(self) -> u64 {
        (self.shard as u64) << 32 | self.slot as u64
    }
}

pub fn scan(ask: &mut Ask<'_>, visit: &mut Visit<'_, '_>) -> Answer {
    let cursor = Cursor::read(ask.argument()?)?;
    let wanted = wanted(ask)?;
    let mut found: Vec<Vec<u8>> = Vec::new();
    let (mut left, mut slot, mut next) = (wanted.count, cursor.slot, None);
    for (nth, shard) in visit.held.shards().skip_while(|(nth, _)| *nth < cursor.shard) {
        if left == 0 {
            next = Some(Cursor { shard: nth, slot: 0 });
            break;
        }
        let (looked_at, rest) = shard.scan(slot, left, |key| {
            if wanted.strings && wanted.pattern.is_none_or(|pattern| glob::matches(pattern, key)) {
                found.push(key.to_vec());
            }
        });
        if let Some(slot) = rest {
            next = Some(Cursor { shard: nth, slot });
            break;
        }
        (left, slot) = (left - looked_at, 0);
    }
    ask.reply.array(2);
    ask.reply.bulk_integer(next.map_or(0, Cursor::value) as i64);
    tell(&found, &mut ask.reply);
    Ok(())
}

/// What SCAN is told besides a cursor.
struct Wanted<'a> {
    pattern: Option<&'a [u8]>,
    count: usize,
    /// There are no values of other types.
    strings: bool,
}

fn wanted<'a>(ask: &mut Ask<'a>) -> Result<Wanted<'a>, Fault> {
    let mut wanted = Wanted { pattern: None, count: 10, strings: true };
    while let Some(word) = ask.arguments.next() {
        let given = ask.arguments.next().ok_or(Fault::Syntax)?;
        match &word.to_ascii_uppercase()[..] {
            b"MATCH" => wanted.pattern = Some(given),
            b"COUNT" => {
                let count = integer(given).ok_or(Fault::NotInteger)?;
                let count = usize::try_from(count).ok().filter(|count| *count > 0);
                wanted.count = count.ok_or(Fault::Syntax)?;
            }
            b"TYPE" => wanted.strings = given.eq_ignore_ascii_case(b"string"),
            _ => return Err(Fault::Syntax),
        }
    }
    Ok(wanted)
}

pub fn dbsize(ask: &mut Ask<'_>, visit: &mut Visit<'_, '_>) -> Answer {
    let keys: usize = visit.held.shards().map(|(_, shard)| shard.len()).sum();
    ask.reply.integer(keys as i64);
    Ok(())
}

pub fn flush(ask: &mut Ask<'_>, visit: &mut Visit<'_, '_>) -> Answer {
    match (ask.arguments.next(), ask.arguments.next()) {
        (None, _) => {}
        (Some(word), None)
            if word.eq_ignore_ascii_case(b"SYNC") || word.eq_ignore_ascii_case(b"ASYNC") => {}
        _ => return Err(Fault::Syntax),
    }
    for (_, shard) in visit.held.shards() {
        shard.clear();
    }
    ask.reply.ok();
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::Cursor;

    #[test]
    fn a_cursor_comes_back_as_it_was_given() {
        for cursor in [Cursor { shard: 0, slot: 7 }, Cursor { shard: 31, slot: u32::MAX as usize }]
        {
            assert_eq!(Cursor::read(cursor.value().to_string().as_bytes()), Ok(cursor));
        }
        for text in ["", "x", "-1", "18446744073709551616"] {
            assert!(Cursor::read(text.as_bytes()).is_err(), "{text}");
        }
    }
}
