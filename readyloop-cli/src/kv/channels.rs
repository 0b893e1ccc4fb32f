//! Who listens to which channels and patterns, on all threads.
//!
//! A channel is a [`Group`] for each version of RESP that its listeners speak, so a message is
//! written once for each version and stored once on each reactor. It is not on the path of keys.
//!
//! Invariant: a channel or pattern that nobody listens to is not in the tables.

use std::collections::{BTreeMap, HashMap};

use readyloop::{Bytes, Group, SlowMember};
use readyloop_protocols::resp::{Protocol, Reply};

use super::glob;

/// What is listened to.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Kind {
    /// One name.
    Channel,
    /// All names that match.
    Pattern,
}

/// All that is listened to.
#[derive(Default)]
pub struct Channels {
    exact: HashMap<Box<[u8]>, Listeners>,
    patterns: BTreeMap<Box<[u8]>, Listeners>,
}

/// Those of one channel or pattern, by the version of RESP that they speak.
#[derive(Default)]
struct Listeners {
    resp2: Listening,
    resp3: Listening,
}

#[derive(Default)]
struct Listening {
    group: Option<Group>,
    /// Counted here, so that a message right behind a subscription is not lost to a thread that has
    /// not joined the session yet.
    sessions: usize,
}

impl Listeners {
    fn of(&mut self, protocol: Protocol) -> &mut Listening {
        match protocol {
            Protocol::Resp2 => &mut self.resp2,
            Protocol::Resp3 => &mut self.resp3,
        }
    }

    fn sessions(&self) -> usize {
        self.resp2.sessions + self.resp3.sessions
    }

    /// A message for all of them.
    fn mail(&self, fields: &[&[u8]], mail: &mut Mail) {
        for (protocol, listening) in
            [(Protocol::Resp2, &self.resp2), (Protocol::Resp3, &self.resp3)]
        {
            if let (Some(group), 1..) = (&listening.group, listening.sessions) {
                mail.push((group.clone(), message(protocol, fields)));
            }
        }
    }
}

/// What is to be sent to whom.
pub type Mail = Vec<(Group, Bytes)>;

impl Channels {
    fn of(&mut self, kind: Kind, name: &[u8]) -> Option<&mut Listeners> {
        match kind {
            Kind::Channel => self.exact.get_mut(name),
            Kind::Pattern => self.patterns.get_mut(name),
        }
    }

    /// One more session listens; the group to join. A listener that does not read would make us
    /// keep all that others say: it is closed, as Redis closes it.
    pub fn enter(&mut self, kind: Kind, name: &[u8], protocol: Protocol) -> Group {
        let listeners = match kind {
            Kind::Channel => self.exact.entry(name.into()).or_default(),
            Kind::Pattern => self.patterns.entry(name.into()).or_default(),
        };
        let listening = listeners.of(protocol);
        listening.sessions += 1;
        listening.group.get_or_insert_with(|| Group::new(SlowMember::CloseMember)).clone()
    }

    /// One session less listens.
    pub fn exit(&mut self, kind: Kind, name: &[u8], protocol: Protocol) {
        let Some(listeners) = self.of(kind, name) else { return };
        let listening = listeners.of(protocol);
        listening.sessions -= 1;
        if listening.sessions == 0 {
            listening.group = None;
        }
        if listeners.sessions() == 0 {
            match kind {
                Kind::Channel => _ = self.exact.remove(name),
                Kind::Pattern => _ = self.patterns.remove(name),
            }
        }
    }

    /// What is to be sent to whom for a message, and how many times it will be heard.
    pub fn publish(&self, channel: &[u8], payload: &[u8]) -> (Mail, usize) {
        let (mut mail, mut heard) = (Mail::new(), 0);
        if let Some(listeners) = self.exact.get(channel) {
            listeners.mail(&[b"message", channel, payload], &mut mail);
            heard += listeners.sessions();
        }
        for (pattern, listeners) in &self.patterns {
            if glob::matches(pattern, channel) {
                listeners.mail(&[b"pmessage", pattern, channel, payload], &mut mail);
                heard += listeners.sessions();
            }
        }
        (mail, heard)
    }

