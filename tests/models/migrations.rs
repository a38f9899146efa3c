//! Migrations only expand the schema, so that nodes of the previous release work until they are replaced.

use std::collections::{BTreeMap, BTreeSet};

use migration::{Migrator, MigratorTrait, SchemaState};
use sea_orm::{ConnectionTrait, Database, DatabaseConnection, DbBackend, Statement};

use crate::{
    cli::command::CommandRun,
    support::{Server, TestApp, TestDatabase},
};

/// The last migration of the previous release. A release sets the name of its own last migration here.
const LAST_RELEASED: &str = "m20261130_000014_timeline";

/// The suffix of a migration with which older versions do not work.
const BREAKING_SUFFIX: &str = "_breaking";

/// The parts of a schema on which an older version relies.
#[derive(Debug, Default)]
struct Schema {
    /// The columns of each table, by table and column.
    columns: BTreeMap<(String, String), Column>,
    /// The rules for rows, by table: unique indexes, foreign keys and checks.
    rules: BTreeSet<(String, String)>,
}

#[derive(Debug, PartialEq, Eq)]
struct Column {
    kind: String,
    is_nullable: bool,
    has_default: bool,
}

impl Schema {
    async fn read(db: &DatabaseConnection) -> Self {
        match db.get_database_backend() {
            DbBackend::Postgres => Self::read_postgres(db).await,
            _ => Self::read_sqlite(db).await,
        }
    }

    async fn read_postgres(db: &DatabaseConnection) -> Self {
        let columns = "SELECT table_name::text, column_name::text, data_type::text, is_nullable::text, \
                       COALESCE(column_default, is_identity)::text FROM information_schema.columns \
                       WHERE table_schema = 'public'";
        let columns = rows(db, columns).await.into_iter();
        let columns = columns.map(|[table, name, kind, nullable, default]| {
            let column = Column {
                kind: kind.unwrap(),
                is_nullable: nullable.as_deref() == Some("YES"),
                has_default: default.is_some_and(|default| default != "NO"),
            };
            ((table.unwrap(), name.unwrap()), column)
        });
        let rules = "SELECT conrelid::regclass::text, pg_get_constraintdef(oid)::text FROM pg_constraint \
                     WHERE connamespace = 'public'::regnamespace AND contype IN ('c', 'f', 'p', 'u', 'x') \
                     UNION SELECT indrelid::regclass::text, pg_get_indexdef(indexrelid)::text FROM pg_index \
                     JOIN pg_class ON pg_class.oid = indexrelid WHERE indisunique \
                     AND relnamespace = 'public'::regnamespace";
        Self {
            columns: columns.collect(),
            rules: pairs(db, rules).await,
        }
    }

    async fn read_sqlite(db: &DatabaseConnection) -> Self {
        let columns = "SELECT m.name, c.name, lower(c.type), CAST(c.\"notnull\" AS TEXT), \
                       CAST(c.dflt_value AS TEXT), CAST(c.pk AS TEXT) FROM sqlite_master m \
                       JOIN pragma_table_info(m.name) c WHERE m.type = 'table'";
        let columns = rows(db, columns).await.into_iter();
        let columns = columns.map(|[table, name, kind, not_null, default, key]| {
            let column = Column {
                kind: kind.unwrap(),
                is_nullable: not_null.as_deref() == Some("0"),
                has_default: default.is_some() || key.as_deref() != Some("0"),
            };
            ((table.unwrap(), name.unwrap()), column)
        });
        let columns = columns.collect();
        let mut rules = BTreeSet::new();
        let keys = "SELECT m.name, f.\"from\" || ' -> ' || f.\"table\" || ' ' || f.on_delete FROM sqlite_master m \
                    JOIN pragma_foreign_key_list(m.name) f WHERE m.type = 'table'";
        rules.extend(pairs(db, keys).await);
        let unique = "SELECT m.name, group_concat(c.name) FROM sqlite_master m JOIN pragma_index_list(m.name) i \
                      JOIN pragma_index_info(i.name) c WHERE m.type = 'table' AND i.\"unique\" = 1 \
                      GROUP BY m.name, i.name";
        rules.extend(pairs(db, unique).await);
        let tables = "SELECT name, sql FROM sqlite_master WHERE type = 'table'";
        for (table, sql) in pairs(db, tables).await {
            let checks = sql.to_lowercase().matches("check").count();
            rules.extend((0..checks).map(|number| (table.clone(), format!("check {number}"))));
        }
        Self { columns, rules }
    }

    /// Returns the parts of this schema that are missing or stricter in a newer schema.
    fn problems_after(&self, newer: &Self) -> Vec<String> {
        let mut problems = Vec::new();
        for ((table, name), old) in &self.columns {
            match newer.columns.get(&(table.clone(), name.clone())) {
                None => problems.push(format!("{table}.{name} is missing")),
                Some(new) if new.kind != old.kind => {
                    problems.push(format!("{table}.{name} is {} now", new.kind));
                }
                Some(new) if old.is_nullable && !new.is_nullable => {
                    problems.push(format!("{table}.{name} must not be null now"));
                }
                Some(new) if old.has_default && !new.has_default => {
                    problems.push(format!("{table}.{name} has no default now"));
                }
                Some(_) => {}
            }
        }
        let tables: BTreeSet<_> = self.columns.keys().map(|(table, _)| table).collect();
        for ((table, name), new) in &newer.columns {
            let is_new = !self.columns.contains_key(&(table.clone(), name.clone()));
            if tables.contains(table) && is_new && !new.is_nullable && !new.has_default {
                problems.push(format!("{table}.{name} needs a value"));
            }
        }
        let new_rules = newer.rules.difference(&self.rules);
        let new_rules = new_rules.filter(|(table, _)| tables.contains(table));
        problems.extend(new_rules.map(|(table, rule)| format!("{table} has the rule {rule}")));
        problems
    }
}

