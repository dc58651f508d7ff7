//! Section 2.3.6: how users with IPv6 alone reached what has IPv4 alone: who told them the prefix, what they reached over it
//! in each phase, whom the log knows, and how long the translator remembers (S4, NAT64).

use std::sync::Arc;

use super::{
    Page, Source, cell,
    phrase::{code, joined, words},
};
use crate::{
    check::translated::{self, Use},
    model::{
        answer::Answer,
        evidence::{About, Evidence},
        translation::{Mapping, Timers, Translated, Translation, TranslatorState},
        verdict::Judgement,
    },
    report::document::{Inline, Line},
    stage::Stage,
};

/// What a phase shows of its translations.
struct Told<'r> {
    stage: Stage,
    judgements: &'r [Judgement],
    evidence: &'r [Evidence],
}

pub(super) fn write(page: &mut Page, source: Source<'_>) {
    let testbed = Arc::new(source.run.testbed.clone());
    let walked = source.run.phases.iter().map(|walked| Told {
        stage: Stage::new(&testbed, walked.phase),
        judgements: &walked.judgements,
        evidence: source.evidence,
    });
    let told: Vec<_> = walked.filter(|told| told.stage.translations().next().is_some()).collect();
    if told.is_empty() {
        return;
    }
    page.heading(4, "2.3.6 Translation");
    page.line([
        Inline::text(
            "Users with IPv6 alone reach hosts with IPv4 alone under addresses of a translation prefix. ",
        ),
        Inline::see("translation-learned"),
        Inline::text(" names who tells them the prefix, and "),
        Inline::see("translation-reached"),
        Inline::text(
            " what they reached over it: all of that would be lost without translation, so it still depends on IPv4.",
        ),
    ]);
    page.table(
        "translation-learned",
        "The translation prefix, and who tells it",
        ["Phase", "Prefix", "Translator and pool", "Told by", "How", "Verdict"],
        told.iter().flat_map(Told::learned).collect(),
    );
    page.table(
        "translation-reached",
        "What was reached over translation",
        ["Phase", "From and to", "Under the address", "TCP", "UDP", "Echo", "Large packets"],
        told.iter().flat_map(Told::reached).collect(),
    );
    logged(page, &told);
    page.line([
        Inline::text("How long the translator keeps what it has learned shows "),
        Inline::see("translation-timers"),
        Inline::text(", beside the least that RFC 6146 section 4 allows."),
    ]);
    page.table(
        "translation-timers",
        "Timers of the translator",
        ["Phase and translator", "What is kept", "For, in seconds", "At least"],
        told.iter().flat_map(Told::timers).collect(),
    );
}

