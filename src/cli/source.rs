//! What a command works on: a testbed, phases, checks, faults, gates. Read from files, or from what is built in.

use std::{
    collections::BTreeMap,
    fs,
    io::{IsTerminal, Write},
    path::{Path, PathBuf},
    sync::Arc,
};

use clap::builder::{PossibleValuesParser, TypedValueParser};

use super::{Failure, engines::EngineArgs};
use crate::{
    check::CHECKS,
    input::{self, Diagnostics},
    model::{fault::Fault, gate::Gate, phase::Phase, testbed::Testbed},
    record,
    report::run::Input,
};

/// The reference testbed, for when no file is named.
const REFERENCE: (&str, &str) = ("testbed/fokus.toml", include_str!("../../testbed/fokus.toml"));

/// The gates of the phases, for when no folder is named.
const GATES: [(&str, &str); 4] = [
    ("phases/1-ipv4-only.toml", include_str!("../../phases/1-ipv4-only.toml")),
    ("phases/2-partial.toml", include_str!("../../phases/2-partial.toml")),
    ("phases/3-dual-stack.toml", include_str!("../../phases/3-dual-stack.toml")),
    ("phases/4-ipv6-only.toml", include_str!("../../phases/4-ipv6-only.toml")),
];

/// Which testbed.
#[derive(Debug, clap::Args)]
pub(super) struct TestbedArgs {
    /// The testbed file, or a fault file that names its testbed [default: the reference testbed that is built in].
    #[arg(value_name = "TESTBED")]
    path: Option<PathBuf>,
}

/// A file that was read, byte by byte.
#[derive(Clone, Debug)]
pub(super) struct Source {
    /// What it was read as.
    pub(super) role: &'static str,
    /// Its name as given.
    pub(super) file: String,
    /// Its text.
    pub(super) text: String,
}

impl Source {
    fn read(role: &'static str, path: &Path) -> Result<Self, Failure> {
        let file = path.display().to_string();
        let cannot =
            |why: String| Failure::Sentence(format!("cannot read the {role} file {file}: {why}"));
        let bytes = fs::read(path).map_err(|error| cannot(error.to_string()))?;
        let text = String::from_utf8(bytes).map_err(|error| {
            cannot(format!("byte {} is not UTF-8 text", error.utf8_error().valid_up_to()))
        })?;
        Ok(Self { role, file, text })
    }

    fn built_in(role: &'static str, (file, text): (&str, &str)) -> Self {
        Self { role, file: file.to_owned(), text: text.to_owned() }
    }

    /// Its line in `run.json`.
    pub(super) fn as_input(&self) -> Input {
        let sha256 = record::sha256(self.text.as_bytes());
        Input { role: self.role.to_owned(), file: self.file.clone(), sha256 }
    }

    /// Its name in the run directory, as the `number`th of the inputs: two files may have the same last part.
    pub(super) fn kept_name(&self, number: usize) -> String {
        let name =
            Path::new(&self.file).file_name().map(|name| name.to_string_lossy().into_owned());
        format!("{number:02}-{}-{}", self.role, name.unwrap_or_default())
    }
}

impl TestbedArgs {
    /// Reads the testbed; all its mistakes are in the failure.
    pub(super) fn load(&self) -> Result<Loaded, Failure> {
        let Some(path) = &self.path else {
            return Loaded::bare(Source::built_in("testbed", REFERENCE));
        };
        let source = Source::read("testbed", path)?;
        match input::AsFound::read(&source.text) {
            Some(found) => Loaded::as_found(path, source, found),
            None => Loaded::bare(source),
        }
    }
}

/// A testbed with what it was read from, and with the faults that it was found with.
pub(super) struct Loaded {
    /// The files.
    pub(super) sources: Vec<Source>,
    /// The testbed.
    pub(super) testbed: Arc<Testbed>,
    /// The faults of a testbed as found; none otherwise.
    pub(super) faults: Vec<Fault>,
}

impl Loaded {
    fn bare(source: Source) -> Result<Self, Failure> {
        let testbed = Arc::new(examine(&source)?);
        Ok(Self { sources: vec![source], testbed, faults: Vec::new() })
    }

