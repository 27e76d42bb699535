"""Check the model of this folder with plain NumPy in float32.

A second implementation of Qwen2, written on its own from the architecture's
definition: no JAX, no cache, every token recomputes the whole sequence. It
reads the stored files only, so what it says is what any engine that loads them
in float32 should say.

    python reference.py                      write expected.json
    python reference.py --generate "Alice"   print a greedy continuation
    python reference.py --conformance DIR    compare with DIR/expected.json, which
                                             holds what transformers computes
    python reference.py --against-training   compare with the forward pass that
                                             train.py trained (needs JAX)
"""

import argparse
import json
import struct
from pathlib import Path

import numpy as np

HERE = Path(__file__).resolve().parent

PROMPTS = ["The Queen", "The White Rabbit", "At last the", "So she"]
MAX_NEW_TOKENS = 48


def read_safetensors(path):
    """All tensors as float32: a JSON header, then raw little-endian values."""
    data = path.read_bytes()
    (header_size,) = struct.unpack("<Q", data[:8])
    header = json.loads(data[8 : 8 + header_size])
    body = data[8 + header_size :]
    tensors = {}
    for name, info in header.items():
        if name == "__metadata__":
            continue
        start, stop = info["data_offsets"]
        raw = body[start:stop]
        if info["dtype"] == "BF16":
            # bfloat16 is the upper half of a float32.
            values = (np.frombuffer(raw, "<u2").astype(np.uint32) << 16).view(np.float32)
        else:
            values = np.frombuffer(raw, {"F32": "<f4", "F16": "<f2"}[info["dtype"]]).astype(np.float32)
        tensors[name] = values.reshape(info["shape"])
    return tensors


