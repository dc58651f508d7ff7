//! What the files that people write may say, and what is said about them. Cases are files: `tests/input/NAME.toml` and,
//! beside it, `NAME.stderr` with every diagnostic as a person sees it. `UPDATE_GOLDEN=1` writes the latter anew.

use std::{
    collections::BTreeSet,
    env, fs,
    path::{Path, PathBuf},
};

use proptest::prelude::*;
use serde_json::Value;
use sixwalk::{
    input::{self, Diagnostics, Kind, Level},
    model::testbed::Testbed,
};

fn file(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join(name)
}

fn fokus() -> Testbed {
    input::testbed("fokus.toml", &fs::read_to_string(file("testbed/fokus.toml")).unwrap()).unwrap()
}

/// What is said about a case; `NAME.phase.toml` is a phase file and `NAME.fault.toml` a fault file of the reference
/// testbed.
fn said(name: &str, text: &str) -> Option<Diagnostics> {
    if name.ends_with(".phase.toml") {
        return input::phase_file(name, text, &["meta.settled"]).err();
    }
    if name.ends_with(".fault.toml") {
        return input::faults(name, text, &fokus()).err();
    }
    let (testbed, found) = input::examine(name, text);
    assert_eq!(testbed.is_some(), found.count(Level::Error) == 0, "{name}");
    (!found.is_empty()).then_some(found)
}

#[test]
fn every_mistake_is_reported_with_its_place() {
    let mut cases: Vec<_> = fs::read_dir(file("tests/input"))
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .filter(|path| path.extension().is_some_and(|extension| extension == "toml"))
        .collect();
    cases.sort();
    let mut changed = Vec::new();
    for case in &cases {
        let name = case.file_name().unwrap().to_str().unwrap();
        let text = fs::read_to_string(case).unwrap();
        let said = said(name, &text).map_or_else(String::new, |found| found.to_string());
        let golden = case.with_extension("stderr");
        if env::var_os("UPDATE_GOLDEN").is_some() {
            fs::write(&golden, &said).unwrap();
        }
        if fs::read_to_string(&golden).unwrap_or_default() != said {
            changed.push(format!("--- {name}\n{said}"));
        }
    }
    assert!(changed.is_empty(), "{}", changed.join("\n"));
}

#[test]
fn seven_mistakes_are_found_in_one_run_at_their_exact_places() {
    let text = fs::read_to_string(file("tests/input/seven-mistakes.toml")).unwrap();
    let found = input::testbed("seven.toml", &text).unwrap_err();
    let places: Vec<_> = found.iter().map(|one| found.position(one.span.start)).collect();
    assert_eq!(places, [(2, 1), (7, 8), (10, 8), (13, 8), (18, 17), (20, 7), (21, 54)], "{found}");
}

/// The mends of `all-in-one-run.toml`, mistake by mistake.
const MENDS: [(&str, &str); 15] = [
    ("allow = []", "allow = \"ping\""),
    ("deny = \"http\"\n", ""),
    ("[translation.gw-a]", "[translation.one]"),
    ("pool = \"192.0.2.128/32\"", "pool = \"203.0.113.16/29\""),
    ("[tunnel.lan-a]", "[tunnel.offices]"),
    ("mtu = 9000", "mtu = 1400"),
    ("ipv4 = \"10.1.0.0/31\"", "ipv4 = \"10.9.0.0/31\""),
    ("ipv6 = \"2001:db8:1::/127\"", "ipv6 = \"2001:db8:9::/127\""),
    ("by = \"files\"", "by = \"gw-a\""),
    ("serve.dns = {}", "serve.resolver = {}"),
    ("resolvers = [\"desk\"]", "resolvers = [\"files\"]"),
    ("[translation.two]", "[translation.other]"),
    ("pool = \"203.0.113.0/31\"", "pool = \"203.0.113.0/30\""),
    ("couple = [[\"lan-a\", \"lan-b\"]]", "couple = [[\"10.1.0.128/25\", \"10.2.0.128/25\"]]"),
    ("prefix = \"64:ff9b:1::/48\"", "prefix = \"2001:db8:64::/96\""),
];

