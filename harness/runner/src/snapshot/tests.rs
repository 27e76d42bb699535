//! Snapshots survive their file, and insta reads the same in them as we do.

use insta::internals::SnapshotContents;
use proptest::prelude::*;

use super::header::is_unseen;
use super::*;

pub(super) const KEY: SnapshotKey<'_> = SnapshotKey {
    scenario: "smoke/tiny",
    prompt: "story",
    device_class: "cpu",
};

pub(super) const ORIGIN: SnapshotOrigin<'_> = SnapshotOrigin {
    source: "scenarios/smoke/tiny.toml",
    case: "smoke/tiny/story/auto",
    model: "tiny \"quoted\": \u{1b}[31m",
    run: "20260101-000000-abcd",
};

pub(super) fn content(text: &str) -> SnapshotContent {
    SnapshotContent {
        text: text.into(),
        token_ids: vec![1, 2, 300],
        finish_reason: FinishReason::Length,
        near_ties: Some(vec![NearTie {
            index: 1,
            id: 77,
            gap: 0.0125,
        }]),
        text_offsets: Vec::new(),
    }
}

/// What a person does who has looked at the file.
pub(super) fn accept_file(path: &Path) -> Result<PathBuf, SnapshotError> {
    let pending = read_pending(path)?;
    accept(&pending)?;
    Ok(pending.approved_path)
}

pub(super) fn reject_file(path: &Path) -> Result<(), SnapshotError> {
    reject(&read_pending(path)?)
}

pub(super) fn pend(dir: &Path, key: &SnapshotKey<'_>, text: &str) -> PathBuf {
    write_pending(dir, key, &content(text), &ORIGIN, SnapshotPolicy::WritePending)
        .unwrap()
        .unwrap()
}

