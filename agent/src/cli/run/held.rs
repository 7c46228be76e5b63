//! Ends of durable tasks that came and are not shown yet.

use std::collections::BTreeSet;

use skein_core::Sequence;

use crate::cli::output::Output;
use crate::cli::run::row::{Names, Told};
use crate::client::DurableTasks;

/// So many are shown at once: half of what a gateway sends before it hears that something was fetched, so that more is always
/// on its way.
const PAGE: usize = 512;

/// What the mesh must keep on: a command that is ended before it has shown an answer has not fetched it.
#[derive(Debug, Default)]
pub(crate) struct Held {
    sequences: BTreeSet<Sequence>,
}

impl Held {
    /// Whether this end came before. It comes again where another agent takes the stream over.
    pub(crate) fn has(&self, sequence: Sequence) -> bool {
        self.sequences.contains(&sequence)
    }

    /// An end that was told, which is shown at once where it is a line of its own, and as part of a table otherwise.
    pub(crate) async fn take(
        &mut self,
        sequence: Sequence,
        tasks: &mut DurableTasks,
        told: &mut Told,
        names: &Names,
    ) -> anyhow::Result<()> {
        self.sequences.insert(sequence);
        if told.output == Output::Json || self.sequences.len() >= PAGE {
            self.show(tasks, told, names).await?;
        }
        Ok(())
    }

    /// Shows all of them; from here on the mesh need not keep them.
    pub(crate) async fn show(
        &mut self,
        tasks: &mut DurableTasks,
        told: &mut Told,
        names: &Names,
    ) -> anyhow::Result<()> {
        told.show(names)?;
        let shown: Vec<Sequence> = std::mem::take(&mut self.sequences).into_iter().collect();
        if !shown.is_empty() {
            tasks.fetched(&shown).await;
        }
        Ok(())
    }
}
