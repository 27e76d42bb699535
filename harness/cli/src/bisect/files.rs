//! What a search leaves in its folder besides the attempts: `bisect.json`, `bisect.md` and `reproduce.toml`.

use std::path::{Path, PathBuf};

use console::Style;
use placebench_core::bisect::case::ProbeBase;
use placebench_core::bisect::record::{BISECT_VERSION, BisectRecord, ProbeLine, Progress};
use placebench_core::bisect::reproducer::{Reproducer, scenario_toml};
use placebench_core::bisect::{Answer, ProbeResult};
use placebench_core::record::Attempt;
use placebench_report::format::bisect::{self as page, Evidence};
use placebench_runner::slug::slug;
use placebench_runner::store;

use crate::error::CliError;
use crate::terminal::{self, out, printable};

const RECORD: &str = "bisect.json";
const PAGE: &str = "bisect.md";
const REPRODUCER: &str = "reproduce.toml";

/// The folder of a search.
pub(crate) struct Files {
    folder: PathBuf,
}

/// Files for people.
pub(crate) struct Written {
    page: PathBuf,
    reproducer: Option<PathBuf>,
    evidence: Option<Evidence>,
}

/// Reads what a search was asked.
pub(crate) fn read(folder: &Path) -> Result<BisectRecord, CliError> {
    let path = folder.join(RECORD);
    let wrong = |error: String| CliError::setup(format!("{}: {error}", path.display()));
    let text = std::fs::read_to_string(&path).map_err(|error| {
        wrong(error.to_string()).hint("a search is resumed by the name of its folder, as `bisect` printed it")
    })?;
    let document: serde_json::Value = serde_json::from_str(&text).map_err(|error| wrong(error.to_string()))?;
    if document["schema_version"] != BISECT_VERSION {
        return Err(wrong(format!(
            "it has format {}, this program reads {BISECT_VERSION}; use the placebench that wrote it",
            document["schema_version"]
        )));
    }
    serde_json::from_value(document).map_err(|error| wrong(error.to_string()))
}

impl Files {
    pub(crate) fn new(folder: &Path) -> Self {
        Self {
            folder: folder.to_owned(),
        }
    }

    /// Writes `bisect.json`, whole or not at all.
    pub(crate) fn keep(&mut self, record: &BisectRecord) -> Result<(), CliError> {
        let mut json = serde_json::to_vec_pretty(record)
            .map_err(|error| CliError::setup(format!("{RECORD} cannot be put into JSON: {error}")))?;
        json.push(b'\n');
        self.write(RECORD, &json).map(drop)
    }

    /// Writes everything that follows from the answer.
    pub(crate) fn conclude(&mut self, record: &BisectRecord, attempts: &[Attempt]) -> Result<Written, CliError> {
        self.keep(record)?;
        let reproducer = match &record.progress {
            Progress::Found { answer, sentence } => self.reproducer(record, answer, sentence)?,
            Progress::Undecided { .. } | Progress::Searching => None,
        };
        let evidence = evidence(record, attempts);
        let text = page::render(record, evidence.as_ref(), reproducer.is_some());
        Ok(Written {
            page: self.write(PAGE, text.as_bytes())?,
            reproducer,
            evidence,
        })
    }

    fn reproducer(&self, record: &BisectRecord, answer: &Answer, sentence: &str) -> Result<Option<PathBuf>, CliError> {
        let Some(confirmed) = &record.confirmed else {
            return Ok(None);
        };
        let text = scenario_toml(&Reproducer {
            base: ProbeBase {
                failing: &record.question.failing,
                passing: &confirmed.passing,
                modules: &confirmed.space.modules,
                failing_devices: &confirmed.space.failing.devices,
            },
            failing: &answer.failing,
            passing: &answer.passing,
            sentence,
            run_id: &record.run_id,
        })
        .map_err(|error| CliError::setup(format!("{REPRODUCER} cannot be written as TOML: {error}")))?;
        self.write(REPRODUCER, text.as_bytes()).map(Some)
    }

    fn write(&self, name: &str, content: &[u8]) -> Result<PathBuf, CliError> {
        store::write_artifact(&self.folder, name, content).map_err(|error| CliError::setup(terminal::chain(&error)))
    }
}

/// Of the simplest configuration that fails; where that was not tried by itself, of the case.
fn evidence(record: &BisectRecord, attempts: &[Attempt]) -> Option<Evidence> {
    let fails = |line: &&ProbeLine| line.result == ProbeResult::Fails;
    let simplest = match &record.progress {
        Progress::Found { answer, .. } => Some(&answer.failing),
        Progress::Undecided { nearest, .. } => nearest.as_ref().map(|pair| &pair.failing),
        Progress::Searching => None,
    };
    let mut failing = record.probes.iter().filter(fails);
    let line = failing
        .clone()
        .find(|line| line.configuration.is_some() && line.configuration.as_ref() == simplest)
        .or_else(|| failing.next())?;
    let mut own = attempts.iter().filter(|attempt| attempt.case == line.case);
    let seen = own.find_map(|attempt| attempt.evidence.as_ref());
    Some(Evidence {
        outcome: line.sentence.clone(),
        seen: seen.map(placebench_core::evidence::Evidence::sentence),
        events: format!("events/{}.ndjson", slug(&line.case)),
    })
}

/// The closing words.
pub(crate) fn show(record: &BisectRecord, written: &Written) {
    out("");
    let bold = |text: &str| out(&Style::new().bold().apply_to(printable(text)).to_string());
    match &record.progress {
        Progress::Found { sentence, .. } => bold(sentence),
        Progress::Undecided { reason, .. } => bold(&format!("undecided: {reason}")),
        Progress::Searching => {}
    }
    if let Some(evidence) = &written.evidence {
        out(&format!("evidence: {}", printable(&evidence.outcome)));
        if let Some(seen) = &evidence.seen {
            out(&format!("the worker then: {}", printable(seen)));
        }
    }
    let attempts: u32 = record.probes.iter().map(|line| line.attempts).sum();
    out(&format!(
        "{} in {attempts} attempts",
        terminal::counted(record.probes.len(), "placement")
    ));
    let shown = |path: &Path| printable(&path.display().to_string());
    if let Some(reproducer) = &written.reproducer {
        out(&format!("to see it again: placebench run {}", shown(reproducer)));
    }
    out(&format!("for an issue: {}", shown(&written.page)));
}
