//! Is it the placement, the library, or the machine? The cases of a prompt, held against each other as a diagnostician would.
//!
//! What differs between a case that went wrong and one that went right is what may be to blame; what differs between two
//! that both went wrong is not. Two cases say something where exactly one thing differs between them (`factors`). Nothing
//! is blamed that no two cases tell apart, and what would tell them apart is said instead.
//!
//! A case goes wrong where it stalls, dies, runs out of memory, refuses, or generates a wrong text, whether or not the
//! scenario expects it to; a slower one does not.

mod diagnosis;
mod factors;
mod next;
mod observed;
#[cfg(test)]
mod properties;
#[cfg(test)]
mod table;
#[cfg(test)]
mod testing;
mod words;

use serde::{Deserialize, Serialize};

use self::diagnosis::{Diagnosis, diagnose};
use self::observed::{Seen, State};
use crate::record::{Attempt, CaseSpec, CaseStatus, CaseVerdict, RunInfo, RunVerdict};

/// Tag of scenarios whose answer is what they are run for.
pub const INCIDENT_TAG: &str = "incident";

/// What is to blame.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Blame {
    /// Where the model was put: the same stack does right elsewhere.
    Placement,
    /// The stack that executes it, or its version: another one does right under the same placement.
    Library,
    /// A device or the link between two: every way of computing there goes wrong, or only what crosses the link.
    Machine,
    /// The model, the scenario or what it expects: everything goes wrong.
    Model,
    /// A fault that the scenario injects, and no case shows more.
    Injected,
    /// Nothing went wrong.
    Nothing,
    /// The cases do not tell.
    Undecided,
}

impl Blame {
    /// The answer in one or two words.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Placement => "the placement",
            Self::Library => "the library",
            Self::Machine => "the machine",
            Self::Model => "the model or the scenario",
            Self::Injected => "the injected fault",
            Self::Nothing => "nothing",
            Self::Undecided => "not decided",
        }
    }
}

/// Something an answer rests on.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, schemars::JsonSchema)]
pub struct Because {
    /// What these cases show. May hold text of workers: escape it wherever it is shown.
    pub sentence: String,
    /// Their names, in alphabetical order.
    pub cases: Vec<String>,
}

/// The answer of a prompt.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, schemars::JsonSchema)]
pub struct Answer {
    /// The scenario.
    pub scenario: String,
    /// The prompt.
    pub prompt: String,
    /// What is to blame.
    pub blame: Blame,
    /// The same as a sentence that follows the answer's word.
    pub sentence: String,
    /// What it rests on.
    pub because: Vec<Because>,
    /// The run that would decide what is open; absent where nothing is.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub next: Option<String>,
}

/// The answers of a run: one for each prompt of a scenario in which something went wrong, which is run by several engines, in
/// several environments or by several processes, or whose scenario has the tag `incident`.
#[must_use]
pub fn answers<'r>(
    info: &'r RunInfo,
    attempts_of: &dyn Fn(&str) -> Vec<&'r Attempt>,
    verdicts: &'r [CaseVerdict],
) -> Vec<Answer> {
    let mut prompts: Vec<(&str, &str, Vec<&CaseSpec>)> = Vec::new();
    for case in &info.cases {
        let found = prompts
            .iter_mut()
            .find(|(scenario, prompt, _)| *scenario == case.scenario && *prompt == case.prompt);
        match found {
            Some((.., cases)) => cases.push(case),
            None => prompts.push((&case.scenario, &case.prompt, vec![case])),
        }
    }
    let of_prompt = |(scenario, prompt, cases): (&str, &str, Vec<&'r CaseSpec>)| {
        let verdict_of = |case: &CaseSpec| verdicts.iter().find(|verdict| verdict.case == case.case);
        // Of what was left out as a whole nobody asks yet.
        let is_skipped =
            |case: &&CaseSpec| verdict_of(case).is_some_and(|verdict| verdict.status == CaseStatus::Skipped);
        if cases.iter().all(is_skipped) {
            return None;
        }
        let is_incident = cases.iter().any(|case| case.tags.iter().any(|tag| tag == INCIDENT_TAG));
        let seen: Vec<Seen<'_>> = cases
            .iter()
            .map(|case| Seen::new(case, &attempts_of(&case.case), verdict_of(case)))
            .collect();
        let answer = answer(seen, is_incident)?;
        Some(Answer {
            scenario: scenario.to_owned(),
            prompt: prompt.to_owned(),
            ..answer
        })
    };
    prompts.into_iter().filter_map(of_prompt).collect()
}

