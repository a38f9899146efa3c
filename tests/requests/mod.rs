mod access;
mod auth;
mod bad_input;
mod docs;
mod groups;
mod messages;
mod refresh;
mod start_chat;
