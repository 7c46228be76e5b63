//! Typed ids, all from one macro, so that no two kinds can be mixed up.

use core::fmt;
use core::num::ParseIntError;
use core::str::FromStr;

use serde::{Deserialize, Serialize};

macro_rules! ids {
    ($($(#[$doc:meta])* $name:ident: $format:literal, $radix:literal;)*) => {$(
        $(#[$doc])*
        #[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
        #[serde(transparent)]
        pub struct $name(pub u64);

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                write!(f, $format, self.0)
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
