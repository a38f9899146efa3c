//! The texts of pages: complete in all languages, and without unused files.

use std::{
    collections::{BTreeMap, BTreeSet},
    fs,
    path::{Path, PathBuf},
};

use fluent_bundle::{FluentArgs, FluentResource};
use fluent_syntax::ast::Entry;
use insta::assert_snapshot;
use salam::views::texts::{LanguageTexts, Texts};

const ASSETS: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/assets");

/// The message with a language's own name. Only the list of languages uses it.
const LANGUAGE_NAME_ID: &str = "language-name";

type MessageIds = BTreeSet<String>;

/// Returns the ids of the messages in a file.
fn message_ids(language: &str, file: &str) -> MessageIds {
    let source = fs::read_to_string(format!("{ASSETS}/i18n/{language}/{file}")).unwrap();
    let resource = FluentResource::try_new(source).unwrap();
    let names = resource.entries().filter_map(|entry| match entry {
        Entry::Message(message) => Some(message.id.name.to_owned()),
        _ => None,
    });
    names.collect()
}

/// Returns the sources of all files with this ending in a folder of assets/.
fn read_sources(folder: &str, end: &str) -> Vec<String> {
    let mut folders = vec![PathBuf::from(ASSETS).join(folder)];
    let mut found = Vec::new();
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(folder).unwrap() {
            let path: PathBuf = entry.unwrap().path();
            if path.is_dir() {
                folders.push(path);
            } else if path.to_str().unwrap().ends_with(end) {
                found.push(fs::read_to_string(path).unwrap());
            }
        }
    }
    found
}

/// Returns the ids that templates use: quoted before `| t`.
fn used_by_templates() -> MessageIds {
    let mut used = MessageIds::new();
    for template in read_sources("views", ".html") {
        let template = template.replace("| t", "|t").replace(" |t", "|t");
        for (end, _) in template.match_indices("\"|t") {
            let goes_on =
                template[end + 3..].starts_with(|c: char| c.is_alphanumeric() || c == '_');
            let (_, id) = template[..end].rsplit_once('"').unwrap();
            if !goes_on {
                used.insert(id.to_owned());
            }
        }
    }
    used
}

/// Returns the ids that scripts use: `t('…'` or `text('…'`.
fn used_by_scripts() -> MessageIds {
    let mut used = MessageIds::new();
    for script in read_sources("static", ".js") {
        for (begin, call) in script.match_indices("t('") {
            let before = script[..begin].trim_end_matches(|c: char| c.is_ascii_alphanumeric());
            let name = &script[before.len()..=begin];
            let is_method = before.ends_with(['.', '_', '$']);
            if is_method || !["t", "text"].contains(&name) {
                continue;
            }
            let id = script[begin + call.len()..].split('\'').next().unwrap();
            used.insert(id.to_owned());
        }
    }
    used
}

#[test]
fn all_languages_have_the_same_messages() {
    let languages: Vec<String> = Texts::load()
        .unwrap()
        .languages()
        .map(|language| language.tag.clone())
        .collect();
    assert_eq!(languages, ["en", "fa"]);
    for file in ["page.ftl", "script.ftl"] {
        let english = message_ids("en", file);
        for language in &languages {
            let missing: Vec<_> = english
                .difference(&message_ids(language, file))
                .cloned()
                .collect();
            let unknown: Vec<_> = message_ids(language, file)
                .difference(&english)
                .cloned()
                .collect();
            assert!(missing.is_empty(), "{language}/{file} lacks {missing:?}");
            assert!(unknown.is_empty(), "en/{file} lacks {unknown:?}");
        }
    }
}

/// Without a name, the page would show the tag of the language.
#[test]
fn every_language_has_a_name() {
    for language in Texts::load().unwrap().languages() {
        let there = message_ids(&language.tag, "page.ftl");
        assert!(
            there.contains(LANGUAGE_NAME_ID),
            "{}/page.ftl lacks {LANGUAGE_NAME_ID}",
            language.tag
        );
    }
}

