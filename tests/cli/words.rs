//! Commands that need no lab.

use std::{
    path::Path,
    process::{Command, Output},
};

use clap::CommandFactory;
use sixwalk::{check::CHECKS, cli::Cli};

use crate::{
    machine::{Machine, furnish},
    program::User,
    support,
};

const CRATE: &str = env!("CARGO_MANIFEST_DIR");

fn sixwalk(arguments: &[&str]) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_sixwalk"));
    command.args(arguments).current_dir(CRATE).output().expect("the program is built")
}

fn said(output: &Output) -> (String, String) {
    let text = |bytes: &[u8]| String::from_utf8(bytes.to_vec()).expect("text");
    (text(&output.stdout), text(&output.stderr))
}

/// What a command that succeeds prints; nothing else may be said.
fn printed(arguments: &[&str]) -> String {
    let output = sixwalk(arguments);
    let (data, talk) = said(&output);
    assert_eq!((output.status.code(), talk.as_str()), (Some(0), ""), "{arguments:?}");
    data
}

/// What a command says that ends with code 2; no data may be printed.
fn refused(arguments: &[&str]) -> String {
    let output = sixwalk(arguments);
    let (data, talk) = said(&output);
    assert_eq!((output.status.code(), data.as_str()), (Some(2), ""), "{arguments:?}: {talk}");
    talk
}

fn subcommands() -> Vec<String> {
    let command = Cli::command();
    command.get_subcommands().map(|command| command.get_name().to_owned()).collect()
}

#[test]
fn every_help_has_examples_and_fits_the_page() {
    let mut pages = vec![printed(&["--help"])];
    pages.extend(subcommands().iter().map(|command| printed(&[command, "--help"])));
    for page in pages {
        assert!(page.contains("Examples:\n  "), "{page}");
        let long = page.lines().find(|line| line.chars().count() > 100);
        assert_eq!(long, None, "a line that does not fit");
    }
    assert_eq!(printed(&["--version"]), format!("sixwalk {}\n", env!("CARGO_PKG_VERSION")));
}

#[test]
fn the_examples_of_the_help_are_commands() {
    for name in subcommands() {
        let page = printed(&[&name, "--help"]);
        let examples = page.lines().skip_while(|line| *line != "Examples:");
        let examples = examples.filter_map(|line| line.strip_prefix("  "));
        let own: Vec<_> = examples.filter(|line| line.contains("sixwalk ")).collect();
        assert!(!own.is_empty(), "{page}");
        for example in own {
            let words = example.split_once("sixwalk ").expect("just looked").1;
            // Remarks stand two spaces away; what the shell does with the output is not ours.
            let words = words.split("  ").next().expect("there is a first");
            let words = words.split(['|', '>', '&']).next().expect("there is a first");
            let words = words.split_whitespace().map(|word| word.trim_matches('\''));
            let parsed =
                Cli::command().try_get_matches_from(std::iter::once("sixwalk").chain(words));
            parsed.unwrap_or_else(|error| panic!("{example}: {error}"));
            for shipped in example.split_whitespace().filter(|word| word.starts_with("testbed/")) {
                assert!(Path::new(CRATE).join(shipped).exists(), "{example}");
            }
        }
    }
}

#[test]
fn nothing_at_all_shows_how_to_go_on() {
    let talk = refused(&[]);
    assert!(talk.contains("Usage: sixwalk <COMMAND>") && talk.contains("sixwalk doctor"), "{talk}");
}

