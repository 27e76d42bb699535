//! What a reproducer says is what the case was, whatever its texts hold.

use std::path::{Path, PathBuf};

use proptest::prelude::*;

use super::case::{ProbeBase, failing_case, passing_case};
use super::reproducer::{FAILING, PASSING, Reproducer, scenario_toml};
use super::space::Configuration;
use crate::device::DeviceId;
use crate::placement::{DeviceMapRequest, Offload, Transfer};
use crate::protocol::{Message, ModelSource, Prompt, Sampling};
use crate::record::CaseSpec;
use crate::scenario::expand::expand;
use crate::scenario::file::DefaultsFile;
use crate::scenario::parse::parse;
use crate::scenario::resolve::{Origin, resolve};

const SCENARIO: &str = r#"schema_version = 1
engine = "mock"
[model]
path = "m"
dtype = "f16"
[devices]
"sim:0" = { on = "cpu", memory = "1MiB" }
"sim:1" = { on = "cpu" }
[[prompt]]
name = "p"
text = "Hello"
[[prompt]]
name = "q"
input_ids = [1, 2]
[generation]
max_new_tokens = 7
ignore_eos = true
[placement.single]
device_map = "sim:0"
[placement.split]
device_map = { "" = "sim:0" }
offload = "stream"
batch = 2
[timeout]
load = "90s"
token = "1500ms"
[measure]
warmup = 0
[expect]
agreement = { reference = "single", rule = "exact" }
forbid_devices = ["disk"]
[[fault]]
kind = "slow_link"
delay = "20ms"
at = { link = "sim:0 -> host -> sim:1", token = 3 }
[[fault]]
kind = "out_of_memory"
at = { bytes = "3MiB", device = "sim:1" }
placements = ["split"]
[env]
A = "b"
"#;

/// The cases of a scenario's text.
fn cases(text: &str) -> Vec<CaseSpec> {
    let (file, problems) = parse(text);
    assert!(problems.is_empty(), "{problems:?}\n{text}");
    let origin = Origin {
        name: "s".into(),
        file: "suite/s.toml".into(),
        folder: PathBuf::from("/suite"),
        suite: PathBuf::from("/suite"),
    };
    let read = |path: &Path| Err(format!("{} is not read", path.display()));
    let scenario = resolve(&file, &DefaultsFile::default(), text, origin, &read);
    let scenario = scenario.unwrap_or_else(|problems| panic!("{problems:?}\n{text}"));
    expand(&scenario, "/suite/snapshots")
}

fn of<'a>(cases: &'a [CaseSpec], placement: &str) -> &'a CaseSpec {
    cases
        .iter()
        .find(|case| case.placement == placement && case.prompt == "p")
        .unwrap()
}

fn modules() -> Vec<String> {
    let layers = (0..12).map(|layer| format!("model.layers.{layer}"));
    std::iter::once("model.embed_tokens".to_owned())
        .chain(layers)
        .chain(["model.norm".to_owned(), "lm_head".to_owned()])
        .collect()
}

fn configuration(devices: &[usize], transfer: Transfer) -> Configuration {
    let device = |index: &usize| DeviceId::new(&format!("sim:{index}")).unwrap();
    Configuration {
        devices: devices.iter().map(device).collect(),
        transfer,
        offload: Offload::Execute,
    }
}

/// Written and read back: the failing and the passing case.
fn round_trip(case: &CaseSpec, single: &CaseSpec, failing: &Configuration, passing: &Configuration) -> [CaseSpec; 2] {
    let failing_case = failing_case(case, "single", 1);
    let passing_case = passing_case(&failing_case, single);
    let modules = modules();
    let text = scenario_toml(&Reproducer {
        base: ProbeBase {
            failing: &failing_case,
            passing: &passing_case,
            modules: &modules,
            failing_devices: &failing.devices,
        },
        failing,
        passing,
        sentence: "a -> b is the culprit \"\"\" \u{1b}[31m\n[model]",
        run_id: "r",
    });
    let cases = cases(&text.unwrap());
    [of(&cases, FAILING).clone(), of(&cases, PASSING).clone()]
}

fn expanded(map: &DeviceMapRequest) -> Vec<(String, DeviceId)> {
    let DeviceMapRequest::Manual(entries) = map else {
        panic!("{map:?}")
    };
    let mut all = Vec::new();
    for (key, device) in entries {
        match key
            .strip_prefix("model.layers.")
            .and_then(|range| range.split_once('-'))
        {
            Some((first, last)) => {
                let (first, last): (usize, usize) = (first.parse().unwrap(), last.parse().unwrap());
                all.extend((first..=last).map(|layer| (format!("model.layers.{layer}"), device.clone())));
            }
            None => all.push((key.clone(), device.clone())),
        }
    }
    all
}

