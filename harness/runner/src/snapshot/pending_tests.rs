//! What waits is found, decided on once, and never blindly; what nobody refers to is told.

use super::tests::{KEY, ORIGIN, accept_file, content, pend, reject_file};
use super::*;

#[test]
fn review_moves_or_removes_the_pending_file() {
    let dir = tempfile::tempdir().unwrap();
    assert_eq!(load(dir.path(), &KEY).unwrap(), None);
    let approved = accept_file(&pend(dir.path(), &KEY, "first")).unwrap();
    let loaded = load(dir.path(), &KEY).unwrap().unwrap();
    assert_eq!((loaded.path, loaded.content), (approved.clone(), content("first")));

    let second = pend(dir.path(), &KEY, "second");
    let list = list_pending(dir.path());
    assert!(list.refused.is_empty());
    let [found] = list.pending.as_slice() else {
        panic!("{list:?}")
    };
    assert_eq!((&found.path, &found.approved_path), (&second, &approved));
    assert_eq!(
        (&found.new, found.old.as_ref()),
        (&content("second"), Some(&content("first")))
    );
    assert_eq!(found.header.run.as_deref(), Some(ORIGIN.run));
    assert_eq!(found.header.case.as_deref(), Some(ORIGIN.case));
    assert!(
        !fs::read_to_string(&approved).unwrap().contains(ORIGIN.run),
        "only of the pending one"
    );
    reject_file(&second).unwrap();
    assert_eq!(list_pending(dir.path()).pending, []);
    assert_eq!(load(dir.path(), &KEY).unwrap().unwrap().content, content("first"));
}

#[test]
fn only_pending_snapshots_are_reviewed() {
    let dir = tempfile::tempdir().unwrap();
    let path = pend(dir.path(), &KEY, "x");
    let approved = accept_file(&path).unwrap();
    for other in [approved.as_path(), Path::new("Cargo.toml"), Path::new(".snap.new")] {
        assert!(matches!(accept_file(other), Err(SnapshotError::NotPending { .. })));
        assert!(matches!(reject_file(other), Err(SnapshotError::NotPending { .. })));
    }
    assert!(approved.exists());
    assert!(
        matches!(accept_file(&path), Err(SnapshotError::Changed { .. })),
        "it is gone"
    );
}

#[test]
fn a_malformed_pending_file_is_not_approved() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("x.snap.new");
    for bad in [
        "",
        "no header\n\ntoken_ids: []\nfinish_reason: eos\n",
        "---\nsource: x\n---\ntext\n\ntoken_ids: [1]\n",
        "---\nsource: x\n---\ntext\n\nfinish_reason: eos\n",
        "---\nsource: x\n---\ntext\ntoken_ids: [1]\nfinish_reason: eos\n",
        "---\nsource: x\n---\ntext\n\ntoken_ids: [-1]\nfinish_reason: eos\n",
        "---\nsource: x\n---\ntext\n\ntoken_ids: [1]\nfinish_reason: never\n",
        "---\nsource: x\n---\n\\u{zz}\n\ntoken_ids: [1]\nfinish_reason: eos\n",
    ] {
        fs::write(&path, bad).unwrap();
        let error = accept_file(&path).unwrap_err();
        assert!(matches!(error, SnapshotError::Malformed { .. }), "{bad:?}: {error}");
    }
}

#[test]
fn what_has_changed_since_it_was_looked_at_is_not_decided_on() {
    let dir = tempfile::tempdir().unwrap();
    let is_changed = |result: Result<(), SnapshotError>| {
        let error = result.unwrap_err();
        assert!(matches!(error, SnapshotError::Changed { .. }), "{error:?}");
    };
    let path = pend(dir.path(), &KEY, "first");
    let looked_at = read_pending(&path).unwrap();
    pend(dir.path(), &KEY, "second");
    is_changed(accept(&looked_at));
    is_changed(reject(&looked_at));
    assert_eq!(read_pending(&path).unwrap().new, content("second"));
    assert_eq!(load(dir.path(), &KEY).unwrap(), None, "nothing was approved");
    // Somebody else is quicker, and then a run proposes the same text once more.
    let looked_at = read_pending(&path).unwrap();
    accept_file(&path).unwrap();
    is_changed(accept(&looked_at));
    pend(dir.path(), &KEY, "second");
    is_changed(accept(&looked_at));
    accept_file(&path).unwrap();
    assert_eq!(list_pending(dir.path()).pending, []);
}

