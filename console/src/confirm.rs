//! Password asked again before what is dangerous: groups, grants, keys, tokens, and deleting an app or an account.
//!
//! A form without a proof of the last ten minutes is kept in the page that asks, and sent again with the password.

use askama::Template;
use axum::body::Body;
use axum::extract::{FromRequest, Request};
use axum::http::{HeaderValue, StatusCode, header};
use axum::middleware::{Next, from_fn};
use axum::response::{Html, IntoResponse, Response};
use axum::routing::MethodRouter;
use pilothouse_core::Error;
use pilothouse_core::account::Scope;

use crate::authenticator::{proof, proof_cookie, session};
use crate::failure::Failure;
use crate::form::part;
use crate::page::{Page, Visit};
use crate::state::ConsoleState;

/// Field with the password that is typed again.
const FIELD: &str = "confirm_password";

type Fields = Vec<(String, String)>;

#[derive(Template)]
#[template(path = "confirm.html")]
struct ConfirmPage {
    page: Page,
    fields: Fields,
}

/// Methods of which those that change something ask for the password.
pub(crate) fn confirmed(methods: MethodRouter<ConsoleState>) -> MethodRouter<ConsoleState> {
    methods.layer(from_fn(async |request: Request, next: Next| {
        ask(request, next).await.unwrap_or_else(IntoResponse::into_response)
    }))
}

async fn ask(request: Request, next: Next) -> Result<Response, Failure> {
    let visit = request.extensions().get::<Visit>().cloned();
    let visit = visit.ok_or_else(|| Error::Internal("a page without the guard".to_owned()))?;
    let sessions = visit.console.pilothouse.console_sessions();
    // A host's own accounts have no password here, and customers of the cdn come to none of these pages.
    let caller =
        visit.caller.as_ref().filter(|caller| caller.token.is_some() && caller.scope == Scope::Account);
    let (Some(caller), Some(session)) = (caller, session(request.headers()).map(str::to_owned)) else {
        return Ok(next.run(request).await);
    };
    let is_proven = proof(request.headers()).is_some_and(|proof| sessions.is_confirmed(&session, proof));
    if request.method().is_safe() || is_proven {
        return Ok(next.run(request).await);
    }
    let (mut parts, body) = request.into_parts();
    let form = axum::Form::<Fields>::from_request(Request::from_parts(parts.clone(), body), &()).await;
    let axum::Form(mut fields) = form.map_err(|rejection| Failure::Unreadable(rejection.body_text()))?;
    let Some(typed) = fields.iter().position(|(name, _)| name == FIELD) else {
        return show(&visit, fields, "").await;
    };
    let (_, password) = fields.remove(typed);
    let new_proof = match sessions.confirm(caller, &session, &password).await {
        Ok(new_proof) => new_proof,
        Err(Error::Unauthenticated) => {
            return show(&visit, fields, visit.language.texts().admin().wrong_confirmation).await;
        }
        Err(error) => return Err(error.into()),
    };
    parts.headers.remove(header::CONTENT_LENGTH);
    let mut response = next.run(Request::from_parts(parts, Body::from(encoded(&fields)))).await;
    let cookie = proof_cookie(&new_proof, visit.console.settings.is_encrypted());
    if let Ok(cookie) = HeaderValue::try_from(cookie) {
        response.headers_mut().append(header::SET_COOKIE, cookie);
    }
    Ok(response)
}

async fn show(visit: &Visit, fields: Fields, problem: &str) -> Result<Response, Failure> {
    let page = visit.page(visit.language.texts().admin().confirm_password).await?;
    let page = Page { problem: problem.to_owned(), ..page };
    let html = ConfirmPage { page, fields }.render()?;
    Ok((StatusCode::UNAUTHORIZED, Html(html)).into_response())
}

fn encoded(fields: &Fields) -> String {
    let pairs: Vec<_> =
        fields.iter().map(|(name, value)| format!("{}={}", part(name), part(value))).collect();
    pairs.join("&")
}
