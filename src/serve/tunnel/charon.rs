//! What a charon is told over its control connection (vici): the secret, the connection with its children, and when to begin.

use std::{collections::VecDeque, io, path::Path, time::Duration};

use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::UnixStream,
    time::interval,
};

use super::{
    children::{Child, children},
    news::{Key, News},
    sides::{Nets, PORT, THEIR_PORT},
};
use crate::{
    engine::Esp,
    model::{
        name::NodeName,
        tunnel::{Acted, TunnelEnd},
    },
    net::esp,
    wire::vici::{self, Element, Said},
};

/// What ends the path of the number of an association.
const NUMBER: &str = "/uniqueid";
/// How often one that starts is asked.
const BETWEEN: Duration = Duration::from_millis(10);
/// What the connection and its secret are called.
const CONNECTION: &str = "lan";
/// What it tells while it does what it was asked to, for whoever wants to hear it.
const LOG: &str = "control-log";
/// What one says that takes no selectors but its own (RFC 7296 section 2.9).
const DECLINED: &str = "TS_UNACCEPTABLE";
/// How long the other end may take to answer.
const ANSWERS: Duration = Duration::from_secs(3);

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
            self.want(event).await?;
        }
        let owners = [node, &end.peer].map(ToString::to_string).to_vec();
        let shared = [
            Element::Value("id", CONNECTION.to_owned()),
            Element::Value("type", "IKE".to_owned()),
            Element::Value("data", secret.to_owned()),
            Element::List("owners", owners),
        ];
        self.ask("load-shared", &shared).await?;
        self.couple(node, end, esp, &[]).await
    }

    /// What it couples from now on: what was planned, and more.
    pub(super) async fn couple(
        &mut self,
        node: &NodeName,
        end: &TunnelEnd,
        esp: Esp,
        more: &[Child],
    ) -> io::Result<()> {
        self.ask("load-conn", &[connection(node, end, esp, more)]).await
    }

    async fn want(&mut self, event: &str) -> io::Result<()> {
        self.stream.write_all(&vici::register(event)).await?;
        match self.answer().await? {
            Said::Confirmed => Ok(()),
            _ => Err(io::Error::other(format!("it does not know the event {event}"))),
        }
    }

    /// Has the other end asked for a child, and waits for what comes of it.
    pub(super) async fn propose(&mut self, child: &str) -> io::Result<Acted> {
        self.want(LOG).await?;
        let message = [
            Element::Value("child", child.to_owned()),
            Element::Value("ike", CONNECTION.to_owned()),
            Element::Value("timeout", ANSWERS.as_millis().to_string()),
        ];
        match self.ask("initiate", &message).await {
            Ok(()) => Ok(Acted::Done),
            Err(why) => self.declined().map_or(Err(why), |said| Ok(Acted::Declined(said))),
        }
    }

    /// What it has told of the other end that declined.
    fn declined(&self) -> Option<String> {
        self.early.iter().find_map(|said| match said {
            Said::Event { name, values } if name == LOG => {
                let told = value(values, "msg").filter(|told| told.contains(DECLINED));
                told.map(str::to_owned)
            }
            _ => None,
        })
    }

    /// Gives a child up, if it is there.
    pub(super) async fn give_up(&mut self, child: &str) -> io::Result<()> {
        let message = [Element::Value("child", child.to_owned())];
        self.stream.write_all(&vici::request("terminate", &message)).await?;
        self.answer().await.map(drop)
    }

    async fn ask(&mut self, name: &str, message: &[Element]) -> io::Result<()> {
        self.stream.write_all(&vici::request(name, message)).await?;
        let answer = self.answer().await?;
        let Said::Response(values) = &answer else {
            return Err(io::Error::other(format!("it answers {name} by {answer:?}")));
        };
        if value(values, "success") == Some("yes") {
            return Ok(());
        }
        let why = value(values, "errmsg").unwrap_or("it does not say why");
        Err(io::Error::other(format!("it refuses {name}: {why}")))
    }

    /// Waits until it says its version: then it does not hang.
    pub(super) async fn say_version(&mut self) -> io::Result<()> {
        self.stream.write_all(&vici::request("version", &[])).await?;
        self.answer().await.map(drop)
    }

    /// Has it begin with children; nobody waits for what comes of that.
    pub(super) async fn initiate(&mut self, children: &[&str]) -> io::Result<()> {
        for child in children {
            let message = [
                Element::Value("child", (*child).to_owned()),
                Element::Value("ike", CONNECTION.to_owned()),
                Element::Value("timeout", "-1".to_owned()),
            ];
            self.stream.write_all(&vici::request("initiate", &message)).await?;
        }
        Ok(())
    }

    /// Has it agree on new keys for children.
    pub(super) async fn rekey(&mut self, children: &[&str]) -> io::Result<()> {
        for child in children {
            let message = [Element::Value("child", (*child).to_owned())];
            self.stream.write_all(&vici::request("rekey", &message)).await?;
        }
        Ok(())
    }
}

