//! The account with which the checks log in, and the end of its session.

use std::{fs, path::Path};

use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
use rand::random;
use reqwest::{Method, RequestBuilder};
use serde_json::json;
use url::form_urlencoded;

use super::{
    super::report::Finding,
    OutsideOptions,
    http::{Http, Reply},
};

/// The variable with the password of `--username`. The option `--password-file` replaces it.
const PASSWORD_VARIABLE: &str = "SALAM_DOCTOR_PASSWORD";

/// The number of random bytes of a temporary password.
const PASSWORD_BYTES: usize = 24;

/// A username with its password.
pub struct Credentials {
    pub username: String,
    pub password: String,
    /// `true` if this command registers the account.
    pub is_temporary: bool,
}

impl Credentials {
    /// Returns the account of the options, or a new random one.
    ///
    /// # Errors
    /// When a username has no password, or the file of the password cannot be read.
    pub fn from_options(options: &OutsideOptions) -> Result<Self, String> {
        let Some(username) = options.username.clone() else {
            return Ok(Self {
                username: format!("doctor-{:08x}", random::<u32>()),
                password: URL_SAFE_NO_PAD.encode(random::<[u8; PASSWORD_BYTES]>()),
                is_temporary: true,
            });
        };
        let password = match &options.password_file {
            Some(file) => read_password(file)?,
            None => variable_password()?,
        };
        Ok(Self {
            username,
            password,
            is_temporary: false,
        })
    }

    /// Registers the account, if it is a temporary one.
    pub async fn register(&self, http: &Http) -> Finding {
        if !self.is_temporary {
            return Finding::skipped("the account is given by --username");
        }
        let body = json!({
            "name": "Salam doctor", "username": self.username, "password": self.password,
        });
        let remedy = "pass an account that exists, by --username and --password-file";
        match http.fetch(http.post("/api/register/", &body)).await {
            Ok(reply) if reply.status == 201 => {
                Finding::passed(format!("created the account {}", self.username))
            }
            Ok(reply) => Finding::failed(
                format!("the registration is refused: {}", reply.summary()),
                remedy,
            ),
            Err(error) => Finding::failed(
                format!("{error}; the account {} may exist now", self.username),
                remedy,
            ),
        }
    }

    /// Logs in. Returns the session if the login succeeded.
    pub async fn log_in(&self, http: &Http) -> (Finding, Option<Account<'_>>) {
        let reply = match http.fetch(self.login_request(http, &self.password)).await {
            Ok(reply) => reply,
            Err(error) => {
                let finding = Finding::failed(error, "look at the log of the server");
                return (finding, None);
            }
        };
        let tokens = reply.field("access").zip(reply.field("refresh"));
        let Some((access, _)) = tokens.filter(|_| reply.status == 200) else {
            let remedy = match reply.status {
                401 => "check the username and the password",
                429 => "wait for a minute, and run the command again",
                _ => "look at the log of the server",
            };
            let message = format!("the login is refused: {}", reply.summary());
            return (Finding::failed(message, remedy), None);
        };
        let finding = Finding::passed(format!("logged in as {}", self.username));
        let account = Account {
            credentials: self,
            access,
            login: reply,
        };
        (finding, Some(account))
    }

    /// Describes the things that remain, also the temporary account, which the API cannot delete.
    pub fn describe_rest(&self, done: &str, remains: &[String]) -> Finding {
        let mut message = match remains {
            [] => done.to_owned(),
            remains => format!("these remain: {}", remains.join(", ")),
        };
        if self.is_temporary {
            message += &format!(
                "; the account {} remains, because the API deletes no accounts; nobody has its password",
                self.username
            );
        }
        let remedy = match self.is_temporary {
            true => format!(
                "to deactivate it, run `salam-cli task user:deactivate username:{}` on the server",
                self.username
            ),
            false => "delete the group and end the session in a client".to_owned(),
        };
        match (remains, self.is_temporary) {
            ([], false) => Finding::passed(message),
            ([], true) => Finding::passed(message).with_remedy(remedy),
            _ => Finding::warning(message, remedy),
        }
    }

    /// Begins a login with any password.
    pub fn login_request(&self, http: &Http, password: &str) -> RequestBuilder {
        let body = json!({"username": self.username, "password": password});
        http.post("/api/token/", &body)
    }
}

fn read_password(file: &Path) -> Result<String, String> {
    let text = fs::read_to_string(file)
        .map_err(|error| format!("--password-file {} cannot be read: {error}", file.display()))?;
    Ok(text.trim_end_matches(['\r', '\n']).to_owned())
}

fn variable_password() -> Result<String, String> {
    #[allow(
        clippy::disallowed_methods,
        reason = "the command has no configuration, and an argument would be visible to other users"
    )]
    let password = std::env::var(PASSWORD_VARIABLE);
    password.map_err(|_| {
        format!("--username needs the password: pass --password-file, or set {PASSWORD_VARIABLE}")
    })
}

/// An account with a session.
pub struct Account<'a> {
    pub credentials: &'a Credentials,
    pub access: String,
    /// The answer to the login, with the cookie.
    pub login: Reply,
}

impl Account<'_> {
    /// Returns the value of the header `Cookie`.
    pub fn cookie(&self) -> String {
        format!("access={}", self.access)
    }

    /// Deletes the group, and ends the sessions. Reports the things that remain.
    pub async fn clean_up(&self, http: &Http, group: Option<&str>) -> Finding {
        let mut remains = Vec::new();
        if let Some(group) = group {
            let path = format!("/api/groups/{group}/?confirm={group}");
            if !self.is_done(http, Method::DELETE, &path).await {
                remains.push(format!("the group {group}"));
            }
        }
        let username = &self.credentials.username;
        if self.credentials.is_temporary {
            let confirm: String = form_urlencoded::byte_serialize(username.as_bytes()).collect();
            let path = format!("/api/sessions/?confirm={confirm}");
            if !self.is_done(http, Method::DELETE, &path).await {
                remains.push("other sessions of this run".to_owned());
            }
        }
        if !self.is_done(http, Method::POST, "/api/logout/").await {
            remains.push("the session of this run".to_owned());
        }
        let done = match group {
            Some(_) => "the group is deleted, and the session has ended",
            None => "the session has ended",
        };
        self.credentials.describe_rest(done, &remains)
    }

    async fn is_done(&self, http: &Http, method: Method, path: &str) -> bool {
        let request = http.request(method, path).bearer_auth(&self.access);
        let reply = http.fetch(request).await;
        reply.is_ok_and(|reply| reply.status == 204)
    }
}
