//! The pages in a browser, which keeps them to what they say they need.

use serde_json::{Value, json};

use crate::{
    clients::Browser,
    support::{TestApp, until},
};

/// What the browser has kept from the page since it was opened.
async fn violations(browser: &Browser) -> Value {
    browser
        .run(
            "window.told ??= []; \
             window.observer ??= new ReportingObserver(more => told.push(...more), \
                 {types: ['csp-violation'], buffered: true}); \
             observer.observe(); told.push(...observer.takeRecords()); \
             return told.map(report => [report.body.effectiveDirective, report.body.blockedURL])",
        )
        .await
}

async fn until_true(browser: &Browser, script: &str) {
    until(script, async || browser.run(script).await == json!(true)).await;
}

#[tokio::test]
async fn pages_have_all_they_need_and_no_more() {
    let app = TestApp::start().await;
    let browser = Browser::start().await;
    for path in ["/", "/playground/", "/api-docs/"] {
        browser.open(&app.url(path)).await;
        let styled = "return [...document.styleSheets].some(sheet => sheet.cssRules.length)";
        until_true(&browser, styled).await;
        assert_eq!(violations(&browser).await, json!([]), "{path}");
    }
    // Were there any, they would be told.
    browser
        .run("document.body.append(Object.assign(document.createElement('script'), {text: '1'}))")
        .await;
    until("the violation", async || {
        violations(&browser).await == json!([["script-src-elem", "inline"]])
    })
    .await;
    browser.close().await;
}

#[tokio::test]
async fn swagger_ui_works_and_calls_the_api() {
    let app = TestApp::start().await;
    let browser = Browser::start().await;
    browser.open(&app.url("/swagger/")).await;
    until_true(
        &browser,
        "return document.querySelectorAll('.opblock').length > 10",
    )
    .await;
    let register = "document.querySelector('#operations-accounts-register";
    for step in [" .opblock-summary-control", " .try-out__btn", " .execute"] {
        until_true(&browser, &format!("return {register}{step}') != null")).await;
        browser.run(&format!("{register}{step}').click()")).await;
    }
    let told = " .live-responses-table')?.innerText.includes('Ann Lee')";
    until_true(&browser, &format!("return {register}{told}")).await;
    assert_eq!(violations(&browser).await, json!([]));
    browser.close().await;
}
