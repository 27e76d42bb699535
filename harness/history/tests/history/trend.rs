//! What a history says about figures and states.

use placebench_core::outcome::{FailureClass, Outcome, Phase, WorkerFailure};
use placebench_core::selection::parse;
use placebench_core::trend::{StateChangeKind, TrendSpec};
use placebench_history::{HistoryError, TrendQuery};

use crate::Reports;
use crate::common::{attempts, case, day, info, without_worker, write};

/// These figures of all cases.
pub(crate) fn query(metrics: &[&str]) -> TrendQuery {
    TrendQuery {
        filterset: None,
        metrics: metrics.iter().map(|metric| (*metric).to_owned()).collect(),
        machine: None,
        last: 100,
        spec: TrendSpec::default(),
    }
}

/// A little different every day.
fn wobble(day: u64) -> f64 {
    [0.0, 0.004, -0.006, 0.002, -0.001, 0.007, -0.003][usize::try_from(day % 7).unwrap()]
}

#[test]
fn a_slow_down_is_found_with_what_changed_beside_it() {
    let reports = Reports::new();
    let cases = [case("s/p/single"), case("s/p/auto")];
    for number in 0..24 {
        let (run_id, started_at) = day(number);
        let mut info = info(&run_id, &started_at, cases.to_vec());
        let is_later = number >= 15;
        info.tool.version = if is_later { "0.2.0" } else { "0.1.0" }.into();
        info.environment.kernel = if is_later { "6.9.0" } else { "6.8.0" }.into();
        let level = if is_later { 0.055 } else { 0.05 };
        let mut all = attempts(&cases[..1], level * (1.0 + wobble(number)));
        all.extend(attempts(&cases[1..], 0.03 * (1.0 + wobble(number))));
        write(reports.path(), &info, &all);
    }
    reports.import_all();
    let trend = reports
        .history()
        .trend(&query(&["tpot_s", "ttft_s", "hops_per_token"]))
        .unwrap();
    assert_eq!(
        (trend.runs.len(), trend.machines.len(), trend.figures.len()),
        (24, 1, 6)
    );
    let slower = &trend.figures[0];
    assert_eq!(
        (slower.case.as_str(), slower.figure.metric.as_str()),
        ("s/p/single", "tpot_s")
    );
    assert_eq!((slower.points.len(), slower.points[0].attempts), (24, 6));
    let change = &slower.changes[0];
    assert_eq!((slower.changes.len(), change.at, change.worse), (1, 15, Some(true)));
    assert!((change.ratio.unwrap() - 1.1).abs() < 0.01, "{change:?}");
    let what: Vec<&str> = change
        .differences
        .iter()
        .map(|difference| difference.what.as_str())
        .collect();
    assert_eq!(what, ["placebench", "kernel"]);
    assert!(trend.figures[1..].iter().all(|series| series.changes.is_empty()));

    let only = |change: &dyn Fn(&mut TrendQuery)| {
        let mut query = query(&["tpot_s"]);
        change(&mut query);
        reports.history().trend(&query).unwrap()
    };
    let auto = only(&|query| query.filterset = Some(parse("placement(auto)").unwrap()));
    assert_eq!((auto.figures.len(), auto.figures[0].case.as_str()), (1, "s/p/auto"));
    let few = only(&|query| query.last = 5);
    assert_eq!(few.figures[0].points.len(), 5);
    assert_eq!(few.runs[few.figures[0].points[4].run].run_id, day(23).0);
    let key = trend.machines[0].key.clone();
    assert_eq!(
        only(&|query| query.machine = Some(key[..8].to_owned())).figures.len(),
        2
    );
    let mut unknown = query(&["tpot_s"]);
    unknown.machine = Some("h200".into());
    let error = reports.history().trend(&unknown).unwrap_err();
    assert!(
        matches!(&error, HistoryError::UnknownMachine { .. }) && error.to_string().contains(&key),
        "{error}"
    );
}

