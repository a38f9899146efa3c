//! A database as a server would have left it: logs without gaps, heads and counts that agree with them,
//! authors who are members. Written by a few statements, since the server itself would take hours.

use chrono::Duration;
use salam::models::{sessions, users};
use salam_benches::{Result, say};
use sea_orm::{ActiveModelTrait, ConnectionTrait, DatabaseConnection, EntityTrait, Set, Statement};

use crate::{
    engine::{Database, Engine},
    size::{LARGE_GROUP, Size, VISITOR, last_message, messages},
};

/// Events that are written between two words about how far it is.
const CHUNK: i64 = 500_000;

/// What a message is cut from.
const TEXT: &str = "The tea is on the table, whoever wants some had better come soon, since the \
    children have found the biscuits and the dog has found the children; there is lemon as well.";

/// Fills an empty database, and logs the visitor in.
///
/// # Errors
/// The database fails, or something about the logs is not right.
pub async fn fill(database: &Database, size: &Size, title: &str) -> Result<sessions::Live> {
    let db = database.connect_in_a_hurry().await?;
    let filling = Filling {
        db: &db,
        engine: database.engine,
        size,
        title,
    };
    let visitor = users::ActiveModel {
        id: Set(VISITOR),
        username: Set("visitor".to_owned()),
        username_key: Set("visitor".to_owned()),
        name: Set("Visitor".to_owned()),
        password_hash: Set(String::new()),
        ..Default::default()
    };
    visitor.insert(&db).await?;
    filling.people().await?;
    filling.groups().await?;
    filling.memberships().await?;
    filling.sessions().await?;
    filling.events().await?;
    filling.reactions().await?;
    filling.check().await?;
    if let Some(tidy) = database.engine.tidy() {
        db.execute_unprepared(tidy).await?;
    }
    log_in(&db).await
}

async fn log_in(db: &DatabaseConnection) -> Result<sessions::Live> {
    let user = users::Entity::find_by_id(VISITOR).one(db).await?;
    let user = user.ok_or("nobody is here")?;
    let refresh = sessions::RefreshId::first();
    let lifetime = Duration::days(1);
    let begun = sessions::Model::begin(db, &user, None, lifetime, refresh, u32::MAX).await?;
    let session = begun.map(|(session, _)| session);
    session.ok_or_else(|| "no session".into())
}

struct Filling<'a> {
    db: &'a DatabaseConnection,
    engine: Engine,
    size: &'a Size,
    title: &'a str,
}

