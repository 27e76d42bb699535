//! What a worker writes to its event pipe: bytes, lines, events, the record of the attempt, and the judgement on it.
#![no_main]

use std::collections::HashMap;

use libfuzzer_sys::{fuzz_mutator, fuzz_target};
use placebench_core::judge::judge;
use placebench_core::record::{Attempt, Environment, RECORD_VERSION, RunInfo, RunVerdict};
use placebench_fuzz::json_lines;
use placebench_runner::fuzzing::{attempt_of, case};

fuzz_mutator!(|data: &mut [u8], size: usize, max_size: usize, seed: u32| {
    json_lines::mutate(data, size, max_size, seed)
});

fuzz_target!(|data: &[u8]| {
    let chunk = 1 + data.len() % 4096;
    let said = |word: &str| data.windows(word.len()).any(|window| window == word.as_bytes());
    let case = case(usize::from(said("companions")));
    let attempt = attempt_of(&case, data.chunks(chunk));
    let stored = serde_json::to_vec(&attempt).expect("an attempt can be stored");
    assert!(stored.len() < 4096 + 64 * data.len(), "the record grows without bound");
    let read: Attempt = serde_json::from_slice(&stored).expect("what is stored can be read");
    assert_eq!(read, attempt);
    // Read as a record is, so that fields with a default need no mention.
    let mut info: RunInfo = serde_json::from_value(serde_json::json!({
        "schema_version": RECORD_VERSION, "run_id": "run", "started_at": "", "environment": Environment::default(),
        "tool": { "name": "", "version": "", "profile": "" }, "arguments": [], "seed": 0, "cases": [],
    }))
    .expect("a run without cases");
    info.cases.push(case);
    let verdict = judge(&info, &[attempt], &HashMap::new(), true);
    let stored = serde_json::to_vec(&verdict).expect("a verdict can be stored");
    let _: RunVerdict = serde_json::from_slice(&stored).expect("what is stored can be read");
});
