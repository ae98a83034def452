//! Kafka's numbers, each as a type of its own, so that an offset is never taken for an epoch.
//!
//! The messages carry them as plain integers, as Kafka's schema does; whoever takes a message apart
//! wraps them at the border.

use std::fmt;

/// Declares one number: a public field, since every value of it may be met on the wire.
macro_rules! number {
    ($(#[$doc:meta])* $name:ident($inner:ty)) => {
        $(#[$doc])*
        #[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
        pub struct $name(pub $inner);

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                fmt::Display::fmt(&self.0, f)
            }
        }

        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                write!(f, concat!(stringify!($name), "({})"), self.0)
            }
        }

        impl From<$inner> for $name {
            fn from(number: $inner) -> Self {
                Self(number)
            }
        }

        impl From<$name> for $inner {
            fn from(number: $name) -> Self {
                number.0
            }
        }
    };
}

number! {
    /// The place of a record in its partition, from 0. Negative values have meanings of their own
    /// in single requests (`ListOffsets`: -1 latest, -2 earliest, …).
    Offset(i64)
}

number! {
    /// The index of a partition in its topic, from 0.
    PartitionId(i32)
}

number! {
    /// The id of a broker or controller (`node.id`); -1 is "none" or "a consumer".
    NodeId(i32)
}

number! {
    /// How often the leader of a partition has changed; -1 is "not known".
    LeaderEpoch(i32)
}

number! {
    /// The id that an idempotent or transactional producer was given; -1 is "none".
    ProducerId(i64)
}

number! {
    /// The incarnation of a producer id; an older one is fenced; -1 is "none".
    ProducerEpoch(i16)
}

impl Offset {
    /// The first offset of a partition that nothing was deleted from.
    pub const ZERO: Self = Self(0);

    /// The offset `count` records further on.
    pub fn plus(self, count: i64) -> Self {
        Self(self.0 + count)
    }
}

impl NodeId {
    /// No node: a partition without a leader, a fetch by a consumer.
    pub const NONE: Self = Self(-1);
}

impl LeaderEpoch {
    /// Not known, or not given.
    pub const NONE: Self = Self(-1);
}

impl ProducerId {
    /// A batch of a producer that is not idempotent.
    pub const NONE: Self = Self(-1);
}

impl ProducerEpoch {
    /// The epoch that goes with [`ProducerId::NONE`].
    pub const NONE: Self = Self(-1);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn prints_the_number_and_debugs_with_the_name() {
        assert_eq!(Offset(42).to_string(), "42");
        assert_eq!(format!("{:?}", LeaderEpoch::NONE), "LeaderEpoch(-1)");
        assert_eq!(Offset::ZERO.plus(3), Offset(3));
    }
}
