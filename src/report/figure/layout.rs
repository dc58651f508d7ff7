//! Where things stand in the picture of a testbed: the same place in every phase. Every segment of the data plane is a
//! row, every node a box in a column below the first of its segments; a node that joins segments keeps its column free
//! down to the last of them. Management links are told by a mark in the box, for every node has one.

use std::collections::{BTreeMap, BTreeSet};

use crate::model::{
    family::Families,
    name::{SegmentName, SiteName},
    node::{Node, Role},
    phase::{PerPhase, Phase},
    segment::{Plane, Segment},
    testbed::Testbed,
};

/// So many alike nodes on a segment are drawn one by one; more become one box.
const MOST_ALIKE: usize = 6;

/// The picture without measures.
pub(super) struct Layout<'t> {
    /// Segments from top to bottom, those of management last.
    pub(super) rows: Vec<&'t Segment>,
    /// Nodes, or many alike nodes in one box.
    pub(super) boxes: Vec<Boxed<'t>>,
    /// How many columns are used.
    pub(super) columns: usize,
}

/// A box.
pub(super) struct Boxed<'t> {
    /// The nodes that it stands for: one, or many alike.
    pub(super) nodes: Vec<&'t Node>,
    /// The rows that it is linked to, topmost first: the box is below the first.
    pub(super) rows: Vec<usize>,
    /// Its column.
    pub(super) column: usize,
}

impl<'t> Layout<'t> {
    /// Finds a place for everything.
    pub(super) fn new(testbed: &'t Testbed) -> Self {
        let rows = rows(testbed);
        let mut boxes = boxes(testbed, &rows);
        let columns = place(&mut boxes);
        Self { rows, boxes, columns }
    }

    /// The first and last column that a row is linked to; `None` for an empty segment.
    pub(super) fn span(&self, row: usize) -> Option<(usize, usize)> {
        let on: Vec<_> =
            self.boxes.iter().filter(|b| b.rows.contains(&row)).map(|b| b.column).collect();
        Some((*on.iter().min()?, *on.iter().max()?))
    }
}

/// The families that are live on the interfaces of a node in a plane; over all phases where no phase is given.
pub(super) fn live(testbed: &Testbed, node: &Node, plane: Plane, phase: Option<Phase>) -> Families {
    let interfaces = node.interfaces.iter().filter(|i| testbed.plane(i) == plane);
    interfaces.fold(Families::NONE, |all, i| all.or(in_phase(i.families, phase)))
}

/// A value per phase in one phase, or over all.
pub(super) fn in_phase(families: PerPhase<Families>, phase: Option<Phase>) -> Families {
    match phase {
        Some(phase) => *families.in_phase(phase),
        None => Phase::ALL.iter().fold(Families::NONE, |all, p| all.or(*families.in_phase(*p))),
    }
}

/// The segments in the order drawn: the first half of the sites, what lies between the sites, the other sites,
/// management. Within each, a segment stands the nearer to the next part the fewer nodes are between.
fn rows(testbed: &Testbed) -> Vec<&Segment> {
    let sites: Vec<&SiteName> = testbed.sites.keys().collect();
    let above = sites.len().div_ceil(2);
    let number = |segment: &Segment| {
        segment.site.as_ref().and_then(|s| sites.iter().position(|name| *name == s))
    };
    let from_between = distances(testbed, |segment| segment.site.is_none());
    let from_above = distances(testbed, |segment| number(segment).is_some_and(|n| n < above));
    let far = |distances: &Distances<'_>, segment: &Segment| {
        distances.get(&segment.name).copied().unwrap_or(testbed.segments.len())
    };
    let mut rows: Vec<_> = testbed.segments.values().collect();
    rows.sort_by_key(|segment| {
        let place = match number(segment) {
            Some(site) if site < above => {
                (0, site, testbed.segments.len() - far(&from_between, segment))
            }
            Some(site) => (2, site, far(&from_between, segment)),
            None => (1, 0, far(&from_above, segment)),
        };
        (segment.plane == Plane::Management, place, &segment.name)
    });
    rows
}

/// How many forwarding nodes stand between some segments and each other one.
type Distances<'t> = BTreeMap<&'t SegmentName, usize>;

