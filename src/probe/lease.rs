//! `Question::Lease`: a lease from its beginning to its end, asked for as the host itself would, but by hand: nothing is taken.

use std::{io, time::Duration};

use super::{
    Deadline, Vantage,
    call::fresh_word,
    dhcp::{ASSOCIATION, Host, REPEAT},
    not_asked,
};
use crate::{
    model::{
        answer::Answer,
        dhcp::{HeardDhcp, LeaseAct, LeaseCourse},
        name::InterfaceName,
    },
    wire::dhcpv6::{Association, Kind, Message},
};

/// How long each answer is waited for: the question is sent twice.
const PATIENCE: Duration = Duration::from_millis(1_900);

pub(super) async fn ask(at: &Vantage, interface: &InterfaceName, deadline: Deadline) -> Answer {
    match course(at, interface, deadline).await {
        Ok(course) => Answer::Lease { course },
        Err(error) => not_asked(format!(
            "cannot ask for a lease on `{interface}` of node `{}`: {error}",
            at.node
        )),
    }
}

async fn course(
    at: &Vantage,
    interface: &InterfaceName,
    deadline: Deadline,
) -> io::Result<LeaseCourse> {
    let host = Host::at(at, interface)?;
    let nothing = Association { id: ASSOCIATION, ..Association::default() };
    let solicit = Message { association: Some(nothing), ..host.question(Kind::Solicit) };
    let mut course = LeaseCourse { given: None, then: Vec::new() };
    let Some((_, offer)) = answer(&host, &solicit, deadline, gives).await? else {
        return Ok(course);
    };
    let request = Message {
        server: offer.server.clone(),
        association: offer.association.clone(),
        ..host.question(Kind::Request)
    };
    let Some((given, reply)) = answer(&host, &request, deadline, gives).await? else {
        return Ok(course);
    };
    let giver = given.mac;
    course.given = Some(given);
    for act in LeaseAct::ALL {
        let (kind, server) = match act {
            LeaseAct::Renew => (Kind::Renew, offer.server.clone()),
            LeaseAct::Rebind => (Kind::Rebind, Vec::new()),
            LeaseAct::Release => (Kind::Release, offer.server.clone()),
        };
        let association = reply.association.clone();
        let question = Message { server, association, ..host.question(kind) };
        let said = answer(&host, &question, deadline, |said| said.mac == giver).await?;
        if said.is_none() && deadline.has_passed() {
            // Nobody had the time to answer.
            break;
        }
        course.then.push((act, said.map(|(heard, _)| heard)));
    }
    // The host itself goes on to use what it was given.
    let again = Message { transaction: fresh_word() & 0x00ff_ffff, ..request };
    answer(&host, &again, deadline, gives).await?;
    Ok(course)
}

fn gives(said: &HeardDhcp) -> bool {
    !said.addresses.is_empty()
}

/// The first answer that will do.
async fn answer(
    host: &Host,
    question: &Message,
    deadline: Deadline,
    will_do: impl Fn(&HeardDhcp) -> bool,
) -> io::Result<Option<(HeardDhcp, Message)>> {
    let deadline = deadline.or_after(PATIENCE);
    while !deadline.has_passed() {
        host.send(question)?;
        let until = deadline.or_after(REPEAT);
        while let Some(said) = host.hear(question, until).await? {
            if will_do(&said.0) {
                return Ok(Some(said));
            }
        }
    }
    Ok(None)
}
