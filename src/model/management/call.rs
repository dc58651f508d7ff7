//! Calls to a product, and its replies.

use serde::{Deserialize, Serialize, de::DeserializeOwned};

/// The method of a call.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Method {
    /// Shows.
    Get,
    /// Puts in the place of what is there.
    Put,
    /// Adds, or has something done.
    Post,
}

impl Method {
    /// The word on the wire.
    pub fn word(self) -> &'static str {
        match self {
            Self::Get => "GET",
            Self::Put => "PUT",
            Self::Post => "POST",
        }
    }
}

/// What comes back from a call.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Reply {
    /// The status code of HTTP.
    pub status: u16,
    /// JSON. Foreign text.
    pub body: String,
}

impl Reply {
    /// A reply that holds a value.
    pub fn of(status: u16, value: &impl Serialize) -> Self {
        let body = serde_json::to_string(value).unwrap_or_else(|error| error.to_string());
        Self { status, body }
    }

    /// A reply that what was asked for is done.
    pub fn done() -> Self {
        Self { status: 200, body: "{}".to_owned() }
    }

    /// A reply that nothing is at the path.
    pub(super) fn nothing_here() -> Self {
        Self::refusal(404, "there is nothing of the kind here")
    }

    /// A refusal.
    pub fn refusal(status: u16, complaint: impl Into<String>) -> Self {
        Self::of(status, &Complaint { complaint: complaint.into(), log: Vec::new() })
    }

    /// Whether what was asked for was done.
    pub fn is_done(&self) -> bool {
        (200..300).contains(&self.status)
    }

    /// The value in it, where it is one of the kind.
    pub fn value<T: DeserializeOwned>(&self) -> Option<T> {
        serde_json::from_str(&self.body).ok()
    }

    /// Why it was refused, in the words of the product.
    pub fn complaint(&self) -> Option<String> {
        self.value::<Complaint>().map(|said| said.complaint)
    }
}

/// Why something was not done.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Complaint {
    /// In one sentence.
    pub complaint: String,
    /// What was tried before.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub log: Vec<String>,
}

/// A call as the product takes it.
#[derive(Clone, Copy, Debug)]
pub struct Asked<'c> {
    /// The method.
    pub method: Method,
    /// The path.
    pub path: &'c str,
    /// JSON.
    pub body: &'c str,
}

impl Asked<'_> {
    /// The value in it, or why there is none.
    pub(super) fn value<T: DeserializeOwned>(&self) -> Result<T, Reply> {
        serde_json::from_str(self.body).map_err(|error| Reply::refusal(400, error.to_string()))
    }
}
