//! Signs messages between nodes with a message authentication code (HMAC-SHA256, RFC 2104).
//!
//! Without the code, a program that can write to Redis could forge events and close sockets. The
//! key is derived from the secret of the installation. The code covers the topic and the epoch of
//! the database. So a message cannot be moved to another group, or replayed after a restore.
//!
//! While an operator replaces the secret, the nodes have different secrets. Each node then also accepts the codes of
//! the other accepted secrets.

use std::sync::{Arc, PoisonError, RwLock};

use axum::body::Bytes;
use hmac::{Hmac, Mac};
use sha2::Sha256;

use crate::settings::{Secret, TokenSettings, hmac_sha256};

/// The length of the code before each message: an HMAC truncated to 128 bits (RFC 2104, section 5).
const TAG_BYTES: usize = 16;

/// The purpose of the key. No other use of the secret yields the same codes.
const KEY_PURPOSE: &[u8] = b"salam node messages 1";

/// Signs and verifies the messages of one installation. Clones share the epoch.
#[derive(Clone)]
pub struct MessageSigner(Arc<Inner>);

struct Inner {
    /// The state of the HMAC after the key of the secret.
    mac: Hmac<Sha256>,
    /// The same for each other accepted secret.
    accepted_macs: Vec<Hmac<Sha256>>,
    epoch: RwLock<Arc<str>>,
}

impl MessageSigner {
    /// Derives the keys from the secrets of the installation. The epoch is empty until `set_epoch`.
    #[must_use]
    pub fn new(settings: &TokenSettings) -> Self {
        let accepted = settings.accepted_secrets.iter();
        Self(Arc::new(Inner {
            mac: mac_for_secret(&settings.secret),
            accepted_macs: accepted.map(mac_for_secret).collect(),
            epoch: RwLock::default(),
        }))
    }

    /// Binds all messages from now on to an epoch.
    pub fn set_epoch(&self, epoch: &str) {
        *self.0.epoch.write().unwrap_or_else(PoisonError::into_inner) = epoch.into();
    }

    /// Returns the message with its code before it.
    #[must_use]
    pub fn sign(&self, topic: &str, message: &[u8]) -> Bytes {
        let mac = self.mac_of_message(&self.0.mac, topic, message);
        let tag = mac.finalize().into_bytes();
        let mut signed = Vec::with_capacity(TAG_BYTES + message.len());
        signed.extend(tag.into_iter().take(TAG_BYTES));
        signed.extend_from_slice(message);
        signed.into()
    }

    /// Returns the message without its code, or `None` if the code is wrong.
    ///
    /// The comparison takes constant time.
    #[must_use]
    pub fn verify(&self, topic: &str, signed: &Bytes) -> Option<Bytes> {
        let (tag, message) = signed.split_at_checked(TAG_BYTES)?;
        let mut macs = [&self.0.mac].into_iter().chain(&self.0.accepted_macs);
        let is_right = macs.any(|mac| {
            let mac = self.mac_of_message(mac, topic, message);
            mac.verify_truncated_left(tag).is_ok()
        });
        is_right.then(|| signed.slice(TAG_BYTES..))
    }

    /// Returns the code of a message and its topic in this epoch.
    fn mac_of_message(&self, mac: &Hmac<Sha256>, topic: &str, message: &[u8]) -> Hmac<Sha256> {
        let epoch = self.0.epoch.read().unwrap_or_else(PoisonError::into_inner);
        let mut mac = mac.clone();
        for part in [topic, &epoch] {
            mac.update(&(part.len() as u64).to_be_bytes());
            mac.update(part.as_bytes());
        }
        mac.chain_update(message)
    }
}

/// Returns the state of the HMAC after the key of a secret.
fn mac_for_secret(secret: &Secret) -> Hmac<Sha256> {
    hmac_sha256(&secret.derive_key(KEY_PURPOSE))
}
