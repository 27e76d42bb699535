use std::io::{BufRead, BufReader, Write};
use std::net::TcpListener;
use std::sync::{Arc, Mutex};

use placebench_core::outcome::FailureClass;

use super::*;

const COMMIT: &str = "0123456789abcdef0123456789abcdef01234567";

fn settings(cache: &Path) -> HubSettings {
    HubSettings {
        endpoint: None,
        token: None,
        offline: true,
        cache: cache.to_owned(),
    }
}

fn model<'a>(revision: &'a str, file: Option<&'a str>) -> HubModel<'a> {
    HubModel {
        repo: "owner/tiny",
        revision,
        file,
    }
}

/// A hub on this machine that has these files; returns its address and what it was asked.
fn serve(files: Vec<(&'static str, &'static str)>) -> (String, Arc<Mutex<Vec<String>>>) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = format!("http://{}", listener.local_addr().unwrap());
    let asked = Arc::new(Mutex::new(Vec::new()));
    let log = Arc::clone(&asked);
    std::thread::spawn(move || {
        for stream in listener.incoming() {
            let mut stream = stream.unwrap();
            let mut reader = BufReader::new(stream.try_clone().unwrap());
            let mut lines = Vec::new();
            loop {
                let mut line = String::new();
                if reader.read_line(&mut line).unwrap_or(0) <= 2 {
                    break;
                }
                lines.push(line.trim().to_ascii_lowercase());
            }
            let Some(path) = lines.first().and_then(|line| line.split(' ').nth(1)).map(str::to_owned) else {
                continue;
            };
            log.lock().unwrap().push(path.clone());
            let answer = answer(&path, &lines, &files);
            stream.write_all(answer.as_bytes()).unwrap();
        }
    });
    (address, asked)
}

fn answer(path: &str, request: &[String], files: &[(&str, &str)]) -> String {
    let reply = |status: &str, headers: &str, body: &str| {
        format!(
            "HTTP/1.1 {status}\r\ncontent-length: {}\r\nconnection: close\r\n{headers}\r\n{body}",
            body.len()
        )
    };
    if path.starts_with("/api/models/owner/tiny/revision/") {
        let siblings: Vec<_> = files
            .iter()
            .map(|(name, _)| serde_json::json!({"rfilename": name}))
            .collect();
        return reply(
            "200 OK",
            "",
            &serde_json::json!({"siblings": siblings, "sha": COMMIT}).to_string(),
        );
    }
    if path.starts_with("/api/models/owner/gated/") {
        return reply("403 Forbidden", "", "");
    }
    let wanted = path.strip_prefix(&format!("/owner/tiny/resolve/{COMMIT}/"));
    let Some((name, body)) = files.iter().find(|(name, _)| Some(*name) == wanted) else {
        return reply("404 Not Found", "", "");
    };
    let headers = format!("x-repo-commit: {COMMIT}\r\netag: \"etag-{name}\"\r\n");
    if request.iter().any(|line| line == "range: bytes=0-0") {
        let headers = format!("{headers}content-range: bytes 0-0/{}\r\n", body.len());
        return reply("206 Partial Content", &headers, &body[..1]);
    }
    reply("206 Partial Content", &headers, body)
}

#[test]
fn a_checkpoint_is_fetched_once_and_pinned() {
    let folder = tempfile::tempdir().unwrap();
    let index = r#"{"weight_map": {"a": "model-1.safetensors", "b": "model-2.safetensors"}}"#;
    let (address, asked) = serve(vec![
        ("config.json", "{}"),
        ("tokenizer.json", "{}"),
        ("README.md", "no need"),
        ("model.safetensors.index.json", index),
        ("model-1.safetensors", "one"),
        ("model-2.safetensors", "two"),
    ]);
    let online = HubSettings {
        endpoint: Some(address),
        offline: false,
        ..settings(folder.path())
    };
    let path = fetch(&online, model("main", None)).unwrap();
    assert!(
        path.ends_with(format!("models--owner--tiny/snapshots/{COMMIT}")),
        "{}",
        path.display()
    );
    assert_eq!(
        std::fs::read_to_string(path.join("model-2.safetensors")).unwrap(),
        "two"
    );
    assert!(!path.join("README.md").exists());
    // A commit in the cache needs no network, whether or not it may be used.
    let before = asked.lock().unwrap().len();
    assert_eq!(fetch(&online, model(COMMIT, None)).unwrap(), path);
    assert_eq!(fetch(&settings(folder.path()), model(COMMIT, None)).unwrap(), path);
    assert_eq!(asked.lock().unwrap().len(), before);
}

#[test]
fn a_single_file_is_found_by_its_pattern() {
    let folder = tempfile::tempdir().unwrap();
    let (address, _) = serve(vec![
        ("tiny-q4.gguf", "GGUF4"),
        ("tiny-q8.gguf", "GGUF8"),
        ("README.md", "x"),
    ]);
    let online = HubSettings {
        endpoint: Some(address),
        offline: false,
        ..settings(folder.path())
    };
    let path = fetch(&online, model("main", Some("*q8.gguf"))).unwrap();
    assert_eq!(std::fs::read_to_string(path).unwrap(), "GGUF8");
    let error = fetch(&online, model("main", Some("*.gguf"))).unwrap_err();
    assert_eq!(
        error.to_string(),
        "owner/tiny at main: `*.gguf` matches tiny-q4.gguf, tiny-q8.gguf; give the name of one file"
    );
    assert_eq!(error.class(), FailureClass::RequestInvalid);
    let error = fetch(&online, model("main", None)).unwrap_err();
    assert_eq!(error.to_string(), "owner/tiny at main: it has no config.json");
}

#[test]
fn refusals_say_what_to_do() {
    let folder = tempfile::tempdir().unwrap();
    let (address, _) = serve(vec![]);
    let online = HubSettings {
        endpoint: Some(address),
        offline: false,
        ..settings(folder.path())
    };
    let ask = |repo| {
        let model = HubModel {
            repo,
            revision: "main",
            file: None,
        };
        fetch(&online, model).unwrap_err()
    };
    assert!(matches!(ask("owner/absent"), HubError::NotFound { .. }));
    let gated = ask("owner/gated").to_string();
    assert!(gated.contains("status 403") && gated.contains("HF_TOKEN"), "{gated}");
}

#[test]
fn offline_says_what_is_missing_and_what_to_do() {
    let folder = tempfile::tempdir().unwrap();
    let error = fetch(&settings(folder.path()), model(COMMIT, Some("a.gguf"))).unwrap_err();
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
        let model = HubModel { repo, revision, file };
        assert!(
            matches!(fetch(&settings(folder.path()), model), Err(HubError::Invalid { .. })),
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
