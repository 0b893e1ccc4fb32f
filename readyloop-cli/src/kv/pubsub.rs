//! Channels: SUBSCRIBE, PUBLISH and their kin.

use readyloop::Context;
use readyloop_protocols::resp::Protocol;

use super::call::{Ask, Visit};
use super::channels::Kind;
use super::client::Client;
use super::fault::{Answer, unknown_subcommand};
use super::server::{self, Server};

pub fn subscribe(ask: &mut Ask<'_>, visit: &mut Visit<'_, '_>) -> Answer {
    enter(Kind::Channel, ask, visit)
}

pub fn psubscribe(ask: &mut Ask<'_>, visit: &mut Visit<'_, '_>) -> Answer {
    enter(Kind::Pattern, ask, visit)
}

pub fn unsubscribe(ask: &mut Ask<'_>, visit: &mut Visit<'_, '_>) -> Answer {
    exit(Kind::Channel, ask, visit)
}

pub fn punsubscribe(ask: &mut Ask<'_>, visit: &mut Visit<'_, '_>) -> Answer {
    exit(Kind::Pattern, ask, visit)
}

fn enter(kind: Kind, ask: &mut Ask<'_>, visit: &mut Visit<'_, '_>) -> Answer {
    let word = match kind {
        Kind::Channel => "subscribe",
        Kind::Pattern => "psubscribe",
    };
    while let Some(name) = ask.arguments.next() {
        let protocol = visit.client.protocol;
        let mine = visit.client.listen().of(kind);
        if !mine.contains_key(name) {
            let group = visit.server.channels().enter(kind, name, protocol);
            visit.context.join(&group);
            mine.insert(name.into(), group);
        }
        confirm(word, Some(name), ask, visit.client);
    }
    visit.server.tell_subscriptions(visit.client);
    Ok(())
}

fn exit(kind: Kind, ask: &mut Ask<'_>, visit: &mut Visit<'_, '_>) -> Answer {
    let word = match kind {
        Kind::Channel => "unsubscribe",
        Kind::Pattern => "punsubscribe",
    };
    if ask.arguments.len() > 0 {
        while let Some(name) = ask.arguments.next() {
            leave(kind, name, visit);
            confirm(word, Some(name), ask, visit.client);
        }
    } else {
        let mine = visit.client.subscriptions.as_mut().map(|mine| mine.of(kind));
        let names: Vec<Box<[u8]>> =
            mine.map(|mine| mine.keys().cloned().collect()).unwrap_or_default();
        for name in &names {
            leave(kind, name, visit);
            confirm(word, Some(name), ask, visit.client);
        }
        if names.is_empty() {
            confirm(word, None, ask, visit.client);
        }
    }
    visit.server.tell_subscriptions(visit.client);
    Ok(())
}

fn leave(kind: Kind, name: &[u8], visit: &mut Visit<'_, '_>) {
    let Some(mine) = &mut visit.client.subscriptions else { return };
    if let Some(group) = mine.of(kind).remove(name) {
        visit.context.leave(&group);
        visit.server.channels().exit(kind, name, visit.client.protocol);
    }
}

/// Tells what became of one name, and how many the client has now.
fn confirm(word: &str, name: Option<&[u8]>, ask: &mut Ask<'_>, client: &Client) {
    ask.reply.push(3);
    ask.reply.bulk(word.as_bytes());
    match name {
        Some(name) => ask.reply.bulk(name),
        None => ask.reply.null(),
    }
    ask.reply.integer(client.subscription_count() as i64);
}

/// Listens to nothing any more, without a word.
pub fn leave_all(server: &Server, client: &mut Client, context: &mut Context<'_>) {
    let Some(mut mine) = client.subscriptions.take() else { return };
    for kind in [Kind::Channel, Kind::Pattern] {
        for (name, group) in mine.of(kind).drain() {
            context.leave(&group);
            server.channels().exit(kind, &name, client.protocol);
        }
    }
    server.tell_subscriptions(client);
}

/// Speaks another version; what it listens to comes in that one from here on.
pub fn change_protocol(protocol: Protocol, visit: &mut Visit<'_, '_>) {
    let old = std::mem::replace(&mut visit.client.protocol, protocol);
    let Some(mine) = &mut visit.client.subscriptions else { return };
    if old == protocol {
        return;
    }
    for kind in [Kind::Channel, Kind::Pattern] {
        for (name, group) in mine.of(kind) {
            let next = visit.server.channels().enter(kind, name, protocol);
            visit.context.join(&next);
            visit.context.leave(group);
            visit.server.channels().exit(kind, name, old);
            *group = next;
        }
    }
}

pub fn publish(ask: &mut Ask<'_>, visit: &mut Visit<'_, '_>) -> Answer {
    let (channel, payload) = (ask.argument()?, ask.argument()?);
    let (mail, heard) = visit.server.channels().publish(channel, payload);
    for (group, message) in mail {
        // A reactor that is too far behind misses it: PUBLISH promises at most once.
        visit.context.broadcast(&group, message);
    }
    ask.reply.integer(heard as i64);
    Ok(())
}

pub fn pubsub(ask: &mut Ask<'_>, visit: &mut Visit<'_, '_>) -> Answer {
    let word = ask.argument()?;
    match &word.to_ascii_uppercase()[..] {
        b"CHANNELS" => {
            let pattern = ask.arguments.next();
            ask.end("channels")?;
            let channels = visit.server.channels();
            ask.reply.array(channels.names(pattern).count());
            for name in channels.names(pattern) {
                ask.reply.bulk(name);
            }
        }
        b"NUMSUB" => {
            // An array also in RESP3: so does Redis.
            ask.reply.array(2 * ask.arguments.len());
            for name in ask.arguments.by_ref() {
                ask.reply.bulk(name);
                ask.reply.integer(visit.server.channels().sessions(name) as i64);
            }
        }
        b"NUMPAT" => {
            ask.end("numpat")?;
            ask.reply.integer(visit.server.channels().pattern_count() as i64);
        }
        b"HELP" => server::help(&["CHANNELS [pattern]", "NUMPAT", "NUMSUB [channel ...]"], ask)?,
        _ => return Err(unknown_subcommand("pubsub", word)),
    }
    Ok(())
}
