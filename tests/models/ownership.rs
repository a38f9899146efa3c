//! The groups of a deactivated owner, and unread counts.

use salam::models::{
    memberships::{self, Role},
    users,
};
use sea_orm::EntityTrait;
use serde_json::json;

use crate::support::{GroupPath, TestApp};

async fn find_user(app: &TestApp, name: &str) -> users::Model {
    let found = users::Model::find_by_username(&app.ctx.db, name).await;
    found.unwrap().unwrap()
}

async fn all_roles(app: &TestApp) -> Vec<(i64, String)> {
    let rows = memberships::Entity::find().all(&app.ctx.db).await.unwrap();
    let mut roles: Vec<_> = rows
        .into_iter()
        .map(|row| (row.user_id, row.role))
        .collect();
    roles.sort();
    roles
}

#[tokio::test]
async fn ownership_passes_to_the_longest_serving_admin_or_member() {
    let app = TestApp::start().await;
    let db = &app.ctx.db;
    let [ann, bob, cat, dan] = [
        app.user("ann").await,
        app.user("bob").await,
        app.user("cat").await,
        app.user("dan").await,
    ];
    let group = ann.start_chat().await;
    for other in [&bob, &cat, &dan] {
        ann.add_member(other, &group).await;
    }
    for admin in ["dan", "cat"] {
        let path = format!("/api/groups/{group}/members/{admin}/");
        assert_eq!(ann.patch(&path, json!({"role": "admin"})).await.status, 200);
    }
    let deactivate = async |name: &str| {
        let user = find_user(&app, name).await;
        user.set_active(db, false).await.unwrap();
        memberships::Model::transfer_owned_groups(db, &user)
            .await
            .unwrap()
    };
    let role = Role::as_str;
    // Cat joined before dan, although dan became an admin first.
    let passed = deactivate("ann").await;
    assert_eq!(passed.len(), 1);
    let kinds: Vec<_> = passed[0]
        .1
        .iter()
        .map(|event| event.body.json().get().to_owned())
        .collect();
    assert_eq!(
        kinds,
        [
            r#"{"role":"owner","user":"cat"}"#,
            r#"{"role":"member","user":"ann"}"#
        ]
    );
    let expected = |roles: [Role; 4]| -> Vec<(i64, String)> {
        let roles = (1..).zip(roles);
        roles.map(|(id, of)| (id, role(of).to_owned())).collect()
    };
    use Role::{Admin, Member, Owner};
    assert_eq!(
        all_roles(&app).await,
        expected([Member, Member, Owner, Admin])
    );
    deactivate("cat").await;
    assert_eq!(
        all_roles(&app).await,
        expected([Member, Member, Member, Owner])
    );
    deactivate("dan").await;
    assert_eq!(
        all_roles(&app).await,
        expected([Member, Owner, Member, Member])
    );
    // No active member is left, so the owner stays.
    assert!(deactivate("bob").await.is_empty());
    assert_eq!(
        all_roles(&app).await,
        expected([Member, Owner, Member, Member])
    );
    // The first member who is active again becomes the owner in place of the deactivated owner.
    find_user(&app, "dan")
        .await
        .set_active(db, true)
        .await
        .unwrap();
    let dan = find_user(&app, "dan").await;
    let inherited = memberships::Model::take_over_groups(db, &dan)
        .await
        .unwrap();
    assert_eq!(inherited.len(), 1);
    assert_eq!(
        all_roles(&app).await,
        expected([Member, Member, Member, Owner])
    );
    // An active user keeps all groups.
    let passed = memberships::Model::transfer_owned_groups(db, &dan)
        .await
        .unwrap();
    assert!(passed.is_empty());
    let again = memberships::Model::take_over_groups(db, &dan)
        .await
        .unwrap();
    assert!(again.is_empty());
}

#[tokio::test]
async fn deleted_messages_are_not_counted_as_unread() {
    let app = TestApp::start().await;
    let (group, [ann, bob]) = app.group_of(["ann", "bob"]).await;
    let path = group.path("");
    let unread = async || bob.get(&path).await.json()["unread"].clone();
    for i in 0..3 {
        ann.send_message(&group, "hi", &i.to_string()).await;
    }
    assert_eq!(unread().await, 3);
    let delete = async |seq: i64| {
        let path = format!("/api/groups/{group}/messages/{seq}/");
        assert_eq!(ann.delete(&path).await.status, 204);
    };
    delete(3).await;
    assert_eq!(unread().await, 2);
    let groups = bob.get("/api/groups/").await.json();
    assert_eq!(groups["results"][0]["unread"], 2, "{groups}");
    let (_, frame) = bob.open_live_with_group_frame(&group).await;
    assert_eq!(frame["unread"], 2, "{frame}");
    // A message that was read before its deletion does not change the count.
    bob.put(&format!("{path}read/"), json!({"seq": 2})).await;
    assert_eq!(unread().await, 1);
    delete(2).await;
    assert_eq!(unread().await, 1);
    delete(4).await;
    assert_eq!(unread().await, 0);
    ann.send_message(&group, "again", "x").await;
    assert_eq!(unread().await, 1);
}