fn logged(page: &mut Page, told: &[Told<'_>]) {
    page.line([
        Inline::text("Hosts see addresses of the pool alone. "),
        Inline::see("translation-log"),
        Inline::text(
            " shows what the log of the translator tells of each user: its first line for each protocol, and whether its \
             lines were found right.",
        ),
    ]);
    let rows: Vec<_> = told.iter().flat_map(Told::logged).collect();
    page.table(
        "translation-log",
        "Who had which address of the pool",
        ["Phase", "User", "Protocol", "Address and port or identifier", "Shown as", "Verdict"],
        if rows.is_empty() {
            let nothing = || words("none");
            vec![[nothing(), words("no line was read"), nothing(), nothing(), nothing(), nothing()]]
        } else {
            rows
        },
    );
}

impl<'r> Told<'r> {
    fn phase(&self) -> Line {
        words(self.stage.phase.to_string())
    }

    /// The worst verdict of those judgements of a check whose subject fits.
    fn verdict(&self, check: &str, fits: impl Fn(&str) -> bool) -> Line {
        cell::judged(self.judgements.iter().filter(|j| j.check == check && fits(&j.subject)))
    }

    /// Phase, prefix, translator, by whom, how, verdict.
    fn learned(&self) -> Vec<[Line; 6]> {
        self.stage.translations().flat_map(|translation| self.learned_of(translation)).collect()
    }

    fn learned_of(&self, translation: &Translation) -> Vec<[Line; 6]> {
        let row = |by: Line, how: &str, verdict| {
            [
                self.phase(),
                code(translation.prefix.to_string()),
                joined([code(translation.gateway.as_str()), code(translation.pool.to_string())]),
                by,
                words(how),
                verdict,
            ]
        };
        let mut rows = Vec::new();
        for resolver in &translation.resolvers {
            let by = || code(resolver.as_str());
            let at = format!(" at {resolver} ");
            let synthesis = self.verdict("dns64.synth", |subject| subject.contains(&at));
            rows.push(row(
                by(),
                "AAAA records made up for names with IPv4 alone (DNS64)",
                synthesis,
            ));
            let begins = format!("{resolver} ");
            let known = self.verdict("dns64.prefix-discovery", |s| s.starts_with(&begins));
            rows.push(row(by(), "AAAA records of ipv4only.arpa (RFC 7050)", known));
        }
        for (name, node) in &self.stage.nodes {
            for interface in &node.interfaces {
                let announced = interface.advertises.iter().flat_map(|a| &a.pref64);
                if !announced.clone().any(|prefix| *prefix == translation.prefix) {
                    continue;
                }
                let segment = &interface.segment;
                let subject = format!("{segment}/{name}");
                let verdict = self.verdict("dns64.prefix-discovery", |s| s == subject);
                let mut by = code(name.as_str());
                by.push(Inline::text(" on "));
                by.extend(code(segment.as_str()));
                rows.push(row(by, "PREF64 in Router Advertisements (RFC 8781)", verdict));
            }
        }
        rows
    }

    /// Phase, from and to, address, TCP, UDP, echo, large packets.
    fn reached(&self) -> Vec<[Line; 7]> {
        let uses = translated::uses(&self.stage);
        let mut pairs = Vec::<&Use<'_>>::new();
        for one in &uses {
            if !pairs.iter().any(|other| is_same_way(one, other)) {
                pairs.push(one);
            }
        }
        let row = |pair: &&Use<'_>| {
            let carried = |what: &str| {
                let mine = uses.iter().filter(|o| o.carried == what && is_same_way(o, pair));
                let subjects: Vec<_> = mine.map(Use::subject).collect();
                self.verdict("x64.reach", |subject| subjects.iter().any(|mine| mine == subject))
            };
            let way = format!("{}->{} ", pair.from(), pair.to);
            [
                self.phase(),
                words(format!("{} to {}", pair.from(), pair.to)),
                code(pair.way.address.to_string()),
                carried("TCP"),
                carried("UDP"),
                carried("echo"),
                self.verdict("x64.pmtu-and-fragments", |subject| subject.starts_with(&way)),
            ]
        };
        pairs.iter().map(row).collect()
    }

    /// Each translator as it stood when it was looked at last in the phase.
    fn states(&self) -> Vec<&'r TranslatorState> {
        let mut last = Vec::<&TranslatorState>::new();
        for piece in self.evidence.iter().filter(|piece| piece.phase == self.stage.phase) {
            let About::Probe { answer: Answer::Translators(states), .. } = &piece.about else {
                continue;
            };
            for state in states {
                last.retain(|known| known.told.translation != state.told.translation);
                last.push(state);
            }
        }
        last
    }

    /// Phase, user, protocol, address, shown as, verdict.
    fn logged(&self) -> Vec<[Line; 6]> {
        let mut known = Vec::<&Mapping>::new();
        for mapping in self.states().into_iter().flat_map(|state| &state.mappings) {
            let same =
                |other: &&Mapping| (other.what, other.user.0) == (mapping.what, mapping.user.0);
            if !known.iter().any(same) {
                known.push(mapping);
            }
        }
        known.sort_by_key(|mapping| (mapping.user.0, mapping.what));
        known.into_iter().map(|mapping| self.line(mapping)).collect()
    }

    fn line(&self, mapping: &Mapping) -> [Line; 6] {
        let owner = self.stage.owner(mapping.user.0.into()).map(|(name, _)| name.to_string());
        let verdict = self.verdict("x64.log-mapping", |subject| Some(subject) == owner.as_deref());
        let protocol = match mapping.what {
            Some(Translated::Tcp) => "TCP",
            Some(Translated::Udp) => "UDP",
            Some(Translated::Echo) => "echo",
            None => "all",
        };
        let (user, shown) = match (mapping.what, mapping.user, mapping.shown) {
            (None, (user, _), (shown, _)) => (user.to_string(), shown.to_string()),
            (_, (user, port), (shown, of)) => (format!("[{user}]:{port}"), format!("{shown}:{of}")),
        };
        [
            self.phase(),
            owner.as_deref().map_or_else(|| words("not of the plan"), code),
            words(protocol),
            code(user),
            code(shown),
            verdict,
        ]
    }

    /// Phase and translator, what, for how long, at least.
    fn timers(&self) -> Vec<[Line; 4]> {
        let of_state = |state: &TranslatorState| {
            let of = format!("{}, {}", self.stage.phase, state.told.translation);
            let Some(timers) = &state.timers else {
                let kept = format!("no sessions: {}", state.engine);
                return vec![[words(&of), words(kept), words("none"), words("none")]];
            };
            let kept = timers.named().into_iter().zip(Timers::LEAST.named());
            kept.map(|((what, is), (_, least))| {
                [words(&of), words(what), words(is.to_string()), words(least.to_string())]
            })
            .collect::<Vec<_>>()
        };
        self.states().into_iter().flat_map(of_state).collect()
    }
}

