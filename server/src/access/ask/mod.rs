//! Asks the application who may do what.
//!
//! One question is asked once: everybody with the same credentials who wants the same document waits for one answer, and gets
//! it for as long as it holds. An answer that does not come, or is none, denies.

mod answer;
mod cache;
#[cfg(test)]
mod tests;

use std::collections::HashMap;
use std::net::IpAddr;
use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use std::time::{Duration, SystemTime};

use axum::http::{HeaderValue, Method, Request, header};
use bytes::Bytes;
use coscribe_persistence::DocumentName;
use coscribe_websocket::awake;
use http_body_util::Full;
use tokio::sync::{Semaphore, watch};
use tokio::time::{Instant, sleep};
use tracing::{info, warn};

use self::answer::{Decided, NoDecision};
pub(crate) use self::cache::Scope;
use self::cache::{Cache, CacheKey, Decision};
use super::client::{HttpClient, NoAnswer};
use super::credentials::Credentials;
use super::grant::Denied;
use crate::config::{AccessConfig, Secret, Url, network_of, shown};
use crate::limits::{
    ANSWER_BYTES, ASK_PAUSE, ASK_WAITING, ASKED_AT_ONCE, ASKED_FOR_ADDRESS, CACHED_ANSWERS, CACHED_AT_MOST,
    DENIAL_CACHED_AT_MOST,
};

/// Asks the application.
#[derive(Clone)]
pub(crate) struct Ask(Arc<Inner>);

/// What is asked.
#[derive(Debug, Clone)]
pub(crate) struct Question {
    /// Who wants something.
    pub(crate) credentials: Credentials,
    /// The document that is wanted.
    pub(crate) document: DocumentName,
    /// How the client speaks.
    pub(crate) dialect: &'static str,
    /// The client's address.
    pub(crate) address: IpAddr,
}

/// Why the application cannot be asked.
#[derive(Debug, thiserror::Error)]
pub(crate) enum AskError {
    /// Credentials would go over a network in the clear.
    #[error("access.ask: {0} is not https://; access.allow_http = \"on\" accepts that")]
    Clear(String),
    /// Both are given.
    #[error("access.ask_secret and access.ask_secret_file are both given")]
    TwoSecrets,
    /// The secret's file cannot be read.
    #[error("access.ask_secret_file: cannot read {}: {error}", path.display())]
    Unreadable {
        /// The file.
        path: PathBuf,
        /// Why not.
        error: std::io::Error,
    },
    /// The secret cannot stand in a header.
    #[error("access.ask_secret has characters that cannot stand in a header")]
    Characters,
}

struct Inner {
    client: HttpClient,
    url: Url,
    authorization: Option<HeaderValue>,
    timeout: Duration,
    holds: Duration,
    turns: Semaphore,
    asked: Mutex<Asked>,
    /// Whether the last question got an answer, so that an outage is one line in the log.
    is_up: AtomicBool,
}

struct Asked {
    cache: Cache,
    /// Questions without an answer yet. A number tells apart a question and its successor after [`Ask::forget`].
    open: HashMap<CacheKey, (u64, watch::Receiver<Option<Decision>>)>,
    next: u64,
    /// The turns of each address about which something is being asked: none takes all.
    by_address: HashMap<IpAddr, Weak<Semaphore>>,
}

impl Ask {
    /// Asks at the URL of the configuration, if there is one.
    ///
    /// # Errors
    /// If it cannot be asked safely.
    pub(crate) fn new(config: &AccessConfig, client: &HttpClient) -> Result<Option<Ask>, AskError> {
        let Some(url) = &config.ask else { return Ok(None) };
        if !url.is_private() && !config.allow_http.is_on() {
            return Err(AskError::Clear(url.to_string()));
        }
        let asked = Asked {
            cache: Cache::new(CACHED_ANSWERS),
            open: HashMap::new(),
            next: 0,
            by_address: HashMap::new(),
        };
        Ok(Some(Ask(Arc::new(Inner {
            client: client.clone(),
            url: url.clone(),
            authorization: authorization(config)?,
            timeout: config.ask_timeout.get(),
            holds: config.ask_cache.get(),
            turns: Semaphore::new(ASKED_AT_ONCE),
            asked: Mutex::new(asked),
            is_up: AtomicBool::new(true),
        }))))
    }

