//! The JSON of surveys.

use salam::views::format_time;
use serde::Serialize;
use utoipa::ToSchema;

use crate::models::surveys::SurveyWithVotes;

/// A survey of a group.
#[derive(Serialize, ToSchema)]
pub struct Survey {
    #[schema(example = 1)]
    pub id: i64,
    #[schema(example = "Where do we eat?")]
    pub question: String,
    /// The choices, in the order in which the author gave them.
    pub choices: Vec<Choice>,
    #[schema(example = "2026-12-01T14:05:09.123Z")]
    pub created_at: String,
    /// The time after which nobody may vote. Null while the survey is open.
    #[schema(example = json!(null))]
    pub closed_at: Option<String>,
}

/// A choice of a survey.
#[derive(Serialize, ToSchema)]
pub struct Choice {
    #[schema(example = "At home")]
    pub text: String,
    /// The number of users who voted for this choice. The votes of former members count too.
    #[schema(example = 3)]
    pub votes: i64,
}

impl From<SurveyWithVotes> for Survey {
    fn from(SurveyWithVotes { survey, votes }: SurveyWithVotes) -> Self {
        let choices = survey.choices.0.into_iter().zip(votes);
        Self {
            id: survey.id,
            question: survey.question,
            choices: choices
                .map(|(text, votes)| Choice { text, votes })
                .collect(),
            created_at: format_time(&survey.created_at),
            closed_at: survey.closed_at.as_ref().map(format_time),
        }
    }
}
