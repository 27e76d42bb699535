//! The JSON parts of safetensors checkpoints: a file's header, and the index of a checkpoint in several files.

use serde::Deserialize;
use serde_json::{Map, Value};
use thiserror::Error;

use super::TensorHeader;

/// The entry of a header that is no tensor.
const METADATA: &str = "__metadata__";

/// Why a header or an index cannot be read.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum SafetensorsError {
    /// The text is no JSON object.
    #[error("not a JSON object: {why}")]
    NotAnObject {
        /// What the parser says.
        why: String,
    },
    /// The entry of a tensor lacks something, or has it in another form.
    #[error("tensor `{name}`: {why}")]
    BadEntry {
        /// The tensor.
        name: String,
        /// What the parser says.
        why: String,
    },
    /// A dtype that the format does not have.
    #[error("tensor `{name}` has the unknown dtype `{dtype}`")]
    UnknownDtype {
        /// The tensor.
        name: String,
        /// Its dtype.
        dtype: String,
    },
    /// The offsets span more or less than shape and dtype make.
    #[error("tensor `{name}` takes {stored} bytes in the file, but shape and dtype make {computed}")]
    BytesMismatch {
        /// The tensor.
        name: String,
        /// Bytes between the offsets.
        stored: u64,
        /// Bytes that follow from shape and dtype.
        computed: String,
    },
    /// The index has no map from tensors to files.
    #[error("the index has no `weight_map`")]
    NoWeightMap,
    /// The index names a file outside its folder.
    #[error("the index names `{file}`, which is no plain file name")]
    BadFileName {
        /// The file as named.
        file: String,
    },
}

#[derive(Deserialize)]
struct Entry {
    dtype: String,
    shape: Vec<u64>,
    data_offsets: (u64, u64),
}

/// Reads the JSON header of a safetensors file. Tensors come in the order in which their bytes lie in the file.
///
/// # Errors
/// When the text is no header; the error names the tensor.
pub fn safetensors_header(json: &str) -> Result<Vec<TensorHeader>, SafetensorsError> {
    let mut tensors = object(json)?
        .into_iter()
        .filter(|(name, _)| name != METADATA)
        .map(|(name, value)| {
            let entry: Entry = serde_json::from_value(value).map_err(|error| SafetensorsError::BadEntry {
                name: name.clone(),
                why: error.to_string(),
            })?;
            Ok((entry.data_offsets.0, tensor(name, entry)?))
        })
        .collect::<Result<Vec<(u64, TensorHeader)>, SafetensorsError>>()?;
    tensors.sort_by_key(|&(offset, _)| offset);
    Ok(tensors.into_iter().map(|(_, tensor)| tensor).collect())
}

fn tensor(name: String, entry: Entry) -> Result<TensorHeader, SafetensorsError> {
    let Some((dtype, element)) = dtype_of(&entry.dtype) else {
        return Err(SafetensorsError::UnknownDtype {
            name,
            dtype: entry.dtype,
        });
    };
    let (start, end) = entry.data_offsets;
    let stored = end.checked_sub(start).ok_or_else(|| SafetensorsError::BadEntry {
        name: name.clone(),
        why: format!("the data ends at {end}, before its start at {start}"),
    })?;
    let bytes = entry
        .shape
        .iter()
        .try_fold(element, |bytes, &size| bytes.checked_mul(size));
    if bytes != Some(stored) {
        return Err(SafetensorsError::BytesMismatch {
            name,
            stored,
            computed: bytes.map_or_else(|| "more than can be counted".to_owned(), |bytes| bytes.to_string()),
        });
    }
    Ok(TensorHeader {
        name,
        dtype: dtype.to_owned(),
        shape: entry.shape,
        bytes: stored,
    })
}

/// The name that a tree uses for a dtype of the format, and the bytes of an element in the file.
fn dtype_of(name: &str) -> Option<(&'static str, u64)> {
    Some(match name {
        "BOOL" => ("bool", 1),
        "U8" => ("uint8", 1),
        "I8" => ("int8", 1),
        "U16" => ("uint16", 2),
        "I16" => ("int16", 2),
        "U32" => ("uint32", 4),
        "I32" => ("int32", 4),
        "U64" => ("uint64", 8),
        "I64" => ("int64", 8),
        "F8_E4M3" => ("float8_e4m3fn", 1),
        "F8_E5M2" => ("float8_e5m2", 1),
        "F8_E8M0" => ("float8_e8m0fnu", 1),
        "F16" => ("float16", 2),
        "BF16" => ("bfloat16", 2),
        "F32" => ("float32", 4),
        "F64" => ("float64", 8),
        _ => return None,
    })
}

