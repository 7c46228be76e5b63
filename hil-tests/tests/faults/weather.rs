//! A network that loses, delays, doubles and turns over what it carries, or carries little.

use std::time::Duration;

use skein_hil_tests::bed::host;
use skein_hil_tests::relay::{Relay, Weather};
use skein_hil_tests::trial::Trial;

#[test]
fn thirty_percent_of_all_datagrams_are_lost() {
    let Some(mut trial) = Trial::mesh("30 % loss", 3) else { return };
    trial.work_lightly_at(&[0, 1, 2]);
    trial.fails();
    trial.bed.lan().lose(30);
    for _ in 0..10 {
        trial.wait_until_tasks_flow();
        trial.wait_until_written();
    }
    trial.bed.lan().heal();
    trial.heals();
    trial.end();
}

#[test]
fn datagrams_come_late_twice_in_another_order_or_not_at_all() {
    let name = "delay, loss, doubling and another order";
    let Some(mut bed) = Trial::hosts(name, 3) else { return };
    let weather = Weather {
        loss_percent: 5,
        double_percent: 10,
        delay: Duration::from_millis(5),
        jitter: Duration::from_millis(10),
        seed: 20_261_127,
    };
    let front = bed.lan().hosts();
    let listen = bed.lan().address(front).parse().expect("it is an address");
    let namespace = bed.lan().namespace(front);
    let mut relays = Vec::new();
    for number in 0..3 {
        bed.prepare();
        let relay = Relay::start(&namespace, listen, bed.agents[number].address, weather).expect("a relay starts");
        bed.agents[number].advertise = Some(relay.address);
        relays.push(relay);
        bed.restart(number);
    }
    let mut trial = Trial::over(name, bed);
    trial.work_lightly_at(&[0, 1, 2]);
    trial.fails();
    for _ in 0..3 {
        trial.wait_until_tasks_flow();
        trial.wait_until_written();
    }
    trial.heals();
    assert!(relays.iter().all(Relay::has_done_all), "each relay has lost and doubled: {relays:?}");
    trial.end();
}

#[test]
fn one_node_has_a_slow_link() {
    let Some(mut trial) = Trial::mesh("a link of 1 Mbit/s", 3) else { return };
    trial.work_lightly_at(&[0, 1, 2]);
    trial.fails();
    trial.bed.lan().slow(host(2), "1mbit");
    trial.wait_until_tasks_flow();
    trial.wait_until_written();
    trial.bed.lan().slow(host(2), "1gbit");
    trial.heals();
    trial.end();
}
