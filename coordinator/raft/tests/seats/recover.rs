use std::path::Path;

use skein_core::command::{Command, Entry};
use skein_core::{MeshId, Millis, NodeId};
use skein_raft::{RecoverError, Remains, Role, StoreError};

use crate::world::{World, has, join, until, until_state};

fn recovery(mesh: u64, by: u64) -> Entry {
    Entry { at: Millis(99), command: Command::Recover { mesh: MeshId(mesh), by: NodeId(by) } }
}

async fn open(directory: &Path, node: u64) -> Result<Remains, RecoverError> {
    Remains::open(directory, NodeId(node)).await
}

/// Three voters with some nodes in their state, all stopped but for their directories.
async fn lost_mesh(mut world: World) -> World {
    world.grow(3).await;
    world.propose(Entry { at: Millis(1), command: Command::Found { mesh: MeshId(7) } }).await;
    for node in (1..=3).chain(50..90) {
        world.propose(join(node)).await;
    }
    for node in 1..=3 {
        until_state(&world.seat(node), "everything", |state| has(state, 89)).await;
    }
    for node in 1..=3 {
        world.stop(node).await;
    }
    world
}

async fn goes_on_from(world: World, node: u64) {
    let mut world = lost_mesh(world).await;
    let remains = open(world.directory(node), node).await.unwrap();
    let about = remains.about().clone();
    assert_eq!(about.voters.len(), 3);
    assert!(about.index >= 43 && about.term >= 1 && about.last_at == Some(Millis(89)), "{about:?}");
    assert!(remains.read(|state| state.mesh == Some(MeshId(7)) && has(state, 89)));
    remains.go_on(recovery(8, node)).await.unwrap();

    let seat = world.start(node).await;
    let role = until(&seat, "itself leading", |role| role.is_leader).await;
    assert_eq!((role.voters.len(), role.learners.len()), (1, 0));
    assert!(role.term > about.term);
    assert!(seat.read(|state| state.mesh == Some(MeshId(8)) && has(state, 50) && has(state, 89)));
    world.propose(join(100)).await;

    // A newcomer gets all of it, by the snapshot, and can vote.
    seat.add_learner(NodeId(4)).await.unwrap();
    let fourth = world.start(4).await;
    until_state(&fourth, "the state", |state| has(state, 50) && has(state, 100)).await;
    until(&fourth, "its place", Role::is_member).await;
    world.kill(node).await;
    let seat = world.start(node).await;
    until(&seat, "itself leading again", |role| role.is_leader).await;
    assert!(seat.read(|state| has(state, 100)));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_mesh_goes_on_from_one_node() {
    goes_on_from(World::default(), 2).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_mesh_goes_on_from_a_snapshot_and_the_log_behind_it() {
    goes_on_from(World::with_short_logs(), 3).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn looking_changes_nothing_and_recovering_twice_is_no_harm() {
    let mut world = lost_mesh(World::default()).await;
    let first = open(world.directory(1), 1).await.unwrap().about().clone();
    let again = open(world.directory(1), 1).await.unwrap();
    assert_eq!(again.about(), &first);
    again.go_on(recovery(8, 1)).await.unwrap();
    let second = open(world.directory(1), 1).await.unwrap();
    assert_eq!((second.about().index, second.about().unsure), (first.index + 1, 0));
    second.go_on(recovery(9, 1)).await.unwrap();
    let seat = world.start(1).await;
    until(&seat, "itself leading", |role| role.is_leader).await;
    let past = seat.read(|state| state.seats.recoveries.iter().map(|past| past.from.0).collect::<Vec<_>>());
    assert_eq!(past, [7, 8]);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_in_use_or_empty_is_refused() {
    let world = World::of(1).await;
    let refused = open(world.directory(1), 1).await.unwrap_err();
    assert!(matches!(refused, RecoverError::Store(StoreError::InUse { .. })), "{refused}");
    let empty = tempfile::tempdir().unwrap();
    let refused = open(empty.path(), 1).await.unwrap_err();
    assert!(matches!(refused, RecoverError::Nothing(_)), "{refused}");
    assert_eq!(std::fs::read_dir(empty.path()).unwrap().count(), 0, "nothing was made there");
}
