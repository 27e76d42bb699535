#!/usr/bin/env python3
"""The stack of Hugging Face as an engine of placebench: Transformers loads and generates, Accelerate places.

It speaks the worker protocol of README.md in this folder. What it measures is the stack as people use it: the model comes
from `AutoModelForCausalLM.from_pretrained(device_map=..., max_memory=...)` and the text from `model.generate(...)`. Around
them are hooks that only look: they say which module runs (the breadcrumb), which device it runs on, and what a step gave.

It needs Python 3.9 or later, and beside the standard library torch, transformers and accelerate. Where versions of these
differ, it asks for the feature, not for the number. Nothing of a model's folder is ever run (no `trust_remote_code`, no
pickles), and the network is used only where the model is one of the hub.
"""

import collections
import ctypes
import datetime
import difflib
import faulthandler
import fcntl
import gc
import glob
import importlib
import importlib.metadata
import inspect
import json
import math
import mmap
import os
import re
import runpy
import selectors
import shutil
import signal
import socket
import struct
import subprocess
import sys
import tempfile
import threading
import time
import traceback

START = time.monotonic()
PROTOCOL = 1
PHASES = ["spawn", "resolve", "plan", "load", "prepare", "prefill", "decode", "finish"]
MODULE, HOP = 1, 2
HOP_ARROW = " -> "
DTYPES = {"f32": "float32", "f16": "float16", "bf16": "bfloat16"}
STRATEGIES = ("auto", "balanced", "balanced_low_0", "sequential")
# What launchers of several processes set for each of them.
LAUNCHER_VARIABLES = ("WORLD_SIZE", "RANK", "LOCAL_RANK")
# The rest of the kinds would have to be done to the tensors of Accelerate's own copies, which no hook reaches.
FAULTS = ("stall", "crash", "nan", "out_of_memory", "unkillable", "slow_step", "slow_link", "garbage", "leak")
SLOW_LINK_S = 0.1
MOST_LAYERS = 100_000


class Failure(Exception):
    """A misfortune with a class, as the `error` event names it."""

    def __init__(self, failure_class, message, **details):
        super().__init__(message)
        self.failure_class, self.message, self.details = failure_class, message, details


# ---- how it is heard: events, and the breadcrumb ----


class Breadcrumb:
    """The page of memory that says where this process is, also after it was killed. Eight words at `offset` are its own."""

    MAGIC, SEQUENCE, PHASE, GENERATION, TOKEN, PLACE_KIND, PLACE_INDEX, STAMP_NS = range(8)
    PAGE_BYTES = 4096

    def __init__(self, path, offset=0):
        self.page, self.offset, self.sequence = None, offset, 0
        if path:
            with open(path, "r+b") as file:
                self.page = mmap.mmap(file.fileno(), self.PAGE_BYTES)
            self.set(self.MAGIC, int.from_bytes(b"placebc1", "little"))

    def set(self, word, value):
        # Eight bytes at a multiple of eight: one store, so that nobody reads a half of it.
        if self.page is not None:
            at = self.offset + 8 * word
            self.page[at : at + 8] = struct.pack("<Q", value)

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
        # The place was the token's before: between two tokens it is the library that computes, no module.
        self.set(self.PLACE_KIND, 0)
        self.set(self.TOKEN, position + 1)
        self.step()

    def place(self, kind, index):
        self.set(self.PLACE_INDEX, index)
        self.set(self.PLACE_KIND, kind)
        self.step()


class Worker:
    """The two ways to be heard. `send` takes an event without its time: of a rank it leads to the coordinator."""

    def __init__(self, send, crumb):
        self.send, self.crumb = send, crumb
        self.current_phase = "spawn"

    @staticmethod
    def now():
        return time.monotonic() - START

    def emit(self, event, **fields):
        self.send({"t_s": self.now(), "event": event, **fields})

    def phase(self, phase):
        self.current_phase = phase
        self.crumb.phase(phase)
        self.emit("phase", phase=phase)


def event_pipe():
    """Events have the pipe for themselves: whatever else prints ends up in the log."""
    pipe = os.fdopen(os.dup(1), "w", encoding="utf-8")
    os.dup2(2, 1)

    def send(event):
        pipe.write(json.dumps(event, allow_nan=False) + "\n")
        pipe.flush()

    return send


# ---- the stack ----


class Stack:
    """The libraries, imported: a missing one is named, with what installs it."""

    def __init__(self):
        self.torch = self.import_one("torch")
        self.transformers = self.import_one("transformers")
        self.accelerate = self.import_one("accelerate")
        self.transformers.utils.logging.set_verbosity_warning()
        self.transformers.utils.logging.disable_progress_bar()

    @staticmethod
    def import_one(name):
        if sys.version_info < (3, 9):
            raise Failure(
                "unsupported", f"{sys.executable} is Python {python_version()}; this engine needs Python 3.9 or later"
            )
        try:
            return __import__(name)
        except ModuleNotFoundError as error:
            missing = error.name or name
            raise Failure(
                "unsupported",
                f"{sys.executable} (Python {python_version()}) has no package {missing}: "
                "make an environment with `bash ci/python-env.sh newest`, or install it there",
            ) from error
        except (ImportError, OSError, RuntimeError) as error:
            raise Failure("unsupported", f"{name} of {sys.executable} cannot be imported: {one_line(error)}") from error

    @staticmethod
    def integration():
        """The part of Transformers that plans since version 5; before, that was Accelerate's."""
        try:
            return importlib.import_module("transformers.integrations.accelerate")
        except ImportError:
            return None

    def versions(self):
        known = [f"{name} {getattr(self, name).__version__}" for name in ("torch", "transformers", "accelerate")]
        known.append(f"Python {python_version()}")
        if self.torch.version.cuda:
            known.append(f"CUDA {self.torch.version.cuda} (of torch)")
        return known


def python_version():
    return ".".join(str(part) for part in sys.version_info[:3])


def one_line(error):
    """The words of an exception, on one line and of a length that can be read."""
    words = " ".join(str(error).split()) or type(error).__name__
    return words if len(words) <= 600 else words[:600] + "…"


# ---- devices ----


def device_name(device):
    """A device of torch or Accelerate (`0`, `cuda:0`, `torch.device(...)`, `disk`) as the protocol names it."""
    if isinstance(device, int):
        return f"cuda:{device}"
    name = str(device)
    if name.isdigit():
        return f"cuda:{name}"
    return "cuda:0" if name == "cuda" else name


def library_device(name):
    """The other way: Accelerate counts GPUs by number."""
    return int(name[len("cuda:") :]) if name.startswith("cuda:") else name


def check_device(torch, name, key):
    """Refuses a device that PyTorch has not got, by the key that names it."""
    # `meta` has no data: the other device that is on every machine, for inputs that are left behind.
    if name in ("cpu", "disk") or (name == "meta" and key == "transformers.inputs_on"):
        return
    kind, _, number = name.partition(":")
    if kind != "cuda" or not number.isdigit():
        raise Failure(
            "unsupported",
            f"{key}: PyTorch has no device {name}: the engine transformers knows cpu, disk and cuda:N "
            '(engines = ["candle"] leaves a placement on logical devices to candle)',
            device=name,
        )
    if not torch.backends.cuda.is_built():
        raise Failure("device_missing", f"{key}: {name} is not there: this torch is built without CUDA", device=name)
    there = torch.cuda.device_count()
    if int(number) >= there:
        raise Failure("device_missing", f"{key}: {name} is not there: torch finds {there} CUDA devices", device=name)


def host_memory_bytes():
    try:
        return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    except (ValueError, OSError, AttributeError):
        return None


def device_facts(torch, name, budget_bytes):
    """One entry of `devices`."""
    facts = {"id": name, "on": name, "name": "host", "memory_bytes": budget_bytes or host_memory_bytes()}
    if name == "disk":
        facts.update(name="files of the weights", memory_bytes=None)
    elif name.startswith("cuda:"):
        properties = torch.cuda.get_device_properties(library_device(name))
        facts["name"] = properties.name
        facts["memory_bytes"] = budget_bytes or properties.total_memory
        facts["architecture"] = f"sm{properties.major}{properties.minor}"
    return facts


def synchronize(torch, devices):
    for name in devices:
        if name.startswith("cuda:"):
            torch.cuda.synchronize(library_device(name))


# ---- the request ----


def written_map(entries):
    """A map of the request with its ranges of layers written out, in the order of the file."""
    written = []
    for key, device in entries:
        span = re.fullmatch(r"(.*\.)?(\d+)-(\d+)", key)
        if span is None:
            written.append((key, device))
            continue
        first, last = int(span[2]), int(span[3])
        if last < first or last - first > MOST_LAYERS:
            raise Failure("placement_invalid", f"device_map: {key} is no range of layers")
        written += [(f"{span[1] or ''}{layer}", device) for layer in range(first, last + 1)]
    return written


def resolve_map(written, modules, tensors):
    """A map that says the same of every tensor and has no keys below one another: the longest key wins.

    `modules` and `tensors` are the names of the model's. A map that is without need of that stays as it is written.
    """
    known = {*modules, *tensors}
    for key, _ in written:
        if key and key not in known:
            near = difflib.get_close_matches(key, sorted(known), n=1)
            hint = f"; did you mean {near[0]}?" if near else ""
            raise Failure("placement_invalid", f"device_map: the model has no module {key}{hint}")
    bare = [tensor for tensor in tensors if device_of(written, tensor) is None]
    if bare:
        more = f" and {len(bare) - 1} more" if len(bare) > 1 else ""
        raise Failure("placement_invalid", f"device_map says nothing about {bare[0]}{more}")
    keys = [key for key, _ in written]
    if not any(is_below(inner, outer) for inner in keys for outer in keys):
        return written
    resolved = {}
    for tensor in tensors:
        # The shortest part of the name below which nothing else is said.
        parts = tensor.split(".")
        names = [".".join(parts[:count]) for count in range(len(parts) + 1)]
        name = next(name for name in names if not any(is_below(key, name) for key in keys))
        resolved[name] = device_of(written, name)
    return list(resolved.items())


def is_below(inner, outer):
    """Whether a path is inside another one; all are inside the empty one."""
    return inner != outer and (outer == "" or inner.startswith(outer + "."))


