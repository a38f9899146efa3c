//! Commands about members, invites and groups: their actors, and their effect on the next commands of their batch.

use insta::assert_snapshot;
use salam::limits::Quotas;
use salam::models::{
    chat_groups,
    events::{self, Actor},
    group_commands::{CommandKind, CommandOutcome, DuplicateCheck, GroupCommand, ToggleLimiter},
    invites,
    log::AcknowledgedHeads,
    memberships::{self, Role},
    reactions::Emoji,
    users,
};
use sea_orm::{ColumnTrait, EntityTrait, PaginatorTrait, QueryFilter, QueryOrder};

use crate::support::TestApp;

/// A group with an owner, an admin, two members and a stranger. Message 1 is by the first member.
struct Scene {
    app: TestApp,
    users: Vec<users::Model>,
}

const NAMES: [&str; 5] = ["owner", "admin", "member", "other", "stranger"];

impl Scene {
    async fn start() -> Self {
        let app = TestApp::start().await;
        for name in NAMES {
            app.user(name).await;
        }
        let users = users::Entity::find().order_by_asc(users::Column::Id);
        let users = users.all(&app.ctx.db).await.unwrap();
        Self { app, users }
    }

    fn user(&self, name: &str) -> &users::Model {
        let found = self.users.iter().find(|user| user.username == name);
        found.unwrap()
    }

    async fn create_group(&self) -> chat_groups::Model {
        let db = &self.app.ctx.db;
        let group = chat_groups::Model::create(db, self.user("owner"), None).await;
        let group = group.unwrap();
        let roles = [
            ("admin", Role::Admin),
            ("member", Role::Member),
            ("other", Role::Member),
        ];
        for (name, role) in roles {
            let created = memberships::Model::create(db, &group, self.user(name).id, role).await;
            created.unwrap();
        }
        group
    }

    /// A command of a user, or of an operator.
    fn command(&self, group: &chat_groups::Model, name: &str, kind: CommandKind) -> GroupCommand {
        let user = self.users.iter().find(|user| user.username == name);
        GroupCommand {
            group_id: group.id,
            actor: user.map(Actor::from_user),
            cid: None,
            kind,
        }
    }

    /// Applies the commands of users in one batch.
    async fn apply(
        &self,
        group: &chat_groups::Model,
        commands: Vec<(&str, CommandKind)>,
    ) -> Vec<CommandOutcome> {
        let commands = commands
            .into_iter()
            .map(|(name, kind)| self.command(group, name, kind));
        let applied = GroupCommand::apply_all(&self.app.ctx.db, commands.collect()).await;
        applied.unwrap()
    }

    /// Creates an invite and returns its code.
    async fn invite(&self, group: &chat_groups::Model, max_uses: Option<i64>) -> String {
        let kind = CommandKind::CreateInvite {
            expires_in: chrono::Duration::minutes(1),
            max_uses,
        };
        let [created] = self
            .apply(group, vec![("owner", kind)])
            .await
            .try_into()
            .unwrap();
        let created = created.unwrap().into_invite().unwrap();
        created.code.as_str().to_owned()
    }

    fn accept(&self, name: &str, code: &str) -> CommandKind {
        CommandKind::AcceptInvite {
            code: code.to_owned().into(),
            display_name: self.user(name).name.clone(),
            quotas: Quotas::UNLIMITED,
        }
    }

    /// The kinds and the data of a group's log.
    async fn log(&self, group: &chat_groups::Model) -> Vec<String> {
        let log = events::Model::list_after(&self.app.ctx.db, group.id, 0, 100).await;
        log.unwrap()
            .iter()
            .map(|event| {
                let by = event.by.as_deref().unwrap_or("-");
                let (kind, json) = (event.body.kind(), event.body.json());
                format!("{} {by} {kind} {json}", event.seq)
            })
            .collect()
    }
}

fn send(text: &str) -> CommandKind {
    CommandKind::Send {
        text: text.to_owned(),
        reply_to: None,
    }
}

fn kick(name: &str) -> CommandKind {
    CommandKind::Kick {
        username: name.to_owned(),
    }
}

/// The code of each outcome.
fn codes(outcomes: &[CommandOutcome]) -> Vec<&'static str> {
    let code = |outcome: &CommandOutcome| match outcome {
        Ok(applied) if applied.dup => "unchanged",
        Ok(_) => "ok",
        Err(rejection) => rejection.code(),
    };
    outcomes.iter().map(code).collect()
}

