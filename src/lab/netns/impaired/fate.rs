//! What becomes of a frame on an impaired link. Pure: the time and the dice are given.

use std::collections::HashMap;

use crate::{
    model::{
        family::Family,
        impairment::{Impairment, Share},
    },
    wire::{checksum::Checksum, frame},
};

/// How much later a frame comes that others overtake, in microseconds.
const OVERTAKEN_US: u64 = 5_000;
/// The longest queue before a slow link, in microseconds of its own time, and the octets that it holds at least: the most that
/// one question sends at once.
const QUEUE_US: u64 = 250_000;
const QUEUE_OCTETS: u64 = 96 << 10;

/// One of the impairments of a link.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::lab::netns) struct Layer {
    /// Only for frames of this family.
    pub(in crate::lab::netns) family: Option<Family>,
    /// What is done to them.
    pub(in crate::lab::netns) impairment: Impairment,
}

/// Numbers that look as if thrown (splitmix64).
#[derive(Clone, Debug)]
pub(super) struct Dice(pub(super) u64);

impl Dice {
    fn number(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }

    fn hits(&mut self, share: Share) -> bool {
        share.0 > 0 && self.number() % u64::from(Share::WHOLE) < u64::from(share.0)
    }
}

/// A link with its impairments, and what it remembers.
pub(super) struct Line {
    layers: Vec<Layer>,
    dice: Dice,
    /// When each direction of each slow layer is free again, in microseconds; a direction is the port that frames come in
    /// by.
    free_us: HashMap<(usize, u32), u64>,
}

impl Line {
    pub(super) fn new(layers: Vec<Layer>, dice: Dice) -> Self {
        Self { layers, dice, free_us: HashMap::new() }
    }

    /// When a frame that has come in by a port at `now_us` leaves again: never, once or more often. It may be altered.
    pub(super) fn pass(&mut self, frame: &mut [u8], port: u32, now_us: u64) -> Vec<u64> {
        let mut leaves = vec![now_us];
        // A canary of a tap is none of the testbed's: it takes its place in a queue, and no time on the link.
        let octets = if frame::canary_of(frame).is_some() { 0 } else { frame.len() };
        for at in 0..self.layers.len() {
            let Layer { family, impairment } = self.layers[at];
            if family.is_some_and(|family| frame::ethertype(frame) != Some(family.ethertype())) {
                continue;
            }
            if let Some(class) = impairment.class {
                mark(frame, class);
            }
            let came = std::mem::take(&mut leaves);
            for moment in came {
                self.treat(&impairment, (at, port), octets, moment, &mut leaves);
            }
        }
        leaves
    }

    fn treat(
        &mut self,
        impairment: &Impairment,
        direction: (usize, u32),
        octets: usize,
        now_us: u64,
        leaves: &mut Vec<u64>,
    ) {
        if self.dice.hits(impairment.loss) {
            return;
        }
        let copies = 1 + usize::from(self.dice.hits(impairment.duplicate));
        for _ in 0..copies {
            let Some(sent) = self.queue(impairment, direction, octets, now_us) else { continue };
            let late = u64::from(self.dice.hits(impairment.reorder)) * OVERTAKEN_US;
            leaves.push(sent + u64::from(impairment.delay.0) * 1_000 + late);
        }
    }

    /// When a frame has been put on the wire; `None` if the queue before it is full.
    fn queue(
        &mut self,
        impairment: &Impairment,
        direction: (usize, u32),
        octets: usize,
        now_us: u64,
    ) -> Option<u64> {
        let Some(rate) = impairment.rate else { return Some(now_us) };
        let takes = |octets: u64| octets * 8_000 / u64::from(rate.0);
        let free = self.free_us.entry(direction).or_default();
        let begins = now_us.max(*free);
        if octets > 0 && begins - now_us > QUEUE_US.max(takes(QUEUE_OCTETS)) {
            return None;
        }
        *free = begins + takes(u64::try_from(octets).unwrap_or(u64::MAX));
        Some(*free)
    }
}

