//! The part of the OpenAPI document that describes surveys.

use utoipa::OpenApi;

use super::surveys;

/// The endpoints and the tag that the surveys add to the document of Salam.
#[derive(OpenApi)]
#[openapi(
    paths(surveys::list, surveys::create, surveys::show, surveys::vote, surveys::close),
    tags((name = "surveys", description = "Surveys in a group.")),
)]
pub struct SurveysDocument;
