//! Do the routers announce what the plan says?

use crate::{
    check::{
        Case, Check, Text, UseCase, advertisement, ask,
        reading::{Judge, REPETITIONS, complaint},
    },
    model::{
        answer::HeardAdvertisement,
        evidence::{EvidenceId, Seen},
        experiment::Experiment,
        family::Family,
        finding::{Complaint, Confidence, Culprit, Depth, Scope, Severity},
        name::{NodeName, SegmentName},
        phase::Phase,
        probe::Probe,
        verdict::Judgement,
    },
    stage::{Stage, StagedAdvertisement, StagedInterface},
};

/// Solicits on every link and compares each planned router's advertisement field by field.
pub(super) struct RaPlan;

const TEXT: Text = Text {
    id: "l2.ra-plan",
    title: "Router Advertisements are as planned",
    section: "S2 5.2",
    use_case: UseCase::NetworkServices,
    question: "Does every planned router announce itself, the prefix, the flags, the MTU and the DNS servers of the plan?",
    good: "Every planned router announces what the plan says.",
    references: &["RFC 4861 section 6", "RFC 8106", "RFC 5942"],
    cases: &[
        Case {
            name: "silent",
            finding: "{router} sends no Router Advertisements on {segment}.",
            expected: "Router Advertisements of {router} with lifetime {lifetime} s and prefix {prefix}.",
            observed: "No Router Advertisement of {router} came, neither solicited nor by itself.",
            remedy: "Let {router} send Router Advertisements on this interface: hosts lose their default route without them.",
        },
        Case {
            name: "on-link",
            finding: "The Router Advertisement of {router} on {segment} differs from the plan in the on-link flag: {differences}.",
            expected: "The Prefix Information for {prefix} as planned.",
            observed: "{differences}.",
            remedy: "Set the on-link flag, or declare it off where it is meant so: without it, hosts send what is for their neighbours through the router.",
        },
        Case {
            name: "lifetime",
            finding: "The Router Advertisement of {router} on {segment} has another router lifetime than planned: {differences}.",
            expected: "Router lifetime {lifetime} s.",
            observed: "{differences}.",
            remedy: "Set the router lifetime as planned; with 0, hosts do not use the router at all.",
        },
        Case {
            name: "prefix",
            finding: "{router} does not announce the prefix of {segment} as planned: {differences}.",
            expected: "Prefix {prefix} alone, with the flags of the plan.",
            observed: "{differences}.",
            remedy: "Announce the planned prefix with the planned flags and no other.",
        },
        Case {
            name: "dns",
            finding: "{router} announces other DNS servers on {segment} than planned: {differences}.",
            expected: "The recursive DNS servers of the plan (RFC 8106).",
            observed: "{differences}.",
            remedy: "Announce the planned resolvers: without them, hosts in an IPv6-only network resolve no names.",
        },
        Case {
            name: "mtu",
            finding: "{router} announces an MTU on {segment} that the link does not have: {differences}.",
            expected: "The MTU of the link.",
            observed: "{differences}.",
            remedy: "Announce the MTU of the link, or none.",
        },
        Case {
            name: "flags",
            finding: "The flags that {router} announces on {segment} are not those of the plan: {differences}.",
            expected: "The flags of the plan, in a packet with hop limit 255, and a low preference (RFC 4191) of all but the first router.",
            observed: "{differences}.",
            remedy: "Set the flags as planned: they tell hosts whether to form addresses themselves and whether to ask DHCPv6.",
        },
    ],
};

