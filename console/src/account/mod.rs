//! Pages of accounts: log-in, the first account, one's own, everybody's, the audit trail.

mod accounts;
mod audit;
mod login;
mod me;
mod setup;

use axum::Router;
use axum::routing::{get, post};

pub(crate) use self::audit::{day, midnight};
use crate::state::ConsoleState;

pub(crate) fn routes() -> Router<ConsoleState> {
    Router::new()
        .route("/login", get(login::get_login).post(login::post_login))
        .route("/logout", post(login::post_logout))
        .route("/language", post(login::post_language))
        .route("/setup", get(setup::get_setup).post(setup::post_setup))
        .route("/me", get(me::get_me))
        .route("/me/password", post(me::post_password))
        .route("/me/tokens", post(me::post_token))
        .route("/me/tokens/end", post(me::post_token_end))
        .route("/admin/accounts", get(accounts::get_accounts).post(accounts::post_account))
        .route("/admin/accounts/update", post(accounts::post_update))
        .route("/admin/accounts/delete", post(accounts::post_delete))
        .route("/admin/audit", get(audit::get_audit))
}
