//! The machine as a walk finds it and must leave it: namespaces of the test's own, furnished like a machine in use.

use std::{
    collections::{BTreeMap, BTreeSet},
    fs::{self, File},
    os::fd::AsRawFd,
    path::Path,
    process::Command,
    thread,
    time::{Duration, Instant},
};

use nix::{
    mount::{MsFlags, mount},
    sys::wait::{WaitPidFlag, waitpid},
};

/// Where the program is found.
pub(crate) const PROGRAM: &str = "/tmp/sixwalk";
/// Where everybody may work.
pub(crate) const HOME: &str = "/tmp/home";
/// The smallest testbed that is shipped, where every user can read it.
pub(crate) const TESTBED: &str = "/tmp/home/small.toml";
/// Gates that require only what the quick checks ask: they can be opened by them.
pub(crate) const GATES: &str = "/tmp/home/gates";
const SMALL: &str = include_str!("../../testbed/small.toml");
/// Folders that must hold afterwards what they held before.
const WATCHED: [&str; 4] = ["/tmp", "/run", "/dev/shm", "/var/tmp"];

/// What must be the same before and after.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Machine {
    processes: BTreeSet<String>,
    namespaces: BTreeSet<String>,
    mounts: BTreeSet<String>,
    network: BTreeMap<&'static str, String>,
    sysctls: BTreeMap<String, String>,
    files: BTreeSet<String>,
}

/// Makes the sandbox of the test look like a machine in use, with the program and an empty home in it.
pub(crate) fn furnish() {
    let program = File::open(env!("CARGO_BIN_EXE_sixwalk")).expect("the program is built");
    for folder in WATCHED {
        let all = Some("mode=1777");
        mount(Some("tmpfs"), folder, Some("tmpfs"), MsFlags::empty(), all).expect("a tmpfs");
    }
    File::create(PROGRAM).expect("a place for it");
    let program = format!("/proc/self/fd/{}", program.as_raw_fd());
    let none: Option<&str> = None;
    mount(Some(program.as_str()), PROGRAM, none, MsFlags::MS_BIND, none).expect("bound");
    fs::create_dir(HOME).expect("a home");
    fs::create_dir(Path::new(HOME).join("runs")).expect("a folder of runs");
    open_to_all(Path::new(HOME));
    open_to_all(&Path::new(HOME).join("runs"));
    fs::write(TESTBED, SMALL).expect("a shipped testbed");
    fs::create_dir(GATES).expect("a folder");
    for phase in ["ipv4-only", "partial", "dual-stack", "ipv6-only"] {
        let gate = format!(
            "title = \"Quick\"\nphase = \"{phase}\"\n[gate]\nrequire = [\"svc.listen-families\"]\nat-most = \"none\"\n"
        );
        fs::write(Path::new(GATES).join(phase).with_extension("toml"), gate).expect("a phase file");
    }
    shell(
        "echo 0 > /proc/sys/net/ipv6/conf/all/accept_dad
        echo 0 > /proc/sys/net/ipv6/conf/default/accept_dad
        ip link set lo up
        ip link add wan type veth peer name far
        ip address add 192.0.2.1/24 dev wan
        ip address add 2001:db8:ff::1/64 dev wan nodad
        ip link set wan up
        ip link set far up
        for interface in wan far; do
            tries=1000
            until ip -6 -o address show dev $interface scope link | grep -q fe80; do
                tries=$((tries - 1))
                [ $tries -gt 0 ]
                sleep 0.01
            done
        done
        ip route add 198.51.100.0/24 via 192.0.2.2
        ip -6 route add 2001:db8:fe::/48 via 2001:db8:ff::2
        ip rule add from 192.0.2.1 lookup 100
        nft add table inet own
        nft add chain inet own in '{ type filter hook input priority 0; }'
        nft add rule inet own in ct state established accept
        echo 0 > /proc/sys/net/ipv4/ip_forward
        echo 1 > /proc/sys/net/ipv6/conf/all/forwarding
        echo 0 > /proc/sys/net/ipv6/conf/all/accept_redirects",
    );
}

/// Lets every user write into a folder.
pub(crate) fn open_to_all(folder: &Path) {
    use std::os::unix::fs::PermissionsExt;
    fs::set_permissions(folder, fs::Permissions::from_mode(0o777)).expect("a folder of ours");
}

