//! The mail server (RFC 5321) as far as its greeting: it says who it is, lets a client say who that is, and takes no mail.

use std::io;

use tokio::{
    io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader},
    net::TcpStream,
};

use super::speaker::Speaker;
use crate::model::{family::Family, fault::ContentFault};

/// The longest command line (RFC 5321 section 4.5.3.1.4).
const LONGEST: u64 = 512;

pub(super) async fn converse(
    speaker: &Speaker,
    stream: TcpStream,
    family: Family,
) -> io::Result<()> {
    let name = name(speaker);
    let (reader, mut writer) = stream.into_split();
    let mut reader = BufReader::new(reader);
    speaker.hold_back(family).await;
    writer.write_all(format!("220 {name} ESMTP\r\n").as_bytes()).await?;
    loop {
        let mut line = Vec::new();
        (&mut reader).take(LONGEST).read_until(b'\n', &mut line).await?;
        if line.last() != Some(&b'\n') {
            return Ok(());
        }
        let line = String::from_utf8_lossy(&line);
        let behaviour = speaker.premises.behaviour();
        let is_old = behaviour.differs(&speaker.service, family, ContentFault::RejectsBrackets);
        let (reply, is_over) = reply(line.trim_end(), &name, is_old);
        writer.write_all(reply.as_bytes()).await?;
        if is_over {
            return Ok(());
        }
    }
}

/// What is said to a command, and whether that is the end. A server that `is_old` does not know the literals of IPv6
/// (RFC 5321 section 4.1.3).
fn reply(line: &str, name: &str, is_old: bool) -> (String, bool) {
    let (command, rest) = line.split_once(' ').unwrap_or((line, ""));
    let said = match command.to_ascii_uppercase().as_str() {
        "EHLO" if is_old && rest.starts_with("[IPv6:") => {
            "501 syntax error in the address literal".to_owned()
        }
        "EHLO" if !rest.is_empty() => {
            format!("250-{name} greets {}\r\n250 8BITMIME", rest.escape_default())
        }
        "HELO" if !rest.is_empty() => format!("250 {name}"),
        "EHLO" | "HELO" => "501 who are you?".to_owned(),
        "NOOP" | "RSET" => "250 done".to_owned(),
        "QUIT" => return (format!("221 {name} closes\r\n"), true),
        "MAIL" => "550 no mail is taken here".to_owned(),
        _ => "502 not here".to_owned(),
    };
    (said + "\r\n", false)
}

/// The first published name, or that of the node.
fn name(speaker: &Speaker) -> String {
    let node = &speaker.premises.node;
    let service = node.service(speaker.service.as_str());
    let name = service.and_then(|service| service.names.first());
    name.map_or_else(|| node.name.to_string(), ToString::to_string)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn literals_of_both_families_are_taken_except_by_an_old_server() {
        let code = |line, is_old| reply(line, "mail.test", is_old).0[..3].to_owned();
        assert_eq!(code("EHLO [IPv6:2001:db8::1]", false), "250");
        assert_eq!(code("ehlo [192.0.2.1]", true), "250");
        assert_eq!(code("EHLO [IPv6:2001:db8::1]", true), "501");
        assert_eq!(code("EHLO", false), "501");
        assert_eq!(code("DATA", false), "502");
    }
}
