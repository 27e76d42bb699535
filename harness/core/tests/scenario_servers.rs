//! Scenarios of the engine `openai`: what is read from good ones, and every rule that a bad one breaks.

#![expect(clippy::unwrap_used, reason = "helpers of tests fail by panicking, as tests do")]

use std::path::{Path, PathBuf};

use placebench_core::placement::{Concurrency, DeviceMapRequest};
use placebench_core::record::{CaseSpec, ForeignCode};
use placebench_core::scenario::expand::expand;
use placebench_core::scenario::file::DefaultsFile;
use placebench_core::scenario::parse::parse;
use placebench_core::scenario::resolve::{Origin, resolve};
use placebench_core::scenario::{Problem, Scenario};

const START: &str = "url = \"http://127.0.0.1:{port}/v1\"\ncommand = [\"serve\", \"--port\", \"{port}\", \"{model}\"]";
const STATED: &str = "[placement.far]\nstated = \"somewhere\"";

fn text(engine: &str, server: &str, rest: &str) -> String {
    let server = if server.is_empty() {
        String::new()
    } else {
        format!("[server]\n{server}\n")
    };
    format!(
        "schema_version = 1\n{engine}\n{server}[model]\npath = \"m\"\n[[prompt]]\nname = \"p\"\ntext = \"Hello\"\n{rest}\n"
    )
}

fn read(text: &str) -> Result<Scenario, Vec<Problem>> {
    let (file, problems) = parse(text);
    assert_eq!(problems, [], "the grammar is fine: {text}");
    let origin = Origin {
        name: "suite/file".into(),
        file: "suite/file.toml".into(),
        folder: PathBuf::from("/scenarios/suite"),
        suite: PathBuf::from("/scenarios"),
    };
    let read_text = |_: &Path| Err("no such file".to_owned());
    resolve(&file, &DefaultsFile::default(), text, origin, &read_text)
}

fn cases(server: &str, rest: &str) -> Vec<CaseSpec> {
    expand(&read(&text("engine = \"openai\"", server, rest)).unwrap(), "/s")
}

#[test]
fn a_placement_has_the_server_with_its_own_arguments() {
    let rest = "[placement.one]\nstated = \"one GPU\"\nin_flight = 4\n[placement.two]\nstated = \"two GPUs\"\nserver = { args = [\"-tp\", \"2\"] }";
    let cases = cases(
        &format!("{START}\nready = \"/ready\"\nget = \"bash get.sh\"\nmodel = \"n\""),
        rest,
    );
    let server = |at: usize| cases[at].server.clone().unwrap();
    let start = server(1).start.unwrap();
    assert_eq!(start.command, ["serve", "--port", "{port}", "{model}", "-tp", "2"]);
    assert_eq!(
        (start.ready.as_str(), start.folder.as_str(), start.line),
        ("/ready", "/scenarios/suite", 5)
    );
    assert_eq!(
        (start.get.as_deref(), server(0).model.as_deref()),
        (Some("bash get.sh"), Some("n"))
    );
    assert_eq!(server(0).start.unwrap().command.len(), 4);
    assert_eq!(cases[0].request.device_map, DeviceMapRequest::Stated("one GPU".into()));
    assert_eq!(cases[0].request.concurrency, Concurrency::InFlight(4));
}

#[test]
fn a_server_needs_a_permission_where_it_is_started_far_away_or_given_a_key() {
    let reasons = |server: &str| -> Vec<String> {
        let cases = cases(server, STATED);
        let code = cases[0].foreign_code();
        let word = |code: &ForeignCode<'_>| match code {
            ForeignCode::Server(start) => format!("start {}", start.command[0]),
            ForeignCode::Address(url) => format!("ask {url}"),
            ForeignCode::Key { variable, url } => format!("tell {url} {variable}"),
            other => format!("{other:?}"),
        };
        code.iter().map(word).collect()
    };
    assert!(reasons("url = \"http://localhost:8000/v1\"").is_empty());
    assert_eq!(reasons(START), ["start serve"]);
    assert_eq!(reasons("url = \"https://a.example/v1\""), ["ask https://a.example/v1"]);
    assert_eq!(
        reasons("url = \"http://[::1]:8000/v1\"\napi_key_env = \"A_KEY\""),
        ["tell http://[::1]:8000/v1 A_KEY"]
    );
    // A scenario of another engine does not ask for it.
    let both = text(
        "engines = [\"candle\", \"openai\"]",
        "url = \"https://a.example/v1\"",
        &format!("{STATED}\nengines = [\"openai\"]\n[placement.cpu]\ndevice_map = \"cpu\"\nengines = [\"candle\"]"),
    );
    let cases = expand(&read(&both).unwrap(), "/s");
    let asking: Vec<(&str, usize)> = cases
        .iter()
        .map(|case| (case.case.as_str(), case.foreign_code().len()))
        .collect();
    assert_eq!(
        asking,
        [
            ("suite/file/p/cpu[engine=candle]", 0),
            ("suite/file/p/far[engine=openai]", 1)
        ]
    );
}

/// Place, message and hint of the problems of a scenario.
fn problems(text: &str) -> String {
    let problems = read(text).map(|_| ()).unwrap_err();
    let shown = problems.iter().map(|problem| {
        let (line, column) = problem.position(text).unwrap_or((0, 0));
        format!(
            "{line}:{column} {} [{}]",
            problem.message,
            problem.hint.as_deref().unwrap_or("-")
        )
    });
    shown.collect::<Vec<_>>().join("\n")
}

