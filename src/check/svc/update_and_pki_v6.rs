//! `svc.update-and-pki-v6`: the mirrors that a list names, and whom certificates have their users ask whether they are revoked,
//! are there over every family that those who need them have, and answer as well over one as over the other.

use std::net::{IpAddr, SocketAddr};

use crate::{
    check::{
        Case, Check, Text, UseCase, ask, legs,
        names::{self, Heard},
        pages,
        reach::Leg,
        reading::{self, Judge, Reached},
        translated,
    },
    model::{
        answer::Page,
        evidence::{EvidenceId, Seen},
        experiment::Experiment,
        family::{Families, Family},
        finding::{Complaint, Confidence, Culprit, Depth, Packets, Scope, Severity},
        flow::Traffic,
        name::{DomainName, NodeName},
        node::Node,
        phase::Phase,
        probe::{Probe, Question},
        segment::Plane,
        service::{Port, Service, Transport},
        translation::Translation,
        verdict::Judgement,
    },
    stage::{Expect, Path, Stage},
    wire::reference::{self, Host, MIRRORS, Reference},
};

/// The check.
pub(super) struct UpdateAndPki;

/// How many addresses of a name are tried in a family.
const MOST: usize = 8;

static TEXT: Text = Text {
    id: "svc.update-and-pki-v6",
    title: "Updates and certificates",
    section: "S4",
    use_case: UseCase::NetworkServices,
    question: "Are the mirrors that a list names, and the CRL and OCSP addresses that a certificate names, there over every family \
               that those who need them have, and is the HTTP status as good over one as over the other? Every address of a name \
               is asked, up to eight. What a mirror holds or a responder says is not read, a status of 400 or above over every \
               family is told as information, and time-stamps, licence servers and certificates issued on the way (ACME) are \
               not asked for.",
    good: "Mirrors, lists of revoked certificates and OCSP responders are there over every planned family, and answer alike.",
    references: &[
        "RFC 5280 section 4.2",
        "RFC 6960",
        "RFC 7381 section 2.4.3",
        "RFC 3986 section 3.2.2",
        "RFC 9110 section 15",
    ],
    cases: &[
        Case {
            name: "one-family",
            finding: "{source} sends its users to {url}, where nothing is over {family}: {why}.",
            expected: "A name with an address of {family}, which answers.",
            observed: "{from} was told of {url}. {why}.",
            remedy: "Name it by a name, and give the name addresses of both families, each with a service behind it. Otherwise take \
                     it out of the list, keep a mirror or a responder of your own, or have it fetched by a proxy. Certificates \
                     must be issued anew.",
        },
        Case {
            name: "unreachable",
            finding: "{source} sends its users to {url}, and {from} gets nothing of it at {address}.",
            expected: "An answer from every address of it: {all}.",
            observed: "{why}. Of {all}, {dead} did not answer.",
            remedy: "Let the mirror or responder listen on the family and open the port on the way, or take its address of that \
                     family out of the name. Programs that go round a list fail every time that they come to it.",
        },
        Case {
            name: "refused",
            finding: "{source} sends its users to {url}, which answers {status} over {family} and {good} over {other}.",
            expected: "A status over {family} that is as good as that over {other}.",
            observed: "{from} got {status} from {address}, and {good} from {twin}.",
            remedy: "Look at the virtual host, the access list and the back end behind the address of {family}. Programs that got \
                     an answer do not try the other family.",
        },
    ],
};

