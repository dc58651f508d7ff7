//! As much of JSON Schema (draft 2020-12) as the program's own schemas use.

use serde_json::Value;

/// Where a value is not as the schema says. A keyword that is not known here fails the test.
pub(crate) fn mistakes(schema: &Value, value: &Value) -> Vec<String> {
    let mut found = Vec::new();
    look(schema, schema, value, "$", &mut found);
    found
}

fn fits(root: &Value, schema: &Value, value: &Value) -> bool {
    let mut found = Vec::new();
    look(root, schema, value, "", &mut found);
    found.is_empty()
}

fn look(root: &Value, schema: &Value, value: &Value, at: &str, found: &mut Vec<String>) {
    let keywords = match schema {
        Value::Bool(true) => return,
        Value::Bool(false) => return found.push(format!("{at}: nothing may be here")),
        schema => schema.as_object().expect("a schema is an object"),
    };
    for (keyword, wanted) in keywords {
        let good = match keyword.as_str() {
            "$ref" => {
                let path = wanted.as_str().expect("a path").trim_start_matches('#');
                let target = root.pointer(path).unwrap_or_else(|| panic!("no {path}"));
                look(root, target, value, at, found);
                true
            }
            "type" => match wanted {
                Value::Array(kinds) => kinds.iter().any(|kind| is(kind, value)),
                kind => is(kind, value),
            },
            "const" => wanted == value,
            "enum" => list(wanted).contains(value),
            "anyOf" => list(wanted).iter().any(|one| fits(root, one, value)),
            "oneOf" => list(wanted).iter().filter(|one| fits(root, one, value)).count() == 1,
            "allOf" => list(wanted).iter().all(|one| fits(root, one, value)),
            "required" => {
                list(wanted).iter().all(|key| value.get(key.as_str().expect("a key")).is_some())
            }
            "properties" => {
                for (key, schema) in wanted.as_object().expect("an object") {
                    if let Some(value) = value.get(key) {
                        look(root, schema, value, &format!("{at}.{key}"), found);
                    }
                }
                true
            }
            "additionalProperties" => {
                let known = schema.get("properties").and_then(Value::as_object);
                for (key, value) in value.as_object().into_iter().flatten() {
                    let patterns = schema.get("patternProperties").is_some();
                    if !patterns && !known.is_some_and(|known| known.contains_key(key)) {
                        look(root, wanted, value, &format!("{at}.{key}"), found);
                    }
                }
                true
            }
            "items" => {
                let first = schema.get("prefixItems").map_or(0, |items| list(items).len());
                for (index, value) in value.as_array().into_iter().flatten().enumerate().skip(first)
                {
                    look(root, wanted, value, &format!("{at}[{index}]"), found);
                }
                true
            }
            "prefixItems" => {
                for (index, (schema, value)) in
                    list(wanted).iter().zip(value.as_array().into_iter().flatten()).enumerate()
                {
                    look(root, schema, value, &format!("{at}[{index}]"), found);
                }
                true
            }
            "minimum" => {
                value.as_f64().is_none_or(|number| number >= wanted.as_f64().expect("a number"))
            }
            "maximum" => {
                value.as_f64().is_none_or(|number| number <= wanted.as_f64().expect("a number"))
            }
            "minItems" => value
                .as_array()
                .is_none_or(|items| items.len() as u64 >= wanted.as_u64().expect("a number")),
            "maxItems" => value
                .as_array()
                .is_none_or(|items| items.len() as u64 <= wanted.as_u64().expect("a number")),
            "$schema" | "$id" | "$defs" | "title" | "description" | "default" | "format"
            | "examples" | "pattern" | "patternProperties" | "propertyNames" | "minLength"
            | "maxLength" | "uniqueItems" | "minProperties" | "maxProperties" => true,
            other => panic!("{at}: the keyword `{other}` is not known here"),
        };
        if !good {
            found.push(format!("{at}: {value} is not as `{keyword}` says"));
        }
    }
}

fn list(value: &Value) -> &[Value] {
    value.as_array().expect("a list")
}

fn is(kind: &Value, value: &Value) -> bool {
    match kind.as_str().expect("a type") {
        "null" => value.is_null(),
        "boolean" => value.is_boolean(),
        "object" => value.is_object(),
        "array" => value.is_array(),
        "string" => value.is_string(),
        "number" => value.is_number(),
        "integer" => value.is_u64() || value.is_i64(),
        other => panic!("the type `{other}` is not known here"),
    }
}
