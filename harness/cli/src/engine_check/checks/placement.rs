//! Maps, bytes and budgets: whether things are where they were asked to be.

use placebench_core::device::DeviceId;
use placebench_core::outcome::{FailureClass, Outcome};
use placebench_core::placement::{DeviceMapRequest, StrategyName, Transfer};
use placebench_core::protocol::{Dtype, MemoryKind, RealisedModule};
use placebench_core::units::Bytes;

use super::super::answer::{Answer, Stop};
use super::super::check::Check;
use super::super::lab::Lab;
use super::super::seen::Seen;
use super::super::{maps, model};

/// A budget that no model fits in.
const TINY: Bytes = Bytes(1024);

pub(crate) const SINGLE: Check = Check {
    name: "single",
    requires: "One device for everything: every module is read back from there",
    section: "placement",
    help: "send in `loaded` the device that each module's tensors are on, read back from them",
    after: &[],
    ask: single,
};

pub(crate) const SPLIT: Check = Check {
    name: "split",
    requires: "A map with a range of layers: every module is read back from where the map says",
    section: "placement",
    help: "`model.layers.0-3` stands for four keys; send in `loaded` where the tensors are, not what was planned",
    after: &["single"],
    ask: split,
};

pub(crate) const LONGEST_KEY: Check = Check {
    name: "longest_key",
    requires: "Where several keys of a map cover a module, the longest decides, in whatever order they stand",
    section: "placement",
    help: "a key covers what is below it; look for the longest that fits, not the first",
    after: &["split"],
    ask: longest_key,
};

pub(crate) const SAME_TOKENS: Check = Check {
    name: "same_tokens",
    requires: "On two devices the model makes the tokens it makes on one",
    section: "placement",
    help: "look at what each hop delivers; `placebench run --audit` names the first place where two placements part",
    after: &["repeatable", "split"],
    ask: same_tokens,
};

pub(crate) const TRANSFER_HOST: Check = Check {
    name: "transfer_host",
    requires: "Activations are staged in host memory where that is asked for, or it is refused",
    section: "placement",
    help: "honour placement.transfer, or refuse `host` with `unsupported`",
    after: &["same_tokens"],
    ask: transfer_host,
};

pub(crate) const STRATEGY: Check = Check {
    name: "strategy",
    requires: "A strategy is planned, and what is loaded is what was planned; or it is refused",
    section: "placement",
    help: "send the resolved map as `planned`, and read back what was loaded",
    after: &["single"],
    ask: strategy,
};

pub(crate) const WEIGHTS: Check = Check {
    name: "weights",
    requires: "Bytes of modules add up: with the plan, with the figures of memory, with the shapes of the configuration",
    section: "events",
    help: "count the bytes of the tensors themselves, each once; a tied head counts 0",
    after: &["single"],
    ask: weights,
};

pub(crate) const DTYPE: Check = Check {
    name: "dtype",
    requires: "Weights have the element type that is asked for, or it is refused",
    section: "the-request",
    help: "honour request.dtype, or refuse it with `unsupported`",
    after: &["weights"],
    ask: dtype,
};

pub(crate) const BUDGETS: Check = Check {
    name: "budgets",
    requires: "Figures of memory name the budget of their device and keep to it",
    section: "events",
    help: "allowed_bytes is the memory_bytes of the device in the request",
    after: &[],
    ask: budgets,
};

pub(crate) const OVER_BUDGET: Check = Check {
    name: "over_budget",
    requires: "A model that does not fit into the budget of a device ends in `out_of_memory` with the device",
    section: "failure-of-error",
    help: "count what is taken on each logical device, and refuse what would be too much before it is taken",
    after: &[],
    ask: over_budget,
};

fn single(lab: &mut Lab) -> Result<Answer, Stop> {
    if lab.places_itself() {
        return Ok(Answer::not_applicable("--with says where the model goes"));
    }
    let Some(device) = lab.on.first().cloned() else {
        return Ok(Answer::not_applicable("there is no device"));
    };
    let modules = lab.modules()?;
    if modules.is_empty() {
        return Ok(Answer::failed(
            "`loaded` names no module: nothing of the placement is read back",
        ));
    }
    let seen = lab.base()?;
    is_where(seen, |_| Some(&device))?;
    Ok(Answer::passed_with(format!("{} modules on {device}", modules.len())))
}

