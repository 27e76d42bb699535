//! The reference of all keys as Markdown, made from the JSON Schema so that it cannot say anything else than the types do.

use serde_json::Value;

use super::schema::json_schema;

/// One section for each table of the format, one row for each key.
#[must_use]
pub fn markdown() -> String {
    let schema = json_schema();
    let mut text = section("Top level", &schema);
    let tables = schema["$defs"].as_object().cloned().unwrap_or_default();
    for (name, title) in SECTIONS {
        if let Some(table) = tables.get(name) {
            text.push('\n');
            text.push_str(&section(title, table));
        }
    }
    text
}

/// The tables in reading order, by the name of their type.
const SECTIONS: [(&str, &str); 22] = [
    ("ModelTable", "`[model]`"),
    ("LogicalDeviceTable", "`[devices]`: an entry"),
    ("RatesTable", "`[rates]`"),
    ("DeviceRatesTable", "`[rates.device]`: an entry"),
    ("LinkRatesTable", "`[[rates.link]]`"),
    ("PromptTable", "`[[prompt]]`"),
    ("GenerationTable", "`[generation]`"),
    ("PlacementTable", "`[placement.NAME]`"),
    ("LaunchTable", "`launch` of a placement"),
    ("PlacementServerTable", "`server` of a placement"),
    ("ExpectTable", "`[expect]` and `[placement.NAME.expect]`"),
    ("AgreementTable", "`agreement`"),
    ("LimitsTable", "`[expect.limits]`"),
    ("TimeoutTable", "`[timeout]` and `[placement.NAME.timeout]`"),
    ("MeasureTable", "`[measure]`"),
    ("RequiresTable", "`[requires]`"),
    ("FaultTable", "`[[fault]]`"),
    ("FaultPointTable", "`at` of a fault"),
    ("MatrixTable", "`[matrix]`"),
    ("TransformersTable", "`[transformers]`"),
    ("ServerTable", "`[server]`"),
    ("ProgramTable", "`[program]`"),
];

fn section(title: &str, table: &Value) -> String {
    let mut text = format!("### {title}\n\n");
    if let Some(description) = table["description"].as_str() {
        text.push_str(&format!("{}\n\n", description.replace('\n', " ")));
    }
    text.push_str("| key | meaning |\n|---|---|\n");
    for (key, value) in table["properties"].as_object().into_iter().flatten() {
        let meaning = value["description"]
            .as_str()
            .unwrap_or_default()
            .replace('\n', " ")
            .replace('|', "\\|");
        text.push_str(&format!("| `{key}` | {meaning} |\n"));
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_table_and_key_has_a_meaning() {
        let text = markdown();
        for (_, title) in SECTIONS {
            assert!(text.contains(title), "{title}");
        }
        let schema = json_schema();
        // Entries of tables people name themselves, and tables that are explained where they are used.
        let elsewhere = |name: &str| name.starts_with("TableOf") || name == "Message";
        let tables = schema["$defs"].as_object().unwrap();
        for name in tables
            .iter()
            .filter(|(_, table)| table["properties"].is_object())
            .map(|(name, _)| name)
        {
            let is_listed = SECTIONS.iter().any(|(listed, _)| listed == name);
            assert!(is_listed || elsewhere(name), "{name} is in no section");
        }
        assert!(!text.contains("` |  |"), "a key without a doc comment:\n{text}");
    }
}
