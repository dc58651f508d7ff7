//! How fast probes are: echoes against `fping`, and TCP connections with their evidence against a bare loop without
//! any. Pairs run in turns on the same path, in namespaces of their own; what counts is work per second of processor
//! time, since the machine may be busy with something else.
//!
//! ```text
//! cargo bench --bench probe
//! ```

use std::{
    env, fs,
    net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, TcpListener, TcpStream},
    process::{Child, Command, Stdio},
    time::{Duration, Instant},
};

use nix::sys::resource::{UsageWho, getrusage};
use sixwalk::{
    model::{answer::Outcome, family::Family},
    net::namespace::Namespace,
    probe::sweep,
};
use socket2::{Domain, Socket, Type};

/// What this process is to be: nothing said, the one outside; then the bench itself; then its server.
const ROLE: &str = "SIXWALK_BENCH_ROLE";
const ROUNDS: usize = 5;
const ECHOES: u16 = 20_000;
const CONNECTIONS: usize = 20_000;
const PORT: u16 = 80;
/// Connections that may wait to be accepted.
const QUEUE: i32 = 4096;
const PATIENCE: Duration = Duration::from_secs(2);

fn main() {
    match env::var(ROLE).as_deref() {
        Ok("bench") => bench(),
        Ok("server") => serve(),
        _ => enter(),
    }
}

/// Runs this program again in namespaces of its own.
fn enter() {
    let root = nix::unistd::Uid::effective().is_root();
    let status = Command::new("unshare")
        .args([if root { "-nmpf" } else { "-Urnmpf" }, "--mount-proc"])
        .arg(env::current_exe().expect("a bench has a path"))
        .env(ROLE, "bench")
        .status()
        .expect("util-linux provides unshare");
    assert!(status.success(), "the bench failed: {status}");
}

/// Accepts and closes, in a process of its own, so that its time is not counted.
fn serve() {
    // More than are under way at a time: what counts here is not how a full queue is dealt with.
    fs::write("/proc/sys/net/core/somaxconn", QUEUE.to_string())
        .expect("a switch of the namespace");
    let open = || {
        let socket = Socket::new(Domain::IPV6, Type::STREAM, None)?;
        socket.bind(&SocketAddr::from((Ipv6Addr::UNSPECIFIED, PORT)).into())?;
        socket.listen(QUEUE)?;
        std::io::Result::Ok(TcpListener::from(socket))
    };
    open().expect("the port is free in a new namespace").incoming().for_each(drop);
}

fn bench() {
    let (client, mut server) = path();
    println!("{:<24}{:>14}{:>14}{:>8}", "per second of processor", "sixwalk", "reference", "ratio");
    for family in Family::ALL {
        let targets: Vec<IpAddr> = (0..ECHOES).map(|host| target(family, host)).collect();
        let list = targets.iter().map(ToString::to_string).collect::<Vec<_>>().join("\n");
        compare(
            &format!("{family} echoes / fping"),
            || {
                let attempts = sweep::pings(&client, family, &targets, PATIENCE);
                let attempts = attempts.expect("echoes can be sent");
                assert!(attempts.iter().all(|attempt| attempt.outcome == Outcome::Answered));
                attempts.len()
            },
            || fping(&client, &list),
        );
    }
    for family in Family::ALL {
        let doors = vec![SocketAddr::new(target(family, 1), PORT); CONNECTIONS];
        compare(
            &format!("{family} connections / bare"),
            || {
                let attempts = sweep::connects(&client, &doors, PATIENCE);
                let attempts = attempts.expect("connections can be made");
                assert!(attempts.iter().all(|attempt| attempt.outcome == Outcome::Answered));
                attempts.len()
            },
            || bare(&client, &doors),
        );
    }
    server.kill().expect("it is ours");
    server.wait().expect("it has ended");
}

/// Runs both in turns and prints the medians of their rates and of the ratio of each pair.
fn compare(what: &str, ours: impl Fn() -> usize, reference: impl Fn() -> usize) {
    let pairs: Vec<(f64, f64)> = (0..ROUNDS).map(|_| (rate(&ours), rate(&reference))).collect();
    let ours = median(pairs.iter().map(|pair| pair.0));
    let reference = median(pairs.iter().map(|pair| pair.1));
    let ratio = median(pairs.iter().map(|pair| pair.0 / pair.1));
    println!("{what:<24}{ours:>14.0}{reference:>14.0}{ratio:>8.2}");
}

fn rate(work: impl Fn() -> usize) -> f64 {
    let before = processor_time();
    let begun = Instant::now();
    let done = work();
    let spent = processor_time().saturating_sub(before);
    if env::var_os("SIXWALK_BENCH_WALL").is_some() {
        eprintln!("{done} in {:?}, {spent:?} of processor", begun.elapsed());
    }
    f64::from(u32::try_from(done).expect("a bench has fewer than 2^32 parts")) / spent.as_secs_f64()
}

