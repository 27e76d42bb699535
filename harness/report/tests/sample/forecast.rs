//! A made-up run with forecasts: kept, missed, half known, impossible.
//!
//! Its verdict is the judge's own, so that what is shown is what a real run leaves behind.

use std::collections::HashMap;

use placebench_core::judge::judge;
use placebench_core::outcome::Outcome;
use placebench_core::placement::DeviceMapRequest;
use placebench_core::planner::{
    Bound, DeviceFootprint, Footprint, Forecast, HopTime, Objective, Prediction, Room, StageTime, StepTime, Workload,
};

use super::{
    Attempt, Bytes, CaseSpec, DeviceId, Generation, PlannedPlacement, RecordVersion, RunRecord, TEXT, WRONG, attempt,
    device, empty, generation, manual, memory, planned, realised, spec, stalled,
};

pub(crate) const SCENARIO: &str = "forecast/all";
pub(crate) const HOSTILE_MODULE: &str = "model.<script>alert('module')</script>\u{202e}";

/// A stage: device, first and last module, predicted and measured milliseconds of a token.
type Stage<'a> = (&'a str, &'a str, &'a str, f64, f64);

const HALVES: [Stage<'static>; 2] = [
    ("sim:0", "model.embed_tokens", "model.layers.4", 1.0, 1.0),
    ("sim:1", "model.layers.5", "lm_head", 1.2, 2.2),
];
const ZIGZAG: [Stage<'static>; 3] = [
    ("sim:0", "model.embed_tokens", "model.layers.4", 1.0, 1.0),
    ("sim:1", "model.layers.5", "model.layers.7", 0.5, 0.5),
    ("sim:0", "model.norm", "lm_head", 0.4, 0.4),
];

/// The prefill takes this many times as long as a token after it.
const PREFILL: f64 = 4.0;
const HOP_PREDICTED_S: f64 = 2e-4;
const HOP_MEASURED_S: f64 = 2.5e-4;
const REST_S: f64 = 1e-5;

fn step_time(stages: &[Stage<'_>], scale: f64) -> StepTime<DeviceId> {
    let stage = |&(name, first, last, ms, _): &Stage<'_>| StageTime {
        device: device(name),
        first: first.into(),
        last: last.into(),
        weights_s: ms * 0.7e-3 * scale,
        kv_s: ms * 0.1e-3 * scale,
        compute_s: ms * 0.3e-3 * scale,
        overhead_s: ms * 0.2e-3 * scale,
        bound: Bound::Memory,
        time_s: ms * 1e-3 * scale,
    };
    let hops = stages.windows(2).map(|pair| HopTime {
        from: device(pair[0].0),
        to: device(pair[1].0),
        after: pair[0].2.into(),
        before: pair[1].1.into(),
        latency_s: HOP_PREDICTED_S * scale * 0.75,
        transfer_s: HOP_PREDICTED_S * scale * 0.25,
        time_s: HOP_PREDICTED_S * scale,
    });
    let (stages, hops): (Vec<_>, Vec<_>) = (stages.iter().map(stage).collect(), hops.collect());
    let all = stages
        .iter()
        .map(|stage| stage.time_s)
        .chain(hops.iter().map(|hop| hop.time_s));
    StepTime {
        time_s: all.sum(),
        stages,
        hops,
    }
}

