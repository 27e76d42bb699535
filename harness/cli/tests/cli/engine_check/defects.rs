//! Engines with one defect each: the example engine with a line of it changed.

/// A change of the example engine, and the one check that must find it.
pub(super) struct Defect {
    pub(super) fails: &'static str,
    /// What stands there, and what stands there instead.
    pub(super) changes: &'static [(&'static str, &'static str)],
    /// Longest wait: short where the defect is that something never comes.
    pub(super) timeout: &'static str,
}

const fn defect(fails: &'static str, changes: &'static [(&'static str, &'static str)]) -> Defect {
    Defect {
        fails,
        changes,
        timeout: "60s",
    }
}

const fn endless(fails: &'static str, changes: &'static [(&'static str, &'static str)]) -> Defect {
    Defect {
        timeout: "8s",
        ..defect(fails, changes)
    }
}

pub(super) const DEFECTS: &[Defect] = &[
    defect(
        "stdout",
        &[(
            "    os.dup2(2, 1)\n",
            "    events.write(\"Loading weights: 100%\\n\")\n",
        )],
    ),
    defect("hello", &[("        protocol=PROTOCOL,\n", "        protocol=2,\n")]),
    defect(
        "hello",
        &[(
            "versions=[f\"example engine 1, Python {sys.version.split()[0]}\"],",
            "versions=[],",
        )],
    ),
    defect(
        "run",
        &[(
            "    worker.emit(\"done\")\n",
            "    worker.emit(\"done\")\n    worker.emit(\"done\")\n",
        )],
    ),
    defect(
        "run",
        &[(
            "session.generate(number, number < warmups)",
            "session.generate(number, False)",
        )],
    ),
    defect(
        "needed_events",
        &[(
            "        self.worker.emit(\"places\", modules=placed, hops=self.hops)\n",
            "",
        )],
    ),
    defect("clock", &[("append(worker.now() - start)", "append(worker.now())")]),
    defect(
        "clock",
        &[("START = time.monotonic()", "START = time.monotonic() - 1000")],
    ),
    defect(
        "result",
        &[("[\"hops\"].append(hops)", "[\"hops\"].extend([hops, hops])")],
    ),
    defect(
        "result",
        &[(
            "\"logit\": logits[byte]} for byte in best]",
            "\"logit\": logits[byte]} for byte in best[::-1]]",
        )],
    ),
    defect(
        "no_breadcrumb",
        &[(
            "    def generation(self, number):\n",
            "    def generation(self, number):\n        self.page[0:8]\n",
        )],
    ),
    defect(
        "protocol_version",
        &[("if request[\"protocol\"] != PROTOCOL:", "if False:")],
    ),
    defect(
        "unknown_keys",
        &[(
            "    if request.get(\"audit\"):\n",
            "    if len(request[\"generation\"]) > 4:\n        raise Failure(\"request_invalid\", \"a key too many\")\n    \
             if request.get(\"audit\"):\n",
        )],
    ),
    defect("unreadable_request", &[("        return 2\n", "        return 1\n")]),
    defect(
        "large_request",
        &[("json.load(sys.stdin)", "json.loads(sys.stdin.read(65536))")],
    ),
    defect("single", &[("\"device\": module.device.name,", "\"device\": \"cpu\",")]),
    defect(
        "split",
        &[(
            "\"device\": module.device.name,",
            "\"device\": self.modules[0].device.name,",
        )],
    ),
    defect("longest_key", &[("max(fits)[1]", "fits[-1][1]")]),
    defect("longest_key", &[("max(fits)[1]", "fits[0][1]")]),
    defect(
        "same_tokens",
        &[(
            "return list(struct.unpack(f\"<{len(state)}d\", sent)), len(sent)",
            "return [0.0] * len(state), len(sent)",
        )],
    ),
    defect(
        "transfer_host",
        &[(
            "        self.worker.emit(\"places\", modules=placed, hops=self.hops)\n",
            "        self.worker.emit(\"places\", modules=placed, hops=self.hops)\n        for hop in self.hops:\n            \
             link = {\"from\": hop[\"from_device\"], \"to\": hop[\"to_device\"], \"transfer\": \"direct\", \"verified\": True}\n            \
             self.worker.emit(\"links\", links=[link])\n",
        )],
    ),
    defect(
        "strategy",
        &[
            (
                "raise Failure(\"unsupported\", \"this engine plans nothing: write one device, or a map of modules to devices\")",
                "written = [(\"\", \"sim:1\")]",
            ),
            (
                "device_map=placed,",
                "device_map=[(module, \"sim:0\") for module, _ in placed],",
            ),
        ],
    ),
    defect(
        "weights",
        &[(
            "planned[device] += Module.planned_bytes(module)",
            "planned[device] += 2 * Module.planned_bytes(module)",
        )],
    ),
    // A model in the shapes of the configuration, of which one kind of module is not counted in full.
    defect(
        "weights",
        &[
            OWN_SHAPES[0],
            OWN_SHAPES[1],
            (
                "return {\"model.embed_tokens\"",
                "return {\"model.layers.1\": 289, \"model.embed_tokens\"",
            ),
        ],
    ),
    defect(
        "dtype",
        &[
            OWN_SHAPES[0],
            OWN_SHAPES[1],
            ("if request[\"dtype\"] not in (None, \"f32\"):", "if False:"),
        ],
    ),
    defect(
        "budgets",
        &[("\"allowed_bytes\": self.budget_bytes}", "\"allowed_bytes\": None}")],
    ),
    defect(
        "over_budget",
        &[(
            "if self.budget_bytes is not None and needed > self.budget_bytes:",
            "if False:",
        )],
    ),
    defect("over_budget", &[("                device=self.name,\n", "")]),
    defect(
        "repeatable",
        &[("random.Random(f\"{seed}:{name}\")", "random.Random()")],
    ),
    defect(
        "one_token",
        &[(
            "range(spec[\"max_new_tokens\"])",
            "range(max(2, spec[\"max_new_tokens\"]))",
        )],
    ),
    defect(
        "long_prompt",
        &[("        if not tokens:\n", "        if not 0 < len(tokens) < 256:\n")],
    ),
    defect("text_prompt", &[("if \"text\" in prompt:", "if \"texts\" in prompt:")]),
    defect(
        "messages_prompt",
        &[("if \"messages\" in prompt:", "if \"chat\" in prompt:")],
    ),
    defect(
        "ignore_eos",
        &[
            (
                "        self.devices = read_devices(request)\n",
                "        config = request[\"model\"][\"dummy\"][\"config\"][\"path\"]\n        with open(config, encoding=\"utf-8\") as \
                 file:\n            self.eos = json.load(file)[\"eos_token_id\"]\n        self.devices = read_devices(request)\n",
            ),
            (
                "            if ends:\n",
                "            if token == self.eos:\n                reason = \"eos\"\n                break\n            if ends:\n",
            ),
        ],
    ),
    defect(
        "stop",
        &[("text, reason = text[: min(ends)], \"stop\"", "reason = \"stop\"")],
    ),
    defect(
        "sampling",
        &[("    if request[\"generation\"][\"sampling\"]:\n", "    if False:\n")],
    ),
    defect(
        "companions",
        &[("    if request[\"companion_prompts\"]:\n", "    if False:\n")],
    ),
    defect(
        "probe",
        &[(
            "    worker.phase(\"prepare\")\n",
            "    worker.phase(\"prepare\")\n    if request[\"probe\"]:\n        worker.emit(\"probed\", input_tokens=6, top5=[{\"id\": \
             299, \"logit\": 1.0}], logits=256, non_finite=0, logits_l2=1.0)\n",
        )],
    ),
    defect("audit", &[("    if request.get(\"audit\"):\n", "    if False:\n")]),
    defect(
        "model_missing",
        &[("raise Failure(\"model_missing\"", "raise Failure(\"internal\"")],
    ),
    defect(
        "model_invalid",
        &[(
            "raise Failure(\"model_invalid\", f\"{path}: num_hidden_layers cannot",
            "raise Failure(\"internal\", f\"{path}: num_hidden_layers cannot",
        )],
    ),
    defect(
        "device_missing",
        &[(
            "raise Failure(\"device_missing\", f\"{device} is not there; there are: {', '.join(devices)}\")",
            "device = \"cpu\"",
        )],
    ),
    defect(
        "unknown_module",
        &[(
            "raise Failure(\"placement_invalid\", f\"the model has no module {key}\")",
            "pass",
        )],
    ),
    defect(
        "incomplete_map",
        &[(
            "raise Failure(\"placement_invalid\", f\"the map says nothing about {module}\")",
            "fits = [(0, \"cpu\")]",
        )],
    ),
    defect(
        "unknown_fault",
        &[
            ONLY_STALLS,
            (
                "- {\"stall\"})",
                "& {\"crash\", \"nan\", \"out_of_memory\", \"garbage\"})",
            ),
        ],
    ),
    defect("faults", &[ONLY_STALLS, ("- {\"stall\"})", "- {\"stall\", \"nan\"})")]),
    endless(
        "flush",
        &[(
            "        self.events.flush()\n",
            "        if event in (\"done\", \"error\"):\n            self.events.flush()\n",
        )],
    ),
    defect(
        "stall",
        &[("self.set(self.TOKEN, position + 1)", "self.set(self.TOKEN, position)")],
    ),
    defect(
        "stall",
        &[(
            "self.set(self.STAMP_NS, time.clock_gettime_ns(time.CLOCK_MONOTONIC))",
            "pass",
        )],
    ),
    defect("stall_in_module", &[("crumb.place(1, index)", "crumb.place(1, 0)")]),
    defect("stall_in_hop", &[("        self.worker.crumb.place(2, index)\n", "")]),
    defect(
        "sigterm",
        &[(
            "    os.dup2(2, 1)\n",
            "    os.dup2(2, 1)\n    import signal\n    signal.signal(signal.SIGTERM, signal.SIG_IGN)\n",
        )],
    ),
    endless(
        "supervisor_gone",
        &[(
            "    threading.Thread(target=follow_supervisor, daemon=True).start()\n",
            "",
        )],
    ),
    endless(
        "closed_pipe",
        &[(
            "        self.events.flush()\n",
            "        try:\n            self.events.flush()\n        except BrokenPipeError:\n            time.sleep(3600)\n",
        )],
    ),
    defect("messages", &[("f\"{path} is not there\"", "\"\"")]),
];

const ONLY_STALLS: (&str, &str) = (
    "[fault[\"at\"] for fault in request[\"faults\"]]",
    "[fault[\"at\"] for fault in request[\"faults\"] if fault[\"kind\"] == \"stall\"]",
);

/// What makes the example's modules as large as the configuration says.
const OWN_SHAPES: [(&str, &str); 2] = [
    ("HIDDEN = 16\n", "HIDDEN = 32\n"),
    (
        "{\"model.embed_tokens\": VOCABULARY, \"lm_head\": VOCABULARY, \"model.norm\": 1}.get(name, HIDDEN)",
        "{\"model.embed_tokens\": 320, \"lm_head\": 320, \"model.norm\": 1}.get(name, 290)",
    ),
];
