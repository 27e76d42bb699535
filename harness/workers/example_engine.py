#!/usr/bin/env python3
"""An engine for placebench that needs nothing but Python's standard library.

It was written from README.md in this folder alone, and shows every part of the worker protocol that an engine of one
sequence has: the request, the events, devices with budgets, a map that is read back, hops that really copy, the
breadcrumb page, and a fault. The model is a toy: bytes are its tokens; small random matrices, and how often one byte
followed another in the text so far, decide which byte comes next.
"""

import array
import json
import math
import mmap
import os
import random
import struct
import sys
import threading
import time

START = time.monotonic()
PROTOCOL = 1
PHASES = ["spawn", "resolve", "plan", "load", "prepare", "prefill", "decode", "finish"]
VOCABULARY = 256
HIDDEN = 16
FLOAT_BYTES = 4
# Keys and values have no part in this model; what it remembers of the text is a count for each pair of bytes.
COUNT_BYTES = 4


class Failure(Exception):
    """A misfortune with a class, as the `error` event names it."""

    def __init__(self, failure_class, message, **details):
        super().__init__(message)
        self.failure_class, self.message, self.details = failure_class, message, details


class Breadcrumb:
    """The page of memory that says where this process is, also after it was killed."""

    MAGIC, SEQUENCE, PHASE, GENERATION, TOKEN, PLACE_KIND, PLACE_INDEX, STAMP_NS = range(8)

    def __init__(self, path):
        self.page = None
        if path:
            with open(path, "r+b") as file:
                self.page = mmap.mmap(file.fileno(), 4096)
            self.set(self.MAGIC, int.from_bytes(b"placebc1", "little"))
        self.sequence = 0

    def set(self, word, value):
        # Eight bytes at a multiple of eight: one store, so that nobody reads a half of it.
        if self.page is not None:
            self.page[8 * word : 8 * word + 8] = struct.pack("<Q", value)

    def step(self):
        self.sequence += 1
        self.set(self.STAMP_NS, time.clock_gettime_ns(time.CLOCK_MONOTONIC))
        self.set(self.SEQUENCE, self.sequence)

    def phase(self, phase):
        self.set(self.PHASE, PHASES.index(phase) + 1)
        self.set(self.PLACE_KIND, 0)
        self.step()

    def generation(self, number):
        self.set(self.GENERATION, number)
        self.set(self.TOKEN, 0)
        self.set(self.PLACE_KIND, 0)
        self.step()

    def token(self, position):
        self.set(self.TOKEN, position + 1)
        self.step()

    def place(self, kind, index):
        self.set(self.PLACE_INDEX, index)
        self.set(self.PLACE_KIND, kind)
        self.step()


class Worker:
    """The two ways to be heard: events, and the breadcrumb."""

    def __init__(self, events):
        self.events = events
        self.crumb = Breadcrumb(os.environ.get("PLACEBENCH_BREADCRUMB"))
        self.current_phase = "spawn"

    @staticmethod
    def now():
        return time.monotonic() - START

    def emit(self, event, **fields):
        line = json.dumps({"t_s": self.now(), "event": event, **fields}, allow_nan=False)
        self.events.write(line + "\n")
        self.events.flush()

    def phase(self, phase):
        self.current_phase = phase
        self.crumb.phase(phase)
        self.emit("phase", phase=phase)


class Device:
    """A logical device: its own memory, and a budget that is kept."""

    def __init__(self, name, budget_bytes):
        self.name, self.budget_bytes = name, budget_bytes
        self.used = {"weights": 0, "kv_cache": 0}
        self.peak_bytes = 0

    def take(self, kind, count, what):
        needed = sum(self.used.values()) + count
        if self.budget_bytes is not None and needed > self.budget_bytes:
            raise Failure(
                "out_of_memory",
                f"{what} needs {needed} bytes on {self.name}, which has {self.budget_bytes}",
                device=self.name,
                needed_bytes=needed,
                allowed_bytes=self.budget_bytes,
            )
        self.used[kind] += count
        self.peak_bytes = max(self.peak_bytes, needed)

    def figures(self):
        known = {**self.used, "peak": self.peak_bytes}
        return [
            {"device": self.name, "kind": kind, "bytes": count, "allowed_bytes": self.budget_bytes}
            for kind, count in known.items()
        ]


