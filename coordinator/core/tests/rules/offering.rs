//! A node offers less while it is hot or others use its memory, and does not flap.

use proptest::prelude::*;
use skein_core::capability::Heat;
use skein_core::offering::{COOL_FOR, HOT_FOR, Load, MEMORY_BACK_AFTER, Offering};
use skein_core::{Millis, Resources};

use crate::mesh::cores;

const GIB: u64 = 1 << 30;

fn load(heat: Heat, available: u64) -> Load {
    Load { heat, memory_available: Some(available), memory_of_workers: 0, memory_planned: 0 }
}

fn at_ease() -> Load {
    load(Heat::Cool, 64 * GIB)
}

#[test]
fn a_node_that_stays_hot_offers_a_quarter_less_and_again_a_quarter_and_never_nothing() {
    let mut offering = Offering::new(cores(8));
    let mut cpu = |at: u64, heat| offering.look(Millis(at), load(heat, 64 * GIB)).cpu_millicores;
    assert_eq!(cpu(0, Heat::Hot), 8_000);
    assert_eq!(cpu(HOT_FOR.0 - 1, Heat::Hot), 8_000);
    assert_eq!(cpu(HOT_FOR.0, Heat::Hot), 6_000);
    assert_eq!(cpu(HOT_FOR.0 + 1, Heat::Hot), 6_000);
    assert_eq!(cpu(2 * HOT_FOR.0, Heat::Hot), 4_000);
    assert_eq!(cpu(3 * HOT_FOR.0, Heat::Hot), 2_000);
    assert_eq!(cpu(9 * HOT_FOR.0, Heat::Hot), 2_000);
    // It gets them back one by one, and only when it has been cooler for long.
    let cool = 10 * HOT_FOR.0;
    assert_eq!(cpu(cool, Heat::Warm), 2_000);
    assert_eq!(cpu(cool + COOL_FOR.0, Heat::Warm), 4_000);
    assert_eq!(cpu(cool + COOL_FOR.0 + 1, Heat::Hot), 4_000, "that began anew");
    assert_eq!(cpu(cool + COOL_FOR.0 + 2, Heat::Cool), 4_000);
}

#[test]
fn cores_that_were_switched_off_are_not_offered_and_heat_takes_its_part_of_the_rest() {
    let mut offering = Offering::new(cores(6));
    offering.look(Millis(0), load(Heat::Hot, 64 * GIB));
    assert_eq!(offering.look(HOT_FOR, load(Heat::Hot, 64 * GIB)).cpu_millicores, 4_500);
    offering.restate(cores(4));
    assert_eq!(offering.look(HOT_FOR, load(Heat::Hot, 64 * GIB)).cpu_millicores, 3_000);
}

#[test]
fn a_peak_takes_nothing() {
    let mut offering = Offering::new(cores(8));
    for at in 0..100 {
        let heat = if at % 2 == 0 { Heat::Hot } else { Heat::Warm };
        assert_eq!(offering.look(Millis(at * (HOT_FOR.0 - 1)), load(heat, 64 * GIB)), cores(8));
    }
}

#[test]
fn memory_that_others_use_is_not_offered_and_that_of_our_workers_is() {
    let mut offering = Offering::new(cores(16));
    let mut memory = |at: u64, available: u64, of_workers: u64| {
        let load = Load {
            heat: Heat::Cool,
            memory_available: Some(available),
            memory_of_workers: of_workers,
            memory_planned: 0,
        };
        offering.look(Millis(at), load).memory_bytes / GIB
    };
    assert_eq!(memory(0, 20 * GIB, 0), 16);
    assert_eq!(memory(1, 6 * GIB, 12 * GIB), 16, "what its own workers use is theirs");
    assert_eq!(memory(2, 6 * GIB + 5, 0), 6);
    assert_eq!(memory(3, 9 * GIB, 0), 6, "it may be gone again in a moment");
    assert_eq!(memory(4, 5 * GIB, 0), 5);
    assert_eq!(memory(5, 9 * GIB, 0), 5);
    assert_eq!(memory(5 + MEMORY_BACK_AFTER.0, 9 * GIB, 0), 9);
    assert_eq!(memory(6 + MEMORY_BACK_AFTER.0, 0, 0), 0);
}

#[test]
fn what_workers_were_promised_they_keep() {
    let mut offering = Offering::new(cores(16));
    let load = Load { memory_planned: 4 * GIB, ..load(Heat::Cool, GIB) };
    assert_eq!(offering.look(Millis(0), load).memory_bytes, 4 * GIB);
    let load = Load { memory_planned: 99 * GIB, ..load };
    assert_eq!(offering.look(Millis(1), load).memory_bytes, 16 * GIB, "and no more than there is");
}

#[test]
fn a_machine_that_does_not_say_what_memory_it_has_offers_all() {
    let mut offering = Offering::new(cores(4));
    let load = Load { memory_available: None, ..at_ease() };
    assert_eq!(offering.look(Millis(0), load), cores(4));
}

proptest! {
    #[test]
    fn it_never_offers_more_than_there_is_nor_memory_that_is_not_there(
        looks in prop::collection::vec((any::<u16>(), 0..3_u8, 0..40_u64), 1..60),
        cpu in 0..100_000_u64,
    ) {
        let full = Resources { cpu_millicores: cpu, named: [("camera".into(), 2)].into(), ..cores(16) };
        let (mut offering, mut now) = (Offering::new(full.clone()), 0);
        for (passed, heat, available) in looks {
            now += u64::from(passed);
            let heat = [Heat::Cool, Heat::Warm, Heat::Hot][usize::from(heat)];
            let offers = offering.look(Millis(now), load(heat, available * GIB));
            prop_assert!(offers.fits(&full) && offers.memory_bytes <= available * GIB);
            prop_assert!(offers.cpu_millicores >= cpu / 4);
            prop_assert_eq!(&offers.named, &full.named);
        }
    }
}
