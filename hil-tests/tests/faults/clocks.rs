//! A clock that jumps. The agent's own is faked, by the library of Debian's `faketime`; the machine's is left alone.

use std::fs;
use std::path::PathBuf;
use std::time::Duration;

use skein_hil_tests::trial::Trial;

use crate::cast::cast;

/// By how much stamps differ at least when a clock has jumped: nearly the hour, and more than a test takes.
const JUMP_SEEN: Duration = Duration::from_secs(3000);

/// The library, wherever the machine's architecture has it.
fn faker() -> Option<PathBuf> {
    let mut places = fs::read_dir("/usr/lib").ok()?.flatten();
    places.find_map(|place| Some(place.path().join("faketime/libfaketimeMT.so.1")).filter(|path| path.exists()))
}

#[test]
fn the_clock_of_the_leader_jumps_an_hour_and_back() {
    let name = "the clock of the leader jumps an hour and back";
    let Some(faker) = faker() else {
        println!("skipped: {name}: it needs `apt-get install faketime`");
        return;
    };
    let Some(mut bed) = Trial::hosts(name, 3) else { return };
    let shift = bed.path("shift");
    fs::write(&shift, "+0").unwrap();
    for _ in 0..3 {
        let number = bed.prepare();
        if number == 0 {
            let set = |name: &str, value: &std::path::Path| (name.into(), value.into());
            bed.agents[number].environment = vec![
                set("LD_PRELOAD", &faker),
                set("FAKETIME_TIMESTAMP_FILE", &shift),
                // It looks for a new shift once a second, and leaves the clock alone by which the system waits.
                set("FAKETIME_CACHE_DURATION", "1".as_ref()),
                set("FAKETIME_DONT_FAKE_MONOTONIC", "1".as_ref()),
            ];
        }
        bed.restart(number);
    }
    let mut trial = Trial::over(name, bed);
    let cast = cast(&trial);
    assert_eq!(cast.leader, 0, "the first agent leads");
    trial.work_at(&[cast.other, cast.worker]);
    trial.fails();
    for jump in ["+3600", "-3600", "+0"] {
        let before = trial.newest_event_at();
        fs::write(&shift, jump).unwrap();
        let has_jumped = || trial.newest_event_at().abs_diff(before) > JUMP_SEEN.as_millis().try_into().unwrap();
        trial.bed.wait("the leader stamps with the new time", has_jumped);
        trial.wait_until_tasks_flow();
        trial.wait_until_written();
    }
    trial.heals();
    trial.end();
}