#[test]
fn templates_use_exactly_the_defined_messages() {
    let used = used_by_templates();
    let mut there = message_ids("en", "page.ftl");
    there.remove(LANGUAGE_NAME_ID);
    assert_eq!(
        used.difference(&there).collect::<Vec<_>>(),
        [""; 0],
        "are not there"
    );
    assert_eq!(
        there.difference(&used).collect::<Vec<_>>(),
        [""; 0],
        "nobody uses"
    );
}

#[test]
fn scripts_use_exactly_the_defined_messages() {
    let there = message_ids("en", "script.ftl");
    let used = used_by_scripts();
    assert_eq!(
        used.difference(&there).collect::<Vec<_>>(),
        [""; 0],
        "are not there"
    );
    // Some ids are chosen first and used later.
    let scripts = read_sources("static", ".js").concat();
    let is_named = |id: &&String| {
        let quoted = ["'", "\"", "`"].map(|quote| format!("{quote}{id}{quote}"));
        quoted.iter().any(|quoted| scripts.contains(quoted))
    };
    let unused: Vec<_> = there.iter().filter(|id| !is_named(id)).collect();
    assert_eq!(unused, [""; 0], "nobody uses");
}

/// A message with other arguments than the original would be an error at run time.
#[test]
fn translations_use_the_same_arguments() {
    for file in ["page.ftl", "script.ftl"] {
        let english = message_arguments("en", file);
        let persian = message_arguments("fa", file);
        for (id, names) in &english {
            let other = persian.get(id).cloned().unwrap_or_default();
            assert!(
                other.is_subset(names),
                "{file}, {id}: {other:?} are not {names:?}"
            );
        }
    }
}

/// Returns the variables of each message.
fn message_arguments(language: &str, file: &str) -> BTreeMap<String, MessageIds> {
    let path = Path::new(ASSETS).join("i18n").join(language).join(file);
    let source = fs::read_to_string(path).unwrap();
    let mut found = BTreeMap::<String, MessageIds>::new();
    let mut current = String::new();
    for line in source.lines().filter(|line| !line.starts_with('#')) {
        if let Some((id, _)) = line.split_once('=').filter(|_| !line.starts_with(' ')) {
            current = id.trim().to_owned();
        }
        let names = line.split('$').skip(1).map(|rest| {
            let end = rest.find(|c: char| !c.is_ascii_alphanumeric() && c != '-' && c != '_');
            rest[..end.unwrap_or(rest.len())].to_owned()
        });
        found.entry(current.clone()).or_default().extend(names);
    }
    found
}

/// Compiles a script.ftl. Returns its JSON, one message in each line.
fn compile_script(script: &str) -> String {
    let language = match LanguageTexts::parse("en", "language-name = English\n".to_owned(), script)
    {
        Ok(language) => language,
        Err(fault) => return fault.to_string(),
    };
    let lines = language.script.iter().map(|(id, pattern)| {
        let json = serde_json::to_string(pattern).unwrap();
        format!("{id}: {json}\n")
    });
    lines.collect()
}

