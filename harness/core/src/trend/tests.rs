use super::*;
use crate::compare::Direction;
use crate::exit_code::ExitCode;
use crate::outcome::OutcomeKind;
use crate::record::{CaseStatus, TextVerdict};

fn facts(tool: &str) -> Facts {
    Facts {
        tool: tool.into(),
        ..Facts::default()
    }
}

fn figure(metric: &str, direction: Direction, values: &[f64]) -> FigureHistory {
    let point = |(run, value): (usize, &f64)| FigurePoint {
        run,
        value: *value,
        lowest: *value,
        highest: *value,
        attempts: 6,
    };
    FigureHistory {
        case: format!("s/p/{metric}"),
        figure: Figure {
            metric: metric.into(),
            device: None,
            unit: "s".into(),
            direction,
        },
        is_counted: false,
        machine: 0,
        points: values.iter().enumerate().map(point).collect(),
        facts: (0..values.len()).map(|run| usize::from(run >= 12)).collect(),
    }
}

/// Twelve runs at 1, twelve at `level`.
fn step(level: f64) -> Vec<f64> {
    let wobble = [0.0, 0.004, -0.003, 0.006, -0.005];
    let value = |run: usize| if run < 12 { 1.0 } else { level } * (1.0 + wobble[run % 5]);
    (0..24).map(value).collect()
}

fn states(case: &str, statuses: &[(CaseStatus, TextVerdict)]) -> StateHistory {
    let point = |(run, (status, text)): (usize, &(CaseStatus, TextVerdict))| StatePoint {
        run,
        status: *status,
        outcome: OutcomeKind::Completed,
        text: *text,
    };
    StateHistory {
        case: case.into(),
        machine: 0,
        points: statuses.iter().enumerate().map(point).collect(),
        facts: (0..statuses.len()).map(|run| usize::from(run >= 1)).collect(),
    }
}

fn made(figures: Vec<FigureHistory>, states: Vec<StateHistory>) -> Trend {
    let run = |number: usize| TrendRun {
        run_id: format!("r{number}"),
        started_at: String::new(),
        exit: ExitCode::Passed,
    };
    let known = [facts("placebench 1"), facts("placebench 2")];
    trend(
        (Vec::new(), (0..24).map(run).collect(), &known),
        figures,
        states,
        &TrendSpec::default(),
    )
}

#[test]
fn a_change_has_its_size_its_sense_and_what_else_changed() {
    let made = made(
        vec![
            figure("quiet", Direction::Lower, &step(1.0)),
            figure("better", Direction::Lower, &step(0.8)),
            figure("slower", Direction::Lower, &step(1.1)),
            figure("less", Direction::Higher, &step(0.7)),
        ],
        Vec::new(),
    );
    let order: Vec<&str> = made
        .figures
        .iter()
        .map(|series| series.figure.metric.as_str())
        .collect();
    assert_eq!(order, ["less", "slower", "quiet", "better"], "the worst first");
    let slower = &made.figures[1];
    let change = &slower.changes[0];
    assert_eq!((slower.changes.len(), change.at, change.worse), (1, 12, Some(true)));
    assert!((change.ratio.unwrap() - 1.1).abs() < 0.01, "{change:?}");
    assert_eq!(change.differences.len(), 1);
    assert_eq!(
        (
            change.differences[0].before.as_str(),
            change.differences[0].after.as_str()
        ),
        ("placebench 1", "placebench 2")
    );
    let edges: Vec<(usize, usize)> = slower.levels.iter().map(|level| (level.first, level.last)).collect();
    assert_eq!(edges, [(0, 11), (12, 23)]);
    assert_eq!(made.figures[0].worse(), Some(true));
    assert_eq!((made.figures[2].changes.len(), made.figures[2].levels.len()), (0, 1));
}

impl FigureSeries {
    fn worse(&self) -> Option<bool> {
        self.changes.last()?.worse
    }
}

#[test]
fn a_counted_figure_changes_at_once_and_neither_way_is_better() {
    let mut hops = figure("hops_per_token", Direction::Equal, &[1.0, 1.0, 2.0]);
    hops.is_counted = true;
    let made = made(vec![hops], Vec::new());
    assert_eq!(made.figures[0].changes.len(), 1);
    assert_eq!(
        (made.figures[0].changes[0].at, made.figures[0].changes[0].worse),
        (2, None)
    );
}

#[test]
fn states_change_in_one_run_and_broken_ones_come_first() {
    use CaseStatus::{Failed, Flaky, Passed};
    use TextVerdict::{Diverged, Exact, NearTie};
    let made = made(
        Vec::new(),
        vec![
            states("quiet", &[(Passed, Exact), (Passed, Exact)]),
            states("fixed", &[(Failed, Diverged), (Passed, Exact)]),
            states("always", &[(Failed, Exact), (Failed, Exact)]),
            states("broke", &[(Passed, Exact), (Failed, Diverged), (Failed, Diverged)]),
            states("text", &[(Passed, Exact), (Flaky, NearTie)]),
        ],
    );
    let kinds: Vec<(&str, Vec<StateChangeKind>)> = made
        .states
        .iter()
        .map(|series| {
            (
                series.case.as_str(),
                series.changes.iter().map(|change| change.kind).collect(),
            )
        })
        .collect();
    assert_eq!(
        kinds,
        [
            ("broke", vec![StateChangeKind::Broke]),
            ("always", vec![]),
            ("fixed", vec![StateChangeKind::Fixed]),
            ("text", vec![StateChangeKind::Other]),
            ("quiet", vec![]),
        ]
    );
    assert_eq!(made.states[0].changes[0].differences[0].what, "placebench");
}

#[test]
fn nothing_and_what_does_not_fit_are_no_error() {
    assert!(made(Vec::new(), Vec::new()).figures.is_empty());
    let mut odd = figure("odd", Direction::Lower, &step(2.0));
    odd.facts = vec![99; 3];
    let empty = figure("empty", Direction::Lower, &[]);
    let zero = figure("zero", Direction::Lower, &[0.0; 30]);
    let made = made(vec![odd, empty, zero], Vec::new());
    assert_eq!(made.figures[0].changes[0].differences, []);
    assert!(made.figures[1].changes.is_empty() && made.figures[2].changes.is_empty());
}

#[test]
fn a_trend_reads_back() {
    let made = made(vec![figure("a", Direction::Lower, &step(1.2))], Vec::new());
    let json = serde_json::to_string(&made).unwrap();
    assert_eq!(serde_json::from_str::<Trend>(&json).unwrap(), made);
}
