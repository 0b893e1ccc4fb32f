//! Who of a reactor's sessions is in which group.
//!
//! Invariants: a session is in a group's list at most once, at the place that its own list says; a
//! group without members here has no list.
//!
//! Thread contract: reactor-thread.

use std::collections::HashMap;

use crate::group::Group;
use crate::id::SessionId;

/// One reactor's members of all groups.
#[derive(Default)]
pub struct Members {
    /// By the group's key, which belongs to no other group while it is in here.
    lists: HashMap<usize, Vec<SessionId>>,
    groups: HashMap<SessionId, Vec<Place>>,
    /// The list that is being walked is put back here for the next walk.
    walk: Vec<SessionId>,
}

struct Place {
    group: Group,
    nth: usize,
}

impl Members {
    /// Adds a session to a group; `false` if it is in there already.
    pub fn join(&mut self, id: SessionId, group: &Group) -> bool {
        let places = self.groups.entry(id).or_default();
        if places.iter().any(|place| place.group.key() == group.key()) {
            return false;
        }
        let list = self.lists.entry(group.key()).or_default();
        places.push(Place { group: group.clone(), nth: list.len() });
        list.push(id);
        group.joined(id.reactor());
        true
    }

    /// Takes a session out of a group; `false` if it is not in there.
    pub fn leave(&mut self, id: SessionId, group: &Group) -> bool {
        let Some(places) = self.groups.get_mut(&id) else { return false };
        let Some(at) = places.iter().position(|place| place.group.key() == group.key()) else {
            return false;
        };
        let place = places.swap_remove(at);
        if places.is_empty() {
            self.groups.remove(&id);
        }
        self.take_out(id, &place);
        true
    }

    /// Takes a session out of all of its groups, and says which they were.
    pub fn leave_all(&mut self, id: SessionId) -> Vec<Group> {
        let Some(places) = self.groups.remove(&id) else { return Vec::new() };
        places.iter().for_each(|place| self.take_out(id, place));
        places.into_iter().map(|place| place.group).collect()
    }

    /// The groups that a session is in.
    pub fn groups(&self, id: SessionId) -> impl Iterator<Item = &Group> {
        self.groups.get(&id).into_iter().flatten().map(|place| &place.group)
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

    fn take_out(&mut self, id: SessionId, place: &Place) {
        let key = place.group.key();
        let Some(list) = self.lists.get_mut(&key) else { return };
        list.swap_remove(place.nth);
        if let Some(moved) = list.get(place.nth)
            && let Some(places) = self.groups.get_mut(moved)
            && let Some(its) = places.iter_mut().find(|its| its.group.key() == key)
        {
            its.nth = place.nth;
        }
        if list.is_empty() {
            self.lists.remove(&key);
        }
        place.group.left(id.reactor());
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::group::SlowMember;
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
            let groups: Vec<Group> = (0..3).map(|_| Group::new(SlowMember::default())).collect();
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
        assert_eq!(members.groups(id(1)).count(), 1);
        assert_eq!(members.leave_all(id(1)).len(), 1);
        members.leave(id(2), &group);
        assert!(members.lists.is_empty() && members.groups.is_empty() && group.is_empty());
    }
}