#[test]
fn script_messages_compile_to_patterns() {
    assert_snapshot!(compile_script(r#"
# A comment.
plain = Just text
literal = {"{"}quoted{"}"} \u00e9 {"\u00e9"} { 5 }
lines =
    Two
    lines
greeting = Hi { $name }!
alone = { $name }
members = { $count ->
    [0] nobody
    [one] { $name } alone
   *[other] { $count ->
        [two] both
       *[other] { $count }
    } members
}
"#), @r#"
    alone: [{"var":"name"}]
    greeting: ["Hi ",{"var":"name"},"!"]
    lines: "Two\nlines"
    literal: "{quoted} \\u00e9 é 5"
    members: [{"select":"count","cases":{"0":"nobody","one":[{"var":"name"}," alone"],"other":[{"select":"count","cases":{"other":[{"var":"count"}],"two":"both"},"default":"other"}," members"]},"default":"other"}]
    plain: "Just text"
    "#);
}

#[test]
fn unsupported_fluent_syntax_in_script_messages_is_rejected() {
    let faults = [
        "a = 1\nb = { NUMBER($n) }",
        "a = { $n ->\n [one] 1\n *[other] { NUMBER($n) }\n }",
        "a = { NUMBER($n) ->\n *[other] 1\n }",
        "a = 1\n .title = 2",
        "a = 1\nb = { a }",
        "-brand = Salam",
        "a = { -brand }",
        "a = 1\na = 2",
        "a = { $n ->\n [one] 1\n [one] 2\n *[other] 3\n }",
        "a = 1\n\nb = { $n ->\n [one] 1\n }",
        "a = 1\nwrong",
        "a = { $n",
    ];
    let errors: Vec<_> = faults.map(compile_script).to_vec();
    assert_snapshot!(errors.join("\n"), @r#"
    assets/i18n/en/script.ftl, b: functions are allowed only in page.ftl
    assets/i18n/en/script.ftl, a: functions are allowed only in page.ftl
    assets/i18n/en/script.ftl, a: a selector must be a variable
    assets/i18n/en/script.ftl, a: attributes are allowed only in page.ftl
    assets/i18n/en/script.ftl, b: references are allowed only in page.ftl
    assets/i18n/en/script.ftl, -brand: terms are allowed only in page.ftl
    assets/i18n/en/script.ftl, a: references are allowed only in page.ftl
    assets/i18n/en/script.ftl, a: the message occurs twice
    assets/i18n/en/script.ftl, a: a case occurs twice
    assets/i18n/en/script.ftl, line 5: The select expression must have a default variant
    assets/i18n/en/script.ftl, line 2: Expected a token starting with "="
    assets/i18n/en/script.ftl, line 1: Expected a token starting with "}"
    "#);
}

#[test]
fn errors_in_page_messages_name_their_location() {
    let fault = |page: &str| {
        LanguageTexts::parse("fa", page.to_owned(), "")
            .map(drop)
            .unwrap_err()
    };
    let errors = [
        "a = { $n",
        "language-name = فارسی\n\n\nwrong",
        "a = 1\nlanguage-name = a\na = 2",
        "language-name = { $tag }",
    ];
    let errors: Vec<_> = errors.map(|page| fault(page).to_string()).to_vec();
    assert_snapshot!(errors.join("\n"), @r#"
    assets/i18n/fa/page.ftl, line 1: Expected a token starting with "}"
    assets/i18n/fa/page.ftl, line 4: Expected a token starting with "="
    assets/i18n/fa/page.ftl: Attempt to override an existing message: "a".
    assets/i18n/fa/page.ftl, language-name: Resolver error: Unknown variable: $tag
    "#);
    let unknown = LanguageTexts::parse("f", String::new(), "")
        .map(drop)
        .unwrap_err();
    assert_snapshot!(unknown, @"assets/i18n/f: not the tag of a language");
    let language = LanguageTexts::parse(
        "en",
        "language-name = English\nhi = Hi { $name }".to_owned(),
        "",
    );
    let text = language
        .unwrap()
        .format_message("hi", &FluentArgs::new())
        .unwrap_err();
    assert_snapshot!(text, @"assets/i18n/en/page.ftl, hi: Resolver error: Unknown variable: $name");
}

#[test]
fn accept_language_weights_select_the_language() {
    let texts = Texts::load().unwrap();
    for (preferred, given) in [
        ("fa-IR,fa;q=0.9,en;q=0.5", "fa"),
        ("fa-IR", "fa"),
        ("fa-Arab-IR, en", "fa"),
        ("FA", "fa"),
        ("de, fa;q=0.5, en;q=0.9", "en"),
        ("en;q=0.1, fa;q=0.2", "fa"),
        ("fa;q=0, en;q=0.1", "en"),
        ("fa;q=0", "en"),
        ("en-GB, fa", "en"),
        ("de, fr", "en"),
        ("*", "en"),
        ("*, fa;q=0.5", "fa"),
        ("", "en"),
        (";q=;,,;;q=1,fa;q=x,=", "en"),
        ("fa;q=NaN", "en"),
        ("fa ; q=0.5 , en;q=0.4", "fa"),
        ("سلام", "en"),
    ] {
        assert_eq!(texts.negotiate(preferred).tag, given, "{preferred}");
    }
}
