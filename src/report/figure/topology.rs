//! The picture of a testbed, in one phase or over all.

use std::fmt::Write;

use super::{
    layout::{Boxed, Layout, in_phase, live},
    svg::{Svg, Type, ink},
};
use crate::model::{
    family::{Families, Family},
    name::SiteName,
    node::{Node, Role},
    phase::Phase,
    segment::{Plane, Segment, SegmentKind},
    testbed::Testbed,
};

const GUTTER: u32 = 216;
const COLUMN: u32 = 152;
const BOX: (u32, u32) = (138, 60);
const ROW: u32 = 124;
/// From a segment down to the boxes on it.
const DROP: u32 = 30;
const MARGIN: u32 = 16;
/// Above the first segment of a site: its title.
const HEAD: u32 = 40;
const LEGEND: u32 = 62;
/// Above everything: the title.
const TITLE: u32 = 26;

/// The picture of a testbed in a phase; `None` shows what is live in any phase. Places are the same in every phase.
pub fn svg(testbed: &Testbed, phase: Option<Phase>) -> String {
    Picture::new(testbed, phase).draw()
}

/// The picture in each phase, two by two, in the order of the walk.
pub fn multiples(testbed: &Testbed) -> String {
    let pictures = Phase::ALL.map(|phase| Picture::new(testbed, Some(phase)));
    let (width, height) = (pictures[0].width + MARGIN, pictures[0].height() + MARGIN);
    let description = "Four pictures of the same testbed, one for each phase.";
    let title = format!("{}: the four phases", testbed.title);
    let mut svg = Svg::new("topology", 2 * width, 2 * height, &title, description);
    let places = [(0, 0), (width, 0), (0, height), (width, height)];
    for (place, picture) in places.into_iter().zip(&pictures) {
        svg.inset(place, &picture.draw());
    }
    svg.finish()
}

/// What the picture says, in words.
pub fn description(testbed: &Testbed, phase: Option<Phase>) -> String {
    let mut words = String::new();
    for segment in testbed.segments.values() {
        let nodes: Vec<_> = testbed
            .on_segment(&segment.name)
            .map(|(node, interface)| {
                format!("{} ({})", node.name, state(in_phase(interface.families, phase)))
            })
            .collect();
        let families = in_phase(segment.families, phase);
        let _ = write!(words, "{} carries {families}", segment.name);
        let _ = match nodes.len() {
            0 => write!(words, "; nothing is on it. "),
            1..=12 => write!(words, "; on it: {}. ", nodes.join(", ")),
            many => write!(words, "; on it: {many} nodes. "),
        };
    }
    words.trim_end().to_owned()
}

struct Picture<'t> {
    testbed: &'t Testbed,
    phase: Option<Phase>,
    layout: Layout<'t>,
    /// The height of each row's line.
    heights: Vec<u32>,
    width: u32,
}

impl<'t> Picture<'t> {
    fn new(testbed: &'t Testbed, phase: Option<Phase>) -> Self {
        let layout = Layout::new(testbed);
        let mut heights = Vec::new();
        let mut y = TITLE;
        for (row, segment) in layout.rows.iter().enumerate() {
            if row == 0 || lane(layout.rows[row - 1]) != lane(segment) {
                y += HEAD + if row == 0 { 0 } else { 10 };
            }
            heights.push(y);
            let empty = !layout.boxes.iter().any(|b| b.rows.first() == Some(&row));
            y += if empty { 76 } else { ROW };
        }
        heights.push(y);
        let columns = u32::try_from(layout.columns).unwrap_or(u32::MAX / COLUMN).max(4);
        Self { testbed, phase, layout, heights, width: GUTTER + COLUMN * columns + MARGIN }
    }

