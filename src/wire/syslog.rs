//! Messages of syslog (RFC 5424): their header, and by which host a sink files them.

/// Written where something is not known (RFC 5424 section 6: NILVALUE).
const NOTHING: &str = "-";

/// A message of a node and one of its applications. Facility 16 (local0), severity 6 (informational); the time is left to
/// the sink.
pub fn message(host: &str, application: &str, text: &str) -> String {
    format!("<134>1 - {host} {application} - - - {text}")
}

/// HOSTNAME, as the sender names itself (RFC 5424 section 6.2.4); `None` where it names nobody, or the header is of another
/// kind.
pub fn host(message: &str) -> Option<&str> {
    let (_, header) = message.strip_prefix('<')?.split_once('>')?;
    let mut fields = header.split(' ');
    fields.next().filter(|version| *version == "1")?;
    fields.nth(1).filter(|host| !host.is_empty() && *host != NOTHING)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_sender_names_itself_in_the_header() {
        assert_eq!(host(&message("portal", "https", "- login t.1")), Some("portal"));
        assert_eq!(host("<14>1 2026-01-01T00:00:00Z fw.dc.test a - - - x"), Some("fw.dc.test"));
        for other in ["", "<14>1 - - a - - - x", "<14>Oct 11 22:14:15 portal su: x", "<14>1", "x"] {
            assert_eq!(host(other), None, "{other}");
        }
    }
}
