//! Which machine a baseline holds on.

use super::asked::short_hash;
use super::source::{CardSeen, Source};
use crate::record::Environment;

/// Characters of a card's name that a key keeps.
const LONGEST_NAME: usize = 40;

/// The name of a machine for its baseline: what it is in words, and a hash of its hardware (platform, model and number of
/// processors, accelerators). `cpu-8c-linux-x86_64-1a2b3c4d`, `h200-x2-5e6f7a8b`. Kernel, driver, build profile and variables
/// are no part of it: they are what is often under test, and are compared with what the file says.
#[must_use]
pub fn machine_key(environment: &Environment, cards: &[CardSeen]) -> String {
    let mut parts = vec![
        environment.platform.clone(),
        environment.cpu.clone(),
        environment.cpu_count.to_string(),
    ];
    parts.extend(cards.iter().map(CardSeen::words));
    let hash = short_hash(parts.join("\n").as_bytes());
    let Some(first) = cards.first() else {
        let platform = slug(&environment.platform);
        return format!("cpu-{}c-{platform}-{hash}", environment.cpu_count);
    };
    let name = slug(first.name.trim_start_matches("NVIDIA "));
    let others = match cards.iter().all(|card| card.name == first.name) {
        true => "",
        false => "-mixed",
    };
    format!("{name}-x{}{others}-{hash}", cards.len())
}

/// Whether two machines are the same but for their accelerators.
#[must_use]
pub fn same_host(source: &Source, environment: &Environment) -> bool {
    source.environment.as_ref().is_some_and(|known| {
        known.platform == environment.platform
            && known.cpu == environment.cpu
            && known.cpu_count == environment.cpu_count
    })
}

/// Letters and digits in lower case, the rest as single dashes.
fn slug(text: &str) -> String {
    let mut slug = String::new();
    for c in text.chars() {
        match c {
            _ if slug.len() >= LONGEST_NAME => break,
            c if c.is_ascii_alphanumeric() || c == '_' => slug.push(c.to_ascii_lowercase()),
            _ if slug.is_empty() || slug.ends_with('-') => {}
            _ => slug.push('-'),
        }
    }
    let slug = slug.trim_end_matches('-');
    if slug.is_empty() {
        "unknown".to_owned()
    } else {
        slug.to_owned()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::units::Bytes;

    fn environment() -> Environment {
        Environment {
            platform: "linux x86_64".into(),
            kernel: "6.8.0".into(),
            cpu: "Some CPU".into(),
            cpu_count: 8,
            memory_bytes: Bytes(32 << 30),
            worker_env: Vec::new(),
        }
    }

    fn cards(names: &[&str]) -> Vec<CardSeen> {
        let card = |(index, name): (usize, &&str)| CardSeen {
            index: u32::try_from(index).unwrap(),
            name: (*name).to_owned(),
            memory_bytes: Some(Bytes(140 << 30)),
            driver: Some("570.1".to_owned()),
        };
        names.iter().enumerate().map(card).collect()
    }

    #[test]
    fn a_key_says_what_the_machine_is() {
        let key = |names: &[&str]| machine_key(&environment(), &cards(names));
        let words = |key: &str| key.rsplit_once('-').unwrap().0.to_owned();
        assert_eq!(words(&key(&[])), "cpu-8c-linux-x86_64");
        assert_eq!(words(&key(&["NVIDIA H200", "NVIDIA H200"])), "h200-x2");
        assert_eq!(words(&key(&["NVIDIA GeForce RTX 4090"])), "geforce-rtx-4090-x1");
        assert_eq!(words(&key(&["NVIDIA A100", "NVIDIA T4"])), "a100-x2-mixed");
        assert_eq!(words(&key(&["../../x\u{202e}"])), "x-x1", "a driver's word is no path");
        assert_eq!(words(&key(&["\u{202e}"])), "unknown-x1");
        assert_eq!(
            key(&[]),
            "cpu-8c-linux-x86_64-aff4cd94",
            "it must not change: files are named by it"
        );
    }

    #[test]
    fn other_hardware_is_another_key_and_what_is_under_test_is_not() {
        let own = machine_key(&environment(), &[]);
        let with = |change: fn(&mut Environment)| {
            let mut other = environment();
            change(&mut other);
            machine_key(&other, &[])
        };
        assert_ne!(with(|e| e.cpu = "Other".into()), own);
        assert_ne!(with(|e| e.cpu_count = 4), own);
        assert_ne!(with(|e| e.platform = "linux aarch64".into()), own);
        assert_eq!(with(|e| e.kernel = "6.9.0".into()), own);
        assert_eq!(with(|e| e.memory_bytes = Bytes(31 << 30)), own);
        let mut newer = cards(&["NVIDIA H200"]);
        newer[0].driver = Some("580.0".to_owned());
        assert_eq!(
            machine_key(&environment(), &newer),
            machine_key(&environment(), &cards(&["NVIDIA H200"]))
        );
    }
}
