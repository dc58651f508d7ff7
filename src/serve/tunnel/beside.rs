//! One end of a tunnel that an agent beside the gateway carries: a program by IPsec, IKEv2 (RFC 7296) and ESP in UDP (RFC
//! 3948), or the kernel by WireGuard. Here packets and datagrams are passed on, and the agent is had begin again when nothing
//! is agreed on.

use std::{collections::BTreeSet, io, net::IpAddr, sync::Arc};

use tokio::sync::mpsc;

use super::{
    appliance::Appliance,
    carrier::Carrier,
    children::Child,
    inside::Inside,
    news::{Key, News},
    ways::{Need, Ways},
    wireguard::{LONGEST, Order, ticks},
};
use crate::{
    model::{family::Family, fault::TunnelFault, tunnel::TunnelEnd},
    net::packet,
    wire::packet as ip,
};

/// How many ticks an attempt has before another is begun.
const PATIENCE: u32 = 10;
/// After how many ticks the end that need not begin does so all the same.
const WAITS: u32 = 40;
/// What proves that packets are carried: a protocol for experiments (RFC 3692), asked and answered by the ends themselves.
const PROOF: u8 = 253;
const ASKED: &[u8] = b"sixwalk?";
const ANSWERED: &[u8] = b"sixwalk!";

/// One end at work.
pub(super) struct End {
    pub(super) carrier: Arc<Carrier>,
    pub(super) appliance: Appliance,
    pub(super) inside: Inside,
    pub(super) ways: Ways,
    pub(super) told: TunnelEnd,
    /// What it was told to couple, each with keys of its own.
    pub(super) children: Vec<Child>,
    /// The keys that the agent has said to be there.
    pub(super) agreed: BTreeSet<Key>,
    /// The children that have got keys since it was last proven that packets are carried.
    pub(super) anew: BTreeSet<String>,
    /// The families that the keys have not been seen to carry yet.
    pub(super) unproven: Vec<Family>,
    /// Whether the next datagram tries the first choice.
    pub(super) tries_home: bool,
}

impl End {
    /// Works until its orders end, or the agent does, which it tells then.
    pub(super) async fn run(mut self, mut orders: mpsc::Receiver<Order>) {
        let mut frame = vec![0; LONGEST];
        let (mut packet, mut sent, mut came) = (frame.clone(), frame.clone(), frame.clone());
        let mut ticks = ticks();
        let mut silent = 0;
        loop {
            tokio::select! {
                taken = self.inside.take(&mut frame) => match taken {
                    Ok(Some(packet)) => {
                        // What was ordered before the packet came is done before it goes.
                        while let Ok(order) = orders.try_recv() {
                            self.follow(order).await;
                        }
                        self.leave(packet).await;
                    }
                    Ok(None) => {}
                    Err(_) => return,
                },
                Ok(length) = self.appliance.device.hear(&mut packet) => {
                    self.arrive(&packet[..length]);
                }
                Ok(length) = self.appliance.relay.recv(&mut sent) => {
                    self.pass_on(&sent[..length]).await;
                }
                // An ICMP error about what was sent before is no reason to stop.
                Ok((length, at)) = self.ways.hear(&mut came) => {
                    self.pass_in(&came[..length], at).await;
                }
                news = self.appliance.agent.next() => match news {
                    Ok(news) => self.note(news),
                    Err(why) => return self.mourn(&why).await,
                },
                _ = ticks.tick() => {
                    silent = if self.is_up() { 0 } else { silent + 1 };
                    self.prove();
                    self.look_for_peer();
                    let begins = self.told.begins || silent > WAITS;
                    if silent % PATIENCE == 1 && begins
                        && let Err(why) = self.initiate().await
                    {
                        return self.mourn(&why).await;
                    }
                }
                order = orders.recv() => match order {
                    Some(order) => self.follow(order).await,
                    None => return,
                },
            }
        }
    }

    /// The agent cannot be talked to any more, mostly because it has ended.
    async fn mourn(self, why: &io::Error) {
        let agent = self.appliance.agent;
        let what = agent.fate(why).await;
        self.carrier.career.lose(&what);
        agent.stop().await;
    }

    async fn follow(&mut self, order: Order) {
        match order {
            Order::Renew if self.inside.has(TunnelFault::NoNewKeys) => {}
            Order::Renew => {
                self.inside.renewed = true;
                // One that cannot be told is seen to have ended at once.
                let children = self.appliance.agent.children(&self.children);
                let _ = self.appliance.agent.renew(&children).await;
            }
            Order::Lose(family) => self.ways.lose(family),
            Order::Regain => {
                self.inside.regained = true;
                self.ways.regain();
                self.ask_for_a_word();
            }
        }
    }

