//! Phase files: a gate asks for checks that there are.

use crate::{
    input::{PhaseFile, diagnostic::Diagnostic, suggest::suggest, written},
    model::gate::Gate,
};

/// The phase that a file means; nothing where it does not say which.
pub(in crate::input) fn resolve(
    written: written::phase::PhaseFile,
    checks: &[&str],
) -> (Option<PhaseFile>, Vec<Diagnostic>) {
    let mut found = Vec::new();
    for (at, id) in written.require.iter().enumerate() {
        if !checks.contains(&id.is.as_str()) {
            let message = format!("there is no check `{}`", id.is);
            let hint = suggest(&id.is, checks.iter().copied());
            let hint = hint.unwrap_or_else(|| "`sixwalk checks` lists them".to_owned());
            found.push(Diagnostic::error(&id.at, message).hint(hint));
        }
        if let Some(first) = written.require[..at].iter().find(|other| other.is == id.is) {
            let message = format!("check `{}` is required twice", id.is);
            found.push(Diagnostic::warning(&id.at, message).note(&first.at, "first used here"));
        }
    }
    let require = written.require.into_iter().map(|id| id.is).collect();
    let gate = Gate { require, at_most: written.at_most };
    let file = written.phase.map(|phase| PhaseFile {
        phase: phase.is,
        title: written.title.map_or_else(String::new, |title| title.is),
        source: written.source.map(|source| source.is),
        gate,
    });
    (file, found)
}
