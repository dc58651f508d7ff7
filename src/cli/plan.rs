use std::fmt::Write;

use super::{Failure, Verdict, print, source, unknown};
use crate::{
    model::{name::NodeName, phase::Phase},
    plan::{Wave, plan},
    stage::Stage,
};

/// Show what would be done in each phase, step by step, with its undo. Touches nothing.
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:
  sixwalk plan                                   the reference testbed, all phases
  sixwalk plan my.toml --phases dual-stack,ipv6-only
  sixwalk plan --node firewall-b                 the steps of one node
  sixwalk plan --json | jq '.[].waves[].steps[].change'")]
pub(super) struct Args {
    #[command(flatten)]
    testbed: source::TestbedArgs,
    /// The phases, in the order of the walk [default: all four].
    #[arg(long, value_delimiter = ',', value_name = "PHASE", value_parser = source::phase())]
    phases: Vec<Phase>,
    /// Only the steps of this node.
    #[arg(long, value_name = "NODE")]
    node: Option<String>,
    /// As JSON.
    #[arg(long)]
    json: bool,
}

impl Args {
    pub(super) fn run(self) -> Result<Verdict, Failure> {
        let testbed = self.testbed.load()?.testbed;
        if let Some(node) = &self.node
            && !testbed.nodes.contains_key(node.as_str())
        {
            let known = testbed.nodes.keys().map(NodeName::as_str);
            return Err(Failure::Sentence(unknown::node(node, known)));
        }
        let mut before = None;
        let mut plans = Vec::new();
        for phase in source::phases(&self.phases)? {
            let stage = Stage::new(&testbed, phase);
            let mut waves = plan(before.as_ref(), &stage);
            if let Some(node) = &self.node {
                for wave in &mut waves {
                    wave.steps.retain(|step| step.node.as_str() == node);
                }
                waves.retain(|wave| !wave.steps.is_empty());
            }
            plans.push((phase, waves));
            before = Some(stage);
        }
        if self.json {
            let json: Vec<_> = plans
                .iter()
                .map(|(phase, waves)| serde_json::json!({"phase": phase, "waves": waves}))
                .collect();
            return print(
                &(serde_json::to_string_pretty(&json).expect("a plan is plain data") + "\n"),
            );
        }
        let pages: String =
            plans.iter().map(|(phase, waves)| page(&phase.to_string(), waves)).collect();
        print(&pages)
    }
}

fn page(phase: &str, waves: &[Wave]) -> String {
    let steps: usize = waves.iter().map(|wave| wave.steps.len()).sum();
    let mut page = format!("{phase}: {steps} steps\n");
    for wave in waves {
        let _ = writeln!(page, "\n  {}", wave.purpose.title());
        for step in &wave.steps {
            let _ = writeln!(page, "    {:<14} {}", step.node.to_string(), step.change);
            let _ = writeln!(page, "    {:<14}   undo: {}", "", step.undo);
        }
    }
    page.push('\n');
    page
}
