//! Requests to a Kubernetes API whose answers are bounded: an API that never stops talking is not listened to for ever.

use http_body_util::{BodyExt as _, Limited};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::ListMeta;
use kube::{
    Client, Error,
    api::{DeleteParams, ListParams, PostParams, Request},
    client::Body,
    core::Status,
};
use serde::{Deserialize, Serialize, de::DeserializeOwned};

/// Objects of one kind in one namespace.
pub(super) struct Resource<'a> {
    client: &'a Client,
    requests: Request,
}

/// What a list brings, without its version.
#[derive(Deserialize)]
pub(super) struct List<K> {
    /// Left to the server.
    #[serde(rename = "metadata", default)]
    _metadata: ListMeta,
    /// The objects.
    #[serde(default = "Vec::new")]
    pub(super) items: Vec<K>,
}

impl<'a> Resource<'a> {
    /// Below this path of the API.
    pub(super) fn new(client: &'a Client, path: String) -> Self {
        Self { client, requests: Request::new(path) }
    }

    pub(super) async fn create<K: Serialize + DeserializeOwned>(&self, object: &K) -> Result<K, Error> {
        let body = serde_json::to_vec(object).map_err(Error::SerdeError)?;
        self.ask(self.requests.create(&PostParams::default(), body)).await
    }

    pub(super) async fn get<K: DeserializeOwned>(&self, name: &str) -> Result<K, Error> {
        self.ask(self.requests.get(name, &kube::api::GetParams::default())).await
    }

    pub(super) async fn list<K: DeserializeOwned>(&self, which: &ListParams) -> Result<List<K>, Error> {
        self.ask(self.requests.list(which)).await
    }

    /// Deletes an object and what it owns, at once.
    pub(super) async fn delete(&self, name: &str) -> Result<(), Error> {
        let how = DeleteParams::background().grace_period(0);
        // The object as it was, or a status.
        self.ask(self.requests.delete(name, &how)).await.map(|_: serde_json::Value| ())
    }

    async fn ask<T: DeserializeOwned>(
        &self,
        request: Result<hyper::Request<Vec<u8>>, kube::core::request::Error>,
    ) -> Result<T, Error> {
        let request = request.map_err(Error::BuildRequest)?.map(Body::from);
        let answer = self.client.send(request).await?;
        let status = answer.status();
        let body = Limited::new(answer.into_body(), MAXIMUM_ANSWER).collect().await.map_err(Error::Service)?.to_bytes();
        if !status.is_success() {
            let told = serde_json::from_slice::<Status>(&body).unwrap_or_else(|_| {
                Status::failure("the answer is none of a Kubernetes API", "Unrecognised").with_code(status.as_u16())
            });
            return Err(Error::Api(told.boxed()));
        }
        serde_json::from_slice(&body).map_err(Error::SerdeError)
    }
}

/// A Job with its pod and their managed fields have some ten thousand bytes.
const MAXIMUM_ANSWER: usize = 2 * 1024 * 1024;
