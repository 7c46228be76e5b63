//! What worker processes use, by the kernel's account.

use std::collections::HashMap;
use std::path::Path;
use std::time::Instant;

use skein_core::WorkerId;
use skein_core::adapt::Usage;

/// Ticks of a second in which the kernel tells times to programs: the same on every Linux that this runs on.
const TICKS_A_SECOND: u64 = 100;

/// Reads what processes use, and remembers what they had used before: the kernel tells totals.
#[derive(Debug, Default)]
pub struct Meter {
    last: HashMap<WorkerId, Reading>,
}

#[derive(Clone, Copy, Debug)]
struct Reading {
    pid: u32,
    at: Instant,
    ticks: u64,
}

impl Meter {
    /// What each process used since it was last read here; one that is new here is told of the next time.
    pub fn read(&mut self, processes: &[(WorkerId, u32)]) -> Vec<(WorkerId, Usage)> {
        let last = std::mem::take(&mut self.last);
        let mut read = Vec::new();
        for (worker, pid) in processes {
            let Some((ticks, memory_bytes)) = of_process(Path::new("/"), *pid) else { continue };
            let now = Reading { pid: *pid, at: Instant::now(), ticks };
            if let Some(before) = last.get(worker).filter(|before| before.pid == *pid) {
                let cpu_millicores = now.millicores_since(*before);
                read.push((*worker, Usage { cpu_millicores, memory_bytes, ..Usage::default() }));
            }
            self.last.insert(*worker, now);
        }
        read
    }
}

impl Reading {
    fn millicores_since(self, before: Self) -> u64 {
        let millis = u64::try_from(self.at.duration_since(before.at).as_millis()).unwrap_or(u64::MAX);
        let busy_millis = self.ticks.saturating_sub(before.ticks).saturating_mul(1000 / TICKS_A_SECOND);
        busy_millis.saturating_mul(1000).checked_div(millis).unwrap_or(0)
    }
}

/// Processor time in ticks and memory in bytes.
fn of_process(root: &Path, pid: u32) -> Option<(u64, u64)> {
    let read = |file: &str| std::fs::read_to_string(root.join(format!("proc/{pid}/{file}"))).ok();
    // Pages that it shares with others, such as the program's own, count in part. Old kernels do not tell that.
    let proportional = read("smaps_rollup").and_then(|rollup| kibibytes(&rollup, "Pss:"));
    let memory = proportional.or_else(|| kibibytes(&read("status")?, "VmRSS:"))?;
    Some((ticks(&read("stat")?)?, memory))
}

/// The name of a program may hold blanks and brackets, so fields are counted from its last bracket: user time is the twelfth
/// after it, system time the next.
fn ticks(stat: &str) -> Option<u64> {
    let (_, fields) = stat.rsplit_once(')')?;
    let mut fields = fields.split_ascii_whitespace().skip(11);
    let user: u64 = fields.next()?.parse().ok()?;
    let system: u64 = fields.next()?.parse().ok()?;
    Some(user.saturating_add(system))
}

/// An amount in bytes that the kernel gives in kB.
fn kibibytes(text: &str, name: &str) -> Option<u64> {
    let amount = text.lines().find_map(|line| line.strip_prefix(name))?;
    let kibibytes: u64 = amount.trim().strip_suffix("kB")?.trim().parse().ok()?;
    Some(kibibytes << 10)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;

    #[test]
    fn what_the_kernel_writes_is_read() {
        let stat = "77 (a ) name) S 1 77 77 0 -1 4194560 9 0 0 0 1200 34 0 0 20 0 4 0 100 1 2 3";
        assert_eq!(ticks(stat), Some(1234));
        assert_eq!(ticks("77 (short) S 1"), None);
        let rollup = "55d0-7ffe ---p 00000000 00:00 0  [rollup]\nRss:    4096 kB\nPss:     1024 kB\nPss_Dirty:  8 kB\n";
        assert_eq!(kibibytes(rollup, "Pss:"), Some(1 << 20));
        assert_eq!(kibibytes("Name:\tskein\nVmRSS:\t   2048 kB\n", "VmRSS:"), Some(2 << 20));
        assert_eq!(kibibytes("Name:\tzombie\n", "VmRSS:"), None);
        assert_eq!(kibibytes("VmRSS:\tlots kB\n", "VmRSS:"), None);
    }

    #[test]
    fn time_on_the_processor_is_told_in_millicores() {
        let begin = Instant::now();
        let before = Reading { pid: 1, at: begin, ticks: 1_000 };
        let after = Reading { pid: 1, at: begin + Duration::from_secs(5), ticks: 1_750 };
        assert_eq!(after.millicores_since(before), 1_500);
        assert_eq!(before.millicores_since(before), 0);
    }

    #[test]
    fn a_process_is_told_of_from_its_second_reading_on() {
        let mut meter = Meter::default();
        let own = [(WorkerId(1), std::process::id())];
        assert_eq!(meter.read(&own), []);
        let read = meter.read(&own);
        assert!(matches!(&read[..], [(WorkerId(1), usage)] if usage.memory_bytes > 0), "{read:?}");
        assert_eq!(meter.read(&[]), []);
        assert_eq!(meter.read(&own), [], "it was away");
    }
}
