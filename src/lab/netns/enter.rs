//! Entering: how a program that was started outside runs inside a node of a lab that stands.
//!
//! Several namespaces have to be entered, in an order that leaves enough rights for the next: user, mount, PID, network.
//! The PID namespace is only that of children, so a process in between forks once more, waits, and hands the exit code on.

use std::{
    env,
    ffi::{CString, OsStr},
    fs::File,
    io,
    os::{
        fd::AsFd,
        unix::{ffi::OsStrExt, fs::MetadataExt, process::CommandExt},
    },
    path::{Path, PathBuf},
    process::Command,
};

use nix::{
    errno::Errno,
    mount::{MsFlags, mount},
    sched::{CloneFlags, setns, unshare},
    sys::{
        prctl,
        signal::{SigSet, SigmaskHow, Signal, sigprocmask},
        wait::{WaitStatus, waitpid},
    },
    unistd::{ForkResult, chdir, fork, sethostname},
};

use super::folder::{FILES, Folder};
use crate::model::name::NodeName;

/// Why a node cannot be entered.
#[derive(Debug, thiserror::Error)]
pub enum EnterError {
    /// The lab is gone, or belongs to someone else.
    #[error("cannot enter the lab of process {lab}: {}: {source}; is it still running, and is it yours?", path.display())]
    Lab {
        /// The process outside that we were told.
        lab: u32,
        /// What could not be opened.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// The lab has no such node.
    #[error("the lab of process {lab} has no node `{node}`")]
    Node {
        /// The process.
        lab: u32,
        /// The node.
        node: NodeName,
    },
}

/// Everything that is opened before the first namespace is entered, because afterwards nothing of it can be found.
struct Doors {
    /// `None` where it is ours already: entering that again is an error.
    user: Option<File>,
    mount: File,
    pid: File,
    network: File,
    files: Vec<(CString, CString)>,
    hostname: CString,
    directory: Option<CString>,
}

/// A command that runs inside a node. `lab` is the process number of the lab's PID 1 as seen from here, `folders` is where
/// the lab has the folders of its nodes.
pub fn command(
    lab: u32,
    folders: &Path,
    node: &NodeName,
    program: &OsStr,
) -> Result<Command, EnterError> {
    let doors = Doors::open(lab, folders, node)?;
    let mut command = Command::new(program);
    // SAFETY: between fork and exec the closure makes system calls only, on values that were made before; it neither
    // allocates nor takes a lock.
    unsafe {
        command.pre_exec(move || doors.pass().map_err(io::Error::from));
    }
    Ok(command)
}

impl Doors {
    fn open(lab: u32, folders: &Path, node: &NodeName) -> Result<Self, EnterError> {
        let process = PathBuf::from(format!("/proc/{lab}"));
        let open = |below: &str| {
            let path = process.join(below);
            File::open(&path).map_err(|source| EnterError::Lab { lab, path, source })
        };
        let folder = Folder::of(folders, node);
        let seen = |path: &Path| {
            let below = path.strip_prefix("/").unwrap_or(path);
            process.join("root").join(below)
        };
        let user = open("ns/user")?;
        let network = File::open(seen(&folder.namespace()))
            .map_err(|_| EnterError::Node { lab, node: node.clone() })?;
        let files = FILES.into_iter().filter(|name| seen(&folder.file(name)).exists());
        Ok(Self {
            user: (!is_own_user_namespace(&user)).then_some(user),
            mount: open("ns/mnt")?,
            pid: open("ns/pid")?,
            network,
            files: files
                .map(|name| (text(folder.file(name)), text(Path::new("/etc").join(name))))
                .collect(),
            hostname: text(node.as_str()),
            directory: env::current_dir().ok().map(text),
        })
    }

    /// Goes through all of them. Runs between fork and exec.
    fn pass(&self) -> nix::Result<()> {
        if let Some(user) = &self.user {
            setns(user.as_fd(), CloneFlags::CLONE_NEWUSER)?;
        }
        setns(self.mount.as_fd(), CloneFlags::CLONE_NEWNS)?;
        setns(self.pid.as_fd(), CloneFlags::CLONE_NEWPID)?;
        setns(self.network.as_fd(), CloneFlags::CLONE_NEWNET)?;
        become_a_child()?;
        unshare(CloneFlags::CLONE_NEWNS | CloneFlags::CLONE_NEWUTS)?;
        self.furnish()
    }

    fn furnish(&self) -> nix::Result<()> {
        let none: Option<&str> = None;
        sethostname(OsStr::from_bytes(self.hostname.as_bytes()))?;
        for (file, over) in &self.files {
            match mount(Some(file.as_c_str()), over.as_c_str(), none, MsFlags::MS_BIND, none) {
                Ok(()) | Err(Errno::ENOENT) => {} // a machine without that file has nothing to hide
                Err(errno) => return Err(errno),
            }
        }
        // Where the kernel refuses it, programs see the interfaces of the machine in /sys, and those of the node elsewhere.
        let bare = MsFlags::MS_NOSUID | MsFlags::MS_NODEV | MsFlags::MS_NOEXEC;
        let _ = mount(Some("sysfs"), "/sys", Some("sysfs"), bare, none);
        if let Some(directory) = &self.directory {
            let _ = chdir(directory.as_c_str());
        }
        Ok(())
    }
}

fn text(path: impl AsRef<OsStr>) -> CString {
    CString::new(path.as_ref().as_bytes()).expect("a path of the kernel has no NUL")
}

fn is_own_user_namespace(file: &File) -> bool {
    let own = File::open("/proc/self/ns/user").and_then(|own| own.metadata());
    match (own, file.metadata()) {
        (Ok(own), Ok(other)) => (own.dev(), own.ino()) == (other.dev(), other.ino()),
        _ => false,
    }
}

/// Forks into the PID namespace. The process in between takes no signal, closes what it inherited, waits for the child and
/// ends as it does; when it dies, so does the child.
fn become_a_child() -> nix::Result<()> {
    // SAFETY: we are between fork and exec, with one thread.
    match unsafe { fork() }? {
        ForkResult::Child => {
            prctl::set_pdeathsig(Signal::SIGKILL)?;
            // Whatever signals our caller holds back, the program begins with none.
            sigprocmask(SigmaskHow::SIG_SETMASK, Some(&SigSet::empty()), None)
        }
        ForkResult::Parent { child } => {
            let _ = sigprocmask(SigmaskHow::SIG_BLOCK, Some(&SigSet::all()), None);
            // SAFETY: plain system calls on numbers. The standard library waits for the end of a pipe among these files.
            unsafe { libc::close_range(3, libc::c_uint::MAX, 0) };
            let code = loop {
                match waitpid(child, None) {
                    Ok(WaitStatus::Exited(_, code)) => break code,
                    Ok(WaitStatus::Signaled(_, signal, _)) => break 128 + signal as i32,
                    Err(Errno::EINTR) | Ok(_) => {}
                    Err(_) => break 1,
                }
            };
            // SAFETY: ends this process at once, without the destructors that belong to its parent.
            unsafe { libc::_exit(code) }
        }
    }
}
