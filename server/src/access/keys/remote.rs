//! Keys at a URL: fetched, kept while they are fresh, and kept longer while nobody answers.

use std::sync::Arc;
use std::time::Duration;

use axum::http::{HeaderMap, Method, Request, StatusCode, header};
use bytes::Bytes;
use http_body_util::Full;
use jsonwebtoken::Algorithm;
use tokio::sync::{Notify, watch};
use tokio::time::{Instant, sleep, timeout};
use tracing::{info, warn};

use super::jwk::{self, KeysOfSet};
use super::key::{Key, KeyError};
use crate::access::client::{HttpClient, NoAnswer};
use crate::config::Url;
use crate::limits::{JWKS_BYTES, JWKS_RETRY, JWKS_TIMEOUT, KEYS_KEPT, KEYS_KEPT_USUALLY, REFETCH_PAUSE};

/// A URL with keys.
pub(super) struct Remote {
    url: Url,
    client: HttpClient,
    state: watch::Sender<State>,
    /// Somebody has a token with another key.
    wanted: Notify,
}

#[derive(Default)]
struct State {
    keys: Arc<[Arc<Key>]>,
    /// How often the URL was asked.
    attempts: u64,
    /// How often in a row without success, until now.
    failures: u32,
    last: Option<Instant>,
}

/// Why there are no keys at a URL.
#[derive(Debug, thiserror::Error)]
enum NoKeys {
    #[error(transparent)]
    NoAnswer(#[from] NoAnswer),
    #[error("the answer has the status {0}")]
    Status(StatusCode),
    #[error("the answer is no set of keys: {0}")]
    Malformed(#[from] KeyError),
}

impl Remote {
    pub(super) fn new(url: Url, client: HttpClient) -> Remote {
        Remote { url, client, state: watch::Sender::default(), wanted: Notify::new() }
    }

    /// The keys as they are known.
    pub(super) fn keys(&self) -> Arc<[Arc<Key>]> {
        Arc::clone(&self.state.borrow().keys)
    }

    /// Has the URL asked again, unless it was just now, and waits for that. Gives whether the keys are current.
    pub(super) async fn renewed(&self) -> bool {
        let mut state = self.state.subscribe();
        let (attempts, last) = {
            let state = state.borrow();
            (state.attempts, state.last)
        };
        if last.is_none_or(|last| last.elapsed() >= REFETCH_PAUSE) {
            self.wanted.notify_one();
            let asked = timeout(JWKS_TIMEOUT, state.wait_for(|state| state.attempts > attempts)).await;
            if asked.is_err() {
                return false;
            }
        } else if attempts > 0 {
            // The key may have been added since.
            return false;
        }
        let state = self.state.borrow();
        state.attempts > 0 && state.failures == 0
    }

    /// Asks now, and whenever the keys get old or others are wanted. Does not end.
    pub(super) async fn run(&self) {
        loop {
            let pause = self.fetch().await;
            let wanted = async {
                sleep(REFETCH_PAUSE).await;
                self.wanted.notified().await;
            };
            tokio::select! {
                () = sleep(pause) => {}
                () = wanted => {}
            }
        }
    }

    /// Asks once. Gives the time until it should be asked again.
    pub(super) async fn fetch(&self) -> Duration {
        let fetched = self.get().await;
        let mut pause = Duration::ZERO;
        self.state.send_modify(|state| {
            state.attempts += 1;
            state.last = Some(Instant::now());
            match fetched {
                Ok((keys, fresh_for)) => {
                    if state.failures > 0 || state.attempts == 1 {
                        info!(keys = keys.len(), "the keys of {} are there", self.url);
                    }
                    (state.keys, state.failures, pause) = (keys, 0, fresh_for);
                }
                Err(error) => {
                    if state.failures == 0 {
                        warn!(
                            known = state.keys.len(),
                            "no keys from {}: {error}; it is asked again", self.url
                        );
                    }
                    pause = JWKS_RETRY.1.min(JWKS_RETRY.0 * (1 << state.failures.min(10)));
                    state.failures = state.failures.saturating_add(1);
                }
            }
        });
        pause
    }

    async fn get(&self) -> Result<(Arc<[Arc<Key>]>, Duration), NoKeys> {
        let mut request = Request::new(Full::<Bytes>::default());
        *request.method_mut() = Method::GET;
        *request.uri_mut() = self.url.reveal().clone();
        request.headers_mut().insert(header::ACCEPT, header::HeaderValue::from_static("application/json"));
        let answer = self.client.send(request, JWKS_BYTES, JWKS_TIMEOUT).await?;
        if answer.status != StatusCode::OK {
            return Err(NoKeys::Status(answer.status));
        }
        let KeysOfSet { keys, .. } = jwk::keys(&answer.body)?;
        // A secret at a URL is none.
        let public = keys.into_iter().filter(|key| key.algorithm() != Algorithm::HS256);
        Ok((public.map(Arc::new).collect(), fresh_for(&answer.headers)))
    }
}

/// How long an answer is fresh, within our bounds: `Cache-Control: max-age=600`.
fn fresh_for(headers: &HeaderMap) -> Duration {
    let values = headers.get_all(header::CACHE_CONTROL).into_iter().filter_map(|value| value.to_str().ok());
    let ages = values.flat_map(|value| value.split(',')).filter_map(|directive| {
        let (name, seconds) = directive.trim().split_once('=')?;
        let seconds =
            name.eq_ignore_ascii_case("max-age").then(|| seconds.trim_matches('"').parse().ok())??;
        Some(Duration::from_secs(seconds))
    });
    ages.min().map_or(KEYS_KEPT_USUALLY, |age| age.clamp(KEYS_KEPT.0, KEYS_KEPT.1))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_are_kept_as_long_as_their_server_says_within_bounds() {
        for (value, seconds) in [
            ("max-age=600", 600),
            ("public, Max-Age=\"7200\", immutable", 7200),
            ("max-age=0", 60),
            ("max-age=99999999", 86_400),
            ("no-store", 600),
            ("max-age=soon", 600),
            ("max-age=-1", 600),
        ] {
            let headers = HeaderMap::from_iter([(header::CACHE_CONTROL, value.parse().unwrap())]);
            assert_eq!(fresh_for(&headers).as_secs(), seconds, "{value}");
        }
        assert_eq!(fresh_for(&HeaderMap::new()).as_secs(), 600);
    }
}
