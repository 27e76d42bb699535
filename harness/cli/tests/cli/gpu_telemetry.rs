//! What the driver says about GPUs, from a library that stands in for NVIDIA's.

use std::io::{BufRead, BufReader};
use std::path::PathBuf;
use std::process::{Command, Stdio};

use placebench_core::outcome::Outcome;
use placebench_core::record::Attempt;
use placebench_core::units::Bytes;

use crate::env::{Ran, TestEnv};

/// Builds the library; a C compiler is among the things the project needs anyway.
fn library(env: &TestEnv) -> PathBuf {
    library_with(env, "")
}

/// The same with processes on its card, for those who ask without an environment.
fn library_with(env: &TestEnv, processes: &str) -> PathBuf {
    let source = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/data/fake_nvml.c");
    let library = env.path("libfake-nvml.so");
    let status = Command::new("cc")
        .args(["-shared", "-fPIC", "-w"])
        .arg(format!("-DPROCESSES=\"{processes}\""))
        .arg("-o")
        .arg(&library)
        .arg(source)
        .status();
    assert!(status.unwrap().success());
    library
}

/// A mock case on a slice of a card, or of the host, with that library.
fn attempt(on: &str, mode: &str) -> (Attempt, Ran) {
    let (env, ran) = run_on(on, mode);
    (env.attempts().remove(0), ran)
}

fn run_on(on: &str, mode: &str) -> (TestEnv, Ran) {
    let env = TestEnv::new();
    let scenario = format!(
        "schema_version = 1\n[model]\npath = \"models/m\"\n[devices]\n\"half:0\" = {{ on = \"{on}\" }}\n[[prompt]]\nname \
         = \"p\"\ntext = \"Hello\"\n[placement.single]\ndevice_map = \"half:0\"\n"
    );
    env.write("suite/s.toml", &scenario);
    let mut command = env.command(&["run", "suite"]);
    command
        .env("PLACEBENCH_NVML_LIBRARY", library(&env))
        .env("FAKE_NVML", mode);
    let ran = Ran::of(command.output().unwrap());
    (env, ran)
}

#[test]
fn the_report_names_the_card_and_why_it_was_slow() {
    let (env, _) = run_on("cuda:0", "");
    let page = std::fs::read_to_string(env.latest().join("report.html")).unwrap();
    assert!(page.contains("Card of paper (GPU-12345678-"), "no card on the page");
    assert!(page.contains("slowed down: power cap"), "no reason on the page");
    let (env, _) = run_on("cpu", "");
    let page = std::fs::read_to_string(env.latest().join("report.html")).unwrap();
    assert!(!page.contains("Card of paper"), "a card that was not asked for");
}

#[test]
fn a_case_on_a_gpu_records_what_the_driver_says() {
    let (attempt, ran) = attempt("cuda:0", "");
    assert_eq!(ran.code, Some(0), "{ran:?}");
    let [gpu] = attempt.gpus.as_slice() else {
        panic!("one card: {:?}", attempt.gpus)
    };
    assert_eq!(
        (gpu.uuid.as_str(), gpu.name.as_str()),
        ("GPU-12345678-0000-0000-0000-000000000000", "Card of paper")
    );
    assert_eq!(
        (gpu.bus_id.as_str(), gpu.driver.as_deref()),
        ("00000000:3B:00.0", Some("580.65.06"))
    );
    assert_eq!(gpu.memory_bytes, Some(Bytes(80 << 30)));
    assert!(gpu.samples >= 1);
    assert!(gpu.memory_before_bytes <= gpu.memory_peak_bytes && gpu.memory_after_bytes == gpu.memory_peak_bytes);
    assert_eq!((gpu.utilisation_max_percent, gpu.power_max_w), (Some(75), Some(350.0)));
    assert_eq!((gpu.sm_clock_min_mhz, gpu.sm_clock_limit_mhz), (Some(1200), Some(1980)));
    assert_eq!(gpu.temperature_max_c, None, "this card does not tell");
    assert_eq!(gpu.throttle_reasons, ["power cap"]);
}

#[test]
fn a_case_on_the_host_asks_no_driver() {
    let (attempt, ran) = attempt("cpu", "hang");
    assert_eq!(ran.code, Some(0), "{ran:?}");
    assert_eq!(attempt.gpus, []);
    assert!(!attempt.stderr_tail.contains("driver"), "{}", attempt.stderr_tail);
}