impl Check for UpdateAndPki {
    fn text(&self) -> &'static Text {
        &TEXT
    }

    fn ask(&self, stage: &Stage) -> Vec<Experiment> {
        vec![Experiment::of_probes(readers(stage).into_iter().map(|reader| reader.page))]
    }

    fn follow_up(&self, stage: &Stage, seen: &Seen<'_>) -> Vec<Experiment> {
        let readers = readers(stage);
        let pages: Vec<_> = readers.iter().map(|reader| reader.page.clone()).collect();
        let named = readers.iter().flat_map(|reader| reader.references(seen));
        let (mut lookups, mut fetches) = (Vec::new(), Vec::new());
        for told in named {
            fetches.extend(told.fetches(stage, seen));
            lookups.extend(told.lookups(stage));
        }
        let mut experiments = reading::repeat_unanswered(seen, &pages);
        experiments.extend(reading::repeat_unanswered(seen, &lookups));
        experiments.extend(reading::repeat_unanswered(seen, &fetches));
        experiments.push(Experiment::of_probes(lookups.into_iter().chain(fetches)));
        experiments
    }

    fn judge(&self, stage: &Stage, seen: &Seen<'_>) -> Vec<Judgement> {
        let mut found = Vec::new();
        for reader in readers(stage) {
            let references = reader.references(seen);
            if reader.shown(seen).is_none() {
                let subject = format!("{}->{}", reader.user.name, reader.source());
                found.push(Judge(&TEXT).blocked(subject, "the page did not come", []));
            }
            found.extend(references.iter().flat_map(|reference| reference.judge(stage, seen)));
        }
        let reason =
            "nobody shows a list of mirrors, and no certificate names a CRL or an OCSP responder";
        Judge(&TEXT).or_not_applicable(found, reason)
    }
}

/// Somebody who is told of mirrors by a list, or of responders by a certificate.
struct Reader<'s> {
    user: &'s Node,
    node: &'s Node,
    service: &'s Service,
    /// The families over which the user reaches the service: those in which the rest is needed too.
    families: Families,
    /// The page with the list, or any page behind the certificate.
    page: Probe,
    is_list: bool,
}

/// One of each site, or of what belongs to no site, with the same families: all of them take the same ways out. Who asks nobody
/// for names, as a resolver itself, cannot tell what a name leads to.
fn readers(stage: &Stage) -> Vec<Reader<'_>> {
    let mut found = Vec::<Reader<'_>>::new();
    for exchange in stage.exchanges() {
        let nodes = &stage.testbed.nodes;
        let (user, node) = (&nodes[&exchange.from], &nodes[&exchange.to]);
        let named = exchange.service.as_ref().and_then(|name| node.service(name.as_str()));
        let Some(service) = named.filter(|service| service.is_web()) else { continue };
        let lists = (!service.mirrors.is_empty()).then_some((MIRRORS, true));
        let shows = (!service.revocation.is_empty()).then_some((service.path.as_str(), false));
        let told: Vec<_> = lists.into_iter().chain(shows).collect();
        if told.is_empty() || names::resolvers_of(stage, &user.name).next().is_none() {
            continue;
        }
        let targets = Family::ALL.into_iter().flat_map(|family| stage.targets(&exchange, family));
        let ways: Vec<_> = targets
            .filter_map(|to| match stage.expect(&exchange, to) {
                Expect::Reach(path) => Some(path),
                _ => None,
            })
            .collect();
        let Some(way) = ways.last() else { continue };
        let families: Families = ways.iter().map(Path::family).collect();
        for (path, is_list) in told {
            let is_known = |known: &Reader<'_>| {
                (&known.user.site, known.families) == (&user.site, families)
                    && (&known.node.name, &known.service.name) == (&node.name, &service.name)
                    && known.is_list == is_list
            };
            if !found.iter().any(is_known) {
                let page = ask::fetch(&user.name, service, way.destination, path);
                found.push(Reader { user, node, service, families, page, is_list });
            }
        }
    }
    found
}

