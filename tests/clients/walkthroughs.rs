//! Runs the shell commands of README.md, docs/bots.md and docs/tutorial.md as a reader pastes them, and compares the
//! output of each command with the document.
//!
//! A command stands in an indented block after `$`. The lines after the command are its output, where `…` stands for
//! any text. All commands of a document run in one shell, because later commands use the variables of earlier ones.

use std::process::Command;

use salam_surveys::app::SurveysApp;
use serde_json::json;

use crate::support::{GroupPath, TestApp, with_timeout};

const README_MD: &str = include_str!("../../README.md");
const BOTS_MD: &str = include_str!("../../docs/bots.md");
const TUTORIAL_MD: &str = include_str!("../../docs/tutorial.md");

/// The address of the server in the documents.
const SHOWN_ADDRESS: &str = "127.0.0.1:8000";

/// The beginnings of the commands that do not run here.
const LEFT_OUT: [&str; 11] = [
    // Scripts of the project, which install tools, run all tests or change files.
    "bin/",
    // Compiles the project, or needs the program that it compiles. tests/generators runs the generators.
    "cargo ",
    // Leads to the folder of `git clone`.
    "cd ",
    // Reads a stream that does not end. tests/channels/sse.rs reads such streams.
    "curl -sN ",
    // Sets the variables of programs that are left out.
    "export ",
    // Clones the project.
    "git ",
    // Starts another node by cargo.
    "PORT=",
    // Starts a program that does not end. tests/clients/python.rs runs the client in Python.
    "python3 ",
    // Needs an administrator of the machine.
    "sudo ",
    // Needs a release build.
    "target/release/",
    // Needs websocat, which bin/test does not install.
    "websocat ",
];

/// The forms of values that differ from run to run. `0` stands for a digit, and `f` for a hexadecimal digit.
const VARYING_FORMS: [&str; 4] = [
    "0000-00-00T00:00:00.000Z",
    "00:00:00",
    "chat_ffffffff",
    "ffffffffffff",
];

/// The character that the shell prints after the output of each command.
const END_OF_OUTPUT: char = '\u{1e}';

/// A command of a document, with the output that the document shows.
struct ShellCommand {
    text: String,
    output: String,
}

impl ShellCommand {
    fn new(text: &str) -> Self {
        Self {
            text: text.to_owned(),
            output: String::new(),
        }
    }

    /// Adds the next line of the block: a part of the command after a backslash, else a line of the output.
    fn add_line(&mut self, line: &str) {
        if self.output.is_empty() && self.text.ends_with('\\') {
            self.text += &format!("\n{line}");
        } else {
            self.output += &format!("{line}\n");
        }
    }

    fn is_left_out(&self) -> bool {
        LEFT_OUT.iter().any(|begin| self.text.starts_with(*begin))
    }

    /// Asserts that the document shows this output.
    fn assert_output(&self, real: &str) {
        let shown = self.output.trim_end();
        let real = real.trim_end();
        assert!(
            is_as_shown(&normalize(real), &normalize(shown)),
            "the output of this command differs:\n{}\n\nthe document shows:\n{shown}\n\nthe output is:\n{real}\n",
            self.text
        );
    }
}

/// Returns the commands in the indented blocks of a document, in order.
fn shell_commands(document: &str) -> Vec<ShellCommand> {
    let mut commands: Vec<ShellCommand> = Vec::new();
    let mut is_fenced = false;
    // `true` after the first command of a block.
    let mut is_in_block = false;
    for line in document.lines() {
        is_fenced ^= line.trim_start().starts_with("```");
        let code = match line.strip_prefix("    ") {
            Some(code) if !is_fenced => code,
            // An empty line may be a part of the output.
            None if line.is_empty() && is_in_block => "",
            _ => {
                is_in_block = false;
                continue;
            }
        };
        if let Some(text) = code.strip_prefix("$ ") {
            commands.push(ShellCommand::new(text));
            is_in_block = true;
        } else if is_in_block && let Some(command) = commands.last_mut() {
            command.add_line(code);
        }
    }
    commands
}

