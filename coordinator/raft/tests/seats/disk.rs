use std::time::{Duration, Instant};

use skein_core::command::{Command, Entry};
use skein_core::{MeshId, Millis, NodeId};
use skein_raft::{Seat, SeatConfig, SeatError, StoreError, Transport, TransportError};

use crate::world::{World, copy, has, join, named, until};

struct Nobody;

impl Transport for Nobody {
    async fn call(&self, _: NodeId, _: skein_raft::Call, _: Vec<u8>) -> Result<Vec<u8>, TransportError> {
        Err(TransportError("nobody is there".into()))
    }
}

async fn reopen(directory: &std::path::Path) -> Result<Seat, SeatError> {
    Seat::open(SeatConfig::new(directory, NodeId(1)), Nobody).await
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_acknowledged_is_in_the_files_at_that_moment() {
    let world = World::of(1).await;
    let seat = world.seat(1);
    for node in 50..60 {
        seat.propose(join(node)).await.unwrap().unwrap();
        let left = copy(world.directory(1));
        let again = reopen(left.path()).await.unwrap();
        until(&again, "itself leading", |role| role.is_leader).await;
        assert!(again.read(|state| has(state, node)), "entry {node}");
        again.close().await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_closed_seat_opens_again_with_term_vote_and_state() {
    let mut world = World::of(1).await;
    let mesh = Entry { at: Millis(1), command: Command::Found { mesh: MeshId(3) } };
    world.propose(mesh).await;
    let before = world.seat(1).role();
    for round in 0..10 {
        world.stop(1).await;
        let seat = world.start(1).await;
        assert_eq!(seat.read(|state| state.mesh), Some(MeshId(3)), "round {round}, before anybody leads");
        assert!(seat.is_member() && seat.role().term >= before.term);
        until(&seat, "itself leading", |role| role.is_leader).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_second_seat_on_the_directory_is_refused_soon_and_the_first_goes_on() {
    let world = World::of(1).await;
    let started = Instant::now();
    let error = world.try_open(1).await.unwrap_err();
    assert!(matches!(error, SeatError::Store(StoreError::InUse { .. })), "{error:?}");
    assert!(started.elapsed() < Duration::from_secs(10));
    world.propose(join(50)).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_unreadable_record_stops_the_start_and_says_which() {
    let world = World::of(1).await;
    for node in 50..55 {
        world.propose(join(node)).await;
    }
    world.stop(1).await;
    for table in ["log", "meta"] {
        let damaged = copy(world.directory(1));
        {
            let database = sled::open(damaged.path()).unwrap();
            let tree = database.open_tree(table).unwrap();
            let (key, value) = tree.last().unwrap().unwrap();
            let mut value = value.to_vec();
            *value.last_mut().unwrap() ^= 1;
            tree.insert(key, value).unwrap();
            tree.flush().unwrap();
        }
        let error = reopen(damaged.path()).await.unwrap_err();
        assert!(matches!(error, SeatError::Store(StoreError::Unreadable { .. })), "{error:?}");
        let said = error.to_string();
        assert!(said.contains(&format!("'{table}'")) && said.contains("checksum"), "{said}");
    }
    let newer = copy(world.directory(1));
    {
        let tree = sled::open(newer.path()).unwrap().open_tree("log").unwrap();
        let (key, value) = tree.last().unwrap().unwrap();
        let mut value = value.to_vec();
        value[0] = 3;
        tree.insert(key, value).unwrap();
        tree.flush().unwrap();
    }
    let said = reopen(newer.path()).await.unwrap_err().to_string();
    assert!(said.contains("it has version 3, and this agent reads version 2"), "{said}");
}

#[tokio::test(flavor = "multi_thread")]
async fn an_entry_over_the_bound_is_refused_and_costs_nothing() {
    let world = World::of(1).await;
    let huge = named(1, &"x".repeat(2_000_000));
    let error = world.seat(1).propose(huge).await.unwrap_err();
    assert!(matches!(error, skein_raft::ProposeError::TooLarge { .. }));
    world.propose(join(50)).await;
}
