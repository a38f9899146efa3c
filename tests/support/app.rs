//! A running app on a real port, and its users.

use std::{net::SocketAddr, sync::Arc, time::Duration};

use loco_rs::{
    app::{AppContext, Hooks},
    boot::StartMode,
    config::Config,
    environment::Environment,
};
use reqwest::{Client, Method, RequestBuilder};
use salam::{app::App, channels::Channels, server, settings::Settings};
use serde_json::{Value, json};
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;

use super::{RichSocket, Socket, TestDatabase, TestResponse, wait_until};

/// One node. Nodes of the same test may share a database and a Redis.
pub struct TestApp {
    pub address: SocketAddr,
    pub ctx: AppContext,
    pub database: Arc<TestDatabase>,
    client: Client,
    stop: CancellationToken,
}

impl TestApp {
    pub async fn start() -> Self {
        Self::with_settings(json!({})).await
    }

    /// Starts an app with some settings changed.
    pub async fn with_settings(settings: Value) -> Self {
        Self::with_application::<App>(settings).await
    }

    /// An application on top of Salam, with some settings changed.
    pub async fn with_application<H: Hooks>(settings: Value) -> Self {
        Self::start_node_of::<H>(Arc::new(TestDatabase::create().await), settings).await
    }

    /// Starts another node on the same database.
    pub async fn start_node(database: Arc<TestDatabase>, settings: Value) -> Self {
        Self::start_node_of::<App>(database, settings).await
    }

    /// Another node of an application on top of Salam.
    pub async fn start_node_of<H: Hooks>(database: Arc<TestDatabase>, settings: Value) -> Self {
        Self::boot::<H>(database, |config| {
            merge_json(config.settings.as_mut().unwrap(), settings)
        })
        .await
    }

    /// Starts an app with some of Loco's configuration changed.
    pub async fn with_config(change: impl FnOnce(&mut Config)) -> Self {
        Self::boot::<App>(Arc::new(TestDatabase::create().await), change).await
    }

    async fn boot<H: Hooks>(database: Arc<TestDatabase>, change: impl FnOnce(&mut Config)) -> Self {
        let mut config = H::load_config(&Environment::Test).await.unwrap();
        config.database.uri = database.uri.clone();
        config.database.dangerously_truncate = false;
        change(&mut config);
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let boot = H::boot(StartMode::ServerOnly, &Environment::Test, config)
            .await
            .unwrap();
        let stop = CancellationToken::new();
        let (router, stopped) = (boot.router.unwrap(), stop.clone());
        let http = Settings::from_context(&boot.app_context)
            .unwrap()
            .door
            .clone();
        tokio::spawn(async move { server::serve(listener, router, &http, stopped).await });
        Self {
            address,
            ctx: boot.app_context,
            database,
            client: http_client(),
            stop,
        }
    }

    pub fn url(&self, path: &str) -> String {
        format!("http://{}{path}", self.address)
    }

    pub fn request(&self, method: Method, path: &str) -> RequestBuilder {
        self.client.request(method, self.url(path))
    }

    pub async fn get(&self, path: &str) -> TestResponse {
        TestResponse::from_request(self.request(Method::GET, path)).await
    }

    pub async fn post(&self, path: &str, body: Value) -> TestResponse {
        TestResponse::from_request(self.request(Method::POST, path).json(&body)).await
    }

    pub async fn post_raw(&self, path: &str, content_type: &str, body: Vec<u8>) -> TestResponse {
        let request = self
            .request(Method::POST, path)
            .header("content-type", content_type);
        TestResponse::from_request(request.body(body)).await
    }

