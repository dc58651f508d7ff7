//! A stretch of every fuzz target in every run of the tests: real input, damaged in a way that only a seed decides.
//! `cargo fuzz run TARGET` goes further.

use std::{fs, path::Path, sync::Arc};

use sixwalk::{
    input,
    model::{answer::HeardPrefix, family::Family, mac::Mac, phase::Phase},
    stage::Stage,
    wire::{frame, icmp, neighbour, nftables::Batch, packet, ra::Announcement},
};

#[path = "../fuzz/src/lib.rs"]
pub mod targets;

/// Marsaglia's xorshift64: small, and the same everywhere.
struct Chance(u64);

impl Chance {
    fn next(&mut self) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0
    }

    fn below(&mut self, limit: usize) -> usize {
        usize::try_from(self.next() % u64::try_from(limit.max(1)).unwrap()).unwrap()
    }

    fn of<'a, T>(&mut self, all: &'a [T]) -> &'a T {
        &all[self.below(all.len())]
    }

    /// Some part of a sequence, at most so long.
    fn range(&mut self, length: usize, most: usize) -> std::ops::Range<usize> {
        let start = self.below(length + 1);
        start..(start + self.below(most + 1)).min(length)
    }
}

/// Octets that ends and lengths are made of.
const EDGES: [u8; 8] = [0, 1, 4, 0x3f, 0x7f, 0x80, 0xc0, 0xff];

/// Damages a sequence in one of the ways in which real input breaks: parts change, vanish, come twice, come from
/// elsewhere, or the end is missing.
fn damage<T: Clone>(it: &mut Vec<T>, other: &[T], edges: &[T], chance: &mut Chance) {
    match chance.below(6) {
        0 if !it.is_empty() => {
            let at = chance.below(it.len());
            it[at] = chance.of(edges).clone();
        }
        1 => it.truncate(chance.below(it.len() + 1)),
        2 => drop(it.drain(chance.range(it.len(), 8))),
        3 => {
            let part = it[chance.range(it.len(), 16)].to_vec();
            let at = chance.below(it.len() + 1);
            it.splice(at..at, part);
        }
        4 => {
            let part = other[chance.range(other.len(), 32)].to_vec();
            let over = chance.range(it.len(), 32);
            it.splice(over, part);
        }
        _ => it.insert(chance.below(it.len() + 1), chance.of(edges).clone()),
    }
}

/// Tells which input a target could not bear.
struct Told<'a>(&'a [u8]);

impl Drop for Told<'_> {
    fn drop(&mut self) {
        if std::thread::panicking() {
            eprintln!("with this input: {}", self.0.escape_ascii());
        }
    }
}

fn bytes(target: fn(&[u8]), rounds: usize, seeds: &[Vec<u8>]) {
    let mut chance = Chance(0x5149_5857_414c_4b21);
    for round in 0..seeds.len() + rounds {
        // Each seed as it is, first.
        let mut input = seeds[round % seeds.len()].clone();
        for _ in 0..(if round < seeds.len() { 0 } else { 1 + chance.below(6) }) {
            let other = chance.of(seeds);
            damage(&mut input, other, &EDGES, &mut chance);
        }
        let _told = Told(&input);
        target(&input);
    }
}

/// Text is damaged by its words, so that most of it still means something.
fn texts(target: fn(&str), rounds: usize, seeds: &[String]) {
    let mut chance = Chance(0x5149_5857_414c_4b22);
    let seeds: Vec<Vec<&str>> = seeds.iter().map(|text| words(text)).collect();
    let edges = [
        "\"\"",
        "0",
        "-1",
        "65536",
        "1e9",
        "true",
        "[",
        "]",
        "{",
        "}",
        "=",
        "\"",
        "\n",
        "[[nodes]]",
        "\"::/0\"",
        "\"0.0.0.0/0\"",
        "\"::ffff:192.0.2.1/128\"",
        "\"fe80::%eth0\"",
        "ß\u{301}",
        "\u{0}",
        "\u{feff}",
        "\"\u{202e}\"",
        "99999999999999999999",
        "1979-05-27",
    ];
    for round in 0..seeds.len() + rounds {
        let mut input = seeds[round % seeds.len()].clone();
        for _ in 0..(if round < seeds.len() { 0 } else { 1 + chance.below(4) }) {
            let other = chance.of(&seeds);
            damage(&mut input, other, &edges, &mut chance);
        }
        let text = input.concat();
        let _told = Told(text.as_bytes());
        target(&text);
    }
}

/// Words and what stands between them.
fn words(text: &str) -> Vec<&str> {
    let of_word = |c: char| c.is_alphanumeric() || "-_.:/".contains(c);
    let mut words = Vec::new();
    let mut rest = text;
    while let Some(first) = rest.chars().next() {
        let end = if of_word(first) {
            rest.find(|c| !of_word(c)).unwrap_or(rest.len())
        } else {
            first.len_utf8()
        };
        let (word, after) = rest.split_at(end);
        words.push(word);
        rest = after;
    }
    words
}

