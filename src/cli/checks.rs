use std::fmt::Write;

use super::{Failure, Verdict, print};
use crate::check::{CHECKS, UseCase};

/// List the catalogue of checks.
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:
  sixwalk checks
  sixwalk checks dns.aaaa-dead       what one check looks at, what can be wrong, what to do
  sixwalk checks --json")]
pub(super) struct Args {
    /// Only these, in full.
    ids: Vec<String>,
    /// As JSON.
    #[arg(long)]
    json: bool,
}

impl Args {
    pub(super) fn run(self) -> Result<Verdict, Failure> {
        if let Some(unknown) = self.ids.iter().find(|id| crate::check::text(id).is_none()) {
            return Err(Failure::Sentence(super::unknown::check(unknown)));
        }
        if self.json {
            return print(&self.as_json());
        }
        print(&if self.ids.is_empty() { list() } else { self.in_full() })
    }

    fn as_json(&self) -> String {
        let texts = CHECKS.iter().map(|check| check.text());
        let wanted =
            texts.filter(|text| self.ids.is_empty() || self.ids.iter().any(|id| id == text.id));
        let checks: Vec<_> = wanted
            .map(|text| {
                serde_json::json!({
                    "id": text.id,
                    "title": text.title,
                    "section": text.section,
                    "use_case": text.use_case.title(),
                    "question": text.question,
                    "good": text.good,
                    "references": text.references,
                    "cases": text.cases.iter().map(|case| serde_json::json!({
                        "name": case.name,
                        "finding": case.finding,
                        "expected": case.expected,
                        "observed": case.observed,
                        "remedy": case.remedy,
                    })).collect::<Vec<_>>(),
                })
            })
            .collect();
        serde_json::to_string_pretty(&checks).expect("strings are JSON") + "\n"
    }

    fn in_full(&self) -> String {
        let mut page = String::new();
        for text in self.ids.iter().filter_map(|id| crate::check::text(id)) {
            let _ = writeln!(
                page,
                "{}  {}\n  {}\n  Good: {}",
                text.id, text.title, text.question, text.good
            );
            let _ = writeln!(page, "  Source: {}; {}", text.section, text.references.join("; "));
            for case in text.cases {
                let _ = writeln!(page, "\n  case {}\n    {}", case.name, case.finding);
                let _ = writeln!(
                    page,
                    "    expected  {}\n    observed  {}",
                    case.expected, case.observed
                );
                let _ = writeln!(page, "    remedy    {}", case.remedy);
            }
            page.push('\n');
        }
        page
    }
}

fn list() -> String {
    let mut page = String::new();
    for use_case in UseCase::ALL {
        let of_case =
            CHECKS.iter().map(|check| check.text()).filter(|text| text.use_case == use_case);
        let _ = writeln!(page, "{}", use_case.title());
        for text in of_case {
            let _ = writeln!(page, "  {:<32} {}", text.id, text.title);
        }
        page.push('\n');
    }
    let _ = writeln!(page, "{} checks. `sixwalk checks ID` tells all about one.", CHECKS.len());
    page
}
