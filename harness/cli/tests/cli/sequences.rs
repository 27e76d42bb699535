//! Several sequences, offloaded layers and broken links in scenarios, on the real engine.

use placebench_core::placement::Transfer;
use placebench_core::protocol::MemoryKind;
use placebench_core::record::{Attempt, CaseStatus};

use crate::env::{TestEnv, failed_checks, of};
use crate::shipped::with_model;

const HEAD: &str = r#"schema_version = 1
[model]
path = "models/m"
dtype = "f32"
[devices]
"sim:0" = { on = "cpu" }
"sim:1" = { on = "cpu" }
[[prompt]]
name = "p"
text = "The Queen"
[[prompt]]
name = "q"
text = "So she said to herself, as well as she could"
[generation]
max_new_tokens = 12
[timeout]
token = "2s"
[expect]
agreement = { reference = "single", rule = "exact" }
[placement.single]
device_map = "sim:0"
"#;

const SPLIT: &str = r#"device_map = { "model.embed_tokens" = "sim:0", "model.layers.0-3" = "sim:0", "model.layers.4-7" = "sim:1", "model.norm" = "sim:1", "lm_head" = "sim:1" }"#;

fn suite(rest: &str) -> TestEnv {
    let env = with_model();
    env.write("suite/s.toml", &format!("{HEAD}{rest}"));
    env
}

fn attempt(env: &TestEnv, case: &str) -> Attempt {
    let found = env.attempts().into_iter().find(|attempt| attempt.case == case);
    found.ok_or(case).unwrap()
}

#[test]
fn a_batch_and_sequences_in_flight_agree_with_one_at_a_time() {
    let env = suite(&format!(
        "[placement.batch]\n{SPLIT}\nbatch = 3\n[placement.flight]\n{SPLIT}\nin_flight = 3\n"
    ));
    let (ran, verdict) = env.run_suite();
    assert_eq!(ran.code, Some(0), "{ran:?}");
    for placement in ["batch", "flight"] {
        let case = format!("s/q/{placement}");
        let generation = &attempt(&env, &case).generations[0];
        // The prompt of the case, the one behind it, which is the first again, and so on.
        let other = &attempt(&env, "s/p/single").generations[0];
        assert_eq!(generation.companions.len(), 2, "{case}");
        assert_eq!(generation.companions[0].text, other.text);
        assert_eq!(generation.companions[1].text, generation.text);
        let metrics = &of(&verdict, &case).metrics;
        assert_eq!(metrics.sequences, Some(3));
        assert!(metrics.output_tokens_per_s.is_some_and(|rate| rate > 0.0));
    }
}

#[test]
fn a_wrong_text_of_any_sequence_is_found() {
    let env = suite(&format!(
        "[placement.flight]\n{SPLIT}\nin_flight = 2\n[[fault]]\nkind = \"corrupt_copy\"\nplacements = [\"flight\"]\n"
    ));
    let (_, verdict) = env.run_suite();
    let judged = of(&verdict, "s/p/flight");
    assert_eq!(judged.status, CaseStatus::Failed);
    let about = |text: &str| {
        judged
            .findings
            .iter()
            .filter(|finding| finding.message.contains(text))
            .count()
    };
    assert_eq!(
        (failed_checks(judged).len(), about("sequence 1")),
        (2, 1),
        "{:?}",
        judged.findings
    );
}

/// The stages run side by side; the one that hangs is named, and not one that waits for it.
#[test]
fn a_stage_that_hangs_while_others_work_is_named() {
    let env = suite(&format!(
        "[placement.flight]\n{SPLIT}\nin_flight = 3\n[placement.flight.expect]\noutcome = \"stalled\"\nphase = \"decode\"\n\
         at = \"model.layers.3 -> model.layers.4\"\n[[fault]]\nkind = \"stall\"\nplacements = [\"flight\"]\n\
         at = {{ hop = \"model.layers.3 -> model.layers.4\", token = 2 }}\n"
    ));
    let (ran, verdict) = env.run_suite();
    assert_eq!(ran.code, Some(0), "{ran:?}");
    assert_eq!(of(&verdict, "s/p/flight").outcome.as_str(), "stalled");
}