#[test]
fn everything_that_matters_is_read_back() {
    let suite = cases(SCENARIO);
    let (case, single) = (of(&suite, "split"), of(&suite, "single"));
    let devices = [0, 0, 0, 0, 1, 1, 0, 0, 0, 0, 0, 1, 1, 1, 0];
    let (failing, passing) = (
        configuration(&devices, Transfer::Host),
        configuration(&[0; 15], Transfer::Direct),
    );
    let [bad, good] = round_trip(case, single, &failing, &passing);
    for (read, written) in [(&bad, case), (&good, case)] {
        assert_eq!(read.model, written.model);
        assert_eq!(read.dtype, written.dtype);
        assert_eq!(read.devices, written.devices);
        assert_eq!(read.generation, written.generation);
        assert_eq!(read.timeout, written.timeout);
        assert_eq!(read.measure, written.measure);
        assert_eq!(read.env, written.env);
        assert_eq!(
            (&read.input, &read.companion_inputs),
            (&written.input, &written.companion_inputs)
        );
        assert_eq!(read.request.concurrency, written.request.concurrency);
        assert!(
            read.expect.forbid_devices.is_empty(),
            "a demand on the map that was varied"
        );
        let agreement = read.expect.agreement.as_ref().unwrap();
        assert_eq!((agreement.reference.as_str(), agreement.max_gap), (PASSING, 0.05));
    }
    assert_eq!(bad.request.transfer, Transfer::Host);
    assert_eq!(bad.faults, case.faults);
    // Neither can strike where there is one device, which is not that of the second.
    assert_eq!(good.faults, []);
    let places: Vec<(String, DeviceId)> = modules().into_iter().zip(failing.devices.clone()).collect();
    assert_eq!(expanded(&bad.request.device_map), places);
    assert!(matches!(good.request.device_map, DeviceMapRequest::Single(_)));
}

#[test]
fn models_of_all_sources_are_read_back() {
    let suite = cases(SCENARIO);
    let (failing, passing) = (
        configuration(&[0, 1], Transfer::Direct),
        configuration(&[0, 0], Transfer::Direct),
    );
    let hub = |file: Option<&str>| ModelSource::Hub {
        repo: "a/b".into(),
        revision: "main".into(),
        file: file.map(str::to_owned),
    };
    let dummy = |config: ModelSource| ModelSource::Dummy {
        config: Box::new(config),
        seed: 5,
    };
    for model in [
        ModelSource::Path("/models/m.gguf".into()),
        hub(None),
        hub(Some("x.gguf")),
        dummy(ModelSource::Path("/configs/m.json".into())),
        dummy(ModelSource::Path("/models/m".into())),
        dummy(hub(None)),
    ] {
        let case = CaseSpec {
            model: model.clone(),
            ..of(&suite, "split").clone()
        };
        let [bad, _] = round_trip(&case, of(&suite, "single"), &failing, &passing);
        assert_eq!(bad.model, model);
    }
}

proptest! {
    #[test]
    fn texts_of_any_kind_stay_what_they_are(
        text in any::<String>(), stop in prop::collection::vec("[^\u{0}]{1,8}", 0..3), value in any::<String>(),
        devices in prop::collection::vec(0..2_usize, 15), seed in 0..i64::MAX as u64, top_k in prop::option::of(1..1000_usize),
    ) {
        let suite = cases(SCENARIO);
        let mut case = of(&suite, "split").clone();
        case.input = Prompt::Messages(vec![Message { role: "user".into(), content: text.clone() }]);
        case.companion_inputs = vec![Prompt::Text(text)];
        case.generation.stop = stop;
        case.generation.sampling = Some(Sampling { temperature: 0.7, top_k, top_p: Some(0.9), seed });
        case.env = vec![("NAME".into(), value)];
        let failing = configuration(&devices, Transfer::Direct);
        let [bad, _] = round_trip(&case, of(&suite, "single"), &failing, &configuration(&[0; 15], Transfer::Direct));
        prop_assert_eq!(&bad.input, &case.input);
        prop_assert_eq!(&bad.companion_inputs, &case.companion_inputs);
        prop_assert_eq!(&bad.generation, &case.generation);
        prop_assert_eq!(&bad.env, &case.env);
    }
}
