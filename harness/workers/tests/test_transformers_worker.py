"""What of transformers_worker.py can be tested without torch: run with `python3 -m unittest` in this folder."""

import importlib.util
import os
import pathlib
import signal
import struct
import subprocess
import sys
import tempfile
import types
import unittest
from unittest import mock

FILE = pathlib.Path(__file__).resolve().parent.parent / "transformers_worker.py"
spec = importlib.util.spec_from_file_location("transformers_worker", FILE)
worker = importlib.util.module_from_spec(spec)
# Without this a compiled copy would be left beside the file.
sys.dont_write_bytecode = True
spec.loader.exec_module(worker)


def request(**changes):
    """A request that this engine takes, with changes at its top or in its placement or generation."""
    made = {
        "protocol": 1,
        "model": {"path": "/models/tiny"},
        "dtype": "f32",
        "devices": [],
        "placement": {
            "device_map": {"single": "cpu"},
            "max_memory": None,
            "transfer": "direct",
            "offload": "execute",
            "planner": "accelerate",
            "concurrency": "single",
        },
        "prompt": {"text": "Once"},
        "companion_prompts": [],
        "generation": {"max_new_tokens": 4, "sampling": None, "ignore_eos": False, "stop": []},
        "faults": [],
    }
    for key, value in changes.items():
        if isinstance(value, dict) and key in ("placement", "generation"):
            made[key] = {**made[key], **value}
        else:
            made[key] = value
    return made


class FakeTorch:
    """As much of torch as failures are told apart by."""

    class OutOfMemoryError(RuntimeError):
        pass

    class Tensor:
        pass

    class backends:  # pylint: disable=invalid-name
        class cuda:  # pylint: disable=invalid-name
            built = False

            @classmethod
            def is_built(cls):
                return cls.built

    class cuda:  # pylint: disable=invalid-name
        @staticmethod
        def device_count():
            return 1


class Device:
    """A device as a tensor has it."""

    def __init__(self, name):
        self.name, self.type = name, name.partition(":")[0]

    def __str__(self):
        return self.name


class Tensor:
    def __init__(self, count, device="cpu"):
        self.count, self.device = count, Device(device)

    def numel(self):
        return self.count

    @staticmethod
    def element_size():
        return 4


class Module:
    """A module as torch has it: parts by name, and its own tensors."""

    def __init__(self, parts=None, tensors=None, hook=None):
        self.parts, self.own = dict(parts or {}), dict(tensors or {})
        if hook is not None:
            self._hf_hook = hook

    def named_children(self):
        return list(self.parts.items())

    def named_modules(self, prefix=""):
        yield prefix, self
        for name, part in self.parts.items():
            yield from part.named_modules(f"{prefix}.{name}" if prefix else name)

    def modules(self):
        return [module for _, module in self.named_modules()]

    def named_parameters(self, recurse=True):
        assert not recurse
        return list(self.own.items())

    @staticmethod
    def named_buffers(recurse=True):
        assert not recurse
        return []

    def parameters(self):
        return (tensor for module in self.modules() for tensor in module.own.values())

    @staticmethod
    def buffers():
        return iter(())

    def get_submodule(self, path):
        found = self
        for name in path.split(".") if path else []:
            found = found.parts[name]
        return found

    def __len__(self):
        return len(self.parts)


class ModuleList(Module):
    pass


def tiny_model(tied=True, layers=2):
    """A decoder as the library builds it, with rotary embeddings that have no weights."""
    embedding = Tensor(100)
    trunk = Module(
        {
            "embed_tokens": Module(tensors={"weight": embedding}),
            "layers": ModuleList({str(i): Module({"mlp": Module(tensors={"weight": Tensor(10)})}) for i in range(layers)}),
            "norm": Module(tensors={"weight": Tensor(4)}),
            "rotary_emb": Module(),
        }
    )
    model = Module({"model": trunk, "lm_head": Module(tensors={"weight": embedding if tied else Tensor(100)})})
    model.config = types.SimpleNamespace(num_hidden_layers=layers)
    return model


