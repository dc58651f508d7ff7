//! The run directory.

use std::{
    fs::{self, File, OpenOptions},
    io::{self, BufRead, BufReader, Write},
    path::{Path, PathBuf},
};

use super::{Clock, Journal};
use crate::{model::evidence::Evidence, report::run::Run};

/// Why a run could not be written or read.
#[derive(Debug, thiserror::Error)]
pub enum RecordError {
    /// A directory could not be made.
    #[error("cannot make the run directory {}: {source}; choose another place with --runs DIR", path.display())]
    Create {
        /// Where.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// A file could not be written.
    #[error("cannot write {}: {source}; what was written before is kept{}", path.display(), remedy(source))]
    Write {
        /// Which.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// A file could not be read.
    #[error("cannot read {}: {source}; name a run directory that a walk has left", path.display())]
    Read {
        /// Which.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// A file does not hold what it should.
    #[error("{}:{line} is not what this version writes: {what}", path.display())]
    Content {
        /// Which file.
        path: PathBuf,
        /// Which line, from 1.
        line: usize,
        /// What is wrong.
        what: String,
    },
}

fn remedy(error: &io::Error) -> &'static str {
    match error.kind() {
        io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded => {
            "; make room and walk again, or choose another place with --runs DIR"
        }
        io::ErrorKind::NotFound => "; has somebody removed the run directory?",
        _ => "",
    }
}

impl RecordError {
    /// A file of a run that could not be written.
    pub fn write(path: &Path, source: io::Error) -> Self {
        Self::Write { path: path.to_owned(), source }
    }
}

/// A run as it was stored.
#[derive(Debug)]
pub struct StoredRun {
    /// Its directory.
    pub path: PathBuf,
    /// `run.json`.
    pub run: Run,
    /// `evidence.jsonl`.
    pub evidence: Vec<Evidence>,
}

/// A run directory that is being written.
#[derive(Debug)]
pub struct RunDirectory {
    path: PathBuf,
    evidence: File,
    /// The journal of the run.
    pub journal: Journal,
}

impl RunDirectory {
    /// Makes a new directory under `parent`, named by the time and a mark that tells runs of one second apart.
    pub fn create(parent: &Path, clock: Clock) -> Result<Self, RecordError> {
        let path = unused(parent, &clock.stamp())?;
        let open = |name: &str| {
            let path = path.join(name);
            let file = OpenOptions::new().create_new(true).append(true).open(&path);
            file.map_err(|source| RecordError::write(&path, source))
        };
        let evidence = open("evidence.jsonl")?;
        let journal = Journal::new(path.join("journal.jsonl"), open("journal.jsonl")?, clock);
        Ok(Self { path, evidence, journal })
    }

    /// Where it is.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// A folder in it, made if it is not there.
    pub fn folder(&self, name: &str) -> Result<PathBuf, RecordError> {
        let folder = self.path.join(name);
        fs::create_dir_all(&folder).map_err(|source| RecordError::write(&folder, source))?;
        Ok(folder)
    }

    /// Keeps a byte copy of an input under `inputs/`.
    pub fn keep_input(&self, name: &str, text: &str) -> Result<(), RecordError> {
        self.folder("inputs")?;
        self.write(&format!("inputs/{name}"), text.as_bytes())
    }

    /// Appends evidence.
    pub fn append_evidence(&mut self, evidence: &[Evidence]) -> Result<(), RecordError> {
        let mut text = Vec::new();
        for piece in evidence {
            serde_json::to_writer(&mut text, piece).expect("evidence is plain data");
            text.push(b'\n');
        }
        let path = || self.path.join("evidence.jsonl");
        self.evidence.write_all(&text).map_err(|source| RecordError::write(&path(), source))
    }

    /// Writes a file whole or not at all: into a new file first, then in the place of the old one.
    pub fn write(&self, name: &str, content: &[u8]) -> Result<(), RecordError> {
        let path = self.path.join(name);
        write_whole(&path, content).map_err(|source| RecordError::write(&path, source))
    }

    /// Writes `run.json`.
    pub fn write_run(&self, run: &Run) -> Result<(), RecordError> {
        let mut text = serde_json::to_vec_pretty(run).expect("a run is plain data");
        text.push(b'\n');
        self.write("run.json", &text)
    }
}

/// Writes a file whole or not at all: what is new stands beside it until all of it is on disk.
pub fn write_whole(path: &Path, content: &[u8]) -> io::Result<()> {
    let mut name = path.file_name().unwrap_or_default().to_owned();
    name.push(format!(".{}.new", std::process::id()));
    let new = path.with_file_name(name);
    let written = File::create(&new).and_then(|mut file| {
        file.write_all(content)?;
        file.sync_data()?;
        fs::rename(&new, path)
    });
    written.inspect_err(|_| {
        let _ = fs::remove_file(&new);
    })
}

fn unused(parent: &Path, stamp: &str) -> Result<PathBuf, RecordError> {
    let failed = |path: &Path, source| RecordError::Create { path: path.to_owned(), source };
    fs::create_dir_all(parent).map_err(|source| failed(parent, source))?;
    let mut attempt = u64::from(std::process::id());
    loop {
        let path = parent.join(format!("{stamp}-{:04x}", attempt & 0xffff));
        match fs::create_dir(&path) {
            Ok(()) => return Ok(path),
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => attempt += 1,
            Err(source) => return Err(failed(&path, source)),
        }
    }
}

impl StoredRun {
    /// Reads a run back.
    pub fn load(path: &Path) -> Result<Self, RecordError> {
        let read = |path: &Path, source| RecordError::Read { path: path.to_owned(), source };
        let file = path.join("run.json");
        let text = fs::read_to_string(&file).map_err(|source| read(&file, source))?;
        let run = serde_json::from_str(&text).map_err(|error| RecordError::Content {
            path: file,
            line: error.line(),
            what: error.to_string(),
        })?;
        let file = path.join("evidence.jsonl");
        let mut lines = BufReader::new(File::open(&file).map_err(|source| read(&file, source))?);
        let mut evidence = Vec::new();
        let mut line = Vec::new();
        while lines.read_until(b'\n', &mut line).map_err(|source| read(&file, source))? > 0 {
            if line.last() != Some(&b'\n') {
                // The run ended, by force or for want of room, while it wrote this line.
                break;
            }
            let piece = serde_json::from_slice(&line).map_err(|error| RecordError::Content {
                path: file.clone(),
                line: evidence.len() + 1,
                what: error.to_string(),
            })?;
            evidence.push(piece);
            line.clear();
        }
        Ok(Self { path: path.to_owned(), run, evidence })
    }
}
