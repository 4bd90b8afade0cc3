//! Who may do what: the table `[access]` of the configuration.

use std::path::PathBuf;

use clap::Args;
use serde::Deserialize;

use super::keys::KeySource;
use super::values::{Interval, Span, Switch, one_or_more, trimmed};
use super::{Secret, Url, defaults};

/// Where grants come from.
#[derive(Args, Debug, Clone, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(crate) struct AccessConfig {
    /// The secret of tokens (JWT) that are signed with HS256, at least 32 bytes
    #[arg(long = "access-secret", id = "access_secret", value_name = "SECRET", hide_env_values = true)]
    pub(crate) secret: Option<Secret>,
    /// A file with this secret, as Docker and systemd provide it. Whitespace at its end is ignored
    #[arg(long = "access-secret-file", id = "access_secret_file", value_name = "FILE")]
    pub(crate) secret_file: Option<PathBuf>,
    /// Public keys of tokens (JWT): PEM files, JWKS files, URLs of a JWKS. `KID=FILE` gives the key of a PEM file an id
    #[arg(long = "access-keys", id = "access_keys", value_name = "KEYS,…", value_delimiter = ',')]
    #[arg(hide_env_values = true)]
    #[arg(value_parser = trimmed::<KeySource>)]
    #[serde(deserialize_with = "one_or_more")]
    pub(crate) keys: Vec<KeySource>,
    /// Accepted issuers of tokens (`iss`). If none is given, the issuer is not checked
    #[arg(long = "access-issuer", id = "access_issuer", value_name = "NAME,…", value_delimiter = ',')]
    #[arg(value_parser = trimmed::<String>)]
    #[serde(deserialize_with = "one_or_more")]
    pub(crate) issuer: Vec<String>,
    /// Accepted audiences of tokens (`aud`), one of which a token must name. `[]` in the file accepts tokens for any audience
    #[arg(long = "access-audience", id = "access_audience", value_name = "NAME,…", value_delimiter = ',')]
    #[arg(default_value = "coscribe")]
    #[arg(value_parser = trimmed::<String>)]
    #[serde(deserialize_with = "one_or_more")]
    pub(crate) audience: Vec<String>,
    /// How far apart the clocks of this server and of the issuer of tokens may be (clock skew)
    #[arg(long = "access-leeway", id = "access_leeway", value_name = "TIME", default_value = "10s")]
    pub(crate) leeway: Span,
    /// The claim with the application's user id. A name such as `/app/user` is a JSON pointer into nested claims
    #[arg(
        long = "access-subject-claim",
        id = "access_subject_claim",
        value_name = "CLAIM",
        default_value = "sub"
    )]
    pub(crate) subject_claim: String,
    /// The claim with the name that people see
    #[arg(
        long = "access-name-claim",
        id = "access_name_claim",
        value_name = "CLAIM",
        default_value = "name"
    )]
    pub(crate) name_claim: String,
    /// The claim with the documents that may be read: a pattern, or a list of patterns
    #[arg(
        long = "access-read-claim",
        id = "access_read_claim",
        value_name = "CLAIM",
        default_value = "read"
    )]
    pub(crate) read_claim: String,
    /// The claim with the documents that may be read and written
    #[arg(
        long = "access-write-claim",
        id = "access_write_claim",
        value_name = "CLAIM",
        default_value = "write"
    )]
    pub(crate) write_claim: String,
    /// The URL parameter that may carry a token
    #[arg(
        long = "access-token-parameter",
        id = "access_token_parameter",
        value_name = "NAME",
        default_value = "token"
    )]
    pub(crate) token_parameter: String,
    /// The cookie that may carry a token. If none is given, cookies are not looked at
    #[arg(long = "access-token-cookie", id = "access_token_cookie", value_name = "NAME")]
    pub(crate) token_cookie: Option<String>,
    /// The application's URL that decides who may do what (an authorization webhook). It is asked with POST
    #[arg(long = "access-ask", id = "access_ask", value_name = "URL", hide_env_values = true)]
    pub(crate) ask: Option<Url>,
    /// A secret that the application gets as `Authorization: Bearer`, which shows that this server asks
    #[arg(
        long = "access-ask-secret",
        id = "access_ask_secret",
        value_name = "SECRET",
        hide_env_values = true
    )]
    pub(crate) ask_secret: Option<Secret>,
    /// A file with this secret
    #[arg(long = "access-ask-secret-file", id = "access_ask_secret_file", value_name = "FILE")]
    pub(crate) ask_secret_file: Option<PathBuf>,
    /// Headers of a client's request that are passed on to the application
    #[arg(
        long = "access-ask-headers",
        id = "access_ask_headers",
        value_name = "NAME,…",
        value_delimiter = ','
    )]
    #[arg(value_parser = trimmed::<String>)]
    #[serde(deserialize_with = "one_or_more")]
    pub(crate) ask_headers: Vec<String>,
    /// Cookies of a client's request that are passed on to the application
    #[arg(
        long = "access-ask-cookies",
        id = "access_ask_cookies",
        value_name = "NAME,…",
        value_delimiter = ','
    )]
    #[arg(value_parser = trimmed::<String>)]
    #[serde(deserialize_with = "one_or_more")]
    pub(crate) ask_cookies: Vec<String>,
    /// How long the application may take to answer, with all tries
    #[arg(long = "access-ask-timeout", id = "access_ask_timeout", value_name = "TIME", default_value = "5s")]
    pub(crate) ask_timeout: Interval,
    /// How long an answer holds for others with the same credentials, unless the answer says so itself
    #[arg(long = "access-ask-cache", id = "access_ask_cache", value_name = "TIME", default_value = "30s")]
    pub(crate) ask_cache: Span,
    /// Certificates (PEM) that are trusted besides the usual ones, for the URLs above
    #[arg(long = "access-ca", id = "access_ca", value_name = "FILE")]
    pub(crate) ca: Option<PathBuf>,
    /// Whether the URLs above may be `http://` on other machines: on or off. Anybody on the way can then read tokens or
    /// replace keys
    #[arg(
        long = "access-allow-http",
        id = "access_allow_http",
        value_name = "on|off",
        default_value = "off"
    )]
    #[arg(hide_possible_values = true)]
    pub(crate) allow_http: Switch,
    /// How long before a grant ends Hocuspocus' providers are asked for a new token
    #[arg(
        long = "access-renew-before",
        id = "access_renew_before",
        value_name = "TIME",
        default_value = "1m"
    )]
    pub(crate) renew_before: Span,
}

impl AccessConfig {
    /// What is set and has no effect, or more than is likely to be meant.
    pub(crate) fn warnings(&self) -> Vec<&'static str> {
        let has_keys = self.secret.is_some() || self.secret_file.is_some() || !self.keys.is_empty();
        let is_told_something = self.ask_secret.is_some()
            || self.ask_secret_file.is_some()
            || !self.ask_headers.is_empty()
            || !self.ask_cookies.is_empty();
        let warnings = [
            (
                self.ask.is_none() && is_told_something,
                "access.ask_secret, ask_headers and ask_cookies have no effect without access.ask",
            ),
            (
                !has_keys && !self.issuer.is_empty(),
                "access.issuer has no effect without access.secret or access.keys",
            ),
            (
                has_keys && self.audience.is_empty(),
                "access.audience is empty: tokens that were issued for other services are accepted",
            ),
            (
                self.audience.iter().any(|name| name == "[]"),
                "access.audience is the name \"[]\": only the configuration file can give an empty list",
            ),
        ];
        warnings.into_iter().filter_map(|(holds, words)| holds.then_some(words)).collect()
    }
}

impl Default for AccessConfig {
    /// The defaults of all values.
    fn default() -> AccessConfig {
        defaults()
    }
}
