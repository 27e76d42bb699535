//! JSON objects on the command line: device maps and budgets.

use std::fmt;

use placebench_core::exit_code::ExitCode;
use placebench_core::planner::{SizeError, parse_size};
use placebench_core::units::Bytes;
use serde::de::{Deserialize, Deserializer, MapAccess, Visitor};
use serde_json::Value;

use crate::error::CliError;

/// The entries of an object in the order they were written, where serde's own map would keep the last of two alike.
struct Entries(Vec<(String, Value)>);

impl<'de> Deserialize<'de> for Entries {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct EntriesVisitor;
        impl<'de> Visitor<'de> for EntriesVisitor {
            type Value = Entries;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an object such as {\"0\": …}")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Entries, A::Error> {
                let mut entries: Vec<(String, Value)> = Vec::new();
                while let Some(entry) = map.next_entry()? {
                    entries.push(entry);
                }
                Ok(Entries(entries))
            }
        }
        deserializer.deserialize_map(EntriesVisitor)
    }
}

/// Reads the object given to an option; a name that comes twice is a mistake.
pub(crate) fn entries(option: &str, text: &str) -> Result<Vec<(String, Value)>, CliError> {
    let refused = |message: String| CliError::with_code(ExitCode::Usage, message);
    let Entries(entries) =
        serde_json::from_str(text).map_err(|error| refused(format!("{option} is not a JSON object: {error}")))?;
    for (position, (name, _)) in entries.iter().enumerate() {
        if entries.iter().take(position).any(|(earlier, _)| earlier == name) {
            return Err(refused(format!("{option} names `{name}` twice")));
        }
    }
    Ok(entries)
}

/// Reads a number of bytes, or a size as Accelerate spells it.
pub(crate) fn size(option: &str, device: &str, value: &Value) -> Result<Bytes, CliError> {
    let refused = |message: String| CliError::with_code(ExitCode::Usage, message);
    match value {
        Value::Number(number) => number
            .as_u64()
            .map(Bytes)
            .ok_or_else(|| refused(format!("{option}: {number} for {device} is no number of bytes"))),
        Value::String(text) => {
            let counted = parse_size(text).and_then(|amount| match amount.whole_bytes() {
                u64::MAX => Err(SizeError::TooLarge { text: text.clone() }),
                bytes => Ok(Bytes(bytes)),
            });
            counted.map_err(|error| refused(format!("{option}, {device}: {error}")))
        }
        other => Err(refused(format!("{option}: {other} for {device} is no size"))),
    }
}
