//! The machines a run was made on: one, several that made a shard each, and those it was gone on with.

use std::collections::BTreeMap;

use placebench_core::record::{CaseSpec, Environment, Resumption, RunInfo, Shard};

use super::Fact;
use super::facts::tool_words;
use super::words::{Lines, count, line, list, visible};

/// The machine, or each of them.
pub(super) fn of_run(info: &RunInfo) -> Vec<Fact> {
    if info.shards.is_empty() {
        let mut facts = Vec::from(host(&info.environment));
        facts.extend(
            info.control
                .resumptions
                .iter()
                .map(|at| Fact::new("gone on with", gone_on_words(at))),
        );
        facts.push(Fact::new("seed", info.seed.to_string()));
        return facts;
    }
    let of_shard = |shard: &Shard| {
        let own = Fact::new("merged from", shard_words(shard));
        let resumptions = shard.control.resumptions.iter().map(|at| {
            let words = format!("run {}, {}", shard.run_id, gone_on_words(at));
            Fact::new("gone on with", visible(&words, Lines::Join, 320))
        });
        std::iter::once(own).chain(resumptions).collect::<Vec<Fact>>()
    };
    info.shards.iter().flat_map(of_shard).collect()
}

/// Which shards of a merged run made these cases of a scenario, and on what processor; nothing of another run.
pub(super) fn of_cases(info: &RunInfo, specs: &[&CaseSpec]) -> Option<Fact> {
    let mut by_shard: BTreeMap<usize, Vec<&str>> = BTreeMap::new();
    for (index, shard) in info.shards.iter().enumerate() {
        let own = specs.iter().filter(|spec| shard.cases.contains(&spec.case));
        let prompts: Vec<&str> = own.map(|spec| spec.prompt.as_str()).collect();
        if !prompts.is_empty() {
            by_shard.insert(index, prompts);
        }
    }
    let is_one = by_shard.len() == 1;
    let words = |(index, mut prompts): (usize, Vec<&str>)| {
        let shard = info.shards.get(index)?;
        prompts.dedup();
        let of = match is_one {
            true => String::new(),
            false => format!("{}: ", prompts.join(", ")),
        };
        Some(line(&format!("{of}{} on {}", shard.run_id, shard.environment.cpu)))
    };
    let words: Vec<String> = by_shard.into_iter().filter_map(words).collect();
    (!words.is_empty()).then(|| Fact::new("made by", list(&words)))
}

fn host(environment: &Environment) -> [Fact; 4] {
    [
        Fact::new("platform", line(&environment.platform)),
        Fact::new("kernel", line(&environment.kernel)),
        Fact::new(
            "processor",
            line(&format!(
                "{} ({} usable)",
                environment.cpu,
                count(environment.cpu_count, "core", "cores")
            )),
        ),
        Fact::new("memory", environment.memory_bytes.to_string()),
    ]
}

fn host_words(environment: &Environment) -> String {
    host(environment).map(|fact| fact.value).join(", ")
}

/// A machine of several, in one line.
fn shard_words(shard: &Shard) -> String {
    let part = shard
        .control
        .partition
        .map(|partition| format!("{partition}, "))
        .unwrap_or_default();
    let cases = count(shard.cases.len(), "case", "cases");
    let tool = tool_words(&shard.tool);
    let whole = format!(
        "{part}run {}: {cases}, seed {}, {tool}, {}",
        shard.run_id,
        shard.seed,
        host_words(&shard.environment)
    );
    visible(&whole, Lines::Join, 320)
}

/// Another machine from then on, or other variables of the same.
fn gone_on_words(resumption: &Resumption) -> String {
    let begun = count(resumption.first_attempts.len(), "case", "cases");
    let whole = format!(
        "from {} on: {}; {begun} had been begun before",
        resumption.resumed_at,
        host_words(&resumption.environment)
    );
    visible(&whole, Lines::Join, 320)
}

#[cfg(test)]
mod tests {
    use super::*;
    use placebench_core::record::{RunControl, Tool};

    fn environment(cpu: &str) -> Environment {
        Environment {
            platform: "linux x86_64".into(),
            cpu: cpu.into(),
            cpu_count: 4,
            ..Environment::default()
        }
    }

    fn info(shards: Vec<Shard>, resumptions: Vec<Resumption>) -> RunInfo {
        RunInfo {
            schema_version: placebench_core::record::RECORD_VERSION,
            run_id: "whole".into(),
            started_at: String::new(),
            tool: tool(),
            environment: environment("first"),
            arguments: Vec::new(),
            seed: 7,
            cases: Vec::new(),
            control: RunControl {
                resumptions,
                ..RunControl::default()
            },
            shards,
        }
    }

    fn tool() -> Tool {
        Tool {
            name: "placebench".into(),
            version: "1".into(),
            profile: "release".into(),
        }
    }

    fn resumption(cpu: &str) -> Resumption {
        Resumption {
            resumed_at: "2026-11-22T14:00:00.000Z".into(),
            environment: environment(cpu),
            first_attempts: BTreeMap::from([("a/p/x".into(), 2)]),
        }
    }

    fn shard(name: &str, cpu: &str, resumptions: Vec<Resumption>) -> Shard {
        Shard {
            run_id: name.into(),
            started_at: String::new(),
            tool: tool(),
            environment: environment(cpu),
            arguments: Vec::new(),
            seed: 7,
            control: RunControl {
                resumptions,
                ..RunControl::default()
            },
            cases: vec!["a/p/x".into()],
        }
    }

    fn shown(facts: &[Fact]) -> String {
        let lines: Vec<String> = facts
            .iter()
            .map(|fact| format!("{}: {}", fact.name, fact.value))
            .collect();
        lines.join("\n")
    }

    #[test]
    fn a_run_tells_of_every_machine_it_was_gone_on_with() {
        let alone = shown(&of_run(&info(Vec::new(), Vec::new())));
        assert!(
            alone.contains("first (4 cores usable)") && !alone.contains("gone on"),
            "{alone}"
        );
        let moved = shown(&of_run(&info(Vec::new(), vec![resumption("second")])));
        assert!(
            moved.contains("gone on with: from 2026-11-22T14:00:00.000Z on: linux x86_64") && moved.contains("second"),
            "{moved}"
        );
        assert!(moved.contains("1 case had been begun before"), "{moved}");
        let shards = vec![
            shard("one", "first", Vec::new()),
            shard("two", "second", vec![resumption("third\u{1b}[2J")]),
        ];
        let merged = shown(&of_run(&info(shards, Vec::new())));
        assert!(
            merged.contains("merged from: run two: 1 case") && merged.contains("gone on with: run two, from"),
            "{merged}"
        );
        assert!(merged.contains("third") && !merged.contains('\u{1b}'), "{merged}");
    }
}
