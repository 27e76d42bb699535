//! A run of several engines: candle, the stack of Hugging Face in two versions, two ranks, and a server; some right, some not.

use placebench_core::judge::answer::answers;
use placebench_core::outcome::RankSeen;
use placebench_core::placement::{Launcher, Parallelism, RanksSpec};
use placebench_core::record::{ServerSpec, ServerStart, TransformersSpec};

use super::*;

/// Name of the scenario in which the library is to blame.
pub(crate) const INCIDENT: &str = "incident/auto-hangs";
/// Name of the scenario in which a rank hangs.
pub(crate) const SEVERAL: &str = "engines/several";

const DEVICES: [&str; 2] = ["cuda:0", "cuda:1"];

/// The run, with its answers.
pub(crate) fn sample() -> RunRecord {
    let mut record = empty();
    record
        .info
        .environment
        .worker_env
        .push(("PLACEBENCH_PYTHON_ENVS".into(), "/opt/python environments".into()));
    record.info.arguments.push("--allow-exec".into());
    incident(&mut record);
    several(&mut record);
    answered(&mut record);
    record
}

/// The answers as the judge gives them.
pub(crate) fn answered(record: &mut RunRecord) {
    let of = |case: &str| record.attempts.iter().filter(|attempt| attempt.case == case).collect();
    let found = answers(&record.info, &of, &record.verdict.cases);
    record.verdict.answers = found;
}

fn single() -> DeviceMapRequest {
    DeviceMapRequest::Single(device("cuda:0"))
}

fn split() -> DeviceMapRequest {
    DeviceMapRequest::Manual(vec![
        ("model.embed_tokens".into(), device("cuda:0")),
        ("model.layers.0-4".into(), device("cuda:0")),
        ("".into(), device("cuda:1")),
    ])
}

fn candle(scenario: &str, placement: &str, map: DeviceMapRequest) -> CaseSpec {
    let mut case = spec(scenario, "story", &format!("{placement}[engine=candle]"), map);
    case.devices.clear();
    case.expect.agreement = None;
    case.tags = vec![if scenario == INCIDENT { "incident" } else { "engines" }.into()];
    case.description = "The same prompt under several engines.".into();
    case
}

fn transformers(scenario: &str, placement: &str, environment: &str, map: DeviceMapRequest) -> CaseSpec {
    let name = format!("{placement}[engine=transformers,environment={environment}]");
    CaseSpec {
        case: format!("{scenario}/story/{name}"),
        placement: name,
        engine: "transformers".into(),
        transformers: Some(TransformersSpec {
            environment: Some(environment.into()),
            ..TransformersSpec::default()
        }),
        ..candle(scenario, placement, map)
    }
}

fn versions(case: &CaseSpec) -> Vec<String> {
    let told: &[&str] = match case
        .transformers
        .as_ref()
        .and_then(|stack| stack.environment.as_deref())
    {
        Some("incident") => &["accelerate 1.4.0", "torch 2.6.0", "transformers 4.49.0"],
        Some(_) => &["accelerate 1.15.0", "torch 2.15.0", "transformers 5.23.0"],
        None if case.engine == "openai" => &["llama.cpp b6000"],
        None => &["candle-core 0.11.1"],
    };
    told.iter().map(|version| (*version).to_owned()).collect()
}

/// Six generations, and the facts of its own engine.
fn ran(record: &mut RunRecord, case: CaseSpec, placed: &[RealisedModule]) {
    let name = case.case.clone();
    let versions = versions(&case);
    completed(record, case, placed, TEXT, 0.04, 0.012);
    for attempt in record.attempts.iter_mut().filter(|attempt| attempt.case == name) {
        attempt.versions.clone_from(&versions);
        attempt.devices.clear();
        attempt.memory.clear();
    }
}

fn incident(record: &mut RunRecord) {
    let [first, second] = DEVICES;
    for (placement, map, at) in [("single", single(), 11), ("split", split(), 6)] {
        ran(record, candle(INCIDENT, placement, map), &realised(at, first, second));
    }
    ran(
        record,
        transformers(INCIDENT, "single", "incident", single()),
        &realised(11, first, second),
    );
    let case = transformers(INCIDENT, "split", "incident", split());
    hung(record, case, realised(6, first, second), Vec::new());
    for (placement, map, at) in [("single", single(), 11), ("split", split(), 6)] {
        ran(
            record,
            transformers(INCIDENT, placement, "newest", map),
            &realised(at, first, second),
        );
    }
}

