//! In which order attempts are made.
//!
//! A machine warms up, throttles and gets busy while a run goes on. So the placements of a prompt, and all cases that are compared with each other, take turns, and each
//! round goes through them the other way round (A B B A): a steady drift then falls on all of them alike. Which of them
//! comes first is drawn from the run's seed. With two programs the two attempts of a pair are neighbours, and which of them is
//! first is drawn case by case.

use std::collections::HashMap;

use placebench_core::record::{CaseSpec, Isolation};
use placebench_core::selection::groups_of;

/// Whose attempt it is.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Arm {
    /// That of the run's own program.
    #[default]
    New,
    /// That of the program the run is held against.
    Base,
}

/// One child process to be started.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Slot {
    /// Index of the case.
    pub case: usize,
    /// Number of the attempt within the case, from 0, counted through all tries.
    pub attempt: u32,
    /// Measured generations in this process.
    pub repetitions: u32,
    /// Whose it is.
    pub arm: Arm,
}

/// Some attempts of one try of a case, by one program.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Turn {
    /// Index of the case.
    pub case: usize,
    /// Whose attempts.
    pub arm: Arm,
    /// The try: 0 is the first.
    pub retry: u32,
    /// How many.
    pub attempts: u32,
}

/// The attempts of the placements of one prompt.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Group {
    /// Indices of its cases; at least one.
    pub cases: Vec<usize>,
    /// The order in which they take turns, each with the program that is to make its attempt.
    pub order: Vec<(usize, Arm)>,
}

/// The attempts of all cases. The same cases and seed give the same order.
#[must_use]
pub fn schedule(cases: &[CaseSpec], seed: u64) -> Vec<Slot> {
    let turn = |(case, arm): (usize, Arm)| Turn {
        case,
        arm,
        retry: 0,
        attempts: cases[case].attempts_per_try(),
    };
    let groups = schedule_groups(cases, seed, &|_| false).into_iter();
    groups
        .flat_map(|group| slots_of(cases, &group.order.into_iter().map(turn).collect::<Vec<Turn>>()))
        .collect()
}

/// The groups, each with the order of its first round. `has_base` says which cases are run by another program too.
#[must_use]
pub fn schedule_groups(cases: &[CaseSpec], seed: u64, has_base: &dyn Fn(&CaseSpec) -> bool) -> Vec<Group> {
    let mut random = SplitMix64(seed);
    let mut scheduled = Vec::new();
    for mut group in groups(cases) {
        shuffle(&mut group, &mut random);
        let mut order = Vec::new();
        for &case in &group {
            let arms = match has_base(&cases[case]) {
                false => vec![Arm::New],
                true if random.below(2) == 0 => vec![Arm::Base, Arm::New],
                true => vec![Arm::New, Arm::Base],
            };
            order.extend(arms.into_iter().map(|arm| (case, arm)));
        }
        scheduled.push(Group { cases: group, order });
    }
    scheduled
}

/// The attempts of some turns, in the order of a round: turn and turn about, each round the other way round.
#[must_use]
pub fn slots_of(cases: &[CaseSpec], turns: &[Turn]) -> Vec<Slot> {
    let most = turns.iter().map(|turn| turn.attempts).max();
    let mut slots = Vec::new();
    for round in 0..most.unwrap_or(0) {
        let slots_of_round = turns.iter().filter(|turn| round < turn.attempts).map(|turn| Slot {
            case: turn.case,
            attempt: turn.retry * cases[turn.case].attempts_per_try() + round,
            repetitions: repetitions_in_one(&cases[turn.case]),
            arm: turn.arm,
        });
        if round.is_multiple_of(2) {
            slots.extend(slots_of_round);
        } else {
            slots.extend(slots_of_round.rev());
        }
    }
    slots
}

fn repetitions_in_one(case: &CaseSpec) -> u32 {
    match case.measure.isolation {
        Isolation::Process => case.measure.repetitions.min(1),
        Isolation::Shared => case.measure.repetitions,
    }
}

