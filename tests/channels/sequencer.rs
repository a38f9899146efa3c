//! However events come in, each comes out once and in order.

use proptest::{collection::vec, prelude::*};
use salam::channels::delivery::Sequencer;

proptest! {
    #[test]
    fn events_in_any_order_come_out_once_and_in_order(
        begin in 0_i64..1000,
        offsets in vec(-20_i64..60, 0..400),
    ) {
        let mut order = Sequencer::starting_after(begin);
        let mut out = Vec::new();
        for offset in &offsets {
            out.extend(order.receive(begin + offset, begin + offset));
            prop_assert_eq!(order.last_seq(), begin + out.len() as i64);
        }
        let expected: Vec<i64> = (begin + 1..=begin + out.len() as i64).collect();
        prop_assert_eq!(&out, &expected);
        // What is missing is the first that never came.
        let first_missing = (1..).find(|offset| !offsets.contains(offset)).unwrap();
        prop_assert_eq!(order.last_seq(), begin + first_missing - 1);
        prop_assert_eq!(order.has_gap(), offsets.iter().any(|offset| *offset > first_missing));
    }

    #[test]
    fn reading_the_log_from_the_gap_repairs_it(missing in 1_i64..5000, head in 1_i64..5000) {
        let mut order = Sequencer::starting_after(0);
        let mut out = 0;
        for seq in (1..=head).filter(|seq| *seq != missing) {
            out += order.receive(seq, ()).len();
        }
        for seq in order.last_seq() + 1..=head {
            out += order.receive(seq, ()).len();
        }
        prop_assert_eq!(out as i64, head);
        prop_assert!(!order.has_gap());
    }
}

#[test]
fn events_beyond_the_buffer_remain_missing() {
    let mut order = Sequencer::starting_after(0);
    for seq in 3..5000 {
        assert!(order.receive(seq, seq).is_empty());
    }
    let mut out = order.receive(1, 1);
    out.extend(order.receive(2, 2));
    assert_eq!(out, (1..=order.last_seq()).collect::<Vec<_>>());
    assert!(order.last_seq() < 4999, "not all can wait");
    assert!(order.has_gap(), "and it is known that something is missing");
    for seq in order.last_seq() + 1..5000 {
        out.extend(order.receive(seq, seq));
    }
    assert_eq!(out, (1..5000).collect::<Vec<_>>());
    assert!(!order.has_gap());
}

#[test]
fn gaps_that_the_log_lacks_are_skipped() {
    let mut order = Sequencer::starting_after(10);
    assert!(order.receive(12, "twelve").is_empty());
    assert!(order.receive(14, "fourteen").is_empty());
    order.advance_to(13);
    assert_eq!(order.receive(14, "again"), ["fourteen"]);
    order.advance_to(5);
    assert_eq!(order.last_seq(), 14);
}

#[test]
fn the_first_copy_of_a_duplicate_event_is_kept() {
    let mut order = Sequencer::starting_after(0);
    assert!(order.receive(2, "from its sender").is_empty());
    assert!(order.receive(2, "from the log").is_empty());
    assert_eq!(order.receive(1, "one"), ["one", "from its sender"]);
}
