//! Words as Markdown that means nothing but these words (CommonMark 0.31 with GitHub's tables and autolinks).

use std::fmt::Write;

/// Escapes words for any place in a line, also its beginning. Addresses stay readable: `2001:db8::1`.
pub(super) fn words(text: &str) -> String {
    let mut escaped = String::with_capacity(text.len() + 8);
    let mut rest = text;
    if let Some(digit) = list_number(text) {
        let _ = write!(escaped, "&#{};", u32::from(digit));
        rest = &text[1..];
    } else if text.starts_with(['-', '+', '=']) {
        escaped.push('\\');
    }
    while let Some(c) = rest.chars().next() {
        let after = &rest[c.len_utf8()..];
        match c {
            '<' => escaped.push_str("&lt;"),
            '>' => escaped.push_str("&gt;"),
            '&' => escaped.push_str("&amp;"),
            '@' => escaped.push_str("&#64;"),
            ':' if after.starts_with("//") => escaped.push_str("&#58;"),
            '.' if text[..text.len() - rest.len()].to_ascii_lowercase().ends_with("www") => {
                escaped.push_str("&#46;");
            }
            '\\' | '`' | '*' | '_' | '[' | ']' | '#' | '|' | '~' | '$' | '^' | '{' | '}' => {
                escaped.extend(['\\', c]);
            }
            c => escaped.push(c),
        }
        rest = after;
    }
    escaped
}

/// The first digit of words that could begin a numbered list: `1. ` or `1) `. `1.1` begins none.
fn list_number(text: &str) -> Option<char> {
    let after = text.trim_start_matches(|c: char| c.is_ascii_digit());
    let marked =
        after.starts_with(['.', ')']) && after[1..].chars().next().is_none_or(char::is_whitespace);
    text.chars().next().filter(|first| first.is_ascii_digit() && marked)
}

/// Letters as a code span, the fence longer than any run of backticks in them.
pub(super) fn code(text: &str) -> String {
    let fence = "`".repeat(longest_run(text) + 1);
    let pad = if text.starts_with('`') || text.ends_with('`') { " " } else { "" };
    format!("{fence}{pad}{text}{pad}{fence}")
}

/// Letters as a code span within a table. A bar would end the cell, and the readers of Markdown disagree on how it is
/// escaped within code: such letters are shown as words.
pub(super) fn cell_code(text: &str) -> String {
    if text.contains(['|', '\\']) { words(text) } else { code(text) }
}

/// Lines as a fenced block.
pub(super) fn fence(text: &str) -> String {
    let fence = "`".repeat(longest_run(text).max(2) + 1);
    format!("{fence}\n{text}\n{fence}")
}

fn longest_run(text: &str) -> usize {
    text.split(|c| c != '`').map(str::len).max().unwrap_or(0)
}
