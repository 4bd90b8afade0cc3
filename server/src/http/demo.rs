//! The demo: the files of `demo/dist`, which the build script has put into the binary. If the demo was not built, a page that
//! says how to do it.

use axum::Router;
use axum::body::{Body, Bytes};
use axum::http::{HeaderMap, HeaderName, HeaderValue, Response, StatusCode, header};
use axum::response::{Html, IntoResponse};
use axum::routing::get;

/// The page of a server that was built without the demo.
const UNBUILT: &str = include_str!("unbuilt.html");

/// Where the files are whose names change with their contents.
const HASHED: &str = "assets/";

/// Nothing is loaded from elsewhere, and no text of a person is run as a script. Editors set styles on elements, which needs
/// `unsafe-inline` for styles.
const POLICY: &str = "default-src 'none'; script-src 'self'; style-src 'self' 'unsafe-inline'; img-src 'self' data:; \
    font-src 'self'; connect-src 'self'; worker-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'";

/// One file of the demo.
struct File {
    /// Below `dist`.
    path: &'static str,
    /// For `ETag`.
    tag: &'static str,
    plain: &'static [u8],
    /// The same, compressed, if that makes it smaller.
    brotli: Option<&'static [u8]>,
    gzip: Option<&'static [u8]>,
}

/// All of them; none if the demo was not built.
static FILES: &[File] = &include!(concat!(env!("OUT_DIR"), "/demo.rs"));

/// A route for each file.
pub(super) fn routes() -> Router {
    if FILES.is_empty() {
        return Router::new().route("/", get(async || (security(), Html(UNBUILT))));
    }
    FILES.iter().fold(Router::new(), |routes, file| {
        let path = if file.path == "index.html" { "/".to_owned() } else { format!("/{}", file.path) };
        routes.route(&path, get(move |headers: HeaderMap| async move { file.answer(&headers) }))
    })
}

impl File {
    fn answer(&self, asked: &HeaderMap) -> Response<Body> {
        let lifetime =
            if self.path.starts_with(HASHED) { "public, max-age=31536000, immutable" } else { "no-cache" };
        let caching =
            [(header::CACHE_CONTROL, lifetime), (header::ETAG, self.tag), (header::VARY, "accept-encoding")];
        if has_tag(asked, self.tag) {
            return (StatusCode::NOT_MODIFIED, caching).into_response();
        }
        let (coding, content) = self.best(asked);
        let described = [(header::CONTENT_TYPE, self.content_type())];
        let mut response = (security(), caching, described, Bytes::from_static(content)).into_response();
        if let Some(coding) = coding {
            response.headers_mut().insert(header::CONTENT_ENCODING, HeaderValue::from_static(coding));
        }
        response
    }

    /// The smallest form that the other end accepts.
    fn best(&self, asked: &HeaderMap) -> (Option<&'static str>, &'static [u8]) {
        match (self.brotli, self.gzip) {
            (Some(brotli), _) if accepts(asked, "br") => (Some("br"), brotli),
            (_, Some(gzip)) if accepts(asked, "gzip") => (Some("gzip"), gzip),
            _ => (None, self.plain),
        }
    }

    fn content_type(&self) -> &'static str {
        match self.path.rsplit_once('.').map(|(_, extension)| extension) {
            Some("html") => "text/html; charset=utf-8",
            Some("js") => "text/javascript; charset=utf-8",
            Some("css") => "text/css; charset=utf-8",
            Some("svg") => "image/svg+xml",
            Some("png") => "image/png",
            Some("ttf") => "font/ttf",
            Some("woff2") => "font/woff2",
            Some("json") => "application/json",
            _ => "application/octet-stream",
        }
    }
}

fn security() -> [(HeaderName, &'static str); 3] {
    [
        (header::CONTENT_SECURITY_POLICY, POLICY),
        (header::X_CONTENT_TYPE_OPTIONS, "nosniff"),
        (header::REFERRER_POLICY, "no-referrer"),
    ]
}

/// Whether `Accept-Encoding` has this coding, and not with the weight 0.
fn accepts(headers: &HeaderMap, coding: &str) -> bool {
    let values = headers.get_all(header::ACCEPT_ENCODING).iter().filter_map(|value| value.to_str().ok());
    values.flat_map(|value| value.split(',')).any(|one| {
        let (name, parameters) = one.split_once(';').unwrap_or((one, ""));
        let weight = parameters.trim().strip_prefix("q=").and_then(|weight| weight.parse::<f32>().ok());
        name.trim().eq_ignore_ascii_case(coding) && weight.is_none_or(|weight| weight > 0.0)
    })
}

/// Whether the other end has this version already.
fn has_tag(headers: &HeaderMap, tag: &str) -> bool {
    let values = headers.get_all(header::IF_NONE_MATCH).iter().filter_map(|value| value.to_str().ok());
    values.flat_map(|value| value.split(',')).any(|one| matches!(one.trim(), one if one == tag || one == "*"))
}

#[cfg(test)]
mod tests {
    use super::*;

    const SCRIPT: File = File {
        path: "assets/main-1a2b.js",
        tag: "W/\"01\"",
        plain: b"plain",
        brotli: Some(b"brotli"),
        gzip: Some(b"gzip"),
    };

    fn asked(name: HeaderName, value: &'static str) -> HeaderMap {
        HeaderMap::from_iter([(name, HeaderValue::from_static(value))])
    }

    #[test]
    fn the_smallest_coding_that_is_accepted_is_sent() {
        for (accepted, coding) in [
            ("gzip, deflate, br, zstd", Some("br")),
            ("GZIP;q=0.5", Some("gzip")),
            ("br;q=0, gzip; q=1", Some("gzip")),
            ("br;q=0.0", None),
            ("identity", None),
            ("brotli", None),
        ] {
            let (found, _) = SCRIPT.best(&asked(header::ACCEPT_ENCODING, accepted));
            assert_eq!(found, coding, "{accepted}");
        }
        assert_eq!(SCRIPT.best(&HeaderMap::new()), (None, b"plain".as_slice()));
    }

    #[test]
    fn what_is_known_is_not_sent_again() {
        for (tags, status) in [
            ("W/\"01\"", StatusCode::NOT_MODIFIED),
            ("\"other\", W/\"01\"", StatusCode::NOT_MODIFIED),
            ("*", StatusCode::NOT_MODIFIED),
            ("W/\"02\"", StatusCode::OK),
        ] {
            assert_eq!(SCRIPT.answer(&asked(header::IF_NONE_MATCH, tags)).status(), status, "{tags}");
        }
    }

    #[test]
    fn only_files_whose_names_change_with_their_contents_are_kept_for_ever() {
        let page = File { path: "index.html", ..SCRIPT };
        let caching = |file: File| file.answer(&HeaderMap::new()).headers()[header::CACHE_CONTROL].clone();
        assert_eq!(caching(page), "no-cache");
        assert_eq!(caching(SCRIPT), "public, max-age=31536000, immutable");
    }
}
