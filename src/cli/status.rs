use std::fmt::Write;

use super::{Failure, Verdict, control, print};

/// Show how a lab stands that `sixwalk up` has started.
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:
  sixwalk status
  sixwalk status --json | jq -r .phase")]
pub(super) struct Args {
    #[command(flatten)]
    lab: control::LabArgs,
    /// As JSON.
    #[arg(long)]
    json: bool,
}

impl Args {
    pub(super) fn run(self) -> Result<Verdict, Failure> {
        let reply = self.lab.connect()?.ask(&control::Request::Status)?;
        show(reply, self.json)
    }
}

/// Prints a status; differences to the plan make the exit code 2.
pub(super) fn show(reply: control::Reply, json: bool) -> Result<Verdict, Failure> {
    let control::Reply::Status(status) = reply else {
        return Err(Failure::Sentence(control::OTHER_VERSION.to_owned()));
    };
    if json {
        print(&(serde_json::to_string_pretty(&status).expect("a status is plain data") + "\n"))?;
    } else {
        print(&page(&status))?;
    }
    Ok(if status.deviations.is_empty() { Verdict::Open } else { Verdict::Incomplete })
}

fn page(status: &control::Status) -> String {
    let mut page = format!(
        "{}\n{} phase, up for {} s, {}\n",
        status.title,
        status.phase,
        status.age_s,
        status.run.display()
    );
    for (node, addresses) in &status.nodes {
        let _ = writeln!(page, "  {node:<14} {}", addresses.join("  "));
    }
    match status.deviations.as_slice() {
        [] => page.push_str("The kernel's state is as planned.\n"),
        differences => {
            let _ = writeln!(page, "{} differences to the plan:", differences.len());
            for difference in differences {
                let _ = writeln!(page, "  {difference}");
            }
        }
    }
    page
}
