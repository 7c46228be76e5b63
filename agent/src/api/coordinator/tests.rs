use skein_core::Millis;
use skein_core::capability::Power;

use super::*;

fn member(name: &str, id: u64, seat: SeatStatus, up: bool) -> Member {
    Member {
        node: NodeId(id),
        name: name.into(),
        seat,
        up,
        since: Some(Millis(1_795_478_400_000)),
        evicted: false,
        behind: None,
        flush_ms: Some(4),
        power: Power::Mains,
        zone: None,
    }
}

#[test]
fn a_lost_majority_is_told_with_names_times_and_what_to_do() {
    let status = CoordinatorStatus {
        mesh: None,
        by: NodeId(1),
        leader: None,
        term: 3,
        rules: Rules::default(),
        quorum: 2,
        voters_up: 1,
        quorum_holds: false,
        leaderless_since: None,
        members: vec![
            member("alpha", 1, SeatStatus::Voter, true),
            member("beta", 2, SeatStatus::Voter, false),
            member("gamma", 3, SeatStatus::Leader, false),
            member("delta", 4, SeatStatus::Learner, false),
        ],
        next: None,
        waiting: Vec::new(),
        given_up: None,
        recoveries: Vec::new(),
    };
    let words = lost_words(&status);
    let since = "(since 2026-11-24T00:00:00.000Z)";
    for part in [
        "2 of the coordinator's 3 voters must be up, and 1 is",
        &format!("beta {since}, gamma {since} cannot be reached, alpha can"),
        "skein coordinator recover",
    ] {
        assert!(words.contains(part), "'{part}' should be in: {words}");
    }
    assert!(!words.contains("delta"), "{words}");
}

#[test]
fn texts_name_nodes_as_people_do() {
    let names: Names = [(NodeId(2), "beta".to_owned()), (NodeId(4), "delta".to_owned())].into();
    let waiting = [
        Waiting::Due { voter: NodeId(2), at: Millis(1_795_478_400_000), by: Some(NodeId(4)) },
        Waiting::NobodyElse(NodeId(9)),
    ];
    let words = words(&waiting, &names);
    assert!(words[0].starts_with("delta takes the seat of beta at 2026-11-24T00:00:00.000Z"), "{words:?}");
    assert!(words[1].starts_with("0000000000000009 is to be replaced"), "{words:?}");
    assert_eq!(named(skein_core::seats::Why::Gone(NodeId(2)).to_string(), &names), "beta has been gone for too long");
}
