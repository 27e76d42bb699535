use placebench_core::outcome::FailureClass;

use super::checksum::sha256;
use super::*;

#[path = "../../tests/common/fake_hub.rs"]
mod fake_hub;

use fake_hub::{COMMIT, FakeHub, Fault, Served};

fn settings(cache: &Path) -> HubSettings {
    HubSettings {
        endpoint: None,
        token: None,
        offline: true,
        cache: cache.to_owned(),
    }
}

fn model<'a>(revision: &'a str, files: HubFiles<'a>) -> HubModel<'a> {
    HubModel {
        repo: "owner/tiny",
        revision,
        files,
    }
}

fn get(settings: &HubSettings, model: HubModel<'_>) -> Result<PathBuf, HubError> {
    fetch(settings, model, &mut |_| {})
}

/// A hub, an empty cache, and the settings of someone who is online.
fn online(files: Vec<Served>, faults: Vec<Fault>) -> (FakeHub, tempfile::TempDir, HubSettings) {
    let folder = tempfile::tempdir().unwrap();
    let hub = FakeHub::start(files, faults);
    let settings = HubSettings {
        endpoint: Some(hub.address.clone()),
        offline: false,
        ..settings(folder.path())
    };
    (hub, folder, settings)
}

/// A file in LFS with its true checksum.
fn large(name: &str, body: &[u8]) -> Served {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("body");
    std::fs::write(&path, body).unwrap();
    Served::large(name, body, &sha256(&path).unwrap())
}

/// More than a network buffer holds, and the same nowhere twice.
fn weights() -> Vec<u8> {
    (0..200_000_u32).flat_map(u32::to_le_bytes).collect()
}

const GGUF: HubFiles<'static> = HubFiles::One("tiny.gguf");

#[test]
fn a_checkpoint_is_fetched_once_and_pinned() {
    let index = r#"{"weight_map": {"a": "model-1.safetensors", "b": "model-2.safetensors"}}"#;
    let (hub, folder, online) = online(
        vec![
            Served::small("config.json", "{}"),
            Served::small("tokenizer.json", "{}"),
            Served::small("README.md", "no need"),
            Served::small("model.safetensors.index.json", index),
            large("model-1.safetensors", b"one"),
            large("model-2.safetensors", &weights()),
        ],
        vec![],
    );
    let path = get(&online, model("main", HubFiles::Checkpoint)).unwrap();
    assert!(
        path.ends_with(format!("models--owner--tiny/snapshots/{COMMIT}")),
        "{}",
        path.display()
    );
    assert_eq!(std::fs::read(path.join("model-2.safetensors")).unwrap(), weights());
    assert!(!path.join("README.md").exists());
    // A commit in the cache needs no network, whether or not it may be used; a branch is known from the last time.
    let before = hub.asked().len();
    let pinned = model(COMMIT, HubFiles::Checkpoint);
    assert_eq!(get(&online, pinned).unwrap(), path);
    assert_eq!(get(&settings(folder.path()), pinned).unwrap(), path);
    let branch = model("main", HubFiles::Checkpoint);
    assert_eq!(get(&settings(folder.path()), branch).unwrap(), path);
    assert_eq!(hub.asked().len(), before);
    // Asked again for the branch, the hub is asked for the list, and for no file that is here.
    get(&online, branch).unwrap();
    assert_eq!(hub.asked().len(), before + 1);
}

#[test]
fn a_configuration_comes_without_weights() {
    let files = vec![
        Served::small("config.json", "{}"),
        Served::small("tokenizer.json", "{}"),
        large("model.safetensors", b"one"),
    ];
    let (hub, folder, online) = online(files, vec![]);
    let path = get(&online, model("main", HubFiles::Config)).unwrap();
    assert!(path.join("config.json").exists() && path.join("tokenizer.json").exists());
    assert!(!path.join("model.safetensors").exists());
    assert_eq!(hub.ranges(), Vec::<String>::new());
    let settings = settings(folder.path());
    assert_eq!(get(&settings, model(COMMIT, HubFiles::Config)).unwrap(), path);
    assert!(matches!(
        get(&settings, model(COMMIT, HubFiles::Checkpoint)),
        Err(HubError::Offline { .. })
    ));
}