impl Check for RaPlan {
    fn text(&self) -> &'static Text {
        &TEXT
    }

    fn ask(&self, stage: &Stage) -> Vec<Experiment> {
        vec![advertisement::solicit(stage)]
    }

    fn follow_up(&self, stage: &Stage, seen: &Seen<'_>) -> Vec<Experiment> {
        let silent = subjects(stage)
            .into_iter()
            .filter(|s| s.said(stage, seen).is_ok_and(|(_, said)| said.is_none()));
        let mut probes = Vec::new();
        for subject in silent {
            let again = |round| advertisement::solicitation(stage, subject.segment, round);
            probes.extend((1..=REPETITIONS).filter_map(again));
            probes.extend(subject.control(stage));
        }
        vec![Experiment::of_probes(probes)]
    }

    fn judge(&self, stage: &Stage, seen: &Seen<'_>) -> Vec<Judgement> {
        let subjects = subjects(stage);
        let mut found = Vec::new();
        for subject in &subjects {
            let judgement = subject.judge(stage, seen);
            found.extend(subject.dependents(stage, &judgement));
            found.push(judgement);
        }
        Judge(&TEXT).or_not_applicable(found, "no Router Advertisements are planned in this phase")
    }
}

/// A router that is to announce on a link.
struct Subject<'s> {
    segment: &'s SegmentName,
    router: &'s NodeName,
    interface: &'s StagedInterface,
    planned: &'s StagedAdvertisement,
    /// The first of the plan must announce; the others may.
    is_default: bool,
}

fn subjects(stage: &Stage) -> Vec<Subject<'_>> {
    let mut found = Vec::new();
    for segment in advertisement::links(stage) {
        for (at, (router, interface, planned)) in
            advertisement::planned(stage, segment).into_iter().enumerate()
        {
            found.push(Subject { segment, router, interface, planned, is_default: at == 0 });
        }
    }
    found
}

