//! What building a lab and switching a family cost, against the same work done by bare netlink: one thread, one request,
//! one acknowledgement. Both are measured in pairs in one run, so that a busy machine slows both.
//!
//! `cargo bench --bench lab [-- N…]`; nothing of it is in the machine's own namespaces.

#[path = "../tests/support/testbeds.rs"]
mod testbeds;
#[path = "lab/bare.rs"]
mod bare;

use std::{
    collections::BTreeMap,
    env, fs,
    process::ExitCode,
    thread,
    time::{Duration, Instant},
};

use nix::sched::{CloneFlags, unshare};
use sixwalk::{
    lab::{Driver, Errand, netns::Netns},
    model::{family::Family, name::NodeName, phase::Phase, step::Change},
    net::{namespace::Namespace, sandbox},
    plan::{Purpose, Wave, plan},
    stage::Stage,
};
use testbeds::{leaves, stage};

/// Times of one round, in seconds.
struct Round {
    build: f64,
    on: f64,
    off: f64,
}

fn main() -> ExitCode {
    own_user_namespace().expect("a user namespace");
    if let Err(error) = sandbox::enter(|_| 3) {
        eprintln!("error: {error}");
        return ExitCode::FAILURE;
    }
    let mut counts: Vec<u16> = env::args().filter_map(|argument| argument.parse().ok()).collect();
    if counts.is_empty() {
        counts = vec![10, 100, 500, 1000];
    }
    println!(
        "leaves | build ours/bare ms, ratio | on ours/bare ms, ratio | off ours/bare ms, ratio | peak RSS MB"
    );
    for count in counts {
        measure(count);
    }
    ExitCode::SUCCESS
}

fn measure(count: u16) {
    let [dual, v6] = [Phase::DualStack, Phase::Ipv6Only].map(|phase| stage(&leaves(count), phase));
    let (mut ours, mut bare) = (Vec::new(), Vec::new());
    let rounds = if count >= 500 { 5 } else { 9 };
    for round in 0..rounds {
        // Who is first changes, because what the first leaves to the kernel slows the second.
        if round % 2 == 0 {
            ours.push(our_round(&dual, &v6));
            bare.push(bare::round(&dual));
        } else {
            bare.push(bare::round(&dual));
            ours.push(our_round(&dual, &v6));
        }
    }
    print!("{count:6} |");
    for part in [|round: &Round| round.build, |round: &Round| round.on, |round: &Round| round.off] {
        let ratios = ours.iter().zip(&bare).map(|(ours, bare)| part(ours) / part(bare));
        let (mine, theirs) = (median(ours.iter().map(part)), median(bare.iter().map(part)));
        print!(" {:8.1} {:8.1} {:5.2} |", mine * 1e3, theirs * 1e3, median(ratios));
    }
    println!(" {:5.0}", peak_megabytes());
}

fn our_round(stage: &Stage, without_ipv4: &Stage) -> Round {
    let runtime = tokio::runtime::Runtime::new().expect("a runtime");
    let begin = Instant::now();
    let lab = Netns::build(stage, begin).expect("a lab");
    let build = begin.elapsed().as_secs_f64();
    let all = |waves: Vec<Wave>, purpose: Purpose| {
        let wave = waves.into_iter().find(|wave| wave.purpose == purpose).expect("planned");
        let errands = errands(wave);
        let begin = Instant::now();
        let done = runtime.block_on(lab.change(errands));
        let took = begin.elapsed().as_secs_f64();
        for one in done {
            one.expect("what the stage says can be done");
        }
        took
    };
    let on = all(plan(None, stage), Purpose::Links);
    let off = all(plan(Some(stage), without_ipv4), Purpose::Withdrawal);
    assert!(lab.lab().nodes().all(|node| has_no_ipv4(&node.netlink)), "IPv4 is off");
    drop(lab);
    drop(runtime);
    wait_until_gone();
    Round { build, on, off }
}

/// What a walk does in a wave, node by node.
fn errands(wave: Wave) -> Vec<Errand> {
    let mut by_node = BTreeMap::<NodeName, Vec<Change>>::new();
    for step in wave.steps {
        by_node.entry(step.node).or_default().push(step.change);
    }
    by_node.into_iter().map(|(node, changes)| Errand { node, changes }).collect()
}

fn has_no_ipv4(netlink: &sixwalk::net::netlink::Netlink) -> bool {
    let addresses = sixwalk::net::links::read_addresses(netlink).expect("addresses");
    addresses.iter().all(|(_, address)| Family::of_net(address.net) == Family::V6)
}

/// The switch that limits the network namespaces of a user namespace.
const LIMIT: &str = "/proc/sys/user/max_net_namespaces";

/// The kernel takes namespaces down in the background. Waits until only that of the sandbox is left: then, with a limit
/// of two, one can be made.
fn wait_until_gone() {
    let deadline = Instant::now() + Duration::from_secs(60);
    fs::write(LIMIT, "2").expect("the limit is our user namespace's");
    while let Err(error) = Namespace::create() {
        assert!(Instant::now() < deadline, "a namespace is left after a minute: {error}");
        thread::sleep(Duration::from_millis(5));
    }
    fs::write(LIMIT, "100000").expect("the limit is our user namespace's");
}

/// Makes a user namespace, also for root, so that the limit above is ours.
fn own_user_namespace() -> std::io::Result<()> {
    if nix::unistd::Uid::effective().is_root() {
        unshare(CloneFlags::CLONE_NEWUSER)?;
        fs::write("/proc/self/setgroups", "deny")?;
        fs::write("/proc/self/uid_map", "0 0 1")?;
        fs::write("/proc/self/gid_map", "0 0 1")?;
    }
    Ok(())
}

fn peak_megabytes() -> f64 {
    let status = fs::read_to_string("/proc/self/status").expect("/proc");
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:")).expect("a peak");
    let kilobytes: f64 = line.trim().trim_end_matches(" kB").parse().expect("a number");
    kilobytes / 1024.0
}

fn median(values: impl Iterator<Item = f64>) -> f64 {
    let mut values: Vec<_> = values.collect();
    values.sort_by(f64::total_cmp);
    values[values.len() / 2]
}
