//! Laws of the state and its planner, over sequences of commands: of a mesh at work, in which most of what is asked makes
//! sense, and of commands in which hardly anything does.

use std::cell::RefCell;
use std::collections::BTreeMap;

use proptest::prelude::*;
use proptest::test_runner::TestRunner;
use skein_core::plan::{CHANGES_MAX, Plan, Planner};
use skein_core::{Command, Entry, Event, Millis, State, apply, invariants, plan};

use crate::draw;
use driver::Driver;
use steps::Step;

mod driver;
mod looks;
mod steps;

/// The planner comes to rest within so many cycles when nothing else happens: a change may give somebody who had his turn
/// before a reason to move.
const ROUNDS_MAX: usize = 4;

fn config(cases: u32) -> ProptestConfig {
    ProptestConfig { failure_persistence: None, ..ProptestConfig::with_cases(cases) }
}

/// Runs a law over many meshes at work, each some while into its life, and counts in how many of them each thing happened.
fn over_meshes_at_work(
    cases: u32,
    law: impl Fn(&mut Driver, &[Step]) -> Result<(), TestCaseError>,
) -> BTreeMap<&'static str, u32> {
    let tally = RefCell::new(BTreeMap::new());
    let run = TestRunner::new(config(cases)).run(
        &(steps::mesh(), steps::sessions(), steps::steps()),
        |(nodes, sessions, steps)| {
            let mut driver = Driver::founded(nodes, sessions);
            law(&mut driver, &steps)?;
            for kind in driver.met {
                *tally.borrow_mut().entry(kind).or_default() += 1;
            }
            Ok(())
        },
    );
    run.unwrap_or_else(|failure| panic!("{failure}"));
    tally.into_inner()
}

fn is_sound(state: &State) -> Result<(), TestCaseError> {
    prop_assert_eq!(invariants::violations(state), Vec::<String>::new());
    Ok(())
}

/// A plan that was made on this state is taken as a whole.
fn carry_out(state: &mut State, at: Millis, plan: Plan) -> Result<(), TestCaseError> {
    let events = apply(state, &Entry { at, command: Command::Plan(plan) });
    let refused = |event: &Event| matches!(event, Event::ChangeRefused { .. });
    prop_assert!(!events.iter().flatten().any(refused), "{events:?}");
    is_sound(state)
}

/// What a mesh at work must have met in so many of a hundred cases, half of what was measured or less: a law over meshes in which
/// nothing happens says nothing.
const MET_PERCENT: [(&str, u32); 14] = [
    ("placed", 95),
    ("ready", 88),
    ("preempted", 15),
    ("reclaimed", 7),
    ("returned", 4),
    ("revived", 1),
    ("resized", 10),
    ("worker failed", 35),
    ("blocked", 7),
    ("drained", 9),
    ("quarantined", 7),
    ("node lost with workers", 10),
    ("task accepted", 45),
    ("task ended", 25),
];

#[test]
fn no_sequence_of_commands_breaks_a_mesh_at_work() {
    const CASES: u32 = 384;
    let tally = over_meshes_at_work(CASES, |driver, steps| {
        for step in steps {
            driver.take(step)?;
            is_sound(&driver.state)?;
        }
        looks::at_everything(&driver.state, driver.now);
        Ok(())
    });
    let percent = |kind: &str| tally.get(kind).copied().unwrap_or(0) * 100 / CASES;
    let rare = MET_PERCENT.iter().filter(|(kind, least)| percent(kind) < *least);
    let rare: Vec<String> = rare.map(|(kind, least)| format!("{kind}: {} % < {least} %", percent(kind))).collect();
    assert!(rare.is_empty(), "hardly ever met: {rare:?}; of {CASES} cases: {tally:?}");
}

#[test]
fn what_the_planner_plans_is_taken_and_comes_to_rest() {
    over_meshes_at_work(256, |driver, steps| {
        for step in steps {
            driver.take(step)?;
        }
        let (state, at) = (&mut driver.state, driver.now);
        for _ in 0..ROUNDS_MAX {
            let planned = plan(state, at);
            carry_out(state, at, planned)?;
        }
        prop_assert_eq!(plan(state, at), Plan::default());
        Ok(())
    });
}

#[test]
fn a_planner_that_followed_every_change_plans_as_one_that_begins() {
    over_meshes_at_work(128, |driver, steps| {
        let mut planner = Planner::default();
        for step in steps {
            driver.take(step)?;
            let planned = planner.plan(&driver.state, driver.now, CHANGES_MAX);
            prop_assert_eq!(&planned, &plan(&driver.state, driver.now));
        }
        Ok(())
    });
}

#[test]
fn small_plans_come_to_rest_as_well() {
    over_meshes_at_work(128, |driver, steps| {
        for step in steps {
            driver.take(step)?;
        }
        let (state, at) = (&mut driver.state, driver.now);
        for _ in 0..200 {
            let step = Planner::default().plan(state, at, 1);
            if step.is_empty() {
                break;
            }
            carry_out(state, at, step)?;
        }
        prop_assert_eq!(plan(state, at), Plan::default());
        Ok(())
    });
}

proptest! {
    #![proptest_config(config(256))]

    /// Also where nothing was founded, clocks jump, and nobody knows what he says.
    #[test]
    fn no_sequence_of_wild_commands_breaks_the_state(entries in prop::collection::vec(draw::an_entry(), 0..60)) {
        let (mut state, mut planner) = (State::default(), Planner::default());
        for entry in entries {
            let before = state.clone();
            if apply(&mut state, &entry).is_err() {
                prop_assert_eq!(&state, &before);
            }
            is_sound(&state)?;
            let planned = planner.plan(&state, entry.at, CHANGES_MAX);
            prop_assert_eq!(&planned, &plan(&state, entry.at));
            // Some plans are lost with their leader.
            if entry.at.0 % 3 > 0 {
                carry_out(&mut state, entry.at, planned)?;
            }
            looks::at_everything(&state, entry.at);
        }
    }
}