#[test]
fn a_driver_that_stops_answering_holds_nobody_up() {
    let (attempt, ran) = attempt("cuda:0", "hang");
    assert_eq!(ran.code, Some(0), "{ran:?}");
    assert_eq!(attempt.gpus, []);
    assert!(
        attempt.stderr_tail.contains("driver did not answer"),
        "{}",
        attempt.stderr_tail
    );
}

/// A process that is not this program's: a shell that was left by its parent, under a name of its own.
struct Stranger(std::process::Child);

impl Stranger {
    fn new(env: &TestEnv, name: &str) -> Self {
        let program = env.path(name);
        std::fs::copy("/bin/sleep", &program).unwrap();
        Self(Command::new(&program).arg("100000").spawn().unwrap())
    }
}

impl Drop for Stranger {
    fn drop(&mut self) {
        self.0.kill().unwrap();
        self.0.wait().unwrap();
    }
}

fn run_beside(env: &TestEnv, on: &str, processes: &str) -> Ran {
    let scenario = format!(
        "schema_version = 1\n[model]\npath = \"models/m\"\n[devices]\n\"half:0\" = {{ on = \"{on}\" }}\n[[prompt]]\nname \
         = \"p\"\ntext = \"Hello\"\n[placement.single]\ndevice_map = \"half:0\"\n"
    );
    env.write("suite/s.toml", &scenario);
    let mut command = env.command(&["run", "suite"]);
    command
        .env("PLACEBENCH_NVML_LIBRARY", library(env))
        .env("FAKE_NVML_PROCESSES", processes);
    Ran::of(command.output().unwrap())
}

#[test]
fn a_foreign_process_on_the_card_is_on_record_in_the_summary_and_in_the_report() {
    let env = TestEnv::new();
    let stranger = Stranger::new(&env, "train\u{1b}[2J<b>");
    let ran = run_beside(&env, "cuda:0", &format!("{}:2048", stranger.0.id()));
    assert_eq!(ran.code, Some(0), "it is told, and fails nothing: {ran:?}");
    let attempt = env.attempts().remove(0);
    let [process] = attempt.foreign_processes.as_slice() else {
        panic!("{:?}", attempt.foreign_processes)
    };
    assert_eq!((process.pid, process.gpu), (stranger.0.id(), 0));
    assert_eq!(process.memory_bytes, Some(Bytes(2 << 30)));
    assert!(process.was_there_before);
    let told = format!("pid {}, 2.00 GiB) on GPU 0", stranger.0.id());
    assert!(ran.stdout.contains(&told), "{ran:?}");
    assert!(ran.stdout.contains("no basis for a verdict"), "{ran:?}");
    assert!(!ran.stdout.contains('\u{1b}'), "its name is shown as it is: {ran:?}");
    let page = std::fs::read_to_string(env.latest().join("report.html")).unwrap();
    assert!(page.contains(&told), "in the report");
    assert!(
        !page.contains("train\u{1b}") && !page.contains("2J<b>"),
        "its name is text"
    );
}

#[test]
fn neither_a_process_that_has_gone_nor_a_case_on_the_host_is_disturbed() {
    let env = TestEnv::new();
    let mut gone = Command::new("true").spawn().unwrap();
    gone.wait().unwrap();
    let ran = run_beside(&env, "cuda:0", &format!("{}:1", gone.id()));
    let attempt = env.attempts().remove(0);
    // In a container ids of processes mean nothing, and whoever was there before is not ours.
    let is_host = std::fs::read_link("/proc/self/ns/pid").is_ok_and(|link| link.as_os_str() == "pid:[4026531836]");
    assert_eq!(attempt.foreign_processes.is_empty(), is_host, "{ran:?}");
    let ran = run_beside(&env, "cuda:0", "");
    assert!(env.attempts().remove(0).foreign_processes.is_empty());
    assert!(!ran.stdout.contains("other programs"), "{ran:?}");
    let ran = run_beside(&env, "cpu", "1:1");
    assert!(env.attempts().remove(0).foreign_processes.is_empty(), "{ran:?}");
}

#[test]
fn compare_gives_no_verdict_on_times_beside_a_foreign_process() {
    let env = TestEnv::new();
    run_beside(&env, "cuda:0", "");
    let base = env.latest();
    let stranger = Stranger::new(&env, "train");
    run_beside(&env, "cuda:0", &format!("{}:2048", stranger.0.id()));
    let paths = [base, env.latest()].map(|path| path.to_string_lossy().into_owned());
    let ran = env.run(&["compare", &paths[0], &paths[1]]);
    assert_eq!(ran.code, Some(112), "{ran:?}");
    let told = "on GPU 0): end them, or wait for them, and measure again";
    assert!(ran.stdout.contains(told), "{ran:?}");
    assert!(ran.stdout.contains("of the new side"), "{ran:?}");
}

