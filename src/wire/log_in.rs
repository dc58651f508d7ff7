//! Log-ins as web services write them down: a line in the form of the common log, sent on to a syslog sink (RFC 5424), and
//! read there by a parser that makes a table of it. Each stage keeps the client's address as text, and each can spoil it.

use std::net::IpAddr;

use crate::model::fault::LogFault;

/// The path that a user logs in at: `/login?user=NAME&token=TOKEN`.
pub const LOGIN: &str = "/login";
/// The page that shows a user the last log-ins: `/last-log-ins?user=NAME`.
pub const LAST: &str = "/last-log-ins";
/// The header by which an application tells the web server before it of a log-in: `NAME login TOKEN`, what that writes down behind
/// the address of the client.
pub const TOLD: &str = "sixwalk-log-in";
/// How many it shows (GEN6 D3.6.4, section 4.2).
pub const SHOWN: usize = 3;
/// Written where there is no address.
pub const NOTHING: &str = "-";

/// A log-in, as some stage knows it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LogIn {
    /// Who.
    pub user: String,
    /// Which one: to be found again.
    pub token: String,
    /// From where, as text.
    pub client: String,
}

/// What a user who logs in knows: the password of a testbed is no secret.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Proof {
    /// The password.
    Right,
    /// Another one.
    Wrong,
}

impl Proof {
    /// The password as it is sent.
    pub fn word(self) -> &'static str {
        match self {
            Self::Right => "open-sesame",
            Self::Wrong => "guessed",
        }
    }
}

/// Who logs in and with which password, where the query says one: `user=NAME&token=TOKEN&password=PASSWORD`.
pub fn proof(query: &str) -> Option<(&str, Proof)> {
    let right = value(query, "password")? == Proof::Right.word();
    Some((value(query, "user")?, if right { Proof::Right } else { Proof::Wrong }))
}

fn value<'q>(query: &'q str, key: &str) -> Option<&'q str> {
    let mut pairs = query.split('&').filter_map(|pair| pair.split_once('='));
    pairs.find(|(name, _)| *name == key).map(|(_, value)| value)
}

impl LogIn {
    /// What a query says: `user=NAME&token=TOKEN`; `None` where it is no log-in.
    pub fn of_query(query: &str, client: String) -> Option<Self> {
        let value = |key| value(query, key).map(str::to_owned);
        let (user, token) = (value("user")?, value("token")?);
        let is_word = |text: &str| !text.is_empty() && text.chars().all(in_words);
        (is_word(&user) && is_word(&token)).then_some(Self { user, token, client })
    }

    /// The line of the access log.
    pub fn line(&self) -> String {
        format!("{} - {}", self.client, self.told())
    }

    /// The line without the client, whom a web server before the application knows.
    pub fn told(&self) -> String {
        format!("{} login {}", self.user, self.token)
    }

    /// What a line says, or a syslog message that ends with it; `None` where it is about something else.
    pub fn of_line(line: &str) -> Option<Self> {
        // Some senders end a message with a line feed, which is no part of it (RFC 6587 section 3.4.2 speaks of them).
        let mut words = line.trim_end().rsplitn(6, ' ');
        let token = words.next()?;
        if words.next()? != "login" {
            return None;
        }
        let user = words.next()?;
        words.next()?;
        let client = words.next()?;
        Some(Self { user: user.to_owned(), token: token.to_owned(), client: client.to_owned() })
    }

    /// The row of the page.
    pub fn row(&self) -> String {
        format!("<tr><td>{}</td><td>{}</td></tr>\n", self.token, self.client)
    }
}

fn in_words(c: char) -> bool {
    c.is_ascii_alphanumeric() || "-._".contains(c)
}

