//! The name of this node in logs, metrics and connections.

use std::sync::Arc;

use serde::{Deserialize, Deserializer, de::Error};

/// The longest name, in characters.
const MAX_CHARACTERS: usize = 100;

/// The longest name of a client. PostgreSQL cuts longer names.
const MAX_CLIENT_NAME_BYTES: usize = 63;

/// The name of a node, such as `chat-1.example:8000`. Clones share the text.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct NodeName(Arc<str>);

impl NodeName {
    /// Returns the name, or for an empty name the host name and the port.
    ///
    /// With port 0, the system selects the port later. The id of the process then replaces the port.
    #[must_use]
    pub(crate) fn or_default(self, port: i32) -> Self {
        if !self.0.is_empty() {
            return self;
        }
        let host = hostname::get().unwrap_or_default();
        let host = host.to_string_lossy();
        let host = match host.trim() {
            "" => "localhost",
            host => host,
        };
        Self(match port {
            0 => format!("{host}:pid-{}", std::process::id()).into(),
            port => format!("{host}:{port}").into(),
        })
    }

    /// Returns the name as a text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// Returns the name for connections to PostgreSQL and Redis, such as `salam/chat-1:8000`.
    ///
    /// Redis accepts only the printable characters of ASCII, without spaces. A hyphen replaces each other character.
    #[must_use]
    pub fn client_name(&self) -> String {
        let node = self
            .0
            .chars()
            .map(|c| if c.is_ascii_graphic() { c } else { '-' });
        "salam/"
            .chars()
            .chain(node)
            .take(MAX_CLIENT_NAME_BYTES)
            .collect()
    }
}

impl<'de> Deserialize<'de> for NodeName {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        let text = text.trim();
        if text.chars().count() > MAX_CHARACTERS || text.chars().any(char::is_control) {
            return Err(D::Error::custom(format!(
                "the name of a node has at most {MAX_CHARACTERS} characters and no control characters"
            )));
        }
        Ok(Self(text.into()))
    }
}

#[cfg(test)]
mod tests {
    use super::NodeName;

    fn named(text: &str) -> NodeName {
        serde_json::from_value(text.into()).expect("a valid name")
    }

    #[test]
    fn an_empty_name_becomes_the_host_and_the_port() {
        for empty in ["", "  "] {
            let name = named(empty).or_default(8000);
            let (host, port) = name.as_str().rsplit_once(':').expect("a port");
            assert!(!host.is_empty());
            assert_eq!(port, "8000");
        }
        let name = named("").or_default(0);
        assert!(
            name.as_str()
                .ends_with(&format!(":pid-{}", std::process::id()))
        );
        assert_eq!(named(" chat-1 ").or_default(8000).as_str(), "chat-1");
    }

    #[test]
    fn a_client_name_has_at_most_63_bytes_that_redis_allows() {
        assert_eq!(named("chat-1:8000").client_name(), "salam/chat-1:8000");
        assert_eq!(named("a b\u{e9}").client_name(), "salam/a-b-");
        let long = named(&"n".repeat(100)).client_name();
        assert_eq!(long.len(), 63);
    }

    #[test]
    fn a_name_with_control_characters_is_refused() {
        for name in ["a\nb".to_owned(), "n".repeat(101)] {
            assert!(serde_json::from_value::<NodeName>(name.into()).is_err());
        }
    }
}
