//! From an encoded picture to the tensor a model expects.

mod decode;
mod jpeg;

use image::RgbImage;
use image::imageops::FilterType;
use image::{DynamicImage, GenericImageView};

use crate::manifest::{Filter, Layout, PictureSpec, Resize};
use crate::tensor::{ElementType, Tensor};

pub use decode::{PICTURE_PIXELS_MAX, PictureError};

/// Decodes a PNG or JPEG and makes the f32 tensor of [`PictureSpec::tensor_shape`] from it.
pub(crate) fn prepare(encoded: &[u8], spec: &PictureSpec) -> Result<Tensor, PictureError> {
    let picture = decode::decode(encoded)?;
    let scaled = scale(picture, spec);
    Ok(normalise(&scaled, spec))
}

fn scale(picture: DynamicImage, spec: &PictureSpec) -> RgbImage {
    let (width, height) = (side(spec.width), side(spec.height));
    let window = match spec.resize {
        Resize::Stretch => picture,
        Resize::CentreCrop(fraction) => {
            let (x, y, w, h) = centred_window(picture.dimensions(), (width, height), fraction);
            picture.crop_imm(x, y, w, h)
        }
    };
    let filter = match spec.filter {
        Filter::Nearest => FilterType::Nearest,
        Filter::Bilinear => FilterType::Triangle,
        Filter::Bicubic => FilterType::CatmullRom,
        Filter::Lanczos => FilterType::Lanczos3,
    };
    window.resize_exact(width, height, filter).into_rgb8()
}

fn side(pixels: usize) -> u32 {
    u32::try_from(pixels).expect("a manifest's sides are at most 2048")
}

/// `fraction` of the largest window of the wanted aspect ratio, centred: x, y, width, height in pixels.
fn centred_window(picture: (u32, u32), wanted: (u32, u32), fraction: f32) -> (u32, u32, u32, u32) {
    let ratio = |have: u32, want: u32| f64::from(have) / f64::from(want);
    let scale = ratio(picture.0, wanted.0).min(ratio(picture.1, wanted.1)) * f64::from(fraction);
    #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "clamped to a side of the picture")]
    let cut = |want: u32, have: u32| (f64::from(want) * scale).round().clamp(1.0, f64::from(have)) as u32;
    let (width, height) = (cut(wanted.0, picture.0), cut(wanted.1, picture.1));
    ((picture.0 - width) / 2, (picture.1 - height) / 2, width, height)
}

/// A channel has only 256 values, so each value's bytes are worked out once instead of for every pixel.
fn normalise(picture: &RgbImage, spec: &PictureSpec) -> Tensor {
    let table = |channel: usize| {
        let of = |value: u8| ((f32::from(value) - spec.mean[channel]) / spec.std[channel]).to_le_bytes();
        std::array::from_fn::<[u8; 4], 256, _>(|value| of(u8::try_from(value).expect("below 256")))
    };
    let tables = [table(0), table(1), table(2)];
    let mut bytes = Vec::with_capacity(picture.len() * ElementType::F32.bytes());
    let (pixels, _) = picture.as_raw().as_chunks::<3>();
    match spec.layout {
        Layout::Nchw => {
            for (channel, table) in tables.iter().enumerate() {
                bytes.extend(pixels.iter().flat_map(|pixel| table[usize::from(pixel[channel])]));
            }
        }
        Layout::Nhwc => {
            let numbers = |pixel: &[u8; 3]| std::array::from_fn::<_, 3, _>(|c| tables[c][usize::from(pixel[c])]);
            bytes.extend(pixels.iter().flat_map(numbers).flatten());
        }
    }
    Tensor::new(ElementType::F32, spec.tensor_shape().to_vec(), bytes).expect("as many pixels as the rule says")
}