#[test]
fn what_is_mended_brings_up_no_other_mistake() {
    let mut text = fs::read_to_string(file("tests/input/all-in-one-run.toml")).unwrap();
    let errors = |text: &str| {
        let (_, found) = input::examine("mended.toml", text);
        let errors = found.iter().filter(|one| one.level == Level::Error);
        let lines: Vec<_> = errors.map(|one| found.position(one.span.start).0).collect();
        (lines, found)
    };
    let (mut before, _) = errors(&text);
    for (wrong, right) in MENDS {
        assert!(text.contains(wrong), "{wrong}");
        text = text.replacen(wrong, right, 1);
        let (after, found) = errors(&text);
        let mut left = before.clone();
        for line in &after {
            // A line that was taken out moves those behind it.
            let known = left.iter().position(|old| old == line || *old == line + 1);
            let known = known.unwrap_or_else(|| panic!("after `{right}`, line {line}:\n{found}"));
            left.remove(known);
        }
        assert!(!left.is_empty(), "`{right}` mended nothing:\n{found}");
        before = after;
    }
    // What is left is the prefix of the third, which now meets that of the first, which says none.
    assert_eq!(before.len(), 1, "{}", errors(&text).1);
}

#[test]
fn a_benign_file_is_read_in_silence_and_written_in_canonical_form() {
    let text = fs::read_to_string(file("tests/input/benign.toml")).unwrap();
    let (testbed, found) = input::examine("benign.toml", &text);
    assert!(found.is_empty(), "{found}");
    let testbed = testbed.unwrap();
    let prefixes: Vec<_> =
        testbed.segments["link"].prefixes.iter().map(ToString::to_string).collect();
    assert_eq!(prefixes, ["10.0.0.0/31", "2001:db8::/127"]);
    let server = &testbed.nodes["all-services"].interfaces[0];
    assert_eq!(server.mac.to_string(), "02:00:00:aa:bb:cc");
    assert_eq!(server.addresses[1].net.to_string(), "2001:db8:1::a/64");
}

#[test]
fn link_layer_addresses_stay_when_other_nodes_come() {
    let text = fs::read_to_string(file("testbed/small.toml")).unwrap();
    let more = text.replace(
        "[node.fw]",
        "[node.first]\nrole = \"server\"\non = { eth0 = \"office\" }\n\n[node.fw]",
    );
    let macs = |text: &str| {
        let testbed = input::testbed("small.toml", text).unwrap();
        let nodes = testbed.nodes.values().filter(|node| node.name.as_str() != "first");
        nodes.flat_map(|n| n.interfaces.iter().map(|i| i.mac)).collect::<BTreeSet<_>>()
    };
    assert_eq!(macs(&text), macs(&more));
    assert_eq!(macs(&text).len(), 5, "one for each interface");
}

#[test]
fn programs_get_places_as_numbers() {
    let found = input::testbed("t.toml", "title = 7\n").unwrap_err();
    let first = &found.to_json()[0];
    assert_eq!(first["level"], "error");
    let wrong: Vec<_> = found.to_json().as_array().unwrap().clone();
    let title =
        wrong.iter().find(|one| one["message"].as_str().unwrap().contains("title")).unwrap();
    assert_eq!((&title["line"], &title["column"]), (&Value::from(1), &Value::from(9)));
    assert!(found.styled().contains("\u{1b}["), "terminals get colours");
    assert!(!found.to_string().contains('\u{1b}'), "and files do not");
}

#[test]
fn control_characters_in_names_do_not_reach_the_terminal() {
    for name in ["unsafe-names", "bodies-of-bad-names"] {
        let text = fs::read_to_string(file("tests/input").join(name).with_extension("toml"));
        let found = input::testbed("t.toml", &text.unwrap()).unwrap_err();
        assert!(!found.to_string().contains('\u{1b}'), "{found:?}");
    }
}