/// The same user, the same host, the same address of it.
fn is_same_way(one: &Use<'_>, other: &Use<'_>) -> bool {
    (one.from(), &one.to, one.way.address) == (other.from(), &other.to, other.way.address)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::{
        evidence::EvidenceId,
        name::NodeName,
        phase::Phase,
        probe::{Aspect, Probe, Question},
        verdict::Verdict,
    };

    fn stage(phase: Phase) -> Stage {
        let text = include_str!("../../../testbed/fokus.toml");
        let testbed = crate::input::testbed("fokus.toml", text).expect("the reference testbed");
        Stage::new(&Arc::new(testbed), phase)
    }

    fn judged(check: &str, subject: String, verdict: Verdict) -> Judgement {
        Judgement {
            check: check.to_owned(),
            subject,
            verdict,
            reason: String::new(),
            evidence: Vec::new(),
            complaint: None,
        }
    }

    /// The translator of the provider, looked at after one user was answered.
    fn looked_at(stage: &Stage, user: &NodeName) -> Evidence {
        let told = stage.nodes["provider-a"].translators[0].clone();
        let address = stage.addresses(
            user,
            crate::model::segment::Plane::Data,
            crate::model::family::Family::V6,
        );
        let Some(std::net::IpAddr::V6(address)) = address.first().copied() else {
            panic!("a user with IPv6")
        };
        let mapping = |what, port| Mapping {
            what: Some(what),
            user: (address, port),
            shown: (told.pool[0], port),
            since_ms: 7,
        };
        let state = TranslatorState {
            mappings: vec![
                mapping(Translated::Echo, 3),
                mapping(Translated::Tcp, 50_000),
                mapping(Translated::Tcp, 50_001),
            ],
            told,
            engine: "NAT64".to_owned(),
            timers: Some(Timers { udp_s: 30, ..Timers::default() }),
            translated: 4,
            dropped: 0,
        };
        Evidence {
            id: EvidenceId(1),
            phase: stage.phase,
            at_us: 0,
            took_us: 0,
            about: About::Probe {
                probe: Probe {
                    from: "provider-a".parse().expect("a name"),
                    question: Question::Inspect(Aspect::Translators),
                    round: 0,
                },
                answer: Answer::Translators(vec![state]),
            },
        }
    }

    #[test]
    fn who_tells_the_prefix_what_was_reached_and_who_it_was_is_told() {
        let stage = stage(Phase::Ipv6Only);
        let user: NodeName = "workplace-1".parse().expect("a name");
        let uses = translated::uses(&stage);
        let verdict = |one: &Use<'_>| {
            let lost = one.carried == "echo" && *one.from() == user;
            if lost { Verdict::Fail } else { Verdict::Pass }
        };
        let judgements: Vec<_> =
            uses.iter().map(|one| judged("x64.reach", one.subject(), verdict(one))).collect();
        let evidence = [looked_at(&stage, &user)];
        let told = Told { stage: stage.clone(), judgements: &judgements, evidence: &evidence };

        let plain = |line: &Line| line.iter().map(Inline::plain).collect::<String>();
        let learned: Vec<_> = told.learned().iter().map(|row| plain(&row[3])).collect();
        assert_eq!(
            learned,
            ["resolver-a", "resolver-a", "gateway-a on admin-lan", "provider-a on internet"]
        );
        let reached = told.reached();
        assert_eq!(reached.len(), 3, "each user and host once: {reached:?}");
        let mine = reached.iter().find(|row| plain(&row[1]) == "workplace-1 to register");
        let mine: Vec<_> = mine.expect("a row of the user").iter().map(plain).collect();
        assert_eq!(mine[2], "2001:db8:f:64::c000:232");
        assert_eq!(mine[3..], ["\u{2714} pass", "\u{2714} pass", "\u{2718} fail", "not asked"]);
        let logged: Vec<_> = told.logged().iter().map(|row| plain(&row[2])).collect();
        assert_eq!(logged, ["TCP", "echo"], "the first line of each protocol");
        let timers: Vec<_> = told.timers().iter().map(|row| row.each_ref().map(plain)).collect();
        assert_eq!(timers[0], ["IPv6-only, nat64", "UDP", "30", "120"]);
    }

    #[test]
    fn a_phase_without_translation_tells_nothing() {
        assert_eq!(stage(Phase::DualStack).translations().count(), 0);
    }
}