/// Every module with bytes is where it should be.
fn is_where<'a>(seen: &Seen, wanted: impl Fn(&str) -> Option<&'a DeviceId>) -> Result<(), Answer> {
    for module in seen.attempt.realised.iter().flatten() {
        let Some(device) = wanted(&module.module).filter(|device| **device != module.device) else {
            continue;
        };
        // A head that shares the tensor of the embedding is where that is.
        if module.bytes != Bytes(0) {
            return Err(Answer::failed(format!(
                "{} is read back from {}, and was asked for on {device}",
                module.module, module.device
            )));
        }
    }
    Ok(())
}

fn split(lab: &mut Lab) -> Result<Answer, Stop> {
    let request = lab.split_request()?;
    let seen = lab.split()?;
    has_all(lab, &seen)?;
    if let DeviceMapRequest::Manual(map) = &request.placement.device_map {
        is_where(&seen, |module| maps::device_of(map, module))?;
    }
    Ok(Answer::passed())
}

/// The modules are the same, however they are placed.
fn has_all(lab: &Lab, seen: &Seen) -> Result<(), Answer> {
    let there: Vec<&String> = seen
        .attempt
        .realised
        .iter()
        .flatten()
        .map(|module| &module.module)
        .collect();
    match lab.modules()?.iter().find(|module| !there.contains(module)) {
        Some(module) => Err(Answer::failed(format!(
            "{module} was read back on one device, and is not in `loaded` any more"
        ))),
        None => Ok(()),
    }
}

fn longest_key(lab: &mut Lab) -> Result<Answer, Stop> {
    lab.split()?;
    let (modules, first, second) = lab.two_devices()?;
    let layers: Vec<&String> = modules
        .iter()
        .filter(|module| module.starts_with("model.layers."))
        .collect();
    let [_, layer, ..] = layers.as_slice() else {
        return Ok(Answer::not_applicable(
            "the engine tells of fewer than two `model.layers.N`",
        ));
    };
    // The longest key that fits is neither the first nor the last.
    let mut map = vec![
        ("model".to_owned(), first.clone()),
        ((*layer).clone(), second),
        ("model.layers".to_owned(), first.clone()),
    ];
    let others = modules.iter().filter(|module| !module.starts_with("model."));
    map.extend(others.map(|module| (module.clone(), first.clone())));
    let request = lab.mapped(map.clone())?;
    let seen = lab.attempt(&request)?;
    seen.may_refuse()?;
    is_where(&seen, |module| maps::device_of(&map, module))?;
    Ok(Answer::passed())
}

fn same_tokens(lab: &mut Lab) -> Result<Answer, Stop> {
    let seen = lab.split()?;
    same_output(lab.base()?, &seen, "on one device", "on two")
}

/// Tokens, or texts where no tokens are told.
pub(crate) fn same_output(a: &Seen, b: &Seen, of_a: &str, of_b: &str) -> Result<Answer, Stop> {
    let (Some(first), Some(second)) = (a.output(), b.output()) else {
        return Ok(Answer::failed("no generation was measured"));
    };
    if first == second {
        return Ok(Answer::passed());
    }
    Ok(Answer::failed(match first.0 == second.0 {
        true => format!("{of_a} the text is {:?}, {of_b} {:?}", first.1, second.1),
        false => format!("{of_a} the tokens are {:?}, {of_b} {:?}", first.0, second.0),
    }))
}

fn transfer_host(lab: &mut Lab) -> Result<Answer, Stop> {
    lab.split()?;
    let mut request = lab.split_request()?;
    request.placement.transfer = Transfer::Host;
    let seen = lab.attempt(&request)?;
    seen.may_refuse()?;
    if let Some(link) = seen.attempt.links.iter().find(|link| link.transfer != Transfer::Host) {
        return Ok(Answer::failed(format!(
            "`links` says that {} -> {} goes direct, and host was asked for",
            link.from, link.to
        )));
    }
    same_output(lab.base()?, &seen, "on one device", "on two by way of the host")
}

