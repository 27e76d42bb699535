//! A made-up run with everything a report must be able to show. `tests/data/sample-run` holds it as files.

#![allow(
    dead_code,
    clippy::allow_attributes,
    clippy::unwrap_used,
    clippy::cast_possible_truncation,
    reason = "test code that several binaries share; each uses its own part"
)]

pub(crate) mod engines;
pub(crate) mod forecast;
pub(crate) mod gate;
pub(crate) mod latency;
pub(crate) mod placed;
pub(crate) mod timed;

use placebench_core::device::{DeviceBytes, DeviceId, LogicalDevice};
use placebench_core::exit_code::ExitCode;
use placebench_core::fault::{Fault, FaultKind, FaultPoint};
use placebench_core::judge::median;
use placebench_core::outcome::{
    Deadline, FailureClass, Hop, LastSeen, Outcome, OutcomeKind, Phase, Place, WorkerFailure,
};
use placebench_core::placement::{DeviceMapRequest, Offload, PlacementRequest, StrategyName, Transfer};
use placebench_core::protocol::{
    DeviceFacts, Dtype, FinishReason, Generation, GenerationSpec, MemoryFigure, MemoryKind, Message, ModelSource,
    PlannedPlacement, Prompt, RealisedModule,
};
use placebench_core::record::{
    AgreementRule, AgreementSpec, Attempt, CaseMetrics, CaseSpec, CaseStatus, CaseVerdict, Environment, Expectation,
    Finding, Isolation, MeasureSpec, PhaseSpan, RecordVersion, RunInfo, RunRecord, RunVerdict, TextVerdict, Timeouts,
    Tool,
};
use placebench_core::units::Bytes;

pub(crate) const TEXT: &str =
    "Once upon a time there was a small fox who lived at the edge of the wood.\nEvery morning it counted the trees.";
pub(crate) const NEAR: &str =
    "Once upon a time there was a small fox who lived at the edge of the wood.\nEvery morning it counted the stones.";
pub(crate) const WRONG: &str = "Once upon a time there was a small fox who who who //// the //// ////";
pub(crate) const HOSTILE_SCENARIO: &str = "=cmd|' /C calc'!A0 <script>alert(\"scenario\")</script>";
pub(crate) const HOSTILE_PROMPT: &str = "\"><img src=x onerror=alert('prompt')>";
pub(crate) const HOSTILE_PLACEMENT: &str = "../../a placement | whose `name` goes on for sixty characters & more";

pub(crate) fn device(name: &str) -> DeviceId {
    DeviceId::new(name).unwrap()
}

/// The tiny model: five hundred odd KiB in eleven modules.
pub(crate) fn modules() -> Vec<(String, u64)> {
    let mut modules = vec![("model.embed_tokens".to_owned(), 262_144)];
    modules.extend((0..8).map(|layer| (format!("model.layers.{layer}"), 106_496)));
    modules.extend([("model.norm".to_owned(), 256), ("lm_head".to_owned(), 262_144)]);
    modules
}

/// The modules before `split` on the first device, the others on the second.
pub(crate) fn realised(split: usize, first: &str, second: &str) -> Vec<RealisedModule> {
    let one = |(index, (module, bytes)): (usize, (String, u64))| RealisedModule {
        module,
        device: device(if index < split { first } else { second }),
        bytes: Bytes(bytes),
        rank: None,
    };
    modules().into_iter().enumerate().map(one).collect()
}

/// The files on disk were written in it: that they are read shows that later versions only add.
const FIRST_VERSION: RecordVersion = RecordVersion { major: 1, minor: 0 };

pub(crate) fn planned(modules: &[RealisedModule]) -> PlannedPlacement {
    PlannedPlacement {
        device_map: modules
            .iter()
            .map(|module| (module.module.clone(), module.device.clone()))
            .collect(),
        budgets: vec![DeviceBytes {
            device: device("sim:0"),
            bytes: Bytes(2 << 20),
        }],
        weights_bytes: Vec::new(),
        warnings: Vec::new(),
        forecast: None,
    }
}