def places_of(model):
    torch = types.SimpleNamespace(nn=types.SimpleNamespace(ModuleList=ModuleList))
    with mock.patch.dict(sys.modules, {"torch": torch}):
        return worker.execution_places(model)


class Requests(unittest.TestCase):
    def refused(self, failure_class, words, **changes):
        with self.assertRaises(worker.Failure) as caught:
            worker.check_request(request(**changes))
        self.assertEqual(caught.exception.failure_class, failure_class)
        self.assertIn(words, caught.exception.message)

    def test_what_it_can_do_passes(self):
        worker.check_request(request())
        worker.check_request(request(placement={"concurrency": {"batch": 2}, "device_map": {"strategy": "auto"}}))
        worker.check_request(request(faults=[{"kind": kind, "at": {}} for kind in worker.FAULTS]))
        worker.check_request(request(dtype=None))

    def test_what_it_cannot_do_is_refused_by_its_name(self):
        self.refused("request_invalid", "the fault spill", faults=[{"kind": "spill", "at": {}}])
        self.refused("request_invalid", "audit", audit=True)
        self.refused("unsupported", "concurrency", placement={"concurrency": {"in_flight": 2}})
        self.refused("unsupported", "optimal", placement={"device_map": {"optimal": "tpot"}})
        self.refused("unsupported", "stated", placement={"device_map": {"stated": "two nodes"}})
        self.refused("placement_invalid", "on disk as a whole", placement={"device_map": {"single": "disk"}})
        self.refused("unsupported", "dequantises GGUF", dtype=None, model={"path": "/models/a.gguf"})
        hub = {"hub": {"repo": "a/b", "revision": "main", "file": "a.gguf"}}
        self.refused("unsupported", "dequantises GGUF", dtype=None, model=hub)

    def test_a_device_map_under_a_launcher_is_refused(self):
        for name in worker.LAUNCHER_VARIABLES:
            with mock.patch.dict(os.environ, {name: "2"}):
                self.refused("placement_invalid", name)
                worker.check_request(request(placement={"device_map": {"ranks": {"processes": 2}}}))

    def test_ranges_of_layers_are_written_out(self):
        entries = [["model.embed_tokens", "cpu"], ["model.layers.0-2", "disk"], ["model.layers.3.mlp", "cpu"]]
        expected = [
            ("model.embed_tokens", "cpu"),
            *((f"model.layers.{layer}", "disk") for layer in range(3)),
            ("model.layers.3.mlp", "cpu"),
        ]
        self.assertEqual(worker.written_map(entries), expected)
        for wrong in ("model.layers.3-1", "model.layers.0-999999999"):
            with self.assertRaises(worker.Failure):
                worker.written_map([[wrong, "cpu"]])

    def test_of_keys_below_one_another_the_longest_wins(self):
        modules = ["", "model", "model.embed_tokens", "model.layers", "model.layers.0", "model.layers.1", "lm_head"]
        tensors = ["model.embed_tokens.weight", "model.layers.0.mlp.weight", "model.layers.1.mlp.weight", "lm_head.weight"]
        flat = [("model", "cpu"), ("lm_head", "disk")]
        self.assertEqual(worker.resolve_map(flat, modules, tensors), flat)
        nested = [("", "cpu"), ("model.layers.1", "disk"), ("model.layers", "cuda:0")]
        self.assertEqual(
            dict(worker.resolve_map(nested, modules, tensors)),
            {"model.embed_tokens": "cpu", "model.layers.0": "cuda:0", "model.layers.1": "disk", "lm_head": "cpu"},
        )

    def test_a_map_that_does_not_fit_the_model_is_refused(self):
        modules, tensors = ["", "model", "model.norm", "lm_head"], ["model.norm.weight", "lm_head.weight"]
        for written, words in (
            ([("model", "cpu"), ("lm_haed", "cpu")], "did you mean lm_head"),
            ([("model", "cpu")], "says nothing about lm_head.weight"),
        ):
            with self.assertRaises(worker.Failure) as caught:
                worker.resolve_map(written, modules, tensors)
            self.assertEqual(caught.exception.failure_class, "placement_invalid")
            self.assertIn(words, caught.exception.message)

    def test_devices_are_asked_for_by_the_key_that_names_them(self):
        asked = request(
            placement={"device_map": {"manual": [["model", "cuda:1"]]}, "max_memory": [["cpu", 5]]},
            transformers={"move_to": "cuda:0", "inputs_on": "cpu"},
        )
        self.assertEqual(
            worker.devices_asked(asked),
            [
                ("max_memory", "cpu"),
                ("device_map", "cuda:1"),
                ("transformers.move_to", "cuda:0"),
                ("transformers.inputs_on", "cpu"),
            ],
        )

    def test_devices_that_are_not_there_are_refused(self):
        for name, built, failure_class, words in [
            ("sim:0", True, "unsupported", "leaves a placement on logical devices to candle"),
            ("metal:0", True, "unsupported", "PyTorch has no device metal:0"),
            ("meta", True, "unsupported", "meta"),
            ("cuda:0", False, "device_missing", "built without CUDA"),
            ("cuda:1", True, "device_missing", "torch finds 1 CUDA devices"),
        ]:
            with self.subTest(name), mock.patch.object(FakeTorch.backends.cuda, "built", built):
                with self.assertRaises(worker.Failure) as caught:
                    worker.check_device(FakeTorch, name, "device_map")
                self.assertEqual(caught.exception.failure_class, failure_class)
                self.assertIn(words, caught.exception.message)
        with mock.patch.object(FakeTorch.backends.cuda, "built", True):
            worker.check_device(FakeTorch, "cuda:0", "device_map")
        worker.check_device(FakeTorch, "cpu", "device_map")
        worker.check_device(FakeTorch, "meta", "transformers.inputs_on")

    def test_names_of_devices_go_both_ways(self):
        names = ["cuda:1", "cuda:0", "cuda:0", "cuda:3", "cpu", "disk"]
        for given, name in zip([1, "cuda", 0, "3", Device("cpu"), "disk"], names):
            self.assertEqual(worker.device_name(given), name)
        self.assertEqual([worker.library_device(name) for name in ("cuda:1", "cpu")], [1, "cpu"])

    def test_models_that_are_not_there_are_missing(self):
        with tempfile.TemporaryDirectory() as folder:
            gguf = os.path.join(folder, "a.gguf")
            for path in (os.path.join(folder, "none"), gguf, folder):
                with self.assertRaises(worker.Failure) as caught:
                    worker.from_pretrained_source({"path": path})
                self.assertEqual(caught.exception.failure_class, "model_missing")
            pathlib.Path(gguf).touch()
            self.assertEqual(worker.from_pretrained_source({"path": gguf}), (folder, {"gguf_file": "a.gguf"}))

    def test_weights_in_pickles_only_are_refused(self):
        with tempfile.TemporaryDirectory() as folder:
            for name in ("config.json", "pytorch_model.bin"):
                pathlib.Path(folder, name).touch()
            with self.assertRaises(worker.Failure) as caught:
                worker.from_pretrained_source({"path": folder})
            self.assertEqual(caught.exception.failure_class, "model_invalid")
            for words in ("pytorch_model.bin", "safetensors"):
                self.assertIn(words, caught.exception.message)
            pathlib.Path(folder, "model.safetensors").touch()
            self.assertEqual(worker.from_pretrained_source({"path": folder}), (folder, {}))

    def test_a_folder_without_a_vocabulary_has_no_tokenizer(self):
        made = types.SimpleNamespace(AutoTokenizer=types.SimpleNamespace(from_pretrained=lambda *_, **__: "a tokenizer"))
        stack = types.SimpleNamespace(torch=FakeTorch, transformers=made)
        with tempfile.TemporaryDirectory() as folder:
            pathlib.Path(folder, "tokenizer_config.json").touch()
            with self.assertRaises(worker.Failure) as caught:
                worker.Engine(None, request(), stack).read_tokenizer(folder, {})
            self.assertEqual(caught.exception.failure_class, "tokenizer")
            self.assertIn(folder, caught.exception.message)
            of_tokens = worker.Engine(None, request(prompt={"input_ids": [1]}), stack)
            self.assertIsNone(of_tokens.read_tokenizer(folder, {}))
            # A GGUF file has its own.
            self.assertEqual(of_tokens.read_tokenizer(folder, {"gguf_file": "a.gguf"}), "a tokenizer")
            pathlib.Path(folder, "tokenizer.json").touch()
            self.assertEqual(worker.Engine(None, request(), stack).read_tokenizer(folder, {}), "a tokenizer")

    def test_prompts_that_the_model_cannot_take_are_refused(self):
        engine = worker.Engine(None, request(), types.SimpleNamespace(torch=FakeTorch))
        engine.tokenizer = None
        engine.config = types.SimpleNamespace(max_position_embeddings=8)
        embeddings = types.SimpleNamespace(num_embeddings=100)
        engine.model = types.SimpleNamespace(get_input_embeddings=lambda: embeddings)
        self.assertEqual(engine.input_ids({"input_ids": [1, 2, 3, 99]}), [1, 2, 3, 99])
        for ids, words in [([], "no token"), ([100], "vocabulary of 100"), ([1] * 5, "made for 8 positions")]:
            with self.assertRaises(worker.Failure) as caught:
                engine.input_ids({"input_ids": ids})
            self.assertEqual(caught.exception.failure_class, "request_invalid")
            self.assertIn(words, caught.exception.message)

    def test_a_model_is_as_long_as_it_was_stretched(self):
        for fields, most in [
            ({"max_position_embeddings": 512}, 512),
            ({"max_position_embeddings": 512, "rope_scaling": {"factor": 4.0}}, 2048),
            ({"max_position_embeddings": 512, "rope_parameters": {"rope_theta": 1e4}}, 512),
            ({"max_position_embeddings": 512, "rope_parameters": {"full_attention": {"factor": 8}}}, 4096),
            ({"max_position_embeddings": None}, None),
            ({}, None),
        ]:
            with self.subTest(fields):
                self.assertEqual(worker.positions(types.SimpleNamespace(**fields)), most)


