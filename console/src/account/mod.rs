//! Pages of accounts: log-in, the first account, one's own, everybody's, companies, the audit trail, the system.

mod accounts;
mod audit;
mod companies;
mod login;
mod me;
mod person;
mod setup;
mod system;
mod violations;

use axum::Router;
use axum::routing::{get, post};

pub(crate) use self::audit::{day, midnight};
use crate::confirm::confirmed;
use crate::state::ConsoleState;

pub(crate) fn routes() -> Router<ConsoleState> {
    Router::new()
        .route("/login", get(login::get_login).post(login::post_login))
        .route("/logout", post(login::post_logout))
        .route("/language", post(login::post_language))
        .route("/theme", post(login::post_theme))
        .route("/csp", post(violations::post_report))
        .route("/setup", get(setup::get_setup).post(setup::post_setup))
        .route("/me", get(me::get_me))
        .route("/me/password", post(me::post_password))
        .route("/me/tokens", confirmed(post(me::post_token)))
        .route("/me/tokens/end", post(me::post_token_end))
        .route("/admin/accounts", confirmed(get(accounts::get_accounts).post(accounts::post_account)))
        .route("/admin/accounts/update", confirmed(post(accounts::post_update)))
        .route("/admin/accounts/delete", confirmed(post(accounts::post_delete)))
        .route("/admin/accounts/account", get(person::get_account))
        .route("/admin/accounts/disable", confirmed(post(person::post_disable)))
        .route("/admin/accounts/end-token", confirmed(post(person::post_token_end)))
        .route("/admin/companies", confirmed(get(companies::get_companies).post(companies::post_company)))
        .route("/admin/system", get(system::get_system))
        .route("/admin/audit", get(audit::get_audit))
}
