//! More than is coupled. Where selectors are agreed on (RFC 7296 section 2.9), a gateway that keeps to its own is seen when the other
//! end asks it for more; and one that takes everything is one that somebody made so.

use std::{io, net::IpAddr, path::PathBuf, time::Duration};

use ipnet::IpNet;

use super::{
    charon::Charon,
    children::Child,
    sides::{Nets, theres},
};
use crate::{
    engine::Esp,
    model::{
        family::Family,
        name::NodeName,
        tunnel::{Acted, TunnelEnd},
    },
    net::{
        links::{self, LOOPBACK},
        namespace::Namespace,
        netlink::Netlink,
        patience::{Deadline, within},
    },
};

/// What the child is called that is asked for, and the one that takes everything.
const MORE: &str = "more";
const EVERYTHING: &str = "everything";
/// How long a program may take to answer over its control connection, beyond what it waits itself.
const PATIENCE: Duration = Duration::from_secs(4);

/// A program of IPsec at one end, and where it is told what to couple.
pub(super) struct Selective {
    pub(super) node: NodeName,
    pub(super) end: TunnelEnd,
    pub(super) esp: Esp,
    /// Whether somebody has made it take whatever the other end asks for.
    pub(super) is_spoilt: bool,
    /// Its control connection.
    pub(super) control: PathBuf,
}

impl Selective {
    /// Has it ask the other end to take packets of a source that is not coupled.
    pub(super) async fn ask_for_more(
        &self,
        place: &Namespace,
        source: IpAddr,
        to: IpAddr,
    ) -> io::Result<Acted> {
        // It wants to have an address of every selector. Nothing is heard there.
        let own = links::add_address(LOOPBACK, IpNet::from(source));
        Netlink::open(place)?.batch(&[own]).map_err(io::Error::other)?;
        let there = theres(&self.end).into_iter().find(|net| net.contains(&to));
        let child = Child {
            name: MORE.to_owned(),
            here: Nets::from([IpNet::from(source)]),
            there: Nets::from([there.unwrap_or(IpNet::from(to))]),
        };
        self.soon(async |charon| {
            self.couple(charon, Some(child)).await?;
            charon.propose(MORE).await
        })
        .await
    }

    /// Has it couple what was planned alone, unless it is spoilt.
    pub(super) async fn be_content(&self) -> io::Result<()> {
        self.soon(async |charon| {
            charon.give_up(MORE).await?;
            self.couple(charon, None).await
        })
        .await
    }

    /// Whether it answers over its control connection; an error says what it does instead.
    pub(super) async fn answers(&self) -> io::Result<()> {
        self.soon(Charon::say_version).await
    }

    async fn couple(&self, charon: &mut Charon, more: Option<Child>) -> io::Result<()> {
        let all = || Family::ALL.into_iter().map(Family::everything).collect::<Nets>();
        let everything = || Child { name: EVERYTHING.to_owned(), here: all(), there: all() };
        let more: Vec<_> = self.is_spoilt.then(everything).into_iter().chain(more).collect();
        charon.couple(&self.node, &self.end, self.esp, &more).await
    }

    /// Tells it something over a connection of its own: nobody else's answers come between.
    async fn soon<T>(&self, tell: impl AsyncFnOnce(&mut Charon) -> io::Result<T>) -> io::Result<T> {
        let told = async { tell(&mut Charon::connect(&self.control).await).await };
        let told = within(Deadline::after(PATIENCE), told).await;
        told.unwrap_or_else(|_| Err(io::Error::other("it does not answer")))
    }
}
