//! `cargo insta`, where it is installed, on a suite that lies in a package: what it lists, approves and throws away is what we
//! list, approve and throw away. A file that it wrote is kept in `tests/data/cargo_insta`, and read wherever the tests run.

use std::path::Path;
use std::process::Command;

use placebench_core::record::TextVerdict;

use crate::env::{Ran, TestEnv, of};
use crate::terminal::Terminal;

/// Where a version is noted that these tests were made with.
const TRIED_WITH: &str = "1.49";

/// Set where the tool must be there: see `ci/cargo-insta.sh`.
const REQUIRED: &str = "PLACEBENCH_TEST_CARGO_INSTA";

/// `cargo-insta`, if it can be started; else says why nothing is tried.
#[expect(
    clippy::print_stderr,
    reason = "who reads the output of tests sees what was not tried"
)]
fn is_installed() -> bool {
    let version = Command::new("cargo-insta")
        .arg("--version")
        .env_remove("CARGO")
        .output();
    match version {
        Ok(output) if output.status.success() => {
            let version = String::from_utf8_lossy(&output.stdout).trim().to_owned();
            if !version.contains(TRIED_WITH) {
                eprintln!("{version}; these tests were made with {TRIED_WITH}");
            }
            true
        }
        _ => {
            assert!(
                std::env::var_os(REQUIRED).is_none(),
                "{REQUIRED} is set, and cargo-insta cannot be started"
            );
            eprintln!("not tried: cargo-insta is not installed (cargo install cargo-insta --locked)");
            false
        }
    }
}

/// A package that holds a suite with snapshots that wait: of `p` a changed one, of `q` and `r` new ones.
fn package() -> TestEnv {
    let env = TestEnv::new();
    env.write(
        "Cargo.toml",
        "[package]\nname = \"scratch\"\nversion = \"0.0.0\"\nedition = \"2024\"\n[lib]\npath = \"lib.rs\"\n[workspace]\n",
    );
    env.write("lib.rs", "");
    env.scenario(
        "s",
        "[placement.single]\ndevice_map = \"sim:0\"\n[expect]\nsnapshot = true\n\
         [[prompt]]\nname = \"q\"\ntext = \"Why\"\n[[prompt]]\nname = \"r\"\ntext = \"Who\"\n",
    );
    assert_eq!(env.run(&["run", "suite"]).code, Some(113));
    env.run(&["accept", "suite", "-E", "prompt(p)"]);
    let text = std::fs::read_to_string(env.path("suite/s.toml")).unwrap();
    env.write("suite/s.toml", &text.replace("Hello", "Goodbye"));
    assert_eq!(env.run(&["run", "suite"]).code, Some(100));
    env
}

fn insta(env: &TestEnv, args: &[&str]) -> Command {
    let placebench = env.command(args);
    let mut command = Command::new("cargo-insta");
    // With `CARGO` set it takes itself for started by cargo, which gives it its own name first.
    command
        .env("CARGO", env!("CARGO"))
        .arg("insta")
        .args(placebench.get_args())
        .current_dir(env.path(""))
        .env_remove("CI")
        .env_remove("INSTA_UPDATE")
        .env("CARGO_NET_OFFLINE", "true")
        .env("NO_COLOR", "1");
    command
}

fn names(env: &TestEnv) -> Vec<String> {
    let entries = std::fs::read_dir(env.path("suite/snapshots/s")).unwrap();
    let mut names: Vec<String> = entries
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .collect();
    names.sort();
    names
}

/// A file without its header's notation: what has to survive.
fn body(env: &TestEnv, name: &str) -> String {
    let file = std::fs::read_to_string(env.path(&format!("suite/snapshots/s/{name}"))).unwrap();
    file.split_once("\n---\n").unwrap().1.to_owned()
}

#[test]
fn it_lists_what_we_list() {
    if !is_installed() {
        return;
    }
    let env = package();
    let ran = Ran::of(insta(&env, &["pending-snapshots", "--as-json"]).output().unwrap());
    assert_eq!(ran.code, Some(0), "{ran:?}");
    let file_of = |line: &str| {
        let entry: serde_json::Value = serde_json::from_str(line).unwrap();
        assert_eq!(entry["type"], "file_snapshot");
        Path::new(entry["path"].as_str().unwrap())
            .file_name()
            .unwrap()
            .to_owned()
    };
    let mut theirs: Vec<_> = ran.stdout.lines().map(file_of).collect();
    theirs.sort();
    let ours = env.run(&["pending", "suite", "--format", "json"]).stdout;
    let ours: serde_json::Value = serde_json::from_str(&ours).unwrap();
    let file_of = |entry: &serde_json::Value| {
        let path = Path::new(entry["approved_file"].as_str().unwrap());
        path.file_name().unwrap().to_owned()
    };
    let ours: Vec<_> = ours["pending"].as_array().unwrap().iter().map(file_of).collect();
    assert_eq!(theirs, ours);
    assert_eq!(ours.len(), 3);
}