    /// A packet of the gateway goes into the tunnel.
    async fn leave(&mut self, packet: &[u8]) {
        if self.inside.lets_out(packet).await {
            self.ways.show_class(self.inside.class_of(packet));
            // What the agent does not take is lost, as on any link.
            let _ = packet::send_now(self.appliance.device.socket(), packet);
        }
    }

    /// A packet comes out of the tunnel.
    fn arrive(&mut self, packet: &[u8]) {
        let Some((family, payload)) = proof(packet) else {
            return self.inside.deliver(packet);
        };
        if payload == ASKED {
            self.send_proof(family, ANSWERED);
        } else if self.unproven.contains(&family) {
            self.unproven.retain(|waiting| *waiting != family);
            if self.unproven.is_empty() {
                self.inside.counters.note_handshake();
            }
        }
    }

    /// A datagram of the agent goes to the other end. What tries the first choice goes the other way too: the end that
    /// gets both takes one.
    async fn pass_on(&mut self, datagram: &[u8]) {
        if std::mem::take(&mut self.tries_home) {
            self.ways.send_home(datagram).await;
        }
        self.ways.send(datagram).await;
        self.ways.note_sent();
    }

    /// A datagram of the other end goes to the agent. Nobody is followed to another way before keys are agreed on.
    async fn pass_in(&mut self, datagram: &[u8], at: usize) {
        if self.inside.has(TunnelFault::BoundToFirst) && !Ways::is_home(at) {
            return;
        }
        if self.is_up() || Ways::is_home(at) {
            self.ways.note_heard(at);
        }
        let _ = self.appliance.relay.send(datagram).await;
    }

    /// Where the other end is not heard any more, it is asked for a word, and then the next family carries.
    fn look_for_peer(&mut self) {
        if !self.is_up() || self.inside.has(TunnelFault::BoundToFirst) {
            return;
        }
        let need = self.ways.look();
        if need != Need::Nothing {
            self.tries_home |= need == Need::HandshakeAtHome;
            self.ask_for_a_word();
        }
    }

    /// Has the agent begin with every child that has no keys.
    async fn initiate(&mut self) -> io::Result<()> {
        let has_keys = |child: &&str| self.agreed.iter().any(|key| key.child == **child);
        let mut children = self.appliance.agent.children(&self.children);
        children.retain(|child| !has_keys(child));
        self.appliance.agent.initiate(&children).await
    }

    fn is_up(&self) -> bool {
        let has_keys = |child: &str| self.agreed.iter().any(|key| key.child == child);
        self.appliance.agent.children(&self.children).into_iter().all(has_keys)
    }

    /// Keys are agreed on, anew, or no more. Old ones may be told to have ended after those that replace them. It is the keys
    /// of all children together that are to be proven.
    fn note(&mut self, News { new, old }: News) {
        self.anew.extend(new.iter().map(|key| key.child.clone()));
        self.agreed.extend(new);
        self.agreed.retain(|key| !old.contains(key));
        let children = self.appliance.agent.children(&self.children);
        if self.is_up() && children.iter().all(|child| self.anew.contains(*child)) {
            self.anew.clear();
            self.unproven = self.families();
            self.prove();
        }
    }

    fn families(&self) -> Vec<Family> {
        let coupled = |family: &Family| self.told.relations.iter().any(|r| r.family() == *family);
        Family::ALL.into_iter().filter(coupled).collect()
    }

    /// Asks for a proof that packets are carried, in every family that has not given it yet.
    fn prove(&self) {
        self.unproven.iter().for_each(|family| self.send_proof(*family, ASKED));
    }

    fn ask_for_a_word(&self) {
        self.families().first().into_iter().for_each(|family| self.send_proof(*family, ASKED));
    }

    fn send_proof(&self, family: Family, payload: &[u8]) {
        let of = |nets: &[ipnet::IpNet]| {
            nets.iter().map(ipnet::IpNet::addr).find(|ip: &IpAddr| Family::of(*ip) == family)
        };
        let length = u16::try_from(payload.len()).unwrap_or_default();
        let header = of(&self.told.within)
            .zip(of(&self.told.beyond))
            .and_then(|(from, to)| ip::header(from, to, PROOF, 1, length));
        if let Some(header) = header {
            let packet = [&header, payload].concat();
            let _ = packet::send_now(self.appliance.device.socket(), &packet);
        }
    }
}

/// The family and the payload of a packet that is a proof.
fn proof(packet: &[u8]) -> Option<(Family, &[u8])> {
    let family = ip::family(packet)?;
    let protocol = match family {
        Family::V4 => packet.get(9)?,
        Family::V6 => packet.get(6)?,
    };
    let payload = packet.get(ip::overhead(family)..)?;
    (*protocol == PROOF && [ASKED, ANSWERED].contains(&payload)).then_some((family, payload))
}