def devices_asked(request):
    """Every device that the request names, with the key it stands under."""
    placement, spec = request["placement"], request.get("transformers") or {}
    asked = placement["device_map"]
    named = [("max_memory", device) for device, _ in placement.get("max_memory") or []]
    if "single" in asked:
        named.append(("device_map", asked["single"]))
    named += [("device_map", device) for _, device in asked.get("manual", [])]
    named += [(f"transformers.{key}", spec[key]) for key in ("move_to", "inputs_on") if spec.get(key)]
    return named


def check_request(request):
    """Refuses, by its name, whatever this engine cannot do. Nothing is imported for that."""
    placement, generation = request["placement"], request["generation"]
    asked = placement["device_map"]
    kinds = {fault["kind"] for fault in request["faults"]}
    refused = sorted(kinds - set(FAULTS))
    if refused:
        raise Failure("request_invalid", f"the engine transformers cannot inject the fault {refused[0]}")
    if request.get("audit"):
        raise Failure("request_invalid", "the engine transformers keeps no audit of what modules make: use candle")
    if "in_flight" in (placement["concurrency"] if isinstance(placement["concurrency"], dict) else {}):
        raise Failure(
            "unsupported",
            "concurrency: generate() of transformers makes one batch at a time; use batch, or leave in_flight out",
        )
    if "optimal" in asked:
        raise Failure(
            "unsupported", 'device_map = "optimal" is planned by placebench itself; transformers knows its strategies'
        )
    if "stated" in asked:
        raise Failure("unsupported", "stated belongs to engines that place by themselves: give a device_map or a launch")
    if asked.get("single") == "disk":
        raise Failure("placement_invalid", "a model cannot be on disk as a whole: something must compute")
    if request["dtype"] is None and is_gguf(request["model"]):
        raise Failure(
            "unsupported",
            'transformers dequantises GGUF files and cannot compute with them as stored: say dtype = "f32", "f16" or "bf16"',
        )
    if generation["max_new_tokens"] < 1:
        raise Failure("request_invalid", "max_new_tokens must be 1 or more")
    set_here = [name for name in LAUNCHER_VARIABLES if os.environ.get(name)]
    if set_here and "ranks" not in asked:
        raise Failure(
            "placement_invalid",
            f"a device_map was asked for where {set_here[0]} is set, as a launcher of several processes sets it: each "
            "process would place the whole model on the same devices; start placebench without the launcher, or use launch",
        )


def is_gguf(model):
    if "hub" in model:
        return (model["hub"].get("file") or "").endswith(".gguf")
    return model.get("path", "").endswith(".gguf")


def from_pretrained_source(model):
    """The first argument of `from_pretrained`, and what goes with it."""
    if "hub" in model:
        hub = model["hub"]
        extra = {"revision": hub["revision"]}
        if hub.get("file"):
            if not hub["file"].endswith(".gguf"):
                raise Failure("unsupported", f"{hub['file']}: a single file must be a .gguf")
            extra["gguf_file"] = hub["file"]
        return hub["repo"], extra
    path = model["path"]
    if not os.path.exists(path):
        raise Failure("model_missing", f"{path} is not there")
    if path.endswith(".gguf"):
        return os.path.dirname(path) or ".", {"gguf_file": os.path.basename(path)}
    if os.path.isdir(path):
        if not os.path.exists(os.path.join(path, "config.json")):
            raise Failure("model_missing", f"{path} has no config.json")
        names = os.listdir(path)
        pickled = sorted(name for name in names if name.endswith((".bin", ".pt", ".pth")))
        if pickled and not any(name.endswith(".safetensors") for name in names):
            raise Failure(
                "model_invalid",
                f"{path} has its weights in pickles only ({pickled[0]}), which can run code and are not read: "
                "save the model again as safetensors",
            )
    return path, {}


def has_tokenizer(folder):
    """Whether a folder holds the vocabulary of a tokenizer: without one Transformers 5 makes an empty one and says nothing."""
    whole = ("tokenizer.json", "vocab.json", "vocab.txt", "tekken.json")
    names = os.listdir(folder) if os.path.isdir(folder) else []
    return any(name in whole or name.endswith((".model", ".tiktoken", ".spm")) for name in names)


# ---- reading a placed model ----


def hooks_of(module):
    """The hooks Accelerate has put on a module: one, or several in turn."""
    hook = getattr(module, "_hf_hook", None)
    if hook is None:
        return []
    return list(getattr(hook, "hooks", None) or [hook])


def layer_list(model):
    """The list of decoder layers: the longest module list that has as many members as the configuration has layers."""
    torch = sys.modules["torch"]
    config = model.config.get_text_config() if hasattr(model.config, "get_text_config") else model.config
    wanted = getattr(config, "num_hidden_layers", None)
    for name, module in model.named_modules():
        if isinstance(module, torch.nn.ModuleList) and len(module) == wanted:
            return name, module
    raise Failure("unsupported", f"{type(model).__name__} has no list of {wanted} layers; this engine cannot say where it is")


def execution_places(model):
    """Modules in the order of execution: embeddings, each layer, the last norm, the head. `[(name, module)]`

    The parts of the module that holds the layers come in the order it registers them, which is that of its computation in
    every decoder of the library; parts without tensors of a checkpoint (rotary embeddings) are left out.
    """
    layers_name, _ = layer_list(model)
    trunk_name = layers_name.rpartition(".")[0]
    trunk = model.get_submodule(trunk_name)
    places, seen = [], set()

    def add(name, module):
        if id(module) not in seen and any(True for _ in module.parameters()):
            seen.add(id(module))
            places.append((name, module))

    for name, module in trunk.named_children():
        full = f"{trunk_name}.{name}" if trunk_name else name
        if full == layers_name:
            for index, layer in module.named_children():
                add(f"{full}.{index}", layer)
        else:
            add(full, module)
    for name, module in model.named_modules():
        inside = name == trunk_name or trunk_name.startswith(name + ".") or name.startswith(trunk_name + ".")
        if name and not inside and "." not in name:
            add(name, module)
    return places


def execution_device(module):
    """Where a module computes: Accelerate's hook says so, else its tensors are there."""
    for part in module.modules():
        for hook in hooks_of(part):
            device = getattr(hook, "execution_device", None)
            if device is not None:
                return device_name(device)
    for tensor in list(module.parameters()) + list(module.buffers()):
        if tensor.device.type != "meta":
            return device_name(tensor.device)
    return "cpu"


def resting_device(module, name):
    """Where a tensor on `meta` really rests: in the memory of the host, or in a file."""
    for hook in hooks_of(module):
        weights = getattr(hook, "weights_map", None)
        prefix = ""
        # Accelerate wraps its loader in one that puts the module's path in front.
        while weights is not None and hasattr(weights, "prefix"):
            prefix = weights.prefix + prefix
            weights = weights.dataset
        if weights is None:
            continue
        in_memory = getattr(weights, "state_dict", weights if isinstance(weights, dict) else {})
        return "cpu" if prefix + name in in_memory else "disk"
    return "meta"


def positions(config):
    """How long a sequence the model was made for, stretching included; nothing where its configuration does not say.

    What stretches is a `factor` of the rotary embedding, for each kind of layer its own in some models; where the length given
    is already the stretched one, this is more than that and never less.
    """
    config = config.get_text_config() if hasattr(config, "get_text_config") else config
    most = getattr(config, "max_position_embeddings", None)
    if not isinstance(most, int) or most < 1:
        return None
    scaling = getattr(config, "rope_scaling", None) or getattr(config, "rope_parameters", None)
    scaling = scaling if isinstance(scaling, dict) else {}
    parts = [scaling, *(part for part in scaling.values() if isinstance(part, dict))]
    factors = [part["factor"] for part in parts if isinstance(part.get("factor"), (int, float))]
    return int(most * max(1, *factors)) if factors else most


def tensors_of(module):
    """Each tensor of a module with where it is: `(tensor, device, bytes)`."""
    found = []
    for part in module.modules():
        named = list(part.named_parameters(recurse=False)) + list(part.named_buffers(recurse=False))
        for name, tensor in named:
            if tensor is None:
                continue
            device = tensor.device
            where = resting_device(part, name) if device.type == "meta" else device_name(device)
            # Of a tensor that is spread over ranks only the part that is here.
            here = tensor.to_local() if hasattr(tensor, "to_local") else tensor
            found.append((tensor, where, here.numel() * here.element_size()))
    return found


def realised_modules(places):
    """Where the tensors of each place are and how many bytes they have, read from the tensors themselves.

    A tensor that several modules share counts at the first of them, so that a tied head has 0 bytes. A module whose tensors
    are on several devices has an entry for each.
    """
    realised, seen = [], set()
    for name, module in places:
        per_device = {}
        for tensor, device, count in tensors_of(module):
            per_device.setdefault(device, 0)
            if id(tensor) not in seen:
                seen.add(id(tensor))
                per_device[device] += count
        ordered = sorted(per_device.items(), key=lambda entry: -entry[1])
        realised += [
            {"module": name, "device": device, "bytes": count}
            for position, (device, count) in enumerate(ordered)
            if position == 0 or count > 0
        ]
    return realised


def bytes_per_device(realised):
    totals = {}
    for entry in realised:
        totals[entry["device"]] = totals.get(entry["device"], 0) + entry["bytes"]
    return totals


def nested_tensors(value, torch, depth=6):
    """The tensors of arguments, of a cache, of whatever holds them."""
    if isinstance(value, torch.Tensor):
        yield value
    elif depth == 0:
        return
    elif isinstance(value, dict):
        for part in list(value.values()):
            yield from nested_tensors(part, torch, depth - 1)
    elif isinstance(value, (list, tuple)):
        for part in value:
            yield from nested_tensors(part, torch, depth - 1)
    elif type(value).__module__.startswith("transformers.cache_utils"):
        yield from nested_tensors(vars(value), torch, depth - 1)


