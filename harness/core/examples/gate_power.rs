//! How often the gate is wrong, and what it finds: prints false-alarm rates and power.
//! `cargo run --release -p placebench-core --example gate_power [COMPARISONS [SEED]]`

#![expect(
    clippy::print_stdout,
    clippy::print_stderr,
    reason = "a program of its own, whose result is what it prints"
)]

#[path = "../tests/gate/simulation.rs"]
mod simulation;

use std::process::ExitCode;

use placebench_core::compare::GateSpec;
use simulation::{Noise, Setting, Tally, looked_at_once, simulate};

fn main() -> ExitCode {
    let mut numbers = std::env::args().skip(1).map(|text| text.parse::<u32>());
    let (comparisons, seed) = match (numbers.next().unwrap_or(Ok(10_000)), numbers.next().unwrap_or(Ok(1))) {
        (Ok(comparisons), Ok(seed)) => (comparisons, u64::from(seed)),
        _ => {
            eprintln!("usage: gate_power [COMPARISONS [SEED]]");
            return ExitCode::from(2);
        }
    };
    let variants = [6, 10, 20]
        .map(looked_at_once)
        .into_iter()
        .chain([GateSpec::versions()]);
    for spec in variants {
        for calibration in [0, 20] {
            table(&spec, calibration, comparisons, seed);
        }
    }
    ExitCode::SUCCESS
}

fn table(spec: &GateSpec, calibration: usize, comparisons: u32, seed: u64) {
    let pairs = if spec.looks() == 1 {
        format!("{} pairs", spec.pairs)
    } else {
        format!("{} pairs, up to {} while unclear", spec.pairs, spec.max_pairs)
    };
    let floor = if calibration == 0 {
        "not calibrated".to_owned()
    } else {
        format!("calibrated with {calibration} pairs")
    };
    println!("\n{pairs}; {floor}; {comparisons} A/A comparisons a row, a fifth for each effect");
    println!(
        "                   A/A, per cent of comparisons           called slower / same, per cent, where tpot_s is longer by"
    );
    println!(
        "noise          cv  slower  faster   same unclear pairs          2 %           5 %          10 %          20 %"
    );
    for noise in Noise::ALL {
        for cv in [0.005, 0.01, 0.02, 0.05] {
            let setting = |effect| Setting {
                noise,
                cv,
                effect,
                calibration,
            };
            let alike = simulate(&setting(0.0), spec, comparisons, seed);
            let percent = |tally: &Tally, of| 100.0 * tally.share(of);
            let power = [0.02, 0.05, 0.10, 0.20].map(|effect| {
                let tally = simulate(&setting(effect), spec, comparisons / 5, seed ^ 0xA5A5);
                format!(
                    "{:5.1} / {:5.1}",
                    percent(&tally, tally.slower),
                    percent(&tally, tally.same)
                )
            });
            println!(
                "{:<12} {:4.1} {:7.2} {:7.2} {:6.1} {:7.1} {:5.1} {}",
                noise.as_str(),
                100.0 * cv,
                percent(&alike, alike.slower),
                percent(&alike, alike.faster),
                percent(&alike, alike.same),
                percent(&alike, alike.unclear),
                alike.share(alike.pairs),
                power.join(" "),
            );
        }
    }
}
