//! The page in Persian: right to left, with its own digits.

use fantoccini::key::Key;
use serde_json::json;

use super::{PageUser, group_of_two, sign_in_at};
use crate::support::{Device, TestApp};

/// Returns the language of the page, its direction, and whether the list is on the right.
const READ_LAYOUT: &str = "
const { lang, dir } = document.documentElement;
const side = document.querySelector('.side')?.getBoundingClientRect();
return [lang, dir, side ? side.left > innerWidth / 2 : null];";

#[tokio::test]
async fn the_browser_language_selects_persian() {
    let app = TestApp::start().await;
    let (group, _, bob) = group_of_two(&app).await;
    let device = Device::desktop().with_language("fa");
    let ann = PageUser::visit(device, &app.url("/")).await;
    ann.expect_text("نام کاربری").await;
    assert_eq!(ann.run(READ_LAYOUT).await, json!(["fa", "rtl", null]));
    ann.sign_in("ann").await;
    ann.expect_text("متصل").await;
    assert_eq!(ann.run(READ_LAYOUT).await, json!(["fa", "rtl", true]));

    for n in 0..12 {
        bob.send_message(&group, "hello", &n.to_string()).await;
    }
    ann.wait_until("the count", async || {
        ann.visible_texts(".badge")
            .await
            .concat()
            .starts_with("۱۲ ")
    })
    .await;
    ann.click_selector(".chat a").await;
    let line = ann.message_selector("hello").await;
    // Text in another language starts on its own side, and the user's own messages are on the other
    // side.
    let style = "const { direction, textAlign } = getComputedStyle(document.querySelector(arguments[0])); return [direction, textAlign]";
    let text = json!(format!("{line} .text"));
    assert_eq!(ann.run_with(style, &[text]).await, json!(["ltr", "start"]));
    ann.click_selector(".composer textarea").await;
    ann.insert_text("سلام").await;
    ann.click_selector("[data-part=send]").await;
    let own = ann.message_selector("سلام").await;
    let is_left = "const { left, right } = document.querySelector(arguments[0]).getBoundingClientRect(); const main = document.querySelector('.main').getBoundingClientRect(); return left - main.left < main.right - right";
    let bubble = |line: &str| [json!(format!("{line} .bubble"))];
    assert_eq!(ann.run_with(is_left, &bubble(&own)).await, true);
    assert_eq!(ann.run_with(is_left, &bubble(&line)).await, false);
    ann.close_without_errors().await;
}

#[tokio::test]
async fn switching_the_language_keeps_the_view() {
    let app = TestApp::start().await;
    let (group, _, _) = group_of_two(&app).await;
    let ann = sign_in_at(&app.url("/#/account"), "ann").await;
    ann.expect_text("Where you're signed in").await;
    ann.click("فارسی").await;
    ann.expect_text("دستگاه‌های فعال").await;
    assert_eq!(ann.run("return location.hash").await, "#/account");
    assert_eq!(ann.run(READ_LAYOUT).await, json!(["fa", "rtl", true]));
    ann.open(&app.url(&format!("/#/chat/{group}"))).await;
    ann.expect_text("۲ عضو، کس دیگری آنلاین نیست").await;
    ann.reload().await;
    ann.expect_text("۲ عضو، کس دیگری آنلاین نیست").await;
    assert_eq!(ann.run(READ_LAYOUT).await, json!(["fa", "rtl", true]));
    let hash = ann.run("return location.hash").await;
    assert_eq!(hash, format!("#/chat/{group}"));

    ann.open(&app.url("/playground/")).await;
    assert_eq!(ann.run(READ_LAYOUT).await, json!(["fa", "rtl", null]));
    ann.open(&app.url("/#/account")).await;
    ann.click("English").await;
    ann.expect_text("Where you're signed in").await;
    assert_eq!(ann.run(READ_LAYOUT).await, json!(["en", "ltr", false]));
    ann.close_without_errors().await;
}

#[tokio::test]
async fn errors_are_in_the_language_of_the_page() {
    let app = TestApp::start().await;
    let device = Device::desktop().with_language("fa");
    let ann = PageUser::visit(device, &app.url("/")).await;
    ann.click_selector("[data-part=switch]").await;
    ann.click_selector("[data-part=submit]").await;
    ann.expect_text("گذرواژه باید حداقل ۸ کاراکتر داشته باشد.")
        .await;
    assert_eq!(
        ann.visible_texts("[data-part=form] .error").await,
        [
            "نامی با حداقل یک کاراکتر قابل‌مشاهده وارد کنید. نام کاربری را وارد کنید. گذرواژه باید حداقل ۸ کاراکتر داشته باشد."
        ]
    );
    ann.click_selector("[name=username]").await;
    ann.type_text("ann lee").await;
    ann.click_selector("[name=password]").await;
    ann.type_text("password").await;
    ann.click_selector("[data-part=submit]").await;
    ann.expect_text("نام کاربری فقط می‌تواند حروف، اعداد و @ . + - _ داشته باشد.")
        .await;
    ann.click_selector("[name=username]").await;
    ann.press_key(Key::Home).await;
    for _ in 0..4 {
        ann.press_key(Key::Delete).await;
    }
    ann.click_selector("[data-part=submit]").await;
    ann.expect_text("حدس زدن این گذرواژه خیلی آسان است.").await;
    ann.close_without_errors().await;
}
