//! Sentences: the catalogue's texts with the values of a finding in them. A value stays a separate node of foreign text,
//! so that nothing a device says can become markup.

use std::collections::BTreeMap;

use super::document::Inline;

/// What the catalogue says of a check.
#[derive(Clone, Copy, Debug)]
pub struct Text {
    /// The id, for example `dns.aaaa-parity`.
    pub id: &'static str,
    /// What it is called.
    pub title: &'static str,
    /// The section of the source that it serves.
    pub section: &'static str,
    /// What is asked.
    pub question: &'static str,
    /// What a pass means.
    pub good: &'static str,
    /// What it rests on.
    pub references: &'static [&'static str],
    /// What can be wrong.
    pub cases: &'static [Case],
}

/// One thing that can be wrong, in sentences with `{argument}` in them.
#[derive(Clone, Copy, Debug)]
pub struct Case {
    /// Its name within the check.
    pub name: &'static str,
    /// What is wrong.
    pub finding: &'static str,
    /// What was expected.
    pub expected: &'static str,
    /// What was observed.
    pub observed: &'static str,
    /// What to do.
    pub remedy: &'static str,
}

/// Where the texts of a check come from.
pub type Texts<'t> = &'t dyn Fn(&str) -> Option<&'static Text>;

/// A sentence with its values filled in. A placeholder without a value is shown as such, never left out.
pub fn fill(sentence: &str, values: &BTreeMap<String, String>) -> Vec<Inline> {
    let mut filled = Vec::new();
    let mut rest = sentence;
    while let Some((before, after)) = rest.split_once('{') {
        let Some((name, after)) = after.split_once('}') else { break };
        filled.push(Inline::text(before));
        filled.push(match values.get(name) {
            Some(value) => Inline::foreign(value),
            None => Inline::text("(not stated)"),
        });
        rest = after;
    }
    filled.push(Inline::text(rest));
    filled.retain(|inline| *inline != Inline::text(""));
    filled
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
    }
}