    /// Registers a user and logs in.
    pub async fn user(&self, username: &str) -> User<'_> {
        let password = Self::password_of(username);
        let account = json!({"name": username, "username": username, "password": password});
        assert_eq!(
            self.post("/api/register/", account.clone()).await.status,
            201
        );
        self.log_in(username).await
    }

    /// Logs in as a registered user, in another session.
    pub async fn log_in(&self, username: &str) -> User<'_> {
        let login = json!({"username": username, "password": Self::password_of(username)});
        let tokens = self.post("/api/token/", login).await.json();
        User {
            app: self,
            username: username.to_owned(),
            access: tokens["access"].as_str().unwrap().to_owned(),
            refresh: tokens["refresh"].as_str().unwrap().to_owned(),
        }
    }

    /// Registers users and makes them the members of a new group. The first user is the owner.
    pub async fn group_of<const N: usize>(&self, names: [&str; N]) -> (String, [User<'_>; N]) {
        let mut users = Vec::new();
        for name in names {
            users.push(self.user(name).await);
        }
        let (owner, members) = users.split_first().expect("a group has an owner");
        let group = owner.start_chat().await;
        for member in members {
            owner.add_member(member, &group).await;
        }
        let users = users.try_into().ok().expect("one user for each name");
        (group, users)
    }

    /// Returns the password of a user that [`TestApp::user`] registered.
    pub fn password_of(username: &str) -> String {
        format!("the staple of {username}")
    }

    pub async fn until_redis_is_connected(&self) {
        self.channels()
            .wait_until_connected(super::TEST_TIMEOUT)
            .await
            .unwrap();
    }

    pub async fn until_redis_is_lost(&self) {
        wait_until("the loss of Redis to be detected", async || {
            self.channels()
                .wait_until_connected(Duration::ZERO)
                .await
                .is_err()
        })
        .await;
    }

    /// Returns the secret of this installation.
    pub fn secret(&self) -> String {
        let settings = Settings::from_context(&self.ctx).unwrap();
        settings.tokens.secret.expose().to_owned()
    }

    pub fn channels(&self) -> Channels {
        self.ctx.shared_store.get::<Channels>().unwrap()
    }

    /// Stops the app like `cargo loco start` on SIGTERM.
    pub async fn stop(&self) {
        self.stop.cancel();
        App::on_shutdown(&self.ctx).await;
    }

    pub async fn until_no_group_is_active(&self) {
        wait_until("the last topic to close", async || {
            self.channels().counts_for_tests().active_groups == 0
        })
        .await;
    }
}

impl Drop for TestApp {
    fn drop(&mut self) {
        self.stop.cancel();
    }
}

/// The paths of a group's resources, made from the group's name.
pub trait GroupPath {
    /// Returns the path of a resource, as in `group.path("members/bob/")`.
    fn path(&self, resource: &str) -> String;
}

impl GroupPath for str {
    fn path(&self, resource: &str) -> String {
        format!("/api/groups/{self}/{resource}")
    }
}

/// A user with valid tokens.
#[derive(Clone)]
pub struct User<'a> {
    pub app: &'a TestApp,
    pub username: String,
    pub access: String,
    pub refresh: String,
}

