//! Flags of `run` that hold it against another program.

use std::path::PathBuf;

use placebench_core::record::SettingSource;
use placebench_core::scenario::MOST_REPETITIONS;
use placebench_core::settings::GateGiven;

/// What a run is held against, and by what it is judged then.
#[derive(Debug, Clone, Default, clap::Args)]
#[command(next_help_heading = "Comparison")]
pub(crate) struct AgainstArgs {
    /// Also run every case with this other placebench program, in turns with this one, and say what has changed: slower is exit
    /// code 111
    #[arg(long, value_name = "PROGRAM", conflicts_with_all = ["resume", "audit", "baseline", "baseline_lenient"])]
    pub(crate) against: Option<PathBuf>,
    /// Pairs of attempts before times are judged; 10 if absent, more for many cases
    #[arg(long, value_name = "N", value_parser = pairs(), conflicts_with = "resume")]
    pub(crate) pairs: Option<u32>,
    /// Pairs of attempts at which an unclear answer stays one; 20 if absent
    #[arg(long, value_name = "N", value_parser = pairs(), conflicts_with = "resume")]
    pub(crate) max_pairs: Option<u32>,
    /// How much equal attempts differ on this machine, as `doctor --calibrate --output FILE` wrote it
    #[arg(long, value_name = "FILE", conflicts_with = "resume")]
    pub(crate) noise: Option<PathBuf>,
    /// For testing a gate: let every step of this program take so many per cent longer. On record as an injected fault
    #[arg(long, value_name = "PERCENT", value_parser = slowdown, conflicts_with_all = ["resume", "audit"], hide_short_help = true)]
    pub(crate) inject_slowdown: Option<f64>,
}

impl AgainstArgs {
    /// What they say of the gate.
    pub(crate) fn gate(&self) -> GateGiven {
        let number = |number: Option<u32>| number.map(|number| (number, SettingSource::Flag));
        GateGiven {
            pairs: number(self.pairs),
            max_pairs: number(self.max_pairs),
            noise: self
                .noise
                .as_ref()
                .map(|file| (file.to_string_lossy().into_owned(), SettingSource::Flag)),
            ..GateGiven::default()
        }
    }
}

/// That a comparison needs more than a few is said where the whole gate is known.
fn pairs() -> clap::builder::RangedI64ValueParser<u32> {
    clap::value_parser!(u32).range(1..=i64::from(MOST_REPETITIONS))
}

/// `10` or `10%`.
fn slowdown(text: &str) -> Result<f64, String> {
    let number = text.strip_suffix('%').unwrap_or(text).trim();
    match number.parse::<f64>() {
        Ok(percent) if percent > 0.0 && percent <= 1000.0 => Ok(percent),
        _ => Err("write per cent above 0 and up to 1000, such as 10".to_owned()),
    }
}
