//! Quotas of stored rows. The database counts the rows, so a quota holds for all nodes together.

/// The quotas of memberships.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Quotas {
    pub groups_per_user: u32,
    pub members_per_group: u32,
}

impl Quotas {
    /// No limits, for data that the operator creates.
    pub const UNLIMITED: Self = Self {
        groups_per_user: u32::MAX,
        members_per_group: u32::MAX,
    };
}
