//! How the coordinator's seats are shown.

use skein_core::capability::Power;
use skein_core::seats::Rules;

use crate::api::{CoordinatorStatus, Member, SeatStatus, lost_words, time};
use crate::cli::amounts::length;
use crate::cli::node::seat;
use crate::cli::output::{Show, table};

impl Show for CoordinatorStatus {
    fn table(&self) -> String {
        let Some(mesh) = self.mesh else {
            return format!("Node {} has no mesh yet: it looks for one. Its log says where", self.by);
        };
        let headings = ["NAME", "NODE", "SEAT", "STATE", "SINCE", "BEHIND", "DISK", "POWER", "ZONE"];
        let members = table(headings, self.members.iter().map(row).collect());
        let mut lines = vec![format!("Mesh {mesh}, {}", leader(self)), quorum(self)];
        lines.extend(self.given_up.iter().map(|what| format!("THIS NODE WAS GIVEN UP: {what}")));
        if self.leader.is_none() && !self.quorum_holds {
            lines.push(lost_words(self));
        }
        lines.push(format!("\n{members}"));
        lines.extend(self.next.iter().map(|next| format!("Next: {next}")));
        lines.extend(self.waiting.iter().map(|waiting| format!("Waiting: {waiting}")));
        if let Some(past) = self.recoveries.last() {
            let at = time(past.at);
            lines.push(format!("Recovered from mesh {} at {at}, from the copy of node {}", past.from, past.by));
        }
        lines.join("\n")
    }

    /// The voters, the leader first.
    fn quiet(&self) -> String {
        let voters = self.members.iter().filter(|member| is_voter(member));
        voters.map(|member| member.node.to_string() + "\n").collect()
    }
}

fn leader(status: &CoordinatorStatus) -> String {
    let named = status.members.iter().find(|member| Some(member.node) == status.leader);
    match (named, status.leaderless_since) {
        (Some(leader), _) => format!("led by {} (term {})", leader.name, status.term),
        (None, Some(since)) => format!("without a leader since {}", time(since)),
        (None, None) => "without a leader that can be reached".into(),
    }
}

fn quorum(status: &CoordinatorStatus) -> String {
    let CoordinatorStatus { quorum, voters_up, rules: Rules { voters, replace_after }, .. } = status;
    let count = status.members.iter().filter(|member| is_voter(member)).count();
    let holds = if status.quorum_holds { "the quorum holds" } else { "THE QUORUM IS LOST" };
    let spare = voters_up.saturating_sub(*quorum);
    let spare = if status.quorum_holds { format!(", {spare} more may be lost") } else { String::new() };
    format!(
        "{voters_up} of {count} voters are up and {quorum} must be: {holds}{spare}. Set to {voters} voters, replaced after {}",
        length(*replace_after)
    )
}

fn is_voter(member: &Member) -> bool {
    matches!(member.seat, SeatStatus::Leader | SeatStatus::Voter)
}

fn row(member: &Member) -> [String; 9] {
    let evicted = if member.evicted { ", evicted" } else { "" };
    let dash = || "-".to_owned();
    [
        member.name.clone(),
        member.node.to_string(),
        format!("{}{evicted}", seat(member.seat)),
        if member.up { "up".into() } else { "DOWN".into() },
        member.since.map_or_else(dash, time),
        member.behind.map_or_else(dash, |behind| behind.to_string()),
        member.flush_ms.map_or_else(dash, |step| format!("< {step} ms")),
        match member.power {
            Power::Mains => "mains".into(),
            Power::Battery => "battery".into(),
            Power::Unknown => dash(),
        },
        member.zone.clone().unwrap_or_else(dash),
    ]
}

#[cfg(test)]
mod tests {
    use skein_core::seats::Rules;
    use skein_core::{MeshId, Millis, NodeId};

    use super::*;

    fn status(leader: Option<u64>) -> CoordinatorStatus {
        let member = |name: &str, id: u64, seat, up| Member {
            node: NodeId(id),
            name: name.into(),
            seat,
            up,
            since: Some(Millis(1_795_478_400_000)),
            evicted: id == 3,
            behind: Some(0),
            flush_ms: Some(4),
            power: Power::Mains,
            zone: Some("hall".into()),
        };
        CoordinatorStatus {
            mesh: Some(MeshId(1)),
            by: NodeId(1),
            leader: leader.map(NodeId),
            term: 2,
            rules: Rules::default(),
            quorum: 2,
            voters_up: if leader.is_some() { 3 } else { 1 },
            quorum_holds: leader.is_some(),
            leaderless_since: leader.is_none().then_some(Millis(1_795_478_400_000)),
            members: vec![
                member("alpha", 1, SeatStatus::Leader, true),
                member("beta", 2, SeatStatus::Voter, leader.is_some()),
                member("gamma", 3, SeatStatus::Voter, leader.is_some()),
            ],
            next: Some("delta takes the seat of gamma: an operator evicted gamma".into()),
            waiting: Vec::new(),
            given_up: None,
            recoveries: Vec::new(),
        }
    }

    #[test]
    fn a_whole_mesh_says_who_leads_and_what_it_can_lose() {
        let text = status(Some(1)).table();
        for part in [
            "Mesh 0000000000000001, led by alpha (term 2)",
            "3 of 3 voters are up and 2 must be: the quorum holds, 1 more may be lost. Set to 3 voters, replaced after 2m",
            "voter, evicted",
            "< 4 ms  mains  hall",
            "Next: delta takes the seat of gamma",
        ] {
            assert!(text.contains(part), "'{part}' should be in:\n{text}");
        }
        assert_eq!(status(Some(1)).quiet().lines().count(), 3);
    }

    #[test]
    fn a_lost_quorum_is_said_loudly_with_what_to_do() {
        let text = status(None).table();
        for part in [
            "without a leader since 2026-11-24T00:00:00.000Z",
            "1 of 3 voters are up and 2 must be: THE QUORUM IS LOST.",
            "beta (since 2026-11-24T00:00:00.000Z), gamma (since",
            "`skein coordinator recover`",
        ] {
            assert!(text.contains(part), "'{part}' should be in:\n{text}");
        }
    }
}
