//! Listeners that are sabotaged.

use sixwalk::model::{family::Family, fault::Sabotage, name::ServiceName};

use crate::{
    lab::{Lab, V4, V6, every_service},
    support,
};

#[test]
fn listeners_can_be_sabotaged_and_are_restored() {
    if !support::inside_sandbox("faults::listeners_can_be_sabotaged_and_are_restored") {
        return;
    }
    let lab = Lab::new(every_service());
    lab.listen("echo", "0.0.0.0");
    lab.listen("echo", "::");
    let portal = || "portal".parse().unwrap();
    let echo = || -> ServiceName { "echo".parse().unwrap() };
    let answers = |ip, port| lab.connect(ip, port).is_ok();
    lab.sabotage(&Sabotage::ListenOnly { node: portal(), service: echo(), only: Family::V4 });
    assert_eq!((answers(V4, 7), answers(V6, 7)), (true, false));
    lab.clear();
    assert_eq!((answers(V4, 7), answers(V6, 7)), (true, true));
    lab.sabotage(&Sabotage::StopService { node: portal(), service: echo() });
    assert_eq!((answers(V4, 7), answers(V6, 7)), (false, false));
    lab.clear();
    lab.sabotage(&Sabotage::ExtraListener {
        node: portal(),
        families: vec![Family::V6],
        port: 3306,
    });
    assert_eq!((answers(V4, 3306), answers(V6, 3306)), (false, true));
    let unplanned: Vec<_> = lab.host.sockets().into_iter().filter(|s| s.1.port() == 3306).collect();
    assert_eq!(unplanned.len(), 1);
    assert_eq!(unplanned[0].2.as_str(), "unplanned");
    lab.clear();
    assert_eq!((answers(V4, 7), answers(V6, 7), answers(V6, 3306)), (true, true, false));
}