pub(crate) fn forecast(stages: &[Stage<'_>], scale: Option<f64>) -> Forecast {
    let mut names: Vec<&str> = stages.iter().map(|stage| stage.0).collect();
    names.sort_unstable();
    names.dedup();
    let on = |name: &str| DeviceFootprint {
        device: device(name),
        weights_bytes: Bytes(688_128),
        kv_cache_bytes: Bytes(90_000),
        activation_bytes: Bytes(20_000),
        logits_bytes: Bytes(1872),
        total_bytes: Bytes(800_000),
        budget_bytes: Some(Bytes(2 << 20)),
        room: Room::Headroom(Bytes((2 << 20) - 800_000)),
        exhausted_at_token: None,
    };
    Forecast {
        workload: Workload::new(4, 4, 4),
        objective: None,
        footprint: Footprint {
            devices: names.into_iter().map(on).collect(),
            hops_per_token: stages.len() as u64 - 1,
            prefill_hop_bytes: Bytes(2048),
            decode_hop_bytes: Bytes(512),
            transfer_bytes_per_token: Bytes(512),
        },
        prediction: scale.map(|scale| Prediction {
            ttft: step_time(stages, scale * PREFILL),
            tpot: step_time(stages, scale),
        }),
    }
}

fn timed(stages: &[Stage<'_>], text: &str, number: u32) -> Generation {
    let mut made = generation(text, number, 0.0, 0.0, stages.len() as u32 - 1);
    let mut now_s = 0.0;
    (made.token_stamps_s, made.stage_times_s) = (0..made.output_ids.len())
        .map(|at| {
            let scale = if at == 0 { PREFILL } else { 1.0 };
            let mut spans = vec![stages[0].4 * 1e-3 * scale];
            for stage in &stages[1..] {
                spans.extend([HOP_MEASURED_S * scale, stage.4 * 1e-3 * scale]);
            }
            now_s += spans.iter().sum::<f64>() + REST_S;
            (now_s, spans)
        })
        .unzip();
    made
}

/// Three attempts that ran the stages, planned with this forecast.
fn attempts(spec: &CaseSpec, stages: &[Stage<'_>], forecast: &Forecast, text: &str) -> Vec<Attempt> {
    (0..3)
        .map(|number| {
            let mut made = attempt(&spec.case, number, Outcome::Completed);
            made.planned = Some(PlannedPlacement {
                forecast: Some(Box::new(forecast.clone())),
                ..planned(&realised(5, "sim:0", "sim:1"))
            });
            made.realised = Some(realised(5, "sim:0", "sim:1"));
            for &(name, first, last, ..) in stages {
                made.places.push((first.into(), device(name)));
                made.places.push((last.into(), device(name)));
            }
            made.memory = [
                memory("sim:0", 688_128, 90_000, 804_000, 2 << 20),
                memory("sim:1", 688_128, 90_000, 1_000_000, 2 << 20),
            ]
            .concat();
            made.generations.push(timed(stages, text, number));
            made
        })
        .collect()
}

fn case(placement: &str, request: DeviceMapRequest) -> CaseSpec {
    let mut spec = spec(SCENARIO, "story", placement, request);
    if let Some(agreement) = &mut spec.expect.agreement {
        agreement.reference = "fastest".into();
    }
    spec
}

/// All kinds of forecasts, judged.
pub(crate) fn sample() -> RunRecord {
    let mut record = empty();
    record.info.schema_version = RecordVersion { major: 1, minor: 1 };
    let mut add = |spec: CaseSpec, attempts: Vec<Attempt>| {
        record.info.cases.push(spec);
        record.attempts.extend(attempts);
    };

    let fastest = case("fastest", DeviceMapRequest::Optimal(Objective::Tpot));
    let chosen = Forecast {
        objective: Some(Objective::Tpot),
        ..forecast(&HALVES, Some(1.0))
    };
    let made = attempts(&fastest, &HALVES, &chosen, TEXT);
    add(fastest, made);

    let no_rates = case("no rates", manual());
    let made = attempts(&no_rates, &HALVES, &forecast(&HALVES, None), TEXT);
    add(no_rates, made);

    let zigzag = case("zigzag", manual());
    let made = attempts(&zigzag, &ZIGZAG, &forecast(&ZIGZAG, Some(1.0)), TEXT);
    add(zigzag, made);

    let wrong = case("wrong text", manual());
    let made = attempts(&wrong, &HALVES, &forecast(&HALVES, Some(1.0)), WRONG);
    add(wrong, made);

    let hung = case("hung", manual());
    let mut made = attempts(&hung, &HALVES, &forecast(&HALVES, Some(1.0)), TEXT);
    made.truncate(1);
    (made[0].outcome, made[0].generations) = (stalled(), Vec::new());
    made[0].memory.retain(|figure| figure.device == device("sim:0"));
    add(hung, made);

    let whole = case("whole only", manual());
    let mut made = attempts(&whole, &HALVES, &forecast(&HALVES, Some(2.0)), TEXT);
    for attempt in &mut made {
        attempt.generations[0].stage_times_s.clear();
    }
    add(whole, made);

    let other = case("other stages", manual());
    let made = attempts(&other, &ZIGZAG, &forecast(&HALVES, Some(1.0)), TEXT);
    add(other, made);

    let zero = case("zero", manual());
    let made = attempts(&zero, &HALVES, &forecast(&HALVES, Some(0.0)), TEXT);
    add(zero, made);

    let replanned = case("replanned", manual());
    let mut made = attempts(&replanned, &HALVES, &forecast(&HALVES, Some(1.0)), TEXT);
    if let Some(planned) = &mut made[2].planned {
        planned.forecast = Some(Box::new(forecast(&HALVES, Some(3.0))));
    }
    add(replanned, made);

    let long = format!("{}:0", "a-name-without-end-".repeat(12));
    let stages = [
        ("sim:0", "model.embed_tokens", HOSTILE_MODULE, 1.0, 1.0),
        (long.as_str(), "</table><img src=x>", HOSTILE_MODULE, 1.0, 3.0),
    ];
    let hostile = case("</summary><b onclick=x>", manual());
    let made = attempts(&hostile, &stages, &forecast(&stages, Some(1.0)), TEXT);
    add(hostile, made);

    judged(record)
}

fn judged(mut record: RunRecord) -> RunRecord {
    record.verdict = judge(&record.info, &record.attempts, &HashMap::new(), true);
    record
}

/// Numbers that no machine measures and no planner predicts.
pub(crate) fn broken_numbers() -> RunRecord {
    const ODD: [f64; 6] = [f64::NAN, f64::INFINITY, -1.0, 0.0, f64::MAX, f64::MIN_POSITIVE];
    let mut record = sample();
    for (index, attempt) in record.attempts.iter_mut().enumerate() {
        let odd = ODD[index % ODD.len()];
        for generation in &mut attempt.generations {
            for step in &mut generation.stage_times_s {
                step.iter_mut().step_by(2).for_each(|seconds| *seconds = odd);
            }
        }
        let forecast = attempt.planned.as_mut().and_then(|planned| planned.forecast.as_mut());
        if let Some(prediction) = forecast.and_then(|forecast| forecast.prediction.as_mut()) {
            // The same in all attempts of a case, so that the forecast is shared; and not equal to itself where it is no
            // number, so that it is not.
            let odd = ODD[(index / 3) % ODD.len()];
            prediction.tpot.time_s = odd;
            prediction.ttft.stages[0].time_s = odd;
            prediction.tpot.stages[0].weights_s = odd;
        }
    }
    judged(record)
}
