//! The status page of a monitoring server. It asks every agent that it watches when it is looked at, over each family by
//! itself, so that what it shows is never older than the question.

use std::{io, sync::Arc, time::Duration};

use tokio::{net::UdpSocket, task::JoinSet};

use super::{premises::Premises, speaker::Speaker};
use crate::{
    model::{family::Family, management::Quirk, monitor::Agent},
    net::{
        patience::{Deadline, within},
        socket::{self, Speech},
    },
    wire::{
        snmp::{self, BadSnmp},
        status::Row,
    },
};

/// How often an agent is asked before it is down, and how long each time.
const ATTEMPTS: u32 = 3;
const PATIENCE: Duration = Duration::from_millis(300);
/// The largest answer of an agent that is read.
const LARGEST: usize = 2048;

/// The table of the page; `None` where the service watches nobody.
pub(super) async fn table(speaker: &Speaker) -> Option<String> {
    let behaviour = speaker.premises.behaviour();
    let watch = behaviour.watches.iter().find(|watch| watch.service == speaker.service)?;
    let quirks = behaviour.quirks(&speaker.service);
    let is_asked = |agent: &&Agent| {
        let is_ipv4 = Family::of(agent.at.ip()) == Family::V4;
        is_ipv4 || !quirks.contains(&Quirk::WatchesIpv4Alone)
    };
    let mut polls = JoinSet::new();
    for (place, agent) in watch.agents.iter().filter(is_asked).cloned().enumerate() {
        let premises = Arc::clone(&speaker.premises);
        polls.spawn(async move { (place, poll(&premises, agent).await) });
    }
    let mut rows = polls.join_all().await;
    rows.sort_by_key(|(place, _)| *place);
    let mut rows: Vec<_> = rows.into_iter().map(|(_, row)| row).collect();
    if quirks.contains(&Quirk::UpByEither) {
        let up: Vec<_> = rows.iter().filter(|row| row.up).map(|row| row.node.clone()).collect();
        for row in &mut rows {
            row.up = up.contains(&row.node);
        }
    }
    Some(format!("<table>\n{}</table>\n", rows.iter().map(Row::written).collect::<String>()))
}

async fn poll(premises: &Premises, agent: Agent) -> Row {
    let up = match open(premises, &agent) {
        Ok(socket) => answers(&socket, &agent).await,
        Err(_) => false,
    };
    Row { node: agent.node.to_string(), at: agent.at.ip(), up }
}

fn open(premises: &Premises, agent: &Agent) -> io::Result<UdpSocket> {
    let socket = premises.namespace.run(|| {
        let socket = socket::open(Speech::Datagram, agent.at.ip())?;
        socket::begin_connect(&socket, agent.at)?;
        Ok(socket)
    })?;
    UdpSocket::from_std(socket.into())
}

async fn answers(socket: &UdpSocket, agent: &Agent) -> bool {
    for id in 1..=ATTEMPTS {
        let asked = async {
            socket.send(&snmp::query(id, agent.at.ip())).await?;
            reply(socket, id, agent).await
        };
        if let Ok(Ok(is_answer)) = within(Deadline::after(PATIENCE), asked).await
            && is_answer
        {
            return true;
        }
    }
    false
}

/// Whether what comes is an answer to this question; one to an earlier question is waited out.
async fn reply(socket: &UdpSocket, id: u32, agent: &Agent) -> io::Result<bool> {
    let mut buffer = [0; LARGEST];
    loop {
        let length = socket.recv(&mut buffer).await?;
        match snmp::read_told(&buffer[..length], id, agent.at.ip()) {
            Err(BadSnmp::Id) => {}
            said => return Ok(said.is_ok()),
        }
    }
}
