//! Just enough of JSON Schema (draft 2020-12) to hold a value against the schemas that this program prints. A keyword that is
//! not known here is an error, so that nothing passes because it was not looked at. `ci/check-formats.sh` does the same with
//! a validator of others.

use serde_json::{Map, Value};

/// A schema.
pub(crate) struct Schema {
    root: Value,
}

impl Schema {
    pub(crate) fn new(root: Value) -> Self {
        assert_eq!(root["$schema"], "https://json-schema.org/draft/2020-12/schema");
        Self { root }
    }

    /// Everything that is wrong with a value; nothing of a valid one.
    pub(crate) fn problems(&self, value: &Value) -> Vec<String> {
        let mut problems = Vec::new();
        self.check(&self.root, value, "", &mut problems);
        problems
    }

    fn check(&self, schema: &Value, value: &Value, path: &str, problems: &mut Vec<String>) {
        let Some(keywords) = schema.as_object() else {
            assert_eq!(schema, &Value::Bool(true), "no schema at {path}");
            return;
        };
        for (keyword, rule) in keywords {
            let wrong = match keyword.as_str() {
                "$schema" | "$defs" | "title" | "description" | "default" | "format" | "properties" | "prefixItems" => {
                    None
                }
                "$ref" => {
                    let target = rule
                        .as_str()
                        .and_then(|target| self.root.pointer(target.strip_prefix('#')?));
                    self.check(target.unwrap(), value, path, problems);
                    None
                }
                "type" => (!has_type(rule, value)).then(|| format!("is no {rule}")),
                "const" => (rule != value).then(|| format!("is not {rule}")),
                "enum" => (!rule.as_array().unwrap().contains(value)).then(|| format!("is none of {rule}")),
                "minimum" => less(value, rule).then(|| format!("is less than {rule}")),
                "maximum" => less(rule, value).then(|| format!("is more than {rule}")),
                "minItems" => less(&length(value), rule).then(|| "is too short".to_owned()),
                "maxItems" => less(rule, &length(value)).then(|| "is too long".to_owned()),
                "required" => missing(rule, value),
                "items" => {
                    self.items(keywords, rule, value, path, problems);
                    None
                }
                "additionalProperties" => unknown(keywords, rule, value),
                "oneOf" => self.fitting(rule, value, path, 1, 1),
                "anyOf" => self.fitting(rule, value, path, 1, usize::MAX),
                unknown => panic!("the schema says `{unknown}`, which this test does not understand"),
            };
            problems.extend(wrong.map(|wrong| format!("{path}: {wrong}: {value}")));
        }
        self.parts(keywords, value, path, problems);
    }

    fn parts(&self, keywords: &Map<String, Value>, value: &Value, path: &str, problems: &mut Vec<String>) {
        if let (Some(Value::Object(known)), Value::Object(entries)) = (keywords.get("properties"), value) {
            for (key, schema) in known {
                if let Some(entry) = entries.get(key) {
                    self.check(schema, entry, &format!("{path}/{key}"), problems);
                }
            }
        }
        if let (Some(Value::Array(known)), Value::Array(elements)) = (keywords.get("prefixItems"), value) {
            for (index, (schema, element)) in known.iter().zip(elements).enumerate() {
                self.check(schema, element, &format!("{path}/{index}"), problems);
            }
        }
    }

    fn items(
        &self,
        keywords: &Map<String, Value>,
        rule: &Value,
        value: &Value,
        path: &str,
        problems: &mut Vec<String>,
    ) {
        let before = keywords
            .get("prefixItems")
            .and_then(Value::as_array)
            .map_or(0, Vec::len);
        for (index, element) in value.as_array().into_iter().flatten().enumerate().skip(before) {
            self.check(rule, element, &format!("{path}/{index}"), problems);
        }
    }

    fn fitting(&self, rule: &Value, value: &Value, path: &str, least: usize, most: usize) -> Option<String> {
        let mut all = Vec::new();
        let mut fitting = 0;
        for schema in rule.as_array().unwrap() {
            let mut problems = Vec::new();
            self.check(schema, value, path, &mut problems);
            fitting += usize::from(problems.is_empty());
            all.extend(problems);
        }
        (fitting < least || fitting > most).then(|| format!("fits {fitting} of several: {all:?}"))
    }
}

fn has_type(rule: &Value, value: &Value) -> bool {
    let is = |name: &Value| match name.as_str().unwrap() {
        "null" => value.is_null(),
        "boolean" => value.is_boolean(),
        "string" => value.is_string(),
        "integer" => value.is_i64() || value.is_u64(),
        "number" => value.is_number(),
        "array" => value.is_array(),
        "object" => value.is_object(),
        unknown => panic!("no type: {unknown}"),
    };
    match rule {
        Value::Array(names) => names.iter().any(is),
        name => is(name),
    }
}

fn less(value: &Value, than: &Value) -> bool {
    match (value.as_f64(), than.as_f64()) {
        (Some(value), Some(than)) => value < than,
        _ => false,
    }
}

fn length(value: &Value) -> Value {
    value.as_array().map_or(Value::Null, |elements| elements.len().into())
}

fn missing(rule: &Value, value: &Value) -> Option<String> {
    let entries = value.as_object()?;
    let mut required = rule.as_array().unwrap().iter().map(|key| key.as_str().unwrap());
    let missing = required.find(|key| !entries.contains_key(*key))?;
    Some(format!("lacks {missing}"))
}

fn unknown(keywords: &Map<String, Value>, rule: &Value, value: &Value) -> Option<String> {
    assert_eq!(rule, &Value::Bool(false), "only `false` is understood");
    let known = keywords.get("properties").and_then(Value::as_object);
    let is_known = |key: &String| known.is_some_and(|known| known.contains_key(key));
    let stranger = value.as_object()?.keys().find(|key| !is_known(key))?;
    Some(format!("has an unknown key {stranger}"))
}

#[test]
fn what_is_wrong_is_found() {
    let schema = Schema::new(serde_json::json!({
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "type": "object",
        "required": ["a"],
        "properties": {
            "a": { "type": ["integer", "null"], "minimum": 0, "maximum": 9 },
            "b": { "oneOf": [{ "const": "x" }, { "enum": ["y", "z"] }] },
            "c": { "type": "array", "prefixItems": [{ "type": "string" }], "items": { "$ref": "#/$defs/n" }, "maxItems": 3 },
        },
        "$defs": { "n": { "type": "number" } },
    }));
    for good in [r#"{"a": 1}"#, r#"{"a": null, "b": "z", "c": ["x", 1.5], "more": 0}"#] {
        assert_eq!(
            schema.problems(&serde_json::from_str(good).unwrap()),
            Vec::<String>::new()
        );
    }
    for bad in [
        "[]",
        "{}",
        r#"{"a": -1}"#,
        r#"{"a": 10}"#,
        r#"{"a": 1.5}"#,
        r#"{"a": 1, "b": "w"}"#,
        r#"{"a": 1, "c": [1]}"#,
        r#"{"a": 1, "c": ["x", "y"]}"#,
        r#"{"a": 1, "c": ["x", 1, 2, 3]}"#,
    ] {
        assert!(
            !schema.problems(&serde_json::from_str(bad).unwrap()).is_empty(),
            "{bad}"
        );
    }
}