#[test]
fn a_schema_describes_every_key_and_refuses_others() {
    fn walk(schema: &Value, place: &str) {
        if schema["type"] == "object" && schema.get("properties").is_some() {
            assert_eq!(schema["additionalProperties"], false, "{place}");
            for (key, value) in schema["properties"].as_object().unwrap() {
                assert!(value["description"].is_string(), "{place}.{key} has no description");
                walk(value, &format!("{place}.{key}"));
            }
        }
        for any in schema["anyOf"].as_array().into_iter().flatten() {
            walk(any, place);
        }
        for inner in ["items", "additionalProperties"] {
            if schema[inner].is_object() {
                walk(&schema[inner], place);
            }
        }
    }
    for kind in Kind::ALL {
        walk(&input::schema(kind), kind.word());
    }
}

#[test]
fn the_manual_names_every_key() {
    fn keys(schema: &Value, found: &mut BTreeSet<String>) {
        for (key, value) in schema["properties"].as_object().into_iter().flatten() {
            found.insert(key.clone());
            keys(value, found);
        }
        for any in schema["anyOf"].as_array().into_iter().flatten() {
            keys(any, found);
        }
        for inner in ["items", "additionalProperties"] {
            if schema[inner].is_object() {
                keys(&schema[inner], found);
            }
        }
    }
    for (kind, manual) in
        [(Kind::Testbed, "docs/writing-a-testbed.md"), (Kind::Fault, "docs/planting-faults.md")]
    {
        let text = fs::read_to_string(file(manual)).unwrap();
        let words: BTreeSet<_> =
            text.split(|c: char| !c.is_alphanumeric() && c != '-').map(str::to_owned).collect();
        let mut wanted = BTreeSet::new();
        keys(&input::schema(kind), &mut wanted);
        let missing: Vec<_> = wanted.difference(&words).collect();
        assert!(missing.is_empty(), "{manual} does not mention {missing:?}");
    }
}

/// Reads a text as every kind of file; whatever it is, an answer comes, and the answer can be shown.
fn read_as_everything(text: &str, testbed: &Testbed) {
    let (_, found) = input::examine("t.toml", text);
    let (_, _, _) = (found.to_string(), found.styled(), found.to_json());
    if let Err(found) = input::phase_file("t.toml", text, &["meta.settled"]) {
        let _ = found.to_string();
    }
    if let Err(found) = input::faults("t.toml", text, testbed) {
        let _ = found.to_string();
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 200, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn any_text_is_answered(text in "\\PC{0,200}") {
        read_as_everything(&text, &small());
    }

    #[test]
    fn a_testbed_with_a_piece_replaced_is_answered(
        at in 0.0..1.0_f64,
        length in 0_usize..40,
        piece in prop_oneof![
            "\\PC{0,8}",
            prop::sample::select(vec![
                "\"\"", "[]", "{}", "[[flow]]\n", "0", "-1", "99999999999999999999", "true", "::", "/", "\n",
                "\"2001:db8::/64\"", "\"10.1.0.0/24\"", "\"everywhere\"", "lan", "=", ".", "\u{1F9EA}",
            ]).prop_map(str::to_owned),
        ],
    ) {
        for source in ["testbed/small.toml", "testbed/branch.toml", "testbed/faults/policy.toml"] {
            let text = fs::read_to_string(file(source)).unwrap();
            #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, clippy::cast_precision_loss)]
            let start = boundary(&text, (at * text.len() as f64) as usize);
            let end = boundary(&text, start + length);
            let text = format!("{}{piece}{}", &text[..start], &text[end.max(start)..]);
            read_as_everything(&text, &small());
        }
    }
}

fn small() -> Testbed {
    input::testbed("small.toml", &fs::read_to_string(file("testbed/small.toml")).unwrap()).unwrap()
}

fn boundary(text: &str, at: usize) -> usize {
    let at = at.min(text.len());
    (0..=at).rev().find(|at| text.is_char_boundary(*at)).unwrap_or(0)
}
