//! The folder of a run survives being killed, being written twice, and being read by another version.

use std::io::Write;

use placebench_core::exit_code::ExitCode;
use placebench_core::outcome::Outcome;
use placebench_core::record::{Environment, Tool};

use super::*;
use crate::fixture;
use crate::supervisor::{INTERRUPTED, attempt_without_process};

fn info(run_id: &str) -> RunInfo {
    RunInfo {
        schema_version: RECORD_VERSION,
        run_id: run_id.into(),
        started_at: "2026-11-22T14:00:00.000Z".into(),
        tool: Tool {
            name: "placebench".into(),
            version: "0.1.0".into(),
            profile: "debug".into(),
        },
        environment: Environment::default(),
        arguments: vec!["run".into()],
        seed: 7,
        cases: vec![fixture::case()],
        control: Default::default(),
        shards: Vec::new(),
    }
}

fn attempt(number: u32, outcome: Outcome) -> Attempt {
    attempt_without_process(&fixture::case(), number, "2026-11-22T14:00:00.000Z".into(), outcome)
}

fn interrupted(number: u32) -> Attempt {
    let reason = INTERRUPTED.to_owned();
    attempt(number, Outcome::Skipped { reason, hint: None })
}

/// A run with two attempts, let go of.
fn finished_run(dir: &Path) -> PathBuf {
    let mut folder = RunFolder::create(dir, &info("20261122T140000Z-0001")).unwrap();
    folder.append(&attempt(0, Outcome::Completed)).unwrap();
    folder.append(&attempt(1, Outcome::Completed)).unwrap();
    folder.path().to_owned()
}

fn tear(run: &Path) {
    let mut file = OpenOptions::new().append(true).open(run.join(ATTEMPTS_FILE)).unwrap();
    file.write_all(b"{\"case\":\"smo").unwrap();
}

#[test]
fn what_is_written_is_read_back() {
    let dir = tempfile::tempdir().unwrap();
    let run = finished_run(dir.path());
    let parts = read(&run).unwrap();
    assert_eq!(parts.info, info("20261122T140000Z-0001"));
    assert_eq!(
        parts.attempts,
        [attempt(0, Outcome::Completed), attempt(1, Outcome::Completed)]
    );
    assert_eq!(parts.warnings, Vec::<String>::new());
    assert!(parts.done().contains(&(fixture::case().case, 1)));
    assert!(run.join(EVENTS_FOLDER).is_dir());
}

#[test]
fn every_attempt_is_there_before_the_next_begins() {
    let dir = tempfile::tempdir().unwrap();
    let mut folder = RunFolder::create(dir.path(), &info("a")).unwrap();
    for number in 0..3 {
        folder.append(&attempt(number, Outcome::Completed)).unwrap();
        assert_eq!(read(folder.path()).unwrap().attempts.len(), number as usize + 1);
    }
}

#[test]
fn a_torn_last_line_is_reported_and_then_cut_off() {
    let dir = tempfile::tempdir().unwrap();
    let run = finished_run(dir.path());
    tear(&run);
    let parts = read(&run).unwrap();
    assert_eq!(parts.attempts.len(), 2);
    assert!(parts.warnings[0].contains("is torn (12 bytes)"), "{:?}", parts.warnings);

    let (mut folder, parts) = RunFolder::resume(&run).unwrap();
    assert_eq!((parts.attempts.len(), parts.warnings.len()), (2, 1));
    folder.append(&attempt(2, Outcome::Completed)).unwrap();
    let parts = read(&run).unwrap();
    assert_eq!((parts.attempts.len(), parts.warnings.len()), (3, 0));
}

#[test]
fn damage_elsewhere_is_an_error_with_its_line() {
    let dir = tempfile::tempdir().unwrap();
    let run = finished_run(dir.path());
    tear(&run);
    fs::write(
        run.join(ATTEMPTS_FILE),
        [fs::read(run.join(ATTEMPTS_FILE)).unwrap(), b"\n".to_vec()].concat(),
    )
    .unwrap();
    let error = read(&run).unwrap_err();
    assert!(matches!(error, StoreError::Malformed { line: 3, .. }), "{error}");
}

