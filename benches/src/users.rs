//! Who uses the measured server: some people, and groups of which all of them are members.

use serde_json::json;

use crate::{
    Result,
    http::{HttpClient, text_field},
};

const PASSWORD: &str = "a staple of batteries";

pub struct User {
    pub username: String,
    pub access: String,
}

pub struct UsersAndGroups {
    pub users: Vec<User>,
    /// Their names.
    pub groups: Vec<String>,
}

impl UsersAndGroups {
    /// Registers people, of whom the first starts the groups and brings in the others.
    ///
    /// # Errors
    /// The server refuses something.
    pub fn create(port: u16, people: usize, groups: usize) -> Result<Self> {
        let mut client = HttpClient::connect(port)?;
        let people = (0..people).map(|number| register(&mut client, &format!("person{number}")));
        let people = people.collect::<Result<Vec<_>>>()?;
        let (first, others) = people.split_first().ok_or("nobody lives there")?;
        let groups = (0..groups).map(|_| start_group(&mut client, first, others));
        let groups = groups.collect::<Result<Vec<_>>>()?;
        Ok(Self {
            users: people,
            groups,
        })
    }

    /// The name of a group; the first follows on the last.
    #[must_use]
    pub fn group(&self, number: usize) -> &str {
        let number = number % self.groups.len().max(1);
        self.groups.get(number).map_or("", String::as_str)
    }

    /// Somebody's access token, in turn.
    #[must_use]
    pub fn access(&self, number: usize) -> &str {
        let number = number % self.users.len().max(1);
        self.users.get(number).map_or("", |person| &person.access)
    }
}

fn register(client: &mut HttpClient, username: &str) -> Result<User> {
    let account = json!({"name": username, "username": username, "password": PASSWORD});
    client.post("/api/register/", None, &account)?.expect(201)?;
    log_in(client, username)
}

/// Another session of somebody who is registered.
///
/// # Errors
/// The server refuses it.
pub fn log_in(client: &mut HttpClient, username: &str) -> Result<User> {
    let login = json!({"username": username, "password": PASSWORD});
    let tokens = client.post("/api/token/", None, &login)?.expect(200)?;
    Ok(User {
        username: username.to_owned(),
        access: text_field(&tokens, "access")?,
    })
}

fn start_group(client: &mut HttpClient, owner: &User, others: &[User]) -> Result<String> {
    let owner = Some(owner.access.as_str());
    let started = client.post("/api/start-chat/", owner, &json!({}))?;
    let group = text_field(&started.expect(200)?, "group_name")?;
    if others.is_empty() {
        return Ok(group);
    }
    let invites = format!("/api/groups/{group}/invites/");
    let invite = client.post(&invites, owner, &json!({}))?.expect(201)?;
    let accept = format!("/api/invites/{}/accept/", text_field(&invite, "code")?);
    for other in others {
        client
            .post(&accept, Some(&other.access), &json!({}))?
            .expect(200)?;
    }
    Ok(group)
}
