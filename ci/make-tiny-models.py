#!/usr/bin/env python3
"""Makes the tiny models with known answers in harness/engine-candle/tests/data/tiny.

Random, seeded weights; what they compute is taken from the real Transformers on a CPU, with eager attention. Every
value matters: norm weights and biases are random too, windows, soft limits and rope scalings are small enough to act
within a hundred positions.

Versions:

    pip install torch==2.6.0 transformers==5.23.0

Transformers 4.51.3 computes the same (`check`), but for `qwen2-sliding-window`: up to about 4.52 its eager attention
puts the window on all layers, and not only from `max_window_layers` on, as its flash attention and all later versions do.

Commands, run with the folder of the data:

    make-tiny-models.py make  harness/engine-candle/tests/data/tiny [NAME…]   write the models (transformers 5)
    make-tiny-models.py check harness/engine-candle/tests/data/tiny [NAME…]   compute again and compare (also 4.51.3)
"""

import copy
import json
import pathlib
import sys

import torch
import transformers
from safetensors.torch import load_file, save_file

LENGTHS = (1, 5, 12, 33, 100)
NEW_TOKENS = 24
EOS = 2
# Below this, another order of additions could flip a greedy token.
SMALLEST_MARGIN = 0.003
# A text of one token repeated says little.
FEWEST_TOKENS = 4

# Keys of transformers 5 that say what keys of transformers 4 said.
KEPT = {"dtype", "layer_types", "rope_parameters", "transformers_version"}

COMMON = {
    "attention_dropout": 0.0,
    "bos_token_id": 1,
    "eos_token_id": EOS,
    "hidden_act": "silu",
    "hidden_size": 32,
    "initializer_range": 0.2,
    "intermediate_size": 48,
    "max_position_embeddings": 256,
    "num_attention_heads": 4,
    "num_hidden_layers": 3,
    "num_key_value_heads": 2,
    "pad_token_id": 0,
    "rms_norm_eps": 1e-05,
    "rope_theta": 10000.0,
    "tie_word_embeddings": False,
    "torch_dtype": "float32",
    "use_cache": True,
    "vocab_size": 160,
}


def llama(**changes):
    own = {"model_type": "llama", "architectures": ["LlamaForCausalLM"], "head_dim": 8, "num_hidden_layers": 2}
    return {**COMMON, **own, "attention_bias": False, "mlp_bias": False, **changes}


# Configurations as transformers 4 writes them. Phi-3: 12 of the 16 elements of a head rotate.
PHI3 = {
    **COMMON,
    "model_type": "phi3",
    "architectures": ["Phi3ForCausalLM"],
    "num_attention_heads": 2,
    "num_key_value_heads": 1,
    "original_max_position_embeddings": 256,
    "partial_rotary_factor": 0.75,
    "resid_pdrop": 0.0,
    "embd_pdrop": 0.0,
    "rope_scaling": None,
    "sliding_window": None,
}

MODELS = {
    "llama3-rope": llama(
        rope_scaling={
            "factor": 8.0,
            "high_freq_factor": 4.0,
            "low_freq_factor": 1.0,
            "original_max_position_embeddings": 32,
            "rope_type": "llama3",
        },
    ),
    "llama-linear": llama(rope_scaling={"factor": 4.0, "rope_type": "linear"}),
    # Grows from 40 positions on: within the longest prompt, and while generating after the one before it.
    "llama-dynamic": llama(
        rope_scaling={"factor": 4.0, "rope_type": "dynamic"},
        max_position_embeddings=40,
        attention_bias=True,
        mlp_bias=True,
    ),
    "llama-yarn": llama(
        rope_scaling={"factor": 8.0, "original_max_position_embeddings": 32, "rope_type": "yarn", "beta_fast": 8.0}
    ),
    "qwen2-sliding-window": {
        **COMMON,
        "model_type": "qwen2",
        "architectures": ["Qwen2ForCausalLM"],
        "max_window_layers": 1,
        "sliding_window": 8,
        "use_sliding_window": True,
    },
    # Heads of a width of their own: 4 x 16 elements for a hidden state of 32.
    "qwen3": {
        **COMMON,
        "model_type": "qwen3",
        "architectures": ["Qwen3ForCausalLM"],
        "attention_bias": False,
        "head_dim": 16,
        "max_window_layers": 3,
        "rms_norm_eps": 1e-06,
        "rope_theta": 1000000.0,
        "sliding_window": None,
        "tie_word_embeddings": True,
        "use_sliding_window": False,
    },
    "phi3": {**PHI3, "sliding_window": 16},
    # The frequencies of all positions change beyond 40 of them.
    "phi3-longrope": {
        **PHI3,
        "original_max_position_embeddings": 40,
        "rope_scaling": {
            "long_factor": [1.5, 2.0, 3.0, 5.0, 8.0, 12.0],
            "short_factor": [1.0, 1.05, 1.1, 1.2, 1.4, 1.7],
            "type": "longrope",
        },
    },
    # The scale of scores is not that of the head's width; limits and window are low enough to be met.
    "gemma2": {
        **{key: value for key, value in COMMON.items() if key != "hidden_act"},
        "model_type": "gemma2",
        "architectures": ["Gemma2ForCausalLM"],
        "attention_bias": False,
        "attn_logit_softcapping": 4.0,
        "cache_implementation": "hybrid",
        "final_logit_softcapping": 6.0,
        "head_dim": 16,
        "hidden_activation": "gelu_pytorch_tanh",
        "query_pre_attn_scalar": 24,
        "sliding_window": 8,
        "tie_word_embeddings": True,
    },
}


