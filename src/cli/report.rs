use std::{
    fmt::Write as _,
    path::{Path, PathBuf},
};

use super::{Failure, Verdict};
use crate::{
    model::evidence::Evidence,
    record::{self, RecordError, StoredRun},
    report::{self, FORMATS, run::Run, text::Catalogue},
};

/// Write the report of a stored run again. The same run gives the same bytes.
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:
  sixwalk report runs/20261120T091000Z-0001
  sixwalk report RUN --output /tmp/again && diff RUN/report.md /tmp/again/report.md")]
pub(super) struct Args {
    /// The run directory.
    run: PathBuf,
    /// Write the report into this folder instead of the run directory.
    #[arg(short, long, value_name = "DIR")]
    output: Option<PathBuf>,
}

impl Args {
    pub(super) fn run(self) -> Result<Verdict, Failure> {
        let stored = StoredRun::load(&self.run)?;
        let folder = self.output.as_deref().unwrap_or(&self.run);
        let paths = write(folder, &stored.run, &stored.evidence)?;
        if self.output.is_none() {
            write_sums(folder)?;
        }
        let mut lines = String::new();
        for path in paths {
            let _ = writeln!(lines, "{}", path.display());
        }
        super::print(&lines)
    }
}

/// Writes the report in every format, and the figures that the Markdown refers to, and says where.
pub(super) fn write(
    folder: &Path,
    run: &Run,
    evidence: &[Evidence],
) -> Result<Vec<PathBuf>, RecordError> {
    let document = report::document(run, evidence, &Catalogue::of_this_program());
    for figure in document.figures() {
        let path = folder.join(&figure.file);
        let below = path.parent().unwrap_or(folder);
        std::fs::create_dir_all(below)
            .map_err(|source| RecordError::Write { path: below.to_owned(), source })?;
        write_whole(&path, figure.svg.as_bytes())?;
    }
    let written = FORMATS.iter().map(|format| {
        let path = folder.join("report").with_extension(format.extension());
        write_whole(&path, format.render(&document).as_bytes())?;
        Ok(path)
    });
    written.collect()
}

/// Writes `SHA256SUMS` over every other file of a run directory, for `sha256sum --check`.
pub(super) fn write_sums(folder: &Path) -> Result<(), RecordError> {
    let mut lines = String::new();
    for name in files(folder, Path::new(""))? {
        let path = folder.join(&name);
        let content = std::fs::read(&path).map_err(|source| RecordError::Read { path, source })?;
        let _ = writeln!(lines, "{}  {}", record::sha256(&content), name.display());
    }
    write_whole(&folder.join("SHA256SUMS"), lines.as_bytes())
}

fn write_whole(path: &Path, content: &[u8]) -> Result<(), RecordError> {
    record::write_whole(path, content).map_err(|source| RecordError::write(path, source))
}

/// The regular files below a folder, sorted, by their path from it.
fn files(root: &Path, below: &Path) -> Result<Vec<PathBuf>, RecordError> {
    let folder = root.join(below);
    let failed = |source| RecordError::Read { path: folder.clone(), source };
    let mut names = Vec::new();
    for entry in std::fs::read_dir(&folder).map_err(failed)? {
        let entry = entry.map_err(failed)?;
        let name = below.join(entry.file_name());
        let kind = entry.file_type().map_err(failed)?;
        if kind.is_dir() {
            names.extend(files(root, &name)?);
        } else if kind.is_file() && name != Path::new("SHA256SUMS") {
            names.push(name);
        }
    }
    names.sort();
    Ok(names)
}
