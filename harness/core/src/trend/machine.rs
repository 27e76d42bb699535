//! What counts as one machine in a history.
//!
//! Hardware and how it is used: processor, memory, accelerators, build profile, and variables that change speed. The kernel
//! and the driver are no part of it, other than where two sides are compared in one moment: a history is there to show what
//! their update did, and names them where a figure changed with them.

use twox_hash::XxHash3_64;

use super::TrendMachine;
use crate::compare::Fingerprint;
use crate::compare::fingerprint::speed_variables;

/// A machine, and its host without accelerators.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Machine {
    /// Its name and words.
    pub machine: TrendMachine,
    /// Digest of what is known of it even where no worker came to say anything.
    pub host: String,
}

/// The machine of a fingerprint.
#[must_use]
pub fn machine(fingerprint: &Fingerprint) -> Machine {
    let environment = &fingerprint.environment;
    let memory = nominal_gib(environment.memory_bytes.as_f64());
    let variables = speed_variables(environment);
    let host = [
        environment.platform.clone(),
        environment.cpu.clone(),
        environment.cpu_count.to_string(),
        memory.to_string(),
        variables.clone(),
    ];
    let parts = [fingerprint.profiles.join("\n"), fingerprint.gpus.join("\n")];
    let key = format!(
        "{}-{:08x}",
        accelerator(fingerprint),
        digest(host.iter().chain(&parts)) >> 32
    );
    let mut words = vec![
        environment.platform.clone(),
        format!("{} × {}", environment.cpu_count, environment.cpu),
        format!("{memory} GiB"),
    ];
    words.extend(fingerprint.gpus.iter().cloned());
    words.extend(fingerprint.profiles.iter().map(|profile| format!("{profile} build")));
    words.extend(Some(variables).filter(|variables| !variables.is_empty()));
    Machine {
        machine: TrendMachine {
            key,
            words: words.join(" · "),
        },
        host: format!("{:016x}", digest(host.iter())),
    }
}

/// Each part with its length, so that no two lists run into the same bytes.
fn digest<'a>(parts: impl Iterator<Item = &'a String>) -> u64 {
    let text: String = parts.map(|part| format!("{}:{part}", part.len())).collect();
    XxHash3_64::oneshot(text.as_bytes())
}

/// The size a host is sold with. What a kernel reports is less by its own reserve, which changes from version to version:
/// rounded to a power of two, or one and a half of one.
fn nominal_gib(bytes: f64) -> f64 {
    let gib = bytes / f64::from(1 << 30);
    if !gib.is_finite() || gib <= 0.5 {
        return 0.0;
    }
    let power = 2_f64.powf(gib.log2().floor());
    let sizes = [power, power * 1.5, power * 2.0];
    let nearest = sizes
        .into_iter()
        .min_by(|a, b| (a - gib).abs().total_cmp(&(b - gib).abs()));
    nearest.unwrap_or(gib)
}

/// `h200-x2`, or `cpu-16c`.
fn accelerator(fingerprint: &Fingerprint) -> String {
    let names = || fingerprint.gpus.iter().filter_map(|gpu| gpu.split_once(": "));
    // Named by the driver and by the worker alike: those the driver names have their memory behind them.
    let by_driver = names().filter(|(place, _)| place.starts_with("gpu ")).count();
    let count = match by_driver {
        0 => names().count(),
        several => several,
    };
    let name = names().next().map(|(_, name)| name).unwrap_or_default();
    let words = name.split(|c: char| !c.is_ascii_alphanumeric());
    let is_model = |word: &&str| word.chars().any(|c| c.is_ascii_digit());
    match words
        .clone()
        .find(is_model)
        .or_else(|| words.clone().find(|word| !word.is_empty()))
    {
        Some(model) if count > 0 => format!("{}-x{count}", model.chars().take(20).collect::<String>().to_lowercase()),
        _ => format!("cpu-{}c", fingerprint.environment.cpu_count),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::record::Environment;
    use crate::units::Bytes;

    fn fingerprint() -> Fingerprint {
        Fingerprint {
            environment: Environment {
                platform: "linux x86_64".into(),
                kernel: "6.8.0".into(),
                cpu: "Some CPU".into(),
                cpu_count: 16,
                memory_bytes: Bytes(62 << 30),
                worker_env: vec![("RAYON_NUM_THREADS".into(), "8".into()), ("LANG".into(), "C".into())],
            },
            profiles: vec!["release".into()],
            gpus: Vec::new(),
            drivers: vec!["550".into()],
        }
    }

    fn key(change: impl Fn(&mut Fingerprint)) -> String {
        let mut other = fingerprint();
        change(&mut other);
        machine(&other).machine.key
    }

    #[test]
    fn hardware_makes_a_machine_and_software_does_not() {
        let same = key(|_| ());
        assert!(same.starts_with("cpu-16c-"), "{same}");
        assert_eq!(key(|f| f.environment.kernel = "7.0".into()), same);
        assert_eq!(key(|f| f.drivers = vec!["560".into()]), same);
        assert_eq!(key(|f| f.environment.memory_bytes = Bytes(61 << 30)), same);
        assert_eq!(key(|f| f.environment.worker_env[1].1 = "de".into()), same);
        for other in [
            key(|f| f.environment.cpu = "Other".into()),
            key(|f| f.environment.cpu_count = 8),
            key(|f| f.environment.memory_bytes = Bytes(30 << 30)),
            key(|f| f.environment.worker_env[0].1 = "4".into()),
            key(|f| f.profiles = vec!["debug".into()]),
            key(|f| f.gpus = vec!["cuda:0: NVIDIA H200".into()]),
        ] {
            assert_ne!(other, same);
        }
    }

    #[test]
    fn a_key_names_the_accelerators() {
        let gpus = |gpus: &[&str]| key(|f| f.gpus = gpus.iter().map(|gpu| (*gpu).to_owned()).collect());
        let two = gpus(&[
            "cuda:0: NVIDIA H200",
            "cuda:1: NVIDIA H200",
            "gpu 0: NVIDIA H200 141GiB",
            "gpu 1: NVIDIA H200 141GiB",
        ]);
        assert!(two.starts_with("h200-x2-"), "{two}");
        assert!(gpus(&["metal:0: Apple M3 Max"]).starts_with("m3-x1-"));
        assert!(gpus(&["../../x"]).starts_with("cpu-16c-"));
        let plain = |key: &str| key.chars().all(|c| c.is_ascii_alphanumeric() || c == '-');
        assert!(plain(&gpus(&["cuda:0: ../\u{1b}[2J'; DROP TABLE"])));
    }

    #[test]
    fn the_host_is_known_without_its_accelerators() {
        let mut other = fingerprint();
        (other.gpus, other.profiles) = (vec!["cuda:0: A".into()], Vec::new());
        assert_eq!(machine(&other).host, machine(&fingerprint()).host);
        other.environment.cpu_count = 1;
        assert_ne!(machine(&other).host, machine(&fingerprint()).host);
    }

    #[test]
    fn memory_is_that_of_the_box() {
        let gib = |gib: f64| nominal_gib(gib * f64::from(1 << 30));
        let sizes = [7.6, 15.3, 31.2, 47.0, 62.7, 125.6, 503.4, 1007.0].map(gib);
        assert_eq!(sizes, [8.0, 16.0, 32.0, 48.0, 64.0, 128.0, 512.0, 1024.0]);
        assert_eq!([gib(0.0), gib(f64::NAN), gib(f64::INFINITY)], [0.0; 3]);
    }
}