/// Runs the commands of a document against an app, and compares the output of each command with the document.
///
/// `real_values` are values of the document with the values that replace them. `meanwhile` is a command that the
/// document does not show, with a part of the command before which it runs.
async fn walk_through(
    app: &TestApp,
    document: &str,
    real_values: &[(&str, &str)],
    meanwhile: Option<(&str, String)>,
) {
    let mut document = document.replace(SHOWN_ADDRESS, &app.address.to_string());
    for &(shown, real) in real_values {
        assert!(document.contains(shown), "the document lacks {shown}");
        document = document.replace(shown, real);
    }
    let mut commands = shell_commands(&document);
    commands.retain(|command| !command.is_left_out());
    assert!(commands.len() > 10, "there are some");
    if let Some((next, text)) = meanwhile {
        let place = commands
            .iter()
            .position(|command| command.text.contains(next));
        let place = place.unwrap_or_else(|| panic!("no command has {next}"));
        commands.insert(place, ShellCommand::new(&text));
    }
    run_commands(&commands).await;
}

/// Runs commands in one shell, which stops at the first command that fails.
async fn run_commands(commands: &[ShellCommand]) {
    let script: String = commands
        .iter()
        .map(|command| format!("{}\nprintf '\\036'\n", command.text))
        .collect();
    let running = tokio::task::spawn_blocking(move || {
        let mut shell = Command::new("bash");
        // The requests must not go to a proxy of the developer.
        shell.env("no_proxy", "*");
        shell
            .args(["-euo", "pipefail", "-c", &script])
            .output()
            .unwrap()
    });
    let ran = with_timeout("the commands of a document", running)
        .await
        .unwrap();
    let printed = String::from_utf8(ran.stdout).unwrap();
    let mut outputs: Vec<&str> = printed.split(END_OF_OUTPUT).collect();
    // Empty, unless a command failed.
    let last_output = outputs.pop().unwrap_or_default();
    for (command, output) in commands.iter().zip(&outputs) {
        command.assert_output(output);
    }
    if let Some(failed) = commands.get(outputs.len()) {
        let errors = String::from_utf8_lossy(&ran.stderr);
        panic!(
            "this command failed:\n{}\n{last_output}\n{errors}",
            failed.text
        );
    }
}

/// Returns whether an output is as the document shows it, where `…` stands for any text.
fn is_as_shown(real: &str, shown: &str) -> bool {
    let mut parts = shown.split('…');
    let first = parts.next().unwrap_or_default();
    let Some(mut rest) = real.strip_prefix(first) else {
        return false;
    };
    let Some(last) = parts.next_back() else {
        return rest.is_empty();
    };
    for part in parts {
        let Some((_, after)) = rest.split_once(part) else {
            return false;
        };
        rest = after;
    }
    rest.ends_with(last)
}

/// Replaces times, names of groups and long hexadecimal numbers by their forms.
fn normalize(text: &str) -> String {
    let mut normal = String::new();
    let mut rest = text;
    while let Some(c) = rest.chars().next() {
        if let Some(form) = VARYING_FORMS.iter().find(|form| has_form(rest, form)) {
            normal += *form;
            // A hexadecimal number may be longer than its form.
            rest = rest[form.len()..].trim_start_matches(is_hex_digit);
        } else {
            normal.push(c);
            rest = &rest[c.len_utf8()..];
        }
    }
    normal
}

/// Returns whether a text begins with a value of this form.
fn has_form(text: &str, form: &str) -> bool {
    let fits = |(c, form): (char, char)| match form {
        '0' => c.is_ascii_digit(),
        'f' => is_hex_digit(c),
        form => c == form,
    };
    text.len() >= form.len() && text.chars().zip(form.chars()).all(fits)
}