#[test]
fn a_word_that_nobody_knows_is_answered_with_one_that_is_near() {
    for (arguments, expected) in [
        (&["wlak"][..], "a similar subcommand exists: 'walk'"),
        (&["walk", "--phase", "partial"], "a similar argument exists: '--phases'"),
        (
            &["walk", "--phases", "ipv4-only,dualstack"],
            "error: invalid value 'dualstack' for '--phases <PHASE>'\n  [possible values: ipv4-only, partial, \
             dual-stack, ipv6-only]\n\n  tip: a similar value exists: 'dual-stack'\n",
        ),
        (
            &["walk", "--phases", "partial,partial"],
            "error: `partial` stands twice in a row in --phases\n",
        ),
        (
            &["walk", "--only", "dns.aaaa-ded"],
            "error: there is no check `dns.aaaa-ded` (did you mean `dns.aaaa-dead`?); `sixwalk checks` lists them all\n",
        ),
        (
            &["checks", "xyzzy.none"],
            "error: there is no check `xyzzy.none`; `sixwalk checks` lists them all\n",
        ),
        (
            &["plan", "testbed/small.toml", "--node", "dessk"],
            "error: there is no node `dessk` (did you mean `desk`?); the nodes are desk, fw, names, web\n",
        ),
        (
            &["up", "--phase", "ipv5"],
            "[possible values: ipv4-only, partial, dual-stack, ipv6-only]",
        ),
        (&["man", "wlak"], "error: there is no subcommand `wlak`"),
        (
            &["walk", "none.toml"],
            "error: cannot read the testbed file none.toml: No such file or directory (os error 2)\n",
        ),
        (
            &["walk", "--gates", "tests/cli"],
            "error: the folder tests/cli holds no phase file (*.toml)\n",
        ),
        (
            &["report", "none"],
            "error: cannot read none/run.json: No such file or directory (os error 2); name a run directory that a walk has left\n",
        ),
        (
            &["status", "--runs", "none"],
            "error: no lab is up in none; start one with `sixwalk up`, or name its run directory with --lab\n",
        ),
        (
            &["down", "--lab", "none"],
            "error: no lab answers in none: No such file or directory (os error 2); `sixwalk up` starts one\n",
        ),
    ] {
        let talk = refused(arguments);
        assert!(talk.contains(expected), "{arguments:?}\n{talk}");
    }
}

#[test]
fn a_testbed_with_mistakes_is_refused_with_all_of_them_by_every_command() {
    let file = "tests/input/seven-mistakes.toml";
    let golden =
        std::fs::read_to_string(Path::new(CRATE).join("tests/input/seven-mistakes.stderr"))
            .expect("golden");
    let golden = golden.replace("seven-mistakes.toml", file);
    for command in ["walk", "plan", "up", "graph"] {
        let talk = refused(&[command, file]);
        assert_eq!(talk, golden, "{command}");
        assert!(talk.matches("--> tests/input/seven-mistakes.toml:").count() >= 7, "{talk}");
    }
}

#[test]
fn a_plan_shows_every_step_with_its_undo_and_touches_nothing() {
    if !support::inside_sandbox("words::a_plan_shows_every_step_with_its_undo_and_touches_nothing")
    {
        return;
    }
    furnish();
    let before = Machine::look();
    let output = User::Ordinary.program().args(["plan", "small.toml"]).output().expect("it runs");
    before.demand_again();
    let (data, talk) = said(&output);
    assert_eq!((output.status.code(), talk.as_str()), (Some(0), ""));
    for heading in ["IPv4-only: ", "Partial: ", "Dual-stack: ", "IPv6-only: "] {
        assert_eq!(
            data.matches(&format!("\n{heading}")).count() + usize::from(data.starts_with(heading)),
            1
        );
    }
    let steps: usize = data
        .lines()
        .filter_map(|line| {
            line.strip_suffix(" steps")?.split(' ').next_back()?.parse::<usize>().ok()
        })
        .sum();
    assert!(steps > 50);
    assert_eq!(data.matches("  undo: ").count(), steps, "one undo for each step");
    let json =
        User::Ordinary.program().args(["plan", "small.toml", "--json"]).output().expect("it runs");
    let plan: serde_json::Value = serde_json::from_slice(&json.stdout).expect("JSON");
    let waves = plan
        .as_array()
        .expect("phases")
        .iter()
        .flat_map(|phase| phase["waves"].as_array().expect("waves"));
    assert_eq!(
        waves.map(|wave| wave["steps"].as_array().expect("steps").len()).sum::<usize>(),
        steps
    );
    before.demand_again();
}

#[test]
fn the_catalogue_is_what_is_asked() {
    let list = printed(&["checks"]);
    for check in CHECKS {
        let text = check.text();
        assert!(list.contains(&format!("  {} ", text.id)), "{}", text.id);
        let full = printed(&["checks", text.id]);
        assert!(full.starts_with(text.id) && full.contains(text.question), "{full}");
        for case in text.cases {
            assert!(full.contains(case.remedy), "{full}");
        }
    }
    let json: serde_json::Value =
        serde_json::from_str(&printed(&["checks", "--json"])).expect("JSON");
    assert_eq!(json.as_array().map(Vec::len), Some(CHECKS.len()));
}

