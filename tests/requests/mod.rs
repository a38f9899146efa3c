mod auth;
mod bad_input;
mod docs;
mod refresh;
mod start_chat;
