//! Fills a database as a server would have left it: logs without gaps, matching heads and counts,
//! and authors who are members.
//!
//! A few SQL statements write everything, because the server itself would take hours.

use chrono::Duration;
use salam::models::{sessions, users};
use salam_benches::{Result, log_progress};
use sea_orm::{ActiveModelTrait, ConnectionTrait, DatabaseConnection, EntityTrait, Set, Statement};

use crate::{
    engine::{BenchDatabase, Engine},
    size::{DatasetSize, LARGE_GROUP, VISITOR, last_message_sql, message_count_sql},
};

/// The number of events that one statement writes. A line of progress follows each statement.
const EVENTS_PER_STATEMENT: i64 = 500_000;

/// The text that all messages are cut from.
const MESSAGE_TEXT: &str = "The tea is on the table, whoever wants some had better come soon, since the \
    children have found the biscuits and the dog has found the children; there is lemon as well.";

/// Fills an empty database, and logs the visitor in.
///
/// # Errors
/// When the database fails, or when the logs are inconsistent.
pub async fn fill(
    database: &BenchDatabase,
    size: &DatasetSize,
    title: &str,
) -> Result<sessions::ActiveSession> {
    let db = database.connect_for_fast_writes().await?;
    let filler = DatabaseFiller {
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
    filler.insert_users().await?;
    filler.insert_groups().await?;
    filler.insert_memberships().await?;
    filler.insert_sessions().await?;
    filler.insert_events().await?;
    filler.insert_reactions().await?;
    filler.check_consistency().await?;
    if let Some(maintenance) = database.engine.maintenance() {
        db.execute_unprepared(maintenance).await?;
    }
    log_in(&db).await
}

async fn log_in(db: &DatabaseConnection) -> Result<sessions::ActiveSession> {
    let user = users::Entity::find_by_id(VISITOR).one(db).await?;
    let user = user.ok_or("the visitor does not exist")?;
    let refresh = sessions::RefreshId::for_login();
    let lifetime = Duration::days(1);
    let created =
        sessions::Model::create_for_login(db, &user, None, lifetime, refresh, u32::MAX).await?;
    let session = created.map(|(session, _)| session);
    session.ok_or_else(|| "no session was created".into())
}

struct DatabaseFiller<'a> {
    db: &'a DatabaseConnection,
    engine: Engine,
    size: &'a DatasetSize,
    title: &'a str,
}

