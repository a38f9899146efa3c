//! The sizes of the measured databases.
//!
//! Memberships and authors follow from the numbers of groups and events by arithmetic. So one
//! statement can create them, and a measurement knows which results to expect.

/// The id of the user who sends all requests.
pub const VISITOR: i64 = 1;

/// The id of the group that has half of all events.
pub const LARGE_GROUP: i64 = 1;

/// The number of groups of the visitor, the large group included, if there are so many.
const VISITOR_GROUPS: i64 = 200;

/// The least number of events in each group of the visitor. A resume needs them.
const MIN_EVENTS_OF_VISITOR_GROUP: i64 = 200;

/// The number of members of a small group.
const SMALL_GROUP_MEMBERS: i64 = 5;

/// The numbers of rows in a database.
#[derive(Debug, PartialEq, Eq)]
pub struct DatasetSize {
    pub groups: i64,
    pub events: i64,
    /// The number of users, which is a prime number plus one.
    ///
    /// A group selects its members by a stride through all users except the visitor, and never
    /// selects a user twice.
    pub users: i64,
    /// The number of members of the large group.
    pub large_group_members: i64,
}

/// The measured sizes.
pub const DATASET_SIZES: [DatasetSize; 3] = [
    DatasetSize {
        groups: 10,
        events: 10_000,
        users: 200,
        large_group_members: 100,
    },
    DatasetSize {
        groups: 1_000,
        events: 1_000_000,
        users: 2_000,
        large_group_members: 1_000,
    },
    DatasetSize {
        groups: 100_000,
        events: 10_000_000,
        users: 50_000,
        large_group_members: 1_000,
    },
];

impl DatasetSize {
    /// Returns the number of events in the large group.
    pub const fn large_group_events(&self) -> i64 {
        self.events / 2
    }

    /// Returns the number of groups of the visitor.
    pub fn visitor_groups(&self) -> i64 {
        VISITOR_GROUPS.min(self.groups)
    }

    /// Returns the number of events in a group without the visitor.
    pub const fn events_per_small_group(&self) -> i64 {
        (self.events - self.large_group_events()) / (self.groups - 1)
    }

    /// Returns the number of events in a small group of the visitor.
    pub fn events_per_visitor_group(&self) -> i64 {
        self.events_per_small_group()
            .max(MIN_EVENTS_OF_VISITOR_GROUP)
    }

    /// Returns SQL for the head of the group whose id is `group`.
    pub fn head_sql(&self, group: &str) -> String {
        format!(
            "CASE WHEN {group} = {LARGE_GROUP} THEN {} WHEN {group} <= {} THEN {} ELSE {} END",
            self.large_group_events(),
            self.visitor_groups(),
            self.events_per_visitor_group(),
            self.events_per_small_group()
        )
    }

    /// Returns SQL for the number of members of a group.
    pub fn member_count_sql(&self, group: &str) -> String {
        let members = self.large_group_members;
        format!("CASE WHEN {group} = {LARGE_GROUP} THEN {members} ELSE {SMALL_GROUP_MEMBERS} END")
    }

    /// Returns SQL for the user who is a group's member with an index. The owner has the index 0.
    pub fn member_sql(&self, group: &str, index: &str) -> String {
        format!(
            "CASE WHEN {index} = 0 AND {group} <= {} THEN {VISITOR} \
             ELSE 2 + ({group} * 7919 + {index} * 104729) % {} END",
            self.visitor_groups(),
            self.users - 1
        )
    }

    /// Returns SQL for the author of an event. The author of an edit is the author of the message
    /// before it, which it edits.
    pub fn author_sql(&self, group: &str, seq: &str) -> String {
        let index = format!(
            "(({seq} - CASE WHEN {seq} % 10 = 0 THEN 1 ELSE 0 END) % ({}))",
            self.member_count_sql(group)
        );
        self.member_sql(group, &index)
    }
}

/// Returns SQL for the number of messages in a log up to an event.
///
/// Of ten events, the seventh is a reaction and the last is an edit.
pub fn message_count_sql(seq: &str) -> String {
    format!("({seq}) - ({seq}) / 10 - (({seq}) + 3) / 10")
}

/// Returns SQL for the last message of a log that ends with an event.
pub fn last_message_sql(head: &str) -> String {
    format!("({head}) - CASE WHEN ({head}) % 10 IN (0, 7) THEN 1 ELSE 0 END")
}
