//! `vpn.plug-and-play`: a box that comes from the factory carries every planned family after one integration file.

use std::collections::BTreeSet;

use crate::{
    check::{
        Case, Check, Text, UseCase, ask,
        couples::{self, Couple},
        management::{self, Conversation, Heard, Product},
        reading::{self, Judge},
    },
    model::{
        answer::Answer,
        evidence::{EvidenceId, Seen},
        experiment::Experiment,
        family::Family,
        finding::{Complaint, Confidence, Culprit, Depth, Packets, Scope, Severity},
        management::{Integration, Item},
        name::TunnelName,
        probe::{Probe, Question},
        service::{Port, Transport},
        tap::Tap,
        tunnel::TunnelAct,
        verdict::Judgement,
    },
    stage::Stage,
};

/// The check.
pub(super) struct PlugAndPlay;

/// Packets of each couple.
const PACKETS: u16 = 8;
/// Octets of payload, and at least so many octets inside for each.
const SIZE: u16 = 120;

/// Who is to blame.
const TUNNEL: &str = "integration file";
const ITEMS: &str = "items of the integration file";

static TEXT: Text = Text {
    id: "vpn.plug-and-play",
    title: "One file for both families",
    section: "S2 4.4",
    use_case: UseCase::Policies,
    question: "Does a VPN box that comes from the factory, and is given one file with the data of both ends, carry every planned \
               family then, by packets, octets and frames, and has it taken everything else that the file says?",
    good: "One file with the data of both ends brings up both families.",
    references: &["GEN6 D3.6.4 section 4.4", "RFC 4301 section 4.4.1"],
    cases: &[
        Case {
            name: "not-carried",
            finding: "{device} carries no {family} through {tunnel} after it was given the integration file.",
            expected: "Answers from {to}: the file couples its subnet.",
            observed: "{answered} of {sent} packets from {from} were answered after the file had been given once, {again} after it \
                       had been given twice. {other}. As planned, the tunnel carries them.",
            remedy: "Ask the manufacturer for a version that takes both families from the file; until then couple the subnets of \
                     {family} by hand.",
        },
        Case {
            name: "second-upload",
            finding: "{device} carries {family} through {tunnel} only after it was given the integration file twice.",
            expected: "Answers from {to} after the file has been given once.",
            observed: "{answered} of {sent} packets from {from} were answered after the file had been given once, {again} after it \
                       had been given twice. {other}.",
            remedy: "Give the file twice where boxes are prepared, and ask the manufacturer for a version that needs it once.",
        },
        Case {
            name: "ignored",
            finding: "{device} does not take {items} from the integration file of {tunnel}, and says nothing of it.",
            expected: "All {entered} items for this box, as the file has them.",
            observed: "The file was taken without a complaint; at {at}, {left} of them are shown.",
            remedy: "Enter the missing items by hand, and ask the manufacturer for a version that takes them or refuses the file.",
        },
        Case {
            name: "refused",
            finding: "{device} does not take the integration file of {tunnel}.",
            expected: "The file is taken.",
            observed: "At {at}: “{said}”.",
            remedy: "Compare the file with what the manual of the box says of its form. Where the box refuses a family, ask the \
                     manufacturer for a version that takes both, and couple the subnets of that family by hand until then.",
        },
    ],
};

impl Check for PlugAndPlay {
    fn text(&self) -> &'static Text {
        &TEXT
    }

    fn ask(&self, stage: &Stage) -> Vec<Experiment> {
        boxes(stage).iter().map(|device| device.given(stage, 1)).collect()
    }

    fn follow_up(&self, stage: &Stage, seen: &Seen<'_>) -> Vec<Experiment> {
        let boxes = boxes(stage).into_iter().filter(|device| {
            let heard = device.file(1).heard(seen);
            let refused = heard.is_ok_and(|heard| heard.refusal("file").is_some());
            !refused && device.couples.iter().any(|couple| Prepared::misses(seen, couple))
        });
        boxes.map(|device| device.given(stage, 2)).collect()
    }

    fn judge(&self, stage: &Stage, seen: &Seen<'_>) -> Vec<Judgement> {
        let judge = Judge(&TEXT);
        let found =
            boxes(stage).iter().flat_map(|device| device.judge(judge, stage, seen)).collect();
        judge
            .or_not_applicable(found, "no box that ends a tunnel can be given a file in this phase")
    }
}

