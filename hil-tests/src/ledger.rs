//! The account of one ordered stream: what was sent, what came back, and what is wrong about it.

use std::collections::{BTreeMap, BTreeSet};
use std::time::{Duration, Instant};

use serde_json::Value;

/// One task, as it was sent.
#[derive(Clone, Debug)]
pub struct Sent {
    /// The file, which no other task of the stream has.
    pub file: String,
    /// The answer that is right.
    pub right: &'static str,
    /// How many gateways the client had been at, as far as its results showed by then.
    pub gateways: u64,
}

/// One result, as it came.
#[derive(Clone, Debug)]
pub struct Came {
    /// When.
    pub at: Instant,
    /// What `skein run --json` printed.
    pub row: Value,
}

/// What became of the tasks of one stream. Everything but `sent` and `repeated` should be 0.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Account {
    /// Tasks.
    pub sent: usize,
    /// Without a result.
    pub lost: usize,
    /// Results for a task that had one.
    pub duplicates: usize,
    /// Results that came before one of an earlier task.
    pub out_of_order: usize,
    /// Tasks that ended without an answer.
    pub failed: usize,
    /// Tasks with another answer than the right one.
    pub wrong: usize,
    /// Tasks that were tried more than once.
    pub repeated: usize,
}

impl Account {
    /// Compares what was sent with what came.
    pub fn of(sent: &[Sent], came: &[Came], attempts_a_gateway: u64) -> Self {
        let mut account = Self { sent: sent.len(), ..Self::default() };
        let places: BTreeMap<&str, usize> = sent.iter().zip(0..).map(|(task, at)| (task.file.as_str(), at)).collect();
        let (mut seen, mut last) = (BTreeSet::new(), None);
        for row in came.iter().map(|came| &came.row) {
            let Some(at) = row["file"].as_str().and_then(|file| places.get(file)).copied() else {
                // An answer to what was never asked.
                account.wrong += 1;
                continue;
            };
            account.duplicates += usize::from(!seen.insert(at));
            account.out_of_order += usize::from(last.is_some_and(|last| at < last));
            last = last.max(Some(at));
            let task = &sent[at];
            match row["classes"][0]["label"].as_str() {
                None => account.failed += 1,
                Some(label) => account.wrong += usize::from(label != task.right),
            }
            // At each gateway a task's first attempt has the first of that gateway's numbers.
            let attempt = row["attempt"].as_u64().unwrap_or(1).saturating_sub(1);
            let moved = attempt / attempts_a_gateway >= task.gateways.max(1);
            account.repeated += usize::from(moved || attempt % attempts_a_gateway > 0);
        }
        account.lost = sent.len() - seen.len();
        account
    }

    /// Whether every task has one right answer, in order.
    pub fn balances(&self) -> bool {
        *self == Self { sent: self.sent, repeated: self.repeated, ..Self::default() }
    }
}

/// The longest silence between two results that any of the time between these two moments falls in.
pub fn longest_gap(came: &[Came], from: Instant, until: Instant) -> Duration {
    let pairs = came.windows(2).map(|pair| (pair[0].at, pair[1].at));
    let touched = pairs.filter(|(before, after)| *after >= from && *before <= until);
    touched.map(|(before, after)| after - before).max().unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    /// As many attempts as a gateway has in these tests.
    const ATTEMPTS: u64 = 100;

    fn sent(count: usize) -> Vec<Sent> {
        (0..count).map(|number| Sent { file: number.to_string(), right: "red", gateways: 1 }).collect()
    }

    fn row(number: usize, label: &str, attempt: u64) -> Came {
        let row = json!({ "file": number.to_string(), "classes": [{ "label": label }], "attempt": attempt });
        Came { at: Instant::now(), row }
    }

    fn account(came: &[Came]) -> Account {
        Account::of(&sent(3), came, ATTEMPTS)
    }

    #[test]
    fn a_stream_in_order_balances_and_second_tries_are_counted() {
        let came = [row(0, "red", 1), row(1, "red", 2), row(2, "red", 101)];
        let account = account(&came);
        assert!(account.balances());
        assert_eq!(account.repeated, 2);
        // A task that was first sent to the second gateway was not repeated by coming from there.
        let mut sent = sent(3);
        sent[2].gateways = 2;
        assert_eq!(Account::of(&sent, &came, ATTEMPTS).repeated, 1);
    }

    #[test]
    fn each_planted_violation_is_counted() {
        let good = [row(0, "red", 1), row(1, "red", 1), row(2, "red", 1)];
        let none = account(&good);
        assert!(none.balances());
        assert_eq!(account(&good[..2]), Account { lost: 1, ..none });
        let twice = [good.to_vec(), vec![row(2, "red", 1)]].concat();
        assert_eq!(account(&twice), Account { duplicates: 1, ..none });
        let turned = [good[1].clone(), good[0].clone(), good[2].clone()];
        assert_eq!(account(&turned), Account { out_of_order: 1, ..none });
        let wrong = [good[0].clone(), row(1, "blue", 1), good[2].clone()];
        assert_eq!(account(&wrong), Account { wrong: 1, ..none });
        let mut failed = good.clone();
        failed[1].row = json!({ "file": "1", "error": "why", "attempt": 1 });
        assert_eq!(account(&failed), Account { failed: 1, ..none });
        let strange = [good.to_vec(), vec![row(9, "red", 1)]].concat();
        assert_eq!(account(&strange), Account { wrong: 1, ..none });
        for came in [&good[..2], &twice[..], &turned, &wrong, &failed, &strange] {
            assert!(!account(came).balances());
        }
    }

    #[test]
    fn the_gap_is_the_longest_that_touches_the_fault() {
        let start = Instant::now();
        let at = |ms: u64| start + Duration::from_millis(ms);
        let came: Vec<Came> =
            [0, 500, 510, 600, 900, 2900].map(|ms| Came { at: at(ms), row: Value::Null }).into_iter().collect();
        assert_eq!(longest_gap(&came, at(505), at(800)), Duration::from_millis(300));
        assert_eq!(longest_gap(&came, at(505), at(1000)), Duration::from_millis(2000));
        assert_eq!(longest_gap(&[], at(0), at(1)), Duration::ZERO);
    }
}
