//! The lines a person reads while a search goes on.

use console::Style;
use placebench_core::bisect::record::ProbeLine;
use placebench_core::bisect::{Probe, ProbeResult, Space};
use placebench_core::units::human_seconds;

use crate::summary::one_line;
use crate::terminal::printable;

/// The first line.
pub(super) fn heading(case: &str) -> String {
    format!("searching what makes {} fail", printable(case))
}

/// A placement that was tried.
pub(super) fn probe(number: usize, line: &ProbeLine, left: Option<usize>) -> String {
    let style = match line.result {
        ProbeResult::Fails => Style::new().red().bold(),
        ProbeResult::Passes => Style::new().green(),
        ProbeResult::Unresolved => Style::new().yellow(),
    };
    let result = style.apply_to(format!("{:>10}", line.result.as_str()));
    let mut notes = vec![human_seconds(line.wall_s)];
    // A probe that fails does so like the case itself, whose line says how.
    if line.configuration.is_none() || line.result == ProbeResult::Unresolved {
        notes.push(printable(&line.sentence));
    }
    if let Some(left) = left {
        notes.push(format!("{left} left"));
    }
    format!(
        "{number:>4} {result}  {}  ({})",
        one_line(&printable(&line.tried)),
        one_line(&notes.join("; "))
    )
}

/// How many hops or modules it can still be.
pub(super) struct Left(usize);

impl Left {
    /// All in which the two placements differ.
    pub(super) fn new(space: &Space) -> Self {
        let hops = space.failing.hops().len();
        Self(if hops > 0 {
            hops
        } else {
            space.failing.differences(&space.passing).len()
        })
    }

    /// The number after a probe, where that probe was about it.
    pub(super) fn after(&mut self, probe: &Probe, result: ProbeResult) -> Option<usize> {
        if probe.candidates == 0 {
            return None;
        }
        match result {
            ProbeResult::Fails => self.0 = probe.candidates,
            ProbeResult::Passes if self.0 > probe.candidates => self.0 -= probe.candidates,
            ProbeResult::Passes | ProbeResult::Unresolved => {}
        }
        Some(self.0)
    }
}