class Module:
    """Weights, and the device they are on."""

    def __init__(self, name, seed, device):
        self.name, self.device = name, device
        device.take("weights", self.planned_bytes(name), name)
        numbers = random.Random(f"{seed}:{name}")
        self.weights = array.array("f", (numbers.uniform(-1, 1) for _ in range(self.rows(name) * HIDDEN)))

    @staticmethod
    def rows(name):
        return {"model.embed_tokens": VOCABULARY, "lm_head": VOCABULARY, "model.norm": 1}.get(name, HIDDEN)

    @classmethod
    def planned_bytes(cls, name):
        return cls.rows(name) * HIDDEN * FLOAT_BYTES

    def row(self, index):
        return self.weights[index * HIDDEN : (index + 1) * HIDDEN]

    def times(self, state):
        rows = len(self.weights) // HIDDEN
        return [sum(w * x for w, x in zip(self.row(row), state)) for row in range(rows)]


def read_model(source):
    """The number of layers and the seed: of a configuration with dummy weights, or of a folder with one."""
    seed = 0
    if "dummy" in source:
        seed, source = source["dummy"]["seed"], source["dummy"]["config"]
    if "path" not in source:
        raise Failure("unsupported", "this engine downloads nothing: give it a path or a config")
    path = source["path"]
    if os.path.isdir(path):
        path = os.path.join(path, "config.json")
    try:
        with open(path, encoding="utf-8") as file:
            layers = json.load(file)["num_hidden_layers"]
    except FileNotFoundError as error:
        raise Failure("model_missing", f"{path} is not there") from error
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise Failure("model_invalid", f"{path}: num_hidden_layers cannot be read: {error}") from error
    if not isinstance(layers, int) or not 1 <= layers <= 1000:
        raise Failure("model_invalid", f"{path}: num_hidden_layers must be a number from 1 to 1000")
    return layers, seed


def read_devices(request):
    """The host, and the logical devices on it."""
    devices = {"cpu": Device("cpu", None)}
    for device in request["devices"]:
        if device["on"] != "cpu":
            raise Failure("device_missing", f"{device['id']} is on {device['on']}; this engine has the cpu only")
        devices[device["id"]] = Device(device["id"], device["memory_bytes"])
    return devices


def plan(request, modules, devices):
    """A device for every module: the longest key that names it, or something it is part of, decides."""
    asked = request["placement"]["device_map"]
    if "single" in asked:
        written = [("", asked["single"])]
    elif "manual" in asked:
        written = asked["manual"]
    else:
        raise Failure("unsupported", "this engine plans nothing: write one device, or a map of modules to devices")
    entries = []
    for key, device in written:
        if device not in devices:
            raise Failure("device_missing", f"{device} is not there; there are: {', '.join(devices)}")
        first, dash, last = key.removeprefix("model.layers.").partition("-")
        if dash and first.isdigit() and last.isdigit():
            entries += [(f"model.layers.{layer}", device) for layer in range(int(first), min(int(last), 1000) + 1)]
        else:
            entries.append((key, device))
    placed = []
    for module in modules:
        fits = [(len(key), device) for key, device in entries if key in ("", module) or module.startswith(key + ".")]
        if not fits:
            raise Failure("placement_invalid", f"the map says nothing about {module}")
        placed.append((module, max(fits)[1]))
    for key, _ in entries:
        if key and not any(module == key or module.startswith(key + ".") for module in modules):
            raise Failure("placement_invalid", f"the model has no module {key}")
    return placed


def tokens_of(prompt):
    """Bytes are the tokens."""
    if "text" in prompt:
        return list(prompt["text"].encode())
    if "messages" in prompt:
        turns = [f"{turn['role']}: {turn['content']}\n" for turn in prompt["messages"]]
        return list("".join(turns).encode())
    if any(token >= VOCABULARY for token in prompt["input_ids"]):
        raise Failure("request_invalid", f"tokens of this model are below {VOCABULARY}")
    return prompt["input_ids"]


