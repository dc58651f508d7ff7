//! Turns of phrase that several sections use.

use std::fmt::Display;

use crate::{
    model::{evidence::EvidenceId, phase::Phase, verdict::Verdict},
    report::{
        document::{Inline, LONGEST, Line},
        gate::{Gate, symbol},
    },
};

/// How many of the checks that there are: `104 of 105 checks`, or `105 checks`.
pub(super) fn checks_of(asked: usize, all: usize) -> String {
    if asked == all { count(all, "check") } else { format!("{asked} of {}", count(all, "check")) }
}

/// A cell of our own words.
pub(super) fn words(text: impl Into<String>) -> Line {
    vec![Inline::text(text)]
}

/// A cell of a number.
pub(super) fn number(n: impl Display) -> Line {
    words(format!("{n}"))
}

/// A cell of foreign words.
pub(super) fn foreign(text: &str) -> Line {
    vec![Inline::foreign(text)]
}

/// A cell of letters.
pub(super) fn code(text: impl AsRef<str>) -> Line {
    vec![Inline::code(text)]
}

/// A cell of a sentence from the run: what stands between backticks, a name or a value, is set as code.
pub(super) fn sentence(text: &str) -> Line {
    let parts: Vec<&str> = text.split('`').collect();
    let quotes = parts.len() > 1
        && parts.len() % 2 == 1
        && text.chars().count() <= LONGEST
        && parts.iter().skip(1).step_by(2).all(|name| !name.trim().is_empty());
    if !quotes {
        return foreign(text);
    }
    let blank = |is: bool| is.then(|| Inline::text(" "));
    let set = parts.into_iter().enumerate().flat_map(|(at, part)| match (at % 2, part.trim()) {
        (1, name) => vec![Inline::code(name)],
        (_, "") => blank(!part.is_empty()).into_iter().collect(),
        (_, words) => {
            let before = blank(part.starts_with(char::is_whitespace));
            let after = blank(part.ends_with(char::is_whitespace));
            before.into_iter().chain([Inline::foreign(words)]).chain(after).collect()
        }
    });
    set.collect()
}

/// What the file or the operator did not state is said to be so.
pub(super) fn stated(text: Option<&str>) -> Line {
    text.map_or_else(|| words("not stated"), foreign)
}

/// `3 of 40`.
pub(super) fn of(part: usize, whole: usize) -> String {
    format!("{part} of {whole}")
}

/// `1 probe`, `2 probes`.
pub(super) fn count(n: usize, noun: &str) -> String {
    match n {
        1 => format!("1 {noun}"),
        n => format!("{n} {noun}s"),
    }
}

/// `a`, `a and b`, `a, b and c`.
pub(super) fn and(words: &[String]) -> String {
    match words {
        [] => "none".to_owned(),
        [one] => one.clone(),
        [first @ .., last] => format!("{} and {last}", first.join(", ")),
    }
}

/// Phases as people list them.
pub(super) fn phases(phases: &[Phase]) -> String {
    and(&phases.iter().map(Phase::to_string).collect::<Vec<_>>())
}

/// Lines joined by a comma.
pub(super) fn joined(lines: impl IntoIterator<Item = Line>) -> Line {
    let mut all = Line::new();
    for line in lines {
        if !all.is_empty() {
            all.push(Inline::text(", "));
        }
        all.extend(line);
    }
    if all.is_empty() { words("none") } else { all }
}

/// Symbol and word of a verdict.
pub(super) fn verdict(verdict: Verdict) -> Inline {
    Inline::strong(format!("{} {verdict}", symbol(verdict)))
}

/// Symbol and word of a gate.
pub(super) fn gate(gate: &Gate) -> Inline {
    Inline::strong(format!("{} {}", gate.symbol(), gate.word()))
}

/// References to evidence; at most `most`, then how many more.
pub(super) fn evidence(ids: &[EvidenceId], most: usize) -> Line {
    let shown = ids.iter().take(most).map(|id| vec![Inline::link(id.to_string(), id.to_string())]);
    let mut line = joined(shown);
    if ids.len() > most {
        line.push(Inline::text(format!(" and {} more", ids.len() - most)));
    }
    line
}

/// References to findings.
pub(super) fn findings(ids: &[String]) -> Line {
    joined(ids.iter().map(|id| vec![Inline::link(id.clone(), id.clone())]))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_sentence_quotes_is_set_as_code_and_a_stray_backtick_stays() {
        assert_eq!(
            sentence("silence, from `visitor` to 10.1.0.12"),
            [
                Inline::foreign("silence, from"),
                Inline::text(" "),
                Inline::code("visitor"),
                Inline::text(" "),
                Inline::foreign("to 10.1.0.12"),
            ]
        );
        for stray in ["a`b", "``", "a`b``c", ""] {
            assert_eq!(sentence(stray), foreign(stray), "{stray}");
        }
    }
}
