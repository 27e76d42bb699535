//! What transformers computes from the tiny models.

use serde::Deserialize;

use super::{argmax, tiny};

/// All tiny models.
pub(crate) const MODELS: [&str; 13] = [
    "qwen2-tied",
    "qwen2-untied",
    "qwen2-sliding-window",
    "qwen3",
    "llama-gqa",
    "llama-linear",
    "llama-dynamic",
    "llama-yarn",
    "llama3-rope",
    "mistral-sliding-window",
    "phi3",
    "phi3-longrope",
    "gemma2",
];

#[derive(Deserialize)]
struct Expected {
    cases: Vec<Case>,
}

#[derive(Deserialize)]
pub(crate) struct Case {
    pub(crate) input_ids: Vec<u32>,
    pub(crate) last_logits: Vec<f32>,
    pub(crate) argmax_per_position: Vec<u32>,
    pub(crate) logsumexp_per_position: Vec<f32>,
    pub(crate) max_new_tokens: usize,
    pub(crate) greedy_ids: Vec<u32>,
}

pub(crate) fn cases(name: &str) -> Vec<Case> {
    let text = std::fs::read_to_string(tiny(name).join("expected.json")).unwrap();
    serde_json::from_str::<Expected>(&text).unwrap().cases
}

fn logsumexp(row: &[f32]) -> f32 {
    let largest = row.iter().copied().fold(f32::NEG_INFINITY, f32::max);
    largest + row.iter().map(|x| (x - largest).exp()).sum::<f32>().ln()
}

impl Case {
    /// How far the logits of all positions are from the expected ones: the last row by element, the others by their
    /// logsumexp; infinitely far where another token would be chosen.
    pub(crate) fn distance(&self, logits: &[Vec<f32>]) -> f32 {
        let picks: Vec<u32> = logits.iter().map(|row| argmax(row)).collect();
        if picks != self.argmax_per_position || logits[0].len() != self.last_logits.len() {
            return f32::INFINITY;
        }
        let last = logits.last().unwrap().iter().zip(&self.last_logits);
        let sums = logits.iter().map(|row| logsumexp(row));
        let sums = sums.zip(&self.logsumexp_per_position);
        last.map(|(ours, theirs)| (ours - theirs).abs())
            .chain(sums.map(|(ours, theirs)| (ours - theirs).abs()))
            .fold(0.0, f32::max)
    }
}
