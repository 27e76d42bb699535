//! Secrets that workers know, kept out of everything that is written down or shown.
//!
//! A worker is given tokens it may need (`HF_TOKEN`, `OPENAI_API_KEY`), and a library may print one: with a request that
//! failed, or with all of the environment. Records and reports are shared, so the values are taken out of what workers say.

use std::borrow::Cow;

use placebench_core::record::ServerSpec;
use placebench_core::worker_variables::is_secret;

use crate::worker_env::{self, REDACTED};

/// Shorter values are no secrets anybody could keep, and stand in texts by chance.
const SHORTEST: usize = 8;

/// Values that are not for a record.
#[derive(Debug, Clone, Default)]
pub(crate) struct Secrets(Vec<String>);

impl Secrets {
    /// Those that workers inherit from this process, and the key of the server that this one speaks to.
    pub(crate) fn of_worker(server: Option<&ServerSpec>) -> Self {
        let variables = worker_env::inherited().into_iter().chain(worker_env::key_of(server));
        Self::of(variables.filter_map(|(name, value)| Some((name.into_string().ok()?, value.into_string().ok()?))))
    }

    fn of(variables: impl Iterator<Item = (String, String)>) -> Self {
        let secret = variables.filter(|(name, value)| is_secret(name) && value.trim().len() >= SHORTEST);
        let mut values: Vec<String> = secret.map(|(_, value)| value.trim().to_owned()).collect();
        // One may be part of another.
        values.sort_by_key(|value| std::cmp::Reverse(value.len()));
        Self(values)
    }

    /// The text without them.
    pub(crate) fn hidden<'a>(&self, text: &'a str) -> Cow<'a, str> {
        let mut hidden = Cow::Borrowed(text);
        for value in &self.0 {
            if hidden.contains(value.as_str()) {
                hidden = Cow::Owned(hidden.replace(value.as_str(), REDACTED));
            }
        }
        hidden
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_of_secrets_are_taken_out_and_nothing_else() {
        let of = |name: &str, value: &str| (name.to_owned(), value.to_owned());
        let secrets = Secrets::of(
            [
                of("HF_TOKEN", "hf_abcdefgh\n"),
                of("OTHER_TOKEN", "hf_abcdefgh_long"),
                of("OPENAI_API_KEY", "1"),
                of("HF_HOME", "/home/somebody"),
            ]
            .into_iter(),
        );
        assert_eq!(
            secrets.hidden("a hf_abcdefgh b hf_abcdefgh_long c 1 /home/somebody"),
            "a [redacted] b [redacted] c 1 /home/somebody"
        );
        assert!(matches!(secrets.hidden("nothing"), Cow::Borrowed("nothing")));
    }
}
