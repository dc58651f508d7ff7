//! The syslog sink.

use std::{net::UdpSocket, time::Instant};

use sixwalk::model::answer::Logged;

use crate::{
    lab::{Lab, PATIENCE, V6, V6_CLIENT, every_service},
    support,
};

#[test]
fn the_sink_knows_who_logged_what() {
    if !support::inside_sandbox("syslog::the_sink_knows_who_logged_what") {
        return;
    }
    let lab = Lab::new(every_service());
    lab.listen("syslog", "::");
    let socket = lab.client.run(|| UdpSocket::bind((V6_CLIENT, 0))).unwrap();
    socket.send_to(b"<14>1 - portal - - - - token-17", (V6, 514)).unwrap();
    let began = Instant::now();
    while lab.host.sink("token-17").is_empty() {
        assert!(began.elapsed() < PATIENCE, "the message never came");
        std::thread::yield_now();
    }
    assert_eq!(
        lab.host.sink("token-17"),
        [Logged { from: socket.local_addr().unwrap(), host: "portal".to_owned() }]
    );
    assert_eq!(lab.host.sink("token-18"), []);
}
