//! Disks that are full, and that forgot or garbled the end of what was written to them.

use std::path::PathBuf;

use skein_hil_tests::trial::Trial;
use skein_hil_tests::{disk, fault};

use crate::cast::cast;

/// Room for the agent's own files and the model, and not much more.
const DISK_BYTES: u64 = 16 << 20;

#[test]
fn the_disk_of_a_follower_is_full() {
    let name = "the disk of a follower is full";
    let Some(mut bed) = Trial::hosts(name, 3) else { return };
    bed.start();
    let small = bed.prepare();
    bed.give_disk(small, DISK_BYTES);
    bed.restart(small);
    bed.start();
    let mut trial = Trial::over(name, bed);
    assert_ne!(cast(&trial).leader, small, "the first agent leads");
    trial.work_at(&[0, 2]);
    trial.fails();
    disk::fill(&trial.bed.state_dir(small));
    // It ends, and says why: an agent that cannot write does not go on as if it could.
    trial.bed.wait_until_ended(small);
    assert!(trial.bed.logs().contains("no storage space"), "its log says why\n{}", trial.bed.logs());
    trial.wait_until_tasks_flow();
    trial.wait_until_written();
    disk::free(&trial.bed.state_dir(small));
    trial.bed.restart(small);
    trial.heals();
    trial.end();
}

/// Damages the end of a killed follower's store. It comes back or says what is wrong; the others lose nothing.
fn damage(name: &str, damage: impl FnOnce(&std::path::Path)) {
    let Some(mut trial) = Trial::mesh(name, 3) else { return };
    let cast = cast(&trial);
    trial.work_at(&[cast.other, cast.leader]);
    trial.fails();
    fault::kill(&mut trial.bed, cast.worker);
    let store: PathBuf = trial.bed.state_dir(cast.worker).join("coordinator/db");
    damage(&store);
    trial.wait_until_tasks_flow();
    trial.wait_until_written();
    trial.bed.restart(cast.worker);
    trial.heals();
    trial.end();
}

#[test]
fn the_last_write_of_a_follower_is_torn() {
    damage("the last write of a follower is torn", |store| fault::truncate(store, 100));
}

#[test]
fn the_last_write_of_a_follower_is_garbled() {
    damage("the last write of a follower is garbled", |store| fault::flip_bits(store, 100));
}
