//! Whether two sides were measured on the same machine.

use serde::{Deserialize, Serialize};

use crate::device::DeviceKind;
use crate::record::{Attempt, Environment};

/// Relative difference of the host's memory that a kernel's own reserve explains.
const MEMORY_TOLERANCE: f64 = 0.02;

/// Beginnings and ends of variables that change speed. The others name people, places and languages.
const SPEED_PREFIXES: [&str; 7] = ["CUDA_", "NVIDIA_", "NCCL_", "CUBLAS_", "CANDLE_", "METAL_", "PYTORCH_"];
const SPEED_SUFFIX: &str = "_NUM_THREADS";

/// A part of the fingerprint.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum FingerprintField {
    /// Operating system and architecture.
    Platform,
    /// Version of the kernel.
    Kernel,
    /// Model of the processor.
    Cpu,
    /// Processors that may be used.
    CpuCount,
    /// Memory of the host, to 2 %.
    Memory,
    /// Build profile of the workers.
    Profile,
    /// The accelerators: their models and memory.
    Gpus,
    /// Version of their driver.
    Driver,
    /// Variables of the workers that change speed: numbers of threads, CUDA's and the like.
    WorkerEnv,
}

impl FingerprintField {
    /// All of them.
    pub const ALL: [Self; 9] = [
        Self::Platform,
        Self::Kernel,
        Self::Cpu,
        Self::CpuCount,
        Self::Memory,
        Self::Profile,
        Self::Gpus,
        Self::Driver,
        Self::WorkerEnv,
    ];

    /// The name in records.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Platform => "platform",
            Self::Kernel => "kernel",
            Self::Cpu => "cpu",
            Self::CpuCount => "cpu_count",
            Self::Memory => "memory",
            Self::Profile => "profile",
            Self::Gpus => "gpus",
            Self::Driver => "driver",
            Self::WorkerEnv => "worker_env",
        }
    }
}

/// A part of the fingerprint that is not the same on both sides. Holds words of the machine: escape them where shown.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, schemars::JsonSchema)]
pub struct FingerprintDifference {
    /// The part.
    pub field: FingerprintField,
    /// What it is on the base's side; empty where it is not there.
    pub base: String,
    /// What it is on the new side.
    pub new: String,
}

/// The machine of one side, as far as its figures depend on it. Versions of what computes are no part of it: they are what
/// comparisons are for.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, schemars::JsonSchema)]
pub struct Fingerprint {
    /// From the run.
    pub environment: Environment,
    /// Build profiles of the workers.
    pub profiles: Vec<String>,
    /// Accelerators as workers and the driver name them.
    pub gpus: Vec<String>,
    /// Versions of their driver.
    pub drivers: Vec<String>,
}

impl Fingerprint {
    /// From a run's environment and what its attempts saw.
    #[must_use]
    pub fn new(environment: &Environment, attempts: &[&Attempt]) -> Self {
        let all = || attempts.iter().copied();
        let cards = all().flat_map(|attempt| &attempt.gpus);
        let sampled = cards.clone().map(|gpu| {
            let memory = gpu.memory_bytes.map_or_else(String::new, |bytes| format!(" {bytes}"));
            format!("gpu {}: {}{memory}", gpu.index, gpu.name)
        });
        let seen = all().flat_map(|attempt| &attempt.devices).filter_map(|device| {
            let physical = matches!(device.id.kind(), DeviceKind::Cuda(_) | DeviceKind::Metal(_));
            physical.then(|| format!("{}: {}", device.id, device.name))
        });
        Self {
            environment: environment.clone(),
            profiles: distinct(all().filter_map(|attempt| attempt.profile.clone())),
            gpus: distinct(seen.chain(sampled)),
            drivers: distinct(cards.filter_map(|gpu| gpu.driver.clone())),
        }
    }

