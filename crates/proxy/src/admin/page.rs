//! The page: its files, as they are in the binary.
//!
//! It has no data in it: everybody may load it, and it asks the API for the rest, with a token where
//! the policy wants one. It asks no other host for anything, and the browser is told to see to that.

use super::Admin;
use axum::Router;
use axum::http::header;
use axum::response::IntoResponse;
use axum::routing::get;

/// Nothing but the page's own files and API; no inline code, no markup from text, no frames.
const POLICY: &str = "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; \
    img-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'; \
    require-trusted-types-for 'script'; trusted-types 'none'";

const SCRIPT: &str = "text/javascript; charset=utf-8";
const STYLE: &str = "text/css; charset=utf-8";

/// Path, kind and content of each file.
const FILES: [(&str, &str, &str); 15] = [
    (
        "/",
        "text/html; charset=utf-8",
        include_str!("page/index.html"),
    ),
    (
        "/page/icon.svg",
        "image/svg+xml",
        include_str!("page/icon.svg"),
    ),
    ("/page/style.css", STYLE, include_str!("page/style.css")),
    ("/page/parts.css", STYLE, include_str!("page/parts.css")),
    ("/page/app.js", SCRIPT, include_str!("page/app.js")),
    ("/page/api.js", SCRIPT, include_str!("page/api.js")),
    ("/page/dom.js", SCRIPT, include_str!("page/dom.js")),
    ("/page/words.js", SCRIPT, include_str!("page/words.js")),
    ("/page/head.js", SCRIPT, include_str!("page/head.js")),
    ("/page/places.js", SCRIPT, include_str!("page/places.js")),
    ("/page/flow.js", SCRIPT, include_str!("page/flow.js")),
    (
        "/page/timeline.js",
        SCRIPT,
        include_str!("page/timeline.js"),
    ),
    ("/page/pools.js", SCRIPT, include_str!("page/pools.js")),
    ("/page/policy.js", SCRIPT, include_str!("page/policy.js")),
    ("/page/steer.js", SCRIPT, include_str!("page/steer.js")),
];

/// The routes.
pub(super) fn routes() -> Router<Admin> {
    FILES
        .into_iter()
        .fold(Router::new(), |router, (path, kind, content)| {
            let answer = move || async move {
                let headers = [
                    (header::CONTENT_TYPE, kind),
                    (header::CONTENT_SECURITY_POLICY, POLICY),
                ];
                (headers, content).into_response()
            };
            router.route(path, get(answer))
        })
}
