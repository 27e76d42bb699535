//! A small GGUF file with a model and a tokenizer, written by the tests themselves: a clone alone can then test the format.

use std::path::Path;

use candle_core::quantized::gguf_file::{self, Value};
use candle_core::quantized::{GgmlDType, QTensor};
use candle_core::{Device, Tensor};

pub(crate) const LAYERS: usize = 3;
pub(crate) const HIDDEN: usize = 64;
pub(crate) const INNER: usize = 128;
pub(crate) const HEADS: usize = 4;
pub(crate) const KV_HEADS: usize = 2;

/// Markers of the chat format, the first tokens of the vocabulary.
pub(crate) const MARKERS: [&str; 3] = ["<|endoftext|>", "<|im_start|>", "<|im_end|>"];

/// A word added by the model's makers: recognised in text, kept when decoding.
pub(crate) const ADDED_WORD: &str = "<tool>";

/// `a b` merges in order; their results follow the bytes in the vocabulary.
pub(crate) const MERGES: [&str; 7] = ["Ġ t", "h e", "Ġt he", "i n", "1 2", "12 3", "Ã ©"];

pub(crate) const TEMPLATE: &str = "{% for message in messages %}{{ '<|im_start|>' + message['role'] + '\n' + \
    message['content'] + '<|im_end|>\n' }}{% endfor %}{% if add_generation_prompt %}{{ '<|im_start|>assistant\n' }}{% endif %}";

/// What is in the file.
pub(crate) struct Fixture<'a> {
    /// `llama` or `qwen2`.
    pub(crate) architecture: &'a str,
    /// Format of matrices; norms and biases are F32.
    pub(crate) matrices: GgmlDType,
    /// There is no own head.
    pub(crate) tied: bool,
    /// `tokenizer.ggml.pre`.
    pub(crate) pre: &'a str,
    /// Entries to set, or to remove where absent.
    pub(crate) edits: Vec<(&'a str, Option<Value>)>,
}

impl Default for Fixture<'_> {
    fn default() -> Self {
        Self {
            architecture: "llama",
            matrices: GgmlDType::Q8_0,
            tied: true,
            pre: "smollm",
            edits: Vec::new(),
        }
    }
}

