//! How often changes are seen that are not there, and how often those that are: with known levels and realistic noise.
//! `cargo test -p placebench-core --test change_points -- --nocapture` prints the figures.

use placebench_core::statistics::{ChangePointSpec, change_points};

/// A generator for the simulation alone; the detector draws from its own.
struct Noise(u64);

impl Noise {
    fn uniform(&mut self) -> f64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        (self.0 >> 11) as f64 / (1_u64 << 53) as f64
    }

    /// Box and Muller.
    fn normal(&mut self) -> f64 {
        let radius = (-2.0 * (1.0 - self.uniform()).ln()).sqrt();
        radius * (std::f64::consts::TAU * self.uniform()).cos()
    }
}

/// How the medians of runs scatter around their level.
#[derive(Clone, Copy)]
struct Machine {
    /// Standard deviation of their logarithm.
    spread: f64,
    /// Correlation of one run with the next.
    memory: f64,
    /// Share of runs in a storm, at 1.2 to 2 times their level.
    storms: f64,
}

const STEADY: Machine = Machine {
    spread: 0.02,
    memory: 0.0,
    storms: 0.0,
};

impl Machine {
    fn series(self, levels: &[f64], noise: &mut Noise) -> Vec<f64> {
        let mut state = noise.normal();
        let fresh = (1.0 - self.memory * self.memory).sqrt();
        levels
            .iter()
            .map(|level| {
                state = self.memory * state + fresh * noise.normal();
                let storm = match noise.uniform() < self.storms {
                    true => 1.2 + 0.8 * noise.uniform(),
                    false => 1.0,
                };
                0.05 * level * (self.spread * state).exp() * storm
            })
            .collect()
    }
}

fn step(before: usize, after: usize, factor: f64) -> Vec<f64> {
    let mut levels = vec![1.0; before];
    levels.resize(before + after, factor);
    levels
}

/// Shares of series with a change at all, with one within a run of `at`, and with more than one.
fn shares(machine: Machine, levels: &[f64], at: usize, series: u32) -> (f64, f64, f64) {
    let mut noise = Noise(0x5eed_1234_5678_9abc);
    let (mut any, mut there, mut several) = (0, 0, 0);
    for _ in 0..series {
        let found = change_points(&machine.series(levels, &mut noise), &ChangePointSpec::default());
        any += u32::from(!found.is_empty());
        there += u32::from(found.iter().any(|change| change.at.abs_diff(at) <= 1));
        several += u32::from(found.len() > 1);
    }
    let share = |count: u32| f64::from(count) / f64::from(series);
    (share(any), share(there), share(several))
}

#[test]
fn quiet_series_raise_few_alarms() {
    const SERIES: u32 = 200;
    println!("{:<44} {:>5}  alarms", "noise of a run's median", "runs");
    for (words, machine, most) in [
        ("2 %", STEADY, 0.02),
        ("5 %", Machine { spread: 0.05, ..STEADY }, 0.03),
        ("10 %", Machine { spread: 0.1, ..STEADY }, 0.03),
        (
            "5 %, 5 % of the runs in a storm",
            Machine {
                spread: 0.05,
                storms: 0.05,
                ..STEADY
            },
            0.03,
        ),
        // Not what the test assumes: what it costs is to be known, not to be hidden.
        (
            "5 %, correlation of 0.3 between runs",
            Machine {
                spread: 0.05,
                memory: 0.3,
                ..STEADY
            },
            0.25,
        ),
    ] {
        for runs in [6, 12, 30, 60] {
            let (any, _, _) = shares(machine, &vec![1.0; runs], 0, SERIES);
            println!("{words:<44} {runs:>5}  {:.1} %", any * 100.0);
            assert!(any <= most, "{words}, {runs} runs: {any}");
        }
    }
}

#[test]
fn steps_are_seen_with_the_stated_probability() {
    const SERIES: u32 = 100;
    println!("noise  step   runs before + after   seen   within one run   more than one");
    for (spread, factor, before, after, least) in [
        (0.02, 1.05, 10, 10, 0.85),
        (0.02, 1.05, 30, 10, 0.9),
        (0.02, 1.05, 30, 5, 0.7),
        (0.02, 1.1, 10, 10, 0.98),
        (0.02, 1.1, 30, 4, 0.9),
        (0.02, 0.9, 30, 4, 0.9),
        (0.02, 1.2, 6, 6, 0.9),
        (0.02, 1.2, 30, 3, 0.5),
        (0.05, 1.1, 20, 20, 0.95),
        (0.05, 1.2, 20, 10, 0.98),
        (0.05, 1.2, 60, 5, 0.95),
    ] {
        let machine = Machine { spread, ..STEADY };
        let (any, there, several) = shares(machine, &step(before, after, factor), before, SERIES);
        println!(
            "{:>4.0} %  {:>+4.0} %  {before:>12} + {after:<8}  {:>5.1} %  {:>12.1} %  {:>12.1} %",
            spread * 100.0,
            (factor - 1.0) * 100.0,
            any * 100.0,
            there * 100.0,
            several * 100.0,
        );
        assert!(any >= least, "{factor} at noise {spread}, {before} + {after}: {any}");
        assert!(several <= 0.06, "{factor} at noise {spread}: {several} have another");
        if factor >= 1.1 && spread < 0.05 && after > 3 {
            assert!(there >= any - 0.03, "{there} of {any} are where they are");
        }
    }
}

#[test]
fn too_few_runs_say_nothing() {
    let (any, _, _) = shares(STEADY, &step(3, 2, 2.0), 3, 50);
    assert_eq!(any, 0.0);
    // A p-value of 1 % does not exist for three and three.
    let (any, _, _) = shares(STEADY, &step(3, 3, 2.0), 3, 50);
    assert_eq!(any, 0.0);
}

#[test]
fn a_bump_has_two_ends_and_a_storm_none() {
    let mut bump = step(20, 10, 1.15);
    bump.resize(50, 1.0);
    let mut noise = Noise(7);
    let ends = (0..50).filter(|_| {
        let found = change_points(&STEADY.series(&bump, &mut noise), &ChangePointSpec::default());
        found.len() == 2 && found[0].log_ratio > 0.0 && found[1].log_ratio < 0.0
    });
    let ends = ends.count();
    println!("both ends of a bump: {ends} of 50");
    assert!(ends >= 45, "{ends}");
    let mut storm = vec![1.0; 50];
    (storm[24], storm[25]) = (3.0, 2.0);
    assert!(shares(STEADY, &storm, 24, 100).0 <= 0.03, "two runs are no level");
}

#[test]
fn a_drift_is_told_as_steps_of_one_sense() {
    let drift: Vec<f64> = (0..60).map(|run| 1.0 + 0.2 * f64::from(run) / 59.0).collect();
    let mut noise = Noise(11);
    for _ in 0..20 {
        let found = change_points(&STEADY.series(&drift, &mut noise), &ChangePointSpec::default());
        assert!(!found.is_empty() && found.len() <= 6, "{found:?}");
        assert!(found.iter().all(|change| change.log_ratio > 0.0), "{found:?}");
    }
    // One that stays below what matters is none.
    let slight: Vec<f64> = (0..60).map(|run| 1.0 + 0.02 * f64::from(run) / 59.0).collect();
    assert!(shares(STEADY, &slight, 30, 100).0 <= 0.05);
}