#[test]
fn the_file_is_what_a_person_reviews() {
    let dir = tempfile::tempdir().unwrap();
    let path = pend(dir.path(), &KEY, "Once upon a time\nthere was a GPU.");
    assert_eq!(path, dir.path().join("smoke__tiny/story@cpu.snap.new"));
    insta::assert_snapshot!(fs::read_to_string(path).unwrap(), @r#"
    ---
    source: "scenarios/smoke/tiny.toml"
    description: "model tiny \"quoted\": \u001b[31m"
    expression: "smoke/tiny/story/auto"
    info: "near_ties: [[1, 77, 0.0125]]"
    run: "20260101-000000-abcd"
    ---
    Once upon a time
    there was a GPU.

    token_ids: [1, 2, 300]
    finish_reason: length
    "#);
}

#[test]
fn insta_reads_the_same() {
    let dir = tempfile::tempdir().unwrap();
    let path = pend(dir.path(), &KEY, "\n---\nsource: not me\n---\n\r\n \u{1b}[0m end \n\n");
    let snapshot = insta::Snapshot::from_file(&path).unwrap();
    assert_eq!(snapshot.metadata().source(), Some(ORIGIN.source));
    assert_eq!(snapshot.metadata().expression(), Some(ORIGIN.case));
    assert_eq!(
        snapshot.metadata().description(),
        Some("model tiny \"quoted\": \u{1b}[31m")
    );
    let SnapshotContents::Text(text) = snapshot.contents() else {
        panic!("not a text")
    };
    let file = fs::read_to_string(&path).unwrap();
    let body = file.splitn(3, "---\n").nth(2).unwrap();
    assert_eq!(text.to_string(), body.trim_end());
}

#[test]
fn what_insta_writes_when_it_accepts_is_read_back() {
    // As `cargo insta` does it: read the pending file, write the approved one, in insta's own spelling.
    let dir = tempfile::tempdir().unwrap();
    let text = "\n\ta line\\u{1b}\n\r\nlast  \n\n";
    let path = pend(dir.path(), &KEY, text);
    let snapshot = insta::Snapshot::from_file(&path).unwrap();
    snapshot.save(&pending::approved_of(&path).unwrap()).unwrap();
    assert_eq!(load(dir.path(), &KEY).unwrap().unwrap().content, content(text));
}

#[test]
fn insta_keeps_what_we_need_of_any_header() {
    // It writes what has several lines as a block, and characters that we escape as they are.
    for hostile in [
        "a\n---\nb",
        "\u{202e}x: \u{9b}31m",
        "'it''s' \\ \"",
        "- [1, 2]",
        "~",
        "é #: |",
    ] {
        let dir = tempfile::tempdir().unwrap();
        let origin = SnapshotOrigin {
            source: hostile,
            case: hostile,
            model: hostile,
            run: hostile,
        };
        let kept = SnapshotContent {
            text_offsets: vec![1, 2, 3],
            ..content("abc")
        };
        let policy = SnapshotPolicy::WritePending;
        let path = write_pending(dir.path(), &KEY, &kept, &origin, policy)
            .unwrap()
            .unwrap();
        let found = read_pending(&path).unwrap();
        let snapshot = insta::Snapshot::from_file(&path).unwrap();
        snapshot.save(&found.approved_path).unwrap();
        assert_eq!(load(dir.path(), &KEY).unwrap().unwrap().content, kept, "{hostile:?}");
        let file = fs::read_to_string(&found.approved_path).unwrap();
        let (header, _) = parse(&file).unwrap();
        assert_eq!(header.case.as_deref(), Some(hostile), "{file}");
        assert_eq!((header.source, header.run), (found.header.source, None), "{file}");
    }
}

#[test]
fn snapshots_without_near_ties_are_read_and_malformed_ones_are_named() {
    let file = |info: &str| format!("---\nsource: x\n{info}---\ntext\n\ntoken_ids: [1]\nfinish_reason: eos\n");
    assert_eq!(parse(&file("")).unwrap().1.near_ties, None);
    assert_eq!(parse(&file("info: somebody's own\n")).unwrap().1.near_ties, None);
    for quotes in ["", "'", "\""] {
        let info = format!("info: {quotes}near_ties: [[0, 5, 0.25]]{quotes}\n");
        let ties = parse(&file(&info)).unwrap().1.near_ties.unwrap();
        assert_eq!((ties[0].index, ties[0].id), (0, 5));
    }
    assert!(
        parse(&file("info: \"near_ties: [[0, 5]]\"\n"))
            .unwrap_err()
            .contains("near_ties")
    );
}

#[test]
fn offsets_are_kept_and_those_that_do_not_fit_are_left_out() {
    let mut kept = content("abé");
    kept.text_offsets = vec![1, 2, 4];
    let file = render(&kept, &ORIGIN);
    assert!(file.contains("; text_offsets: [1, 2, 4]\""), "{file}");
    assert_eq!(parse(&file).unwrap().1, kept);
    for other in ["[1, 2]", "[2, 1, 4]", "[1, 2, 5]", "[1, 2, -4]", "nothing", "[]"] {
        let file = file.replace("[1, 2, 4]", other);
        assert_eq!(parse(&file).unwrap().1, content("abé"), "{other}");
    }
    kept.near_ties = None;
    assert_eq!(parse(&render(&kept, &ORIGIN)).unwrap().1, kept);
}

#[test]
fn nothing_that_acts_on_a_terminal_is_in_the_file() {
    let dir = tempfile::tempdir().unwrap();
    let path = pend(dir.path(), &KEY, "\u{1b}]0;x\u{7}\u{202e}\u{200b}\u{9b}\r\0\u{feff}");
    let file = fs::read_to_string(path).unwrap();
    assert!(!file.contains(is_unseen), "{file:?}");
}

#[test]
fn the_nearest_device_class_is_found_and_named() {
    let dir = tempfile::tempdir().unwrap();
    let gpu = SnapshotKey {
        device_class: "cuda-sm90",
        ..KEY
    };
    let approve = |class: &str| {
        let path = pend(
            dir.path(),
            &SnapshotKey {
                device_class: class,
                ..KEY
            },
            class,
        );
        accept_file(&path).unwrap()
    };
    let found = |key: &SnapshotKey<'_>| {
        let approved = load(dir.path(), key).unwrap().unwrap();
        (approved.content.text, approved.class)
    };
    let of = |text: &str, class: Option<&str>| (text.to_owned(), class.map(str::to_owned));
    assert_eq!(load(dir.path(), &gpu).unwrap(), None);
    approve("cpu");
    assert_eq!(found(&gpu), of("cpu", Some("cpu")), "the host's is better than none");
    let all = dir.path().join("smoke__tiny/story.snap");
    fs::rename(approve("elsewhere"), &all).unwrap();
    assert_eq!(found(&gpu), of("elsewhere", None));
    assert_eq!(found(&KEY), of("cpu", Some("cpu")), "its own class goes before");
    approve("cuda");
    assert_eq!(found(&gpu), of("cuda", Some("cuda")));
    approve("cuda-sm80");
    assert_eq!(
        found(&gpu),
        of("cuda", Some("cuda")),
        "another card's class is no fall-back"
    );
    approve("cuda-sm90");
    assert_eq!(found(&gpu), of("cuda-sm90", Some("cuda-sm90")));
}

