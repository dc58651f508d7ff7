//! What the kernels of small machines mostly lack, ESP and tunnels of their own, and what of them the lab must not mind. These
//! tests run in an emulated machine with the stock kernel of Debian, started by `tests/run --vm`, and nowhere else: the machine
//! that they run on must have all of it, and modules are loaded for good.

#[path = "support/place.rs"]
mod place;

use std::{
    path::Path,
    process::Command,
    sync::OnceLock,
    time::{Duration, Instant},
};

use place::{Place, Verdicts, differences, verdicts};
use sixwalk::{model::verdict::Verdict, report::run::Run};

/// The questions about a tunnel that an engine can answer otherwise than the one that is built in.
const OF_TUNNELS: [&str; 14] = [
    "--only",
    "vpn.matrix",
    "--only",
    "vpn.no-clear",
    "--only",
    "vpn.fail-open",
    "--only",
    "vpn.rekey-both",
    "--only",
    "vpn.policy-enforced",
    "--only",
    "vpn.inner-mtu",
    "--only",
    "meta.settled",
];
/// Those about plain tunnels, which have neither keys nor secrets.
const OF_PLAIN_TUNNELS: [&str; 10] = [
    "--only",
    "vpn.matrix",
    "--only",
    "vpn.inner-mtu",
    "--only",
    "vpn.icmp-through",
    "--only",
    "vpn.qos-and-hoplimit",
    "--only",
    "meta.settled",
];
/// IPv4 carries both families in the first of these, IPv6 itself in the second.
const PHASES: [&str; 2] = ["--phases", "partial,ipv6-only"];

/// Walks, and prints what came of it.
fn walk(what: &str, testbed: &str, arguments: &[&str]) -> Run {
    let began = Instant::now();
    let testbed = Path::new(env!("CARGO_MANIFEST_DIR")).join(testbed);
    let run = Place::new().run_of(&testbed, arguments);
    let verdicts = verdicts(&run);
    let of = |verdict| verdicts.values().filter(|it| **it == verdict).count();
    println!(
        "VM {what}: {} judgements, {} pass, {} fail, {} not testable, {} findings, {} s",
        verdicts.len(),
        of(Verdict::Pass),
        of(Verdict::Fail),
        of(Verdict::NotTestable),
        run.findings.len(),
        began.elapsed().max(Duration::from_secs(1)).as_secs()
    );
    let judgements = run.phases.iter().flat_map(|phase| &phase.judgements);
    for unknown in judgements.filter(|it| it.verdict == Verdict::NotTestable) {
        println!("VM   {} {}: {}", unknown.check, unknown.subject, unknown.reason);
    }
    for engine in &run.engines {
        let ready_ms = engine.ready_us.unwrap_or_default() / 1000;
        println!("VM   {}: {}, ready within {ready_ms} ms", engine.node, engine.version);
    }
    run
}

/// The reference testbed with one engine of tunnels.
fn carried_by(engine: &str) -> Run {
    let choice = format!("vpn={engine}");
    let chosen = ["--engine", &choice];
    walk(
        &format!("reference testbed, {choice}"),
        "testbed/fokus.toml",
        &[&OF_TUNNELS[..], &PHASES, &chosen].concat(),
    )
}

/// With the tunnel that is built in, once for all.
fn built_in() -> &'static Run {
    static RUN: OnceLock<Run> = OnceLock::new();
    RUN.get_or_init(|| carried_by("built-in"))
}

/// That nothing is found, that something passes, and that another walk comes to the same.
fn demand_same(one: &Run, other: &Run) {
    let differences = differences(one, other);
    assert!(differences.is_empty(), "{}", differences.join("\n"));
    assert!(other.findings.is_empty(), "{:#?}", other.findings);
    assert!(verdicts(other).values().any(|verdict| *verdict == Verdict::Pass));
}

/// That nothing is found, and that another walk comes to the same wherever both could measure. Of packets that nobody answers,
/// a few are too late for the taps of a machine that is so slow; nothing is said of these.
fn demand_no_other(one: &Run, other: &Run) {
    let (mine, theirs) = (verdicts(one), verdicts(other));
    let known = |verdicts: &Verdicts| {
        let known = verdicts.iter().filter(|(_, verdict)| **verdict != Verdict::NotTestable);
        known.map(|(of, verdict)| (of.clone(), *verdict)).collect::<Verdicts>()
    };
    let (mine, theirs) = (known(&mine), known(&theirs));
    let differ: Vec<_> =
        theirs.iter().filter(|(of, v)| mine.get(*of).is_some_and(|it| it != *v)).collect();
    assert!(differ.is_empty(), "{differ:#?}");
    for (run, known) in [(one, &mine), (other, &theirs)] {
        assert!(run.findings.is_empty(), "{:#?}", run.findings);
        assert!(known.len() * 10 > verdicts(run).len() * 9, "most could not be measured");
    }
}

#[test]
fn strongswan_with_esp_of_the_kernel_gives_the_verdicts_of_the_built_in_tunnel() {
    let run = carried_by("strongswan");
    demand_same(built_in(), &run);
    assert_eq!(run.engines.len(), 2);
    for engine in &run.engines {
        assert!(engine.version.ends_with(", ESP of the kernel"), "{engine:?}");
    }
}

#[test]
fn wireguard_of_the_kernel_gives_the_verdicts_of_the_built_in_tunnel() {
    let run = carried_by("wireguard-kernel");
    demand_same(built_in(), &run);
    assert_eq!(run.engines.len(), 2);
    for engine in &run.engines {
        assert!(engine.version.ends_with(", WireGuard of the kernel"), "{engine:?}");
    }
}

/// Every namespace is born with a device of each of these, and their protocols have an owner in the kernel from then on.
#[test]
fn tunnels_of_the_kernel_take_nothing_from_the_plain_ones_and_pass_no_filter() {
    const MODULES: [&str; 4] = ["sit", "ipip", "ip6_tunnel", "ip_gre"];
    let plain = |what: &str| {
        walk(
            &format!("plain tunnels, {what}"),
            "tests/faults/testbeds/plain-tunnels.toml",
            &[&OF_PLAIN_TUNNELS[..], &["--phases", "partial,dual-stack"]].concat(),
        )
    };
    let blocked = |what: &str| {
        walk(
            &format!("reference testbed, {what}"),
            "testbed/fokus.toml",
            &["--phases", "dual-stack", "--only", "pol.tunnels-blocked", "--only", "meta.settled"],
        )
    };
    let before = ["no modules of tunnels"].map(|what| [plain(what), blocked(what)]).concat();
    for module in MODULES {
        let loaded = Command::new("modprobe").arg(module).status().expect("a modprobe");
        assert!(loaded.success(), "{module}");
    }
    let after = ["sit, ipip, ip6_tunnel, gre"].map(|what| [plain(what), blocked(what)]).concat();
    for (before, after) in before.iter().zip(&after) {
        demand_no_other(before, after);
    }
}