#[test]
fn a_single_file_is_found_by_its_pattern() {
    let files = vec![
        Served::small("tiny-q4.gguf", "GGUF4"),
        Served::small("tiny-q8.gguf", "GGUF8"),
        Served::small("README.md", "x"),
    ];
    let (_hub, _folder, online) = online(files, vec![]);
    let path = get(&online, model("main", HubFiles::One("*q8.gguf"))).unwrap();
    assert_eq!(std::fs::read_to_string(path).unwrap(), "GGUF8");
    let error = get(&online, model("main", HubFiles::One("*.gguf"))).unwrap_err();
    assert_eq!(
        error.to_string(),
        "owner/tiny at main: `*.gguf` matches tiny-q4.gguf, tiny-q8.gguf; give the name of one file"
    );
    assert_eq!(error.class(), FailureClass::RequestInvalid);
    let error = get(&online, model("main", HubFiles::Checkpoint)).unwrap_err();
    assert_eq!(error.to_string(), "owner/tiny at main: it has no config.json");
}

#[test]
fn a_broken_download_goes_on_where_it_stopped_and_says_how_far_it_is() {
    let cut = Fault::Cut {
        bytes: 300_000,
        times: 2,
        silently: false,
    };
    let (hub, _folder, online) = online(vec![large("tiny.gguf", &weights())], vec![cut]);
    let mut heard = Vec::new();
    let path = fetch(&online, model("main", GGUF), &mut |transfer| {
        heard.push(transfer.clone());
    })
    .unwrap();
    assert_eq!(std::fs::read(path).unwrap(), weights());
    assert_eq!(hub.ranges(), ["bytes=0-", "bytes=300000-", "bytes=600000-"]);
    let step = |done_bytes| Transfer {
        file: "tiny.gguf".into(),
        done_bytes,
        total_bytes: 800_000,
    };
    assert_eq!((heard.first(), heard.last()), (Some(&step(0)), Some(&step(800_000))));
}

#[test]
fn what_an_earlier_process_left_behind_is_not_fetched_again() {
    let whole = weights();
    let file = large("tiny.gguf", &whole);
    let part = |folder: &Path| {
        folder.join(format!(
            "models--owner--tiny/blobs/{}.part",
            file.sha256.as_deref().unwrap()
        ))
    };
    let too_long = [&whole[..], b"more"].concat();
    for (left, asked) in [
        (&whole[..500_000], "bytes=500000-"),
        // A process that was killed just before the last step: a hub refuses to send what comes after the end.
        (&whole[..], "bytes=799999-"),
        (&too_long[..], "bytes=0-"),
    ] {
        let (hub, folder, online) = online(vec![file.clone()], vec![]);
        let part = part(folder.path());
        std::fs::create_dir_all(part.parent().unwrap()).unwrap();
        std::fs::write(&part, left).unwrap();
        let path = get(&online, model("main", GGUF)).unwrap();
        assert!(std::fs::read(path).unwrap() == whole, "{asked}");
        assert_eq!(hub.ranges(), [asked]);
    }
}

#[test]
fn a_download_that_keeps_breaking_is_an_error_and_keeps_what_came() {
    let cut = Fault::Cut {
        bytes: 100_000,
        times: 5,
        silently: false,
    };
    let (hub, _folder, online) = online(vec![large("tiny.gguf", &weights())], vec![cut]);
    let error = get(&online, model("main", GGUF)).unwrap_err();
    assert!(matches!(error, HubError::Transfer { .. }), "{error}");
    assert_eq!(error.class(), FailureClass::ModelMissing);
    let path = get(&online, model("main", GGUF)).unwrap();
    assert!(std::fs::read(path).unwrap() == weights());
    assert_eq!(hub.ranges().last().map(String::as_str), Some("bytes=500000-"));
}

