//! Who translates for a gateway where that is a program. It runs in a namespace beside the gateway, on a TUN device there:
//!
//! ```text
//! gateway's interface ── wire ── Tube ── packet socket on the program's device │ program
//! ```

use std::{
    io,
    net::{IpAddr, Ipv4Addr, Ipv6Addr},
    path::{Path, PathBuf},
    time::Duration,
};

use tokio::time::{Instant, interval};

use crate::{
    engine::TranslatorEngine,
    model::{family::Family, name::NodeName, translation::Translator},
    net::{
        links,
        namespace::Namespace,
        netlink::Netlink,
        packet::{self, Ear},
        patience::{Deadline, within},
        switch::Switches,
    },
    report::run::EngineRun,
    serve::{
        Shared,
        daemon::{self, Call, Career, FOLDERS, Process, lay_out},
    },
    wire::{
        checksum::Checksum,
        filter,
        icmp::{self, EchoId},
        packet as ip,
    },
};

/// Has a program say at once what it says: into a pipe, it would say all of it when it ends.
const UNBUFFERED: &str = "stdbuf";
/// What links carry is measured by the gateway's: the device takes whatever comes.
const MTU: u32 = 65_535;
/// How long a program may take to make its device: far more than it needs.
const PATIENCE: Duration = Duration::from_secs(5);
/// How often a program that starts is asked.
const BETWEEN: Duration = Duration::from_millis(10);
/// Who asks it: nobody (RFC 6666).
const ASKER: Ipv6Addr = Ipv6Addr::new(0x100, 0, 0, 0, 1, 0, 0, 0);

/// Who translates for one gateway.
pub(super) struct Carrier {
    engine: &'static TranslatorEngine,
    pub(super) career: Career,
}

/// A program at work.
pub(super) struct Machine {
    pub(super) process: Process,
    pub(super) device: Device,
}

/// The program's device.
pub(super) struct Device {
    ear: Ear,
    index: u32,
}

impl Device {
    fn open(namespace: &Namespace, index: u32) -> io::Result<Self> {
        Ok(Self { ear: Ear::at(namespace, index, &filter::everything())?, index })
    }

    /// The next packet that the program makes.
    pub(super) async fn take(&self, buffer: &mut [u8]) -> io::Result<usize> {
        self.ear.hear(buffer).await
    }

    /// Hands a packet to the program. What it has no room for is lost, as on any link.
    pub(super) fn put(&self, packet: &[u8], family: Family) -> io::Result<()> {
        packet::send_as(self.ear.socket(), packet, family.ethertype(), self.index)
    }
}

impl Carrier {
    pub(super) fn new(
        engine: &'static TranslatorEngine,
        shared: &Shared,
        node: &NodeName,
        told: &Translator,
    ) -> Self {
        let work = told.translation.as_str().parse();
        let work = work.expect("names of translations are as those of services");
        let career = Career::new(engine.name, ("translation", work), node, shared.engines());
        Self { engine, career }
    }