class Session:
    """A placed model."""

    def __init__(self, worker, request):
        self.worker, self.request = worker, request
        self.stalls = [fault["at"] for fault in request["faults"]]
        self.position = None
        worker.phase("resolve")
        layers, seed = read_model(request["model"])
        self.devices = read_devices(request)
        worker.emit(
            "devices",
            devices=[
                {"id": device.name, "on": "cpu", "name": "Python on the host", "memory_bytes": device.budget_bytes}
                for device in self.devices.values()
            ],
        )
        worker.phase("plan")
        names = ["model.embed_tokens", *(f"model.layers.{layer}" for layer in range(layers)), "model.norm", "lm_head"]
        placed = plan(request, names, self.devices)
        self.announce(placed)
        worker.phase("load")
        self.strike(phase="load")
        self.modules = []
        for index, (name, device) in enumerate(placed):
            self.enter_module(index)
            self.modules.append(Module(name, seed, self.devices[device]))
        worker.emit(
            "loaded",
            # Read back from the weights themselves, never copied from the plan.
            realised=[
                {
                    "module": module.name,
                    "device": module.device.name,
                    "bytes": len(module.weights) * module.weights.itemsize,
                }
                for module in self.modules
            ],
        )

    def announce(self, placed):
        """The plan, and the names of the places that the breadcrumb counts."""
        budgets = dict(self.request["placement"]["max_memory"] or [])
        for device in self.devices.values():
            if device.budget_bytes is not None:
                budgets.setdefault(device.name, device.budget_bytes)
        planned = {device: 0 for _, device in placed}
        for module, device in placed:
            planned[device] += Module.planned_bytes(module)
        self.worker.emit(
            "planned",
            device_map=placed,
            budgets=[{"device": device, "bytes": count} for device, count in budgets.items()],
            weights_bytes=[{"device": device, "bytes": count} for device, count in planned.items()],
            warnings=[],
        )
        self.places = placed
        self.hops = [
            {"from_module": a, "to_module": b, "from_device": on, "to_device": to}
            for (a, on), (b, to) in zip(placed, placed[1:])
            if on != to
        ]
        self.hop_before = {hop["to_module"]: index for index, hop in enumerate(self.hops)}
        self.worker.emit("places", modules=placed, hops=self.hops)

    def strike(self, **here):
        """Hangs where a fault of kind `stall` says so: every condition it has must hold."""
        here = {"phase": self.worker.current_phase, "token": self.position, **here}
        generating = here["phase"] in ("prefill", "decode")
        for at in self.stalls:
            if ("phase" in at or generating) and all(here.get(key) == wanted for key, wanted in at.items()):
                while True:
                    time.sleep(3600)

    def enter_module(self, index):
        self.worker.crumb.place(1, index)
        self.strike(module=self.places[index][0])

    def hop(self, index, state):
        """The state leaves one device and arrives on another: it is copied, byte by byte."""
        self.worker.crumb.place(2, index)
        hop = self.hops[index]
        self.strike(hop=f"{hop['from_module']} -> {hop['to_module']}")
        sent = struct.pack(f"<{len(state)}d", *state)
        return list(struct.unpack(f"<{len(state)}d", sent)), len(sent)

    def logits(self, token, counts):
        """One step through all modules, the seconds of each stage and hop, and what was moved."""
        state, hops, moved = None, 0, 0
        times, began = [], time.monotonic()

        def lap():
            nonlocal began
            now = time.monotonic()
            times.append(now - began)
            began = now

        for index, module in enumerate(self.modules):
            if module.name in self.hop_before:
                lap()
                state, count = self.hop(self.hop_before[module.name], state)
                hops, moved = hops + 1, moved + count
                lap()
            self.enter_module(index)
            if module.name == "model.embed_tokens":
                state = list(module.row(token))
            elif module.name == "lm_head":
                state = [
                    0.02 * value + math.log(1 + counts.get((token, byte), 0))
                    for byte, value in enumerate(module.times(state))
                ]
            elif module.name == "model.norm":
                length = math.sqrt(sum(x * x for x in state) / HIDDEN + 1e-6)
                state = [x / length for x in state]
            else:
                state = [x + 0.1 * math.tanh(y) for x, y in zip(state, module.times(state))]
        lap()
        return state, hops, moved, times

    def generate(self, number, warmup):
        worker, spec = self.worker, self.request["generation"]
        tokens = tokens_of(self.request["prompt"])
        if not tokens:
            raise Failure("request_invalid", "the prompt has no token")
        worker.crumb.generation(number)
        self.position = None
        start = worker.now()
        worker.emit("started", generation=number, warmup=warmup)
        made = {"output_ids": [], "token_stamps_s": [], "top2_gaps": [], "top5": []}
        made |= {"hops": [], "transfer_bytes": [], "stage_times_s": []}
        cache = self.modules[-1].device
        cache.used["kv_cache"] = 0
        counts, reason = {}, "length"
        for pair in zip(tokens, tokens[1:]):
            self.count(counts, pair, cache)
        last = tokens[-1]
        for position in range(spec["max_new_tokens"]):
            if position < 2:
                worker.phase("decode" if position else "prefill")
            self.position = position
            worker.crumb.token(position)
            self.strike()
            logits, hops, moved, times = self.logits(last, counts)
            best = sorted(range(VOCABULARY), key=lambda byte: (-logits[byte], byte))[:5]
            token, gap = best[0], logits[best[0]] - logits[best[1]]
            worker.emit("token", generation=number, index=position, id=token, top2_gap=gap)
            self.count(counts, (last, token), cache)
            last = token
            made["output_ids"].append(token)
            made["token_stamps_s"].append(worker.now() - start)
            made["top2_gaps"].append(gap)
            made["top5"].append([{"id": byte, "logit": logits[byte]} for byte in best])
            made["hops"].append(hops)
            made["transfer_bytes"].append(moved)
            made["stage_times_s"].append(times)
            text = bytes(made["output_ids"]).decode(errors="replace")
            ends = [text.index(stop) for stop in spec["stop"] if stop in text]
            if ends:
                text, reason = text[: min(ends)], "stop"
                break
        for device in self.devices.values():
            for figure in device.figures():
                worker.emit("memory", **figure)
        worker.phase("finish")
        result = {"input_ids": tokens, "text": text, "finish_reason": reason, "start_s": start, **made}
        worker.emit("finished", generation=number, warmup=warmup, result=result)

    @staticmethod
    def count(counts, pair, device):
        if pair not in counts:
            device.take("kv_cache", COUNT_BYTES, "a pair of tokens")
        counts[pair] = counts.get(pair, 0) + 1


