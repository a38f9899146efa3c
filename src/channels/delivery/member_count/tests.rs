//! Each change of the members is counted once, whether it arrives before or after the count.

use super::{LARGE_GROUP_MEMBERS, MemberCount};

#[test]
fn changes_after_the_counted_head_are_added() {
    let count = MemberCount::default();
    assert!(!count.is_known() && !count.is_large());
    count.apply(5, 1);
    count.apply(6, 1);
    // The count at seq 5 includes the first change.
    count.set(LARGE_GROUP_MEMBERS, 5);
    assert!(count.is_known() && count.is_large());
    count.apply(4, 1);
    count.apply(7, -1);
    assert!(!count.is_large(), "201 and 1 less");
    count.apply(8, 1);
    assert!(count.is_large());
}

#[test]
fn only_the_first_count_is_used() {
    let count = MemberCount::default();
    count.set(2, 10);
    count.set(LARGE_GROUP_MEMBERS + 1, 10);
    assert!(!count.is_large());
}