fn is_hex_digit(c: char) -> bool {
    c.is_ascii_digit() || ('a'..='f').contains(&c)
}

/// Returns a shell command that sends a message. Values may be variables of the shell.
fn send_command(app: &TestApp, group: &str, access: &str, text: &str) -> String {
    let url = app.url(&group.path("messages/"));
    let body = json!({ "text": text });
    format!(
        "curl -fs -o /dev/null \"{url}\" -H \"Authorization: Bearer {access}\" \
         -H 'Content-Type: application/json' -d '{body}'"
    )
}

#[tokio::test]
async fn the_commands_of_the_readme_work() {
    let app = TestApp::start().await;
    // The reader sends this message by websocat.
    let hi = send_command(&app, "$GROUP", "$ACCESS", "hi");
    walk_through(&app, README_MD, &[], Some(("/invites/\"", hi))).await;
}

#[tokio::test]
async fn the_commands_for_bots_work() {
    let app = TestApp::start().await;
    let password = TestApp::password_of("ann");
    let account = json!({"name": "Ann Lee", "username": "ann", "password": password});
    let registered = app.post("/api/register/", account).await;
    assert_eq!(registered.status, 201, "{registered}");
    let ann = app.log_in("ann").await;
    let title = json!({"title": "Lunch"});
    let started = ann.post("/api/start-chat/", title).await.json();
    let group = started["group_name"].as_str().unwrap();
    let code = ann.create_invite(group).await;
    let real_values = [
        ("67f61ee49141c75a9e7bdb9bb458be74", code.as_str()),
        ("chat_612cb97e", group),
    ];
    let ping = send_command(&app, group, &ann.access, "!ping");
    walk_through(&app, BOTS_MD, &real_values, Some(("?after=2", ping))).await;
}

/// The app has the finished feature of the tutorial, with another name. The generated polls accept the same requests up
/// to the first vote. Where their responses differ, the document has `…`.
#[tokio::test]
async fn the_commands_of_the_tutorial_work() {
    let app = TestApp::with_application::<SurveysApp>(json!({})).await;
    let document = TUTORIAL_MD.replace("poll", "survey");
    walk_through(&app, &document, &[], None).await;
}

#[test]
fn an_output_is_compared_with_the_shown_output() {
    let real = normalize(r#"{"id":1,"at":"2026-11-30T15:06:52.510Z","group":"chat_612cb97e"}"#);
    for (shown, expected) in [
        (
            r#"{"id":1,"at":"2020-01-01T00:00:00.000Z","group":"chat_00000000"}"#,
            true,
        ),
        (r#"{"id":1,…}"#, true),
        (r#"{"id":1,…,"group":"chat_00000000"}"#, true),
        (r#"{"id":2,…}"#, false),
        (r#"{"id":1,…,"role":…}"#, false),
        (r#"{"id":1,…,"group""#, false),
        (r#"{"id":1"#, false),
    ] {
        assert_eq!(is_as_shown(&real, &normalize(shown)), expected, "{shown}");
    }
    assert_eq!(
        normalize("18:41:55 0bf4eea75c80…, 9f9a18f954f047beb5a2371cac8ddd24"),
        "00:00:00 ffffffffffff…, ffffffffffff"
    );
}

#[test]
fn commands_and_outputs_are_found() {
    let document = "Text\n\n    $ X=$(echo \\\n        a)\n    $ echo \"$X\"\n    a\n\n    b\n\nText\n\n    c\n";
    let found: Vec<_> = shell_commands(document)
        .into_iter()
        .map(|command| (command.text, command.output.trim_end().to_owned()))
        .collect();
    let expected = [("X=$(echo \\\n    a)", ""), ("echo \"$X\"", "a\n\nb")];
    assert_eq!(
        found,
        expected.map(|(text, output)| (text.to_owned(), output.to_owned()))
    );
}
