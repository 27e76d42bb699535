//! What several tests need: model folders, layouts, expected values.
#![allow(
    dead_code,
    clippy::unwrap_used,
    clippy::allow_attributes,
    reason = "every test binary uses another part of this module, and helpers of tests may panic"
)]

pub(crate) mod gguf_fixture;

pub(crate) mod gguf_of_tiny;

pub(crate) mod expected;

pub(crate) mod request;
pub(crate) mod synthetic;

use std::path::{Path, PathBuf};

use candle_core::DType;
use placebench_core::device::{DeviceId, LogicalDevice};
use placebench_core::placement::{Offload, Transfer};
use placebench_core::units::Bytes;
use placebench_engine::Context;
use placebench_engine_candle::checkpoint;
use placebench_engine_candle::device::{Devices, Ledger, Placed, Slot};
use placebench_engine_candle::model::decoder::Layout;
use placebench_engine_candle::model::{Decoder, Home, LogitRows, Pass, module_names};
use placebench_engine_candle::weights::{Compute, open};

/// Devices `sim:0` to `sim:2` on the host, without budgets; the host itself is slot 0.
pub(crate) fn three_devices() -> Vec<LogicalDevice> {
    (0..3)
        .map(|index| LogicalDevice {
            id: DeviceId::new(&format!("sim:{index}")).unwrap(),
            on: DeviceId::cpu(),
            memory_bytes: None::<Bytes>,
        })
        .collect()
}

pub(crate) fn tiny(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/data/tiny").join(name)
}

/// The slot of `sim:N`.
pub(crate) fn sim(index: usize) -> Slot {
    let devices = Devices::open(&three_devices(), &[]).unwrap();
    devices.slot(&DeviceId::new(&format!("sim:{index}")).unwrap()).unwrap()
}

/// A decoder whose modules are on `sim:N`, N given for each module.
pub(crate) fn decoder(model: &Path, compute: Compute, homes: &[usize], transfer: Transfer) -> (Decoder, Ledger) {
    let checkpoint = checkpoint::open(model).unwrap();
    let devices = Devices::open(&three_devices(), &[]).unwrap();
    let ledger = Ledger::new(&devices);
    let layout = Layout {
        homes: homes.iter().map(|&index| Home::at(sim(index))).collect(),
        transfer,
        offload: Offload::Execute,
    };
    let source = open(&checkpoint, compute).unwrap();
    let mut context = Context::unheard();
    let decoder = Decoder::load(checkpoint.config, source, devices, layout, &ledger, &mut context).unwrap();
    (decoder, ledger)
}

/// Modules of the model.
pub(crate) fn module_count(model: &Path) -> usize {
    module_names(&checkpoint::open(model).unwrap().config).len()
}

/// The first `cut` modules on `sim:0`, the others on `sim:1`.
pub(crate) fn two_way(modules: usize, cut: usize) -> Vec<usize> {
    (0..modules).map(|module| usize::from(module >= cut)).collect()
}

/// Logits of all positions of a prompt.
pub(crate) fn all_logits(decoder: &Decoder, ledger: &Ledger, ids: &[u32]) -> Vec<Vec<f32>> {
    let mut context = Context::unheard();
    let mut sequence = decoder.sequence(ids.len(), ledger, &context).unwrap();
    let mut pass = Pass::new(&mut context, ledger);
    let logits = decoder
        .forward(
            &mut sequence,
            &decoder.place_ids(ids).unwrap(),
            LogitRows::All,
            &mut pass,
        )
        .unwrap();
    let rows = rows_of(decoder, &logits);
    ledger.end_generation();
    rows
}

/// Greedy tokens, through the cache.
pub(crate) fn greedy(decoder: &Decoder, ledger: &Ledger, ids: &[u32], max_new_tokens: usize, eos: &[u32]) -> Vec<u32> {
    let mut context = Context::unheard();
    let mut sequence = decoder.sequence(ids.len() + max_new_tokens, ledger, &context).unwrap();
    let mut output: Vec<u32> = Vec::new();
    let mut seen = ids.to_vec();
    let mut input = seen.clone();
    while output.len() < max_new_tokens && !output.last().is_some_and(|last| eos.contains(last)) {
        let mut pass = Pass::new(&mut context, ledger);
        if sequence.is_outgrown_by(input.len()) {
            sequence.restart();
            input.clone_from(&seen);
        }
        let logits = decoder
            .forward(
                &mut sequence,
                &decoder.place_ids(&input).unwrap(),
                LogitRows::Last,
                &mut pass,
            )
            .unwrap();
        let token = argmax(&rows_of(decoder, &logits)[0]);
        output.push(token);
        seen.push(token);
        input = vec![token];
    }
    ledger.end_generation();
    output
}

fn rows_of(decoder: &Decoder, logits: &Placed) -> Vec<Vec<f32>> {
    let tensor = logits.on(logits.slot(), decoder.devices()).unwrap();
    tensor.to_dtype(DType::F32).unwrap().to_vec2().unwrap()
}

pub(crate) fn argmax(row: &[f32]) -> u32 {
    let mut best = 0;
    for (index, value) in row.iter().enumerate() {
        if *value > row[best] {
            best = index;
        }
    }
    u32::try_from(best).unwrap()
}
