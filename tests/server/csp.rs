//! The content security policy, in a browser that enforces it.

use serde_json::json;

use crate::support::{Browser, TestApp, wait_until};

#[tokio::test]
async fn pages_load_without_csp_violations() {
    let app = TestApp::start().await;
    let browser = Browser::start().await;
    for path in ["/", "/playground/", "/api-docs/"] {
        browser.open(&app.url(path)).await;
        let styled = "return [...document.styleSheets].some(sheet => sheet.cssRules.length)";
        browser.wait_until_true(styled).await;
        assert_eq!(browser.csp_violations().await, json!([]), "{path}");
    }
    // The browser would report violations.
    browser
        .run("document.body.append(Object.assign(document.createElement('script'), {text: '1'}))")
        .await;
    wait_until("the violation", async || {
        browser.csp_violations().await == json!([["script-src-elem", "inline"]])
    })
    .await;
    browser.close().await;
}

#[tokio::test]
async fn swagger_ui_works_and_calls_the_api() {
    let app = TestApp::start().await;
    let browser = Browser::start().await;
    browser.open(&app.url("/swagger/")).await;
    browser
        .wait_until_true("return document.querySelectorAll('.opblock').length > 10")
        .await;
    let register = "document.querySelector('#operations-accounts-register";
    for step in [" .opblock-summary-control", " .try-out__btn", " .execute"] {
        browser
            .wait_until_true(&format!("return {register}{step}') != null"))
            .await;
        browser.run(&format!("{register}{step}').click()")).await;
    }
    let is_registered = " .live-responses-table')?.innerText.includes('Nora Lind')";
    browser
        .wait_until_true(&format!("return {register}{is_registered}"))
        .await;
    assert_eq!(browser.csp_violations().await, json!([]));
    browser.close().await;
}
