//! The same model from one file and from shards, stored in every element type and computed in every one.
#![expect(clippy::unwrap_used, reason = "a helper of a test fails the test")]

mod common;

use std::collections::HashMap;
use std::path::Path;

use candle_core::{DType, Device, Tensor};
use common::request::{halves, request, run, single};
use common::tiny;
use placebench_core::protocol::Dtype;
use placebench_engine_candle::checkpoint;
use placebench_engine_candle::dtype::candle_dtype;
use placebench_engine_candle::weights::{Compute, open};
use tempfile::TempDir;

const MODEL: &str = "llama-gqa";

fn tensors() -> HashMap<String, Tensor> {
    candle_core::safetensors::load(tiny(MODEL).join("model.safetensors"), &Device::Cpu).unwrap()
}

/// The tiny model stored in `dtype`, in so many files.
fn stored(dtype: DType, shards: usize) -> TempDir {
    let folder = tempfile::tempdir().unwrap();
    std::fs::copy(tiny(MODEL).join("config.json"), folder.path().join("config.json")).unwrap();
    let mut tensors: Vec<(String, Tensor)> = tensors().into_iter().collect();
    tensors.sort_by(|(one, _), (other, _)| one.cmp(other));
    let mut parts = vec![HashMap::new(); shards];
    for (number, (name, tensor)) in tensors.into_iter().enumerate() {
        parts[number % shards].insert(name, tensor.to_dtype(dtype).unwrap());
    }
    if let [part] = parts.as_slice() {
        candle_core::safetensors::save(part, folder.path().join("model.safetensors")).unwrap();
        return folder;
    }
    let mut map = serde_json::Map::new();
    for (number, part) in parts.iter().enumerate() {
        let file = format!("model-{:05}-of-{shards:05}.safetensors", number + 1);
        candle_core::safetensors::save(part, folder.path().join(&file)).unwrap();
        map.extend(part.keys().map(|name| (name.clone(), file.clone().into())));
    }
    let index = serde_json::json!({ "weight_map": map }).to_string();
    std::fs::write(folder.path().join("model.safetensors.index.json"), index).unwrap();
    folder
}

fn tokens(model: &Path, dtype: Option<Dtype>) -> Vec<u32> {
    let mut asked = request(model, single("cpu"));
    asked.dtype = dtype;
    run(&asked).unwrap().0.output_ids
}

#[test]
fn shards_are_the_model() {
    let expected = tokens(&tiny(MODEL), None);
    for shards in [1, 2, 5] {
        let folder = stored(DType::F32, shards);
        assert_eq!(tokens(folder.path(), None), expected, "{shards} shards");
        let mut split = request(folder.path(), halves("sim:0", "sim:1"));
        split.dtype = Some(Dtype::F32);
        assert_eq!(
            run(&split).unwrap().0.output_ids,
            expected,
            "{shards} shards on two devices"
        );
    }
}

#[test]
fn weights_come_in_the_type_that_is_asked_for_whatever_is_stored() {
    let name = "model.layers.1.mlp.up_proj.weight";
    let original = &tensors()[name];
    for stored_in in [DType::F32, DType::F16, DType::BF16] {
        let folder = stored(stored_in, 2);
        let found = checkpoint::open(folder.path()).unwrap();
        for asked in [Dtype::F32, Dtype::F16, Dtype::Bf16] {
            let wanted = candle_dtype(asked);
            let source = open(&found, Compute::Dense(wanted)).unwrap();
            let shape = original.dims2().unwrap();
            let matrix = source.matrix(name, shape, &Device::Cpu).unwrap().dense().unwrap();
            assert_eq!(matrix.dtype(), wanted);
            let expected = original.to_dtype(stored_in).unwrap().to_dtype(wanted).unwrap();
            let bits = |tensor: &Tensor| tensor.to_dtype(DType::F32).unwrap().to_vec2::<f32>().unwrap();
            assert_eq!(bits(&matrix), bits(&expected), "{stored_in:?} as {wanted:?}");
        }
    }
}

#[test]
fn what_is_realised_has_the_size_of_what_is_computed_in() {
    let parameters: usize = tensors().values().map(Tensor::elem_count).sum();
    for stored_in in [DType::F32, DType::BF16] {
        let folder = stored(stored_in, 1);
        // Without a wish the host computes halves in single precision.
        for (asked, bytes) in [
            (Some(Dtype::F16), 2),
            (Some(Dtype::Bf16), 2),
            (Some(Dtype::F32), 4),
            (None, 4),
        ] {
            let mut request = request(folder.path(), halves("sim:0", "sim:1"));
            request.dtype = asked;
            let (_, session, _) = run(&request).unwrap();
            let realised: u64 = session.realised().iter().map(|module| module.bytes.0).sum();
            assert_eq!(realised, (parameters * bytes) as u64, "{stored_in:?} as {asked:?}");
        }
    }
}
