//! `cargo loco db seed`: three people and two groups to look at, for whoever tries Salam or writes a
//! client of it.
//!
//! They act through the models, as requests do, so that their logs are like any others. No node is told:
//! the groups are new, so nobody listens to them yet, and whoever logs in reads what is stored.

mod stories;

use chrono::Duration;
use loco_rs::{db, prelude::*};
use migration::Migrator;

use self::stories::{LUNCH, SALAM, Story, Who};
use crate::{
    initializers::schema::SchemaInitializer,
    models::{
        changes::Change,
        chat_groups,
        events::Author,
        hashing::Requester,
        invites,
        memberships::{self, Quotas, Role},
        passwords::Password,
        skeletons::Look,
        usernames::{Username, parse_display_name},
        users::{self, NewUser},
    },
    settings::in_production,
    tasks::operator::{Usage, say},
};

const USAGE: Usage = Usage {
    name: "db seed",
    example: "cargo loco db seed",
};

/// Everybody's.
const PASSWORD: &str = "a staple of batteries";

/// How long the invite lets people in.
const INVITED_FOR: Duration = Duration::days(7);

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
    if in_production(&ctx.environment) {
        return Err(USAGE.refuse(&format!(
            "everybody knows the password of those whom it makes, so it runs in development and in \
             tests alone, and this is {}",
            ctx.environment
        )));
    }
    migrate(ctx).await?;
    let db = &ctx.db;
    // All are looked for before one is made.
    let found = [
        Who::Ann.find(db).await?,
        Who::Bob.find(db).await?,
        Who::Leyla.find(db).await?,
    ];
    let is_there = found.iter().all(Option::is_some)
        && LUNCH.is_there(db).await?
        && SALAM.is_there(db).await?;
    if is_there {
        return say(&told(
            "It was all there already: nothing was changed.",
            &format!(
                "its code was shown when it was made; {} can make another",
                SALAM.owner.username()
            ),
        ));
    }
    let cast = Cast::gather(db, found).await?;
    LUNCH.make(db, &cast).await?;
    let group = SALAM.make(db, &cast).await?;
    let host = cast.of(SALAM.owner);
    let (_, code) = invites::Model::create(db, &group, host, INVITED_FOR, None)
        .await
        .map_err(Error::wrap)?;
    say(&told(
        "There is something to look at now.",
        &format!(
            "{} (to {}, for {} days)",
            code.as_str(),
            group.name,
            INVITED_FOR.num_days()
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
fn told(first: &str, invite: &str) -> String {
    let people = Who::ALL.map(|who| format!("{} ({})", who.username(), who.name()));
    let groups = [&LUNCH, &SALAM].map(|group| format!("{} ({})", group.name, group.title));
    format!(
        "{first}\n  users     {}\n  password  {PASSWORD}\n  groups    {}\n  invite    {invite}\n\
         A server that runs on this database shows it to whoever logs in.",
        people.join(", "),
        groups.join(", ")
    )
}

impl Who {
    /// Who it is, if they are there already.
    ///
    /// # Errors
    /// Where it is somebody else.
    async fn find(self, db: &DatabaseConnection) -> Result<Option<users::Model>> {
        let username = Username::parse(self.username()).map_err(Error::Message)?;
        let found =
            users::Model::authenticate(db, username.as_str(), PASSWORD, Requester::OPERATOR)
                .await
                .map_err(Error::wrap)?;
        if found.is_some() {
            return Ok(found);
        }
        let another = users::Model::find_by_username(db, username.as_str()).await?;
        if another.is_some() || Look::of(&username).is_taken(db).await? {
            return Err(USAGE.refuse(&format!(
                "`{}` is somebody else here (another password, deactivated, or a name that looks the \
                 same), and nothing was changed; name another database by DATABASE_URL, or empty this \
                 one with `cargo loco db reset`",
                username.as_str()
            )));
        }
        Ok(None)
    }

    /// Who was found, or else is made.
    async fn or_register(
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
            password: Password::parse(PASSWORD).map_err(Error::Message)?,
        };
        users::Model::register(db, user, Requester::OPERATOR)
            .await
            .map_err(Error::wrap)
    }
}

impl Cast {
    /// In the order of [`Who::ALL`].
    async fn gather(
        db: &DatabaseConnection,
        [ann, bob, leyla]: [Option<users::Model>; 3],
    ) -> Result<Self> {
        Ok(Self {
            ann: Who::Ann.or_register(db, ann).await?,
            bob: Who::Bob.or_register(db, bob).await?,
            leyla: Who::Leyla.or_register(db, leyla).await?,
        })
    }

    const fn of(&self, who: Who) -> &users::Model {
        match who {
            Who::Ann => &self.ann,
            Who::Bob => &self.bob,
            Who::Leyla => &self.leyla,
        }
    }
}

impl Story {
    /// Whether the group is there, with all that is said in it. What its people have changed since is
    /// theirs.
    async fn is_there(&self, db: &DatabaseConnection) -> Result<bool> {
        let group = chat_groups::Model::find_by_name(db, self.name).await?;
        Ok(group.is_some_and(|group| self.is_told(&group)))
    }

    fn is_told(&self, group: &chat_groups::Model) -> bool {
        // The last of it is a line, and to delete one takes none from what is counted.
        usize::try_from(group.messages).is_ok_and(|said| said >= self.lines())
    }

    async fn make(&self, db: &DatabaseConnection, cast: &Cast) -> Result<chat_groups::Model> {
        let owner = cast.of(self.owner);
        let group = self.start(db, owner).await?;
        if !self.is_told(&group) {
            for (who, role) in self.others {
                bring_in(db, &group, owner, cast.of(*who), *role).await?;
            }
            self.tell(db, &group, cast).await?;
        }
        Ok(group)
    }

    async fn start(
        &self,
        db: &DatabaseConnection,
        owner: &users::Model,
    ) -> Result<chat_groups::Model> {
        if let Some(group) = chat_groups::Model::find_by_name(db, self.name).await? {
            return Ok(group);
        }
        let title = parse_display_name(self.title).map_err(Error::Message)?;
        let name = || self.name.to_owned();
        Ok(chat_groups::Model::start_named(db, owner, Some(title), name).await?)
    }

    async fn tell(
        &self,
        db: &DatabaseConnection,
        group: &chat_groups::Model,
        cast: &Cast,
    ) -> Result<()> {
        let mut lines: Vec<(&str, i64)> = Vec::new();
        for (at, (who, act)) in self.acts.iter().enumerate() {
            let change = Change {
                group_id: group.id,
                author: Some(Author::of(cast.of(*who))),
                // As a client retries: what a run that broke off has done is not done again.
                cid: Some(format!("seed-{at}")),
                what: act.what(&lines)?,
            };
            let outcome = change.make_alone(db).await.map_err(Error::wrap)?;
            let stored = outcome.map_err(Error::wrap)?;
            lines.extend(act.line().map(|text| (text, stored.seq)));
        }
        Ok(())
    }
}

/// Has somebody come in as people do, by an invite, and gives them their role.
async fn bring_in(
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
        invites::Model::accept(db, code.as_str(), user, Quotas::NONE)
            .await
            .map_err(Error::wrap)?;
    }
    memberships::Model::set_role(db, group, owner, &user.username, role)
        .await
        .map_err(Error::wrap)?;
    Ok(())
}