class Reading(unittest.TestCase):
    def test_places_are_in_the_order_of_execution(self):
        names = [name for name, _ in places_of(tiny_model())]
        self.assertEqual(
            names, ["model.embed_tokens", "model.layers.0", "model.layers.1", "model.norm", "lm_head"]
        )

    def test_a_model_without_a_list_of_layers_is_refused(self):
        model = tiny_model()
        model.config.num_hidden_layers = 7
        with self.assertRaises(worker.Failure) as caught:
            places_of(model)
        self.assertEqual(caught.exception.failure_class, "unsupported")

    def test_a_tied_head_has_no_bytes_of_its_own(self):
        for tied, expected in ((True, 0), (False, 400)):
            realised = worker.realised_modules(places_of(tiny_model(tied)))
            self.assertEqual([entry["bytes"] for entry in realised], [400, 40, 40, 16, expected])
            self.assertEqual({entry["device"] for entry in realised}, {"cpu"})

    def test_a_map_that_was_not_kept_is_seen_in_the_tensors(self):
        model = tiny_model()
        layer = model.parts["model"].parts["layers"].parts["1"]
        layer.parts["mlp"].own["weight"] = Tensor(10, "cuda:0")
        layer.parts["other"] = Module(tensors={"weight": Tensor(3)})
        realised = worker.realised_modules(places_of(model))
        split = [entry for entry in realised if entry["module"] == "model.layers.1"]
        self.assertEqual([(entry["device"], entry["bytes"]) for entry in split], [("cuda:0", 40), ("cpu", 12)])

    def test_tensors_without_data_rest_where_the_hook_says(self):
        weights = types.SimpleNamespace(state_dict={"model.a.weight": 1})
        prefixed = types.SimpleNamespace(prefix="model.", dataset=weights)
        prefixed = types.SimpleNamespace(prefix="a.", dataset=prefixed)
        hook = types.SimpleNamespace(weights_map=prefixed, execution_device=0)
        sequence = types.SimpleNamespace(hooks=[types.SimpleNamespace(execution_device=None), hook])
        for owner in (hook, sequence):
            module = Module(tensors={"weight": Tensor(10, "meta"), "bias": Tensor(2, "meta")}, hook=owner)
            self.assertEqual([where for _, where, _ in worker.tensors_of(module)], ["cpu", "disk"])
            self.assertEqual(worker.execution_device(module), "cuda:0")
        self.assertEqual(worker.tensors_of(Module(tensors={"weight": Tensor(1, "meta")}))[0][1], "meta")
        self.assertEqual(worker.execution_device(Module(tensors={"weight": Tensor(1, "cuda:2")})), "cuda:2")

    def test_the_longest_key_of_a_map_wins(self):
        answered = [["", "cpu"], ["model.layers.1", "disk"], ["model.layers.1.mlp", "cuda:0"]]
        self.assertEqual(worker.device_of(answered, "model.layers.1"), "disk")
        self.assertEqual(worker.device_of(answered, "model.layers.10"), "cpu")
        self.assertIsNone(worker.device_of(answered[1:], "model.norm"))