/// What a message says at a path.
fn value<'v>(values: &'v [(String, String)], at: &str) -> Option<&'v str> {
    values.iter().find(|(path, _)| path == at).map(|(_, it)| it.as_str())
}

/// What an event says of associations, by their children and numbers.
fn news(event: &str, values: &[(String, String)]) -> News {
    let value = |at: &str| value(values, at).map(str::to_owned);
    let key = |path: &str, of: &str| {
        let place = path.strip_suffix(of)?;
        let inner = &of[..of.len() - NUMBER.len()];
        let child =
            value(&format!("{place}{inner}/name")).or_else(|| value(&format!("{place}/name")))?;
        Some(Key { child, name: value(path)? })
    };
    let keys = |of: &str| {
        let paths = values.iter().map(|(path, _)| path).filter(|_| !of.is_empty());
        paths.filter(|path| path.contains("/child-sas/")).filter_map(|path| key(path, of)).collect()
    };
    let comes = value("up").is_some_and(|up| up == "yes");
    let (new, old) = match (event, comes) {
        ("child-rekey", _) => ("/new/uniqueid", "/old/uniqueid"),
        (_, true) => (NUMBER, ""),
        (_, false) => ("", NUMBER),
    };
    News { new: keys(new), old: keys(old) }
}

fn connection(node: &NodeName, end: &TunnelEnd, esp: Esp, more: &[Child]) -> Element {
    let value = |name, value: &str| Element::Value(name, value.to_owned());
    let list = |name, value: &str| Element::List(name, vec![value.to_owned()]);
    let nets = |nets: &Nets| nets.iter().map(ToString::to_string).collect();
    let section = |name: &str, elements| Element::Section(name.to_owned(), elements);
    let who =
        |side, id: &NodeName| section(side, vec![value("auth", "psk"), value("id", id.as_str())]);
    let child = |Child { name, here, there }: Child| {
        let mut child = vec![
            Element::List("local_ts", nets(&here)),
            Element::List("remote_ts", nets(&there)),
            list("esp_proposals", "aes128gcm16-x25519"),
            value("mode", "tunnel"),
            value("dpd_action", "clear"),
        ];
        if esp == Esp::Kernel {
            let tie = esp::TIE.to_string();
            child.extend([value("if_id_in", &tie), value("if_id_out", &tie)]);
        }
        section(&name, child)
    };
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
            section(
                "children",
                children(end).into_iter().chain(more.to_vec()).map(child).collect(),
            ),
        ],
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    fn key(child: &str, name: &str) -> Key {
        Key { child: child.to_owned(), name: name.to_owned() }
    }

    #[test]
    fn an_event_names_the_child_and_the_association() {
        let values = |of: &[(&str, &str)]| {
            of.iter().map(|(path, is)| ((*path).to_owned(), (*is).to_owned())).collect::<Vec<_>>()
        };
        let up = values(&[
            ("up", "yes"),
            ("lan/uniqueid", "1"),
            ("lan/child-sas/couple-0-3/name", "couple-0"),
            ("lan/child-sas/couple-0-3/uniqueid", "3"),
        ]);
        let new = vec![key("couple-0", "3")];
        assert_eq!(news("child-updown", &up), News { new: new.clone(), old: vec![] });
        assert_eq!(news("child-updown", &up[1..]), News { new: vec![], old: new.clone() });
        let rekey = values(&[
            ("lan/child-sas/couple-0-3/old/name", "couple-0"),
            ("lan/child-sas/couple-0-3/old/uniqueid", "3"),
            ("lan/child-sas/couple-0-3/new/name", "couple-0"),
            ("lan/child-sas/couple-0-3/new/uniqueid", "7"),
        ]);
        assert_eq!(news("child-rekey", &rekey), News { new: vec![key("couple-0", "7")], old: new });
    }
}
