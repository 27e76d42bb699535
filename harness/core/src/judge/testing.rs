//! A case and an attempt for the tests of the checks: two modules on two devices, completed.

use crate::device::DeviceId;
use crate::outcome::{FailureClass, Outcome, OutcomeKind, Phase, WorkerFailure};
use crate::placement::{DeviceMapRequest, PlacementRequest};
use crate::protocol::{
    FinishReason, Generation, GenerationSpec, MemoryFigure, MemoryKind, ModelSource, Prompt, TokenLogit,
};
use crate::record::{AgreementRule, Attempt, CaseSpec, Expectation, Isolation, MeasureSpec, Timeouts};
use crate::units::Bytes;

pub(crate) fn case() -> CaseSpec {
    CaseSpec {
        case: "s/p/split".into(),
        scenario: "s".into(),
        prompt: "p".into(),
        placement: "split".into(),
        file: "s.toml".into(),
        line: 1,
        description: String::new(),
        tags: Vec::new(),
        engine: "mock".into(),
        model: ModelSource::Path("/m".into()),
        model_fetch: None,
        dtype: None,
        devices: Vec::new(),
        rates: None,
        request: PlacementRequest {
            device_map: DeviceMapRequest::Single(DeviceId::cpu()),
            max_memory: None,
            transfer: Default::default(),
            offload: Default::default(),
            planner: Default::default(),
            concurrency: Default::default(),
        },
        input: Prompt::Text("p".into()),
        companion_inputs: Vec::new(),
        generation: GenerationSpec {
            max_new_tokens: 4,
            sampling: None,
            ignore_eos: false,
            stop: Vec::new(),
        },
        timeout: Timeouts {
            load_s: 1.0,
            first_token_s: 1.0,
            token_s: 1.0,
            total_s: 1.0,
        },
        measure: MeasureSpec {
            warmup: 0,
            repetitions: 1,
            isolation: Isolation::Process,
            probe: false,
            first_look: None,
        },
        expect: Expectation {
            outcome: OutcomeKind::Completed,
            phase: None,
            at: None,
            snapshot: false,
            agreement: None,
            forbid_devices: Vec::new(),
            min_devices_used: None,
            contains: Vec::new(),
            fails: Vec::new(),
            limits: None,
            killed: None,
            snapshot_rule: AgreementRule::NearTie,
        },
        requires_cuda: 0,
        faults: Vec::new(),
        program: None,
        audit: None,
        env: Vec::new(),
        snapshot_dir: String::new(),
        server: None,
        transformers: None,
    }
}

/// Modules `a` on `sim:0` and `b` on `sim:1`; 2 KiB at most in use on the first.
pub(crate) fn attempt() -> Attempt {
    let device = |name: &str| DeviceId::new(name).unwrap();
    Attempt {
        wall_s: 1.0,
        places: vec![("a".into(), device("sim:0")), ("b".into(), device("sim:1"))],
        memory: vec![MemoryFigure {
            device: device("sim:0"),
            kind: MemoryKind::Peak,
            bytes: Bytes(2048),
            allowed_bytes: None,
        }],
        ..Attempt::without_worker("s/p/split", 0, String::new(), Outcome::Completed)
    }
}

pub(crate) fn generation(ids: &[u32]) -> Generation {
    Generation {
        input_ids: vec![1],
        output_ids: ids.to_vec(),
        text: "text".into(),
        finish_reason: FinishReason::Length,
        start_s: 0.0,
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

pub(crate) fn failure(class: FailureClass) -> WorkerFailure {
    WorkerFailure {
        class,
        message: "it failed".into(),
        phase: Phase::Decode,
        device: None,
        needed_bytes: None,
        allowed_bytes: None,
        place: None,
        rank: None,
    }
}
