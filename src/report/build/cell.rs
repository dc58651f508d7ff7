//! A cell that says what checks said of something, and what that rests on.

use super::{phrase, tally::Tally};
use crate::{
    model::verdict::Judgement,
    report::document::{Inline, Line},
};

/// How many pieces of evidence a cell names: enough to begin with, and few enough for a table to stay one. The run has all.
const MOST_EVIDENCE: usize = 2;

/// The worst of some verdicts, of how many where there are several, and what those that have it rest on.
pub(super) fn judged<'j>(judgements: impl IntoIterator<Item = &'j Judgement>) -> Line {
    let all: Vec<_> = judgements.into_iter().collect();
    let tally: Tally = all.iter().copied().collect();
    let Some(worst) = tally.worst() else { return phrase::words("not asked") };
    let mut line = if all.len() == 1 { vec![phrase::verdict(worst)] } else { tally.cell() };
    let mut rests_on = Vec::new();
    for id in all.iter().filter(|one| one.verdict == worst).flat_map(|one| &one.evidence) {
        if !rests_on.contains(id) {
            rests_on.push(*id);
        }
    }
    if !rests_on.is_empty() {
        line.push(Inline::text(" "));
        line.extend(phrase::evidence(&rests_on, MOST_EVIDENCE));
    }
    line
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::{evidence::EvidenceId, verdict::Verdict};

    fn judgement(verdict: Verdict, evidence: &[u32]) -> Judgement {
        Judgement {
            check: "vpn.matrix".to_owned(),
            subject: String::new(),
            verdict,
            reason: String::new(),
            evidence: evidence.iter().copied().map(EvidenceId).collect(),
            complaint: None,
        }
    }

    fn plain(judgements: &[Judgement]) -> String {
        judged(judgements).iter().map(Inline::plain).collect()
    }

    #[test]
    fn a_cell_names_the_evidence_of_its_worst_and_no_more_than_fits() {
        let pass = judgement(Verdict::Pass, &[7, 7, 8]);
        assert_eq!(plain(std::slice::from_ref(&pass)), "\u{2714} pass E-0007, E-0008");
        let fail = judgement(Verdict::Fail, &[1, 2, 3, 4]);
        assert_eq!(plain(&[pass, fail]), "\u{2718} fail 1 of 2 E-0001, E-0002 and 2 more");
        assert_eq!(plain(&[judgement(Verdict::NotApplicable, &[])]), "\u{2013} not-applicable");
        assert_eq!(plain(&[]), "not asked");
    }
}