impl<'s> Reader<'s> {
    fn shown<'e>(&self, seen: &Seen<'e>) -> Option<(EvidenceId, &'e Page)> {
        pages::shown(seen, &self.page).next()
    }

    fn references<'r>(&'r self, seen: &Seen<'_>) -> Vec<Told<'r, 's>> {
        let Some((by, page)) = self.shown(seen) else { return Vec::new() };
        let urls = if self.is_list { &page.listed } else { &page.revocation };
        let told = urls.iter().filter_map(|url| {
            let led = reference::read(url).ok()?;
            Some(Told { reader: self, url: url.clone(), led, by })
        });
        told.collect()
    }

    /// `the list of mirrors of portal`.
    fn source(&self) -> String {
        format!("the {} of {}", self.what(), self.node.name)
    }

    fn what(&self) -> &'static str {
        if self.is_list { "list of mirrors" } else { "certificate" }
    }

    /// The families that the user has by plan.
    fn has_in(&self, stage: &Stage, phase: Phase) -> Families {
        let segments = &stage.testbed.segments;
        let on_data = self.user.interfaces.iter();
        let on_data = on_data.filter(|on| segments[&on.segment].plane == Plane::Data);
        on_data.fold(Families::NONE, |all, on| all.or(*on.families.in_phase(phase)))
    }

    /// Whether the user's resolvers then make IPv6 addresses for names that have none (DNS64).
    fn is_helped_in(&self, stage: &Stage, phase: Phase) -> bool {
        let helps = |translation: &Translation| {
            let inside = &stage.testbed.segments[&translation.inside];
            let asked = translation.resolvers.iter().any(|by| self.user.resolvers.contains(by));
            asked && inside.families.in_phase(phase).is_dual()
        };
        stage.testbed.translations.values().any(helps)
    }
}

/// How an address answered.
struct Status {
    address: IpAddr,
    id: EvidenceId,
    code: u16,
}

impl Status {
    /// RFC 9110 section 15: errors of clients and of servers begin at 400.
    fn is_good(&self) -> bool {
        self.code < 400
    }
}

/// Something that a reader is told of.
struct Told<'r, 's> {
    reader: &'r Reader<'s>,
    url: String,
    led: Reference,
    /// Where the reader was told of it.
    by: EvidenceId,
}

impl Told<'_, '_> {
    fn user(&self) -> &NodeName {
        &self.reader.user.name
    }

    fn is_tls(&self) -> bool {
        self.led.tls.unwrap_or(true)
    }

    fn port(&self) -> u16 {
        self.led.port.unwrap_or(if self.is_tls() { 443 } else { 80 })
    }

    fn lookups(&self, stage: &Stage) -> Vec<Probe> {
        let server = names::resolvers_of(stage, self.user()).next();
        let asked = server.zip(self.led.name());
        asked.map_or_else(Vec::new, |(server, name)| names::both_families(&server, name).into())
    }

    /// Its addresses of a family; `None` where its name could not be looked up.
    fn addresses(&self, stage: &Stage, seen: &Seen<'_>, family: Family) -> Option<Vec<IpAddr>> {
        if let Host::Address(literal) = self.led.host {
            return Some(if Family::of(literal) == family { vec![literal] } else { Vec::new() });
        }
        let lookups = self.lookups(stage);
        let [new, old] = lookups.as_slice() else { return None };
        match names::heard(seen, if family == Family::V6 { new } else { old }) {
            Heard::Reply(_, reply) if reply.rcode != "ServFail" => {
                Some(names::addresses_in(reply, family).into_iter().take(MOST).collect())
            }
            _ => None,
        }
    }

    /// The name that holds the addresses: an alias is followed to its end.
    fn owner(&self, stage: &Stage, seen: &Seen<'_>) -> Option<DomainName> {
        let name = self.led.name()?;
        let heard =
            self.lookups(stage).into_iter().find_map(|asked| match names::heard(seen, &asked) {
                Heard::Reply(_, reply) => Some(names::end_of_aliases(reply, name)),
                _ => None,
            });
        Some(heard.unwrap_or(name).clone())
    }

    fn fetch(&self, address: IpAddr) -> Probe {
        let host = self.led.name().map_or_else(|| ask::url_host(address), ToString::to_string);
        let (tls, path) = (self.is_tls().then(|| host.clone()), self.led.path.clone());
        let to = SocketAddr::new(address, self.port());
        ask::probe(self.user(), Question::Fetch { to, tls, host, path })
    }

    /// Who keeps the user from an address by plan, in whichever family.
    fn kept_away_by(&self, stage: &Stage, address: IpAddr) -> Option<NodeName> {
        let way = stage.path(self.user(), address).ok()?;
        let to = way.nodes.last()?;
        let port = Port { transport: Transport::Tcp, number: self.port() };
        let traffic = Traffic::Port { word: port.to_string(), port };
        let filter = way.transit().iter().find(|node| stage.testbed.nodes[*node].role.filters());
        filter.filter(|_| !stage.is_allowed(self.user(), to, &traffic)).cloned()
    }

