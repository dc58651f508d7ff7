//! Classic BPF programs: the kernel drops what cannot count before it costs anything. A program may let more through
//! than counts (packets with extension headers, which it does not follow); what it lets through is judged again.

use std::net::IpAddr;

use super::{
    frame::{ETHERNET_HEADER, Mark},
    icmp,
};
use crate::model::{
    family::Family,
    service::Port,
    tap::{CANARY_ETHERTYPE, Watch},
};

/// One instruction, as the kernel's `struct sock_filter`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Instruction {
    /// What it does.
    pub code: u16,
    /// How many instructions are skipped if a comparison holds.
    pub jump_true: u8,
    /// How many are skipped if it does not.
    pub jump_false: u8,
    /// Its operand.
    pub operand: u32,
}

/// `struct sock_filter` codes (linux/bpf_common.h).
const LOAD_WORD: u16 = 0x20;
const LOAD_HALF: u16 = 0x28;
const LOAD_OCTET: u16 = 0x30;
const LOAD_HALF_INDEXED: u16 = 0x48;
const LOAD_OCTET_INDEXED: u16 = 0x50;
const INDEX_BY_IPV4_HEADER: u16 = 0xb1;
const JUMP_IF_EQUAL: u16 = 0x15;
const JUMP_IF_ANY_BIT: u16 = 0x45;
const RETURN: u16 = 0x06;
/// `SKF_AD_OFF + SKF_AD_IFINDEX`: the interface that a packet socket heard a frame on.
const INTERFACE_INDEX: u32 = 0xffff_f000 + 8;
/// `SKF_AD_OFF + SKF_AD_PKTTYPE`: for whom a frame is, as the kernel sees it.
const PACKET_TYPE: u32 = 0xffff_f000 + 4;
/// `PACKET_OUTGOING`: a frame that leaves.
const LEAVING: u32 = 4;
/// Next headers that are followed by another header (RFC 8200 section 4.1, RFC 4302, RFC 6275).
const EXTENSIONS: [u32; 6] = [0, 43, 44, 51, 60, 135];

/// A program under construction: clauses that must all hold.
#[derive(Clone, Debug, Default)]
struct Program(Vec<Instruction>);

impl Program {
    fn op(mut self, code: u16, operand: u32) -> Self {
        self.0.push(Instruction { code, jump_true: 0, jump_false: 0, operand });
        self
    }

    fn jump(mut self, code: u16, operand: u32, jump_true: usize, jump_false: usize) -> Self {
        let short = |length| u8::try_from(length).expect("clauses are shorter than 255");
        let (jump_true, jump_false) = (short(jump_true), short(jump_false));
        self.0.push(Instruction { code, jump_true, jump_false, operand });
        self
    }

    fn then(mut self, more: Vec<Instruction>) -> Self {
        self.0.extend(more);
        self
    }

    fn refuse(self) -> Self {
        self.op(RETURN, 0)
    }

    fn accept(self) -> Self {
        self.op(RETURN, u32::MAX)
    }

    /// What is loaded must be one of the values. More values than a jump can span are left to the second judgement.
    fn require(self, load: u16, at: u32, values: &[u32]) -> Self {
        if values.len() > 250 {
            return self;
        }
        let count = values.len();
        let compare = |program: Self, (index, value): (usize, &u32)| {
            program.jump(JUMP_IF_EQUAL, *value, count - index, 0)
        };
        values.iter().enumerate().fold(self.op(load, at), compare).refuse()
    }

    /// Lets everything through for which what is loaded is one of the values.
    fn accept_if(self, load: u16, at: u32, values: &[u32]) -> Self {
        let compare =
            |program: Self, value: &u32| program.jump(JUMP_IF_EQUAL, *value, 0, 1).accept();
        values.iter().fold(self.op(load, at), compare)
    }

    fn refuse_if(self, load: u16, at: u32, value: u32) -> Self {
        self.op(load, at).jump(JUMP_IF_EQUAL, value, 0, 1).refuse()
    }

    fn require_address(self, address: IpAddr, at: u32) -> Self {
        let words = |octets: &[u8]| -> Vec<u32> {
            octets.chunks_exact(4).map(|c| u32::from_be_bytes([c[0], c[1], c[2], c[3]])).collect()
        };
        let words = match address {
            IpAddr::V4(address) => words(&address.octets()),
            IpAddr::V6(address) => words(&address.octets()),
        };
        (at..)
            .step_by(4)
            .zip(words)
            .fold(self, |program, (at, word)| program.require(LOAD_WORD, at, &[word]))
    }

