//! What is known of a client: by its own session, and by all who ask for the list.

use std::collections::BTreeMap;
use std::fmt::Write as _;

use readyloop::Now;
use readyloop_protocols::Waiting;
use readyloop_protocols::resp::Protocol;

use super::channels::Subscriptions;

/// A client, as its session knows it.
pub struct Client {
    /// Its number, as CLIENT ID tells it.
    pub number: u64,
    pub protocol: Protocol,
    /// What it listens to, if it ever did.
    pub subscriptions: Option<Box<Subscriptions>>,
    /// The commands behind MULTI.
    pub transaction: Option<Box<Transaction>>,
    /// Commands that wait until the replies before them have left.
    pub stalled: Option<Box<Stalled>>,
    /// How many more bytes of answers may be queued before its queue must be looked at.
    pub room_bytes: usize,
    /// It said QUIT.
    pub has_quit: bool,
}

/// Commands that are to be done at once.
#[derive(Default)]
pub struct Transaction {
    /// Each is an array, as a client sends it.
    pub commands: Waiting,
    /// One of them was refused; so none will be done.
    pub is_broken: bool,
}

/// Commands that wait.
#[derive(Default)]
pub struct Stalled {
    pub commands: Waiting,
    /// Behind them nothing will come.
    pub peer_finished: bool,
}

impl Client {
    pub fn new(number: u64) -> Client {
        Client {
            number,
            protocol: Protocol::default(),
            subscriptions: None,
            transaction: None,
            stalled: None,
            room_bytes: 0,
            has_quit: false,
        }
    }

    /// What it listens to from here on. Messages come between its answers then, so nobody knows how
    /// much room they leave.
    pub fn listen(&mut self) -> &mut Subscriptions {
        self.room_bytes = 0;
        self.subscriptions.get_or_insert_default()
    }

    /// How many channels and patterns it listens to.
    pub fn subscription_count(&self) -> usize {
        self.subscriptions.as_ref().map_or(0, |subscriptions| subscriptions.len())
    }

    /// Whether messages come between its replies in a way that allows only few commands.
    pub fn only_listens(&self) -> bool {
        self.protocol == Protocol::Resp2 && self.subscription_count() > 0
    }
}

/// All clients, as CLIENT LIST tells them.
#[derive(Default)]
pub struct Clients {
    cards: BTreeMap<u64, Card>,
    /// How many there ever were.
    pub total: u64,
}

/// What others can see of a client.
pub struct Card {
    pub address: String,
    pub since: Now,
    pub name: String,
    pub library: String,
    pub library_version: String,
    /// Channels and patterns.
    pub listens: (usize, usize),
    pub protocol: Protocol,
}

impl Clients {
    /// One more; its number.
    pub fn enter(&mut self, address: String, since: Now) -> u64 {
        self.total += 1;
        let card = Card {
            address,
            since,
            name: String::new(),
            library: String::new(),
            library_version: String::new(),
            listens: (0, 0),
            protocol: Protocol::default(),
        };
        self.cards.insert(self.total, card);
        self.total
    }

    /// One less.
    pub fn exit(&mut self, number: u64) {
        self.cards.remove(&number);
    }

    /// How many there are.
    pub fn len(&self) -> usize {
        self.cards.len()
    }

    /// What is known of one.
    pub fn card(&mut self, number: u64) -> Option<&mut Card> {
        self.cards.get_mut(&number)
    }

    /// Those that listen to channels, or those that do not.
    pub fn numbers(&self, listens: bool) -> Vec<u64> {
        let wanted = |card: &Card| (card.listens != (0, 0)) == listens;
        let found = self.cards.iter().filter(|(_, card)| wanted(card));
        found.map(|(number, _)| *number).collect()
    }

    /// A line for each of them, or for these.
    pub fn lines(&self, only: Option<&[u64]>, now: Now) -> String {
        let mut lines = String::new();
        for (number, card) in &self.cards {
            if only.is_none_or(|only| only.contains(number)) {
                card.line(*number, now, &mut lines);
            }
        }
        lines
    }
}

impl Card {
    fn line(&self, number: u64, now: Now, out: &mut String) {
        let (channels, patterns) = self.listens;
        let Card { address, name, library, library_version, .. } = self;
        let age = now.since(self.since).as_secs();
        let resp = version(self.protocol);
        writeln!(
            out,
            "id={number} addr={address} name={name} age={age} db=0 sub={channels} psub={patterns} \
             lib-name={library} lib-ver={library_version} resp={resp}"
        )
        .expect("writing to a string does not fail");
    }
}

/// The number of a version.
pub fn version(protocol: Protocol) -> i64 {
    match protocol {
        Protocol::Resp2 => 2,
        Protocol::Resp3 => 3,
    }
}

#[cfg(test)]
mod tests {
    use super::Client;

    #[test]
    fn who_begins_to_listen_has_his_queue_looked_at_again() {
        let mut client = Client::new(1);
        client.room_bytes = 1000;
        client.listen();
        assert_eq!((client.room_bytes, client.subscription_count()), (0, 0));
    }
}