    fn fetches(&self, stage: &Stage, seen: &Seen<'_>) -> Vec<Probe> {
        let families = self.reader.families.iter();
        let addresses = families.filter_map(|family| self.addresses(stage, seen, family)).flatten();
        let addresses = addresses.filter(|address| self.kept_away_by(stage, *address).is_none());
        addresses.map(|address| self.fetch(address)).collect()
    }

    fn judge(&self, stage: &Stage, seen: &Seen<'_>) -> Vec<Judgement> {
        let has_later = |phase| self.reader.has_in(stage, phase).has(Family::V6);
        // A literal stays what it is: it is told before the family comes in which it leads nowhere.
        let is_old = matches!(self.led.host, Host::Address(IpAddr::V4(_)));
        let foretold = is_old && stage.phase.later().any(has_later);
        let families = Family::ALL.into_iter().filter(|family| {
            self.reader.families.has(*family) || foretold && *family == Family::V6
        });
        families.map(|family| self.in_family(stage, seen, family)).collect()
    }

    fn in_family(&self, stage: &Stage, seen: &Seen<'_>, family: Family) -> Judgement {
        let judge = Judge(&TEXT);
        let subject = format!("{}->{} over {family}", self.user(), self.url);
        let Some(addresses) = self.addresses(stage, seen, family) else {
            return judge.not_testable(subject, "the name could not be looked up", [self.by]);
        };
        let mut evidence = vec![self.by];
        evidence
            .extend(self.lookups(stage).iter().filter_map(|p| seen.answer(p)).map(|(id, _)| id));
        if addresses.is_empty() {
            return self.missing(stage, seen, family, (subject, evidence));
        }
        let mut dead = Vec::new();
        for address in &addresses {
            if let Some(by) = self.kept_away_by(stage, *address) {
                let reason = format!("{by} keeps {} from it by plan", self.user());
                return judge.info(subject, reason, evidence);
            }
            let Some(consensus) = reading::consensus(seen, &self.fetch(*address)) else {
                return judge.not_testable(subject, "it was not asked", evidence);
            };
            evidence.extend(consensus.evidence.iter().copied());
            match consensus.reached() {
                Reached::Yes | Reached::Sometimes { .. } => {}
                Reached::Unknown(reason) => return judge.not_testable(subject, reason, evidence),
                Reached::No => dead.push((*address, consensus.telling)),
            }
        }
        match dead.first() {
            Some((first, telling)) => {
                let all: Vec<_> = addresses.iter().map(ToString::to_string).collect();
                let how = reading::describe(telling);
                let args = [
                    ("why", format!("{first}: {how}")),
                    ("dead", dead.len().to_string()),
                    ("all", all.join(", ")),
                ];
                let mut complaint = self.complaint_at(stage, seen, "unreachable", *first, args);
                complaint.scope.packets = legs::large(Some(telling));
                judge.fail(subject, evidence, complaint)
            }
            None => self.answered(stage, seen, family, (subject, evidence)),
        }
    }

    /// The status that each address of a family answered with, where it did.
    fn statuses(&self, stage: &Stage, seen: &Seen<'_>, family: Family) -> Vec<Status> {
        let addresses = self.addresses(stage, seen, family).unwrap_or_default();
        let answered = addresses.into_iter().filter_map(|address| {
            let (id, page) = pages::shown(seen, &self.fetch(address)).next()?;
            Some(Status { address, id, code: page.status })
        });
        answered.collect()
    }