def map_tensors(value, change, torch):
    """Arguments with every tensor in them replaced; what is not a tensor, list, tuple or dict stays."""
    if isinstance(value, torch.Tensor):
        return change(value)
    if isinstance(value, dict):
        return {key: map_tensors(part, change, torch) for key, part in value.items()}
    if type(value) in (list, tuple):
        return type(value)(map_tensors(part, change, torch) for part in value)
    return value


# ---- faults ----


class Faults:
    """The faults of the request: which of them strike here, and which have struck."""

    def __init__(self, faults, worker, torch):
        self.worker, self.torch = worker, torch
        self.faults = list(enumerate(faults))
        self.struck = set()
        self.generation = self.position = None
        if self.of("unkillable"):
            signal.signal(signal.SIGTERM, signal.SIG_IGN)
            self.struck.update(index for index, _ in self.of("unkillable"))

    def of(self, *kinds):
        return [(index, fault) for index, fault in self.faults if fault["kind"] in kinds]

    def strikes(self, *kinds, **here):
        """Those of these kinds whose every condition holds here; they count as struck."""
        phase = self.worker.current_phase
        here = {"phase": phase, "token": self.position, "generation": self.generation, "rank": own_rank(), **here}
        generating = phase in ("prefill", "decode")
        found = []
        for index, fault in self.of(*kinds):
            at = {key: wanted for key, wanted in fault["at"].items() if key != "bytes" and wanted is not None}
            if ("phase" in at or generating) and all(here.get(key) == wanted for key, wanted in at.items()):
                self.struck.add(index)
                found.append(fault)
        return found

    def at(self, **here):
        """What ends or stops the process."""
        for fault in self.strikes("stall", "crash", **here):
            if fault["kind"] == "stall":
                while True:
                    time.sleep(3600)
            number = getattr(signal, fault.get("signal") or "SIGABRT")
            if number != signal.SIGKILL:
                signal.signal(number, signal.SIG_DFL)
            os.kill(os.getpid(), number)

    def out_of_memory(self, device, in_use_bytes, **here):
        """Raises what torch raises."""
        for fault in self.strikes("out_of_memory", device=device, **here):
            allowed = fault["at"].get("bytes")
            if allowed is None or in_use_bytes > allowed:
                kind = getattr(self.torch, "OutOfMemoryError", None) or self.torch.cuda.OutOfMemoryError
                raise kind(f"out of memory (injected): {device} has {in_use_bytes} bytes in use")


# ---- files that only this process needs ----