/// The answers that a reader wants before anything else: those about a case that is not as expected and, where nothing but
/// incidents was run, those of the incidents of which something was run. What blames something comes first.
#[must_use]
pub fn leading<'a>(info: &RunInfo, verdict: &'a RunVerdict) -> Vec<&'a Answer> {
    let is_incident = |case: &CaseSpec| case.tags.iter().any(|tag| tag == INCIDENT_TAG);
    let only_incidents = info.cases.iter().all(is_incident);
    let is_leading = |answer: &&Answer| {
        let cases = (info.cases.iter()).filter(|case| case.scenario == answer.scenario && case.prompt == answer.prompt);
        let (mut went_wrong, mut was_run) = (false, false);
        for case in cases {
            let judged = verdict.cases.iter().find(|judged| judged.case == case.case);
            let status = judged.map(|judged| judged.status);
            went_wrong |= matches!(status, Some(CaseStatus::Failed | CaseStatus::Flaky));
            was_run |= status != Some(CaseStatus::Skipped);
        }
        went_wrong || (only_incidents && was_run)
    };
    let mut leading: Vec<&Answer> = verdict.answers.iter().filter(is_leading).collect();
    leading.sort_by_key(|answer| match answer.blame {
        Blame::Placement | Blame::Library | Blame::Machine | Blame::Model => 0,
        Blame::Injected => 1,
        Blame::Undecided => 2,
        Blame::Nothing => 3,
    });
    leading
}

/// The answer of one prompt, without its name.
fn answer(mut seen: Vec<Seen<'_>>, is_incident: bool) -> Option<Answer> {
    // The order of the file is nothing a cause could depend on.
    seen.sort_by(|a, b| a.case.cmp(b.case));
    let wrong: Vec<&Seen<'_>> = seen.iter().filter(|seen| seen.is_wrong()).collect();
    if wrong.is_empty() {
        let is_compared = is_incident || has_several_stacks(&seen);
        return is_compared.then(|| nothing(&seen));
    }
    let diagnoses: Vec<Diagnosis> = wrong.iter().map(|wrong| diagnose(wrong, &seen)).collect();
    Some(joined(&seen, &wrong, &diagnoses))
}

/// Several engines, versions or ranks: that they agree is then an answer too.
fn has_several_stacks(seen: &[Seen<'_>]) -> bool {
    let differs = |pair: &[Seen<'_>]| pair[0].engine != pair[1].engine || pair[0].environment != pair[1].environment;
    seen.windows(2).any(differs) || seen.iter().any(Seen::is_launched)
}

fn nothing(seen: &[Seen<'_>]) -> Answer {
    let right: Vec<&Seen<'_>> = seen.iter().filter(|seen| seen.is_right()).collect();
    let open: Vec<&Seen<'_>> = seen.iter().filter(|seen| !seen.is_right()).collect();
    let unsigned = |blame, sentence, because, next| Answer {
        scenario: String::new(),
        prompt: String::new(),
        blame,
        sentence,
        because,
        next,
    };
    let open_words = words::not_run(&open);
    let next = open.first().map(|open| next::run_it(open));
    match right.is_empty() {
        true => unsigned(Blame::Undecided, words::nothing_ran(), open_words, next),
        false => {
            let mut because = vec![words::right(&right)];
            because.extend(open_words);
            unsigned(Blame::Nothing, words::nothing_wrong(&right, open.len()), because, next)
        }
    }
}

/// One answer from the diagnoses of all cases that went wrong.
fn joined(seen: &[Seen<'_>], wrong: &[&Seen<'_>], diagnoses: &[Diagnosis]) -> Answer {
    let decided = |diagnosis: &&Diagnosis| diagnosis.blame != Blame::Undecided;
    let mut blamed: Vec<Blame> = diagnoses
        .iter()
        .filter(decided)
        .map(|diagnosis| diagnosis.blame)
        .collect();
    blamed.sort_unstable();
    blamed.dedup();
    let blame = match blamed.as_slice() {
        [one] => *one,
        _ => Blame::Undecided,
    };
    let of_blame = |blame: Blame| diagnoses.iter().filter(move |diagnosis| diagnosis.blame == blame);
    // What is best known speaks for all of them.
    let speaker = of_blame(blame).min_by_key(|diagnosis| diagnosis.next.is_some());
    let sentence = match (speaker, blamed.len()) {
        (_, 2..) => words::several(wrong, diagnoses),
        (Some(speaker), _) => speaker.sentence.clone(),
        (None, _) => String::new(),
    };
    let mut because = words::what_went_wrong(wrong);
    because.extend(of_blame(blame).flat_map(|diagnosis| diagnosis.because.iter().cloned()));
    let others = wrong.iter().zip(diagnoses).filter(|(_, own)| own.blame != blame);
    because.extend(others.map(|(case, own)| Because {
        sentence: format!("{}: {}", own.blame.as_str(), own.sentence),
        cases: vec![case.case.to_owned()],
    }));
    let right: Vec<&Seen<'_>> = seen.iter().filter(|seen| seen.is_right()).collect();
    if !right.is_empty() {
        because.push(words::right(&right));
    }
    let open: Vec<&Seen<'_>> = seen
        .iter()
        .filter(|seen| matches!(seen.state, State::Unknown { .. }))
        .collect();
    because.extend(words::not_run(&open));
    let mut told: Vec<Because> = Vec::new();
    for reason in because {
        match told.iter_mut().find(|known| known.sentence == reason.sentence) {
            Some(known) => {
                known.cases.extend(reason.cases);
                known.cases.sort();
                known.cases.dedup();
            }
            None => told.push(reason),
        }
    }
    let asks = || diagnoses.iter().filter_map(|diagnosis| diagnosis.next.clone());
    Answer {
        scenario: String::new(),
        prompt: String::new(),
        blame,
        sentence,
        because: told,
        next: match speaker {
            Some(speaker) => speaker.next.clone(),
            None => asks().next(),
        },
    }
}
