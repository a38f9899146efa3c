//! The list of chats.

use super::at;
use crate::support::TestApp;

#[tokio::test]
async fn chats_without_a_title_are_named_without_a_request_for_members() {
    let app = TestApp::start().await;
    let (owner, bob) = (app.user("ann").await, app.user("bob").await);
    for _ in 0..5 {
        let group = owner.start_chat().await;
        owner.brings_in(&bob, &group).await;
    }
    let ann = at(&app.url("/"), "ann").await;
    let titles = async || ann.texts(".chats [data-part=title]").await;
    ann.until("the names", async || titles().await == ["bob"; 5])
        .await;
    assert_eq!(ann.requested("/members/").await, Vec::<String>::new());
    assert!(!ann.requested("/api/groups/").await.is_empty());

    // Somebody who joins is named, too.
    let carol = app.user("carol").await;
    let group = owner.start_chat().await;
    owner.brings_in(&carol, &group).await;
    ann.until("the sixth name", async || {
        titles().await.iter().any(|title| title == "carol")
    })
    .await;
    assert_eq!(ann.requested("/members/").await, Vec::<String>::new());
    ann.goes().await;
}
