//! The part of the OpenAPI document that describes polls.

use utoipa::OpenApi;

use super::polls;

/// The endpoints and the tag that the polls add to the document of Salam.
#[derive(OpenApi)]
#[openapi(
    paths(polls::list, polls::create, polls::show, polls::vote, polls::close),
    tags((name = "polls", description = "Polls in a group")),
)]
pub struct PollsDocument;