#[tokio::test]
async fn each_command_is_allowed_to_the_roles_of_the_table() {
    let scene = Scene::start().await;
    let username = || "other".to_owned();
    type NamedCommand = (&'static str, fn(String) -> CommandKind);
    let kinds: [NamedCommand; 17] = [
        ("send", |_| send("hi")),
        ("edit another's", |_| CommandKind::Edit {
            seq: 1,
            text: "x".to_owned(),
        }),
        ("delete another's", |_| CommandKind::Delete { seq: 1 }),
        ("react", |_| CommandKind::React {
            seq: 1,
            emoji: Emoji::parse("👍").unwrap(),
            on: true,
        }),
        ("read", |_| CommandKind::Read { seq: 1 }),
        ("set title", |_| CommandKind::SetTitle {
            title: Some("Lunch".to_owned()),
        }),
        ("set role", |username| CommandKind::SetRole {
            username,
            role: Role::Admin,
        }),
        ("kick a member", |username| CommandKind::Kick { username }),
        ("kick the owner", |_| kick("owner")),
        ("ban a member", |username| CommandKind::Ban { username }),
        ("unban", |username| CommandKind::Unban { username }),
        ("leave", |_| CommandKind::Leave),
        ("create invite", |_| CommandKind::CreateInvite {
            expires_in: chrono::Duration::minutes(1),
            max_uses: None,
        }),
        ("revoke invite", |_| CommandKind::RevokeInvite { id: -1 }),
        ("accept invite", |code| CommandKind::AcceptInvite {
            code: code.into(),
            display_name: "Name".to_owned(),
            quotas: Quotas::UNLIMITED,
        }),
        ("delete group", |_| CommandKind::DeleteGroup),
        ("transfer ownership", |_| CommandKind::TransferOwnership {
            owner_id: 1,
        }),
    ];
    let actors = ["operator", "stranger", "member", "admin", "owner"];
    let mut table = vec![format!("{:<18} {}", "", actors.join(" "))];
    for (name, kind) in kinds {
        let mut row = vec![format!("{name:<18}")];
        for actor in actors {
            let group = scene.create_group().await;
            scene.apply(&group, vec![("other", send("one"))]).await;
            let argument = match name {
                "accept invite" => scene.invite(&group, None).await,
                _ => username(),
            };
            let outcomes = scene.apply(&group, vec![(actor, kind(argument))]).await;
            row.push(codes(&outcomes)[0].to_owned());
        }
        table.push(row.join(" "));
    }
    assert_snapshot!(table.join("\n"), @r#"
                       operator stranger member admin owner
    send               ok not_member ok ok ok
    edit another's     ok not_member forbidden forbidden forbidden
    delete another's   ok not_member forbidden ok ok
    react              forbidden not_member ok ok ok
    read               forbidden not_member ok ok ok
    set title          forbidden not_member forbidden ok ok
    set role           forbidden not_member forbidden forbidden ok
    kick a member      forbidden not_member forbidden ok ok
    kick the owner     forbidden not_member forbidden forbidden forbidden
    ban a member       forbidden not_member forbidden ok ok
    unban              forbidden not_member forbidden not_found not_found
    leave              forbidden not_member ok ok conflict
    create invite      forbidden not_member forbidden ok ok
    revoke invite      forbidden not_member forbidden not_found not_found
    accept invite      forbidden ok unchanged unchanged unchanged
    delete group       forbidden not_member forbidden forbidden ok
    transfer ownership unchanged forbidden forbidden forbidden forbidden
    "#);
}

#[tokio::test]
async fn later_commands_of_a_batch_see_removals_and_new_members() {
    let scene = Scene::start().await;
    let group = scene.create_group().await;
    let code = scene.invite(&group, Some(1)).await;
    let outcomes = scene
        .apply(
            &group,
            vec![
                ("member", send("before")),
                ("admin", kick("member")),
                ("member", send("after")),
                ("member", CommandKind::Read { seq: 1 }),
                ("stranger", send("too early")),
                ("stranger", scene.accept("stranger", &code)),
                ("stranger", send("hi")),
                ("stranger", scene.accept("stranger", &code)),
                // The invite is used up.
                ("member", scene.accept("member", &code)),
                ("other", CommandKind::Leave),
                ("other", send("gone")),
                (
                    "owner",
                    CommandKind::SetRole {
                        username: "admin".to_owned(),
                        role: Role::Member,
                    },
                ),
                ("admin", kick("stranger")),
            ],
        )
        .await;
    assert_eq!(
        codes(&outcomes),
        [
            "ok",
            "ok",
            "not_member",
            "not_member",
            "not_member",
            "ok",
            "ok",
            "unchanged",
            "not_found",
            "ok",
            "not_member",
            "ok",
            "forbidden"
        ]
    );
    let joined = outcomes[5].clone().unwrap().into_joined().unwrap();
    assert_eq!((joined.group.head, joined.group.messages), (3, 1));
    assert_eq!(
        (joined.membership.read, joined.membership.read_messages),
        (3, 1)
    );
    assert_snapshot!(scene.log(&group).await.join("\n"), @r#"
    1 member message.created {"text":"before"}
    2 admin member.left {"reason":"kicked","user":"member"}
    3 stranger member.joined {"name":"stranger","role":"member","user":"stranger"}
    4 stranger message.created {"text":"hi"}
    5 other member.left {"reason":"left","user":"other"}
    6 owner member.role {"role":"member","user":"admin"}
    "#);
    // The new member has read all events before the own message.
    let own = memberships::Model::find(&scene.app.ctx.db, group.id, scene.user("stranger").id);
    let own = own.await.unwrap().unwrap();
    assert_eq!((own.read, own.read_messages), (4, 2));
}

#[tokio::test]
async fn later_commands_of_a_batch_see_that_the_group_was_deleted() {
    let scene = Scene::start().await;
    let group = scene.create_group().await;
    let code = scene.invite(&group, None).await;
    let title = |title: &str| CommandKind::SetTitle {
        title: Some(title.to_owned()),
    };
    let outcomes = scene
        .apply(
            &group,
            vec![
                ("owner", title("Lunch")),
                ("owner", title("Lunch")),
                ("member", send("last words")),
                ("owner", CommandKind::DeleteGroup),
                ("member", send("after")),
                ("owner", title("Dinner")),
                ("stranger", scene.accept("stranger", &code)),
            ],
        )
        .await;
    assert_eq!(
        codes(&outcomes),
        [
            "ok",
            "unchanged",
            "ok",
            "ok",
            "gone",
            "not_member",
            "not_found"
        ]
    );
    let renamed = outcomes[1].clone().unwrap();
    assert!(renamed.events.is_empty());
    let renamed = renamed.into_group().unwrap();
    assert_eq!((renamed.title.as_deref(), renamed.head), (Some("Lunch"), 1));
    let db = &scene.app.ctx.db;
    let found = chat_groups::Model::find_by_name(db, &group.name).await;
    assert_eq!(found.unwrap(), None);
    let left = memberships::Entity::find().filter(memberships::Column::GroupId.eq(group.id));
    assert_eq!(left.count(db).await.unwrap(), 0);
    let left = invites::Entity::find().filter(invites::Column::GroupId.eq(group.id));
    assert_eq!(left.count(db).await.unwrap(), 0);
}

#[tokio::test]
async fn a_batch_that_begins_again_applies_its_commands_once() {
    let scene = Scene::start().await;
    let (group, db) = (scene.create_group().await, &scene.app.ctx.db);
    let message = GroupCommand {
        cid: Some("c1".to_owned()),
        ..scene.command(&group, "member", send("hi"))
    };
    message.clone().apply_single(db).await.unwrap();
    // The duplicate is found at the end of the batch, after the kick was written.
    let commands = [
        scene.command(&group, "admin", kick("other")),
        message,
        scene.command(&group, "other", send("after")),
    ];
    let commands: Vec<_> = commands.iter().collect();
    let (acknowledged, toggles) = (AcknowledgedHeads::default(), ToggleLimiter::default());
    let check = DuplicateCheck::OnConflict;
    let outcomes = GroupCommand::apply_batch(db, &commands, check, &acknowledged, &toggles).await;
    let outcomes = outcomes.unwrap();
    assert_eq!(codes(&outcomes), ["ok", "unchanged", "not_member"]);
    assert_eq!(
        scene.log(&group).await,
        [
            r#"1 member message.created {"text":"hi"}"#,
            r#"2 admin member.left {"reason":"kicked","user":"other"}"#,
        ]
    );
}

/// A client may read up to an event whose command is in the same batch as the read.
#[tokio::test]
async fn a_batch_may_read_up_to_its_own_events() {
    let scene = Scene::start().await;
    let group = scene.create_group().await;
    let title = Some("Tea".to_owned());
    let commands = vec![
        ("owner", CommandKind::SetTitle { title }),
        ("member", CommandKind::Read { seq: 1 }),
    ];
    let outcomes = scene.apply(&group, commands).await;
    assert_eq!(outcomes[1].as_ref().map(|applied| applied.seq), Ok(1));
}
