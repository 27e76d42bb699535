//! Servers that do what servers should not: each attempt has its outcome, its class and its sentence, and the run goes on.

use std::io::Write as _;
use std::time::Duration;

use placebench_core::outcome::{FailureClass, Outcome, Phase};
use placebench_core::record::Attempt;

use super::scenario;
use super::server::{Server, begin, document, event, good, hang, last, piece, send, token};
use crate::env::TestEnv;

const PATIENT: &str = "[timeout]\nfirst_token = \"60s\"\ntoken = \"60s\"";
const SHORT: &str = "[timeout]\nfirst_token = \"1s\"\ntoken = \"1s\"";

/// What must become of an attempt.
enum Expected {
    /// A failure of class `server` in that phase, with these words.
    Failed(Phase, &'static str),
    /// A stall in that phase after so many tokens.
    Stalled(Phase, u32),
    Completed,
}
use Expected::{Completed, Failed, Stalled};

struct Case {
    name: &'static str,
    server: Server,
    expected: Expected,
}

fn case(
    name: &'static str,
    expected: Expected,
    behave: impl Fn(&super::server::Request, &mut std::net::TcpStream) -> std::io::Result<()> + Send + Sync + 'static,
) -> Case {
    Case {
        name,
        server: Server::start(behave),
        expected,
    }
}

/// Servers that fall silent.
fn silent() -> Vec<Case> {
    vec![
        case("nothing", Stalled(Phase::Prefill, 0), |_, stream| hang(stream)),
        case("no-token", Stalled(Phase::Prefill, 0), |_, stream| {
            begin(stream)?;
            hang(stream)
        }),
        case("two-tokens", Stalled(Phase::Decode, 2), |_, stream| {
            send(stream, &[token("a", 1), token("b", 2)])?;
            hang(stream)
        }),
        case("no-done", Stalled(Phase::Decode, 3), |_, stream| {
            let mut events = good();
            events.pop();
            send(stream, &events)?;
            hang(stream)
        }),
        case("endless-comments", Stalled(Phase::Prefill, 0), |_, stream| {
            begin(stream)?;
            loop {
                stream.write_all(b": still here\n\n")?;
                std::thread::sleep(Duration::from_millis(20));
            }
        }),
    ]
}

/// Servers that answer with something else than a stream.
fn no_streams() -> Vec<Case> {
    let prefill = |words| Failed(Phase::Prefill, words);
    vec![
        case(
            "html-500",
            prefill("status 500 and `<html>no\\u{1b}[31m`"),
            |_, stream| document(stream, 500, "text/html", "<html>no\x1b[31m"),
        ),
        case(
            "html-200",
            prefill("no stream, but with `text/html`: `<html>"),
            |_, stream| document(stream, 200, "text/html", "<html>hello"),
        ),
        case(
            "json-200",
            prefill("no stream, but with `application/json`"),
            |_, stream| document(stream, 200, "application/json", "{}"),
        ),
        case("not-found", prefill("status 404"), |_, stream| {
            document(stream, 404, "text/plain", "no")
        }),
        case(
            "unauthorised",
            prefill("it wants another key (api_key_env"),
            |_, stream| document(stream, 401, "text/plain", "no"),
        ),
        case("refuses-all", prefill("status 400 and `never`"), |_, stream| {
            document(stream, 400, "text/plain", "never")
        }),
        case(
            "redirect",
            prefill("a redirect to `http://192.0.2.1/v1`, which is not followed"),
            |_, stream| {
                stream.write_all(b"HTTP/1.1 307 x\r\nLocation: http://192.0.2.1/v1\r\nContent-Length: 0\r\n\r\n")
            },
        ),
        case("no-http", prefill("does not speak HTTP"), |_, stream| {
            stream.write_all(b"what?\r\n\r\n")
        }),
        case(
            "closes",
            prefill("closed the connection before its answer was whole"),
            |_, _| Ok(()),
        ),
    ]
}

/// Streams that are no whole answer.
fn broken_streams() -> Vec<Case> {
    let decode = |words| Failed(Phase::Decode, words);
    let whole = || {
        good()
            .iter()
            .map(|data| format!("data: {data}\n\n"))
            .collect::<String>()
    };
    vec![
        case(
            "too-long-length",
            decode("closed the connection before its answer was whole"),
            |_, stream| {
                let head = "HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nContent-Length: 100000\r\n\r\n";
                write!(stream, "{head}data: {}\n\n", token("a", 1))
            },
        ),
        case(
            "too-short-length",
            decode("without saying that it is whole ([DONE])"),
            move |_, stream| {
                let body = whole();
                let length = body.len() - 20;
                write!(
                    stream,
                    "HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nContent-Length: {length}\r\n\r\n{body}"
                )
            },
        ),
        case(
            "dies",
            decode("ended its stream after 2 tokens without saying"),
            |_, stream| send(stream, &[token("a", 1), token("b", 2)]),
        ),
        case("not-utf8", decode("sent what is not UTF-8: `{"), |_, stream| {
            send(stream, &[token("a", 1)])?;
            stream.write_all(b"data: {\"choices\": [{\"text\": \"\xff\"}]}\n\n")
        }),
        case("rubbish", decode("sent what is no piece of an answer"), |_, stream| {
            send(stream, &[token("a", 1), "{what".to_owned()])
        }),
        case(
            "an-error",
            decode("gave up in the middle of its answer: `{\"message\":\"out of memory\"}`"),
            |_, stream| {
                send(
                    stream,
                    &[token("a", 1), r#"{"error": {"message": "out of memory"}}"#.to_owned()],
                )
            },
        ),
        case(
            "lying-usage",
            decode("counts 2 tokens in its answer, and sent 3 tokens"),
            |_, stream| {
                let mut events = good();
                events[3] = last("length", 2);
                send(stream, &events)
            },
        ),
        case("no-reason", decode("did not say why (finish_reason)"), |_, stream| {
            send(stream, &[token("a", 1), "[DONE]".to_owned()])
        }),
        case(
            "four-tokens",
            decode("sent more than 3 tokens, where at most 3 tokens were asked for"),
            |_, stream| send(stream, &[token("a", 1), token("b", 2), token("c", 3), token("d", 4)]),
        ),
        case("endless", decode("sent more than 3 pieces of text"), |_, stream| {
            begin(stream)?;
            loop {
                event(stream, &piece("a"))?;
            }
        }),
        case(
            "endless-line",
            Failed(Phase::Prefill, "an event of more than 1 MiB"),
            |_, stream| {
                begin(stream)?;
                stream.write_all(b"data: ")?;
                loop {
                    stream.write_all(&[b'x'; 4096])?;
                }
            },
        ),
    ]
}

/// Servers that are odd, and right.
fn odd() -> Vec<Case> {
    vec![
        case("one-byte-at-a-time", Completed, |_, stream| {
            stream.set_nodelay(true)?;
            begin(stream)?;
            let events: String = good()
                .iter()
                .map(|data| format!(": x\r\ndata: {data}\r\n\r\n"))
                .collect();
            events.bytes().try_for_each(|byte| stream.write_all(&[byte]))
        }),
        case("chunked", Completed, |_, stream| {
            stream.write_all(
                b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nTransfer-Encoding: chunked\r\n\r\n",
            )?;
            for data in good() {
                write!(stream, "{:x}\r\ndata: {data}\n\n\r\n", data.len() + 8)?;
            }
            stream.write_all(b"0\r\n\r\n")
        }),
        case("one-newline-at-the-end", Completed, |_, stream| {
            let mut events = good();
            events.pop();
            send(stream, &events)?;
            stream.write_all(b"data: [DONE]\n")
        }),
    ]
}

fn check(case: &Case, attempt: &Attempt) {
    let outcome = &attempt.outcome;
    match (&case.expected, outcome) {
        (Completed, Outcome::Completed) => assert_eq!(attempt.generations[0].text, "aéc", "{}", case.name),
        (Failed(phase, words), Outcome::Failed { failure }) => {
            assert_eq!(
                (failure.class, failure.phase),
                (FailureClass::Server, *phase),
                "{}: {failure:?}",
                case.name
            );
            assert!(
                failure.message.contains(words),
                "{}: {words}: {}",
                case.name,
                failure.message
            );
            assert!(failure.message.len() < 1000, "{}: {}", case.name, failure.message);
        }
        (
            Stalled(expected, before),
            Outcome::Stalled {
                phase, tokens, last, ..
            },
        ) => {
            assert_eq!((phase, tokens), (expected, before), "{}: {outcome:?}", case.name);
            assert_eq!(
                (attempt.partial_tokens.len(), last.token),
                (*before as usize, Some(*before)),
                "{}",
                case.name
            );
        }
        _ => panic!("{}: {outcome:?}", case.name),
    }
}

fn check_all(cases: &[Case], rest: &str) {
    let env = TestEnv::new();
    for case in cases {
        scenario(&env, case.name, &case.server.url(), "", rest);
    }
    let ran = env.run(&["run", "suite", "--no-fail-fast"]);
    assert!(matches!(ran.code, Some(0 | 100)), "{ran:?}");
    let attempts = env.attempts();
    assert_eq!(attempts.len(), cases.len(), "the run goes on");
    for case in cases {
        let own = attempts
            .iter()
            .find(|attempt| attempt.case == format!("{}/p/far", case.name));
        check(case, own.unwrap());
    }
}

#[test]
fn a_silent_server_is_a_stall_with_its_phase_and_its_tokens() {
    check_all(&silent(), SHORT);
}

#[test]
fn what_is_no_stream_is_quoted() {
    check_all(&no_streams(), PATIENT);
}

#[test]
fn a_stream_that_does_not_add_up_is_a_failure_with_the_reason() {
    check_all(&broken_streams(), PATIENT);
}

#[test]
fn what_is_odd_and_right_is_right() {
    check_all(&odd(), PATIENT);
}

#[test]
fn who_is_not_there_or_is_something_else_is_named_while_loading() {
    let not_listed = Server::with_models("<html>Welcome to nginx!", |_, _| Ok(()));
    let empty = Server::with_models(r#"{"data": []}"#, |_, _| Ok(()));
    let env = TestEnv::new();
    scenario(&env, "nginx", &not_listed.url(), "", "");
    scenario(&env, "no-models", &empty.url(), "", "");
    // Nobody listens at port 1 of this machine.
    scenario(&env, "nobody", "http://127.0.0.1:1/v1", "", "");
    assert_eq!(env.run(&["run", "suite", "--no-fail-fast"]).code, Some(100));
    for (name, words) in [
        (
            "nginx",
            "this is no server of that API: it answered with `<html>Welcome",
        ),
        ("no-models", "lists no models: name one with model of [server]"),
        ("nobody", "nobody listens at http://127.0.0.1:1"),
    ] {
        let attempts = env.attempts();
        let own = attempts
            .iter()
            .find(|attempt| attempt.case == format!("{name}/p/far"))
            .unwrap();
        let Outcome::Failed { failure } = &own.outcome else {
            panic!("{name}: {:?}", own.outcome)
        };
        assert_eq!(
            (failure.class, failure.phase),
            (FailureClass::Server, Phase::Load),
            "{failure:?}"
        );
        assert!(failure.message.contains(words), "{words}: {}", failure.message);
    }
}
