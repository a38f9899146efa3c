//! The list of chats.

use super::sign_in_at;
use crate::support::TestApp;

#[tokio::test]
async fn untitled_chats_are_named_without_a_members_request() {
    let app = TestApp::start().await;
    let (owner, bob) = (app.user("ann").await, app.user("bob").await);
    for _ in 0..5 {
        let group = owner.start_chat().await;
        owner.add_member(&bob, &group).await;
    }
    let ann = sign_in_at(&app.url("/"), "ann").await;
    let titles = async || ann.visible_texts(".chats [data-part=title]").await;
    ann.wait_until("the names", async || titles().await == ["bob"; 5])
        .await;
    assert_eq!(ann.requested_urls("/members/").await, Vec::<String>::new());
    assert!(!ann.requested_urls("/api/groups/").await.is_empty());

    // A member who joins appears in the name of the chat.
    let carol = app.user("carol").await;
    let group = owner.start_chat().await;
    owner.add_member(&carol, &group).await;
    ann.wait_until("the sixth name", async || {
        titles().await.iter().any(|title| title == "carol")
    })
    .await;
    assert_eq!(ann.requested_urls("/members/").await, Vec::<String>::new());
    ann.close_without_errors().await;
}