fn strategy(lab: &mut Lab) -> Result<Answer, Stop> {
    if lab.places_itself() {
        return Ok(Answer::not_applicable("--with says where the model goes"));
    }
    let mut request = lab.request()?;
    request.placement.device_map = DeviceMapRequest::Strategy(StrategyName::Auto);
    let seen = lab.attempt(&request)?;
    seen.may_refuse()?;
    let Some(planned) = &seen.attempt.planned else {
        return Ok(Answer::failed(
            "`auto` was carried out, and no event `planned` says what it came to",
        ));
    };
    has_all(lab, &seen)?;
    is_where(&seen, |module| maps::device_of(&planned.device_map, module))?;
    Ok(Answer::passed())
}

fn weights(lab: &mut Lab) -> Result<Answer, Stop> {
    let own = lab.is_own_model();
    let seen = lab.base()?;
    let realised = seen.attempt.realised.as_deref().unwrap_or_default();
    let on = |device: &DeviceId| -> u64 {
        let there = realised.iter().filter(|module| module.device == *device);
        there.map(|module| module.bytes.0).sum()
    };
    let mut held_against = Vec::new();
    for planned in seen.attempt.planned.iter().flat_map(|planned| &planned.weights_bytes) {
        if planned.bytes.0 != on(&planned.device) {
            return Ok(Answer::failed(format!(
                "the plan has {} bytes of weights on {}, and {} are read back",
                planned.bytes.0,
                planned.device,
                on(&planned.device)
            )));
        }
        held_against.push("the plan");
    }
    let figures = seen.attempt.memory.iter();
    for figure in figures.filter(|figure| figure.kind == MemoryKind::Weights) {
        // Buffers and what an allocator rounds up may come on top.
        if figure.bytes.0 < on(&figure.device) {
            return Ok(Answer::failed(format!(
                "the figure of weights on {} is {} bytes, less than the {} that are read back",
                figure.device,
                figure.bytes.0,
                on(&figure.device)
            )));
        }
        held_against.push("figures of memory");
    }
    if own && let Some(by_shape) = shapes(realised) {
        by_shape?;
        held_against.push("the configuration");
    }
    held_against.dedup();
    match held_against.is_empty() {
        true => Ok(Answer::not_applicable(
            "the engine tells neither its plan nor figures of memory, and its shapes are not the configuration's",
        )),
        false => Ok(Answer::passed_with(format!("as {} say", held_against.join(", ")))),
    }
}

/// Bytes of each module against the shapes of the configuration. None for an engine that makes a model of its own of any
/// configuration, which its embedding shows.
fn shapes(realised: &[RealisedModule]) -> Option<Result<(), Answer>> {
    let embedding = realised.iter().find(|module| module.module == "model.embed_tokens")?;
    if embedding.bytes.0 != model::embedding_bytes(Dtype::F32) {
        return None;
    }
    for module in realised {
        let Some(expected) = model::module_bytes(&module.module, Dtype::F32) else {
            continue;
        };
        if module.bytes.0 != expected {
            return Some(Err(Answer::failed(format!(
                "{} has {} bytes; by the configuration and float32 it has {expected}",
                module.module, module.bytes.0
            ))));
        }
    }
    Some(Ok(()))
}

fn dtype(lab: &mut Lab) -> Result<Answer, Stop> {
    let embedding = |seen: &Seen| -> Option<u64> {
        let modules = seen.attempt.realised.iter().flatten();
        let mut embedding = modules.filter(|module| module.module == "model.embed_tokens");
        embedding.next().map(|module| module.bytes.0)
    };
    if !lab.is_own_model() || embedding(lab.base()?) != Some(model::embedding_bytes(Dtype::F32)) {
        return Ok(Answer::not_applicable(
            "it is not known how many bytes the embedding has as float32",
        ));
    }
    let mut told = Vec::new();
    for asked in [Dtype::F32, Dtype::F16, Dtype::Bf16] {
        let mut request = lab.request()?;
        request.dtype = Some(asked);
        let seen = lab.attempt(&request)?;
        if let Some(failure) = seen.refusal() {
            told.push(format!("{} refused: {}", asked.as_str(), failure.message));
            continue;
        }
        seen.must_complete()?;
        let (is, wanted) = (embedding(&seen), model::embedding_bytes(asked));
        if is != Some(wanted) {
            return Ok(Answer::failed(format!(
                "as {} the embedding has {wanted} bytes, and {} are read back",
                asked.as_str(),
                is.map_or_else(|| "none".to_owned(), |is| is.to_string())
            )));
        }
        told.push(asked.as_str().to_owned());
    }
    Ok(Answer::passed_with(told.join(", ")))
}