#[test]
fn what_cannot_be_reviewed_is_named_and_does_not_hide_the_rest() {
    let (dir, outside) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    pend(dir.path(), &KEY, "fine");
    fs::write(dir.path().join("a.snap.new"), "no snapshot").unwrap();
    fs::write(dir.path().join("b.snap.new"), b"\xff\xfe").unwrap();
    fs::create_dir_all(dir.path().join("folder.snap.new")).unwrap();
    let secret = pend(outside.path(), &KEY, "secret");
    crate::sys::symlink(&secret, &dir.path().join("c.snap.new")).unwrap();
    crate::sys::symlink(outside.path(), &dir.path().join("elsewhere")).unwrap();
    // A pending file that would replace a link, and one that would replace what is no snapshot.
    let approved = accept_file(&pend(outside.path(), &KEY, "x")).unwrap();
    fs::copy(pend(outside.path(), &KEY, "y"), dir.path().join("d.snap.new")).unwrap();
    crate::sys::symlink(&approved, &dir.path().join("d.snap")).unwrap();
    fs::copy(pend(outside.path(), &KEY, "z"), dir.path().join("e.snap.new")).unwrap();
    fs::write(dir.path().join("e.snap"), "<<<<<<< HEAD").unwrap();
    let list = list_pending(dir.path());
    let names: Vec<_> = list
        .pending
        .iter()
        .map(|found| found.path.file_name().unwrap())
        .collect();
    assert_eq!(names, ["e.snap.new", "story@cpu.snap.new"]);
    assert!(list.pending[0].old.is_none() && list.pending[0].old_is_malformed.is_some());
    let mut refused: Vec<String> = list.refused.iter().map(ToString::to_string).collect();
    refused.sort();
    let kinds = ["is no text snapshot", "cannot read", "cannot use", "cannot use"];
    assert_eq!(refused.len(), kinds.len(), "{refused:?}");
    for kind in kinds {
        assert!(refused.iter().any(|why| why.contains(kind)), "{kind}: {refused:?}");
    }
    accept(&list.pending[0]).unwrap();
    assert!(parse(&fs::read_to_string(dir.path().join("e.snap")).unwrap()).is_ok());
    assert_eq!(list_pending(&dir.path().join("nowhere")).refused.len(), 0);
}

#[test]
fn a_very_long_text_waits_like_any_other() {
    let dir = tempfile::tempdir().unwrap();
    let mut long = content(&"wörd ".repeat(30_000));
    long.token_ids = (0..100_000).collect();
    write_pending(dir.path(), &KEY, &long, &ORIGIN, SnapshotPolicy::WritePending).unwrap();
    let list = list_pending(dir.path());
    assert_eq!(list.pending[0].new, long);
    accept(&list.pending[0]).unwrap();
    assert_eq!(load(dir.path(), &KEY).unwrap().unwrap().content, long);
}

#[test]
fn a_snapshot_nobody_refers_to_is_found_whatever_its_class() {
    let dir = tempfile::tempdir().unwrap();
    let approve = |scenario: &str, prompt: &str, device_class: &str| {
        let key = SnapshotKey {
            scenario,
            prompt,
            device_class,
        };
        accept_file(&pend(dir.path(), &key, "x")).unwrap()
    };
    let used = approve("smoke/tiny", "story", "cpu");
    approve("smoke/tiny", "story", "cuda-sm90");
    fs::rename(&used, dir.path().join("smoke__tiny/story.snap")).unwrap();
    let hashed = approve("Odd Name", "Story?", "cpu");
    let renamed = approve("smoke/tiny", "gone", "cpu");
    let scenario_gone = approve("gone", "story", "cuda");
    fs::write(dir.path().join("smoke__tiny/other.snap"), "another tool's").unwrap();
    crate::sys::symlink(&renamed, &dir.path().join("link.snap")).unwrap();
    let waiting = pend(dir.path(), &SnapshotKey { prompt: "gone", ..KEY }, "y");
    let mut references = References::default();
    references.insert(dir.path(), "smoke/tiny", "story");
    references.insert(dir.path(), "Odd Name", "Story?");
    assert!(references.contains(&hashed) && !references.contains(&waiting));
    let missing = references.missing_below(dir.path());
    let paths: Vec<&Path> = missing.iter().map(|found| found.path.as_path()).collect();
    assert_eq!(paths, [scenario_gone.as_path(), &renamed]);
    for unreferenced in &missing {
        remove_unreferenced(unreferenced).unwrap();
    }
    assert!(references.missing_below(dir.path()).is_empty());
    assert!(hashed.exists() && waiting.exists(), "nothing else is removed");
}