    /// From here on, only packets of one of these upper-layer protocols; extension headers pass unread. The network
    /// header is at `base`. Leaves the index register so that `upper` finds the upper-layer header.
    fn require_protocol(self, family: Family, base: u32, protocols: &[u32]) -> Self {
        match family {
            Family::V4 => self
                .require(LOAD_OCTET, base + 9, protocols)
                // A later fragment has no upper-layer header.
                .op(LOAD_HALF, base + 6)
                .jump(JUMP_IF_ANY_BIT, 0x1fff, 0, 1)
                .refuse()
                .op(INDEX_BY_IPV4_HEADER, base),
            Family::V6 => self.accept_if(LOAD_OCTET, base + 6, &EXTENSIONS).require(
                LOAD_OCTET,
                base + 6,
                protocols,
            ),
        }
    }
}

/// Where an octet of the upper-layer header is found after `require_protocol`, and by which instruction.
fn upper(family: Family, base: u32, at: u32, indexed: u16, fixed: u16) -> (u16, u32) {
    match family {
        Family::V4 => (indexed, base + at),
        Family::V6 => (fixed, base + 40 + at),
    }
}

const ETHERNET: u32 = 14;
const _: () = assert!(ETHERNET as usize == ETHERNET_HEADER);

/// For a tap: what may count for the watch, and its own canaries; nothing that is heard again on the bridge itself.
pub fn tap(watch: &Watch, bridge: Option<u32>, mark: Mark) -> Vec<Instruction> {
    let mut program = Program::default();
    if let Some(bridge) = bridge {
        program = program.refuse_if(LOAD_WORD, INTERFACE_INDEX, bridge);
    }
    if let Watch::Delivered { .. } = watch {
        // Its canaries, too, have to be delivered.
        program = program.require(LOAD_WORD, PACKET_TYPE, &[LEAVING]);
    }
    let canaries = Program::default().require(LOAD_WORD, ETHERNET, &[mark.0]).accept().0;
    program = program
        .op(LOAD_HALF, 12)
        .jump(JUMP_IF_EQUAL, u32::from(CANARY_ETHERTYPE), 0, canaries.len())
        .then(canaries);
    watched(program, watch).accept().0
}

fn watched(program: Program, watch: &Watch) -> Program {
    match watch {
        Watch::Ethertypes(types) => {
            let types: Vec<u32> = types.iter().copied().map(u32::from).collect();
            program.require(LOAD_HALF, 12, &types)
        }
        Watch::Packets { family, source, destination, port } => {
            let program = between(program, *family, *source, *destination);
            let Some(port) = port else { return program };
            let (load, destination_port) =
                upper(*family, ETHERNET, 2, LOAD_HALF_INDEXED, LOAD_HALF);
            program
                .require_protocol(*family, ETHERNET, &[u32::from(port.transport.number())])
                .require(load, destination_port, &[u32::from(port.number)])
        }
        Watch::Answers { source, port } => {
            let family = Family::of(*source);
            let (load, source_port) = upper(family, ETHERNET, 0, LOAD_HALF_INDEXED, LOAD_HALF);
            between(program, family, Some(*source), None)
                .require_protocol(family, ETHERNET, &[u32::from(port.transport.number())])
                .require(load, source_port, &[u32::from(port.number)])
        }
        Watch::Protocol { family, source, destination, number } => {
            between(program, *family, Some(*source), Some(*destination)).require_protocol(
                *family,
                ETHERNET,
                &[u32::from(*number)],
            )
        }
        Watch::Icmp { family, types, source, destination } => {
            let types: Vec<u32> = types.iter().copied().map(u32::from).collect();
            let (load, at) = upper(*family, ETHERNET, 0, LOAD_OCTET_INDEXED, LOAD_OCTET);
            between(program, *family, *source, *destination)
                .require_protocol(*family, ETHERNET, &[u32::from(icmp::protocol(*family))])
                .require(load, at, &types)
        }
        Watch::Payload { family: None, .. } => of_families(program, &Family::ALL),
        Watch::Payload { family: Some(family), .. } | Watch::Delivered { family, .. } => {
            of_families(program, &[*family])
        }
    }
}

/// From here on, only packets of these families.
fn of_families(program: Program, families: &[Family]) -> Program {
    let types: Vec<_> = families.iter().map(|family| u32::from(family.ethertype())).collect();
    program.require(LOAD_HALF, 12, &types)
}