/// Reads `model.safetensors.index.json`: the names of the files that hold the checkpoint, each once, in order of name.
///
/// # Errors
/// When the text is no index, or a file is named by a path: an index comes from elsewhere and must not lead out of its
/// folder.
pub fn safetensors_index(json: &str) -> Result<Vec<String>, SafetensorsError> {
    let mut index = object(json)?;
    let Some(Value::Object(weight_map)) = index.remove("weight_map") else {
        return Err(SafetensorsError::NoWeightMap);
    };
    let mut files = Vec::new();
    for (name, file) in weight_map {
        let Value::String(file) = file else {
            return Err(SafetensorsError::BadEntry {
                name,
                why: "its file is not given as a text".into(),
            });
        };
        let is_plain = !file.is_empty() && file != "." && file != ".." && !file.contains(['/', '\\', '\0', ':']);
        if !is_plain {
            return Err(SafetensorsError::BadFileName { file });
        }
        files.push(file);
    }
    files.sort_unstable();
    files.dedup();
    Ok(files)
}

fn object(json: &str) -> Result<Map<String, Value>, SafetensorsError> {
    serde_json::from_str(json).map_err(|error| SafetensorsError::NotAnObject { why: error.to_string() })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::planner::{Amount, bytes_per_element};

    #[test]
    fn headers_are_read_in_file_order() {
        let json = r#"{"__metadata__": {"format": "pt"},
            "a": {"dtype": "BF16", "shape": [2, 3], "data_offsets": [4, 16]},
            "b": {"dtype": "F32", "shape": [], "data_offsets": [0, 4]}}"#;
        let header = |name: &str, dtype: &str, shape: &[u64], bytes| TensorHeader {
            name: name.into(),
            dtype: dtype.into(),
            shape: shape.into(),
            bytes,
        };
        let expected = [header("b", "float32", &[], 4), header("a", "bfloat16", &[2, 3], 12)];
        assert_eq!(safetensors_header(json).unwrap(), expected);
        assert_eq!(safetensors_header("{}"), Ok(Vec::new()));
    }

    #[test]
    fn broken_headers_name_the_tensor() {
        for (json, expected) in [
            ("[]", "not a JSON object"),
            ("{\"a\": ", "not a JSON object"),
            (
                r#"{"a": {"dtype": "F32", "shape": [1]}}"#,
                "tensor `a`: missing field `data_offsets`",
            ),
            (
                r#"{"a": {"dtype": "F32", "shape": [-1], "data_offsets": [0, 4]}}"#,
                "tensor `a`: ",
            ),
            (
                r#"{"a": {"dtype": "Q4", "shape": [1], "data_offsets": [0, 4]}}"#,
                "tensor `a` has the unknown dtype `Q4`",
            ),
            (
                r#"{"a": {"dtype": "F32", "shape": [1], "data_offsets": [4, 0]}}"#,
                "tensor `a`: the data ends at 0, before its start at 4",
            ),
            (
                r#"{"a": {"dtype": "F16", "shape": [3], "data_offsets": [0, 4]}}"#,
                "tensor `a` takes 4 bytes in the file, but shape and dtype make 6",
            ),
            (
                r#"{"a": {"dtype": "F16", "shape": [4294967296, 4294967296], "data_offsets": [0, 4]}}"#,
                "shape and dtype make more than can be counted",
            ),
        ] {
            let error = safetensors_header(json).unwrap_err().to_string();
            assert!(error.contains(expected), "{error}");
        }
    }

    #[test]
    fn an_index_lists_its_files_once() {
        let json = r#"{"metadata": {"total_size": 9}, "weight_map": {"a": "2.safetensors", "b": "1.safetensors", "c": "2.safetensors"}}"#;
        assert_eq!(safetensors_index(json).unwrap(), ["1.safetensors", "2.safetensors"]);
    }

    #[test]
    fn an_index_leads_nowhere_else() {
        for file in ["../x", "/etc/x", "a/b", "..", "", "c:\\x"] {
            let json = serde_json::json!({"weight_map": {"a": file}}).to_string();
            let expected = SafetensorsError::BadFileName { file: file.into() };
            assert_eq!(safetensors_index(&json), Err(expected));
        }
        assert_eq!(safetensors_index("{}"), Err(SafetensorsError::NoWeightMap));
        let number = safetensors_index(r#"{"weight_map": {"a": 1}}"#).unwrap_err();
        assert_eq!(number.to_string(), "tensor `a`: its file is not given as a text");
    }

    #[test]
    fn dtypes_are_known_to_trees() {
        for name in [
            "BOOL", "U8", "I64", "F8_E4M3", "F8_E5M2", "F8_E8M0", "BF16", "F32", "F64",
        ] {
            let (dtype, bytes) = dtype_of(name).unwrap();
            // A tree counts a bool as the reference does, with 1/8 byte.
            let in_tree = bytes_per_element(dtype).unwrap();
            assert!(in_tree == Amount::from(bytes) || dtype == "bool", "{name}");
        }
    }
}
