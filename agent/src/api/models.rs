//! Models on this agent: taken in, tried, and shown.

use std::collections::BTreeSet;

use skein_core::model::{Blob, ModelQuery, ModelSpec, is_name};
use skein_core::{Refusal, Resources};
use skein_targets::Manifest;

use crate::api::handle::Api;
use crate::api::{Answer, ApiError, Change, ModelAdded, ModelRun, ModelShown, Request};
use crate::link::{ModelPut, Stream};
use crate::runtime::files::fetch;
use crate::worker::check::{Checked, check};
use crate::worker::protocol::Load;

/// How many names of models an error lists: the person who mistyped one sees it, and a message stays a line.
const KNOWN_NAMES_MAX: usize = 10;

impl Api {
    /// Takes a model in: its files from the stream, a trial run, then the mesh's word. Files of a model that was not taken
    /// do not stay.
    pub async fn add_model(&self, put: ModelPut, stream: &mut Stream) -> Result<Answer, ApiError> {
        check_put(&put)?;
        let blobs = [Some(put.file), put.labels];
        let answer = self.try_model(put, stream).await;
        if answer.is_err() {
            let used = |digest| self.seat.read(|state| state.models.values().any(|model| model.holds(digest)));
            for blob in blobs.into_iter().flatten().filter(|blob| !used(blob.digest)) {
                self.blobs.remove(blob.digest).await;
            }
        }
        answer
    }

    async fn try_model(&self, put: ModelPut, stream: &mut Stream) -> Result<Answer, ApiError> {
        let ModelPut { name, manifest, file, labels } = put;
        let spec = ModelSpec { name, file, labels, manifest };
        for blob in spec.blobs() {
            let received = self.blobs.receive(blob, &mut stream.recv).await;
            received.map_err(|error| ApiError::Invalid(format!("the model {} did not arrive: {error}", spec.name)))?;
        }
        let checked = self.check_model(&spec).await;
        let checked = checked.map_err(|error| ApiError::Invalid(format!("the model was not added: {error}")))?;
        match self.answer(Request::Change(Change::ModelAdd(spec)), false).await? {
            Answer::Model(model) => {
                Ok(Answer::Model(ModelAdded { inputs: checked.inputs, outputs: checked.outputs, ..model }))
            }
            other => Ok(other),
        }
    }

    /// Tries a model by the targets that this node has, until one runs it. Where none does, the first says why: it is the one
    /// that every node has.
    async fn check_model(&self, spec: &ModelSpec) -> Result<Checked, String> {
        let mut refused = Vec::new();
        for target in self.runtimes.computing() {
            match self.try_by(&target, spec, spec.name.clone()).await {
                Ok(checked) => return Ok(checked),
                Err(error) => refused.push(error),
            }
        }
        // All say the same where the file or the manifest is wrong.
        refused.dedup();
        Err(refused.join("; and "))
    }

    /// What a model takes and gives, and which targets of this node run it: each tries it.
    pub(super) async fn show_model(&self, query: &ModelQuery) -> Result<Answer, ApiError> {
        let found = self.seat.read(|state| {
            let (model, spec) = state.find_model(query)?;
            let sessions = state.sessions.values().filter(|session| session.model == *model).count();
            Some((model.clone(), spec.clone(), sessions))
        });
        let Some((model, spec, sessions)) = found else {
            let known: BTreeSet<String> =
                self.seat.read(|state| state.models.keys().map(|model| model.name.clone()).collect());
            let known = known.into_iter().take(KNOWN_NAMES_MAX).collect();
            return Err(ApiError::Refused(Refusal::NoModel { asked: query.clone(), known }));
        };
        for blob in spec.blobs() {
            let fetched = fetch(self, blob).await;
            fetched.map_err(|error| ApiError::Unavailable(format!("the model {model} did not arrive: {error}")))?;
        }
        let mut shown = ModelShown {
            digest: spec.file.digest.to_string(),
            size: spec.blobs().iter().map(|blob| blob.size).sum(),
            sessions,
            manifest: spec.manifest.clone(),
            inputs: Vec::new(),
            outputs: Vec::new(),
            runs: Vec::new(),
            model,
        };
        for target in self.runtimes.computing() {
            let tried = self.try_by(&target, &spec, shown.model.to_string()).await;
            let error = tried.as_ref().err().cloned();
            shown.runs.push(ModelRun { target, error });
            if let Ok(checked) = tried
                && shown.inputs.is_empty()
            {
                (shown.inputs, shown.outputs) = (checked.inputs, checked.outputs);
            }
        }
        Ok(Answer::ModelShown(Box::new(shown)))
    }

    /// One trial run, one at a time.
    async fn try_by(&self, target: &str, spec: &ModelSpec, name: String) -> Result<Checked, String> {
        let load = Load {
            target: target.into(),
            file: self.blobs.path(spec.file.digest),
            name,
            manifest: spec.manifest.clone(),
            labels: spec.labels.map(|labels| self.blobs.path(labels.digest)),
            place: self.runtimes.place(target, None, &Resources::default()),
        };
        let _turn = self.trial.acquire().await;
        check(load).await.map_err(|error| error.to_string())
    }
}

/// What can be known to be wrong before any byte of the files is read.
fn check_put(put: &ModelPut) -> Result<(), ApiError> {
    if !is_name(&put.name) {
        return Err(ApiError::Refused(Refusal::BadName(put.name.chars().take(80).collect())));
    }
    let manifest =
        Manifest::parse(&put.manifest).map_err(|error| ApiError::Invalid(format!("the manifest: {error}")))?;
    let labels: Option<Blob> = put.labels;
    match (manifest.labels_file(), labels) {
        (Some(file), None) => {
            Err(ApiError::Invalid(format!("the manifest names the labels {file}, which did not come")))
        }
        (None, Some(_)) => Err(ApiError::Invalid("labels came that the manifest does not name".into())),
        _ => Ok(()),
    }
}
