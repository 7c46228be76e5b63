//! The one place that knows the encoding: CBOR, by `serde_cbor`, which is unmaintained upstream and so stays behind
//! these few functions.
//!
//! Decoding is safe on hostile bytes: nesting is cut at 128 levels, a declared length is believed only as far as there
//! are bytes behind it, and bytes after the value are an error. What a decoded value may cost is bounded by the length of
//! the input, which is the caller's to bound.

mod bytes;

pub use bytes::Bytes;
use serde::Serialize;
use serde::de::DeserializeOwned;

/// Bytes that are not the value they should be.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("not what was expected: {0}")]
pub struct CodecError(String);

/// Encodes a value.
///
/// # Panics
/// Where `T`'s own `Serialize` refuses its value; derived ones never do.
pub fn encode<T: Serialize>(value: &T) -> Vec<u8> {
    let mut out = Vec::new();
    encode_into(&mut out, value);
    out
}

/// Encodes a value behind what `out` holds already.
///
/// # Panics
/// As [`encode`].
pub fn encode_into<T: Serialize>(out: &mut Vec<u8>, value: &T) {
    serde_cbor::to_writer(out, value).expect("a value with a derived Serialize, written to memory, always encodes");
}

/// Decodes exactly one value that fills all of `bytes`.
pub fn decode<T: DeserializeOwned>(bytes: &[u8]) -> Result<T, CodecError> {
    // `from_slice` checks for trailing bytes and keeps serde_cbor's limit on nesting.
    serde_cbor::from_slice(bytes).map_err(|error| CodecError(error.to_string()))
}

#[cfg(test)]
mod tests;
