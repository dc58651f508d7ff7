//! Tests that need namespaces run again inside a sandbox, so that they also run for an ordinary user and leave nothing.

pub mod testbeds;

use std::{
    env, fs,
    os::unix::fs::PermissionsExt,
    path::Path,
    process::{Command, ExitStatus},
};

const MARK: &str = "SIXWALK_TEST_SANDBOX";
/// Whoever has no other number: `nobody`.
const ORDINARY: &str = "65534";

/// Whether this is the inner run. In the outer one, runs the test of this name in namespaces of its own and demands
/// that it succeeds.
pub(crate) fn inside_sandbox(test: &str) -> bool {
    if env::var_os(MARK).is_some() {
        return true;
    }
    let flags = if is_root() { "-nmpf" } else { "-Urnmpf" };
    let program = env::current_exe().expect("the path of this test");
    demand(test, again(Command::new("unshare").arg(flags), &program, test));
    false
}

/// The same, but never as root: root becomes an ordinary user first.
#[allow(dead_code)] // every test program has its own copy of this module, and not all need this
pub(crate) fn inside_sandbox_of_ordinary_user(test: &str) -> bool {
    if env::var_os(MARK).is_some() || !is_root() {
        return inside_sandbox(test);
    }
    // The directory of the build may be closed to others.
    let directory = tempfile::tempdir().expect("a directory for temporary files");
    fs::set_permissions(directory.path(), fs::Permissions::from_mode(0o755)).expect("our own");
    let program = directory.path().join("test");
    fs::copy(env::current_exe().expect("the path of this test"), &program).expect("room for it");
    let mut command = Command::new("setpriv");
    command.args(["--reuid", ORDINARY, "--regid", ORDINARY, "--clear-groups"]);
    command.args(["unshare", "-Urnmpf"]).current_dir("/");
    demand(test, again(&mut command, &program, test));
    false
}

fn is_root() -> bool {
    nix::unistd::Uid::effective().is_root()
}

fn again(command: &mut Command, program: &Path, test: &str) -> ExitStatus {
    command
        .arg("--mount-proc")
        .arg(program)
        .args(["--exact", test, "--nocapture"])
        .env(MARK, "1")
        .status()
        .expect("`unshare` and `setpriv` of util-linux must be there")
}

fn demand(test: &str, status: ExitStatus) {
    assert!(status.success(), "{test} failed in its sandbox: {status}");
}