/// Returns all rows of a query whose columns are texts.
async fn rows<const COLUMNS: usize>(
    db: &DatabaseConnection,
    sql: &str,
) -> Vec<[Option<String>; COLUMNS]> {
    let statement = Statement::from_string(db.get_database_backend(), sql);
    let rows = db.query_all_raw(statement).await.unwrap();
    let values = rows
        .iter()
        .map(|row| std::array::from_fn(|index| row.try_get_by_index(index).unwrap()));
    values.collect()
}

async fn pairs(db: &DatabaseConnection, sql: &str) -> BTreeSet<(String, String)> {
    let rows = rows(db, sql).await.into_iter();
    rows.map(|[table, rule]| (table.unwrap(), rule.unwrap()))
        .collect()
}

#[tokio::test]
async fn migrations_since_the_last_release_only_expand_the_schema() {
    let database = TestDatabase::create().await;
    let db = Database::connect(&database.uri).await.unwrap();
    let names: Vec<_> = Migrator::migrations()
        .iter()
        .map(|migration| migration.name().to_owned())
        .collect();
    let released = names.iter().position(|name| name == LAST_RELEASED);
    let released = released.expect("the last release has this migration") + 1;
    Migrator::up(&db, Some(released.try_into().unwrap()))
        .await
        .unwrap();
    let before = Schema::read(&db).await;
    assert!(!before.columns.is_empty() && !before.rules.is_empty());
    Migrator::up(&db, None).await.unwrap();
    let problems = before.problems_after(&Schema::read(&db).await);
    let is_breaking = names[released..]
        .iter()
        .any(|name| name.ends_with(BREAKING_SUFFIX));
    assert!(
        problems.is_empty() || is_breaking,
        "the previous release does not work with this schema: {problems:#?}"
    );
}

#[tokio::test]
async fn changes_that_break_the_previous_release_are_noticed() {
    for (change, expected) in [
        ("ALTER TABLE users ADD COLUMN colour TEXT", None),
        (
            "ALTER TABLE users ADD COLUMN colour TEXT NOT NULL DEFAULT 'blue'",
            None,
        ),
        ("CREATE TABLE colours (name TEXT NOT NULL UNIQUE)", None),
        ("CREATE INDEX colours ON users (name)", None),
        (
            "ALTER TABLE users RENAME COLUMN name TO title",
            Some("users.name is missing"),
        ),
        ("DROP TABLE reactions", Some("reactions.emoji is missing")),
        (
            "CREATE UNIQUE INDEX one_name ON users (name)",
            Some("users has the rule"),
        ),
    ] {
        let database = TestDatabase::create().await;
        let db = Database::connect(&database.uri).await.unwrap();
        Migrator::up(&db, None).await.unwrap();
        let before = Schema::read(&db).await;
        db.execute_unprepared(change).await.unwrap();
        let problems = before.problems_after(&Schema::read(&db).await);
        match expected {
            None => assert!(problems.is_empty(), "{change}: {problems:?}"),
            Some(expected) => assert!(
                problems.iter().any(|problem| problem.contains(expected)),
                "{change}: {problems:?}"
            ),
        }
    }
}

/// A newer version has run a migration while a node of this version serves. The node continues, and can restart.
#[tokio::test]
async fn a_node_works_on_a_schema_that_a_newer_version_has_expanded() {
    let app = TestApp::start().await;
    let db = &app.ctx.db;
    let newer =
        "INSERT INTO seaql_migrations (version, applied_at) VALUES ('m20990101_000001_colours', 0)";
    db.execute_unprepared(newer).await.unwrap();
    let state = SchemaState::read(db).await.unwrap();
    assert!(state.is_migrated());
    assert_eq!(app.get("/_readiness").await.status, 200);
    app.user("ann").await.start_chat().await;
    // The start of another node neither runs nor rolls back a migration.
    Migrator::up(db, None).await.unwrap();
    let rejected = Migrator::down(db, None).await.unwrap_err().to_string();
    assert!(rejected.contains("m20990101_000001_colours"), "{rejected}");
    assert!(SchemaState::read(db).await.unwrap().is_migrated());
    // A schema that lacks a migration of this version is not compatible.
    let last = format!("DELETE FROM seaql_migrations WHERE version = '{LAST_RELEASED}'");
    db.execute_unprepared(&last).await.unwrap();
    let state = SchemaState::read(db).await.unwrap();
    assert!(
        !state.is_migrated() && state.check_usable().is_err(),
        "{state:?}"
    );
    drop(app);
    let database = TestDatabase::create().await;
    let db = Database::connect(&database.uri).await.unwrap();
    Migrator::up(&db, None).await.unwrap();
    db.execute_unprepared(newer).await.unwrap();
    let mut server = Server::start(&database);
    assert_eq!(server.read_addresses().await.len(), 3);
    let variables = [("DATABASE_URL", database.uri.as_str())];
    let status = CommandRun::run(&["db", "status"], &variables).await;
    assert_eq!(status.code, Some(0), "{}", status.output);
    for line in [
        format!("{LAST_RELEASED}: applied"),
        "m20990101_000001_colours: applied by a newer version".to_owned(),
    ] {
        assert!(status.output.contains(&line), "{}", status.output);
    }
}