#[test]
fn a_file_that_arrives_short_is_removed() {
    let cut = Fault::Cut {
        bytes: 300_000,
        times: 1,
        silently: true,
    };
    for names_only in [vec![], vec![Fault::NamesOnly]] {
        let faults = [names_only.clone(), vec![cut.clone()]].concat();
        let (_hub, folder, online) = online(vec![large("tiny.gguf", &weights())], faults);
        let error = get(&online, model("main", GGUF)).unwrap_err().to_string();
        let how = match names_only.is_empty() {
            true => "it has 300000 bytes instead of 800000",
            false => "its sha256 is",
        };
        assert!(
            error.contains("tiny.gguf arrived damaged") && error.contains(how),
            "{error}"
        );
        let offline = get(&settings(folder.path()), model(COMMIT, GGUF));
        assert!(
            matches!(offline, Err(HubError::Offline { .. })),
            "nothing is left of it"
        );
        let path = get(&online, model("main", GGUF)).unwrap();
        assert!(std::fs::read(path).unwrap() == weights(), "the next one is whole");
    }
}

#[test]
fn a_file_with_a_wrong_checksum_is_never_used() {
    let sum = "0".repeat(64);
    let file = Served::large("tiny.gguf", weights(), &sum);
    let (_hub, folder, online) = online(vec![file], vec![]);
    let error = get(&online, model("main", GGUF)).unwrap_err();
    assert_eq!(error.class(), FailureClass::ModelMissing);
    let error = error.to_string();
    assert!(error.contains(&format!("the hub says {sum}")), "{error}");
    let offline = get(&settings(folder.path()), model(COMMIT, GGUF));
    assert!(
        matches!(offline, Err(HubError::Offline { .. })),
        "nothing is left of it"
    );
}

#[test]
fn a_server_that_cannot_resume_is_noticed() {
    let cut = Fault::Cut {
        bytes: 300_000,
        times: 1,
        silently: false,
    };
    let (_hub, _folder, online) = online(vec![large("tiny.gguf", &weights())], vec![cut, Fault::WholeAnyway]);
    let error = get(&online, model("main", GGUF)).unwrap_err().to_string();
    assert!(error.contains("it has 1100000 bytes instead of 800000"), "{error}");
    assert!(get(&online, model("main", GGUF)).is_ok(), "the next one begins anew");
}

#[test]
fn a_cached_file_that_was_cut_is_fetched_again() {
    let (hub, _folder, online) = online(vec![large("tiny.gguf", &weights())], vec![]);
    let path = get(&online, model("main", GGUF)).unwrap();
    let cut = std::fs::File::options().write(true).open(&path).unwrap();
    cut.set_len(10).unwrap();
    assert_eq!(get(&online, model("main", GGUF)).unwrap(), path);
    assert!(std::fs::read(path).unwrap() == weights());
    assert_eq!(hub.ranges().len(), 2);
}

#[test]
fn what_does_not_fit_on_the_disk_is_not_begun() {
    let huge = Fault::ListedSize(u64::MAX / 2);
    let (hub, folder, online) = online(vec![large("tiny.gguf", &weights())], vec![huge]);
    let error = get(&online, model("main", GGUF)).unwrap_err();
    assert_eq!(error.class(), FailureClass::ModelMissing);
    let error = error.to_string();
    for words in [
        "still to be fetched",
        "are free",
        folder.path().to_str().unwrap(),
        "HF_HOME",
    ] {
        assert!(error.contains(words), "{error}");
    }
    assert_eq!(hub.ranges(), Vec::<String>::new());
}

#[test]
fn refusals_say_what_to_do() {
    for (status, code, words) in [
        (404, "RepoNotFound", "no such repository"),
        (404, "RevisionNotFound", "no revision 0123456789"),
        (401, "RepoNotFound", "no such repository, or it is private"),
        (401, "GatedRepo", "accept the model's conditions"),
        (403, "GatedRepo", "accept the model's conditions"),
        (403, "", "HF_TOKEN"),
        (503, "", "check the network"),
    ] {
        let (_hub, _folder, online) = online(vec![], vec![Fault::Refuse(status, code)]);
        let error = get(&online, model(COMMIT, HubFiles::Checkpoint)).unwrap_err();
        assert_eq!(error.class(), FailureClass::ModelMissing);
        let error = error.to_string();
        assert!(
            error.contains(words) && error.contains("owner/tiny"),
            "{status} {code}: {error}"
        );
    }
}

