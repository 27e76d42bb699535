//! Settings from environment variables: `PLACEBENCH_` and the setting's name in capitals.

use std::str::FromStr;

use super::{GateGiven, Given, HeldAgainst, MaxFail, MessageFormat};
use crate::record::{FlakyResult, SettingSource};
use crate::scenario::problem::nearest;

/// The profile.
pub const PROFILE_VARIABLE: &str = "PLACEBENCH_PROFILE";

/// The configuration file.
pub const CONFIG_FILE_VARIABLE: &str = "PLACEBENCH_CONFIG_FILE";

/// The shard: what an array job sets for each of its tasks.
pub const PARTITION_VARIABLE: &str = "PLACEBENCH_PARTITION";

/// Names of all variables without what they have in common.
const NAMES: [&str; 21] = [
    "PROFILE",
    "CONFIG_FILE",
    "PARTITION",
    "FILTERSET",
    "RETRIES",
    "FLAKY_RESULT",
    "FAIL_FAST",
    "MAX_FAIL",
    "REPETITIONS",
    "SEED",
    "MESSAGE_FORMAT",
    "OUTPUT_DIR",
    "RATES",
    "TIMEOUT_MULTIPLIER",
    "PAIRS",
    "MAX_PAIRS",
    "NOISE",
    "JOBS",
    "BASELINE",
    "BASELINE_LENIENT",
    "BASELINE_DIR",
];

const PREFIX: &str = "PLACEBENCH_";

/// The variable of a setting that this one is most likely meant to be, where it is none. There are variables for other
/// purposes too, so that only what is near one of a setting is suspicious.
#[must_use]
pub fn misspelt(variable: &str) -> Option<String> {
    let name = variable.strip_prefix(PREFIX)?;
    if NAMES.contains(&name) {
        return None;
    }
    // Scripts have variables of their own, such as PLACEBENCH_BIN: a few letters may be wrong, not half of them.
    let near = nearest(name, NAMES).filter(|near| strsim::normalized_damerau_levenshtein(name, near) > 0.6)?;
    Some(format!("{PREFIX}{near}"))
}

/// What the environment says. `read` gives the value of a variable; an empty one counts as not set, so that a CI system can
/// switch it off.
///
/// # Errors
/// The first variable whose value makes no sense: which, and what was expected.
pub fn from_environment(read: &dyn Fn(&str) -> Option<String>) -> Result<Given, String> {
    let reader = Reader(read);
    let max_fail: Option<(MaxFail, SettingSource)> =
        reader.parsed("PLACEBENCH_MAX_FAIL", "a number of at least 1, or all")?;
    let fail_fast: Option<(bool, SettingSource)> = reader.parsed("PLACEBENCH_FAIL_FAST", "true or false")?;
    let fail_fast = fail_fast.map(|(fast, source)| (if fast { MaxFail::After(1) } else { MaxFail::All }, source));
    let at_least_one = |name: &str| -> Result<Option<(u32, SettingSource)>, String> {
        match reader.parsed(name, "a number of at least 1")? {
            Some((0, _)) => Err(format!("{name} is `0`: expected a number of at least 1")),
            number => Ok(number),
        }
    };
    let repetitions = at_least_one("PLACEBENCH_REPETITIONS")?;
    let timeout_multiplier: Option<(f64, SettingSource)> =
        reader.parsed("PLACEBENCH_TIMEOUT_MULTIPLIER", "a number such as 2.5")?;
    if let Some((multiplier, _)) = &timeout_multiplier {
        super::check_multiplier(*multiplier).map_err(|why| format!("PLACEBENCH_TIMEOUT_MULTIPLIER: {why}"))?;
    }
    let baseline = reader.text("PLACEBENCH_BASELINE");
    let lenient = reader.text("PLACEBENCH_BASELINE_LENIENT");
    if baseline.is_some() && lenient.is_some() {
        return Err(
            "PLACEBENCH_BASELINE and PLACEBENCH_BASELINE_LENIENT are both set: leave one of them out".to_owned(),
        );
    }
    Ok(Given {
        filterset: reader.text("PLACEBENCH_FILTERSET"),
        retries: reader.parsed("PLACEBENCH_RETRIES", "a number")?,
        flaky_result: reader.one_of(
            "PLACEBENCH_FLAKY_RESULT",
            &[("pass", FlakyResult::Pass), ("fail", FlakyResult::Fail)],
        )?,
        max_fail: max_fail.or(fail_fast),
        repetitions,
        seed: reader.parsed("PLACEBENCH_SEED", "a number")?,
        message_format: reader.one_of(
            "PLACEBENCH_MESSAGE_FORMAT",
            &[("human", MessageFormat::Human), ("ndjson", MessageFormat::Ndjson)],
        )?,
        output_dir: reader.text("PLACEBENCH_OUTPUT_DIR"),
        rates: reader.text("PLACEBENCH_RATES"),
        timeout_multiplier,
        gate: GateGiven {
            pairs: reader.parsed("PLACEBENCH_PAIRS", "a number")?,
            max_pairs: reader.parsed("PLACEBENCH_MAX_PAIRS", "a number")?,
            noise: reader.text("PLACEBENCH_NOISE"),
            ..GateGiven::default()
        },
        jobs: at_least_one("PLACEBENCH_JOBS")?,
        baseline: HeldAgainst::either(baseline, lenient),
        baseline_dir: reader.text("PLACEBENCH_BASELINE_DIR"),
    })
}

struct Reader<'a>(&'a dyn Fn(&str) -> Option<String>);

impl Reader<'_> {
    fn text(&self, name: &str) -> Option<(String, SettingSource)> {
        let value = (self.0)(name).filter(|value| !value.is_empty())?;
        Some((value, SettingSource::Environment(name.to_owned())))
    }

    fn parsed<T: FromStr>(&self, name: &str, expected: &str) -> Result<Option<(T, SettingSource)>, String> {
        self.text(name)
            .map(|(value, source)| match value.trim().parse() {
                Ok(parsed) => Ok((parsed, source)),
                Err(_) => Err(format!("{name} is `{value}`: expected {expected}")),
            })
            .transpose()
    }

    fn one_of<T: Copy>(&self, name: &str, known: &[(&str, T)]) -> Result<Option<(T, SettingSource)>, String> {
        self.text(name)
            .map(|(value, source)| {
                let found = known.iter().find(|(word, _)| *word == value.trim());
                let words = || known.iter().map(|(word, _)| *word).collect::<Vec<_>>().join(" or ");
                let (_, meant) = found.ok_or_else(|| format!("{name} is `{value}`: expected {}", words()))?;
                Ok((*meant, source))
            })
            .transpose()
    }
}
