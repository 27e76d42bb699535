"""Measures placebench beside other programs; ci/bench-peers.sh says how and builds what is needed.

One process for each measurement, peers taking turns within a round, so that what else the machine does meets all of them.
"""

import argparse
import importlib.util
import json
import os
import pathlib
import statistics
import subprocess
import sys
import threading
import time

ROOT = pathlib.Path(__file__).resolve().parent.parent
MODEL = ROOT / "scenarios/models/smollm2-135m-instruct/SmolLM2-135M-Instruct.Q4_1.gguf"
GOLDEN = ROOT / "harness/engine-candle/tests/data/tokens/smollm2-135m.jsonl"
DECODED = 64
OURS = "placebench"


def prompt():
    """The longest of the golden prompts."""
    cases = [json.loads(line) for line in open(GOLDEN)]
    return max((case["input_ids"] for case in cases), key=len)


def placebench(binary, engine, threads, ids):
    command = [binary, "generate", "--engine", engine, "--model", str(MODEL), "--device-map", "cpu", "--ignore-eos"]
    command += ["--input-ids", ",".join(map(str, ids)), "--max-new-tokens", str(DECODED + 1), "--format", "json"]
    answer = subprocess.run(command, env=environment(threads), check=True, capture_output=True, text=True)
    answer = json.loads(answer.stdout)
    stamps, metrics = answer["token_stamps_s"], answer["metrics"]
    position_bytes = sum(metrics["kv_cache_bytes"].values()) / (len(ids) + DECODED + 1)
    return {
        "prefill": len(ids) / stamps[0],
        "decode": DECODED / (stamps[-1] - stamps[0]),
        "token_bytes": sum(metrics["weights_bytes"].values()) + position_bytes * (len(ids) + DECODED / 2),
        "profile": metrics["profile"],
    }


def environment(threads):
    names = ["RAYON_NUM_THREADS", "OMP_NUM_THREADS", "MKL_NUM_THREADS"]
    return {**os.environ, **{name: str(threads) for name in names}}


def peer(name, threads):
    """Runs one of the functions below in a process of its own."""
    command = [sys.executable, __file__, "--peer", name, "--threads", str(threads)]
    answer = subprocess.run(command, env=environment(threads), check=True, capture_output=True, text=True)
    return json.loads(answer.stdout.splitlines()[-1])


def llama_cpp(threads, ids):
    import llama_cpp
    import numpy

    model = llama_cpp.Llama(
        str(MODEL), n_ctx=1024, n_batch=1024, n_threads=threads, n_threads_batch=threads, verbose=False
    )

    def choose():
        logits = llama_cpp.llama_get_logits_ith(model._ctx.ctx, -1)
        return int(numpy.ctypeslib.as_array(logits, shape=(model.n_vocab(),)).argmax())

    # The file is mapped: its pages are met once before anything is measured, as reading the file does for others.
    model.eval(ids[:1])
    model.reset()
    return timed(model.eval, choose, lambda token: model.eval([token]), ids)


def transformers(threads, ids):
    import torch
    from transformers import AutoModelForCausalLM

    torch.set_num_threads(threads)
    model = AutoModelForCausalLM.from_pretrained(MODEL.parent, gguf_file=MODEL.name, torch_dtype=torch.float32)
    state = {}

    @torch.inference_mode()
    def forward(tokens):
        answer = model(
            torch.tensor([tokens]), past_key_values=state.get("cache"), use_cache=True, logits_to_keep=1
        )
        state["cache"], state["logits"] = answer.past_key_values, answer.logits

    return timed(forward, lambda: int(state["logits"][0, -1].argmax()), lambda token: forward([token]), ids)


def timed(prefill, choose, decode, ids):
    start = time.perf_counter()
    prefill(ids)
    token = choose()
    first = time.perf_counter()
    for _ in range(DECODED):
        decode(token)
        token = choose()
    end = time.perf_counter()
    return {"prefill": len(ids) / (first - start), "decode": DECODED / (end - first)}