fn median(values: impl Iterator<Item = f64>) -> f64 {
    let mut values: Vec<f64> = values.collect();
    values.sort_by(f64::total_cmp);
    values[values.len() / 2]
}

/// Of this process and of the children that have ended.
fn processor_time() -> Duration {
    let of = |who| {
        let usage = getrusage(who).expect("usage can always be read");
        [usage.user_time(), usage.system_time()].map(|time| {
            let micros = time.tv_sec() * 1_000_000 + time.tv_usec();
            Duration::from_micros(u64::try_from(micros).expect("time runs forwards"))
        })
    };
    [of(UsageWho::RUSAGE_SELF), of(UsageWho::RUSAGE_CHILDREN)].into_iter().flatten().sum()
}

fn fping(client: &Namespace, list: &str) -> usize {
    use std::io::Write as _;
    let mut child: Child = client
        .run(|| {
            // Each target once, as fast as it can, without a retry.
            Command::new("fping")
                .args(["-q", "-r0", "-i0", "-t2000"])
                .stdin(Stdio::piped())
                .stdout(Stdio::null())
                .stderr(Stdio::inherit())
                .spawn()
        })
        .expect("fping is installed: apt-get install fping");
    let mut input = child.stdin.take().expect("it was piped");
    input.write_all(list.as_bytes()).expect("fping reads its list");
    drop(input);
    assert!(child.wait().expect("fping ends").success(), "every target answers");
    usize::from(ECHOES)
}

/// Connects one after the other, notes nothing.
fn bare(client: &Namespace, doors: &[SocketAddr]) -> usize {
    client
        .run(|| {
            for door in doors {
                let stream = TcpStream::connect(door)?;
                socket2::SockRef::from(&stream).set_linger(Some(Duration::ZERO))?;
            }
            Ok(doors.len())
        })
        .expect("connections can be made")
}

fn target(family: Family, host: u16) -> IpAddr {
    let [high, low] = host.to_be_bytes();
    match family {
        Family::V4 => Ipv4Addr::new(10, 3, high, low).into(),
        Family::V6 => Ipv6Addr::new(0x2001, 0xdb8, 3, 0, 0, 0, 0, host).into(),
    }
}

/// A client and a server that answers for whole prefixes: the client, and the process that listens.
fn path() -> (Namespace, Child) {
    use std::os::fd::{AsFd as _, AsRawFd as _};
    let [client, server] =
        [(); 2].map(|()| Namespace::create().expect("a namespace can be made in the sandbox"));
    let far = format!("/proc/{}/fd/{}", std::process::id(), server.as_fd().as_raw_fd());
    let sh = |namespace: &Namespace, script: &str| {
        let run = || Command::new("sh").args(["-ec", script]).status();
        assert!(namespace.run(run).expect("sh is there").success(), "{script}");
    };
    sh(
        &client,
        &format!(
            "ip link add eth0 type veth peer name eth0 netns {far}; ip link set lo up; ip link set eth0 up
             echo 0 > /proc/sys/net/ipv6/conf/eth0/accept_dad
             ip addr add 10.2.0.1/24 dev eth0; ip addr add 2001:db8:2::1/64 dev eth0 nodad
             ip route add 10.3.0.0/16 via 10.2.0.2"
        ),
    );
    sh(
        &server,
        "ip link set lo up; ip link set eth0 up; echo 0 > /proc/sys/net/ipv6/conf/eth0/accept_dad
         ip addr add 10.2.0.2/24 dev eth0; ip addr add 2001:db8:2::2/64 dev eth0 nodad
         ip route add local 10.3.0.0/16 dev lo; ip -6 route add local 2001:db8:3::/64 dev lo",
    );
    sh(&client, "ip -6 route add 2001:db8:3::/64 via 2001:db8:2::2");
    let program = env::current_exe().expect("a bench has a path");
    let listening = server
        .run(|| Command::new(program).env(ROLE, "server").spawn())
        .expect("this program can be started again");
    // Until the server accepts and IPv6 is through with duplicate address detection.
    let deadline = Instant::now() + Duration::from_secs(10);
    for family in Family::ALL {
        let door = SocketAddr::new(target(family, 1), PORT);
        while client.run(|| TcpStream::connect_timeout(&door, PATIENCE)).is_err() {
            assert!(Instant::now() < deadline, "the server does not answer over {family}");
            std::thread::sleep(Duration::from_millis(20));
        }
    }
    (client, listening)
}
