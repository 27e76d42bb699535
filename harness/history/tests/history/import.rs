//! What is taken in, once.

use std::fs::OpenOptions;
use std::io::Write as _;
use std::time::Duration;

use placebench_core::outcome::Outcome;
use placebench_core::record::Shard;
use placebench_history::{History, HistoryError, Imported, Options, RunFilter, VerdictSource};
use placebench_runner::store::{StoreError, read_head};
use rusqlite::Connection;

use crate::Reports;
use crate::common::{attempt, attempts, case, day, info, judge_again, write};

fn import(reports: &Reports, folder: &std::path::Path) -> Result<Imported, HistoryError> {
    reports.history().import(folder, false, &judge_again)
}

#[test]
fn a_run_is_taken_in_whole_and_once() {
    let reports = Reports::new();
    let runs = reports.runs(1, &["s/p/single", "s/p/auto"], |_| 0.05);
    let new = Imported::New {
        attempts: 12,
        verdict: VerdictSource::File,
    };
    assert_eq!(import(&reports, &runs[0]).unwrap(), new);
    let before = reports.dump();
    assert_eq!(import(&reports, &runs[0]).unwrap(), Imported::Known);
    assert_eq!(reports.dump(), before);
    assert_eq!(
        ["runs", "cases", "verdicts", "attempts", "machines", "definitions"].map(|table| reports.count(table)),
        [1, 2, 2, 12, 1, 2]
    );
    let connection = Connection::open(reports.options().path).unwrap();
    let tpot: (f64, i64, String, String) = connection
        .query_row(
            "SELECT avg(value), count(*), unit, direction FROM results WHERE metric = 'tpot_s' AND case_name = 's/p/auto'",
            [],
            |row| Ok((row.get(0)?, row.get(1)?, row.get(2)?, row.get(3)?)),
        )
        .unwrap();
    assert!((tpot.0 - 0.05 * 1.005).abs() < 1e-9, "{tpot:?}");
    assert_eq!((tpot.1, tpot.2.as_str(), tpot.3.as_str()), (6, "s", "lower"));
}

#[test]
fn a_run_that_grew_is_taken_anew_and_another_of_its_name_is_refused() {
    let reports = Reports::new();
    let cases = [case("s/p/single")];
    let (run_id, started_at) = day(0);
    let info = info(&run_id, &started_at, cases.to_vec());
    let all = attempts(&cases, 0.05);
    let folder = write(reports.path(), &info, &all[..3]);
    assert!(matches!(
        import(&reports, &folder).unwrap(),
        Imported::New { attempts: 3, .. }
    ));
    let mut file = OpenOptions::new()
        .append(true)
        .open(folder.join("attempts.jsonl"))
        .unwrap();
    for attempt in &all[3..] {
        writeln!(file, "{}", serde_json::to_string(attempt).unwrap()).unwrap();
    }
    write!(file, "{{\"torn").unwrap();
    // Its verdict is about three attempts, so that it is judged again.
    let grown = Imported::Updated {
        attempts: 6,
        verdict: VerdictSource::Judged,
    };
    assert_eq!(import(&reports, &folder).unwrap(), grown);
    assert_eq!((reports.count("runs"), reports.count("attempts")), (1, 6));
    assert_eq!(import(&reports, &folder).unwrap(), Imported::Known);

    let elsewhere = Reports::new();
    let other = write(elsewhere.path(), &info, &attempts(&cases, 0.06));
    let error = import(&reports, &other).unwrap_err();
    assert!(matches!(&error, HistoryError::Conflict { .. }), "{error}");
    assert!(error.to_string().contains(&run_id) && error.to_string().contains(folder.to_str().unwrap()));
    assert_eq!((reports.count("runs"), reports.count("attempts")), (1, 6));
}

