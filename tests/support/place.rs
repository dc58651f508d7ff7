//! Walks of the program in places of their own, and how they are compared.

#![allow(dead_code)] // each test program uses a part of it

use std::{
    collections::{BTreeMap, BTreeSet},
    env, fs,
    os::unix::fs::PermissionsExt,
    path::{Path, PathBuf},
    process::{Command, Output, Stdio},
};

use sixwalk::{
    model::{
        phase::Phase,
        verdict::{Judgement, Verdict},
    },
    record::StoredRun,
    report::run::Run,
};
use tempfile::TempDir;

/// Someone who is nobody in particular.
const USER: &str = "12345";

/// A place for a walk that everybody may use.
pub(crate) struct Place {
    folder: TempDir,
    ordinary: bool,
    path: String,
}

impl Place {
    /// A new one.
    pub(crate) fn new() -> Self {
        let folder = tempfile::tempdir().expect("a folder");
        fs::set_permissions(folder.path(), fs::Permissions::from_mode(0o777)).expect("ours");
        Self { folder, ordinary: false, path: env::var("PATH").unwrap_or_default() }
    }

    /// One in which an ordinary user walks.
    pub(crate) fn of_ordinary_user() -> Self {
        let place = Self { ordinary: true, ..Self::new() };
        let program = env!("CARGO_BIN_EXE_sixwalk");
        // A copy that another thread's child still holds open for writing cannot be started.
        fs::hard_link(program, place.program())
            .or_else(|_| fs::copy(program, place.program()).map(drop))
            .expect("a copy for everybody");
        fs::set_permissions(place.program(), fs::Permissions::from_mode(0o755)).expect("ours");
        place
    }

    fn program(&self) -> PathBuf {
        self.folder.path().join("sixwalk")
    }

    /// Puts a file there.
    pub(crate) fn write(&self, name: &str, text: &str, mode: u32) -> PathBuf {
        let path = self.folder.path().join(name);
        fs::write(&path, text).expect("room");
        fs::set_permissions(&path, fs::Permissions::from_mode(mode)).expect("ours");
        path
    }

    /// Puts a script in the place of a program.
    pub(crate) fn fake(mut self, program: &str, script: &str) -> Self {
        self.write(program, &format!("#!/bin/sh\n{script}\n"), 0o755);
        self.path = format!("{}:{}", self.folder.path().display(), self.path);
        self
    }

    /// What a walk of a testbed says.
    pub(crate) fn walk_of(&self, testbed: &Path, arguments: &[&str]) -> Output {
        let mut command = if self.ordinary && nix::unistd::geteuid().is_root() {
            let mut command = Command::new("setpriv");
            command.args(["--reuid", USER, "--regid", USER, "--clear-groups"]);
            command.arg(self.program());
            command
        } else {
            Command::new(env!("CARGO_BIN_EXE_sixwalk"))
        };
        command.arg("walk").arg(testbed).arg("--runs").arg(self.folder.path().join("runs"));
        command.args(arguments).env("PATH", &self.path).stdin(Stdio::null());
        fs::create_dir_all(self.folder.path().join("runs")).expect("room");
        let open = fs::Permissions::from_mode(0o777);
        fs::set_permissions(self.folder.path().join("runs"), open).expect("ours");
        command.output().expect("the program is built")
    }

    /// The run of a walk that went through all of its phases.
    pub(crate) fn run_of(&self, testbed: &Path, arguments: &[&str]) -> Run {
        Self::read(&self.walk_of(testbed, arguments))
    }

    /// The same of what a walk has said.
    pub(crate) fn read(output: &Output) -> Run {
        let said = String::from_utf8_lossy(&output.stdout).into_owned();
        let path = said.lines().last().unwrap_or_default();
        assert!(Path::new(path).is_dir(), "{}", String::from_utf8_lossy(&output.stderr));
        let run = StoredRun::load(Path::new(path)).expect("a run").run;
        assert!(run.outcome.is_complete(), "{:?}", run.outcome);
        run
    }

    /// What one engine has said, as it is kept.
    pub(crate) fn log(&self, name: &str) -> String {
        let runs = fs::read_dir(self.folder.path().join("runs")).expect("runs").flatten();
        let mut logs = runs.map(|run| run.path().join("engines").join(name));
        let log = logs.find(|log| log.is_file()).expect("a log");
        String::from_utf8_lossy(&fs::read(log).expect("a log")).into_owned()
    }
}

/// What the checks of a walk have come to, each about its subject in its phase.
pub(crate) type Verdicts = BTreeMap<(Phase, String, String), Verdict>;

/// Those of a run.
pub(crate) fn verdicts(run: &Run) -> Verdicts {
    let of = |phase: Phase| {
        move |j: &Judgement| ((phase, j.check.clone(), j.subject.clone()), j.verdict)
    };
    run.phases.iter().flat_map(|p| p.judgements.iter().map(of(p.phase))).collect()
}

/// What two walks do not agree about, and what else was not as planned.
pub(crate) fn differences(built_in: &Run, real: &Run) -> Vec<String> {
    let (mine, theirs) = (verdicts(built_in), verdicts(real));
    let keys: BTreeSet<_> = mine.keys().chain(theirs.keys()).collect();
    // Some programs keep the socket open from which they send what they log.
    let is_sender = |key: &&(Phase, String, String)| {
        key.2.ends_with("/udp of senders") && theirs.get(*key) == Some(&Verdict::Info)
    };
    let differ = keys.into_iter().filter(|key| mine.get(*key) != theirs.get(*key));
    let differ = differ.filter(|key| !is_sender(key));
    let verdicts = differ.map(|key| format!("{key:?}: {:?}, {:?}", mine.get(key), theirs.get(key)));
    let troubles = real.phases.iter().flat_map(|p| p.deviations.iter().chain(&p.without).cloned());
    verdicts.chain(troubles).collect()
}
