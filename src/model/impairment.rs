//! Impairments: what a link does to frames beyond carrying them. Real links lose, delay, duplicate and reorder (S3), and
//! a service that is fine on a perfect link may be lost on one of those.

use std::{fmt, str::FromStr};

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// What a link does to the frames that it carries.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case", default)]
pub struct Impairment {
    /// The share of frames that it loses.
    pub loss: Share,
    /// The share of frames that arrive twice.
    pub duplicate: Share,
    /// The share of frames that others overtake.
    pub reorder: Share,
    /// How fast it is in each direction; as fast as the machine where nothing is said.
    pub rate: Option<Rate>,
    /// How long it takes in each direction.
    pub delay: Delay,
    /// The traffic class (RFC 2474) that it writes into every packet, as a network does that keeps its own counsel.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub class: Option<u8>,
}

impl Impairment {
    /// Whether it leaves frames as they are.
    pub fn is_none(&self) -> bool {
        *self == Self::default()
    }
}

/// `loss 2%, delay 20ms`.
impl fmt::Display for Impairment {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let share = |word: &str, share: Share| (share.0 > 0).then(|| format!("{word} {share}"));
        let parts = [
            share("loss", self.loss),
            share("duplicate", self.duplicate),
            share("reorder", self.reorder),
            self.rate.map(|rate| format!("rate {rate}")),
            (self.delay.0 > 0).then(|| format!("delay {}", self.delay)),
            self.class.map(|class| format!("traffic class {class:#04x}")),
        ];
        f.write_str(&parts.into_iter().flatten().collect::<Vec<_>>().join(", "))
    }
}

/// A share of frames in hundredths of a percent.
#[derive(
    Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize,
)]
#[serde(try_from = "String", into = "String")]
pub struct Share(pub u16);

impl Share {
    /// All frames.
    pub const WHOLE: u16 = 10_000;
    /// The most that a planned link may lose, repeat or reorder: what loses more is no link, and only a fault.
    pub const MOST_PLANNED: Self = Self(9_000);

    /// From 0 to 1.
    pub fn part(self) -> f64 {
        f64::from(self.0) / f64::from(Self::WHOLE)
    }
}

/// Kilobits in a second.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Rate(pub u32);

impl Rate {
    /// The least of a planned link: two full packets each way take less than the 250 ms after which a user's program
    /// tries the next address (RFC 8305 section 5), with something of others before each. What is slower fails by itself.
    pub const LEAST_PLANNED: Self = Self(256);
}

/// Milliseconds.
#[derive(
    Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize,
)]
#[serde(try_from = "String", into = "String")]
pub struct Delay(pub u16);

/// The longest delay of a link: probes wait for no more than a few seconds.
const LONGEST_DELAY_MS: u16 = 500;
/// Rates in kilobits a second.
const SLOWEST: u32 = 64;
const FASTEST: u32 = 10_000_000;

impl FromStr for Share {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let why = || format!("`{text}` is no share of a whole; write `2%` or `0.5%`");
        let (whole, part) = text
            .strip_suffix('%')
            .map(|number| number.split_once('.').unwrap_or((number, "")))
            .ok_or_else(why)?;
        let digits = |text: &str| text.chars().all(|c| c.is_ascii_digit());
        if whole.is_empty() || !digits(whole) || !digits(part) || part.len() > 2 {
            return Err(why());
        }
        let hundredths = format!("{whole}{part:0<2}").parse::<u16>().map_err(|_| why())?;
        if hundredths > Self::WHOLE { Err(why()) } else { Ok(Self(hundredths)) }
    }
}

impl FromStr for Rate {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let why = || {
            format!(
                "`{text}` is no rate; write `10mbit` or `512kbit`, from `64kbit` to `10000mbit`"
            )
        };
        let kilobits = match (text.strip_suffix("kbit"), text.strip_suffix("mbit")) {
            (Some(number), _) => number.parse::<u32>().ok(),
            (_, Some(number)) => number.parse::<u32>().ok().and_then(|n| n.checked_mul(1_000)),
            _ => None,
        };
        kilobits.filter(|n| (SLOWEST..=FASTEST).contains(n)).map(Self).ok_or_else(why)
    }
}

impl FromStr for Delay {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let why = || format!("`{text}` is no delay; write `20ms`, at most `{LONGEST_DELAY_MS}ms`");
        let ms = text.strip_suffix("ms").and_then(|number| number.parse().ok());
        ms.filter(|ms| *ms <= LONGEST_DELAY_MS).map(Self).ok_or_else(why)
    }
}

impl fmt::Display for Share {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match (self.0 / 100, self.0 % 100) {
            (whole, 0) => write!(f, "{whole}%"),
            (whole, part) if part % 10 == 0 => write!(f, "{whole}.{}%", part / 10),
            (whole, part) => write!(f, "{whole}.{part:02}%"),
        }
    }
}

impl fmt::Display for Rate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0 % 1_000 {
            0 => write!(f, "{}mbit", self.0 / 1_000),
            _ => write!(f, "{}kbit", self.0),
        }
    }
}

impl fmt::Display for Delay {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}ms", self.0)
    }
}

/// Texts of the files, the same in the JSON of the product.
macro_rules! as_text {
    ($($kind:ty),*) => {$(
        impl TryFrom<String> for $kind {
            type Error = String;

            fn try_from(text: String) -> Result<Self, String> {
                text.parse()
            }
        }

        impl From<$kind> for String {
            fn from(value: $kind) -> Self {
                value.to_string()
            }
        }

        impl JsonSchema for $kind {
            fn schema_name() -> std::borrow::Cow<'static, str> {
                stringify!($kind).into()
            }

            fn json_schema(generator: &mut schemars::SchemaGenerator) -> schemars::Schema {
                String::json_schema(generator)
            }
        }
    )*};
}

as_text!(Share, Rate, Delay);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn shares_rates_and_delays_are_read_as_they_are_written() {
        for text in ["0%", "2%", "0.5%", "0.05%", "12.25%", "100%"] {
            assert_eq!(text.parse::<Share>().unwrap().to_string(), text);
        }
        for text in ["512kbit", "10mbit"] {
            assert_eq!(text.parse::<Rate>().unwrap().to_string(), text);
        }
        assert_eq!("2%".parse::<Share>().unwrap().0, 200);
        assert_eq!("20ms".parse::<Delay>().unwrap().to_string(), "20ms");
        for text in ["2", "%", ".5%", "-1%", "100.01%", "0.123%", "٣%", ""] {
            assert!(text.parse::<Share>().is_err(), "`{text}`");
        }
        for text in ["10", "1kbit", "5000000mbit", "mbit"] {
            assert!(text.parse::<Rate>().is_err(), "`{text}`");
        }
        assert!("501ms".parse::<Delay>().is_err() && "20".parse::<Delay>().is_err());
    }

    #[test]
    fn an_impairment_says_only_what_it_does() {
        let impairment = Impairment {
            loss: Share(200),
            delay: Delay(20),
            class: Some(0),
            ..Impairment::default()
        };
        assert_eq!(impairment.to_string(), "loss 2%, delay 20ms, traffic class 0x00");
        assert!(Impairment::default().is_none());
    }
}
