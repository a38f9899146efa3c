//! However events come in, each comes out once and in order.

use proptest::{collection::vec, prelude::*};
use salam::channels::order::Order;

proptest! {
    #[test]
    fn any_mixture_comes_out_once_and_in_order(
        begin in 0_i64..1000,
        offsets in vec(-20_i64..60, 0..400),
    ) {
        let mut order = Order::after(begin);
        let mut out = Vec::new();
        for offset in &offsets {
            out.extend(order.arrive(begin + offset, begin + offset));
            prop_assert_eq!(order.last(), begin + out.len() as i64);
        }
        let expected: Vec<i64> = (begin + 1..=begin + out.len() as i64).collect();
        prop_assert_eq!(&out, &expected);
        // What is missing is the first that never came.
        let first_missing = (1..).find(|offset| !offsets.contains(offset)).unwrap();
        prop_assert_eq!(order.last(), begin + first_missing - 1);
        prop_assert_eq!(order.is_gapped(), offsets.iter().any(|offset| *offset > first_missing));
    }

    #[test]
    fn a_log_read_from_the_gap_on_heals_it(missing in 1_i64..5000, head in 1_i64..5000) {
        let mut order = Order::after(0);
        let mut out = 0;
        for seq in (1..=head).filter(|seq| *seq != missing) {
            out += order.arrive(seq, ()).len();
        }
        for seq in order.last() + 1..=head {
            out += order.arrive(seq, ()).len();
        }
        prop_assert_eq!(out as i64, head);
        prop_assert!(!order.is_gapped());
    }
}

#[test]
fn what_did_not_fit_is_still_missed() {
    let mut order = Order::after(0);
    for seq in 3..5000 {
        assert!(order.arrive(seq, seq).is_empty());
    }
    let mut out = order.arrive(1, 1);
    out.extend(order.arrive(2, 2));
    assert_eq!(out, (1..=order.last()).collect::<Vec<_>>());
    assert!(order.last() < 4999, "not all can wait");
    assert!(
        order.is_gapped(),
        "and it is known that something is missing"
    );
    for seq in order.last() + 1..5000 {
        out.extend(order.arrive(seq, seq));
    }
    assert_eq!(out, (1..5000).collect::<Vec<_>>());
    assert!(!order.is_gapped());
}

#[test]
fn what_the_log_does_not_have_is_not_waited_for() {
    let mut order = Order::after(10);
    assert!(order.arrive(12, "twelve").is_empty());
    assert!(order.arrive(14, "fourteen").is_empty());
    order.skip_to(13);
    assert_eq!(order.arrive(14, "again"), ["fourteen"]);
    order.skip_to(5);
    assert_eq!(order.last(), 14);
}

#[test]
fn who_was_first_is_kept() {
    let mut order = Order::after(0);
    assert!(order.arrive(2, "from its sender").is_empty());
    assert!(order.arrive(2, "from the log").is_empty());
    assert_eq!(order.arrive(1, "one"), ["one", "from its sender"]);
}
