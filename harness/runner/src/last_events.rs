//! The last things a worker said, in a few words each: what is read first of one that did not complete.

use std::collections::{BTreeSet, VecDeque};
use std::time::Duration;

use placebench_core::device::DeviceId;
use placebench_core::protocol::{EventKind, MemoryKind, WorkerEvent};
use placebench_core::record::LastEvent;

use crate::breach::name;

/// The last events of a worker, as many as a record holds.
#[derive(Debug, Default)]
pub(crate) struct LastEvents {
    kept: VecDeque<Heard>,
    /// How far the worker's clock is behind that of the supervisor, in seconds since the start of the process: that of the
    /// event that was the quickest to come in. On a busy machine many are read at once, long after they were said.
    behind_s: Option<f64>,
    /// When the newest event was read.
    newest: Duration,
}

/// An event, and when it was said on the worker's clock.
#[derive(Debug)]
struct Heard {
    event: &'static str,
    t_s: f64,
    words: String,
}

impl LastEvents {
    /// Remembers an event that was read so long after the start of the process; the oldest one makes room for it.
    pub(crate) fn push(&mut self, event: &WorkerEvent, received: Duration) {
        let behind_s = received.as_secs_f64() - event.t_s;
        self.behind_s = Some(self.behind_s.map_or(behind_s, |least| least.min(behind_s)));
        self.newest = received;
        if self.kept.len() == LastEvent::MOST {
            self.kept.pop_front();
        }
        self.kept.push_back(Heard {
            event: name(&event.kind),
            t_s: event.t_s,
            words: shortened(words(&event.kind)),
        });
    }

    /// The events as a record has them, oldest first, before the deadline that was missed, else before the end of the process:
    /// both since its start. What is read from the pipe of a process that is gone was said before its end.
    pub(crate) fn before(self, missed: Option<Duration>, lived: Duration) -> Vec<LastEvent> {
        let end_s = missed.unwrap_or(lived.max(self.newest)).as_secs_f64();
        let behind_s = self.behind_s.unwrap_or_default();
        let of_record = |heard: Heard| LastEvent {
            event: heard.event.to_owned(),
            before_end_s: end_s - (heard.t_s + behind_s),
            words: heard.words,
        };
        self.kept.into_iter().map(of_record).collect()
    }
}

/// What an event says; empty where its name says it all.
fn words(kind: &EventKind) -> String {
    match kind {
        EventKind::Hello { engine, profile, .. } => format!("engine {engine}, {profile} build"),
        EventKind::Phase { phase } => format!("{phase} begins"),
        EventKind::Fetching {
            file,
            done_bytes,
            total_bytes,
        } => format!("{}: {done_bytes} of {total_bytes}", beginning(file)),
        EventKind::Devices { devices } => listed(devices.iter().map(|device| &device.id)),
        EventKind::Planned(planned) => {
            let devices = listed(planned.device_map.iter().map(|(_, device)| device));
            format!("{} on {devices}", counted(planned.device_map.len(), "entry", "entries"))
        }
        EventKind::Places { modules, hops } => format!(
            "{}, {}",
            counted(modules.len(), "module", "modules"),
            counted(hops.len(), "hop", "hops")
        ),
        EventKind::Loaded { realised, .. } => {
            let devices = listed(realised.iter().map(|module| &module.device));
            format!("{} on {devices}", counted(realised.len(), "module", "modules"))
        }
        EventKind::Links { links } => counted(links.len(), "link", "links"),
        EventKind::Probed(probe) => format!(
            "a step over {}",
            counted(probe.input_tokens as usize, "token", "tokens")
        ),
        EventKind::Started { generation, warmup } => {
            format!("generation {generation}{}", if *warmup { ", a warm-up" } else { "" })
        }
        EventKind::Token {
            generation,
            sequence,
            index,
            id,
            ..
        } => {
            let of = match sequence {
                0 => String::new(),
                companion => format!("sequence {companion} of "),
            };
            let id = id.map(|id| format!(": id {id}")).unwrap_or_default();
            format!("number {index} of {of}generation {generation}{id}")
        }
        EventKind::Audited(step) => format!("a stage of generation {}", step.generation),
        EventKind::Finished { generation, result, .. } => format!(
            "generation {generation}: {}, ended by {}",
            counted(result.output_count(), "token", "tokens"),
            result.finish_reason.as_str()
        ),
        EventKind::Memory(figure) => {
            let kind = match figure.kind {
                MemoryKind::Weights => "weights",
                MemoryKind::KvCache => "cache",
                MemoryKind::Peak => "peak",
            };
            format!("{kind} on {}: {}", figure.device, figure.bytes)
        }
        EventKind::Held { generation, devices } => {
            let devices = listed(devices.iter().map(|held| &held.device));
            format!("after generation {generation}, on {devices}")
        }
        EventKind::FaultsStruck { struck } => counted(struck.len(), "injected fault", "injected faults"),
        EventKind::Done => String::new(),
        EventKind::Error { failure } => beginning(&failure.message).to_owned(),
    }
}

