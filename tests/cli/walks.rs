//! What a walk leaves and prints.

use std::{
    fs,
    os::unix::fs::PermissionsExt,
    path::{Path, PathBuf},
    process::{Command, Output},
};

use serde_json::Value;

use crate::{
    machine::{HOME, furnish, shell},
    program::{User, errors, walk},
    support,
};

const FAULT: &str = r#"
[fault.web-forgets-ipv6]
title  = "The web server was restarted with a configuration that binds to 0.0.0.0"
phase  = "dual-stack"
listen = { node = "web", service = "https", only = "ipv4" }
"#;

#[test]
fn a_walk_leaves_a_run_that_can_be_checked() {
    if !support::inside_sandbox("walks::a_walk_leaves_a_run_that_can_be_checked") {
        return;
    }
    furnish();
    let mut command = User::Ordinary.program();
    walk(&mut command, "ipv4-only,dual-stack");
    let output = command.output().expect("it runs");
    let talk = errors(&output);
    assert_eq!(output.status.code(), Some(0), "{talk}");
    assert!(!talk.contains('\x1b') && !talk.contains('\r'), "plain lines only: {talk:?}");
    assert!(talk.lines().count() < 20, "not too many of them: {talk}");
    let summary = String::from_utf8(output.stdout).expect("text");
    assert!(summary.starts_with("IPv4-only    gate open\nDual-stack   gate open\n"), "{summary}");
    let run = Path::new(HOME).join(summary.lines().last().expect("a last line"));

    // Whoever may read files may read these.
    for name in [
        "run.json",
        "evidence.jsonl",
        "journal.jsonl",
        "report.md",
        "report.html",
        "SHA256SUMS",
        "inputs/01-testbed-small.toml",
    ] {
        let mode = fs::metadata(run.join(name)).expect(name).permissions().mode();
        assert_eq!(mode & 0o777, 0o644, "{name}");
    }
    assert!(
        fs::read_dir(&run)
            .expect("a folder")
            .flatten()
            .all(|entry| !entry.file_name().to_string_lossy().ends_with(".new"))
    );
    shell(&format!("cd {} && sha256sum --check --strict --quiet SHA256SUMS", run.display()));

    // The run is as its schema says.
    let json = |path: PathBuf| -> Value {
        serde_json::from_str(&fs::read_to_string(path).expect("text")).expect("JSON")
    };
    let wrong =
        crate::schema::mistakes(&json(run.join("run.schema.json")), &json(run.join("run.json")));
    assert_eq!(wrong, Vec::<String>::new());
    let schema = Command::new(crate::machine::PROGRAM)
        .args(["schema", "run"])
        .output()
        .expect("it runs")
        .stdout;
    assert_eq!(
        serde_json::from_slice::<Value>(&schema).expect("JSON"),
        json(run.join("run.schema.json"))
    );

    // Written again, the report has the same bytes; so have the sums.
    let before = snapshot(&run);
    let report = |arguments: &[&str]| {
        Command::new(crate::machine::PROGRAM)
            .arg("report")
            .arg(&run)
            .args(arguments)
            .output()
            .expect("it runs")
    };
    assert!(report(&[]).status.success());
    assert_eq!(snapshot(&run), before);
    fs::create_dir("/tmp/again").expect("a folder");
    let told = String::from_utf8(report(&["--output", "/tmp/again"]).stdout).expect("text");
    assert!(
        told.contains("/tmp/again/report.md\n") && told.contains("/tmp/again/report.html\n"),
        "{told}"
    );
    for name in ["report.md", "report.html"] {
        assert_eq!(
            fs::read(Path::new("/tmp/again").join(name)).expect(name),
            before[Path::new(name)],
            "{name}"
        );
    }
    fs::remove_dir_all("/tmp/again").expect("our own");
}

fn snapshot(run: &Path) -> std::collections::BTreeMap<PathBuf, Vec<u8>> {
    let files = shell(&format!("cd {} && find . -type f -printf '%P\\n'", run.display()));
    files
        .lines()
        .map(|name| (PathBuf::from(name), fs::read(run.join(name)).expect("a file")))
        .collect()
}

