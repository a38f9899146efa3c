//! The task `survey:close`, which closes a survey.

use loco_rs::prelude::*;
use salam::{
    models::{
        chat_groups,
        group_commands::{CommandKind, GroupCommand, SharedRowChange},
        rejections::CommandError,
    },
    tasks::operator::{TaskUsage, print_line, publish_events},
    views::row_json,
};

use crate::{
    models::surveys::{self, SurveyAction, SurveyChange},
    views::surveys::Survey,
};

const USAGE: TaskUsage = TaskUsage {
    name: "survey:close",
    example: "cargo run -p salam-surveys -- task survey:close id:7",
};

/// Closes the survey with the argument `id`.
pub struct SurveyClose;

#[async_trait]
impl Task for SurveyClose {
    fn task(&self) -> TaskInfo {
        TaskInfo {
            name: USAGE.name.to_owned(),
            detail: format!("Close a survey: {}", USAGE.example),
        }
    }

    async fn run(&self, ctx: &AppContext, vars: &task::Vars) -> Result<()> {
        let id = USAGE.required_argument(vars, "id")?;
        let number = id
            .parse::<i64>()
            .map_err(|_| USAGE.error(&format!("`{id}` is not the id of a survey")))?;
        let no_survey = || USAGE.error(&format!("there is no survey {id}"));
        let survey = surveys::Entity::find_by_id(number).one(&ctx.db).await?;
        let survey = survey.ok_or_else(no_survey)?;
        let group = chat_groups::Entity::find_by_id(survey.group_id);
        let group = group.one(&ctx.db).await?.ok_or_else(no_survey)?;
        let close = SurveyChange {
            action: SurveyAction::Close { id: survey.id },
            to_json: row_json::<_, Survey>,
        };
        let command = GroupCommand {
            group_id: group.id,
            actor: None,
            cid: None,
            kind: CommandKind::ChangeRow(SharedRowChange::new(close)),
        };
        let applied = match command.apply_single(&ctx.db).await {
            Ok(applied) => applied,
            // The survey was deleted with its group in the meantime.
            Err(CommandError::Rejected(_)) => return Err(no_survey()),
            Err(error) => return Err(Error::wrap(error)),
        };
        let state = if applied.dup {
            "was closed before"
        } else {
            "is closed"
        };
        publish_events(ctx, &[(group.name, applied.events)]).await?;
        print_line(&format!("{}: `{}` {state}", USAGE.name, survey.question))
    }
}
