//! Real programs in the place of built-in services. The same checks must come to the same verdicts with both: so the
//! built-in services are checked by the real ones, and not by themselves. And whatever a program does, the walk goes on.
//!
//! A program that is not on this machine fails the test, with the name of its package: `tests/run` installs them all.

#[path = "support/place.rs"]
mod place;

use std::{
    collections::BTreeSet,
    fs,
    path::{Path, PathBuf},
    process::Output,
    thread,
};

use sixwalk::{
    engine::{Engine, Part},
    model::{finding::Finding, function::Function, verdict::Verdict},
    report::{
        gate::Gate,
        run::{EngineRun, Run},
    },
};

use place::{Place, differences, verdicts};

const TESTBED: &str = include_str!("engines/testbed.toml");
const TUNNEL: &str = include_str!("engines/tunnel.toml");
const COUPLES: &str = include_str!("engines/couples.toml");
/// The engines of a walk: what stands in for the two name servers in the file, and what is said on the command line.
const BUILT_IN: Choice = Choice { first: "built-in", second: "built-in", others: "" };
const ONE: Choice = Choice {
    first: "knot",
    second: "nsd",
    others: "resolver=unbound,http=nginx,https=nginx,ntp=chrony,syslog=rsyslog,snmp=snmpd,ldap=slapd,ssh=openssh",
};
const OTHER: Choice =
    Choice { first: "bind", second: "knot", others: "resolver=bind,http=haproxy,https=haproxy" };

#[derive(Clone, Copy)]
struct Choice {
    first: &'static str,
    second: &'static str,
    others: &'static str,
}

impl Place {
    fn walk(&self, choice: Choice, arguments: &[&str]) -> Output {
        let text = TESTBED.replace("FIRST", choice.first).replace("SECOND", choice.second);
        let testbed = self.write("testbed.toml", &text, 0o644);
        let chosen = ["--engine", choice.others];
        let chosen = if choice.others.is_empty() { &[][..] } else { &chosen };
        self.walk_of(&testbed, &[chosen, arguments].concat())
    }

    /// The run of a walk that went through all of its phases.
    fn run(&self, choice: Choice, arguments: &[&str]) -> Run {
        Self::read(&self.walk(choice, arguments))
    }

    /// A walk of the testbed whose tunnel a program carries.
    fn carry(&self, checks: &[&str], chosen: &[&str]) -> Run {
        let testbed = self.write("tunnel.toml", TUNNEL, 0o644);
        self.run_of(&testbed, &[checks, chosen].concat())
    }
}

/// That a check has passed for some subject with these words.
fn demand_pass(run: &Run, check: &str, subject: &str) {
    let judged = run.phases.iter().flat_map(|p| &p.judgements);
    let mut of = judged.filter(|j| j.check == check && j.subject.contains(subject));
    assert!(of.any(|j| j.verdict == Verdict::Pass), "{check} has passed for no `{subject}`");
}

/// That every engine has run, has been heard and weighed, and has said its version.
fn demand_records(run: &Run) {
    for engine in &run.engines {
        // What is done for a link can be asked only after duplicate address detection, which says nothing of the program.
        let of_link = Function::ALL.iter().any(|it| it.word() == engine.service.as_str());
        assert!(engine.starts > 0 && (of_link || engine.ready_us.is_some()), "{engine:?}");
        assert!(engine.pss_kib > 100 && engine.rss_kib >= engine.pss_kib, "{engine:?}");
        assert!(engine.version.contains('.'), "{engine:?}");
    }
}

/// What two walks do not agree about, but for controls beside silences: some name servers say to strangers that they refuse, where
/// the built-in one says nothing.
fn differences_but_refusals(built_in: &Run, real: &Run) -> Vec<String> {
    let is_control =
        |said: &String| said.contains("meta.control-probe") && said.ends_with("Some(Pass), None");
    let mut all = differences(built_in, real);
    all.retain(|said| !is_control(said));
    all
}

#[test]
fn every_engine_gives_the_verdicts_of_the_built_in_service() {
    let walk = |choice: Choice| thread::spawn(move || Place::new().run(choice, &[]));
    let [built_in, one, other] = [BUILT_IN, ONE, OTHER]
        .map(walk)
        .map(|walk| walk.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic)));
    assert!(built_in.engines.is_empty());
    for real in [&one, &other] {
        let differences = differences_but_refusals(&built_in, real);
        assert!(differences.is_empty(), "{}", differences.join("\n"));
        demand_records(real);
        demand_pass(real, "dns.svcb-hints", "secure.flat.test HTTPS at resolver");
        demand_pass(real, "dns.resolver-reaches-v6-only-zone", "below.flat.test");
        demand_pass(real, "svc.ldap-v6", "server");
        for log in ["log.family-captured", "log.not-cut", "log.canonical", "log.ui-last-logins"] {
            demand_pass(real, log, "client->server/https/2001:db8::");
        }
        for list in ["http", "https", "ntp", "snmp"] {
            demand_pass(real, "pol.mapped-and-textual-acl", &format!("server/{list}/2001:db8:"));
        }
        demand_pass(real, "pol.lockout-granularity", "https of server/IPv6");
        demand_pass(real, "out.redirect-and-subresources-v6", "keeper/http");
    }
    let used =
        |name: &str| [&one, &other].iter().any(|r| r.engines.iter().any(|e| e.engine == name));
    let serves = |e: &&Engine| e.parts.iter().any(|part| matches!(part, Part::Service(_)));
    let engines = Engine::all().filter(serves).map(|e| e.name);
    let unused: Vec<_> = engines.filter(|name| !used(name)).collect();
    assert!(unused.is_empty(), "nobody walks with {}", unused.join(", "));
}

