//! One room: who is in it, and what was said there.
//!
//! Invariants: numbers grow by one; `history` holds the last lines, without a gap, within its
//! bounds; a room without members has an `empty_since`.

use std::collections::{BTreeMap, VecDeque};

use readyloop::{Group, SessionId, SlowMember};

/// How much a room remembers.
#[derive(Clone, Copy, Debug)]
pub struct Memory {
    /// Lines.
    pub lines_max: usize,
    /// Bytes of lines.
    pub bytes_max: usize,
}

/// One room.
pub struct Room {
    /// Its name, as whoever came first wrote it.
    pub name: String,
    /// To whom lines are sent.
    pub group: Group,
    /// Its members' names by their keys, in order.
    members: BTreeMap<String, (String, SessionId)>,
    /// The number of the last line; 0 before the first one.
    last: u64,
    history: VecDeque<String>,
    history_bytes: usize,
    memory: Memory,
    /// A number that is greater for rooms that were left later.
    pub empty_since: Option<u64>,
}

impl Room {
    pub fn new(name: &str, slow_member: SlowMember, memory: Memory) -> Room {
        Room {
            name: name.to_string(),
            group: Group::new(slow_member),
            members: BTreeMap::new(),
            last: 0,
            history: VecDeque::new(),
            history_bytes: 0,
            memory,
            empty_since: None,
        }
    }

    /// Adds a member, under the key of a name.
    pub fn enter(&mut self, key: &str, name: &str, id: SessionId) {
        self.members.insert(key.to_string(), (name.to_string(), id));
        self.empty_since = None;
    }

    /// Takes a member out; `when` is noted if it was the last one.
    pub fn leave(&mut self, key: &str, when: u64) {
        self.members.remove(key);
        if self.members.is_empty() {
            self.empty_since = Some(when);
        }
    }

    /// The members' names, in order.
    pub fn names(&self) -> impl Iterator<Item = &str> {
        self.members.values().map(|(name, _)| name.as_str())
    }

    /// How many members it has.
    pub fn len(&self) -> usize {
        self.members.len()
    }

    /// The number of the last line.
    pub fn last(&self) -> u64 {
        self.last
    }

    /// Writes down what was said, and returns it as a line with its number.
    pub fn say(&mut self, name: &str, text: &str) -> String {
        self.last += 1;
        let line = format!("SAID {} {} {name} {text}\n", self.name, self.last);
        self.history_bytes += line.len();
        self.history.push_back(line.clone());
        while self.history.len() > self.memory.lines_max
            || self.history_bytes > self.memory.bytes_max
        {
            let Some(oldest) = self.history.pop_front() else { break };
            self.history_bytes -= oldest.len();
        }
        line
    }

    /// The lines after a number that are remembered, and how many are lost. A number that was never
    /// reached is from a room of this name that is forgotten: then everything is new.
    pub fn after(&self, number: u64) -> (impl Iterator<Item = &str>, u64) {
        let number = if number > self.last { 0 } else { number };
        let missed = self.last - number;
        let kept = self.history.len() as u64;
        let lost = missed.saturating_sub(kept);
        let skipped = kept - (missed - lost);
        (self.history.iter().skip(skipped as usize).map(String::as_str), lost)
    }

    /// The last lines, at most so many.
    pub fn recent(&self, count: usize) -> impl Iterator<Item = &str> {
        let skipped = self.history.len().saturating_sub(count);
        self.history.iter().skip(skipped).map(String::as_str)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn room(lines_max: usize, bytes_max: usize) -> Room {
        Room::new("den", SlowMember::DropMessage, Memory { lines_max, bytes_max })
    }

    fn numbers<'a>(lines: impl Iterator<Item = &'a str>) -> Vec<u64> {
        lines.map(|line| line.split(' ').nth(2).unwrap().parse().unwrap()).collect()
    }

    #[test]
    fn the_lines_after_a_number_are_given_and_the_lost_ones_counted() {
        let mut room = room(3, 1000);
        for number in 1..=5 {
            assert_eq!(room.say("ann", "hi"), format!("SAID den {number} ann hi\n"));
        }
        for (after, expected, lost) in
            [(5, vec![], 0), (4, vec![5], 0), (2, vec![3, 4, 5], 0), (0, vec![3, 4, 5], 2)]
        {
            let (lines, gone) = room.after(after);
            assert_eq!((numbers(lines), gone), (expected, lost), "after {after}");
        }
        let (lines, gone) = room.after(77);
        assert_eq!((numbers(lines), gone), (vec![3, 4, 5], 2), "of a room that was forgotten");
        assert_eq!(numbers(room.recent(2)), [4, 5]);
        assert_eq!(numbers(room.recent(99)), [3, 4, 5]);
    }

    #[test]
    fn a_room_remembers_so_many_bytes_and_no_more() {
        let mut room = room(1000, 50);
        for _ in 0..20 {
            room.say("ann", "twenty bytes of text");
            assert!(room.history_bytes <= 50);
            assert_eq!(room.history_bytes, room.history.iter().map(String::len).sum::<usize>());
        }
        assert_eq!(numbers(room.recent(99)), [20]);
    }
}
