//! In Persian, which is written from right to left, and has digits of its own.

use serde_json::json;

use super::{Somebody, at, group_of_two};
use crate::support::{Look, TestApp};

/// The language of the page, which way it is written, and whether its list is on the right.
const HOW: &str = "
const { lang, dir } = document.documentElement;
const side = document.querySelector('.side')?.getBoundingClientRect();
return [lang, dir, side ? side.left > innerWidth / 2 : null];";

#[tokio::test]
async fn it_is_asked_for_by_the_browser() {
    let app = TestApp::start().await;
    let (group, _, bob) = group_of_two(&app).await;
    let look = Look::desktop().in_language("fa");
    let ann = Somebody::arrives(look, &app.url("/")).await;
    ann.sees("نام کاربری").await;
    assert_eq!(ann.run(HOW).await, json!(["fa", "rtl", null]));
    ann.signs_in("ann").await;
    ann.sees("متصل").await;
    assert_eq!(ann.run(HOW).await, json!(["fa", "rtl", true]));

    for n in 0..12 {
        bob.say(&group, "hello", &n.to_string()).await;
    }
    ann.until("the count", async || {
        ann.texts(".badge").await.concat().starts_with("۱۲ ")
    })
    .await;
    ann.presses(".chat a").await;
    let line = ann.line("hello").await;
    // What is written in another language begins on its own side; what is mine is on the other.
    let style = "const { direction, textAlign } = getComputedStyle(document.querySelector(arguments[0])); return [direction, textAlign]";
    let text = json!(format!("{line} .text"));
    assert_eq!(ann.run_with(style, &[text]).await, json!(["ltr", "start"]));
    ann.presses(".composer textarea").await;
    ann.pastes("سلام").await;
    ann.presses("[data-part=send]").await;
    let mine = ann.line("سلام").await;
    let is_left = "const { left, right } = document.querySelector(arguments[0]).getBoundingClientRect(); const main = document.querySelector('.main').getBoundingClientRect(); return left - main.left < main.right - right";
    let bubble = |line: &str| [json!(format!("{line} .bubble"))];
    assert_eq!(ann.run_with(is_left, &bubble(&mine)).await, true);
    assert_eq!(ann.run_with(is_left, &bubble(&line)).await, false);
    ann.goes().await;
}

#[tokio::test]
async fn it_is_chosen_and_stays_at_the_same_place() {
    let app = TestApp::start().await;
    let (group, _, _) = group_of_two(&app).await;
    let ann = at(&app.url("/#/account"), "ann").await;
    ann.sees("Where you are signed in").await;
    ann.press("فارسی").await;
    ann.sees("جاهایی که وارد شده‌اید").await;
    assert_eq!(ann.run("return location.hash").await, "#/account");
    assert_eq!(ann.run(HOW).await, json!(["fa", "rtl", true]));
    ann.open(&app.url(&format!("/#/chat/{group}"))).await;
    ann.sees("کس دیگری اینجا نیست").await;
    ann.reload().await;
    ann.sees("کس دیگری اینجا نیست").await;
    assert_eq!(ann.run(HOW).await, json!(["fa", "rtl", true]));
    let hash = ann.run("return location.hash").await;
    assert_eq!(hash, format!("#/chat/{group}"));

    ann.open(&app.url("/playground/")).await;
    assert_eq!(ann.run(HOW).await, json!(["fa", "rtl", null]));
    ann.open(&app.url("/#/account")).await;
    ann.press("English").await;
    ann.sees("Where you are signed in").await;
    assert_eq!(ann.run(HOW).await, json!(["en", "ltr", false]));
    ann.goes().await;
}
