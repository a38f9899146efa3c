//! The effects of applied commands after their commit. Everything that a command does outside the database is here.

use std::{collections::HashMap, sync::Arc};

use tracing::Span;

use super::{hub::Hub, protocol::ephemeral::EphemeralEvent, writer::QueuedCommand};
use crate::{
    models::{
        events::Event,
        group_commands::{AppliedCommand, CommandKind, CommandOutcome, CommandResult},
    },
    trace,
};

/// Broadcasts the changes of a batch on all nodes. The events move out of the outcomes.
pub(super) fn broadcast(hub: &Hub, batch: &[QueuedCommand], outcomes: &mut [CommandOutcome]) {
    // The events are in the order of the log, which is the order of the batch. Each group is delivered once.
    let mut events_by_group: HashMap<&Arc<str>, Vec<Event>> = HashMap::new();
    for (queued, outcome) in batch.iter().zip(outcomes.iter_mut()) {
        if let Ok(applied) = outcome
            && !applied.events.is_empty()
        {
            let events = events_by_group.entry(&queued.group).or_default();
            events.append(&mut applied.events);
        }
    }
    for (group, events) in events_by_group {
        let of_group = batch.iter().filter(|queued| queued.group == *group);
        let spans = trace::spans_of(
            of_group,
            |queued| tracing::info_span!(parent: &queued.span, "deliver", group = &**group, events = events.len()),
        );
        // The span `publish` belongs to the first of the commands, whose events are delivered together.
        let _entered = spans.first().map(Span::enter);
        hub.delivery.deliver_events(group, &events);
    }
    for (queued, outcome) in batch.iter().zip(outcomes) {
        if let Ok(applied) = outcome {
            announce(hub, queued, applied);
        }
    }
}

/// Announces the changes without an event: read positions, deleted groups, and new groups to multi-group sockets.
fn announce(hub: &Hub, queued: &QueuedCommand, applied: &AppliedCommand) {
    let (group, actor) = (&queued.group, &queued.command.actor);
    match (&queued.command.kind, actor) {
        (CommandKind::Read { .. }, Some(actor)) if !applied.dup => {
            let read = EphemeralEvent::Read {
                group: group.as_ref().into(),
                user: actor.username.as_ref().into(),
                seq: applied.seq,
            };
            hub.delivery.send_ephemeral(group, &read);
        }
        (CommandKind::AcceptInvite { .. }, Some(actor)) => {
            if let CommandResult::Joined(joined) = &applied.result
                && !applied.dup
            {
                let membership_id = joined.membership.id;
                hub.memberships
                    .announce(&actor.username, group, membership_id);
            }
        }
        (CommandKind::DeleteGroup, _) => {
            hub.delivery.announce_group_deleted(group);
            hub.request_purge();
        }
        _ => {}
    }
}