fn files(folder: &str) -> Vec<String> {
    let entries = fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path());
    let mut paths: Vec<_> =
        entries.filter(|path| path.extension().is_some_and(|e| e == "toml")).collect();
    paths.sort();
    assert!(!paths.is_empty(), "{folder} has files to begin with");
    paths.iter().map(|path| fs::read_to_string(path).unwrap()).collect()
}

#[test]
fn testbeds() {
    texts(targets::input_testbed, 1_500, &files("tests/input"));
}

#[test]
fn phases() {
    texts(targets::input_phase, 2_000, &files("phases"));
}

#[test]
fn faults() {
    texts(targets::input_faults, 1_000, &files("testbed/faults"));
}

#[test]
fn messages_of_nf_tables() {
    let text = fs::read_to_string("testbed/small.toml").unwrap();
    let testbed = Arc::new(input::testbed("small.toml", &text).expect("it is shipped"));
    let stage = Stage::new(&testbed, Phase::DualStack);
    let filters = stage.nodes.values().map(|node| &node.filter);
    let seeds: Vec<_> =
        filters.map(|filter| Batch::replacing(filter).expect("it can be written").bytes).collect();
    bytes(targets::nftables_decode, 2_000, &seeds);
}

const MACS: [Mac; 2] = [Mac([2, 0, 0, 0, 0, 1]), Mac([2, 0, 0, 0, 0, 2])];

/// A datagram of each family.
fn packets() -> Vec<Vec<u8>> {
    let ends = [("192.0.2.1:80", "192.0.2.2:80"), ("[2001:db8::1]:80", "[2001:db8::2]:80")];
    let packet = |(from, to): (&str, &str)| {
        packet::udp(from.parse().unwrap(), to.parse().unwrap(), b"a token in it").unwrap()
    };
    ends.into_iter().map(packet).collect()
}

/// A router advertisement with every option.
fn announcement() -> Vec<u8> {
    let prefix = HeardPrefix {
        prefix: "2001:db8:1::/64".parse().unwrap(),
        on_link: true,
        autonomous: true,
        valid_s: 7200,
        preferred_s: 3600,
    };
    let announcement = Announcement {
        hop_limit: 64,
        managed: false,
        other: true,
        lifetime_s: 1800,
        standby: false,
        mac: MACS[0],
        mtu: Some(1500),
        prefixes: vec![prefix],
        dns: vec!["2001:db8:1::53".parse().unwrap()],
        dns_lifetime_s: 1800,
        pref64: vec![(
            "2001:db8:64::/96".parse::<ipnet::Ipv6Net>().unwrap().try_into().unwrap(),
            1800,
        )],
    };
    announcement.encode()
}

#[test]
fn frames() {
    let mut seeds: Vec<_> = packets()
        .into_iter()
        .zip(Family::ALL)
        .map(|(packet, family)| {
            [frame::ethernet(MACS[0], MACS[1], family.ethertype()), packet].concat()
        })
        .collect();
    seeds.push(frame::canary(MACS[0], frame::Mark(7), 1));
    for [from, to] in [["192.0.2.2", "192.0.2.1"], ["2001:db8::2", "2001:db8::1"]] {
        let (from, to) = (from.parse().unwrap(), to.parse().unwrap());
        seeds.push(neighbour::question(MACS[0], from, to, None).expect("one family"));
    }
    bytes(targets::frame_decode, 20_000, &seeds);
}

#[test]
fn messages_of_icmp() {
    let id = icmp::EchoId { identifier: 7, sequence: 9 };
    let mut seeds: Vec<_> = Family::ALL.map(|family| icmp::echo_request(family, id, 64)).to_vec();
    seeds.extend(packets());
    seeds.push(announcement());
    bytes(targets::icmp_decode, 20_000, &seeds);
}

#[test]
fn replies_of_name_servers() {
    let query = targets::dns_query().encode();
    // An AAAA record whose name is a pointer to the question, after the counts that the target puts in place.
    let mut records = vec![0, 1, 0, 0, 0, 0, 0xc0, 12, 0, 28, 0, 1, 0, 0, 0, 60, 0, 16];
    records.extend([0x20, 1, 0xd, 0xb8, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1]);
    bytes(targets::dns_reply, 20_000, &[query[6..].to_vec(), query, records]);
}

#[test]
fn every_target_is_tested_here() {
    let own = fs::read_to_string(file!()).unwrap();
    for entry in fs::read_dir("fuzz/fuzz_targets").unwrap() {
        let path = entry.unwrap().path();
        let name = path.file_stem().unwrap().to_string_lossy().into_owned();
        assert!(own.contains(&format!("targets::{name},")), "{name} is not called here");
        let manifest = fs::read_to_string(Path::new("fuzz/Cargo.toml")).unwrap();
        assert!(manifest.contains(&format!("name = \"{name}\"")), "{name} is not built");
    }
}