def main():
    command, folder, *names = sys.argv[1:]
    transformers.logging.set_verbosity_error()
    torch.set_grad_enabled(False)
    # Matrices this small are slower on several threads.
    torch.set_num_threads(1)
    for name in names or MODELS:
        {"make": make, "check": check}[command](pathlib.Path(folder) / name, name)


def make(folder, name):
    """Takes the first seed whose greedy tokens are chosen by a clear margin and are not all the same."""
    for seed in range(1, 100):
        model = build(MODELS[name], weights(MODELS[name], seed))
        cases = []
        for length in LENGTHS:
            cases.append(expected(model, prompt(length, MODELS[name]["vocab_size"])))
            if not is_telling(cases[-1]):
                break
        else:
            break
    else:
        sys.exit(f"{name}: no seed gives clear margins and several tokens")
    folder.mkdir(parents=True, exist_ok=True)
    write(folder / "config.json", json.dumps(MODELS[name], indent=2, sort_keys=True))
    model.config.architectures = MODELS[name]["architectures"]
    newer = model.config.to_dict()
    # Without what the newer version adds for every model and no decoder looks at.
    newer = {key: value for key, value in newer.items() if key in KEPT or key in MODELS[name]}
    write(folder / "config.transformers5.json", json.dumps(newer, indent=2, sort_keys=True))
    generation = {"_from_model_config": True, "bos_token_id": 1, "eos_token_id": EOS, "pad_token_id": 0}
    write(folder / "generation_config.json", json.dumps(generation, indent=2))
    save_file(stored(model), folder / "model.safetensors", metadata={"format": "pt"})
    about = {
        "model": name,
        "architecture": MODELS[name]["architectures"][0],
        "seed": seed,
        "dtype": "float32",
        "produced_with": {
            "transformers": transformers.__version__,
            "torch": torch.__version__,
            "attention": "eager",
        },
        "cases": cases,
    }
    write(folder / "expected.json", json.dumps(about, separators=(",", ":")))
    (folder / "model.safetensors").chmod(0o644)
    size = (folder / "model.safetensors").stat().st_size
    print(f"{name}: seed {seed}, {size} bytes, smallest margin {min(case['min_margin'] for case in cases)}")


def is_telling(case):
    return case["min_margin"] >= SMALLEST_MARGIN and len(set(case["greedy_ids"])) >= FEWEST_TOKENS


def check(folder, name):
    """Computes everything again from the files and compares."""
    config = json.loads((folder / "config.json").read_text())
    model = build(config, load_file(folder / "model.safetensors"))
    largest = 0.0
    for case in json.loads((folder / "expected.json").read_text())["cases"]:
        again = expected(model, case["input_ids"])
        pairs = zip(again["last_logits"], case["last_logits"])
        largest = max(largest, max(abs(a - b) for a, b in pairs))
        for key in ("greedy_ids", "argmax_per_position"):
            if again[key] != case[key]:
                print(f"{name}: {key} after {len(case['input_ids'])} tokens differ")
    print(f"{name}: transformers {transformers.__version__}, largest difference of a logit {largest:.1e}")


