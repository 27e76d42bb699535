//! The walk through a GGUF header that comes before candle reads it: what it lets through is whole.
#![no_main]

use std::io::BufReader;

use libfuzzer_sys::fuzz_target;
use placebench_core::module_tree::{GgufHeaderError, gguf_header_length};

fuzz_target!(|data: &[u8]| {
    let size = data.len() as u64;
    match gguf_header_length(data, size) {
        Err(error) => assert!(!error.to_string().is_empty() && !error.to_string().contains(char::is_control)),
        Ok(length) => {
            assert!(length <= size);
            let in_pieces = BufReader::with_capacity(3, data);
            assert_eq!(gguf_header_length(in_pieces, size).ok(), Some(length));
            let end = usize::try_from(length).expect("it is no more than there is");
            let cut = gguf_header_length(&data[..end - 1], length - 1);
            assert!(matches!(cut, Err(GgufHeaderError::Truncated { .. })), "{cut:?}");
        }
    }
});