impl<'a> User<'a> {
    /// Returns the same user on another node.
    pub fn on_node<'b>(&self, app: &'b TestApp) -> User<'b> {
        User {
            app,
            username: self.username.clone(),
            access: self.access.clone(),
            refresh: self.refresh.clone(),
        }
    }

    pub async fn post(&self, path: &str, body: Value) -> TestResponse {
        let request = self
            .app
            .request(Method::POST, path)
            .bearer_auth(&self.access);
        TestResponse::from_request(request.json(&body)).await
    }

    pub async fn request(&self, method: Method, path: &str) -> TestResponse {
        TestResponse::from_request(self.app.request(method, path).bearer_auth(&self.access)).await
    }

    pub async fn get(&self, path: &str) -> TestResponse {
        self.request(Method::GET, path).await
    }

    pub async fn delete(&self, path: &str) -> TestResponse {
        self.request(Method::DELETE, path).await
    }

    pub async fn put(&self, path: &str, body: Value) -> TestResponse {
        let request = self.app.request(Method::PUT, path);
        TestResponse::from_request(request.bearer_auth(&self.access).json(&body)).await
    }

    pub async fn patch(&self, path: &str, body: Value) -> TestResponse {
        let request = self.app.request(Method::PATCH, path);
        TestResponse::from_request(request.bearer_auth(&self.access).json(&body)).await
    }

    /// Sends a message by the REST API, with an idempotency key.
    pub async fn send_message(&self, group: &str, text: &str, cid: &str) -> TestResponse {
        let request = self
            .app
            .request(Method::POST, &group.path("messages/"))
            .bearer_auth(&self.access)
            .header("idempotency-key", cid);
        TestResponse::from_request(request.json(&json!({ "text": text }))).await
    }

    /// Creates an invite. Returns its code.
    pub async fn create_invite(&self, group: &str) -> String {
        let response = self.post(&group.path("invites/"), json!({})).await;
        assert_eq!(response.status, 201, "{response}");
        response.json()["code"].as_str().unwrap().to_owned()
    }

    /// Makes another user a member of a group, by an invite.
    pub async fn add_member(&self, other: &User<'_>, group: &str) {
        let code = self.create_invite(group).await;
        let response = other
            .post(&format!("/api/invites/{code}/accept/"), json!({}))
            .await;
        assert_eq!(response.status, 200, "{response}");
    }

    /// Opens a rich socket with a query string.
    pub async fn open_rich(&self, group: &str, query: &str) -> RichSocket {
        RichSocket::connect(self.app.address, group, query, &self.access).await
    }

    /// Opens a multi-group socket and reads its `hello`.
    pub async fn open_multi_group(&self) -> RichSocket {
        let mut socket = RichSocket::connect_multi_group(self.app.address, &self.access).await;
        assert_eq!(socket.next_frame().await["type"], "hello");
        socket
    }

    /// Opens a base socket with a small receive buffer, so that the server's writes soon block.
    pub async fn open_base_with_small_buffer(&self, group: &str) -> Socket {
        let path = format!("/ws/chat/{group}/");
        let cookie = self.cookie();
        Socket::with_small_buffer(self.app.address, &path, &[("cookie", &cookie)]).await
    }

    pub async fn open_rich_with_small_buffer(&self, group: &str) -> RichSocket {
        let path = format!("/ws/chat/{group}/");
        let offers = format!("chat.v1.json, bearer.{}", self.access);
        let headers = [("sec-websocket-protocol", offers.as_str())];
        let socket = Socket::with_small_buffer(self.app.address, &path, &headers).await;
        RichSocket::from_socket(socket, group)
    }

    /// Opens a rich socket and reads its frames up to `sync`.
    pub async fn open_live(&self, group: &str) -> RichSocket {
        let mut socket = self.open_rich(group, "").await;
        socket.until_sync().await;
        socket
    }

    /// Opens a rich socket like [`User::open_live`]. Returns its `group` frame too.
    pub async fn open_live_with_group_frame(&self, group: &str) -> (RichSocket, Value) {
        let mut socket = self.open_rich(group, "").await;
        let frames = socket.until_sync().await;
        assert_eq!(frames[1]["type"], "group");
        (socket, frames[1].clone())
    }

    /// `true` if the API accepts the access token.
    pub async fn is_logged_in(&self) -> bool {
        let status = self.get("/api/me/").await.status;
        assert!(status == 200 || status == 401, "{status}");
        status == 200
    }

    /// Starts a group, whose owner is this user.
    pub async fn start_chat(&self) -> String {
        let response = self.post("/api/start-chat/", json!({})).await;
        assert_eq!(response.status, 200, "{response}");
        response.json()["group_name"].as_str().unwrap().to_owned()
    }

    /// Opens a base socket, without reading its greeting.
    pub async fn connect_base(&self, group: &str) -> Socket {
        Socket::connect(self.app.address, group, &self.cookie())
            .await
            .unwrap()
    }

    /// Opens a base socket and reads its greeting.
    pub async fn open_base(&self, group: &str) -> Socket {
        let mut socket = self.connect_base(group).await;
        assert!(socket.next_message().await.starts_with("hi "));
        socket
    }

    pub fn cookie(&self) -> String {
        format!("access={}", self.access)
    }
}

/// Returns a client that keeps idle connections for less time than the server. A request on a connection
/// that the server is closing would fail.
fn http_client() -> Client {
    let client = Client::builder().pool_idle_timeout(Duration::from_secs(2));
    client.build().unwrap()
}

/// Merges the keys of one JSON object into another.
fn merge_json(base: &mut Value, over: Value) {
    match (base, over) {
        (Value::Object(base), Value::Object(over)) => {
            for (key, value) in over {
                merge_json(base.entry(key).or_insert(Value::Null), value);
            }
        }
        (base, over) => *base = over,
    }
}
