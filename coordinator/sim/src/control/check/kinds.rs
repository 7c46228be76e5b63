//! Every kind of event, refusal and planned change by a name, to count them.

use skein_core::plan::Change;
use skein_core::worker::Why;
use skein_core::{Event, Refusal};

pub(in crate::control) fn of_event(event: &Event) -> &'static str {
    match event {
        Event::Founded(_) => "event_founded",
        Event::PolicySet(_) => "event_policy_set",
        Event::SeatsSet(_) => "event_seats_set",
        Event::SeatEvicted(_) => "event_seat_evicted",
        Event::SeatAllowed(_) => "event_seat_allowed",
        Event::Recovered { .. } => "event_recovered",
        Event::NodeJoined { .. } => "event_node_joined",
        Event::NodeDown(_) => "event_node_down",
        Event::NodeUp(_) => "event_node_up",
        Event::Blocked { device: None, .. } => "event_node_blocked",
        Event::Blocked { .. } => "event_device_blocked",
        Event::Unblocked { .. } => "event_unblocked",
        Event::DeviceQuarantined { .. } => "event_device_quarantined",
        Event::DeviceTested { .. } => "event_device_tested",
        Event::DevicePassed { .. } => "event_device_passed",
        Event::DeviceTrusted { .. } => "event_device_trusted",
        Event::ModelAdded(_) => "event_model_added",
        Event::ModelKnown(_) => "event_model_known",
        Event::SessionCreated(_) => "event_session_created",
        Event::SessionKnown(_) => "event_session_known",
        Event::SessionEnded(_) => "event_session_ended",
        Event::SessionWants { .. } => "event_session_wants",
        Event::SessionReserved { .. } => "event_session_reserved",
        Event::WorkerPlanned { .. } => "event_worker_planned",
        Event::WorkerChanged { .. } => "event_worker_changed",
        Event::WorkerAtStake { .. } => "event_worker_at_stake",
        Event::WorkerResized { .. } => "event_worker_resized",
        Event::WorkerReturned { .. } => "event_worker_returned",
        Event::WorkerRevived { .. } => "event_worker_revived",
        Event::WorkerLeaving { why: Why::Preempted { .. }, .. } => "event_worker_preempted",
        Event::WorkerLeaving { why: Why::Reclaimed { .. }, .. } => "event_worker_reclaimed",
        Event::WorkerLeaving { why: Why::Drained, .. } => "event_worker_drained",
        Event::WorkerRemoved { .. } => "event_worker_removed",
        Event::ChangeRefused { .. } => "event_change_refused",
        Event::StreamOpened { .. } => "event_stream_opened",
        Event::StreamMoved { .. } => "event_stream_moved",
        Event::StreamClosed { .. } => "event_stream_closed",
        Event::IslandReported { .. } => "event_island_reported",
    }
}

pub(in crate::control) fn of_refusal(refusal: &Refusal) -> &'static str {
    match refusal {
        Refusal::AlreadyFounded(_) => "refused_already_founded",
        Refusal::NodeOutOfBounds => "refused_node_out_of_bounds",
        Refusal::Full { .. } => "refused_full",
        Refusal::NoNode(_) => "refused_no_node",
        Refusal::NoDevice { .. } => "refused_no_device",
        Refusal::NoReason => "refused_no_reason",
        Refusal::NotBlocked(_) => "refused_not_blocked",
        Refusal::BadRules(_) => "refused_bad_rules",
        Refusal::NotEvicted(_) => "refused_not_evicted",
        Refusal::WrongPhase => "refused_wrong_phase",
        Refusal::BadName(_) => "refused_bad_name",
        Refusal::ModelTooLarge => "refused_model_too_large",
        Refusal::NoModel { .. } => "refused_no_model",
        Refusal::NoSession(_) => "refused_no_session",
        Refusal::BadSession(_) => "refused_bad_session",
        Refusal::NeverFits(_) => "refused_never_fits",
        Refusal::NoWorker(_) => "refused_no_worker",
        Refusal::NoStream(_) => "refused_no_stream",
        Refusal::BadTasks(_) => "refused_bad_tasks",
        Refusal::BadReport(_) => "refused_bad_report",
    }
}

pub(in crate::control) fn of_change(change: &Change) -> &'static str {
    match change {
        Change::Stop(_) => "plan_stop",
        Change::Leave { why: Why::Preempted { .. }, .. } => "plan_preempt",
        Change::Leave { .. } => "plan_reclaim",
        Change::Return(_) => "plan_return",
        Change::Revive(_) => "plan_revive",
        Change::Recall(_) => "plan_recall",
        Change::Resize { .. } => "plan_resize",
        Change::Start(_) => "plan_start",
    }
}
