//! How templates become pages.

use insta::assert_snapshot;
use salam::views::{
    pages::{Edition, Page},
    texts::{Language, Texts},
};
use serde_json::json;

fn texts() -> Texts {
    let language = |tag: &str, page: &str| Language::read(tag, page.to_owned(), "bad = </script>");
    let english = "language-name = English\nhi = Hi <b>{ $name }</b>\n\
         many = { $n ->\n    [one] one\n   *[other] { $n }\n }\n";
    let persian = "language-name = فارسی\nhi = سلام { $name }\nmany = { $n }\n";
    Texts::of(
        language("en", english).unwrap(),
        vec![language("fa", persian).unwrap()],
    )
}

fn rendered(template: &str, lang: &str) -> String {
    let named = vec![("page.html".to_owned(), template.to_owned())];
    let edition = Edition::of(named, texts());
    match edition.and_then(|edition| edition.render("page.html", &Page { lang })) {
        Ok(html) => html,
        Err(error) => format!("Error: {error}"),
    }
}

#[test]
fn messages_are_said_in_the_language_of_the_page() {
    let template = r#"{{ "hi" | t(name="A & B") }}|{{ "many" | t(n=1) }}|{{ "many" | t(n=2) }}"#;
    assert_snapshot!(rendered(template, "en"), @"Hi &lt;b&gt;A &amp; B&lt;/b&gt;|one|2");
    assert_snapshot!(rendered(template, "fa"), @"سلام A &amp; B|1|2");
}

#[test]
fn what_a_page_says_of_its_language() {
    let template = "{{ lang }} {{ dir }}{% for other in languages %} \
         {{ other.tag }} {{ other.name }} {{ other.dir }} {{ other.current }};{% endfor %}";
    assert_snapshot!(rendered(template, "fa"), @"fa rtl en English ltr false; fa فارسی rtl true;");
}

/// It stands in an element that nothing in it may end.
#[test]
fn the_texts_of_scripts_cannot_become_markup() {
    assert_snapshot!(rendered("{{ texts | safe }}", "en"), @r#"{"bad":"\u003c/script>"}"#);
}

#[test]
fn what_is_not_there_is_an_error() {
    for template in [
        r#"{{ "nothing" | t }}"#,
        r#"{{ "hi" | t }}"#,
        r#"{{ "hi" | translate }}"#,
        "{{ nobody }}",
        "{% if %}",
    ] {
        let told = rendered(template, "en");
        assert!(told.starts_with("Error: "), "{template}: {told}");
    }
    assert_snapshot!(rendered(r#"{{ "hi" | t }}"#, "en"), @r#"
    Error: error: assets/i18n/en/page.ftl, hi: Resolver error: Unknown variable: $name
     --> page.html:1:11
      |
    1 | {{ "hi" | t }}
      |           ^
    "#);
    assert_snapshot!(rendered("hi", "de"), @"Error: a page in no language of ours");
    let named = vec![("page.html".to_owned(), r#"{{ "hi" | t }}"#.to_owned())];
    let edition = Edition::of(named, texts()).unwrap();
    assert!(edition.render("page.html", &json!({})).is_err());
}
