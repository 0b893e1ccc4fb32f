//! Commands that are done at once: MULTI, EXEC, DISCARD.
//!
//! EXEC holds all keys from its beginning to its end, so nothing comes between the commands of a
//! transaction. There is no WATCH.

use readyloop_protocols::resp::{Arguments, Reply};

use super::call::{Ask, Visit};
use super::client::{Client, Transaction};
use super::fault::{Answer, Fault};
use super::table;

pub fn multi(ask: &mut Ask<'_>, visit: &mut Visit<'_, '_>) -> Answer {
    if visit.client.transaction.is_some() {
        return Err(Fault::words("ERR MULTI calls can not be nested"));
    }
    visit.client.transaction = Some(Box::default());
    ask.reply.ok();
    Ok(())
}

pub fn discard(ask: &mut Ask<'_>, visit: &mut Visit<'_, '_>) -> Answer {
    let taken = visit.client.transaction.take();
    taken.ok_or(Fault::words("ERR DISCARD without MULTI"))?;
    ask.reply.ok();
    Ok(())
}

/// Takes a command for later; `frame` is its array.
pub fn queue(
    transaction: &mut Transaction,
    frame: &[u8],
    bytes_max: usize,
    reply: &mut Reply<'_>,
) -> Answer {
    // Each may be as long as the longest; together they may be no longer either.
    if transaction.commands.kept_bytes() + frame.len() > bytes_max {
        return Err(Fault::words("ERR transaction exceeds maximum allowed size (--max-frame)"));
    }
    transaction.commands.push(frame);
    reply.simple("QUEUED");
    Ok(())
}

/// A command was refused before it was queued: EXEC will refuse too.
#[cold]
pub fn spoil(client: &mut Client) {
    if let Some(transaction) = &mut client.transaction {
        transaction.is_broken = true;
    }
}

pub fn exec(ask: &mut Ask<'_>, visit: &mut Visit<'_, '_>) -> Answer {
    let taken = visit.client.transaction.take();
    let mut transaction = taken.ok_or(Fault::words("ERR EXEC without MULTI"))?;
    if transaction.is_broken {
        return Err(Fault::words("EXECABORT Transaction discarded because of previous errors."));
    }
    let (begin, mut outcome) = (ask.reply.written_bytes(), Ok(()));
    ask.reply.array(transaction.commands.len());
    while let Some(frame) = transaction.commands.next() {
        let mut arguments = Arguments::of_array(frame);
        let command = arguments.next().and_then(table::find);
        let command = command.expect("only commands that there are were queued");
        let mut reply = ask.reply.reborrow();
        // HELLO may have been among those before it.
        reply.set_protocol(visit.client.protocol);
        Ask { command, arguments, reply, now: ask.now }.answer(visit);
        // All of it is done, also when there is no room to say so.
        if let Err(fault) = ask.check_room(visit) {
            ask.reply.truncate(begin);
            outcome = Err(fault);
        }
    }
    outcome
}
