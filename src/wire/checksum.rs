//! The Internet checksum (RFC 1071), with the pseudo-headers of both families.

use std::net::IpAddr;

/// A running sum; order matters only in that every part but the last must have an even length.
#[derive(Clone, Copy, Debug, Default)]
pub struct Checksum(u32);

impl Checksum {
    /// The sum over the pseudo-header of a packet (RFC 9293 section 3.1, RFC 8200 section 8.1).
    pub fn of_pseudo_header(
        source: IpAddr,
        destination: IpAddr,
        protocol: u8,
        length: u32,
    ) -> Self {
        Self::default()
            .address(source)
            .address(destination)
            .plus(&length.to_be_bytes())
            .plus(&[0, protocol])
    }

    /// Adds octets; an odd one at the end counts as if a zero followed.
    #[must_use]
    pub fn plus(self, octets: &[u8]) -> Self {
        let mut sum = self.0;
        for pair in octets.chunks(2) {
            let word = u16::from_be_bytes([pair[0], pair.get(1).copied().unwrap_or(0)]);
            sum += u32::from(word);
            sum = (sum & 0xffff) + (sum >> 16);
        }
        Self(sum)
    }

    /// What belongs into the header: the complement of the sum.
    pub fn finish(self) -> u16 {
        let folded = (self.0 & 0xffff) + (self.0 >> 16);
        !u16::try_from(folded & 0xffff).unwrap_or(0)
    }

    fn address(self, address: IpAddr) -> Self {
        match address {
            IpAddr::V4(address) => self.plus(&address.octets()),
            IpAddr::V6(address) => self.plus(&address.octets()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_example_of_rfc_1071_section_3() {
        let sum = Checksum::default().plus(&[0x00, 0x01, 0xf2, 0x03, 0xf4, 0xf5, 0xf6, 0xf7]);
        assert_eq!(sum.finish(), !0xddf2);
    }
}