#[test]
fn a_run_without_a_fitting_verdict_is_judged_again() {
    let reports = Reports::new();
    let runs = reports.runs(3, &["s/p/single"], |_| 0.05);
    std::fs::remove_file(runs[0].join("verdict.json")).unwrap();
    std::fs::write(runs[1].join("verdict.json"), "{ half of").unwrap();
    std::fs::copy(runs[2].join("verdict.json"), runs[1].join("verdict.json.old")).unwrap();
    let judged = |folder: &std::path::Path| match import(&reports, folder).unwrap() {
        Imported::New { verdict, .. } => verdict,
        other => panic!("{other:?}"),
    };
    assert_eq!(judged(&runs[0]), VerdictSource::Judged);
    assert_eq!(judged(&runs[1]), VerdictSource::Judged);
    assert_eq!(judged(&runs[2]), VerdictSource::File);
    let listed = reports.history().runs(&RunFilter::default()).unwrap();
    let again: Vec<bool> = listed.iter().map(|run| run.is_judged_again).collect();
    assert_eq!(again, [true, true, false]);
    let error = reports.history().import(&reports.runs_named("x", 0.05), false, &|_| {
        Err("no snapshots here".into())
    });
    assert!(matches!(error, Err(HistoryError::Judge { .. })), "{error:?}");
    assert_eq!(reports.count("runs"), 3, "nothing is left of it");
}

impl Reports {
    /// A run without a verdict.
    fn runs_named(&self, run_id: &str, tpot_s: f64) -> std::path::PathBuf {
        let cases = [case("s/p/single")];
        let info = info(run_id, "2026-01-01T00:00:00Z", cases.to_vec());
        let folder = write(self.path(), &info, &attempts(&cases, tpot_s));
        std::fs::remove_file(folder.join("verdict.json")).unwrap();
        folder
    }
}

#[test]
fn an_interrupted_attempt_gives_way_to_the_one_made_instead() {
    let reports = Reports::new();
    let cases = [case("s/p/single")];
    let (run_id, started_at) = day(0);
    let info = info(&run_id, &started_at, cases.to_vec());
    let reason = placebench_runner::supervisor::INTERRUPTED.to_owned();
    let mut all = attempts(&cases, 0.05);
    let interrupted = crate::common::without_worker(&cases[0], 5, Outcome::Skipped { reason, hint: None });
    all.insert(5, interrupted);
    let folder = write(reports.path(), &info, &all);
    // As the store reads it, or the numbers of attempts would differ and the run be judged again for ever.
    let read = placebench_runner::store::read(&folder).unwrap().attempts.len() as u64;
    let Imported::New { attempts, .. } = import(&reports, &folder).unwrap() else {
        panic!("it is new");
    };
    assert_eq!(attempts, read);
}

#[test]
fn one_damaged_run_changes_nothing_and_stops_no_other() {
    let reports = Reports::new();
    let runs = reports.runs(3, &["s/p/single"], |_| 0.05);
    let lines = std::fs::read_to_string(runs[1].join("attempts.jsonl")).unwrap();
    std::fs::write(
        runs[1].join("attempts.jsonl"),
        lines.replacen("\"wall_s\"", "\"wall\"", 1),
    )
    .unwrap();
    let results: Vec<_> = runs.iter().map(|folder| import(&reports, folder)).collect();
    assert!(results[0].is_ok() && results[2].is_ok());
    assert!(
        matches!(
            &results[1],
            Err(HistoryError::Run(StoreError::Malformed { line: 1, .. }))
        ),
        "{:?}",
        results[1]
    );
    assert_eq!((reports.count("runs"), reports.count("attempts")), (2, 12));
    std::fs::write(runs[1].join("run.json"), "{}").unwrap();
    assert!(matches!(import(&reports, &runs[1]), Err(HistoryError::Run(_))));
}

#[test]
fn two_writers_wait_for_each_other_and_then_say_so() {
    let reports = Reports::new();
    let runs = reports.runs(2, &["s/p/single"], |_| 0.05);
    drop(reports.history());
    let other = Connection::open(reports.options().path).unwrap();
    other.execute_batch("BEGIN IMMEDIATE").unwrap();
    let error = import(&reports, &runs[0]).unwrap_err();
    assert!(matches!(&error, HistoryError::Locked { .. }), "{error}");
    assert!(error.to_string().contains("100ms"), "{error}");
    // Reading goes on meanwhile.
    assert_eq!(reports.history().runs(&RunFilter::default()).unwrap().len(), 0);
    let patient = Options {
        wait: Duration::from_secs(60),
        ..reports.options()
    };
    let waiting = std::thread::spawn({
        let run = runs[0].clone();
        move || {
            History::open(patient)
                .unwrap()
                .import(&run, false, &judge_again)
                .unwrap()
        }
    });
    other.execute_batch("COMMIT").unwrap();
    assert!(matches!(waiting.join().unwrap(), Imported::New { .. }));
    // Two imports of everything at once come to the same.
    std::thread::scope(|scope| {
        for _ in 0..2 {
            scope.spawn(|| {
                let options = Options {
                    wait: Duration::from_secs(60),
                    ..reports.options()
                };
                let mut history = History::open(options).unwrap();
                for run in &runs {
                    history.import(run, false, &judge_again).unwrap();
                }
            });
        }
    });
    assert_eq!((reports.count("runs"), reports.count("attempts")), (2, 12));
}

