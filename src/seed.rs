//! `cargo loco db seed`: creates three example users and two groups, for people who try Salam or
//! write a client.
//!
//! The users act through the models, as requests do, so their logs are like any others. The seed
//! publishes nothing to nodes, because the groups are new and have no sockets. Users who log in
//! read the stored events.

mod stories;

use chrono::Duration;
use loco_rs::{db, prelude::*};
use migration::Migrator;

use self::stories::{LUNCH, SALAM, SeedUser, Story};
use crate::{
    initializers::schema::SchemaInitializer,
    limits::Quotas,
    models::{
        chat_groups,
        events::Actor,
        group_commands::{AppliedCommand, CommandKind, GroupCommand},
        hashing::Requester,
        invites::InviteCode,
        memberships::{self, Role},
        passwords::Password,
        skeletons::ConfusableKey,
        usernames::{Username, parse_display_name},
        users::{self, NewUser},
    },
    settings::is_production,
    tasks::operator::{TaskUsage, print_line},
};

const USAGE: TaskUsage = TaskUsage {
    name: "db seed",
    example: "cargo loco db seed",
};

/// The password of all example users.
const SEED_PASSWORD: &str = "a staple of batteries";

/// The lifetime of the invite.
const INVITE_LIFETIME: Duration = Duration::days(7);

/// The stored example users.
struct Cast {
    ann: users::Model,
    bob: users::Model,
    leyla: users::Model,
}

/// Creates the missing users and groups, and prints all of them. A second run changes nothing, or
/// completes an interrupted first run.
///
/// # Errors
/// In production, and when one of the usernames belongs to another user. The seed then writes
/// nothing. Also when the database fails.
pub async fn run(ctx: &AppContext) -> Result<()> {
    if is_production(&ctx.environment) {
        return Err(USAGE.error(&format!(
            "the password of the example users is public, so the command runs only in development \
             and test; this environment is {}",
            ctx.environment
        )));
    }
    migrate(ctx).await?;
    let db = &ctx.db;
    // All users are looked up before the first user is created.
    let users = [
        SeedUser::Ann.find_user(db).await?,
        SeedUser::Bob.find_user(db).await?,
        SeedUser::Leyla.find_user(db).await?,
    ];
    let is_complete =
        users.iter().all(Option::is_some) && LUNCH.exists(db).await? && SALAM.exists(db).await?;
    if is_complete {
        return print_line(&summary(
            "The example data already exists: nothing was changed.",
            &format!(
                "its code was shown when it was created; {} can create another invite",
                SALAM.owner.username()
            ),
        ));
    }
    let cast = Cast::register_all(db, users).await?;
    LUNCH.seed(db, &cast).await?;
    let group = SALAM.seed(db, &cast).await?;
    let owner = cast.user(SALAM.owner);
    let code = create_invite(db, &group, owner, INVITE_LIFETIME, None).await?;
    print_line(&summary(
        "The example data is complete.",
        &format!(
            "{} (to {}, valid for {} days)",
            code.as_str(),
            group.name,
            INVITE_LIFETIME.num_days()
        ),
    ))
}

/// Migrates as the start of a server does, because a server may not have started yet.
async fn migrate(ctx: &AppContext) -> Result<()> {
    if ctx.config.database.auto_migrate {
        db::migrate::<Migrator>(&ctx.db).await?;
    }
    SchemaInitializer.before_run(ctx).await
}

/// Returns the text about the users and groups, with a first line and a text about the invite.
fn summary(first_line: &str, invite: &str) -> String {
    let people = SeedUser::ALL.map(|user| format!("{} ({})", user.username(), user.display_name()));
    let groups = [&LUNCH, &SALAM].map(|group| format!("{} ({})", group.name, group.title));
    format!(
        "{first_line}\n  users     {}\n  password  {SEED_PASSWORD}\n  groups    {}\n  invite    {invite}\n\
         To see the data, log in as one of these users on a server that uses this database.",
        people.join(", "),
        groups.join(", ")
    )
}

impl SeedUser {
    /// Returns the stored user, or `None` if the user does not exist yet.
    ///
    /// # Errors
    /// When the username, or a name that looks the same, belongs to another user.
    async fn find_user(self, db: &DatabaseConnection) -> Result<Option<users::Model>> {
        let username = Username::parse(self.username()).map_err(Error::Message)?;
        let user =
            users::Model::authenticate(db, username.as_str(), SEED_PASSWORD, Requester::OPERATOR)
                .await
                .map_err(Error::wrap)?;
        if let Ok(user) = user {
            return Ok(Some(user));
        }
        let other = users::Model::find_by_username(db, username.as_str()).await?;
        if other.is_some()
            || ConfusableKey::from_username(&username)
                .is_reserved_by_other(db)
                .await?
        {
            return Err(USAGE.error(&format!(
                "the username `{}` belongs to another account (with another password, \
                 deactivated, or with a username that looks the same); nothing was changed. Set \
                 DATABASE_URL to another database, or empty this database with `cargo loco db \
                 reset`",
                username.as_str()
            )));
        }
        Ok(None)
    }

