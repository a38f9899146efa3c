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
async fn what_the_templates_do_not_take_is_refused() {
    for (args, told) in [
        (
            "--no-auth post user:references",
            "`user:references` says whose they are, and `--no-auth` that they are everybody's",
        ),
        (
            "post chat_group:references:group_id title:string --no-auth",
            "`chat_group:references:group_id` says whose they are, and `--no-auth`",
        ),
        (
            "post user:references?",
            "`user:references?`: the column `user_id` says whose",
        ),
        (
            "post user_id:big_int",
            "`user_id:big_int`: the column `user_id` says whose",
        ),
        (
            "post group:references",
            "`group:references`: the column `group_id` says whose",
        ),
        (
            "post chat_group:references?:group_id",
            "the column `group_id` says whose",
        ),
        ("post kind:enum:2d,3d", "`2d` is no value of an enum"),
        ("post kind:enum:a,,b!", "`` is no value of an enum"),
    ] {
        let args: Vec<&str> = ["generate", "scaffold"]
            .into_iter()
            .chain(args.split(' '))
            .collect();
        let run = Run::of(&args, &[]).await;
        assert_eq!(run.code, Some(1), "{args:?}");
        assert!(run.told.contains(told), "{args:?}: {}", run.told);
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
