//! False-alarm rate and power of the gate, on simulated attempts with a fixed seed: the same figures on every machine.
//!
//! A smaller copy of the example `gate_power`. Bounds are what the gate promises, so a change of the rule that breaks the promise
//! fails here; the seed makes a pass no matter of luck.

use super::simulation::{Noise, Setting, Tally, looked_at_once, simulate};
use placebench_core::compare::GateSpec;

const COMPARISONS: u32 = 200;

fn tally(noise: Noise, cv: f64, effect: f64, spec: &GateSpec) -> Tally {
    let setting = Setting {
        noise,
        cv,
        effect,
        calibration: 20,
    };
    simulate(&setting, spec, COMPARISONS, 42)
}

#[test]
fn equal_sides_are_seldom_called_different_on_any_machine() {
    for noise in Noise::ALL {
        for cv in [0.005, 0.05] {
            for spec in [looked_at_once(6), GateSpec::versions()] {
                let alike = tally(noise, cv, 0.0, &spec);
                let alarms = alike.share(alike.slower);
                let told = format!("{} at {cv}, {} pairs: {alike:?}", noise.as_str(), spec.pairs);
                assert!(alarms <= 0.03, "{told}");
                assert!(alike.share(alike.faster) <= 0.03, "{told}");
                assert_eq!(alike.no_verdict, 0, "{told}");
            }
        }
    }
}

#[test]
fn equal_sides_are_called_the_same_by_default() {
    for noise in Noise::ALL {
        let alike = tally(noise, 0.02, 0.0, &GateSpec::versions());
        assert!(alike.share(alike.same) >= 0.95, "{}: {alike:?}", noise.as_str());
        // The second look is for the few that need it.
        assert!(alike.pairs < 14 * alike.all, "{}: {alike:?}", noise.as_str());
    }
}

#[test]
fn a_change_of_stated_size_is_found() {
    for (cv, effect, at_least) in [
        (0.005, 0.05, 0.99),
        (0.02, 0.05, 0.60),
        (0.02, 0.10, 0.98),
        (0.05, 0.20, 0.95),
    ] {
        for noise in [Noise::Independent, Noise::Drift] {
            let changed = tally(noise, cv, effect, &GateSpec::versions());
            let told = format!("{} at {cv}, {effect}: {changed:?}", noise.as_str());
            assert!(changed.share(changed.slower) >= at_least, "{told}");
            assert_eq!(changed.faster, 0, "{told}");
        }
    }
}

#[test]
fn a_change_that_does_not_matter_is_no_alarm() {
    for noise in Noise::ALL {
        let changed = tally(noise, 0.005, 0.01, &GateSpec::versions());
        assert_eq!(changed.slower, 0, "{}: {changed:?}", noise.as_str());
    }
}

#[test]
fn more_pairs_find_more() {
    let found = [6, 10, 20].map(|pairs| tally(Noise::Independent, 0.02, 0.05, &looked_at_once(pairs)).slower);
    assert!(found[0] < found[1] && found[1] < found[2], "{found:?}");
}

/// The promise in one table: `cargo test -p placebench-core --test gate -- --nocapture stated`.
#[test]
fn false_alarms_and_power_are_as_stated() {
    println!(
        "noise {:>12} {:>6}  slower, faster, same: per cent of {COMPARISONS}",
        "effect", "cv"
    );
    for noise in Noise::ALL {
        for (effect, cv, least, most) in [
            (0.0, 0.02, 0.0, 0.03),
            // What does not matter is seldom an alarm: two per cent is the smallest change that does.
            (0.02, 0.02, 0.0, 0.10),
            (0.05, 0.01, 0.85, 1.0),
            (0.10, 0.02, 0.85, 1.0),
        ] {
            let found = tally(noise, cv, effect, &GateSpec::versions());
            let percent = |of| 100.0 * found.share(of);
            let told = format!(
                "{:<12} {:>4.0} % {:>4.0} %  {:.1}, {:.1}, {:.1}",
                noise.as_str(),
                100.0 * effect,
                100.0 * cv,
                percent(found.slower),
                percent(found.faster),
                percent(found.same)
            );
            println!("{told}");
            assert!(
                found.share(found.slower) >= least && found.share(found.slower) <= most,
                "{told}"
            );
            assert!(found.share(found.faster) <= 0.03, "{told}");
        }
    }
}
