//! How a worker is made to end: asked, then killed, then given up. Told the time, has no clock.

use std::time::{Duration, Instant};

/// How long each rung of the ladder is given.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct StopLimits {
    /// Between SIGTERM and SIGKILL.
    pub grace: Duration,
    /// Between SIGKILL and giving up on a process the kernel does not let go of.
    pub after_kill: Duration,
    /// Between the end and the verdict that what the worker held does not come back.
    pub recovery: Duration,
}

/// One second to end in order, ten to be torn down by the kernel: unmapping a few hundred gigabytes of weights takes
/// seconds, waiting in a driver takes for ever. Five for what it held to come back: a driver frees the memory of a context
/// after its process has gone.
impl Default for StopLimits {
    fn default() -> Self {
        Self {
            grace: Duration::from_secs(1),
            after_kill: Duration::from_secs(10),
            recovery: Duration::from_secs(5),
        }
    }
}

/// A rung.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum StopStep {
    /// SIGTERM to the group.
    Terminate,
    /// SIGKILL to the group.
    Kill,
    /// The process is still there: it is left to itself.
    GiveUp,
}

/// The ladder of one attempt.
#[derive(Debug, Clone)]
pub(crate) struct Ladder {
    limits: StopLimits,
    next: Option<(StopStep, Instant)>,
}

impl Ladder {
    /// The first rung is due at once.
    pub(crate) fn new(limits: StopLimits, now: Instant) -> Self {
        Self {
            limits,
            next: Some((StopStep::Terminate, now)),
        }
    }

    /// When the next rung is due.
    pub(crate) fn next_due(&self) -> Option<Instant> {
        self.next.map(|(_, due)| due)
    }

    /// The rung that is due, if one is. Each is due once, and the time of the next counts from when it was taken.
    pub(crate) fn step(&mut self, now: Instant) -> Option<StopStep> {
        let (step, due) = self.next?;
        if due > now {
            return None;
        }
        self.next = match step {
            StopStep::Terminate => Some((StopStep::Kill, now + self.limits.grace)),
            StopStep::Kill => Some((StopStep::GiveUp, now + self.limits.after_kill)),
            StopStep::GiveUp => None,
        };
        Some(step)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn asked_then_killed_then_given_up() {
        let start = Instant::now();
        let mut ladder = Ladder::new(StopLimits::default(), start);
        assert_eq!(ladder.step(start), Some(StopStep::Terminate));
        assert_eq!(ladder.step(start), None);
        assert_eq!(ladder.step(start + Duration::from_millis(999)), None);
        let late = start + Duration::from_secs(3);
        assert_eq!(ladder.step(late), Some(StopStep::Kill));
        assert_eq!(ladder.next_due(), Some(late + Duration::from_secs(10)));
        assert_eq!(ladder.step(late + Duration::from_secs(9)), None);
        assert_eq!(ladder.step(late + Duration::from_secs(10)), Some(StopStep::GiveUp));
        assert_eq!(ladder.step(late + Duration::from_secs(1000)), None);
        assert_eq!(ladder.next_due(), None);
    }
}
