//! Bare program to measure beside: one route of axum with two statements of sqlx, which answers the same tasks from the same
//! file as `GET /api/task` of a server, to whoever has a token of that file.

use std::net::SocketAddr;
use std::path::PathBuf;

use axum::extract::State;
use axum::http::{HeaderMap, StatusCode, header};
use axum::routing::get;
use axum::{Json, Router};
use serde::Serialize;
use sha2::{Digest, Sha256};
use sqlx::sqlite::{SqliteConnectOptions, SqlitePool, SqlitePoolOptions};

use crate::http::Result;

/// Options of the program.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// Database file of a server
    #[arg(long)]
    file: PathBuf,
    /// Address to listen on
    #[arg(long)]
    listen: SocketAddr,
}

#[derive(Serialize)]
struct Answer {
    code: u16,
    ok: bool,
    info: Vec<Task>,
}

#[derive(Serialize)]
struct Task {
    id: i64,
    task_id: String,
    ip: String,
    action: String,
    create_time: i64,
    content: String,
    description: String,
}

/// Serves until it is killed.
pub(crate) async fn serve(args: Args) -> Result<()> {
    let options = SqliteConnectOptions::new().filename(args.file).read_only(true);
    let pool = SqlitePoolOptions::new().max_connections(4).connect_with(options).await?;
    let router = Router::new().route("/api/task", get(tasks)).with_state(pool);
    let listener = tokio::net::TcpListener::bind(args.listen).await?;
    Ok(axum::serve(listener, router).await?)
}

async fn tasks(
    State(pool): State<SqlitePool>,
    headers: HeaderMap,
) -> std::result::Result<Json<Answer>, StatusCode> {
    let bearer = headers.get(header::AUTHORIZATION).and_then(|value| value.to_str().ok());
    let token = bearer.and_then(|value| value.strip_prefix("Bearer ")).ok_or(StatusCode::UNAUTHORIZED)?;
    let digest = Sha256::digest(token.as_bytes());
    let permissions =
        "SELECT permission_bits FROM token JOIN account ON account.id = account_id WHERE digest = $1";
    let found = sqlx::query_as::<_, (i64,)>(permissions).bind(&digest[..]).fetch_optional(&pool).await;
    if !matches!(found, Ok(Some(_))) {
        return Err(StatusCode::FORBIDDEN);
    }
    let list = "SELECT id, lower(hex(task_id)) AS task_id, ip, action, create_time / 1000000 AS create_time, content, \
        description FROM task WHERE id >= $1 ORDER BY id LIMIT $2";
    let rows = sqlx::query_as(list).bind(0).bind(10).fetch_all(&pool).await;
    let task = |(id, task_id, ip, action, create_time, content, description)| Task {
        id,
        task_id,
        ip,
        action,
        create_time,
        content,
        description,
    };
    let info = rows.map_err(|_| StatusCode::INTERNAL_SERVER_ERROR)?.into_iter().map(task).collect();
    Ok(Json(Answer { code: 200, ok: true, info }))
}
