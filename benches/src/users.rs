//! Users of the measured server, and groups with all of them as members.

use serde_json::json;

use crate::{
    Result,
    http::{HttpClient, text_field},
};

/// The password of all users.
const PASSWORD: &str = "a staple of batteries";

/// A registered user.
pub struct User {
    /// The username.
    pub username: String,
    /// The access token.
    pub access: String,
}

/// Registered users and their groups.
pub struct UsersAndGroups {
    /// The users. The first user owns all groups.
    pub users: Vec<User>,
    /// The names of the groups.
    pub groups: Vec<String>,
}

impl UsersAndGroups {
    /// Registers users. The first user creates the groups and adds the others.
    ///
    /// # Errors
    /// When the server refuses a request.
    pub fn create(port: u16, users: usize, groups: usize) -> Result<Self> {
        let mut client = HttpClient::connect(port)?;
        let users = (0..users).map(|index| register(&mut client, &format!("person{index}")));
        let users = users.collect::<Result<Vec<_>>>()?;
        let (first, others) = users.split_first().ok_or("at least one user is needed")?;
        let groups = (0..groups).map(|_| start_group(&mut client, first, others));
        let groups = groups.collect::<Result<Vec<_>>>()?;
        Ok(Self { users, groups })
    }

    /// Returns the name of a group. After the last group, the first follows.
    #[must_use]
    pub fn group(&self, index: usize) -> &str {
        let index = index % self.groups.len().max(1);
        self.groups.get(index).map_or("", String::as_str)
    }

    /// Returns the access token of a user. After the last user, the first follows.
    #[must_use]
    pub fn access(&self, index: usize) -> &str {
        let index = index % self.users.len().max(1);
        self.users.get(index).map_or("", |user| &user.access)
    }
}

fn register(client: &mut HttpClient, username: &str) -> Result<User> {
    let account = json!({"name": username, "username": username, "password": PASSWORD});
    client.post("/api/register/", None, &account)?.expect(201)?;
    log_in(client, username)
}

/// Creates another session of a registered user.
///
/// # Errors
/// When the server refuses the login.
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
    let response = client.post("/api/start-chat/", owner, &json!({}))?;
    let group = text_field(&response.expect(200)?, "group_name")?;
    if others.is_empty() {
        return Ok(group);
    }
    let invites_path = format!("/api/groups/{group}/invites/");
    let invite = client.post(&invites_path, owner, &json!({}))?.expect(201)?;
    let accept_path = format!("/api/invites/{}/accept/", text_field(&invite, "code")?);
    for other in others {
        client
            .post(&accept_path, Some(&other.access), &json!({}))?
            .expect(200)?;
    }
    Ok(group)
}
