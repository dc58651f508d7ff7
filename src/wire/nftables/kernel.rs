//! Numbers of the kernel: `linux/netlink.h`, `linux/netfilter.h`, `linux/netfilter/nfnetlink.h` and `nf_tables.h`.

use crate::model::family::Family;

/// Address families of tables (`NFPROTO_*`).
pub(super) mod nfproto {
    pub(crate) const INET: u8 = 1;
    pub(crate) const IPV4: u8 = 2;
    pub(crate) const ARP: u8 = 3;
    pub(crate) const NETDEV: u8 = 5;
    pub(crate) const BRIDGE: u8 = 7;
    pub(crate) const IPV6: u8 = 10;
}

/// Message types: those of netlink, of the batch, and of nf_tables (subsystem 10 in the upper octet).
pub(super) mod message {
    pub(crate) const ERROR: u16 = 2;
    pub(crate) const DONE: u16 = 3;
    pub(crate) const BATCH_BEGIN: u16 = 0x10;
    pub(crate) const BATCH_END: u16 = 0x11;
    pub(crate) const NEW_TABLE: u16 = 0x0a00;
    pub(crate) const GET_TABLE: u16 = 0x0a01;
    pub(crate) const DELETE_TABLE: u16 = 0x0a02;
    pub(crate) const NEW_CHAIN: u16 = 0x0a03;
    pub(crate) const GET_CHAIN: u16 = 0x0a04;
    pub(crate) const NEW_RULE: u16 = 0x0a06;
    pub(crate) const GET_RULE: u16 = 0x0a07;
    pub(crate) const NEW_SET: u16 = 0x0a09;
    pub(crate) const GET_SET: u16 = 0x0a0a;
    pub(crate) const NEW_ELEMENTS: u16 = 0x0a0c;
    pub(crate) const GET_ELEMENTS: u16 = 0x0a0d;
}

/// Flags of a message (`NLM_F_*`).
pub(super) mod flag {
    pub(crate) const REQUEST: u16 = 0x1;
    pub(crate) const ACKNOWLEDGE: u16 = 0x4;
    pub(crate) const DUMP_INTERRUPTED: u16 = 0x10;
    pub(crate) const DUMP: u16 = 0x300;
    pub(crate) const CREATE: u16 = 0x400;
    pub(crate) const APPEND: u16 = 0x800;
    pub(crate) const CAPPED: u16 = 0x100;
    pub(crate) const ACK_ATTRIBUTES: u16 = 0x200;
}

/// Attributes of tables, chains, rules, sets and their elements.
pub(super) mod object {
    pub(crate) const LIST_ELEMENT: u16 = 1;

    pub(crate) const TABLE_NAME: u16 = 1;
    pub(crate) const TABLE_FLAGS: u16 = 2;
    pub(crate) const TABLE_DORMANT: u32 = 1;

    pub(crate) const CHAIN_TABLE: u16 = 1;
    pub(crate) const CHAIN_NAME: u16 = 3;
    pub(crate) const CHAIN_HOOK: u16 = 4;
    pub(crate) const CHAIN_POLICY: u16 = 5;
    pub(crate) const CHAIN_TYPE: u16 = 7;
    pub(crate) const HOOK_NUMBER: u16 = 1;
    pub(crate) const HOOK_PRIORITY: u16 = 2;

    pub(crate) const RULE_TABLE: u16 = 1;
    pub(crate) const RULE_CHAIN: u16 = 2;
    pub(crate) const RULE_HANDLE: u16 = 3;
    pub(crate) const RULE_EXPRESSIONS: u16 = 4;
    pub(crate) const RULE_USERDATA: u16 = 7;
    /// In the user data of a rule, which the kernel only keeps: type, length, text with final NUL.
    pub(crate) const USERDATA_COMMENT: u8 = 0;

    pub(crate) const SET_TABLE: u16 = 1;
    pub(crate) const SET_NAME: u16 = 2;
    pub(crate) const SET_FLAGS: u16 = 3;
    pub(crate) const SET_KEY_TYPE: u16 = 4;
    pub(crate) const SET_KEY_LENGTH: u16 = 5;
    pub(crate) const SET_ID: u16 = 10;
    pub(crate) const SET_ANONYMOUS: u32 = 0x1;
    pub(crate) const SET_CONSTANT: u32 = 0x2;
    pub(crate) const SET_INTERVAL: u32 = 0x4;
    pub(crate) const SET_MAP: u32 = 0x8;
    pub(crate) const SET_TIMEOUT: u32 = 0x10;
    pub(crate) const SET_DYNAMIC: u32 = 0x20;
    pub(crate) const SET_OBJECT: u32 = 0x40;
    pub(crate) const SET_CONCAT: u32 = 0x80;

    pub(crate) const ELEMENTS_TABLE: u16 = 1;
    pub(crate) const ELEMENTS_SET: u16 = 2;
    pub(crate) const ELEMENTS_LIST: u16 = 3;
    pub(crate) const ELEMENTS_SET_ID: u16 = 4;
    pub(crate) const ELEMENT_KEY: u16 = 1;
    pub(crate) const ELEMENT_FLAGS: u16 = 3;
    pub(crate) const ELEMENT_KEY_END: u16 = 10;
    pub(crate) const ELEMENT_INTERVAL_END: u32 = 0x1;