impl Fixture<'_> {
    pub(crate) fn write(&self, path: &Path) {
        let mut metadata = self.metadata();
        for (key, value) in &self.edits {
            metadata.retain(|(known, _)| known != key);
            metadata.extend(value.clone().map(|value| ((*key).to_owned(), value)));
        }
        let metadata: Vec<(&str, &Value)> = metadata.iter().map(|(key, value)| (key.as_str(), value)).collect();
        let tensors = self.tensors();
        let tensors: Vec<(&str, &QTensor)> = tensors.iter().map(|(name, tensor)| (name.as_str(), tensor)).collect();
        let mut file = std::fs::File::create(path).unwrap();
        gguf_file::write(&mut file, &metadata, &tensors).unwrap();
    }

    fn metadata(&self) -> Vec<(String, Value)> {
        let number = |value: usize| Value::U32(u32::try_from(value).unwrap());
        let text = |value: &str| Value::String(value.to_owned());
        let arch = |key: &str, value: Value| (format!("{}.{key}", self.architecture), value);
        let general = |key: &str, value: Value| (key.to_owned(), value);
        let tokens = vocabulary();
        let types = tokens.iter().map(|token| {
            let kind = if MARKERS.contains(&token.as_str()) {
                3
            } else if token == ADDED_WORD {
                4
            } else {
                1
            };
            Value::I32(kind)
        });
        vec![
            general("general.architecture", text(self.architecture)),
            arch("block_count", number(LAYERS)),
            arch("context_length", number(512)),
            arch("embedding_length", number(HIDDEN)),
            arch("feed_forward_length", number(INNER)),
            arch("attention.head_count", number(HEADS)),
            arch("attention.head_count_kv", number(KV_HEADS)),
            arch("attention.layer_norm_rms_epsilon", Value::F32(1e-5)),
            arch("rope.freq_base", Value::F32(10_000.0)),
            arch("rope.dimension_count", number(HIDDEN / HEADS)),
            general("tokenizer.ggml.model", text("gpt2")),
            general("tokenizer.ggml.pre", text(self.pre)),
            general("tokenizer.ggml.token_type", Value::Array(types.collect())),
            general(
                "tokenizer.ggml.tokens",
                Value::Array(tokens.iter().map(|token| text(token)).collect()),
            ),
            general(
                "tokenizer.ggml.merges",
                Value::Array(MERGES.iter().map(|merge| text(merge)).collect()),
            ),
            general("tokenizer.ggml.bos_token_id", number(1)),
            general("tokenizer.ggml.eos_token_id", number(2)),
            general("tokenizer.chat_template", text(TEMPLATE)),
        ]
    }

    fn tensors(&self) -> Vec<(String, QTensor)> {
        let mut random = Random(7);
        let vocab = vocabulary().len();
        let mut matrix = |rows: usize, columns: usize, dtype: GgmlDType| {
            let values: Vec<f32> = (0..rows * columns).map(|_| 0.2 * random.next()).collect();
            let shape: Vec<usize> = if rows == 1 { vec![columns] } else { vec![rows, columns] };
            QTensor::quantize(&Tensor::from_vec(values, shape, &Device::Cpu).unwrap(), dtype).unwrap()
        };
        let packed = self.matrices;
        let mut tensors = vec![
            ("token_embd.weight".to_owned(), matrix(vocab, HIDDEN, packed)),
            ("output_norm.weight".to_owned(), matrix(1, HIDDEN, GgmlDType::F32)),
        ];
        if !self.tied {
            tensors.push(("output.weight".to_owned(), matrix(vocab, HIDDEN, packed)));
        }
        let key_value = HIDDEN / HEADS * KV_HEADS;
        for layer in 0..LAYERS {
            let mut add = |name: &str, tensor: QTensor| tensors.push((format!("blk.{layer}.{name}"), tensor));
            for (name, rows, columns) in [
                ("attn_q", HIDDEN, HIDDEN),
                ("attn_k", key_value, HIDDEN),
                ("attn_v", key_value, HIDDEN),
                ("attn_output", HIDDEN, HIDDEN),
                ("ffn_gate", INNER, HIDDEN),
                ("ffn_up", INNER, HIDDEN),
                ("ffn_down", HIDDEN, INNER),
            ] {
                add(&format!("{name}.weight"), matrix(rows, columns, packed));
                if self.architecture == "qwen2" && ["attn_q", "attn_k", "attn_v"].contains(&name) {
                    add(&format!("{name}.bias"), matrix(1, rows, GgmlDType::F32));
                }
            }
            add("attn_norm.weight", matrix(1, HIDDEN, GgmlDType::F32));
            add("ffn_norm.weight", matrix(1, HIDDEN, GgmlDType::F32));
        }
        tensors
    }
}

/// Markers, an added word, all bytes as GPT-2 writes them, then the results of the merges.
pub(crate) fn vocabulary() -> Vec<String> {
    let mut tokens: Vec<String> = MARKERS.iter().map(|token| (*token).to_owned()).collect();
    tokens.push(ADDED_WORD.to_owned());
    tokens.extend((0..=255).map(|byte| byte_letter(byte).to_string()));
    tokens.extend(MERGES.iter().map(|merge| merge.replace(' ', "")));
    tokens
}

/// The id of a token by its letters.
pub(crate) fn id(token: &str) -> u32 {
    let position = vocabulary().iter().position(|known| known == token).unwrap();
    u32::try_from(position).unwrap()
}

/// GPT-2's letter for a byte: itself where it can be seen, else one from U+0100 on.
fn byte_letter(byte: u8) -> char {
    let seen = |byte: u8| matches!(byte, b'!'..=b'~' | 0xa1..=0xac | 0xae..=0xff);
    if seen(byte) {
        return char::from(byte);
    }
    let before = (0..byte).filter(|other| !seen(*other)).count();
    char::from_u32(0x100 + u32::try_from(before).unwrap()).unwrap()
}

/// Numbers between -1 and 1 that are the same everywhere.
struct Random(u64);

impl Random {
    fn next(&mut self) -> f32 {
        self.0 = self
            .0
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1_442_695_040_888_963_407);
        (self.0 >> 40) as i32 as f32 / 8_388_608.0 - 1.0
    }
}
