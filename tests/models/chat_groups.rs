//! Groups and their members.

use salam::models::{
    chat_groups, events, group_commands::GroupCommand, memberships, rejections::Rejection, users,
};
use sea_orm::{EntityTrait, ModelTrait, PaginatorTrait};

use crate::support::{TestApp, message_without_actor};

async fn register_owner(app: &TestApp) -> users::Model {
    app.user("ann").await;
    users::Entity::find()
        .one(&app.ctx.db)
        .await
        .unwrap()
        .unwrap()
}

#[tokio::test]
async fn a_taken_group_name_is_regenerated() {
    let app = TestApp::start().await;
    let (db, ann) = (&app.ctx.db, register_owner(&app).await);
    let start = async |names: &[&str]| {
        let mut names = names.iter().map(|name| (*name).to_owned());
        chat_groups::Model::create_named(db, &ann, None, || names.next().unwrap()).await
    };
    assert_eq!(
        start(&["chat_00000001"]).await.unwrap().name,
        "chat_00000001"
    );
    let second = start(&["chat_00000001", "chat_00000001", "chat_00000002"])
        .await
        .unwrap();
    assert_eq!(second.name, "chat_00000002");
    assert!(
        start(&["chat_00000001"; 8]).await.is_err(),
        "the number of attempts is limited"
    );
    assert_eq!(chat_groups::Entity::find().count(db).await.unwrap(), 2);
    assert_eq!(
        memberships::Entity::find().count(db).await.unwrap(),
        2,
        "no orphan is left"
    );
}

#[tokio::test]
async fn a_group_is_visible_to_its_members_only() {
    let app = TestApp::start().await;
    let (db, ann) = (&app.ctx.db, register_owner(&app).await);
    let group = chat_groups::Model::create(db, &ann, None).await.unwrap();
    let find = async |name: &str, user: &users::Model| {
        chat_groups::Model::find_for_member(db, name, user)
            .await
            .unwrap()
    };
    let (found, membership) = find(&group.name, &ann).await.unwrap();
    assert_eq!((found.id, membership.role.as_str()), (group.id, "owner"));

    let stranger = users::Model {
        id: ann.id + 1,
        ..ann.clone()
    };
    assert!(find(&group.name, &stranger).await.is_none());
    assert!(find("chat_ffffffff", &ann).await.is_none());
    assert!(find("chat_\0", &ann).await.is_none());
    assert!(find(&group.name.to_uppercase(), &ann).await.is_none());

    // An ex-member is treated as a stranger.
    membership.delete(db).await.unwrap();
    assert!(find(&group.name, &ann).await.is_none());
}

#[tokio::test]
async fn a_user_cannot_be_a_member_twice() {
    let app = TestApp::start().await;
    let (db, ann) = (&app.ctx.db, register_owner(&app).await);
    let group = chat_groups::Model::create(db, &ann, None).await.unwrap();
    let again = memberships::Model::create(db, &group, ann.id, memberships::Role::Member).await;
    assert!(again.is_err());
}

#[tokio::test]
async fn a_batch_is_numbered_per_group_in_order() {
    let app = TestApp::start().await;
    let (db, ann) = (&app.ctx.db, register_owner(&app).await);
    let one = chat_groups::Model::create(db, &ann, None).await.unwrap().id;
    let two = chat_groups::Model::create(db, &ann, None).await.unwrap().id;
    let append = async |groups: &[i64]| {
        let changes = groups
            .iter()
            .map(|group| message_without_actor(*group, "x"))
            .collect();
        let outcomes = GroupCommand::apply_all(db, changes).await.unwrap();
        let seqs = outcomes
            .into_iter()
            .map(|outcome| outcome.map(|stored| stored.seq));
        seqs.collect::<Vec<_>>()
    };
    let deleted = Err(Rejection::GroupDeleted);
    assert_eq!(append(&[]).await, []);
    assert_eq!(append(&[one]).await, [Ok(1)]);
    assert_eq!(
        append(&[two, one, one, two]).await,
        [Ok(1), Ok(2), Ok(3), Ok(2)]
    );
    let outcomes = append(&[one, 4711, two]).await;
    assert_eq!(outcomes, [Ok(4), deleted, Ok(3)]);
    assert_eq!(append(&[4711]).await, outcomes[1..2]);
    assert_eq!(append(&[one; 1000]).await.last(), Some(&Ok(1004)));
    assert_eq!(events::Entity::find().count(db).await.unwrap(), 1007);
}
