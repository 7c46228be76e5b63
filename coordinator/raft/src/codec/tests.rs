use std::collections::BTreeMap;

use proptest::prelude::*;
use skein_core::command::{Command, Entry};
use skein_core::{MeshId, Millis, State};

use super::{Bytes, decode, encode, encode_into};

fn entry() -> Entry {
    Entry { at: Millis(7), command: Command::Found { mesh: MeshId(u64::MAX) } }
}

#[test]
fn a_value_comes_back() {
    assert_eq!(decode::<Entry>(&encode(&entry())), Ok(entry()));
    let bytes = Bytes(vec![0, 200, 255]);
    assert_eq!(decode::<Bytes>(&encode(&bytes)), Ok(bytes.clone()));
    assert_eq!(encode(&bytes).len(), 4, "one byte of header, then the bytes");
    let mut out = vec![9];
    encode_into(&mut out, &1_u8);
    assert_eq!(out, [9, 1]);
}

#[test]
fn bytes_behind_the_value_are_an_error() {
    let mut bytes = encode(&entry());
    bytes.push(0);
    assert!(decode::<Entry>(&bytes).is_err());
}

#[test]
fn every_truncation_is_an_error() {
    let bytes = encode(&entry());
    for end in 0..bytes.len() {
        assert!(decode::<Entry>(&bytes[..end]).is_err(), "the first {end} bytes");
    }
}

#[test]
fn deep_nesting_does_not_overflow_the_stack() {
    for opener in [0x81, 0x9f, 0xa1, 0xbf, 0xc1, 0x5f, 0x7f] {
        let bytes = vec![opener; 1_000_000];
        assert!(decode::<serde_cbor::Value>(&bytes).is_err(), "opener {opener:#x}");
        assert!(decode::<State>(&bytes).is_err(), "opener {opener:#x}");
        assert!(decode::<serde::de::IgnoredAny>(&bytes).is_err(), "opener {opener:#x}");
    }
}

#[test]
fn a_declared_length_is_not_believed() {
    // A byte string, text, list and map that claim up to 2^64 - 1 elements and bring none.
    for major in [0x5b_u8, 0x7b, 0x9b, 0xbb] {
        for claim in [u64::MAX, u64::MAX / 2, 1 << 40, 1 << 31] {
            let bytes = [&[major][..], &claim.to_be_bytes()].concat();
            assert!(decode::<Bytes>(&bytes).is_err());
            assert!(decode::<String>(&bytes).is_err());
            assert!(decode::<Vec<u64>>(&bytes).is_err());
            assert!(decode::<BTreeMap<u64, Vec<u64>>>(&bytes).is_err());
            assert!(decode::<serde_cbor::Value>(&bytes).is_err());
        }
    }
}

proptest! {
    #[test]
    fn garbage_is_never_more_than_an_error(bytes in prop::collection::vec(any::<u8>(), 0..512)) {
        let _ = decode::<Entry>(&bytes);
        let _ = decode::<State>(&bytes);
        let _ = decode::<serde_cbor::Value>(&bytes);
    }

    #[test]
    fn a_flipped_bit_is_never_more_than_an_error(at in 0_usize..4096, bit in 0_u8..8) {
        let mut bytes = encode(&entry());
        let at = at % bytes.len();
        bytes[at] ^= 1 << bit;
        let _ = decode::<Entry>(&bytes);
    }
}