/// The reference testbed, every service of which an engine provides that has one.
#[test]
fn the_reference_testbed_comes_to_the_same_verdicts() {
    let testbed = Path::new(env!("CARGO_MANIFEST_DIR")).join("testbed/fokus.toml");
    let walk = |engines: &'static [&str]| {
        let testbed = testbed.clone();
        thread::spawn(move || Place::new().run_of(&testbed, engines))
    };
    let engines = &["--engine", ONE.others, "--engine", "dns=knot"];
    let [built_in, real] = [walk(&[]), walk(engines)]
        .map(|walk| walk.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic)));
    let mut differences = differences(&built_in, &real);
    // A question that one of them answers late is asked twice of that one alone, and what would be asked then is not.
    let is_late = |said: &String| {
        said.contains("meta.repeatable")
            || said.contains("svc.update-and-pki-v6")
                && said.ends_with("Some(Pass), Some(NotTestable)")
    };
    differences.retain(|said| !is_late(said));
    assert!(differences.is_empty(), "{}", differences.join("\n"));
    demand_records(&real);
    demand_pass(&real, "log.ui-last-logins", "portal");
    demand_pass(&real, "pol.mapped-and-textual-acl", "app/https/");
    demand_pass(&real, "svc.monitoring-agent", "");
}

/// The front of the shipped testbed, as it is built in and as HAProxy, before the same sites; and whoever tells of them.
#[test]
fn a_front_passes_on_as_the_built_in_one_does() {
    let run = |engines: &'static [&str]| {
        thread::spawn(move || {
            let place = Place::new();
            let testbed = Path::new(env!("CARGO_MANIFEST_DIR")).join("testbed/hosting.toml");
            // In the first of them a name server has no address yet that its zone could name.
            let phases = ["--phases", "ipv4-only,dual-stack,ipv6-only"];
            place.run_of(&testbed, &[&phases[..], engines].concat())
        })
    };
    let [built_in, real] =
        [run(&[]), run(&["--engine", "http=haproxy,https=haproxy,dns=bind,resolver=bind"])]
            .map(|walk| walk.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic)));
    let differences = differences(&built_in, &real);
    assert!(differences.is_empty(), "{}", differences.join("\n"));
    demand_records(&real);
    demand_pass(&real, "dns.svcb-hints", "shop.hosting.test");
    demand_pass(&real, "dns.resolver-reaches-v6-only-zone", "sites.hosting.test");
    let fronts =
        real.engines.iter().filter(|e| e.engine == "haproxy" && e.node.as_str() == "front");
    assert_eq!(fronts.count(), 2, "{:?}", real.engines);
}

/// A tunnel as it is built in and carried by strongSwan, with one plan for both.
#[test]
fn a_tunnel_of_strongswan_gives_the_verdicts_of_the_built_in_one() {
    let walk = |chosen: &'static [&str]| {
        // IPv4 carries both families in the first of these phases, IPv6 itself in the second.
        let all = ["--only", "vpn.*", "--phases", "partial,ipv6-only"];
        thread::spawn(move || Place::new().carry(&all, chosen))
    };
    let [built_in, real] = [walk(&["--engine", "vpn=built-in"]), walk(&[])]
        .map(|walk| walk.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic)));
    assert!(built_in.engines.is_empty());
    assert!(real.findings.is_empty(), "{:?}", real.findings);
    for check in ["vpn.matrix", "vpn.no-clear", "vpn.fail-open", "vpn.rekey-both"] {
        let verdicts = verdicts(&real);
        let mut of = verdicts.iter().filter(|((_, id, _), _)| id == check);
        assert!(of.any(|(_, verdict)| *verdict == Verdict::Pass), "{check}: {verdicts:?}");
    }
    let differences = differences(&built_in, &real);
    assert!(differences.is_empty(), "{}", differences.join("\n"));
    demand_pass(&real, "vpn.policy-enforced", ", selectors of gw-");
    demand_records(&real);
    let gateways: Vec<_> = real.engines.iter().map(|e| e.node.as_str()).collect();
    assert_eq!(gateways, ["gw-a", "gw-b"]);
    let is_told = |e: &EngineRun| e.engine == "strongswan" && e.version.contains(", ESP ");
    assert!(real.engines.iter().all(is_told), "{:?}", real.engines);
}

/// One end takes whatever it is asked for: the other has to ask it for more than is coupled to see that.
#[test]
fn a_strongswan_that_takes_whatever_comes_is_found() {
    const TAKES: &str = r#"
[fault.taken]
phase         = "dual-stack"
carry-wrongly = { node = "gw-b", how = "open-on-arrival" }
"#;
    let place = Place::new();
    let faults = place.write("faults.toml", TAKES, 0o644);
    let faults = faults.to_str().expect("text");
    let only = ["--phases", "dual-stack", "--only", "vpn.policy-enforced", "--only", "vpn.matrix"];
    let run = place.carry(&only, &["--fault", faults]);
    let heads: Vec<_> =
        run.findings.iter().map(|f| format!("{}/{} {}", f.check, f.case, f.culprit)).collect();
    assert_eq!(
        heads,
        ["vpn.policy-enforced/taken gw-b (selectors of offices)"],
        "{:#?}",
        run.findings
    );
    let verdicts = verdicts(&run);
    let taken: Vec<_> = verdicts.iter().filter(|(_, verdict)| **verdict == Verdict::Fail).collect();
    let families = ["IPv4 in ", "IPv6 in "];
    assert!(
        families.iter().all(|family| taken.iter().any(|((_, _, of), _)| of.contains(family))),
        "{taken:?}"
    );
}

