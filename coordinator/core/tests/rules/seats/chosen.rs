//! Who of several is given a seat.

use super::*;

#[test]
fn power_comes_first_then_the_zone_then_the_disk_then_the_time_it_has_been_up() {
    let (mains, battery) = (Power::Mains, Power::Battery);
    let mut table = Table::of(5, &[1], &[2, 3, 4, 5]);
    table.states(1, mains, Some(4), "hall");
    table.states(2, battery, Some(1), "field");
    table.states(3, mains, Some(1), "hall");
    table.states(4, Power::Unknown, Some(256), "yard");
    table.states(5, mains, Some(16), "hall");
    assert_eq!(table.change(), Some(voters(&[1, 3, 4])), "another zone, then the better disk; no battery");
    table.down(5);
    table.down(3);
    assert_eq!(table.change(), Some(voters(&[1, 2, 4])), "where no other will do, a battery has to");
}

#[test]
fn a_day_of_uptime_counts_and_a_minute_does_not() {
    let mut table = Table::of(4, &[1], &[2, 3, 4]);
    table.mesh.wait(86_400_000);
    table.down(2);
    table.up(2);
    assert_eq!(table.change(), Some(voters(&[1, 3, 4])));
    let mut table = Table::of(4, &[1], &[2, 3, 4]);
    table.mesh.wait(60_000);
    table.down(2);
    table.up(2);
    assert_eq!(table.change(), Some(voters(&[1, 2, 3])), "they are as good as equal, so the lower ids it is");
}

#[test]
fn a_sitting_voter_is_not_unseated_for_a_better_disk() {
    let mut table = Table::of(4, &[1, 2, 3], &[4]);
    table.states(2, Power::Mains, Some(1024), "");
    table.states(4, Power::Mains, Some(1), "");
    table.mesh.wait(10_000_000);
    assert_eq!(table.next(), None);
}

#[test]
fn a_voter_on_a_battery_makes_way_for_one_that_has_been_up_for_long() {
    let mut table = Table::of(4, &[1, 2, 3], &[4]);
    table.states(2, Power::Battery, Some(1), "");
    assert_eq!(table.next(), None, "the other has just come");
    table.mesh.wait(120_000);
    assert_eq!(table.next(), Some(Proposal { change: voters(&[1, 3, 4]), why: Why::OnBattery(NodeId(2)) }));
    table.states(4, Power::Battery, Some(1), "");
    assert_eq!(table.next(), None, "the other is no better");
}

#[test]
fn a_zone_that_is_doubled_makes_way_and_the_leader_last() {
    let mut table = Table::of(4, &[1, 2, 3], &[4]);
    for (node, zone) in [(1, "hall"), (2, "hall"), (3, "yard"), (4, "roof")] {
        table.states(node, Power::Mains, Some(1), zone);
    }
    table.mesh.wait(120_000);
    assert_eq!(table.next(), Some(Proposal { change: voters(&[1, 3, 4]), why: Why::SharesItsZone(NodeId(2)) }));
    table.leader = NodeId(2);
    assert_eq!(table.next(), Some(Proposal { change: voters(&[2, 3, 4]), why: Why::SharesItsZone(NodeId(1)) }));
}

#[test]
fn a_leader_on_a_battery_makes_way_too() {
    let mut table = Table::of(4, &[1, 2, 3], &[4]);
    table.states(1, Power::Battery, Some(1), "");
    table.mesh.wait(120_000);
    assert_eq!(table.change(), Some(voters(&[2, 3, 4])));
}