def copy_bandwidth(threads):
    """Bytes read and written a second by copies of buffers far larger than caches, the best of five."""
    import numpy

    size = 256 << 20
    buffers = [(numpy.ones(size // threads, numpy.uint8), numpy.zeros(size // threads, numpy.uint8)) for _ in range(threads)]
    best = 0.0
    for _ in range(5):
        workers = [threading.Thread(target=numpy.copyto, args=(target, source)) for source, target in buffers]
        start = time.perf_counter()
        for worker in workers:
            worker.start()
        for worker in workers:
            worker.join()
        best = max(best, 2 * size / (time.perf_counter() - start))
    return best


def measure(binary, rounds, thread_counts, slow_rounds):
    """Results by (program, threads): a list of one dictionary a round."""
    ids = prompt()
    programs = {OURS: lambda threads: placebench(binary, "candle", threads, ids)}
    for name, module in [("llama.cpp", "llama_cpp"), ("transformers f32", "transformers")]:
        if importlib.util.find_spec(module) is None:
            print(f"{name}: not installed, left out", file=sys.stderr)
        else:
            programs[name] = lambda threads, name=module: peer(name, threads)
    programs["candle-reference"] = lambda threads: placebench(binary, "candle-reference", threads, ids)
    results = {}
    for number in range(rounds):
        for threads in thread_counts:
            for name, run in list(programs.items()):
                if name == "candle-reference" and number >= slow_rounds:
                    continue
                try:
                    result = run(threads)
                except subprocess.CalledProcessError as error:
                    if name == OURS:
                        sys.exit(f"{OURS}: {error.stderr}")
                    print(f"{name}: left out: {error.stderr.strip().splitlines()[-1]}", file=sys.stderr)
                    del programs[name]
                    continue
                results.setdefault((name, threads), []).append(result)
                speeds = f"prefill {result['prefill']:.1f}, decode {result['decode']:.1f} tokens/s"
                print(f"round {number + 1}, {threads} threads, {name}: {speeds}", file=sys.stderr)
    return results, list(programs), len(ids)


def report(results, programs, thread_counts, prompt_tokens, loads):
    commit = subprocess.run(
        ["git", "describe", "--always", "--dirty"], cwd=ROOT, capture_output=True, text=True, check=False
    ).stdout.strip()
    cpu = next((line.split(":")[1].strip() for line in open("/proc/cpuinfo") if line.startswith("model name")), "?")
    profile = results[(OURS, thread_counts[0])][0]["profile"]
    print(f"{cpu}, {os.cpu_count()} processors; load before and after {loads[0]:.1f}, {loads[1]:.1f}")
    print(f"commit {commit}, profile {profile}; {MODEL.name}, prefill of {prompt_tokens} tokens, then {DECODED} decoded\n")
    peers = [name for name in programs if name != OURS]
    print("Tokens a second, median; in brackets ours divided by theirs, median of the rounds.\n")
    print(f"| threads | phase | {OURS} | " + " | ".join(peers) + " |")
    print("|---" * (3 + len(peers)) + "|")
    for threads in thread_counts:
        ours = results[(OURS, threads)]
        for phase in ["prefill", "decode"]:
            cells = [f"{statistics.median(result[phase] for result in ours):.1f}"]
            for name in peers:
                theirs = results[(name, threads)]
                ratio = statistics.median(a[phase] / b[phase] for a, b in zip(ours, theirs))
                cells.append(f"{statistics.median(result[phase] for result in theirs):.1f} ({ratio:.2f}x)")
            print(f"| {threads} | {phase} | " + " | ".join(cells) + " |")
    print("\nMBU of decoding: bytes a token must read (weights, and keys and values so far) a second, over the bytes a copy")
    print("reads and writes a second with as many threads.\n")
    print("| threads | MB a token | GB/s read | GB/s of a copy | MBU |")
    print("|---|---|---|---|---|")
    for threads in thread_counts:
        ours = results[(OURS, threads)]
        token_bytes = ours[0]["token_bytes"]
        read = token_bytes * statistics.median(result["decode"] for result in ours)
        copied = copy_bandwidth(threads)
        print(f"| {threads} | {token_bytes / 1e6:.1f} | {read / 1e9:.1f} | {copied / 1e9:.1f} | {read / copied:.2f} |")


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--binary")
    parser.add_argument("--threads", default="1,2", help="thread counts, separated by commas")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--slow-rounds", type=int, default=1, help="rounds that candle-reference takes part in")
    parser.add_argument("--peer", choices=["llama_cpp", "transformers"], help=argparse.SUPPRESS)
    args = parser.parse_args()
    thread_counts = [int(count) for count in args.threads.split(",")]
    if args.peer:
        run = {"llama_cpp": llama_cpp, "transformers": transformers}[args.peer]
        print(json.dumps(run(thread_counts[0], prompt())))
        return
    before = os.getloadavg()[0]
    results, programs, prompt_tokens = measure(args.binary, args.rounds, thread_counts, max(args.slow_rounds, 1))
    report(results, programs, thread_counts, prompt_tokens, (before, os.getloadavg()[0]))


if __name__ == "__main__":
    main()
