//! Lets a test run in namespaces of its own, so that it needs no rights and leaves nothing.

use std::{env, process::Command};

const INSIDE: &str = "SIXWALK_TEST_SANDBOX";

/// Whether this process is already the sandboxed one. The outer process runs the named test again inside and passes its
/// success on.
pub(crate) fn inside_sandbox(test: &str) -> bool {
    if env::var_os(INSIDE).is_some() {
        return true;
    }
    let root = nix::unistd::Uid::effective().is_root();
    let flags = if root { "-nmpf" } else { "-Urnmpf" };
    let status = Command::new("unshare")
        .args([flags, "--mount-proc"])
        .arg(env::current_exe().expect("the test program has a path"))
        .args(["--exact", test, "--nocapture"])
        .env(INSIDE, "1")
        .status()
        .expect("util-linux provides unshare");
    assert!(status.success(), "`{test}` failed in its sandbox: {status}");
    false
}
