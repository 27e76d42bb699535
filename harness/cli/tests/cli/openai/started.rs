//! Servers that the engine starts: ready or not, and gone with their worker in whatever way it ends.

use std::net::{Ipv4Addr, TcpListener};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use std::os::unix::process::CommandExt as _;

use placebench_core::outcome::{FailureClass, Outcome, Phase};

use super::scenario;
use super::server::{good, hang, send, serve, token};
use crate::env::{Ran, TestEnv};

/// The command of a server: this test binary, told to be one.
fn command(behaviour: &str) -> String {
    let own = std::env::current_exe().unwrap();
    format!(
        "command = [{:?}, \"openai::started::a_server_for_other_tests\", \"--exact\", \"--ignored\", \"--nocapture\", \"behaviour={behaviour}\", \"port={{port}}\"]",
        own.to_str().unwrap()
    )
}

/// Not a test: what [`command`] starts. It notes its process id in its folder, that of the suite.
#[test]
#[ignore = "the program that other tests start"]
#[expect(
    clippy::exit,
    clippy::zombie_processes,
    reason = "it is to end, and to leave a process behind"
)]
fn a_server_for_other_tests() {
    let told = |key: &str| std::env::args().find_map(|word| word.strip_prefix(key).map(str::to_owned));
    let (Some(behaviour), Some(port)) = (told("behaviour="), told("port=")) else {
        return;
    };
    note(std::process::id());
    match behaviour.as_str() {
        "dies-starting" => {
            eprintln!("cannot find the weights\x1b[31m");
            std::process::exit(7);
        }
        "never-ready" => loop {
            std::thread::sleep(Duration::from_secs(1));
        },
        _ => {}
    }
    if behaviour != "good" {
        // Handled and not followed.
        signal_hook::flag::register(signal_hook::consts::SIGTERM, Arc::default()).unwrap();
    }
    if behaviour == "forks" {
        let child = Command::new("sleep")
            .arg("1000")
            .process_group(0)
            .stdout(Stdio::null())
            .spawn()
            .unwrap();
        note(child.id());
    }
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, port.parse::<u16>().unwrap())).unwrap();
    let models = r#"{"data": [{"id": "m", "owned_by": "somebody"}]}"#;
    let seen = Arc::new(Mutex::new(Vec::new()));
    serve(
        &listener,
        models,
        &seen,
        Arc::new(move |_: &_, stream: &mut _| match behaviour.as_str() {
            "stalls" => {
                send(stream, &[token("a", 1)])?;
                hang(stream)
            }
            "dies" => {
                send(stream, &[token("a", 1)])?;
                eprintln!("CUDA error: an illegal memory access was encountered");
                std::process::abort()
            }
            _ => send(stream, &good()),
        }),
    );
}

/// Appends a process id to the list in the current folder.
fn note(pid: u32) {
    use std::io::Write as _;
    let mut list = std::fs::OpenOptions::new()
        .create(true)
        .append(true)
        .open("pids")
        .unwrap();
    writeln!(list, "{pid}").unwrap();
}

fn suite(behaviour: &str, rest: &str) -> TestEnv {
    let env = TestEnv::new();
    scenario(&env, "x", "http://127.0.0.1:{port}/v1", &command(behaviour), rest);
    env
}

fn allowed(env: &TestEnv) -> Ran {
    env.run(&["run", "suite", "--allow-exec"])
}

/// The processes that servers of this suite were.
fn pids(env: &TestEnv) -> Vec<u32> {
    let list = std::fs::read_to_string(env.path("suite/pids")).unwrap_or_default();
    list.lines().map(|pid| pid.parse().unwrap()).collect()
}

/// Waits until they are gone; a zombie that nobody has reaped yet is gone.
fn wait_until_gone(env: &TestEnv, expected: usize) {
    let pids = pids(env);
    assert_eq!(pids.len(), expected, "{pids:?}");
    let since = Instant::now();
    for pid in pids {
        while is_there(pid) {
            assert!(
                since.elapsed() < Duration::from_secs(30),
                "process {pid} is still there"
            );
            std::thread::sleep(Duration::from_millis(20));
        }
    }
}

fn is_there(pid: u32) -> bool {
    let stat = std::fs::read_to_string(Path::new("/proc").join(pid.to_string()).join("stat"));
    stat.is_ok_and(|stat| !stat.rsplit_once(')').is_some_and(|(_, state)| state.starts_with(" Z")))
}

#[test]
fn a_server_is_started_for_each_attempt_and_ended_with_it() {
    let env = suite("good", "repetitions = 2");
    let refused = env.run(&["run", "suite"]);
    assert_eq!(refused.code, Some(96), "{refused:?}");
    assert!(
        refused.stderr.contains("suite/x.toml:7 starts the server"),
        "{refused:?}"
    );
    assert!(!env.path("suite/pids").exists(), "nothing was started");
    let ran = allowed(&env);
    assert_eq!(ran.code, Some(0), "{ran:?}");
    let texts: Vec<String> = env
        .attempts()
        .iter()
        .map(|attempt| attempt.generations[0].text.clone())
        .collect();
    assert_eq!(texts, ["aéc", "aéc"]);
    // Ended before the attempt was over, and so before the next began.
    assert!(pids(&env).into_iter().all(|pid| !is_there(pid)), "{:?}", pids(&env));
    assert_eq!(pids(&env).len(), 2);
    assert!(env.attempts()[0].stderr_tail.contains("[server] running 1 test"));
    let shared = suite("good", "repetitions = 2\nisolation = \"shared\"");
    assert_eq!(allowed(&shared).code, Some(0));
    assert_eq!(pids(&shared).len(), 1);
}

