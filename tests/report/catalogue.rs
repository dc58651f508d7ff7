//! A catalogue for the stored run, so that its report changes only when the report does.

use sixwalk::{
    check::{Case, Text, UseCase},
    report::Catalogue,
};

/// The checks of the stored run.
pub(crate) fn catalogue() -> Catalogue {
    TEXTS.iter().collect()
}

const NO_CASES: &[Case] = &[Case {
    name: "broken",
    finding: "{subject} is not as planned.",
    expected: "As planned.",
    observed: "{observed}",
    remedy: "Compare the node with the plan.",
}];

const fn text(
    id: &'static str,
    title: &'static str,
    use_case: UseCase,
    question: &'static str,
    good: &'static str,
    cases: &'static [Case],
) -> Text {
    Text {
        id,
        title,
        section: "S2 2.1.1",
        use_case,
        question,
        good,
        references: &["RFC 7381 section 4"],
        cases,
    }
}

static TEXTS: [Text; 11] = [
    text(
        "meta.settled",
        "addresses are settled",
        UseCase::Harness,
        "Is every address past duplicate address detection?",
        "No address is tentative or duplicate.",
        NO_CASES,
    ),
    text(
        "dns.aaaa-parity",
        "names have the planned addresses",
        UseCase::NetworkServices,
        "Does every published name have the A and AAAA records that are planned for the phase?",
        "Each name has exactly the records of the plan.",
        NO_CASES,
    ),
    text(
        "dns.aaaa-dead",
        "addresses in the DNS answer",
        UseCase::NetworkServices,
        "Does the service answer on every address that its name has?",
        "Every address answers.",
        NO_CASES,
    ),
    text(
        "in.egress-parity",
        "workplaces reach services in both families",
        UseCase::InsideToOutside,
        "Does what a workplace may reach in one family also answer in the other?",
        "Both families give the same result.",
        NO_CASES,
    ),
    text(
        "in.no-ipv4-left",
        "no IPv4 on any link",
        UseCase::InsideToOutside,
        "Is any IPv4 or ARP frame seen on any link in the IPv6-only phase?",
        "Not one frame on any link.",
        NO_CASES,
    ),
    text(
        "out.service-reach",
        "outside clients reach public services",
        UseCase::OutsideToInside,
        "Does an outside client reach what it may reach?",
        "The service itself answers in each family of the phase.",
        NO_CASES,
    ),
    text(
        "out.port-parity",
        "the same ports in both families",
        UseCase::OutsideToInside,
        "Are the same ports open from outside in both families?",
        "The sets of open ports are equal.",
        NO_CASES,
    ),
    text(
        "svc.listen-families",
        "services listen on the planned families",
        UseCase::NetworkServices,
        "Does each service have listening sockets in exactly the families of the plan?",
        "Sockets and plan agree.",
        &[
            Case {
                name: "lost",
                finding: "{service} on {node} does not listen on {missing}.",
                expected: "{service} listens on {port} in every family that the plan gives it, {missing} included.",
                observed: "The socket table of {node} shows {bound} and no socket for {missing}.",
                remedy: "Bind {service} to the unspecified address of {missing} as well, then publish its address.",
            },
            Case {
                name: "latent",
                finding: "{service} on {node} does not listen on {missing}; users fall back and do not notice.",
                expected: "{service} listens on {missing} before IPv4 is switched off.",
                observed: "Queries over {missing} to {node} are refused, and clients ask again over the other family.",
                remedy: "Let {service} listen on {missing} now; in the IPv6-only phase nothing else is left.",
            },
        ],
    ),
    text(
        "mgmt.reach-both",
        "nodes can be administered",
        UseCase::Management,
        "Does the management station reach each node over the management plane in every family of the phase?",
        "SSH with the pinned host key in each family.",
        NO_CASES,
    ),
    text(
        "pol.default-deny-v6",
        "what is not allowed is stopped",
        UseCase::Policies,
        "Is every forbidden flow stopped in both families?",
        "Nothing passes, and the control flow does.",
        NO_CASES,
    ),
    text(
        "path.pmtu-blackhole",
        "large packets pass or are refused loudly",
        UseCase::InsideToOutside,
        "Do packets of every size up to the path MTU pass, and does somebody say so when one does not?",
        "Everything up to the link MTU passes, or a Packet Too Big comes back.",
        &[Case {
            name: "hole",
            finding: "Packets of more than {passed} octets from {from} to {to} vanish.",
            expected: "A packet that is too big is answered with ICMPv6 type 2 (Packet Too Big).",
            observed: "{passed} octets to {address} were answered; {lost} octets were lost and no ICMPv6 error came back.",
            remedy: "Let ICMPv6 type 2 pass every filter on the way (RFC 4890 section 4.3.1).",
        }],
    ),
];