#[test]
fn machines_are_never_mixed() {
    let reports = Reports::new();
    let cases = [case("s/p/single")];
    for number in 0..30 {
        let (run_id, started_at) = day(number);
        let mut info = info(&run_id, &started_at, cases.to_vec());
        let is_fast = number % 2 == 0;
        info.environment.cpu_count = if is_fast { 16 } else { 8 };
        let level = if is_fast { 0.02 } else { 0.05 };
        write(reports.path(), &info, &attempts(&cases, level * (1.0 + wobble(number))));
    }
    reports.import_all();
    let trend = reports.history().trend(&query(&["tpot_s"])).unwrap();
    assert_eq!(
        (trend.machines.len(), trend.figures.len(), trend.states.len()),
        (2, 2, 2)
    );
    for series in &trend.figures {
        assert_eq!((series.points.len(), series.changes.len()), (15, 0));
        let least = series
            .points
            .iter()
            .map(|point| point.value)
            .fold(f64::INFINITY, f64::min);
        let most = series.points.iter().map(|point| point.value).fold(0.0, f64::max);
        assert!(most / least < 1.05, "{least} and {most}");
    }
}

#[test]
fn a_case_that_breaks_is_told_on_the_machine_it_ran_on() {
    let reports = Reports::new();
    let cases = [case("s/p/single"), case("s/p/auto")];
    let failure = WorkerFailure {
        class: FailureClass::Internal,
        message: "no".into(),
        phase: Phase::Load,
        device: None,
        needed_bytes: None,
        allowed_bytes: None,
        place: None,
        rank: None,
    };
    for number in 0..8 {
        let (run_id, started_at) = day(number);
        let mut info = info(&run_id, &started_at, cases.to_vec());
        let mut all = attempts(&cases[..1], 0.05);
        // Its worker says nothing of its devices when it breaks.
        match number {
            0 | 4 | 5 => all.extend((0..6).map(|number| {
                let failure = failure.clone();
                without_worker(&cases[1], number, Outcome::Failed { failure })
            })),
            _ => all.extend(attempts(&cases[1..], 0.05)),
        }
        if number >= 4 {
            info.tool.version = "0.2.0".into();
        }
        write(reports.path(), &info, &all);
    }
    reports.import_all();
    for machine in [None, Some("cpu-8c".to_owned())] {
        let asked = TrendQuery {
            machine: machine.clone(),
            ..query(&["tpot_s"])
        };
        let trend = match reports.history().trend(&asked) {
            Ok(trend) => trend,
            // The host without a worker is a second machine of that name.
            Err(HistoryError::UnknownMachine { known, .. }) if machine.is_some() => {
                assert_eq!(known.len(), 2);
                continue;
            }
            Err(error) => panic!("{error}"),
        };
        let broken = trend.states.iter().find(|series| series.case == "s/p/auto").unwrap();
        let kinds: Vec<(usize, StateChangeKind)> =
            broken.changes.iter().map(|change| (change.at, change.kind)).collect();
        assert_eq!(
            kinds,
            [
                (1, StateChangeKind::Fixed),
                (4, StateChangeKind::Broke),
                (6, StateChangeKind::Fixed)
            ]
        );
        assert_eq!(broken.points.len(), 8);
        assert_eq!(
            broken.changes[1]
                .differences
                .iter()
                .filter(|it| it.what == "placebench")
                .count(),
            1
        );
        assert_eq!(trend.states.len(), 2);
        let figures = trend.figures.iter().find(|series| series.case == "s/p/auto").unwrap();
        assert_eq!(figures.points.len(), 5, "what broke has no speed");
    }
}

#[test]
fn a_text_that_is_wrong_has_no_speed_and_another_definition_is_said() {
    let reports = Reports::new();
    for number in 0..20 {
        let (run_id, started_at) = day(number);
        let mut case = case("s/p/single");
        if number >= 10 {
            case.input = placebench_core::protocol::Prompt::Text("Twice".into());
            case.timeout.token_s = 1.0;
        }
        let cases = [case];
        let level = if number >= 10 { 0.08 } else { 0.05 };
        let mut all = attempts(&cases, level * (1.0 + wobble(number)));
        if number == 3 {
            all.iter_mut().for_each(|attempt| {
                attempt.generations[0].output_ids = vec![7; 16];
                attempt.generations[0].text = "a a a a a a a a a a a a a a a a".into();
            });
        }
        write(reports.path(), &info(&run_id, &started_at, cases.to_vec()), &all);
    }
    reports.import_all();
    let trend = reports.history().trend(&query(&["tpot_s"])).unwrap();
    let series = &trend.figures[0];
    assert_eq!(series.points.len(), 19, "garbage is no speed");
    let what: Vec<&str> = series.changes[0]
        .differences
        .iter()
        .map(|it| it.what.as_str())
        .collect();
    assert_eq!((series.changes.len(), what), (1, vec!["definition"]));
    assert_eq!(trend.states[0].changes.len(), 2);
}
