//! "Did you mean": the nearest of the words that would have been right.

/// A hint that names the nearest word, or, where none is near and there are few, all of them.
pub(super) fn suggest<'w>(
    written: &str,
    words: impl IntoIterator<Item = &'w str>,
) -> Option<String> {
    let words: Vec<_> = words.into_iter().collect();
    let near = |word: &&str| strsim::damerau_levenshtein(written, word);
    let nearest = words.iter().copied().min_by_key(near);
    match nearest.filter(|word| near(word) <= 1 + written.len().min(word.len()) / 3) {
        Some(word) => Some(format!("did you mean `{word}`?")),
        None if (1..=16).contains(&words.len()) => Some(format!("known are {}", list(words))),
        None => None,
    }
}

/// `` `a`, `b` and `c` ``.
pub(super) fn list<'w>(words: impl IntoIterator<Item = &'w str>) -> String {
    let quoted: Vec<_> = words.into_iter().map(|word| format!("`{word}`")).collect();
    match quoted.as_slice() {
        [] => "none".to_owned(),
        [one] => one.clone(),
        [first @ .., last] => format!("{} and {last}", first.join(", ")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn near_words_are_suggested_and_far_ones_are_listed() {
        assert_eq!(suggest("protal", ["portal", "ns"]).unwrap(), "did you mean `portal`?");
        assert_eq!(suggest("xyz", ["portal", "ns"]).unwrap(), "known are `portal` and `ns`");
        assert_eq!(suggest("xyz", []), None);
    }
}
