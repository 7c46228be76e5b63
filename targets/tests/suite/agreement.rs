//! Every target gives the same answers: the bundled models on the same input, number by number.

use skein_targets::{Answer, ElementType, Input, Manifest, TargetKind, Tensor};

use crate::world::{load_on, material, raw, read, targets};

/// A model and what is asked of it.
struct Case {
    model: &'static str,
    ask: Ask,
    /// How far a number may be off tract's, as a part of it, or of 1 where it is less: ten times and more what was measured.
    tolerance: f32,
    /// Targets of which less is asked, and why.
    loose: &'static [(TargetKind, f32, &'static str)],
    /// Outputs that are not compared, and why.
    apart: &'static [(usize, &'static str)],
}

enum Ask {
    /// A tensor for each input.
    Tensors(&'static [(&'static [usize], Wave)]),
    /// A photograph of this width and height, for models that leave the size open and that tract prepares for one size only.
    Photograph(usize, usize),
}

/// Input that is no noise: models answer it like a picture or a sound, with something to see.
#[derive(Clone, Copy)]
enum Wave {
    /// Between these two, in periods that fit no layer.
    Between(f32, f32),
    Zero,
}

const UNIT: Wave = Wave::Between(-1.0, 1.0);

const CASES: &[Case] = &[
    case("trivial", Ask::Tensors(&[(&[1, 4], Wave::Between(-9.0, 9.0))]), 0.0),
    case("efficientnet-lite0", Ask::Tensors(&[(&[1, 3, 224, 224], UNIT)]), 1e-4),
    case("blazeface-front-128", Ask::Tensors(&[(&[1, 128, 128, 3], UNIT)]), 1e-3),
    case("ppocr-v2-cls", Ask::Tensors(&[(&[1, 3, 48, 192], UNIT)]), 1e-4),
    case("ppocr-v4-det", Ask::Photograph(224, 160), 1e-3),
    case("ppocr-v4-rec", Ask::Photograph(320, 48), 1e-3),
    case("silero-vad-16k", Ask::Tensors(&[(&[1, 576], Wave::Between(-0.3, 0.3)), (&[2, 1, 128], Wave::Zero)]), 1e-4),
    Case {
        loose: &[(
            TargetKind::Openvino,
            2e-2,
            "its file has 0.16663 where its author meant a sixth, and OpenVINO takes it for a sixth: 1.5 % of a box's side",
        )],
        apart: &[(2, "the best of many that are alike: which of two equal ones comes first is nobody's promise")],
        ..case("centernet-coco80", Ask::Tensors(&[(&[1, 512, 512, 3], Wave::Between(0.0, 255.0))]), 1e-3)
    },
];

const fn case(model: &'static str, ask: Ask, tolerance: f32) -> Case {
    Case { model, ask, tolerance, loose: &[], apart: &[] }
}

fn input(shape: &[usize], wave: Wave) -> Tensor {
    let count: usize = shape.iter().product();
    let number = |at: usize| match wave {
        Wave::Zero => 0.0,
        Wave::Between(least, most) => {
            // Exact in f32: an index is below 2^24.
            #[expect(clippy::cast_precision_loss, reason = "an index is below 2^24, where f32 is exact")]
            let at = at as f32;
            least + (most - least) * (0.5 + 0.3 * (at * 0.37).sin() + 0.2 * (at * 0.011).sin())
        }
    };
    let bytes = (0..count).flat_map(|at| number(at).to_le_bytes()).collect();
    Tensor::new(ElementType::F32, shape.to_vec(), bytes).expect("as many as the shape needs")
}

/// What a target answers.
fn answer(case: &Case, target: TargetKind) -> Vec<Tensor> {
    let file = material(&format!("models/{}.onnx", case.model));
    let answer = match case.ask {
        Ask::Tensors(inputs) => {
            let model = raw(target, &file);
            let inputs: Vec<Tensor> = inputs.iter().map(|(shape, wave)| input(shape, *wave)).collect();
            model.run(Input::Tensors(&inputs.iter().map(Tensor::view).collect::<Vec<_>>()))
        }
        Ask::Photograph(width, height) => {
            let manifest = format!(
                "[input.picture]\nwidth = {width}\nheight = {height}\nlayout = \"nchw\"\n\
                 mean = [127.5, 127.5, 127.5]\nstd = [127.5, 127.5, 127.5]\n"
            );
            let manifest = Manifest::parse(&manifest).expect("a right manifest");
            let model = load_on(target, &file, manifest, Vec::new()).unwrap_or_else(|error| panic!("{error}"));
            model.run(Input::Picture(&read(&material("pictures/coffee.png"))))
        }
    };
    match answer {
        Ok(Answer::Tensors(tensors)) => tensors,
        other => panic!("{} on {target}: {other:?}", case.model),
    }
}

fn numbers(tensor: &Tensor) -> Vec<f32> {
    assert_eq!(tensor.element(), ElementType::F32);
    tensor.bytes().as_chunks::<4>().0.iter().map(|bytes| f32::from_le_bytes(*bytes)).collect()
}

/// The largest difference, as a part of the number or of 1.
fn off(right: &Tensor, got: &Tensor) -> f32 {
    assert_eq!(right.shape(), got.shape());
    let pairs = numbers(right).into_iter().zip(numbers(got));
    pairs.map(|(right, got)| (right - got).abs() / right.abs().max(1.0)).fold(0.0, f32::max)
}

fn agrees(case: &Case) {
    let right = answer(case, TargetKind::Tract);
    for target in targets().into_iter().filter(|target| *target != TargetKind::Tract) {
        let got = answer(case, target);
        let loose = case.loose.iter().find(|(of, ..)| *of == target);
        let tolerance = loose.map_or(case.tolerance, |(_, tolerance, _)| *tolerance);
        assert_eq!(right.len(), got.len(), "{} on {target}", case.model);
        for (output, (right, got)) in right.iter().zip(&got).enumerate() {
            if let Some((_, why)) = case.apart.iter().find(|(apart, _)| *apart == output) {
                println!("{} on {target}: output {output} is not compared: {why}", case.model);
                continue;
            }
            let off = off(right, got);
            println!(
                "{{\"metric\":\"agreement\",\"model\":\"{}\",\"target\":\"{target}\",\"output\":{output},\"value\":{off:e},\
                 \"unit\":\"\",\"goal\":{:e},\"ok\":{}}}",
                case.model,
                tolerance,
                off <= tolerance
            );
            assert!(off <= tolerance, "{} on {target}, output {output}: off by {off:e}", case.model);
        }
    }
}

#[test]
fn every_target_gives_the_answers_of_tract() {
    for case in CASES {
        agrees(case);
    }
}
