//! A run that was gone on with: whether it is the one that was meant, and on which machine each attempt was made.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::{Environment, RunControl, RunInfo, Shard};

/// The moment from which a run was gone on with elsewhere, or with other variables.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Resumption {
    /// RFC 3339, UTC.
    pub resumed_at: String,
    /// The machine from then on.
    pub environment: Environment,
    /// By case: its first attempt that was made there. Cases that are not named were made there from the first on.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub first_attempts: BTreeMap<String, u32>,
}

impl RunInfo {
    /// The machine the run was last gone on with.
    #[must_use]
    pub fn last_environment(&self) -> &Environment {
        let last = self.control.resumptions.last();
        last.map_or(&self.environment, |resumption| &resumption.environment)
    }

    /// The machines that made these attempts of a case, each once, in the order of the attempts. Of a merged run, those of
    /// the shard that made the case.
    #[must_use]
    pub fn environments_of(&self, case: &str, attempts: impl IntoIterator<Item = u32>) -> Vec<&Environment> {
        let (first, control) = self.shard_of(case).map_or((&self.environment, &self.control), |shard| {
            (&shard.environment, &shard.control)
        });
        let mut found: Vec<&Environment> = Vec::new();
        for attempt in attempts {
            let environment = control.environment_of(first, case, attempt);
            if !found.contains(&environment) {
                found.push(environment);
            }
        }
        if found.is_empty() {
            found.push(first);
        }
        found
    }

    /// The shard of a merged run that made a case.
    #[must_use]
    pub fn shard_of(&self, case: &str) -> Option<&Shard> {
        let mut shards = self.shards.iter();
        shards.find(|shard| shard.cases.iter().any(|name| name == case))
    }

    /// What this run, begun earlier, was asked to do otherwise than `asked`, which would begin now; nothing where going on
    /// with it does what `asked` would do. Names, times and machines are no part of that.
    #[must_use]
    pub fn differs_from(&self, asked: &Self) -> Option<String> {
        if !self.shards.is_empty() {
            return Some("it was merged from other runs".to_owned());
        }
        differing_cases(self, asked).or_else(|| differing_control(self, asked))
    }
}

impl RunControl {
    fn environment_of<'a>(&'a self, first: &'a Environment, case: &str, attempt: u32) -> &'a Environment {
        let is_since = |resumption: &&Resumption| attempt >= *resumption.first_attempts.get(case).unwrap_or(&0);
        let last = self.resumptions.iter().rev().find(is_since);
        last.map_or(first, |resumption| &resumption.environment)
    }
}

fn differing_cases(begun: &RunInfo, asked: &RunInfo) -> Option<String> {
    if begun.cases == asked.cases {
        return None;
    }
    let only = |one: &RunInfo, other: &RunInfo| {
        let mut cases = one.cases.iter();
        let absent = cases.find(|case| !other.cases.iter().any(|theirs| theirs.case == case.case));
        absent.map(|case| case.case.clone())
    };
    let changed = || {
        let mut pairs = begun.cases.iter().zip(&asked.cases);
        pairs.find(|(ours, theirs)| ours.case == theirs.case && ours != theirs)
    };
    Some(match (only(begun, asked), only(asked, begun), changed()) {
        (Some(case), ..) => format!("it has the case {case}, which is not asked for now"),
        (None, Some(case), _) => format!("it has no case {case}"),
        (None, None, Some((case, _))) => format!("{} was defined otherwise ({})", case.case, case.file),
        (None, None, None) => "its cases are in another order".to_owned(),
    })
}