/// Writes a traffic class into a packet (RFC 8200 section 7; the type of service of RFC 791 section 3.1).
fn mark(frame: &mut [u8], class: u8) {
    let Some(ethertype) = frame::ethertype(frame) else { return };
    let packet = &mut frame[frame::ETHERNET_HEADER..];
    if ethertype == Family::V6.ethertype() && packet.len() >= 40 {
        packet[0] = 0x60 | (class >> 4);
        packet[1] = (class << 4) | (packet[1] & 0x0f);
    } else if ethertype == Family::V4.ethertype() && packet.len() >= 20 {
        let length = usize::from(packet[0] & 0x0f) * 4;
        let Some(header) = packet.get_mut(..length).filter(|header| header.len() >= 20) else {
            return;
        };
        header[1] = class;
        header[10..12].fill(0);
        let sum = Checksum::default().plus(header).finish();
        header[10..12].copy_from_slice(&sum.to_be_bytes());
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::{
        model::{
            impairment::{Delay, Rate},
            mac::Mac,
        },
        wire::packet,
    };

    fn udp(family: Family) -> Vec<u8> {
        let (source, destination) = match family {
            Family::V4 => ("192.0.2.1:7", "192.0.2.2:7"),
            Family::V6 => ("[2001:db8::1]:7", "[2001:db8::2]:7"),
        };
        let (source, destination) = (source.parse().unwrap(), destination.parse().unwrap());
        let mut frame = frame::ethernet(Mac([2; 6]), Mac([4; 6]), family.ethertype());
        frame.extend(packet::udp(source, destination, &[7; 958]).unwrap());
        frame
    }

    fn line(family: Option<Family>, impairment: Impairment) -> Line {
        Line::new(vec![Layer { family, impairment }], Dice(1))
    }

    #[test]
    fn a_family_alone_is_lost_and_about_as_often_as_said() {
        let loss = Impairment { loss: Share(2_000), ..Impairment::default() };
        let mut line = line(Some(Family::V6), loss);
        let mut lost = |family| {
            let mut frame = udp(family);
            (0..10_000).filter(|_| line.pass(&mut frame, 1, 0).is_empty()).count()
        };
        assert_eq!(lost(Family::V4), 0);
        assert!((1_800..2_200).contains(&lost(Family::V6)));
    }

    #[test]
    fn a_slow_link_sends_one_frame_after_another_and_drops_what_does_not_fit() {
        let slow = Impairment { rate: Some(Rate(8_000)), ..Impairment::default() };
        let mut line = line(None, slow);
        let mut frame = vec![0; 1_000];
        assert_eq!(line.pass(&mut frame, 1, 0), [1_000]);
        assert_eq!(line.pass(&mut frame, 1, 0), [2_000]);
        assert_eq!(line.pass(&mut frame, 2, 0), [1_000], "the other direction");
        let sent = (0..1_000).filter(|_| !line.pass(&mut frame, 1, 0).is_empty()).count();
        assert!((200..300).contains(&sent), "{sent}");
    }

    #[test]
    fn a_canary_takes_its_place_in_the_queue_and_no_time_on_the_link() {
        let slow = Impairment { rate: Some(Rate(8_000)), ..Impairment::default() };
        let mut line = line(None, slow);
        let mut frame = vec![0; 1_000];
        let mut canary = frame::canary(Mac([2; 6]), frame::Mark(7), 1);
        while !line.pass(&mut frame, 1, 0).is_empty() {}
        let full = line.pass(&mut canary, 1, 0);
        assert_eq!(full.len(), 1, "it is never one too many");
        assert_eq!(line.pass(&mut canary, 1, 0), full);
    }

    #[test]
    fn a_link_delays_duplicates_and_lets_overtake() {
        let late = Impairment {
            delay: Delay(20),
            duplicate: Share(5_000),
            reorder: Share(5_000),
            ..Impairment::default()
        };
        let mut line = line(None, late);
        let mut frame = udp(Family::V6);
        let all: Vec<_> = (0..100).map(|_| line.pass(&mut frame, 1, 0)).collect();
        assert!(all.iter().any(|leaves| leaves.len() == 2));
        assert!(all.iter().flatten().all(|at| [20_000, 25_000].contains(at)));
        assert!(all.iter().flatten().any(|at| *at == 25_000));
    }

    #[test]
    fn a_class_is_written_into_both_headers() {
        for family in Family::ALL {
            let marked = Impairment { class: Some(0xb8), ..Impairment::default() };
            let mut frame = udp(family);
            line(None, marked).pass(&mut frame, 1, 0);
            let ip = etherparse::PacketHeaders::from_ethernet_slice(&frame).unwrap().net.unwrap();
            match ip {
                etherparse::NetHeaders::Ipv4(ip, _) => {
                    assert_eq!(ip.dscp.value() << 2, 0xb8);
                    assert_eq!(ip.header_checksum, ip.calc_header_checksum());
                }
                etherparse::NetHeaders::Ipv6(ip, _) => assert_eq!(ip.traffic_class, 0xb8),
                etherparse::NetHeaders::Arp(_) => panic!("not IP"),
            }
        }
    }

    proptest! {
        #[test]
        fn hostile_frames_never_panic(mut octets in prop::collection::vec(any::<u8>(), 0..100), v6: bool) {
            if let Some(place) = octets.get_mut(12..14) {
                place.copy_from_slice(if v6 { &[0x86, 0xdd] } else { &[8, 0] });
            }
            let all = Impairment { class: Some(1), loss: Share(1), ..Impairment::default() };
            line(None, all).pass(&mut octets, 1, 0);
        }
    }
}