/// The names of some devices, each once, in the order they are met.
fn listed<'a>(devices: impl Iterator<Item = &'a DeviceId>) -> String {
    let mut seen = BTreeSet::new();
    let names: Vec<&str> = devices
        .filter(|device| seen.insert(*device))
        .map(DeviceId::as_str)
        .collect();
    names.join(", ")
}

fn counted(n: usize, one: &str, many: &str) -> String {
    format!("{n} {}", if n == 1 { one } else { many })
}

/// As much of a text as matters here, and a character more, so that it is seen to be cut: a worker may say megabytes.
fn beginning(text: &str) -> &str {
    &text[..text.floor_char_boundary(LastEvent::MOST_WORDS + char::MAX_LEN_UTF8)]
}

/// At most as many bytes as a record holds of an event, cut between characters. What is cut is given back.
fn shortened(words: String) -> String {
    const CUT: &str = "…";
    if words.len() <= LastEvent::MOST_WORDS {
        return words;
    }
    let end = words.floor_char_boundary(LastEvent::MOST_WORDS - CUT.len());
    format!("{}{CUT}", &words[..end])
}

#[cfg(test)]
mod tests {
    use super::*;
    use placebench_core::outcome::{FailureClass, Phase, WorkerFailure};

    fn at(t_s: f64, kind: EventKind) -> WorkerEvent {
        WorkerEvent { t_s, kind }
    }

    fn token(t_s: f64, index: u32) -> WorkerEvent {
        let kind = EventKind::Token {
            generation: 0,
            sequence: 0,
            index,
            id: Some(7),
            top2_gap: Some(1.0),
        };
        at(t_s, kind)
    }

    #[test]
    fn only_the_last_ones_are_kept_in_order_of_their_coming() {
        let mut last = LastEvents::default();
        last.push(
            &at(0.0, EventKind::Phase { phase: Phase::Decode }),
            Duration::from_millis(5),
        );
        for index in 0..20 {
            last.push(&token(f64::from(index) * 0.1, index), Duration::from_secs(2));
        }
        let kept = last.before(None, Duration::from_secs(3));
        assert_eq!(kept.len(), LastEvent::MOST);
        assert_eq!(kept[0].words, "number 8 of generation 0: id 7");
        let newest = &kept[LastEvent::MOST - 1];
        assert_eq!(newest.event, "token");
        // All tokens were read at once; the first event tells how the clocks stand.
        assert!((newest.before_end_s - 1.095).abs() < 1e-9, "{newest:?}");
    }

    #[test]
    fn long_words_are_cut_between_characters() {
        let failure = WorkerFailure {
            class: FailureClass::Internal,
            message: "é".repeat(5000),
            phase: Phase::Load,
            device: None,
            needed_bytes: None,
            allowed_bytes: None,
            place: None,
            rank: None,
        };
        let mut last = LastEvents::default();
        last.push(&at(0.5, EventKind::Error { failure }), Duration::from_secs(2));
        assert!(
            last.kept[0].words.capacity() < 2 * LastEvent::MOST_WORDS,
            "the rest is given back"
        );
        let kept = last.before(Some(Duration::from_secs(1)), Duration::from_secs(3));
        assert!(kept[0].words.len() <= LastEvent::MOST_WORDS && kept[0].words.ends_with("é…"));
        assert!(kept[0].before_end_s < 0.0, "it came after the deadline");
    }

    #[test]
    fn nothing_is_said_after_the_end() {
        let mut last = LastEvents::default();
        last.push(&token(0.010, 0), Duration::from_millis(10));
        last.push(&token(0.012, 1), Duration::from_millis(12));
        let kept = last.before(None, Duration::from_millis(11));
        let before: Vec<f64> = kept.iter().map(|event| event.before_end_s * 1e3).collect();
        assert!((before[0] - 2.0).abs() < 1e-9 && before[1].abs() < 1e-9, "{before:?}");
    }
}