class Scratch:
    """A folder of temporary files. A worker that was killed cannot remove its own; the next one does, for whoever lives holds
    the lock of his."""

    PREFIX = "placebench-transformers-"
    LOCK = "lock"

    def __init__(self, prefix=PREFIX, parent=None):
        self.prefix, self.parent = prefix, parent or tempfile.gettempdir()
        self.path = self.lock = None

    def folder(self, name):
        if self.path is None:
            self.sweep()
            self.path = tempfile.mkdtemp(prefix=self.prefix, dir=self.parent)
            self.lock = open(os.path.join(self.path, self.LOCK), "w")  # pylint: disable=consider-using-with
            fcntl.flock(self.lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        folder = os.path.join(self.path, name)
        os.makedirs(folder, exist_ok=True)
        return folder

    def sweep(self):
        for folder in glob.glob(os.path.join(glob.escape(self.parent), self.prefix + "*")):
            try:
                # Somebody else's, or one that is being made: it has no lock yet.
                if os.lstat(folder).st_uid != os.getuid() or os.path.islink(folder):
                    continue
                with open(os.path.join(folder, self.LOCK), "r+") as lock:
                    fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
                    shutil.rmtree(folder, ignore_errors=True)
            except OSError:
                continue

    def remove(self):
        if self.path is not None:
            shutil.rmtree(self.path, ignore_errors=True)
            self.lock.close()


# ---- the engine ----


class Engine:
    """A placed model, and what is asked of it."""

    def __init__(self, worker, request, stack):
        self.worker, self.request, self.stack, self.torch = worker, request, stack, stack.torch
        self.spec = request.get("transformers") or {}
        self.faults = Faults(request["faults"], worker, self.torch)
        self.scratch = Scratch()
        self.planned = self.planned_budgets = None
        self.step = None
        self.leaked = []

    # -- opening --

    def open(self):
        """From the request to a model that is placed, with everything said on the way."""
        worker = self.worker
        worker.phase("resolve")
        self.faults.at()
        for key, device in devices_asked(self.request):
            check_device(self.torch, device, key)
        self.announce_devices()
        source, extra = from_pretrained_source(self.config_source())
        self.config = self.called("config.json", self.read_config, source, extra)
        self.tokenizer = self.read_tokenizer(source, extra)
        worker.phase("plan")
        self.faults.at()
        kwargs = {**extra, **self.load_arguments()}
        self.watch_planner()
        if "dummy" in self.request["model"]:
            source = self.make_dummy()
            kwargs = self.load_arguments()
        worker.phase("load")
        self.faults.at()
        self.model = self.called("the model", self.load, source, kwargs)
        self.model.eval()
        if self.spec.get("move_to"):
            self.called(f"transformers.move_to = \"{self.spec['move_to']}\"", self.model.to, self.spec["move_to"])
        self.settle()

    def config_source(self):
        model = self.request["model"]
        return model["dummy"]["config"] if "dummy" in model else model

    def read_config(self, source, extra):
        return self.stack.transformers.AutoConfig.from_pretrained(source, trust_remote_code=False, **extra)

    def read_tokenizer(self, source, extra):
        """The tokenizer, or nothing where the model has none: prompts may be tokens."""
        if os.path.isfile(source):
            source = os.path.dirname(source)
        needs = "input_ids" not in self.request["prompt"]
        if os.path.isdir(source) and "gguf_file" not in extra and not has_tokenizer(source):
            if needs:
                raise Failure("tokenizer", f"{source} has no tokenizer, and the prompt is text: use input_ids")
            return None
        try:
            return self.stack.transformers.AutoTokenizer.from_pretrained(source, trust_remote_code=False, **extra)
        except Exception as error:  # pylint: disable=broad-exception-caught
            if needs or has_tokenizer(source):
                raise Failure("tokenizer", f"the tokenizer of {source} cannot be read: {one_line(error)}") from error
            return None

    def announce_devices(self):
        """The host, every GPU, and the disk where it may be used."""
        budgets = dict(self.request["placement"].get("max_memory") or [])
        names = ["cpu"] + [f"cuda:{number}" for number in range(self.gpus())]
        asked = self.request["placement"]["device_map"]
        if "strategy" in asked or any(device == "disk" for _, device in devices_asked(self.request)):
            names.append("disk")
        self.budgets = budgets
        facts = [device_facts(self.torch, name, budgets.get(name)) for name in names]
        self.worker.emit("devices", devices=facts)

    def gpus(self):
        return self.torch.cuda.device_count() if self.torch.backends.cuda.is_built() else 0

    def dtype(self):
        name = self.request["dtype"]
        return getattr(self.torch, DTYPES[name]) if name else "auto"

    def load_arguments(self):
        """What `from_pretrained` is called with, beside the source."""
        placement = self.request["placement"]
        asked = placement["device_map"]
        arguments = {"use_safetensors": True, "trust_remote_code": False, **self.dtype_argument()}
        if "single" in asked:
            arguments["device_map"] = {"": library_device(asked["single"])}
        elif "manual" in asked:
            written = self.resolved_map(written_map(asked["manual"]))
            arguments["device_map"] = {key: library_device(device) for key, device in written}
        else:
            arguments["device_map"] = asked["strategy"]
        if placement.get("max_memory"):
            arguments["max_memory"] = {library_device(name): count for name, count in placement["max_memory"]}
        if self.spec.get("attention"):
            arguments["attn_implementation"] = self.spec["attention"]
        arguments["offload_folder"] = self.scratch.folder("offload")
        return arguments

    def resolved_map(self, written):
        """The map as asked, held against the names of the model: Accelerate passes over keys that name nothing, and of keys
        below one another it does not let the longest win."""
        try:
            with self.torch.device("meta"):
                model = self.stack.transformers.AutoModelForCausalLM.from_config(self.config, trust_remote_code=False)
        except Exception as error:  # pylint: disable=broad-exception-caught
            print(f"the names of the model cannot be looked up, the map stays as it is: {one_line(error)}", file=sys.stderr)
            return written
        return resolve_map(written, [name for name, _ in model.named_modules()], list(model.state_dict()))

    def dtype_argument(self):
        """`dtype` is the newer name of `torch_dtype`, which the newest library has given up."""
        source = inspect.getsource(self.stack.transformers.PreTrainedModel.from_pretrained)
        key = "dtype" if re.search(r'kwargs\.pop\("dtype"', source) else "torch_dtype"
        return {key: self.dtype()}

    def make_dummy(self):
        """Random weights in the shapes of a configuration, written as a checkpoint and read back by the library's own way."""
        torch, dummy = self.torch, self.request["model"]["dummy"]
        folder = self.scratch.folder("dummy")
        torch.manual_seed(dummy["seed"])
        kept = torch.get_default_dtype()
        try:
            model = self.stack.transformers.AutoModelForCausalLM.from_config(self.config, trust_remote_code=False)
            if self.request["dtype"]:
                model = model.to(self.dtype())
            model.save_pretrained(folder, safe_serialization=True)
        except OSError as error:
            raise Failure("internal", f"the dummy weights cannot be written to {folder}: {error}") from error
        finally:
            torch.set_default_dtype(kept)
        return folder

    def watch_planner(self):
        """Looks at what the library's own planner is asked and answers, where it is called by a name that is known."""
        for module_name in ("transformers.integrations.accelerate", "transformers.modeling_utils"):
            module = sys.modules.get(module_name)
            original = getattr(module, "infer_auto_device_map", None)
            if original is None:
                continue

            def watched(*args, _original=original, **kwargs):
                answer = _original(*args, **kwargs)
                self.planned, self.planned_budgets = dict(answer), kwargs.get("max_memory")
                return answer

            module.infer_auto_device_map = watched

    def load(self, source, kwargs):
        auto = self.stack.transformers.AutoModelForCausalLM
        return auto.from_pretrained(source, **kwargs)

    def settle(self):
        """After loading: the plan as the library answered, the places, and what is really there."""
        worker = self.worker
        self.places = execution_places(self.model)
        self.devices = [execution_device(module) for _, module in self.places]
        realised = realised_modules(self.places)
        self.weights = bytes_per_device(realised)
        self.refuse_execute(realised)
        self.announce_plan(realised)
        self.hops = [
            {"from_module": self.places[at][0], "to_module": self.places[at + 1][0], "from_device": a, "to_device": b}
            for at, (a, b) in enumerate(zip(self.devices, self.devices[1:]))
            if a != b
        ]
        worker.emit(
            "places",
            modules=[[name, device] for (name, _), device in zip(self.places, self.devices)],
            hops=self.hops,
        )
        self.eos_ids = self.end_tokens()
        worker.emit("loaded", realised=realised, eos_token_ids=self.eos_ids)
        self.install_hooks()

    def refuse_execute(self, realised):
        """Beside an accelerator Accelerate copies weights in at each use: it never computes on the cpu."""
        if self.request["placement"].get("offload") != "execute":
            return
        if not any(device.startswith("cuda:") for device in self.devices):
            return
        at_rest = [entry["module"] for entry in realised if entry["device"] in ("cpu", "disk")]
        if at_rest:
            raise Failure(
                "unsupported",
                f'offload = "execute": {at_rest[0]} is on the cpu or on disk beside a GPU, and Accelerate copies its weights '
                'to the GPU at each use; say offload = "stream", which is what it does',
            )

    def announce_plan(self, realised):
        asked = self.request["placement"]["device_map"]
        answered = getattr(self.model, "hf_device_map", None) or self.planned
        if not answered:
            # Newer libraries keep no map where all of it is one device: then what was asked is what was planned.
            answered = dict(written_map(asked["manual"])) if "manual" in asked else {"": asked.get("single", "cpu")}
        answered = [[key, device_name(device)] for key, device in answered.items()]
        warnings = self.other_planner()
        for entry in realised:
            wanted = device_of(answered, entry["module"])
            if wanted is not None and wanted != entry["device"]:
                warnings.append(
                    f"hf_device_map has {entry['module']} on {wanted}, but its tensors are on {entry['device']}"
                )
        planned_bytes = {}
        for entry in realised:
            wanted = device_of(answered, entry["module"]) or entry["device"]
            planned_bytes[wanted] = planned_bytes.get(wanted, 0) + entry["bytes"]
        budgets = self.planned_budgets or {library_device(name): count for name, count in self.budgets.items()}
        self.worker.emit(
            "planned",
            device_map=answered,
            budgets=[
                {"device": device_name(device), "bytes": int(count)}
                for device, count in budgets.items()
                if isinstance(count, int) or (isinstance(count, float) and math.isfinite(count))
            ],
            weights_bytes=[{"device": device, "bytes": count} for device, count in planned_bytes.items()],
            warnings=warnings,
        )

    def other_planner(self):
        """What is planned by is the installed library, whose rules may not be those that candle was to imitate."""
        placement = self.request["placement"]
        own = "transformers-5" if hasattr(self.stack.integration(), "_init_infer_auto_device_map") else "accelerate"
        if "strategy" not in placement["device_map"] or placement.get("planner", own) == own:
            return []
        return [f"planner = \"{placement['planner']}\", but the installed library plans as {own} does"]

    def end_tokens(self):
        """The tokens that end a text: of generation_config.json, else of config.json."""
        for config in (getattr(self.model, "generation_config", None), self.model.config):
            ids = getattr(config, "eos_token_id", None)
            if ids is not None:
                return [int(token) for token in (ids if isinstance(ids, (list, tuple)) else [ids])]
        return []

    # -- what happens while it computes --

    def install_hooks(self):
        """Hooks before and after each place. Torch calls them around the `forward` that Accelerate has put there."""
        hop_before = {hop["to_module"]: index for index, hop in enumerate(self.hops)}
        self.model.register_forward_pre_hook(self.before_step, with_kwargs=True)
        self.model.register_forward_hook(self.after_step)
        for index, (name, module) in enumerate(self.places):
            module.register_forward_pre_hook(self.before_module(index, name, hop_before.get(name)), with_kwargs=True)
            if self.faults.of("nan"):
                module.register_forward_hook(self.after_module(index, name))

    def before_step(self, _module, _args, _kwargs):
        if self.step is None:
            return
        step = self.step
        step.began_s = time.monotonic()
        step.hops = step.transfer_bytes = 0
        position = step.position
        if position < 2:
            self.worker.phase("decode" if position else "prefill")
        self.faults.position = position
        self.worker.crumb.token(position)
        self.faults.at()

    def after_step(self, _module, _args, _output):
        if self.step is None:
            return
        for fault in self.faults.strikes("slow_step"):
            synchronize(self.torch, set(self.devices))
            took_s = time.monotonic() - self.step.began_s
            time.sleep(fault["delay_s"] if fault.get("delay_s") else took_s * ((fault.get("factor") or 2.0) - 1.0))

    def before_module(self, index, name, hop):
        device = self.devices[index]
        host = self.request["placement"].get("transfer") == "host"

        def hook(_module, args, kwargs):
            changed = None
            if hop is not None:
                changed = self.cross(hop, args, kwargs, device)
            elif host:
                changed = self.through_host(args, kwargs, device)
            self.worker.crumb.place(MODULE, index)
            self.faults.at(module=name, device=device)
            self.faults.out_of_memory(device, self.in_use_bytes(device), module=name)
            return changed

        return hook

    def cross(self, index, args, kwargs, device):
        """A hop begins: Accelerate moves the activations once the module is called."""
        hop = self.hops[index]
        here = {
            "hop": hop["from_module"] + HOP_ARROW + hop["to_module"],
            "link": hop["from_device"] + HOP_ARROW + hop["to_device"],
        }
        host = self.request["placement"].get("transfer") == "host"
        if host:
            here["link"] = hop["from_device"] + HOP_ARROW + "host" + HOP_ARROW + hop["to_device"]
        self.worker.crumb.place(HOP, index)
        self.faults.at(**here)
        for fault in self.faults.strikes("slow_link", **here):
            time.sleep(fault.get("delay_s") or SLOW_LINK_S)
        if self.step is not None:
            self.step.hops += 1
            self.step.transfer_bytes += sum(
                tensor.numel() * tensor.element_size()
                for tensor in nested_tensors([args, kwargs], self.torch, 3)
                if device_name(tensor.device) != device
            )
        return self.through_host(args, kwargs, device) if host else None

    def through_host(self, args, kwargs, device):
        """Activations that are elsewhere go through the memory of the host before Accelerate moves them."""

        def staged(tensor):
            return tensor if device_name(tensor.device) == device else tensor.to("cpu")

        return map_tensors(args, staged, self.torch), map_tensors(kwargs, staged, self.torch)

    def after_module(self, index, name):
        device = self.devices[index]

        def hook(_module, _args, output):
            if not self.faults.strikes("nan", module=name, device=device):
                return None
            spoilt = lambda tensor: tensor * float("nan") if tensor.is_floating_point() else tensor  # noqa: E731
            return map_tensors(output, spoilt, self.torch)

        return hook

    def in_use_bytes(self, device):
        if device.startswith("cuda:"):
            return self.torch.cuda.memory_allocated(library_device(device))
        return self.weights.get(device, 0)

    # -- generating --

    def input_ids(self, prompt):
        if "input_ids" in prompt:
            ids = list(prompt["input_ids"])
        elif self.tokenizer is None:
            raise Failure("tokenizer", "the model has no tokenizer, and the prompt is text: use input_ids")
        elif "messages" in prompt:
            try:
                text = self.tokenizer.apply_chat_template(prompt["messages"], tokenize=False, add_generation_prompt=True)
            except Exception as error:  # pylint: disable=broad-exception-caught
                raise Failure("tokenizer", f"the chat template failed: {one_line(error)}") from error
            ids = self.tokenizer(text, add_special_tokens=False)["input_ids"]
        else:
            ids = self.tokenizer(prompt["text"])["input_ids"]
        if not ids:
            raise Failure("request_invalid", "the prompt has no token")
        most, new = positions(self.config), self.request["generation"]["max_new_tokens"]
        if most is not None and len(ids) + new > most:
            raise Failure(
                "request_invalid",
                f"the prompt has {len(ids)} tokens and max_new_tokens is {new}, but the model was made for {most} positions",
            )
        vocabulary = self.model.get_input_embeddings().num_embeddings
        beyond = [token for token in ids if token >= vocabulary]
        if beyond:
            raise Failure("request_invalid", f"token {beyond[0]} is beyond the vocabulary of {vocabulary}")
        return [int(token) for token in ids]

    def inputs(self, prompts):
        """Prompts as the rows of a batch, padded on the left, on the device of the embedding or where it was asked for."""
        longest = max(len(ids) for ids in prompts)
        device = self.spec.get("inputs_on") or self.devices[0]
        pad = self.eos_ids[0] if self.eos_ids else 0
        rows = [[pad] * (longest - len(ids)) + ids for ids in prompts]
        mask = [[0] * (longest - len(ids)) + [1] * len(ids) for ids in prompts]
        as_tensor = lambda value: self.torch.tensor(value, dtype=self.torch.long, device=device)  # noqa: E731
        return as_tensor(rows), as_tensor(mask)

    def generation_config(self):
        """Everything the request says and nothing else: what generation_config.json of the model's folder sets for people
        who chat with it (sampling, penalties, forced tokens) is put aside; only its end tokens count."""
        spec = self.request["generation"]
        settings = {
            "max_new_tokens": spec["max_new_tokens"],
            "do_sample": False,
            "eos_token_id": None if spec["ignore_eos"] or not self.eos_ids else list(self.eos_ids),
            "pad_token_id": self.eos_ids[0] if self.eos_ids else 0,
            "use_cache": True,
            "return_dict_in_generate": True,
        }
        sampling = spec.get("sampling")
        if sampling:
            settings.update(do_sample=True, temperature=sampling["temperature"], top_k=0, top_p=1.0)
            settings.update({key: sampling[key] for key in ("top_k", "top_p") if sampling.get(key) is not None})
        return self.stack.transformers.GenerationConfig(**settings)

    def probe(self):
        """One step over the prompt, and its logits."""
        torch = self.torch
        ids = self.input_ids(self.request["prompt"])
        rows, mask = self.inputs([ids])
        with torch.no_grad():
            logits = self.model(input_ids=rows, attention_mask=mask, use_cache=False).logits[0, -1].float().cpu()
        finite = logits[torch.isfinite(logits)]
        best = torch.topk(torch.nan_to_num(logits, nan=-math.inf, posinf=-math.inf), min(5, len(finite)))
        self.worker.emit(
            "probed",
            input_tokens=len(ids),
            precision=self.request["dtype"] or self.stored_precision(),
            top5=top_list(best),
            logits=len(logits),
            non_finite=len(logits) - len(finite),
            logits_l2=float(finite.double().norm()),
        )

    def stored_precision(self):
        kept = str(next(self.model.parameters()).dtype)
        return next((short for short, name in DTYPES.items() if kept.endswith("." + name)), None)

    def generate(self, number, warmup):
        torch, worker = self.torch, self.worker
        prompts = [self.input_ids(prompt) for prompt in [self.request["prompt"], *self.request["companion_prompts"]]]
        rows, mask = self.inputs(prompts)
        for device in range(self.gpus()):
            torch.cuda.reset_peak_memory_stats(device)
        worker.crumb.generation(number)
        self.faults.generation, self.faults.position = number, None
        start_s = worker.now()
        worker.emit("started", generation=number, warmup=warmup)
        self.step = step = Step(self, number, start_s, prompts)
        if self.request["generation"].get("sampling"):
            torch.manual_seed(self.request["generation"]["sampling"]["seed"])
        config = self.generation_config()
        # The library fills what a request leaves open from the model's own: that is ours as well.
        self.model.generation_config = config
        with torch.no_grad():
            output = self.model.generate(
                input_ids=rows,
                attention_mask=mask,
                generation_config=config,
                logits_processor=self.stack.transformers.LogitsProcessorList([step.look_at_logits]),
                stopping_criteria=self.stack.transformers.StoppingCriteriaList([step.after_token]),
            )
        cache = getattr(output, "past_key_values", None)
        self.step = None
        self.report_memory(cache)
        del output, cache
        worker.phase("finish")
        results = [sequence.result() for sequence in step.sequences]
        if results[1:]:
            results[0]["companions"] = results[1:]
        worker.emit("finished", generation=number, warmup=warmup, result=results[0])
        self.keep_leak()
        self.report_held(number)

    def keep_leak(self):
        for fault in self.faults.of("leak"):
            self.faults.struck.add(fault[0])
            count = fault[1]["at"].get("bytes") or 1 << 20
            device = self.devices[0]
            self.leaked.append(self.torch.zeros(count, dtype=self.torch.uint8, device=device))

    def report_memory(self, cache):
        torch = self.torch
        caches, seen = {}, set()
        for tensor in nested_tensors(cache, torch):
            if tensor.device.type != "meta" and id(tensor) not in seen:
                seen.add(id(tensor))
                device = device_name(tensor.device)
                caches[device] = caches.get(device, 0) + tensor.numel() * tensor.element_size()
        for device in sorted(set(self.weights) | set(caches)):
            figures = {"weights": self.weights.get(device, 0), "kv_cache": caches.get(device, 0)}
            if device.startswith("cuda:"):
                figures["peak"] = torch.cuda.max_memory_allocated(library_device(device))
            for kind, count in figures.items():
                allowed = self.budgets.get(device)
                self.worker.emit("memory", device=device, kind=kind, bytes=count, allowed_bytes=allowed)

    def report_held(self, number):
        """What is in use once the generation's own has been given back."""
        gc.collect()
        held = {}
        for device in range(self.gpus()):
            held[device_name(device)] = self.torch.cuda.memory_allocated(device)
        held["cpu"] = self.host_tensor_bytes()
        devices = [{"device": device, "bytes": count} for device, count in held.items()]
        self.worker.emit("held", generation=number, devices=devices)

    def host_tensor_bytes(self):
        """Bytes of all tensors of this process that are in the memory of the host, each storage once."""
        torch, storages = self.torch, {}
        for thing in gc.get_objects():
            # A tensor that is spread over ranks has no storage but that of its part, which is met by itself.
            if not issubclass(type(thing), torch.Tensor) or hasattr(type(thing), "to_local"):
                continue
            if thing.device.type == "cpu" and thing.layout == torch.strided:
                storage = thing.untyped_storage()
                storages[storage.data_ptr()] = storage.nbytes()
        return sum(storages.values())

    # -- misfortunes --

    def called(self, what, function, *args):
        """Calls into the library, and gives its exceptions a class and a sentence."""
        try:
            return function(*args)
        except Failure:
            raise
        except Exception as error:  # pylint: disable=broad-exception-caught
            raise describe(error, what, self.torch) from error

    def close(self):
        self.scratch.remove()


def device_of(answered, module):
    """What a map says of a module: the longest key that covers it; nothing where only parts of it are named."""
    fits = [(len(key), device) for key, device in answered if key in ("", module) or module.startswith(key + ".")]
    return max(fits)[1] if fits else None


def top_list(best):
    return [{"id": int(token), "logit": float(logit)} for logit, token in zip(best.values, best.indices)]


class Sequence:
    """One row of a batch while it grows."""

    def __init__(self, engine, prompt, start_s):
        self.engine, self.prompt, self.start_s = engine, prompt, start_s
        self.reason = None
        self.ids, self.stamps, self.gaps, self.top5 = [], [], [], []
        self.hops, self.transfer_bytes = [], []
        self.text = ""

    def take(self, token, stamp_s, best, step):
        """A token came; true where the sequence ends with it."""
        spec = self.engine.request["generation"]
        self.ids.append(token)
        self.stamps.append(stamp_s)
        self.gaps.append(best[0]["logit"] - best[1]["logit"] if len(best) > 1 else 0.0)
        self.top5.append(best)
        self.hops.append(step.hops)
        self.transfer_bytes.append(step.transfer_bytes)
        if token in self.engine.eos_ids and not spec["ignore_eos"]:
            self.reason = "eos"
        elif self.stop_text(spec["stop"]) is not None:
            self.reason = "stop"
        elif len(self.ids) >= spec["max_new_tokens"]:
            self.reason = "length"
        return self.reason is not None

    def decoded(self, count):
        tokenizer = self.engine.tokenizer
        if tokenizer is None:
            return ""
        return tokenizer.decode(self.ids[:count], skip_special_tokens=True, clean_up_tokenization_spaces=False)

    def stop_text(self, stops):
        """Where the first of the stop texts begins."""
        if not stops:
            return None
        text = self.decoded(len(self.ids))
        ends = [text.index(stop) for stop in stops if stop in text]
        return min(ends) if ends else None

    def result(self):
        spec = self.engine.request["generation"]
        text = self.decoded(len(self.ids))
        end = self.stop_text(spec["stop"]) if self.reason == "stop" else None
        if end is not None:
            text = text[:end]
        offsets, reached = [], 0
        if self.engine.tokenizer is None:
            return self.figures(text, offsets)
        for count in range(1, len(self.ids) + 1):
            # The first bytes of a character decode to a replacement that the next token takes back.
            so_far = self.decoded(count).rstrip("\ufffd")
            reached = max(reached, len(os.path.commonprefix([so_far, text]).encode()))
            offsets.append(reached)
        if offsets:
            offsets[-1] = max(offsets[-1], len(text.encode()))
        return self.figures(text, offsets)

    def figures(self, text, offsets):
        return {
            "input_ids": self.prompt,
            "output_ids": self.ids,
            "text": text,
            "text_offsets": offsets,
            "finish_reason": self.reason or "length",
            "start_s": self.start_s,
            "token_stamps_s": self.stamps,
            "top2_gaps": self.gaps,
            "top5": self.top5,
            "hops": self.hops,
            "transfer_bytes": self.transfer_bytes,
        }


class Step:
    """What the library tells while it generates: logits before anything has changed them, and each token."""

    def __init__(self, engine, number, start_s, prompts):
        self.engine, self.torch, self.number = engine, engine.torch, number
        self.sequences = [Sequence(engine, prompt, start_s) for prompt in prompts]
        self.start_s = start_s
        self.position = 0
        self.hops = self.transfer_bytes = 0
        self.began_s = time.monotonic()
        self.best, self.garbage = [], None

    def look_at_logits(self, _input_ids, scores):
        """Called as the first of the processors: the logits are raw. Returns them, unless a fault wants other ones."""
        torch = self.torch
        if not bool(torch.isfinite(scores).all()):
            bad = int((~torch.isfinite(scores)).sum())
            raise Failure(
                "non_finite",
                f"{bad} of {scores.numel()} logits of token {self.position} are not finite",
            )
        found = torch.topk(scores, min(5, scores.shape[-1]), dim=-1)
        values, indices = found.values.tolist(), found.indices.tolist()
        self.best = [
            [{"id": token, "logit": logit} for logit, token in zip(*row)] for row in zip(values, indices)
        ]
        if self.engine.faults.strikes("garbage") or self.garbage is not None:
            if self.garbage is None:
                self.garbage = self.best[0][0]["id"]
            scores = torch.full_like(scores, -math.inf)
            scores[:, self.garbage] = 0.0
        return scores

    def after_token(self, input_ids, _scores, **_kwargs):
        """Called once the token has been chosen. Reading it waits for the device."""
        engine, worker = self.engine, self.engine.worker
        tokens = input_ids[:, -1].tolist()
        synchronize(self.torch, set(engine.devices))
        stamp_s = worker.now() - self.start_s
        done = []
        for row, (sequence, token) in enumerate(zip(self.sequences, tokens)):
            if sequence.reason is None:
                sequence.take(token, stamp_s, self.best[row], self)
                told = {"sequence": row} if row else {}
                worker.emit(
                    "token",
                    generation=self.number,
                    index=len(sequence.ids) - 1,
                    id=token,
                    top2_gap=sequence.gaps[-1],
                    **told,
                )
            done.append(sequence.reason is not None)
        self.position += 1
        return self.torch.tensor(done, dtype=self.torch.bool, device=input_ids.device)


def describe(error, what, torch):
    """An exception of the libraries, as a failure with a class and a sentence a person can act on."""
    words = one_line(error)
    lowered = words.lower()
    memory = getattr(torch, "OutOfMemoryError", None) or torch.cuda.OutOfMemoryError
    if isinstance(error, (memory, MemoryError)) or "out of memory" in lowered or "can't allocate memory" in lowered:
        gpu = re.search(r"GPU (\d+)", words)
        device = f"cuda:{gpu[1]}" if gpu else ("cpu" if "CPUAllocator" in words or isinstance(error, MemoryError) else None)
        named = re.search(r"\(injected\): (\S+) has", words)
        device = named[1] if named else device
        return Failure("out_of_memory", f"{what}: {words}", **({"device": device} if device else {}))
    if "meta tensors" in lowered or "meta tensor" in lowered:
        return Failure("placement_invalid", f"{what}: a tensor that is needed is on the device meta, which has no data: {words}")
    if "same device" in lowered or "is not on the expected device" in lowered:
        return Failure("placement_invalid", f"{what}: tensors of one operation are on two devices: {words}")
    placed = ("device_map", "dispatched on the cpu", "modules offloaded", "you can't move a model", "offload_dir", "max_memory")
    placed += ("have any device set", "is on the meta device", "offload the whole model")
    if any(part in lowered for part in placed):
        return Failure("placement_invalid", f"{what}: {words}")
    if isinstance(error, FileNotFoundError) or "is not a local folder" in lowered or "no file named" in lowered:
        return Failure("model_missing", f"{what}: {words}")
    if type(error).__name__ == "SafetensorError":
        return Failure("model_invalid", f"{what}: a file of weights is damaged or not complete: {words}")
    if isinstance(error, ImportError) or "does not support" in lowered or "not supported" in lowered:
        return Failure("unsupported", f"{what}: {words}")
    if "does not recognize this architecture" in lowered or "unrecognized configuration class" in lowered:
        return Failure("unsupported", f"{what}: {words}")
    damaged = ("valid json", "unrecognized model in")
    if isinstance(error, (json.JSONDecodeError, UnicodeDecodeError)) or any(part in lowered for part in damaged):
        return Failure("model_invalid", f"{what}: {words}")
    if isinstance(error, OSError) and what in ("config.json", "the model"):
        return Failure("model_invalid", f"{what}: {words}")
    return Failure("internal", f"{what}: {type(error).__name__}: {words}")


# ---- the process ----


def hello(worker, versions):
    worker.emit(
        "hello", protocol=PROTOCOL, engine="transformers", versions=versions, profile="release", stacks={"signal": "SIGUSR1"}
    )


def carry_out(worker, request):
    """The whole of a request, from the first line to the last."""
    if request["protocol"] != PROTOCOL:
        raise Failure("request_invalid", f"the supervisor speaks protocol {request['protocol']}, this engine {PROTOCOL}")
    if "ranks" in request["placement"]["device_map"]:
        check_request(request)
        run_ranks(worker, request)
        return
    try:
        stack = Stack()
    except Failure:
        hello(worker, [f"Python {python_version()}"])
        raise
    hello(worker, stack.versions())
    check_request(request)
    serve(worker, request, Engine(worker, request, stack))


def serve(worker, request, engine):
    """Opens an engine and makes all its generations."""
    try:
        engine.open()
        worker.phase("prepare")
        engine.faults.at()
        if request.get("probe"):
            engine.called("the probe", engine.probe)
        for number in range(request["warmup"] + request["repetitions"]):
            engine.called("generating", engine.generate, number, number < request["warmup"])
        if request["faults"]:
            worker.emit("faults_struck", struck=sorted(engine.faults.struck))
        worker.emit("done")
    finally:
        engine.close()


def follow_supervisor():
    """Ends this process when the supervisor is gone, even if that was killed."""
    supervisor = int(os.environ.get("PLACEBENCH_SUPERVISOR_PID") or os.getppid())
    if sys.platform == "linux":
        pr_set_pdeathsig = 1
        try:
            ctypes.CDLL(None, use_errno=True).prctl(pr_set_pdeathsig, signal.SIGKILL, 0, 0, 0)
        except (OSError, AttributeError):
            pass

    def look():
        while os.getppid() == supervisor:
            time.sleep(0.5)
        os._exit(1)

    threading.Thread(target=look, daemon=True).start()


def register_stacks():
    """SIGUSR1 writes the stack of every thread to the file named by PLACEBENCH_STACKS, else to the log."""
    path = os.environ.get("PLACEBENCH_STACKS")
    file = sys.stderr
    if path:
        # Kept open: the handler writes to its descriptor, also when nothing of Python runs any more.
        register_stacks.file = file = open(path, "ab", buffering=0)  # pylint: disable=consider-using-with
    faulthandler.register(signal.SIGUSR1, file=file, all_threads=True, chain=False)


def reported(worker, work):
    """Does the work, and tells as an `error` what goes wrong. The exit code."""
    try:
        work()
        return 0
    except Failure as failure:
        traceback.print_exc()
        described = {"class": failure.failure_class, "message": failure.message, **failure.details}
    except Exception as error:  # pylint: disable=broad-exception-caught
        traceback.print_exc()
        described = {"class": "internal", "message": f"{type(error).__name__}: {one_line(error)}"}
    worker.emit("error", failure={**described, "phase": worker.current_phase})
    return 1


def main():
    if is_rank():
        return run_rank()
    send = event_pipe()
    follow_supervisor()
    register_stacks()
    try:
        request = json.load(sys.stdin)
    except ValueError as error:
        print(f"transformers_worker: the request cannot be read: {error}", file=sys.stderr)
        return 2
    worker = Worker(send, Breadcrumb(os.environ.get("PLACEBENCH_BREADCRUMB")))
    return reported(worker, lambda: carry_out(worker, request))


# ---- ranks ----
#
# A distributed configuration runs as: this process, the coordinator, which speaks the protocol and imports nothing of the
# stack; the launcher, which is torchrun or `accelerate launch` in a process of this file; and the ranks it starts, which are
# this file again. All of them stay in the coordinator's process group. Ranks tell the coordinator by a socket what a worker
# alone would tell the supervisor; it passes an event on once every rank has sent it, so that a rank that hangs is missed.

RANKS_VARIABLE = "PLACEBENCH_RANKS"
LAUNCHERS = {"torchrun": "torch.distributed.run", "accelerate": "accelerate.commands.launch"}
BLOCK_BYTES = 64
# Far beyond any deadline of a scenario: the supervisor decides what is too long, not the process group.
GROUP_TIMEOUT_S = 7 * 24 * 3600
# From the first sign of an end to the judgement which rank was first; the others follow within moments.
SETTLE_S = 0.3
# How long the launcher may take to tell how a rank ended.
REPORT_S = 5.0
# What a rank says that lost another: it is not the cause.
LOST_WORDS = ("connection closed by peer", "connection reset", "broken pipe", "connection refused", "gloo", "nccl", "tcpstore")


def is_rank():
    """Whether this process is one that the coordinator has launched."""
    return bool(os.environ.get(RANKS_VARIABLE))


def own_rank():
    """The number of this process among the ranks; nothing where there are none."""
    number = os.environ.get("RANK", "")
    return int(number) if is_rank() and number.isdigit() else None


def run_rank():
    """The life of a launched process; its exit code."""
    if sys.argv[1:2] == ["launcher"]:
        return run_launcher(sys.argv[2], sys.argv[3:])
    rank = own_rank()
    if rank is None:
        print("transformers_worker: the launcher has set no RANK", file=sys.stderr)
        return 2
    os.dup2(2, 1)
    follow_supervisor()
    if os.environ.get("PLACEBENCH_STACKS"):
        os.environ["PLACEBENCH_STACKS"] += f".{rank}"
    register_stacks()
    link = Link.connect(os.environ[RANKS_VARIABLE])
    link.send({"rank": rank, "pid": os.getpid()})
    order = link.receive()
    if order is None:
        return 1
    globals()["START"] = order["start"]
    page = os.environ.get("PLACEBENCH_BREADCRUMB")
    worker = RankWorker(link.send, Breadcrumb(page, BLOCK_BYTES * (rank + 1)))

    def work():
        worker.crumb.phase("resolve")
        engine = RankEngine(worker, order["request"], Stack())
        engine.join()
        serve(worker, order["request"], engine)
        engine.leave()

    return reported(worker, work)


class Link:
    """One end of the socket between the coordinator and a launched process: a JSON object a line."""

    def __init__(self, connection):
        self.socket, self.rest = connection, b""

    @classmethod
    def connect(cls, path):
        connection = socket.socket(socket.AF_UNIX)
        connection.connect(path)
        return cls(connection)

    def send(self, message):
        self.socket.sendall(json.dumps(message, allow_nan=False).encode() + b"\n")

    def receive(self):
        """The next message; nothing once the other end is gone."""
        while b"\n" not in self.rest:
            if not self.fill():
                return None
        line, self.rest = self.rest.split(b"\n", 1)
        return json.loads(line)

    def fill(self):
        """Takes what is there; false once the other end is gone."""
        try:
            data = self.socket.recv(1 << 16)
        except OSError:
            return False
        self.rest += data
        return bool(data)

    def waiting(self):
        """The messages that are here."""
        *lines, self.rest = self.rest.split(b"\n")
        return [json.loads(line) for line in lines]


# -- the launcher --


def run_launcher(module, arguments):
    """Runs torchrun or `accelerate launch` as `python -m` would, with two differences that do not touch what they do.

    They start each rank in a session of its own, out of reach of whoever ends the group of this attempt: here the ranks stay
    in it. And how a rank ended, which only its parent is told, is passed on to the coordinator.
    """
    follow_supervisor()
    # Whom a rank follows is its parent.
    os.environ["PLACEBENCH_SUPERVISOR_PID"] = str(os.getpid())
    link = Link.connect(os.environ[RANKS_VARIABLE])

    class Process(subprocess.Popen):
        """A process of the same session whose end is told."""

        told = False

        def __init__(self, *args, **kwargs):
            kwargs["start_new_session"] = False
            super().__init__(*args, **kwargs)

        def poll(self):
            return self.tell(super().poll())

        def wait(self, timeout=None):
            return self.tell(super().wait(timeout))

        def tell(self, code):
            if code is not None and not self.told:
                self.told = True
                try:
                    link.send({"pid": self.pid, "code": code})
                except OSError:
                    pass
            return code

    subprocess.Popen = Process
    # A rank leads no group, so the launcher has to mean the process.
    os.killpg = os.kill
    sys.argv = [module, *arguments]
    runpy.run_module(module, run_name="__main__", alter_sys=True)
    return 0


def launcher_command(ranks, folder):
    """The command line of the launcher. Nothing of the user's own configuration is read."""
    here = os.path.abspath(__file__)
    count = str(ranks["processes"])
    module = LAUNCHERS[ranks["launcher"]]
    if ranks["launcher"] == "torchrun":
        options = ["--standalone", "--nproc-per-node", count, "--max-restarts", "0"]
    else:
        config = os.path.join(folder, "accelerate.json")
        with open(config, "w", encoding="utf-8") as file:
            # On processors as well: its other choice for them is MPI.
            settings = {"compute_environment": "LOCAL_MACHINE", "distributed_type": "MULTI_GPU", "mixed_precision": "no"}
            json.dump({**settings, "num_machines": 1, "num_processes": ranks["processes"], "use_cpu": False, "debug": False}, file)
        options = ["--config_file", config, "--multi_gpu", "--num_processes", count, "--num_machines", "1"]
        options += ["--mixed_precision", "no", "--dynamo_backend", "no", "--main_process_port", str(free_port())]
    return [sys.executable, here, "launcher", module, *options, here]


def free_port():
    with socket.socket(socket.AF_INET) as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


# -- a rank --


class RankWorker(Worker):
    """A worker that waits for the other ranks after each of its tokens."""

    together = None

    def emit(self, event, **fields):
        super().emit(event, **fields)
        if event == "token" and self.together is not None:
            # Whoever waits is at the next token: the one that is waited for is not.
            self.crumb.token(fields["index"] + 1)
            self.together()


class RankEngine(Engine):
    """The engine as one rank of a job: the whole model on a device of its own, or its part of every layer."""

    def __init__(self, worker, request, stack):
        super().__init__(worker, request, stack)
        self.ranks = request["placement"]["device_map"]["ranks"]
        self.rank = own_rank()
        self.dist = self.torch.distributed
        local = int(os.environ.get("LOCAL_RANK") or self.rank)
        self.device = "cpu"
        if self.gpus():
            self.device = f"cuda:{local}"
            check_device(self.torch, self.device, f"rank {self.rank}")

    def join(self):
        """Becomes one of the process group, as a script does that a launcher has started."""
        if not self.dist.is_available():
            raise Failure("unsupported", "this torch is built without torch.distributed, which a launch needs")
        if self.device != "cpu":
            self.torch.cuda.set_device(self.device)
        backend = self.ranks.get("backend") or ("gloo" if self.device == "cpu" else "nccl")
        if self.device == "cpu" and backend == "nccl":
            raise Failure("unsupported", 'launch.backend = "nccl" needs a GPU for each rank, and torch finds none: use gloo')
        # The ranks are on one machine: they find each other whatever its name resolves to.
        if sys.platform == "linux":
            os.environ.setdefault("GLOO_SOCKET_IFNAME", "lo")
        timeout = datetime.timedelta(seconds=GROUP_TIMEOUT_S)
        self.called(f"init_process_group({backend})", self.init_group, backend, timeout)
        on_gpu = backend == "nccl"
        self.mark = self.torch.ones(1, device=self.device if on_gpu else "cpu")
        self.worker.together = self.together

    def init_group(self, backend, timeout):
        try:
            self.dist.init_process_group(backend, timeout=timeout)
        except ValueError as error:
            raise Failure("unsupported", f"launch.backend: {one_line(error)}") from error

    def together(self):
        """Waits until every rank is here."""
        try:
            self.mark.fill_(1.0)
            self.dist.all_reduce(self.mark)
            self.mark.item()
        except RuntimeError as error:
            raise Failure("internal", f"waiting for the other ranks: {one_line(error)}", lost=True) from error

    def leave(self):
        self.dist.destroy_process_group()

    def load_arguments(self):
        arguments = {"use_safetensors": True, "trust_remote_code": False, **self.dtype_argument()}
        if self.spec.get("attention"):
            arguments["attn_implementation"] = self.spec["attention"]
        if self.ranks["parallel"] == "tensor":
            arguments.update(self.tensor_plan())
        return arguments

    def tensor_plan(self):
        """The model's own plan: `tp_plan` is the older name, a configuration of all kinds of parallelism the newer."""
        kind = getattr(self.stack.transformers, "DistributedConfig", None)
        if kind is None:
            kind = getattr(sys.modules.get("transformers.distributed"), "DistributedConfig", None)
        if kind is None or "tp_plan" not in inspect.signature(kind).parameters:
            return {"tp_plan": "auto"}
        return {"distributed_config": kind(tp_plan="auto")}

    def load(self, source, kwargs):
        if self.ranks["parallel"] == "data":
            return super().load(source, kwargs).to(self.device)
        version = self.stack.transformers.__version__
        try:
            model = super().load(source, kwargs)
        except (TypeError, ValueError, AttributeError, NotImplementedError, AssertionError) as error:
            raise Failure(
                "unsupported",
                f'launch.parallel = "tensor": transformers {version} with torch {self.torch.__version__} cannot load '
                f"this model that way on {self.device}: {type(error).__name__}: {one_line(error)}",
            ) from error
        if not any(is_sharded(tensor) for tensor in model.parameters()):
            raise Failure(
                "unsupported",
                f'launch.parallel = "tensor": transformers {version} left every weight of '
                f"{type(model).__name__} whole: it has no plan for it here; use parallel = \"data\" or a newer environment",
            )
        return model

    def announce_plan(self, realised):
        """No map was asked for, so nothing is planned but bytes."""
        count = [{"device": device, "bytes": total} for device, total in bytes_per_device(realised).items()]
        self.worker.emit("planned", device_map=[], budgets=[], weights_bytes=count, warnings=[])

    def generate(self, number, warmup):
        # Whoever waits here is ahead of a rank that still prepares, or is in the generation before.
        self.worker.crumb.generation(number)
        self.worker.crumb.phase("prefill")
        self.together()
        super().generate(number, warmup)


# -- the coordinator --


class Rank:
    """What the coordinator knows of a rank."""

    def __init__(self, number):
        self.number = number
        self.link = self.pid = self.code = self.failure = self.ended_s = None
        self.events = collections.deque()
        # It has said all it had to say; `is_done` is true once the others have as well.
        self.has_said_all = self.is_done = False

    def has_failed(self):
        """It is gone, or has named its failure, before its time or not in order."""
        return self.ended_s is not None and not (self.has_said_all and self.code in (None, 0))

    def is_lost(self):
        """It failed because another one did: it says that it lost its connection, or the launcher has ended it."""
        if self.failure is None:
            return self.code == -signal.SIGTERM
        words = self.failure["message"].lower()
        return bool(self.failure.get("lost")) or any(part in words for part in LOST_WORDS)

    def end_words(self):
        if self.code is None:
            return "is gone, and nobody knows how"
        if self.code < 0:
            try:
                return f"died of {signal.Signals(-self.code).name}"
            except ValueError:
                return f"died of signal {-self.code}"
        return f"ended with exit code {self.code} and gave no reason"


class Coordinator:
    """Launches the ranks, listens to them, and speaks for all of them."""

    PREFIX = "placebench-ranks-"

    def __init__(self, worker, request):
        self.worker, self.request = worker, request
        self.asked = request["placement"]["device_map"]["ranks"]
        self.ranks = [Rank(number) for number in range(self.asked["processes"])]
        self.codes, self.places, self.last_s = {}, [], 0.0
        self.selector = selectors.DefaultSelector()
        self.launcher = self.listener = self.launcher_ended_s = None
        # The path of a socket has 107 bytes at most.
        parent = tempfile.gettempdir()
        self.scratch = Scratch(self.PREFIX, parent if len(parent) <= 50 else "/tmp")
        self.folder = self.scratch.folder("launch")

    def run(self):
        if signal.getsignal(signal.SIGTERM) == signal.SIG_DFL:
            signal.signal(signal.SIGTERM, self.leave)
        try:
            self.worker.phase("resolve")
            self.launch()
            while not self.is_over():
                for key, _ in self.selector.select(0.1):
                    key.data()
                self.pass_on()
                self.look_for_ends()
            self.worker.emit("done")
        finally:
            self.stop()

    def launch(self):
        path = os.path.join(self.folder, "ranks")
        self.listener = socket.socket(socket.AF_UNIX)
        self.listener.bind(path)
        self.listener.listen(len(self.ranks) + 1)
        self.selector.register(self.listener, selectors.EVENT_READ, self.accept)
        faulthandler.unregister(signal.SIGUSR1)
        signal.signal(signal.SIGUSR1, self.ask_for_stacks)
        environment = {**os.environ, RANKS_VARIABLE: path, "PLACEBENCH_SUPERVISOR_PID": str(os.getpid())}
        command = launcher_command(self.asked, self.folder)
        self.launcher = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=2, env=environment)

    def leave(self, number, _frame):
        """The supervisor ends the group after a deadline: the folder goes first. The ranks have the signal themselves."""
        self.scratch.remove()
        signal.signal(number, signal.SIG_DFL)
        os.kill(os.getpid(), number)

    def ask_for_stacks(self, _signal, _frame):
        """Each rank answers into a file of its own. One that has not connected yet has made no arrangements for the signal."""
        for rank in self.ranks:
            if rank.pid is not None and rank.code is None:
                try:
                    os.kill(rank.pid, signal.SIGUSR1)
                except ProcessLookupError:
                    pass

    def accept(self):
        connection, _ = self.listener.accept()
        link = Link(connection)
        self.selector.register(connection, selectors.EVENT_READ, lambda: self.read(link))

    def read(self, link):
        is_there = link.fill()
        for message in link.waiting():
            self.take(link, message)
        if not is_there:
            self.selector.unregister(link.socket)
            link.socket.close()
            for rank in self.ranks:
                if rank.link is link and rank.ended_s is None:
                    rank.ended_s = time.monotonic()

    def take(self, link, message):
        if "code" in message:
            self.codes[message["pid"]] = message["code"]
        elif "rank" in message and "event" not in message:
            rank = self.ranks[message["rank"]]
            rank.link, rank.pid = link, message["pid"]
            link.send({"start": START, "request": self.request})
        else:
            rank = next(rank for rank in self.ranks if rank.link is link)
            if message["event"] == "error":
                rank.failure, rank.ended_s = message["failure"], time.monotonic()
            else:
                rank.has_said_all = message["event"] == "done"
                rank.events.append(message)

    # -- what all of them have said --

    def pass_on(self):
        while all(rank.events for rank in self.ranks):
            heads = [rank.events.popleft() for rank in self.ranks]
            kinds = [head["event"] for head in heads]
            for rank, kind in zip(self.ranks, kinds):
                if kind != kinds[0]:
                    self.fail(rank, "internal", f"said {kind} where rank 0 said {kinds[0]}")
            getattr(self, f"all_{kinds[0]}", self.all_alike)(heads)

    def say(self, heads, **changed):
        """An event of all ranks has happened when the last of them had it."""
        self.last_s = max(self.last_s, *(head["t_s"] for head in heads))
        self.worker.send({**heads[0], **changed, "t_s": self.last_s})

    def all_alike(self, heads):
        self.say(heads)

    def all_phase(self, heads):
        phase = heads[0]["phase"]
        if phase == self.worker.current_phase:
            return
        self.worker.current_phase = phase
        self.worker.crumb.phase(phase)
        self.say(heads)

    def all_planned(self, heads):
        self.say(heads, weights_bytes=summed([head["weights_bytes"] for head in heads]))

    def all_places(self, heads):
        self.places = heads[0]["modules"]
        self.say(heads)

    def all_loaded(self, heads):
        held = [{**module, "rank": rank} for rank, head in enumerate(heads) for module in head["realised"]]
        self.say(heads, realised=held)

    def all_started(self, heads):
        self.worker.crumb.generation(heads[0]["generation"])
        self.say(heads)

    def all_token(self, heads):
        first = heads[0]
        for rank, head in zip(self.ranks, heads):
            if head["id"] != first["id"]:
                self.fail(
                    rank,
                    "internal",
                    f"made token {head['id']} where rank 0 made {first['id']}, at position {first['index']} of generation "
                    f"{first['generation']}: they have the same model and prompt, so one of the two computes wrongly",
                )
        self.worker.crumb.token(first["index"] + 1)
        self.say(heads)

    def all_memory(self, heads):
        """A device that several ranks use holds what all of them hold."""
        for device in dict.fromkeys(head["device"] for head in heads):
            own = [head for head in heads if head["device"] == device]
            self.say(own, bytes=sum(head["bytes"] for head in own))

    def all_held(self, heads):
        self.say(heads, devices=summed([head["devices"] for head in heads]))

    def all_finished(self, heads):
        """The texts agree, and a token is there when the last rank has it."""
        results = [head["result"] for head in heads]
        first = results[0]
        for rank, result in zip(self.ranks, results):
            if (result["output_ids"], result["text"]) != (first["output_ids"], first["text"]):
                self.fail(rank, "internal", f"made the text {result['text']!r:.200} where rank 0 made {first['text']!r:.200}")
        start_s = min(result["start_s"] for result in results)
        stamps = zip(*([result["start_s"] + stamp for stamp in result["token_stamps_s"]] for result in results))
        self.say(heads, result={**first, "start_s": start_s, "token_stamps_s": [max(each) - start_s for each in stamps]})

    def all_faults_struck(self, heads):
        self.say(heads, struck=sorted({number for head in heads for number in head["struck"]}))

    def all_done(self, _heads):
        for rank in self.ranks:
            rank.is_done = True

    # -- how they end --

    def is_over(self):
        """Everything is said, and the launcher has ended in order."""
        return all(rank.is_done for rank in self.ranks) and self.launcher.poll() == 0

    def look_for_ends(self):
        now = time.monotonic()
        for rank in self.ranks:
            rank.code = self.codes.get(rank.pid, rank.code)
        ended = sorted((rank for rank in self.ranks if rank.has_failed()), key=lambda rank: rank.ended_s)
        if not ended:
            self.look_at_launcher(now)
            return
        waited_s = now - ended[0].ended_s
        is_told = all(rank.failure or rank.code is not None for rank in ended)
        causes = [rank for rank in ended if not rank.is_lost()]
        if waited_s < SETTLE_S or (waited_s < REPORT_S and not (is_told and causes)):
            return
        first = (causes or ended)[0]
        if first.failure is None:
            words, place = self.where(first)
            self.fail(first, "panic", first.end_words() + words, **place)
        failure = {key: value for key, value in first.failure.items() if key != "lost"}
        self.worker.current_phase = failure.pop("phase")
        self.fail(first, failure.pop("class"), f"failed: {failure.pop('message')}", **failure)

    def look_at_launcher(self, now):
        code = self.launcher.poll()
        if code is None or all(rank.is_done for rank in self.ranks) and code == 0:
            return
        # What the ranks said last may still be on its way.
        self.launcher_ended_s = self.launcher_ended_s or now
        if now - self.launcher_ended_s > SETTLE_S:
            silent = [str(rank.number) for rank in self.ranks if rank.pid is None]
            missing = f" before rank {', '.join(silent)} had started" if silent else ""
            raise Failure(
                "internal", f"{self.asked['launcher']} ended with exit code {code}{missing}; its own words are in the log"
            )

    def where(self, rank):
        """`, in decode, token 3, model.layers.2` of a rank's breadcrumb, and its place; sets the phase of the failure."""
        page = self.worker.crumb.page
        if page is None:
            return "", {}
        block = page[BLOCK_BYTES * (rank.number + 1) : BLOCK_BYTES * (rank.number + 2)]
        words = struct.unpack("<8Q", block)
        if words[Breadcrumb.PHASE] == 0:
            return "", {}
        self.worker.current_phase = PHASES[words[Breadcrumb.PHASE] - 1]
        parts, place = [f", in {self.worker.current_phase}"], {}
        if words[Breadcrumb.TOKEN]:
            parts.append(f"token {words[Breadcrumb.TOKEN] - 1}")
        if words[Breadcrumb.PLACE_KIND] == MODULE and words[Breadcrumb.PLACE_INDEX] < len(self.places):
            module, device = self.places[words[Breadcrumb.PLACE_INDEX]]
            parts.append(module)
            place = {"place": {"module": {"module": module, "device": device}}}
        return ", ".join(parts), place

    def fail(self, rank, failure_class, words, **details):
        name = f"rank {rank.number} of {len(self.ranks)}"
        raise Failure(failure_class, f"{name} {words}", **{**details, "rank": rank.number})

    def stop(self):
        """Ends whoever is left. The supervisor would do it as well: they are in its group."""
        for rank in self.ranks:
            if rank.pid is not None and self.codes.get(rank.pid) is None and not rank.is_done:
                try:
                    os.kill(rank.pid, signal.SIGKILL)
                except ProcessLookupError:
                    pass
        if self.launcher is not None and self.launcher.poll() is None:
            self.launcher.terminate()
            try:
                self.launcher.wait(2)
            except subprocess.TimeoutExpired:
                self.launcher.kill()
                self.launcher.wait()
        for key in list(self.selector.get_map().values()):
            key.fileobj.close()
        self.selector.close()
        self.scratch.remove()


