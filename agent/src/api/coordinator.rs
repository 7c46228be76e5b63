//! The coordinator's seats: what is shown of them, what may be asked, and what to say where there is no quorum.

use std::collections::BTreeMap;
use std::time::Duration;

use bytes::Bytes;
use futures::future::join_all;
use skein_core::NodeId;
use skein_core::seats::{Proposal, Rules, SeatChange, View, Waiting, may_evict, next_change, rank, waiting};
use skein_raft::{ChangeError, Role};
use tokio::time::timeout;

use crate::api::handle::{Api, now};
use crate::api::{Answer, ApiError, Change, CoordinatorStatus, Member, Request, SeatStatus, time};
use crate::link::{Hello, HelloAnswer, Open, ask};
use crate::seat::{look_at_seats, moved_words};

/// How long handing leadership over may take: the seat gives up well before.
const TRANSFER_TIME_MAX: Duration = Duration::from_secs(10);
/// How long a voter may take to answer when there is no leader to ask about it.
const REACH_TIME_MAX: Duration = Duration::from_secs(1);

/// Names of the nodes, for texts.
type Names = BTreeMap<NodeId, String>;

impl Api {
    /// By the leader's account, where it can be had: only a leader knows who is up and who has the log.
    pub(super) async fn coordinator_status(&self, passed_on: bool) -> CoordinatorStatus {
        let role = self.seat.role();
        if role.is_leader {
            return self.as_leader(&role);
        }
        if let Some(leader) = self.leader(&role).filter(|leader| *leader != self.node && !passed_on) {
            let asked = self.ask_node(leader, Request::CoordinatorStatus);
            if let Ok(Ok(Answer::Coordinator(status))) = timeout(REACH_TIME_MAX, asked).await
                && status.leader == Some(leader)
            {
                return *status;
            }
        }
        self.without_leader(&role).await
    }

    fn as_leader(&self, role: &Role) -> CoordinatorStatus {
        let names = self.names();
        let at = now();
        look_at_seats(&self.seat, role, at, |view| {
            let next = next_change(view);
            let mut status = self.describe(view, role);
            status.leader = Some(self.node);
            status.leaderless_since = None;
            status.waiting = if next.is_none() { words(&waiting(view), &names) } else { Vec::new() };
            status.next = next.map(|proposal| proposal_words(&proposal, role, &names));
            status
        })
    }

    /// Nobody leads, as far as this agent can find out: the voters are asked, one and all, whether they are there.
    async fn without_leader(&self, role: &Role) -> CoordinatorStatus {
        let reached = self.reach_voters(role).await;
        let mut status = look_at_seats(&self.seat, role, now(), |view| self.describe(view, role));
        for member in status.members.iter_mut().filter(|member| role.voters.contains(&member.node)) {
            let answers = reached.contains(&member.node);
            if !answers {
                let known_down = member.since.filter(|_| !member.up);
                member.since =
                    known_down.or(self.contacts.silent_since(member.node)).or(self.contacts.leaderless_since());
            }
            member.up = answers;
        }
        status.members.iter_mut().for_each(|member| member.behind = None);
        status.voters_up = reached.len();
        // A leader may be on its way: what has a majority is about to have one.
        status.quorum_holds = reached.len() >= status.quorum;
        status
    }

    fn describe(&self, view: &View<'_>, role: &Role) -> CoordinatorStatus {
        let state = view.state;
        let is_up = |node: &NodeId| *node == self.node || state.nodes.get(node).is_some_and(|node| node.up);
        let voters_up = role.voters.iter().filter(|node| is_up(node)).count();
        let quorum = role.voters.len() / 2 + 1;
        let mut members: Vec<Member> = state
            .nodes
            .iter()
            .map(|(id, node)| Member {
                node: *id,
                name: node.spec.name.clone(),
                seat: super::status::seat(*id, role),
                up: node.up,
                since: Some(node.since),
                evicted: state.seats.evicted.contains(id),
                behind: view.behind.get(id).copied(),
                flush_ms: node.spec.capability.flush_ms,
                power: node.spec.capability.power,
                zone: node.spec.capability.labels.get(rank::ZONE).cloned(),
            })
            .collect();
        members.sort_by_key(|member| match member.seat {
            SeatStatus::Leader => 0,
            SeatStatus::Voter => 1,
            SeatStatus::Learner => 2,
            SeatStatus::None => 3,
        });
        let moved = self.contacts.moved();
        let given_up = moved.filter(|_| !role.is_leader).map(|(node, mesh)| {
            let name = state.nodes.get(&node).map_or_else(|| node.to_string(), |node| node.spec.name.clone());
            moved_words(&name, mesh)
        });
        CoordinatorStatus {
            mesh: state.mesh,
            by: self.node,
            leader: None,
            term: role.term,
            rules: state.seats.rules,
            quorum,
            voters_up,
            quorum_holds: voters_up >= quorum,
            leaderless_since: self.contacts.leaderless_since(),
            members,
            next: None,
            waiting: Vec::new(),
            given_up,
            recoveries: state.seats.recoveries.clone(),
        }
    }

