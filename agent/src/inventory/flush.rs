//! How long the disk takes to make a record safe: what a voter spends on every commit.

use std::io::{Seek, SeekFrom, Write};
use std::path::Path;
use std::time::{Duration, Instant};

use skein_core::capability::FLUSH_STEPS_MS;

/// As many flushes as tell a slow disk from one slow flush.
const FLUSHES: usize = 7;
/// No more time than this is spent on them: a poor card may take half a second for each.
const TIME_MAX: Duration = Duration::from_secs(2);
/// What is written each time: a page, as a small entry of the log makes dirty.
const RECORD_BYTES: usize = 4096;
/// The file it is measured with, in the state directory.
const FILE: &str = ".flush";

/// The step below which the directory's disk stays; none where it cannot be written. It blocks for as long as the disk takes.
pub fn measure(directory: &Path) -> Option<u16> {
    let path = directory.join(FILE);
    let times = flushes(&path);
    let _ = std::fs::remove_file(&path);
    Some(step(median(times.ok()?)?))
}

fn flushes(path: &Path) -> std::io::Result<Vec<Duration>> {
    let mut file = std::fs::File::create(path)?;
    // The first write makes the file longer, which costs more than the log's own writes do.
    file.write_all(&[0; RECORD_BYTES])?;
    file.sync_all()?;
    let begin = Instant::now();
    let mut times = Vec::new();
    while times.len() < FLUSHES && (times.is_empty() || begin.elapsed() < TIME_MAX) {
        file.seek(SeekFrom::Start(0))?;
        file.write_all(&[1; RECORD_BYTES])?;
        let flush = Instant::now();
        file.sync_data()?;
        times.push(flush.elapsed());
    }
    Ok(times)
}

fn median(mut times: Vec<Duration>) -> Option<Duration> {
    times.sort_unstable();
    times.get(times.len() / 2).copied()
}

fn step(time: Duration) -> u16 {
    let below = FLUSH_STEPS_MS.into_iter().find(|step| time < Duration::from_millis((*step).into()));
    below.unwrap_or(FLUSH_STEPS_MS[FLUSH_STEPS_MS.len() - 1])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_disk_is_measured_in_steps_and_nothing_is_left_behind() {
        let directory = tempfile::tempdir().unwrap();
        assert!(measure(directory.path()).is_some_and(|step| FLUSH_STEPS_MS.contains(&step)));
        assert_eq!(std::fs::read_dir(directory.path()).unwrap().count(), 0);
        assert_eq!(measure(&directory.path().join("missing")), None);
        let steps = [0, 999, 1_000, 3_999, 300_000, 9_000_000].map(|micros| step(Duration::from_micros(micros)));
        assert_eq!(steps, [1, 1, 4, 4, 1024, 1024]);
        assert_eq!(median([9, 1, 400].map(Duration::from_millis).to_vec()), Some(Duration::from_millis(9)));
    }
}