pub(crate) fn spec(scenario: &str, prompt: &str, placement: &str, device_map: DeviceMapRequest) -> CaseSpec {
    CaseSpec {
        case: format!("{scenario}/{prompt}/{placement}"),
        scenario: scenario.into(),
        prompt: prompt.into(),
        placement: placement.into(),
        file: format!("scenarios/{scenario}.toml"),
        line: 24,
        description: "The same prompt under three placements must give the same text.".into(),
        tags: vec!["smoke".into(), "cpu".into()],
        engine: "candle".into(),
        model: ModelSource::Path("/suite/models/tiny".into()),
        model_fetch: None,
        dtype: Some(Dtype::F32),
        devices: [("sim:0", 2 << 20), ("sim:1", 4 << 20)]
            .map(|(id, bytes)| LogicalDevice {
                id: device(id),
                on: DeviceId::cpu(),
                memory_bytes: Some(Bytes(bytes)),
            })
            .into(),
        rates: None,
        request: PlacementRequest {
            device_map,
            max_memory: None,
            transfer: Transfer::Direct,
            offload: Offload::Execute,
            planner: Default::default(),
            concurrency: Default::default(),
        },
        input: Prompt::Text("Once upon a time".into()),
        companion_inputs: Vec::new(),
        generation: GenerationSpec {
            max_new_tokens: 24,
            sampling: None,
            ignore_eos: false,
            stop: Vec::new(),
        },
        timeout: Timeouts {
            load_s: 60.0,
            first_token_s: 30.0,
            token_s: 2.0,
            total_s: 300.0,
        },
        measure: MeasureSpec {
            warmup: 1,
            repetitions: 6,
            isolation: Isolation::Process,
            probe: false,
            first_look: None,
        },
        expect: Expectation {
            outcome: OutcomeKind::Completed,
            phase: None,
            at: None,
            snapshot: false,
            agreement: Some(AgreementSpec {
                reference: "single".into(),
                rule: AgreementRule::NearTie,
                max_gap: 0.01,
            }),
            forbid_devices: Vec::new(),
            min_devices_used: None,
            contains: Vec::new(),
            fails: Vec::new(),
            limits: None,
            killed: None,
            snapshot_rule: AgreementRule::NearTie,
            engines: None,
        },
        requires_cuda: 0,
        faults: Vec::new(),
        env: Vec::new(),
        audit: None,
        snapshot_dir: "/suite/snapshots".into(),
        program: None,
        server: None,
        transformers: None,
    }
}

pub(crate) fn strategy(name: StrategyName) -> DeviceMapRequest {
    DeviceMapRequest::Strategy(name)
}

pub(crate) fn manual() -> DeviceMapRequest {
    let entries = [
        ("model.embed_tokens", "sim:0"),
        ("model.layers.0-3", "sim:0"),
        ("model.layers.4-7", "sim:1"),
        ("model.norm", "sim:1"),
        ("lm_head", "sim:1"),
    ];
    DeviceMapRequest::Manual(
        entries
            .iter()
            .map(|(path, name)| ((*path).to_owned(), device(name)))
            .collect(),
    )
}

/// A generation whose timings differ a little from number to number, without any randomness.
pub(crate) fn generation(text: &str, number: u32, ttft_s: f64, gap_s: f64, hops: u32) -> Generation {
    let tokens: Vec<u32> = text
        .split_whitespace()
        .enumerate()
        .map(|(at, word)| 10 + at as u32 * 3 + word.len() as u32)
        .collect();
    let wobble = |at: u32| 1.0 + 0.012 * f64::from((at * 7 + number * 5) % 11);
    let mut stamp = ttft_s * wobble(number);
    let stamps = (0..tokens.len() as u32)
        .map(|at| {
            if at > 0 {
                stamp += gap_s * wobble(at + 3) * if at == 9 && number == 2 { 2.6 } else { 1.0 };
            }
            stamp
        })
        .collect();
    let steps = tokens.len();
    Generation {
        input_ids: vec![1, 5, 9, 4],
        output_ids: tokens,
        text: text.into(),
        finish_reason: FinishReason::Length,
        start_s: 0.4,
        token_stamps_s: stamps,
        top2_gaps: vec![0.75; steps],
        top5: Vec::new(),
        hops: vec![hops; steps],
        transfer_bytes: vec![u64::from(hops) * 512; steps],
        streamed_bytes: Vec::new(),
        stage_times_s: Vec::new(),
        text_offsets: Vec::new(),
        companions: Vec::new(),
        input_tokens: None,
        output_tokens: None,
    }
}

