//! The folders are the truth.

use std::fs;

use placebench_history::{History, HistoryError, runs_below};

use crate::Reports;
use crate::common::judge_again;

fn rebuild(reports: &Reports, may_forget: bool) -> Result<placebench_history::Rebuilt, HistoryError> {
    let folders = runs_below(reports.path()).unwrap();
    History::rebuild(reports.options(), &folders, may_forget, &judge_again)
}

#[test]
fn a_rebuilt_history_is_the_same() {
    let reports = Reports::new();
    let runs = reports.runs(6, &["s/p/single", "s/p/auto"], |day| 0.05 + 0.001 * day as f64);
    let mut history = reports.history();
    // In no order of theirs, with one that was taken in twice.
    for index in [3, 0, 5, 1, 4, 2, 3] {
        history.import(&runs[index], false, &judge_again).unwrap();
    }
    drop(history);
    let before = reports.dump();
    assert_eq!(before.iter().filter(|line| line.contains("tpot_s")).count(), 6 * 2 * 7);
    let rebuilt = rebuild(&reports, false).unwrap();
    assert_eq!((rebuilt.runs, rebuilt.failed.len(), rebuilt.forgotten.len()), (6, 0, 0));
    assert_eq!(reports.dump(), before);
    // And from nothing.
    fs::remove_file(reports.options().path).unwrap();
    rebuild(&reports, false).unwrap();
    assert_eq!(reports.dump(), before);
}

#[test]
fn what_could_not_be_made_again_is_not_thrown_away() {
    let reports = Reports::new();
    let runs = reports.runs(3, &["s/p/single"], |_| 0.05);
    reports.import_all();
    let before = reports.dump();
    fs::remove_dir_all(&runs[0]).unwrap();
    fs::write(runs[1].join("run.json"), "damaged").unwrap();
    let error = rebuild(&reports, false).unwrap_err();
    assert!(
        matches!(&error, HistoryError::WouldForget { runs } if runs.len() == 2),
        "{error}"
    );
    assert_eq!(reports.dump(), before);
    let rebuilt = rebuild(&reports, true).unwrap();
    assert_eq!((rebuilt.runs, rebuilt.failed.len(), rebuilt.forgotten.len()), (1, 1, 2));
    assert_eq!(reports.count("runs"), 1);
}

#[test]
fn a_damaged_database_is_told_and_moved_aside() {
    let reports = Reports::new();
    reports.runs(30, &["s/p/single"], |_| 0.05);
    reports.import_all();
    let before = reports.dump();
    let path = reports.options().path;
    for damage in [
        |bytes: &mut Vec<u8>| bytes[..100].fill(b'x'),
        |bytes: &mut Vec<u8>| bytes[4096..].fill(0xa5),
        |bytes: &mut Vec<u8>| bytes.truncate(5000),
    ] {
        for ending in ["-wal", "-shm"] {
            drop(fs::remove_file(format!("{}{ending}", path.display())));
        }
        let mut bytes = fs::read(&path).unwrap();
        damage(&mut bytes);
        fs::write(&path, bytes).unwrap();
        let read = History::open(reports.options())
            .and_then(|history| history.trend(&crate::trend::query(&["tpot_s"])).map(|_| ()));
        assert!(matches!(&read, Err(HistoryError::Damaged { .. })), "{read:?}");
        let rebuilt = rebuild(&reports, false).unwrap();
        assert!(rebuilt.moved_aside.is_some_and(|aside| aside.is_file()));
        assert_eq!(reports.dump(), before);
    }
    let kept = fs::read_dir(reports.path()).unwrap();
    let damaged = kept.filter(|entry| {
        let name = entry.as_ref().unwrap().file_name();
        name.to_str().unwrap().starts_with("history.sqlite.damaged")
    });
    assert!(damaged.count() >= 3, "none of them was lost");
}

#[test]
fn a_rebuild_knows_what_was_pruned() {
    let reports = Reports::new();
    reports.runs(4, &["s/p/single"], |_| 0.05);
    reports.import_all();
    crate::prune::keep_last(&reports, 2);
    let before = reports.dump();
    assert_eq!(rebuild(&reports, false).unwrap().runs, 2);
    assert_eq!(reports.dump(), before);
}
