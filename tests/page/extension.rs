//! The extension point of the page: kinds of events that an application registers.

use salam_surveys::app::SurveysApp;
use serde_json::json;

use super::{group_of_two, sign_in_at};
use crate::support::TestApp;

/// Registers two kinds on a page, in the module that the page has loaded. The second one returns a hostile text.
const REGISTER_KINDS: &str = "
const { src } = document.querySelector('script[src$=\"page/app.js\"]');
import(src.replace('app.js', 'extensions.js')).then(({ eventNotes }) => {
    eventNotes.set('survey.created', ({ data }, actor) => `${actor} asks: ${data.question}`);
    eventNotes.set('survey.closed', ({ data }) => `<b>closed</b> ${data.question}`);
    window.isRegistered = true;
});";

#[tokio::test]
async fn the_page_shows_the_registered_kinds_of_an_application() {
    let app = TestApp::with_application::<SurveysApp>(json!({})).await;
    let (group, ann, _) = group_of_two(&app).await;
    let in_chat = format!("/#/chat/{group}");
    let page = sign_in_at(&app.url("/"), "ann").await;
    let other = sign_in_at(&app.url(&in_chat), "bob").await;
    page.run(REGISTER_KINDS).await;
    page.wait_until("the registration", async || {
        page.run("return window.isRegistered === true").await == json!(true)
    })
    .await;
    page.run(&format!("location.hash = '#/chat/{group}'")).await;
    page.wait_until("the chat", async || page.chat_title().await == "Lunch")
        .await;

    let surveys = format!("/api/groups/{group}/surveys/");
    let survey = json!({"question": "Where do we eat?", "choices": ["At home", "In town"]});
    let created = ann.post(&surveys, survey).await;
    assert_eq!(created.status, 201, "{created}");
    page.expect_text("ann asks: Where do we eat?").await;
    let one = format!("{surveys}{}/", created.json()["id"]);
    let voted = ann.put(&format!("{one}vote/"), json!({"choice": 0})).await;
    assert_eq!(voted.status, 200, "{voted}");
    let closed = ann.put(&format!("{one}close/"), json!({})).await;
    assert_eq!(closed.status, 200, "{closed}");
    page.expect_text("<b>closed</b> Where do we eat?").await;

    // A page without the registration shows no note, and goes on.
    page.send_message("after the survey").await;
    other.expect_message("after the survey").await;
    other.expect_no_text("Where do we eat?").await;
    page.close_without_errors().await;
    other.close_without_errors().await;
}
