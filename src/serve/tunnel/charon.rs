//! What a charon is told over its control connection (vici): the secret, the connection with its child, and when to begin.

use std::{collections::VecDeque, io, path::Path, time::Duration};

use ipnet::IpNet;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::UnixStream,
    time::interval,
};

use super::{
    agent::News,
    appliance::{PORT, THEIR_PORT, here, there},
};
use crate::{
    engine::Esp,
    model::{name::NodeName, tunnel::TunnelEnd},
    net::esp,
    wire::vici::{self, Element, Said},
};

/// How often one that starts is asked.
const BETWEEN: Duration = Duration::from_millis(10);
/// What the connection, its child and its secret are called.
const CONNECTION: &str = "lan";
const CHILD: &str = "both";

/// The control connection of a charon.
pub(super) struct Charon {
    stream: UnixStream,
    came: Vec<u8>,
    /// What it has said while an answer was waited for.
    early: VecDeque<Said>,
}

impl Charon {
    /// Connects as soon as it is there.
    pub(super) async fn connect(path: &Path) -> Self {
        let mut beat = interval(BETWEEN);
        loop {
            beat.tick().await;
            if let Ok(stream) = UnixStream::connect(path).await {
                return Self { stream, came: Vec::new(), early: VecDeque::new() };
            }
        }
    }

    /// What it says next of keys. Nothing is lost when it is not waited for to the end.
    pub(super) async fn next(&mut self) -> io::Result<News> {
        loop {
            let said = match self.early.pop_front() {
                Some(said) => said,
                None => self.hear().await?,
            };
            if let Said::Event { name, values } = said {
                return Ok(news(&name, &values));
            }
        }
    }

    async fn hear(&mut self) -> io::Result<Said> {
        loop {
            if let Some(said) = vici::take(&mut self.came).map_err(io::Error::other)? {
                return Ok(said);
            }
            let mut buffer = [0; 4096];
            match self.stream.read(&mut buffer).await? {
                0 => return Err(io::Error::other("it has closed its control connection")),
                length => self.came.extend(&buffer[..length]),
            }
        }
    }

    /// What it answers; what has happened in the meantime is kept.
    async fn answer(&mut self) -> io::Result<Said> {
        loop {
            match self.hear().await? {
                event @ Said::Event { .. } => self.early.push_back(event),
                answer => return Ok(answer),
            }
        }
    }

    /// Everything about the tunnel: the secret, the connection, and which events are wanted.
    pub(super) async fn tell(
        &mut self,
        node: &NodeName,
        end: &TunnelEnd,
        esp: Esp,
        secret: &str,
    ) -> io::Result<()> {
        for event in ["child-updown", "child-rekey"] {
            self.stream.write_all(&vici::register(event)).await?;
            if self.answer().await? != Said::Confirmed {
                return Err(io::Error::other(format!("it does not know the event {event}")));
            }
        }
        let owners = [node, &end.peer].map(ToString::to_string).to_vec();
        let shared = [
            Element::Value("id", CONNECTION.to_owned()),
            Element::Value("type", "IKE".to_owned()),
            Element::Value("data", secret.to_owned()),
            Element::List("owners", owners),
        ];
        self.ask("load-shared", &shared).await?;
        self.ask("load-conn", &[connection(node, end, esp)]).await
    }

    async fn ask(&mut self, name: &str, message: &[Element]) -> io::Result<()> {
        self.stream.write_all(&vici::request(name, message)).await?;
        let answer = self.answer().await?;
        let Said::Response(values) = &answer else {
            return Err(io::Error::other(format!("it answers {name} by {answer:?}")));
        };
        let of = |name| values.iter().find(|(path, _)| path == name).map(|(_, is)| is.as_str());
        if of("success") == Some("yes") {
            return Ok(());
        }
        let why = of("errmsg").unwrap_or("it does not say why");
        Err(io::Error::other(format!("it refuses {name}: {why}")))
    }

    /// Has it begin; nobody waits for what comes of that.
    pub(super) async fn initiate(&mut self) -> io::Result<()> {
        let message = [
            Element::Value("child", CHILD.to_owned()),
            Element::Value("ike", CONNECTION.to_owned()),
            Element::Value("timeout", "-1".to_owned()),
        ];
        self.stream.write_all(&vici::request("initiate", &message)).await
    }

    /// Has it agree on new keys.
    pub(super) async fn rekey(&mut self) -> io::Result<()> {
        let message = [Element::Value("child", CHILD.to_owned())];
        self.stream.write_all(&vici::request("rekey", &message)).await
    }
}

/// What an event says of associations, by their numbers.
fn news(event: &str, values: &[(String, String)]) -> News {
    let numbers = |of: &str| {
        let ours = |path: &str| path.contains("/child-sas/") && path.ends_with(of);
        let of = values.iter().filter(|(path, _)| !of.is_empty() && ours(path));
        of.map(|(_, number)| number.clone()).collect()
    };
    let comes = values.iter().any(|(path, value)| path == "up" && value == "yes");
    let (new, old) = match (event, comes) {
        ("child-rekey", _) => ("/new/uniqueid", "/old/uniqueid"),
        (_, true) => ("/uniqueid", ""),
        (_, false) => ("", "/uniqueid"),
    };
    News { new: numbers(new), old: numbers(old) }
}

/// One child couples both families: pairs of one family each come of its selectors.
fn connection(node: &NodeName, end: &TunnelEnd, esp: Esp) -> Element {
    let value = |name, value: &str| Element::Value(name, value.to_owned());
    let list = |name, value: &str| Element::List(name, vec![value.to_owned()]);
    let nets = |nets: &mut dyn Iterator<Item = IpNet>| nets.map(|net| net.to_string()).collect();
    let section = |name: &str, elements| Element::Section(name.to_owned(), elements);
    let who =
        |side, id: &NodeName| section(side, vec![value("auth", "psk"), value("id", id.as_str())]);
    let mut child = vec![
        Element::List("local_ts", nets(&mut here(end))),
        Element::List("remote_ts", nets(&mut there(end))),
        list("esp_proposals", "aes128gcm16-x25519"),
        value("mode", "tunnel"),
        value("dpd_action", "clear"),
    ];
    if esp == Esp::Kernel {
        let tie = esp::TIE.to_string();
        child.extend([value("if_id_in", &tie), value("if_id_out", &tie)]);
    }
    section(
        CONNECTION,
        vec![
            value("version", "2"),
            list("local_addrs", &end.local.ip().to_string()),
            list("remote_addrs", &end.remote.ip().to_string()),
            value("local_port", &PORT.to_string()),
            value("remote_port", &THEIR_PORT.to_string()),
            list("proposals", "aes128-sha256-x25519"),
            value("mobike", "no"),
            value("unique", "replace"),
            value("dpd_delay", "1s"),
            who("local", node),
            who("remote", &end.peer),
            section("children", vec![section(CHILD, child)]),
        ],
    )
}