#[test]
fn a_card_never_serves_the_host() {
    let dir = tempfile::tempdir().unwrap();
    let gpu = SnapshotKey {
        device_class: "cuda",
        ..KEY
    };
    accept_file(&pend(dir.path(), &gpu, "x")).unwrap();
    assert_eq!(load(dir.path(), &KEY).unwrap(), None);
}

#[test]
fn a_build_machine_writes_nothing() {
    let dir = tempfile::tempdir().unwrap();
    let policy = SnapshotPolicy::from_ci(Some("true"));
    let written = write_pending(dir.path(), &KEY, &content("x"), &ORIGIN, policy).unwrap();
    assert_eq!(written, None);
    assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 0);
    for person in [None, Some(""), Some("0"), Some("false")] {
        assert_eq!(SnapshotPolicy::from_ci(person), SnapshotPolicy::WritePending);
    }
}

#[test]
fn a_pending_file_that_is_no_longer_needed_goes() {
    let dir = tempfile::tempdir().unwrap();
    pend(dir.path(), &KEY, "x");
    assert!(discard_pending(dir.path(), &KEY).unwrap());
    assert!(!discard_pending(dir.path(), &KEY).unwrap());
}

#[test]
fn hostile_names_stay_in_the_folder() {
    let dir = tempfile::tempdir().unwrap();
    let key = SnapshotKey {
        scenario: "../../outside",
        prompt: "../../../outside",
        device_class: "/",
    };
    let path = pend(dir.path(), &key, "x");
    assert_eq!(path.parent().unwrap().parent().unwrap(), dir.path());
    assert!(!path.to_str().unwrap().contains(".."));
}

#[test]
fn nothing_is_written_or_read_through_a_link() {
    let (suite, outside) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let is_refused = |result: Result<(), SnapshotError>| {
        let error = result.unwrap_err();
        assert!(
            matches!(
                &error,
                SnapshotError::Io {
                    doing: "cannot use",
                    ..
                }
            ),
            "{error:?}"
        );
    };
    let write = |dir: &Path| write_pending(dir, &KEY, &content("x"), &ORIGIN, SnapshotPolicy::WritePending).map(drop);
    // The folder of all snapshots, then that of the scenario, then the file.
    let snapshots = suite.path().join("snapshots");
    crate::sys::symlink(outside.path(), &snapshots).unwrap();
    is_refused(write(&snapshots));
    is_refused(load(&snapshots, &KEY).map(drop));
    is_refused(discard_pending(&snapshots, &KEY).map(drop));
    fs::remove_file(&snapshots).unwrap();
    fs::create_dir(&snapshots).unwrap();
    crate::sys::symlink(outside.path(), &snapshots.join(slug(KEY.scenario))).unwrap();
    is_refused(write(&snapshots));
    fs::remove_file(snapshots.join(slug(KEY.scenario))).unwrap();
    write(&snapshots).unwrap();
    let pending = KEY.pending_path(&snapshots);
    let moved = outside.path().join("moved.snap.new");
    fs::rename(&pending, &moved).unwrap();
    crate::sys::symlink(&moved, &pending).unwrap();
    is_refused(accept_file(&pending).map(drop));
    is_refused(write(&snapshots));
    fs::remove_file(&pending).unwrap();
    write(&snapshots).unwrap();
    accept_file(&pending).unwrap();
    assert!(load(&snapshots, &KEY).unwrap().is_some());
    assert_eq!(
        fs::read_dir(outside.path()).unwrap().count(),
        1,
        "nothing was written there"
    );
}

proptest! {
    #[test]
    fn any_text_survives(text in "(\\PC|[\n\r\t\u{1b}\\\\{}u]|---|token_ids: \\[\\]|\\\\u\\{1b\\}){0,40}") {
        let file = render(&content(&text), &ORIGIN);
        prop_assert_eq!(parse(&file).unwrap().1, content(&text));
        // Also through a checkout that changes line ends.
        prop_assert_eq!(parse(&file.replace('\n', "\r\n")).unwrap().1, content(&text));
    }
}
