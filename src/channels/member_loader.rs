//! Reads of members and of their numbers, many in one query.

use std::sync::Arc;

use sea_orm::{DatabaseConnection, DbErr};

use super::{Member, batch_loader::BatchLoader, delivery::MemberCount};
use crate::{
    models::{membership_snapshots::MembershipSnapshot, memberships},
    supervisor::Supervisor,
};

/// Reads members and counts them.
pub(super) struct MemberLoader {
    /// Members, by user and group.
    members: BatchLoader<(i64, Arc<str>), Member>,
    /// The number of members of a group, and the head of the log at which they were counted.
    counts: BatchLoader<i64, (i64, i64)>,
}

impl MemberLoader {
    /// Starts the tasks that run the queries.
    pub fn start(db: &DatabaseConnection, supervisor: &Supervisor) -> Self {
        Self {
            members: BatchLoader::start(db, supervisor, "member loader", |db, keys| async move {
                let snapshots = MembershipSnapshot::find_all(&db, keys).await?;
                let members = snapshots.into_iter().map(Member::from);
                Ok(members
                    .map(|member| ((member.actor.id, member.group_name.clone()), member))
                    .collect())
            }),
            counts: BatchLoader::start(db, supervisor, "count loader", |db, groups| async move {
                memberships::Model::count_members(&db, groups).await
            }),
        }
    }

    /// Returns the memberships of a user in these groups, in the order of the groups. Groups without the user are left
    /// out.
    ///
    /// # Errors
    /// When the database fails, or does not answer in time.
    pub async fn load(&self, user_id: i64, groups: &[&str]) -> Result<Vec<Member>, DbErr> {
        let keys = groups.iter().map(|group| (user_id, (*group).into()));
        self.members.load(keys.collect()).await
    }

    /// Returns the member as the database has it now, if the membership has not ended.
    ///
    /// # Errors
    /// When the database fails, or does not answer in time.
    pub async fn reload(&self, member: &Member) -> Result<Option<Member>, DbErr> {
        let groups: [&str; 1] = [&member.group_name];
        Ok(self.load(member.actor.id, &groups).await?.pop())
    }

    /// Counts the members of a group, unless they are counted.
    pub async fn count(&self, group_id: i64, count: &MemberCount) {
        if count.is_known() {
            return;
        }
        match self.counts.load(vec![group_id]).await {
            Ok(found) => {
                let (members, head) = found.first().copied().unwrap_or_default();
                count.set(members, head);
            }
            // The group counts as small until the next socket joins.
            Err(error) => tracing::warn!(%error, "the members of a group could not be counted"),
        }
    }
}
