//! The pictures of the documents: the demo world as people see it. They are made anew by
//! bin/screenshots.

use std::{fs, path::Path};

use loco_rs::app::Hooks;
use salam::app::App;

use super::Somebody;
use crate::support::{Look, TestApp};

/// Everybody's in the demo world.
const PASSWORD: &str = "a staple of batteries";

const LUNCH: &str = "/#/chat/chat_5eed0001";
const SALAM: &str = "/#/chat/chat_5eed0002";

async fn keep(somebody: &Somebody, name: &str) {
    // No cursor that blinks, and nothing that is pointed at.
    somebody.run("document.activeElement.blur()").await;
    let painted = "return new Promise((painted) => requestAnimationFrame(() => requestAnimationFrame(() => painted(document.fonts.ready.then(() => true)))))";
    somebody.until_true(painted).await;
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/images");
    fs::create_dir_all(&folder).unwrap();
    let picture = somebody.picture().await;
    fs::write(folder.join(name).with_extension("png"), picture).unwrap();
}

async fn enters(somebody: &Somebody, username: &str) {
    somebody.presses("[name=username]").await;
    somebody.types(username).await;
    somebody.presses("[name=password]").await;
    somebody.types(PASSWORD).await;
    somebody.presses("[data-part=submit]").await;
    somebody
        .until("the chats", async || somebody.chats().await.len() == 2)
        .await;
    somebody.points_at(".side .logo").await;
}

async fn until_live(somebody: &Somebody) {
    somebody
        .until_true("return document.querySelector('.status').dataset.state === 'live'")
        .await;
    somebody
        .until("the conversation", async || somebody.said().await.len() > 3)
        .await;
}

#[tokio::test]
#[ignore = "writes docs/images; bin/screenshots runs it"]
async fn screenshots() {
    let app = TestApp::start().await;
    App::seed(&app.ctx, Path::new("")).await.unwrap();

    let leyla = Somebody::arrives(Look::desktop().in_language("fa"), &app.url("/")).await;
    enters(&leyla, "leyla").await;
    leyla.open(&app.url(SALAM)).await;
    let phone = Somebody::arrives(Look::phone(), &app.url("/")).await;
    enters(&phone, "ann").await;
    keep(&phone, "phone-list").await;
    phone.open(&app.url(LUNCH)).await;
    until_live(&phone).await;
    keep(&phone, "phone-conversation").await;
    until_live(&leyla).await;
    keep(&leyla, "persian").await;

    let ann = Somebody::arrives(Look::desktop(), &app.url("/")).await;
    keep(&ann, "sign-in").await;
    enters(&ann, "ann").await;
    ann.open(&app.url(LUNCH)).await;
    until_live(&ann).await;
    keep(&ann, "conversation").await;
    ann.colours("dark").await;
    keep(&ann, "conversation-dark").await;
    ann.colours("light").await;
    ann.press("People and invites").await;
    ann.sees("@leyla").await;
    ann.press("Make a link").await;
    ann.until_true(
        "return document.querySelectorAll('#people [data-part=invites] .row').length > 0",
    )
    .await;
    keep(&ann, "people").await;
    for one in [phone, leyla] {
        one.goes().await;
    }

    ann.open(&app.url("/playground/")).await;
    ann.press("Do all four").await;
    ann.until_true("return document.querySelectorAll('.play-log > *').length > 5")
        .await;
    ann.run("document.getElementById('play-sockets').scrollIntoView()")
        .await;
    keep(&ann, "playground").await;
    ann.goes().await;
}
