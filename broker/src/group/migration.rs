//! Live groups that change their protocol: a classic group becomes a consumer group when the first member joins that speaks the
//! consumer protocol, and a consumer group becomes a classic one when the last such member is gone. In between members of both
//! kinds are in it, and none of them has to stop.
//!
//! ```text
//!  classic group --ConsumerGroupHeartbeat joins--> consumer group --only classic members are left--> classic group
//!                   (epoch = generation)                              (generation = epoch, and it rebalances)
//! ```

mod downgrade;
mod upgrade;

/// Which way live groups may change: `group.consumer.migration.policy`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum MigrationPolicy {
    /// Not at all.
    Disabled,
    /// From the classic to the consumer protocol.
    Upgrade,
    /// From the consumer to the classic protocol.
    Downgrade,
    /// Both ways.
    #[default]
    Bidirectional,
}

impl MigrationPolicy {
    /// The policy of this name, in any case.
    pub fn of_name(name: &str) -> Option<Self> {
        match name.to_ascii_lowercase().as_str() {
            "disabled" => Some(Self::Disabled),
            "upgrade" => Some(Self::Upgrade),
            "downgrade" => Some(Self::Downgrade),
            "bidirectional" => Some(Self::Bidirectional),
            _ => None,
        }
    }

    fn may_upgrade(self) -> bool {
        matches!(self, Self::Upgrade | Self::Bidirectional)
    }

    fn may_downgrade(self) -> bool {
        matches!(self, Self::Downgrade | Self::Bidirectional)
    }
}
