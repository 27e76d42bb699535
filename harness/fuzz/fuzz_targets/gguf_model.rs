//! A GGUF file: our walk through its header, candle's reading of it, the model it describes and its tokenizer.
//!
//! Inputs are headers. Behind one of even length the tensors follow, all zeros; one of odd length ends there.
#![no_main]

use std::fs::File;
use std::io::Write;
use std::path::PathBuf;
use std::sync::OnceLock;

use libfuzzer_sys::fuzz_target;
use placebench_engine_candle::tokenizer::Tokenizer;
use placebench_engine_candle::{checkpoint, tree};

/// More than the tensors of the seeds have. The file is sparse.
const DATA_BYTES: u64 = 8 << 20;

/// One file for this process, in memory where the system has such a place.
fn file() -> &'static PathBuf {
    static FILE: OnceLock<PathBuf> = OnceLock::new();
    FILE.get_or_init(|| placebench_fuzz::scratch_folder("gguf").join("model.gguf"))
}

fn write(header: &[u8]) -> std::io::Result<()> {
    let mut file = File::create(file())?;
    file.write_all(header)?;
    if header.len().is_multiple_of(2) {
        file.set_len(header.len() as u64 + DATA_BYTES)?;
    }
    Ok(())
}

fuzz_target!(|data: &[u8]| {
    write(data).expect("the scratch folder can be written");
    drop(checkpoint::gpt2_tree("fuzz", file(), true));
    let opened = match checkpoint::open(file()) {
        Ok(opened) => opened,
        Err(error) => {
            assert!(!error.sentence().is_empty());
            return;
        }
    };
    let _bytes = opened.weights_bytes();
    drop(tree::from_checkpoint("fuzz", &opened));
    if let Ok(Some(tokenizer)) = Tokenizer::open(&opened)
        && let Ok(ids) = tokenizer.encode_text("Once upon a time")
    {
        drop(tokenizer.decode(&ids));
    }
});
