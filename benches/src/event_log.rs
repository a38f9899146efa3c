//! A log that Salam's own models write without a server: a user, groups and messages.

use migration::{Migrator, MigratorTrait};
use salam::models::{
    chat_groups,
    events::Actor,
    group_commands::{CommandKind, GroupCommand},
    users,
};
use sea_orm::{
    ActiveModelTrait, ConnectOptions, ConnectionTrait, Database, DatabaseConnection, Set,
};

use crate::Result;

/// The value of `database.run_on_start` for SQLite.
const RUN_ON_START: &str = "PRAGMA page_size = 2048; PRAGMA journal_mode = WAL;";

/// Opens a pool of connections to an empty database, and migrates the database.
///
/// # Errors
/// When the database fails.
pub async fn open_migrated(uri: &str, connections: u32) -> Result<DatabaseConnection> {
    let mut options = ConnectOptions::new(uri);
    options.max_connections(connections).sqlx_logging(false);
    let db = Database::connect(options).await?;
    if uri.starts_with("sqlite:") {
        db.execute_unprepared(RUN_ON_START).await?;
    }
    Migrator::up(&db, None).await?;
    Ok(db)
}

/// Creates a user, and groups that the user owns.
///
/// # Errors
/// When the database fails.
pub async fn create_user_and_groups(
    db: &DatabaseConnection,
    count: usize,
) -> Result<(Actor, Vec<chat_groups::Model>)> {
    let user = users::ActiveModel {
        username: Set("ann".to_owned()),
        username_key: Set("ann".to_owned()),
        name: Set("Ann".to_owned()),
        password_hash: Set(String::new()),
        ..Default::default()
    };
    let user = user.insert(db).await?;
    let mut groups = Vec::new();
    for _ in 0..count {
        groups.push(chat_groups::Model::create(db, &user, None).await?);
    }
    Ok((Actor::from_user(&user), groups))
}

/// Returns a command that sends a message, with a new cid each time.
#[must_use]
pub fn message_command(group_id: i64, author: &Actor, text: &str) -> GroupCommand {
    GroupCommand {
        group_id,
        actor: Some(author.clone()),
        cid: Some(uuid::Uuid::new_v4().simple().to_string()),
        kind: CommandKind::Send {
            text: text.to_owned(),
            reply_to: None,
        },
    }
}
