//! The form of one record: a header, a body, and how both are cut into pieces.
//!
//! The naive way is one sled value per record. But sled keeps up to 19 values in a tree node, and writes a node larger
//! than 128 KiB (a quarter of its segment) to a side file that it never syncs: a power cut would lose acknowledged
//! entries. So a value is at most [`PIECE_BYTES`], and a longer record has several. The first piece carries the header
//! and is written last and removed first, so that a crash leaves all of a record or, seen from outside, nothing.

/// What one sled value holds: 19 of them and their keys stay well below 128 KiB.
pub(super) const PIECE_BYTES: usize = 4096;

/// Version, checksum and length.
const HEADER_BYTES: usize = 9;

/// The form that this code writes and the only one that it reads. In version 1, an entry of the log held a single entry of
/// the core.
const VERSION: u8 = 2;

/// The key of one piece: big-endian, so that sled's order is the order of the numbers.
pub(super) fn piece_key(key: u64, piece: u32) -> [u8; 12] {
    let mut out = [0; 12];
    out[..8].copy_from_slice(&key.to_be_bytes());
    out[8..].copy_from_slice(&piece.to_be_bytes());
    out
}

/// Which record and which piece of it a key names.
pub(super) fn parse_key(bytes: &[u8]) -> Option<(u64, u32)> {
    let (key, piece) = bytes.split_first_chunk::<8>()?;
    Some((u64::from_be_bytes(*key), u32::from_be_bytes(piece.try_into().ok()?)))
}

/// Puts the header before the body.
pub(super) fn seal(body: &[u8]) -> Vec<u8> {
    let length = u32::try_from(body.len()).expect("no record comes near 4 GiB: entries and snapshots are bounded");
    let mut out = Vec::with_capacity(HEADER_BYTES + body.len());
    out.push(VERSION);
    out.extend(checksum(body).to_be_bytes());
    out.extend(length.to_be_bytes());
    out.extend(body);
    out
}

/// How many pieces the record has that begins with this one.
pub(super) fn pieces(first: &[u8]) -> Result<u32, String> {
    let header = Header::read(first)?;
    let total = u64::from(header.length) + HEADER_BYTES as u64;
    u32::try_from(total.div_ceil(PIECE_BYTES as u64)).map_err(|_| "its length makes no sense".into())
}

/// Takes the header off and checks that the body is what was written.
pub(super) fn open(sealed: &[u8]) -> Result<&[u8], String> {
    let header = Header::read(sealed)?;
    let body = &sealed[HEADER_BYTES..];
    if body.len() as u64 != u64::from(header.length) {
        return Err(format!("it has {} bytes and should have {}", body.len(), header.length));
    }
    if checksum(body) != header.checksum {
        return Err("its checksum does not match".into());
    }
    Ok(body)
}

struct Header {
    checksum: u32,
    length: u32,
}

impl Header {
    fn read(bytes: &[u8]) -> Result<Self, String> {
        let (header, _) = bytes.split_first_chunk::<HEADER_BYTES>().ok_or("it is too short")?;
        let [version, c0, c1, c2, c3, l0, l1, l2, l3] = *header;
        if version != VERSION {
            return Err(format!("it has version {version}, and this agent reads version {VERSION}"));
        }
        Ok(Self { checksum: u32::from_be_bytes([c0, c1, c2, c3]), length: u32::from_be_bytes([l0, l1, l2, l3]) })
    }
}

fn checksum(body: &[u8]) -> u32 {
    crc32fast::hash(body)
}
