//! The seal of messages between nodes: a message authentication code (HMAC-SHA256, RFC 2104).
//!
//! Without it, a program that can write to Redis could forge events and close sockets. The key comes from the secret
//! of the installation. The code is bound to the topic and to the epoch of the database, so that a message
//! cannot be moved to another group, or replayed after a restore.

use std::sync::{Arc, PoisonError, RwLock};

use axum::body::Bytes;
use hmac::{Hmac, Mac};
use sha2::Sha256;

use crate::settings::Secret;

/// Bytes of the code in front of each message: a truncated HMAC of 128 bits (RFC 2104, section 5).
const TAG_BYTES: usize = 16;

/// The purpose of the key, so that no other use of the secret makes the same codes.
const KEY_PURPOSE: &[u8] = b"salam node messages 1";

/// Seals and opens the messages of one installation. Clones share the epoch.
#[derive(Clone)]
pub struct MessageSigner(Arc<Inner>);

struct Inner {
    /// Has the key in it.
    mac: Hmac<Sha256>,
    epoch: RwLock<Arc<str>>,
}

impl MessageSigner {
    #[must_use]
    pub fn new(secret: &Secret) -> Self {
        let key = new_mac(secret.expose().as_bytes())
            .chain_update(KEY_PURPOSE)
            .finalize();
        Self(Arc::new(Inner {
            mac: new_mac(&key.into_bytes()),
            epoch: RwLock::default(),
        }))
    }

    /// Binds the messages from now on to an epoch.
    pub fn set_epoch(&self, epoch: &str) {
        *self.0.epoch.write().unwrap_or_else(PoisonError::into_inner) = epoch.into();
    }

    /// Returns the message with its code.
    #[must_use]
    pub fn sign(&self, topic: &str, message: &[u8]) -> Bytes {
        let tag = self.mac(topic, message).finalize().into_bytes();
        let mut sealed = Vec::with_capacity(TAG_BYTES + message.len());
        sealed.extend(tag.into_iter().take(TAG_BYTES));
        sealed.extend_from_slice(message);
        sealed.into()
    }

    /// Returns the message, if its code is right. The comparison takes the same time wherever they differ.
    #[must_use]
    pub fn verify(&self, topic: &str, sealed: &Bytes) -> Option<Bytes> {
        let (tag, message) = sealed.split_at_checked(TAG_BYTES)?;
        let mac = self.mac(topic, message);
        mac.verify_truncated_left(tag).ok()?;
        Some(sealed.slice(TAG_BYTES..))
    }

    fn mac(&self, topic: &str, message: &[u8]) -> Hmac<Sha256> {
        let epoch = self.0.epoch.read().unwrap_or_else(PoisonError::into_inner);
        let mut mac = self.0.mac.clone();
        for part in [topic, &epoch] {
            mac.update(&(part.len() as u64).to_be_bytes());
            mac.update(part.as_bytes());
        }
        mac.chain_update(message)
    }
}

fn new_mac(key: &[u8]) -> Hmac<Sha256> {
    // HMAC takes a key of any length (RFC 2104, section 2), so there is no error.
    Hmac::new_from_slice(key).unwrap_or_else(|_| Hmac::new(&Default::default()))
}
