//! Which pages of other origins may read what this server answers (CORS): those that may connect. Browsers are not allowed to
//! send cookies along: nothing here is decided by them.

use std::net::SocketAddr;
use std::sync::Arc;

use axum::extract::ConnectInfo;
use axum::http::HeaderValue;
use axum::http::request::Parts;
use tower_http::cors::{AllowHeaders, AllowMethods, AllowOrigin, CorsLayer};

use crate::config::{Config, Encrypted};
use crate::limits::CORS_REMEMBERED;

/// What answers the questions of browsers, and tells them who may read an answer.
pub(super) fn layer(config: Arc<Config>) -> CorsLayer {
    let may_read = move |_: &HeaderValue, request: &Parts| {
        let from = request.extensions.get::<ConnectInfo<SocketAddr>>();
        let is_encrypted = request.extensions.get() == Some(&Encrypted(true));
        from.is_some_and(|from| config.lets_in_origin(from.ip(), is_encrypted, &request.headers))
    };
    CorsLayer::new()
        .allow_origin(AllowOrigin::predicate(may_read))
        .allow_methods(AllowMethods::mirror_request())
        .allow_headers(AllowHeaders::mirror_request())
        .max_age(CORS_REMEMBERED)
}
