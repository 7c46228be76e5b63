//! Pictures become the tensor the manifest says; what is no picture becomes an error that says why.

use skein_targets::{Input, Model, PictureError, RunError, TensorView};

use crate::world::{classes, colour_labels, colours, data, load, material, read};

fn colour_model(layout: &str, resize: &str) -> Model {
    let file = data(&format!("colour-{layout}.onnx"));
    load(&file, colours(layout, resize), colour_labels()).unwrap_or_else(|error| panic!("{error}"))
}

/// Mean red, green and blue that the colour model sees, from 0 to 1.
fn colour(model: &Model, encoded: &[u8]) -> [f32; 3] {
    let seen = classes(model, encoded).expect("an answer");
    [0, 1, 2].map(|index| seen.iter().find(|class| class.index == index).expect("three classes").score)
}

fn refused(model: &Model, encoded: &[u8]) -> PictureError {
    match model.run(Input::Picture(encoded)) {
        Err(RunError::Picture(error)) => error,
        other => panic!("expected a picture error, got {other:?}"),
    }
}

#[test]
fn colours_reach_the_model_in_order_in_both_layouts() {
    let orange = encoded(16, 16, image::ImageFormat::Png, |_, _| [255, 128, 0]);
    for layout in ["nchw", "nhwc"] {
        let seen = colour(&colour_model(layout, "\"stretch\""), &orange);
        assert_close(seen, [1.0, 128.0 / 255.0, 0.0]);
        let best = classes(&colour_model(layout, "\"stretch\""), &orange).expect("an answer");
        assert_eq!(best.iter().map(|class| class.label.as_str()).collect::<Vec<_>>(), ["red", "green", "blue"]);
    }
}

#[test]
fn a_centre_crop_does_not_see_the_sides_and_a_stretch_does() {
    // Three squares side by side: red, green, blue.
    let flag = encoded(48, 16, image::ImageFormat::Png, |x, _| match x {
        0..16 => [255, 0, 0],
        16..32 => [0, 255, 0],
        _ => [0, 0, 255],
    });
    assert_close(colour(&colour_model("nchw", "{ centre-crop = 1.0 }"), &flag), [0.0, 1.0, 0.0]);
    assert_close(colour(&colour_model("nhwc", "{ centre-crop = 0.5 }"), &flag), [0.0, 1.0, 0.0]);
    let stretched = colour(&colour_model("nchw", "\"stretch\""), &flag);
    assert!(stretched.iter().all(|share| (share - 1.0 / 3.0).abs() < 0.05), "{stretched:?}");
}

#[test]
fn grey_transparent_and_tiny_pictures_are_pictures_too() {
    let model = colour_model("nchw", "{ centre-crop = 1.0 }");
    let grey = png(&image::DynamicImage::ImageLuma8(image::GrayImage::from_pixel(9, 5, image::Luma([51]))));
    assert_close(colour(&model, &grey), [0.2; 3]);
    let clear =
        png(&image::DynamicImage::ImageRgba8(image::RgbaImage::from_pixel(3, 30, image::Rgba([0, 51, 255, 0]))));
    assert_close(colour(&model, &clear), [0.0, 0.2, 1.0]);
    let deep = png(&image::DynamicImage::ImageLuma16(image::ImageBuffer::from_pixel(1, 1, image::Luma([u16::MAX]))));
    assert_close(colour(&model, &deep), [1.0; 3]);
}

#[test]
fn what_is_no_picture_is_told_what_would_be() {
    let model = colour_model("nchw", "\"stretch\"");
    for bytes in [&b""[..], b"Dear Sir or Madam,\n", b"GIF89a\x01\x00", b"RIFF\0\0\0\0WEBPVP8 ", &[0; 4096]] {
        let error = refused(&model, bytes);
        assert!(matches!(error, PictureError::NotAPicture { .. }), "{error:?}");
    }
    let text = refused(&model, b"Dear Sir or Madam,\n").to_string();
    assert!(text.contains("no PNG or JPEG") && text.contains("Dear Sir or"), "{text}");
    let tensor = TensorView { element: skein_targets::ElementType::F32, shape: &[1, 3, 8, 8], bytes: &[0; 768] };
    let kind = model.run(Input::Tensor(tensor)).expect_err("a tensor for a model of pictures");
    assert!(matches!(kind, RunError::WrongKind { got: "a tensor", .. }), "{kind:?}");
}

