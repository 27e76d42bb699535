//! What cannot be done is refused, with the class that says whose fault it is.

use placebench_core::device::DeviceId;
use placebench_core::outcome::FailureClass;
use placebench_core::placement::DeviceMapRequest;
use placebench_core::protocol::ModelSource;

use super::super::answer::{Answer, Stop};
use super::super::check::Check;
use super::super::lab::Lab;
use super::super::maps;

/// Lines of a message beyond which it is a stack and no sentence.
const MOST_LINES: usize = 4;
/// A card that no machine has.
const NO_DEVICE: &str = "cuda:93";

pub(crate) const MODEL_MISSING: Check = Check {
    name: "model_missing",
    requires: "A model that is not there is refused with `model_missing`",
    section: "failure-of-error",
    help: "tell a file that is not there from one that cannot be read: the person has to fetch it",
    after: &[],
    ask: model_missing,
};

pub(crate) const MODEL_INVALID: Check = Check {
    name: "model_invalid",
    requires: "A configuration that is cut off is refused with `model_invalid`",
    section: "failure-of-error",
    help: "catch the parser's error where the model's files are read",
    after: &[],
    ask: model_invalid,
};

pub(crate) const DEVICE_MISSING: Check = Check {
    name: "device_missing",
    requires: "A device that is not there is refused with `device_missing`",
    section: "failure-of-error",
    help: "look at the devices of the map before anything is loaded; never put the modules elsewhere",
    after: &[],
    ask: device_missing,
};

pub(crate) const UNKNOWN_MODULE: Check = Check {
    name: "unknown_module",
    requires: "A map with a module that the model does not have is refused with `placement_invalid`",
    section: "failure-of-error",
    help: "every key of the map must name a module, or something that modules are part of",
    after: &["split"],
    ask: unknown_module,
};

pub(crate) const INCOMPLETE_MAP: Check = Check {
    name: "incomplete_map",
    requires: "A map that says nothing about some module is refused with `placement_invalid`",
    section: "failure-of-error",
    help: "every module with weights must be named by a key; guess no device",
    after: &["split"],
    ask: incomplete_map,
};

pub(crate) const MESSAGES: Check = Check {
    name: "messages",
    requires: "Every refusal has a message of a sentence",
    section: "failure-of-error",
    help: "say what was asked, what is there and what to do; stacks belong on standard error",
    after: &[],
    ask: messages,
};

fn model_missing(lab: &mut Lab) -> Result<Answer, Stop> {
    let mut request = lab.request()?;
    let nowhere = lab.setup.folder.join("no-such-model").to_string_lossy().into_owned();
    request.model = match &request.model {
        ModelSource::Dummy { seed, .. } => ModelSource::Dummy {
            config: Box::new(ModelSource::Path(format!("{nowhere}/config.json"))),
            seed: *seed,
        },
        _ => ModelSource::Path(nowhere),
    };
    Ok(lab.attempt(&request)?.must_be_refused(&[FailureClass::ModelMissing]))
}

fn model_invalid(lab: &mut Lab) -> Result<Answer, Stop> {
    if !lab.setup.is_dummy {
        return Ok(Answer::not_applicable("nothing is written beside the model of --model"));
    }
    let mut request = lab.request()?;
    request.model = lab.dummy("cut-off.json", "{\"architectures\": [\"LlamaForCausalLM\"], \"num_hid")?;
    Ok(lab.attempt(&request)?.must_be_refused(&[FailureClass::ModelInvalid]))
}

fn device_missing(lab: &mut Lab) -> Result<Answer, Stop> {
    if lab.places_itself() {
        return Ok(Answer::not_applicable("--with says where the model goes"));
    }
    let mut request = lab.request()?;
    let Ok(device) = DeviceId::new(NO_DEVICE) else {
        return Ok(Answer::not_applicable(format!("{NO_DEVICE} is no name of a device")));
    };
    request.placement.device_map = DeviceMapRequest::Single(device);
    Ok(lab.attempt(&request)?.must_be_refused(&[FailureClass::DeviceMissing]))
}

fn unknown_module(lab: &mut Lab) -> Result<Answer, Stop> {
    lab.split()?;
    let (modules, first, second) = lab.two_devices()?;
    let mut map = maps::halves(&modules, &first, &second);
    map.push(("model.no_such_module".to_owned(), second));
    let request = lab.mapped(map)?;
    Ok(lab
        .attempt(&request)?
        .must_be_refused(&[FailureClass::PlacementInvalid]))
}

fn incomplete_map(lab: &mut Lab) -> Result<Answer, Stop> {
    lab.split()?;
    let (modules, first, _) = lab.two_devices()?;
    let some = modules.get(..modules.len() / 2).unwrap_or_default();
    let request = lab.mapped(maps::written(some, &first))?;
    Ok(lab
        .attempt(&request)?
        .must_be_refused(&[FailureClass::PlacementInvalid]))
}

fn messages(lab: &mut Lab) -> Result<Answer, Stop> {
    if lab.refusals.is_empty() {
        return Ok(Answer::not_applicable("nothing was refused"));
    }
    for (check, message) in &lab.refusals {
        if message.trim().is_empty() {
            return Ok(Answer::failed(format!("the refusal that `{check}` met has no message")));
        }
        if message.lines().count() > MOST_LINES {
            return Ok(Answer::failed_saying(
                format!("the refusal that `{check}` met is no sentence"),
                Some(message.clone()),
            ));
        }
    }
    let number = u32::try_from(lab.refusals.len()).unwrap_or(u32::MAX);
    Ok(Answer::passed_with(crate::terminal::counted(number, "refusal")))
}
