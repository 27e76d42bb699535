//! What was asked of a case, part by part, without its words.

use std::collections::{BTreeMap, BTreeSet};

use serde::Serialize;
use twox_hash::XxHash3_64;

use crate::record::CaseSpec;

/// The parts.
const PARTS: [&str; 9] = [
    "engine",
    "model",
    "devices",
    "placement",
    "prompt",
    "generation",
    "measure",
    "fault",
    "env",
];

/// For each part of a question a hash of it.
pub type Asked = BTreeMap<String, String>;

/// What makes two cases of the same name two different questions. Paths inside the suite count from its folder, so that the
/// question is the same wherever the suite lies.
#[must_use]
pub fn asked(case: &CaseSpec) -> Asked {
    let suite = case.snapshot_dir.rsplit_once('/').map_or("", |(suite, _)| suite);
    let hashes = [
        hash(&(&case.engine, &case.program), suite),
        hash(&(&case.model, &case.dtype), suite),
        hash(&case.devices, suite),
        hash(&case.request, suite),
        hash(&(&case.input, &case.companion_inputs), suite),
        hash(&case.generation, suite),
        hash(&case.measure, suite),
        hash(&case.faults, suite),
        hash(&case.env, suite),
    ];
    let parts = PARTS.into_iter().map(str::to_owned);
    parts.zip(hashes).collect()
}

/// The parts that are not the same on both sides, the weightiest first.
#[must_use]
pub fn asked_otherwise(base: &Asked, new: &Asked) -> Vec<String> {
    let parts: BTreeSet<&String> = base.keys().chain(new.keys()).collect();
    let otherwise = parts.into_iter().filter(|part| base.get(*part) != new.get(*part));
    let mut otherwise: Vec<String> = otherwise.cloned().collect();
    otherwise.sort_by_key(|part| PARTS.iter().position(|known| known == part));
    otherwise
}

fn hash<T: Serialize>(part: &T, suite: &str) -> String {
    // What cannot be written as JSON (there is nothing of that kind) would be the same everywhere.
    let mut text = serde_json::to_string(part).unwrap_or_default();
    let within = format!(
        "{}/",
        serde_json::to_string(suite).unwrap_or_default().trim_matches('"')
    );
    if within.len() > 1 {
        text = text.replace(&within, "");
    }
    short_hash(text.as_bytes())
}

/// Eight hexadecimal digits that stay the same for ever.
pub(super) fn short_hash(bytes: &[u8]) -> String {
    format!("{:08x}", XxHash3_64::oneshot(bytes) >> 32)
}

/// A name for the content of a file.
#[must_use]
pub fn digest(bytes: &[u8]) -> String {
    format!("{:016x}", XxHash3_64::oneshot(bytes))
}
