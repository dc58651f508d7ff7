//! No copyleft in what is built: every package that the program is made of has a licence from this list.

use std::{collections::BTreeSet, process::Command};

const ALLOWED: [&str; 11] = [
    "MIT",
    "Apache-2.0",
    "Apache-2.0 WITH LLVM-exception",
    "BSD-2-Clause",
    "BSD-3-Clause",
    "ISC",
    "Zlib",
    "Unicode-3.0",
    "Unlicense",
    "CC0-1.0",
    "0BSD",
];

/// Whether a choice of the expression is allowed. `A OR B` needs one side, `A AND B` both (SPDX; `/` is the old `OR`).
fn is_allowed(expression: &str) -> bool {
    let tokens = expression.replace('(', " ( ").replace(')', " ) ").replace('/', " OR ");
    let tokens: Vec<_> = tokens.split_whitespace().map(str::to_owned).collect();
    let mut at = 0;
    let value = either(&tokens, &mut at);
    value && at == tokens.len()
}

fn either(tokens: &[String], at: &mut usize) -> bool {
    let mut value = both(tokens, at);
    while tokens.get(*at).is_some_and(|token| token == "OR") {
        *at += 1;
        let other = both(tokens, at);
        value = value || other;
    }
    value
}

fn both(tokens: &[String], at: &mut usize) -> bool {
    let mut value = one(tokens, at);
    while tokens.get(*at).is_some_and(|token| token == "AND") {
        *at += 1;
        let other = one(tokens, at);
        value = value && other;
    }
    value
}

fn one(tokens: &[String], at: &mut usize) -> bool {
    let Some(token) = tokens.get(*at) else { return false };
    *at += 1;
    if token == "(" {
        let value = either(tokens, at);
        *at += 1;
        return value;
    }
    let mut name = token.clone();
    if tokens.get(*at).is_some_and(|token| token == "WITH") {
        name = format!("{name} WITH {}", tokens[*at + 1]);
        *at += 2;
    }
    ALLOWED.contains(&name.as_str())
}

#[test]
fn no_dependency_is_copyleft() {
    let cargo = std::env::var("CARGO").unwrap_or_else(|_| "cargo".to_owned());
    let metadata = Command::new(&cargo)
        .args([
            "metadata",
            "--format-version",
            "1",
            "--locked",
            "--filter-platform",
            "x86_64-unknown-linux-gnu",
        ])
        .output()
        .unwrap();
    assert!(metadata.status.success(), "{}", String::from_utf8_lossy(&metadata.stderr));
    let metadata: serde_json::Value = serde_json::from_slice(&metadata.stdout).unwrap();
    let built = built(&metadata);
    assert!(built.len() > 100, "only {} packages: the dependency tree was not read", built.len());
    let refused: Vec<_> = metadata["packages"]
        .as_array()
        .unwrap()
        .iter()
        .filter(|package| built.contains(package["id"].as_str().unwrap()))
        .filter(|package| !is_allowed(package["license"].as_str().unwrap_or("none stated")))
        .map(|package| {
            format!("{} {}: {}", package["name"], package["version"], package["license"])
        })
        .collect();
    assert!(refused.is_empty(), "not on the list of allowed licences:\n{}", refused.join("\n"));
}

/// The packages that the program is made of: normal and build dependencies, not those of tests.
fn built(metadata: &serde_json::Value) -> BTreeSet<&str> {
    let nodes = metadata["resolve"]["nodes"].as_array().unwrap();
    let mut found = BTreeSet::new();
    let mut next = vec![metadata["resolve"]["root"].as_str().unwrap()];
    while let Some(id) = next.pop() {
        if !found.insert(id) {
            continue;
        }
        let node = nodes.iter().find(|node| node["id"] == id).unwrap();
        for dependency in node["deps"].as_array().unwrap() {
            let kinds = dependency["dep_kinds"].as_array().unwrap();
            if kinds.iter().any(|kind| kind["kind"] != "dev") {
                next.push(dependency["pkg"].as_str().unwrap());
            }
        }
    }
    found
}

#[test]
fn the_rule_refuses_what_it_must() {
    assert!(is_allowed("MIT OR GPL-3.0"));
    assert!(is_allowed("(MIT OR Apache-2.0) AND Unicode-3.0"));
    assert!(is_allowed("MIT/Apache-2.0"));
    assert!(!is_allowed("MIT AND GPL-3.0-or-later"));
    assert!(!is_allowed("MPL-2.0"));
    assert!(!is_allowed("none stated"));
}
