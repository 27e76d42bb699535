//! A folder with `config.json` and `model.safetensors`: the configuration in the first line, the header in the second. The
//! file is made to fit the header, unless a third part gives its bytes as they are.
#![no_main]

use std::fs::File;
use std::io::Write;
use std::path::Path;
use std::sync::OnceLock;

use libfuzzer_sys::{fuzz_mutator, fuzz_target};
use placebench_engine_candle::{checkpoint, tree};
use placebench_fuzz::json_lines;
use serde_json::Value;

/// Files are sparse: no more than this is ever said to be in one.
const MOST_BYTES: u64 = 1 << 36;

fuzz_mutator!(|data: &mut [u8], size: usize, max_size: usize, seed: u32| {
    json_lines::mutate(data, size, max_size, seed)
});

/// One folder for this process, in memory where the system has such a place.
fn folder() -> &'static Path {
    static FOLDER: OnceLock<std::path::PathBuf> = OnceLock::new();
    FOLDER.get_or_init(|| placebench_fuzz::scratch_folder("safetensors"))
}

/// The largest end of a tensor that the header names.
fn data_bytes(header: &[u8]) -> u64 {
    let header: Value = serde_json::from_slice(header).unwrap_or_default();
    let entries = header.as_object().into_iter().flatten();
    let ends = entries.filter_map(|(_, entry)| entry.get("data_offsets")?.get(1)?.as_u64());
    ends.max().unwrap_or(0).min(MOST_BYTES)
}

fn write(config: &[u8], header: &[u8], raw: Option<&[u8]>) -> std::io::Result<()> {
    std::fs::write(folder().join("config.json"), config)?;
    let mut file = File::create(folder().join("model.safetensors"))?;
    if let Some(raw) = raw {
        return file.write_all(raw);
    }
    let length = header.len() as u64;
    file.write_all(&length.to_le_bytes())?;
    file.write_all(header)?;
    file.set_len(8 + length + data_bytes(header))
}

fuzz_target!(|data: &[u8]| {
    let mut parts = data.splitn(3, |&byte| byte == b'\n');
    let config = parts.next().unwrap_or_default();
    let header = parts.next().unwrap_or_default();
    let raw = parts.next().filter(|raw| !raw.is_empty());
    write(config, header, raw).expect("the scratch folder can be written");
    match checkpoint::open(folder()) {
        Ok(opened) => {
            let _bytes = opened.weights_bytes();
            drop(tree::from_checkpoint("fuzz", &opened));
        }
        Err(error) => assert!(!error.sentence().is_empty()),
    }
});