pub(crate) fn attempt(case: &str, number: u32, outcome: Outcome) -> Attempt {
    Attempt {
        wall_s: 1.25,
        phases: [
            (Phase::Spawn, 0.0, 0.01),
            (Phase::Load, 0.02, 0.31),
            (Phase::Prefill, 0.4, 0.44),
            (Phase::Decode, 0.44, 0.72),
        ]
        .map(|(phase, start_s, end_s)| PhaseSpan {
            phase,
            start_s,
            end_s: Some(end_s),
        })
        .into(),
        versions: vec!["candle-core 0.11.1".into()],
        profile: Some("debug".into()),
        devices: [("sim:0", 2 << 20), ("sim:1", 4 << 20)]
            .map(|(id, bytes)| DeviceFacts {
                id: device(id),
                on: DeviceId::cpu(),
                name: "slice of the host".into(),
                memory_bytes: Some(Bytes(bytes)),
                architecture: None,
            })
            .into(),
        peak_rss_bytes: Some(Bytes(48 << 20)),
        ..Attempt::without_worker(case, number, "2026-11-22T14:00:00Z".into(), outcome)
    }
}

pub(crate) fn memory(device_name: &str, weights: u64, cache: u64, peak: u64, allowed: u64) -> Vec<MemoryFigure> {
    [
        (MemoryKind::Weights, weights),
        (MemoryKind::KvCache, cache),
        (MemoryKind::Peak, peak),
    ]
    .map(|(kind, bytes)| MemoryFigure {
        device: device(device_name),
        kind,
        bytes: Bytes(bytes),
        allowed_bytes: Some(Bytes(allowed)),
    })
    .into()
}

pub(crate) fn metrics(attempts: &[Attempt], hops: f64) -> CaseMetrics {
    let middle = |value: &dyn Fn(&[f64]) -> f64| {
        let values: Vec<f64> = attempts
            .iter()
            .flat_map(|attempt| &attempt.generations)
            .map(|generation| value(&generation.token_stamps_s))
            .collect();
        median(&values).unwrap()
    };
    let ttft_s = middle(&|stamps| stamps[0]);
    let tpot_s = middle(&|stamps| (stamps[stamps.len() - 1] - stamps[0]) / (stamps.len() - 1).max(1) as f64);
    let of = |kind: MemoryKind| -> Vec<DeviceBytes> {
        let figures = attempts
            .first()
            .map(|attempt| attempt.memory.clone())
            .unwrap_or_default();
        figures
            .into_iter()
            .filter(|figure| figure.kind == kind)
            .map(|figure| DeviceBytes {
                device: figure.device,
                bytes: figure.bytes,
            })
            .collect()
    };
    CaseMetrics {
        sequences: Some(1),
        output_tokens_per_s: None,
        samples: attempts.len() as u32,
        load_s: Some(0.31),
        ttft_s: Some(ttft_s),
        tpot_s: Some(tpot_s),
        e2e_s: Some(middle(&|stamps| stamps[stamps.len() - 1])),
        prefill_tokens_per_s: Some(4.0 / ttft_s),
        decode_tokens_per_s: Some(1.0 / tpot_s),
        input_tokens: Some(4),
        output_tokens: Some(23),
        finish_reason: Some("length".into()),
        hops_per_token: Some(hops),
        transfer_bytes_per_token: Some(hops * 512.0),
        weights_bytes: of(MemoryKind::Weights),
        kv_cache_bytes: of(MemoryKind::KvCache),
        peak_memory_bytes: of(MemoryKind::Peak),
        time_forecast: Vec::new(),
        memory_forecast: Vec::new(),
        exact_match_rate: Some(1.0),
        matching_generations: Some(attempts.len() as u32),
        distinct_texts: Some(1),
    }
}

