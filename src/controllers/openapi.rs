//! The OpenAPI document, generated from the handlers and their types.

mod conventions;

use serde_json::{Value, json};
use utoipa::{
    IntoResponses, Modify, OpenApi,
    openapi::{
        self,
        security::{ApiKey, ApiKeyValue, HttpAuthScheme, HttpBuilder, SecurityScheme},
    },
};

use super::{auth, chat, groups, invites, members, messages, reactions, sessions, socket};
use crate::views::errors::BodyErrors;

#[derive(OpenApi)]
#[openapi(
    info(
        title = "Salam",
        description = "The API has accounts, chat groups and a WebSocket. Register, log in, press \
                       Authorize with the access token, start a chat and open its `websocket_url`.",
        license(name = "MIT", identifier = "MIT"),
    ),
    paths(
        auth::register,
        auth::login,
        auth::refresh,
        sessions::logout,
        sessions::list,
        sessions::end_session,
        sessions::end_other_sessions,
        sessions::change_password,
        chat::start_chat,
        socket::group_socket,
        socket::multi_group_socket,
        groups::me,
        groups::list,
        groups::show,
        groups::update,
        groups::delete,
        groups::mark_read,
        messages::list,
        messages::create,
        messages::edit,
        messages::delete,
        messages::list_events,
        reactions::add,
        reactions::remove,
        members::list,
        members::update,
        members::remove,
        members::list_bans,
        members::unban,
        invites::create,
        invites::list,
        invites::revoke,
        invites::show,
        invites::accept,
        // openapi-inject (do not remove this comment: new endpoints go above it)
    ),
    tags(
        (name = "accounts", description = "Accounts and tokens."),
        (name = "chat", description = "The creation of chat groups, and their sockets."),
        (name = "groups", description = "The groups of the current user."),
        (name = "messages", description = "The messages of a group: its history and its log."),
        (name = "members", description = "The members of a group, their roles, and bans."),
        (name = "invites", description = "Invites to a group."),
    ),
    modifiers(&SecuritySchemes),
)]
struct ApiDocument;

struct SecuritySchemes;

impl Modify for SecuritySchemes {
    fn modify(&self, document: &mut openapi::OpenApi) {
        let components = document.components.get_or_insert_default();
        components.add_security_scheme(
            "bearer",
            SecurityScheme::Http(
                HttpBuilder::new()
                    .scheme(HttpAuthScheme::Bearer)
                    .bearer_format("JWT")
                    .description(Some("The access token of a login."))
                    .build(),
            ),
        );
        components.add_security_scheme(
            "cookie",
            SecurityScheme::ApiKey(ApiKey::Cookie(ApiKeyValue::with_description(
                "access",
                "The login sets the cookie. Only sockets accept the cookie.",
            ))),
        );
    }
}

/// Adds the response 415 to each operation that changes data.
///
/// Such an operation rejects a body that is not JSON, even if the operation reads no body. So a form of a foreign
/// page cannot change data.
struct UnsupportedMediaTypeResponses;

impl Modify for UnsupportedMediaTypeResponses {
    fn modify(&self, document: &mut openapi::OpenApi) {
        const STATUS: &str = "415";
        let Some(response) = BodyErrors::responses().remove(STATUS) else {
            return;
        };
        let items = document.paths.paths.values_mut();
        let changing = items.flat_map(|item| {
            [
                &mut item.post,
                &mut item.put,
                &mut item.patch,
                &mut item.delete,
            ]
        });
        for operation in changing.flatten() {
            let responses = &mut operation.responses.responses;
            responses
                .entry(STATUS.to_owned())
                .or_insert_with(|| response.clone());
        }
    }
}

/// Returns the document of every endpoint, of the server at this address, such as `https://chat.example`:
/// generated clients use no other address. `added` has the endpoints of an application on top of Salam.
///
/// # Errors
/// When the document cannot be written as JSON, which these types never cause.
pub fn document(server: &str, added: openapi::OpenApi) -> Result<Value, serde_json::Error> {
    let mut document = ApiDocument::openapi().merge_from(added);
    UnsupportedMediaTypeResponses.modify(&mut document);
    let mut document = serde_json::to_value(document)?;
    conventions::apply_conventions(&mut document);
    if let Some(fields) = document.as_object_mut() {
        let servers = json!([{"url": server, "description": "This server."}]);
        fields.insert("servers".to_owned(), servers);
    }
    Ok(document)
}
