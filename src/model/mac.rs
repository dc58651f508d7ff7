//! Link-layer addresses of the lab: chosen by the testbed, so that link-local addresses repeat from run to run.

use std::{fmt, net::Ipv6Addr, str::FromStr};

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// An EUI-48 address.
#[derive(
    Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, JsonSchema,
)]
#[serde(try_from = "String", into = "String")]
#[schemars(with = "String")]
pub struct Mac(pub [u8; 6]);

impl Mac {
    /// The link-local address that is formed from it (RFC 4291 appendix A, modified EUI-64).
    pub fn link_local(self) -> Ipv6Addr {
        self.within(Ipv6Addr::new(0xfe80, 0, 0, 0, 0, 0, 0, 0))
    }

    /// The address that SLAAC forms from it within a /64 (RFC 4862 section 5.5.3).
    pub fn within(self, prefix: Ipv6Addr) -> Ipv6Addr {
        let m = self.0;
        let mut octets = prefix.octets();
        octets[8..].copy_from_slice(&[m[0] ^ 2, m[1], m[2], 0xff, 0xfe, m[3], m[4], m[5]]);
        octets.into()
    }
}

impl fmt::Display for Mac {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (at, octet) in self.0.iter().enumerate() {
            write!(f, "{}{octet:02x}", if at == 0 { "" } else { ":" })?;
        }
        Ok(())
    }
}

/// Why a text is not a link-layer address.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("`{0}` is not a link-layer address such as `02:00:00:00:00:0a`")]
pub struct BadMac(String);

impl FromStr for Mac {
    type Err = BadMac;
    fn from_str(text: &str) -> Result<Self, BadMac> {
        let bad = || BadMac(text.to_owned());
        let octets: Vec<u8> = text
            .split(':')
            .map(|part| if part.len() == 2 { u8::from_str_radix(part, 16).ok() } else { None })
            .collect::<Option<_>>()
            .ok_or_else(bad)?;
        Ok(Self(octets.try_into().map_err(|_| bad())?))
    }
}

impl TryFrom<String> for Mac {
    type Error = BadMac;
    fn try_from(text: String) -> Result<Self, BadMac> {
        text.parse()
    }
}

impl From<Mac> for String {
    fn from(mac: Mac) -> Self {
        mac.to_string()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn slaac_flips_the_universal_bit_and_inserts_fffe() {
        let mac: Mac = "02:00:5e:10:00:0a".parse().unwrap();
        assert_eq!(mac.link_local().to_string(), "fe80::5eff:fe10:a");
        assert_eq!(
            mac.within("2001:db8:a:1::".parse().unwrap()).to_string(),
            "2001:db8:a:1:0:5eff:fe10:a"
        );
    }
}