#[test]
fn an_interrupted_attempt_is_made_again_and_gives_way() {
    let dir = tempfile::tempdir().unwrap();
    let run = finished_run(dir.path());
    let (mut folder, _) = RunFolder::resume(&run).unwrap();
    folder.append(&interrupted(2)).unwrap();
    let parts = read(&run).unwrap();
    assert_eq!(parts.attempts.len(), 3);
    assert!(!parts.done().contains(&(fixture::case().case, 2)));
    folder.append(&attempt(2, Outcome::Completed)).unwrap();
    let parts = read(&run).unwrap();
    assert_eq!(parts.attempts.len(), 3);
    assert_eq!(parts.attempts[2].outcome, Outcome::Completed);
    assert_eq!(parts.done().len(), 3);
}

#[test]
fn two_processes_do_not_write_one_run() {
    let dir = tempfile::tempdir().unwrap();
    let folder = RunFolder::create(dir.path(), &info("a")).unwrap();
    let error = RunFolder::resume(folder.path()).unwrap_err();
    assert!(matches!(error, StoreError::Locked { .. }), "{error}");
    let path = folder.path().to_owned();
    drop(folder);
    assert!(RunFolder::resume(&path).is_ok());
}

#[test]
fn a_run_is_never_overwritten() {
    let dir = tempfile::tempdir().unwrap();
    finished_run(dir.path());
    let error = RunFolder::create(dir.path(), &info("20261122T140000Z-0001")).unwrap_err();
    assert!(matches!(error, StoreError::Exists { .. }), "{error}");
}

#[test]
fn a_run_id_is_a_plain_name() {
    let dir = tempfile::tempdir().unwrap();
    for bad in ["", "..", "../x", "a/b", "latest", "a\nb"] {
        let error = RunFolder::create(dir.path(), &info(bad)).unwrap_err();
        assert!(matches!(error, StoreError::BadRunId { .. }), "{bad:?}: {error}");
    }
}

