//! From bytes to pixels, for bytes that anybody may have sent.

use std::io::Cursor;

use image::{DynamicImage, ImageDecoder, ImageError, ImageFormat, ImageReader, Limits};

use super::jpeg;

/// The most pixels a picture may have: an 8K frame (7680 × 4320). Its RGB bytes take 100 MB.
pub const PICTURE_PIXELS_MAX: u64 = 7_680 * 4_320;

/// What decoding one picture may allocate, in bytes: the largest picture with 16 bits a channel, and room to work.
const DECODE_BYTES_MAX: u64 = 512 * 1024 * 1024;

/// Why bytes are no picture.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum PictureError {
    #[error("this is no PNG or JPEG picture ({bytes} bytes, beginning with {begins}): send one of those")]
    NotAPicture { bytes: usize, begins: String },
    #[error("the {format} picture is damaged or cut short: {reason}; send the whole file again")]
    Damaged { format: &'static str, reason: String },
    #[error("the picture is {width} x {height}, more than {PICTURE_PIXELS_MAX} pixels: send a smaller one")]
    TooLarge { width: u32, height: u32 },
}

/// Decodes a PNG or JPEG to 8-bit RGB, the right way up. Nothing is allocated for the pixels before their number is checked.
pub(super) fn decode(encoded: &[u8]) -> Result<DynamicImage, PictureError> {
    let Ok(format @ (ImageFormat::Png | ImageFormat::Jpeg)) = image::guess_format(encoded) else {
        return Err(not_a_picture(encoded));
    };
    let name = if format == ImageFormat::Png { "PNG" } else { "JPEG" };
    let damaged = |reason: String| PictureError::Damaged { format: name, reason };
    // The decoder paints what is missing of a JPEG grey and says nothing; a model would answer for half a picture.
    if format == ImageFormat::Jpeg && !jpeg::has_end(encoded) {
        return Err(damaged("its end marker is missing".into()));
    }
    let mut reader = ImageReader::with_format(Cursor::new(encoded), format);
    let mut limits = Limits::default();
    limits.max_alloc = Some(DECODE_BYTES_MAX);
    reader.limits(limits);
    let reason = |error: ImageError| damaged(error.to_string());
    let mut decoder = reader.into_decoder().map_err(reason)?;
    let (width, height) = decoder.dimensions();
    if u64::from(width) * u64::from(height) > PICTURE_PIXELS_MAX {
        return Err(PictureError::TooLarge { width, height });
    }
    let orientation = decoder.orientation().map_err(reason)?;
    let mut picture = DynamicImage::ImageRgb8(DynamicImage::from_decoder(decoder).map_err(reason)?.into_rgb8());
    picture.apply_orientation(orientation);
    Ok(picture)
}

fn not_a_picture(encoded: &[u8]) -> PictureError {
    // Enough to recognise a format or a text by, and short in a log.
    let start = encoded.get(..12).unwrap_or(encoded);
    PictureError::NotAPicture { bytes: encoded.len(), begins: format!("\"{}\"", start.escape_ascii()) }
}
