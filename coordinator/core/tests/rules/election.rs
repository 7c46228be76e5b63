//! Voters with a toy Raft that votes once a term, over links that delay and lose, on machines that stop and restart.

#![allow(clippy::unwrap_used, reason = "a test may stop at the first surprise")]

use std::collections::{BTreeMap, BTreeSet};

use skein_core::election::{Action, Ask, Beat, BeatAnswer, Election, LogEnd, Release, View};
use skein_core::{Millis, NodeId};

struct Chance(u64);

impl Chance {
    fn below(&mut self, most: u64) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0 % most.max(1)
    }
}

#[derive(Clone, Debug)]
enum Message {
    Beat { sent: u64, beat: Beat },
    BeatAnswer { sent: u64, beat: Beat, answer: BeatAnswer },
    Ask { round: u64, ask: Ask },
    AskAnswer { round: u64, would: bool },
    Vote { term: u64, release: Option<Release> },
    VoteAnswer { term: u64, granted: bool },
    TakeOver(Release),
    Probe { term: u64 },
}

struct Voter {
    election: Election,
    /// Who has its vote in which term: this survives a restart.
    vote: (u64, u64),
    leads: bool,
    yes: BTreeSet<u64>,
    paused_until: u64,
    /// Came while it was paused.
    held: Vec<(u64, Message)>,
}

struct World {
    now: u64,
    chance: Chance,
    voters: BTreeMap<u64, Voter>,
    under_way: BTreeMap<(u64, u64), (u64, u64, Message)>,
    sent: u64,
    delay_max: u64,
    loss_percent: u64,
    cut: BTreeSet<u64>,
    elections: u64,
    /// A planted fault: voters forget what they promised.
    forgetful: bool,
}

impl World {
    fn of(count: u64, seed: u64) -> Self {
        let voter = |node| Voter {
            election: Election::new(Millis(0), NodeId(node), true, seed ^ (node << 32)),
            vote: (0, 0),
            leads: false,
            yes: BTreeSet::new(),
            paused_until: 0,
            held: vec![],
        };
        Self {
            now: 0,
            chance: Chance(seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1),
            voters: (1..=count).map(|node| (node, voter(node))).collect(),
            under_way: BTreeMap::new(),
            sent: 0,
            delay_max: 3,
            loss_percent: 0,
            cut: BTreeSet::new(),
            elections: 0,
            forgetful: false,
        }
    }

    fn send(&mut self, from: u64, to: u64, message: Message) {
        let is_lost = self.chance.below(100) < self.loss_percent;
        if is_lost || self.cut.contains(&from) || self.cut.contains(&to) {
            return;
        }
        self.sent += 1;
        let at = self.now + 1 + self.chance.below(self.delay_max);
        self.under_way.insert((at, self.sent), (from, to, message));
    }

    fn send_all(&mut self, from: u64, message: &Message) {
        let others: Vec<u64> = self.voters.keys().copied().filter(|to| *to != from).collect();
        for to in others {
            self.send(from, to, message.clone());
        }
    }

    fn view(&self, node: u64) -> View {
        let voter = &self.voters[&node];
        let voters = vec![self.voters.keys().copied().map(NodeId).collect()];
        View { term: voter.vote.0, leads: voter.leads, voters, log: LogEnd::default(), ..View::default() }
    }

    fn look(&mut self, node: u64) {
        let (now, view) = (Millis(self.now), self.view(node));
        self.election(node).on_view(now, view);
    }

    fn election(&mut self, node: u64) -> &mut Election {
        &mut self.voters.get_mut(&node).unwrap().election
    }

    fn raft_vote(&mut self, node: u64, candidate: u64, term: u64) -> bool {
        let voter = self.voters.get_mut(&node).unwrap();
        if (term, candidate) > voter.vote && term > voter.vote.0 {
            (voter.vote, voter.leads) = ((term, candidate), false);
        }
        voter.vote == (term, candidate)
    }

    fn run(&mut self, length: u64) {
        for _ in 0..length {
            self.now += 1;
            let due: Vec<_> = self.under_way.extract_if(..=(self.now, u64::MAX), |_, _| true).collect();
            for (_, (from, to, message)) in due {
                self.receive(from, to, message);
            }
            let awake: Vec<u64> =
                self.voters.iter().filter(|(_, voter)| voter.paused_until <= self.now).map(|(node, _)| *node).collect();
            for node in awake {
                for (from, message) in std::mem::take(&mut self.voters.get_mut(&node).unwrap().held) {
                    self.receive(from, node, message);
                }
                self.act(node);
            }
            let sure = self.sure();
            assert!(sure.len() <= 1, "at {}: {sure:?} are sure at once", self.now);
        }
    }

    fn sure(&self) -> Vec<u64> {
        let is_sure = |voter: &Voter| voter.election.sure_until().is_some_and(|(_, until)| until >= Millis(self.now));
        self.voters.iter().filter(|(_, voter)| is_sure(voter)).map(|(node, _)| *node).collect()
    }

