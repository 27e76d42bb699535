//! A mock generation: numbers that follow from the prompt, through every module and hop.

use std::time::Duration;

use placebench_core::device::{DeviceBytes, DeviceId};
use placebench_core::outcome::{FailureClass, WorkerFailure};
use placebench_core::protocol::{
    FinishReason, Generation, GenerationSpec, MemoryFigure, MemoryKind, Probe, TokenLogit,
};
use placebench_core::units::Bytes;

use super::activations::MockActivations;
use super::ledger::Ledger;
use super::{HIDDEN_BYTES, KV_BYTES_PER_TOKEN, VOCABULARY, mix};
use crate::faults::{HopEffect, ModuleEffect, TokenEffect};
use crate::{Context, Session, StepClock};

/// A mock model with its prompt.
pub(super) struct MockSession {
    pub(super) input_ids: Vec<u32>,
    pub(super) generation: GenerationSpec,
    pub(super) modules: Vec<(String, DeviceId)>,
    pub(super) ledger: Ledger,
    pub(super) activations: MockActivations,
    pub(super) step: Duration,
}

impl Session for MockSession {
    fn generate(&mut self, context: &mut Context) -> Result<Generation, WorkerFailure> {
        let made = self.make(context)?;
        let last = self.modules.last().map(|(_, device)| device);
        self.ledger.end_generation(context.fault_at_end_of_generation(), last);
        Ok(made)
    }

    fn probe(&mut self, context: &mut Context) -> Result<Option<Probe>, WorkerFailure> {
        self.probe_prompt(context)
    }

    fn memory(&self) -> Vec<MemoryFigure> {
        self.ledger.figures()
    }

    fn held(&self) -> Vec<DeviceBytes> {
        self.ledger.held()
    }
}

impl MockSession {
    fn make(&mut self, context: &mut Context) -> Result<Generation, WorkerFailure> {
        let start_s = context.now_s();
        let mut made = Generation {
            input_ids: self.input_ids.clone(),
            output_ids: Vec::new(),
            text: String::new(),
            finish_reason: FinishReason::Length,
            start_s,
            token_stamps_s: Vec::new(),
            top2_gaps: Vec::new(),
            top5: Vec::new(),
            hops: Vec::new(),
            transfer_bytes: Vec::new(),
            streamed_bytes: Vec::new(),
            stage_times_s: Vec::new(),
            text_offsets: Vec::new(),
            companions: Vec::new(),
            input_tokens: None,
            output_tokens: None,
        };
        let mut seed = self.seed();
        if let Some(sampling) = &self.generation.sampling {
            seed = mix(seed ^ mix(sampling.seed));
        }
        for index in 0..self.generation.max_new_tokens {
            context.phase_of_token(index);
            context.begin_token(index);
            let fed = made
                .output_ids
                .last()
                .map_or(self.input_ids.as_slice(), std::slice::from_ref);
            let positions = fed.len() as u64;
            self.activations.begin(fed, seed, context);
            let step = self.step(index, positions, context)?;
            seed = mix(seed ^ step.wrongness);
            let choice = match context.fault_at_token() {
                TokenEffect::Garbage => 0,
                TokenEffect::None => seed % VOCABULARY,
            };
            let id = u32::try_from(choice).unwrap_or(0);
            let stamp = context.token(index, id, 1.0);
            made.text.push_str(&format!(" w{id}"));
            made.text_offsets
                .push(u32::try_from(made.text.len()).unwrap_or(u32::MAX));
            made.output_ids.push(id);
            made.token_stamps_s.push(stamp - start_s);
            made.top2_gaps.push(1.0);
            made.top5.push(likeliest(id));
            made.hops.push(step.hops);
            made.transfer_bytes.push(step.bytes);
            made.streamed_bytes.push(0);
            made.stage_times_s.push(step.times_s);
            if self.ends_at_a_stop_text(&mut made) {
                break;
            }
        }
        Ok(made)
    }
}

impl MockSession {
    /// Cuts the text before the first stop text, if one is in it.
    fn ends_at_a_stop_text(&self, made: &mut Generation) -> bool {
        let stops = self.generation.stop.iter();
        let Some(end) = stops.filter_map(|stop| made.text.find(stop.as_str())).min() else {
            return false;
        };
        made.text.truncate(end);
        let end = u32::try_from(end).unwrap_or(u32::MAX);
        for offset in &mut made.text_offsets {
            *offset = end.min(*offset);
        }
        made.finish_reason = FinishReason::Stop;
        true
    }
}

/// The five likeliest tokens of a step: the chosen one and those after it.
pub(super) fn likeliest(id: u32) -> Vec<TokenLogit> {
    let entry = |rank: u32| TokenLogit {
        id: id + rank,
        logit: 5.0 - rank as f32,
    };
    (0..5).map(entry).collect()
}

/// What a pass through the modules did.
#[derive(Debug, Default)]
pub(super) struct Step {
    hops: u32,
    bytes: u64,
    /// Not zero where a fault spoiled the data: the text then becomes another one.
    pub(super) wrongness: u64,
    /// Seconds of stages and hops in turn.
    times_s: Vec<f64>,
}

impl MockSession {
    /// What the text follows from.
    pub(super) fn seed(&self) -> u64 {
        self.input_ids.iter().fold(7_u64, |hash, id| mix(hash ^ u64::from(*id)))
    }

    pub(super) fn step(&mut self, token: u32, positions: u64, context: &mut Context) -> Result<Step, WorkerFailure> {
        let mut step = Step::default();
        let is_left_behind = context.fault_at_input();
        let mut clock = StepClock::start(context);
        for index in 0..self.modules.len() {
            if index > 0 && self.modules[index - 1].1 != self.modules[index].1 {
                clock.lap(context);
                let hop = step.hops as usize;
                self.activations.send(hop, context);
                let effect = context.enter_hop(hop);
                self.activations.arrive(hop, effect, context);
                clock.lap(context);
                step.hops += 1;
                step.bytes += positions * HIDDEN_BYTES;
                step.wrongness |= u64::from(effect != HopEffect::None);
            }
            let effect = context.enter_module(index);
            self.activations.compute(index, effect == ModuleEffect::Nan, context);
            if effect == ModuleEffect::Nan {
                let message = format!("the logits of step {token} are not finite");
                return Err(context.failure(FailureClass::NonFinite, message));
            }
            if index == 0 && is_left_behind {
                return Err(self.wrong_device(context));
            }
            let (module, device) = &self.modules[index];
            let is_layer = module.starts_with("model.layers.");
            let bytes = if is_layer { positions * KV_BYTES_PER_TOKEN } else { 0 };
            self.ledger
                .charge(device, MemoryKind::KvCache, Bytes(bytes), module, context)?;
        }
        std::thread::sleep(self.step);
        step.times_s = clock.finish(context);
        Ok(step)
    }

    /// An input that is not where the first module computes.
    fn wrong_device(&self, context: &Context) -> WorkerFailure {
        let home = self
            .modules
            .first()
            .map_or_else(DeviceId::cpu, |(_, device)| device.clone());
        let elsewhere = self
            .modules
            .iter()
            .map(|(_, device)| device)
            .find(|device| **device != home);
        let found = elsewhere.cloned().unwrap_or_else(DeviceId::cpu);
        let at = self
            .modules
            .first()
            .map(|(module, _)| module.as_str())
            .unwrap_or_default();
        context.failure(
            FailureClass::Internal,
            format!("a tensor on {found} was used on {home} without a transfer, by module {at} on {home}"),
        )
    }
}
