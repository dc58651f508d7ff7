//! What to say of a word that names nothing.

use crate::check::CHECKS;

/// What to say of a check that there is not.
pub(super) fn check(id: &str) -> String {
    let hint = did_you_mean(id, CHECKS.iter().map(|check| check.text().id));
    format!("there is no check `{id}`{hint}; `sixwalk checks` lists them all")
}

/// What to say of a node that there is not.
pub(super) fn node<'n>(node: &str, known: impl IntoIterator<Item = &'n str> + Clone) -> String {
    let hint = did_you_mean(node, known.clone());
    let known: Vec<_> = known.into_iter().collect();
    format!("there is no node `{node}`{hint}; the nodes are {}", known.join(", "))
}

/// A question after the known word that is nearest, if one is near enough.
pub(super) fn did_you_mean<'w>(word: &str, known: impl IntoIterator<Item = &'w str>) -> String {
    let distances =
        known.into_iter().map(|known| (strsim::damerau_levenshtein(word, known), known));
    let near = distances.min().filter(|(distance, _)| *distance <= 1 + word.chars().count() / 3);
    near.map_or_else(String::new, |(_, known)| format!(" (did you mean `{known}`?)"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_near_is_suggested_and_what_is_far_is_not() {
        assert_eq!(
            did_you_mean("dualstack", ["dual-stack", "partial"]),
            " (did you mean `dual-stack`?)"
        );
        assert_eq!(did_you_mean("xyz", ["dual-stack", "partial"]), "");
    }
}
