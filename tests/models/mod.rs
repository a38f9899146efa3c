mod chat_groups;
mod database;
mod passwords;
mod reactions;
mod usernames;
