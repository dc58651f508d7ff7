//! Anchors of headings, by the rule that GitHub uses for Markdown files, so that links work there and in our HTML.

use std::collections::BTreeMap;

/// Gives out anchors, each once.
#[derive(Debug, Default)]
pub struct Slugs(BTreeMap<String, usize>);

impl Slugs {
    /// The anchor of the next heading with this text: lower case, blanks as `-`, nothing but letters, digits, `-` and
    /// `_`; repeated ones are numbered.
    pub fn next(&mut self, heading: &str) -> String {
        let slug = slug(heading);
        let seen = self.0.entry(slug.clone()).or_default();
        *seen += 1;
        if *seen == 1 { slug } else { format!("{slug}-{}", *seen - 1) }
    }
}

fn slug(heading: &str) -> String {
    let kept = |c: char| c.is_alphanumeric() || matches!(c, '-' | '_' | ' ');
    let text: String = heading.trim().to_lowercase().chars().filter(|c| kept(*c)).collect();
    text.replace(' ', "-")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn anchors_are_those_of_github() {
        let mut slugs = Slugs::default();
        assert_eq!(slugs.next("2.1 Node & link table"), "21-node--link-table");
        assert_eq!(slugs.next("F-001 <script> at [x](y)"), "f-001-script-at-xy");
        assert_eq!(slugs.next("Results"), "results");
        assert_eq!(slugs.next("Results"), "results-1");
    }
}