    /// What is not the same on both sides.
    #[must_use]
    pub fn differences(base: &Self, new: &Self) -> Vec<FingerprintDifference> {
        let (ours, theirs) = (&base.environment, &new.environment);
        let memory_differs = {
            let (a, b) = (ours.memory_bytes.as_f64(), theirs.memory_bytes.as_f64());
            (a - b).abs() > MEMORY_TOLERANCE * a.max(b)
        };
        let told = |environment: &Environment| {
            if memory_differs {
                environment.memory_bytes.to_string()
            } else {
                String::new()
            }
        };
        let list = |items: &[String]| items.join(", ");
        let parts = [
            (
                FingerprintField::Platform,
                ours.platform.clone(),
                theirs.platform.clone(),
            ),
            (FingerprintField::Kernel, ours.kernel.clone(), theirs.kernel.clone()),
            (FingerprintField::Cpu, ours.cpu.clone(), theirs.cpu.clone()),
            (
                FingerprintField::CpuCount,
                ours.cpu_count.to_string(),
                theirs.cpu_count.to_string(),
            ),
            (FingerprintField::Memory, told(ours), told(theirs)),
            (FingerprintField::Profile, list(&base.profiles), list(&new.profiles)),
            (FingerprintField::Gpus, list(&base.gpus), list(&new.gpus)),
            (FingerprintField::Driver, list(&base.drivers), list(&new.drivers)),
            (
                FingerprintField::WorkerEnv,
                speed_variables(ours),
                speed_variables(theirs),
            ),
        ];
        let differing = parts.into_iter().filter(|(_, base, new)| base != new);
        differing
            .map(|(field, base, new)| FingerprintDifference { field, base, new })
            .collect()
    }
}

/// In order, each once.
fn distinct(items: impl Iterator<Item = String>) -> Vec<String> {
    let mut items: Vec<String> = items.collect();
    items.sort();
    items.dedup();
    items
}

/// The environment without the variables that no comparison looks at: they name people and places, and say nothing of the
/// machine.
#[must_use]
pub fn comparable(environment: &Environment) -> Environment {
    let variables = environment.worker_env.iter().filter(|(name, _)| changes_speed(name));
    let mut worker_env: Vec<(String, String)> = variables.cloned().collect();
    worker_env.sort();
    Environment {
        worker_env,
        ..environment.clone()
    }
}

fn changes_speed(name: &str) -> bool {
    name.ends_with(SPEED_SUFFIX) || SPEED_PREFIXES.iter().any(|prefix| name.starts_with(prefix))
}

/// Those variables in order, `NAME=value`.
pub(crate) fn speed_variables(environment: &Environment) -> String {
    let variables = environment.worker_env.iter().filter(|(name, _)| changes_speed(name));
    distinct(variables.map(|(name, value)| format!("{name}={value}"))).join(" ")
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
            worker_env: vec![
                ("HOME".into(), "/home/a".into()),
                ("RAYON_NUM_THREADS".into(), "8".into()),
            ],
        }
    }

    fn fields(change: impl Fn(&mut Environment)) -> Vec<FingerprintField> {
        let mut other = environment();
        change(&mut other);
        let (base, new) = (Fingerprint::new(&environment(), &[]), Fingerprint::new(&other, &[]));
        Fingerprint::differences(&base, &new)
            .into_iter()
            .map(|difference| difference.field)
            .collect()
    }

    #[test]
    fn names_are_those_of_records() {
        for field in FingerprintField::ALL {
            assert_eq!(serde_json::to_value(field).unwrap(), field.as_str());
        }
    }

    #[test]
    fn what_changes_speed_makes_another_machine() {
        use FingerprintField as F;
        assert_eq!(
            fields(|machine| machine.platform = "linux aarch64".into()),
            [F::Platform]
        );
        assert_eq!(fields(|machine| machine.kernel = "6.9.0".into()), [F::Kernel]);
        assert_eq!(fields(|machine| machine.cpu = "Other".into()), [F::Cpu]);
        assert_eq!(fields(|machine| machine.cpu_count = 4), [F::CpuCount]);
        assert_eq!(fields(|machine| machine.memory_bytes = Bytes(31 << 30)), [F::Memory]);
        assert_eq!(fields(|machine| machine.worker_env[1].1 = "4".into()), [F::WorkerEnv]);
    }

    #[test]
    fn what_does_not_is_the_same_machine() {
        assert_eq!(fields(|_| ()), []);
        assert_eq!(fields(|machine| machine.worker_env[0].1 = "/home/b".into()), []);
        assert_eq!(fields(|machine| machine.memory_bytes = Bytes((32 << 30) - 4096)), []);
        assert_eq!(fields(|machine| machine.worker_env.reverse()), []);
        assert_eq!(fields(|machine| *machine = comparable(machine)), []);
        assert_eq!(
            comparable(&environment()).worker_env,
            [("RAYON_NUM_THREADS".to_owned(), "8".to_owned())]
        );
    }
}
