//! What the documents say is there: links, files, commands, options, modules.

use std::{
    collections::BTreeSet,
    fs,
    path::{Path, PathBuf},
    process::Command,
};

/// Every document of the repository, with its text.
fn documents() -> Vec<(PathBuf, String)> {
    let mut paths = vec![PathBuf::from("README.md"), PathBuf::from("CHANGELOG.md")];
    for folder in ["docs", "docs/decisions"] {
        let entries = fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path());
        paths.extend(entries.filter(|path| path.extension().is_some_and(|e| e == "md")));
    }
    let read = |path: PathBuf| {
        let text = fs::read_to_string(&path).unwrap();
        (path, text)
    };
    paths.into_iter().map(read).collect()
}

/// What stands in backticks on a line, and the lines of blocks of code.
fn code(text: &str) -> Vec<String> {
    let mut found = Vec::new();
    let mut in_block = false;
    for line in text.lines() {
        if line.starts_with("```") {
            in_block = !in_block;
        } else if in_block {
            found.push(line.to_owned());
        } else {
            let cell = line.replace("\\|", "|");
            found.extend(cell.split('`').skip(1).step_by(2).map(str::to_owned));
        }
    }
    found
}

fn told(arguments: &[&str]) -> String {
    let output = Command::new(env!("CARGO_BIN_EXE_sixwalk")).args(arguments).output().unwrap();
    assert!(output.status.success(), "sixwalk {}", arguments.join(" "));
    String::from_utf8(output.stdout).unwrap()
}

/// The subcommands that the program tells of itself.
fn commands() -> BTreeSet<String> {
    let help = told(&["--help"]);
    let (_, list) = help.split_once("Commands:\n").expect("a list of commands");
    let lines = list.lines().take_while(|line| !line.is_empty());
    // A name stands two blanks in; the lines of its description stand further in.
    let names = lines.filter_map(|line| line.strip_prefix("  ")?.split(' ').next());
    names.filter(|name| !name.is_empty()).map(str::to_owned).collect()
}

#[test]
fn every_relative_link_leads_somewhere() {
    let mut wrong = Vec::new();
    for (path, text) in documents() {
        for target in text.split("](").skip(1).filter_map(|rest| rest.split(')').next()) {
            let file = target.split('#').next().unwrap_or_default();
            let elsewhere = target.contains("://") || target.starts_with("mailto:");
            if !elsewhere && !file.is_empty() && !path.parent().unwrap().join(file).exists() {
                wrong.push(format!("{}: {target}", path.display()));
            }
        }
    }
    assert!(wrong.is_empty(), "these links lead nowhere:\n{}", wrong.join("\n"));
}

#[test]
fn every_file_that_is_named_exists() {
    let roots = ["src/", "tests/", "testbed/", "phases/", "docs/", "fuzz/", "benches/", "reports/"];
    let mut wrong = Vec::new();
    for (path, text) in documents() {
        for word in code(&text).iter().flat_map(|code| code.split_whitespace()) {
            let is_pattern = word.contains(['*', '…', '<', '{']);
            if roots.iter().any(|root| word.starts_with(root))
                && !is_pattern
                && !Path::new(word.trim_end_matches(['.', ',', ':'])).exists()
            {
                wrong.push(format!("{}: {word}", path.display()));
            }
        }
    }
    assert!(wrong.is_empty(), "these files are named and not there:\n{}", wrong.join("\n"));
}

#[test]
fn every_command_of_an_example_is_one() {
    let known = commands();
    let mut wrong = Vec::new();
    let mut seen = 0;
    for (path, text) in documents() {
        for example in code(&text) {
            let Some(rest) = example.strip_prefix("sixwalk ") else { continue };
            let command = rest.split_whitespace().next().unwrap_or_default();
            seen += 1;
            if !known.contains(command) && !command.starts_with('-') {
                wrong.push(format!("{}: {example}", path.display()));
            }
        }
    }
    assert!(seen > 5, "only {seen} examples were found");
    assert!(wrong.is_empty(), "these commands are not there:\n{}", wrong.join("\n"));
}

#[test]
fn the_table_of_commands_is_complete_and_its_options_exist() {
    let readme = fs::read_to_string("README.md").unwrap();
    let (_, table) = readme.split_once("## Commands").unwrap();
    let (table, _) = table.split_once("\n## ").unwrap();
    let mut named = BTreeSet::new();
    for row in table.lines().filter(|line| line.starts_with("| `")) {
        let row = row.replace("\\|", "/");
        let [commands, what] = row.trim_matches('|').split('|').collect::<Vec<_>>()[..] else {
            panic!("not two columns: {row}");
        };
        let of_row: Vec<_> = code(commands)
            .iter()
            .filter_map(|code| Some(code.split_whitespace().next()?.to_owned()))
            .collect();
        for option in code(what).iter().filter(|code| code.starts_with("--")) {
            let option = option.split_whitespace().next().unwrap();
            assert!(
                told(&[&of_row[0], "--help"]).contains(option),
                "{} has no {option}",
                of_row[0]
            );
        }
        named.extend(of_row);
    }
    let mut known = commands();
    known.remove("help");
    assert_eq!(named, known);
}

#[test]
fn the_table_of_modules_is_in_the_order_of_the_program() {
    let lib = fs::read_to_string("src/lib.rs").unwrap();
    let modules: Vec<_> =
        lib.lines().filter_map(|line| line.strip_prefix("pub mod ")?.strip_suffix(';')).collect();
    let text = fs::read_to_string("docs/architecture.md").unwrap();
    let rows = text.lines().filter_map(|line| line.strip_prefix("| `")?.split('`').next());
    assert_eq!(rows.collect::<Vec<_>>(), modules);
}

/// Nothing is skipped: a test that does not run proves nothing.
#[test]
fn no_test_is_ignored() {
    let mut folders = vec![PathBuf::from("src"), PathBuf::from("tests")];
    let mark = format!("#[{}", "ignore");
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                folders.push(path);
            } else if path.extension().is_some_and(|extension| extension == "rs") {
                let text = fs::read_to_string(&path).unwrap();
                assert!(!text.contains(&mark), "{} ignores a test", path.display());
            }
        }
    }
}
