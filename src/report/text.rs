//! Sentences: the catalogue's texts with the values of a finding in them. A value stays a separate node of foreign text,
//! so that nothing a device says can become markup.

use std::collections::BTreeMap;

use super::document::Inline;
use crate::{
    check::{CHECKS, Case, Text},
    model::finding::Finding,
};

/// The words of the checks that a run was made with.
#[derive(Clone, Debug)]
pub struct Catalogue(Vec<&'static Text>);

impl Catalogue {
    /// The words of every check of this program.
    pub fn of_this_program() -> Self {
        CHECKS.iter().map(|check| check.text()).collect()
    }

    /// Every check, in the order of the report.
    pub fn iter(&self) -> impl Iterator<Item = &'static Text> + '_ {
        self.0.iter().copied()
    }

    /// The words of a check; `None` for one that this program does not know, as in the run of another version.
    pub fn text(&self, id: &str) -> Option<&'static Text> {
        self.iter().find(|text| text.id == id)
    }

    /// The sentences of a case of a check.
    pub fn case(&self, id: &str, case: &str) -> Option<&'static Case> {
        self.text(id)?.case(case)
    }
}

impl FromIterator<&'static Text> for Catalogue {
    fn from_iter<I: IntoIterator<Item = &'static Text>>(texts: I) -> Self {
        Self(texts.into_iter().collect())
    }
}

/// A sentence with its values filled in. A placeholder without a value is shown as such, never left out. What stands
/// between backticks is set as code, values included.
pub fn fill(sentence: &str, values: &BTreeMap<String, String>) -> Vec<Inline> {
    let parts = sentence.split('`').enumerate();
    let filled = parts.flat_map(|(at, part)| {
        let pieces = fill_part(part, values);
        if at % 2 == 0 {
            return pieces;
        }
        vec![Inline::code(pieces.iter().map(Inline::plain).collect::<String>())]
    });
    filled.filter(|inline| *inline != Inline::text("")).collect()
}

fn fill_part(part: &str, values: &BTreeMap<String, String>) -> Vec<Inline> {
    let mut filled = Vec::new();
    let mut rest = part;
    while let Some((before, name, after)) = next_placeholder(rest) {
        filled.push(Inline::text(before));
        filled.push(match values.get(name) {
            Some(value) => Inline::foreign(value),
            None => Inline::text("(not stated)"),
        });
        rest = after;
    }
    filled.push(Inline::text(rest));
    filled
}

/// What stands before the first placeholder, its name, and what stands behind it. Other braces are text: settings have them.
fn next_placeholder(text: &str) -> Option<(&str, &str, &str)> {
    text.match_indices('{').find_map(|(at, _)| {
        let (name, after) = text[at + 1..].split_once('}')?;
        let is_name = |name: &str| {
            !name.is_empty()
                && name.chars().all(|c| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '_')
        };
        is_name(name).then_some((&text[..at], name, after))
    })
}

/// The verdict of a finding as one sentence of plain text, for a terminal. Control characters in values are made visible.
pub fn sentence(finding: &Finding) -> String {
    let case = crate::check::text(&finding.check).and_then(|text| text.case(&finding.case));
    let Some(case) = case else { return format!("{} ({})", finding.check, finding.case) };
    fill(case.finding, &finding.args).iter().map(Inline::plain).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_are_foreign_and_a_missing_one_is_said() {
        let values = BTreeMap::from([("node".to_owned(), "portal".to_owned())]);
        assert_eq!(
            fill("{node} lost {what}.", &values),
            [
                Inline::foreign("portal"),
                Inline::text(" lost "),
                Inline::text("(not stated)"),
                Inline::text("."),
            ]
        );
        assert_eq!(fill("an open { brace", &values), [Inline::text("an open { brace")]);
        assert_eq!(
            fill("set `listen { any; }` on {node}", &values),
            [
                Inline::text("set "),
                Inline::code("listen { any; }"),
                Inline::text(" on "),
                Inline::foreign("portal"),
            ]
        );
        assert_eq!(
            fill("run `ping {node}` there", &values),
            [Inline::text("run "), Inline::code("ping portal"), Inline::text(" there")]
        );
    }
}
