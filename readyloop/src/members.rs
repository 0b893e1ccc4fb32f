//! Who of a reactor's sessions is in which group.
//!
//! Two lists that mirror each other, each dense: the members of a group, which a broadcast walks,
//! and the groups of a session, which its end walks. A map says for each membership where it is in
//! both, so it begins and ends in constant time, however many others there are.
//!
//! Invariants: a membership is in both lists exactly once, at the positions that the map says; a group
//! without members here, and a session without groups, has no list.
//!
//! Thread contract: reactor-thread.

use std::collections::HashMap;
use std::hash::Hash;

use crate::group::{Group, SlowMember};
use crate::id::SessionId;

/// One reactor's members of all groups.
#[derive(Default)]
pub struct Members {
    /// The members of each group, by its key, which belongs to no other group while it is in here.
    lists: HashMap<usize, Vec<SessionId>>,
    /// The groups of each session, by its slot: it is in none before the slot is another's.
    joined: HashMap<u32, Joined>,
    positions: HashMap<(usize, u32), Position>,
    /// The list that is being walked is put back here for the next walk.
    walk: Vec<SessionId>,
}

/// The groups of one session.
#[derive(Default)]
struct Joined {
    /// Those that must be told when it is slow: it may be often, and in many others.
    pausing: Vec<Group>,
    others: Vec<Group>,
}

/// Where a membership is in the group's list and in the session's.
struct Position {
    member: u32,
    group: u32,
}

impl Joined {
    fn list(&mut self, slow_member: SlowMember) -> &mut Vec<Group> {
        match slow_member {
            SlowMember::PauseSender => &mut self.pausing,
            SlowMember::DropMessage | SlowMember::CloseMember => &mut self.others,
        }
    }

    fn is_empty(&self) -> bool {
        self.pausing.is_empty() && self.others.is_empty()
    }
}

fn slot(id: SessionId) -> u32 {
    id.index() as u32
}

impl Members {
    /// Adds a session to a group; `false` if it is in there already.
    pub fn join(&mut self, id: SessionId, group: &Group) -> bool {
        let (key, slot) = (group.key(), slot(id));
        if self.positions.contains_key(&(key, slot)) {
            return false;
        }
        // Most groups of a session that is in many are small.
        let list = self.lists.entry(key).or_insert_with(|| Vec::with_capacity(1));
        let groups = self.joined.entry(slot).or_default().list(group.slow_member());
        let position = Position { member: list.len() as u32, group: groups.len() as u32 };
        list.push(id);
        groups.push(group.clone());
        self.positions.insert((key, slot), position);
        group.joined(id.reactor());
        true
    }

    /// Takes a session out of a group; `false` if it is not in there.
    pub fn leave(&mut self, id: SessionId, group: &Group) -> bool {
        let (key, slot) = (group.key(), slot(id));
        let Some(position) = self.positions.remove(&(key, slot)) else { return false };
        self.take_out(id, group, position.member as usize);
        if let Some(joined) = self.joined.get_mut(&slot) {
            let groups = joined.list(group.slow_member());
            groups.swap_remove(position.group as usize);
            if let Some(moved) = groups.get(position.group as usize)
                && let Some(its) = self.positions.get_mut(&(moved.key(), slot))
            {
                its.group = position.group;
            }
            shrink_list(groups);
            if joined.is_empty() {
                self.joined.remove(&slot);
            }
        }
        self.give_back();
        true
    }

    /// Takes a session out of all of its groups, and says which of them must be told if it was
    /// slow.
    pub fn leave_all(&mut self, id: SessionId) -> Vec<Group> {
        let Some(joined) = self.joined.remove(&slot(id)) else { return Vec::new() };
        for group in joined.pausing.iter().chain(&joined.others) {
            if let Some(position) = self.positions.remove(&(group.key(), slot(id))) {
                self.take_out(id, group, position.member as usize);
            }
        }
        self.give_back();
        joined.pausing
    }

    /// The groups of a session that must be told that it is slow, or no longer.
    pub fn pausing(&self, id: SessionId) -> &[Group] {
        self.joined.get(&slot(id)).map_or(&[], |joined| &joined.pausing)
    }