    /// It is there in a family. What it says there is held against the other one alone: whether a bare question to a responder
    /// is a good one, or a mirror shows its root, is for none of them to say.
    fn answered(
        &self,
        stage: &Stage,
        seen: &Seen<'_>,
        family: Family,
        (subject, mut evidence): (String, Vec<EvidenceId>),
    ) -> Judgement {
        let judge = Judge(&TEXT);
        let (own, others) =
            (self.statuses(stage, seen, family), self.statuses(stage, seen, family.other()));
        let Some(bad) = own.iter().find(|status| !status.is_good()) else {
            return judge.pass(subject, evidence);
        };
        let Some(good) = others.iter().find(|status| status.is_good()) else {
            let reason = format!(
                "{} answers {}, and nothing better comes over {}",
                bad.address,
                bad.code,
                family.other()
            );
            return judge.info(subject, reason, evidence);
        };
        evidence.push(good.id);
        let args = [
            ("status", bad.code.to_string()),
            ("good", good.code.to_string()),
            ("other", family.other().to_string()),
            ("twin", good.address.to_string()),
        ];
        let complaint = self.complaint_at(stage, seen, "refused", bad.address, args);
        // Nobody who got an answer goes on to the other family.
        judge.fail(subject, evidence, Complaint { severity: Severity::Major, ..complaint })
    }

    /// It leads nowhere in a family. Whoever has the other one beside it does not notice.
    fn missing(
        &self,
        stage: &Stage,
        seen: &Seen<'_>,
        family: Family,
        (subject, evidence): (String, Vec<EvidenceId>),
    ) -> Judgement {
        let reader = self.reader;
        let (why, is_name) = match &self.led.host {
            Host::Name(name) => (format!("{name} has no {} record", family.record_type()), true),
            Host::Address(literal) => {
                (format!("{literal} is an address of {}", family.other()), false)
            }
        };
        let alone = Families::only(family);
        let is_helped =
            |phase| is_name && family == Family::V6 && reader.is_helped_in(stage, phase);
        let mut bites_in: Vec<_> = stage
            .phase
            .later()
            .filter(|phase| reader.has_in(stage, *phase) == alone && !is_helped(*phase))
            .collect();
        // Whoever is helped now got an address.
        let hurts = stage.families(self.user(), Plane::Data) == alone;
        if hurts {
            bites_in.insert(0, stage.phase);
        }
        if self.is_dead(stage, seen, family.other()) {
            let reason = format!("{why}, and nothing answers over {} either", family.other());
            return Judge(&TEXT).blocked(subject, reason, evidence);
        }
        if bites_in.is_empty() {
            let reason = format!("{why}; nobody who reads it has {family} alone, now or later");
            return Judge(&TEXT).info(subject, reason, evidence);
        }
        let scope = Scope { packets: Some(Packets::Names), ..self.scope(stage, seen, family) };
        let complaint = self.complaint(stage, "one-family", scope, [("why", why)]);
        let severity = if hurts { Severity::Major } else { Severity::Minor };
        Judge(&TEXT).fail(subject, evidence, Complaint { severity, bites_in, ..complaint })
    }

    /// Whether nothing answers at any of its addresses of a family, where it has some and they were asked.
    fn is_dead(&self, stage: &Stage, seen: &Seen<'_>, family: Family) -> bool {
        let addresses = self.addresses(stage, seen, family).unwrap_or_default();
        let is_dead = |address: &IpAddr| {
            let consensus = reading::consensus(seen, &self.fetch(*address));
            consensus.is_some_and(|consensus| consensus.reached() == Reached::No)
        };
        !addresses.is_empty() && addresses.iter().all(is_dead)
    }

    /// It leads somewhere, and nothing is there, or nothing good: that costs everybody time who goes round the list.
    fn complaint_at<const N: usize>(
        &self,
        stage: &Stage,
        seen: &Seen<'_>,
        case: &str,
        address: IpAddr,
        args: [(&str, String); N],
    ) -> Complaint {
        let family = Family::of(address);
        let way = stage.path(self.user(), address).ok();
        let scope = way.map(|way| Leg::new(way, self.fetch(address)).scope());
        let Scope { family: of, name, port, .. } = self.scope(stage, seen, family);
        // What is translated suffers behind the translator, too.
        let translated = translated::uses(stage)
            .into_iter()
            .find(|one| one.from() == self.user() && one.leg.path.destination == address);
        let scope = translated.map(|one| one.scope()).or(scope).unwrap_or_default();
        let scope = Scope { family: of, name, port, ..scope };
        let alone = stage.families(self.user(), Plane::Data) == Families::only(family);
        let mut complaint = self.complaint(stage, case, scope, args);
        complaint.args.insert("address".to_owned(), address.to_string());
        complaint.severity = if alone { Severity::Major } else { Severity::Minor };
        complaint
    }