/// A box with what one of its tunnels couples, as it sees it.
struct Prepared<'s> {
    product: Product<'s>,
    /// Which of its tunnels it is, counted from 0: orders to the box for each are told apart by it.
    number: u8,
    couples: Vec<Couple>,
}

/// Every box once, whoever can speak to it, with each of its tunnels that have keys.
fn boxes(stage: &Stage) -> Vec<Prepared<'_>> {
    let mut names = BTreeSet::new();
    let products = management::of_stage(stage).into_iter();
    let products = products.filter(|product| names.insert(product.device.name.clone()));
    let of_box = |product: Product<'_>| {
        let name = &product.device.name;
        couples::by_tunnel(stage, |c| c.gateway == *name && c.end.kind.is_encrypted())
    };
    products
        .flat_map(|product| {
            let tunnels = (0..).zip(of_box(product));
            tunnels.map(move |(number, couples)| Prepared { product, number, couples })
        })
        .collect()
}

/// The moments at which a tunnel is looked at.
const BLANK: &str = "from the factory";
const GIVEN: &str = "after its integration file";

impl Prepared<'_> {
    fn first(&self) -> &Couple {
        &self.couples[0]
    }

    fn integration(&self) -> Integration {
        self.product.integration(&self.first().end)
    }

    /// The file, so many times.
    fn file(&self, times: u8) -> Conversation {
        self.product.given(&self.integration(), times)
    }

    fn factory(&self, times: u8) -> Probe {
        Probe { round: self.number * 2 + times, ..self.product.factory().probe() }
    }

    fn moment(when: &str, times: u8) -> String {
        format!("{when}, {times}")
    }

    /// Packets after the file was given so many times; after none, the tunnel is as planned again.
    fn stream(couple: &Couple, times: u8) -> Probe {
        let to = couple.path.destination;
        let question =
            Question::Stream { to, packets: PACKETS, size: SIZE, class: 0, opened: false };
        // Rounds that no other check has for packets of its own.
        Probe { round: 100 + times, ..ask::probe(couple.from(), question) }
    }

    /// What carries the tunnel, outside.
    fn frames(&self, times: u8) -> Option<Tap> {
        let carriage = self.first().path.carried.as_deref()?;
        let tap = carriage.taps(self.first().from()).into_iter().next()?;
        let device = &self.product.device.name;
        Some(Tap { label: format!("what carries {device} given its file {times}"), ..tap })
    }

    /// All tunnels of the box are as planned again.
    fn put_back(&self, stage: &Stage, times: u8) -> Vec<Probe> {
        let (first, device) = (self.first(), &self.product.device.name);
        let moment = format!("after vpn.plug-and-play of {}, {times}", first.end.tunnel);
        let of = |tunnel: &TunnelName, act| {
            let (tunnel, moment) = (tunnel.clone(), moment.clone());
            ask::probe(device, Question::Tunnel { tunnel, act, moment })
        };
        let mut probes = vec![of(&first.end.tunnel, TunnelAct::Stop)];
        let ends = stage.nodes[device].tunnels.iter();
        probes.extend(ends.map(|end| of(&end.tunnel, TunnelAct::Start)));
        probes
    }

    /// The box from the factory is given its file; then what it carries; and then the tunnel is put back as planned, which
    /// shows whether that carries.
    fn given(&self, stage: &Stage, times: u8) -> Experiment {
        let first = self.first();
        let streams = |times| self.couples.iter().map(move |couple| Self::stream(couple, times));
        let mut probes = vec![self.factory(times)];
        probes.extend(first.count(&Self::moment(BLANK, times)));
        probes.push(self.file(times).probe());
        probes.extend(streams(times));
        probes.extend(first.count(&Self::moment(GIVEN, times)));
        probes.extend(self.put_back(stage, times));
        if times == 1 {
            probes.extend(streams(0));
        } else {
            // A packet that has keys agreed on again.
            probes.push(Self::stream(first, 10 + times));
        }
        let taps = self.frames(times).into_iter().collect();
        Experiment { taps, probes, in_order: true, alone: true, ..Experiment::default() }
    }

    /// Packets sent and answered after the file was given so many times.
    fn carried(seen: &Seen<'_>, couple: &Couple, times: u8) -> Option<(EvidenceId, [u16; 2])> {
        match seen.answer(&Self::stream(couple, times))? {
            (id, Answer::Stream { sent, answered, .. }) => Some((id, [*sent, *answered])),
            _ => None,
        }
    }

    fn answered(seen: &Seen<'_>, couple: &Couple, times: u8) -> u16 {
        Self::carried(seen, couple, times).map_or(0, |(_, [_, answered])| answered)
    }

    /// Whether a couple is not carried after the file, and is as planned.
    fn misses(seen: &Seen<'_>, couple: &Couple) -> bool {
        Self::answered(seen, couple, 1) == 0 && Self::answered(seen, couple, 0) > 0
    }

    fn judge(&self, judge: Judge, stage: &Stage, seen: &Seen<'_>) -> Vec<Judgement> {
        let file = match self.prepared(seen) {
            Ok(heard) => heard,
            Err((reason, evidence)) => {
                let of = |subject| judge.not_testable(subject, reason.clone(), evidence.clone());
                return self.subjects().map(of).collect();
            }
        };
        if let Some(said) = file.refusal("file") {
            let args = [("said", said)];
            let complaint = self.complaint(stage, "refused", None, args);
            let of = |subject| judge.fail(subject, [file.id], complaint.clone());
            return self.subjects().map(of).collect();
        }
        let couples = self.couples.iter();
        let mut found: Vec<_> =
            couples.map(|couple| self.of_couple(judge, stage, seen, couple, &file)).collect();
        found.push(self.of_items(judge, stage, seen, &file));
        found
    }

    fn subject(&self, couple: &Couple) -> String {
        format!("{}, {}", self.product.device.name, couple.subject())
    }

    fn subject_of_items(&self) -> String {
        format!("{}, {}: other items", self.product.device.name, self.first().end.tunnel)
    }

    fn subjects(&self) -> impl Iterator<Item = String> {
        let couples = self.couples.iter().map(|couple| self.subject(couple));
        couples.chain([self.subject_of_items()])
    }

    /// What the box said when it was given its file, if it carried nothing before.
    fn prepared<'e>(&self, seen: &Seen<'e>) -> Result<Heard<'e>, (String, Vec<EvidenceId>)> {
        let none = |reason: &str, evidence| Err((reason.to_owned(), evidence));
        match seen.answer(&self.factory(1)) {
            None => return none("it was not asked", Vec::new()),
            Some((id, Answer::Dialogue { replies, .. })) => {
                if !replies.first().is_some_and(|(reply, _)| reply.is_done()) {
                    return none("the box was not set back to how it comes", vec![id]);
                }
            }
            Some((id, answer)) => return Err((reading::describe(answer), vec![id])),
        }
        let [own, _] = self.first().count(&Self::moment(BLANK, 1));
        let Some((id, Answer::Tunnels(states))) = seen.answer(&own) else {
            return none("the box was not read", Vec::new());
        };
        let tunnel = &self.first().end.tunnel;
        if states.iter().any(|state| state.end.tunnel == *tunnel && state.running) {
            return none("the box still had its tunnel, so the file proves nothing", vec![id]);
        }
        self.file(1).heard(seen)
    }

    fn of_couple(
        &self,
        judge: Judge,
        stage: &Stage,
        seen: &Seen<'_>,
        couple: &Couple,
        file: &Heard<'_>,
    ) -> Judgement {
        let subject = self.subject(couple);
        let mut evidence = vec![file.id];
        let times = [1, 2, 0].map(|times| Self::carried(seen, couple, times));
        evidence.extend(times.iter().flatten().map(|(id, _)| *id));
        let [Some((_, [sent, answered])), again, planned] = times else {
            return judge.not_testable(subject, "no packets were sent", evidence);
        };
        if answered == 0 {
            if planned.is_none_or(|(_, [_, answered])| answered == 0) {
                let reason = "the tunnel does not carry it as planned either: see vpn.matrix";
                return judge.blocked(subject, reason, evidence);
            }
            let again = again.map_or(0, |(_, [_, answered])| answered);
            let case = if again > 0 { "second-upload" } else { "not-carried" };
            let args = [
                ("from", couple.from().to_string()),
                ("to", couple.path.destination.to_string()),
                ("answered", answered.to_string()),
                ("sent", sent.to_string()),
                ("again", again.to_string()),
                ("other", self.other_family(seen, couple)),
            ];
            let complaint = self.complaint(stage, case, Some(couple.inner()), args);
            return judge.fail(subject, evidence, complaint);
        }
        match self.passed(seen, &mut evidence) {
            Ok(words) => judge.absent(subject, words, evidence),
            Err(reason) => judge.not_testable(subject, reason, evidence),
        }
    }

    /// What both gateways counted and what was seen outside, while every couple was tried. An error is why that is not
    /// enough for what was answered.
    fn passed(&self, seen: &Seen<'_>, evidence: &mut Vec<EvidenceId>) -> Result<String, String> {
        let first = self.first();
        let read = |when| first.counted(seen, &Self::moment(when, 1));
        let (Some((ids, before)), Some((later, after))) = (read(BLANK), read(GIVEN)) else {
            return Err("a gateway was not read".to_owned());
        };
        evidence.extend(ids.into_iter().chain(later));
        let answered =
            self.couples.iter().map(|c| u64::from(Self::answered(seen, c, 1))).sum::<u64>();
        let sent = after[0].sent.octets.saturating_sub(before[0].sent.octets);
        let came = after[1].received.octets.saturating_sub(before[1].received.octets);
        let reading = self.frames(1).and_then(|tap| seen.reading(&tap));
        evidence.extend(reading.iter().map(|(id, _)| *id));
        let frames = reading.map_or(0, |(_, reading)| reading.frames);
        if sent.min(came) < answered * u64::from(SIZE) || frames < answered {
            let reason =
                "the gateways counted less than was answered: it did not go through the tunnel";
            return Err(reason.to_owned());
        }
        Ok(format!(
            "{answered} packets were answered after one file: {sent} octets went in, {came} came out at the other gateway, in \
             {frames} frames outside"
        ))
    }

    fn other_family(&self, seen: &Seen<'_>, couple: &Couple) -> String {
        let other = couple.inner().other();
        match self.couples.iter().find(|twin| twin.inner() == other) {
            Some(twin) => {
                let answered = Self::answered(seen, twin, 1);
                format!("Of {other} from the same file, {answered} of {PACKETS} were answered")
            }
            None => format!("{other} is not planned here"),
        }
    }

    /// What the file says beside the tunnel. Where nothing of a family was taken, that says it all.
    fn of_items(
        &self,
        judge: Judge,
        stage: &Stage,
        seen: &Seen<'_>,
        file: &Heard<'_>,
    ) -> Judgement {
        let (subject, device) = (self.subject_of_items(), &self.product.device.name);
        let items = |file: &Integration| {
            let own = file.sides(device).map(|[own, _]| &own.items);
            own.into_iter().flatten().map(Item::canonical).collect::<BTreeSet<_>>()
        };
        let wanted = items(&self.integration());
        if wanted.is_empty() {
            return judge.not_applicable(subject, "the plan gives the box nothing else to know");
        }
        let shown = |file: &Heard<'_>| {
            file.reply("taken")
                .and_then(|(reply, _)| reply.value::<Integration>())
                .map(|f| items(&f))
        };
        let Some(mut taken) = shown(file) else {
            let reason = "the box does not show what it has taken";
            return judge.not_testable(subject, reason, [file.id]);
        };
        if wanted.is_subset(&taken) {
            return judge.pass(subject, [file.id]);
        }
        let mut evidence = vec![file.id];
        let lacks = |item: &Item, times| {
            let of = |couple: &&Couple| Some(couple.inner()) == item.family();
            let mut couples = self.couples.iter().filter(of);
            couples.any(|couple| {
                Self::misses(seen, couple) && Self::answered(seen, couple, times) == 0
            })
        };
        let ignored = |taken: &BTreeSet<Item>, times| -> Vec<Item> {
            let missing = wanted.difference(taken);
            missing.filter(|item| !lacks(item, times)).cloned().collect()
        };
        let mut missing = ignored(&taken, 1);
        // A box that needs its file twice may ignore something of it all the same.
        if missing.is_empty()
            && let Ok(again) = self.file(2).heard(seen)
            && let Some(later) = shown(&again)
        {
            evidence.push(again.id);
            missing = ignored(&later, 2);
            taken = later;
        }
        if missing.is_empty() {
            let reason = "a family that the box does not carry lacks its items too";
            return judge.blocked(subject, reason, evidence);
        }
        let complaint = self.ignores(stage, &wanted, &taken, &missing);
        judge.fail(subject, evidence, complaint)
    }

    fn ignores(
        &self,
        stage: &Stage,
        wanted: &BTreeSet<Item>,
        taken: &BTreeSet<Item>,
        missing: &[Item],
    ) -> Complaint {
        let words: Vec<_> =
            missing.iter().map(|item| format!("the {} {}", item.kind.word(), item.value)).collect();
        let families: BTreeSet<_> = missing.iter().filter_map(Item::family).collect();
        let family = families.first().copied().filter(|_| families.len() == 1);
        let args = [
            ("items", words.join(", ")),
            ("entered", wanted.len().to_string()),
            ("left", wanted.intersection(taken).count().to_string()),
        ];
        self.complaint(stage, "ignored", family, args)
    }

    /// What a box makes of a file is felt by nobody else: the tunnel of the phase is as planned.
    fn complaint<const N: usize>(
        &self,
        stage: &Stage,
        case: &str,
        family: Option<Family>,
        args: [(&str, String); N],
    ) -> Complaint {
        let device = &self.product.device.name;
        let scope = Scope {
            family,
            to: Some(device.clone()),
            port: Some(Port { transport: Transport::Tcp, number: self.product.port.port }),
            packets: Some(Packets::Content),
            ..Scope::default()
        };
        // Who carries only what is given twice may ignore something besides: neither explains the other.
        let part = if case == "ignored" { ITEMS } else { TUNNEL };
        let culprit = Culprit::node(device, part);
        let mut complaint = reading::complaint(stage, case, culprit, scope, args);
        let place = [
            ("device", device.to_string()),
            ("tunnel", self.first().end.tunnel.to_string()),
            ("at", self.product.device_address().to_string()),
            ("family", family.map_or_else(String::new, |family| family.to_string())),
        ];
        complaint.args.extend(place.map(|(name, value)| (name.to_owned(), value)));
        Complaint {
            severity: Severity::Minor,
            confidence: Confidence::High,
            depth: Depth::Located,
            ..complaint
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::check::management::tests;
    use crate::{
        check::fixture::{self, Network},
        model::{management::Quirk, phase::Phase, verdict::Verdict},
    };

    #[test]
    fn boxes_that_make_everything_of_one_file_are_silent() {
        tests::assert_silent(&PlugAndPlay);
        for (phase, couples) in [(Phase::Ipv4Only, 1), (Phase::Partial, 2), (Phase::Ipv6Only, 1)] {
            let judged = tests::network(phase).ask(&[&PlugAndPlay]);
            assert!(judged.iter().all(|j| j.verdict == Verdict::Pass), "{phase}: {judged:#?}");
            assert_eq!(judged.len(), 2 * (couples + 1), "{phase}");
        }
    }

    /// The cases that a quirk of gateway-a leads to; all of them blame its file.
    fn cases(phase: Phase, quirk: Quirk) -> Vec<String> {
        cases_of(&tests::network(phase).quirk("gateway-a", quirk))
    }

    fn cases_of(network: &Network) -> Vec<String> {
        let found = fixture::complaints(&PlugAndPlay, network);
        for (case, at) in &found {
            let part = if case == "ignored" { ITEMS } else { TUNNEL };
            assert_eq!(*at, format!("gateway-a ({part})"));
        }
        found.into_iter().map(|(case, _)| case).collect()
    }

    #[test]
    fn a_box_that_takes_one_family_is_found_in_each_phase_with_both_and_that_is_all_of_it() {
        for phase in [Phase::Partial, Phase::DualStack] {
            assert_eq!(cases(phase, Quirk::IntegratesIpv4Alone), ["not-carried"], "{phase}");
        }
        assert!(cases(Phase::Ipv4Only, Quirk::IntegratesIpv4Alone).is_empty());
    }

    #[test]
    fn a_second_upload_and_an_ignored_item_are_told_apart() {
        assert_eq!(cases(Phase::DualStack, Quirk::NeedsSecondUpload), ["second-upload"]);
        assert_eq!(cases(Phase::DualStack, Quirk::IgnoresIpv6Time), ["ignored"]);
        assert!(cases(Phase::DualStack, Quirk::LosesIpv6Time).is_empty(), "that is lost later");
    }

    #[test]
    fn a_second_upload_hides_no_ignored_item() {
        let network = tests::network(Phase::DualStack)
            .quirk("gateway-a", Quirk::NeedsSecondUpload)
            .quirk("gateway-a", Quirk::IgnoresIpv6Time);
        assert_eq!(cases_of(&network), ["second-upload", "ignored"]);
    }

    #[test]
    fn a_box_that_refuses_its_file_is_found_once_for_everything() {
        assert_eq!(cases(Phase::DualStack, Quirk::RefusesIpv6), ["refused"; 3]);
        assert!(cases(Phase::Ipv4Only, Quirk::RefusesIpv6).is_empty(), "there is none in it");
    }

    #[test]
    fn where_the_tunnel_does_not_carry_as_planned_the_file_is_not_to_blame() {
        let silent = tests::network(Phase::DualStack).bend(|probe, answer| {
            if let (Question::Stream { to, .. }, Answer::Stream { answered, .. }) =
                (&probe.question, answer)
                && to.is_ipv6()
            {
                *answered = 0;
            }
        });
        let judged = silent.ask(&[&PlugAndPlay]);
        assert!(judged.iter().all(|j| !j.verdict.is_bad()), "{judged:#?}");
        assert!(judged.iter().any(|j| j.verdict == Verdict::Blocked), "{judged:#?}");
    }

    #[test]
    fn an_answer_that_did_not_go_through_the_tunnel_proves_nothing() {
        let uncounted = tests::network(Phase::DualStack).bend(|_, answer| {
            if let Answer::Tunnels(states) = answer {
                for state in states {
                    state.counters.received.octets = 0;
                }
            }
        });
        let judged = uncounted.ask(&[&PlugAndPlay]);
        let open = judged.iter().filter(|j| j.verdict == Verdict::NotTestable).count();
        assert_eq!(open, 4, "{judged:#?}");
    }
}
