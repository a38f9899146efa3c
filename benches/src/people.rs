//! Who uses the measured server: some people, and groups of which all of them are members.

use serde_json::json;

use crate::{
    Result,
    http::{Client, text},
};

const PASSWORD: &str = "a staple of batteries";

pub struct Person {
    pub username: String,
    pub access: String,
}

pub struct Town {
    pub people: Vec<Person>,
    /// Their names.
    pub groups: Vec<String>,
}

impl Town {
    /// Registers people, of whom the first starts the groups and brings in the others.
    ///
    /// # Errors
    /// The server refuses something.
    pub fn settle(port: u16, people: usize, groups: usize) -> Result<Self> {
        let mut client = Client::connect(port)?;
        let people = (0..people).map(|number| register(&mut client, &format!("person{number}")));
        let people = people.collect::<Result<Vec<_>>>()?;
        let (first, others) = people.split_first().ok_or("nobody lives there")?;
        let groups = (0..groups).map(|_| start(&mut client, first, others));
        let groups = groups.collect::<Result<Vec<_>>>()?;
        Ok(Self { people, groups })
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
        let number = number % self.people.len().max(1);
        self.people.get(number).map_or("", |person| &person.access)
    }
}

fn register(client: &mut Client, username: &str) -> Result<Person> {
    let account = json!({"name": username, "username": username, "password": PASSWORD});
    client.post("/api/register/", None, &account)?.expect(201)?;
    log_in(client, username)
}

/// Another session of somebody who is registered.
///
/// # Errors
/// The server refuses it.
pub fn log_in(client: &mut Client, username: &str) -> Result<Person> {
    let login = json!({"username": username, "password": PASSWORD});
    let tokens = client.post("/api/token/", None, &login)?.expect(200)?;
    Ok(Person {
        username: username.to_owned(),
        access: text(&tokens, "access")?,
    })
}

fn start(client: &mut Client, owner: &Person, others: &[Person]) -> Result<String> {
    let owner = Some(owner.access.as_str());
    let started = client.post("/api/start-chat/", owner, &json!({}))?;
    let group = text(&started.expect(200)?, "group_name")?;
    if others.is_empty() {
        return Ok(group);
    }
    let invites = format!("/api/groups/{group}/invites/");
    let invite = client.post(&invites, owner, &json!({}))?.expect(201)?;
    let accept = format!("/api/invites/{}/accept/", text(&invite, "code")?);
    for other in others {
        client
            .post(&accept, Some(&other.access), &json!({}))?
            .expect(200)?;
    }
    Ok(group)
}
