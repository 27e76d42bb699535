//! Loading takes the model once: nothing of its file stays beside it. One test, because it looks at the whole process.
#![expect(clippy::unwrap_used, reason = "a helper of a test fails the test")]
#![cfg(target_os = "linux")]

mod common;

use std::io::Write;
use std::path::Path;

use common::tiny;
use placebench_core::protocol::Dtype;
use placebench_engine_candle::checkpoint;
use placebench_engine_candle::dtype::candle_dtype;
use placebench_engine_candle::weights::{Compute, open};

const MIB: u64 = 1 << 20;

/// The most memory this process ever had, file pages included.
fn peak_bytes() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap();
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:")).unwrap();
    line.trim().trim_end_matches(" kB").parse::<u64>().unwrap() * 1024
}

/// A checkpoint of about 90 MiB in `dtype`, in one file.
fn write_checkpoint(folder: &Path) -> u64 {
    let text = std::fs::read_to_string(tiny("llama-gqa").join("config.json")).unwrap();
    let mut config: serde_json::Value = serde_json::from_str(&text).unwrap();
    config["hidden_size"] = 512.into();
    config["intermediate_size"] = 2048.into();
    config["vocab_size"] = 8192.into();
    std::fs::write(folder.join("config.json"), config.to_string()).unwrap();
    let made = checkpoint::dummy(folder, 0).unwrap();
    let mut header = serde_json::Map::new();
    let mut end = 0;
    for tensor in &made.tensors {
        let begin = end;
        end += tensor.bytes.0;
        let entry = serde_json::json!({"dtype": "F32", "shape": tensor.shape, "data_offsets": [begin, end]});
        header.insert(tensor.name.clone(), entry);
    }
    let header = serde_json::Value::from(header).to_string();
    let mut file = std::fs::File::create(folder.join("model.safetensors")).unwrap();
    file.write_all(&(header.len() as u64).to_le_bytes()).unwrap();
    file.write_all(header.as_bytes()).unwrap();
    // Pages with something in them: empty ones might be one page.
    let block: Vec<u8> = (0..MIB / 4)
        .flat_map(|number| u32::try_from(number % 1000).unwrap().to_le_bytes())
        .collect();
    let mut left = end;
    while left > 0 {
        let now = left.min(MIB);
        file.write_all(&block[..usize::try_from(now).unwrap()]).unwrap();
        left -= now;
    }
    end
}

#[test]
fn a_loaded_model_is_in_memory_once() {
    let folder = tempfile::tempdir().unwrap();
    let file_bytes = write_checkpoint(folder.path());
    let found = checkpoint::open(folder.path()).unwrap();
    let largest = found.tensors.iter().map(|tensor| tensor.bytes.0).max().unwrap();
    // Halves first: the peak only grows.
    let mut kept: Vec<Box<dyn std::any::Any>> = Vec::new();
    for (dtype, model_bytes) in [(Dtype::Bf16, file_bytes / 2), (Dtype::F32, file_bytes)] {
        kept.clear();
        let before = peak_bytes();
        let source = open(&found, Compute::Dense(candle_dtype(dtype))).unwrap();
        for tensor in &found.tensors {
            match tensor.shape.as_slice() {
                &[rows, columns] => {
                    let matrix = source.matrix(&tensor.name, (rows, columns), &candle_core::Device::Cpu);
                    kept.push(Box::new(matrix.unwrap()));
                }
                shape => {
                    let vector = source.vector(&tensor.name, shape[0], &candle_core::Device::Cpu);
                    kept.push(Box::new(vector.unwrap()));
                }
            }
        }
        let grown = peak_bytes() - before;
        // The model, the tensor at hand as bytes and as numbers, and a little for the allocator.
        let allowed = model_bytes + 2 * largest + 8 * MIB;
        assert!(
            grown < allowed,
            "{dtype:?}: {} MiB more for a model of {} MiB",
            grown / MIB,
            model_bytes / MIB
        );
    }
    assert!(peak_bytes() > file_bytes, "the model was really loaded");
}