#[test]
fn a_cut_jpeg_is_an_error_wherever_it_is_cut() {
    let model = colour_model("nchw", "\"stretch\"");
    let whole = read(&material("pictures/rocket.jpg"));
    // Whole files pass, also with something behind them.
    colour(&model, &[&whole[..], b"trailing"].concat());
    for length in (3..whole.len()).step_by(997).chain([whole.len() - 2, whole.len() - 1]) {
        let error = refused(&model, &whole[..length]);
        assert!(matches!(error, PictureError::Damaged { format: "JPEG", .. }), "{length}: {error:?}");
    }
    // A preview inside the header has an end marker of its own.
    let preview = encoded(8, 8, image::ImageFormat::Jpeg, |_, _| [9, 9, 9]);
    let length = u16::try_from(preview.len() + 2).expect("a small preview").to_be_bytes();
    let cut = [&whole[..2], &[0xFF, 0xE1], &length, &preview, &whole[2..40_000]].concat();
    assert!(matches!(refused(&model, &cut), PictureError::Damaged { format: "JPEG", .. }));
}

#[test]
fn a_cut_png_is_an_error_or_has_all_its_pixels() {
    let model = colour_model("nchw", "\"stretch\"");
    let whole = encoded(24, 24, image::ImageFormat::Png, |x, y| {
        [u8::try_from(x * 9).expect("small"), u8::try_from(y * 9).expect("small"), 77]
    });
    let right = colour(&model, &whole);
    for length in 8..whole.len() {
        match model.run(Input::Picture(&whole[..length])) {
            Err(RunError::Picture(PictureError::Damaged { format: "PNG", .. })) => {}
            Err(other) => panic!("{length}: {other:?}"),
            // Only the closing chunk or a checksum may be missing, and then every pixel was there.
            Ok(_) => assert_close(colour(&model, &whole[..length]), right),
        }
    }
    let coffee = read(&material("pictures/coffee.png"));
    for length in [100, coffee.len() / 2, coffee.len() - 1_000] {
        let error = refused(&model, &coffee[..length]);
        assert!(matches!(error, PictureError::Damaged { format: "PNG", .. }), "{length}: {error:?}");
    }
}

#[test]
fn a_picture_that_claims_to_be_vast_is_refused_before_memory_is_taken() {
    let model = colour_model("nchw", "\"stretch\"");
    let small = encoded(8, 8, image::ImageFormat::Png, |_, _| [1, 2, 3]);
    for side in [60_000_u32, 6_000, 0x7FFF_FFFF] {
        let bomb = claiming(&small, side);
        let error = refused(&model, &bomb);
        let too_large = matches!(error, PictureError::TooLarge { width, .. } if width == side);
        // The largest number PNG can write is refused by the decoder itself.
        assert!(too_large || side == 0x7FFF_FFFF, "{side}: {error:?}");
    }
    let jpeg = encoded(8, 8, image::ImageFormat::Jpeg, |_, _| [1, 2, 3]);
    let frame = jpeg.windows(2).position(|pair| pair == [0xFF, 0xC0]).expect("a frame header");
    let mut bomb = jpeg;
    bomb[frame + 5..frame + 9].copy_from_slice(&[0xEA, 0x60, 0xEA, 0x60]);
    let error = refused(&model, &bomb);
    assert!(matches!(error, PictureError::TooLarge { width: 60_000, height: 60_000 }), "{error:?}");
}

/// A PNG whose header says `side` x `side`, with a right checksum.
fn claiming(png: &[u8], side: u32) -> Vec<u8> {
    let mut bomb = png.to_vec();
    bomb[16..20].copy_from_slice(&side.to_be_bytes());
    bomb[20..24].copy_from_slice(&side.to_be_bytes());
    let checksum = crc32(&bomb[12..29]).to_be_bytes();
    bomb[29..33].copy_from_slice(&checksum);
    bomb
}

/// PNG's checksum, bit by bit.
fn crc32(bytes: &[u8]) -> u32 {
    let step = |crc: u32| {
        if crc & 1 == 1 { (crc >> 1) ^ 0xEDB8_8320 } else { crc >> 1 }
    };
    !bytes.iter().fold(u32::MAX, |crc, byte| (0..8).fold(crc ^ u32::from(*byte), |crc, _| step(crc)))
}

fn encoded(width: u32, height: u32, format: image::ImageFormat, colour: impl Fn(u32, u32) -> [u8; 3]) -> Vec<u8> {
    let picture = image::RgbImage::from_fn(width, height, |x, y| image::Rgb(colour(x, y)));
    let mut bytes = std::io::Cursor::new(Vec::new());
    picture.write_to(&mut bytes, format).expect("memory takes every picture");
    bytes.into_inner()
}

fn png(picture: &image::DynamicImage) -> Vec<u8> {
    let mut bytes = std::io::Cursor::new(Vec::new());
    picture.write_to(&mut bytes, image::ImageFormat::Png).expect("memory takes every picture");
    bytes.into_inner()
}

fn assert_close(seen: [f32; 3], expected: [f32; 3]) {
    let close = seen.iter().zip(expected).all(|(seen, expected)| (seen - expected).abs() < 1e-5);
    assert!(close, "{seen:?} instead of {expected:?}");
}
