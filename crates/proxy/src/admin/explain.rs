//! `GET /api/v1/explain`: what becomes of one request here and now, and with places down.
//!
//! Owns the query. It only reads: a rehearsal plays on a copy of the engine, on this thread, so that
//! the control task is not kept. Called by `admin`.

use super::{Admin, PATIENCE};
use crate::control::ControlMessage;
use crate::explain::{Question, live};
use axum::Json;
use axum::extract::{Query, State};
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use serde_json::json;
use tokio::sync::oneshot;

/// Answers with an `Explanation`; 400 and why where the question makes no sense.
pub(super) async fn explain(
    State(admin): State<Admin>,
    Query(query): Query<Vec<(String, String)>>,
) -> Response {
    let question = match asked(query) {
        Ok(question) => question,
        Err(text) => return failed(StatusCode::BAD_REQUEST, &text),
    };
    let (answer, copied) = oneshot::channel();
    let asked = async {
        let message = ControlMessage::Copy(answer);
        admin.shared.control.send(message).await.ok()?;
        copied.await.ok()
    };
    let Ok(Some(copy)) = tokio::time::timeout(PATIENCE, asked).await else {
        let text = "the control task does not answer; traffic goes on with the last table";
        return failed(StatusCode::SERVICE_UNAVAILABLE, text);
    };
    match live(&copy.serving.policy, &copy.engine, copy.now, &question) {
        Ok(explanation) => Json(explanation).into_response(),
        Err(text) => failed(StatusCode::BAD_REQUEST, &text),
    }
}

/// The question that a query asks.
fn asked(query: Vec<(String, String)>) -> Result<Question, String> {
    let mut question = Question::default();
    for (key, value) in query {
        match key.as_str() {
            "request" => question.request = value,
            "host" => question.host = Some(value),
            "header" => question.headers.push(value),
            "listener" => question.listener = Some(value),
            "down" => question.down.push(value),
            _ => {
                return Err(format!(
                    "`{key}` is none of request, host, header, listener, down"
                ));
            }
        }
    }
    Ok(question)
}

fn failed(status: StatusCode, text: &str) -> Response {
    (status, Json(json!({ "error": text }))).into_response()
}
