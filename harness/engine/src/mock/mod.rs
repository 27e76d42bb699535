//! The mock engine: deterministic to the byte, without weights and without candle.
//!
//! It reads the shape of a model from its `config.json`, plans and "loads" it like any engine, keeps to the budgets of
//! logical devices, makes every hop, and strikes every fault; only its text is made of numbers that follow from the
//! prompt. A step takes no time but `mock_step_ms` of its `config.json`. So everything around an engine can be tested in milliseconds.

mod activations;
mod ledger;
mod model;
mod placing;
mod probe;
mod session;
mod weights;

use placebench_core::fault::FaultKind;
use placebench_core::outcome::{FailureClass, Phase, WorkerFailure};
use placebench_core::protocol::{EventKind, WorkerRequest};

use self::activations::MockActivations;
use self::ledger::Ledger;
use self::model::{MockModel, tokens};
use self::session::MockSession;
use crate::{Context, Engine, Session};

/// Bytes of keys and values a layer keeps for a token, in this engine.
const KV_BYTES_PER_TOKEN: u64 = 64;
/// Bytes of the hidden state of a token, in this engine.
const HIDDEN_BYTES: u64 = 256;
/// Tokens this engine can make.
const VOCABULARY: u64 = 1000;

/// `engine = "mock"`.
#[derive(Debug, Clone, Copy)]
pub struct MockEngine;

impl Engine for MockEngine {
    fn name(&self) -> &'static str {
        "mock"
    }

    fn versions(&self) -> Vec<String> {
        vec![format!("mock {}", env!("CARGO_PKG_VERSION"))]
    }

    fn supports_fault(&self, kind: FaultKind) -> bool {
        match kind {
            FaultKind::Stall
            | FaultKind::ZeroCopy
            | FaultKind::StaleCopy
            | FaultKind::CorruptCopy
            | FaultKind::SlowLink
            | FaultKind::Nan
            | FaultKind::OutOfMemory
            | FaultKind::Crash
            | FaultKind::InputDevice
            | FaultKind::SplitTie
            | FaultKind::IgnoredSplit
            | FaultKind::Spill
            | FaultKind::Leak
            | FaultKind::Unkillable
            | FaultKind::Garbage
            | FaultKind::SlowStep => true,
        }
    }

    fn supports_audit(&self) -> bool {
        true
    }

    fn open(&self, request: &WorkerRequest, context: &mut Context) -> Result<Box<dyn Session>, WorkerFailure> {
        context.phase(Phase::Resolve);
        let model = MockModel::read(&request.model, context)?;
        let tree = model
            .tree()
            .map_err(|error| context.failure(FailureClass::ModelInvalid, error.to_string()))?;
        context.emit(EventKind::Devices {
            devices: placing::facts(&request.devices),
        });
        context.phase(Phase::Plan);
        let mut resolved = placing::resolve(request, &tree, model, context)?;
        context.emit(EventKind::Planned(resolved.planned.clone()));
        placing::displace(&mut resolved.modules, context);
        let hops = placing::hops(&resolved.modules);
        context.set_places(resolved.modules.clone(), hops);
        context.phase(Phase::Load);
        let mut ledger = Ledger::new(&request.devices);
        let realised = weights::load(model, &resolved.modules, &tree, &mut ledger, context)?;
        context.emit(EventKind::Loaded {
            realised,
            unused_tensors: Vec::new(),
            eos_token_ids: None,
        });
        Ok(Box::new(MockSession {
            input_ids: tokens(&request.prompt),
            generation: request.generation.clone(),
            modules: resolved.modules,
            ledger,
            activations: MockActivations::default(),
            step: model.step,
        }))
    }
}

/// A step of splitmix64: from a number to another that looks unrelated.
fn mix(value: u64) -> u64 {
    let mut mixed = value.wrapping_add(0x9e37_79b9_7f4a_7c15);
    mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    mixed ^ (mixed >> 31)
}
