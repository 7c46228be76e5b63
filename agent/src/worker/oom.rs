//! Whether the kernel killed a process because memory ran out.
//!
//! A process that is killed does not learn why, and neither does its parent: the signal is the same as an operator's. But
//! the kernel counts the processes that it kills for want of memory, for the agent's own control group (in which its workers
//! are) and for the whole system. A worker that is killed while that count rises was one of them.

use std::path::Path;
use std::sync::atomic::{AtomicU64, Ordering};

use rustix::process::Signal;

/// The kernel's count, as it was when it was last looked at, and the time before: a process may have been killed just before
/// the last look, and be missed just after it.
#[derive(Debug, Default)]
pub(super) struct OomCount {
    last: AtomicU64,
    before: AtomicU64,
}

impl OomCount {
    pub(super) fn new() -> Self {
        let now = kills(Path::new("/")).unwrap_or(0);
        Self { last: AtomicU64::new(now), before: AtomicU64::new(now) }
    }

    /// Looks again: kills from before the last look no longer explain anything.
    pub(super) fn refresh(&self) {
        let last = self.last.swap(kills(Path::new("/")).unwrap_or(0), Ordering::Relaxed);
        self.before.store(last, Ordering::Relaxed);
    }

    /// Whether a process that ended with this signal was killed for want of memory.
    pub(super) fn explains(&self, signal: Option<i32>) -> bool {
        let is_killed = signal == Some(Signal::KILL.as_raw());
        is_killed && kills(Path::new("/")).unwrap_or(0) > self.before.load(Ordering::Relaxed)
    }
}

/// How many processes the kernel has killed for want of memory: of this control group where it says so, else of all.
fn kills(root: &Path) -> Option<u64> {
    let read = |path: &str| std::fs::read_to_string(root.join(path)).ok();
    let group = read("proc/self/cgroup").and_then(|groups| {
        let path = groups.lines().find_map(|line| line.strip_prefix("0::/"))?.to_owned();
        counter(&read(&format!("sys/fs/cgroup/{path}/memory.events"))?)
    });
    group.or_else(|| counter(&read("proc/vmstat")?))
}

fn counter(text: &str) -> Option<u64> {
    text.lines().find_map(|line| line.strip_prefix("oom_kill ")?.trim().parse().ok())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn machine(files: &[(&str, &str)]) -> tempfile::TempDir {
        let root = tempfile::tempdir().unwrap();
        for (path, text) in files {
            let path = root.path().join(path);
            std::fs::create_dir_all(path.parent().unwrap()).unwrap();
            std::fs::write(path, text).unwrap();
        }
        root
    }

    #[test]
    fn the_count_of_the_own_control_group_goes_before_that_of_the_system() {
        let group = ("sys/fs/cgroup/skein/memory.events", "low 0\noom 3\noom_kill 2\n");
        let system = ("proc/vmstat", "nr_free_pages 5\noom_kill 7\n");
        let own = ("proc/self/cgroup", "0::/skein\n");
        assert_eq!(kills(machine(&[own, group, system]).path()), Some(2));
        assert_eq!(kills(machine(&[own, system]).path()), Some(7));
        assert_eq!(kills(machine(&[system]).path()), Some(7));
        assert_eq!(kills(machine(&[]).path()), None);
        assert_eq!(kills(machine(&[("proc/vmstat", "oom_kill many\n")]).path()), None);
    }

    #[test]
    fn only_a_kill_is_explained_and_only_by_a_count_that_rose() {
        let count = OomCount::new();
        assert!(!count.explains(Some(9)) && !count.explains(Some(11)) && !count.explains(None));
    }
}
