//! Who is who in a mesh of three.

use skein_hil_tests::probe;
use skein_hil_tests::trial::Trial;

/// The agents of a mesh of three, by their numbers.
pub(crate) struct Cast {
    /// Who leads; it may have a worker, too.
    pub(crate) leader: usize,
    /// A follower that has a worker.
    pub(crate) worker: usize,
    /// The third.
    pub(crate) other: usize,
}

/// Gives out the parts.
pub(crate) fn cast(trial: &Trial) -> Cast {
    let leader = probe::leader(&trial.bed).expect("the mesh is whole");
    let nodes = probe::ready_nodes(&trial.bed, &trial.session);
    let workers = nodes.iter().map(|name| probe::number_of(&trial.bed, name));
    let worker = workers.into_iter().find(|number| *number != leader).expect("the two workers stand on two nodes");
    let other = (0..3).find(|number| *number != leader && *number != worker).expect("there are three");
    Cast { leader, worker, other }
}