class Qwen2:
    def __init__(self, folder):
        self.config = json.loads((folder / "config.json").read_text())
        self.weights = read_safetensors(folder / "model.safetensors")

    def linear(self, x, name):
        y = x @ self.weights[f"{name}.weight"].T
        bias = self.weights.get(f"{name}.bias")
        return y if bias is None else y + bias

    def rms_norm(self, x, name):
        variance = np.square(x).mean(axis=-1, keepdims=True)
        scale = 1 / np.sqrt(variance + np.float32(self.config["rms_norm_eps"]))
        return x * scale * self.weights[f"{name}.weight"]

    def attention(self, x, name):
        length = len(x)
        heads, kv_heads = self.config["num_attention_heads"], self.config["num_key_value_heads"]
        size = self.config["hidden_size"] // heads
        # Position p turns the pair (i, i + size / 2) by p / theta^(2 i / size).
        turns = self.config["rope_theta"] ** (-np.arange(size // 2) * 2.0 / size)
        angles = np.arange(length)[:, None] * turns
        cos, sin = np.cos(angles).astype(np.float32), np.sin(angles).astype(np.float32)

        def rotate(head):
            a, b = head[:, : size // 2], head[:, size // 2 :]
            return np.concatenate([a * cos - b * sin, b * cos + a * sin], axis=1)

        q, k, v = (self.linear(x, f"{name}.{part}_proj") for part in "qkv")
        outputs = []
        for head in range(heads):
            shared = head * kv_heads // heads  # the key-value head this query head uses
            mine, theirs = slice(head * size, (head + 1) * size), slice(shared * size, (shared + 1) * size)
            scores = rotate(q[:, mine]) @ rotate(k[:, theirs]).T / np.float32(np.sqrt(size))
            scores[np.triu_indices(length, 1)] = -np.inf
            weights = np.exp(scores - scores.max(axis=1, keepdims=True))
            weights /= weights.sum(axis=1, keepdims=True)
            outputs.append(weights @ v[:, theirs])
        return self.linear(np.concatenate(outputs, axis=1), f"{name}.o_proj")

    def mlp(self, x, name):
        gate = self.linear(x, f"{name}.gate_proj")
        return self.linear(gate / (1 + np.exp(-gate)) * self.linear(x, f"{name}.up_proj"), f"{name}.down_proj")

    def logits(self, ids):
        """Logits of every position."""
        embedding = self.weights["model.embed_tokens.weight"]
        x = embedding[np.array(ids)]
        for i in range(self.config["num_hidden_layers"]):
            layer = f"model.layers.{i}"
            x = x + self.attention(self.rms_norm(x, f"{layer}.input_layernorm"), f"{layer}.self_attn")
            x = x + self.mlp(self.rms_norm(x, f"{layer}.post_attention_layernorm"), f"{layer}.mlp")
        head = embedding if self.config["tie_word_embeddings"] else self.weights["lm_head.weight"]
        return self.rms_norm(x, "model.norm") @ head.T

    def greedy(self, ids, limit):
        """The new tokens (the end token included), and the gap between the best
        and the second-best logit at each of them."""
        new, margins = [], []
        while len(new) < limit:
            logits = self.logits(ids + new)[-1]
            second, best = np.argsort(logits)[-2:]
            new.append(int(best))
            margins.append(float(logits[best] - logits[second]))
            if best == self.config["eos_token_id"]:
                break
        return new, margins


def check_conformance(folder):
    """The conventions - rotation, biases, norms, shared heads - against values
    computed by transformers for another, random model."""
    model = Qwen2(folder)
    worst = 0.0
    for case in json.loads((folder / "expected.json").read_text())["cases"]:
        logits = model.logits(case["input_ids"])
        worst = max(worst, float(np.abs(logits[-1] - np.array(case["last_logits"])).max()))
        assert logits.argmax(axis=1).tolist() == case["argmax_per_position"]
        assert model.greedy(case["input_ids"], case["max_new_tokens"])[0] == case["greedy_ids"]
    print(f"largest logit difference {worst:.2e}; greedy tokens identical")
    assert worst < 1e-3


def check_against_training(model, tokenizer):
    """The stored file against the function that was trained."""
    import jax
    import jax.numpy as jnp

    import train

    stored = {name: jnp.array(value) for name, value in model.weights.items()}
    params = train.params_from_checkpoint(stored)
    worst = 0.0
    for prompt in PROMPTS:
        ids = tokenizer.encode(prompt).ids
        ids = ids + model.greedy(ids, MAX_NEW_TOKENS)[0]
        trained = jax.jit(train.forward)(params, jnp.array([ids]))[0]
        worst = max(worst, float(np.abs(np.asarray(trained) - model.logits(ids)).max()))
    print(f"largest logit difference {worst:.2e} over {len(PROMPTS)} texts")
    assert worst < 1e-3


def write_expected(model, tokenizer, path):
    cases = []
    for prompt in PROMPTS:
        ids = tokenizer.encode(prompt).ids
        new, margins = model.greedy(ids, MAX_NEW_TOKENS)
        cases.append({
            "prompt": prompt,
            "input_ids": ids,
            "output_ids": new,
            "text": tokenizer.decode(new, skip_special_tokens=True),
            "min_margin": round(min(margins), 6),
        })
        print(f"{prompt!r} -> {cases[-1]['text']!r}  min margin {min(margins):.4f}")
    # One line per field: a list of tokens is easier to read along than down.
    fields = (",\n".join(f"  {json.dumps(key)}: {json.dumps(value, ensure_ascii=False)}"
                         for key, value in case.items()) for case in cases)
    path.write_text("[\n" + ",\n".join(f" {{\n{text}\n }}" for text in fields) + "\n]\n", encoding="utf-8")


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--model", type=Path, default=HERE)
    parser.add_argument("--generate", metavar="PROMPT")
    parser.add_argument("--tokens", type=int, default=64, help="limit for --generate")
    parser.add_argument("--conformance", type=Path, metavar="DIR")
    parser.add_argument("--against-training", action="store_true")
    args = parser.parse_args()

    if args.conformance:
        return check_conformance(args.conformance)
    from tokenizers import Tokenizer

    model = Qwen2(args.model)
    tokenizer = Tokenizer.from_file(str(args.model / "tokenizer.json"))
    if args.generate is not None:
        new, margins = model.greedy(tokenizer.encode(args.generate).ids, args.tokens)
        print(args.generate + tokenizer.decode(new, skip_special_tokens=False))
        print(f"smallest margin {min(margins):.4f}")
    elif args.against_training:
        check_against_training(model, tokenizer)
    else:
        write_expected(model, tokenizer, args.model / "expected.json")


if __name__ == "__main__":
    main()
