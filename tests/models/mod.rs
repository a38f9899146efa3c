mod changes;
mod chat_groups;
mod database;
mod passwords;
mod reactions;
mod sessions;
mod skeletons;
mod usernames;