impl Filling<'_> {
    async fn people(&self) -> Result<()> {
        self.run(&format!(
            "INSERT INTO users (id, created_at, updated_at, username, username_key, name, \
             password_hash, is_active) \
             SELECT i, {now}, {now}, 'user' || i, 'user' || i, 'User ' || i, '', TRUE FROM {numbers}",
            now = self.engine.ago("0"),
            numbers = self.engine.series(VISITOR + 1, self.size.users),
        ))
        .await
    }

    /// One of each.
    async fn sessions(&self) -> Result<()> {
        let (now, id) = (self.engine.ago("0"), self.engine.uuid());
        self.run(&format!(
            "INSERT INTO sessions (id, created_at, updated_at, user_id, used_at, expires_at, \
             refresh_jti) SELECT {id}, {now}, {now}, id, {now}, {}, {id} FROM users",
            self.engine.ago("-86400"),
        ))
        .await
    }

    async fn groups(&self) -> Result<()> {
        let head = self.size.head("i");
        self.run(&format!(
            "INSERT INTO chat_groups (id, created_at, updated_at, name, head, messages, last_message) \
             SELECT i, {now}, {now}, {name}, {head}, {messages}, {last} FROM {numbers}",
            now = self.engine.ago("0"),
            name = self.engine.group_name("i"),
            messages = messages(&head),
            last = last_message(&head),
            numbers = self.engine.series(LARGE_GROUP, self.size.groups),
        ))
        .await
    }

    /// Everybody has read half. Those of the large group came last.
    async fn memberships(&self) -> Result<()> {
        let (group, number) = ("chat_groups.id", "n.i");
        self.run(&format!(
            "INSERT INTO memberships (created_at, updated_at, role, user_id, group_id, read, \
             read_messages) SELECT {now}, {now}, CASE WHEN n.i = 0 THEN 'owner' ELSE 'member' END, \
             {member}, {group}, head / 2, {read} FROM chat_groups CROSS JOIN {numbers} \
             WHERE n.i < {members} ORDER BY {group} = {LARGE_GROUP}, {group}, n.i",
            now = self.engine.ago("0"),
            member = self.size.member(group, number),
            read = messages("head / 2"),
            numbers = self.engine.series(0, self.size.crowd - 1),
            members = self.size.members(group),
        ))
        .await
    }

    /// The large log by pieces of it, the others by some groups at once.
    async fn events(&self) -> Result<()> {
        let mut written = 0;
        while written < self.size.large() {
            let end = (written + CHUNK).min(self.size.large());
            self.append((LARGE_GROUP, LARGE_GROUP), (written + 1, end))
                .await?;
            written = end;
            say(&format!("{}: {written} are there", self.title));
        }
        let longest = self.size.own_share();
        let at_once = (CHUNK / longest).max(1);
        let mut group = LARGE_GROUP + 1;
        while group <= self.size.groups {
            let last = (group + at_once - 1).min(self.size.groups);
            self.append((group, last), (1, longest)).await?;
            say(&format!("{}: up to group {last}", self.title));
            group = last + 1;
        }
        Ok(())
    }

    /// The events with these numbers, as far as there are so many, of these groups.
    async fn append(&self, groups: (i64, i64), seqs: (i64, i64)) -> Result<()> {
        let text = format!(
            "substr('{TEXT}', CAST(1 + n.i % 40 AS integer), CAST(20 + n.i * 37 % 110 AS integer))"
        );
        self.run(&format!(
            "INSERT INTO events (group_id, seq, kind, user_id, cid, data, created_at, messages, \
             target, revised) SELECT g.id, n.i, \
             CASE n.i % 10 WHEN 0 THEN 'message.edited' WHEN 7 THEN 'reaction.added' \
             ELSE 'message.created' END, {author}, {cid}, \
             CASE n.i % 10 WHEN 0 THEN '{{\"seq\":' || (n.i - 1) || ',\"text\":\"' || {text} || '\"}}' \
             WHEN 7 THEN '{{\"emoji\":\"👍\",\"seq\":' || (n.i - 1) || '}}' \
             ELSE '{{\"text\":\"' || {text} || '\"}}' END, \
             {at}, {messages}, CASE n.i % 10 WHEN 0 THEN n.i - 1 END, \
             CASE WHEN n.i % 10 = 9 AND n.i < g.head THEN n.i + 1 END \
             FROM chat_groups g CROSS JOIN {numbers} \
             WHERE g.id BETWEEN {} AND {} AND n.i <= g.head",
            groups.0,
            groups.1,
            author = self.size.author("g.id", "n.i"),
            cid = self.engine.cid(),
            at = self.engine.ago("g.head - n.i"),
            messages = messages("n.i"),
            numbers = self.engine.series(seqs.0, seqs.1),
        ))
        .await
    }

    async fn reactions(&self) -> Result<()> {
        self.run(
            "INSERT INTO reactions (group_id, seq, user_id, emoji, added) \
             SELECT group_id, seq - 1, user_id, '👍', seq FROM events WHERE kind = 'reaction.added'",
        )
        .await
    }

    /// That it is what it is said to be.
    async fn check(&self) -> Result<()> {
        let wrong = "SELECT COUNT(*) AS n FROM chat_groups g \
            LEFT JOIN events tip ON tip.group_id = g.id AND tip.seq = g.head \
            LEFT JOIN events said ON said.group_id = g.id AND said.seq = g.last_message \
            WHERE tip.messages IS NULL OR tip.messages <> g.messages \
            OR said.kind IS NULL OR said.kind <> 'message.created' OR said.messages <> g.messages \
            OR g.head <> (SELECT COUNT(*) FROM events WHERE events.group_id = g.id)";
        let wrong = count(self.db, wrong).await?;
        if wrong > 0 {
            return Err(format!("{}: {wrong} logs are not right", self.title).into());
        }
        Ok(())
    }

    async fn run(&self, statement: &str) -> Result<()> {
        self.db.execute_unprepared(statement).await?;
        Ok(())
    }
}

/// The number that a query gives as `n`.
pub async fn count(db: &DatabaseConnection, query: &str) -> Result<i64> {
    let asked = Statement::from_string(db.get_database_backend(), query);
    let row = db.query_one_raw(asked).await?.ok_or("no row")?;
    Ok(row.try_get("", "n")?)
}
