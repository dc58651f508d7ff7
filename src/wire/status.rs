//! The status page of a monitoring server: a row for every agent and address that it asks.

use std::net::IpAddr;

/// Where the page is.
pub const STATUS: &str = "/status";

const UP: &str = "up";
const DOWN: &str = "down";

/// A row of the page.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Row {
    /// The node, as the page names it.
    pub node: String,
    /// The address that was asked.
    pub at: IpAddr,
    /// Whether its agent answers there.
    pub up: bool,
}

impl Row {
    /// The row of the page.
    pub fn written(&self) -> String {
        let Self { node, at, up } = self;
        let state = if *up { UP } else { DOWN };
        format!("<tr><td>{node}</td><td>{at}</td><td>{state}</td></tr>\n")
    }

    /// The cells of a row with spaces between them; `None` where they are of another table.
    pub fn read(cells: &str) -> Option<Self> {
        let mut cells = cells.split(' ');
        let (node, at, state) = (cells.next()?, cells.next()?.parse().ok()?, cells.next()?);
        let up = match state {
            UP => true,
            DOWN => false,
            _ => return None,
        };
        cells.next().is_none().then(|| Self { node: node.to_owned(), at, up })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::wire::log_in;

    #[test]
    fn rows_are_read_as_they_were_written() {
        for (at, up) in [("10.9.0.1", true), ("2001:db8:9::1", false)] {
            let row = Row { node: "gateway-a".to_owned(), at: at.parse().unwrap(), up };
            let cells = log_in::rows(&format!("<table>{}</table>", row.written()));
            assert_eq!(cells.iter().map(|cells| Row::read(cells)).collect::<Vec<_>>(), [Some(row)]);
        }
        for other in ["", "t.1 2001:db8::1", "a 192.0.2.1 up again", "a here up", "a 192.0.2.1 so"]
        {
            assert_eq!(Row::read(other), None, "{other}");
        }
    }
}
