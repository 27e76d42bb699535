//! Where the time of a step goes.

use crate::Context;

/// Divides the time of a step among its stages and hops. A lap ends where the device that worked has been waited for.
#[derive(Debug, Clone, PartialEq)]
pub struct StepClock {
    last_s: f64,
    laps_s: Vec<f64>,
}

impl StepClock {
    /// The first stage begins.
    #[must_use]
    pub fn start(context: &Context) -> Self {
        Self {
            last_s: context.now_s(),
            laps_s: Vec::new(),
        }
    }

    /// Goes on with a step that has begun on another thread.
    #[must_use]
    pub fn resume(context: &Context, laps_s: Vec<f64>) -> Self {
        Self {
            laps_s,
            ..Self::start(context)
        }
    }

    /// What has been measured so far.
    #[must_use]
    pub fn into_laps(self) -> Vec<f64> {
        self.laps_s
    }

    /// A stage or a hop is over.
    pub fn lap(&mut self, context: &Context) {
        let now_s = context.now_s();
        self.laps_s.push(now_s - self.last_s);
        self.last_s = now_s;
    }

    /// The last stage is over: seconds of stages and hops in turn.
    #[must_use]
    pub fn finish(mut self, context: &Context) -> Vec<f64> {
        self.lap(context);
        self.laps_s
    }
}