    /// The voters that answer now and are in this mesh.
    async fn reach_voters(&self, role: &Role) -> Vec<NodeId> {
        let reached = join_all(role.voters.iter().map(|node| self.reach(*node))).await;
        reached.into_iter().flatten().collect()
    }

    async fn reach(&self, node: NodeId) -> Option<NodeId> {
        if node == self.node {
            return Some(node);
        }
        let hello = Open::Hello(Hello { version: env!("CARGO_PKG_VERSION").into() });
        let exchange = async {
            let connection = self.pool.connection(node).await?;
            ask::<HelloAnswer>(&connection, &hello, Bytes::new()).await
        };
        let (answer, _) = timeout(REACH_TIME_MAX, exchange).await.ok()?.ok()?;
        let is_member = answer.mesh.is_none() || answer.mesh == self.contacts.mesh();
        is_member.then_some(node)
    }

    /// A failure to have something committed, with what the voters' state says of it.
    pub(super) async fn without_quorum(&self, error: ApiError) -> ApiError {
        let ApiError::Unavailable(reason) = &error else { return error };
        let role = self.seat.role();
        if role.voters.is_empty() {
            return error;
        }
        let status = self.without_leader(&role).await;
        if let Some(given_up) = status.given_up {
            return ApiError::Unavailable(format!("{reason}; {given_up}"));
        }
        if status.quorum_holds {
            return error;
        }
        ApiError::Unavailable(format!("{reason}; {}", lost_words(&status)))
    }

    /// Hands leadership to another voter. Whoever leads does that; another agent asks it to.
    pub(super) async fn transfer(&self, to: Option<NodeId>, passed_on: bool) -> Result<Answer, ApiError> {
        let role = self.seat.role();
        if !role.is_leader {
            let leader = self.leader(&role).filter(|leader| *leader != self.node && !passed_on);
            let none =
                || ApiError::Unavailable("the mesh has no leader now; `skein coordinator status` says why".into());
            let asked = self.ask_node(leader.ok_or_else(none)?, Request::Transfer(to));
            let late = |_| ApiError::Unavailable("the leader did not answer in time".into());
            return timeout(TRANSFER_TIME_MAX, asked).await.map_err(late)?;
        }
        let others = role.voters.iter().copied().filter(|node| *node != self.node);
        let Some(heir) = to.or_else(|| others.max_by_key(|node| role.matched.get(node).copied())) else {
            return Err(ApiError::Invalid("there is no other voter that could lead".into()));
        };
        let transferred = self.seat.transfer(heir).await;
        transferred.map_err(|error| match error {
            ChangeError::NoVoter(_) => ApiError::Invalid(named(error.to_string(), &self.names())),
            _ => ApiError::Unavailable(named(error.to_string(), &self.names())),
        })?;
        Ok(Answer::Transferred(heir))
    }

    /// What is asked about seats, as far as it can be done now: allowed on the leader.
    pub(super) fn check_seats(&self, change: Change) -> Result<Change, ApiError> {
        match change {
            Change::SeatsSet { voters, replace_after } => {
                let Rules { voters: now_voters, replace_after: now_after } = self.seat.read(|state| state.seats.rules);
                let (voters, replace_after) = (voters.unwrap_or(now_voters), replace_after.unwrap_or(now_after));
                Ok(Change::SeatsSet { voters: Some(voters), replace_after: Some(replace_after) })
            }
            Change::SeatEvict(node) => {
                let role = self.seat.role();
                let checked = look_at_seats(&self.seat, &role, now(), |view| may_evict(view, node));
                checked.map_err(|refusal| ApiError::Invalid(named(refusal.to_string(), &self.names())))?;
                Ok(Change::SeatEvict(node))
            }
            other => Ok(other),
        }
    }