/// From here on, only packets of a family between these addresses.
fn between(
    mut program: Program,
    family: Family,
    source: Option<IpAddr>,
    destination: Option<IpAddr>,
) -> Program {
    let (source_at, destination_at) = match family {
        Family::V4 => (ETHERNET + 12, ETHERNET + 16),
        Family::V6 => (ETHERNET + 8, ETHERNET + 24),
    };
    program = of_families(program, &[family]);
    for (address, at) in [(source, source_at), (destination, destination_at)] {
        if let Some(address) = address {
            program = program.require_address(address, at);
        }
    }
    program
}

/// For a packet socket without link header: TCP segments that come from this end.
pub fn segments_from(address: IpAddr, port: u16) -> Vec<Instruction> {
    let family = Family::of(address);
    let (version, at) = match family {
        Family::V4 => (4, 12),
        Family::V6 => (6, 8),
    };
    let (load, place) = upper(family, 0, 0, LOAD_HALF_INDEXED, LOAD_HALF);
    // The first octet tells the version in its upper half; its lower half is the header length or a traffic class.
    let first_octets: Vec<u32> = (0..16).map(|low| version << 4 | low).collect();
    Program::default()
        .require(LOAD_OCTET, 0, &first_octets)
        .require_address(address.to_canonical(), at)
        .require_protocol(family, 0, &[6])
        .require(load, place, &[u32::from(port)])
        .accept()
        .0
}

/// For a raw ICMP socket: replies to the echo requests of one probe only, so that probes do not wake one another.
/// A raw IPv4 socket hands over the IP header too, a raw IPv6 socket does not.
pub fn echo_replies(family: Family, identifier: u16) -> Vec<Instruction> {
    let kind = u32::from(icmp::echo_reply_type(family));
    let program = Program::default();
    match family {
        Family::V4 => program
            .op(INDEX_BY_IPV4_HEADER, 0)
            .require(LOAD_OCTET_INDEXED, 0, &[kind])
            .require(LOAD_HALF_INDEXED, 4, &[u32::from(identifier)]),
        Family::V6 => {
            program.require(LOAD_OCTET, 0, &[kind]).require(LOAD_HALF, 4, &[u32::from(identifier)])
        }
    }
    .accept()
    .0
}

/// For a packet socket that only sends.
pub fn nothing() -> Vec<Instruction> {
    Program::default().refuse().0
}

/// For a packet socket that hears every frame.
pub fn everything() -> Vec<Instruction> {
    Program::default().accept().0
}

/// For a packet socket on one interface: packets of either family.
pub fn packets_of_any_family() -> Vec<Instruction> {
    of_families(Program::default(), &Family::ALL).accept().0
}

/// For a packet socket on one interface: ARP.
pub fn arp() -> Vec<Instruction> {
    Program::default().require(LOAD_HALF, 12, &[0x0806]).accept().0
}

/// For a packet socket on one interface: ICMPv6 messages of one type.
pub fn icmpv6(kind: u8) -> Vec<Instruction> {
    let watch = Watch::icmp(Family::V6, &[kind]);
    watched(Program::default(), &watch).accept().0
}

