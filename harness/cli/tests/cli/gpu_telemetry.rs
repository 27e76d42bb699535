//! What the driver says about GPUs, from a library that stands in for NVIDIA's.

use std::path::PathBuf;
use std::process::Command;

use placebench_core::record::Attempt;
use placebench_core::units::Bytes;

use crate::env::{Ran, TestEnv};

/// Builds the library; a C compiler is among the things the project needs anyway.
fn library(env: &TestEnv) -> PathBuf {
    let source = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/data/fake_nvml.c");
    let library = env.path("libfake-nvml.so");
    let status = Command::new("cc")
        .args(["-shared", "-fPIC", "-w", "-o"])
        .arg(&library)
        .arg(source)
        .status();
    assert!(status.unwrap().success());
    library
}

/// A mock case on a slice of a card, or of the host, with that library.
fn attempt(on: &str, mode: &str) -> (Attempt, Ran) {
    let env = TestEnv::new();
    let scenario = format!(
        "schema_version = 1\n[model]\npath = \"models/m\"\n[devices]\n\"half:0\" = {{ on = \"{on}\" }}\n[[prompt]]\nname \
         = \"p\"\ntext = \"Hello\"\n[placement.single]\ndevice_map = \"half:0\"\n"
    );
    env.write("suite/s.toml", &scenario);
    let mut command = env.command(&["run", "suite"]);
    command
        .env("PLACEBENCH_NVML_LIBRARY", library(&env))
        .env("FAKE_NVML", mode);
    let ran = Ran::of(command.output().unwrap());
    (env.attempts().remove(0), ran)
}

#[test]
fn a_case_on_a_gpu_records_what_the_driver_says() {
    let (attempt, ran) = attempt("cuda:0", "");
    assert_eq!(ran.code, Some(0), "{ran:?}");
    let [gpu] = attempt.gpus.as_slice() else {
        panic!("one card: {:?}", attempt.gpus)
    };
    assert_eq!(
        (gpu.uuid.as_str(), gpu.name.as_str()),
        ("GPU-12345678-0000-0000-0000-000000000000", "Card of paper")
    );
    assert_eq!(
        (gpu.bus_id.as_str(), gpu.driver.as_deref()),
        ("00000000:3B:00.0", Some("580.65.06"))
    );
    assert_eq!(gpu.memory_bytes, Some(Bytes(80 << 30)));
    assert!(gpu.samples >= 1);
    assert!(gpu.memory_before_bytes <= gpu.memory_peak_bytes && gpu.memory_after_bytes == gpu.memory_peak_bytes);
    assert_eq!((gpu.utilisation_max_percent, gpu.power_max_w), (Some(75), Some(350.0)));
    assert_eq!((gpu.sm_clock_min_mhz, gpu.sm_clock_limit_mhz), (Some(1200), Some(1980)));
    assert_eq!(gpu.temperature_max_c, None, "this card does not tell");
    assert_eq!(gpu.throttle_reasons, ["power cap"]);
}

#[test]
fn a_case_on_the_host_asks_no_driver() {
    let (attempt, ran) = attempt("cpu", "hang");
    assert_eq!(ran.code, Some(0), "{ran:?}");
    assert_eq!(attempt.gpus, []);
    assert!(!attempt.stderr_tail.contains("driver"), "{}", attempt.stderr_tail);
}

#[test]
fn a_driver_that_stops_answering_holds_nobody_up() {
    let (attempt, ran) = attempt("cuda:0", "hang");
    assert_eq!(ran.code, Some(0), "{ran:?}");
    assert_eq!(attempt.gpus, []);
    assert!(
        attempt.stderr_tail.contains("driver did not answer"),
        "{}",
        attempt.stderr_tail
    );
}