class Tokenizer:
    """Bytes are its tokens; 0 ends a text and shows nothing."""

    @staticmethod
    def decode(ids, **_):
        return bytes(token for token in ids if token).decode(errors="replace")


class Growing(unittest.TestCase):
    def grown(self, text, stop=(), ignore_eos=False, most=99):
        engine = types.SimpleNamespace(
            tokenizer=Tokenizer,
            eos_ids=[0],
            request=request(generation={"stop": list(stop), "ignore_eos": ignore_eos, "max_new_tokens": most}),
        )
        sequence = worker.Sequence(engine, [1], 0.0)
        step = types.SimpleNamespace(hops=1, transfer_bytes=8)
        for position, token in enumerate(text):
            best = [{"id": token, "logit": 3.0}, {"id": 1, "logit": 1.0}]
            if sequence.take(token, 0.1 * position, best, step):
                break
        return sequence.result()

    def test_an_end_token_is_a_token_without_text(self):
        made = self.grown(b"ab\0cd")
        self.assertEqual((made["text"], made["finish_reason"]), ("ab", "eos"))
        self.assertEqual((made["output_ids"], made["text_offsets"]), ([97, 98, 0], [1, 2, 2]))
        self.assertEqual(self.grown(b"ab\0c", ignore_eos=True)["finish_reason"], "length")

    def test_a_character_of_several_tokens_shows_with_its_last_one(self):
        made = self.grown("aé€".encode())
        self.assertEqual((made["text"], made["text_offsets"]), ("aé€", [1, 1, 3, 3, 3, 6]))

    def test_a_stop_text_is_no_part_of_the_result(self):
        made = self.grown(b"one two three", stop=["two", "three"])
        self.assertEqual((made["text"], made["finish_reason"]), ("one ", "stop"))
        self.assertEqual(len(made["output_ids"]), len("one two"))
        self.assertEqual(made["text_offsets"], [1, 2, 3, 4, 4, 4, 4])
        self.assertEqual(self.grown(b"one", stop=["two"])["finish_reason"], "length")

    def test_there_is_one_of_each_list_for_every_token(self):
        made = self.grown(b"abcdef", most=4)
        for key in ("output_ids", "token_stamps_s", "top2_gaps", "top5", "hops", "transfer_bytes", "text_offsets"):
            self.assertEqual(len(made[key]), 4, key)
        self.assertEqual(made["top2_gaps"], [2.0] * 4)