/// A translator as it is built in and as TAYGA, which gives each user an address and keeps no sessions.
#[test]
fn a_translator_of_tayga_gives_the_verdicts_of_the_built_in_one() {
    let testbed = Path::new(env!("CARGO_MANIFEST_DIR")).join("testbed/translation.toml");
    let only =
        ["--phases", "ipv6-only", "--only", "x64.*", "--only", "dns64.*", "--only", "meta.*"];
    let walk = |chosen: &'static [&str]| {
        let testbed = testbed.clone();
        thread::spawn(move || Place::new().run_of(&testbed, &[&only[..], chosen].concat()))
    };
    let [built_in, real] = [walk(&[]), walk(&["--engine", "nat64=tayga"])]
        .map(|walk| walk.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic)));
    assert!(real.findings.is_empty(), "{:?}", real.findings);
    let mut differences = differences(&built_in, &real);
    // It keeps no sessions that could be timed, and no fragments that echoes could be put together of.
    let stateless = |said: &String| said.contains("x64.timers") || said.contains(" fragments");
    differences.retain(|difference| !stateless(difference));
    assert!(differences.is_empty(), "{}", differences.join("\n"));
    let verdicts = verdicts(&real);
    for (check, expected) in [
        ("x64.reach", Verdict::Pass),
        ("x64.policy-bypass", Verdict::Pass),
        ("x64.log-mapping", Verdict::Pass),
        ("x64.timers", Verdict::NotTestable),
    ] {
        let mut of = verdicts.iter().filter(|((_, id, _), _)| id == check).peekable();
        assert!(of.peek().is_some() && of.all(|(_, it)| *it == expected), "{check}: {verdicts:?}");
    }
    demand_pass(&real, "x64.pmtu-and-fragments", "desk->register size");
    demand_pass(&real, "x64.pmtu-and-fragments", "desk->register page");
    let unasked =
        verdicts.iter().find(|((_, _, subject), _)| subject == "desk->register fragments");
    assert_eq!(unasked.map(|(_, verdict)| *verdict), Some(Verdict::NotTestable));
    demand_records(&real);
    let [one] = &real.engines[..] else { panic!("{:?}", real.engines) };
    let is_told = one.node.as_str() == "border" && one.service.as_str() == "nat64";
    assert!(is_told && one.version.ends_with(", stateless"), "{one:?}");
}

/// What it cannot do is said before the walk; that it does nothing is told, and found.
#[test]
fn a_translator_that_is_not_up_to_it_is_told() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let text = fs::read_to_string(root.join("testbed/translation.toml")).expect("there");
    let place = Place::new();
    let more = ["desk-2", "desk-3", "desk-4"];
    let nodes = more.map(|name| {
        format!("[node.{name}]\nrole = \"workplace\"\non = {{ eth0 = \"office\" }}\n\n")
    });
    let names = more.map(|name| format!(", \"{name}\""));
    let crowded = text
        .replace("[node.names]", &format!("{}[node.names]", nodes.concat()))
        .replace("[\"desk\", \"kiosk\"]", &format!("[\"desk\", \"kiosk\"{}]", names.concat()));
    let output =
        place.walk_of(&place.write("crowded.toml", &crowded, 0o644), &["--engine", "nat64=tayga"]);
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    let why = "the pool 192.0.2.64/29 has 4 of them, and 5 users are to be translated for in the IPv6-only phase";
    assert!(said.contains(why), "{said}");

    let small = text
        .replace("192.0.2.64/29", "192.0.2.64/30")
        .replace("[translation.nat64]", "[translation.nat64]\nengine = \"tayga\"");
    let output = place.walk_of(&place.write("small.toml", &small, 0o644), &[]);
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(said.contains("has no address left for users where `tayga` translates"), "{said}");

    let local: String =
        text.lines().filter(|line| !line.starts_with("prefix")).collect::<Vec<_>>().join("\n");
    let output =
        place.walk_of(&place.write("local.toml", &local, 0o644), &["--engine", "nat64=tayga"]);
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(
        said.contains(
            "takes no prefixes for local use (RFC 8215), and the prefix is 64:ff9b:1::/96"
        ),
        "{said}"
    );

    let only = [
        "--phases",
        "ipv6-only",
        "--only",
        "x64.reach",
        "--only",
        "meta.settled",
        "--engine",
        "nat64=tayga",
    ];
    let place = Place::new().fake("tayga", "echo no way >&2; exit 3");
    let run = place.run_of(&root.join("testbed/translation.toml"), &only);
    let said = run.phases[0].deviations.join("\n");
    let engine = "the engine `tayga` of translation `nat64` at node `border`";
    assert!(
        said.contains(&format!("{engine} has made no device nat64 (exit status: 3)")),
        "{said}"
    );
    assert!(said.contains("no way"), "{said}");
    demand_open(&run, "x64.reach", "has made no device nat64");
}