impl DatabaseFiller<'_> {
    async fn insert_users(&self) -> Result<()> {
        self.run(&format!(
            "INSERT INTO users (id, created_at, updated_at, username, username_key, name, \
             password_hash, is_active) \
             SELECT i, {now}, {now}, 'user' || i, 'user' || i, 'User ' || i, '', TRUE FROM {numbers}",
            now = self.engine.seconds_ago("0"),
            numbers = self.engine.numbers_table(VISITOR + 1, self.size.users),
        ))
        .await
    }

    /// Inserts one session for each user.
    async fn insert_sessions(&self) -> Result<()> {
        let (now, id) = (self.engine.seconds_ago("0"), self.engine.random_uuid());
        self.run(&format!(
            "INSERT INTO sessions (id, created_at, updated_at, user_id, used_at, expires_at, \
             refresh_jti) SELECT {id}, {now}, {now}, id, {now}, {}, {id} FROM users",
            self.engine.seconds_ago("-86400"),
        ))
        .await
    }

    async fn insert_groups(&self) -> Result<()> {
        let head = self.size.head_sql("i");
        self.run(&format!(
            "INSERT INTO chat_groups (id, created_at, updated_at, name, head, messages, last_message) \
             SELECT i, {now}, {now}, {name}, {head}, {messages}, {last} FROM {numbers}",
            now = self.engine.seconds_ago("0"),
            name = self.engine.group_name_sql("i"),
            messages = message_count_sql(&head),
            last = last_message_sql(&head),
            numbers = self.engine.numbers_table(LARGE_GROUP, self.size.groups),
        ))
        .await
    }

    /// Inserts the memberships. Each member has read half of the log. The members of the large
    /// group come last.
    async fn insert_memberships(&self) -> Result<()> {
        let (group, number) = ("chat_groups.id", "n.i");
        self.run(&format!(
            "INSERT INTO memberships (created_at, updated_at, role, user_id, group_id, read, \
             read_messages) SELECT {now}, {now}, CASE WHEN n.i = 0 THEN 'owner' ELSE 'member' END, \
             {member}, {group}, head / 2, {read} FROM chat_groups CROSS JOIN {numbers} \
             WHERE n.i < {members} ORDER BY {group} = {LARGE_GROUP}, {group}, n.i",
            now = self.engine.seconds_ago("0"),
            member = self.size.member_sql(group, number),
            read = message_count_sql("head / 2"),
            numbers = self
                .engine
                .numbers_table(0, self.size.large_group_members - 1),
            members = self.size.member_count_sql(group),
        ))
        .await
    }

    /// Inserts the events: the large log in ranges, and the other logs for some groups at once.
    async fn insert_events(&self) -> Result<()> {
        let mut written = 0;
        while written < self.size.large_group_events() {
            let end = (written + EVENTS_PER_STATEMENT).min(self.size.large_group_events());
            self.insert_event_range((LARGE_GROUP, LARGE_GROUP), (written + 1, end))
                .await?;
            written = end;
            log_progress(&format!("{}: {written} events written", self.title));
        }
        let longest = self.size.events_per_visitor_group();
        let groups_at_once = (EVENTS_PER_STATEMENT / longest).max(1);
        let mut group = LARGE_GROUP + 1;
        while group <= self.size.groups {
            let last = (group + groups_at_once - 1).min(self.size.groups);
            self.insert_event_range((group, last), (1, longest)).await?;
            log_progress(&format!("{}: groups up to {last} written", self.title));
            group = last + 1;
        }
        Ok(())
    }

    /// Inserts the events of a range of seqs, up to the head, for a range of groups.
    async fn insert_event_range(&self, groups: (i64, i64), seqs: (i64, i64)) -> Result<()> {
        let text = format!(
            "substr('{MESSAGE_TEXT}', CAST(1 + n.i % 40 AS integer), CAST(20 + n.i * 37 % 110 AS integer))"
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
            author = self.size.author_sql("g.id", "n.i"),
            cid = self.engine.random_cid(),
            at = self.engine.seconds_ago("g.head - n.i"),
            messages = message_count_sql("n.i"),
            numbers = self.engine.numbers_table(seqs.0, seqs.1),
        ))
        .await
    }

    async fn insert_reactions(&self) -> Result<()> {
        self.run(
            "INSERT INTO reactions (group_id, seq, user_id, emoji, added) \
             SELECT group_id, seq - 1, user_id, '👍', seq FROM events WHERE kind = 'reaction.added'",
        )
        .await
    }

    /// Checks that heads, counts and logs agree.
    async fn check_consistency(&self) -> Result<()> {
        let inconsistent = "SELECT COUNT(*) AS n FROM chat_groups g \
            LEFT JOIN events tip ON tip.group_id = g.id AND tip.seq = g.head \
            LEFT JOIN events said ON said.group_id = g.id AND said.seq = g.last_message \
            WHERE tip.messages IS NULL OR tip.messages <> g.messages \
            OR said.kind IS NULL OR said.kind <> 'message.created' OR said.messages <> g.messages \
            OR g.head <> (SELECT COUNT(*) FROM events WHERE events.group_id = g.id)";
        let inconsistent = query_count(self.db, inconsistent).await?;
        if inconsistent > 0 {
            return Err(format!("{}: {inconsistent} logs are inconsistent", self.title).into());
        }
        Ok(())
    }

    async fn run(&self, statement: &str) -> Result<()> {
        self.db.execute_unprepared(statement).await?;
        Ok(())
    }
}

/// Returns the number that a query selects as `n`.
pub async fn query_count(db: &DatabaseConnection, query: &str) -> Result<i64> {
    let statement = Statement::from_string(db.get_database_backend(), query);
    let row = db
        .query_one_raw(statement)
        .await?
        .ok_or("the query returned no row")?;
    Ok(row.try_get("", "n")?)
}
