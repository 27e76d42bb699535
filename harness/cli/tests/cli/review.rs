//! `review`: questions on a terminal, on a dumb one, and through a pipe.

use std::io::Write;
use std::os::unix::process::ExitStatusExt;
use std::process::Stdio;

use crate::env::{Ran, TestEnv};
use crate::terminal::Terminal;

const QUESTION: &str = "[q]uit ";

/// A suite with three prompts, all of which wait for review: two new ones after one that has changed.
fn waiting() -> TestEnv {
    let env = TestEnv::new();
    env.scenario(
        "s",
        "[[prompt]]\nname = \"q\"\ntext = \"Why\"\n[[prompt]]\nname = \"r\"\ntext = \"Who\"\n\
         [placement.single]\ndevice_map = \"sim:0\"\n[expect]\nsnapshot = true\n",
    );
    // Keys of a table go before the tables.
    let text = std::fs::read_to_string(env.path("suite/s.toml")).unwrap();
    let (head, rest) = text.split_once("[generation]\nmax_new_tokens = 12\n").unwrap();
    env.write(
        "suite/s.toml",
        &format!("{head}{rest}[generation]\nmax_new_tokens = 12\n"),
    );
    assert_eq!(env.run(&["run", "suite"]).code, Some(113));
    env.run(&["accept", "suite", "-E", "prompt(p)"]);
    env.write(
        "suite/s.toml",
        &std::fs::read_to_string(env.path("suite/s.toml"))
            .unwrap()
            .replace("Hello", "Goodbye"),
    );
    assert_eq!(env.run(&["run", "suite"]).code, Some(100));
    env
}

fn file(env: &TestEnv, name: &str) -> Option<String> {
    std::fs::read_to_string(env.path(&format!("suite/snapshots/s/{name}"))).ok()
}

fn begin(env: &TestEnv, terminal: &str, columns: u16) -> Terminal {
    let mut command = env.command(&["review", "suite"]);
    command.env("TERM", terminal);
    Terminal::start(command, columns)
}

/// A review of `suite` whose answers come through a pipe.
pub(crate) fn answered(env: &TestEnv, answers: &str) -> Ran {
    let mut child = env
        .command(&["review", "suite"])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    // It may have ended before it read them all.
    drop(child.stdin.take().unwrap().write_all(answers.as_bytes()));
    Ran::of(child.wait_with_output().unwrap())
}

#[test]
fn keys_on_a_terminal_decide() {
    let env = waiting();
    let proposed = file(&env, "p@cpu.snap.new").unwrap();
    let approved = file(&env, "p@cpu.snap").unwrap();
    assert_ne!(proposed, approved);
    let mut terminal = begin(&env, "xterm-256color", 80);
    terminal.wait_for("snapshot 1 of 3");
    terminal.wait_for("s/p/single (changed)");
    terminal.wait_for(QUESTION);
    // Neither decides.
    terminal.type_keys("\r");
    terminal.wait_for(QUESTION);
    terminal.type_keys("\u{1b}[A");
    terminal.wait_for(QUESTION);
    assert_eq!(file(&env, "p@cpu.snap").as_ref(), Some(&approved));
    terminal.type_keys("a");
    terminal.wait_for("accepted suite/snapshots/s/p@cpu.snap.new");
    terminal.wait_for("s/q/single (new)");
    terminal.wait_for(QUESTION);
    let kept: Vec<&str> = proposed.lines().filter(|line| !line.starts_with("run: ")).collect();
    assert_eq!(file(&env, "p@cpu.snap").unwrap().lines().collect::<Vec<_>>(), kept);
    terminal.type_keys("r");
    terminal.wait_for("snapshot 3 of 3");
    terminal.wait_for(QUESTION);
    terminal.type_keys("s");
    let (status, shown) = terminal.end();
    assert_eq!(status.code(), Some(0), "{shown}");
    assert!(shown.contains("1 accepted, 1 rejected, 1 left to review"), "{shown}");
    assert!(
        shown.contains("\u{1b}[31m") && shown.contains("\u{1b}[32m"),
        "{shown:?}"
    );
    let left = [
        "p@cpu.snap",
        "p@cpu.snap.new",
        "q@cpu.snap",
        "q@cpu.snap.new",
        "r@cpu.snap",
        "r@cpu.snap.new",
    ];
    let there: Vec<bool> = left.iter().map(|name| file(&env, name).is_some()).collect();
    assert_eq!(there, [true, false, false, false, false, true]);
}

#[test]
fn a_narrow_terminal_without_colours_shows_everything() {
    let env = waiting();
    let mut command = env.command(&["review", "suite"]);
    command.env("TERM", "xterm").env("NO_COLOR", "1");
    let mut terminal = Terminal::start(command, 40);
    for _ in 0..3 {
        terminal.wait_for(QUESTION);
        terminal.type_keys("d");
    }
    terminal.wait_for(QUESTION);
    terminal.type_keys("q");
    let (_, shown) = terminal.end();
    for line in shown.lines() {
        // Paths on lines of their own, told once something was done, are not folded.
        assert!(line.chars().count() <= 40, "{line:?}");
    }
    assert!(!shown.contains('\u{1b}'), "{shown:?}");
    let approved = file(&env, "p@cpu.snap").unwrap();
    let (_, text) = approved.split_once("\n---\n").unwrap();
    let last = text.lines().next().unwrap().split(' ').next_back().unwrap();
    assert!(shown.contains(last), "{last} is missing: {shown}");
}