#[test]
fn a_link_that_is_wrong_beforehand_is_on_record_and_the_text_is_right() {
    let env = suite(&format!(
        "[placement.split]\n{SPLIT}\n[[fault]]\nkind = \"zero_copy\"\nat = {{ phase = \"prepare\" }}\n"
    ));
    let (ran, _) = env.run_suite();
    assert_eq!(ran.code, Some(0), "{ran:?}");
    let [link] = attempt(&env, "s/p/split").links.try_into().unwrap();
    assert_eq!((link.from.as_str(), link.to.as_str()), ("sim:0", "sim:1"));
    assert_eq!((link.transfer, link.verified), (Transfer::Host, true));
    let page = std::fs::read_to_string(env.latest().join("report.html")).unwrap();
    assert!(page.contains("activations from sim:0 to sim:1 go through the host"));
    assert_eq!(attempt(&env, "s/p/single").links, Vec::new());
}

#[test]
fn offloaded_layers_say_the_same_and_leave_the_accelerator() {
    let offloaded = |name: &str, device: &str, offload: &str| {
        format!(
            "[placement.{name}]\ndevice_map = {{ \"model\" = \"sim:0\", \"lm_head\" = \"sim:0\", \"model.layers.2-6\" = \"{device}\" }}\n\
             offload = \"{offload}\"\n"
        )
    };
    let mut rest = String::new();
    for device in ["cpu", "disk"] {
        for offload in ["stream", "execute"] {
            rest.push_str(&offloaded(&format!("{device}-{offload}"), device, offload));
        }
    }
    let env = suite(&rest);
    let (ran, _) = env.run_suite();
    assert_eq!(ran.code, Some(0), "{ran:?}");
    let weights = |attempt: &Attempt| {
        let mut figures = attempt.memory.iter();
        let of_accelerator = |kind| {
            move |figure: &&placebench_core::protocol::MemoryFigure| {
                figure.device.as_str() == "sim:0" && figure.kind == kind
            }
        };
        figures.find(of_accelerator(MemoryKind::Weights)).unwrap().bytes.0
    };
    let whole = attempt(&env, "s/p/single");
    let realised = whole.realised.clone().unwrap();
    let layers: u64 = realised[3..8].iter().map(|module| module.bytes.0).sum();
    for device in ["cpu", "disk"] {
        for (offload, streamed) in [("stream", layers), ("execute", 0)] {
            let attempt = attempt(&env, &format!("s/p/{device}-{offload}"));
            assert_eq!(weights(&attempt), weights(&whole) - layers, "{device} {offload}");
            let generation = &attempt.generations[0];
            assert_eq!(generation.streamed_bytes, vec![streamed; 12], "{device} {offload}");
        }
    }
}

#[test]
fn numbers_of_sequences_are_checked() {
    let env = suite(&format!(
        "[placement.none]\n{SPLIT}\nbatch = 0\n[placement.both]\n{SPLIT}\nbatch = 2\nin_flight = 2\n"
    ));
    let ran = env.run(&["validate", "suite"]);
    assert_eq!(ran.code, Some(96), "{ran:?}");
    let all = format!("{}{}", ran.stdout, ran.stderr);
    assert!(all.contains("batch is a number of sequences, from 1 to 1024"), "{all}");
    assert!(all.contains("two ways to generate several sequences together"), "{all}");
}

#[test]
fn engines_that_know_one_sequence_say_so() {
    let env = suite("[placement.batch]\ndevice_map = \"sim:0\"\nbatch = 2\n[matrix]\nengine = [\"mock\"]\n");
    let ran = env.run(&["run", "suite"]);
    assert_eq!(ran.code, Some(96), "{ran:?}");
    assert!(ran.stdout.contains("one sequence at a time, not 2 together"), "{ran:?}");
}
