//! Changes of an application's rows: a change that fails has no effect on the other commands of its batch.

use async_trait::async_trait;
use salam::models::{
    chat_groups,
    events::Actor,
    group_commands::{
        CommandKind, CommandOutcome, GroupCommand, RowChange, RowJson, RowOutcome, RowScope,
        SharedRowChange,
    },
    rejections::CommandError,
    users,
};
use sea_orm::{ConnectionTrait, DbErr};
use serde_json::{json, value::RawValue};

use crate::support::{TestApp, skip_unless};

/// The ways in which the changes of these tests end.
#[derive(Debug, Clone, Copy)]
enum End {
    Stored,
    UniqueViolation,
    /// PostgreSQL refuses a text that is longer than its column.
    InvalidValue,
    Custom,
    Panic,
    /// The change hides the error of a statement.
    HiddenError,
    TooLarge,
    ReservedKind,
}

/// A change that inserts a row, and then ends.
#[derive(Debug)]
struct TestChange(End);

#[async_trait]
impl RowChange for TestChange {
    fn event_kind(&self) -> Option<&'static str> {
        Some(match self.0 {
            End::ReservedKind => "message.pinned",
            _ => "test.stored",
        })
    }

    fn is_retry_of(&self, first: &RawValue) -> bool {
        first.get() == r#"{"size":1}"#
    }

    async fn apply(&self, scope: &RowScope<'_>) -> Result<RowOutcome, CommandError> {
        let db = scope.transaction;
        let insert = |value: &str| format!("INSERT INTO test_rows (value) VALUES ('{value}')");
        db.execute_unprepared(&insert("once")).await?;
        match self.0 {
            End::Stored | End::ReservedKind => {}
            End::UniqueViolation => {
                db.execute_unprepared(&insert("once")).await?;
            }
            End::InvalidValue => {
                db.execute_unprepared(&insert("longer than the column"))
                    .await?;
            }
            End::Custom => return Err(DbErr::Custom("of the application".to_owned()).into()),
            End::Panic => panic!("a fault of the application"),
            End::HiddenError => {
                let _ = db.execute_unprepared(&insert("once")).await;
            }
            End::TooLarge => {
                let row = RowJson::new(&json!({"text": "x".repeat(64 * 1024)}))?;
                return Ok(RowOutcome::Changed(row));
            }
        }
        Ok(RowOutcome::Changed(RowJson::new(&json!({"size": 1}))?))
    }
}

struct Scene {
    app: TestApp,
    group: chat_groups::Model,
    user: users::Model,
}

impl Scene {
    async fn start() -> Self {
        let app = TestApp::start().await;
        let name = app.user("ann").await.start_chat().await;
        let db = &app.ctx.db;
        db.execute_unprepared("CREATE TABLE test_rows (value VARCHAR(9) NOT NULL UNIQUE)")
            .await
            .unwrap();
        let group = chat_groups::Model::find_by_name(db, &name).await;
        let user = users::Model::find_by_username(db, "ann").await;
        Self {
            group: group.unwrap().unwrap(),
            user: user.unwrap().unwrap(),
            app,
        }
    }

    fn command(&self, cid: Option<&str>, kind: CommandKind) -> GroupCommand {
        GroupCommand {
            group_id: self.group.id,
            actor: Some(Actor::from_user(&self.user)),
            cid: cid.map(ToOwned::to_owned),
            kind,
        }
    }

    fn change(&self, cid: Option<&str>, end: End) -> GroupCommand {
        let change = SharedRowChange::new(TestChange(end));
        self.command(cid, CommandKind::ChangeRow(change))
    }

    fn send(&self, text: &str) -> GroupCommand {
        let (text, reply_to) = (text.to_owned(), None);
        self.command(None, CommandKind::Send { text, reply_to })
    }

    async fn apply(&self, commands: Vec<GroupCommand>) -> Vec<CommandOutcome> {
        GroupCommand::apply_all(&self.app.ctx.db, commands)
            .await
            .unwrap()
    }

    /// The number of rows.
    async fn count(&self) -> usize {
        let rows = self
            .app
            .ctx
            .db
            .execute_unprepared("UPDATE test_rows SET value = value");
        usize::try_from(rows.await.unwrap().rows_affected()).unwrap()
    }
}

/// Returns `ok`, or the code of the rejection.
fn code(outcome: &CommandOutcome) -> &'static str {
    match outcome {
        Ok(_) => "ok",
        Err(rejection) => rejection.code(),
    }
}

async fn assert_fails_alone(ends: &[(End, &str)]) {
    for (end, expected) in ends {
        let scene = Scene::start().await;
        let batch = vec![
            scene.send("before"),
            scene.change(None, *end),
            scene.send("after"),
        ];
        let outcomes = scene.apply(batch).await;
        let codes: Vec<_> = outcomes.iter().map(code).collect();
        assert_eq!(codes, ["ok", expected, "ok"], "{end:?}");
        assert_eq!(scene.count().await, 0, "{end:?} left a row");
        // The database is as usable as before.
        let stored = scene.apply(vec![scene.change(None, End::Stored)]).await;
        assert_eq!(code(&stored[0]), "ok", "{end:?}");
        assert_eq!(scene.count().await, 1);
    }
}

#[tokio::test]
async fn a_failed_change_affects_no_other_command_of_its_batch() {
    assert_fails_alone(&[
        (End::UniqueViolation, "conflict"),
        (End::Custom, "internal"),
        (End::Panic, "internal"),
        (End::TooLarge, "limit_exceeded"),
        (End::ReservedKind, "internal"),
    ])
    .await;
}

#[tokio::test]
async fn values_that_postgresql_refuses_affect_no_other_command() {
    skip_unless!(PostgreSQL);
    assert_fails_alone(&[
        (End::InvalidValue, "invalid"),
        (End::HiddenError, "internal"),
    ])
    .await;
}

#[tokio::test]
async fn a_cid_belongs_to_one_change() {
    let scene = Scene::start().await;
    // Twice in one batch, and once more later.
    let batch = vec![
        scene.change(Some("first"), End::Stored),
        scene.change(Some("first"), End::Stored),
    ];
    let outcomes = scene.apply(batch).await;
    let dups: Vec<_> = outcomes
        .iter()
        .map(|outcome| outcome.as_ref().unwrap().dup)
        .collect();
    assert_eq!(dups, [false, true]);
    let rows: Vec<_> = outcomes
        .into_iter()
        .map(|outcome| outcome.unwrap().into_row().unwrap())
        .collect();
    assert_eq!(rows[0], rows[1]);
    assert_eq!(scene.count().await, 1);
    // A command of another kind cannot have the same key.
    let message = scene.command(
        Some("first"),
        CommandKind::Send {
            text: "hi".to_owned(),
            reply_to: None,
        },
    );
    let outcomes = scene
        .apply(vec![message, scene.change(Some("first"), End::Stored)])
        .await;
    assert_eq!(code(&outcomes[0]), "cid_reused");
    assert!(outcomes[1].as_ref().unwrap().dup);
}
