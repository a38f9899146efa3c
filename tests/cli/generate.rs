//! The rejections of `cargo loco generate`. tests/generators checks its output.

use insta::assert_snapshot;

use super::command::CommandRun;

#[tokio::test]
async fn generate_rejects_types_that_differ_between_databases() {
    for kind in ["scaffold", "model"] {
        let run = CommandRun::run(
            &["generate", kind, "post", "title:string!", "price:decimal!"],
            &[],
        )
        .await;
        assert_eq!(run.code, Some(1));
        insta::allow_duplicates! {
            assert_snapshot!(run.output, @"error: `price:decimal!`: the type `decimal` is not supported; the types that are the same on SQLite and PostgreSQL are string, text, uuid, small_int, int, big_int, float, double, bool, date, time, date_time, tstz, json, jsonb, enum, references");
        }
    }
}

#[tokio::test]
async fn generate_rejects_unsupported_arguments() {
    for (args, expected) in [
        (
            "--no-auth post user:references",
            "`user:references` gives each row an owner, but `--no-auth` makes all rows public; remove one of the two",
        ),
        (
            "post chat_group:references:group_id title:string --no-auth",
            "`chat_group:references:group_id` gives each row an owner, but `--no-auth`",
        ),
        (
            "post user:references?",
            "`user:references?`: the name `user_id` is reserved",
        ),
        (
            "post user_id:big_int",
            "`user_id:big_int`: the name `user_id` is reserved",
        ),
        (
            "post group:references",
            "`group:references`: the name `group_id` is reserved",
        ),
        (
            "post chat_group:references?:group_id",
            "the name `group_id` is reserved",
        ),
        ("post kind:enum:2d,3d", "`2d` is not a valid enum value"),
        ("post kind:enum:a,,b!", "`` is not a valid enum value"),
    ] {
        let args: Vec<&str> = ["generate", "scaffold"]
            .into_iter()
            .chain(args.split(' '))
            .collect();
        let run = CommandRun::run(&args, &[]).await;
        assert_eq!(run.code, Some(1), "{args:?}");
        assert!(run.output.contains(expected), "{args:?}: {}", run.output);
    }
}

#[tokio::test]
async fn generate_writes_nothing_without_sea_orm_cli() {
    let nowhere = tempfile::tempdir().unwrap();
    let path = nowhere.path().display().to_string();
    let run = CommandRun::run(
        &["generate", "scaffold", "post", "title:string!"],
        &[("PATH", &path)],
    )
    .await;
    assert_eq!(run.code, Some(1));
    assert_snapshot!(run.output, @"error: sea-orm-cli 2.0 is required to write the entities; install it with `bin/setup`");
}
