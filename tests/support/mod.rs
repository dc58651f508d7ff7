//! Tests that need namespaces run again inside a sandbox, so that they also run for an ordinary user and leave nothing.

use std::{env, process::Command};

const MARK: &str = "SIXWALK_TEST_SANDBOX";

/// Whether this is the inner run. In the outer one, runs the test of this name in namespaces of its own and demands
/// that it succeeds.
pub fn inside_sandbox(test: &str) -> bool {
    if env::var_os(MARK).is_some() {
        return true;
    }
    let root = nix::unistd::Uid::effective().is_root();
    let flags = if root { "-nmpf" } else { "-Urnmpf" };
    let status = Command::new("unshare")
        .args([flags, "--mount-proc"])
        .arg(env::current_exe().expect("the path of this test"))
        .args(["--exact", test, "--nocapture"])
        .env(MARK, "1")
        .status()
        .expect("`unshare` of util-linux must be there");
    assert!(status.success(), "{test} failed in its sandbox: {status}");
    false
}