#[test]
fn ctrl_c_takes_nothing_back_and_leaves_terminal_and_files_whole() {
    let env = waiting();
    let waits = file(&env, "q@cpu.snap.new").unwrap();
    let mut terminal = begin(&env, "xterm", 80);
    terminal.wait_for(QUESTION);
    terminal.type_keys("a");
    terminal.wait_for("snapshot 2 of 3");
    terminal.wait_for(QUESTION);
    // Before that the terminal itself would take the key.
    terminal.wait_until_as_found(false);
    terminal.type_keys("\u{3}");
    terminal.wait_until_as_found(true);
    let (status, _) = terminal.end();
    assert_eq!(status.signal(), Some(2), "{status:?}");
    assert!(file(&env, "p@cpu.snap.new").is_none(), "what was decided is done");
    assert_eq!(file(&env, "q@cpu.snap.new"), Some(waits));
    assert!(file(&env, "q@cpu.snap").is_none());
    let left = std::fs::read_dir(env.path("suite/snapshots/s")).unwrap().count();
    assert_eq!(left, 3, "no other file is left");
}

#[test]
fn a_dumb_terminal_is_read_line_by_line() {
    let env = waiting();
    let mut terminal = begin(&env, "dumb", 80);
    terminal.wait_for(QUESTION);
    assert!(terminal.is_as_found());
    terminal.type_keys("\n");
    terminal.wait_for("decide later");
    terminal.type_keys("reject\n");
    terminal.wait_for("rejected suite/snapshots/s/p@cpu.snap.new");
    terminal.wait_for(QUESTION);
    terminal.type_keys("q\n");
    let (status, shown) = terminal.end();
    assert_eq!(status.code(), Some(0));
    assert!(shown.contains("0 accepted, 1 rejected, 2 left to review"), "{shown}");
    assert!(!shown.contains('\u{1b}'), "{shown:?}");
}

#[test]
fn a_text_that_changes_meanwhile_is_shown_anew() {
    let env = waiting();
    let mut terminal = begin(&env, "xterm", 80);
    terminal.wait_for(QUESTION);
    let newer = file(&env, "p@cpu.snap.new").unwrap().replace(" w", " v");
    env.write("suite/snapshots/s/p@cpu.snap.new", &newer);
    terminal.type_keys("a");
    terminal.wait_for("has changed since it was looked at");
    terminal.wait_for(" v");
    terminal.wait_for(QUESTION);
    assert!(!file(&env, "p@cpu.snap").unwrap().contains(" v"));
    terminal.type_keys("a");
    terminal.wait_for("snapshot 2 of 3");
    terminal.wait_for(QUESTION);
    assert!(file(&env, "p@cpu.snap").unwrap().contains(" v"));
    // Somebody else deals with the second, and puts something in the way of the third.
    std::fs::remove_file(env.path("suite/snapshots/s/q@cpu.snap.new")).unwrap();
    terminal.type_keys("r");
    terminal.wait_for("it is gone");
    terminal.wait_for("snapshot 3 of 3");
    terminal.wait_for(QUESTION);
    std::os::unix::fs::symlink("elsewhere", env.path("suite/snapshots/s/r@cpu.snap")).unwrap();
    terminal.type_keys("a");
    let (status, shown) = terminal.end();
    assert_eq!(status.code(), Some(96), "{shown}");
    assert!(
        shown.contains("symbolic link") && shown.contains("1 accepted, 0 rejected, 0 left"),
        "{shown}"
    );
    assert!(file(&env, "r@cpu.snap.new").is_some() && !env.path("suite/snapshots/s/elsewhere").exists());
}

#[test]
fn answers_may_come_through_a_pipe() {
    let env = waiting();
    let ran = answered(&env, "nonsense\nr\na\n");
    assert_eq!(ran.code, Some(0), "{ran:?}");
    assert!(
        ran.stdout.contains("1 accepted, 1 rejected, 1 left to review"),
        "{ran:?}"
    );
    assert!(!ran.stdout.contains('\u{1b}'));
    let ran = answered(&env, "");
    assert_eq!(ran.code, Some(2), "{ran:?}");
    assert!(
        ran.stderr.contains("placebench pending") && ran.stdout.is_empty(),
        "{ran:?}"
    );
    assert!(file(&env, "r@cpu.snap.new").is_some());
    assert_eq!(answered(&env, "r\n").code, Some(0));
    let ran = answered(&env, "");
    assert!(
        ran.code == Some(0) && ran.stdout.contains("no pending snapshots"),
        "{ran:?}"
    );
}
