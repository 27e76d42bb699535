//! The model of `placebench generate`, from the command line.

use std::path::{Path, PathBuf};

use placebench_core::exit_code::ExitCode;
use placebench_core::protocol::ModelSource;

use crate::args::{LoadFormat, SourceArgs};
use crate::error::CliError;

/// The model that the options name. That exactly one source is named has been checked while parsing them.
pub(crate) fn model_source(args: &SourceArgs) -> Result<ModelSource, CliError> {
    let usage = |message: &str| Err(CliError::with_code(ExitCode::Usage, message.to_owned()));
    let dummy = args.load_format == LoadFormat::Dummy;
    if args.seed.is_some() && !dummy {
        return usage("--seed goes with --load-format dummy");
    }
    if args.file.is_some() && dummy {
        return usage(
            "--file names weights, --load-format dummy takes its shapes from config.json: leave out one of them",
        );
    }
    let local = |path: &PathBuf| {
        let path = std::path::absolute(path).unwrap_or_else(|_| Path::to_path_buf(path));
        ModelSource::Path(path.to_string_lossy().into_owned())
    };
    let source = match (&args.model, &args.repo, &args.config) {
        (Some(path), _, _) => local(path),
        (None, Some(repo), _) => ModelSource::Hub {
            repo: repo.clone(),
            revision: args.revision.clone(),
            file: args.file.clone(),
        },
        (None, None, Some(_)) if !dummy => {
            return usage("--config needs --load-format dummy: it names no weights");
        }
        (None, None, Some(config)) => local(config),
        (None, None, None) => return usage("name one of --model, --repo and --config"),
    };
    Ok(match dummy {
        false => source,
        true => ModelSource::Dummy {
            config: Box::new(source),
            seed: args.seed.unwrap_or(0),
        },
    })
}
