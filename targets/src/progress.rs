//! How far a run is: what it takes over from an earlier attempt, and what it leaves to a later one.

use std::fmt;

/// Handed to a run that may go on from a checkpoint and may write some. A target that has none leaves it alone.
pub struct Progress<'a> {
    /// The last checkpoint of an earlier attempt at the same task with the same model. One that the target does not understand
    /// is left alone: the run then begins anew.
    pub from: Option<&'a [u8]>,
    /// Takes a new checkpoint.
    pub keep: &'a mut dyn FnMut(&[u8]),
}

impl fmt::Debug for Progress<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Progress").field("from", &self.from.map(<[u8]>::len)).finish_non_exhaustive()
    }
}
