//! The surveys of `examples/surveys`: membership, validation, rate limits, the task and the document.

use insta::assert_snapshot;
use loco_rs::{
    app::Hooks,
    task::{Tasks, Vars},
};
use reqwest::Method;
use salam::{
    models::{
        chat_groups,
        events::Actor,
        group_commands::{CommandKind, GroupCommand, SharedRowChange},
        rejections::{CommandError, Rejection},
        users,
    },
    views::row_json,
};
use salam_surveys::{
    app::SurveysApp,
    models::{
        surveys::{self, SurveyAction, SurveyChange},
        votes,
    },
    views::surveys::Survey,
};
use sea_orm::{EntityTrait, PaginatorTrait};
use serde_json::{Value, json};

use crate::{
    requests::{access, docs},
    support::{
        GroupPath, TestApp, TestResponse, User, one_line, openapi::OPENAPI_PATH, redact_text,
        wait_until,
    },
};

/// Returns the body of a valid survey.
fn survey() -> Value {
    json!({"question": "Where do we eat?", "choices": ["At home", "In town"]})
}

/// Returns the number of votes for each choice, in the order of the choices.
fn vote_counts(survey: &Value) -> Vec<i64> {
    let choices = survey["choices"].as_array().unwrap();
    choices
        .iter()
        .map(|choice| choice["votes"].as_i64().unwrap())
        .collect()
}

