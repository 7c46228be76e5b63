//! Typed ids, all from one macro, so that no two kinds can be mixed up.

use alloc::string::String;
use core::fmt;
use core::num::ParseIntError;
use core::str::FromStr;

use serde::de::Error;
use serde::{Deserialize, Deserializer, Serialize, Serializer};

macro_rules! ids {
    ($($(#[$doc:meta])* $name:ident: $format:literal, $radix:literal;)*) => {$(
        $(#[$doc])*
        #[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub struct $name(pub u64);

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                write!(f, $format, self.0)
            }
        }

        /// For programs and people, ids that are drawn are written as they are shown: they do not fit the numbers of JSON. The
        /// wire and the store have plain numbers.
        impl Serialize for $name {
            fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
                if $radix == 16 && serializer.is_human_readable() {
                    serializer.collect_str(self)
                } else {
                    serializer.serialize_u64(self.0)
                }
            }
        }

        impl<'de> Deserialize<'de> for $name {
            fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
                if $radix == 16 && deserializer.is_human_readable() {
                    String::deserialize(deserializer)?.parse().map_err(D::Error::custom)
                } else {
                    u64::deserialize(deserializer).map(Self)
                }
            }
        }

        impl FromStr for $name {
            type Err = ParseIntError;

            #[allow(clippy::from_str_radix_10, reason = "the radix is the macro's argument")]
            fn from_str(text: &str) -> Result<Self, Self::Err> {
                u64::from_str_radix(text, $radix).map(Self)
            }
        }
    )*};
}

ids! {
    /// One mesh, drawn at random when it is founded.
    MeshId: "{:016x}", 16;
    /// One node: the first eight bytes of the SHA-256 of its device key.
    NodeId: "{:016x}", 16;
    /// One session, counted by the mesh from 1.
    SessionId: "{}", 10;
    /// One worker, counted by the mesh from 1 and never used again: a restarted plan names new workers.
    WorkerId: "{}", 10;
    /// One source of tasks within a session, drawn at random by the client so that it can go on at another gateway.
    StreamId: "{:016x}", 16;
    /// The place of a task in its stream, counted by the client from 0.
    Sequence: "{}", 10;
}