    fn draw(&self) -> String {
        let id = format!("topology-{}", self.phase.map_or("all", Phase::word));
        let title = match self.phase {
            Some(phase) => format!("{}: {phase}", self.testbed.title),
            None => format!("{}: all phases", self.testbed.title),
        };
        let description = description(self.testbed, self.phase);
        let mut svg = Svg::new(&id, self.width, self.height(), &title, &description);
        svg.words((MARGIN, 18), Type::bold(14), ink::WORDS, &title);
        self.lanes(&mut svg);
        for row in 0..self.layout.rows.len() {
            self.row(&mut svg, row);
        }
        for boxed in &self.layout.boxes {
            self.links(&mut svg, boxed);
        }
        for boxed in &self.layout.boxes {
            self.boxed(&mut svg, boxed);
        }
        self.legend(&mut svg, self.height() - LEGEND);
        svg.finish()
    }

    fn height(&self) -> u32 {
        self.heights.last().copied().unwrap_or(MARGIN) + LEGEND
    }

    /// The grounds of the sites.
    fn lanes(&self, svg: &mut Svg) {
        let rows = &self.layout.rows;
        let mut first = 0;
        for row in 1..=rows.len() {
            if row < rows.len() && lane(rows[row]) == lane(rows[first]) {
                continue;
            }
            let top = self.heights[first] - HEAD;
            let below = self.heights[row] - if row < rows.len() { HEAD + 10 } else { 0 };
            svg.rect(
                (6, top),
                (self.width - 12, below - top),
                "fill=\"#f3f5f8\" stroke=\"#c4c9d1\" rx=\"6\"",
            );
            let title = self.lane_title(rows[first]);
            svg.words((MARGIN, top + 19), Type::bold(13), ink::WORDS, &title);
            first = row;
        }
    }

    fn lane_title(&self, segment: &Segment) -> String {
        match (&segment.site, segment.plane) {
            (_, Plane::Management) => {
                "Management plane (nodes linked to it are marked m)".to_owned()
            }
            (Some(site), Plane::Data) => {
                let title = self.testbed.sites.get(site).map_or(site.as_str(), |s| &s.title);
                if title.eq_ignore_ascii_case(site.as_str()) {
                    title.to_owned()
                } else {
                    format!("{title} ({site})")
                }
            }
            (None, Plane::Data) => "Between the sites".to_owned(),
        }
    }

    /// A segment: its words on the left, its line over the columns that it reaches.
    fn row(&self, svg: &mut Svg, row: usize) {
        let segment = self.layout.rows[row];
        let (y, families) = (self.heights[row], in_phase(segment.families, self.phase));
        let kind = match segment.kind {
            SegmentKind::Lan => "",
            SegmentKind::PointToPoint => ", point to point",
            SegmentKind::Transit => ", transit",
            SegmentKind::Tunnel => ", inside a tunnel",
            SegmentKind::Translation => ", to a translator",
        };
        svg.words(
            (MARGIN, y + 5),
            Type::bold(13),
            ink::WORDS,
            &shortened(segment.name.as_str(), 22),
        );
        let mut line = y + 22;
        svg.words(
            (MARGIN, line),
            Type::plain(12),
            ink::WORDS,
            &format!("carries {}{kind}", state(families)),
        );
        for prefix in &segment.prefixes {
            line += 16;
            let live = families.has(Family::of_net(*prefix));
            let colour = if live { ink::WORDS } else { ink::OFF };
            svg.words((MARGIN, line), Type::plain(11), colour, &prefix.to_string());
        }
        let (first, last) = self.layout.span(row).unwrap_or((0, 0));
        let (from, to) = (middle(first) - BOX.0 / 2, middle(last) + BOX.0 / 2);
        let wide = match segment.plane {
            Plane::Data => to,
            Plane::Management => to.max(from + COLUMN),
        };
        svg.line((from, y), (wide, y), &stroke(families, 4));
        if families.is_empty() {
            cross(svg, (from + (wide - from) / 2, y));
        }
    }

    fn links(&self, svg: &mut Svg, boxed: &Boxed<'_>) {
        let top = self.top(boxed);
        let down = boxed.rows.len().saturating_sub(1);
        for (at, row) in boxed.rows.iter().enumerate() {
            let families = self.on_row(boxed, *row);
            let x = if at == 0 { middle(boxed.column) } else { Self::foot_x(boxed, at, down) };
            let from = if at == 0 { top } else { top + BOX.1 };
            let y = self.heights[*row];
            svg.line((x, from), (x, y), &stroke(families, 3));
            svg.disc((x, y), 4, colour(families));
            if families.is_empty() {
                cross(svg, (x, from.midpoint(y)));
            }
        }
    }

