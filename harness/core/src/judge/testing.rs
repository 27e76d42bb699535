//! Generations for the tests of the judgement.

use crate::protocol::{FinishReason, Generation, TokenLogit};

/// A generation with these tokens and a text that can be seen.
pub(crate) fn generation(ids: &[u32]) -> Generation {
    Generation {
        input_ids: vec![1],
        output_ids: ids.to_vec(),
        text: "text".into(),
        finish_reason: FinishReason::Length,
        start_s: 0.0,
        token_stamps_s: vec![],
        top2_gaps: vec![],
        top5: vec![],
        hops: vec![],
        transfer_bytes: vec![],
        streamed_bytes: vec![],
        stage_times_s: vec![],
        text_offsets: vec![],
        companions: vec![],
    }
}

/// The same with the likeliest tokens of each step.
pub(crate) fn with_logits(ids: &[u32], steps: &[&[(u32, f32)]]) -> Generation {
    let step = |step: &&[(u32, f32)]| step.iter().map(|&(id, logit)| TokenLogit { id, logit }).collect();
    Generation {
        top5: steps.iter().map(step).collect(),
        ..generation(ids)
    }
}
