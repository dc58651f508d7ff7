use std::fmt::Write;

use super::{Failure, Verdict, choice::Choice, control, print};
use crate::report;

/// Ask checks in the present phase of a lab.
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:
  sixwalk check                               every check
  sixwalk check --only out.service-reach --only 'dns.*'
  sixwalk check --except 'vpn.*'              all but these

Exit codes: 0 nothing is wrong; 1 findings; 2 something could not be tested.")]
pub(super) struct Args {
    #[command(flatten)]
    lab: control::LabArgs,
    #[command(flatten)]
    choice: Choice,
    /// As JSON.
    #[arg(long)]
    json: bool,
}

impl Args {
    pub(super) fn run(self) -> Result<Verdict, Failure> {
        self.choice.checks()?;
        let request = control::Request::Check { choice: self.choice };
        let control::Reply::Checked(checked) = self.lab.connect()?.ask(&request)? else {
            return Err(Failure::Sentence(control::OTHER_VERSION.to_owned()));
        };
        if self.json {
            print(
                &(serde_json::to_string_pretty(&checked).expect("judgements are plain data")
                    + "\n"),
            )?;
        } else {
            print(&page(&checked))?;
        }
        let open = checked.judgements.iter().any(|(_, _, verdict, _)| verdict.is_open());
        Ok(match (checked.findings.is_empty(), open) {
            (false, _) => Verdict::Closed,
            (true, true) => Verdict::Incomplete,
            (true, false) => Verdict::Open,
        })
    }
}

fn page(checked: &control::Checked) -> String {
    let mut page = String::new();
    for (id, subject, verdict, reason) in &checked.judgements {
        let symbol = report::gate::symbol(*verdict);
        let reason = if reason.is_empty() { String::new() } else { format!("  {reason}") };
        let _ = writeln!(page, "{symbol} {:<15} {id:<30} {subject}{reason}", verdict.word());
    }
    for finding in &checked.findings {
        let sentence = report::text::sentence(finding);
        let _ = writeln!(
            page,
            "{}  {}  {}: {sentence}",
            finding.id,
            finding.severity.word(),
            finding.culprit
        );
    }
    let _ = writeln!(
        page,
        "{} judgements, {} findings in the {} phase",
        checked.judgements.len(),
        checked.findings.len(),
        checked.phase
    );
    page
}