    /// Where a link leaves a box at its foot.
    fn foot_x(boxed: &Boxed<'_>, at: usize, down: usize) -> u32 {
        let left = middle(boxed.column) - BOX.0 / 2;
        let part = BOX.0 / (u32::try_from(down).unwrap_or(1) + 1);
        left + part * u32::try_from(at).unwrap_or(1)
    }

    /// The families live on a box's link to a row.
    fn on_row(&self, boxed: &Boxed<'_>, row: usize) -> Families {
        let segment = &self.layout.rows[row].name;
        let interfaces = boxed.nodes.iter().filter_map(|node| node.interface_on(segment));
        interfaces.fold(Families::NONE, |all, i| all.or(in_phase(i.families, self.phase)))
    }

    fn boxed(&self, svg: &mut Svg, boxed: &Boxed<'_>) {
        let (left, top) = (middle(boxed.column) - BOX.0 / 2, self.top(boxed));
        let (node, many) = (boxed.nodes[0], boxed.nodes.len());
        svg.open(&self.tooltip(boxed));
        let edge = if node.role.forwards() { 2.5 } else { 1.2 };
        let corner = if node.role.forwards() { 0 } else { 8 };
        let look = format!(
            "fill=\"#ffffff\" stroke=\"{}\" stroke-width=\"{edge}\" rx=\"{corner}\"",
            ink::WORDS
        );
        if many > 1 {
            svg.rect((left + 4, top + 4), BOX, &look);
        }
        svg.rect((left, top), BOX, &look);
        svg.disc((left + 17, top + 17), 10, ink::WORDS);
        let letter = letter(node.role);
        svg.words((left + 17, top + 21), Type::bold(12).centred(), "#ffffff", letter);
        let name = if many > 1 { format!("{many} nodes") } else { node.name.as_str().to_owned() };
        let size = if name.chars().count() > 11 { 11 } else { 13 };
        svg.words((left + 32, top + 21), Type::bold(size), ink::WORDS, &shortened(&name, 15));
        svg.words((left + 8, top + 38), Type::plain(11), ink::WORDS, role_words(node.role));
        svg.words((left + 8, top + 53), Type::bold(12), ink::WORDS, &self.states(boxed));
        svg.close();
    }

    /// `4+6`, with the state on the management plane behind it: `4+6, m 4`.
    fn states(&self, boxed: &Boxed<'_>) -> String {
        let of = |plane| {
            let nodes = boxed.nodes.iter();
            nodes.fold(Families::NONE, |all, n| all.or(live(self.testbed, n, plane, self.phase)))
        };
        let has = |plane| boxed.nodes[0].interfaces.iter().any(|i| self.testbed.plane(i) == plane);
        match (has(Plane::Data), has(Plane::Management)) {
            (true, true) => {
                format!("{}, m {}", state(of(Plane::Data)), state(of(Plane::Management)))
            }
            (false, true) => format!("m {}", state(of(Plane::Management))),
            _ => state(of(Plane::Data)).to_owned(),
        }
    }

    fn tooltip(&self, boxed: &Boxed<'_>) -> String {
        let about = |node: &Node| {
            let addresses: Vec<_> = node
                .interfaces
                .iter()
                .flat_map(|i| i.addresses.iter().map(move |address| (i, address)))
                .filter(|(i, address)| in_phase(i.families, self.phase).has(address.family()))
                .map(|(_, address)| address.net.to_string())
                .collect();
            format!("{}: {}", node.name, addresses.join(", "))
        };
        match boxed.nodes.as_slice() {
            [node] => about(node),
            many => {
                format!("{} nodes, {} to {}", many.len(), many[0].name, many[many.len() - 1].name)
            }
        }
    }

