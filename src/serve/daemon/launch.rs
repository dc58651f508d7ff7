//! How an engine is started: in the network namespace of its node, and in a mount namespace of its own, in which its folder
//! is `/run`, and the files of `/etc` that tell of names and addresses are those of the node.

use std::{
    ffi::CString,
    fs, io,
    os::unix::{ffi::OsStrExt, fs::PermissionsExt},
    path::Path,
    process::Stdio,
};

use nix::{
    errno::Errno,
    fcntl::{OFlag, open},
    mount::{MsFlags, mount},
    sched::{CloneFlags, setns, unshare},
    sys::stat::Mode,
    unistd::{chdir, sethostname, write},
};
use tokio::{
    net::unix::pipe,
    process::{Child, Command},
};

use crate::{
    engine::{Engine, Job, WORK},
    model::name::NodeName,
    net::{
        namespace::Namespace,
        orphans::{self, Own},
    },
};

/// Where programs look for others.
const PATH: &str = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";
/// Files of `/etc` that stand in the folder of an engine. No program is to learn of the machine's resolvers.
const ETC: [&str; 2] = ["hosts", "resolv.conf"];

/// A program that has been started, and what it says.
pub(super) struct Launched {
    pub(super) child: Child,
    pub(super) own: Own,
    pub(super) said: pipe::Receiver,
}

/// How a program is called.
pub(in crate::serve) struct Call<'c> {
    pub(in crate::serve) program: &'c Path,
    pub(in crate::serve) arguments: Vec<String>,
    /// What its environment holds beside the usual.
    pub(in crate::serve) variables: &'c [(&'c str, &'c str)],
    /// The node, for the name of the host.
    pub(in crate::serve) node: &'c NodeName,
    /// Whether it is to be somebody else than root, in a user namespace of its own.
    pub(in crate::serve) is_somebody: bool,
}

/// Makes the folder of a program, in which nothing is left of the program before.
pub(in crate::serve) fn lay_out(work: &Path, node: &NodeName) -> io::Result<()> {
    match fs::remove_dir_all(work) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
        _ => fs::create_dir_all(work.join("etc"))?,
    }
    fs::write(work.join("etc/resolv.conf"), "")?;
    fs::write(work.join("etc/hosts"), format!("127.0.0.1 localhost\n::1 localhost {node}\n"))
}

/// Writes everything that an engine reads into its folder, which is empty then but for that.
pub(super) fn furnish(work: &Path, engine: &Engine, job: &Job) -> io::Result<()> {
    lay_out(work, &job.node)?;
    for folder in engine.folders {
        fs::create_dir_all(work.join(folder))?;
    }
    for file in job.files(engine) {
        let path = work.join(&file.path);
        fs::write(&path, &file.text)?;
        let mode = if file.secret { 0o600 } else { 0o444 };
        fs::set_permissions(&path, fs::Permissions::from_mode(mode))?;
    }
    Ok(())
}

/// Starts the program. Its process is the leader of a group of its own.
pub(super) fn launch(call: Call, namespace: &Namespace, work: &Path) -> io::Result<Launched> {
    let (reader, writer) = io::pipe()?;
    let mut command = Command::new(call.program);
    command
        .args(call.arguments)
        .env_clear()
        .envs([("PATH", PATH), ("LANG", "C"), ("HOME", WORK)])
        .envs(call.variables.iter().copied())
        .stdin(Stdio::null())
        .stdout(writer.try_clone()?)
        .stderr(writer)
        .process_group(0);
    let room = Room::new(namespace, work, call.node)?;
    let is_somebody = call.is_somebody;
    if is_somebody {
        namespace.run(|| std::fs::write(FIRST_PORT, "0"))?;
    }
    // SAFETY: between fork and exec the closure makes system calls only, on values that were made before; it neither
    // allocates nor takes a lock.
    unsafe {
        command.pre_exec(move || {
            room.enter()?;
            if is_somebody { Ok(become_somebody()?) } else { Ok(()) }
        });
    }
    let (child, own) = orphans::spawn(&mut command)?;
    // With it go our copies of the end that is written to: when the program has ended, so does what it says.
    drop(command);
    Ok(Launched { child, own, said: pipe::Receiver::from_owned_fd(reader.into())? })
}

/// The first port that everybody may bind to.
const FIRST_PORT: &str = "/proc/sys/net/ipv4/ip_unprivileged_port_start";

/// Enters a user namespace in which root is somebody else, with one group. Runs between fork and exec.
fn become_somebody() -> nix::Result<()> {
    unshare(CloneFlags::CLONE_NEWUSER)?;
    for (file, map) in [(c"/proc/self/uid_map", "1000 0 1"), (c"/proc/self/gid_map", "1000 0 1")] {
        let file = open(file, OFlag::O_WRONLY | OFlag::O_CLOEXEC, Mode::empty())?;
        write(&file, map.as_bytes())?;
    }
    Ok(())
}

/// What is mounted for a program.
struct Room {
    namespace: Namespace,
    hostname: CString,
    files: Vec<(CString, CString)>,
    work: CString,
    over: CString,
    root: CString,
}

impl Room {
    fn new(namespace: &Namespace, work: &Path, node: &NodeName) -> io::Result<Self> {
        let text =
            |path: &Path| CString::new(path.as_os_str().as_bytes()).map_err(io::Error::other);
        let file = |name: &str| {
            Ok((text(&work.join("etc").join(name))?, text(&Path::new("/etc").join(name))?))
        };
        Ok(Self {
            namespace: namespace.clone(),
            hostname: text(Path::new(node.as_str()))?,
            files: ETC.into_iter().map(file).collect::<io::Result<_>>()?,
            work: text(work)?,
            over: text(Path::new(WORK))?,
            root: text(Path::new("/"))?,
        })
    }

    /// Runs between fork and exec.
    fn enter(&self) -> nix::Result<()> {
        let none: Option<&str> = None;
        setns(&self.namespace, CloneFlags::CLONE_NEWNET)?;
        unshare(CloneFlags::CLONE_NEWNS | CloneFlags::CLONE_NEWUTS)?;
        let private = MsFlags::MS_REC | MsFlags::MS_PRIVATE;
        mount(none, self.root.as_c_str(), none, private, none)?;
        sethostname(std::ffi::OsStr::from_bytes(self.hostname.as_bytes()))?;
        for (file, over) in &self.files {
            match mount(Some(file.as_c_str()), over.as_c_str(), none, MsFlags::MS_BIND, none) {
                Ok(()) | Err(Errno::ENOENT) => {} // a machine without that file has nothing to hide
                Err(errno) => return Err(errno),
            }
        }
        // Where the kernel refuses it, programs see the interfaces of the machine in /sys, and those of the node elsewhere.
        let bare = MsFlags::MS_NOSUID | MsFlags::MS_NODEV | MsFlags::MS_NOEXEC;
        let _ = mount(Some("sysfs"), "/sys", Some("sysfs"), bare, none);
        mount(Some(self.work.as_c_str()), self.over.as_c_str(), none, MsFlags::MS_BIND, none)?;
        chdir(self.over.as_c_str())
    }
}