#[tokio::test]
async fn a_member_votes_and_changes_the_vote() {
    let app = TestApp::with_application::<SurveysApp>(json!({})).await;
    let (group, [ann, bob]) = app.group_of(["ann", "bob"]).await;
    let all = format!("/api/groups/{group}/surveys/");

    let created = ann.post(&all, survey()).await;
    assert_eq!(created.status, 201, "{created}");
    assert_snapshot!(redact_text(&created.body, &created.json()), @r#"{"id":1,"question":"Where do we eat?","choices":[{"text":"At home","votes":0},{"text":"In town","votes":0}],"created_at":"[now]","closed_at":null}"#);
    let one = format!("{all}{}/", created.json()["id"]);
    let vote = format!("{one}vote/");
    for (voter, choice, counts) in [
        (&ann, 0, [1, 0]),
        (&bob, 1, [1, 1]),
        (&bob, 1, [1, 1]),
        (&ann, 1, [0, 2]),
    ] {
        let voted = voter.put(&vote, json!({"choice": choice})).await;
        assert_eq!(voted.status, 200, "{voted}");
        assert_eq!(vote_counts(&voted.json()), counts);
        assert_eq!(bob.get(&one).await.json(), voted.json());
    }

    let second = ann.post(&all, survey()).await.json();
    let page = ann.get(&format!("{all}?limit=1")).await.json();
    assert_eq!(vote_counts(&page["results"][0]), [0, 2]);
    let next = page["next"].as_str().unwrap();
    let rest = ann.get(&format!("{all}?cursor={next}")).await.json();
    assert_eq!(rest, json!({"results": [second], "next": null}));
}

#[tokio::test]
async fn access_depends_on_the_membership() {
    let app = TestApp::with_application::<SurveysApp>(json!({})).await;
    // nobody, stranger, member, admin, owner, ex-member, banned, revoked
    access::assert_access(
        &app,
        |path| path.contains("/surveys/"),
        &[
            "401 404 200 200 200 404 404 401 GET /api/groups/{group_name}/surveys/",
            "401 404 201 201 201 404 404 401 POST /api/groups/{group_name}/surveys/",
            "401 404 200 200 200 404 404 401 GET /api/groups/{group_name}/surveys/{id}/",
            "401 404 200 200 200 404 404 401 PUT /api/groups/{group_name}/surveys/{id}/vote/",
            "401 404 403 200 200 404 404 401 PUT /api/groups/{group_name}/surveys/{id}/close/",
        ],
    )
    .await;
}

#[tokio::test]
async fn a_survey_of_another_group_is_not_found() {
    let app = TestApp::with_application::<SurveysApp>(json!({})).await;
    let [ann, bob] = [app.user("ann").await, app.user("bob").await];
    let (group, other) = (ann.start_chat().await, bob.start_chat().await);
    let created = ann
        .post(&format!("/api/groups/{group}/surveys/"), survey())
        .await;
    let in_other_group = format!("/api/groups/{other}/surveys/{}/", created.json()["id"]);
    for response in [
        bob.get(&in_other_group).await,
        bob.put(&format!("{in_other_group}vote/"), json!({"choice": 0}))
            .await,
    ] {
        assert_eq!(response.status, 404, "{response}");
    }
}

/// A member may leave after the extractor has found the membership and before the transaction begins.
#[tokio::test]
async fn the_transaction_checks_the_membership_again() {
    let app = TestApp::with_application::<SurveysApp>(json!({})).await;
    let (name, [_, bob]) = app.group_of(["ann", "bob"]).await;
    let db = &app.ctx.db;
    let group = chat_groups::Model::find_by_name(db, &name).await;
    let group = group.unwrap().unwrap();
    let user = users::Model::find_by_username(db, "bob").await;
    let user = user.unwrap().unwrap();
    let change = async |action: SurveyAction| {
        let change = SurveyChange {
            action,
            to_json: row_json::<_, Survey>,
        };
        let command = GroupCommand {
            group_id: group.id,
            actor: Some(Actor::from_user(&user)),
            cid: None,
            kind: CommandKind::ChangeRow(SharedRowChange::new(change)),
        };
        command.apply_single(db).await
    };
    let create = || SurveyAction::Create {
        question: "Lunch?".to_owned(),
        choices: vec!["yes".to_owned(), "no".to_owned()],
    };
    change(create()).await.unwrap();
    bob.delete(&format!("/api/groups/{name}/members/bob/"))
        .await;
    for action in [
        create(),
        SurveyAction::Vote { id: 1, choice: 0 },
        SurveyAction::Close { id: 1 },
    ] {
        let error = change(action).await.unwrap_err();
        assert!(
            matches!(error, CommandError::Rejected(Rejection::NotMember)),
            "{error}"
        );
    }
    assert_eq!(surveys::Entity::find().count(db).await.unwrap(), 1);
}

#[tokio::test]
async fn members_receive_the_changes_of_a_survey_as_events() {
    let app = TestApp::with_application::<SurveysApp>(json!({})).await;
    let (group, [ann, bob]) = app.group_of(["ann", "bob"]).await;
    let all = format!("/api/groups/{group}/surveys/");
    let mut socket = bob.open_live(&group).await;
    let create = async || {
        let request = app.request(Method::POST, &all).bearer_auth(&ann.access);
        let request = request.header("idempotency-key", "first").json(&survey());
        TestResponse::from_request(request).await
    };
    let created = create().await;
    assert_eq!(created.status, 201, "{created}");
    // The response was lost, and the client sends the request again.
    let retried = create().await;
    assert_eq!(
        (retried.status.as_u16(), retried.json()),
        (200, created.json())
    );
    let one = format!("{all}{}/", created.json()["id"]);
    let vote = async |user: &User<'_>, choice: i64| {
        let path = format!("{one}vote/");
        user.put(&path, json!({"choice": choice})).await.json()
    };
    let voted = vote(&bob, 1).await;
    // The same vote again changes nothing, so it has no event.
    assert_eq!(vote(&bob, 1).await, voted);
    let closed = ann.put(&format!("{one}close/"), json!({})).await.json();
    assert_eq!(
        ann.put(&format!("{one}close/"), json!({})).await.json(),
        closed
    );

    let expected = [
        ("survey.created", "ann", created.json()),
        ("survey.voted", "bob", voted),
        ("survey.closed", "ann", closed),
    ];
    let mut first_seq = 0;
    for (kind, by, data) in &expected {
        let event = socket.next_event().await;
        assert_eq!((&event["kind"], &event["by"]), (&json!(kind), &json!(by)));
        assert_eq!(&event["data"], data);
        if *kind == "survey.created" {
            first_seq = event["seq"].as_i64().unwrap();
        }
    }
    // A client that was away gets the events by replay, and from the log.
    let query = format!("after={}", first_seq - 1);
    let replayed = ann.open_rich(&group, &query).await.until_sync().await;
    let kinds: Vec<_> = replayed
        .iter()
        .filter(|frame| frame["type"] == "event")
        .map(|event| event["kind"].as_str().unwrap())
        .collect();
    assert_eq!(kinds, ["survey.created", "survey.voted", "survey.closed"]);
    let log = ann.get(&group.path(&format!("events/?{query}"))).await;
    assert_eq!(log.json()["results"][0]["data"], created.json());
}