    fn legend(&self, svg: &mut Svg, foot: u32) {
        let entries = [
            ("IPv4 and IPv6 (4+6)", Families::BOTH),
            ("IPv4 only (4)", Families::only(Family::V4)),
            ("IPv6 only (6)", Families::only(Family::V6)),
            ("off", Families::NONE),
        ];
        let mut x = MARGIN;
        for (words, families) in entries {
            svg.line((x, foot + 22), (x + 44, foot + 22), &stroke(families, 4));
            if families.is_empty() {
                cross(svg, (x + 22, foot + 22));
            }
            svg.words((x + 52, foot + 26), Type::plain(12), ink::WORDS, words);
            x += 84 + u32::try_from(words.len()).unwrap_or(0) * 7;
        }
        let tunnels = &self.testbed.tunnels;
        if !tunnels.is_empty() {
            let names: Vec<_> = tunnels
                .values()
                .map(|t| format!("{} ({} to {})", t.name, t.between[0], t.between[1]))
                .collect();
            let words =
                format!("Tunnels, each with its inside drawn as a segment: {}", names.join(", "));
            svg.words((MARGIN, foot + 50), Type::plain(12), ink::WORDS, &words);
        }
    }

    fn top(&self, boxed: &Boxed<'_>) -> u32 {
        self.heights[boxed.rows.first().copied().unwrap_or(0)] + DROP
    }
}

/// The middle of a column.
fn middle(column: usize) -> u32 {
    GUTTER + COLUMN * u32::try_from(column).unwrap_or(0) + COLUMN / 2
}

/// What is drawn on one ground: a site, what is between the sites, or the management plane.
fn lane(segment: &Segment) -> (bool, Option<&str>) {
    match segment.plane {
        Plane::Management => (true, None),
        Plane::Data => (false, segment.site.as_ref().map(SiteName::as_str)),
    }
}

/// `4`, `6`, `4+6` or `off`.
pub fn state(families: Families) -> &'static str {
    match (families.has(Family::V4), families.has(Family::V6)) {
        (true, true) => "4+6",
        (true, false) => "4",
        (false, true) => "6",
        (false, false) => "off",
    }
}

fn colour(families: Families) -> &'static str {
    match state(families) {
        "4+6" => ink::BOTH,
        "4" => ink::V4,
        "6" => ink::V6,
        _ => ink::OFF,
    }
}

/// Both: solid and thick. IPv4: dashed. IPv6: dotted. Off: thin.
fn stroke(families: Families, width: u32) -> String {
    let dashes = match state(families) {
        "4" => " stroke-dasharray=\"10 5\"",
        "6" => " stroke-dasharray=\"1 6\" stroke-linecap=\"round\"",
        _ => "",
    };
    let width = match state(families) {
        "4+6" => width + 1,
        "off" => 1,
        _ => width,
    };
    format!("fill=\"none\" stroke=\"{}\" stroke-width=\"{width}\"{dashes}", colour(families))
}

fn cross(svg: &mut Svg, (x, y): (u32, u32)) {
    svg.words((x, y + 6), Type::bold(18).centred(), ink::OFF, "×");
}

/// A name that fits its place.
fn shortened(name: &str, most: usize) -> String {
    if name.len() <= most { name.to_owned() } else { format!("{}…", &name[..most - 1]) }
}

fn letter(role: Role) -> &'static str {
    match role {
        Role::Workplace => "W",
        Role::Server => "S",
        Role::Router => "R",
        Role::Firewall => "F",
        Role::VpnGateway => "V",
        Role::ManagementStation => "M",
        Role::Dns => "D",
        Role::OutsideClient => "O",
    }
}

fn role_words(role: Role) -> &'static str {
    match role {
        Role::Workplace => "workplace",
        Role::Server => "server",
        Role::Router => "router",
        Role::Firewall => "firewall",
        Role::VpnGateway => "VPN gateway",
        Role::ManagementStation => "mgmt station",
        Role::Dns => "DNS",
        Role::OutsideClient => "outside client",
    }
}