fn differing_control(begun: &RunInfo, asked: &RunInfo) -> Option<String> {
    // Settings are told apart by what they do to cases and to the rest of this.
    let plain = |control: &RunControl| RunControl {
        settings: Vec::new(),
        resumptions: Vec::new(),
        ..control.clone()
    };
    let (ours, theirs) = (plain(&begun.control), plain(&asked.control));
    let shard = |control: &RunControl| match control.partition {
        Some(partition) => format!("the shard {partition}"),
        None => "no shard".to_owned(),
    };
    if ours.partition != theirs.partition {
        return Some(format!("it is {}, and asked for is {}", shard(&ours), shard(&theirs)));
    }
    if begun.seed != asked.seed {
        return Some(format!("its seed is {}, and asked for is {}", begun.seed, asked.seed));
    }
    let parts = [
        ("filter", ours.filterset != theirs.filterset),
        ("list of the cases of all shards", ours.selected != theirs.selected),
        ("number of retries", ours.retries != theirs.retries),
        ("word on flaky cases", ours.flaky_result != theirs.flaky_result),
        ("limit of failures", ours.max_fail != theirs.max_fail),
        ("profile", ours.profile != theirs.profile),
        ("set of settings", ours != theirs),
    ];
    let (name, _) = parts.into_iter().find(|(_, differs)| *differs)?;
    Some(format!("its {name} was another one"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::record::FlakyResult;
    use crate::selection::testing::{cases_of, run_of};
    use crate::units::Bytes;

    fn machine(cpu: &str) -> Environment {
        Environment {
            cpu: cpu.to_owned(),
            cpu_count: 4,
            memory_bytes: Bytes(1 << 30),
            ..Environment::default()
        }
    }

    fn run() -> RunInfo {
        let mut info = run_of(&["single", "auto"], 3);
        info.environment = machine("one");
        info
    }

    fn resumption(cpu: &str, first_attempts: &[(&str, u32)]) -> Resumption {
        Resumption {
            resumed_at: "2026-11-22T14:00:00.000Z".into(),
            environment: machine(cpu),
            first_attempts: first_attempts
                .iter()
                .map(|(case, from)| ((*case).into(), *from))
                .collect(),
        }
    }

    fn cpus(info: &RunInfo, case: &str, attempts: &[u32]) -> Vec<String> {
        let found = info.environments_of(case, attempts.iter().copied());
        found.into_iter().map(|environment| environment.cpu.clone()).collect()
    }

    #[test]
    fn an_attempt_was_made_where_the_run_was_gone_on_with() {
        let mut info = run();
        assert_eq!(cpus(&info, "a", &[0, 1]), ["one"]);
        info.control.resumptions = vec![
            resumption("two", &[("a", 2), ("b", 3)]),
            resumption("three", &[("a", 3), ("b", 3)]),
        ];
        assert_eq!(info.last_environment().cpu, "three");
        assert_eq!(cpus(&info, "a", &[0, 1]), ["one"]);
        assert_eq!(cpus(&info, "a", &[0, 1, 2, 3]), ["one", "two", "three"]);
        assert_eq!(
            cpus(&info, "b", &[0, 1, 2]),
            ["one"],
            "nothing of it was left to be made"
        );
        assert_eq!(cpus(&info, "c", &[0, 1]), ["three"], "nothing of it had been made");
        assert_eq!(cpus(&info, "a", &[]), ["one"]);
    }

    fn shard(info: &RunInfo) -> Shard {
        Shard {
            run_id: "shard".into(),
            started_at: String::new(),
            tool: info.tool.clone(),
            environment: machine("shard"),
            arguments: Vec::new(),
            seed: 0,
            control: RunControl::default(),
            cases: vec!["a".into()],
        }
    }

    #[test]
    fn a_merged_run_asks_the_shard() {
        let mut info = run();
        let control = RunControl {
            resumptions: vec![resumption("two", &[("a", 1)])],
            ..RunControl::default()
        };
        info.shards = vec![Shard {
            control,
            ..shard(&info)
        }];
        assert_eq!(cpus(&info, "a", &[0]), ["shard"]);
        assert_eq!(cpus(&info, "a", &[0, 1]), ["shard", "two"]);
        assert_eq!(cpus(&info, "b", &[0]), ["one"]);
    }

    #[test]
    fn only_what_was_asked_for_counts() {
        let begun = run();
        let mut again = run();
        again.run_id = "other".into();
        again.environment = machine("two");
        again.arguments = vec!["run".into(), "elsewhere".into()];
        again.control.resumptions = vec![resumption("two", &[])];
        assert_eq!(begun.differs_from(&again), None);
        let mut merged = run();
        merged.shards = vec![shard(&merged)];
        assert_eq!(
            merged.differs_from(&again).as_deref(),
            Some("it was merged from other runs")
        );
        let told = |change: &dyn Fn(&mut RunInfo)| {
            let mut asked = run();
            change(&mut asked);
            begun.differs_from(&asked).unwrap()
        };
        assert_eq!(
            told(&|asked| asked.control.partition = Some("hash:1/2".parse().unwrap())),
            "it is no shard, and asked for is the shard hash:1/2"
        );
        assert_eq!(
            told(&|asked| asked.seed += 1),
            format!("its seed is {}, and asked for is {}", begun.seed, begun.seed + 1)
        );
        assert_eq!(
            told(&|asked| asked.control.retries = 9),
            "its number of retries was another one"
        );
        assert_eq!(
            told(&|asked| asked.control.flaky_result = FlakyResult::Fail),
            "its word on flaky cases was another one"
        );
        let changed = &begun.cases[1];
        assert_eq!(
            told(&|asked| asked.cases[1].generation.max_new_tokens += 1),
            format!("{} was defined otherwise ({})", changed.case, changed.file)
        );
        assert_eq!(told(&|asked| asked.cases.reverse()), "its cases are in another order");
        let last = begun.cases.last().unwrap().case.clone();
        assert_eq!(
            told(&|asked| drop(asked.cases.pop())),
            format!("it has the case {last}, which is not asked for now")
        );
        let suite =
            "[model]\npath = \"m\"\n[[prompt]]\nname = \"p\"\ntext = \"x\"\n[placement.new]\ndevice_map = \"cpu\"\n";
        let new = cases_of("more", suite);
        assert_eq!(
            told(&|asked| asked.cases.extend(new.clone())),
            format!("it has no case {}", new[0].case)
        );
    }
}
