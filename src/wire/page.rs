//! The marks in a page of a built-in web service: who served it, over which family, and how fresh it is. They are in
//! headers and once more in one element of the body, so that bodies can be compared without them.

use std::borrow::Cow;

use memchr::memmem::find;

use crate::model::family::Family;

/// The header that holds the freshness stamp: seconds of a clock that all nodes of a run share.
pub const STAMP: &str = "sixwalk-stamp";
/// The header that says who served the page: `portal/https/ipv6`.
pub const SERVED_BY: &str = "sixwalk-served-by";

const OPEN: &[u8] = b"<p id=\"sixwalk-mark\">";
const CLOSE: &[u8] = b"</p>";

/// The element of the body that differs from time to time and from family to family. Of the same length for both
/// families.
pub fn mark(stamp: &str, family: Family) -> String {
    format!("<p id=\"sixwalk-mark\">served over {family} at {stamp}</p>")
}

/// The body without its mark: what must be equal for all users at all times.
pub fn without_mark(body: &[u8]) -> Cow<'_, [u8]> {
    let Some(from) = find(body, OPEN) else { return Cow::Borrowed(body) };
    match find(&body[from..], CLOSE) {
        Some(length) => Cow::Owned([&body[..from], &body[from + length + CLOSE.len()..]].concat()),
        None => Cow::Borrowed(body),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pages_differ_in_nothing_but_the_mark() {
        let page = |stamp, family| format!("<h1>a</h1>{}<p>b</p>", mark(stamp, family));
        for (stamp, family) in [("17", Family::V4), ("18", Family::V6)] {
            let bare = without_mark(page(stamp, family).as_bytes()).into_owned();
            assert_eq!(bare, b"<h1>a</h1><p>b</p>");
        }
    }

    #[test]
    fn a_page_of_somebody_else_stays_as_it_is() {
        for body in ["", "<p>", "<p id=\"sixwalk-mark\">never closed"] {
            assert_eq!(without_mark(body.as_bytes()), body.as_bytes());
        }
    }
}