#[test]
fn what_ignores_sigterm_or_left_its_group_is_gone_all_the_same() {
    for (behaviour, processes) in [("stubborn", 1), ("forks", 2)] {
        let env = suite(behaviour, "[timeout]\ntoken = \"60s\"");
        let ran = allowed(&env);
        assert_eq!(ran.code, Some(0), "{behaviour}: {ran:?}");
        assert!(pids(&env).into_iter().all(|pid| !is_there(pid)), "{behaviour}");
        wait_until_gone(&env, processes);
    }
}

#[test]
fn a_server_that_is_never_ready_is_a_stall_while_loading() {
    let env = suite("never-ready", "[timeout]\nload = \"2s\"");
    assert_eq!(allowed(&env).code, Some(100));
    let outcome = env.attempts().remove(0).outcome;
    assert!(
        matches!(outcome, Outcome::Stalled { phase: Phase::Load, .. }),
        "{outcome:?}"
    );
    wait_until_gone(&env, 1);
}

fn failure(env: &TestEnv) -> (FailureClass, Phase, String) {
    match env.attempts().remove(0).outcome {
        Outcome::Failed { failure } => (failure.class, failure.phase, failure.message),
        other => panic!("{other:?}"),
    }
}

#[test]
fn a_server_that_ends_says_how_with_its_last_words() {
    let env = suite("dies-starting", "");
    assert_eq!(allowed(&env).code, Some(100));
    let (class, phase, message) = failure(&env);
    assert_eq!((class, phase), (FailureClass::Server, Phase::Load));
    for words in [
        "ended before it was ready: exit code 7",
        "cannot find the weights\\u{1b}[31m",
    ] {
        assert!(message.contains(words), "{words}: {message}");
    }
    let env = suite("dies", "");
    assert_eq!(allowed(&env).code, Some(100));
    let (class, phase, message) = failure(&env);
    assert_eq!((class, phase), (FailureClass::Server, Phase::Decode));
    for words in ["the server ended with signal 6", "an illegal memory access"] {
        assert!(message.contains(words), "{words}: {message}");
    }
}

#[test]
fn a_server_that_is_not_there_is_skipped_where_somebody_says_how_to_get_it() {
    let env = TestEnv::new();
    let missing = |get: &str| format!("command = [\"no-such-server\", \"{{port}}\"]\n{get}");
    scenario(
        &env,
        "get",
        "http://127.0.0.1:{port}/v1",
        &missing("get = \"bash get-it.sh\""),
        "",
    );
    scenario(&env, "lost", "http://127.0.0.1:{port}/v1", &missing(""), "");
    let listed = env.run(&["list", "suite"]);
    assert!(
        listed
            .stdout
            .contains("[skipped: the server no-such-server is not here]"),
        "{listed:?}"
    );
    let ran = allowed(&env);
    assert_eq!(ran.code, Some(100), "{ran:?}");
    let attempts = env.attempts();
    let outcome = |case: &str| &attempts.iter().find(|attempt| attempt.case == case).unwrap().outcome;
    let Outcome::Skipped { hint, .. } = outcome("get/p/far") else {
        panic!("{:?}", outcome("get/p/far"))
    };
    assert_eq!(hint.as_deref(), Some("bash get-it.sh"));
    let Outcome::Failed { failure } = outcome("lost/p/far") else {
        panic!("{:?}", outcome("lost/p/far"))
    };
    assert!(
        failure
            .message
            .contains("the server no-such-server cannot be started: No such file"),
        "{failure:?}"
    );
}

#[test]
fn a_server_goes_with_a_worker_that_had_to_be_stopped() {
    let env = suite("stalls", "[timeout]\ntoken = \"1s\"");
    assert_eq!(allowed(&env).code, Some(100));
    let attempt = env.attempts().remove(0);
    let Outcome::Stalled { phase, tokens, .. } = attempt.outcome else {
        panic!("{:?}", attempt.outcome)
    };
    assert_eq!((phase, tokens), (Phase::Decode, 1));
    wait_until_gone(&env, 1);
}

#[test]
fn a_server_goes_with_a_supervisor_that_was_killed() {
    let env = suite("stalls", "[timeout]\ntoken = \"10m\"");
    let mut run = env.command(&["run", "suite", "--allow-exec"]);
    let mut run = run.stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
    let list: PathBuf = env.path("suite/pids");
    let since = Instant::now();
    while !std::fs::read_to_string(&list).is_ok_and(|list| list.ends_with('\n')) {
        assert!(since.elapsed() < Duration::from_secs(60), "no server was started");
        std::thread::sleep(Duration::from_millis(20));
    }
    run.kill().unwrap();
    run.wait().unwrap();
    wait_until_gone(&env, 1);
}