pub(crate) fn verdict(case: &str, status: CaseStatus, outcome: &Outcome, text: TextVerdict) -> CaseVerdict {
    CaseVerdict {
        case: case.into(),
        status,
        outcome: outcome.kind(),
        sentence: outcome.sentence(),
        text,
        findings: Vec::new(),
        expected_findings: Vec::new(),
        metrics: CaseMetrics::default(),
        attempts: 1,
        decided_by_retry: 0,
        earlier_tries: Vec::new(),
        divergences: Vec::new(),
        notes: Vec::new(),
    }
}

pub(crate) fn finding(check: &str, message: &str, hint: Option<&str>) -> Finding {
    Finding {
        check: check.into(),
        message: message.into(),
        hint: hint.map(str::to_owned),
    }
}

/// A case that completed six times.
pub(crate) fn completed(
    record: &mut RunRecord,
    spec: CaseSpec,
    placed: &[RealisedModule],
    text: &str,
    ttft_s: f64,
    gap_s: f64,
) {
    let hops = placed
        .windows(2)
        .filter(|pair| pair[0].device != pair[1].device)
        .count() as u32;
    let attempts: Vec<Attempt> = (0..6)
        .map(|number| {
            let mut attempt = attempt(&spec.case, number, Outcome::Completed);
            attempt.planned = Some(planned(placed));
            attempt.realised = Some(placed.to_vec());
            for (name, allowed) in [("sim:0", 2_u64 << 20), ("sim:1", 4 << 20), ("cpu", 0)] {
                let here: u64 = placed
                    .iter()
                    .filter(|module| module.device.as_str() == name)
                    .map(|module| module.bytes.0)
                    .sum();
                if here > 0 {
                    attempt.memory.extend(memory(
                        name,
                        here,
                        here / 6,
                        here + here / 6 + 90_000,
                        allowed.max(1 << 20),
                    ));
                }
            }
            attempt.generations.push(generation(text, number, ttft_s, gap_s, hops));
            attempt
        })
        .collect();
    let mut judged = verdict(&spec.case, CaseStatus::Passed, &Outcome::Completed, TextVerdict::Exact);
    judged.attempts = 6;
    judged.metrics = metrics(&attempts, f64::from(hops));
    record.info.cases.push(spec);
    record.attempts.extend(attempts);
    record.verdict.cases.push(judged);
}

/// A case that ended otherwise, after one attempt.
pub(crate) fn ended(record: &mut RunRecord, spec: CaseSpec, attempt: Attempt, verdict: CaseVerdict) {
    record.info.cases.push(spec);
    record.attempts.push(attempt);
    record.verdict.cases.push(verdict);
}

pub(crate) fn empty() -> RunRecord {
    RunRecord {
        info: RunInfo {
            schema_version: FIRST_VERSION,
            run_id: "20261122T140000Z-1a2b".into(),
            started_at: "2026-11-22T14:00:00Z".into(),
            tool: Tool {
                name: "placebench".into(),
                version: "0.1.0".into(),
                profile: "debug".into(),
            },
            environment: Environment {
                platform: "linux x86_64".into(),
                kernel: "6.8.0".into(),
                cpu: "Example CPU @ 3.00GHz".into(),
                cpu_count: 16,
                memory_bytes: Bytes(128 << 30),
                worker_env: vec![("RAYON_NUM_THREADS".into(), "8".into())],
            },
            arguments: vec![
                "run".into(),
                "scenarios/".into(),
                "--save-baseline".into(),
                "my machine".into(),
            ],
            seed: 42,
            cases: Vec::new(),
            control: Default::default(),
            shards: Vec::new(),
        },
        attempts: Vec::new(),
        verdict: RunVerdict {
            schema_version: FIRST_VERSION,
            run_id: "20261122T140000Z-1a2b".into(),
            exit: ExitCode::CaseFailed,
            exit_code: 100,
            complete: true,
            cases: Vec::new(),
            gate: None,
            answers: Vec::new(),
        },
    }
}

