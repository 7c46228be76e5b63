use skein_raft::{Call, SeatError, codec};

use crate::world::{World, join};

const CALLS: [Call; 3] = [Call::Append, Call::Vote, Call::InstallSnapshot];

#[tokio::test(flavor = "multi_thread")]
async fn garbage_is_an_error_and_the_seat_goes_on() {
    let world = World::of(1).await;
    let seat = world.seat(1);
    let mut random = fastrand::Rng::with_seed(3);
    for round in 0..600 {
        let body: Vec<u8> = std::iter::repeat_with(|| random.u8(..)).take(round).collect();
        for call in CALLS {
            assert!(matches!(seat.receive(call, &body).await, Err(SeatError::Garbage(_))), "{call:?} {body:?}");
        }
    }
    for deep in [0x81_u8, 0x9f, 0xa1, 0xbf] {
        for call in CALLS {
            assert!(seat.receive(call, &vec![deep; 1_000_000]).await.is_err());
        }
    }
    world.propose(join(50)).await;
    assert_eq!(seat.role().failure, None);
}

/// As openraft writes them; the field names are the wire's.
mod wire {
    use std::collections::BTreeMap;

    use serde::Serialize;

    #[derive(Clone, Serialize)]
    pub(super) struct Leader {
        pub(super) term: u64,
        pub(super) node_id: u64,
    }

    #[derive(Clone, Serialize)]
    pub(super) struct Vote {
        pub(super) leader_id: Leader,
        pub(super) committed: bool,
    }

    #[derive(Clone, Serialize)]
    pub(super) struct LogId {
        pub(super) leader_id: Leader,
        pub(super) index: u64,
    }

    #[derive(Serialize)]
    pub(super) struct Membership {
        pub(super) configs: Vec<Vec<u64>>,
        pub(super) nodes: BTreeMap<u64, BTreeMap<u8, u8>>,
    }

    #[derive(Serialize)]
    pub(super) struct StoredMembership {
        pub(super) log_id: Option<LogId>,
        pub(super) membership: Membership,
    }

    #[derive(Serialize)]
    pub(super) struct Meta {
        pub(super) last_log_id: Option<LogId>,
        pub(super) last_membership: StoredMembership,
        pub(super) snapshot_id: String,
    }

    #[derive(Serialize)]
    pub(super) struct Piece {
        pub(super) vote: Vote,
        pub(super) meta: Meta,
        pub(super) offset: u64,
        pub(super) data: skein_raft::codec::Bytes,
        pub(super) done: bool,
    }

    #[derive(Serialize)]
    pub(super) struct Entry {
        pub(super) log_id: LogId,
        pub(super) payload: &'static str,
    }

    #[derive(Serialize)]
    pub(super) struct Append {
        pub(super) vote: Vote,
        pub(super) prev_log_id: Option<LogId>,
        pub(super) entries: Vec<Entry>,
        pub(super) leader_commit: Option<LogId>,
    }
}

fn piece(offset: u64, data: Vec<u8>, done: bool) -> Vec<u8> {
    let leader = wire::Leader { term: 900, node_id: 9 };
    let log_id = wire::LogId { leader_id: leader.clone(), index: 4000 };
    let membership = wire::Membership { configs: vec![vec![9]], nodes: [(9, [].into())].into() };
    codec::encode(&wire::Piece {
        vote: wire::Vote { leader_id: leader, committed: true },
        meta: wire::Meta {
            last_log_id: Some(log_id.clone()),
            last_membership: wire::StoredMembership { log_id: Some(log_id), membership },
            snapshot_id: "evil".into(),
        },
        offset,
        data: codec::Bytes(data),
        done,
    })
}

#[tokio::test(flavor = "multi_thread")]
async fn a_well_formed_piece_of_a_senseless_snapshot_never_reaches_the_state() {
    let world = World::of(1).await;
    let seat = world.seat(1);
    world.propose(join(50)).await;
    let before = seat.read(Clone::clone);
    let far = seat.receive(Call::InstallSnapshot, &piece(1 << 60, vec![1], false)).await;
    assert!(far.is_ok(), "it is told to begin again: {far:?}");
    seat.receive(Call::InstallSnapshot, &piece(0, vec![0xff; 1000], false)).await.unwrap();
    let gap = seat.receive(Call::InstallSnapshot, &piece(5000, vec![1], true)).await;
    assert!(gap.is_ok(), "{gap:?}");
    let whole = seat.receive(Call::InstallSnapshot, &piece(1000, vec![0xff; 10], true)).await;
    assert!(matches!(whole, Err(SeatError::Garbage(_))), "{whole:?}");
    assert_eq!(seat.read(Clone::clone), before);
    world.propose(join(51)).await;
    assert_eq!(seat.role().failure, None);
}

#[tokio::test(flavor = "multi_thread")]
async fn entries_out_of_order_are_refused() {
    let world = World::of(1).await;
    let seat = world.seat(1);
    let leader = wire::Leader { term: 1, node_id: 9 };
    let log_id = |index| wire::LogId { leader_id: leader.clone(), index };
    for indexes in [[5, 7], [7, 6], [5, 5], [9, 10], [u64::MAX, 0]] {
        let body = codec::encode(&wire::Append {
            vote: wire::Vote { leader_id: wire::Leader { term: 900, node_id: 9 }, committed: true },
            prev_log_id: Some(log_id(4)),
            entries: indexes.map(|index| wire::Entry { log_id: log_id(index), payload: "Blank" }).into(),
            leader_commit: None,
        });
        let answer = seat.receive(Call::Append, &body).await;
        let Err(SeatError::Garbage(what)) = answer else { panic!("{indexes:?}: {answer:?}") };
        assert!(what.contains("follow one another"), "{what}");
    }
    world.propose(join(50)).await;
}
