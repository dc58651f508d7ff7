//! The time server (RFC 5905): answers clients (mode 3) with the time of this machine, as a server of stratum 2.

use std::time::Duration;

/// Seconds from the era of NTP, 1900, to that of Unix, 1970 (RFC 5905 section 6).
const FROM_1900_TO_1970: u64 = 2_208_988_800;
/// Octets of a packet without extensions.
const OCTETS: usize = 48;
const CLIENT: u8 = 3;
const SERVER: u8 = 4;
const STRATUM: u8 = 2;
/// The clock is good to about a microsecond: 2^-20 seconds.
const PRECISION: u8 = (-20_i8).to_be_bytes()[0];
/// About one millisecond, in units of 2^-16 seconds.
const MILLISECOND: u32 = 66;
/// The source of this server, as its IPv4 address: one of the documentation block (RFC 5737), because there is none.
const REFERENCE: [u8; 4] = [192, 0, 2, 123];

/// The reply to a query that came at `now`, counted from 1970; `None` where it is no query of a client.
pub(super) fn answer(query: &[u8], now: Duration) -> Option<Vec<u8>> {
    let (head, transmitted) = (query.first()?, query.get(40..OCTETS)?);
    let (version, mode) = ((head >> 3) & 7, head & 7);
    if mode != CLIENT || !(1..=4).contains(&version) {
        return None;
    }
    let mut reply = vec![(version << 3) | SERVER, STRATUM, query[2], PRECISION];
    reply.extend(MILLISECOND.to_be_bytes()); // root delay
    reply.extend(MILLISECOND.to_be_bytes()); // root dispersion
    reply.extend(REFERENCE);
    let set = now.saturating_sub(Duration::from_secs(16)); // when this clock was last set
    reply.extend(timestamp(set));
    reply.extend(transmitted); // origin: what the client wrote
    reply.extend(timestamp(now)); // received
    reply.extend(timestamp(now)); // transmitted
    Some(reply)
}

/// Seconds since 1900, modulo an era, and their fraction in units of 2^-32 seconds.
fn timestamp(since_1970: Duration) -> [u8; 8] {
    let seconds = since_1970.as_secs() + FROM_1900_TO_1970;
    let fraction = (u64::from(since_1970.subsec_nanos()) << 32) / 1_000_000_000;
    ((seconds << 32) | fraction).to_be_bytes()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn query(head: u8) -> Vec<u8> {
        let mut query = vec![0; OCTETS];
        query[0] = head;
        query[2] = 6;
        query[40..].copy_from_slice(b"my time!");
        query
    }

    #[test]
    fn a_client_gets_its_own_time_back_and_ours() {
        let now = Duration::new(1_700_000_000, 500_000_000);
        let reply = answer(&query(0x23), now).unwrap();
        assert_eq!(reply.len(), OCTETS);
        assert_eq!(reply[..4], [0x24, 2, 6, 0xec]);
        assert_eq!(&reply[24..32], b"my time!");
        assert_eq!(reply[40..44], 3_908_988_800_u32.to_be_bytes());
        assert_eq!(reply[44..48], 0x8000_0000_u32.to_be_bytes());
    }

    #[test]
    fn only_clients_are_answered() {
        for head in [0x24, 0x21, 0x03, 0x2b] {
            assert_eq!(answer(&query(head), Duration::ZERO), None, "first octet {head:#x}");
        }
        assert_eq!(answer(&query(0x23)[..47], Duration::ZERO), None);
    }
}
