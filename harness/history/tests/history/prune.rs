//! What is removed, and what is not.

use std::fs;
use std::path::Path;

use placebench_history::{Imported, Keep, PruneRules, PruneTarget, Pruned};
use placebench_runner::store::RunFolder;

use crate::Reports;
use crate::common::{day, judge_again};

fn prune(reports: &Reports, keep: Keep, target: PruneTarget<'_>, is_dry: bool) -> Vec<Pruned> {
    reports.history().prune(PruneRules { keep, target, is_dry }).unwrap()
}

pub(crate) fn keep_last(reports: &Reports, runs: usize) {
    prune(reports, Keep::Last(runs), PruneTarget::Rows, false);
}

fn nobody(_: &str) -> Option<String> {
    None
}

fn with_folders(output_dir: &Path) -> PruneTarget<'_> {
    PruneTarget::RowsAndFolders {
        output_dir,
        protected: &nobody,
    }
}

#[test]
fn rows_go_and_do_not_come_back_unasked() {
    let reports = Reports::new();
    let runs = reports.runs(5, &["s/p/single"], |_| 0.05);
    reports.import_all();
    let before = reports.dump();
    let dry = prune(&reports, Keep::Last(2), PruneTarget::Rows, true);
    assert_eq!(dry.len(), 3);
    assert_eq!(reports.dump(), before);
    assert_eq!(prune(&reports, Keep::Last(2), PruneTarget::Rows, false), dry);
    assert_eq!(
        (
            reports.count("runs"),
            reports.count("attempts"),
            reports.count("metrics")
        ),
        (2, 12, 12 * 11)
    );
    assert!(runs.iter().all(|run| run.is_dir()));
    reports.import_all();
    assert_eq!(reports.count("runs"), 2);
    let named = reports.history().import(&runs[0], true, &judge_again).unwrap();
    assert!(matches!(named, Imported::New { .. }));
    assert_eq!(reports.count("runs"), 3);
}

#[test]
fn the_newest_stays_and_age_counts() {
    let reports = Reports::new();
    reports.runs(4, &["s/p/single"], |_| 0.05);
    reports.import_all();
    let old = |days: i64| {
        let since = 1_767_225_600_000 + days * 86_400_000;
        let pruned = prune(&reports, Keep::Since(since), PruneTarget::Rows, true);
        pruned.into_iter().map(|run| run.run_id).collect::<Vec<_>>()
    };
    assert_eq!(old(0), Vec::<String>::new());
    assert_eq!(old(2), [day(0).0, day(1).0]);
    assert_eq!(old(99).len(), 3, "never the newest");
    assert_eq!(prune(&reports, Keep::Last(0), PruneTarget::Rows, true).len(), 3);
}

#[test]
fn folders_go_where_they_are_beyond_doubt() {
    let reports = Reports::new();
    let runs = reports.runs(8, &["s/p/single"], |_| 0.05);
    reports.import_all();
    let elsewhere = tempfile::tempdir().unwrap();
    // 0 is as it was. 1 became a link, 2 another run, 3 has another name, 4 is being written, 5 is protected, 6 is gone.
    let moved = elsewhere.path().join("moved");
    fs::rename(&runs[1], &moved).unwrap();
    std::os::unix::fs::symlink(&moved, &runs[1]).unwrap();
    let text = fs::read_to_string(runs[2].join("run.json")).unwrap();
    fs::write(runs[2].join("run.json"), text.replace(&day(2).0, "another")).unwrap();
    fs::remove_file(runs[3].join("run.json")).unwrap();
    let writing = RunFolder::resume(&runs[4]).unwrap();
    fs::remove_dir_all(&runs[6]).unwrap();
    let protected = |run_id: &str| (run_id == day(5).0).then(|| "a baseline was made from it".to_owned());
    let target = PruneTarget::RowsAndFolders {
        output_dir: reports.path(),
        protected: &protected,
    };
    let dry = prune(&reports, Keep::Last(1), target, true);
    let removed: Vec<bool> = dry.iter().map(|run| run.kept_because.is_none()).collect();
    assert_eq!(removed, [true, false, false, false, false, false, true], "{dry:?}");
    assert!(runs[0].is_dir() && dry[0].folder.as_ref() == Some(&runs[0]) && dry[6].folder.is_none());
    assert_eq!(prune(&reports, Keep::Last(1), target, false), dry);
    assert!(!runs[0].exists() && moved.join("attempts.jsonl").is_file());
    assert!([2, 3, 4, 5, 7].iter().all(|&run| runs[run].is_dir()));
    assert_eq!(reports.count("runs"), 6);
    drop(writing);
    // Of runs that lie elsewhere no folder is removed at all.
    let other = prune(&reports, Keep::Last(1), with_folders(elsewhere.path()), true);
    assert!(other.iter().all(|run| run.kept_because.is_some()), "{other:?}");
}

#[test]
fn the_run_that_latest_points_at_stays() {
    let reports = Reports::new();
    let runs = reports.runs(3, &["s/p/single"], |_| 0.05);
    reports.import_all();
    let latest = reports.path().join("latest");
    fs::remove_file(&latest).unwrap();
    std::os::unix::fs::symlink(&runs[0], &latest).unwrap();
    let pruned = prune(&reports, Keep::Last(1), with_folders(reports.path()), false);
    assert!(
        pruned[0]
            .kept_because
            .as_ref()
            .is_some_and(|why| why.contains("latest")),
        "{pruned:?}"
    );
    assert!(runs[0].is_dir() && !runs[1].exists() && runs[2].is_dir());
}