#[test]
fn doctor_lists_the_foreign_processes() {
    let env = TestEnv::new();
    let doctor = |processes: &str| {
        let mut command = env.command(&["doctor", "--quick", "--format", "json"]);
        command.env("PLACEBENCH_NVML_LIBRARY", library_with(&env, processes));
        Ran::of(command.output().unwrap())
    };
    let stranger = Stranger::new(&env, "train");
    let told = format!("pid {}, 7.00 MiB) on GPU 0", stranger.0.id());
    let ran = doctor(&format!("{}:7", stranger.0.id()));
    assert!(
        ran.stdout.contains(&told) && ran.stdout.contains("other programs compute on it"),
        "{ran:?}"
    );
    let ran = doctor("");
    assert!(!ran.stdout.contains("other programs"), "{ran:?}");
}

/// A run whose attempt takes about two seconds on the card, with others of the same user at the same time.
fn start_slow_run(env: &TestEnv, library: &std::path::Path, more: &[&str]) -> std::process::Child {
    let mut command = env.command(&[&["run", "suite", "--message-format", "ndjson"], more].concat());
    command.env("PLACEBENCH_NVML_LIBRARY", library).stdout(Stdio::piped());
    command.spawn().unwrap()
}

/// The lines of the event stream up to one that contains this.
fn until(lines: &mut impl Iterator<Item = std::io::Result<String>>, wanted: &str) -> Vec<String> {
    let mut seen = Vec::new();
    for line in lines.by_ref() {
        seen.push(line.unwrap());
        if seen.last().is_some_and(|line| line.contains(wanted)) {
            break;
        }
    }
    assert!(
        seen.last().is_some_and(|line| line.contains(wanted)),
        "{wanted} never came: {seen:#?}"
    );
    seen
}

#[test]
fn a_measured_attempt_waits_for_the_card_of_another_run() {
    let env = TestEnv::new();
    let scenario = "schema_version = 1\n[model]\npath = \"models/m\"\n[devices]\n\"half:0\" = { on = \"cuda:0\" }\n\"half:1\" = \
                    { on = \"cuda:0\" }\n[[prompt]]\nname = \"p\"\ntext = \"Hello\"\n[generation]\nmax_new_tokens = 16\n\
                    [placement.split]\ndevice_map = { \"model.embed_tokens\" = \"half:0\", \"model.layers.0-7\" = \"half:0\", \
                    \"model.norm\" = \"half:1\", \"lm_head\" = \"half:1\" }\n[[fault]]\nkind = \"slow_link\"\ndelay = \"100ms\"\n\
                    [expect.limits]\nttft = \"60s\"\n";
    env.write("suite/s.toml", scenario);
    let library = library(&env);
    let mut first = start_slow_run(&env, &library, &[]);
    let mut of_first = BufReader::new(first.stdout.take().unwrap()).lines();
    // Its worker runs, so that it holds the card.
    until(&mut of_first, "\"type\":\"worker\"");
    let mut beside = start_slow_run(&env, &library, &["--no-device-lock"]);
    let mut of_beside = BufReader::new(beside.stdout.take().unwrap()).lines();
    let said = until(&mut of_beside, "\"type\":\"worker\"");
    assert!(!said.iter().any(|line| line.contains("attempt-waiting")), "{said:#?}");
    let mut second = start_slow_run(&env, &library, &[]);
    let mut of_second = BufReader::new(second.stdout.take().unwrap()).lines();
    let said = until(&mut of_second, "\"type\":\"worker\"");
    let waited = said.iter().find(|line| line.contains("attempt-waiting"));
    let is_holder_known = format!("\"pid\":{}", first.id());
    assert!(waited.is_some_and(|line| line.contains("GPU-12345678")), "{said:#?}");
    let waited = waited.unwrap();
    assert!(
        waited.contains(&is_holder_known) || waited.contains("\"pid\":null"),
        "{waited}"
    );
    until(&mut of_first, "\"type\":\"attempt-finished\"");
    for (child, lines) in [
        (&mut first, of_first),
        (&mut beside, of_beside),
        (&mut second, of_second),
    ] {
        lines.for_each(drop);
        assert_eq!(child.wait().unwrap().code(), Some(0));
    }
}

