//! The rendering of templates.

use insta::assert_snapshot;
use salam::views::{
    pages::{PageData, PageTemplates},
    texts::{LanguageTexts, Texts},
};
use serde_json::json;

fn sample_texts() -> Texts {
    let language =
        |tag: &str, page: &str| LanguageTexts::parse(tag, page.to_owned(), "bad = </script>");
    let english = "language-name = English\nhi = Hi <b>{ $name }</b>\n\
         many = { $n ->\n    [one] one\n   *[other] { $n }\n }\n";
    let persian = "language-name = فارسی\nhi = سلام { $name }\nmany = { $n }\n";
    Texts::new(
        language("en", english).unwrap(),
        vec![language("fa", persian).unwrap()],
    )
}

fn render_template(template: &str, lang: &str) -> String {
    let named = vec![("page.html".to_owned(), template.to_owned())];
    let edition = PageTemplates::from_templates(named, sample_texts());
    match edition.and_then(|edition| edition.render("page.html", &PageData { lang })) {
        Ok(html) => html,
        Err(error) => format!("Error: {error}"),
    }
}

#[test]
fn messages_are_rendered_in_the_language_of_the_page() {
    let template = r#"{{ "hi" | t(name="A & B") }}|{{ "many" | t(n=1) }}|{{ "many" | t(n=2) }}"#;
    assert_snapshot!(render_template(template, "en"), @"Hi &lt;b&gt;A &amp; B&lt;/b&gt;|one|2");
    assert_snapshot!(render_template(template, "fa"), @"سلام A &amp; B|1|2");
}

#[test]
fn a_page_knows_its_language_and_direction() {
    let template = "{{ lang }} {{ dir }}{% for other in languages %} \
         {{ other.tag }} {{ other.name }} {{ other.dir }} {{ other.current }};{% endfor %}";
    assert_snapshot!(render_template(template, "fa"), @"fa rtl en English ltr false; fa فارسی rtl true;");
}

/// The texts are in a script element, which no text may end.
#[test]
fn script_texts_cannot_break_out_of_their_element() {
    assert_snapshot!(render_template("{{ texts | safe }}", "en"), @r#"{"bad":"\u003c/script>"}"#);
}

#[test]
fn missing_messages_and_variables_are_errors() {
    for template in [
        r#"{{ "nothing" | t }}"#,
        r#"{{ "hi" | t }}"#,
        r#"{{ "hi" | translate }}"#,
        "{{ nobody }}",
        "{% if %}",
    ] {
        let rendered = render_template(template, "en");
        assert!(rendered.starts_with("Error: "), "{template}: {rendered}");
    }
    assert_snapshot!(render_template(r#"{{ "hi" | t }}"#, "en"), @r#"
    Error: error: assets/i18n/en/page.ftl, hi: Resolver error: Unknown variable: $name
     --> page.html:1:11
      |
    1 | {{ "hi" | t }}
      |           ^
    "#);
    assert_snapshot!(render_template("hi", "de"), @"Error: the page has no supported language");
    let named = vec![("page.html".to_owned(), r#"{{ "hi" | t }}"#.to_owned())];
    let edition = PageTemplates::from_templates(named, sample_texts()).unwrap();
    assert!(edition.render("page.html", &json!({})).is_err());
}