class Striking(unittest.TestCase):
    def faults(self, *faults, phase="decode"):
        made = worker.Faults(list(faults), types.SimpleNamespace(current_phase=phase), FakeTorch)
        made.position, made.generation = 2, 0
        return made

    def test_every_condition_must_hold(self):
        faults = self.faults({"kind": "nan", "at": {"module": "model.norm", "token": 2, "hop": None}})
        self.assertFalse(faults.strikes("nan", module="model.layers.0"))
        self.assertEqual(faults.struck, set())
        self.assertTrue(faults.strikes("nan", module="model.norm"))
        faults.position = 3
        self.assertFalse(faults.strikes("nan", module="model.norm"))
        self.assertEqual(faults.struck, {0})

    def test_without_a_phase_it_strikes_while_generating(self):
        self.assertFalse(self.faults({"kind": "nan", "at": {}}, phase="prepare").strikes("nan", module="x"))
        self.assertTrue(self.faults({"kind": "nan", "at": {}}, phase="prefill").strikes("nan", module="x"))
        self.assertTrue(self.faults({"kind": "nan", "at": {"phase": "load"}}, phase="load").strikes("nan"))

    def test_out_of_memory_is_what_torch_raises(self):
        faults = self.faults({"kind": "out_of_memory", "at": {"bytes": 100}})
        faults.out_of_memory("cpu", 100, module="model.norm")
        with self.assertRaises(FakeTorch.OutOfMemoryError) as caught:
            faults.out_of_memory("cpu", 101, module="model.norm")
        failure = worker.describe(caught.exception, "generating", FakeTorch)
        self.assertEqual((failure.failure_class, failure.details), ("out_of_memory", {"device": "cpu"}))