#[test]
fn figures_completions_and_manual_pages_are_made() {
    let svg = printed(&["graph", "testbed/small.toml"]);
    assert!(svg.starts_with("<svg") && svg.trim_end().ends_with("</svg>"), "{svg}");
    assert_ne!(svg, printed(&["graph", "testbed/small.toml", "--phase", "ipv6-only"]));
    let folder = tempfile::tempdir().expect("a folder");
    let file = folder.path().join("figure.svg");
    printed(&["graph", "testbed/small.toml", "--output", file.to_str().expect("text")]);
    assert_eq!(std::fs::read_to_string(file).expect("a figure"), svg);
    let talk = refused(&["graph", "testbed/small.toml", "--output", "/none/x.svg"]);
    assert_eq!(
        talk,
        "error: cannot write /none/x.svg: No such file or directory (os error 2); name a file in a folder that \
         exists and that you may write to\n"
    );
    for shell in ["bash", "zsh", "fish"] {
        let script = printed(&["completions", shell]);
        for command in subcommands() {
            assert!(script.contains(&command), "{shell}: {command}");
        }
    }
    assert!(printed(&["man"]).contains(".TH sixwalk 1"));
    for command in subcommands() {
        let page = printed(&["man", &command]);
        assert!(page.contains(&format!(".TH sixwalk-{command} 1")), "{page}");
        assert!(page.contains("Examples:"), "{page}");
    }
}

#[test]
fn the_schema_of_every_input_accepts_what_is_shipped() {
    let folders = [("testbed", "testbed"), ("phase", "phases"), ("faults", "testbed/faults")];
    let of_faults: serde_json::Value =
        serde_json::from_str(&printed(&["schema", "faults"])).expect("JSON");
    for (kind, folder) in folders {
        let schema: serde_json::Value =
            serde_json::from_str(&printed(&["schema", kind])).expect("JSON");
        let files = std::fs::read_dir(Path::new(CRATE).join(folder)).expect("a folder").flatten();
        let files = files.filter(|entry| entry.file_name().to_string_lossy().ends_with(".toml"));
        for file in files {
            let text = std::fs::read_to_string(file.path()).expect("text");
            let value: serde_json::Value = toml::from_str(&text).expect("TOML");
            // A fault file that names its testbed stands among the testbeds.
            let is_as_found = kind == "testbed" && value.get("testbed").is_some();
            let schema = if is_as_found { &of_faults } else { &schema };
            let wrong = crate::schema::mistakes(schema, &value);
            assert_eq!(wrong, Vec::<String>::new(), "{}", file.path().display());
        }
    }
    let schema: serde_json::Value =
        serde_json::from_str(&printed(&["schema", "testbed"])).expect("JSON");
    let wrong =
        crate::schema::mistakes(&schema, &serde_json::json!({"titel": "a key that nobody knows"}));
    assert!(!wrong.is_empty(), "a schema that refuses nothing is none");
}

#[test]
fn doctor_says_what_the_machine_can_do_and_touches_nothing() {
    if !support::inside_sandbox("words::doctor_says_what_the_machine_can_do_and_touches_nothing") {
        return;
    }
    furnish();
    let before = Machine::look();
    for user in User::ALL {
        let output = user.program().arg("doctor").output().expect("it runs");
        let (page, talk) = said(&output);
        assert_eq!((output.status.code(), talk.as_str()), (Some(0), ""), "{page}");
        assert!(page.ends_with("\nThe default walk can run here.\n"), "{page}");
        let output = user.program().args(["doctor", "--json"]).output().expect("it runs");
        let abilities: serde_json::Value = serde_json::from_slice(&output.stdout).expect("JSON");
        let abilities = abilities.as_array().expect("a list");
        assert!(abilities.len() > 20);
        for ability in abilities {
            assert!(ability["can"].is_boolean() && ability["needed"].is_boolean());
            assert!(!ability["what"].as_str().expect("what").is_empty());
        }
    }
    before.demand_again();
}