    /// A fault file that names its testbed stands for that testbed with these faults.
    fn as_found(path: &Path, faults: Source, found: input::AsFound) -> Result<Self, Failure> {
        let beside = path.with_file_name(&found.testbed);
        let source = Source::read("testbed", &beside)?;
        if input::AsFound::read(&source.text).is_some() {
            return Err(Failure::Sentence(format!(
                "{} names {} as its testbed, which is a fault file itself; name the testbed",
                faults.file, source.file
            )));
        }
        let mut testbed = examine(&source)?;
        let planted = input::faults(&faults.file, &faults.text, &testbed);
        let planted = planted.map_err(|errors| shown(&errors))?;
        testbed.title = found.title.unwrap_or(testbed.title);
        testbed.source = found.source.or(testbed.source);
        let faults_source = Source { role: "faults", ..faults };
        Ok(Self {
            sources: vec![source, faults_source],
            testbed: Arc::new(testbed),
            faults: planted,
        })
    }
}

fn examine(source: &Source) -> Result<Testbed, Failure> {
    let (testbed, found) = input::examine(&source.file, &source.text);
    let testbed = testbed.ok_or_else(|| shown(&found))?;
    if !found.is_empty() {
        // Warnings; a stderr that nobody reads must not stop anything.
        let _ = write!(std::io::stderr(), "{}", drawn(&found));
    }
    Ok(testbed)
}

/// The command line that walks the same testbed with the same engines, faults and gates, for the shell.
pub(super) fn command(
    testbed: &TestbedArgs,
    engines: &EngineArgs,
    faults: &[PathBuf],
    gates: Option<&Path>,
) -> String {
    let testbed = testbed.path.iter().map(|path| format!(" {}", quoted(path)));
    let faults = faults.iter().map(|path| format!(" --fault {}", quoted(path)));
    let gates = gates.iter().map(|path| format!(" --gates {}", quoted(path)));
    let engines = [engines.command()].into_iter();
    "sixwalk walk".to_owned()
        + &testbed.chain(engines).chain(faults).chain(gates).collect::<String>()
}

/// The command line that tests a check again in phases. It begins with the one that walks.
pub(super) fn retest(walk: &str, check: &str, phases: &[Phase]) -> String {
    let phases: Vec<_> = phases.iter().map(|phase| phase.word()).collect();
    format!("{walk} --phases {} --only {check}", phases.join(","))
}

/// A path as one word for the shell, never to be taken for an option.
fn quoted(path: &Path) -> String {
    let text = path.display().to_string();
    let text = if text.starts_with('-') { format!("./{text}") } else { text };
    let plain = |c: char| c.is_ascii_alphanumeric() || "/._-+=:,@%".contains(c);
    if text.chars().all(plain) { text } else { format!("'{}'", text.replace('\'', "'\\''")) }
}

/// Diagnostics as people read them: with colour on a terminal unless `NO_COLOR` is set.
fn drawn(found: &Diagnostics) -> String {
    let colour = std::io::stderr().is_terminal() && std::env::var_os("NO_COLOR").is_none();
    if colour { found.styled() } else { found.to_string() }
}

fn shown(errors: &Diagnostics) -> Failure {
    Failure::Diagnostics(drawn(errors))
}

/// Reads fault files, beside the faults that the testbed was found with.
pub(super) fn faults(
    paths: &[PathBuf],
    loaded: Loaded,
) -> Result<(Vec<Source>, Vec<Fault>), Failure> {
    let Loaded { mut sources, testbed, mut faults } = loaded;
    for path in paths {
        let source = Source::read("faults", path)?;
        let more =
            input::faults(&source.file, &source.text, &testbed).map_err(|errors| shown(&errors))?;
        for fault in more {
            if faults.iter().any(|known| known.name == fault.name) {
                return Err(Failure::Sentence(format!(
                    "the fault `{}` stands in two of the files; give one of them another name",
                    fault.name
                )));
            }
            faults.push(fault);
        }
        sources.push(source);
    }
    Ok((sources, faults))
}