def weights(config, seed):
    """Random values for every parameter, large enough that each one shows in the logits."""
    generator = torch.Generator().manual_seed(seed)
    made = {}
    for key, parameter in build(config, None).named_parameters():
        normal = torch.randn(parameter.shape, generator=generator)
        if "norm" in key:
            less = 1.0 if config["model_type"].startswith("gemma") else 0.0
            made[key] = 1.0 - less + 0.3 * normal
        else:
            made[key] = normal * (0.3 if key.endswith("bias") else 0.2)
    if config["model_type"].startswith("gemma"):
        # The embedding is multiplied by the root of its width: unless it is small, it is all that the logits show.
        made["model.embed_tokens.weight"] *= 0.25
        made["model.norm.weight"] += 3.0
    return made


def build(config, state):
    config = dict(config)
    model_type = config.pop("model_type")
    config = transformers.AutoConfig.for_model(model_type, **copy.deepcopy(config))
    config._attn_implementation = "eager"
    model = transformers.AutoModelForCausalLM.from_config(config, attn_implementation="eager").float().eval()
    if state is not None:
        missing, unexpected = model.load_state_dict(state, strict=False)
        absent = [key for key in missing if not (key == "lm_head.weight" and config.tie_word_embeddings)]
        if absent or unexpected:
            sys.exit(f"{model_type}: missing {absent}, unexpected {unexpected}")
        model.tie_weights()
    return model


def stored(model):
    """As published files have them: a head that is the embedding is left out."""
    tied = model.config.tie_word_embeddings
    state = model.state_dict().items()
    return {key: value.contiguous() for key, value in state if not (tied and key == "lm_head.weight")}


def prompt(length, vocabulary):
    generator = torch.Generator().manual_seed(1000 + length)
    return torch.randint(3, vocabulary, (length,), generator=generator).tolist()


def expected(model, input_ids):
    logits = run(model, input_ids)
    exact = run(copy.deepcopy(model).double(), input_ids)
    greedy, margins = generate(model, input_ids)
    return {
        "input_ids": input_ids,
        "last_logits": rounded(logits[-1]),
        "argmax_per_position": logits.argmax(-1).tolist(),
        "logsumexp_per_position": rounded(logits.logsumexp(-1)),
        "max_new_tokens": NEW_TOKENS,
        "greedy_ids": greedy,
        "stop": "eos" if greedy[-1] == EOS else "length",
        "margins": [round(margin, 6) for margin in margins],
        "min_margin": round(min(margins), 6),
        "max_logit_diff_vs_float64": float(f"{(logits - exact.float()).abs().max().item():.3g}"),
    }


def run(model, input_ids):
    # A copy, because dynamic rotary positions remember the longest sequence.
    return copy.deepcopy(model)(torch.tensor([input_ids]), use_cache=False).logits[0]


def generate(model, input_ids):
    """Greedy tokens and by how much each was chosen. Without a cache, so that nothing depends on how one is kept; only
    dynamic rotary positions are defined by it: keys keep the rotation they were made with."""
    scaling = rope_type_of(model)
    cached = scaling == "dynamic"
    model = copy.deepcopy(model)
    ids, past, margins = list(input_ids), None, []
    while len(ids) < len(input_ids) + NEW_TOKENS:
        fed = ids[-1:] if past is not None else ids
        positions = torch.arange(len(ids) - len(fed), len(ids))
        output = model(
            torch.tensor([fed]),
            past_key_values=past,
            use_cache=cached,
            position_ids=positions[None],
        )
        past = output.past_key_values if cached else None
        best, second = output.logits[0, -1].topk(2).values.tolist()
        margins.append(best - second)
        ids.append(output.logits[0, -1].argmax().item())
        if ids[-1] == EOS:
            break
    return ids[len(input_ids) :], margins


def rope_type_of(model):
    scaling = getattr(model.config, "rope_parameters", None) or getattr(model.config, "rope_scaling", None) or {}
    return scaling.get("rope_type", scaling.get("type"))


def rounded(values):
    return [round(value, 6) for value in values.tolist()]


def write(path, text):
    path.write_text(text + "\n")


if __name__ == "__main__":
    main()
