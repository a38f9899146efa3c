//! The connection settings of Redis, the names of channels, and the id of this node.

use redis::{
    Client, ConnectionAddr, ConnectionInfo, ErrorKind, IntoConnectionInfo, ProtocolVersion,
    RedisError, TlsCertificates, TlsMode,
    sentinel::{SentinelClientBuilder, SentinelServerType},
};
use url::Url;
use uuid::Uuid;

use super::super::slot_map::RedisServer;
use crate::settings::{ChannelSettings, RedisUrl};

/// The length of a node's id. Every payload begins with the id of the node that published it.
pub(super) const NODE_ID_BYTES: usize = 16;

/// The settings of all connections of this node to Redis.
pub struct RedisConfig {
    url: RedisUrl,
    ca: Option<Vec<u8>>,
    prefix: String,
    pub(super) node_id: [u8; NODE_ID_BYTES],
    /// The name of this node's connections, which `CLIENT LIST` shows.
    pub(super) client_name: String,
}

impl RedisConfig {
    /// Takes the configuration from the settings and creates the id of this node.
    #[must_use]
    pub fn new(url: &RedisUrl, settings: &ChannelSettings, client_name: &str) -> Self {
        Self {
            url: url.clone(),
            ca: settings.redis_ca.clone(),
            prefix: format!("{}:", settings.topic_prefix),
            node_id: *Uuid::new_v4().as_bytes(),
            client_name: client_name.to_owned(),
        }
    }

    /// Returns `true` if sentinels name the server. Redis is then not a cluster.
    #[must_use]
    pub fn uses_sentinels(&self) -> bool {
        self.url.master.is_some()
    }

    /// Returns the name of a topic's channel in Redis.
    #[must_use]
    pub fn channel_name(&self, topic: &str) -> String {
        format!("{}{topic}", self.prefix)
    }

    /// Returns the topic of a channel, or `None` for a channel of another installation.
    pub(super) fn topic_of<'a>(&self, channel: &'a str) -> Option<&'a str> {
        channel.strip_prefix(&self.prefix)
    }

    /// Returns a client for each server that the settings name.
    pub(super) fn seed_clients(&self) -> impl Iterator<Item = Result<Client, RedisError>> {
        self.url
            .servers
            .iter()
            .map(|url| self.open_client(self.connection_info(url)?))
    }

    /// Returns a client for a server.
    pub(super) async fn client_for(&self, server: &RedisServer) -> Result<Client, RedisError> {
        match (server, &self.url.master, self.url.servers.as_slice()) {
            (RedisServer::Node { host, port }, _, [seed, ..]) => {
                self.open_client(self.with_address(self.connection_info(seed)?, host, *port))
            }
            (RedisServer::Single, Some(master), sentinels) => {
                self.master_from_sentinels(master, sentinels).await
            }
            (RedisServer::Single, None, [url]) => self.open_client(self.connection_info(url)?),
            // `servers` is never empty.
            (RedisServer::Single, None, _) | (_, _, []) => Err(RedisError::from((
                ErrorKind::InvalidClientConfig,
                "REDIS_URL names several servers, but they are not a cluster; name one server, nodes of \
                 one cluster, or sentinels (redis+sentinel://)",
            ))),
        }
    }

    /// Returns a client for the master that the sentinels name.
    ///
    /// The sentinels are queried before each connection, because another server may have become the
    /// master.
    async fn master_from_sentinels(
        &self,
        name: &str,
        sentinels: &[Url],
    ) -> Result<Client, RedisError> {
        let infos = sentinels.iter().map(|url| self.connection_info(url));
        let infos = infos.collect::<Result<Vec<_>, _>>()?;
        let addresses = infos.iter().map(|info| info.addr().clone());
        let mut builder = SentinelClientBuilder::new(addresses, name, SentinelServerType::Master)?
            .set_client_to_redis_protocol(ProtocolVersion::RESP3);
        if self.url.is_tls() {
            builder = builder
                .set_client_to_redis_tls_mode(TlsMode::Secure)
                .set_client_to_redis_certificates(self.certificates())
                .set_client_to_sentinel_certificates(self.certificates());
        }
        if let Some(info) = infos.first() {
            let redis = info.redis_settings();
            if let Some(username) = redis.username() {
                builder = builder.set_client_to_redis_username(username);
            }
            if let Some(password) = redis.password() {
                builder = builder.set_client_to_redis_password(password);
            }
        }
        for (key, value) in sentinels.iter().flat_map(Url::query_pairs) {
            builder = match key.as_ref() {
                "sentinel_username" => builder.set_client_to_sentinel_username(value),
                "sentinel_password" => builder.set_client_to_sentinel_password(value),
                _ => builder,
            };
        }
        builder.build()?.async_get_client().await
    }

    fn connection_info(&self, url: &Url) -> Result<ConnectionInfo, RedisError> {
        let info = url.clone().into_connection_info()?;
        // Pushes on a connection that also carries commands need RESP3.
        let redis = info.redis_settings().clone();
        Ok(info.set_redis_settings(redis.set_protocol(ProtocolVersion::RESP3)))
    }

    /// Returns the same connection settings with another address.
    fn with_address(&self, info: ConnectionInfo, host: &str, port: u16) -> ConnectionInfo {
        let host = host.to_owned();
        info.set_addr(if self.url.is_tls() {
            ConnectionAddr::TcpTls {
                host,
                port,
                insecure: false,
                tls_params: None,
            }
        } else {
            ConnectionAddr::Tcp(host, port)
        })
    }

    fn open_client(&self, info: ConnectionInfo) -> Result<Client, RedisError> {
        if self.url.is_tls() {
            Client::build_with_tls(info, self.certificates())
        } else {
            Client::open(info)
        }
    }

    fn certificates(&self) -> TlsCertificates {
        TlsCertificates {
            client_tls: None,
            root_cert: self.ca.clone(),
        }
    }
}