/// The distance of each segment of the data plane from the nearest of those that `from` picks.
fn distances(testbed: &Testbed, from: impl Fn(&Segment) -> bool) -> Distances<'_> {
    let data = |segment: &&Segment| segment.plane == Plane::Data;
    let near = testbed.segments.values().filter(data).filter(|segment| from(segment));
    let mut distances: Distances<'_> = near.map(|segment| (&segment.name, 0)).collect();
    for step in 1..=testbed.segments.len() {
        let reached: Vec<_> = testbed
            .nodes
            .values()
            .filter(|node| node.role.forwards())
            .filter(|node| node.interfaces.iter().any(|i| distances.contains_key(&i.segment)))
            .flat_map(|node| &node.interfaces)
            .filter(|interface| testbed.plane(interface) == Plane::Data)
            .map(|interface| &interface.segment)
            .collect();
        for segment in reached {
            distances.entry(segment).or_insert(step);
        }
    }
    distances
}

/// The boxes without columns: nodes that join segments first, since they need their column over several rows.
fn boxes<'t>(testbed: &'t Testbed, rows: &[&Segment]) -> Vec<Boxed<'t>> {
    let mut alike: BTreeMap<(Vec<usize>, Role), Vec<&Node>> = BTreeMap::new();
    for node in testbed.nodes.values() {
        alike.entry((linked(testbed, node, rows), node.role)).or_default().push(node);
    }
    let mut boxes: Vec<_> = alike
        .into_iter()
        .flat_map(|((rows, _), nodes)| {
            let many = nodes.len() > MOST_ALIKE && rows.len() == 1;
            let groups =
                if many { vec![nodes] } else { nodes.into_iter().map(|n| vec![n]).collect() };
            groups.into_iter().map(move |nodes| Boxed { nodes, rows: rows.clone(), column: 0 })
        })
        .collect();
    boxes.sort_by_key(|boxed| (boxed.rows.len() < 2, boxed.rows.clone(), &boxed.nodes[0].name));
    boxes
}

/// The rows that a node is linked to by a line: those of the data plane, or of management where it has no other.
fn linked(testbed: &Testbed, node: &Node, rows: &[&Segment]) -> Vec<usize> {
    let of = |plane: Plane| -> BTreeSet<usize> {
        let interfaces = node.interfaces.iter().filter(|i| testbed.plane(i) == plane);
        interfaces
            .filter_map(|i| rows.iter().position(|segment| segment.name == i.segment))
            .collect()
    };
    let data = of(Plane::Data);
    let drawn = if data.is_empty() { of(Plane::Management) } else { data };
    drawn.into_iter().collect()
}

/// Gives each box the first column that is free from its first row to its last. Returns how many columns were needed.
fn place(boxes: &mut [Boxed<'_>]) -> usize {
    let mut taken: BTreeSet<(usize, usize)> = BTreeSet::new();
    let mut columns = 1;
    for boxed in boxes {
        let first = boxed.rows.first().copied().unwrap_or(0);
        let last = boxed.rows.last().copied().unwrap_or(0).max(first + 1);
        let free = |column: &usize| (first..last).all(|row| !taken.contains(&(row, *column)));
        boxed.column = (0..=columns).find(free).unwrap_or(columns);
        taken.extend((first..last).map(|row| (row, boxed.column)));
        columns = columns.max(boxed.column + 1);
    }
    columns
}

#[cfg(test)]
mod tests {
    use super::*;

    fn boxed(rows: &[usize]) -> Boxed<'static> {
        Boxed { nodes: Vec::new(), rows: rows.to_vec(), column: usize::MAX }
    }

    #[test]
    fn no_two_boxes_or_links_share_a_place() {
        let mut boxes: Vec<_> =
            [&[0, 3][..], &[1, 2], &[0], &[0], &[2], &[1], &[3], &[]].map(boxed).into();
        let columns = place(&mut boxes);
        let mut taken = BTreeSet::new();
        for boxed in &boxes {
            assert!(boxed.column < columns);
            let first = boxed.rows.first().copied().unwrap_or(0);
            let last = boxed.rows.last().copied().unwrap_or(0).max(first + 1);
            for row in first..last {
                assert!(taken.insert((row, boxed.column)), "row {row} column {}", boxed.column);
            }
        }
    }
}
