//! Repeating something until its median can be trusted, within a budget of time.

use std::time::{Duration, Instant};

use placebench_core::judge::median;

use super::ProbeError;

/// How often something is repeated.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Repeat {
    /// At least so often, however long it takes.
    pub(crate) fewest: usize,
    /// At most so often.
    pub(crate) most: usize,
    /// No further sample is begun after this.
    pub(crate) budget: Duration,
}

impl Repeat {
    /// Three to `most` samples within so many milliseconds.
    pub(crate) fn within_ms(budget_ms: u64, most: usize) -> Self {
        Self {
            fewest: 3,
            most,
            budget: Duration::from_millis(budget_ms),
        }
    }

    /// Median seconds of one `sample`, which returns the seconds it took.
    pub(crate) fn median_s(self, mut sample: impl FnMut() -> Result<f64, ProbeError>) -> Result<f64, ProbeError> {
        let begun = Instant::now();
        let mut times = Vec::new();
        while times.len() < self.fewest || (times.len() < self.most && begun.elapsed() < self.budget) {
            times.push(sample()?);
        }
        median(&times).ok_or_else(|| ProbeError::Unusable("no sample was taken".into()))
    }
}

/// Seconds that `work` takes.
pub(crate) fn timed(work: impl FnOnce() -> Result<(), ProbeError>) -> Result<f64, ProbeError> {
    let begun = Instant::now();
    work()?;
    Ok(begun.elapsed().as_secs_f64())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_fewest_are_taken_without_time_and_the_most_with_plenty() {
        let count = |repeat: Repeat| {
            let mut taken = 0;
            let median = repeat.median_s(|| {
                taken += 1;
                Ok(f64::from(taken))
            });
            (taken, median.unwrap())
        };
        assert_eq!(count(Repeat::within_ms(0, 10)), (3, 2.0));
        assert_eq!(count(Repeat::within_ms(60_000, 5)), (5, 3.0));
    }

    #[test]
    fn a_failed_sample_ends_it() {
        let failed = Repeat::within_ms(0, 10).median_s(|| Err(ProbeError::Unusable("no".into())));
        assert_eq!(failed.unwrap_err().to_string(), "no");
    }
}