#[test]
fn another_major_version_is_refused_and_a_minor_one_read() {
    let dir = tempfile::tempdir().unwrap();
    let run = finished_run(dir.path());
    let file = run.join(RUN_FILE);
    let text = fs::read_to_string(&file).unwrap();
    let minor = format!("\"minor\": {}", RECORD_VERSION.minor);
    fs::write(&file, text.replace(&minor, "\"minor\": 9, \"new_field\": true")).unwrap();
    assert_eq!(read(&run).unwrap().info.schema_version.minor, 9);
    fs::write(&file, text.replace("\"major\": 1", "\"major\": 2")).unwrap();
    let message = read(&run).unwrap_err().to_string();
    assert!(
        message.contains(&format!(
            "has record format 2.{}, this program reads 1.x",
            RECORD_VERSION.minor
        )),
        "{message}"
    );
    // Even where nothing else of it can be understood.
    fs::write(&file, r#"{"schema_version":{"major":3,"minor":1}}"#).unwrap();
    assert!(matches!(read(&run).unwrap_err(), StoreError::Version { .. }));
}

#[test]
fn latest_points_at_the_newest_and_survives_a_move() {
    let dir = tempfile::tempdir().unwrap();
    let reports = dir.path().join("reports");
    drop(RunFolder::create(&reports, &info("20261122T140000Z-0001")).unwrap());
    drop(RunFolder::create(&reports, &info("20261122T140001Z-0002")).unwrap());
    assert_eq!(
        fs::read_link(reports.join(LATEST)).unwrap(),
        Path::new("20261122T140001Z-0002")
    );
    let moved = dir.path().join("elsewhere");
    fs::rename(&reports, &moved).unwrap();
    assert_eq!(read(&moved.join(LATEST)).unwrap().info.run_id, "20261122T140001Z-0002");
}

#[test]
fn runs_are_found_by_path_id_and_latest() {
    let dir = tempfile::tempdir().unwrap();
    let run = finished_run(dir.path());
    let run = fs::canonicalize(run).unwrap();
    for name in [run.to_str().unwrap(), "20261122T140000Z-0001", LATEST] {
        assert_eq!(locate(dir.path(), name).unwrap(), run, "{name}");
    }
    fs::remove_file(dir.path().join(LATEST)).unwrap();
    fs::write(dir.path().join(LATEST), "20261122T140000Z-0001\n").unwrap();
    assert_eq!(locate(dir.path(), LATEST).unwrap(), run);
    assert!(matches!(locate(dir.path(), "nothing"), Err(StoreError::NotARun { .. })));
}

#[test]
fn verdicts_and_artifacts_are_whole() {
    let dir = tempfile::tempdir().unwrap();
    let folder = RunFolder::create(dir.path(), &info("a")).unwrap();
    assert!(!folder.path().join(VERDICT_FILE).exists());
    let verdict = RunVerdict {
        schema_version: RECORD_VERSION,
        run_id: "a".into(),
        exit: ExitCode::Passed,
        exit_code: 0,
        complete: true,
        cases: Vec::new(),
        gate: None,
        answers: Vec::new(),
    };
    folder.write_verdict(&verdict).unwrap();
    let written = fs::read(folder.path().join(VERDICT_FILE)).unwrap();
    assert_eq!(serde_json::from_slice::<RunVerdict>(&written).unwrap(), verdict);
    let plot = folder.write_artifact("plots/latency.png", b"png").unwrap();
    assert_eq!(fs::read(plot).unwrap(), b"png");
}

#[test]
fn hostile_case_names_stay_in_the_folder() {
    let dir = tempfile::tempdir().unwrap();
    let folder = RunFolder::create(dir.path(), &info("a")).unwrap();
    let events = folder.events_path("../../../etc/passwd");
    assert_eq!(events.parent().unwrap(), folder.path().join(EVENTS_FOLDER));
}

#[test]
fn nothing_is_written_through_a_link_out_of_the_run() {
    let dir = tempfile::tempdir().unwrap();
    let run = finished_run(dir.path());
    let victim = dir.path().join("victim");
    let outside = dir.path().join("outside");
    fs::write(&victim, "mine").unwrap();
    fs::create_dir(&outside).unwrap();
    let is_refused = |error: StoreError| {
        let StoreError::Io { source, .. } = error else {
            panic!("{error:?}")
        };
        assert!(source.to_string().contains("symbolic link"), "{source}");
    };
    let link_to = |target: &Path, name: &str| {
        let link = run.join(name);
        if link.is_dir() {
            fs::remove_dir(&link).unwrap();
        }
        drop(fs::remove_file(&link));
        sys::symlink(target, &link).unwrap();
    };
    // Pictures of a report, and the report itself, which replaces a link instead of following it.
    link_to(&outside, "plots");
    is_refused(write_artifact(&run, "plots/a.png", b"x").unwrap_err());
    link_to(&victim, "report.html");
    write_artifact(&run, "report.html", b"x").unwrap();
    // A run that goes on.
    link_to(&outside, EVENTS_FOLDER);
    is_refused(RunFolder::resume(&run).unwrap_err());
    fs::remove_file(run.join(EVENTS_FOLDER)).unwrap();
    fs::create_dir(run.join(EVENTS_FOLDER)).unwrap();
    let (folder, _) = RunFolder::resume(&run).unwrap();
    let log = folder.events_path("smoke/story/single");
    drop(folder);
    sys::symlink(&victim, &log).unwrap();
    assert!(crate::event_log::EventLog::open(&log, 0).is_err());
    link_to(&victim, ATTEMPTS_FILE);
    is_refused(RunFolder::resume(&run).unwrap_err());
    assert_eq!(fs::read(&victim).unwrap(), b"mine");
    assert_eq!(fs::read_dir(&outside).unwrap().count(), 0);
}

#[test]
fn an_id_is_no_way_out_of_the_folder_of_runs() {
    let dir = tempfile::tempdir().unwrap();
    let (runs, other) = (dir.path().join("reports"), dir.path().join("other"));
    fs::create_dir(&runs).unwrap();
    let run = finished_run(&other);
    let id = run.file_name().unwrap().to_str().unwrap();
    for way_out in [format!("../other/{id}"), format!("./../other/{id}")] {
        let found = locate(&runs, &way_out);
        assert!(matches!(found, Err(StoreError::NotARun { .. })), "{found:?}");
    }
    // Where there are no links, `latest` is a file, and whoever made it may have written anything.
    fs::write(runs.join(LATEST), format!("../other/{id}\n")).unwrap();
    assert!(matches!(locate(&runs, LATEST), Err(StoreError::NotARun { .. })));
    assert_eq!(
        locate(&runs, run.to_str().unwrap()).unwrap(),
        run.canonicalize().unwrap()
    );
    assert!(locate(&other, id).is_ok());
}

#[test]
fn what_is_no_run_is_said_to_be_none() {
    let dir = tempfile::tempdir().unwrap();
    assert!(matches!(read(dir.path()), Err(StoreError::NotARun { .. })));
    let file = dir.path().join("file");
    fs::write(&file, "").unwrap();
    assert!(matches!(RunFolder::resume(&file), Err(StoreError::NotARun { .. })));
}

#[test]
fn a_name_that_is_taken_is_not_the_end() {
    let dir = tempfile::tempdir().unwrap();
    // The clock stands still, or was set back to where it has been before.
    let mut made_up = ["a", "a", "b"].into_iter().map(str::to_owned);
    let mut fresh = || made_up.next().unwrap();
    let mut first = info("");
    drop(RunFolder::create_fresh(dir.path(), &mut first, &mut fresh).unwrap());
    let mut second = info("");
    let folder = RunFolder::create_fresh(dir.path(), &mut second, &mut fresh).unwrap();
    assert_eq!((first.run_id.as_str(), second.run_id.as_str()), ("a", "b"));
    assert_eq!(read(folder.path()).unwrap().info.run_id, "b");
    let mut names = 0;
    let stuck = RunFolder::create_fresh(dir.path(), &mut second, || {
        names += 1;
        "a".to_owned()
    });
    assert!(matches!(stuck, Err(StoreError::Exists { .. })), "{stuck:?}");
    assert_eq!(names, MOST_NAMES);
}

#[test]
fn who_writes_a_run_is_said() {
    let dir = tempfile::tempdir().unwrap();
    let folder = RunFolder::create(dir.path(), &info("a")).unwrap();
    let message = RunFolder::resume(folder.path()).unwrap_err().to_string();
    if Path::new("/proc/locks").exists() {
        assert!(message.contains(&format!("(pid {})", std::process::id())), "{message}");
    }
}

#[test]
fn a_folder_that_is_gone_is_noticed_before_anything_is_lost() {
    let dir = tempfile::tempdir().unwrap();
    let mut folder = RunFolder::create(dir.path(), &info("a")).unwrap();
    folder.append(&attempt(0, Outcome::Completed)).unwrap();
    let moved = dir.path().join("moved");
    fs::rename(folder.path(), &moved).unwrap();
    let gone = folder.append(&attempt(1, Outcome::Completed)).unwrap_err();
    assert!(matches!(gone, StoreError::Gone { .. }), "{gone}");
    assert_eq!(
        read(&moved).unwrap().attempts.len(),
        1,
        "what was on record is as it was"
    );
    drop(folder);
    let (mut folder, _) = RunFolder::resume(&moved).unwrap();
    fs::remove_dir_all(&moved).unwrap();
    assert!(matches!(
        folder.append(&attempt(1, Outcome::Completed)),
        Err(StoreError::Gone { .. })
    ));
}

/// Wherever the last record is cut, a resumed run has the attempts before it and makes the rest: never a half, never twice.
#[test]
fn a_run_cut_at_any_byte_of_its_last_record_goes_on() {
    let dir = tempfile::tempdir().unwrap();
    let run = finished_run(dir.path());
    let file = run.join(ATTEMPTS_FILE);
    let whole = fs::read(&file).unwrap();
    let first = whole_lines(&whole[..whole.len() - 1]);
    for length in first..=whole.len() {
        fs::write(&file, &whole[..length]).unwrap();
        let (mut folder, parts) = RunFolder::resume(&run).unwrap();
        let complete = length == whole.len();
        assert_eq!(parts.done().len(), if complete { 2 } else { 1 }, "cut at {length}");
        assert_eq!(
            parts.warnings.is_empty(),
            complete || length == first,
            "cut at {length}"
        );
        if !complete {
            folder.append(&attempt(1, Outcome::Completed)).unwrap();
        }
        drop(folder);
        assert_eq!(fs::read(&file).unwrap(), whole, "cut at {length}");
    }
}

/// A scheduler may start a job twice at once.
#[test]
fn of_many_that_begin_a_named_run_at_once_one_does() {
    for _ in 0..20 {
        let dir = tempfile::tempdir().unwrap();
        let all: Vec<Result<Opened, StoreError>> = std::thread::scope(|scope| {
            let begin = || scope.spawn(|| RunFolder::begin_or_resume(dir.path(), &info("nightly")));
            let started: Vec<_> = (0..8).map(|_| begin()).collect();
            // All are kept until all have answered: nobody lets go of the lock before.
            started.into_iter().map(|thread| thread.join().unwrap()).collect()
        });
        let begun = all
            .iter()
            .filter(|answer| matches!(answer, Ok(Opened::Begun(_))))
            .count();
        let locked = all
            .iter()
            .filter(|answer| matches!(answer, Err(StoreError::Locked { .. })))
            .count();
        assert_eq!((begun, locked), (1, 7), "{all:?}");
        drop(all);
        let again = RunFolder::begin_or_resume(dir.path(), &info("nightly")).unwrap();
        assert!(matches!(again, Opened::Resumed(..)), "{again:?}");
        assert_eq!(read(&dir.path().join("nightly")).unwrap().info, info("nightly"));
    }
}
