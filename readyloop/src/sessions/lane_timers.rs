//! Timers that a worker has named for the handler of a session, and what the wheel calls them.

use std::collections::HashMap;
use std::time::Duration;

use crate::command::LaneTimer;
use crate::id::SessionId;
use crate::wheel::TimerId;

use super::Sessions;

/// What the wheel calls the timers of lanes: of those that have any, by slot.
#[derive(Default)]
pub(super) struct LaneTimers(HashMap<SessionId, Vec<Set>>);

/// A timer that is in the wheel.
struct Set {
    timer: LaneTimer,
    wheel: TimerId,
}

impl Sessions {
    /// The wheel has fired a timer of a session, and forgets it.
    pub fn lane_timer_fired(&mut self, id: SessionId, wheel: TimerId) -> Option<LaneTimer> {
        let timers = self.lane_timers.0.get_mut(&id)?;
        let nth = timers.iter().position(|set| set.wheel == wheel)?;
        Some(timers.swap_remove(nth).timer)
    }

    /// A session has ended, and its timers with it.
    pub(super) fn forget_lane_timers(&mut self, id: SessionId) {
        if !self.lane_timers.0.is_empty() {
            self.lane_timers.0.remove(&id);
        }
    }

    /// Starts a timer, or starts it anew; `false` if the session is over.
    pub(super) fn set_lane_timer(
        &mut self,
        id: SessionId,
        timer: LaneTimer,
        after: Duration,
    ) -> bool {
        let timers = self.lane_timers.0.get_mut(&id);
        let set = timers.and_then(|timers| timers.iter_mut().find(|set| set.timer.id == timer.id));
        if let Some(set) = set {
            set.timer = timer;
            let wheel = set.wheel;
            return self.reset_timer(id, wheel, after);
        }
        let Some(wheel) = self.set_timer(id, after) else { return false };
        self.lane_timers.0.entry(id).or_default().push(Set { timer, wheel });
        true
    }

    /// Cancels a timer; `false` if it has fired.
    pub(super) fn cancel_lane_timer(&mut self, id: SessionId, timer: TimerId) -> bool {
        let Some(timers) = self.lane_timers.0.get_mut(&id) else { return false };
        let Some(nth) = timers.iter().position(|set| set.timer.id == timer) else { return false };
        let wheel = timers.swap_remove(nth).wheel;
        self.cancel_timer(id, wheel)
    }
}
