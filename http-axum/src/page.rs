//! What every list takes, and answers beside its rows.

use axum::Json;
use axum::http::HeaderValue;
use axum::response::{IntoResponseParts, ResponseParts};
use pilothouse_core::{Error, Listing, Order, Page};

use crate::envelope::Failure;

/// Defines the parameters of a list: those that every list takes, and its own.
macro_rules! list_query {
    ($(#[$meta:meta])* $visibility:vis struct $name:ident { $($own:tt)* }) => {
        $(#[$meta])*
        #[derive(serde::Deserialize, utoipa::IntoParams)]
        #[into_params(parameter_in = Query)]
        $visibility struct $name {
            /// The smallest id returned.
            #[param(minimum = 0, default = 0, example = 0)]
            start: Option<i64>,
            /// The most rows returned.
            #[param(minimum = 1, maximum = 1000, default = 10, example = 10)]
            count: Option<i64>,
            /// Only rows with an id less than this: the page after one that ended with it, newest first.
            #[param(minimum = 0, example = 1_000_000)]
            before: Option<i64>,
            /// `oldest` or `newest`: which rows come first.
            #[param(pattern = "^(oldest|newest)$", default = "oldest", example = "newest")]
            order: Option<String>,
            /// Whether the header `X-Total-Count` is to say how many rows the whole list has.
            #[param(default = false, example = true)]
            total: Option<bool>,
            $($own)*
        }

        impl $name {
            /// The page that is asked for.
            $visibility fn page(&self) -> Result<pilothouse_core::Page, pilothouse_core::Error> {
                let Self { start, count, before, order, total, .. } = self;
                $crate::page::page((*start, *count, *before), order.as_deref(), *total)
            }
        }
    };
}
pub(crate) use list_query;

/// A page from its parameters `(start, count, before)`, `order` and `total`.
pub(crate) fn page(
    (start, count, before): (Option<i64>, Option<i64>, Option<i64>),
    order: Option<&str>,
    total: Option<bool>,
) -> Result<Page, Error> {
    let order = match order {
        None | Some("oldest") => Order::Oldest,
        Some("newest") => Order::Newest,
        Some(_) => return Err(Error::invalid("order", "must be oldest or newest")),
    };
    Ok(Page { order, total: total.unwrap_or(false), ..Page::new(start, count)?.before(before)? })
}

/// What is said of a list beside its rows: `X-Total-Count` with the number of rows where it was asked for, and of a search
/// that has not looked at everything `X-Search-Before`, the `before` with which to go on.
pub(crate) struct ListHeaders {
    total: Option<u64>,
    search_before: Option<i64>,
}

impl IntoResponseParts for ListHeaders {
    type Error = std::convert::Infallible;

    fn into_response_parts(self, mut parts: ResponseParts) -> Result<ResponseParts, Self::Error> {
        let total = self.total.map(HeaderValue::from);
        let search_before = self.search_before.map(HeaderValue::from);
        for (name, value) in [("x-total-count", total), ("x-search-before", search_before)] {
            if let Some(value) = value {
                parts.headers_mut().insert(name, value);
            }
        }
        Ok(parts)
    }
}

/// Answer of a handler that lists.
pub(crate) type ListReply<T> = Result<(ListHeaders, Json<T>), Failure>;

/// A page in its family's envelope. `asked` is the page that was asked for.
pub(crate) fn listed<T, U, E>(
    listing: Listing<T>,
    asked: Page,
    shown: impl FnMut(T) -> U,
    envelope: impl FnOnce(Vec<U>) -> Result<Json<E>, Failure>,
) -> ListReply<E> {
    let Listing { rows, total, search_before, .. } = listing;
    let headers = ListHeaders { total: total.filter(|_| asked.total), search_before };
    Ok((headers, envelope(rows.into_iter().map(shown).collect())?))
}
