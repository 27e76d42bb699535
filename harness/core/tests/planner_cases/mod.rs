//! Runs golden cases of the planners: a folder with `cases.jsonl` and `models/`.

mod manual;
mod plan;
mod size;

use std::collections::{BTreeMap, HashMap};
use std::fmt;
use std::fs;
use std::path::{Path, PathBuf};

use placebench_core::module_tree::ModuleTree;
use serde_json::Value;

/// A case whose answer is not the expected one.
#[derive(Debug)]
pub(crate) struct Disagreement {
    /// The case's id.
    pub(crate) case: String,
    /// What differs.
    pub(crate) what: String,
    /// The expected value.
    pub(crate) expected: String,
    /// The planner's value.
    pub(crate) got: String,
}

impl Disagreement {
    pub(crate) fn new(what: &str, expected: impl fmt::Display, got: impl fmt::Display) -> Self {
        Self {
            case: String::new(),
            what: what.to_owned(),
            expected: expected.to_string(),
            got: got.to_string(),
        }
    }
}

impl fmt::Display for Disagreement {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let short = |text: &str| text.chars().take(400).collect::<String>();
        writeln!(f, "  {}: {}", self.case, self.what)?;
        writeln!(f, "    expected {}", short(&self.expected))?;
        write!(f, "    got      {}", short(&self.got))
    }
}

/// Agreement over the cases of one kind.
#[derive(Debug, Default)]
pub(crate) struct Tally {
    /// Cases run.
    pub(crate) cases: usize,
    /// Those that disagree.
    pub(crate) disagreements: Vec<Disagreement>,
}

/// Runs all cases of a folder, and of its subfolder `transformers5` where there is one.
///
/// # Errors
/// When a file cannot be read or is no file of the format.
pub(crate) fn run_folder(folder: &Path) -> Result<BTreeMap<String, Tally>, String> {
    let mut tallies = BTreeMap::new();
    run_one_folder(folder, &mut tallies)?;
    let newer = folder.join("transformers5");
    if newer.join("cases.jsonl").is_file() {
        run_one_folder(&newer, &mut tallies)?;
    }
    Ok(tallies)
}

fn run_one_folder(folder: &Path, tallies: &mut BTreeMap<String, Tally>) -> Result<(), String> {
    let mut models = Models {
        folder: folder.join("models"),
        loaded: HashMap::new(),
    };
    for line in read(&folder.join("cases.jsonl"))?
        .lines()
        .filter(|line| !line.trim().is_empty())
    {
        let case: Value = serde_json::from_str(line).map_err(|error| format!("{line}: {error}"))?;
        let kind = case["kind"].as_str().unwrap_or("unknown").to_owned();
        let tally = tallies.entry(kind.clone()).or_default();
        tally.cases += 1;
        let outcome = match kind.as_str() {
            "plan" | "plan5" => plan::check(&case, models.of(&case)?),
            "manual" => manual::check(&case, models.of(&case)?),
            "size" => size::check(&case),
            _ => Err(Disagreement::new("kind", "plan, plan5, manual or size", &kind)),
        };
        if let Err(mut disagreement) = outcome {
            disagreement.case = case["id"].as_str().unwrap_or("?").to_owned();
            tally.disagreements.push(disagreement);
        }
    }
    Ok(())
}

fn read(path: &Path) -> Result<String, String> {
    fs::read_to_string(path).map_err(|error| format!("{}: {error}", path.display()))
}

/// Module trees, each read once.
struct Models {
    folder: PathBuf,
    loaded: HashMap<String, ModuleTree>,
}

impl Models {
    fn of(&mut self, case: &Value) -> Result<&ModuleTree, String> {
        let name = case["model"]["tree"].as_str().ok_or("a case names no tree")?.to_owned();
        if !self.loaded.contains_key(&name) {
            let path = self.folder.join(format!("{name}.json"));
            let tree = serde_json::from_str(&read(&path)?).map_err(|error| format!("{}: {error}", path.display()))?;
            self.loaded.insert(name.clone(), tree);
        }
        self.loaded.get(&name).ok_or_else(|| format!("no tree {name}"))
    }
}

/// Fails unless the values are equal.
pub(crate) fn expect(what: &str, expected: &Value, got: &Value) -> Result<(), Disagreement> {
    if expected == got {
        return Ok(());
    }
    Err(Disagreement::new(what, expected, got))
}
