//! Attempts made of a case again, as far as a comparison reads them.

use super::case::{BaselineCase, BaselineTokens, TimedAttempt, prompt_of, without};
use super::compact::{Stage, unpack_map, unpack_steps};
use super::source::Source;
use crate::outcome::{Outcome, Phase};
use crate::protocol::{
    FinishReason, Generation, MemoryFigure, MemoryKind, PlannedPlacement, RealisedModule, TokenLogit,
};
use crate::record::{Attempt, PhaseSpan};
use crate::units::Bytes;

impl BaselineCase {
    /// Attempts from which a comparison reads what it would have read of those that were saved. `new` are those of the other
    /// side: the prompt is kept as a hash, and where theirs is the same one, its tokens are put in its place.
    #[must_use]
    pub fn attempts(&self, name: &str, source: &Source, new: &[&Attempt]) -> Vec<Attempt> {
        let prompts = new.iter().flat_map(|attempt| &attempt.generations);
        let same = prompts
            .clone()
            .find(|generation| prompt_of(generation) == self.prompt)
            .map(|generation| generation.input_ids.clone());
        // No model has so many tokens: whatever prompt is on the other side, it is another one.
        let input_ids = same.unwrap_or_else(|| vec![u32::MAX; self.prompt.0]);
        let untimed = TimedAttempt {
            load_s: None,
            ttft_s: Vec::new(),
            e2e_s: Vec::new(),
            group_e2e_s: Vec::new(),
            output_tokens: Vec::new(),
        };
        let all = match self.attempts.as_slice() {
            [] => std::slice::from_ref(&untimed),
            timed => timed,
        };
        let mut gpus = source.telemetry();
        if let (false, Some(first)) = (self.throttled.is_empty(), gpus.first_mut()) {
            first.throttle_reasons.clone_from(&self.throttled);
        }
        let attempt = |(number, timed): (usize, &TimedAttempt)| Attempt {
            attempt: u32::try_from(number).unwrap_or(u32::MAX),
            phases: timed.phases(),
            profile: source.profile.clone(),
            devices: source.device_facts(),
            planned: self.plan.as_ref().map(|stages| PlannedPlacement {
                device_map: unpack_map(stages),
                budgets: Vec::new(),
                weights_bytes: Vec::new(),
                warnings: Vec::new(),
                forecast: None,
            }),
            realised: self.realised.as_ref().map(|stages| realised(stages)),
            memory: self.memory(),
            gpus: gpus.clone(),
            generations: timed.generations(&self.generation(&input_ids)),
            ..Attempt::without_worker(name, 0, String::new(), Outcome::Completed)
        };
        all.iter().enumerate().map(attempt).collect()
    }

    /// The other side's attempts without what is left out here.
    #[must_use]
    pub fn comparable(&self, new: &[&Attempt]) -> Vec<Attempt> {
        without(new, &self.left_out)
    }

    fn memory(&self) -> Vec<MemoryFigure> {
        let kinds = [
            (MemoryKind::Weights, &self.weights_bytes),
            (MemoryKind::Peak, &self.peak_bytes),
        ];
        let figures = kinds.into_iter().flat_map(|(kind, by_device)| {
            by_device.iter().map(move |(device, bytes)| MemoryFigure {
                device: device.clone(),
                kind,
                bytes: Bytes(*bytes),
                allowed_bytes: None,
            })
        });
        figures.collect()
    }

    /// The generation without its times.
    fn generation(&self, input_ids: &[u32]) -> Generation {
        let sequence = |tokens: &BaselineTokens| Generation {
            input_ids: Vec::new(),
            output_ids: tokens.ids.clone(),
            text: String::new(),
            finish_reason: FinishReason::Length,
            start_s: 0.0,
            token_stamps_s: Vec::new(),
            top2_gaps: Vec::new(),
            top5: tokens.top(),
            hops: Vec::new(),
            transfer_bytes: Vec::new(),
            streamed_bytes: Vec::new(),
            stage_times_s: Vec::new(),
            text_offsets: Vec::new(),
            companions: Vec::new(),
            input_tokens: None,
            output_tokens: None,
        };
        let mut sequences = self.tokens.iter().map(sequence);
        let first = sequences.next().unwrap_or_else(|| {
            sequence(&BaselineTokens {
                ids: Vec::new(),
                near_ties: None,
            })
        });
        let hops = unpack_steps(&self.hops).into_iter();
        Generation {
            input_ids: input_ids.to_vec(),
            hops: hops.map(|hops| u32::try_from(hops).unwrap_or(u32::MAX)).collect(),
            transfer_bytes: unpack_steps(&self.transfer_bytes),
            streamed_bytes: unpack_steps(&self.streamed_bytes),
            companions: sequences.collect(),
            ..first
        }
    }
}

impl BaselineTokens {
    /// For each step the chosen token and those near it, as logits that are as far apart.
    fn top(&self) -> Vec<Vec<TokenLogit>> {
        let Some(ties) = &self.near_ties else {
            return Vec::new();
        };
        let mut steps: Vec<Vec<TokenLogit>> = self.ids.iter().map(|&id| vec![TokenLogit { id, logit: 0.0 }]).collect();
        for &(step, id, gap) in ties {
            let step = usize::try_from(step).ok().and_then(|step| steps.get_mut(step));
            if let Some(step) = step {
                let logit = -narrowed(gap);
                step.push(TokenLogit { id, logit });
            }
        }
        steps
    }
}

impl TimedAttempt {
    fn phases(&self) -> Vec<PhaseSpan> {
        let span = |end_s| PhaseSpan {
            phase: Phase::Load,
            start_s: 0.0,
            end_s: Some(end_s),
        };
        self.load_s.map(span).into_iter().collect()
    }

    /// The generations with times from which the same figures follow. One without times where none are kept.
    fn generations(&self, generation: &Generation) -> Vec<Generation> {
        if self.ttft_s.is_empty() {
            return vec![generation.clone()];
        }
        let times = self.ttft_s.iter().zip(&self.e2e_s).enumerate();
        let of = |(index, (&first, &last)): (usize, (&f64, &f64))| {
            let tokens = self.output_tokens.get(index).copied();
            let mut timed = Generation {
                token_stamps_s: stamps(first, last, tokens.unwrap_or(generation.output_ids.len())),
                ..generation.clone()
            };
            if let (Some(end), Some(companion)) = (self.group_e2e_s.get(index), timed.companions.first_mut()) {
                companion.token_stamps_s = vec![*end];
            }
            timed
        };
        times.map(of).collect()
    }
}

fn realised(stages: &[Stage]) -> Vec<RealisedModule> {
    let modules = unpack_map(stages).into_iter();
    modules
        .map(|(module, device)| RealisedModule {
            module,
            device,
            bytes: Bytes(0),
            rank: None,
        })
        .collect()
}

#[expect(
    clippy::cast_possible_truncation,
    reason = "gaps come from 32-bit logits; rounding the last digit of a tie moves no verdict"
)]
fn narrowed(gap: f64) -> f32 {
    gap as f32
}

/// Evenly spread stamps from the first to the last.
fn stamps(first: f64, last: f64, tokens: usize) -> Vec<f64> {
    let gaps = tokens.saturating_sub(1).max(1) as f64;
    let mut stamps: Vec<f64> = (0..tokens)
        .map(|token| first + (last - first) * token as f64 / gaps)
        .collect();
    // Rounding must not move it.
    if let (true, Some(end)) = (tokens > 1, stamps.last_mut()) {
        *end = last;
    }
    stamps
}
