use serde::{Deserialize, Serialize};

use super::{Failure, unknown};
use crate::check::{CHECKS, Check};

/// Which checks are asked.
#[derive(Clone, Debug, Default, Serialize, Deserialize, clap::Args)]
pub(super) struct Choice {
    /// Ask only this check; may be given more than once; `dns.*` names a family of checks.
    ///
    /// A gate can then be closed by what is found, but not opened: where a check that it requires was not asked, it is
    /// not decidable.
    #[arg(long, value_name = "CHECK")]
    only: Vec<String>,
    /// Do not ask this check; may be given more than once, and with --only; `vpn.*` names a family of checks.
    ///
    /// For gates it is as with --only.
    #[arg(long, value_name = "CHECK")]
    except: Vec<String>,
    /// Ask also what takes minutes: it adds some two minutes to each phase with translation, beside everything else that is
    /// asked there.
    ///
    /// A check that takes minutes is asked, too, when --only gives its whole name.
    #[arg(long)]
    #[serde(default)]
    patient: bool,
}

impl Choice {
    /// The checks, in the order of the catalogue.
    ///
    /// # Errors
    /// A name that no check has, and a choice that leaves nothing to ask.
    pub(super) fn checks(&self) -> Result<Vec<&'static dyn Check>, Failure> {
        let known = |pattern: &&String| CHECKS.iter().any(|check| names(pattern, *check));
        if let Some(unknown) = self.only.iter().chain(&self.except).find(|p| !known(p)) {
            return Err(Failure::Sentence(unknown::check(unknown)));
        }
        let wanted = |check: &&&dyn Check| {
            let is_named = |patterns: &[String]| patterns.iter().any(|p| names(p, **check));
            let has_time = self.patient
                || !check.is_patient()
                || self.only.iter().any(|name| name == check.text().id);
            has_time && (self.only.is_empty() || is_named(&self.only)) && !is_named(&self.except)
        };
        let checks: Vec<_> = CHECKS.iter().filter(wanted).copied().collect();
        if checks.is_empty() {
            return Err(Failure::Sentence(
                "--only and --except leave no check to ask; take one of them back".to_owned(),
            ));
        }
        Ok(checks)
    }
}

fn names(pattern: &str, check: &dyn Check) -> bool {
    let id = check.text().id;
    match pattern.strip_suffix('*') {
        Some(start) => id.starts_with(start),
        None => id == pattern,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn chosen(only: &[&str], except: &[&str]) -> Result<Vec<&'static str>, String> {
        let owned = |patterns: &[&str]| patterns.iter().map(|&p| p.to_owned()).collect();
        let choice = Choice { only: owned(only), except: owned(except), patient: true };
        let checks = choice.checks().map_err(|failure| match failure {
            Failure::Sentence(said) => said,
            other => panic!("{other:?}"),
        })?;
        Ok(checks.iter().map(|check| check.text().id).collect())
    }

    #[test]
    fn checks_are_named_one_by_one_or_by_family() {
        assert_eq!(chosen(&[], &[]).unwrap().len(), CHECKS.len());
        assert_eq!(chosen(&["dns.ptr-v6"], &[]).unwrap(), ["dns.ptr-v6"]);
        let family = chosen(&["vpn.*"], &["vpn.fail-open"]).unwrap();
        assert!(family.len() > 1 && family.iter().all(|id| id.starts_with("vpn.")), "{family:?}");
        assert!(!family.contains(&"vpn.fail-open"));
        assert_eq!(chosen(&[], &["vpn.fail-open"]).unwrap().len(), CHECKS.len() - 1);
    }

    #[test]
    fn what_takes_minutes_is_asked_of_the_patient_or_by_its_name() {
        let has = |only: &[&str], patient| {
            let only = only.iter().map(|&name| name.to_owned()).collect();
            let checks = Choice { only, patient, ..Choice::default() }.checks();
            let checks = checks.unwrap_or_else(|_| Vec::new());
            checks.iter().any(|check| check.text().id == "x64.udp-silence")
        };
        assert!(!has(&[], false) && !has(&["x64.*"], false));
        assert!(has(&[], true) && has(&["x64.*"], true) && has(&["x64.udp-silence"], false));
    }

    #[test]
    fn a_choice_of_nothing_is_told() {
        let said = chosen(&["dns.ptr-v6"], &["dns.*"]).unwrap_err();
        assert!(said.starts_with("--only and --except leave no check"), "{said}");
        let said = chosen(&[], &["dns.ptr-v"]).unwrap_err();
        assert!(said.contains("did you mean `dns.ptr-v6`?"), "{said}");
    }
}
