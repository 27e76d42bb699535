//! Lists in few words: modules by device with ranges of layers, and figures of steps that repeat.

use serde::{Deserialize, Serialize};

use crate::device::DeviceId;

/// Modules and steps that a case may have: far more than any model, and little memory.
const MOST: u64 = 1_000_000;

/// Modules.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(untagged)]
pub enum Modules {
    /// One, by its path.
    One(String),
    /// Those of a prefix with a number, from the first to the last: `["model.layers.", 0, 3]`.
    Range(String, u32, u32),
}

/// Modules that follow each other on a device.
pub type Stage = (DeviceId, Vec<Modules>);

/// Puts a map into few words. The order stays.
pub(super) fn pack_map<'a>(map: impl Iterator<Item = (&'a str, &'a DeviceId)>) -> Vec<Stage> {
    let mut stages: Vec<Stage> = Vec::new();
    for (module, device) in map {
        match stages.last_mut() {
            Some((known, modules)) if known == device => push(modules, module),
            _ => stages.push((device.clone(), vec![Modules::One(module.to_owned())])),
        }
    }
    stages
}

fn push(modules: &mut Vec<Modules>, module: &str) {
    if let (Some(last), Some((prefix, number))) = (modules.last_mut(), numbered(module)) {
        match last {
            Modules::Range(known, _, end) if known == prefix && end.checked_add(1) == Some(number) => {
                *end = number;
                return;
            }
            Modules::One(known) => {
                if let Some((before, first)) = numbered(known)
                    && before == prefix
                    && first.checked_add(1) == Some(number)
                {
                    *last = Modules::Range(prefix.to_owned(), first, number);
                    return;
                }
            }
            Modules::Range(..) => {}
        }
    }
    modules.push(Modules::One(module.to_owned()));
}

/// The number a path ends in, if it is written the one way it is read back.
fn numbered(module: &str) -> Option<(&str, u32)> {
    let prefix = module.trim_end_matches(|c: char| c.is_ascii_digit());
    let number: u32 = module.get(prefix.len()..)?.parse().ok()?;
    (format!("{prefix}{number}") == module).then_some((prefix, number))
}

/// The map again.
pub(super) fn unpack_map(stages: &[Stage]) -> Vec<(String, DeviceId)> {
    let mut map = Vec::new();
    for (device, modules) in stages {
        for entry in modules {
            match entry {
                Modules::One(module) => map.push((module.clone(), device.clone())),
                Modules::Range(prefix, first, last) => {
                    map.extend((*first..=*last).map(|number| (format!("{prefix}{number}"), device.clone())));
                }
            }
        }
    }
    map
}

/// Whether a map can be unpacked.
pub(super) fn check_map(stages: &[Stage]) -> Result<(), String> {
    let of_entry = |entry: &Modules| match entry {
        Modules::One(_) => 1,
        Modules::Range(_, first, last) => u64::from(last.saturating_sub(*first)) + 1,
    };
    let modules: u64 = stages.iter().flat_map(|(_, modules)| modules).map(of_entry).sum();
    at_most(modules, "modules")
}

/// Figures that repeat: how often, and the figure.
pub type Repeated = Vec<(u32, u64)>;

/// Puts the figures of steps into few words.
pub(super) fn pack_steps(steps: impl Iterator<Item = u64>) -> Repeated {
    let mut packed: Repeated = Vec::new();
    for step in steps {
        match packed.last_mut() {
            Some((count, known)) if *known == step && *count < u32::MAX => *count += 1,
            _ => packed.push((1, step)),
        }
    }
    packed
}

/// The figures again.
pub(super) fn unpack_steps(packed: &Repeated) -> Vec<u64> {
    packed
        .iter()
        .flat_map(|(count, step)| std::iter::repeat_n(*step, *count as usize))
        .collect()
}

/// Whether figures can be unpacked.
pub(super) fn check_steps(packed: &Repeated) -> Result<(), String> {
    at_most(packed.iter().map(|(count, _)| u64::from(*count)).sum(), "steps")
}

fn at_most(number: u64, what: &str) -> Result<(), String> {
    match number {
        0..=MOST => Ok(()),
        more => Err(format!("{more} {what} cannot be: the most there are is {MOST}")),
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn device(name: &str) -> DeviceId {
        DeviceId::new(name).unwrap()
    }

    #[test]
    fn layers_become_ranges() {
        let map = [
            ("model.embed_tokens", "sim:0"),
            ("model.layers.0", "sim:0"),
            ("model.layers.1", "sim:0"),
            ("model.layers.2", "sim:0"),
            ("model.layers.3", "sim:1"),
            ("model.layers.04", "sim:1"),
            ("lm_head", "sim:1"),
        ];
        let map: Vec<(String, DeviceId)> = map.map(|(module, id)| (module.to_owned(), device(id))).to_vec();
        let packed = pack_map(map.iter().map(|(module, device)| (module.as_str(), device)));
        let text = serde_json::to_string(&packed).unwrap();
        assert_eq!(
            text,
            r#"[["sim:0",["model.embed_tokens",["model.layers.",0,2]]],["sim:1",["model.layers.3","model.layers.04","lm_head"]]]"#
        );
        assert_eq!(unpack_map(&packed), map);
    }

    #[test]
    fn what_would_fill_the_memory_is_refused() {
        let stages = |first, last| vec![(device("cpu"), vec![Modules::Range("a".to_owned(), first, last)])];
        assert_eq!(check_map(&stages(0, 99)), Ok(()));
        assert!(check_map(&stages(0, u32::MAX)).is_err());
        assert_eq!(check_steps(&vec![(1, 7), (99, 3)]), Ok(()));
        assert!(check_steps(&vec![(u32::MAX, 7)]).is_err());
    }

    proptest! {
        #[test]
        fn what_is_packed_is_unpacked_as_it_was(
            modules in prop::collection::vec(("[a-c.]{0,2}[0-3]{0,2}", 0..3_u32), 0..40),
            steps in prop::collection::vec(0..3_u64, 0..40),
        ) {
            let map: Vec<(String, DeviceId)> = modules.into_iter()
                .map(|(module, index)| (module, device(&format!("sim:{index}"))))
                .collect();
            let packed = pack_map(map.iter().map(|(module, device)| (module.as_str(), device)));
            prop_assert_eq!(unpack_map(&packed), map);
            let packed = pack_steps(steps.iter().copied());
            prop_assert!(packed.windows(2).all(|two| two[0].1 != two[1].1));
            prop_assert_eq!(unpack_steps(&packed), steps);
        }
    }
}
