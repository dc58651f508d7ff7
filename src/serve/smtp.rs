//! The mail server (RFC 5321) as far as its greeting: it says who it is, lets a client say who that is, encrypts if asked to
//! (RFC 3207), and takes no mail.

use std::io;

use tokio::{
    io::{AsyncBufRead, AsyncBufReadExt, AsyncReadExt, AsyncWrite, AsyncWriteExt, BufReader},
    net::TcpStream,
};

use super::speaker::Speaker;
use crate::model::{family::Family, fault::ContentFault};

/// The longest command line (RFC 5321 section 4.5.3.1.4).
const LONGEST: u64 = 512;

/// What a server does not do for the client before it.
#[derive(Clone, Copy, Default)]
struct Lacks {
    /// The literals of IPv6 (RFC 5321 section 4.1.3).
    brackets: bool,
    /// STARTTLS: it is not meant to, or TLS is spoken already.
    starttls: bool,
}

/// What comes after a reply.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Next {
    Command,
    Tls,
    End,
}

pub(super) async fn converse(
    speaker: &Speaker,
    stream: TcpStream,
    family: Family,
) -> io::Result<()> {
    let mut stream = BufReader::new(stream);
    speaker.hold_back(family).await;
    stream.write_all(format!("220 {} ESMTP\r\n", name(speaker)).as_bytes()).await?;
    let next = session(speaker, &mut stream, family, false).await?;
    // What was sent ahead of TLS is not taken for what comes in it.
    if next != Next::Tls || !stream.buffer().is_empty() {
        return Ok(());
    }
    let secured = speaker.secure(stream.into_inner(), family).await?;
    session(speaker, &mut BufReader::new(secured), family, true).await.map(drop)
}

/// Answers commands until there are no more, or until TLS is to begin.
async fn session(
    speaker: &Speaker,
    stream: &mut (impl AsyncBufRead + AsyncWrite + Unpin),
    family: Family,
    is_secure: bool,
) -> io::Result<Next> {
    let name = name(speaker);
    loop {
        let mut line = Vec::new();
        (&mut *stream).take(LONGEST).read_until(b'\n', &mut line).await?;
        if line.last() != Some(&b'\n') {
            return Ok(Next::End);
        }
        let line = String::from_utf8_lossy(&line);
        let behaviour = speaker.premises.behaviour();
        let differs = |how| behaviour.differs(&speaker.service, family, how);
        let lacks = Lacks {
            brackets: differs(ContentFault::RejectsBrackets),
            starttls: is_secure || differs(ContentFault::NoStarttls),
        };
        let (reply, next) = reply(line.trim_end(), &name, lacks);
        stream.write_all(reply.as_bytes()).await?;
        stream.flush().await?;
        if next != Next::Command {
            return Ok(next);
        }
    }
}

/// What is said to a command, and what comes then.
fn reply(line: &str, name: &str, lacks: Lacks) -> (String, Next) {
    let (command, rest) = line.split_once(' ').unwrap_or((line, ""));
    let said = match command.to_ascii_uppercase().as_str() {
        "EHLO" if lacks.brackets && rest.starts_with("[IPv6:") => {
            "501 syntax error in the address literal".to_owned()
        }
        "EHLO" if !rest.is_empty() => {
            let starttls = if lacks.starttls { "" } else { "250-STARTTLS\r\n" };
            format!("250-{name} greets {}\r\n{starttls}250 8BITMIME", rest.escape_default())
        }
        "HELO" if !rest.is_empty() => format!("250 {name}"),
        "EHLO" | "HELO" => "501 who are you?".to_owned(),
        "STARTTLS" if !lacks.starttls => return ("220 go on\r\n".to_owned(), Next::Tls),
        "NOOP" | "RSET" => "250 done".to_owned(),
        "QUIT" => return (format!("221 {name} closes\r\n"), Next::End),
        "MAIL" => "550 no mail is taken here".to_owned(),
        _ => "502 not here".to_owned(),
    };
    (said + "\r\n", Next::Command)
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
        let code = |line, brackets| {
            let lacks = Lacks { brackets, ..Lacks::default() };
            reply(line, "mail.test", lacks).0[..3].to_owned()
        };
        assert_eq!(code("EHLO [IPv6:2001:db8::1]", false), "250");
        assert_eq!(code("ehlo [192.0.2.1]", true), "250");
        assert_eq!(code("EHLO [IPv6:2001:db8::1]", true), "501");
        assert_eq!(code("EHLO", false), "501");
        assert_eq!(code("DATA", false), "502");
    }

    #[test]
    fn tls_is_offered_and_begun_once() {
        let said =
            |line, starttls| reply(line, "mail.test", Lacks { starttls, ..Lacks::default() });
        assert!(said("EHLO a.test", false).0.contains("250-STARTTLS\r\n"));
        assert_eq!(said("starttls", false).1, Next::Tls);
        assert!(!said("EHLO a.test", true).0.contains("STARTTLS"));
        assert_eq!(said("STARTTLS", true), ("502 not here\r\n".to_owned(), Next::Command));
    }
}
