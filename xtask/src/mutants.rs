//! `cargo xtask mutants`: breaks one rule of the scheduler at a time, on a copy, and sees whether its rules and snapshots, or the
//! simulator, notice.

use std::path::Path;

use anyhow::{Context as _, Result, ensure};
use serde_json::json;

use crate::house::{self, House};

/// One broken rule.
struct Mutant {
    rule: &'static str,
    /// Below `coordinator/core/src`.
    file: &'static str,
    from: &'static str,
    to: &'static str,
}

const fn mutant(rule: &'static str, file: &'static str, from: &'static str, to: &'static str) -> Mutant {
    Mutant { rule, file, from, to }
}

/// What is broken: text that stands in its file once.
const MUTANTS: [Mutant; 22] = [
    mutant(
        "a worker fits its node in every dimension",
        "resources.rs",
        "&& self.memory_bytes <= node.memory_bytes",
        "",
    ),
    mutant("GPU memory is the device's", "resources.rs", " && self.gpu_memory_bytes <= device.gpu_memory_bytes", ""),
    mutant(
        "only lower priorities are preempted",
        "policy/preemptive.rs",
        "holder.spec.priority < session",
        "holder.spec.priority <= session",
    ),
    mutant(
        "a higher priority goes first",
        "policy/priority.rs",
        "PRIORITY_MAX.saturating_sub(session.spec.priority)",
        "session.spec.priority",
    ),
    mutant(
        "what is kept is not shared",
        "plan/feasible.rs",
        "their_hold.keeps_node() || (on_device && their_hold.keeps_device())",
        "their_hold.keeps_node()",
    ),
    mutant(
        "each worker of a bound session has its device",
        "plan/feasible.rs",
        "if on_device && *hold == Hold::EachDevice {",
        "if false {",
    ),
    mutant(
        "gpu-binding keeps off processors",
        "policy/gpu_binding.rs",
        "if place.device.kind == DeviceKind::Cpu {",
        "if false {",
    ),
    mutant(
        "the least work is lost",
        "plan/evict.rs",
        "priority, at_stake, worker",
        "priority, at_stake: Millis(0), worker",
    ),
    mutant("shares are by weight", "plan/share.rs", "/ u64::from(session.spec.share.max(1))", "/ 1"),
    mutant("what is idle is given back", "plan.rs", "    reconcile::give_back(cycle);\n", ""),
    mutant("who leaves goes when its time is over", "plan.rs", "    reconcile::end_leaving(cycle);\n", ""),
    mutant(
        "a drain's newest deadline counts",
        "apply/health.rs",
        "Duty::Leaving { why: Why::Drained, .. } => {}",
        "Duty::Leaving { until: earlier, why: Why::Drained } if *earlier <= until => return None,",
    ),
    mutant(
        "who leaves for nothing is called back",
        "plan/loaded.rs",
        "cycle.leaves_for_nothing(slot, why) && ",
        "false && cycle.leaves_for_nothing(slot, why) && ",
    ),
    mutant(
        "what others do not leave for a session is not kept for it",
        "plan/fixed.rs",
        "cycle.made_room_for(request.id, &request.session.reserved, number).min(wanted)",
        "wanted",
    ),
    mutant(
        "nobody leaves where the room would be kept for another",
        "plan/evict/others.rs",
        "let kept = kept.unwrap_or_default();",
        "let kept = Room::default();",
    ),
    mutant(
        "what is kept of what was lent is open to fixed workers",
        "plan/feasible.rs",
        "(is_lent || session.policy",
        "(false && is_lent || session.policy",
    ),
    mutant(
        "a device is as fast as it was measured itself",
        "plan/class.rs",
        "measured.chain([(speeds.map(",
        "measured.take(0).chain([(speeds.map(",
    ),
    mutant(
        "a place of one's own is kept while a worker is replaced",
        "apply/workers.rs",
        "if worker.serves() {",
        "if false {",
    ),
    mutant("a process starts when there is really room", "supervise.rs", "!self.has_room_for(local)", "false"),
    mutant(
        "a failed task goes elsewhere after its local tries",
        "dispatch/retry.rs",
        "Next::Elsewhere\n",
        "Next::Here\n",
    ),
    mutant("a task's retries end", "dispatch/retry.rs", "if failures >= self.tries() {", "if false {"),
    mutant("only the newest attempt may complete a task", "dispatch.rs", "self.attempt == attempt && ", ""),
];

/// A broken rule may make a test go on for ever, which notices it, too. Building and running takes about a minute.
const TEST_TIME_MAX_S: &str = "900";

pub(crate) fn run(house: &House, json: bool) -> Result<()> {
    let root = house.0.workspace_root.as_std_path();
    let copy = tempfile::tempdir()?;
    house::run(house.program("git", &["clone", "--quiet", path(root)?, path(copy.path())?]))?;
    let target = house.0.target_directory.join("mutants");
    let test = |package: &str| {
        let mut command =
            house.program("timeout", &[TEST_TIME_MAX_S, "cargo", "test", "--quiet", "--package", package, "--tests"]);
        command.current_dir(copy.path()).env("CARGO_TARGET_DIR", &target);
        house::works(command)
    };
    ensure!(
        test("skein-core") && test("skein-sim"),
        "the tests fail before anything is broken; commit what is to be tested"
    );
    let mut missed = 0;
    for Mutant { rule, file, from, to } in MUTANTS {
        let file = copy.path().join("coordinator/core/src").join(file);
        let whole = std::fs::read_to_string(&file).with_context(|| format!("cannot read {}", file.display()))?;
        ensure!(whole.matches(from).count() == 1, "{} does not have once: {from}", file.display());
        std::fs::write(&file, whole.replacen(from, to, 1))?;
        let (rules, simulator) = (!test("skein-core"), !test("skein-sim"));
        std::fs::write(&file, whole)?;
        let caught = rules || simulator;
        missed += usize::from(!caught);
        if json {
            println!(
                "{}",
                json!({ "test": "mutants", "metric": rule, "value": u8::from(caught), "unit": "caught", "goal": 1, "ok": caught, "rules": rules, "simulator": simulator })
            );
        } else {
            let word = |is: bool| if is { "noticed" } else { "-" };
            println!("{rule:<60} rules: {:<8} simulator: {}", word(rules), word(simulator));
        }
    }
    ensure!(missed == 0, "{missed} of {} broken rules were not noticed", MUTANTS.len());
    Ok(())
}

fn path(path: &Path) -> Result<&str> {
    path.to_str().context("a path that is no text")
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Whoever changes the scheduler hears of it here, and not only when the mutants are run.
    #[test]
    fn what_is_to_be_broken_stands_in_its_file_once() {
        let sources = Path::new(env!("CARGO_MANIFEST_DIR")).join("../coordinator/core/src");
        for Mutant { rule, file, from, .. } in MUTANTS {
            let text = std::fs::read_to_string(sources.join(file)).unwrap();
            assert_eq!(text.matches(from).count(), 1, "'{rule}' in {file}");
        }
    }
}