/// What is said of faults that no phase of a walk would meet, a line for each.
pub(super) fn unmet(faults: &[Fault], phases: &[Phase]) -> Vec<String> {
    let words =
        |phases: &[Phase]| phases.iter().map(|phase| phase.word()).collect::<Vec<_>>().join(", ");
    let unmet = faults.iter().filter(|f| !f.phases.iter().any(|phase| phases.contains(phase)));
    let told = unmet.map(|fault| {
        format!(
            "warning: the fault `{}` is not planted: it is of {}, and the phases of this walk are {}\n",
            fault.name,
            words(&fault.phases),
            words(phases)
        )
    });
    told.collect()
}

/// Reads the gates: from a folder of phase files, or the built-in ones.
pub(super) fn gates(
    folder: Option<&Path>,
) -> Result<(Vec<Source>, BTreeMap<Phase, Gate>), Failure> {
    let sources: Vec<_> = match folder {
        None => GATES.into_iter().map(|gate| Source::built_in("phase", gate)).collect(),
        Some(folder) => phase_files(folder)?,
    };
    let ids: Vec<_> = CHECKS.iter().map(|check| check.text().id).collect();
    let gates = sources.iter().map(|source| {
        let file =
            input::phase_file(&source.file, &source.text, &ids).map_err(|errors| shown(&errors))?;
        Ok((file.phase, file.gate))
    });
    let gates = gates.collect::<Result<_, Failure>>()?;
    Ok((sources, gates))
}

fn phase_files(folder: &Path) -> Result<Vec<Source>, Failure> {
    let cannot =
        |error| Failure::Sentence(format!("cannot read the folder {}: {error}", folder.display()));
    let entries = fs::read_dir(folder).map_err(cannot)?;
    let mut paths: Vec<_> = entries.filter_map(|entry| Some(entry.ok()?.path())).collect();
    paths.retain(|path| path.extension().is_some_and(|extension| extension == "toml"));
    paths.sort();
    if paths.is_empty() {
        return Err(Failure::Sentence(format!(
            "the folder {} holds no phase file (*.toml)",
            folder.display()
        )));
    }
    paths.iter().map(|path| Source::read("phase", path)).collect()
}

/// The phases of a walk; given twice in a row, a phase would have nothing to change.
pub(super) fn phases(named: &[Phase]) -> Result<Vec<Phase>, Failure> {
    if named.is_empty() {
        return Ok(Phase::ALL.to_vec());
    }
    match named.windows(2).find(|pair| pair[0] == pair[1]) {
        Some(pair) => Err(Failure::Sentence(format!(
            "`{}` stands twice in a row in --phases",
            pair[0].word()
        ))),
        None => Ok(named.to_vec()),
    }
}

/// Reads a phase from a word of the command line.
pub(super) fn phase() -> impl TypedValueParser<Value = Phase> {
    PossibleValuesParser::new(Phase::ALL.map(Phase::word))
        .map(|word| Phase::from_word(&word).expect("it is one of the possible words"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_fault_of_another_phase_is_told_on_a_line_of_its_own() {
        let testbed = input::testbed(REFERENCE.0, REFERENCE.1).unwrap();
        let text = "[fault.early]\nphase = [\"ipv4-only\", \"partial\"]\nstop = { node = \"portal\", service = \"http\" }\n\
                    [fault.late]\nphase = \"ipv6-only\"\nstop = { node = \"portal\", service = \"http\" }\n";
        let faults = input::faults("t.toml", text, &testbed).unwrap();
        assert_eq!(
            unmet(&faults, &[Phase::DualStack, Phase::Ipv6Only]).concat(),
            "warning: the fault `early` is not planted: it is of ipv4-only, partial, and the phases of this walk are \
             dual-stack, ipv6-only\n"
        );
        assert_eq!(unmet(&faults, &Phase::ALL).concat(), "");
    }

    #[test]
    fn a_path_is_one_word_for_the_shell() {
        for (path, word) in [
            ("testbed/fokus.toml", "testbed/fokus.toml"),
            ("my testbed.toml", "'my testbed.toml'"),
            ("it's.toml", "'it'\\''s.toml'"),
            ("-x.toml", "./-x.toml"),
            ("~/x", "'~/x'"),
            ("$(id)", "'$(id)'"),
        ] {
            assert_eq!(quoted(Path::new(path)), word);
        }
    }
}
