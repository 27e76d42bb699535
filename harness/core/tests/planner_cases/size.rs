//! Cases of kind `size`.

use placebench_core::planner::{Amount, parse_size};
use serde_json::Value;

use super::Disagreement;

pub(crate) fn check(case: &Value) -> Result<(), Disagreement> {
    let parsed = match &case["text"] {
        Value::String(text) => parse_size(text).ok(),
        // A number is bytes already; the reference's parser refuses negative ones.
        number => serde_json::from_value(number.clone())
            .ok()
            .filter(|&bytes| bytes >= Amount::ZERO),
    };
    let expected: Option<Amount> = serde_json::from_value(case["bytes"].clone()).ok();
    if parsed == expected {
        return Ok(());
    }
    Err(Disagreement::new(
        "bytes",
        &case["bytes"],
        parsed.map_or("refused".into(), |bytes| bytes.to_string()),
    ))
}