#[test]
fn lists_say_what_there_is() {
    let reports = Reports::new();
    reports.runs(2, &["s/p/single"], |_| 0.05);
    let failing = [case("t/p/single")];
    let (run_id, started_at) = day(5);
    let outcome = Outcome::Failed {
        failure: placebench_core::outcome::WorkerFailure {
            class: placebench_core::outcome::FailureClass::Internal,
            message: "no".into(),
            phase: placebench_core::outcome::Phase::Load,
            device: None,
            needed_bytes: None,
            allowed_bytes: None,
            place: None,
            rank: None,
        },
    };
    let attempts: Vec<_> = (0..6)
        .map(|number| crate::common::without_worker(&failing[0], number, outcome.clone()))
        .collect();
    write(reports.path(), &info(&run_id, &started_at, failing.to_vec()), &attempts);
    reports.import_all();
    let history = reports.history();
    let all = history.runs(&RunFilter::default()).unwrap();
    assert_eq!(all.len(), 3);
    assert_eq!((all[0].cases, all[0].failed, all[0].attempts), (1, 0, 6));
    assert_eq!((all[2].cases, all[2].failed, all[2].attempts), (1, 1, 6));
    assert_eq!(all[2].exit.map(|exit| exit.number()), Some(100));
    assert!(all[0].machines[0].starts_with("cpu-8c-") && all[0].tool == "placebench 0.1.0 (release)");
    let only = |filter: RunFilter| history.runs(&filter).unwrap().len();
    let glob = |glob: &str| RunFilter {
        case_glob: Some(glob.into()),
        since_ms: None,
    };
    assert_eq!([only(glob("s/*")), only(glob("*")), only(glob("nothing"))], [2, 3, 0]);
    let since = |since_ms: i64| RunFilter {
        case_glob: None,
        since_ms: Some(since_ms),
    };
    assert_eq!(
        [
            only(since(0)),
            only(since(1_767_225_600_000 + 86_400_000)),
            only(since(i64::MAX))
        ],
        [3, 2, 0]
    );
}

#[test]
fn a_merged_run_counts_instead_of_its_parts() {
    let reports = Reports::new();
    let parts = reports.runs(2, &["s/p/single"], |_| 0.05);
    let shards: Vec<Shard> = parts
        .iter()
        .map(|folder| {
            let part = read_head(folder).unwrap().info;
            Shard {
                run_id: part.run_id,
                started_at: part.started_at,
                tool: part.tool,
                environment: part.environment,
                arguments: part.arguments,
                seed: 0,
                control: part.control,
                cases: vec!["s/p/single".into()],
            }
        })
        .collect();
    let cases = [case("s/p/single")];
    let (run_id, started_at) = day(9);
    let mut merged = info(&run_id, &started_at, cases.to_vec());
    merged.environment = Default::default();
    merged.shards = shards;
    write(reports.path(), &merged, &[attempt(&cases[0], 0, 0.05)]);
    reports.import_all();
    let history = reports.history();
    let listed = history.runs(&RunFilter::default()).unwrap();
    assert_eq!(listed[0].part_of.as_deref(), Some(run_id.as_str()));
    assert_eq!(listed[2].part_of, None);
    // The machine of a case is that of its shard.
    assert_eq!(listed[2].machines, listed[0].machines);
    let trend = history.trend(&crate::trend::query(&["tpot_s"])).unwrap();
    assert_eq!((trend.runs.len(), trend.figures[0].points.len()), (1, 1));
}