    fn scope(&self, stage: &Stage, seen: &Seen<'_>, family: Family) -> Scope {
        Scope {
            family: Some(family),
            name: self.owner(stage, seen),
            port: Some(Port { transport: Transport::Tcp, number: self.port() }),
            ..Scope::default()
        }
    }

    fn complaint<const N: usize>(
        &self,
        stage: &Stage,
        case: &str,
        scope: Scope,
        args: [(&str, String); N],
    ) -> Complaint {
        let host = match self.led.host {
            Host::Name(ref name) => name.to_string(),
            Host::Address(literal) => literal.to_string(),
        };
        let what = if self.reader.is_list { "mirror" } else { "revocation by" };
        let culprit = Culprit::node(&self.reader.node.name, format!("{what} {host}"));
        let family = scope.family.map(|family| family.to_string()).unwrap_or_default();
        let mut complaint = reading::complaint(stage, case, culprit, scope, args);
        let common = [
            ("source", self.reader.source()),
            ("from", self.user().to_string()),
            ("url", self.url.clone()),
            ("family", family),
        ];
        complaint.args.extend(common.map(|(name, value)| (name.to_owned(), value)));
        Complaint { confidence: Confidence::High, depth: Depth::Symptom, ..complaint }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        check::{
            fixture::{self, Network},
            management::tests,
        },
        model::{
            answer::Answer,
            record::{Record, RecordData, RecordType},
            verdict::Verdict,
        },
    };

    #[test]
    fn a_healthy_network_is_silent() {
        fixture::assert_silent_when_healthy(&UpdateAndPki);
        tests::assert_silent(&UpdateAndPki);
    }