    fn act(&mut self, node: u64) {
        self.look(node);
        let now = Millis(self.now);
        while let Some(action) = self.election(node).next_action(now) {
            match action {
                Action::Beat(beat) => self.send_all(node, &Message::Beat { sent: now.0, beat }),
                Action::Ask(round, ask) => self.send_all(node, &Message::Ask { round, ask }),
                Action::Stand(ticket, release) => {
                    let term = self.voters[&node].vote.0 + 1;
                    self.raft_vote(node, node, term);
                    self.elections += 1;
                    let alone = self.voters.len() == 1;
                    let voter = self.voters.get_mut(&node).unwrap();
                    (voter.yes, voter.leads) = (BTreeSet::from([node]), alone);
                    self.election(node).stood(ticket, term);
                    self.send_all(node, &Message::Vote { term, release });
                }
                Action::Probe => {
                    let term = self.voters[&node].vote.0;
                    self.send_all(node, &Message::Probe { term });
                }
            }
            self.look(node);
        }
    }

    fn receive(&mut self, from: u64, to: u64, message: Message) {
        let now = Millis(self.now);
        if self.voters[&to].paused_until > self.now {
            self.voters.get_mut(&to).unwrap().held.push((from, message));
            return;
        }
        match message {
            Message::Beat { sent, beat } => {
                let answer = self.election(to).on_beat(now, beat);
                if self.forgetful {
                    *self.election(to) = Election::new(now, NodeId(to), true, now.0 ^ to);
                    self.look(to);
                }
                self.send(to, from, Message::BeatAnswer { sent, beat, answer });
            }
            Message::BeatAnswer { sent, beat, answer } => {
                self.election(to).on_beat_answer(now, NodeId(from), Millis(sent), beat, answer);
            }
            Message::Ask { round, ask } => {
                let would = self.election(to).on_ask(now, ask);
                self.send(to, from, Message::AskAnswer { round, would });
            }
            Message::AskAnswer { round, would } => self.election(to).on_ask_answer(now, NodeId(from), round, would),
            Message::Vote { term, release } => {
                let Some(ticket) = self.election(to).may_vote(now, NodeId(from), term, release) else { return };
                let granted = self.raft_vote(to, from, term);
                let mine = self.voters[&to].vote.0;
                self.election(to).voted(now, ticket, mine, granted);
                self.look(to);
                self.send(to, from, Message::VoteAnswer { term: if granted { term } else { mine }, granted });
            }
            Message::VoteAnswer { term, granted } => {
                let majority = self.voters.len() / 2;
                let voter = self.voters.get_mut(&to).unwrap();
                if granted && voter.vote == (term, to) {
                    voter.yes.insert(from);
                    voter.leads |= voter.yes.len() > majority;
                } else if term > voter.vote.0 {
                    (voter.vote, voter.leads) = ((term, 0), false);
                }
                self.look(to);
            }
            Message::TakeOver(release) => {
                self.election(to).take_over(now, release);
            }
            Message::Probe { term } => {
                let mine = self.voters[&to].vote.0;
                if mine > term {
                    self.send(to, from, Message::VoteAnswer { term: mine, granted: false });
                }
            }
        }
    }

    /// Runs until somebody is sure; how long that took.
    fn until_led(&mut self, most: u64) -> u64 {
        let from = self.now;
        while self.sure().is_empty() {
            assert!(self.now - from < most, "nobody leads after {most} ms");
            self.run(1);
        }
        self.now - from
    }

    fn leader(&self) -> u64 {
        self.sure()[0]
    }

    fn keep(&mut self) {
        for voter in self.voters.values_mut() {
            voter.election.keep();
        }
    }

    fn restart(&mut self, node: u64) {
        let (now, seed) = (Millis(self.now), self.chance.below(u64::MAX));
        let voter = self.voters.get_mut(&node).unwrap();
        voter.election = Election::new(now, NodeId(node), false, seed);
        (voter.leads, voter.held) = (false, vec![]);
        voter.yes.clear();
    }
}

const SEEDS: u64 = 300;

#[test]
fn whatever_happens_two_leaders_are_never_sure_at_once_and_in_calm_one_is() {
    for seed in 1..=SEEDS {
        let mut world = World::of(3 + 2 * (seed % 2), seed);
        for _ in 0..60 {
            let count = world.voters.len() as u64;
            let node = 1 + world.chance.below(count);
            match world.chance.below(8) {
                0 => world.delay_max = 1 + world.chance.below(400),
                1 => world.loss_percent = world.chance.below(60),
                2 => _ = world.cut.insert(node),
                3 => world.cut.clear(),
                4 => world.voters.get_mut(&node).unwrap().paused_until = world.now + world.chance.below(1500),
                5 => world.restart(node),
                6 => {
                    let from = 1 + world.chance.below(count);
                    if let Some(release) = world.election(from).hand_over() {
                        world.send(from, node, Message::TakeOver(release));
                    }
                }
                _ => world.keep(),
            }
            let length = world.chance.below(400);
            world.run(length);
        }
        (world.delay_max, world.loss_percent) = (3, 0);
        world.cut.clear();
        world.keep();
        world.run(3000);
        world.until_led(10_000);
        let elections = world.elections;
        world.run(5_000);
        assert_eq!((world.sure().len(), world.elections), (1, elections), "seed {seed}: no calm");
    }
}

