//! Invalidations of CloudFront: how they are made, and whether they have ended.

use std::collections::HashSet;

use pilothouse_core::ports::{
    Batch, ItemState, ProviderError, RemoteTask, Submission, Submissions, TaskState,
};
use quick_xml::escape::escape;
use url::Position;

use super::CloudFront;
use super::api::Call;
use super::distributions::DISTRIBUTIONS;
use crate::vendor::{of_reading, spelled, unreadable};

/// Namespace of the API's documents.
const NAMESPACE: &str = "http://cloudfront.amazonaws.com/doc/2020-05-31/";

impl CloudFront {
    /// Makes an invalidation of a batch, whose items are all of the distribution that its group is. The batch's id is the
    /// caller reference: sent again, the same batch is the same invalidation.
    pub(super) async fn invalidate(&self, batch: &Batch) -> Result<Submissions, ProviderError> {
        let paths: Vec<_> = batch.items.iter().map(|item| path_of(&item.url)).collect();
        let mut seen = HashSet::new();
        // Two schemes of a URL are one path.
        let accepted: Vec<_> =
            paths.iter().filter_map(|path| path.as_deref().ok()).filter(|path| seen.insert(*path)).collect();
        let mut id = String::new();
        if !accepted.is_empty() {
            let path = format!("{DISTRIBUTIONS}/{}/invalidation", batch.group);
            let body = document(&batch.id, &accepted);
            let call = Call::post(&path, body.as_bytes());
            let answer = self.api.xml(&self.api.cloudfront, call).await?;
            answer.text(&["Id"]).clone_into(&mut id);
            if id.is_empty() {
                return Err(unreadable(201));
            }
        }
        let submitted = paths.into_iter().map(|path| path.map(|_| Submission::Running(id.clone())));
        Ok(submitted.collect())
    }

    /// Asks about each invalidation. The vendor tells no progress but the end.
    pub(super) async fn poll_invalidations(
        &self,
        tasks: &[RemoteTask],
    ) -> Result<Vec<TaskState>, ProviderError> {
        let mut states = Vec::with_capacity(tasks.len());
        for task in tasks {
            let path = format!("{DISTRIBUTIONS}/{}/invalidation/{}", task.group, task.id);
            let state = match self.api.xml(&self.api.cloudfront, Call::get(&path, "")).await {
                Ok(answer) if answer.text(&["Status"]) == "Completed" => ItemState::Done,
                Ok(_) => ItemState::Running(None),
                Err(ProviderError::NotYours(_)) => ItemState::Unknown,
                Err(error) => return Err(of_reading(error)),
            };
            states.push(vec![state; task.items.len()]);
        }
        Ok(states)
    }
}

/// Path and query of a URL, with the `*` of a prefix. A `*` elsewhere is a character like any other.
fn path_of(url: &str) -> Result<String, ProviderError> {
    let end = if url.ends_with('*') { "*" } else { "" };
    let url = spelled(url)?;
    let path = url[Position::BeforePath..Position::AfterQuery].replace('*', "%2A");
    Ok(path + end)
}

fn document(reference: &str, paths: &[&str]) -> String {
    let items: Vec<_> = paths.iter().map(|path| format!("<Path>{}</Path>", escape(*path))).collect();
    format!(
        "<InvalidationBatch xmlns=\"{NAMESPACE}\"><Paths><Quantity>{}</Quantity><Items>{}</Items></Paths>\
         <CallerReference>{}</CallerReference></InvalidationBatch>",
        paths.len(),
        items.concat(),
        escape(reference)
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_are_escaped_and_keep_the_star_of_a_prefix() {
        for (url, expected) in [
            ("https://a.example.com/中 2.jpg?x=1&y=2", "/%E4%B8%AD%202.jpg?x=1&y=2"),
            ("https://a.example.com/img-*", "/img-*"),
            ("https://a.example.com/a*b/*", "/a%2Ab/*"),
            ("http://a.example.com", "/"),
        ] {
            assert_eq!(path_of(url).unwrap(), expected);
        }
    }

    #[test]
    fn the_document_is_what_the_official_sdk_sends() {
        assert_eq!(
            document("pilothouse-42-0", &["/1.jpg", "/dir/*"]),
            "<InvalidationBatch xmlns=\"http://cloudfront.amazonaws.com/doc/2020-05-31/\"><Paths>\
             <Quantity>2</Quantity><Items><Path>/1.jpg</Path><Path>/dir/*</Path></Items></Paths>\
             <CallerReference>pilothouse-42-0</CallerReference></InvalidationBatch>"
        );
        assert!(document("1", &["/?x=1&y=<2>"]).contains("<Path>/?x=1&amp;y=&lt;2&gt;</Path>"));
    }
}
