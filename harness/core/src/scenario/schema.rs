//! The JSON Schema of scenario files, for editors and other tools.

use super::file::ScenarioFile;

/// The schema, generated from the types that read the file.
#[must_use]
pub fn json_schema() -> serde_json::Value {
    let mut schema = schemars::schema_for!(ScenarioFile).to_value();
    if let Some(object) = schema.as_object_mut() {
        object.insert("title".into(), "placebench scenario".into());
        object.insert(
            "required".into(),
            serde_json::json!(["schema_version", "model", "prompt", "placement"]),
        );
    }
    schema
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_schema_refuses_unknown_keys_and_knows_the_tables() {
        let schema = json_schema();
        assert_eq!(schema["additionalProperties"], false);
        for table in [
            "model",
            "devices",
            "prompt",
            "generation",
            "placement",
            "timeout",
            "measure",
            "expect",
            "fault",
            "matrix",
        ] {
            assert!(schema["properties"].get(table).is_some(), "{table}");
        }
    }
}