#[test]
fn an_address_and_a_command_must_fit_each_other() {
    let of = |server: &str| problems(&text("engine = \"openai\"", server, STATED));
    let command = |url: &str, word: &str| format!("url = \"{url}\"\ncommand = [\"serve\", \"{word}\"]");
    for (server, words) in [
        (
            "url = \"127.0.0.1:8000\"".to_owned(),
            "4:7 the address begins with neither http",
        ),
        (
            "url = \"http://127.0.0.1:{port}\"".to_owned(),
            "4:7 no port is chosen for a server that runs already",
        ),
        (
            command("http://a.example:{port}", "{port}"),
            "4:7 a server that is started here is spoken to on this machine",
        ),
        (command("http://127.0.0.1:{port}", "x"), "the command does not say it"),
        (command("http://127.0.0.1:8000", "{port}"), "the address has another"),
        (command("http://127.0.0.1:8000", "\\u0000"), "NUL"),
        (
            "url = \"http://127.0.0.1:8000\"\ncommand = []".to_owned(),
            "5:11 the command is empty",
        ),
        (
            command("http://127.0.0.1:8000", "../../secret"),
            "leaves the suite's folder",
        ),
        (
            "url = \"http://127.0.0.1:8000\"\nready = \"/health\"".to_owned(),
            "5:9 ready goes with command",
        ),
        (
            "url = \"http://127.0.0.1:8000\"\nget = \"x\"".to_owned(),
            "5:7 get goes with command",
        ),
        (
            format!("{START}\nready = \"health\""),
            "6:9 ready is a path of the server",
        ),
        (
            "url = \"http://127.0.0.1:8000\"\nmodel = \"\"".to_owned(),
            "the name of the model is empty",
        ),
        (
            "url = \"http://127.0.0.1:8000\"\napi_key_env = \"MINE\"".to_owned(),
            "does not say that it holds a secret",
        ),
        (
            "url = \"http://127.0.0.1:8000\"\napi_key_env = \"A KEY\"".to_owned(),
            "is no environment variable",
        ),
        (
            "url = \"http://127.0.0.1:8000\"\napi_key_env = \"PLACEBENCH_KEY\"".to_owned(),
            "is no environment variable",
        ),
    ] {
        let found = of(&server);
        assert!(found.contains(words), "{words}: {found}");
    }
}

#[test]
fn what_a_server_decides_is_refused_by_name() {
    let url = "url = \"http://127.0.0.1:8000/v1\"";
    let of = |rest: &str| problems(&text("engine = \"openai\"", url, rest));
    for (key, words) in [
        ("max_memory = { cpu = \"1GiB\" }", "cannot honour max_memory"),
        ("transfer = \"host\"", "cannot honour transfer"),
        ("offload = \"stream\"", "cannot honour offload"),
        ("planner = \"accelerate\"", "cannot honour planner"),
        ("batch = 2", "a server batches as it likes"),
        ("[[fault]]\nkind = \"stall\"", "cannot inject faults"),
        (
            "[devices]\n\"sim:0\" = { on = \"cpu\", memory = \"1MiB\" }",
            "no logical devices: `sim:0`",
        ),
    ] {
        let found = of(&format!("{STATED}\n{key}"));
        assert!(found.contains(words), "{words}: {found}");
    }
    assert!(of("[placement.x]\ndevice_map = \"cpu\"").contains("cannot place modules: the server has done so"));
    assert!(of("[placement.x]\nlaunch = {}").contains("starts no ranks"));
    let dtype = text("engine = \"openai\"", url, STATED).replace("path = \"m\"", "path = \"m\"\ndtype = \"f32\"");
    assert!(problems(&dtype).contains("cannot honour dtype"));
}

#[test]
fn tables_of_servers_and_engines_go_together() {
    let url = "url = \"http://127.0.0.1:8000/v1\"";
    assert!(problems(&text("engine = \"openai\"", "", STATED)).contains("2:10 engine `openai` needs a [server]"));
    let cpu = "[placement.cpu]\ndevice_map = \"cpu\"";
    assert!(problems(&text("engine = \"mock\"", url, cpu)).contains("[server] is used by no engine"));
    let stated = problems(&text("engine = \"mock\"", "", STATED));
    assert!(
        stated.contains("engine `mock` places the model as it is told"),
        "{stated}"
    );
    let both = |rest: &str| problems(&text("engines = [\"candle\", \"openai\"]", url, rest));
    assert!(both(cpu).contains("say with engines = [\"candle\"]"));
    assert!(both(STATED).contains("engine `candle` places the model as it is told"));
    let not_its = format!(
        "{cpu}\nengines = [\"candle\"]\nserver = {{ url = \"http://127.0.0.1:1\" }}\n{STATED}\nengines = [\"openai\"]"
    );
    assert!(both(&not_its).contains("the placement `cpu` is not for the engine `openai`"));
    let args = "[placement.far]\nstated = \"x\"\nserver = { args = [\"-tp\"] }";
    assert!(problems(&text("engine = \"openai\"", url, args)).contains("no command of [server] to add these to"));
}