#[test]
fn what_it_accepts_and_rejects_is_accepted_and_rejected() {
    if !is_installed() {
        return;
    }
    let env = package();
    let proposed = body(&env, "p@cpu.snap.new");
    let ran = Ran::of(insta(&env, &["accept", "--snapshot", "p@cpu.snap"]).output().unwrap());
    assert_eq!(ran.code, Some(0), "{ran:?}");
    assert_eq!(names(&env), ["p@cpu.snap", "q@cpu.snap.new", "r@cpu.snap.new"]);
    assert_eq!(body(&env, "p@cpu.snap"), proposed);
    let ran = Ran::of(insta(&env, &["reject", "--snapshot", "q@cpu.snap"]).output().unwrap());
    assert_eq!(ran.code, Some(0), "{ran:?}");
    assert_eq!(names(&env), ["p@cpu.snap", "r@cpu.snap.new"]);
    assert_eq!(env.run(&["run", "suite"]).code, Some(113), "q waits once more");
    let ran = Ran::of(insta(&env, &["accept"]).output().unwrap());
    assert_eq!(ran.code, Some(0), "{ran:?}");
    let ran = env.run(&["run", "suite"]);
    assert!(
        ran.code == Some(0) && !ran.stderr.contains("no case refers to"),
        "{ran:?}"
    );
    // What it wrote anew still says where a token's text ends: the first difference has its text.
    let text = std::fs::read_to_string(env.path("suite/s.toml")).unwrap();
    env.write("suite/s.toml", &text.replace("Goodbye", "Hello"));
    env.run(&["run", "suite"]);
    let list = env.run(&["pending", "suite", "--format", "json"]).stdout;
    let list: serde_json::Value = serde_json::from_str(&list).unwrap();
    assert!(
        list["pending"][0]["first_difference"]["approved"]["text"].is_string(),
        "{list}"
    );
}

#[test]
fn its_review_on_a_terminal_decides() {
    if !is_installed() {
        return;
    }
    let env = package();
    let mut command = insta(&env, &["review"]);
    command.env("TERM", "xterm");
    let mut terminal = Terminal::start(command, 100);
    for (number, key) in [(1, "a"), (2, "r"), (3, "s")] {
        terminal.wait_for(&format!("Reviewing [{number}/3]"));
        terminal.wait_for("Tip:");
        terminal.type_keys(key);
    }
    let (status, shown) = terminal.end();
    assert!(status.success(), "{shown}");
    // It shows our fields to whoever reviews there.
    for said in ["suite/s.toml", "model m", "token_ids"] {
        assert!(shown.contains(said), "{said}: {shown}");
    }
    assert_eq!(names(&env), ["p@cpu.snap", "r@cpu.snap.new"]);
    assert_eq!(env.run(&["accept", "suite"]).code, Some(0));
    env.run(&["run", "suite"]);
    env.run(&["accept", "suite"]);
    assert_eq!(env.run(&["run", "suite"]).code, Some(0));
}

/// The file was made by `cargo insta accept` from a pending snapshot of this very scenario.
#[test]
fn a_file_it_left_is_an_approved_snapshot() {
    let env = TestEnv::new();
    let left = include_str!("../data/cargo_insta/accepted.snap.txt");
    assert!(
        left.contains("\nsource: suite/s.toml\n"),
        "in its notation, not in ours"
    );
    env.scenario(
        "s",
        "[placement.single]\ndevice_map = \"sim:0\"\n[expect]\nsnapshot = true\n",
    );
    env.write("suite/snapshots/s/p@cpu.snap", left);
    let (ran, verdict) = env.run_suite();
    assert_eq!(ran.code, Some(0), "{ran:?}");
    assert_eq!(of(&verdict, "s/p/single").text, TextVerdict::Exact);
    let text = std::fs::read_to_string(env.path("suite/s.toml")).unwrap();
    env.write("suite/s.toml", &text.replace("Hello", "Goodbye"));
    assert_eq!(env.run(&["run", "suite"]).code, Some(100));
    let list = env.run(&["pending", "suite", "--format", "json"]).stdout;
    let list: serde_json::Value = serde_json::from_str(&list).unwrap();
    let first = &list["pending"][0]["first_difference"];
    assert_eq!(first["approved"], serde_json::json!({"id": 89, "text": " w89"}));
}
