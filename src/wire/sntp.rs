//! NTP as a simple client speaks it (RFC 5905 section 14): 48 octets, mode 3 out, mode 4 back.

/// Octets of a packet without extensions.
const LENGTH: usize = 48;

/// Why a packet is not an answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum BadTime {
    /// Shorter than 48 octets.
    #[error("the packet has {0} octets, an NTP packet has at least 48")]
    Short(usize),
    /// Not mode 4.
    #[error("the packet has mode {0}, a server answers with mode 4")]
    Mode(u8),
    /// The origin timestamp is not the one that was sent.
    #[error("the packet does not repeat the timestamp of the query")]
    Origin,
}

/// A query: version 4, mode 3. `nonce` goes into the transmit timestamp, which the server repeats.
pub fn query(nonce: u64) -> Vec<u8> {
    let mut packet = vec![0; LENGTH];
    packet[0] = 4 << 3 | 3;
    packet[40..48].copy_from_slice(&nonce.to_be_bytes());
    packet
}

/// What begins the nonce of a query that is to be answered late. The services of a lab know it; to every other server it is a
/// timestamp like any other.
const LATE: u32 = u32::from_be_bytes(*b"late");

/// The nonce of a query that a service of the lab answers after so many seconds.
pub fn late_nonce(seconds: u16, number: u16) -> u64 {
    u64::from(LATE) << 32 | u64::from(seconds) << 16 | u64::from(number)
}

/// After how many seconds a query asks to be answered.
pub fn read_lateness(packet: &[u8]) -> Option<u16> {
    let (head, rest) = packet.get(40..LENGTH)?.split_first_chunk()?;
    (u32::from_be_bytes(*head) == LATE).then_some(u16::from_be_bytes(*rest.first_chunk()?))
}

/// The stratum in the answer to `query(nonce)`.
pub fn read_stratum(packet: &[u8], nonce: u64) -> Result<u8, BadTime> {
    let packet: &[u8; LENGTH] = packet.first_chunk().ok_or(BadTime::Short(packet.len()))?;
    if packet[0] & 7 != 4 {
        return Err(BadTime::Mode(packet[0] & 7));
    }
    if packet[24..32] != nonce.to_be_bytes() {
        return Err(BadTime::Origin);
    }
    Ok(packet[1])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lateness_is_asked_for_by_the_timestamp() {
        assert_eq!(read_lateness(&query(late_nonce(121, 7))), Some(121));
        assert_eq!(read_lateness(&query(121 << 16)), None);
        assert_eq!(read_lateness(&[]), None);
    }

    #[test]
    fn only_an_answer_to_the_query_is_taken() {
        let mut answer = query(7);
        assert_eq!(read_stratum(&answer, 7), Err(BadTime::Mode(3)));
        answer[0] = 4 << 3 | 4;
        answer[1] = 2;
        assert_eq!(read_stratum(&answer, 7), Err(BadTime::Origin));
        answer.copy_within(40..48, 24);
        assert_eq!(read_stratum(&answer, 7), Ok(2));
        assert_eq!(read_stratum(&answer[..40], 7), Err(BadTime::Short(40)));
    }
}
