//! Whatever the mesh is like: the seats never cost the mesh its quorum, and come to rest.

use proptest::prelude::*;
use skein_core::capability::FLUSH_STEPS_MS;

use super::*;

#[derive(Clone, Debug)]
struct Member {
    seat: u8,
    is_up: bool,
    is_evicted: bool,
    behind: Option<u64>,
    power: Power,
    zone: u8,
    flush: usize,
    gone_before_ms: u64,
}

fn a_member() -> impl Strategy<Value = Member> {
    let power = prop_oneof![Just(Power::Mains), Just(Power::Battery), Just(Power::Unknown)];
    let behind = prop::option::weighted(0.9, prop_oneof![3 => Just(0), 1 => 0..300_u64]);
    let flags = (prop::bool::weighted(0.75), prop::bool::weighted(0.15));
    (0..4_u8, flags, behind, power, 0..4_u8, 0..FLUSH_STEPS_MS.len(), 0..200_000_u64).prop_map(
        |(seat, (is_up, is_evicted), behind, power, zone, flush, gone_before_ms)| Member {
            seat,
            is_up,
            is_evicted,
            behind,
            power,
            zone,
            flush,
            gone_before_ms,
        },
    )
}

/// Node 1 leads and votes. The rest vote, learn, or have just joined.
fn table(members: &[Member], five: bool) -> Table {
    let mut table = Table::of(0, &[1], &[]);
    table.rules(if five { 5 } else { 3 }, 60_000);
    for (id, member) in (1..).zip(members) {
        let zones = ["", "hall", "yard", "roof"];
        table.states(id, member.power, Some(FLUSH_STEPS_MS[member.flush]), zones[usize::from(member.zone)]);
        if member.is_evicted {
            table.mesh.apply(Command::SeatEvict(NodeId(id)));
        }
        match member.seat {
            0 | 1 if id > 1 => drop(table.voters.insert(NodeId(id))),
            2 if id > 1 => drop(table.learners.insert(NodeId(id))),
            _ => {}
        }
        match member.behind {
            Some(behind) => drop(table.behind.insert(NodeId(id), behind)),
            None => drop(table.behind.insert(NodeId(id), u64::MAX)),
        }
    }
    let down = (1..).zip(members).filter(|(id, member)| *id > 1 && !member.is_up);
    let mut gone: Vec<(u64, u64)> = down.map(|(id, member)| (200_000 - member.gone_before_ms, id)).collect();
    gone.sort_unstable();
    let begin = table.mesh.now;
    for (after, id) in gone {
        table.mesh.now = begin + Millis(after);
        table.down(id);
    }
    table.mesh.now = begin + Millis(200_000);
    table
}

fn majority(table: &Table, of: &BTreeSet<NodeId>) -> bool {
    of.iter().filter(|node| **node == table.leader || table.is_up(**node)).count() * 2 > of.len()
}

proptest! {
    #[test]
    fn no_change_costs_the_quorum_and_the_seats_come_to_rest(
        members in prop::collection::vec(a_member(), 1..10),
        five in any::<bool>(),
    ) {
        let mut table = table(&members, five);
        let had = majority(&table, &table.voters);
        for round in 0.. {
            prop_assert!(round < 40, "the seats never settle: {:?}", table.voters);
            let Some(proposal) = table.next() else { break };
            if let SeatChange::SetVoters(new) = &proposal.change {
                prop_assert!(had, "a change without a majority: {:?}", proposal);
                prop_assert!(majority(&table, new), "{:?} loses the majority", proposal);
                prop_assert!(new.len() % 2 == 1 && new.len() <= table.voters.len().max(5));
                for newcomer in new.difference(&table.voters) {
                    prop_assert!(table.learners.contains(newcomer) && table.is_up(*newcomer));
                    prop_assert!(table.behind.get(newcomer).is_none_or(|lacks| *lacks <= BEHIND_MAX));
                    prop_assert!(!table.mesh.state.seats.evicted.contains(newcomer));
                }
            }
            table.carry_out(proposal.change);
        }
        // What is left as it is cannot be helped: nobody could take those seats.
        if had {
            for voter in &table.voters {
                let node = &table.mesh.state.nodes[voter];
                let must_go = table.mesh.state.seats.evicted.contains(voter)
                    || (!node.up && *voter != table.leader && table.mesh.now.since(node.since) >= Millis(60_000));
                if must_go {
                    let waits = table.look(waiting);
                    prop_assert!(waits.contains(&Waiting::NobodyElse(*voter)), "{voter} stays: {waits:?}");
                }
            }
        }
    }
}
