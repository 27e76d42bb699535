//! What a run is asked to do with a baseline, settled before anything is run.

use std::path::Path;

use placebench_core::record::{BaselineAction, BaselineFile, BaselineUse};
use placebench_core::settings::{Settings, check_baseline_name};

use super::folder;
use crate::args::BaselineArgs;
use crate::compare::noise;
use crate::error::CliError;
use crate::terminal;

/// What the flags and settings ask for. `scope` is what the paths lead to, and `left_out` what is there and was not selected.
/// A baseline that nobody ever saved is found out here, and not after an hour.
pub(crate) fn request(
    args: &BaselineArgs,
    settings: &Settings,
    scope: Vec<String>,
    left_out: Vec<String>,
) -> Result<Option<BaselineUse>, CliError> {
    let dir = settings.baseline_dir.value.clone();
    let asked = |name: &str, action| BaselineUse {
        name: name.to_owned(),
        dir: dir.clone(),
        action,
        scope,
        left_out,
        files: Vec::new(),
        spec: None,
        noise: None,
    };
    if let Some(name) = &args.save_baseline {
        let action = match args.counters_only {
            true => BaselineAction::SaveCounters,
            false => BaselineAction::Save,
        };
        return Ok(Some(asked(name, action)));
    }
    let Some(against) = settings.baseline.value.as_ref().filter(|_| !args.no_baseline) else {
        return Ok(None);
    };
    check_baseline_name(&against.name).map_err(CliError::setup)?;
    let action = match against.is_lenient {
        true => BaselineAction::HoldLeniently,
        false => BaselineAction::Hold,
    };
    let mut request = asked(&against.name, action);
    request.spec = Some(settings.gate.spec());
    request.noise = noise::of_gate(&settings.gate)?;
    let files = folder::read_all(Path::new(&dir), &against.name)?;
    if files.is_empty() && !against.is_lenient {
        return Err(unknown(Path::new(&dir), &against.name));
    }
    if files.is_empty() {
        terminal::note(&format!("there is no baseline `{}` in {dir} yet", against.name));
    }
    let known = files.into_iter().map(|file| BaselineFile {
        key: file.baseline.key,
        digest: file.digest,
    });
    request.files = known.collect();
    Ok(Some(request))
}

/// A name that no baseline has.
pub(crate) fn unknown(dir: &Path, name: &str) -> CliError {
    let known = folder::names(dir);
    let hint = match known.as_slice() {
        [] => format!("save one with `placebench run … --save-baseline {name}`"),
        known => format!(
            "there are {}; save this one with `placebench run … --save-baseline {name}`",
            known.join(", ")
        ),
    };
    CliError::setup(format!("there is no baseline `{name}` in {}", dir.display())).hint(hint)
}