/// A tunnel carried by WireGuard of the kernel, where there is one; where there is none, that is said before the walk, with
/// what helps.
#[test]
fn a_tunnel_of_the_kernel_gives_the_verdicts_of_the_built_in_one_or_is_refused() {
    let place = Place::new();
    let testbed = place.write("tunnel.toml", TUNNEL, 0o644);
    let walk = |engine: &str| {
        let only = ["--only", "vpn.*", "--phases", "ipv6-only", "--engine"];
        place.walk_of(&testbed, &[&only[..], &[engine]].concat())
    };
    let output = walk("vpn=wireguard-kernel");
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    if said.contains("needs WireGuard of the kernel") {
        assert_eq!(output.status.code(), Some(2), "{said}");
        let what = "the engine `wireguard-kernel` of tunnel `offices` needs WireGuard of the kernel, which makes no device of it \
                    here: ";
        for words in [what, "EOPNOTSUPP", "`modprobe wireguard`", "`--engine vpn=built-in`"] {
            assert!(said.contains(words), "{words}? {said}");
        }
        return;
    }
    let (built_in, real) = (Place::read(&walk("vpn=built-in")), Place::read(&output));
    assert!(real.findings.is_empty(), "{:?}", real.findings);
    let differences = differences(&built_in, &real);
    assert!(differences.is_empty(), "{}", differences.join("\n"));
    let is_told = |e: &EngineRun| e.version.ends_with(", WireGuard of the kernel") && e.starts > 0;
    assert!(real.engines.len() == 2 && real.engines.iter().all(is_told), "{:?}", real.engines);
}

const BENT: &str = r#"
[fault.bent]
phase              = "ipv6-only"
synthesize-wrongly = { node = "names", how = "HOW" }
"#;

/// Resolvers that synthesize addresses for users with IPv6 alone, and tell them the prefix (DNS64).
#[test]
fn resolvers_synthesize_as_the_built_in_one_does() {
    let testbed = Path::new(env!("CARGO_MANIFEST_DIR")).join("testbed/translation.toml");
    let only = ["--phases", "ipv6-only"];
    let run = |engines: &'static [&str]| {
        let testbed = testbed.clone();
        thread::spawn(move || {
            let place = Place::of_ordinary_user();
            place.run_of(&testbed, &[&only[..], engines].concat())
        })
    };
    let [built_in, one, other] =
        [&[][..], &["--engine", "resolver=unbound"], &["--engine", "resolver=bind"]]
            .map(run)
            .map(|walk| walk.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic)));
    let synthesized = |run: &Run| {
        let judged = run.phases.iter().flat_map(|p| &p.judgements);
        judged.filter(|j| j.check == "dns64.synth" && j.verdict == Verdict::Pass).count()
    };
    assert!(synthesized(&built_in) > 0);
    for real in [&one, &other] {
        let differences = differences(&built_in, real);
        assert!(differences.is_empty(), "{}", differences.join("\n"));
        demand_records(real);
    }

    let bend = |how: &str, engine: &str| {
        let place = Place::new();
        let faults = place.write("faults.toml", &BENT.replace("HOW", how), 0o644);
        let bent = ["--only", "dns64.*", "--engine", engine, "--fault"];
        let faults = faults.to_str().expect("text");
        let output = place.walk_of(&testbed, &[&only[..], &bent, &[faults]].concat());
        (place, output)
    };
    for engine in ["resolver=unbound", "resolver=bind"] {
        let (_place, output) = bend("other-discovery", engine);
        let found = Place::read(&output).findings;
        let heads: Vec<_> = found.iter().map(|f| format!("{}/{}", f.check, f.case)).collect();
        assert_eq!(heads, ["dns64.prefix-discovery/resolver"], "{engine}");
    }
    let (_place, refused) = bend("over-native", "resolver=unbound");
    let said = String::from_utf8_lossy(&refused.stdout).into_owned();
    assert!(
        said.contains("cannot be made to do this: to synthesize for names that have"),
        "{said}"
    );
}

const OFFICE: &str = r#"
[[zone]]
origin  = "office.test"
servers = "web"
records = [{ name = "office.test", text = "What is searched first" }]
"#;

const MISLED: &str = r#"
[fault.unresolved]
phase          = "dual-stack"
dhcpv6-wrongly = { node = "web", how = "no-dns" }

[fault.misled]
phase             = "dual-stack"
advertise-wrongly = { node = "fw", interface = "office", how = "managed-inverted" }
"#;

/// What nodes do for their links: Router Advertisements, and DHCPv6 on the link and over a relay. Hosts are told two domains to
/// search, and what is not in the first is sought there at programs, too.
#[test]
fn links_are_served_as_the_built_in_nodes_do() {
    const ONE: &str = "advertisements=radvd,dhcpv6=kea,dns=nsd,resolver=unbound";
    const OTHER: &str = "dhcpv6=dnsmasq,dns=bind,resolver=bind";
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let text = fs::read_to_string(root.join("tests/faults/testbeds/leased.toml")).expect("there");
    let searching =
        text.replace(r#"search = "example.test""#, r#"search = ["office.test", "example.test"]"#);
    let ground = Place::new();
    let testbed = ground.write("searching.toml", &(searching + OFFICE), 0o644);
    let run = |engines: &'static [&str]| {
        let testbed = testbed.clone();
        thread::spawn(move || {
            // In every phase in which there is something to do.
            let phases = ["--phases", "partial,dual-stack,ipv6-only"];
            Place::of_ordinary_user().run_of(&testbed, &[&phases[..], engines].concat())
        })
    };
    let [built_in, one, other] = [&[][..], &["--engine", ONE], &["--engine", OTHER]]
        .map(run)
        .map(|walk| walk.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic)));
    for real in [&one, &other] {
        let differences = differences(&built_in, real);
        assert!(differences.is_empty(), "{}", differences.join("\n"));
        demand_records(real);
        demand_pass(real, "dns.search-and-order", "desk `www` in office.test");
    }
    let posts = |run: &Run| {
        let post = |e: &EngineRun| format!("{} {} {}", e.node, e.service, e.engine);
        run.engines.iter().map(post).collect::<Vec<_>>()
    };
    let routers = ["edge advertisements radvd", "fw advertisements radvd"];
    let servers = ["names resolver unbound", "names dhcpv6 kea", "web dns nsd", "web dhcpv6 kea"];
    assert_eq!(posts(&one), [&routers[..], &servers].concat());
    let servers =
        ["names resolver bind", "names dhcpv6 dnsmasq", "web dns bind", "web dhcpv6 dnsmasq"];
    assert_eq!(posts(&other), [&["edge dhcpv6 dnsmasq"][..], &servers].concat());

    let expected = [
        "l2.ra-plan/flags fw (advertisement on office)",
        "svc.dhcpv6/options web (DHCPv6 options for servers)",
    ];
    let expected = BTreeSet::from(expected.map(str::to_owned));
    for engines in [ONE, OTHER] {
        let place = Place::new();
        let faults = place.write("faults.toml", MISLED, 0o644);
        let faults = faults.to_str().expect("text");
        let only = ["--phases", "dual-stack", "--only", "l2.ra-plan", "--only", "svc.dhcpv6"];
        let bent = ["--engine", engines, "--fault", faults];
        let run = place.run_of(&testbed, &[&only[..], &bent].concat());
        let heads: BTreeSet<_> =
            run.findings.iter().map(|f| format!("{}/{} {}", f.check, f.case, f.culprit)).collect();
        assert_eq!(heads, expected, "{engines}");
    }
}