    /// The portal's list of mirrors, or its certificate, names something else.
    fn naming(
        phase: Phase,
        list: &'static [&'static str],
        revocation: &'static [&'static str],
    ) -> Network {
        tests::network(phase).bend(move |probe, answer| {
            let Question::Fetch { path, .. } = &probe.question else { return };
            let Answer::Page { page: Some(page), .. } = answer else { return };
            let named = |urls: &[&str]| urls.iter().map(|url| (*url).to_owned()).collect();
            if path == MIRRORS {
                page.listed = named(list);
            }
            if !page.revocation.is_empty() {
                page.revocation = named(revocation);
            }
        })
    }

    #[track_caller]
    fn finds(network: &Network, wanted: &[(&str, &str)]) {
        let mut found = fixture::complaints(&UpdateAndPki, network);
        found.sort();
        found.dedup();
        let wanted: Vec<_> =
            wanted.iter().map(|(case, at)| ((*case).to_owned(), (*at).to_owned())).collect();
        assert_eq!(found, wanted);
    }

    const LIST: (&str, &str) = ("one-family", "portal (mirror 203.0.113.10)");
    const CERTIFICATE: (&str, &str) = ("one-family", "portal (revocation by 203.0.113.10)");

    #[test]
    fn literals_of_ipv4_are_found_in_lists_and_in_certificates_before_they_bite() {
        let literal: &[&str] = &["http://203.0.113.10/"];
        for phase in Phase::ALL {
            finds(&naming(phase, literal, &["http://portal.dc.test/"]), &[LIST]);
            finds(&naming(phase, &["http://portal.dc.test/"], literal), &[CERTIFICATE]);
        }
        let judged = naming(Phase::Ipv4Only, literal, literal).ask(&[&UpdateAndPki]);
        let complaints = judged.iter().filter_map(|judgement| judgement.complaint.as_ref());
        assert!(complaints.clone().all(|c| c.bites_in == [Phase::Ipv6Only]), "{judged:#?}");
        assert!(complaints.count() > 0);
    }

    #[test]
    fn a_name_without_aaaa_is_found_unless_addresses_are_made_for_its_readers() {
        let register: &[&str] = &["https://register.admin.test/"];
        let judged = naming(Phase::DualStack, register, register).ask(&[&UpdateAndPki]);
        let over_v6 = |reader: &str| {
            let subject = format!("{reader}->https://register.admin.test/ over IPv6");
            let mut judged = judged.iter().filter(|judgement| judgement.subject == subject);
            judged.next().map(|judgement| judgement.verdict)
        };
        assert_eq!(over_v6("visitor"), Some(Verdict::Fail), "{judged:#?}");
        assert_eq!(over_v6("workplace-1"), Some(Verdict::Info), "{judged:#?}");
        let both: &[&str] = &["https://portal.dc.test/", "http://www.dc.test/"];
        finds(&naming(Phase::DualStack, both, both), &[]);
        finds(&naming(Phase::DualStack, both, &[]), &[]);
    }

    #[test]
    fn a_mirror_that_is_deaf_on_ipv6_is_found() {
        let network = tests::network(Phase::DualStack).deafen("portal", "http", Family::V6);
        let found = fixture::complaints(&UpdateAndPki, &network);
        assert!(found.iter().any(|(case, _)| case == "unreachable"), "{found:?}");
    }

    /// Mirrors and responders answer 503 over these families.
    fn refusing(families: &'static [Family]) -> Network {
        tests::network(Phase::DualStack).bend(|probe, answer| {
            let Question::Fetch { to, path, .. } = &probe.question else { return };
            let Answer::Page { page: Some(page), .. } = answer else { return };
            if path != MIRRORS && families.contains(&Family::of(to.ip())) {
                page.status = 503;
            }
        })
    }

    #[test]
    fn an_error_over_one_family_is_found_and_one_over_both_is_none_of_a_family() {
        for family in Family::ALL {
            let network =
                refusing(if family == Family::V4 { &[Family::V4] } else { &[Family::V6] });
            let judged = network.ask(&[&UpdateAndPki]);
            let complaints: Vec<_> = judged.iter().filter_map(|j| j.complaint.as_ref()).collect();
            assert!(!complaints.is_empty(), "{judged:#?}");
            for complaint in complaints {
                assert_eq!(
                    (complaint.case.as_str(), complaint.scope.family),
                    ("refused", Some(family))
                );
                assert_eq!(
                    (complaint.args["status"].as_str(), complaint.args["good"].as_str()),
                    ("503", "200")
                );
            }
        }
        let judged = refusing(&Family::ALL).ask(&[&UpdateAndPki]);
        assert!(judged.iter().all(|judgement| judgement.complaint.is_none()), "{judged:#?}");
        assert!(judged.iter().any(|j| j.verdict == Verdict::Info && j.reason.contains("503")));
    }

    #[test]
    fn one_dead_address_of_several_is_found() {
        for family in Family::ALL {
            let dead: IpAddr = match family {
                Family::V4 => "203.0.113.99".parse().unwrap(),
                Family::V6 => "2001:db8:b:d::99".parse().unwrap(),
            };
            let mirror: DomainName = "mirror.dc.test".parse().unwrap();
            let network = tests::network(Phase::DualStack).bend(move |probe, answer| {
                let Question::Lookup { name, rtype, .. } = &probe.question else { return };
                let Answer::Dns { reply: Some(reply), .. } = answer else { return };
                if *name == mirror && *rtype == RecordType::of(family) {
                    let data = RecordData::Address(dead);
                    reply.answers.push(Record { name: mirror.clone(), data });
                }
            });
            let judged = network.ask(&[&UpdateAndPki]);
            let complaints: Vec<_> = judged.iter().filter_map(|j| j.complaint.as_ref()).collect();
            assert!(!complaints.is_empty(), "{judged:#?}");
            for complaint in complaints {
                assert_eq!(complaint.args["address"], dead.to_string());
                assert_eq!(
                    (complaint.args["dead"].as_str(), complaint.scope.family),
                    ("1", Some(family))
                );
            }
        }
    }
}
