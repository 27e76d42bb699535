//! Where the ranks of a distributed job are, and which of them the others wait for.

use serde::{Deserialize, Serialize};

use super::{Phase, Place};

/// Where one rank was when its job was looked at.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, schemars::JsonSchema)]
pub struct RankSeen {
    /// Its number, from 0.
    pub rank: u32,
    /// The phase it was in; `spawn` where it has not said anything yet.
    pub phase: Option<Phase>,
    /// Number of the generation.
    #[serde(default)]
    pub generation: u64,
    /// Position of the token it was working on. A rank that has made its token and waits for the others is at the next one.
    pub token: Option<u32>,
    /// The module or hop it was in.
    pub place: Option<Place>,
    /// Seconds it had been there.
    pub for_s: Option<f64>,
}

impl RankSeen {
    /// How far it has come: the order in which a rank goes through a run.
    fn progress(&self) -> (u64, Option<Phase>, Option<u32>) {
        (self.generation, self.phase, self.token)
    }
}

/// The ranks that have come least far, in their order: those the others wait for. All of them where none is ahead.
#[must_use]
pub fn behind(ranks: &[RankSeen]) -> Vec<&RankSeen> {
    let least = ranks.iter().map(RankSeen::progress).min();
    ranks.iter().filter(|rank| Some(rank.progress()) == least).collect()
}

/// `rank 1 of 2`, `ranks 1 and 3 of 4`, `all 2 ranks`; none where there are no ranks.
#[must_use]
pub fn behind_words(ranks: &[RankSeen]) -> Option<String> {
    let behind = behind(ranks);
    let (last, others) = behind.split_last()?;
    let all = ranks.len();
    Some(match others {
        others if others.len() + 1 == all && all > 1 => format!("all {all} ranks"),
        [] => format!("rank {} of {all}", last.rank),
        others => {
            let others: Vec<String> = others.iter().map(|rank| rank.rank.to_string()).collect();
            format!("ranks {} and {} of {all}", others.join(", "), last.rank)
        }
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::device::DeviceId;
    use crate::outcome::{Deadline, LastSeen, Outcome};

    fn rank(rank: u32, generation: u64, phase: Phase, token: Option<u32>) -> RankSeen {
        RankSeen {
            rank,
            phase: Some(phase),
            generation,
            token,
            ..RankSeen::default()
        }
    }

    fn words(ranks: &[RankSeen]) -> String {
        behind_words(ranks).unwrap()
    }

    #[test]
    fn who_has_come_least_far_is_behind() {
        let waits = rank(0, 0, Phase::Decode, Some(4));
        let hangs = rank(1, 0, Phase::Decode, Some(3));
        assert_eq!(words(&[waits.clone(), hangs.clone()]), "rank 1 of 2");
        assert_eq!(
            words(&[hangs.clone(), waits.clone()]),
            "rank 1 of 2",
            "by its number, not its position"
        );
        // Whoever waits for the next generation is ahead, although its phase comes before.
        let next = rank(0, 1, Phase::Prefill, Some(0));
        assert_eq!(words(&[next, hangs.clone()]), "rank 1 of 2");
        // One that has not started yet is behind everybody.
        let silent = rank(2, 0, Phase::Spawn, None);
        assert_eq!(words(&[waits, hangs, silent]), "rank 2 of 3");
    }

    #[test]
    fn several_and_all_are_said_as_such() {
        let at = |number, token| rank(number, 0, Phase::Decode, Some(token));
        assert_eq!(words(&[at(0, 3), at(1, 3)]), "all 2 ranks");
        assert_eq!(words(&[at(0, 4), at(1, 3), at(2, 4), at(3, 3)]), "ranks 1 and 3 of 4");
        assert_eq!(words(&[at(0, 3)]), "rank 0 of 1");
        assert_eq!(behind_words(&[]), None);
    }

    #[test]
    fn a_stall_names_the_rank() {
        let place = Place::Module {
            module: "model.layers.2".into(),
            device: DeviceId::cpu(),
        };
        let outcome = Outcome::Stalled {
            phase: Phase::Decode,
            deadline: Deadline::Token,
            limit_s: 2.0,
            last: LastSeen {
                phase: Some(Phase::Decode),
                token: Some(3),
                place: Some(place),
                for_s: Some(2.0),
                last_token_before_s: None,
                ranks: vec![rank(0, 0, Phase::Decode, Some(4)), rank(1, 0, Phase::Decode, Some(3))],
            },
            tokens: 3,
        };
        insta::assert_snapshot!(outcome.sentence(), @"stalled: rank 1 of 2 in decode, token 3, module model.layers.2 on cpu, for 2.00 s (timeout.token allows 2.00 s); 3 tokens generated before");
        // Records of engines of one process are as they were.
        let alone = serde_json::to_string(&LastSeen::default()).unwrap();
        assert!(!alone.contains("ranks"), "{alone}");
        assert_eq!(serde_json::from_str::<LastSeen>(&alone).unwrap(), LastSeen::default());
    }
}