    pub(crate) const DATA_VALUE: u16 = 1;
    pub(crate) const DATA_VERDICT: u16 = 2;
    pub(crate) const VERDICT_CODE: u16 = 1;
    pub(crate) const VERDICT_CHAIN: u16 = 2;
}

/// What `nft` calls the types of set keys; the kernel only keeps the number.
pub(super) mod key_type {
    pub(crate) const ICMP: u32 = 14;
    pub(crate) const ICMPV6: u32 = 29;
}

/// Keys of `meta`.
pub(super) mod meta {
    pub(crate) const LENGTH: u32 = 0;
    pub(crate) const IN_INDEX: u32 = 4;
    pub(crate) const IN_NAME: u32 = 6;
    pub(crate) const OUT_NAME: u32 = 7;
    pub(crate) const NFPROTO: u32 = 15;
    pub(crate) const L4PROTO: u32 = 16;
    /// How `nft` writes the keys, in their order.
    pub(crate) const NAMES: [&str; 17] = [
        "length",
        "protocol",
        "priority",
        "mark",
        "iif",
        "oif",
        "iifname",
        "oifname",
        "iiftype",
        "oiftype",
        "skuid",
        "skgid",
        "nftrace",
        "rtclassid",
        "secmark",
        "nfproto",
        "l4proto",
    ];
}

/// Headers that `payload` counts its offsets from.
pub(super) mod header {
    pub(crate) const NETWORK: u32 = 1;
    pub(crate) const TRANSPORT: u32 = 2;
}

/// Comparisons of `cmp`.
pub(super) mod comparison {
    pub(crate) const EQUAL: u32 = 0;
    pub(crate) const NOT_EQUAL: u32 = 1;
    pub(crate) const GREATER: u32 = 4;
}

/// Connection tracking: the key of the state and its bits.
pub(super) mod conntrack {
    pub(crate) const STATE: u32 = 0;
    pub(crate) const INVALID: u32 = 1;
    pub(crate) const ESTABLISHED: u32 = 2;
    pub(crate) const RELATED: u32 = 4;
}

/// `fib saddr . iif oif` as a question for presence.
pub(super) mod fib {
    pub(crate) const OUT_INTERFACE: u32 = 1;
    pub(crate) const SOURCE_BY_INTERFACE_PRESENT: u32 = 0x01 | 0x08 | 0x20;
}

/// Verdicts of an immediate in the verdict register.
pub(super) mod verdict {
    pub(crate) const DROP: u32 = 0;
    pub(crate) const ACCEPT: u32 = 1;
    pub(crate) const CONTINUE: u32 = u32::MAX;
    pub(crate) const JUMP: u32 = u32::MAX - 2;
    pub(crate) const GOTO: u32 = u32::MAX - 3;
    pub(crate) const RETURN: u32 = u32::MAX - 4;
}

/// Kinds of `reject` and their code "administratively prohibited".
pub(super) mod reject {
    pub(crate) const ICMP: u32 = 0;
    pub(crate) const TCP_RESET: u32 = 1;
    pub(crate) const EITHER_ICMP: u32 = 2;
    pub(crate) const EITHER_PROHIBITED: u8 = 3;
    pub(crate) const ICMP_PROHIBITED: u8 = 13;
    pub(crate) const ICMPV6_PROHIBITED: u8 = 1;
}

/// The IP protocol numbers that rules name.
pub(super) mod protocol {
    pub(crate) const ICMP: u8 = 1;
    pub(crate) const TCP: u8 = 6;
    pub(crate) const UDP: u8 = 17;
    pub(crate) const ICMPV6: u8 = 58;
}

/// The register of verdicts, and the first for data.
pub(super) const VERDICT_REGISTER: u32 = 0;
pub(super) const REGISTER: u32 = 1;
/// The most expressions of a rule (`NFT_RULE_MAXEXPRS`).
pub(super) const MAX_EXPRESSIONS: usize = 128;
/// The length of an interface name in a register (`IFNAMSIZ`).
pub(super) const INTERFACE_NAME: usize = 16;
/// The index of the loopback interface in every namespace.
pub(super) const LOOPBACK_INDEX: u32 = 1;

/// Families that have numbers here.
pub(super) trait Numbered {
    /// Its `NFPROTO_*`.
    fn nfproto(self) -> u8;
    /// The protocol number of its ICMP.
    fn icmp(self) -> u8;
    /// Where source and destination stand in its header.
    fn address_offsets(self) -> [u32; 2];
}

impl Numbered for Family {
    fn nfproto(self) -> u8 {
        match self {
            Self::V4 => nfproto::IPV4,
            Self::V6 => nfproto::IPV6,
        }
    }

    fn icmp(self) -> u8 {
        match self {
            Self::V4 => protocol::ICMP,
            Self::V6 => protocol::ICMPV6,
        }
    }

    fn address_offsets(self) -> [u32; 2] {
        match self {
            Self::V4 => [12, 16],
            Self::V6 => [8, 24],
        }
    }
}

/// The family that a number stands for.
pub(super) fn family(nfproto: u8) -> Option<Family> {
    Family::ALL.into_iter().find(|family| family.nfproto() == nfproto)
}

/// How `nft` writes the family of a table.
pub(super) fn family_word(number: u8) -> &'static str {
    match number {
        nfproto::INET => "inet",
        nfproto::IPV4 => "ip",
        nfproto::IPV6 => "ip6",
        nfproto::ARP => "arp",
        nfproto::NETDEV => "netdev",
        nfproto::BRIDGE => "bridge",
        _ => "unknown",
    }
}
