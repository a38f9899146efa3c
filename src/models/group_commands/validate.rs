//! The rules about the target of a command: the message, the member or the invite that it changes.
//!
//! The role of the actor is checked before, see [`super::authorize`].

use chrono::{DateTime, Utc};

use super::{
    AppliedCommand, CommandKind, CommandOutcome, GroupCommand,
    authorize::authorize_for_message,
    batch_state::{PreviousEvent, TargetMessage},
};
use crate::models::{event_data::kind, invites, memberships::Role, rejections::Rejection, users};

const DEACTIVATED_ACCOUNT: &str = "This account is deactivated; it cannot be given a role.";
const OWNER_CHANGES_OWN_ROLE: &str = "Make another member the owner first.";
const OWNER_LEAVES: &str = "Make another member the owner first, or delete the group.";

/// Checks the message that a command requires: it exists, the actor may give the command about it, and it is not
/// deleted. A reply may refer to a deleted message.
///
/// # Errors
/// A [`Rejection`], in the order of these rules.
pub(super) fn check_message(
    command: &GroupCommand,
    role: Role,
    message: Option<&TargetMessage>,
) -> Result<(), Rejection> {
    let is_reply = matches!(command.kind, CommandKind::Send { .. });
    let Some(message) = message else {
        return Err(if is_reply {
            Rejection::MessageNotFound { field: "reply_to" }
        } else {
            Rejection::NotFound
        });
    };
    authorize_for_message(command, role, message.user_id)?;
    let is_deleted = message.revision.as_deref() == Some(kind::MESSAGE_DELETED);
    if is_deleted && !is_reply {
        return Err(Rejection::MessageDeleted);
    }
    Ok(())
}

/// Checks that a user may be given a role in place of the current one.
///
/// # Errors
/// [`Rejection::Conflict`] for a deactivated account, and for the owner, who would leave the group without one.
pub(super) fn check_role_change(
    actor_id: i64,
    user: &users::Model,
    current: Role,
    role: Role,
) -> Result<(), Rejection> {
    if !user.is_active && role > Role::Member {
        return Err(Rejection::Conflict(DEACTIVATED_ACCOUNT));
    }
    if current != role && user.id == actor_id {
        return Err(Rejection::Conflict(OWNER_CHANGES_OWN_ROLE));
    }
    Ok(())
}

/// Checks that an actor may remove a user. `current` is the role of the user, if the user is a member.
///
/// # Errors
/// [`Rejection::Forbidden`] when the role of the user is not below the role of the actor, [`Rejection::NotFound`]
/// when a user who is not a member is to be kicked.
pub(super) fn check_removal(
    role: Role,
    current: Option<Role>,
    is_ban: bool,
) -> Result<(), Rejection> {
    match current {
        Some(current) if current >= role => Err(Rejection::Forbidden),
        None if !is_ban => Err(Rejection::NotFound),
        _ => Ok(()),
    }
}

/// Checks that a member may leave.
///
/// # Errors
/// [`Rejection::Conflict`] for the owner, whose group would have no owner.
pub(super) fn check_leave(role: Role) -> Result<(), Rejection> {
    if role == Role::Owner {
        return Err(Rejection::Conflict(OWNER_LEAVES));
    }
    Ok(())
}

/// Checks that an invite admits a user at this time.
///
/// # Errors
/// [`Rejection::NotFound`] for an invite that has expired or is used up, [`Rejection::Banned`].
pub(super) fn check_invite(
    invite: &invites::Model,
    now: DateTime<Utc>,
    is_banned: bool,
) -> Result<(), Rejection> {
    if !invite.is_usable(now) {
        return Err(Rejection::NotFound);
    }
    if is_banned {
        return Err(Rejection::Banned);
    }
    Ok(())
}

/// Returns the outcome of a command with a `cid` that an earlier command had: the first outcome again.
///
/// # Errors
/// [`Rejection::CidReused`] when the earlier command was a different one.
pub(super) fn repeat_outcome(first: &PreviousEvent, command: &CommandKind) -> CommandOutcome {
    let is_same = match (first.body.data(), command.event_data()) {
        (Some(stored), Some(data)) => {
            // A text that was edited or deleted since cannot be compared.
            stored.kind() == data.kind() && (stored.is_redacted() || *stored == data)
        }
        _ => false,
    };
    if !is_same {
        return Err(Rejection::CidReused);
    }
    Ok(AppliedCommand::unchanged(first.seq, first.at))
}
