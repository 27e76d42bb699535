//! How runs are named: by their day, with the time where a day has several.

use std::collections::HashSet;

use placebench_core::trend::{Difference, Trend};

use crate::view::words::{Lines, line, visible};

/// The runs of a trend in words.
pub(super) struct Runs<'a> {
    trend: &'a Trend,
    /// By position: a day, or a day and a time.
    dates: Vec<String>,
}

impl<'a> Runs<'a> {
    pub(super) fn new(trend: &'a Trend) -> Self {
        let started = || trend.runs.iter().map(|run| run.started_at.as_str());
        // All have the same length, so that they stand under each other.
        let length = [10, 16, 19].into_iter().find(|length| {
            let mut seen = HashSet::new();
            started().filter_map(|at| moment(at, *length)).all(|at| seen.insert(at))
        });
        let date = |at: &str| moment(at, length.unwrap_or(19)).unwrap_or_else(|| visible(at, Lines::Join, 24));
        Self {
            trend,
            dates: started().map(date).collect(),
        }
    }

    /// When a run was begun.
    pub(super) fn date(&self, run: usize) -> String {
        self.dates.get(run).cloned().unwrap_or_default()
    }

    /// The name of a run.
    pub(super) fn id(&self, run: usize) -> String {
        line(self.trend.runs.get(run).map_or("", |run| run.run_id.as_str()))
    }

    /// The key of a machine.
    pub(super) fn machine(&self, machine: usize) -> String {
        line(
            self.trend
                .machines
                .get(machine)
                .map_or("", |machine| machine.key.as_str()),
        )
    }

    /// When the run of a change was begun, and the names of it and of the one before it.
    pub(super) fn between(&self, runs: &[usize], at: usize) -> (String, String) {
        let run = |position: Option<usize>| position.and_then(|position| runs.get(position)).copied();
        let (before, after) = (run(at.checked_sub(1)), run(Some(at)));
        let id = |run: Option<usize>| run.map(|run| self.id(run)).unwrap_or_default();
        let day = after.map(|run| self.date(run)).unwrap_or_default();
        (day, format!("{} and {}", id(before), id(after)))
    }
}

/// The first 10, 16 or 19 characters of a time as it is on record: the day, the minute, the second. Nothing where it is not
/// written like one.
fn moment(started_at: &str, length: usize) -> Option<String> {
    let text = started_at.get(..length)?;
    let is_time = text.bytes().enumerate().all(|(at, byte)| match at {
        4 | 7 => byte == b'-',
        10 => byte == b'T',
        13 | 16 => byte == b':',
        _ => byte.is_ascii_digit(),
    });
    is_time.then(|| text.replace('T', " "))
}

/// What else is not the same, in words.
pub(super) fn beside(differences: &[Difference]) -> Vec<String> {
    if differences.is_empty() {
        return vec!["nothing else on record changed".into()];
    }
    let words = |difference: &Difference| match difference.what.as_str() {
        "definition" => "the case is defined otherwise".to_owned(),
        what => {
            let side = |text: &str| match text {
                "" => "unknown".to_owned(),
                text => line(text),
            };
            let from_to = format!("{} → {}", side(&difference.before), side(&difference.after));
            match what {
                // It calls itself by its name.
                "placebench" => from_to,
                what => format!("{}: {from_to}", line(what)),
            }
        }
    };
    differences.iter().map(words).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use placebench_core::exit_code::ExitCode;
    use placebench_core::trend::{TrendRun, TrendSpec, trend};

    fn dates(started: &[&str]) -> Vec<String> {
        let run = |at: &&str| TrendRun {
            run_id: "r".into(),
            started_at: (*at).into(),
            exit: ExitCode::Passed,
        };
        let runs: Vec<TrendRun> = started.iter().map(run).collect();
        let made = trend((Vec::new(), runs, &[]), Vec::new(), Vec::new(), &TrendSpec::default());
        let runs = Runs::new(&made);
        (0..started.len()).map(|run| runs.date(run)).collect()
    }

    #[test]
    fn times_are_shown_where_days_repeat() {
        assert_eq!(
            dates(&["2026-01-01T08:00:00Z", "2026-01-02T08:00:00Z"]),
            ["2026-01-01", "2026-01-02"]
        );
        assert_eq!(
            dates(&["2026-01-01T08:00:00Z", "2026-01-01T09:30:00Z", "2026-01-02T09:30:00Z"]),
            ["2026-01-01 08:00", "2026-01-01 09:30", "2026-01-02 09:30"]
        );
        assert_eq!(
            dates(&["2026-01-01T08:00:00.1Z", "2026-01-01T08:00:07.2Z"]),
            ["2026-01-01 08:00:00", "2026-01-01 08:00:07"]
        );
        assert_eq!(
            dates(&["yesterday\u{1b}", "2026-01-01T08:00:00Z"]),
            ["yesterday␛", "2026-01-01"]
        );
        assert_eq!(dates(&["", "x"]), ["", "x"]);
    }
}
