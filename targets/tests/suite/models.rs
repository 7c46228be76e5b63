//! The bundled model on the bundled pictures: the answers a person can check by looking.

use std::sync::LazyLock;

use serde::Deserialize;
use skein_targets::{ElementType, Model, TensorSpec};

use crate::world::{classes, classifier, material, read, targets, text};

/// Loading takes longer than the tests around it.
static CLASSIFIERS: LazyLock<Vec<Model>> = LazyLock::new(|| targets().into_iter().map(classifier).collect());

/// The file `expected.toml` beside the pictures.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Expected {
    model: String,
    score_tolerance: f32,
    picture: Vec<Picture>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Picture {
    file: String,
    class: u32,
    label: String,
    score: f32,
}

#[test]
fn each_bundled_picture_is_recognised() {
    let expected: Expected = toml::from_str(&text(&material("pictures/expected.toml"))).expect("the right answers");
    assert_eq!((expected.model.as_str(), expected.picture.len()), ("efficientnet-lite0", 4));
    for model in CLASSIFIERS.iter() {
        model.warm_up().expect("a run on zeros");
        for picture in &expected.picture {
            let of = format!("{} on {}", picture.file, model.target());
            let seen = classes(model, &read(&material("pictures").join(&picture.file))).expect("an answer");
            let best = &seen[0];
            assert_eq!((best.index, best.label.as_str()), (picture.class, picture.label.as_str()), "{of}");
            let off = (best.score - picture.score).abs();
            assert!(off < expected.score_tolerance, "{of}: {} instead of {}", best.score, picture.score);
            assert_eq!(seen.len(), 5);
            assert!(seen.is_sorted_by(|a, b| a.score >= b.score), "{seen:?}");
        }
    }
}

#[test]
fn the_model_says_what_it_takes_and_gives() {
    let spec = |name: &str, shape: &[usize]| TensorSpec {
        name: name.into(),
        element: ElementType::F32,
        shape: shape.iter().copied().map(Some).collect(),
    };
    for model in CLASSIFIERS.iter() {
        let description = model.description();
        assert_eq!(description.inputs, [spec("input", &[1, 3, 224, 224])], "{}", model.target());
        assert_eq!(description.outputs, [spec("prob", &[1, 1000])], "{}", model.target());
    }
}

#[test]
fn one_model_may_run_on_several_threads() {
    let (coffee, camera) = (read(&material("pictures/coffee.png")), read(&material("pictures/camera.png")));
    std::thread::scope(|scope| {
        for model in CLASSIFIERS.iter() {
            for (picture, class) in [(&coffee, 967), (&camera, 872), (&coffee, 967), (&camera, 872)] {
                scope.spawn(move || assert_eq!(classes(model, picture).expect("an answer")[0].index, class));
            }
        }
    });
}