fn several(record: &mut RunRecord) {
    ran(
        record,
        candle(SEVERAL, "single", single()),
        &realised(11, DEVICES[0], DEVICES[1]),
    );
    ran(
        record,
        transformers(SEVERAL, "single", "newest", single()),
        &realised(11, DEVICES[0], DEVICES[1]),
    );
    let ranks = DeviceMapRequest::Ranks(RanksSpec {
        launcher: Launcher::Torchrun,
        processes: 2,
        backend: Some("nccl".into()),
        parallel: Parallelism::Tensor,
    });
    let case = transformers(SEVERAL, "ranks", "newest", ranks);
    let held = (0_u32..).zip(DEVICES).flat_map(|(rank, name)| {
        let of_rank = move |module: RealisedModule| RealisedModule {
            rank: Some(rank),
            ..module
        };
        realised(11, name, name).into_iter().map(of_rank)
    });
    let seen = |rank, token| RankSeen {
        rank,
        phase: Some(Phase::Decode),
        generation: 1,
        token: Some(token),
        place: Some(Place::Module {
            module: "model.layers.2".into(),
            device: device(DEVICES[rank as usize]),
        }),
        for_s: Some(2.0),
    };
    hung(record, case, held.collect(), vec![seen(0, 4), seen(1, 3)]);
    ran(record, server(), &[]);
    let text_only = record
        .attempts
        .iter_mut()
        .filter(|attempt| attempt.case.contains("tp2"));
    for attempt in text_only {
        attempt.realised = None;
        if let Some(planned) = &mut attempt.planned {
            planned.device_map.clear();
            planned
                .warnings
                .push("the server keeps the prompt: its time to first token is that of a prompt it knows".into());
        }
        for generation in &mut attempt.generations {
            generation.output_tokens = u32::try_from(generation.output_ids.len()).ok();
            generation.output_ids.clear();
        }
    }
}

fn server() -> CaseSpec {
    let stated = DeviceMapRequest::Stated("tensor parallel over 2 GPUs".into());
    let case = candle(SEVERAL, "tp2", stated);
    CaseSpec {
        case: format!("{SEVERAL}/story/tp2[engine=openai]"),
        placement: "tp2[engine=openai]".into(),
        engine: "openai".into(),
        server: Some(ServerSpec {
            url: "http://somebody:hunter2@127.0.0.1:8000/v1?key=hunter2".into(),
            model: Some("tiny".into()),
            start: Some(ServerStart {
                command: ["vllm", "serve", "{model}", "--tensor-parallel-size", "2"]
                    .map(str::to_owned)
                    .into(),
                ..start()
            }),
            api_key_env: Some("VLLM_API_KEY".into()),
        }),
        ..case
    }
}

fn start() -> ServerStart {
    ServerStart {
        ready: "/health".into(),
        ..ServerStart::default()
    }
}

/// A case that stalls on its way, in a hop or in the rank that is behind.
fn hung(record: &mut RunRecord, case: CaseSpec, held: Vec<RealisedModule>, ranks: Vec<RankSeen>) {
    let place = Place::Hop(Hop {
        from_module: "model.layers.4".into(),
        to_module: "model.layers.5".into(),
        from_device: device(DEVICES[0]),
        to_device: device(DEVICES[1]),
    });
    let outcome = Outcome::Stalled {
        phase: Phase::Decode,
        deadline: Deadline::Token,
        limit_s: 2.0,
        last: LastSeen {
            phase: Some(Phase::Decode),
            token: Some(3),
            place: ranks.is_empty().then_some(place),
            for_s: Some(2.01),
            last_token_before_s: None,
            ranks,
        },
        tokens: 3,
    };
    let mut attempt = attempt(&case.case, 0, outcome.clone());
    attempt.versions = versions(&case);
    attempt.devices.clear();
    attempt.realised = Some(held);
    attempt.partial_tokens = vec![(0.04, Some(11)), (0.05, Some(12)), (0.06, Some(13))];
    let mut judged = verdict(&case.case, CaseStatus::Failed, &outcome, TextVerdict::Unchecked);
    judged.findings.push(finding("outcome", &outcome.sentence(), None));
    ended(record, case, attempt, judged);
}
