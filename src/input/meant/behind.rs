//! What is behind a gateway: the networks of its site, and not those between it and the other end of a tunnel.

use std::collections::BTreeSet;

use crate::{
    input::written::{
        node::{Interface, Node},
        segment::Segment,
        testbed::Testbed,
    },
    model::{
        name::{NodeName, SegmentName},
        node::Role,
        segment::{Plane, SegmentKind},
    },
};

/// Whether a segment is reached from a gateway through networks of its site alone, without passing the other gateway; or
/// may be, where a name on the way stands for nothing.
pub(super) fn is_behind(
    written: &Testbed,
    segment: &SegmentName,
    gateway: &NodeName,
    other: &NodeName,
) -> bool {
    let mut reached: BTreeSet<&NodeName> = BTreeSet::from([gateway]);
    let mut open = vec![gateway];
    while let Some(name) = open.pop() {
        let Some(node) = written.node(name) else { return true };
        if written.is_dangling(node) || node.interface_on(segment).is_some() {
            return true;
        }
        for on in node.on.iter().filter(|on| is_of_site(written, &on.segment.is)) {
            for (next, _) in written.members(&on.segment.is) {
                let name = &next.name.is;
                if next.may_be(Role::forwards) && name != other && reached.insert(name) {
                    open.push(name);
                }
            }
        }
    }
    false
}

/// The link of a gateway on which both the way to a segment and the way to the other gateway begin: the segment is outside
/// then, and what comes out of the tunnel for it would leave again where the tunnel arrives. What the gateway is on itself is
/// never that, nor anything where a name stands for nothing.
pub(super) fn outside_by<'w>(
    written: &'w Testbed,
    segment: &SegmentName,
    gateway: &NodeName,
    other: &NodeName,
) -> Option<&'w SegmentName> {
    let node = written.node(gateway)?;
    if node.interface_on(segment).is_some() || written.nodes.iter().any(|n| written.is_dangling(n))
    {
        return None;
    }
    let ways = Ways { written, from: node };
    let there = |node: &Node| node.name.is != *other && node.interface_on(segment).is_some();
    let to_segment = ways.first(|name| is_of_site(written, name), there)?;
    let between = |name: &SegmentName| written.segment(name).is_some_and(is_data);
    let to_other = ways.first(between, |node| node.name.is == *other)?;
    (to_segment == to_other).then_some(to_segment)
}

fn is_of_site(written: &Testbed, name: &SegmentName) -> bool {
    written
        .segment(name)
        .is_some_and(|s| is_data(s) && s.kind != SegmentKind::Transit && s.site.is_some())
}

fn is_data(segment: &Segment) -> bool {
    segment.plane == Plane::Data && !segment.kind.is_inside()
}

/// The ways from a node.
struct Ways<'w> {
    written: &'w Testbed,
    from: &'w Node,
}

impl<'w> Ways<'w> {
    /// The link on which every shortest way over such links to such a node begins; `None` where there is none, or ways that
    /// are as long begin on others.
    fn first(
        &self,
        such: impl Fn(&SegmentName) -> bool,
        is_there: impl Fn(&Node) -> bool,
    ) -> Option<&'w SegmentName> {
        let links = self.from.on.iter().map(|on| &on.segment.is).filter(|name| such(name));
        let mut ways: Vec<_> =
            links.filter_map(|link| Some((self.length(link, &such, &is_there)?, link))).collect();
        ways.sort_unstable();
        match ways.as_slice() {
            [(_, link)] => Some(link),
            [(shortest, link), (next, _), ..] if shortest < next => Some(link),
            _ => None,
        }
    }

    /// How many nodes pass on what goes to such a node, beginning on a link.
    fn length(
        &self,
        link: &'w SegmentName,
        such: impl Fn(&SegmentName) -> bool,
        is_there: impl Fn(&Node) -> bool,
    ) -> Option<usize> {
        let mut nodes = BTreeSet::from([&self.from.name.is]);
        let mut links = BTreeSet::from([link]);
        let mut open = vec![link];
        for length in 0.. {
            let on = |link: &&'w SegmentName| self.written.members(link);
            let mut next: Vec<_> = open.iter().flat_map(on).map(|(node, _)| node).collect();
            next.retain(|node| node.may_be(Role::forwards) && nodes.insert(&node.name.is));
            if next.iter().any(|node| is_there(node)) {
                return Some(length);
            }
            let on = next.iter().flat_map(|node| &node.on);
            let on = on.map(|Interface { segment, .. }| &segment.is);
            open = on.filter(|name| such(name) && links.insert(name)).collect();
            if open.is_empty() {
                break;
            }
        }
        None
    }
}