#[test]
#[should_panic(expected = "are sure at once")]
fn voters_that_forget_their_promises_are_found_out() {
    for seed in 1..=SEEDS {
        let mut world = World::of(3, seed);
        world.until_led(5_000);
        world.forgetful = true;
        for _ in 0..20 {
            let leader = world.voters.iter().find(|(_, voter)| voter.leads).map_or(1, |(node, _)| *node);
            world.cut = BTreeSet::from([leader]);
            world.run(120);
            world.cut.clear();
            world.run(50);
        }
    }
}

#[test]
fn a_leader_that_falls_silent_is_replaced_within_300_ms() {
    let mut times: Vec<u64> = (1..=SEEDS)
        .map(|seed| {
            let mut world = World::of(3, seed);
            world.until_led(5_000);
            world.run(2_000 + seed % 50);
            let leader = world.leader();
            world.voters.get_mut(&leader).unwrap().paused_until = world.now + 10_000;
            let from = world.now;
            while world.sure().iter().all(|node| *node == leader) {
                assert!(world.now - from < 2_000);
                world.run(1);
            }
            world.now - from
        })
        .collect();
    times.sort_unstable();
    assert!(times[times.len() / 2] < 250, "{} ms in the middle", times[times.len() / 2]);
    assert!(times[times.len() * 9 / 10] < 300, "{} ms of nine tenths", times[times.len() * 9 / 10]);
}

#[test]
fn a_leader_whose_process_is_gone_is_replaced_at_once() {
    let mut times = vec![];
    for seed in 1..=SEEDS {
        let mut world = World::of(3, seed);
        world.until_led(5_000);
        world.run(1_000);
        let leader = world.leader();
        world.restart(leader);
        world.voters.get_mut(&leader).unwrap().paused_until = u64::MAX;
        world.run(20);
        let now = Millis(world.now);
        for node in 1..=3 {
            world.election(node).on_gone(now, NodeId(leader), now);
        }
        times.push(world.until_led(2_000));
    }
    times.sort_unstable();
    assert!(times[times.len() * 9 / 10] < 60, "{} ms of nine tenths", times[times.len() * 9 / 10]);
    assert!(times[times.len() - 1] < 600, "{} ms at worst: the votes were split", times[times.len() - 1]);
}

#[test]
fn who_comes_back_from_a_cut_or_a_pause_disturbs_nobody() {
    for seed in 1..=SEEDS {
        let mut world = World::of(3, seed);
        world.until_led(5_000);
        world.run(1_000);
        let (leader, elections) = (world.leader(), world.elections);
        let other = (1..=3).find(|node| *node != leader).unwrap();
        if seed % 2 == 0 {
            world.cut.insert(other);
        } else {
            world.voters.get_mut(&other).unwrap().paused_until = world.now + 5_000;
        }
        world.run(5_000);
        world.cut.clear();
        world.run(5_000);
        assert_eq!((world.leader(), world.elections), (leader, elections), "seed {seed}");
    }
}

#[test]
fn a_leader_hands_over_within_some_round_trips() {
    for seed in 1..=SEEDS {
        let mut world = World::of(3, seed);
        world.until_led(5_000);
        world.run(1_000);
        let leader = world.leader();
        let heir = (1..=3).find(|node| *node != leader).unwrap();
        let release = world.election(leader).hand_over().unwrap();
        world.send(leader, heir, Message::TakeOver(release));
        let took = world.until_led(2_000);
        assert_eq!(world.leader(), heir, "seed {seed}");
        assert!(took < 30, "seed {seed}: {took} ms");
    }
}

#[test]
fn on_a_slow_link_the_lease_grows_until_the_leader_is_always_sure() {
    for seed in 1..=30 {
        let mut world = World::of(3, seed);
        world.until_led(5_000);
        world.delay_max = 150;
        world.run(10_000);
        let elections = world.elections;
        for _ in 0..10_000 {
            world.run(1);
            assert_eq!(world.sure().len(), 1, "seed {seed}");
        }
        assert_eq!(world.elections, elections, "seed {seed}");
    }
}

#[test]
fn a_leader_that_is_not_heard_from_but_hears_nothing_lets_another_lead() {
    let mut world = World::of(3, 7);
    world.until_led(5_000);
    world.run(1_000);
    let leader = world.leader();
    // What it says still arrives; what is said to it does not.
    let deaf = |world: &mut World| world.under_way.retain(|_, (_, to, _)| *to != leader);
    for _ in 0..3_000 {
        world.run(1);
        deaf(&mut world);
    }
    assert!(world.sure().iter().any(|node| *node != leader));
}

#[test]
fn a_lone_voter_elects_itself_at_once_also_after_a_restart() {
    let mut world = World::of(1, 1);
    assert!(world.until_led(1_000) < 100);
    world.restart(1);
    assert!(world.until_led(2_000) < 1_200);
}