    /// What somebody may do with a document, as the application says or said a moment ago. It takes at most `access.ask_timeout`.
    ///
    /// # Errors
    /// If nothing, or there is no answer.
    pub(crate) async fn decide(&self, question: Question) -> Decision {
        let mut answer = match self.open(question) {
            Ok(answer) => answer,
            Err(decision) => return decision,
        };
        // A task that failed has dropped the sender.
        let decision = answer.wait_for(Option::is_some).await;
        decision.ok().and_then(|decision| decision.clone()).unwrap_or(Err(Denied::Unavailable))
    }

    /// Forgets answers, also those that are on their way: who asks from now on gets a new one.
    pub(crate) fn forget(&self, scope: &Scope) {
        let mut asked = self.0.lock();
        asked.cache.forget(scope);
        asked.open.retain(|key, _| !scope.has(&key.document, None));
    }

    /// The open question that is the same, or a new one on a task of its own. A decision that is there already is the error.
    fn open(&self, question: Question) -> Result<watch::Receiver<Option<Decision>>, Decision> {
        let key =
            CacheKey { credentials: question.credentials.digest(), document: question.document.clone() };
        let mut asked = self.0.lock();
        if let Some(decision) = asked.cache.get(&key, Instant::now()) {
            return Err(decision);
        }
        if let Some((_, answer)) = asked.open.get(&key) {
            return Ok(answer.clone());
        }
        if asked.open.len() >= ASK_WAITING {
            return Err(Err(Denied::Unavailable));
        }
        let (sender, answer) = watch::channel(None);
        let number = asked.next;
        asked.next += 1;
        asked.open.insert(key.clone(), (number, answer.clone()));
        let turns = asked.turns_of(network_of(question.address));
        let closing = Closing { inner: Arc::clone(&self.0), key, number };
        tokio::spawn(async move {
            let decided = closing.inner.ask(&question, &turns).await;
            let decision = closing.close(decided);
            // Nobody may wait any more.
            sender.send_replace(Some(decision));
        });
        Ok(answer)
    }
}

/// An open question. It leaves the table when its task ends, in whatever way.
struct Closing {
    inner: Arc<Inner>,
    key: CacheKey,
    number: u64,
}

impl Closing {
    /// Keeps a decision for others, unless it was forgotten before it came.
    fn close(self, decided: Option<Decided>) -> Decision {
        let Some(Decided { decision, holds }) = decided else { return Err(Denied::Unavailable) };
        let now = Instant::now();
        let holds = holds.unwrap_or(self.inner.holds).min(match &decision {
            Ok(_) => CACHED_AT_MOST,
            Err(_) => DENIAL_CACHED_AT_MOST,
        });
        let ends = decision.as_ref().ok().and_then(|grant| grant.expires);
        let ends = ends.map(|ends| ends.duration_since(SystemTime::now()).unwrap_or_default());
        let holds = ends.map_or(holds, |ends| ends.min(holds));
        let mut asked = self.inner.lock();
        let is_current = asked.open.get(&self.key).is_some_and(|(number, _)| *number == self.number);
        if is_current && !holds.is_zero() {
            asked.cache.insert(self.key.clone(), decision.clone(), now + holds);
        }
        decision
    }
}

impl Drop for Closing {
    fn drop(&mut self) {
        let mut asked = self.inner.lock();
        if asked.open.get(&self.key).is_some_and(|(number, _)| *number == self.number) {
            asked.open.remove(&self.key);
        }
    }
}