fn the_hop() -> Place {
    Place::Hop(Hop {
        from_module: "model.layers.3".into(),
        to_module: "model.layers.4".into(),
        from_device: device("sim:0"),
        to_device: device("sim:1"),
    })
}

fn stalled() -> Outcome {
    Outcome::Stalled {
        phase: Phase::Decode,
        deadline: Deadline::Token,
        limit_s: 2.0,
        last: LastSeen {
            phase: Some(Phase::Decode),
            token: Some(3),
            place: Some(the_hop()),
            for_s: Some(2.01),
            last_token_before_s: None,
            ranks: Vec::new(),
        },
        tokens: 3,
    }
}

fn failure(class: FailureClass, message: &str, phase: Phase) -> WorkerFailure {
    WorkerFailure {
        class,
        message: message.into(),
        phase,
        device: None,
        needed_bytes: None,
        allowed_bytes: None,
        place: None,
        rank: None,
    }
}

/// Everything at once.
pub(crate) fn sample() -> RunRecord {
    let mut record = empty();
    three_ways(&mut record);
    broken_hop(&mut record);
    detected(&mut record);
    memory_cases(&mut record);
    two_cards(&mut record);
    hostile(&mut record);
    record
}

fn three_ways(record: &mut RunRecord) {
    let name = "placement/three-ways";
    completed(
        record,
        spec(name, "story", "single", DeviceMapRequest::Single(device("sim:1"))),
        &realised(0, "sim:0", "sim:1"),
        TEXT,
        0.036,
        0.0112,
    );
    completed(
        record,
        spec(name, "story", "auto", strategy(StrategyName::Auto)),
        &realised(6, "sim:0", "sim:1"),
        TEXT,
        0.0405,
        0.0124,
    );
    completed(
        record,
        spec(name, "story", "manual", manual()),
        &realised(5, "sim:0", "sim:1"),
        NEAR,
        0.0398,
        0.0121,
    );
    for attempt in record.attempts.iter_mut().rev().take(6) {
        if let Some(gap) = attempt.generations[0].top2_gaps.last_mut() {
            *gap = 0.004;
        }
    }
    let near = record.verdict.cases.last_mut().unwrap();
    near.text = TextVerdict::NearTie;
}

fn broken_hop(record: &mut RunRecord) {
    let name = "regressions/broken-hop";
    completed(
        record,
        spec(name, "story", "single", DeviceMapRequest::Single(device("sim:1"))),
        &realised(0, "sim:0", "sim:1"),
        TEXT,
        0.036,
        0.0112,
    );
    let auto = spec(name, "story", "auto", strategy(StrategyName::Auto));
    let mut hung = attempt(&auto.case, 0, stalled());
    hung.phases[3].end_s = None;
    hung.planned = Some(planned(&realised(5, "sim:0", "sim:1")));
    hung.realised = Some(realised(5, "sim:0", "sim:1"));
    hung.memory = [
        memory("sim:0", 688_128, 90_000, 850_000, 2 << 20),
        memory("sim:1", 688_384, 80_000, 840_000, 4 << 20),
    ]
    .concat();
    hung.partial_tokens = vec![(0.04, Some(11)), (0.05, Some(12)), (0.06, Some(13))];
    hung.stderr_tail = "worker: waiting for sim:1\n\u{1b}[31mno answer\u{1b}[0m".into();
    let mut judged = verdict(&auto.case, CaseStatus::Failed, &stalled(), TextVerdict::Unchecked);
    judged.findings.push(finding(
        "outcome",
        "expected completed, got stalled in decode at hop model.layers.3 -> model.layers.4",
        Some("try transfer = \"host\" in this placement; if that helps, the direct copy between the two devices is broken"),
    ));
    ended(record, auto, hung, judged);
    completed(
        record,
        spec(name, "story", "manual", manual()),
        &realised(5, "sim:0", "sim:1"),
        WRONG,
        0.020,
        0.006,
    );
    let wrong = record.verdict.cases.last_mut().unwrap();
    wrong.status = CaseStatus::Failed;
    wrong.text = TextVerdict::Diverged;
    wrong.findings.push(finding(
        "agreement",
        "the text parts from single at token 10: \"lived\" there, \"who\" here, 0.75 apart",
        Some("run placebench doctor: it copies and checks every pair of devices"),
    ));
}