    /// The channels, without patterns, that match.
    pub fn names<'a>(&'a self, pattern: Option<&'a [u8]>) -> impl Iterator<Item = &'a [u8]> {
        let names = self.exact.keys().map(|name| &**name);
        names.filter(move |name| pattern.is_none_or(|pattern| glob::matches(pattern, name)))
    }

    /// How many sessions listen to a channel, not counting patterns.
    pub fn sessions(&self, channel: &[u8]) -> usize {
        self.exact.get(channel).map_or(0, Listeners::sessions)
    }

    /// How many patterns there are.
    pub fn pattern_count(&self) -> usize {
        self.patterns.len()
    }
}

fn message(protocol: Protocol, fields: &[&[u8]]) -> Bytes {
    let mut bytes = Vec::new();
    let mut reply = Reply::new(&mut bytes, protocol);
    reply.push(fields.len());
    for field in fields {
        reply.bulk(field);
    }
    bytes.into()
}

/// What one session listens to.
#[derive(Default)]
pub struct Subscriptions {
    channels: HashMap<Box<[u8]>, Group>,
    patterns: HashMap<Box<[u8]>, Group>,
}

impl Subscriptions {
    /// Those of a kind.
    pub fn of(&mut self, kind: Kind) -> &mut HashMap<Box<[u8]>, Group> {
        match kind {
            Kind::Channel => &mut self.channels,
            Kind::Pattern => &mut self.patterns,
        }
    }

    /// How many there are of both kinds.
    pub fn len(&self) -> usize {
        self.channels.len() + self.patterns.len()
    }

    /// How many there are of each kind.
    pub fn lens(&self) -> (usize, usize) {
        (self.channels.len(), self.patterns.len())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_channel_that_nobody_listens_to_is_forgotten() {
        let mut channels = Channels::default();
        for protocol in [Protocol::Resp2, Protocol::Resp3] {
            channels.enter(Kind::Channel, b"news", protocol);
            channels.enter(Kind::Pattern, b"n*", protocol);
        }
        assert_eq!((channels.sessions(b"news"), channels.pattern_count()), (2, 1));
        for protocol in [Protocol::Resp2, Protocol::Resp3] {
            channels.exit(Kind::Channel, b"news", protocol);
            channels.exit(Kind::Pattern, b"n*", protocol);
        }
        assert!(channels.exact.is_empty() && channels.patterns.is_empty());
        channels.exit(Kind::Channel, b"news", Protocol::Resp2);
    }

    #[test]
    fn a_message_goes_once_to_each_version_that_is_listened_in() {
        let mut channels = Channels::default();
        for _ in 0..3 {
            channels.enter(Kind::Channel, b"news", Protocol::Resp2);
        }
        channels.enter(Kind::Pattern, b"n?ws", Protocol::Resp3);
        channels.enter(Kind::Pattern, b"x*", Protocol::Resp3);
        let (mail, heard) = channels.publish(b"news", b"text");
        assert_eq!((mail.len(), heard), (2, 4));
        channels.exit(Kind::Pattern, b"n?ws", Protocol::Resp3);
        let (mail, heard) = channels.publish(b"news", b"text");
        assert_eq!((mail.len(), heard), (1, 3));
    }

    #[test]
    fn a_message_is_written_in_each_version() {
        let fields = [&b"message"[..], b"ch", b"text"];
        let resp2 = b"*3\r\n$7\r\nmessage\r\n$2\r\nch\r\n$4\r\ntext\r\n";
        assert_eq!(message(Protocol::Resp2, &fields), resp2[..]);
        assert_eq!(message(Protocol::Resp3, &fields)[0], b'>');
    }
}