impl Asked {
    /// The turns that an address has.
    fn turns_of(&mut self, address: IpAddr) -> Arc<Semaphore> {
        if let Some(turns) = self.by_address.get(&address).and_then(Weak::upgrade) {
            return turns;
        }
        // There are no more in use than questions are open.
        self.by_address.retain(|_, turns| turns.strong_count() > 0);
        let turns = Arc::new(Semaphore::new(ASKED_FOR_ADDRESS));
        self.by_address.insert(address, Arc::downgrade(&turns));
        turns
    }
}

impl Inner {
    fn lock(&self) -> MutexGuard<'_, Asked> {
        self.asked.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Asks until there is an answer, or the time is over. None is logged once until there is one again.
    async fn ask(&self, question: &Question, turns_of_address: &Semaphore) -> Option<Decided> {
        let mut last = None;
        let asked = async {
            let _turn = turns_of_address.acquire().await.ok()?;
            self.ask_again(question, &mut last).await
        };
        let decided = awake::within(self.timeout, asked).await;
        if let Some(Some(decided)) = decided {
            if !self.is_up.swap(true, Ordering::Relaxed) {
                info!("the application at {} answers again", self.url);
            }
            return Some(decided);
        }
        if self.is_up.swap(false, Ordering::Relaxed) {
            let reason = last.map_or_else(|| "it takes too long".to_owned(), |last| last.to_string());
            warn!("access cannot be checked at {}: {reason}", self.url);
        }
        None
    }

    /// Asks again after each failure that may pass. None if it will not.
    async fn ask_again(&self, question: &Question, last: &mut Option<Failure>) -> Option<Decided> {
        let _turn = self.turns.acquire().await.ok()?;
        let body = Bytes::from(answer::encode(question));
        let mut pause = ASK_PAUSE;
        loop {
            let failure = match self.ask_once(body.clone(), question).await {
                Ok(decided) => return Some(decided),
                Err(failure) => last.insert(failure),
            };
            if !failure.may_pass() {
                return None;
            }
            sleep(pause).await;
            pause *= 2;
        }
    }

    /// Asks once, for half of the time: one slow machine among several of the application is no reason to deny.
    async fn ask_once(&self, body: Bytes, question: &Question) -> Result<Decided, Failure> {
        let mut request = Request::new(Full::new(body));
        *request.method_mut() = Method::POST;
        *request.uri_mut() = self.url.reveal().clone();
        let json = HeaderValue::from_static("application/json");
        request.headers_mut().insert(header::CONTENT_TYPE, json.clone());
        request.headers_mut().insert(header::ACCEPT, json);
        if let Some(authorization) = &self.authorization {
            request.headers_mut().insert(header::AUTHORIZATION, authorization.clone());
        }
        let answer = self.client.send(request, ANSWER_BYTES, self.timeout / 2).await?;
        Ok(answer::decide(&answer, question, SystemTime::now())?)
    }
}

/// Why a question has no answer.
#[derive(Debug, thiserror::Error)]
enum Failure {
    #[error(transparent)]
    NoAnswer(#[from] NoAnswer),
    #[error(transparent)]
    NoDecision(#[from] NoDecision),
}

impl Failure {
    /// Whether it makes sense to ask again.
    fn may_pass(&self) -> bool {
        matches!(
            self,
            Failure::NoAnswer(NoAnswer::Broken(_) | NoAnswer::Slow(_))
                | Failure::NoDecision(NoDecision::NotNow(_))
        )
    }
}

fn authorization(config: &AccessConfig) -> Result<Option<HeaderValue>, AskError> {
    let secret = match (&config.ask_secret, &config.ask_secret_file) {
        (Some(_), Some(_)) => return Err(AskError::TwoSecrets),
        (None, None) => return Ok(None),
        (Some(secret), None) => secret.clone(),
        (None, Some(path)) => {
            Secret::read(path).map_err(|error| AskError::Unreadable { path: shown(path), error })?
        }
    };
    let header = HeaderValue::try_from(format!("Bearer {}", secret.reveal()));
    let mut header = header.map_err(|_| AskError::Characters)?;
    header.set_sensitive(true);
    Ok(Some(header))
}
