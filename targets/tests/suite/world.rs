//! What the tests tell their stories with.

use std::env;
use std::path::{Path, PathBuf};

use skein_targets::{Answer, Class, ElementType, Input, LoadError, Manifest, Model, ModelSource, Place, RunError};
use skein_targets::{TargetKind, Tensor, TensorView, parse_labels};

/// Where the set-up of the tests has put the runtimes.
const RUNTIMES: &str = "SKEIN_TEST_RUNTIMES";

/// A file of this crate's `tests/data`.
pub(crate) fn data(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/data").join(name)
}

/// A file of the bundled material.
pub(crate) fn material(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../material").join(name)
}

pub(crate) fn read(path: &Path) -> Vec<u8> {
    std::fs::read(path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

pub(crate) fn text(path: &Path) -> String {
    String::from_utf8(read(path)).expect("a text file")
}

/// The manifest of the small colour models, whose "classes" are the mean red, green and blue of an 8 x 8 picture.
pub(crate) fn colours(layout: &str, resize: &str) -> Manifest {
    let text = format!(
        "[input.picture]\nwidth = 8\nheight = 8\nlayout = \"{layout}\"\nmean = [0, 0, 0]\nstd = [255, 255, 255]\n\
         resize = {resize}\n[output.classes]\nlabels = \"colours.txt\"\ntop = 3\n"
    );
    Manifest::parse(&text).expect("a right manifest")
}

pub(crate) fn colour_labels() -> Vec<String> {
    parse_labels("red\ngreen\nblue\n").expect("right labels")
}

/// The targets that compute and are here: each must pass the same tests.
pub(crate) fn targets() -> Vec<TargetKind> {
    let targets = TargetKind::ALL.iter().copied().filter(|target| target.computes());
    targets.filter(|target| target.library_name().is_none() || is_here(*target)).collect()
}

/// Whether a runtime is here. `cargo xtask test` installs all of them; a test that is run by hand goes without.
pub(crate) fn is_here(target: TargetKind) -> bool {
    let is_here = env::var_os(RUNTIMES).is_some();
    if !is_here {
        println!("skipped for {target}: {RUNTIMES} names no folder with runtimes; `cargo xtask test` sets it");
    }
    is_here
}

/// The library as the set-up of the tests has it: a folder of Python packages.
pub(crate) fn library(target: TargetKind) -> Option<PathBuf> {
    let folder = match target {
        TargetKind::Onnxruntime => "onnxruntime/capi",
        TargetKind::Openvino => "openvino/libs",
        TargetKind::Tract | TargetKind::Process | TargetKind::Simulated => return None,
    };
    Some(Path::new(&env::var_os(RUNTIMES)?).join(folder))
}

pub(crate) fn place(target: TargetKind) -> Place {
    Place { library: library(target), ..Place::default() }
}

pub(crate) fn load_on(
    target: TargetKind,
    file: &Path,
    manifest: Manifest,
    labels: Vec<String>,
) -> Result<Model, LoadError> {
    Model::load(target, ModelSource { file, manifest, labels }, &place(target))
}

/// For tests of what is the same for every target.
pub(crate) fn load(file: &Path, manifest: Manifest, labels: Vec<String>) -> Result<Model, LoadError> {
    load_on(TargetKind::Tract, file, manifest, labels)
}

/// A model of tensors in, tensors out.
pub(crate) fn raw(target: TargetKind, file: &Path) -> Model {
    load_on(target, file, Manifest::default(), Vec::new()).unwrap_or_else(|error| panic!("{target}: {error}"))
}

pub(crate) fn refused(target: TargetKind, file: &Path) -> LoadError {
    match load_on(target, file, Manifest::default(), Vec::new()) {
        Err(error) => error,
        Ok(model) => panic!("{target} must refuse {}, but took it: {:?}", file.display(), model.description()),
    }
}

/// The bundled classifier, as `skein model add` would load it.
pub(crate) fn classifier(target: TargetKind) -> Model {
    let manifest = Manifest::parse(&text(&material("models/efficientnet-lite0.toml"))).expect("the bundled manifest");
    let labels = material("models").join(manifest.labels_file().expect("the bundled manifest has labels"));
    let labels = parse_labels(&text(&labels)).expect("the bundled labels");
    let file = material("models/efficientnet-lite0.onnx");
    load_on(target, &file, manifest, labels).unwrap_or_else(|error| panic!("{target}: {error}"))
}

pub(crate) fn floats(numbers: &[f32]) -> Vec<u8> {
    numbers.iter().flat_map(|number| number.to_le_bytes()).collect()
}

pub(crate) fn run(model: &Model, element: ElementType, shape: &[usize], bytes: &[u8]) -> Result<Tensor, RunError> {
    match model.run(Input::Tensor(TensorView { element, shape, bytes }))? {
        Answer::Tensors(mut outputs) if outputs.len() == 1 => Ok(outputs.remove(0)),
        other => panic!("expected one tensor, got {other:?}"),
    }
}

pub(crate) fn classes(model: &Model, encoded: &[u8]) -> Result<Vec<Class>, RunError> {
    match model.run(Input::Picture(encoded))? {
        Answer::Classes(classes) => Ok(classes),
        Answer::Tensors(tensors) => panic!("expected classes, got {tensors:?}"),
    }
}

/// A copy of a recorded machine, to change.
pub(crate) struct Machine(tempfile::TempDir);

impl Machine {
    /// One that says nothing.
    pub(crate) fn empty() -> Self {
        Self(tempfile::tempdir().expect("a temporary folder"))
    }

    pub(crate) fn copy(name: &str) -> Self {
        let machine = Self::empty();
        let original = data("machines").join(name);
        for file in files(&original) {
            let path = file.strip_prefix(&original).expect("a file of the machine");
            machine.write(path.to_str().expect("a readable path"), read(&file));
        }
        machine
    }

    pub(crate) fn root(&self) -> &Path {
        self.0.path()
    }

    pub(crate) fn files(&self) -> Vec<PathBuf> {
        files(self.root())
    }

    pub(crate) fn write(&self, path: &str, bytes: impl AsRef<[u8]>) {
        std::fs::write(self.place(path), bytes).expect("a file");
    }

    pub(crate) fn link(&self, path: &str, to: &str) {
        std::os::unix::fs::symlink(to, self.place(path)).expect("a link");
    }

    /// A file or a folder; it need not be there.
    pub(crate) fn remove(&self, path: &str) {
        let _ = std::fs::remove_dir_all(self.root().join(path));
    }

    fn place(&self, path: &str) -> PathBuf {
        let file = self.root().join(path);
        std::fs::create_dir_all(file.parent().expect("a folder")).expect("folders");
        file
    }
}

fn files(folder: &Path) -> Vec<PathBuf> {
    let entries = std::fs::read_dir(folder).expect("a folder").map(|entry| entry.expect("an entry").path());
    let (folders, files): (Vec<PathBuf>, Vec<PathBuf>) = entries.partition(|path| path.is_dir());
    files.into_iter().chain(folders.iter().flat_map(|folder| self::files(folder))).collect()
}
