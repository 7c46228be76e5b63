//! Whether a JPEG is whole.

/// Start of scan: compressed pixels follow, without a length.
const SCAN: u8 = 0xDA;
/// End of image.
const END: u8 = 0xD9;

/// Whether the end marker stands where a reader of the file comes to it.
///
/// Looking for its two bytes anywhere is not enough: a preview inside the header ends with the same two.
pub(super) fn has_end(encoded: &[u8]) -> bool {
    let mut rest = encoded.get(2..).unwrap_or_default();
    // Each step drops at least one byte, so this ends.
    loop {
        match rest {
            [0xFF, END, ..] => return true,
            [0xFF, SCAN, tail @ ..] => rest = after_scan(after_segment(tail)),
            // Markers that stand alone.
            [0xFF, 0x00 | 0x01 | 0xD0..=0xD8, tail @ ..] => rest = tail,
            [0xFF, kind, tail @ ..] if *kind != 0xFF => rest = after_segment(tail),
            // Fill bytes before a marker and stray bytes between segments: decoders skip them.
            [_, tail @ ..] => rest = tail,
            [] => return false,
        }
    }
}

/// A segment begins with its length, two bytes that count themselves.
fn after_segment(rest: &[u8]) -> &[u8] {
    let [high, low, ..] = rest else { return &[] };
    let length = usize::from(u16::from_be_bytes([*high, *low])).max(2);
    rest.get(length..).unwrap_or_default()
}

/// Compressed pixels go on up to a marker that is neither an escaped 0xFF nor a restart.
fn after_scan(rest: &[u8]) -> &[u8] {
    let is_marker = |pair: &[u8]| matches!(pair, [0xFF, kind] if !matches!(kind, 0x00 | 0xD0..=0xD7 | 0xFF));
    let end = rest.windows(2).position(is_marker).unwrap_or(rest.len());
    rest.get(end..).unwrap_or_default()
}
