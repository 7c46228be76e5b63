//! Which files `skein run` sends: those of its command line, or those whose names come on standard input.

use std::io::BufRead;
use std::path::{Path, PathBuf};
use std::thread;

use tokio::sync::mpsc;
use tokio::sync::mpsc::error::TryRecvError;

/// In place of files: their names come on standard input, a line each.
const STANDARD_INPUT: &str = "-";
/// Names that wait for their turn; whoever writes more of them waits, too.
const NAMES_MAX: usize = 64;

/// The files, in their order.
pub(super) struct Files {
    named: std::vec::IntoIter<PathBuf>,
    lines: Option<mpsc::Receiver<PathBuf>>,
}

impl Files {
    /// Of a command line.
    pub(super) fn of(files: Vec<PathBuf>) -> Self {
        if files != [Path::new(STANDARD_INPUT)] {
            return Self { named: files.into_iter(), lines: None };
        }
        let (sender, lines) = mpsc::channel(NAMES_MAX);
        // A thread of its own, for a read that waits for standard input cannot be called off: it ends with the process.
        thread::spawn(move || {
            for line in std::io::stdin().lock().lines().map_while(Result::ok).filter(|line| !line.is_empty()) {
                if sender.blocking_send(line.into()).is_err() {
                    return;
                }
            }
        });
        Self { named: Vec::new().into_iter(), lines: Some(lines) }
    }

    /// The next file that is known now.
    pub(super) fn known(&mut self) -> Option<PathBuf> {
        if let Some(file) = self.named.next() {
            return Some(file);
        }
        match self.lines.as_mut()?.try_recv() {
            Ok(file) => Some(file),
            Err(TryRecvError::Empty) => None,
            Err(TryRecvError::Disconnected) => {
                self.lines = None;
                None
            }
        }
    }

    /// The next file, as soon as there is one; none when there will be no more.
    pub(super) async fn next(&mut self) -> Option<PathBuf> {
        if let Some(file) = self.known() {
            return Some(file);
        }
        let next = self.lines.as_mut()?.recv().await;
        if next.is_none() {
            self.lines = None;
        }
        next
    }

    /// Whether all of them were given, as far as is known.
    pub(super) fn is_over(&self) -> bool {
        self.named.as_slice().is_empty() && self.lines.is_none()
    }
}
