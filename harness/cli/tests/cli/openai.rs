//! The engine `openai`, end to end: servers that run already, good ones and bad ones.

#![expect(clippy::panic, reason = "helpers of tests fail by panicking, as tests do")]

mod llama_cpp;
mod misbehaviour;
mod server;
mod started;

use placebench_core::outcome::{FailureClass, Outcome};
use placebench_core::protocol::FinishReason;
use placebench_core::record::Attempt;

use self::server::{Server, document, good, last, piece, send};
use crate::env::{TestEnv, failed_checks, of};

/// A scenario of three tokens at that address, with these lines at the end of `[server]` and of the file.
pub(crate) fn scenario(env: &TestEnv, name: &str, url: &str, server: &str, rest: &str) {
    env.write(
        &format!("suite/{name}.toml"),
        &format!(
            r#"schema_version = 1
engine = "openai"
[model]
path = "models/m"
[server]
url = "{url}"
{server}
[[prompt]]
name = "p"
text = "Hello"
[generation]
max_new_tokens = 3
[placement.far]
stated = "wherever the server likes"
[measure]
warmup = 0
{rest}
"#
        ),
    );
}

fn attempt(env: &TestEnv) -> Attempt {
    env.attempts().remove(0)
}

#[test]
fn what_a_server_streams_is_a_generation_like_any_other() {
    let server = Server::with_models(r#"{"data": [{"id": "m", "owned_by": "llamacpp"}]}"#, |_, stream| {
        send(stream, &good())
    });
    let env = TestEnv::new();
    scenario(&env, "x", &server.url(), "", "");
    let (ran, verdict) = env.run_suite();
    assert_eq!(ran.code, Some(0), "{ran:?}");
    let judged = of(&verdict, "x/p/far");
    assert!(failed_checks(judged).is_empty(), "{judged:?}");
    let attempt = attempt(&env);
    let made = &attempt.generations[0];
    assert_eq!(
        (made.text.as_str(), made.output_ids.as_slice()),
        ("aéc", [1, 2, 3].as_slice())
    );
    assert_eq!(
        (made.text_offsets.as_slice(), made.input_tokens),
        ([1, 3, 4].as_slice(), Some(5))
    );
    assert_eq!(
        (made.top2_gaps.as_slice(), made.top5[1][0].id),
        ([2.0; 3].as_slice(), 2)
    );
    assert_eq!(
        (made.finish_reason, made.token_stamps_s.len()),
        (FinishReason::Length, 3)
    );
    assert_eq!(attempt.realised, Some(Vec::new()));
    assert!(
        attempt.devices[0].name.starts_with("llama.cpp at http://127.0.0.1:"),
        "{:?}",
        attempt.devices
    );
    let orders = server.orders();
    assert_eq!(
        (orders.len(), &orders[0]["prompt"], &orders[0]["max_tokens"]),
        (1, &"Hello".into(), &3.into())
    );
    assert_eq!(
        (&orders[0]["temperature"], &orders[0]["cache_prompt"]),
        (&0.into(), &false.into())
    );
}

#[test]
fn a_strict_server_is_asked_for_less_and_the_record_says_so() {
    let server = Server::start(|request, stream| {
        if request.body.get("logprobs").is_some() {
            return document(
                stream,
                400,
                "application/json",
                r#"{"error": "logprobs is not supported"}"#,
            );
        }
        send(
            stream,
            &[piece("ab"), piece("c"), last("length", 3), "[DONE]".to_owned()],
        )
    });
    let env = TestEnv::new();
    scenario(
        &env,
        "x",
        &server.url(),
        "model = \"other\"",
        "repetitions = 2\nisolation = \"shared\"",
    );
    let (ran, _) = env.run_suite();
    assert_eq!(ran.code, Some(0), "{ran:?}");
    let attempt = attempt(&env);
    assert_eq!(attempt.outcome, Outcome::Completed);
    let made = &attempt.generations[0];
    assert_eq!(
        (made.output_ids.len(), made.top2_gaps.len(), made.token_stamps_s.len()),
        (0, 0, 2)
    );
    assert_eq!((made.output_tokens, made.text.as_str()), (Some(3), "abc"));
    let notes = attempt.planned.unwrap().warnings.join("\n");
    for words in [
        "does not list the model `other`; it lists m",
        "refuses log-probabilities",
        "logprobs is not supported",
        "3 tokens came in 2 pieces",
    ] {
        assert!(notes.contains(words), "{words}: {notes}");
    }
    // Refused once, and not asked for again.
    let asked: Vec<bool> = server
        .orders()
        .iter()
        .map(|order| order.get("logprobs").is_some())
        .collect();
    assert_eq!(asked, [true, false, false]);
    assert!(server.orders().iter().all(|order| order.get("cache_prompt").is_none()));
}