/// What a program cannot do is said before the walk, and not left out.
#[test]
fn what_a_program_cannot_do_for_a_link_is_said_at_once() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let refused = |testbed: &Path, arguments: &[&str]| {
        let output = Place::new().walk_of(testbed, arguments);
        assert_eq!(output.status.code(), Some(2));
        String::from_utf8_lossy(&output.stderr).into_owned()
    };
    let said =
        refused(&root.join("testbed/translation.toml"), &["--engine", "advertisements=radvd"]);
    // That of Debian 12; later ones can.
    if said.contains("2.19") {
        assert!(
            said.contains("node `gateway` is to announce the translation prefix 2001:db8:64::/96"),
            "{said}"
        );
        assert!(said.contains("which `radvd` can after version 2.19"), "{said}");
    }

    let place = Place::new();
    let leased = fs::read_to_string(root.join("tests/faults/testbeds/leased.toml")).expect("there");
    let with = |node: &str, engines: &str| {
        let head = format!("[node.{node}]\n");
        let text = leased.replace(&head, &format!("{head}engines = {engines}\n"));
        place.write("testbed.toml", &text, 0o644)
    };
    let said = refused(&with("edge", r#"{ dhcpv6 = "kea" }"#), &[]);
    assert!(
        said.contains("node `edge` is to relay from annex to 2001:db8:1::")
            && said.contains("and it relays nothing"),
        "{said}"
    );
    let said = refused(&with("web", r#"{ advertisements = "radvd" }"#), &[]);
    assert!(
        said.contains("node `web` announces nothing, so that `radvd` has nothing to do"),
        "{said}"
    );
    let said = refused(&with("fw", r#"{ advertisements = "kea" }"#), &[]);
    assert!(said.contains("engines for `advertisements` are radvd"), "{said}");
}

#[test]
fn an_ordinary_user_has_every_service() {
    let phases = ["--phases", "dual-stack,ipv6-only"];
    let walk =
        |choice: Choice| thread::spawn(move || Place::of_ordinary_user().run(choice, &phases));
    let [built_in, one, other] = [BUILT_IN, ONE, OTHER]
        .map(walk)
        .map(|walk| walk.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic)));
    for real in [&one, &other] {
        let differences = differences_but_refusals(&built_in, real);
        assert!(differences.is_empty(), "{}", differences.join("\n"));
    }
}

const FAULTS: &str = r#"
[fault.deaf]
phase  = "dual-stack"
listen = { node = "server", service = "http", only = "ipv4" }

[fault.wide]
phase             = "dual-stack"
listen-everywhere = { node = "server", service = "ssh" }

[fault.gone]
phase = "dual-stack"
stop  = { node = "server", service = "ntp" }

[fault.elsewhere]
phase      = "dual-stack"
set-record = { node = "first", name = "secure.flat.test", address = "2001:db8::dead" }
"#;

#[test]
fn faults_hold_for_engines_or_are_refused() {
    let run = |choice: Choice| {
        thread::spawn(move || {
            let place = Place::new();
            let faults = place.write("faults.toml", FAULTS, 0o644);
            place
                .run(choice, &["--phases", "dual-stack", "--fault", faults.to_str().expect("text")])
        })
    };
    let [built_in, one, other] = [BUILT_IN, ONE, OTHER].map(run).map(|walk| walk.join().unwrap());
    let heads = |run: &Run| {
        let head = |f: &Finding| format!("{}/{} {}", f.check, f.case, f.culprit);
        run.findings.iter().map(head).collect::<Vec<_>>()
    };
    assert!(heads(&built_in).len() >= 3, "{:?}", heads(&built_in));
    assert_eq!(heads(&built_in), heads(&one));
    assert_eq!(heads(&built_in), heads(&other));

    for (fault, why) in [
        (
            r#"answer-wrongly = { node = "first", family = "ipv6", how = "nxdomain" }"#,
            "the engine `knot` of service `dns` of node `first` cannot be made to do this: to answer wrongly",
        ),
        (
            r#"delay = { node = "server", service = "http", family = "ipv6", ms = 500 }"#,
            "the engine `nginx` of service `http` of node `server` cannot be made to do this",
        ),
        (
            r#"set-record = { node = "first", name = "www.flat.test", alias = "secure.flat.test" }"#,
            "to serve an alias beside other records of its name",
        ),
    ] {
        let place = Place::new();
        let text = format!("[fault.x]\nphase = \"ipv4-only\"\n{fault}\n");
        let faults = place.write("faults.toml", &text, 0o644);
        let arguments = ["--phases", "ipv4-only", "--only", "svc.listen-families", "--fault"];
        let output = place.walk(ONE, &[&arguments[..], &[faults.to_str().expect("text")]].concat());
        let said = String::from_utf8_lossy(&output.stdout).into_owned();
        assert!(said.contains(why), "{said}");
    }
}

/// That a check has left something open for this reason, and that nobody is blamed.
fn demand_open(run: &Run, check: &str, why: &str) {
    let judged = run.phases.iter().flat_map(|p| &p.judgements);
    let mut of = judged.filter(|j| j.check == check && j.verdict == Verdict::NotTestable);
    assert!(of.any(|j| j.reason.contains(why)), "{check} is not open because of `{why}`");
    let blamed: Vec<_> = run.findings.iter().map(|f| f.culprit.to_string()).collect();
    assert!(blamed.is_empty(), "{blamed:?}");
}

/// What a program did that was to be a name server, as the record tells it.
fn troubles(place: &Place) -> (Run, String) {
    let choice = Choice { first: "knot", ..BUILT_IN };
    let quick = ["--phases", "ipv4-only", "--only", "svc.listen-families", "--only", "meta.*"];
    let run = place.run(choice, &quick);
    let walked = &run.phases[0];
    let troubles = [walked.deviations.clone(), walked.without.clone()].concat().join("\n");
    (run, troubles)
}

/// A command line that no other process has.
fn mark(number: u32) -> String {
    format!("sleep {}{number}", 900_000_000 + std::process::id())
}

fn is_running(mark: &str) -> bool {
    let line = mark.replace(' ', "\0");
    let processes = fs::read_dir("/proc").expect("/proc is mounted").flatten();
    let mut lines = processes.filter_map(|p| fs::read(p.path().join("cmdline")).ok());
    lines.any(|it| String::from_utf8_lossy(&it).contains(&line))
}

#[test]
fn a_program_that_dies_hangs_or_raves_is_told_and_the_walk_goes_on() {
    let dies = Place::new().fake("knotd", "echo 'no \u{1b}[31mway' >&2; exit 3");
    let (run, said) = troubles(&dies);
    assert!(
        said.contains("`knot` of service `dns` of node `first` has ended before it answered"),
        "{said}"
    );
    assert!(said.contains("exit status: 3") && said.contains("no \\u{1b}[31mway"), "{said}");
    demand_open(&run, "svc.listen-families", "has ended before it answered");

    let hangs = Place::new().fake("knotd", &format!("trap '' TERM\n{}", mark(1)));
    let (run, said) = troubles(&hangs);
    let why = "has not answered at 0.0.0.0:53 within 5s and is not started again";
    assert!(said.contains(&format!("{why}; it has said nothing")), "{said}");
    assert_eq!(run.engines[0].starts, 1, "once for all that a phase tells it");
    demand_open(&run, "svc.listen-families", why);
    assert!(!is_running(&mark(1)));

    let raves = Place::new().fake("knotd", "exec tr '\\0' '\\377' </dev/zero");
    let (_, said) = troubles(&raves);
    assert!(said.contains(&format!("{why}; its last words")), "{said}");
    assert!(said.len() < 4000, "{} octets", said.len());
    assert!(raves.log("first.dns.log").len() < 1 << 20);
}

/// It answers, leaves somebody behind in a session of his own, and is killed while it is needed.
#[test]
fn a_program_that_ends_while_it_is_needed_is_told() {
    let real = sixwalk::serve::daemon::find("knotd").expect("on Debian: apt install knot");
    let script = format!(
        "[ $1 = -c ] || exec {real} \"$@\"\nsetsid {} &\n{real} \"$@\" &\nsleep 2\nkill -9 $!\nexit 7",
        mark(2),
        real = real.display()
    );
    let place = Place::new().fake("knotd", &script);
    let choice = Choice { first: "knot", ..BUILT_IN };
    // Duplicate address detection and listening to the links take three seconds at least.
    let run = place.run(choice, &["--phases", "dual-stack"]);
    let said = [&run.phases[0].deviations[..], &run.phases[0].without].concat().join("\n");
    assert!(said.contains("has ended by itself (exit status: 7)"), "{said}");
    assert!(!is_running(&mark(2)));
}

/// A program to which `then` happens, once, with its process as `$!`, four seconds after one of its starts: far into a phase with
/// duplicate address detection.
fn once(program: &str, version: &str, then: &str) -> Place {
    let real = sixwalk::serve::daemon::find(program).expect("tests/run installs it");
    let script = format!(
        "[ \"$1\" != {version} ] || exec {real} \"$@\"\n{real} \"$@\" &\nsleep 4\nmkdir \"${{0%/*}}/once\" && {then}\nwait",
        real = real.display()
    );
    Place::new().fake(program, &script)
}

fn shipped(testbed: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join(testbed)
}

/// Hosts that live from what a program was to do for their links are blamed for nothing.
#[test]
fn who_lives_from_a_program_that_does_nothing_is_not_blamed() {
    const SMALL: &str = "testbed/small.toml";
    const LEASED: &str = "tests/faults/testbeds/leased.toml";
    let dies = || "echo no way >&2; exit 3".to_owned();
    let hangs = || format!("trap '' TERM\n{}", mark(4));
    let ended = "(exit status: 3)";
    let cases = [
        (SMALL, "radvd", dies(), "advertisements=radvd", "l2.neighbour-path", ended),
        (LEASED, "kea-dhcp6", dies(), "dhcpv6=kea", "svc.dhcpv6", ended),
        (LEASED, "dnsmasq", hangs(), "dhcpv6=dnsmasq", "svc.dhcpv6", "has not answered on"),
    ];
    let walks = cases.map(|(testbed, program, script, engine, check, why)| {
        thread::spawn(move || {
            let place = Place::new().fake(program, &script);
            let chosen = ["--phases", "dual-stack", "--engine", engine];
            let run = place.run_of(&shipped(testbed), &chosen);
            demand_open(&run, check, why);
            let gate = &run.phases[0].gate;
            assert!(matches!(gate, Gate::NotDecidable { .. }), "{engine}: {gate:?}");
        })
    });
    for walk in walks {
        walk.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic));
    }
    assert!(!is_running(&mark(4)));
}

/// One that is stopped while it is needed has not ended, and answers nobody.
#[test]
fn a_program_that_hangs_while_it_is_needed_is_told() {
    let place = once("unbound", "-V", "kill -STOP $!");
    let chosen = ["--phases", "dual-stack,ipv6-only", "--engine", "resolver=unbound"];
    let run = place.run_of(&shipped("testbed/small.toml"), &chosen);
    let why = "the engine `unbound` of service `resolver` of node `names` does not answer";
    let [hung, after] = &run.phases[..] else { panic!("{:?}", run.phases) };
    assert!(hung.deviations.iter().any(|said| said.contains(why)), "{:?}", hung.deviations);
    assert!(matches!(hung.gate, Gate::NotDecidable { .. }), "{:?}", hung.gate);
    assert!(run.findings.is_empty(), "{:?}", run.findings);
    assert!(after.deviations.is_empty(), "{:?}", after.deviations);
    assert_eq!(after.gate, Gate::Open);
}

/// The same of those that work beside a gateway: what a tunnel or a translation would be blamed for is left open, also where a
/// check has stopped the tunnel and started it again in between.
#[test]
fn a_program_beside_a_gateway_that_hangs_while_it_is_needed_is_told() {
    const CHARON: &str = "the engine `strongswan` of tunnel `offices` at node `gw-";
    let real = sixwalk::serve::daemon::find("charon-systemd").expect("tests/run unpacks it");
    let stops = format!("{} \"$@\" &\nsleep 4\nkill -STOP $!\nwait", real.display());
    let at_both = Place::new().fake("charon-systemd", &stops);
    let at_one = once("charon-systemd", "-", "kill -STOP $!");
    let carried =
        |place: &Place, phases| place.carry(&["--only", "vpn.*", "--phases", phases], &[]);
    let translates = once("tayga", "--mktun", "kill -STOP $!");
    let translated = translates.run_of(
        &shipped("testbed/translation.toml"),
        &["--engine", "nat64=tayga", "--phases", "ipv6-only"],
    );
    let tayga = "the engine `tayga` of translation `nat64` at node `border`";
    for (run, engine) in [
        (carried(&at_both, "ipv6-only"), CHARON),
        (carried(&at_one, "dual-stack,ipv6-only"), CHARON),
        (translated, tayga),
    ] {
        let [hung, after @ ..] = &run.phases[..] else { panic!("{engine}: no phase") };
        let said = hung.deviations.join("\n");
        let what = " hangs: somebody has stopped it";
        assert!(said.contains(engine) && said.contains(what), "{engine}: {said}");
        assert!(run.findings.is_empty(), "{engine}: {:?}", run.findings);
        assert!(matches!(hung.gate, Gate::NotDecidable { .. }), "{engine}: {:?}", hung.gate);
        for after in after {
            assert_eq!(after.deviations, [""; 0], "{engine} is started again");
        }
    }
}

/// What a program has started ends with it, and does not stand in the way of the next.
#[test]
fn whoever_a_program_has_left_behind_is_gone_before_the_next_one_starts() {
    for (program, version, engine) in
        [("nginx", "-v", "https=nginx"), ("radvd", "--version", "advertisements=radvd")]
    {
        let place = once(program, version, "kill -9 $! && exit 7");
        let chosen = ["--phases", "dual-stack,ipv6-only", "--engine", engine];
        let run = place.run_of(&shipped("testbed/small.toml"), &chosen);
        let [lost, after] = &run.phases[..] else { panic!("{:?}", run.phases) };
        let said = [&lost.deviations[..], &after.without].concat().join("\n");
        assert!(said.contains("has ended by itself (exit status: 7)"), "{engine}: {said}");
        assert!(run.findings.is_empty(), "{engine}: {:?}", run.findings);
        assert_eq!(after.deviations, [""; 0], "{engine}");
        assert_eq!(after.gate, Gate::Open, "{engine}");
        assert!(run.engines[0].starts > 1, "{engine}: it is started again");
    }
}

const OPEN: &str = r#"
[fault.near]
phase         = "dual-stack"
carry-wrongly = { node = "gw-a", how = "open-selectors" }

[fault.far]
phase         = "dual-stack"
carry-wrongly = { node = "gw-b", how = "open-selectors" }
"#;

/// Where the selectors around a program are open at both ends, its own are what keeps back a pair of subnets that is not coupled,
/// each of which is coupled with another.
#[test]
fn a_program_carries_couples_and_no_other_pairs() {
    let walk = |engine: &'static str| {
        let place = Place::new();
        let testbed = place.write("couples.toml", COUPLES, 0o644);
        let faults = place.write("faults.toml", OPEN, 0o644);
        let only =
            ["--only", "vpn.policy-enforced", "--only", "vpn.matrix", "--phases", "dual-stack"];
        let chosen = ["--engine", engine, "--fault", faults.to_str().expect("text")];
        place.run_of(&testbed, &[&only[..], &chosen].concat())
    };
    let received = |run: &Run| {
        let all = run.phases.iter().flat_map(|phase| &phase.judgements);
        let complaints =
            all.filter(|j| j.check == "vpn.policy-enforced").filter_map(|j| j.complaint.as_ref());
        let of = |source: &str, to: &str| {
            let mut of = complaints.clone().filter(|it| it.case == "uncoupled");
            let one = of
                .find(|it| it.args["source"].starts_with(source) && it.args["to"].starts_with(to));
            one.map(|it| it.args["received"].clone())
        };
        [of("10.1.2.", "10.2.1."), of("2001:db8:1:2:", "2001:db8:2:1:")]
    };
    let through = received(&walk("vpn=built-in"));
    assert!(through.iter().all(|it| it.as_ref().is_some_and(|n| n != "0")), "{through:?}");
    let real = walk("vpn=strongswan");
    assert_eq!(received(&real), ["0", "0"].map(|none| Some(none.to_owned())));
    for couple in ["desk->files", "files->desk", "door->locks", "locks->door"] {
        for families in ["IPv4 in IPv4", "IPv6 in IPv4"] {
            demand_pass(&real, "vpn.matrix", &format!("offices: {families}, {couple}, large echo"));
        }
    }
}