fn detected(record: &mut RunRecord) {
    let mut auto = spec("faults/stall", "story", "auto", strategy(StrategyName::Auto));
    auto.description = "A hop that never completes is named, with its token.".into();
    auto.expect.outcome = OutcomeKind::Stalled;
    let at = FaultPoint {
        hop: Some("model.layers.3 -> model.layers.4".into()),
        token: Some(3),
        ..FaultPoint::default()
    };
    auto.faults.push(Fault::new(FaultKind::Stall, at));
    let mut hung = attempt(&auto.case, 0, stalled());
    hung.planned = Some(planned(&realised(5, "sim:0", "sim:1")));
    hung.realised = Some(realised(5, "sim:0", "sim:1"));
    let judged = verdict(&auto.case, CaseStatus::Passed, &stalled(), TextVerdict::Unchecked);
    ended(record, auto, hung, judged);
    let mut zeros = spec("faults/stall", "story", "manual", manual());
    zeros.expect.fails = vec!["agreement".into()];
    completed(record, zeros, &realised(5, "sim:0", "sim:1"), WRONG, 0.03, 0.01);
    let wrong = record.verdict.cases.last_mut().unwrap();
    wrong.text = TextVerdict::Garbage;
    wrong
        .expected_findings
        .push(finding("agreement", "one token is repeated 9 times", None));
}

fn memory_cases(record: &mut RunRecord) {
    let name = "memory/budgets";
    let single = spec(name, "story", "single", DeviceMapRequest::Single(device("sim:0")));
    let outcome = Outcome::OutOfMemory {
        failure: WorkerFailure {
            device: Some(device("sim:0")),
            needed_bytes: Some(Bytes(2_200_000)),
            allowed_bytes: Some(Bytes(2 << 20)),
            place: Some(Place::Module {
                module: "model.layers.6".into(),
                device: device("sim:0"),
            }),
            ..failure(
                FailureClass::OutOfMemory,
                "sim:0 has 2.00 MiB, model.layers.6 needs 2.10 MiB",
                Phase::Load,
            )
        },
    };
    let mut full = attempt(&single.case, 0, outcome.clone());
    full.planned = Some(planned(&realised(11, "sim:0", "sim:1")));
    full.memory = vec![MemoryFigure {
        device: device("sim:0"),
        kind: MemoryKind::Peak,
        bytes: Bytes(2_050_000),
        allowed_bytes: Some(Bytes(2 << 20)),
    }];
    let mut judged = verdict(&single.case, CaseStatus::Failed, &outcome, TextVerdict::Unchecked);
    judged.findings.push(finding(
        "outcome",
        "expected completed, got out_of_memory on sim:0",
        Some("give sim:0 at least 2.10 MiB or split the model"),
    ));
    ended(record, single, full, judged);
    completed(
        record,
        spec(name, "story", "auto", strategy(StrategyName::Balanced)),
        &realised(7, "sim:0", "cpu"),
        TEXT,
        0.052,
        0.019,
    );
    for attempt in record.attempts.iter_mut().rev().take(6) {
        attempt.planned = Some(planned(&realised(6, "sim:0", "sim:1")));
    }
    let spilled = record.verdict.cases.last_mut().unwrap();
    spilled.status = CaseStatus::Failed;
    spilled.findings.push(finding(
        "placement",
        "5 modules are not where they were planned: model.layers.5 is on sim:0, planned on sim:1",
        None,
    ));
    spilled.findings.push(finding(
        "forbid_devices",
        "4 modules are on cpu",
        Some("raise max_memory of sim:1"),
    ));
}

