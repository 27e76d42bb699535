//! Comparisons of simulated attempts, to count how often the gate is wrong and what it finds.
//!
//! Everything but the clock is real: attempts go through pairing, medians, Holm and the verdict like those of a run. Noise is on
//! the logarithm of a figure, drawn anew for each metric, so that the three gated ones give chance three tries.

use std::f64::consts::TAU;

use placebench_core::compare::{CasePair, Change, GateSpec, Side, compare};
use placebench_core::doctor::noise::{NoiseFloor, noise_floor};
use placebench_core::outcome::{Outcome, Phase};
use placebench_core::protocol::{FinishReason, Generation};
use placebench_core::record::{Attempt, Environment, PhaseSpan, TextVerdict};

/// Random numbers that are the same everywhere: Steele, Lea and Flood's SplitMix64.
#[derive(Debug, Clone)]
pub(crate) struct Random(pub(crate) u64);

impl Random {
    /// The next 64 bits.
    pub(crate) fn bits(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    /// Above 0, at most 1.
    pub(crate) fn unit(&mut self) -> f64 {
        ((self.bits() >> 11) + 1) as f64 / (1_u64 << 53) as f64
    }

    /// Standard normal (Box and Muller).
    pub(crate) fn normal(&mut self) -> f64 {
        (-2.0 * self.unit().ln()).sqrt() * (TAU * self.unit()).cos()
    }
}

/// How a machine's figures scatter.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Noise {
    /// Each attempt on its own, log-normal.
    Independent,
    /// The same, and one attempt in twenty is held up by something, on average by ten times the noise.
    HeavyTails,
    /// The same, on a machine whose speed wanders: an AR(1) process (0.9 from attempt to attempt) of twice the noise, and a
    /// steady drift of ten times the noise over the session.
    Drift,
    /// The same, on a machine that becomes slower by ten times the noise at some moment and stays so.
    Step,
}

impl Noise {
    /// All kinds.
    pub(crate) const ALL: [Self; 4] = [Self::Independent, Self::HeavyTails, Self::Drift, Self::Step];

    /// Its name.
    pub(crate) fn as_str(self) -> &'static str {
        match self {
            Self::Independent => "independent",
            Self::HeavyTails => "heavy tails",
            Self::Drift => "drift",
            Self::Step => "step",
        }
    }

    /// Logarithms of what a session's attempts take, in order of time, relative to one without noise.
    fn session(self, attempts: usize, cv: f64, random: &mut Random) -> Vec<f64> {
        const MEMORY: f64 = 0.9;
        let mut wander = 2.0 * cv * random.normal();
        let moment = random.unit() * attempts as f64;
        (0..attempts)
            .map(|slot| {
                let own = cv * random.normal();
                let held_up = if random.unit() < 0.05 {
                    -10.0 * cv * random.unit().ln()
                } else {
                    0.0
                };
                let slower_now = if slot as f64 >= moment { 10.0 * cv } else { 0.0 };
                wander = MEMORY * wander + 2.0 * cv * (1.0 - MEMORY * MEMORY).sqrt() * random.normal();
                own + match self {
                    Self::Independent => 0.0,
                    Self::HeavyTails => held_up,
                    Self::Drift => wander + 10.0 * cv * slot as f64 / attempts as f64,
                    Self::Step => slower_now,
                }
            })
            .collect()
    }
}

/// A machine and a change to be found on it.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Setting {
    /// How figures scatter.
    pub(crate) noise: Noise,
    /// By how much: the standard deviation of the logarithm of an attempt's figure, which is its coefficient of variation.
    pub(crate) cv: f64,
    /// By how much the new side's time per token is longer: 0.05 is 5 %.
    pub(crate) effect: f64,
    /// A/A pairs of a calibration on the same machine; 0 for none.
    pub(crate) calibration: usize,
}

/// How often each verdict came out.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Tally {
    /// Comparisons.
    pub(crate) all: u32,
    /// `same`.
    pub(crate) same: u32,
    /// `faster`.
    pub(crate) faster: u32,
    /// `slower`.
    pub(crate) slower: u32,
    /// `unclear`.
    pub(crate) unclear: u32,
    /// `no_verdict`.
    pub(crate) no_verdict: u32,
    /// Pairs that were made, over all comparisons.
    pub(crate) pairs: u32,
}

impl Tally {
    /// That many of all.
    pub(crate) fn share(&self, of: u32) -> f64 {
        f64::from(of) / f64::from(self.all.max(1))
    }
}