/// Cases that are compared with each other ([`groups_of`]), in the order in which the groups first appear. A group is judged,
/// and its failures are retried, when all of it was run.
fn groups(cases: &[CaseSpec]) -> Vec<Vec<usize>> {
    let mut groups: Vec<Vec<usize>> = Vec::new();
    let mut known: HashMap<String, usize> = HashMap::new();
    for (index, name) in groups_of(cases).into_iter().enumerate() {
        let group = *known.entry(name).or_insert_with(|| {
            groups.push(Vec::new());
            groups.len() - 1
        });
        groups[group].push(index);
    }
    groups
}

/// Fisher and Yates.
fn shuffle(items: &mut [usize], random: &mut SplitMix64) {
    for last in (1..items.len()).rev() {
        items.swap(last, random.below(last + 1));
    }
}

/// Steele, Lea and Flood's generator (2014): small, and the same on every machine and release.
struct SplitMix64(u64);

impl SplitMix64 {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    /// A number below `bound`; the bias of the multiplication is below one in 2^32 for any number of placements.
    fn below(&mut self, bound: usize) -> usize {
        let scaled = (u128::from(self.next()) * bound as u128) >> 64;
        usize::try_from(scaled).unwrap_or(0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fixture;
    use placebench_core::record::MeasureSpec;
    use placebench_core::scenario::MOST_REPETITIONS;
    use proptest::prelude::*;
    use std::collections::HashSet;

    #[test]
    fn a_damaged_record_cannot_ask_for_more_than_can_be_listed() {
        let endless = case("a", "single", u32::MAX, Isolation::Process);
        assert_eq!(schedule(&[endless], 0).len(), MOST_REPETITIONS as usize);
    }

    fn case(scenario: &str, placement: &str, repetitions: u32, isolation: Isolation) -> CaseSpec {
        CaseSpec {
            case: format!("{scenario}/p/{placement}"),
            scenario: scenario.to_owned(),
            placement: placement.to_owned(),
            measure: MeasureSpec {
                warmup: 1,
                repetitions,
                isolation,
                probe: false,
                first_look: None,
            },
            ..fixture::case()
        }
    }

    #[test]
    fn rounds_alternate() {
        let cases = ["a", "b", "c"].map(|name| case("s", name, 4, Isolation::Process));
        let order: Vec<usize> = schedule(&cases, 7).iter().map(|slot| slot.case).collect();
        let first: Vec<usize> = order[..3].to_vec();
        let back: Vec<usize> = first.iter().rev().copied().collect();
        assert_eq!(order, [first.clone(), back.clone(), first, back].concat());
    }

    #[test]
    fn one_process_can_do_all_repetitions() {
        let cases = [
            case("s", "a", 6, Isolation::Shared),
            case("s", "b", 2, Isolation::Process),
        ];
        let mut slots = schedule(&cases, 0);
        slots.sort_by_key(|slot| (slot.case, slot.attempt));
        let slot = |case, attempt, repetitions| Slot {
            case,
            attempt,
            repetitions,
            arm: Arm::New,
        };
        assert_eq!(slots, [slot(0, 0, 6), slot(1, 0, 1), slot(1, 1, 1)]);
    }

    #[test]
    fn scenarios_stay_together_and_the_seed_decides_who_is_first() {
        let cases: Vec<CaseSpec> = ["s", "t", "s", "t"]
            .iter()
            .zip(["a", "a", "b", "b"])
            .map(|(scenario, placement)| case(scenario, placement, 1, Isolation::Process))
            .collect();
        let firsts: HashSet<usize> = (0..64).map(|seed| schedule(&cases, seed)[0].case).collect();
        assert_eq!(firsts, HashSet::from([0, 2]));
        for seed in 0..64 {
            let order: Vec<usize> = schedule(&cases, seed).iter().map(|slot| slot.case % 2).collect();
            assert_eq!(order, [0, 0, 1, 1]);
        }
    }

    /// What generates several prompts together must agree with each of them alone.
    #[test]
    fn prompts_that_are_generated_together_are_one_group() {
        let of_prompt = |prompt: &str, placement: &str| CaseSpec {
            case: format!("s/{prompt}/{placement}"),
            prompt: prompt.to_owned(),
            ..case("s", placement, 1, Isolation::Process)
        };
        let mut cases = vec![
            of_prompt("p", "alone"),
            of_prompt("p", "batch"),
            of_prompt("q", "alone"),
        ];
        let sizes = |cases: &[CaseSpec]| -> Vec<usize> {
            let groups = schedule_groups(cases, 0, &|_| false);
            groups.iter().map(|group| group.cases.len()).collect()
        };
        assert_eq!(sizes(&cases), [2, 1]);
        cases[1].companion_inputs = vec![cases[2].input.clone()];
        assert_eq!(sizes(&cases), [3]);
    }

    #[test]
    fn two_programs_take_turns_within_each_pair_and_the_seed_decides_who_is_first() {
        let cases = ["a", "b"].map(|name| case("s", name, 4, Isolation::Process));
        let mut first = HashSet::new();
        for seed in 0..64 {
            let groups = schedule_groups(&cases, seed, &|case| case.placement == "a");
            let [group] = groups.as_slice() else {
                panic!("{groups:?}")
            };
            assert_eq!(group.order.len(), 3);
            let turn = |&(case, arm): &(usize, Arm)| Turn {
                case,
                arm,
                retry: 0,
                attempts: 4,
            };
            let slots = slots_of(&cases, &group.order.iter().map(turn).collect::<Vec<Turn>>());
            let of_a: Vec<(Arm, u32)> = slots
                .iter()
                .filter(|slot| slot.case == 0)
                .map(|slot| (slot.arm, slot.attempt))
                .collect();
            let (one, other) = (of_a[0].0, of_a[1].0);
            first.insert(one);
            let expected = [
                (one, 0),
                (other, 0),
                (other, 1),
                (one, 1),
                (one, 2),
                (other, 2),
                (other, 3),
                (one, 3),
            ];
            assert_eq!(of_a, expected, "{seed}");
            // Nothing comes between the two of a pair.
            for pair in slots.windows(2) {
                assert!(pair[0].case != pair[1].case || pair[0].attempt.abs_diff(pair[1].attempt) <= 1);
            }
        }
        assert_eq!(first.len(), 2);
    }

    proptest! {
        #[test]
        fn each_attempt_once_in_order_and_balanced(
            placements in 1_usize..6, rounds in 1_u32..9, seed: u64, scenarios in 1_usize..4
        ) {
            let cases: Vec<CaseSpec> = (0..scenarios)
                .flat_map(|s| (0..placements).map(move |p| (s, p)))
                .map(|(s, p)| case(&format!("s{s}"), &format!("p{p}"), rounds, Isolation::Process))
                .collect();
            let slots = schedule(&cases, seed);
            prop_assert_eq!(&slots, &schedule(&cases, seed));
            prop_assert_eq!(slots.len(), cases.len() * rounds as usize);
            for index in 0..cases.len() {
                let attempts: Vec<u32> = slots.iter().filter(|s| s.case == index).map(|s| s.attempt).collect();
                prop_assert_eq!(attempts, (0..rounds).collect::<Vec<_>>());
            }
            // Over each pair of rounds every placement has the same mean position.
            for start in (0..slots.len()).step_by(placements) {
                let round = slots[start].attempt;
                if round.is_multiple_of(2) && round + 1 < rounds {
                    let pair = &slots[start..start + 2 * placements];
                    for (position, slot) in pair.iter().enumerate().take(placements) {
                        let mirror = pair.len() - 1 - position;
                        prop_assert_eq!(pair[mirror].case, slot.case);
                    }
                }
            }
        }
    }
}
