//! An OpenVINO IR is two files, the graph in XML and the weights. The mesh knows a model by one file: both are put into one.
//!
//! The file begins with [`MAGIC`], then the length of the XML in 8 bytes, little-endian, the XML, and the weights.

use std::fs::File;
use std::io::{self, Read as _, Seek as _, SeekFrom};

/// What no ONNX file begins with: 0xFF is no field of its first message.
const MAGIC: [u8; 8] = *b"\xFFskeinIR";
#[cfg(any(target_pointer_width = "64", test))]
const HEAD_BYTES: usize = MAGIC.len() + 8;
/// The longest XML that is read, in bytes: a layer takes about a kilobyte, so a quarter of a million of them.
#[cfg(any(target_pointer_width = "64", test))]
const XML_BYTES_MAX: usize = 256 * 1024 * 1024;

/// One file out of a graph and its weights.
pub fn pack_ir(xml: &[u8], weights: &[u8]) -> Vec<u8> {
    [&MAGIC[..], &(xml.len() as u64).to_le_bytes(), xml, weights].concat()
}

/// Whether a file is one that [`pack_ir`] made. It is read from its beginning again afterwards.
pub(crate) fn begins(file: &mut File) -> io::Result<bool> {
    let mut start = Vec::new();
    file.by_ref().take(MAGIC.len() as u64).read_to_end(&mut start)?;
    file.seek(SeekFrom::Start(0))?;
    Ok(start == MAGIC)
}

/// The graph and the weights, or what is wrong with the file.
#[cfg(any(target_pointer_width = "64", test))]
pub(crate) fn unpack(bytes: &[u8]) -> Result<(&[u8], &[u8]), &'static str> {
    let (head, rest) = bytes.split_at_checked(HEAD_BYTES).ok_or("it ends within its first bytes")?;
    let length = head[MAGIC.len()..].try_into().map_or(u64::MAX, u64::from_le_bytes);
    let length = usize::try_from(length).ok().filter(|length| *length <= XML_BYTES_MAX);
    length.and_then(|length| rest.split_at_checked(length)).ok_or("it is cut short: its graph is not whole")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_put_into_one_comes_out_again() {
        let packed = pack_ir(b"<net/>", &[1, 2, 3]);
        assert_eq!(unpack(&packed), Ok((&b"<net/>"[..], &[1, 2, 3][..])));
        assert_eq!(unpack(&pack_ir(b"<net/>", &[])), Ok((&b"<net/>"[..], &[][..])));
        for length in 0..HEAD_BYTES + 6 {
            unpack(&packed[..length]).expect_err("it is cut short");
        }
        let mut absurd = packed.clone();
        absurd[15] = 0xFF;
        unpack(&absurd).expect_err("longer than there are bytes");
    }
}