fn two_cards(record: &mut RunRecord) {
    let name = "gpu/two-cards";
    let mut auto = spec(name, "chat", "auto", strategy(StrategyName::Auto));
    auto.model = ModelSource::Hub {
        repo: "Qwen/Qwen2.5-3B-Instruct".into(),
        revision: "main".into(),
        file: None,
    };
    auto.input = Prompt::Messages(vec![Message {
        role: "user".into(),
        content: "Tell me a story.".into(),
    }]);
    auto.requires_cuda = 2;
    let outcome = Outcome::Skipped {
        reason: "needs 2 CUDA devices, there are none".into(),
        hint: Some("run it on a machine with two GPUs, built with --features cuda".into()),
    };
    let mut skipped = attempt(&auto.case, 0, outcome.clone());
    (skipped.phases, skipped.devices, skipped.peak_rss_bytes) = (Vec::new(), Vec::new(), None);
    let judged = verdict(&auto.case, CaseStatus::Skipped, &outcome, TextVerdict::Unchecked);
    let mut single = auto.clone();
    ended(record, auto, skipped, judged);
    single.placement = "single".into();
    single.case = format!("{name}/chat/single");
    single.request.device_map = DeviceMapRequest::Single(DeviceId::cpu());
    let outcome = Outcome::Failed {
        failure: failure(
            FailureClass::ModelMissing,
            "models/qwen has no config.json",
            Phase::Resolve,
        ),
    };
    let mut judged = verdict(&single.case, CaseStatus::Setup, &outcome, TextVerdict::Unchecked);
    judged.findings.push(finding(
        "setup",
        "models/qwen has no config.json",
        Some("fetch it: ci/fetch-models.sh qwen"),
    ));
    let mut missing = attempt(&single.case, 0, outcome);
    missing.phases = vec![PhaseSpan {
        phase: Phase::Resolve,
        start_s: 0.0,
        end_s: None,
    }];
    ended(record, single, missing, judged);
}

fn hostile(record: &mut RunRecord) {
    let text = format!(
        "</pre><script>alert('output')</script> \u{202e}gnp.exe\u{202c} \u{1b}[2J\u{7} & \"quotes\" {}",
        "long_".repeat(2000)
    );
    let mut case = spec(
        HOSTILE_SCENARIO,
        HOSTILE_PROMPT,
        HOSTILE_PLACEMENT,
        strategy(StrategyName::Sequential),
    );
    case.input = Prompt::Text("{{ 7 * 7 }} </pre><script>alert('input')</script>".into());
    case.description = "<b>description</b> http://example.invalid/x.js".into();
    case.tags = vec!["<i>".into(), "a\nb".into()];
    completed(record, case, &realised(5, "sim:0", "sim:1"), &text, 0.03, 0.01);
    let judged = record.verdict.cases.last_mut().unwrap();
    judged.status = CaseStatus::Pending;
    judged.text = TextVerdict::Unchecked;
    judged.sentence = "completed".into();
    judged.findings.push(finding(
        "snapshot",
        "=1+1 <script>alert('finding')</script> ]]> \u{0} @everyone #1",
        Some("javascript:alert('hint')"),
    ));
    // Planned, but the run ended before it: neither an attempt nor a judgement.
    record.info.cases.push(spec(
        HOSTILE_SCENARIO,
        HOSTILE_PROMPT,
        "never run",
        DeviceMapRequest::Single(DeviceId::cpu()),
    ));
    // Judged, but half of its figures are missing.
    let odd = spec(
        HOSTILE_SCENARIO,
        HOSTILE_PROMPT,
        "half known",
        DeviceMapRequest::Single(device("sim:1")),
    );
    let mut crashed = attempt(
        &odd.case,
        0,
        Outcome::Crashed {
            phase: Phase::Decode,
            signal: Some(11),
            exit_code: None,
            last: LastSeen::default(),
            message: "the worker died of signal 11".into(),
        },
    );
    crashed.realised = Some(realised(0, "sim:0", "sim:1"));
    let mut judged = verdict(&odd.case, CaseStatus::Failed, &crashed.outcome, TextVerdict::Unchecked);
    judged.metrics.load_s = Some(0.3);
    judged
        .findings
        .push(finding("outcome", "expected completed, got crashed", None));
    ended(record, odd, crashed, judged);
}
