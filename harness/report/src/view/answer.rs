//! Is it the placement, the library, or the machine? What the judge answers, with links to the cases it rests on.

use placebench_core::judge::answer::{Answer, leading};
use placebench_core::record::RunRecord;
use serde::Serialize;

use super::words::{line, message};
use super::{CaseView, ScenarioView};

/// Answers that a page gives before anything else; the others stand at their prompts.
const MOST_LEADING: usize = 6;

/// Cases that are named for a reason before the rest is counted.
const MOST_NAMED: usize = 12;

/// The answer of a prompt.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct AnswerView {
    /// The scenario.
    pub scenario: String,
    /// The prompt.
    pub prompt: String,
    /// Anchor of the prompt.
    pub slug: String,
    /// What is to blame, in a word or two that begin a sentence.
    pub word: String,
    /// `bad`, `good` or `open`: its colour.
    pub tone: &'static str,
    /// The sentence after it, with its full stop.
    pub sentence: String,
    /// What it rests on.
    pub because: Vec<ReasonView>,
    /// What run would decide what is open; empty where nothing is.
    pub next: String,
    /// It stands at the top of the page as well.
    pub is_leading: bool,
}

/// Something an answer rests on.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct ReasonView {
    /// What these cases show.
    pub sentence: String,
    /// The cases.
    pub cases: Vec<CaseLink>,
    /// How many more there are.
    pub more: usize,
}

/// A case of the same prompt.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct CaseLink {
    /// Its anchor in the page.
    pub anchor: String,
    /// The name of its placement.
    pub placement: String,
}

/// Puts the answers of a run to their prompts, and gives those that come first.
pub(super) fn attach(record: &RunRecord, scenarios: &mut [ScenarioView]) -> Vec<AnswerView> {
    let first: Vec<&Answer> = leading(&record.info, &record.verdict)
        .into_iter()
        .take(MOST_LEADING)
        .collect();
    let mut leading = Vec::new();
    for answer in &record.verdict.answers {
        let (scenario, prompt) = (line(&answer.scenario), line(&answer.prompt));
        let prompts = scenarios.iter_mut().flat_map(|scenario| &mut scenario.prompts);
        let Some(found) = prompts
            .into_iter()
            .find(|view| view.scenario == scenario && view.name == prompt)
        else {
            continue;
        };
        let is_leading = first.contains(&answer);
        let view = view(answer, &found.cases, &found.slug, is_leading);
        if is_leading {
            leading.push(view.clone());
        }
        found.answer = Some(view);
    }
    leading
}

fn view(answer: &Answer, cases: &[CaseView], slug: &str, is_leading: bool) -> AnswerView {
    use placebench_core::judge::answer::Blame;
    let tone = match answer.blame {
        Blame::Nothing => "good",
        Blame::Undecided | Blame::Injected => "open",
        Blame::Placement | Blame::Library | Blame::Machine | Blame::Model => "bad",
    };
    AnswerView {
        scenario: line(&answer.scenario),
        prompt: line(&answer.prompt),
        slug: slug.to_owned(),
        word: capital(answer.blame.as_str()),
        tone,
        sentence: stopped(&message(&answer.sentence)),
        because: answer.because.iter().map(|reason| reason_view(reason, cases)).collect(),
        next: answer.next.as_deref().map(message).unwrap_or_default(),
        is_leading,
    }
}

fn reason_view(reason: &placebench_core::judge::answer::Because, cases: &[CaseView]) -> ReasonView {
    let link = |name: &String| {
        let case = cases.iter().find(|case| case.case == line(name))?;
        Some(CaseLink {
            anchor: case.anchor.clone(),
            placement: case.placement.clone(),
        })
    };
    let mut links: Vec<CaseLink> = reason.cases.iter().filter_map(link).collect();
    let more = links.len().saturating_sub(MOST_NAMED);
    links.truncate(MOST_NAMED);
    ReasonView {
        sentence: message(&reason.sentence),
        cases: links,
        more,
    }
}

fn capital(words: &str) -> String {
    let mut characters = words.chars();
    let first = characters
        .next()
        .map(|first| first.to_uppercase().to_string())
        .unwrap_or_default();
    first + characters.as_str()
}

fn stopped(sentence: &str) -> String {
    match sentence.ends_with(['.', '…', '?', '!']) {
        true => sentence.to_owned(),
        false => format!("{sentence}."),
    }
}

impl AnswerView {
    /// The whole of it in one line.
    #[must_use]
    pub fn words(&self) -> String {
        format!("{}: {}", self.word, self.sentence)
    }
}