/// A suite whose first case stalls on the card, with two more after it: one on the card, one on the host.
fn after_a_stall(mode: &str) -> (TestEnv, Ran) {
    let env = TestEnv::new();
    let scenario = |on: &str, rest: &str| {
        format!(
            "schema_version = 1\n[model]\npath = \"models/m\"\n[devices]\n\"half:0\" = {{ on = \"{on}\" }}\n[[prompt]]\n\
             name = \"p\"\ntext = \"Hello\"\n[placement.single]\ndevice_map = \"half:0\"\n{rest}"
        )
    };
    let stall = "[[fault]]\nkind = \"stall\"\nat = { phase = \"decode\" }\n[timeout]\ntoken = \"600ms\"\n[expect]\noutcome = \
                 \"stalled\"\n";
    env.write("suite/a-stall.toml", &scenario("cuda:0", stall));
    env.write("suite/b-card.toml", &scenario("cuda:0", ""));
    env.write("suite/c-host.toml", &scenario("cpu", ""));
    let mut command = env.command(&["run", "suite"]);
    command
        .env("PLACEBENCH_NVML_LIBRARY", library(&env))
        .env("FAKE_NVML", mode);
    let ran = Ran::of(command.output().unwrap());
    (env, ran)
}

#[test]
fn a_card_whose_memory_does_not_come_back_is_quarantined() {
    let (env, ran) = after_a_stall("leak");
    assert_eq!(ran.code, Some(112), "a case that was left out is no pass: {ran:?}");
    let attempts = env.attempts();
    let [stalled, card, host] = attempts.as_slice() else {
        panic!("{attempts:?}")
    };
    let evidence = stalled.evidence.as_ref().unwrap();
    assert_eq!(evidence.gpus[0].utilisation_percent, Some(75));
    assert!(
        evidence.gpus[0].memory_used_bytes >= Some(Bytes(5 << 30)),
        "{evidence:?}"
    );
    let recovery = stalled.recovery.as_ref().unwrap();
    assert!(!recovery.is_complete() && recovery.processes_left == 0, "{recovery:?}");
    assert!(
        recovery.gpus[0].before_bytes < Some(Bytes(1 << 30)),
        "known before it began: {recovery:?}"
    );
    let Outcome::Skipped { reason, hint } = &card.outcome else {
        panic!("{card:?}")
    };
    assert!(reason.contains("GPU 0 (Card of paper) is quarantined"), "{reason}");
    assert!(hint.as_deref().unwrap().contains("nvidia-smi"));
    assert_eq!(host.outcome, Outcome::Completed, "the host is free");
    assert!(
        ran.stdout.contains("quarantined from then on did not recover within"),
        "{ran:?}"
    );
    assert!(
        ran.stdout.contains("1 case: GPU 0 (Card of paper) is quarantined"),
        "{ran:?}"
    );
}

#[test]
fn memory_that_comes_back_late_is_waited_for() {
    let (env, ran) = after_a_stall("late");
    assert_eq!(ran.code, Some(0), "{ran:?}");
    let attempts = env.attempts();
    assert!(
        attempts[0].recovery.as_ref().unwrap().is_complete(),
        "{:?}",
        attempts[0].recovery
    );
    assert_eq!(attempts[1].outcome, Outcome::Completed);
    assert!(!ran.stdout.contains("quarantined"), "{ran:?}");
}

/// The mock engine stalls as engines do: inside of the worker.
#[test]
fn the_stack_of_a_stalled_engine_is_on_record() {
    let (env, ran) = after_a_stall("");
    assert_eq!(ran.code, Some(0), "{ran:?}");
    let attempts = env.attempts();
    let evidence = attempts[0].evidence.as_ref().unwrap();
    assert!(attempts[0].recovery.as_ref().unwrap().is_complete());
    if !cfg!(all(
        target_os = "linux",
        any(target_arch = "x86_64", target_arch = "aarch64")
    )) {
        return;
    }
    let functions: Vec<&str> = (evidence.threads[0].frames.iter())
        .filter_map(|frame| frame.function.as_deref())
        .collect();
    for wanted in ["FaultPlan", "placebench_engine::worker::run"] {
        assert!(
            functions.iter().any(|name| name.contains(wanted)),
            "{wanted}: {functions:#?}"
        );
    }
    let page = std::fs::read_to_string(env.latest().join("report.html")).unwrap();
    assert!(page.contains("placebench_engine::worker::run"));
}