#[test]
fn several_requests_are_under_way_at_once() {
    // Nobody gets an answer before all have asked.
    let barrier = std::sync::Barrier::new(3);
    let server = Server::start(move |request, stream| {
        barrier.wait();
        let text = request.body["prompt"].as_str().unwrap_or_default().to_owned();
        send(stream, &[piece(&text), last("stop", 2), "[DONE]".to_owned()])
    });
    let env = TestEnv::new();
    scenario(
        &env,
        "x",
        &server.url(),
        "",
        "[[prompt]]\nname = \"q\"\ntext = \"World\"",
    );
    let file = std::fs::read_to_string(env.path("suite/x.toml")).unwrap();
    env.write("suite/x.toml", &file.replace("stated =", "in_flight = 3\nstated ="));
    let ran = env.run(&["run", "suite", "-E", "prompt(=p)"]);
    assert_eq!(ran.code, Some(0), "{ran:?}");
    let attempt = attempt(&env);
    assert_eq!(attempt.outcome, Outcome::Completed, "{ran:?}");
    let made = &attempt.generations[0];
    let texts: Vec<&str> = std::iter::once(made)
        .chain(&made.companions)
        .map(|made| made.text.as_str())
        .collect();
    assert_eq!(texts, ["Hello", "World", "Hello"]);
}

#[test]
fn a_key_is_sent_where_it_is_allowed_and_is_in_no_record() {
    let server = Server::start(|request, stream| {
        let key = request.head.iter().find(|line| line.starts_with("authorization"));
        // A server that repeats what it is sent.
        document(stream, 500, "text/plain", &format!("you said {key:?}"))
    });
    let env = TestEnv::new();
    scenario(&env, "x", &server.url(), "api_key_env = \"OWN_API_KEY\"", "");
    let refused = env.run(&["run", "suite"]);
    assert_eq!(refused.code, Some(96), "{refused:?}");
    assert!(
        refused
            .stderr
            .contains("sends the value of OWN_API_KEY to http://127.0.0.1"),
        "{refused:?}"
    );
    assert!(server.seen().is_empty(), "nothing was sent");
    let missing = env.run(&["run", "suite", "--allow-exec"]);
    assert_eq!(missing.code, Some(96), "{missing:?}");
    assert!(
        missing.stdout.contains("OWN_API_KEY") && missing.stdout.contains("is not set"),
        "{missing:?}"
    );
    let mut command = env.command(&["run", "suite", "--allow-exec"]);
    let ran = command.env("OWN_API_KEY", "sk-verysecret1").output().unwrap();
    assert_eq!(ran.status.code(), Some(100));
    assert!(server.seen().iter().all(|request| {
        request
            .head
            .contains(&"authorization: bearer sk-verysecret1".to_owned())
    }));
    let Outcome::Failed { failure } = attempt(&env).outcome else {
        panic!("{:?}", attempt(&env).outcome)
    };
    assert!(failure.message.contains("[redacted]"), "{failure:?}");
    for file in ["attempts.jsonl", "run.json", "report.html", "junit.xml"] {
        let text = std::fs::read_to_string(env.latest().join(file)).unwrap();
        assert!(!text.contains("verysecret1"), "{file}");
    }
    assert!(!String::from_utf8_lossy(&ran.stdout).contains("verysecret1"));
}

#[test]
fn another_machine_is_asked_only_with_a_permission() {
    let env = TestEnv::new();
    scenario(&env, "x", "http://192.0.2.1:9/v1", "", "");
    let refused = env.run(&["run", "suite"]);
    assert_eq!(refused.code, Some(96), "{refused:?}");
    assert!(
        refused
            .stderr
            .contains("suite/x.toml sends its prompts to another machine: http://192.0.2.1:9/v1"),
        "{refused:?}"
    );
    assert!(env.run(&["list", "suite"]).stdout.contains("[needs --allow-exec]"));
}

#[test]
fn an_end_token_that_must_be_ignored_is_a_set_up_failure() {
    let server = Server::start(|_, stream| send(stream, &[piece("a"), last("stop", 1), "[DONE]".to_owned()]));
    let env = TestEnv::new();
    scenario(&env, "x", &server.url(), "", "");
    let file = std::fs::read_to_string(env.path("suite/x.toml")).unwrap();
    env.write(
        "suite/x.toml",
        &file.replace("max_new_tokens = 3", "max_new_tokens = 3\nignore_eos = true"),
    );
    assert_eq!(env.run(&["run", "suite"]).code, Some(96));
    let Outcome::Failed { failure } = attempt(&env).outcome else {
        panic!("{:?}", attempt(&env).outcome)
    };
    assert_eq!(failure.class, FailureClass::Unsupported);
    assert!(failure.message.contains("does not know ignore_eos"), "{failure:?}");
}