fn budgets(lab: &mut Lab) -> Result<Answer, Stop> {
    let devices = lab.request()?.devices;
    let seen = lab.base()?;
    if seen.attempt.memory.is_empty() {
        return Ok(Answer::not_applicable("the engine sends no figures of memory"));
    }
    for figure in &seen.attempt.memory {
        let asked = devices.iter().find(|device| device.id == figure.device);
        if let Some(asked) = asked
            && asked.memory_bytes != figure.allowed_bytes
        {
            let words = |bytes: Option<Bytes>| bytes.map_or_else(|| "none".to_owned(), |bytes| bytes.0.to_string());
            return Ok(Answer::failed(format!(
                "the budget of {} is {} bytes, and its figures say {}",
                figure.device,
                words(asked.memory_bytes),
                words(figure.allowed_bytes)
            )));
        }
        if figure.allowed_bytes.is_some_and(|allowed| figure.bytes > allowed) {
            return Ok(Answer::failed(format!(
                "{} bytes in use on {}, more than its budget",
                figure.bytes.0, figure.device
            )));
        }
    }
    Ok(Answer::passed())
}

fn over_budget(lab: &mut Lab) -> Result<Answer, Stop> {
    let mut request = lab.request()?;
    let Some(device) = lab.on.first().cloned().filter(|_| !lab.places_itself()) else {
        return Ok(Answer::not_applicable("--with says where the model goes"));
    };
    let Some(logical) = request.devices.iter_mut().find(|logical| logical.id == device) else {
        return Ok(Answer::not_applicable(format!(
            "{device} is no logical device, which could have a budget"
        )));
    };
    logical.memory_bytes = Some(TINY);
    let seen = lab.attempt(&request)?;
    if let Some(failure) = seen.refusal() {
        return Ok(Answer::refused(failure));
    }
    match &seen.attempt.outcome {
        Outcome::OutOfMemory { failure } if failure.device.as_ref() == Some(&device) => Ok(Answer::passed()),
        Outcome::OutOfMemory { failure } => Ok(Answer::failed_saying(
            format!("`out_of_memory` that does not name {device}"),
            Some(failure.message.clone()),
        )),
        _ => Ok(seen.must_be_refused(&[FailureClass::OutOfMemory])),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn modules(layer_bytes: u64) -> Vec<RealisedModule> {
        let of = |module: &str, bytes: u64| -> RealisedModule {
            let told = serde_json::json!({"module": module, "device": "cpu", "bytes": bytes});
            serde_json::from_value(told).unwrap()
        };
        vec![
            of("model.embed_tokens", 40960),
            of("model.layers.0", layer_bytes),
            of("model.rotary_emb", 16),
            of("model.norm", 128),
            of("lm_head", 40960),
        ]
    }

    #[test]
    fn bytes_are_held_against_the_shapes_where_the_engine_has_them() {
        let right = model::module_bytes("model.layers.0", Dtype::F32).unwrap();
        assert_eq!(shapes(&modules(right)), Some(Ok(())));
        let Some(Err(Answer::Failed { seen, .. })) = shapes(&modules(right / 2)) else {
            panic!("half the bytes are right")
        };
        assert!(
            seen.contains("model.layers.0") && seen.contains(&right.to_string()),
            "{seen}"
        );
        let mut toy = modules(right / 2);
        toy[0].bytes = Bytes(1);
        assert_eq!(shapes(&toy), None);
        assert_eq!(shapes(&[]), None);
    }
}
