//! The shape of the program, held by a test: a module imports only from modules above it in `src/lib.rs`, and the pure
//! half neither waits, nor reads files, nor looks at a clock.

use std::{
    collections::BTreeMap,
    fs,
    path::{Path, PathBuf},
};

/// The last pure module; everything below it may do I/O.
const LAST_PURE: &str = "report";

/// What the pure half must not name.
const IMPURE: [&str; 12] = [
    "tokio::",
    "async fn",
    ".await",
    "std::fs",
    "fs::read",
    "std::process",
    "std::thread",
    "std::env",
    "SystemTime",
    "Instant::now",
    "nix::",
    "socket2::",
];

/// The modules in the order of `src/lib.rs`.
fn modules() -> Vec<String> {
    let lib = fs::read_to_string("src/lib.rs").unwrap();
    let names = lib.lines().filter_map(|line| line.strip_prefix("pub mod ")?.strip_suffix(';'));
    names.map(str::to_owned).collect()
}

fn sources(folder: &Path, found: &mut Vec<PathBuf>) {
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            sources(&path, found);
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            found.push(path);
        }
    }
}

/// Each source file below a module, with its code: comments and what is compiled for unit tests only are left out.
fn code() -> Vec<(String, PathBuf, String)> {
    let mut paths = Vec::new();
    sources(Path::new("src"), &mut paths);
    let module = |path: &Path| {
        let first = path.strip_prefix("src").unwrap().components().next().unwrap();
        first.as_os_str().to_string_lossy().trim_end_matches(".rs").to_owned()
    };
    let read = |path: PathBuf| {
        let text = fs::read_to_string(&path).unwrap();
        let product = without_tests(&text);
        let lines = product.lines().filter(|line| !line.trim_start().starts_with("//"));
        (module(&path), path, lines.collect::<Vec<_>>().join("\n"))
    };
    paths.into_iter().map(read).collect()
}

/// A text without the items that are compiled for unit tests only: each ends where an item of its depth does.
fn without_tests(text: &str) -> String {
    let mut product = String::new();
    let mut lines = text.lines();
    while let Some(line) = lines.next() {
        if line.trim() != "#[cfg(test)]" {
            product.push_str(line);
            product.push('\n');
            continue;
        }
        let indent = &line[..line.len() - line.trim_start().len()];
        let ends = |line: &&str| {
            line.strip_prefix(indent).is_some_and(|rest| {
                !rest.starts_with([' ', '#']) && (rest.ends_with(';') || rest == "}")
            })
        };
        lines.find(ends);
    }
    product
}

/// The top modules that a piece of code names: `crate::x`, `crate::{x, y::…}`, and the same over several lines.
fn named(code: &str) -> Vec<String> {
    let mut found = Vec::new();
    for (at, _) in code.match_indices("crate::") {
        let rest = &code[at + "crate::".len()..];
        if let Some(group) = rest.strip_prefix('{') {
            found.extend(heads(group));
        } else {
            found.push(word(rest));
        }
    }
    found
}

/// The first words of the members of a `{…}` group at its own depth.
fn heads(group: &str) -> Vec<String> {
    let mut heads = Vec::new();
    let (mut depth, mut expect) = (0, true);
    for (at, letter) in group.char_indices() {
        match letter {
            '{' => depth += 1,
            '}' if depth == 0 => break,
            '}' => depth -= 1,
            ',' if depth == 0 => expect = true,
            letter if expect && (letter.is_alphanumeric() || letter == '_') => {
                heads.push(word(&group[at..]));
                expect = false;
            }
            _ => {}
        }
    }
    heads
}

fn word(text: &str) -> String {
    text.chars().take_while(|c| c.is_alphanumeric() || *c == '_').collect()
}

#[test]
fn imports_point_up() {
    let modules = modules();
    let rank: BTreeMap<_, _> =
        modules.iter().enumerate().map(|(at, name)| (name.as_str(), at)).collect();
    let mut wrong = Vec::new();
    for (module, path, code) in code() {
        let Some(own) = rank.get(module.as_str()) else { continue };
        for name in named(&code) {
            if rank.get(name.as_str()).is_some_and(|theirs| theirs > own) {
                wrong.push(format!(
                    "{} imports from `{name}`, which stands below `{module}`",
                    path.display()
                ));
            }
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn the_pure_half_does_no_io() {
    let modules = modules();
    let last = modules.iter().position(|name| name == LAST_PURE).expect("the last pure module");
    let mut wrong = Vec::new();
    for (module, path, code) in code() {
        if !modules[..=last].contains(&module) {
            continue;
        }
        for word in IMPURE.iter().filter(|word| code.contains(**word)) {
            wrong.push(format!("{} names `{word}`", path.display()));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

/// A file that no `mod` line names is compiled by nobody.
#[test]
fn every_file_is_registered() {
    let mut paths = Vec::new();
    sources(Path::new("src"), &mut paths);
    for path in paths.iter().filter(|p| !p.ends_with("main.rs") && !p.ends_with("lib.rs")) {
        let is_mod = path.ends_with("mod.rs");
        let place = if is_mod { path.parent().unwrap() } else { path.as_path() };
        let name = place.file_stem().unwrap().to_string_lossy();
        let folder = place.parent().unwrap();
        let parent = [folder.join("mod.rs"), folder.join("lib.rs"), folder.with_extension("rs")];
        let parent = parent.iter().find(|file| file.is_file()).expect("a parent module");
        let text = fs::read_to_string(parent).unwrap();
        let registered = [format!("mod {name};"), format!("mod r#{name};")]
            .iter()
            .any(|line| text.contains(line));
        assert!(registered, "{} is not registered in {}", path.display(), parent.display());
    }
}

/// The rule itself can see a breach.
#[test]
fn the_reader_of_imports_sees_what_it_must() {
    assert_eq!(named("use crate::lab::Driver;"), ["lab"]);
    assert_eq!(named("use crate::{\n    model::{a::B, c},\n    walk,\n};"), ["model", "walk"]);
    assert_eq!(named("let x = crate::record::write_whole(p);"), ["record"]);
    let text = "a;\n#[cfg(test)]\nmod fixture;\nb;\n#[cfg(test)]\nmod tests {\n    c;\n}\nd;\n";
    assert_eq!(without_tests(text), "a;\nb;\nd;\n");
}

#[test]
fn no_file_is_named_after_one_family() {
    let mut paths = Vec::new();
    sources(Path::new("src"), &mut paths);
    // A check may be named after what the catalogue calls it; code that exists for one family only may not.
    for path in paths.iter().filter(|path| !path.starts_with("src/check")) {
        let name = path.file_stem().unwrap().to_string_lossy();
        let twin = ["ipv4", "ipv6", "v4", "v6"]
            .iter()
            .any(|word| name.split('_').any(|part| part == *word));
        assert!(!twin, "{} is named after one family", path.display());
    }
}
