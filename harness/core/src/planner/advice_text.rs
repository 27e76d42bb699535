//! Advice in words.

use std::fmt;

use super::advice::{Advice, Load};

impl<D: fmt::Display> fmt::Display for Advice<D> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::BlockCut { block, devices } => write!(
                f,
                "{block} is divided between {} but runs in one piece: give `{block}` one device",
                list(devices)
            ),
            Self::NotPlaced { module } => {
                write!(f, "{module} has no device: add it, or the module above it, to the map")
            }
            Self::SilentSpill {
                device,
                modules,
                weights_bytes,
            } => write!(
                f,
                "{} ({weights_bytes}) went to {device} although nobody asked for it: every token waits for it; raise \
                 max_memory, use a smaller dtype, or name {device} yourself",
                shortened(modules)
            ),
            Self::OverBudget {
                device,
                needed_bytes,
                budget_bytes,
                weights_alone,
                at_token,
            } => {
                write!(f, "{device} needs {needed_bytes} of {budget_bytes}: ")?;
                match at_token {
                    _ if *weights_alone => f.write_str("its weights alone are too large; move modules away"),
                    Some(token) => write!(
                        f,
                        "its KV cache fills it at token {token} of each sequence; generate less, use a smaller batch, or \
                         move layers away"
                    ),
                    None => f.write_str(
                        "weights fit, but not with working set and logits; shorten the prompt, or move modules away",
                    ),
                }
            }
            Self::RunsOut {
                device,
                at_token,
                max_positions,
            } => write!(
                f,
                "{device} is full at token {at_token} of each sequence (the model goes on to {max_positions}): longer \
                 requests need layers moved away"
            ),
            Self::OneWouldDo { .. } | Self::HeadApart { .. } | Self::TiedApart { .. } => self.about_spreading(f),
            Self::InputElsewhere { input, first_stage } => write!(
                f,
                "the prompt is on {input} but the first module is on {first_stage}: create inputs on {first_stage}"
            ),
            Self::Uneven {
                most,
                least,
                ratio,
                bound,
                load,
            } => {
                let what = match load {
                    Load::BudgetShare => "as large a share of its budget",
                    Load::Bytes => "as many bytes",
                };
                write!(
                    f,
                    "{most} holds {ratio:.1} times {what} as {least} (more than {bound:.1}): move layers from {most} to \
                     {least}"
                )
            }
            Self::OrderAmbiguous { devices } => {
                let known: Vec<String> = devices
                    .iter()
                    .map(|(device, model)| format!("{device} is {}", plain(model)))
                    .collect();
                write!(
                    f,
                    "devices are told apart by number only, and they differ ({}): fix the order by UUID \
                     (CUDA_VISIBLE_DEVICES=GPU-…) or set CUDA_DEVICE_ORDER=PCI_BUS_ID",
                    known.join(", ")
                )
            }
        }
    }
}

impl<D: fmt::Display> Advice<D> {
    fn about_spreading(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::OneWouldDo {
                device,
                needed_bytes,
                budget_bytes,
                hops_per_token,
            } => {
                let of = budget_bytes.map(|budget| format!(" of {budget}")).unwrap_or_default();
                let hops = if *hops_per_token == 1 { "hop" } else { "hops" };
                write!(
                    f,
                    "{device} alone would do ({needed_bytes}{of} with KV cache, activations and logits) and save \
                     {hops_per_token} {hops} per token: use device_map = \"{device}\""
                )
            }
            Self::HeadApart { embedding, head } => write!(
                f,
                "the embedding is on {embedding} and the head on {head}: each new token goes back from {head} to \
                 {embedding}"
            ),
            Self::TiedApart { names, bytes } => {
                let places: Vec<String> = names
                    .iter()
                    .map(|(name, device)| format!("{name} on {device}"))
                    .collect();
                write!(
                    f,
                    "one tensor has several places ({}): its {bytes} are held on each, or the model fails; give these \
                     modules one device",
                    places.join(", ")
                )
            }
            _ => Ok(()),
        }
    }
}

fn list<D: fmt::Display>(devices: &[D]) -> String {
    let names: Vec<String> = devices.iter().map(ToString::to_string).collect();
    names.join(" and ")
}

/// The first and the last of many.
fn shortened(modules: &[String]) -> String {
    match modules {
        [] => "nothing".into(),
        [only] => only.clone(),
        [first, .., last] => format!("{first} … {last} ({} modules)", modules.len()),
    }
}

/// A driver's text without anything that a terminal would obey.
fn plain(text: &str) -> String {
    text.chars().filter(|c| !c.is_control()).take(60).collect()
}