    fn names(&self) -> Names {
        self.seat.read(|state| state.nodes.iter().map(|(id, node)| (*id, node.spec.name.clone())).collect())
    }

    async fn ask_node(&self, node: NodeId, request: Request) -> Result<Answer, ApiError> {
        let unavailable = |error: crate::link::LinkError| ApiError::Unavailable(error.to_string());
        let connection = self.pool.connection(node).await.map_err(unavailable)?;
        ask::<Result<Answer, ApiError>>(&connection, &Open::Api(request), Bytes::new()).await.map_err(unavailable)?.0
    }
}

/// Which voters are missing and since when, and what to do.
pub(crate) fn lost_words(status: &CoordinatorStatus) -> String {
    let is_voter = |member: &&Member| matches!(member.seat, SeatStatus::Leader | SeatStatus::Voter);
    let voters: Vec<&Member> = status.members.iter().filter(is_voter).collect();
    let since = |member: &Member| member.since.map_or_else(String::new, |since| format!(" (since {})", time(since)));
    let missing = voters.iter().filter(|member| !member.up).map(|member| member.name.clone() + &since(member));
    let there: Vec<&str> = voters.iter().filter(|member| member.up).map(|member| member.name.as_str()).collect();
    format!(
        "{} of the coordinator's {} voters must be up, and {} {}: {} cannot be reached, {} can. Bring voters back on their old state \
         directories; if too many are gone for good, `skein coordinator recover` on a node that is left goes on without them",
        status.quorum,
        voters.len(),
        status.voters_up,
        if status.voters_up == 1 { "is" } else { "are" },
        missing.collect::<Vec<_>>().join(", "),
        if there.is_empty() { "none".into() } else { there.join(", ") },
    )
}

fn proposal_words(proposal: &Proposal, role: &Role, names: &Names) -> String {
    let name = |node: &NodeId| names.get(node).cloned().unwrap_or_else(|| node.to_string());
    let list = |nodes: Vec<&NodeId>| nodes.into_iter().map(name).collect::<Vec<_>>().join(", ");
    let why = named(proposal.why.to_string(), names);
    match &proposal.change {
        SeatChange::AddLearner(node) => format!("{} becomes a learner: {why}", name(node)),
        SeatChange::SetVoters(voters) => {
            let come = list(voters.difference(&role.voters).collect());
            let go = list(role.voters.difference(voters).collect());
            match (come.is_empty(), go.is_empty()) {
                (false, false) => format!("{come} takes the seat of {go}: {why}"),
                (false, true) => format!("{come} become voters: {why}"),
                _ => format!("{go} give their seats up: {why}"),
            }
        }
    }
}

fn words(waiting: &[Waiting], names: &Names) -> Vec<String> {
    let name = |node: &NodeId| names.get(node).cloned().unwrap_or_else(|| node.to_string());
    let words = waiting.iter().map(|waiting| match waiting {
        Waiting::Due { voter, at, by: Some(by) } => {
            format!("{} takes the seat of {} at {}, unless that is back before", name(by), name(voter), time(*at))
        }
        Waiting::Due { voter, at, by: None } => {
            format!("{} is to be replaced at {}, and no other node could take its seat now", name(voter), time(*at))
        }
        Waiting::NobodyElse(voter) => format!(
            "{} is to be replaced, and no other node can take its seat: it takes one that is up, has the log, and was not evicted",
            name(voter)
        ),
        Waiting::TooFewNodes { voters, wanted } => {
            format!("{voters} of {wanted} voters: there are too few nodes that are up, have the log, and were not evicted")
        }
    });
    words.collect()
}

/// Names in the place of ids.
fn named(text: String, names: &Names) -> String {
    names.iter().fold(text, |text, (id, name)| text.replace(&format!("node {id}"), name))
}

#[cfg(test)]
mod tests;
