//! Commands about messages. The state of the batch decides them, without statements of their own.

use crate::{
    limits::RateLimited,
    models::{
        event_data::EventBody,
        events::{Event, NewEvent},
        group_commands::{
            AppliedCommand, CommandKind, CommandOutcome, GroupCommand, ToggleLimiter,
            authorize::authorize,
            batch_state::BatchState,
            reaction_state::RequestedReaction,
            validate::{check_message, repeat_outcome},
        },
        log::LockedLogs,
        rejections::Rejection,
    },
};

/// Applies or rejects a command about messages.
pub(super) fn apply_message_command(
    command: &GroupCommand,
    state: &mut BatchState,
    logs: &mut LockedLogs,
    toggles: &ToggleLimiter,
) -> CommandOutcome {
    // The group may have been deleted since the membership of the actor was checked.
    let (head, at) = logs.head(command.group_id).ok_or(Rejection::GroupDeleted)?;
    let role = authorize(command, state.role_of(command))?;
    if let CommandKind::Read { seq } = command.kind {
        return apply_read(command, seq, state, logs);
    }
    if let Some(key) = command.cid_key()
        && let Some(first) = state.previous_events.get(&key)
    {
        return repeat_outcome(first, &command.kind);
    }
    if let Some(seq) = command.kind.required_message() {
        let message = state.target_messages.get(&(command.group_id, seq));
        check_message(command, role, message)?;
    }
    let reaction = RequestedReaction::from_command(command);
    let is_unchanged = match &reaction {
        Some(reaction) => state.reactions.is_already_applied(reaction)?,
        None => state.has_text_already(command),
    };
    if is_unchanged {
        return Ok(AppliedCommand::unchanged(head, at));
    }
    if let Some(key) = ToggleLimiter::reaction_key(command) {
        let pending = state.pending_toggles.entry(key).or_default();
        if let Some(retry_after) = toggles.retry_after(&key, *pending) {
            return Err(Rejection::RateLimited(RateLimited { retry_after }));
        }
        *pending += 1;
    }
    let event = append_message_event(command, state, logs).ok_or(Rejection::NotFound)?;
    if let Some(reaction) = &reaction {
        state.reactions.apply(reaction, event.seq);
    }
    Ok(AppliedCommand::with_events(
        (event.seq, event.at),
        vec![event],
    ))
}

/// Appends the event of a command about messages.
fn append_message_event(
    command: &GroupCommand,
    state: &mut BatchState,
    logs: &mut LockedLogs,
) -> Option<Event> {
    let data = command.kind.event_data()?;
    if let Some(target) = data.revised_message()
        && let Some(message) = state.target_messages.get_mut(&(command.group_id, target))
    {
        message.revision = Some(data.kind().into());
    }
    let event = logs.append(NewEvent {
        group_id: command.group_id,
        actor: command.actor.clone(),
        cid: command.cid.clone(),
        body: EventBody::new(data),
    })?;
    if let CommandKind::Edit { seq, text } = &command.kind {
        let message = (command.group_id, *seq);
        state.message_texts.insert(message, text.clone());
    }
    state.note_event(command, &event, logs);
    Some(event)
}

/// Moves the read position of a member forward, at most to the end of the log.
fn apply_read(
    command: &GroupCommand,
    seq: i64,
    state: &mut BatchState,
    logs: &mut LockedLogs,
) -> CommandOutcome {
    let actor = command.actor.as_ref().ok_or(Rejection::NotMember)?;
    let member = state.members.get_mut(&(command.group_id, actor.id));
    let member = member.ok_or(Rejection::NotMember)?;
    let count = state.message_counts.get(&(command.group_id, seq)).copied();
    let (seq, at) = logs
        .mark_read(command.group_id, actor.id, seq, count)
        .ok_or(Rejection::NotFound)?;
    let dup = seq <= member.read;
    member.read = member.read.max(seq);
    Ok(AppliedCommand {
        dup,
        ..AppliedCommand::with_events((member.read, at), Vec::new())
    })
}
