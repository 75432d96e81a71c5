//! Row stream: an answer of many rows that is made while it is sent, a page at a time, so that memory holds one page.

use std::io;

use axum::body::{Body, Bytes};
use axum::http::{HeaderValue, header};
use axum::response::{IntoResponse, Response};
use futures_util::stream;
use pilothouse_core::{Error, Result};
use serde::Serialize;

/// Source of the rows of an answer, page by page.
pub(crate) trait RowPages: Send + 'static {
    /// Row of a page.
    type Row: Send;

    /// The next rows, at least one; `None` at the end.
    fn next_page(&mut self) -> impl Future<Output = Result<Option<Vec<Self::Row>>>> + Send;
}

/// Writer of a row into the text of an answer.
type WriteRow<R> = fn(R, &mut String) -> Result<()>;

/// Text of an answer: what comes before, between and after its rows, and each row.
pub(crate) struct RowText<R> {
    pub(crate) content_type: &'static str,
    pub(crate) before: &'static str,
    pub(crate) between: &'static str,
    pub(crate) after: &'static str,
    pub(crate) write: WriteRow<R>,
}

impl<R> RowText<R> {
    /// List of the cdn family in JSON; `write` is to use [`push_json`].
    pub(crate) const fn json_list(write: WriteRow<R>) -> Self {
        let (before, between, after) = ("{\"err\":0,\"results\":[", ",", "]}");
        Self { content_type: "application/json", before, between, after, write }
    }
}

/// Appends a row in JSON.
pub(crate) fn push_json(row: &impl Serialize, text: &mut String) -> Result<()> {
    let row = serde_json::to_string(row);
    text.push_str(&row.map_err(|error| Error::Internal(format!("a row was not written: {error}")))?);
    Ok(())
}

/// Answer while it is sent.
struct Sending<P: RowPages> {
    pages: P,
    text: RowText<P::Row>,
    /// First page, which is read before anything is sent.
    first: Option<Vec<P::Row>>,
    has_begun: bool,
    is_over: bool,
}

impl<P: RowPages> Sending<P> {
    /// The next piece of the body, which is not empty; `None` at its end.
    async fn next(&mut self) -> Result<Option<Bytes>> {
        if self.is_over {
            return Ok(None);
        }
        let page = match self.first.take() {
            Some(page) => Some(page),
            None => self.pages.next_page().await?,
        };
        self.is_over = page.is_none();
        let mut piece = String::new();
        for row in page.unwrap_or_default() {
            piece.push_str(if self.has_begun { self.text.between } else { self.text.before });
            self.has_begun = true;
            (self.text.write)(row, &mut piece)?;
        }
        if self.is_over {
            piece.push_str(if self.has_begun { "" } else { self.text.before });
            piece.push_str(self.text.after);
        }
        Ok((!piece.is_empty()).then(|| piece.into()))
    }
}

/// Answers rows. A failure before the first page is told in the envelope; after it the answer breaks off, so that nobody takes a
/// part for the whole.
pub(crate) async fn row_stream<P: RowPages>(mut pages: P, text: RowText<P::Row>) -> Result<Response> {
    let first = pages.next_page().await?;
    let content_type = HeaderValue::from_static(text.content_type);
    let sending = Sending { pages, text, first, has_begun: false, is_over: false };
    let pieces = stream::try_unfold(sending, |mut sending| async move {
        match sending.next().await {
            Ok(piece) => Ok(piece.map(|piece| (piece, sending))),
            Err(error) => {
                tracing::error!(error = &error as &dyn std::error::Error, "an answer of many rows broke off");
                Err(io::Error::other("the answer broke off"))
            }
        }
    });
    Ok(([(header::CONTENT_TYPE, content_type)], Body::from_stream(pieces)).into_response())
}

#[cfg(test)]
mod tests {
    use axum::body::to_bytes;

    use super::*;

    /// Pages of numbers, of which the last may fail.
    struct Numbers(Vec<Result<Vec<i64>>>);

    impl RowPages for Numbers {
        type Row = i64;

        async fn next_page(&mut self) -> Result<Option<Vec<i64>>> {
            self.0.pop().transpose()
        }
    }

    async fn answer(mut pages: Vec<Result<Vec<i64>>>) -> Result<Result<String, axum::Error>> {
        pages.reverse();
        let text = RowText::json_list(|row: i64, text: &mut String| push_json(&row, text));
        let answer = row_stream(Numbers(pages), text).await?;
        assert_eq!(answer.headers()[header::CONTENT_TYPE], "application/json");
        let body = to_bytes(answer.into_body(), usize::MAX).await;
        Ok(body.map(|body| String::from_utf8(body.to_vec()).unwrap()))
    }

    #[tokio::test]
    async fn an_answer_is_whole_or_breaks_off() {
        let whole = async |pages| answer(pages).await.unwrap().unwrap();
        assert_eq!(whole(Vec::new()).await, r#"{"err":0,"results":[]}"#);
        assert_eq!(whole(vec![Ok(vec![1])]).await, r#"{"err":0,"results":[1]}"#);
        assert_eq!(whole(vec![Ok(vec![1, 2]), Ok(vec![3])]).await, r#"{"err":0,"results":[1,2,3]}"#);
        let failed = || Err(Error::Internal("lost".to_owned()));
        assert!(answer(vec![Ok(vec![1]), failed()]).await.unwrap().is_err());
        assert!(answer(vec![failed()]).await.is_err(), "nothing was sent yet");
    }
}