#[test]
fn a_finding_tells_the_command_that_tests_it_again() {
    if !support::inside_sandbox("walks::a_finding_tells_the_command_that_tests_it_again") {
        return;
    }
    furnish();
    let fault = Path::new(HOME).join("it's a fault.toml");
    fs::write(&fault, FAULT).expect("a fault file");
    let gates = Path::new(HOME).join("my gates");
    fs::create_dir(&gates).expect("a folder");
    fs::write(
        gates.join("dual.toml"),
        "title = \"Both\"\nphase = \"dual-stack\"\n[gate]\nat-most = \"none\"\n",
    )
    .expect("a phase file");
    let mut command = User::Ordinary.program();
    command.args([
        "walk",
        "small.toml",
        "--phases",
        "ipv4-only,dual-stack",
        "--only",
        "svc.listen-families",
        "--json",
    ]);
    let output =
        command.arg("--fault").arg(&fault).arg("--gates").arg(&gates).output().expect("it runs");
    let first = findings(&output);
    assert_eq!(first.len(), 1, "{first:?}");
    let retest = first[0]["retest"].as_str().expect("a command");
    let expected = "sixwalk walk small.toml --fault '/tmp/home/it'\\''s a fault.toml' --gates '/tmp/home/my gates' \
                    --phases dual-stack --only svc.listen-families";
    assert_eq!(retest, expected);
    let again = User::Ordinary
        .command("sh")
        .args(["-c", &format!("{retest} --json")])
        .output()
        .expect("a shell");
    let second = findings(&again);
    assert_eq!(second.len(), 1);
    for same in ["culprit", "check", "severity"] {
        assert_eq!(first[0][same], second[0][same], "{same}");
    }
}

/// The findings of a walk that printed JSON and nothing else, and whose gate they close.
fn findings(output: &Output) -> Vec<Value> {
    assert_eq!(output.status.code(), Some(1), "{}", errors(output));
    let summary: Value = serde_json::from_slice(&output.stdout).expect("JSON and nothing else");
    assert_eq!(summary["complete"], true);
    summary["findings"].as_array().expect("findings").clone()
}

#[test]
fn a_gate_that_asks_less_than_its_rule_is_closed_by_findings_but_never_opened() {
    if !support::inside_sandbox(
        "walks::a_gate_that_asks_less_than_its_rule_is_closed_by_findings_but_never_opened",
    ) {
        return;
    }
    furnish();
    let mut command = User::Ordinary.program();
    command.args(["walk", "small.toml", "--phases", "ipv4-only", "--only", "mgmt.reach-both"]);
    let output = command.output().expect("it runs");
    assert_eq!(output.status.code(), Some(2), "{}", errors(&output));
    let summary = String::from_utf8(output.stdout).expect("text");
    let said = "IPv4-only    gate not decidable: 3 required checks were not asked, because --only or --except left them out \
                (meta.settled, out.service-reach, svc.listen-families)\n";
    assert!(summary.starts_with(said), "{summary}");
    let run = Path::new(HOME).join(summary.lines().last().expect("a last line"));
    let report = fs::read_to_string(run.join("report.md")).expect("a report");
    assert!(report.contains("3 required checks were not asked"), "{report}");
}

#[test]
fn progress_is_one_line_on_a_terminal_and_plain_lines_under_ci_or_no_color() {
    if !support::inside_sandbox(
        "walks::progress_is_one_line_on_a_terminal_and_plain_lines_under_ci_or_no_color",
    ) {
        return;
    }
    furnish();
    let on_terminal = |set: &str| {
        let walk = format!(
            "{set} sixwalk walk small.toml --phases ipv4-only --only 'svc.*' --gates gates"
        );
        let mut command = User::Root.command("script");
        let output =
            command.args(["-qec", &walk, "/dev/null"]).output().expect("`script` of bsdutils");
        assert_eq!(output.status.code(), Some(0));
        String::from_utf8(output.stdout).expect("text")
    };
    let live = on_terminal("env");
    assert!(live.contains("\r\x1b[K") && live.contains("kernel state verified"), "{live:?}");
    for set in ["env CI=true", "env NO_COLOR=1"] {
        let plain = on_terminal(set);
        assert!(!plain.contains('\x1b') && plain.contains("kernel state verified"), "{plain:?}");
    }
}
