//! Who makes the better voter.

use alloc::collections::{BTreeMap, BTreeSet};

use crate::capability::Power;
use crate::ids::NodeId;
use crate::seats::View;
use crate::time::Millis;

/// The label that says where a node stands: what is in one zone is lost together.
pub const ZONE: &str = "zone";

/// Uptimes are told apart in these steps only: what has run for a day will likely run tomorrow, and who is some minutes older than
/// another is not the better for it.
const UPTIME_STEPS: [Millis; 3] = [Millis(600_000), Millis(3_600_000), Millis(86_400_000)];

/// What speaks against a node as a voter beside those chosen already; the least is the best.
///
/// The order is: being there at all, power, zone, disk, uptime, and the id to have an end. Power comes before the zone: a drone that
/// lands takes its zone with it, so a zone of its own is no reason to seat it where another will do.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Against {
    is_down: bool,
    is_evicted: bool,
    is_on_battery: bool,
    /// Of those chosen, how many stand in the same zone. Nodes without the label share a zone without a name.
    share_its_zone: usize,
    flush_ms: u16,
    uptime_lacks: usize,
    id: NodeId,
}

/// What is wrong with a set of voters in kind; less is better. The slower of two good disks is no flaw.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Flaws {
    /// Voters on a battery.
    pub(super) on_battery: usize,
    /// Voters beyond the first of each zone.
    pub(super) zones_shared: usize,
}

/// The best of these to join those chosen already.
pub(super) fn best(view: &View<'_>, chosen: &BTreeSet<NodeId>, from: impl Iterator<Item = NodeId>) -> Option<NodeId> {
    from.min_by_key(|node| against(view, chosen, *node))
}

fn against(view: &View<'_>, chosen: &BTreeSet<NodeId>, node: NodeId) -> Against {
    let zone = zone(view, node);
    let flush_ms = view.state.nodes.get(&node).and_then(|node| node.spec.capability.flush_ms);
    let uptime = view.now.since(view.since(node));
    Against {
        is_down: !view.is_up(node),
        is_evicted: view.is_evicted(node),
        is_on_battery: is_on_battery(view, node),
        share_its_zone: chosen.iter().filter(|other| self::zone(view, **other) == zone).count(),
        flush_ms: flush_ms.unwrap_or(u16::MAX),
        uptime_lacks: UPTIME_STEPS.iter().filter(|step| uptime < **step).count(),
        id: node,
    }
}

pub(super) fn flaws(view: &View<'_>, voters: &BTreeSet<NodeId>) -> Flaws {
    let mut zones: BTreeMap<Option<&str>, usize> = BTreeMap::new();
    for voter in voters {
        *zones.entry(zone(view, *voter)).or_default() += 1;
    }
    Flaws {
        on_battery: voters.iter().filter(|voter| is_on_battery(view, **voter)).count(),
        zones_shared: zones.values().map(|count| count - 1).sum(),
    }
}

/// Most boards say nothing of their power, and hang on a wall.
fn is_on_battery(view: &View<'_>, node: NodeId) -> bool {
    view.state.nodes.get(&node).is_some_and(|node| node.spec.capability.power == Power::Battery)
}

fn zone<'state>(view: &View<'state>, node: NodeId) -> Option<&'state str> {
    view.state.nodes.get(&node)?.spec.capability.labels.get(ZONE).map(alloc::string::String::as_str)
}
