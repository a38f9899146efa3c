//! What `cargo loco generate` refuses. What it makes is tried by tests/generators.

use insta::assert_snapshot;

use super::command::Run;

#[tokio::test]
async fn types_that_differ_between_databases_are_refused() {
    for kind in ["scaffold", "model"] {
        let run = Run::of(
            &["generate", kind, "post", "title:string!", "price:decimal!"],
            &[],
        )
        .await;
        assert_eq!(run.code, Some(1));
        insta::allow_duplicates! {
            assert_snapshot!(run.told, @"error: `price:decimal!`: `decimal` is not among the types that are the same on SQLite and PostgreSQL: string, text, uuid, small_int, int, big_int, float, double, bool, date, time, date_time, tstz, json, jsonb, enum, references");
        }
    }
}

#[tokio::test]
async fn without_the_tool_that_writes_entities_nothing_is_written() {
    let nowhere = tempfile::tempdir().unwrap();
    let path = nowhere.path().display().to_string();
    let run = Run::of(
        &["generate", "scaffold", "post", "title:string!"],
        &[("PATH", &path)],
    )
    .await;
    assert_eq!(run.code, Some(1));
    assert_snapshot!(run.told, @"error: sea-orm-cli 2.0 is needed, which writes the entities; `bin/setup` installs it");
}
