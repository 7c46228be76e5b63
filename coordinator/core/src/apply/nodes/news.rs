//! What is new where a node states itself anew.

use alloc::string::String;
use alloc::vec::Vec;

use crate::capability::NodeSpec;

/// In words, for people.
pub(super) fn of(known: &NodeSpec, stated: &NodeSpec) -> String {
    let (before, after) = (&known.capability, &stated.capability);
    let parts = [
        ("its name", known.name != stated.name),
        ("its address", known.address != stated.address),
        ("its version", known.version != stated.version),
        ("what it offers", before.offers != after.offers),
        ("its devices", before.devices != after.devices),
        ("its targets", before.targets != after.targets),
        ("its labels", before.labels != after.labels),
        ("its measured speed", before.profiles != after.profiles),
        ("its power", before.power != after.power),
        ("the pace of its disk", before.flush_ms != after.flush_ms),
    ];
    let new: Vec<&str> = parts.into_iter().filter(|(_, is_new)| *is_new).map(|(part, _)| part).collect();
    match new.split_last() {
        None => "it stated itself again, with nothing new".into(),
        Some((last, [])) => alloc::format!("{last} changed"),
        Some((last, others)) => alloc::format!("{} and {last} changed", others.join(", ")),
    }
}
