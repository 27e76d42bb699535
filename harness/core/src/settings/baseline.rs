//! Settings on baselines.

use std::fmt;

use crate::record::SettingSource;

/// Where baselines are kept if nothing else is said.
pub const DEFAULT_BASELINE_DIR: &str = "ci/baselines";

/// Characters a name may have.
const LONGEST_NAME: usize = 64;

/// The baseline that a run is held against.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HeldAgainst {
    /// Its name.
    pub name: String,
    /// Whether what it lacks is passed over.
    pub is_lenient: bool,
}

impl HeldAgainst {
    /// What one who says at most one of the two says.
    pub(super) fn either(
        strict: Option<(String, SettingSource)>,
        lenient: Option<(String, SettingSource)>,
    ) -> Option<(Self, SettingSource)> {
        let of = |(name, source), is_lenient| (Self { name, is_lenient }, source);
        let lenient = lenient.map(|said| of(said, true));
        strict.map(|said| of(said, false)).or(lenient)
    }
}

impl fmt::Display for HeldAgainst {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let lenient = if self.is_lenient { " (lenient)" } else { "" };
        write!(f, "{}{lenient}", self.name)
    }
}

/// A name of a baseline is that of a folder, and the same on every system.
///
/// # Errors
/// What it must be instead.
pub fn check_baseline_name(name: &str) -> Result<(), String> {
    let is_plain = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.');
    let is_fine = name.len() <= LONGEST_NAME
        && name.chars().all(is_plain)
        && name.starts_with(|c: char| c.is_ascii_alphanumeric())
        && !name.ends_with('.');
    if is_fine {
        return Ok(());
    }
    Err(format!(
        "`{name}` is no name of a baseline: use up to {LONGEST_NAME} letters, digits, -, _ and ., beginning with a letter or a digit"
    ))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_folders_and_lead_nowhere_else() {
        for fine in ["main", "v1.2", "driver-570_a", "0"] {
            assert_eq!(check_baseline_name(fine), Ok(()), "{fine}");
        }
        let long = "a".repeat(65);
        for bad in [
            "",
            ".",
            "..",
            ".hidden",
            "a/b",
            "../a",
            "a\\b",
            "a b",
            "é",
            "-x",
            "a.",
            "a\n",
            "a\0b",
            long.as_str(),
        ] {
            assert!(check_baseline_name(bad).is_err(), "{bad:?}");
        }
    }
}