    /// Returns the stored user, or registers the user.
    async fn find_or_register(
        self,
        db: &DatabaseConnection,
        user: Option<users::Model>,
    ) -> Result<users::Model> {
        if let Some(user) = user {
            return Ok(user);
        }
        let user = NewUser {
            name: parse_display_name(self.display_name()).map_err(Error::Message)?,
            username: Username::parse(self.username()).map_err(Error::Message)?,
            password: Password::parse(SEED_PASSWORD).map_err(Error::Message)?,
        };
        users::Model::register(db, user, Requester::OPERATOR)
            .await
            .map_err(Error::wrap)
    }
}

impl Cast {
    /// Finds or registers all users, in the order of [`SeedUser::ALL`].
    async fn register_all(
        db: &DatabaseConnection,
        [ann, bob, leyla]: [Option<users::Model>; 3],
    ) -> Result<Self> {
        Ok(Self {
            ann: SeedUser::Ann.find_or_register(db, ann).await?,
            bob: SeedUser::Bob.find_or_register(db, bob).await?,
            leyla: SeedUser::Leyla.find_or_register(db, leyla).await?,
        })
    }

    const fn user(&self, seed_user: SeedUser) -> &users::Model {
        match seed_user {
            SeedUser::Ann => &self.ann,
            SeedUser::Bob => &self.bob,
            SeedUser::Leyla => &self.leyla,
        }
    }
}

impl Story {
    /// Returns `true` if the group exists with all its messages. Later changes by its members do
    /// not count.
    async fn exists(&self, db: &DatabaseConnection) -> Result<bool> {
        let group = chat_groups::Model::find_by_name(db, self.name).await?;
        Ok(group.is_some_and(|group| self.is_complete(&group)))
    }

    fn is_complete(&self, group: &chat_groups::Model) -> bool {
        // The last act is a message, and deleting a message does not lower the counter.
        usize::try_from(group.messages).is_ok_and(|messages| messages >= self.message_count())
    }

    async fn seed(&self, db: &DatabaseConnection, cast: &Cast) -> Result<chat_groups::Model> {
        let owner = cast.user(self.owner);
        let group = self.find_or_create_group(db, owner).await?;
        if !self.is_complete(&group) {
            for (seed_user, role) in self.others {
                add_member(db, &group, owner, cast.user(*seed_user), *role).await?;
            }
            self.apply_acts(db, &group, cast).await?;
        }
        Ok(group)
    }

    async fn find_or_create_group(
        &self,
        db: &DatabaseConnection,
        owner: &users::Model,
    ) -> Result<chat_groups::Model> {
        if let Some(group) = chat_groups::Model::find_by_name(db, self.name).await? {
            return Ok(group);
        }
        let title = parse_display_name(self.title).map_err(Error::Message)?;
        let name = || self.name.to_owned();
        Ok(chat_groups::Model::create_named(db, owner, Some(title), name).await?)
    }

    async fn apply_acts(
        &self,
        db: &DatabaseConnection,
        group: &chat_groups::Model,
        cast: &Cast,
    ) -> Result<()> {
        let mut messages: Vec<(&str, i64)> = Vec::new();
        for (index, (seed_user, act)) in self.acts.iter().enumerate() {
            let command = GroupCommand {
                group_id: group.id,
                actor: Some(Actor::from_user(cast.user(*seed_user))),
                // The `cid` works as for a client's retry: a second run does not repeat the acts of
                // an interrupted run.
                cid: Some(format!("seed-{index}")),
                kind: act.command_kind(&messages)?,
            };
            let applied = command.apply_single(db).await.map_err(Error::wrap)?;
            messages.extend(act.text().map(|text| (text, applied.seq)));
        }
        Ok(())
    }
}

/// Adds a member by an invite, as users join, and sets the member's role.
async fn add_member(
    db: &DatabaseConnection,
    group: &chat_groups::Model,
    owner: &users::Model,
    user: &users::Model,
    role: Role,
) -> Result<()> {
    let membership = memberships::Model::find(db, group.id, user.id).await?;
    if membership.is_none() {
        let code = create_invite(db, group, owner, Duration::minutes(1), Some(1)).await?;
        let accept = CommandKind::AcceptInvite {
            code,
            display_name: user.name.clone(),
            quotas: Quotas::UNLIMITED,
        };
        execute(db, group, user, accept).await?;
    }
    let username = user.username.clone();
    execute(db, group, owner, CommandKind::SetRole { username, role }).await?;
    Ok(())
}

async fn create_invite(
    db: &DatabaseConnection,
    group: &chat_groups::Model,
    owner: &users::Model,
    expires_in: Duration,
    max_uses: Option<i64>,
) -> Result<InviteCode> {
    let kind = CommandKind::CreateInvite {
        expires_in,
        max_uses,
    };
    let created = execute(db, group, owner, kind).await?.into_invite();
    let created = created.ok_or_else(|| USAGE.error("an invite was not created"))?;
    Ok(created.code)
}

/// Applies a command of a user. No server runs that would need its events.
async fn execute(
    db: &DatabaseConnection,
    group: &chat_groups::Model,
    user: &users::Model,
    kind: CommandKind,
) -> Result<AppliedCommand> {
    let command = GroupCommand {
        group_id: group.id,
        actor: Some(Actor::from_user(user)),
        cid: None,
        kind,
    };
    command.apply_single(db).await.map_err(Error::wrap)
}