#[tokio::test]
async fn a_key_of_another_command_creates_no_survey() {
    let app = TestApp::with_application::<SurveysApp>(json!({})).await;
    let ann = app.user("ann").await;
    let group = ann.start_chat().await;
    assert_eq!(ann.send_message(&group, "hi", "used").await.status, 201);
    let path = format!("/api/groups/{group}/surveys/");
    let request = app.request(Method::POST, &path).bearer_auth(&ann.access);
    let request = request.header("idempotency-key", "used").json(&survey());
    let response = TestResponse::from_request(request).await;
    assert_snapshot!(one_line(&response), @r#"409 Conflict {"detail":"This id was used for another request.","code":"cid_reused"}"#);
    assert_eq!(ann.get(&path).await.json()["results"], json!([]));
}

#[tokio::test]
async fn invalid_surveys_and_votes_are_rejected() {
    let app = TestApp::with_application::<SurveysApp>(json!({})).await;
    let ann = app.user("ann").await;
    let all = format!("/api/groups/{}/surveys/", ann.start_chat().await);
    let many: Vec<_> = (0..11).map(|choice| choice.to_string()).collect();
    for (field, value) in [
        ("question", json!("")),
        ("question", json!("x".repeat(256))),
        ("question", json!(1)),
        ("choices", json!(["alone"])),
        ("choices", json!(many)),
        ("choices", json!(["one", ""])),
        ("choices", json!(["one", "x".repeat(101)])),
    ] {
        let mut body = survey();
        body[field] = value;
        let response = ann.post(&all, body).await;
        assert_eq!(
            (response.status.as_u16(), &response.json()["field"]),
            (400, &json!(field)),
            "{response}"
        );
    }
    assert_eq!(ann.get(&all).await.json()["results"], json!([]));

    let created = ann.post(&all, survey()).await.json();
    let vote = format!("{all}{}/vote/", created["id"]);
    for choice in [-1, 2] {
        let response = ann.put(&vote, json!({"choice": choice})).await;
        insta::allow_duplicates! {
            assert_snapshot!(one_line(&response), @r#"400 Bad Request {"detail":"This survey has no such choice.","code":"invalid","field":"choice"}"#);
        }
    }
    assert_eq!(ann.put(&vote, json!({})).await.status, 400);
}

#[tokio::test]
async fn surveys_and_votes_count_as_changes() {
    let limits = json!({"limits": {"changes_per_minute": 2}});
    let app = TestApp::with_application::<SurveysApp>(limits).await;
    let ann = app.user("ann").await;
    let all = format!("/api/groups/{}/surveys/", ann.start_chat().await);
    let created = ann.post(&all, survey()).await.json();
    let vote = format!("{all}{}/vote/", created["id"]);
    assert_eq!(ann.put(&vote, json!({"choice": 0})).await.status, 200);
    for refused in [
        ann.put(&vote, json!({"choice": 1})).await,
        ann.post(&all, survey()).await,
    ] {
        assert_eq!(refused.status, 429, "{refused}");
    }
}

#[tokio::test]
async fn an_operator_closes_a_survey() {
    let app = TestApp::with_application::<SurveysApp>(json!({})).await;
    let ann = app.user("ann").await;
    let all = format!("/api/groups/{}/surveys/", ann.start_chat().await);
    let created = ann.post(&all, survey()).await.json();
    let mut tasks = Tasks::default();
    SurveysApp::register_tasks(&mut tasks);
    let close = async |id: &str| {
        let vars = Vars::from_cli_args(vec![("id".to_owned(), id.to_owned())]);
        tasks.run(&app.ctx, "survey:close", &vars).await
    };
    close("1").await.unwrap();
    let one = format!("{all}{}/", created["id"]);
    let closed = ann.get(&one).await.json();
    assert!(closed["closed_at"].is_string(), "{closed}");
    // A second call keeps the time of the first call.
    close("1").await.unwrap();
    assert_eq!(ann.get(&one).await.json(), closed);
    let refused = ann.put(&format!("{one}vote/"), json!({"choice": 0})).await;
    assert_snapshot!(one_line(&refused), @r#"409 Conflict {"detail":"This survey is closed.","code":"conflict"}"#);
    assert_snapshot!(close("2").await.unwrap_err(), @"survey:close: there is no survey 2");
    assert_snapshot!(close("x").await.unwrap_err(), @"survey:close: `x` is not the id of a survey");
}

#[tokio::test]
async fn the_openapi_document_has_the_endpoints_of_both() {
    let app = TestApp::with_application::<SurveysApp>(json!({})).await;
    let document = app.get(OPENAPI_PATH).await.json();
    docs::assert_references_resolve(&document);
    for path in [
        "/api/groups/{group_name}/surveys/{id}/vote/",
        "/api/groups/{group_name}/messages/",
    ] {
        assert!(document["paths"][path].is_object(), "{path}");
    }
    let vote = &document["paths"]["/api/groups/{group_name}/surveys/{id}/vote/"]["put"];
    assert!(vote["responses"]["415"].is_object(), "{vote}");

    // Salam without the surveys has no such endpoint.
    let app = TestApp::start().await;
    let document = app.get(OPENAPI_PATH).await;
    assert!(!document.body.contains("surveys"));
    let ann = app.user("ann").await;
    let surveys = format!("/api/groups/{}/surveys/", ann.start_chat().await);
    assert_eq!(ann.get(&surveys).await.status, 404);
}

#[tokio::test]
async fn surveys_survive_a_second_start_and_are_deleted_with_their_group() {
    let app = TestApp::with_application::<SurveysApp>(json!({})).await;
    let ann = app.user("ann").await;
    let group = ann.start_chat().await;
    ann.post(&format!("/api/groups/{group}/surveys/"), survey())
        .await;
    let second = TestApp::start_node_of::<SurveysApp>(app.database.clone(), json!({})).await;
    let ann = ann.on_node(&second);
    let surveys = format!("/api/groups/{group}/surveys/");
    assert_eq!(ann.get(&surveys).await.json()["results"][0]["id"], 1);
    assert_eq!(second.get("/_readiness").await.status, 200);
    let deleted = ann
        .delete(&format!("/api/groups/{group}/?confirm={group}"))
        .await;
    assert_eq!(deleted.status, 204, "{deleted}");
    assert_eq!(ann.get(&surveys).await.status, 404);
    wait_until("the purge to delete the surveys of the group", async || {
        surveys::Entity::find().count(&second.ctx.db).await.unwrap() == 0
    })
    .await;
}

#[tokio::test]
async fn truncate_deletes_surveys_and_votes() {
    let app = TestApp::with_application::<SurveysApp>(json!({})).await;
    let ann = app.user("ann").await;
    let surveys = format!("/api/groups/{}/surveys/", ann.start_chat().await);
    ann.post(&surveys, survey()).await;
    let vote = ann
        .put(&format!("{surveys}1/vote/"), json!({"choice": 0}))
        .await;
    assert!(vote.status.is_success(), "{vote}");
    let db = &app.ctx.db;
    assert_eq!(votes::Entity::find().count(db).await.unwrap(), 1);
    SurveysApp::truncate(&app.ctx).await.unwrap();
    assert_eq!(votes::Entity::find().count(db).await.unwrap(), 0);
    assert_eq!(surveys::Entity::find().count(db).await.unwrap(), 0);
}