    /// A copy of a group's list, which may be walked while members come and go; give it back with
    /// [`Members::walked`].
    pub fn walk(&mut self, group: &Group) -> Vec<SessionId> {
        let mut walk = std::mem::take(&mut self.walk);
        walk.extend_from_slice(self.lists.get(&group.key()).map_or(&[], |list| &list[..]));
        walk
    }

    /// Takes back the room of a list that was walked.
    pub fn walked(&mut self, mut walk: Vec<SessionId>) {
        walk.clear();
        self.walk = walk;
    }

    /// Takes a session, whose membership is forgotten already, out of a group's list.
    fn take_out(&mut self, id: SessionId, group: &Group, nth: usize) {
        group.left(id.reactor());
        let key = group.key();
        let Some(list) = self.lists.get_mut(&key) else { return };
        list.swap_remove(nth);
        if let Some(moved) = list.get(nth)
            && let Some(its) = self.positions.get_mut(&(key, slot(*moved)))
        {
            its.member = nth as u32;
        }
        shrink_list(list);
        if list.is_empty() {
            self.lists.remove(&key);
        }
    }

    fn give_back(&mut self) {
        shrink_map(&mut self.lists);
        shrink_map(&mut self.joined);
        shrink_map(&mut self.positions);
    }
}

/// What is mostly empty gives its memory back: rarely enough that each removal pays for a constant
/// part of it.
fn is_mostly_empty(len: usize, capacity: usize) -> bool {
    capacity > 64 && len < capacity / 8
}

fn shrink_list<T>(list: &mut Vec<T>) {
    if is_mostly_empty(list.len(), list.capacity()) {
        list.shrink_to(list.len() * 2);
    }
}

fn shrink_map<K: Eq + Hash, V>(map: &mut HashMap<K, V>) {
    if is_mostly_empty(map.len(), map.capacity()) {
        map.shrink_to(map.len() * 2);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sim::Rng;
    use std::collections::BTreeSet;

    fn id(index: u32) -> SessionId {
        SessionId::new(0, index, 1)
    }

    fn listed(members: &mut Members, group: &Group) -> Vec<SessionId> {
        let walk = members.walk(group);
        let mut sorted = walk.clone();
        members.walked(walk);
        sorted.sort_unstable();
        sorted
    }

    #[test]
    fn whoever_joins_and_leaves_the_lists_say_who_is_in() {
        for seed in 0..200 {
            let mut rng = Rng::new(seed);
            let mut members = Members::default();
            let slow = [SlowMember::PauseSender, SlowMember::DropMessage, SlowMember::PauseSender];
            let groups = slow.map(Group::new);
            let mut twins = vec![BTreeSet::new(); 3];
            for _ in 0..100 {
                let (who, which) = (id(rng.below(8) as u32), rng.below(3));
                match rng.below(5) {
                    0 => {
                        members.leave_all(who);
                        twins.iter_mut().for_each(|twin| {
                            twin.remove(&who);
                        });
                    }
                    1 | 2 => {
                        assert_eq!(members.leave(who, &groups[which]), twins[which].remove(&who))
                    }
                    _ => assert_eq!(members.join(who, &groups[which]), twins[which].insert(who)),
                }
                for (group, twin) in groups.iter().zip(&twins) {
                    assert!(listed(&mut members, group).iter().eq(twin), "seed {seed}");
                    assert_eq!(group.len(), twin.len(), "seed {seed}");
                }
            }
        }
    }

    #[test]
    fn a_group_that_all_have_left_leaves_nothing_behind() {
        let (mut members, group) = (Members::default(), Group::new(SlowMember::default()));
        members.join(id(1), &group);
        members.join(id(2), &group);
        members.leave_all(id(1));
        members.leave(id(2), &group);
        assert!(members.lists.is_empty() && members.joined.is_empty() && group.is_empty());
        assert!(members.positions.is_empty());
    }

    #[test]
    fn a_slow_session_tells_only_the_groups_whose_senders_wait() {
        let slow = [SlowMember::PauseSender, SlowMember::DropMessage, SlowMember::CloseMember];
        let (mut members, groups) = (Members::default(), slow.map(Group::new));
        assert!(groups.iter().all(|group| members.join(id(1), group)));
        assert_eq!(members.pausing(id(1)), &groups[..1]);
        assert!(members.leave(id(1), &groups[1]));
        assert_eq!(members.leave_all(id(1)), &groups[..1]);
        assert_eq!(members.pausing(id(1)), []);
    }
}