/// For a packet socket on one interface: packets of a family to a port.
pub fn to_port(family: Family, port: Port) -> Vec<Instruction> {
    let watch = Watch::Packets { family, source: None, destination: None, port: Some(port) };
    watched(Program::default(), &watch).accept().0
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        model::{
            mac::Mac,
            service::{Port, Transport},
        },
        wire::{frame, packet},
    };

    /// What the kernel would do, for the instructions used here.
    fn run(program: &[Instruction], packet: &[u8]) -> bool {
        run_as(program, packet, 0)
    }

    /// The same for a frame of this packet type.
    fn run_as(program: &[Instruction], packet: &[u8], kind: u32) -> bool {
        let (mut a, mut x, mut at) = (0u32, 0usize, 0usize);
        let get = |at: usize, n: usize| {
            packet.get(at..at + n).map(|o| o.iter().fold(0u32, |v, o| v << 8 | u32::from(*o)))
        };
        loop {
            let i = program[at];
            at += 1;
            let k = i.operand as usize;
            let loaded = match i.code {
                LOAD_WORD if i.operand == INTERFACE_INDEX => Some(1),
                LOAD_WORD if i.operand == PACKET_TYPE => Some(kind),
                LOAD_WORD => get(k, 4),
                LOAD_HALF => get(k, 2),
                LOAD_OCTET => get(k, 1),
                LOAD_HALF_INDEXED => get(x + k, 2),
                LOAD_OCTET_INDEXED => get(x + k, 1),
                INDEX_BY_IPV4_HEADER => {
                    x = usize::from(packet[k] & 0xf) * 4;
                    continue;
                }
                JUMP_IF_EQUAL => {
                    at += usize::from(if a == i.operand { i.jump_true } else { i.jump_false });
                    continue;
                }
                JUMP_IF_ANY_BIT => {
                    at += usize::from(if a & i.operand != 0 { i.jump_true } else { i.jump_false });
                    continue;
                }
                RETURN => return i.operand != 0,
                other => panic!("unknown instruction {other:#x}"),
            };
            match loaded {
                Some(value) => a = value,
                None => return false,
            }
        }
    }

    fn udp_frame(source: &str, destination: &str) -> Vec<u8> {
        let [source, destination]: [std::net::SocketAddr; 2] =
            [source.parse().unwrap(), destination.parse().unwrap()];
        let family = Family::of(source.ip());
        let mut frame = frame::ethernet(Mac([2; 6]), Mac([4; 6]), family.ethertype());
        frame.extend(packet::udp(source, destination, b"payload").unwrap());
        frame
    }

    #[test]
    fn the_kernel_lets_through_whatever_counts() {
        let frames = [
            udp_frame("192.0.2.1:7", "192.0.2.2:53"),
            udp_frame("[2001:db8::1]:7", "[2001:db8::2]:53"),
            udp_frame("192.0.2.9:8", "192.0.2.2:54"),
            udp_frame("[2001:db8::9]:8", "[2001:db8::2]:54"),
        ];
        let port = |number| Some(Port { transport: Transport::Udp, number });
        let mut watches = vec![Watch::Ethertypes(vec![0x0800, 0x0806])];
        for (family, source) in [(Family::V4, "192.0.2.1"), (Family::V6, "2001:db8::1")] {
            let from = source.parse().unwrap();
            let source = Some(from);
            for port in [None, port(53), port(7), port(9)] {
                watches.push(Watch::Packets { family, source, destination: None, port });
            }
            for port in [7, 53].map(|number| Port { transport: Transport::Udp, number }) {
                watches.push(Watch::Answers { source: from, port });
            }
            for family in [Some(family), None] {
                watches.push(Watch::Payload { family, token: "payload".into() });
            }
        }
        let pairs =
            [(Family::V4, "192.0.2.1", "192.0.2.2"), (Family::V6, "2001:db8::1", "2001:db8::2")];
        for ((family, source, destination), number) in
            pairs.into_iter().flat_map(|pair| [17, 253].map(|number| (pair, number)))
        {
            let [source, destination] = [source, destination].map(|text| text.parse().unwrap());
            watches.push(Watch::Protocol { family, source, destination, number });
        }
        for watch in &watches {
            let program = tap(watch, Some(9), Mark(7));
            for frame in &frames {
                let note = frame::decode(frame, 0).unwrap();
                assert_eq!(run(&program, frame), frame::counts(watch, &note, frame), "{watch:?}");
            }
            assert!(run(&program, &frame::canary(Mac([2; 6]), Mark(7), 1)));
            assert!(!run(&program, &frame::canary(Mac([2; 6]), Mark(8), 1)), "another tap's");
        }
        assert!(
            !run(&tap(&watches[0], Some(1), Mark(7)), &frames[0]),
            "what the bridge hears again"
        );
    }

    #[test]
    fn what_is_delivered_leaves_and_so_do_its_canaries() {
        let watch = Watch::Delivered { family: Family::V6, token: "payload".to_owned() };
        let program = tap(&watch, Some(9), Mark(7));
        let canary = frame::canary(Mac([2; 6]), Mark(7), 1);
        for frame in [udp_frame("[2001:db8::1]:7", "[2001:db8::2]:7"), canary] {
            assert!(run_as(&program, &frame, LEAVING));
            assert!(!run_as(&program, &frame, 0));
        }
    }

    #[test]
    fn replies_to_other_probes_do_not_wake_one() {
        let mut message = vec![129, 0, 0, 0, 0x12, 0x34, 0, 1];
        assert!(run(&echo_replies(Family::V6, 0x1234), &message));
        assert!(!run(&echo_replies(Family::V6, 0x1235), &message));
        message[0] = 0;
        let mut packet =
            packet::header("192.0.2.1".parse().unwrap(), "192.0.2.2".parse().unwrap(), 1, 64, 8)
                .unwrap();
        packet.extend(message);
        assert!(run(&echo_replies(Family::V4, 0x1234), &packet));
    }
}
