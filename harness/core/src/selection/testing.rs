//! Cases, runs and attempts for tests of this crate.

use std::path::PathBuf;

use crate::outcome::Outcome;
use crate::protocol::{FinishReason, Generation, TokenLogit};
use crate::record::{Attempt, CaseSpec, Environment, RECORD_VERSION, RunControl, RunInfo, Tool};
use crate::scenario::expand::expand;
use crate::scenario::file::DefaultsFile;
use crate::scenario::parse::parse;
use crate::scenario::resolve::{Origin, resolve};

/// The cases of a scenario on the mock engine.
pub(crate) fn cases_of(name: &str, rest: &str) -> Vec<CaseSpec> {
    let text = format!("schema_version = 1\nengine = \"mock\"\n{rest}");
    let (file, problems) = parse(&text);
    assert_eq!(problems, []);
    let origin = Origin {
        name: name.to_owned(),
        file: format!("{name}.toml"),
        folder: PathBuf::from("/suite"),
        suite: PathBuf::from("/suite"),
    };
    let scenario = resolve(&file, &DefaultsFile::default(), &text, origin, &|_| {
        Err("no files".into())
    });
    expand(&scenario.unwrap(), "/suite/snapshots")
}

/// A run of the cases `s/p/<placement>`, the others having to agree with the first.
pub(crate) fn run_of(placements: &[&str], repetitions: u32) -> RunInfo {
    let tables: String = placements
        .iter()
        .map(|name| format!("[placement.{name}]\ndevice_map = \"cpu\"\n"))
        .collect();
    let reference = placements[0];
    let scenario = format!(
        "[model]\npath = \"m\"\n[[prompt]]\nname = \"p\"\ntext = \"x\"\n[measure]\nrepetitions = {repetitions}\n\
         [expect]\nagreement = {{ reference = \"{reference}\", rule = \"exact\" }}\n{tables}"
    );
    RunInfo {
        schema_version: RECORD_VERSION,
        run_id: "20261122T140000Z-0001".into(),
        started_at: "2026-11-22T14:00:00Z".into(),
        tool: Tool {
            name: "placebench".into(),
            version: "0.1.0".into(),
            profile: "release".into(),
        },
        environment: Environment::default(),
        arguments: Vec::new(),
        seed: 0,
        cases: cases_of("s", &scenario),
        control: RunControl::default(),
        shards: Vec::new(),
    }
}

/// An attempt that generated these tokens, or none.
pub(crate) fn attempt_with(case: &str, number: u32, outcome: Outcome, ids: &[u32]) -> Attempt {
    let top = |id: u32| vec![TokenLogit { id, logit: 1.0 }];
    let generation = Generation {
        input_ids: vec![1],
        output_ids: ids.to_vec(),
        text: format!("{ids:?}"),
        finish_reason: FinishReason::Eos,
        start_s: 0.0,
        token_stamps_s: (1..=ids.len()).map(|step| step as f64).collect(),
        top2_gaps: vec![1.0; ids.len()],
        top5: ids.iter().map(|id| top(*id)).collect(),
        hops: Vec::new(),
        transfer_bytes: Vec::new(),
        streamed_bytes: Vec::new(),
        stage_times_s: Vec::new(),
        text_offsets: Vec::new(),
        companions: Vec::new(),
        input_tokens: None,
        output_tokens: None,
    };
    // Read as a record is, so that fields with a default need no mention.
    let mut attempt: Attempt = serde_json::from_value(serde_json::json!({
        "case": case, "attempt": number, "started_at": "2026-11-22T14:00:00Z", "wall_s": 1.0, "outcome": outcome,
        "phases": [], "versions": [], "profile": null, "devices": [], "planned": null, "realised": null, "memory": [],
        "peak_rss_bytes": null, "generations": [], "stderr_tail": "", "leaked_pipes": false,
    }))
    .unwrap();
    if !ids.is_empty() {
        attempt.generations.push(generation);
    }
    attempt
}
