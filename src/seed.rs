//! `cargo loco db seed`: three people and two groups to look at, for whoever tries Salam or writes a
//! client of it.
//!
//! They act through the models, as requests do, so that their logs are like any others. No node is told:
//! the groups are new, so nobody listens to them yet, and whoever logs in reads what is stored.

mod stories;

use chrono::Duration;
use loco_rs::{db, prelude::*};
use migration::Migrator;

use self::stories::{LUNCH, SALAM, SeedUser, Story};
use crate::{
    initializers::schema::SchemaInitializer,
    models::{
        chat_groups,
        events::Actor,
        group_commands::GroupCommand,
        hashing::Requester,
        invites,
        memberships::{self, Quotas, Role},
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

/// Everybody's.
const SEED_PASSWORD: &str = "a staple of batteries";

/// How long the invite lets people in.
const INVITE_LIFETIME: Duration = Duration::days(7);

/// Everybody, as they are stored.
struct Cast {
    ann: users::Model,
    bob: users::Model,
    leyla: users::Model,
}

/// Makes what is not there yet, and says what there is. A second run changes nothing, or goes on where
/// the first broke off.
///
/// # Errors
/// In production, and where one of the people is somebody else; nothing is written then. When the
/// database fails.
pub async fn run(ctx: &AppContext) -> Result<()> {
    if is_production(&ctx.environment) {
        return Err(USAGE.error(&format!(
            "everybody knows the password of those whom it makes, so it runs in development and in \
             tests alone, and this is {}",
            ctx.environment
        )));
    }
    migrate(ctx).await?;
    let db = &ctx.db;
    // All are looked for before one is made.
    let found = [
        SeedUser::Ann.find_user(db).await?,
        SeedUser::Bob.find_user(db).await?,
        SeedUser::Leyla.find_user(db).await?,
    ];
    let is_there =
        found.iter().all(Option::is_some) && LUNCH.exists(db).await? && SALAM.exists(db).await?;
    if is_there {
        return print_line(&summary(
            "It was all there already: nothing was changed.",
            &format!(
                "its code was shown when it was made; {} can make another",
                SALAM.owner.username()
            ),
        ));
    }
    let cast = Cast::register_all(db, found).await?;
    LUNCH.seed(db, &cast).await?;
    let group = SALAM.seed(db, &cast).await?;
    let host = cast.user(SALAM.owner);
    let (_, code) = invites::Model::create(db, &group, host, INVITE_LIFETIME, None)
        .await
        .map_err(Error::wrap)?;
    print_line(&summary(
        "There is something to look at now.",
        &format!(
            "{} (to {}, for {} days)",
            code.as_str(),
            group.name,
            INVITE_LIFETIME.num_days()
        ),
    ))
}

/// What the start of a server does, too: who seeds may not have started one yet.
async fn migrate(ctx: &AppContext) -> Result<()> {
    if ctx.config.database.auto_migrate {
        db::migrate::<Migrator>(&ctx.db).await?;
    }
    SchemaInitializer.before_run(ctx).await
}

/// What there is, with a word before it, and one about the invite.
fn summary(first: &str, invite: &str) -> String {
    let people = SeedUser::ALL.map(|who| format!("{} ({})", who.username(), who.name()));
    let groups = [&LUNCH, &SALAM].map(|group| format!("{} ({})", group.name, group.title));
    format!(
        "{first}\n  users     {}\n  password  {SEED_PASSWORD}\n  groups    {}\n  invite    {invite}\n\
         A server that runs on this database shows it to whoever logs in.",
        people.join(", "),
        groups.join(", ")
    )
}

impl SeedUser {
    /// Who it is, if they are there already.
    ///
    /// # Errors
    /// Where it is somebody else.
    async fn find_user(self, db: &DatabaseConnection) -> Result<Option<users::Model>> {
        let username = Username::parse(self.username()).map_err(Error::Message)?;
        let found =
            users::Model::authenticate(db, username.as_str(), SEED_PASSWORD, Requester::OPERATOR)
                .await
                .map_err(Error::wrap)?;
        if found.is_some() {
            return Ok(found);
        }
        let another = users::Model::find_by_username(db, username.as_str()).await?;
        if another.is_some()
            || ConfusableKey::from_username(&username)
                .is_reserved_by_other(db)
                .await?
        {
            return Err(USAGE.error(&format!(
                "`{}` is somebody else here (another password, deactivated, or a name that looks the \
                 same), and nothing was changed; name another database by DATABASE_URL, or empty this \
                 one with `cargo loco db reset`",
                username.as_str()
            )));
        }
        Ok(None)
    }

    /// Who was found, or else is made.
    async fn find_or_register(
        self,
        db: &DatabaseConnection,
        found: Option<users::Model>,
    ) -> Result<users::Model> {
        if let Some(user) = found {
            return Ok(user);
        }
        let user = NewUser {
            name: parse_display_name(self.name()).map_err(Error::Message)?,
            username: Username::parse(self.username()).map_err(Error::Message)?,
            password: Password::parse(SEED_PASSWORD).map_err(Error::Message)?,
        };
        users::Model::register(db, user, Requester::OPERATOR)
            .await
            .map_err(Error::wrap)
    }
}

impl Cast {
    /// In the order of [`SeedUser::ALL`].
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

    const fn user(&self, who: SeedUser) -> &users::Model {
        match who {
            SeedUser::Ann => &self.ann,
            SeedUser::Bob => &self.bob,
            SeedUser::Leyla => &self.leyla,
        }
    }
}

impl Story {
    /// Whether the group is there, with all that is said in it. What its people have changed since is
    /// theirs.
    async fn exists(&self, db: &DatabaseConnection) -> Result<bool> {
        let group = chat_groups::Model::find_by_name(db, self.name).await?;
        Ok(group.is_some_and(|group| self.is_complete(&group)))
    }

    fn is_complete(&self, group: &chat_groups::Model) -> bool {
        // The last of it is a line, and to delete one takes none from what is counted.
        usize::try_from(group.messages).is_ok_and(|said| said >= self.line_count())
    }

    async fn seed(&self, db: &DatabaseConnection, cast: &Cast) -> Result<chat_groups::Model> {
        let owner = cast.user(self.owner);
        let group = self.find_or_create_group(db, owner).await?;
        if !self.is_complete(&group) {
            for (who, role) in self.others {
                add_member(db, &group, owner, cast.user(*who), *role).await?;
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
        let mut lines: Vec<(&str, i64)> = Vec::new();
        for (at, (who, act)) in self.acts.iter().enumerate() {
            let change = GroupCommand {
                group_id: group.id,
                actor: Some(Actor::from_user(cast.user(*who))),
                // As a client retries: what a run that broke off has done is not done again.
                cid: Some(format!("seed-{at}")),
                kind: act.command_kind(&lines)?,
            };
            let outcome = change.apply_single(db).await.map_err(Error::wrap)?;
            let stored = outcome.map_err(Error::wrap)?;
            lines.extend(act.text().map(|text| (text, stored.seq)));
        }
        Ok(())
    }
}

/// Has somebody come in as people do, by an invite, and gives them their role.
async fn add_member(
    db: &DatabaseConnection,
    group: &chat_groups::Model,
    owner: &users::Model,
    user: &users::Model,
    role: Role,
) -> Result<()> {
    let membership = memberships::Model::find(db, group.id, user.id).await?;
    if membership.is_none() {
        let (_, code) = invites::Model::create(db, group, owner, Duration::minutes(1), Some(1))
            .await
            .map_err(Error::wrap)?;
        invites::Model::accept(db, code.as_str(), user, Quotas::UNLIMITED)
            .await
            .map_err(Error::wrap)?;
    }
    memberships::Model::set_role(db, group, owner, &user.username, role)
        .await
        .map_err(Error::wrap)?;
    Ok(())
}
