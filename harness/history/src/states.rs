//! The states of cases, run by run.
//!
//! A case whose worker never came to say what it saw has failed on a machine that is not fully known, and that is when its
//! state matters most. It is counted to the machine of the same host on which the case was seen last before, or else first
//! after.

use std::collections::{BTreeMap, HashMap};

use placebench_core::record::CaseStatus;
use placebench_core::trend::{StateHistory, StatePoint};

use crate::list::named;
use crate::trend::{CaseInRun, Reader};

/// The states of all cases on each machine.
pub(crate) fn states(reader: &Reader, last: usize) -> Vec<StateHistory> {
    let mut nearest = Nearest::new(reader);
    let mut found: BTreeMap<(usize, usize), Vec<(StatePoint, usize)>> = BTreeMap::new();
    for case in reader.cases.values() {
        let row = nearest.machine_of(reader, case);
        let (Some(point), Some(machine)) = (point(case), reader.machine_position(row)) else {
            continue;
        };
        found.entry((case.name, machine)).or_default().push((point, case.facts));
    }
    let history = |((name, machine), points): ((usize, usize), Vec<(StatePoint, usize)>)| {
        let left_out = points.len().saturating_sub(last);
        let (points, facts) = points.into_iter().skip(left_out).unzip();
        StateHistory {
            case: reader.names.get(name).cloned().unwrap_or_default(),
            machine,
            points,
            facts,
        }
    };
    found.into_iter().map(history).collect()
}

/// Nothing is said of a case that was not run.
fn point(case: &CaseInRun) -> Option<StatePoint> {
    let [status, outcome, text] = case.state.clone()?;
    let status = named(status)?;
    (status != CaseStatus::Skipped).then_some(())?;
    Some(StatePoint {
        run: case.run,
        status,
        outcome: named(outcome)?,
        text: named(text)?,
    })
}

/// The machine each case was seen on last, by its host; at first the one it will be seen on first.
struct Nearest<'a> {
    seen: HashMap<(usize, &'a str), i64>,
}

impl<'a> Nearest<'a> {
    fn new(reader: &'a Reader) -> Self {
        let mut seen = HashMap::new();
        for case in reader.cases.values().filter(|case| case.machine_seen) {
            if let Some(host) = reader.host_of(case.machine) {
                seen.entry((case.name, host)).or_insert(case.machine);
            }
        }
        Self { seen }
    }

    fn machine_of(&mut self, reader: &'a Reader, case: &CaseInRun) -> i64 {
        let Some(host) = reader.host_of(case.machine) else {
            return case.machine;
        };
        let key = (case.name, host);
        if case.machine_seen {
            self.seen.insert(key, case.machine);
            return case.machine;
        }
        self.seen.get(&key).copied().unwrap_or(case.machine)
    }
}
