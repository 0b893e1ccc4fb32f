//! Sessions that were dialled from a worker's thread: named before the reactor had a slot for them.
//!
//! A handler on a worker is given a session's id at once, and the reactor hears of it later. So such
//! a session has two ids: its name, which handlers know, and the one of its slot, which the poller
//! carries. All others have one, and are not in here.
//!
//! Thread contract: reactor-thread.

use std::collections::HashMap;

use crate::id::SessionId;

/// Both directions.
#[derive(Default)]
pub struct Names {
    slots: HashMap<SessionId, SessionId>,
    names: HashMap<SessionId, SessionId>,
}

impl Names {
    /// The session in `slot` is known as `name`.
    pub fn give(&mut self, name: SessionId, slot: SessionId) {
        self.slots.insert(name, slot);
        self.names.insert(slot, name);
    }

    /// The id of a session's slot; a name whose session has ended is nobody's.
    #[inline]
    pub fn slot(&self, name: SessionId) -> SessionId {
        if !name.is_named_ahead() {
            return name;
        }
        self.slots.get(&name).copied().unwrap_or(SessionId::NONE)
    }

    /// The name by which handlers know the session in `slot`.
    #[inline]
    pub fn name(&self, slot: SessionId) -> SessionId {
        if self.names.is_empty() {
            return slot;
        }
        self.names.get(&slot).copied().unwrap_or(slot)
    }

    /// The session in `slot` has ended.
    #[inline]
    pub fn forget(&mut self, slot: SessionId) {
        if let Some(name) = self.names.remove(&slot) {
            self.slots.remove(&name);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_is_good_for_one_life() {
        let mut names = Names::default();
        let (name, slot) = (SessionId::ahead(0, 5), SessionId::new(0, 3, 7));
        assert_eq!(names.slot(name), SessionId::NONE, "nobody has it yet");
        names.give(name, slot);
        assert_eq!((names.slot(name), names.name(slot)), (slot, name));
        let other = SessionId::new(0, 3, 9);
        assert_eq!((names.slot(other), names.name(other)), (other, other));
        names.forget(slot);
        assert_eq!((names.slot(name), names.name(slot)), (SessionId::NONE, slot));
    }
}
