//! The screenshots for the documents, with the demo data. bin/screenshots makes them.

use std::{fs, path::Path};

use loco_rs::app::Hooks;
use salam::app::App;

use super::PageUser;
use crate::support::{Device, TestApp};

/// The password of all demo users.
const SEED_PASSWORD: &str = "a staple of batteries";

const LUNCH_PATH: &str = "/#/chat/chat_5eed0001";
const PERSIAN_CHAT_PATH: &str = "/#/chat/chat_5eed0002";

async fn save_screenshot(user: &PageUser, name: &str) {
    // No blinking cursor, and no hovered element.
    user.run("document.activeElement.blur()").await;
    let painted = "return new Promise((painted) => requestAnimationFrame(() => requestAnimationFrame(() => painted(document.fonts.ready.then(() => true)))))";
    user.wait_until_true(painted).await;
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/images");
    fs::create_dir_all(&folder).unwrap();
    let picture = user.screenshot().await;
    fs::write(folder.join(name).with_extension("png"), picture).unwrap();
}

async fn sign_in_as(user: &PageUser, username: &str) {
    user.click_selector("[name=username]").await;
    user.type_text(username).await;
    user.click_selector("[name=password]").await;
    user.type_text(SEED_PASSWORD).await;
    user.click_selector("[data-part=submit]").await;
    user.wait_until("the chats", async || user.listed_chats().await.len() == 2)
        .await;
    user.hover(".side .logo").await;
}

async fn until_live(user: &PageUser) {
    user.wait_until_true("return document.querySelector('.status').dataset.state === 'live'")
        .await;
    user.wait_until("the conversation", async || {
        user.message_texts().await.len() > 3
    })
    .await;
}

#[tokio::test]
#[ignore = "writes docs/images; bin/screenshots runs it"]
async fn screenshots() {
    let app = TestApp::start().await;
    App::seed(&app.ctx, Path::new("")).await.unwrap();

    let leyla = PageUser::visit(Device::desktop().with_language("fa"), &app.url("/")).await;
    sign_in_as(&leyla, "leyla").await;
    leyla.open(&app.url(PERSIAN_CHAT_PATH)).await;
    let phone = PageUser::visit(Device::phone(), &app.url("/")).await;
    sign_in_as(&phone, "ann").await;
    save_screenshot(&phone, "phone-list").await;
    phone.open(&app.url(LUNCH_PATH)).await;
    until_live(&phone).await;
    save_screenshot(&phone, "phone-conversation").await;
    until_live(&leyla).await;
    save_screenshot(&leyla, "persian").await;

    let ann = PageUser::visit(Device::desktop(), &app.url("/")).await;
    save_screenshot(&ann, "sign-in").await;
    sign_in_as(&ann, "ann").await;
    ann.open(&app.url(LUNCH_PATH)).await;
    until_live(&ann).await;
    save_screenshot(&ann, "conversation").await;
    ann.set_color_scheme("dark").await;
    save_screenshot(&ann, "conversation-dark").await;
    ann.set_color_scheme("light").await;
    ann.click("People and invites").await;
    ann.expect_text("@leyla").await;
    ann.click("Create link").await;
    ann.wait_until_true(
        "return document.querySelectorAll('#people [data-part=invites] .row').length > 0",
    )
    .await;
    save_screenshot(&ann, "people").await;
    for one in [phone, leyla] {
        one.close_without_errors().await;
    }

    ann.open(&app.url("/playground/")).await;
    ann.click("Run all four steps").await;
    ann.wait_until_true("return document.querySelectorAll('.play-log > *').length > 5")
        .await;
    ann.run("document.getElementById('play-sockets').scrollIntoView()")
        .await;
    save_screenshot(&ann, "playground").await;
    ann.close_without_errors().await;
}