    pub(super) fn engine(&self) -> &'static TranslatorEngine {
        self.engine
    }

    /// What the record calls it: what it says of itself when it starts, and what it is.
    pub(super) fn title(&self) -> String {
        let said = self.career.log().said();
        let version = said.lines().find_map(|line| line.strip_prefix(self.engine.says));
        format!("{}, stateless", version.unwrap_or(self.engine.name).trim_end())
    }

    /// Who has which address of the pool, as its log tells it.
    pub(super) fn assigned(&self) -> Vec<(Ipv4Addr, Ipv6Addr)> {
        self.career.log().said().lines().filter_map(self.engine.assigned).collect()
    }

    /// What the record holds of it.
    pub(super) fn record(&self) -> EngineRun {
        self.career.record(self.title())
    }

    /// Starts the program. An error is a sentence, with its last words.
    pub(super) async fn start(&self, told: &Translator) -> Result<Machine, String> {
        self.career.attempt(Box::pin(self.launch(told))).await
    }

    async fn launch(&self, told: &Translator) -> Result<Machine, String> {
        let (career, engine) = (&self.career, self.engine);
        let missing =
            || format!("is not on this machine as `{}`; {}", engine.program, engine.remedy());
        let program = career.program().ok_or_else(missing)?;
        let aloud = daemon::find(UNBUFFERED)
            .ok_or_else(|| format!("needs `{UNBUFFERED}`; on Debian: apt install coreutils"))?;
        let failed = |error: io::Error| format!("cannot be started: {error}");
        let work = self.lay_out(told).map_err(failed)?;
        let (namespace, netlink) = beside().map_err(failed)?;
        career.log().begin(&format!("{} for {}", program.path.display(), told.prefix));
        let call = |words: &[&str]| Call {
            program: &aloud,
            arguments: ["-oL".to_owned(), program.path.display().to_string()]
                .into_iter()
                .chain(words.iter().map(|word| (*word).to_owned()))
                .collect(),
            variables: &[],
            node: career.node(),
            is_somebody: false,
        };
        let makes = Process::start(call(engine.make), &namespace, &work, career.log());
        let makes = makes.map_err(failed)?;
        let how = within(Deadline::after(PATIENCE), makes.ending()).await;
        let how = how.unwrap_or_else(|_| "it does not end".to_owned());
        makes.stop().await;
        let device = make_ready(&namespace, &netlink, engine.device).map_err(|error| {
            format!("has made no device {} ({how}), which takes a /dev/net/tun that may be opened: {error}", engine.device)
        })?;
        let began = Instant::now();
        let process = Process::start(call(engine.command), &namespace, &work, career.log());
        let process = process.map_err(failed)?;
        career.note_start();
        match career.see_ready(&process, began, Box::pin(answers(&device, told))).await {
            Ok(()) => Ok(Machine { process, device }),
            Err(what) => {
                process.stop().await;
                Err(what)
            }
        }
    }

    fn lay_out(&self, told: &Translator) -> io::Result<PathBuf> {
        let node = self.career.node();
        let work = Path::new(FOLDERS).join(node.as_str()).join(told.translation.as_str());
        lay_out(&work, node)?;
        let (file, text) = self.engine.file;
        std::fs::write(work.join(file), text(told))?;
        Ok(work)
    }
}

/// A namespace whose kernel takes no part: it forwards nothing, and has no address of either family.
fn beside() -> io::Result<(Namespace, Netlink)> {
    let namespace = Namespace::create()?;
    namespace.run(|| {
        let switches = Switches::open_here()?;
        switches.set_all(&[("net.ipv6.conf.default.disable_ipv6", "1")]).map_err(io::Error::other)
    })?;
    let netlink = Netlink::open(&namespace)?;
    Ok((namespace, netlink))
}

fn make_ready(namespace: &Namespace, netlink: &Netlink, device: &str) -> io::Result<Device> {
    let links = links::read(netlink).map_err(io::Error::other)?;
    let found = links.iter().find(|(_, link)| link.name == device);
    let (index, _) = found.ok_or(io::ErrorKind::NotFound)?;
    for request in [links::set_mtu(*index, MTU), links::bring_up(*index)] {
        netlink.ask(&request).map_err(io::Error::other)?;
    }
    Device::open(namespace, *index)
}

/// Asks the program itself for an echo until it answers.
async fn answers(device: &Device, told: &Translator) -> io::Result<()> {
    let own = told.pool.first().copied().unwrap_or(Ipv4Addr::UNSPECIFIED);
    let question = question(told.prefix.embed(own)).ok_or(io::ErrorKind::InvalidData)?;
    let (mut beat, mut buffer) = (interval(BETWEEN), vec![0; 1500]);
    loop {
        tokio::select! {
            // Before it is there, its device takes nothing.
            _ = beat.tick() => drop(device.put(&question, Family::V6)),
            heard = device.take(&mut buffer) => {
                let message = buffer[..heard?].get(ip::overhead(Family::V6)..);
                if message.is_some_and(|m| icmp::read_echo_reply(Family::V6, m).is_some()) {
                    return Ok(());
                }
            }
        }
    }
}

fn question(to: Ipv6Addr) -> Option<Vec<u8>> {
    let (from, to, family) = (IpAddr::V6(ASKER), IpAddr::V6(to), Family::V6);
    let mut message = icmp::echo_request(family, EchoId { identifier: 1, sequence: 1 }, 0);
    let length = u16::try_from(message.len()).ok()?;
    let protocol = icmp::protocol(family);
    let sum = Checksum::of_pseudo_header(from, to, protocol, length.into()).plus(&message).finish();
    message[2..4].copy_from_slice(&sum.to_be_bytes());
    let mut packet = ip::header(from, to, protocol, 64, length)?;
    packet.extend(message);
    Some(packet)
}