/// What a stage that has this fault makes of an address. `own` is the address of the stage itself.
pub fn spoiled(client: &str, fault: LogFault, own: IpAddr) -> String {
    let address = client.parse::<IpAddr>();
    match (fault, address) {
        (LogFault::NoClient, _) => NOTHING.to_owned(),
        (LogFault::OwnAddress, _) => own.to_string(),
        (LogFault::SplitAtColon, _) => client.split(':').next().unwrap_or_default().to_owned(),
        (LogFault::ColumnOf15, _) => client.chars().take(15).collect(),
        (LogFault::UpperCase, _) => client.to_uppercase(),
        (LogFault::Mapped, Ok(IpAddr::V4(address))) => address.to_ipv6_mapped().to_string(),
        (LogFault::ZeroPadded, Ok(IpAddr::V6(address))) => {
            address.segments().map(|group| format!("{group:04x}")).join(":")
        }
        // What is of another family, and whose messages they are: another matter than who the client is.
        (
            LogFault::Mapped
            | LogFault::ZeroPadded
            | LogFault::ByAddress
            | LogFault::ByIpv4Hosts
            | LogFault::AsItsOwn,
            _,
        ) => client.to_owned(),
    }
}

/// The rows of the table in a page, the cells of each with a space between them.
pub fn rows(body: &str) -> Vec<String> {
    const MOST: usize = 64;
    let row = |row: &str| {
        let cells = row.split("<td>").skip(1);
        let cells: Vec<_> = cells.filter_map(|cell| cell.split("</td>").next()).collect();
        cells.join(" ").chars().take(200).collect()
    };
    body.split("<tr>").skip(1).take(MOST).map(row).collect()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn log_in(client: &str) -> LogIn {
        let query = "user=portal-https&token=t.1";
        LogIn::of_query(query, client.to_owned()).unwrap()
    }

    #[test]
    fn a_log_in_goes_through_all_stages() {
        let first = log_in("2001:db8::1");
        assert_eq!(first.line(), "2001:db8::1 - portal-https login t.1");
        let message = format!("<134>1 - portal https - - - {}", first.line());
        assert_eq!(LogIn::of_line(&message), Some(first.clone()));
        assert_eq!(LogIn::of_line(&format!("{message}\n")), Some(first.clone()));
        assert_eq!(rows(&format!("<table>{}</table>", first.row())), ["t.1 2001:db8::1"]);
        assert_eq!(LogIn::of_line("<134>1 - portal sixwalk - - - sixwalk-portal-1"), None);
        assert_eq!(LogIn::of_query("user=<b>&token=1", String::new()), None);
    }

    #[test]
    fn each_fault_spoils_what_it_is_about() {
        let spoil = |client, fault| spoiled(client, fault, IpAddr::from([192, 0, 2, 9]));
        let long = "fd12:3456:789a:bcde:f123:4567:89ab:cdef";
        assert_eq!(spoil(long, LogFault::SplitAtColon), "fd12");
        assert_eq!(spoil(long, LogFault::ColumnOf15), "fd12:3456:789a:");
        assert_eq!(spoil("192.168.100.200", LogFault::ColumnOf15), "192.168.100.200");
        assert_eq!(spoil("2001:db8::a", LogFault::UpperCase), "2001:DB8::A");
        let padded = "2001:0db8:0000:0000:0000:0000:0000:000a";
        assert_eq!(spoil("2001:db8::a", LogFault::ZeroPadded), padded);
        assert_eq!(spoil("192.0.2.1", LogFault::Mapped), "::ffff:192.0.2.1");
        assert_eq!(spoil("2001:db8::a", LogFault::Mapped), "2001:db8::a");
        assert_eq!(spoil("2001:db8::a", LogFault::OwnAddress), "192.0.2.9");
        assert_eq!(spoil("2001:db8::a", LogFault::NoClient), NOTHING);
    }

    proptest! {
        #[test]
        fn no_line_and_no_page_is_too_strange(text in ".{0,80}") {
            let _ = LogIn::of_line(&text);
            let _ = LogIn::of_query(&text, String::new());
            let _ = rows(&text);
        }
    }
}