/// That a program that was to carry a tunnel does something else is said, and nobody is left.
#[test]
fn a_program_that_does_not_carry_its_tunnel_is_told_and_the_walk_goes_on() {
    let walk = |script: &str, checks: &[&str], phases: &str| {
        let place = Place::new().fake("charon-systemd", script);
        let only: Vec<_> = checks.iter().flat_map(|check| ["--only", check]).collect();
        let run = place.carry(&only, &["--phases", phases]);
        let said = run.phases.last().expect("a phase").deviations.join("\n");
        (run, said)
    };
    let engine = "the engine `strongswan` of tunnel `offices` at node `gw-a`";

    let (run, said) = walk("echo no way >&2; exit 3", &["vpn.matrix"], "ipv4-only");
    let why = format!("{engine} has ended before it was ready (exit status: 3); its last words");
    assert!(said.contains(&why) && said.contains("no way"), "{said}");
    demand_open(&run, "vpn.matrix", "has ended before it was ready");

    // It is waited for once, though a phase and a check would start it again.
    let hangs = format!("trap '' TERM\n{}", mark(3));
    let (run, said) = walk(&hangs, &["meta.settled", "vpn.fail-open"], "ipv4-only,dual-stack");
    let why = "was not ready within 5s and is not started again; it has said nothing";
    assert!(said.contains(&format!("{engine} {why}")), "{said}");
    assert!(run.engines.iter().all(|engine| engine.starts == 1), "{:?}", run.engines);
    assert!(run.findings.is_empty(), "{:?}", run.findings);
    assert!(!is_running(&mark(3)));

    // It has a control socket, and says there what nobody understands.
    let raves = format!("cd /run && exec perl -MIO::Socket::UNIX -e '{RAVES}'");
    let (_, said) = walk(&raves, &["meta.*"], "ipv4-only");
    let why = "a message of 4294967295 octets, more than the protocol allows";
    assert!(said.contains(&format!("{engine} is of no use: {why}")), "{said}");
}

