//! A case for tests; the integration tests include this file as well.

use placebench_core::device::DeviceId;
use placebench_core::outcome::OutcomeKind;
use placebench_core::placement::{DeviceMapRequest, Offload, PlacementRequest, Transfer};
use placebench_core::protocol::{GenerationSpec, ModelSource, Prompt};
use placebench_core::record::{CaseSpec, Expectation, Isolation, MeasureSpec, Timeouts};

/// A case that asks for one generation and has all the time it needs.
pub(crate) fn case() -> CaseSpec {
    CaseSpec {
        case: "smoke/story/single".into(),
        scenario: "smoke".into(),
        prompt: "story".into(),
        placement: "single".into(),
        file: "scenarios/smoke.toml".into(),
        line: 1,
        description: String::new(),
        tags: Vec::new(),
        engine: "mock".into(),
        model: ModelSource::Path("/nonexistent/model".into()),
        model_fetch: None,
        dtype: None,
        devices: Vec::new(),
        rates: None,
        request: PlacementRequest {
            device_map: DeviceMapRequest::Single(DeviceId::cpu()),
            max_memory: None,
            transfer: Transfer::Direct,
            offload: Offload::Execute,
            planner: Default::default(),
            concurrency: Default::default(),
        },
        input: Prompt::Text("Once".into()),
        companion_inputs: Vec::new(),
        generation: GenerationSpec {
            max_new_tokens: 32,
            sampling: None,
            ignore_eos: false,
            stop: Vec::new(),
        },
        timeout: Timeouts {
            load_s: 120.0,
            first_token_s: 120.0,
            token_s: 120.0,
            total_s: 300.0,
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
            snapshot_rule: Default::default(),
            engines: None,
        },
        requires_cuda: 0,
        faults: Vec::new(),
        env: Vec::new(),
        audit: None,
        snapshot_dir: "/nonexistent/snapshots".into(),
        program: None,
        server: None,
        transformers: None,
    }
}