class Misfortunes(unittest.TestCase):
    def test_exceptions_of_the_libraries_have_a_class(self):
        for error, failure_class in [
            (FakeTorch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2 GiB. GPU 1 has"), "out_of_memory"),
            (RuntimeError("[enforce fail] DefaultCPUAllocator: can't allocate memory"), "out_of_memory"),
            (RuntimeError("Expected all tensors to be on the same device, but found cpu and cuda:0"), "placement_invalid"),
            (ValueError("Some modules are dispatched on the CPU or the disk."), "placement_invalid"),
            (ValueError("model.norm.weight doesn't have any device set."), "placement_invalid"),
            (RuntimeError("You can't move a model that has some modules offloaded to cpu or disk."), "placement_invalid"),
            (RuntimeError("Tensor.item() cannot be called on meta tensors"), "placement_invalid"),
            (ValueError("Transformers does not recognize this architecture"), "unsupported"),
            (ImportError("flash_attn is not installed"), "unsupported"),
            (OSError("no file named model.safetensors found"), "model_missing"),
            (type("SafetensorError", (Exception,), {})("header too large"), "model_invalid"),
            (ValueError("You are trying to offload the whole model to the disk."), "placement_invalid"),
            (ValueError("Unrecognized model in /models/a. Should have a `model_type` key"), "model_invalid"),
            (KeyError("whatever"), "internal"),
        ]:
            with self.subTest(str(error)):
                failure = worker.describe(error, "the model", FakeTorch)
                self.assertEqual(failure.failure_class, failure_class)
                self.assertNotIn("\n", failure.message)
        told = worker.describe(FakeTorch.OutOfMemoryError("CUDA out of memory. GPU 1 has"), "generating", FakeTorch)
        self.assertEqual(told.details, {"device": "cuda:1"})

    def test_a_missing_package_is_named_with_what_installs_it(self):
        with self.assertRaises(worker.Failure) as caught:
            worker.Stack.import_one("no_such_package_of_anybody")
        self.assertEqual(caught.exception.failure_class, "unsupported")
        for words in ("no_such_package_of_anybody", sys.executable, "ci/python-env.sh newest"):
            self.assertIn(words, caught.exception.message)

    def test_long_words_become_one_line(self):
        self.assertEqual(worker.one_line(ValueError("a\n  b")), "a b")
        self.assertEqual(worker.one_line(ValueError()), "ValueError")
        self.assertLess(len(worker.one_line(ValueError("x" * 5000))), 700)


class Leftovers(unittest.TestCase):
    def test_folders_of_the_dead_are_removed_and_those_of_the_living_stay(self):
        with tempfile.TemporaryDirectory() as temporary, mock.patch.object(tempfile, "tempdir", temporary):
            living, dead = worker.Scratch(), worker.Scratch()
            living.folder("offload")
            pathlib.Path(dead.folder("dummy"), "weights").touch()
            # A process that ends lets go of its lock, however it ends.
            dead.lock.close()
            unfinished = tempfile.mkdtemp(prefix=worker.Scratch.PREFIX)
            own = worker.Scratch()
            self.assertEqual(own.folder("dummy"), own.folder("dummy"))
            there = {os.path.join(temporary, name) for name in os.listdir(temporary)}
            self.assertEqual(there, {living.path, own.path, unfinished})
            own.remove()
            living.remove()
            self.assertEqual(os.listdir(temporary), [os.path.basename(unfinished)])

    def test_a_coordinator_that_is_ended_leaves_no_folder(self):
        code = (
            f"import sys, signal, time; sys.dont_write_bytecode = True; sys.path.insert(0, {str(FILE.parent)!r})\n"
            "import transformers_worker as w\n"
            "c = w.Coordinator(None, {'placement': {'device_map': {'ranks': {'processes': 2}}}})\n"
            "signal.signal(signal.SIGTERM, c.leave); print(c.folder, flush=True)\nwhile True: time.sleep(0.1)\n"
        )
        with tempfile.TemporaryDirectory() as temporary:
            environment = {**os.environ, "TMPDIR": temporary}
            with subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, env=environment) as process:
                folder = process.stdout.readline().decode().strip()
                self.assertTrue(os.path.isdir(folder), folder)
                process.send_signal(signal.SIGTERM)
                self.assertEqual(process.wait(), -signal.SIGTERM)
            self.assertFalse(os.path.exists(os.path.dirname(folder)))