/// Greets everybody by a length that no message has.
const RAVES: &str = r#"$s = IO::Socket::UNIX->new(Local => "charon.vici", Listen => 1); $c = $s->accept;
    print $c "\xff" x 64; $c->flush; sleep 60"#;

/// Each is killed after half a second: while addresses are still in duplicate address detection, and while questions are asked.
#[test]
fn a_program_that_drops_its_tunnel_is_told_and_started_again() {
    let real = sixwalk::serve::daemon::find("charon-systemd").expect("tests/run unpacks it");
    let script = format!("{} \"$@\" &\nsleep 0.5\nkill -9 $!\nexit 7", real.display());
    let place = Place::new().fake("charon-systemd", &script);
    let run = place.carry(&["--only", "vpn.matrix", "--phases", "ipv4-only,dual-stack"], &[]);
    let told = run.phases.iter().flat_map(|phase| phase.deviations.iter().chain(&phase.without));
    let said: Vec<_> = told.cloned().collect();
    let why = "at node `gw-a` has ended by itself (exit status: 7)";
    assert!(said.iter().any(|said| said.contains(why)), "{said:?}");
    // For each phase, and once more after the first of the second phase was gone.
    assert!(run.engines.iter().all(|engine| engine.starts >= 3), "{:?}", run.engines);
}

#[test]
fn what_is_not_there_or_does_not_fit_is_said_at_once() {
    let refused = |choice: Choice| {
        let output = Place::new().walk(choice, &[]);
        assert_eq!(output.status.code(), Some(2));
        String::from_utf8_lossy(&output.stderr).into_owned()
    };
    let said = refused(Choice { first: "unbound", ..BUILT_IN });
    assert!(
        said.contains("testbed.toml:38:24")
            && said.contains("engines for `dns` are knot, nsd, bind"),
        "{said}"
    );
    let said = refused(Choice { first: "knit", ..BUILT_IN });
    assert!(said.contains("testbed.toml:38:24") && said.contains("did you mean `knot`?"), "{said}");
    let said = refused(Choice { others: "http=nginz", ..BUILT_IN });
    assert!(said.contains("did you mean `nginx`?"), "{said}");
}
