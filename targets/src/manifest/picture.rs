//! How a picture becomes the tensor a model expects.

use serde::{Deserialize, Serialize};

use super::check::{ManifestError, number, within};

/// The longest side of a model's input picture, in pixels: 2048 × 2048 × 3 numbers take 50 MB, and no detector in use asks for more.
const SIDE_MAX: usize = 2_048;

/// A crop below a hundredth of the picture is a mistake, and towards zero no pixel is left.
const CROP_MIN: f32 = 0.01;

/// How a picture becomes the tensor a model expects: cut or stretched to size, then `(value - mean) / std` for each of
/// red, green and blue, with values from 0 to 255. The tensor has a batch of one and is f32.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct PictureSpec {
    /// Pixels, 1 to 2048.
    pub width: usize,
    /// Pixels, 1 to 2048.
    pub height: usize,
    pub layout: Layout,
    /// Of red, green, blue, on the scale 0..255.
    pub mean: [f32; 3],
    /// Of red, green, blue, on the scale 0..255; above zero.
    pub std: [f32; 3],
    #[serde(default)]
    pub resize: Resize,
    #[serde(default)]
    pub filter: Filter,
}

/// The order of a picture tensor's axes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Layout {
    /// `[1, 3, height, width]`: a plane for each colour, as `PyTorch` exports it.
    Nchw,
    /// `[1, height, width, 3]`: pixel by pixel, as `TensorFlow` exports it.
    Nhwc,
}

/// How a picture of another shape is brought to the model's width and height.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Resize {
    /// Take this fraction (0.01 to 1) of the largest centred window of the model's aspect ratio, then scale it. What
    /// lies outside is not seen; nothing is distorted.
    CentreCrop(f32),
    /// Scale width and height separately. Everything is seen, distorted.
    Stretch,
}

impl Default for Resize {
    fn default() -> Resize {
        Resize::CentreCrop(1.0)
    }
}

/// How pixels are mixed when a picture is scaled. All but `Nearest` widen with the scale, so shrinking does not alias.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Filter {
    Nearest,
    #[default]
    Bilinear,
    Bicubic,
    Lanczos,
}

impl PictureSpec {
    /// The shape of the f32 tensor this rule makes.
    pub fn tensor_shape(&self) -> [usize; 4] {
        match self.layout {
            Layout::Nchw => [1, 3, self.height, self.width],
            Layout::Nhwc => [1, self.height, self.width, 3],
        }
    }

    pub(super) fn check(&self) -> Result<(), ManifestError> {
        within("input.picture.width", self.width, 1, SIDE_MAX)?;
        within("input.picture.height", self.height, 1, SIDE_MAX)?;
        for (mean, std) in self.mean.into_iter().zip(self.std) {
            number("input.picture.mean", mean, mean.is_finite(), "a finite number")?;
            number("input.picture.std", std, std.is_normal() && std > 0.0, "a finite number above zero")?;
        }
        if let Resize::CentreCrop(fraction) = self.resize {
            let fits = (CROP_MIN..=1.0).contains(&fraction);
            number("input.picture.resize.centre-crop", fraction, fits, "a fraction from 0.01 to 1")?;
        }
        Ok(())
    }
}