def carry_out(worker, request):
    if request["protocol"] != PROTOCOL:
        raise Failure("request_invalid", f"the supervisor speaks protocol {request['protocol']}, this engine {PROTOCOL}")
    worker.emit(
        "hello",
        protocol=PROTOCOL,
        engine="example",
        versions=[f"example engine 1, Python {sys.version.split()[0]}"],
        profile="release",
    )
    others = sorted({fault["kind"] for fault in request["faults"]} - {"stall"})
    if others:
        raise Failure("request_invalid", f"this engine cannot inject the fault {others[0]}")
    if request.get("audit"):
        raise Failure("request_invalid", "this engine does not tell what its modules make: leave the audit out")
    if request["companion_prompts"]:
        raise Failure("unsupported", "this engine generates one sequence at a time")
    if request["dtype"] not in (None, "f32"):
        raise Failure("unsupported", f"this engine computes in f32, not {request['dtype']}")
    if request["generation"]["sampling"]:
        raise Failure("unsupported", "this engine takes the likeliest token only: leave do_sample out")
    session = Session(worker, request)
    worker.phase("prepare")
    warmups = request["warmup"]
    for number in range(warmups + request["repetitions"]):
        session.generate(number, number < warmups)
    worker.emit("done")


def follow_supervisor():
    """Ends this process when the supervisor is gone, even if that was killed."""
    supervisor = int(os.environ.get("PLACEBENCH_SUPERVISOR_PID", os.getppid()))
    while os.getppid() == supervisor:
        time.sleep(0.5)
    os._exit(1)


def main():
    # Events have the pipe for themselves: whatever else prints ends up in the log.
    events = os.fdopen(os.dup(1), "w", encoding="utf-8")
    os.dup2(2, 1)
    threading.Thread(target=follow_supervisor, daemon=True).start()
    try:
        request = json.load(sys.stdin)
    except ValueError as error:
        print(f"example engine: the request cannot be read: {error}", file=sys.stderr)
        return 2
    worker = Worker(events)
    try:
        carry_out(worker, request)
        return 0
    except Failure as failure:
        described = {"class": failure.failure_class, "message": failure.message, **failure.details}
    except Exception as error:  # pylint: disable=broad-exception-caught
        described = {"class": "internal", "message": f"{type(error).__name__}: {error}"}
    worker.emit("error", failure={**described, "phase": worker.current_phase})
    return 1


if __name__ == "__main__":
    sys.exit(main())
