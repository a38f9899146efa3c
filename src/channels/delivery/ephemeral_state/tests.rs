//! Sockets receive each change of typing and of read positions once.

use super::EphemeralState;
use crate::channels::protocol::ephemeral::{EncodedEphemeral, EphemeralEvent};

fn typing(on: bool) -> EncodedEphemeral {
    EncodedEphemeral::encode(&EphemeralEvent::Typing {
        group: "chat_a1b2c3d4".into(),
        user: "ann".into(),
        on,
    })
}

fn read(seq: i64) -> EncodedEphemeral {
    EncodedEphemeral::encode(&EphemeralEvent::Read {
        group: "chat_a1b2c3d4".into(),
        user: "ann".into(),
        seq,
    })
}

#[test]
fn the_end_of_typing_is_sent_once() {
    let state = EphemeralState::default();
    assert!(!state.update_typing(&typing(false)));
    assert!(state.update_typing(&typing(true)));
    assert!(state.has_typing_users());
    assert!(state.timed_out_typing_users().is_empty());
    assert!(state.update_typing(&typing(false)));
    assert!(!state.has_typing_users());
    assert!(!state.update_typing(&typing(false)));
}

#[test]
fn read_positions_only_advance() {
    let state = EphemeralState::default();
    assert!(state.advance_read_position(&read(5)));
    assert!(!state.advance_read_position(&read(5)));
    assert!(!state.advance_read_position(&read(3)));
    assert!(state.advance_read_position(&read(6)));
}
