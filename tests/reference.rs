//! The shipped testbeds: each loads without a word, and the reference testbed expects in each phase what its document says.

use std::{fs, path::Path, sync::Arc};

use sixwalk::{
    input,
    model::{family::Family, flow::Intent, phase::Phase, testbed::Testbed},
    stage::{Exchange, Expect, Stage},
};

fn load(name: &str) -> Arc<Testbed> {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("testbed").join(name);
    let text = fs::read_to_string(&path).unwrap();
    let (testbed, found) = input::examine(name, &text);
    assert!(found.is_empty(), "{found}");
    Arc::new(testbed.unwrap())
}

#[test]
fn show() {
    let testbed = load("fokus.toml");
    for phase in Phase::ALL {
        let stage = Stage::new(&testbed, phase);
        println!("== {phase}");
        for exchange in stage.exchanges() {
            for family in Family::ALL {
                for to in stage.targets(&exchange, family) {
                    let e = &exchange;
                    println!(
                        "{} {} {:?} {to}: {:?}",
                        e.flow,
                        e.from,
                        e.intent,
                        stage.expect(e, to)
                    );
                }
            }
        }
    }
    let stage = Stage::new(&testbed, Phase::DualStack);
    for (name, node) in &stage.nodes {
        println!("-- {name} fwd {}", node.forwarding);
        for i in &node.interfaces {
            println!(
                "  {} {} {} {:?}",
                i.name,
                i.segment,
                i.mac,
                i.addresses.iter().map(|a| a.net.to_string()).collect::<Vec<_>>()
            );
        }
        for r in &node.routes {
            println!("  route {} via {}", r.to, r.via);
        }
        for c in &node.filter.chains {
            for r in &c.rules {
                println!("  {:?} {} # {}", c.hook, r, r.label);
            }
        }
        println!("  resolvers {:?}", node.resolvers);
    }
}