/// Runs a script that must succeed, and gives back what it said.
pub(crate) fn shell(script: &str) -> String {
    let output = Command::new("sh").args(["-euc", script]).output().expect("a shell");
    assert!(output.status.success(), "{script}: {}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8_lossy(&output.stdout).into_owned()
}

impl Machine {
    /// As it is now.
    pub(crate) fn look() -> Self {
        let ask = [
            ("links", "ip -o link show"),
            ("addresses", "ip -o address show"),
            ("routes", "ip route show table all; ip -6 route show table all"),
            ("rules", "ip rule; ip -6 rule"),
            ("filter", "nft list ruleset"),
        ];
        let processes = processes();
        let mut sysctls = BTreeMap::new();
        read_all(Path::new("/proc/sys/net"), &mut sysctls);
        // The number of connections that are tracked is no setting.
        sysctls.remove("/proc/sys/net/netfilter/nf_conntrack_count");
        let mounts = fs::read_to_string("/proc/self/mountinfo").expect("/proc is mounted");
        let mut files = BTreeSet::new();
        for folder in WATCHED {
            list(Path::new(folder), &mut files);
        }
        Self {
            namespaces: processes.iter().flat_map(|pid| namespaces(pid)).collect(),
            processes,
            mounts: mounts.lines().map(str::to_owned).collect(),
            network: ask.into_iter().map(|(what, script)| (what, shell(script))).collect(),
            sysctls,
            files,
        }
    }

    /// Waits until the machine is as it was; fails when it is not so within some seconds.
    pub(crate) fn demand_again(&self) {
        let deadline = Instant::now() + Duration::from_secs(10);
        loop {
            // We are PID 1 here: whoever has lost its parent is our child and waits to be reaped.
            while matches!(waitpid(None, Some(WaitPidFlag::WNOHANG)), Ok(status) if status.pid().is_some())
            {
            }
            let now = Self::look();
            if now == *self {
                return;
            }
            if Instant::now() > deadline {
                self.fail(&now);
            }
            thread::sleep(Duration::from_millis(20));
        }
    }

    fn fail(&self, now: &Self) {
        let more = |then: &BTreeSet<String>, now: &BTreeSet<String>| {
            let differ: Vec<_> = now.symmetric_difference(then).cloned().collect();
            differ.join("\n  ")
        };
        let settings = |map: &BTreeMap<String, String>| {
            map.iter().map(|(k, v)| format!("{k} = {v}")).collect()
        };
        let network =
            |map: &BTreeMap<&str, String>| map.iter().map(|(k, v)| format!("{k}: {v}")).collect();
        panic!(
            "the machine is not as it was:\n  processes {}\n  namespaces {}\n  mounts {}\n  network {}\n  \
             sysctls {}\n  files {}",
            more(&self.processes, &now.processes),
            more(&self.namespaces, &now.namespaces),
            more(&self.mounts, &now.mounts),
            more(&network(&self.network), &network(&now.network)),
            more(&settings(&self.sysctls), &settings(&now.sysctls)),
            more(&self.files, &now.files),
        );
    }
}

fn processes() -> BTreeSet<String> {
    let entries = fs::read_dir("/proc").expect("/proc is mounted").flatten();
    let names = entries.map(|entry| entry.file_name().to_string_lossy().into_owned());
    names.filter(|name| name.bytes().all(|byte| byte.is_ascii_digit())).collect()
}

/// The namespaces that a process is in or holds open.
fn namespaces(pid: &str) -> Vec<String> {
    let process = Path::new("/proc").join(pid);
    let fds = fs::read_dir(process.join("fd")).into_iter().flatten().flatten().map(|fd| fd.path());
    let kinds = ["net", "mnt", "user", "pid", "uts"].map(|kind| process.join("ns").join(kind));
    let links = fds.chain(kinds).filter_map(|path| fs::read_link(path).ok());
    let links = links.map(|link| link.to_string_lossy().into_owned());
    links
        .filter(|link| {
            link.contains(":[") && !link.starts_with("pipe") && !link.starts_with("socket")
        })
        .collect()
}

fn read_all(folder: &Path, into: &mut BTreeMap<String, String>) {
    for entry in fs::read_dir(folder).expect("a folder of switches").flatten() {
        let path = entry.path();
        if path.is_dir() {
            read_all(&path, into);
        } else if let Ok(value) = fs::read_to_string(&path) {
            into.insert(path.display().to_string(), value);
        }
    }
}

/// Every file below a folder, without what is in run directories.
fn list(folder: &Path, into: &mut BTreeSet<String>) {
    for entry in fs::read_dir(folder).into_iter().flatten().flatten() {
        let path = entry.path();
        if entry.file_name() == "runs" {
            continue;
        }
        into.insert(path.display().to_string());
        if path.is_dir() && !path.is_symlink() {
            list(&path, into);
        }
    }
}
