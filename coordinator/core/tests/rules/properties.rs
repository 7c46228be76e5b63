//! Laws of single functions, over whatever proptest comes up with.

use std::collections::BTreeSet;

use proptest::prelude::*;
use skein_core::dispatch::ended::Ended;
use skein_core::dispatch::reorder::Reorder;
use skein_core::model::{ModelQuery, is_name};
use skein_core::session::Failure;
use skein_core::{MeshId, Millis, NodeId, Sequence, SessionId, StreamId, WorkerId};

use crate::draw::resources;

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn an_ordered_stream_gives_out_every_number_once_and_in_order(
        first in any::<u32>(),
        order in (1..40_usize).prop_flat_map(|count| Just((0..count).collect::<Vec<_>>()).prop_shuffle()),
    ) {
        let first = u64::from(first);
        let mut reorder = Reorder::ordered(Sequence(first));
        let mut given_out = Vec::new();
        for (before, number) in order.iter().enumerate() {
            let sequence = Sequence(first + *number as u64);
            prop_assert!(!reorder.is_past(sequence));
            reorder.insert(sequence, sequence.0 - first);
            prop_assert!(reorder.is_past(sequence));
            given_out.extend(std::iter::from_fn(|| reorder.take_next()));
            prop_assert_eq!(reorder.held() + given_out.len(), before + 1);
        }
        prop_assert_eq!(given_out, (0..order.len() as u64).collect::<Vec<_>>());
        prop_assert_eq!(reorder.held(), 0);
    }

    #[test]
    fn ended_knows_what_ended(first in 0..20_u64, numbers in prop::collection::vec(0..60_u64, 0..80)) {
        let mut ended = Ended::before(Sequence(first));
        let mut expected: BTreeSet<u64> = (0..first).collect();
        for number in numbers {
            ended.insert(Sequence(number));
            expected.insert(number);
            for asked in 0..65 {
                prop_assert_eq!(ended.contains(Sequence(asked)), expected.contains(&asked), "{}", asked);
            }
        }
    }

    #[test]
    fn ids_are_read_as_they_are_written(number in any::<u64>(), text in ".{0,20}") {
        prop_assert_eq!(NodeId(number).to_string().parse(), Ok(NodeId(number)));
        prop_assert_eq!(MeshId(number).to_string().parse(), Ok(MeshId(number)));
        prop_assert_eq!(StreamId(number).to_string().parse(), Ok(StreamId(number)));
        prop_assert_eq!(SessionId(number).to_string().parse(), Ok(SessionId(number)));
        prop_assert_eq!(WorkerId(number).to_string().parse(), Ok(WorkerId(number)));
        // Whatever else somebody types is an id or an error.
        let _ = (text.parse::<NodeId>(), text.parse::<SessionId>());
    }

    #[test]
    fn model_queries_are_read_as_they_are_written(
        name in "[a-zA-Z0-9][a-zA-Z0-9._-]{0,63}",
        version in any::<Option<u32>>(),
    ) {
        let query = ModelQuery { name, version };
        prop_assert_eq!(query.to_string().parse(), Ok(query));
    }

    #[test]
    fn no_model_query_has_a_name_that_is_none(text in "([a-z@.-]|.){0,12}") {
        if let Ok(query) = text.parse::<ModelQuery>() {
            prop_assert!(is_name(&query.name));
            prop_assert_eq!(text.contains('@'), query.version.is_some());
        }
    }

    #[test]
    fn a_hold_off_is_never_shorter_than_the_first_nor_endless(times in any::<u32>(), at in 0..u64::MAX / 2) {
        let failure = Failure { times, at: Millis(at), reason: String::new() };
        let length = failure.until().since(failure.at).0;
        prop_assert!((5_000..=320_000).contains(&length));
        prop_assert!(failure.holds(failure.at) && !failure.holds(failure.until()));
    }

    #[test]
    fn resources_that_fit_leave_what_they_do_not_take(room in resources(), need in resources()) {
        match need.first_excess(&room) {
            None => prop_assert_eq!(room.minus(&need).plus(&need), room),
            Some((_, asked, left)) => prop_assert!(asked > left),
        }
    }
}

#[test]
fn ended_keeps_a_bounded_number_of_gaps() {
    let mut ended = Ended::before(Sequence(0));
    for number in (0..10_000).map(|number| number * 2) {
        ended.insert(Sequence(number));
    }
    // The oldest gaps were closed: what is in them counts as ended. The newest are still open.
    assert!(ended.contains(Sequence(1)) && !ended.contains(Sequence(19_997)));
}

#[test]
fn a_model_query_says_what_is_wrong() {
    let wrong = |text: &str| text.parse::<ModelQuery>().unwrap_err();
    assert_eq!(wrong("cats@"), "the version after '@' must be a number, as in cats@2");
    assert_eq!(wrong("cats@1@2"), "the version after '@' must be a number, as in cats@2");
    assert!(wrong("").starts_with("a name has 1 to 64 letters"));
    assert!(wrong("@1").starts_with("a name has"));
    assert!(wrong(&"c".repeat(65)).starts_with("a name has"));
}
