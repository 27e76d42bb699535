//! `config.json` in the first line, the JSON of a safetensors header or index in the second: the tree that `plan` is made from.
#![no_main]

use libfuzzer_sys::{fuzz_mutator, fuzz_target};
use placebench_core::module_tree::{ModuleTree, from_config, from_headers, safetensors_header, safetensors_index};
use placebench_fuzz::json_lines;
use serde_json::Value;

fuzz_mutator!(|data: &mut [u8], size: usize, max_size: usize, seed: u32| {
    json_lines::mutate(data, size, max_size, seed)
});

/// A tree can be stored and read back.
fn check(tree: &ModuleTree) {
    let stored = serde_json::to_vec(tree).expect("a tree can be stored");
    let read: ModuleTree = serde_json::from_slice(&stored).expect("what is stored can be read");
    assert_eq!(read.modules(), tree.modules());
    assert_eq!(read.tensors().len(), tree.tensors().len());
}

fuzz_target!(|data: &[u8]| {
    let mut lines = data.splitn(3, |&byte| byte == b'\n');
    let config = serde_json::from_slice::<Value>(lines.next().unwrap_or_default());
    let header = std::str::from_utf8(lines.next().unwrap_or_default()).unwrap_or_default();
    if let Ok(files) = safetensors_index(header) {
        assert!(files.iter().all(|file| !file.contains('/') && file != ".."));
    }
    let headers = safetensors_header(header);
    let Ok(config) = config else { return };
    if let Ok(tree) = from_config("fuzz", &config) {
        check(&tree);
    }
    if let Ok(headers) = headers
        && let Ok(made) = from_headers("fuzz", &config, headers)
    {
        check(&made.tree);
    }
});
