//! Paths that users of HTTP ask for: what RFC 3986 lets stand in a URI after the authority, without fragment.

use std::fmt::Write;

use crate::input::{diagnostic::Diagnostic, table::At};

/// What is wrong with a path, if anything.
pub(super) fn wrong(path: &At<String>) -> Option<Diagnostic> {
    let text = &path.is;
    let complain = |why: String| Diagnostic::error(&path.at, format!("`{text}` is no path: {why}"));
    if !text.starts_with('/') {
        let hint = format!("write `/{}`", encoded(text));
        return Some(complain("it does not begin with `/`".to_owned()).hint(hint));
    }
    let (at, bad) = text.char_indices().find(|(at, c)| !fits(text, *at, *c))?;
    let place = text[..at].chars().count() + 1;
    let why = if bad == '%' {
        format!("after the `%` at place {place} come two hexadecimal digits (RFC 3986 section 2.1)")
    } else if bad == '#' {
        format!("the `#` at place {place} begins a fragment, which is never sent to a server")
    } else {
        format!("`{bad}` at place {place} cannot stand in the path of a URI (RFC 3986 section 3.3)")
    };
    Some(complain(why).hint(format!("write `{}`", encoded(text))))
}

/// Whether a character may stand where it does: of the path, then of a query.
fn fits(text: &str, at: usize, c: char) -> bool {
    let hexadecimal = |at: usize| text.as_bytes().get(at).is_some_and(u8::is_ascii_hexdigit);
    match c {
        '%' => hexadecimal(at + 1) && hexadecimal(at + 2),
        // Unreserved, sub-delimiters, and what else separates nothing here.
        c => c.is_ascii_alphanumeric() || "-._~!$&'()*+,;=:@/?".contains(c),
    }
}

/// The text with everything that does not fit written as octets.
fn encoded(text: &str) -> String {
    let mut written = String::new();
    for (at, c) in text.char_indices() {
        if fits(text, at, c) {
            written.push(c);
            continue;
        }
        for octet in c.encode_utf8(&mut [0; 4]).bytes() {
            let _ = write!(written, "%{octet:02X}");
        }
    }
    written
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_no_path_is_refused_with_the_character_and_the_way_to_write_it() {
        let wrong = |text: &str| wrong(&At { is: text.to_owned(), at: 0..0 });
        for path in ["/", "/a/b;c=1,2:@", "/%3Cx%3e", "/search?q=a/b?c&d='1'", "//", "/~a(b)*!$+"] {
            assert_eq!(wrong(path), None, "{path}");
        }
        for (path, why, hint) in [
            ("x", "does not begin with `/`", "write `/x`"),
            ("/<x>", "`<` at place 2", "write `/%3Cx%3E`"),
            ("/a b", "` ` at place 3", "write `/a%20b`"),
            ("/ä", "`ä` at place 2", "write `/%C3%A4`"),
            ("/%zz", "`%` at place 2", "write `/%25zz`"),
            ("/a%4", "`%` at place 3", "write `/a%254`"),
            ("/a#b", "`#` at place 3", "write `/a%23b`"),
            ("/a?[b", "`[` at place 4", "write `/a?%5Bb`"),
        ] {
            let said = wrong(path).expect(path);
            assert!(said.message.contains(why), "{}", said.message);
            assert_eq!(said.hint.as_deref(), Some(hint));
        }
    }
}