#[test]
fn the_token_opens_what_is_closed_and_is_never_shown() {
    let (hub, _folder, closed) = online(vec![large("tiny.gguf", &weights())], vec![Fault::Token("secret")]);
    let ask = |token: Option<&str>| {
        let settings = HubSettings {
            token: token.map(str::to_owned),
            ..closed.clone()
        };
        get(&settings, model("main", GGUF))
    };
    for token in [None, Some("wrong-secret")] {
        let error = ask(token).unwrap_err().to_string();
        assert!(error.contains("status 401") && error.contains("HF_TOKEN"), "{error}");
        assert!(!error.contains("wrong-secret"), "{error}");
    }
    assert!(ask(Some("secret")).is_ok());
    assert!(
        hub.asked()
            .iter()
            .any(|asked| asked.authorization.as_deref() == Some("Bearer secret"))
    );
}

#[test]
fn offline_says_what_is_missing_and_what_to_do() {
    let folder = tempfile::tempdir().unwrap();
    let error = get(&settings(folder.path()), model(COMMIT, HubFiles::One("a.gguf"))).unwrap_err();
    assert_eq!(error.class(), FailureClass::ModelMissing);
    let text = error.to_string();
    for part in ["owner/tiny", COMMIT, "a.gguf", "HF_HUB_OFFLINE", "local path"] {
        assert!(text.contains(part), "{text}");
    }
}

#[test]
fn names_that_lead_elsewhere_are_refused() {
    let folder = tempfile::tempdir().unwrap();
    for (repo, revision, file) in [
        ("../x", "main", None),
        ("a/b/c", "main", None),
        ("", "main", None),
        ("a/b", "../../x", None),
        ("a/b", "main", Some("../x.gguf")),
        ("a/b", "main", Some("/etc/passwd")),
    ] {
        let files = file.map_or(HubFiles::Checkpoint, HubFiles::One);
        let model = HubModel { repo, revision, files };
        assert!(
            matches!(get(&settings(folder.path()), model), Err(HubError::Invalid { .. })),
            "{model:?}"
        );
    }
}

#[test]
fn settings_come_from_the_environment() {
    let read = |variables: &[(&str, &str)]| {
        HubSettings::from_variables(|name| {
            variables
                .iter()
                .find(|(key, _)| *key == name)
                .map(|(_, value)| (*value).to_owned())
        })
    };
    let found = read(&[
        ("HOME", "/h"),
        ("HF_ENDPOINT", "http://hub"),
        ("HF_TOKEN", "t"),
        ("HF_HUB_OFFLINE", "1"),
    ]);
    let expected = HubSettings {
        endpoint: Some("http://hub".into()),
        token: Some("t".into()),
        offline: true,
        cache: "/h/.cache/huggingface/hub".into(),
    };
    assert!(found.unwrap() == expected);
    assert_eq!(
        read(&[("HOME", "/h"), ("HF_HOME", "/c")]).unwrap().cache,
        Path::new("/c/hub")
    );
    assert_eq!(
        read(&[("HF_HOME", "/c"), ("HF_HUB_CACHE", "/d")]).unwrap().cache,
        Path::new("/d")
    );
    assert!(matches!(read(&[]), Err(HubError::NoCache)));
}

#[test]
fn patterns_match_within_a_folder() {
    for (pattern, name, expected) in [
        ("*.gguf", "a.gguf", true),
        ("*.gguf", "x/a.gguf", false),
        ("x/*.gguf", "x/a.gguf", true),
        ("a*b*c", "aXbYbZc", true),
        ("a*b", "a", false),
        ("a", "ab", false),
    ] {
        assert_eq!(matches(pattern, name), expected, "{pattern} {name}");
    }
}