def summed(lists):
    """Bytes by device, of all ranks together."""
    totals = {}
    for entry in (entry for entries in lists for entry in entries):
        totals[entry["device"]] = totals.get(entry["device"], 0) + entry["bytes"]
    return [{"device": device, "bytes": count} for device, count in totals.items()]


def is_sharded(tensor):
    """Whether a rank holds only a part of it."""
    local = getattr(tensor, "to_local", None)
    return local is not None and local().numel() < tensor.numel()


def installed_versions():
    """What the ranks will import, as its packages say: the coordinator itself imports none of it."""
    known = []
    for name in ("torch", "transformers", "accelerate"):
        try:
            known.append(f"{name} {importlib.metadata.version(name)}")
        except importlib.metadata.PackageNotFoundError as error:
            raise Failure(
                "unsupported",
                f"{sys.executable} (Python {python_version()}) has no package {name}: "
                "make an environment with `bash ci/python-env.sh newest`, or install it there",
            ) from error
    return [*known, f"Python {python_version()}"]


def check_launch(request):
    """Refuses, by its name, what ranks cannot do."""
    placement, spec = request["placement"], request.get("transformers") or {}
    set_here = [name for name in LAUNCHER_VARIABLES if os.environ.get(name)]
    if set_here:
        raise Failure(
            "placement_invalid",
            f"a launch was asked for where {set_here[0]} is set: this process is itself one of several; start placebench "
            "without a launcher",
        )
    if request["companion_prompts"]:
        raise Failure("unsupported", "launch: each rank makes one sequence; leave batch and in_flight out")
    for key in ("move_to", "inputs_on"):
        if spec.get(key):
            raise Failure("unsupported", f"transformers.{key} names a device, and each rank has one of its own: leave it out")
    if placement.get("max_memory") or request["devices"]:
        raise Failure("unsupported", "launch: each rank has one real device; leave max_memory and [devices] out")
    if placement.get("transfer") == "host":
        raise Failure("unsupported", 'transfer = "host": no activation of a rank moves between devices of its own')


def run_ranks(worker, request):
    """The coordinator: launches the ranks, listens to them, and speaks the protocol for all of them."""
    try:
        versions = installed_versions()
    except Failure:
        hello(worker, [f"Python {python_version()}"])
        raise
    hello(worker, versions)
    check_launch(request)
    Coordinator(worker, request).run()


if __name__ == "__main__":
    exit_code = main()
    sys.stderr.flush()
    # What is ours is closed. To take itself down torch needs seconds on a busy machine, and nobody waits for anything of it.
    os._exit(exit_code)