/// That many comparisons of a case in that setting, each with a calibration and a session of its own, each extended while
/// it is unclear and the spec allows it.
pub(crate) fn simulate(setting: &Setting, spec: &GateSpec, comparisons: u32, seed: u64) -> Tally {
    let mut random = Random(seed);
    let mut tally = Tally::default();
    for _ in 0..comparisons {
        let (change, pairs) = one(setting, spec, &mut random);
        let count = match change {
            Change::Same => &mut tally.same,
            Change::Faster => &mut tally.faster,
            Change::Slower => &mut tally.slower,
            Change::Unclear => &mut tally.unclear,
            Change::NoVerdict => &mut tally.no_verdict,
        };
        *count += 1;
        tally.all += 1;
        tally.pairs += pairs;
    }
    tally
}

fn one(setting: &Setting, spec: &GateSpec, random: &mut Random) -> (Change, u32) {
    let noise = (setting.calibration > 0).then(|| calibrate(setting, random));
    let cap = spec.max_pairs as usize;
    // The whole session beforehand, so that looking more often sees the same machine go on.
    let (base, new) = session(setting, setting.effect, cap, random);
    let environment = Environment::default();
    let mut pairs = spec.pairs;
    loop {
        let of = |attempts: &[Attempt]| -> Vec<Attempt> { attempts[..pairs as usize].to_vec() };
        let (base, new) = (of(&base), of(&new));
        let (base, new): (Vec<&Attempt>, Vec<&Attempt>) = (base.iter().collect(), new.iter().collect());
        let case = pair(&base, &new, &environment, noise.as_ref());
        let comparison = compare(&[case], spec);
        match comparison.cases[0].pairs_wanted {
            Some(wanted) => pairs = wanted,
            None => return (comparison.change.expect("timings are gated"), pairs),
        }
    }
}

/// The two sides of a case on the same machine.
pub(crate) fn pair<'a>(
    base: &'a [&'a Attempt],
    new: &'a [&'a Attempt],
    environment: &'a Environment,
    noise: Option<&'a NoiseFloor>,
) -> CasePair<'a> {
    let side = |attempts| Side {
        case: "suite/prompt/auto",
        attempts,
        environment,
        text: TextVerdict::Exact,
    };
    CasePair {
        base: side(base),
        new: side(new),
        noise,
    }
}

fn calibrate(setting: &Setting, random: &mut Random) -> NoiseFloor {
    let (a, b) = session(setting, 0.0, setting.calibration, random);
    let pairs: Vec<(Attempt, Attempt)> = a.into_iter().zip(b).collect();
    noise_floor("suite/prompt/auto", &pairs)
}

/// A session of pairs in the order A B B A.
fn session(setting: &Setting, effect: f64, pairs: usize, random: &mut Random) -> (Vec<Attempt>, Vec<Attempt>) {
    let mut column = || setting.noise.session(2 * pairs, setting.cv, random);
    let (load, ttft, tpot) = (column(), column(), column());
    let at = |slot: usize, number: usize, effect: f64| {
        attempt(
            number,
            2.0 * load[slot].exp(),
            0.2 * ttft[slot].exp(),
            0.02 * (1.0 + effect) * tpot[slot].exp(),
        )
    };
    (0..pairs)
        .map(|number| {
            let first = 2 * number;
            let (base, new) = if number % 2 == 0 {
                (first, first + 1)
            } else {
                (first + 1, first)
            };
            (at(base, number, 0.0), at(new, number, effect))
        })
        .unzip()
}

/// A completed attempt with these figures.
pub(crate) fn attempt(number: usize, load_s: f64, ttft_s: f64, tpot_s: f64) -> Attempt {
    let number = u32::try_from(number).unwrap_or(u32::MAX);
    Attempt {
        phases: vec![PhaseSpan {
            phase: Phase::Load,
            start_s: 0.0,
            end_s: Some(load_s),
        }],
        profile: Some("release".into()),
        generations: vec![Generation {
            input_ids: vec![1, 2],
            output_ids: vec![3, 4, 5],
            text: "three words more".into(),
            text_offsets: vec![],
            finish_reason: FinishReason::Length,
            start_s: load_s,
            token_stamps_s: vec![ttft_s, ttft_s + tpot_s, ttft_s + 2.0 * tpot_s],
            top2_gaps: vec![1.0; 3],
            top5: vec![],
            hops: vec![1, 1, 1],
            transfer_bytes: vec![64, 32, 32],
            streamed_bytes: vec![],
            stage_times_s: vec![],
            companions: vec![],
            input_tokens: None,
            output_tokens: None,
        }],
        ..Attempt::without_worker("suite/prompt/auto", number, String::new(), Outcome::Completed)
    }
}

/// The defaults with that many pairs, looked at once.
pub(crate) fn looked_at_once(pairs: u32) -> GateSpec {
    GateSpec {
        pairs,
        max_pairs: pairs,
        ..GateSpec::versions()
    }
}