/// What one field says against what it should say, and the case that it belongs to.
type Difference = (&'static str, String);

impl Subject<'_> {
    /// What the router said when asked: `None` if nothing.
    fn said(
        &self,
        stage: &Stage,
        seen: &Seen<'_>,
    ) -> Result<(Vec<EvidenceId>, Option<HeardAdvertisement>), String> {
        let (evidence, heard) = advertisement::heard(stage, seen, self.segment)?;
        let mine = heard.into_iter().rfind(|h| advertisement::is_from(h, self.interface.mac));
        Ok((evidence, mine))
    }

    /// The same node asks the router by ping: is the link alive at all?
    fn control(&self, stage: &Stage) -> Option<Probe> {
        let asker = advertisement::solicitation(stage, self.segment, 0)?.from;
        let address = self.interface.addresses.iter().find(|a| a.family() == Family::V6)?;
        Some(ask::ping(&asker, address.ip()))
    }

    fn judge(&self, stage: &Stage, seen: &Seen<'_>) -> Judgement {
        let judge = Judge(&TEXT);
        let name = format!("{}/{}", self.segment, self.router);
        let (mut evidence, said) = match self.said(stage, seen) {
            Ok(said) => said,
            Err(reason) => return judge.not_testable(name, reason, []),
        };
        let Some(said) = said else {
            if !self.is_default {
                return judge.info(name, "a standby router that is silent now", evidence);
            }
            let control = self.control(stage).and_then(|probe| seen.answer(&probe));
            evidence.extend(control.map(|(id, _)| id));
            return match control {
                Some((_, answer)) if answer.is_answered() => {
                    let nothing = "no Router Advertisement".to_owned();
                    judge.fail(name, evidence, self.complaint(stage, "silent", nothing))
                }
                _ => judge.blocked(name, "the router does not answer pings either", evidence),
            };
        };
        let differences = self.differences(&said);
        let Some((case, _)) = differences.first() else { return judge.pass(name, evidence) };
        let words: Vec<_> = differences.iter().map(|(_, words)| words.as_str()).collect();
        judge.fail(name, evidence, self.complaint(stage, case, words.join("; ")))
    }

    /// The hosts that derive their addresses and routes from a router that does not announce as planned.
    fn dependents(&self, stage: &Stage, judgement: &Judgement) -> Vec<Judgement> {
        let Some(complaint) = &judgement.complaint else { return Vec::new() };
        let accepts = |name: &&NodeName| {
            let mut interfaces = stage.nodes[*name].interfaces.iter();
            interfaces.any(|i| i.segment == *self.segment && i.accepts_advertisements)
        };
        let hosts = stage.nodes.keys().filter(accepts);
        hosts
            .map(|host| {
                let scope = Scope {
                    family: Some(Family::V6),
                    nodes: vec![host.clone()],
                    ..Scope::default()
                };
                let complaint = Complaint { scope, ..complaint.clone() };
                let subject = format!("{} for {host}", judgement.subject);
                Judge(&TEXT).fail(subject, judgement.evidence.clone(), complaint)
            })
            .collect()
    }

    /// Where what was said is not what is planned, worst first.
    fn differences(&self, said: &HeardAdvertisement) -> Vec<Difference> {
        let mut found = Vec::new();
        let plan = &self.planned.plan;
        let mut compare = |case, what: &str, observed: String, expected: String| {
            if observed != expected {
                found.push((case, format!("{what} is {observed} instead of {expected}")));
            }
        };
        compare(
            "lifetime",
            "the router lifetime",
            format!("{} s", said.lifetime_s),
            format!("{} s", plan.lifetime_s),
        );
        let prefixes: Vec<_> = said.prefixes.iter().map(|p| p.prefix.trunc().to_string()).collect();
        compare("prefix", "the prefix", list(&prefixes), self.planned.prefix.trunc().to_string());
        for prefix in said.prefixes.iter().filter(|p| p.prefix.trunc() == self.planned.prefix) {
            compare("on-link", "flag L", flag(prefix.on_link), flag(plan.on_link));
            compare("prefix", "flag A", flag(prefix.autonomous), flag(plan.autonomous));
        }
        let addresses = |dns: &[std::net::IpAddr]| {
            list(&dns.iter().map(ToString::to_string).collect::<Vec<_>>())
        };
        compare(
            "dns",
            "the list of DNS servers",
            addresses(&said.dns),
            addresses(&self.planned.dns),
        );
        // A router need not announce an MTU; one that does must tell the truth (RFC 4861 section 4.6.4).
        let mtu = said.mtu.unwrap_or(self.planned.mtu);
        compare("mtu", "the MTU", mtu.to_string(), self.planned.mtu.to_string());
        compare("flags", "flag M", flag(said.managed), flag(plan.managed));
        compare("flags", "flag O", flag(said.other), flag(plan.other));
        let preference = if self.is_default { "medium" } else { "low" };
        compare("flags", "the preference", said.preference.clone(), preference.to_owned());
        compare("flags", "the hop limit", said.hop_limit.to_string(), "255".to_owned());
        found
    }

    fn complaint(&self, stage: &Stage, case: &str, differences: String) -> Complaint {
        let culprit =
            Culprit::node(self.router, format!("advertisement on {}", self.interface.name));
        let scope = Scope {
            family: Some(Family::V6),
            segments: vec![self.segment.clone()],
            ..Scope::default()
        };
        let args = [
            ("router", self.router.to_string()),
            ("segment", self.segment.to_string()),
            ("differences", differences),
            ("lifetime", self.planned.plan.lifetime_s.to_string()),
            ("prefix", self.planned.prefix.to_string()),
        ];
        let cuts_off = matches!(case, "silent" | "lifetime" | "prefix");
        Complaint {
            severity: match case {
                "flags" => Severity::Minor,
                _ if cuts_off && stage.phase == Phase::Ipv6Only => Severity::Critical,
                _ => Severity::Major,
            },
            confidence: Confidence::High,
            depth: Depth::Announced,
            ..complaint(stage, case, culprit, scope, args)
        }
    }
}

fn flag(on: bool) -> String {
    if on { "set" } else { "not set" }.to_owned()
}

fn list(items: &[String]) -> String {
    if items.is_empty() { "none".to_owned() } else { items.join(", ") }
}
