//! How much there is of everything. Who is in which group, and who said what, follows from the numbers
//! of the group and of the event by arithmetic, so that it can be made by one statement, and be
//! expected by whoever looks at it.

/// The user by whom everything is measured.
pub const VISITOR: i64 = 1;

/// The group that has half of all events.
pub const LARGE_GROUP: i64 = 1;

/// Groups of the visitor, the large one included, where there are so many.
const VISITOR_GROUPS: i64 = 200;

/// Events that each group of the visitor has at least, so that there is something to resume.
const MIN_EVENTS_OF_VISITOR_GROUP: i64 = 200;

/// Members of a group that is not large.
const SMALL_GROUP_MEMBERS: i64 = 5;

#[derive(Debug, PartialEq, Eq)]
pub struct DatasetSize {
    pub groups: i64,
    pub events: i64,
    /// One more than a prime number: a group takes its members by a stride through all but the visitor,
    /// and never the same twice.
    pub users: i64,
    /// Members of the large group.
    pub large_group_members: i64,
}

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
    /// Events in the large group.
    pub const fn large_group_events(&self) -> i64 {
        self.events / 2
    }

    /// Groups of the visitor.
    pub fn visitor_groups(&self) -> i64 {
        VISITOR_GROUPS.min(self.groups)
    }

    /// Events in a group of others.
    pub const fn events_per_small_group(&self) -> i64 {
        (self.events - self.large_group_events()) / (self.groups - 1)
    }

    /// Events in a group of the visitor that is not the large one.
    pub fn events_per_visitor_group(&self) -> i64 {
        self.events_per_small_group()
            .max(MIN_EVENTS_OF_VISITOR_GROUP)
    }

    /// SQL for the events in the group whose number is `group`.
    pub fn head_sql(&self, group: &str) -> String {
        format!(
            "CASE WHEN {group} = {LARGE_GROUP} THEN {} WHEN {group} <= {} THEN {} ELSE {} END",
            self.large_group_events(),
            self.visitor_groups(),
            self.events_per_visitor_group(),
            self.events_per_small_group()
        )
    }

    /// SQL for how many members a group has.
    pub fn member_count_sql(&self, group: &str) -> String {
        let crowd = self.large_group_members;
        format!("CASE WHEN {group} = {LARGE_GROUP} THEN {crowd} ELSE {SMALL_GROUP_MEMBERS} END")
    }

    /// SQL for the user who is a group's member with this number; its owner is number 0.
    pub fn member_sql(&self, group: &str, number: &str) -> String {
        format!(
            "CASE WHEN {number} = 0 AND {group} <= {} THEN {VISITOR} \
             ELSE 2 + ({group} * 7919 + {number} * 104729) % {} END",
            self.visitor_groups(),
            self.users - 1
        )
    }

    /// SQL for who did what a group's event with this number says. An edit is by the author of the
    /// message before it, which it is about.
    pub fn author_sql(&self, group: &str, seq: &str) -> String {
        let number = format!(
            "(({seq} - CASE WHEN {seq} % 10 = 0 THEN 1 ELSE 0 END) % ({}))",
            self.member_count_sql(group)
        );
        self.member_sql(group, &number)
    }
}

/// SQL for how many messages there are in a log with this event: of ten events the seventh is a
/// reaction, and the last an edit.
pub fn message_count_sql(seq: &str) -> String {
    format!("({seq}) - ({seq}) / 10 - (({seq}) + 3) / 10")
}

/// SQL for the last message of a log that ends with this event.
pub fn last_message_sql(head: &str) -> String {
    format!("({head}) - CASE WHEN ({head}) % 10 IN (0, 7) THEN 1 ELSE 0 END")
}
