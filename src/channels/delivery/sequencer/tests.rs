//! The sequencer returns each event once and in order, in any order of arrival.

use proptest::{collection::vec, prelude::*};

use super::Sequencer;

proptest! {
    #[test]
    fn events_in_any_order_come_out_once_and_in_order(
        begin in 0_i64..1000,
        offsets in vec(-20_i64..60, 0..400),
    ) {
        let mut sequencer = Sequencer::starting_after(begin);
        let mut out = Vec::new();
        for offset in &offsets {
            out.extend(sequencer.receive(begin + offset, begin + offset));
            prop_assert_eq!(sequencer.last_seq(), begin + out.len() as i64);
        }
        let expected: Vec<i64> = (begin + 1..=begin + out.len() as i64).collect();
        prop_assert_eq!(&out, &expected);
        // The sequencer stops before the first event that never arrived.
        let first_missing = (1..).find(|offset| !offsets.contains(offset)).unwrap();
        prop_assert_eq!(sequencer.last_seq(), begin + first_missing - 1);
        prop_assert_eq!(sequencer.has_gap(), offsets.iter().any(|offset| *offset > first_missing));
    }

    #[test]
    fn reading_the_log_from_the_gap_repairs_it(missing in 1_i64..5000, head in 1_i64..5000) {
        let mut sequencer = Sequencer::starting_after(0);
        let mut out = 0;
        for seq in (1..=head).filter(|seq| *seq != missing) {
            out += sequencer.receive(seq, ()).len();
        }
        for seq in sequencer.last_seq() + 1..=head {
            out += sequencer.receive(seq, ()).len();
        }
        prop_assert_eq!(out as i64, head);
        prop_assert!(!sequencer.has_gap());
    }
}

#[test]
fn events_beyond_the_buffer_remain_missing() {
    let mut sequencer = Sequencer::starting_after(0);
    for seq in 3..5000 {
        assert!(sequencer.receive(seq, seq).is_empty());
    }
    let mut out = sequencer.receive(1, 1);
    out.extend(sequencer.receive(2, 2));
    assert_eq!(out, (1..=sequencer.last_seq()).collect::<Vec<_>>());
    assert!(sequencer.last_seq() < 4999, "not all events can wait");
    assert!(sequencer.has_gap(), "the gap is known");
    for seq in sequencer.last_seq() + 1..5000 {
        out.extend(sequencer.receive(seq, seq));
    }
    assert_eq!(out, (1..5000).collect::<Vec<_>>());
    assert!(!sequencer.has_gap());
}

#[test]
fn gaps_that_the_log_lacks_are_skipped() {
    let mut sequencer = Sequencer::starting_after(10);
    assert!(sequencer.receive(12, "twelve").is_empty());
    assert!(sequencer.receive(14, "fourteen").is_empty());
    sequencer.advance_to(13);
    assert_eq!(sequencer.receive(14, "again"), ["fourteen"]);
    sequencer.advance_to(5);
    assert_eq!(sequencer.last_seq(), 14);
}

#[test]
fn the_first_copy_of_a_duplicate_event_is_kept() {
    let mut sequencer = Sequencer::starting_after(0);
    assert!(sequencer.receive(2, "from its sender").is_empty());
    assert!(sequencer.receive(2, "from the log").is_empty());
    assert_eq!(sequencer.receive(1, "one"), ["one", "from its sender"]);
}