class Page(unittest.TestCase):
    def test_words_lie_where_the_protocol_says(self):
        with tempfile.NamedTemporaryFile() as file:
            file.write(bytes(4096))
            file.flush()
            for offset in (0, 128):
                crumb = worker.Breadcrumb(file.name, offset)
                crumb.phase("decode")
                crumb.generation(1)
                crumb.token(4)
                crumb.place(worker.HOP, 3)
            page = pathlib.Path(file.name).read_bytes()
            for offset in (0, 128):
                words = struct.unpack_from("<8Q", page, offset)
                self.assertEqual(words[0].to_bytes(8, "little"), b"placebc1")
                self.assertEqual(words[1:7], (4, 7, 1, 5, 2, 3))
            self.assertEqual(page[64:128], bytes(64))

    def test_a_new_token_is_at_no_place_yet(self):
        with tempfile.NamedTemporaryFile() as file:
            file.write(bytes(4096))
            file.flush()
            crumb = worker.Breadcrumb(file.name)
            crumb.place(worker.MODULE, 9)
            crumb.token(2)
            words = struct.unpack_from("<8Q", pathlib.Path(file.name).read_bytes())
            self.assertEqual((words[worker.Breadcrumb.TOKEN], words[worker.Breadcrumb.PLACE_KIND]), (3, 0))

    def test_without_a_page_it_works_on(self):
        worker.Breadcrumb(None).place(worker.MODULE, 1)


if __name__ == "__main__":
    unittest.main()
