//! The table of roles and commands: who may give which command.

use super::{CommandKind, GroupCommand};
use crate::models::{memberships::Role, rejections::Rejection};

/// The actors who may give a command.
#[derive(Clone, Copy)]
enum AllowedActors {
    /// Members with at least this role.
    Members(Role),
    /// Members with at least this role, and operators.
    MembersAndOperators(Role),
    /// Every user, also a user who is not a member.
    Users,
    /// Operators alone.
    Operators,
}

/// A row of the table.
struct AccessRule {
    actors: AllowedActors,
    /// The lowest role that may give the command about a message of another user. `None`: no role. An operator
    /// always may.
    others_messages: Option<Role>,
}

impl CommandKind {
    /// Returns the row of the table. A new command gets its row here.
    fn access_rule(&self) -> AccessRule {
        use AllowedActors::{Members, MembersAndOperators, Operators, Users};
        use Role::{Admin, Member, Owner};
        let (actors, others_messages) = match self {
            Self::Send { .. } => (MembersAndOperators(Member), Some(Member)),
            Self::Edit { .. } => (MembersAndOperators(Member), None),
            Self::Delete { .. } => (MembersAndOperators(Member), Some(Admin)),
            // A reaction and a read position belong to a user.
            Self::React { .. } | Self::Read { .. } => (Members(Member), Some(Member)),
            Self::Leave => (Members(Member), None),
            Self::SetTitle { .. }
            | Self::Kick { .. }
            | Self::Ban { .. }
            | Self::Unban { .. }
            | Self::CreateInvite { .. }
            | Self::RevokeInvite { .. } => (Members(Admin), None),
            Self::SetRole { .. } | Self::DeleteGroup => (Members(Owner), None),
            Self::AcceptInvite { .. } => (Users, None),
            Self::TransferOwnership { .. } => (Operators, None),
            Self::ChangeRow(change) if change.is_for_operators() => {
                (MembersAndOperators(change.lowest_role()), None)
            }
            Self::ChangeRow(change) => (Members(change.lowest_role()), None),
        };
        AccessRule {
            actors,
            others_messages,
        }
    }
}

/// Returns the role with which the actor gives the command. `membership` is the actor's role in the group, if the
/// actor is a member. An operator has the role of the owner.
///
/// # Errors
/// [`Rejection::NotMember`] and [`Rejection::Forbidden`].
pub(super) fn authorize(
    command: &GroupCommand,
    membership: Option<Role>,
) -> Result<Role, Rejection> {
    let actors = command.kind.access_rule().actors;
    if command.actor.is_none() {
        return match actors {
            AllowedActors::MembersAndOperators(_) | AllowedActors::Operators => Ok(Role::Owner),
            AllowedActors::Members(_) | AllowedActors::Users => Err(Rejection::Forbidden),
        };
    }
    let lowest = match actors {
        AllowedActors::Members(lowest) | AllowedActors::MembersAndOperators(lowest) => lowest,
        AllowedActors::Users => return Ok(membership.unwrap_or(Role::Member)),
        AllowedActors::Operators => return Err(Rejection::Forbidden),
    };
    let role = membership.ok_or(Rejection::NotMember)?;
    if role < lowest {
        return Err(Rejection::Forbidden);
    }
    Ok(role)
}

/// Checks that a role may give the command about a message of this author.
///
/// # Errors
/// [`Rejection::Forbidden`].
pub(super) fn authorize_for_message(
    command: &GroupCommand,
    role: Role,
    author: Option<i64>,
) -> Result<(), Rejection> {
    let Some(actor) = &command.actor else {
        return Ok(());
    };
    let lowest = command.kind.access_rule().others_messages;
    if author == Some(actor.id) || lowest.is_some_and(|lowest| role >= lowest) {
        return Ok(());
    }
    Err(Rejection::Forbidden)
}
