//! Variables of the environment whose names begin as those of settings do, and that are none.

use std::env;

use clap::{Args, Command};
use tracing::{info, warn};

use super::mistake::nearest;
use super::{ServeArgs, variable};

/// How variables of settings begin.
const PREFIX: &str = "COSCRIBE_";

/// Variables that are no settings.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Unknown {
    /// Mistyped ones, with the setting that is likely to be meant.
    mistyped: Vec<(String, String)>,
    /// All others: perhaps they belong to scripts around the server.
    others: Vec<String>,
}

impl Unknown {
    /// Those of this process.
    pub(crate) fn here() -> Unknown {
        // Names and values that are not UTF-8 are none of ours.
        let text = |(name, value): (std::ffi::OsString, std::ffi::OsString)| {
            Some((name.into_string().ok()?, value.into_string().unwrap_or_default()))
        };
        Unknown::among(env::vars_os().filter_map(text))
    }

    fn among(variables: impl Iterator<Item = (String, String)>) -> Unknown {
        let command = ServeArgs::augment_args(Command::new("serve"));
        let known: Vec<String> = command.get_arguments().map(|arg| variable(arg.get_id().as_str())).collect();
        let mut unknown = Unknown::default();
        for (name, value) in variables {
            let Some(end) = name.strip_prefix(PREFIX) else { continue };
            if known.contains(&name) || is_of_a_service(end, &value) {
                continue;
            }
            let ends = known.iter().filter_map(|known| known.strip_prefix(PREFIX));
            match nearest(ends, end) {
                Some(meant) => unknown.mistyped.push((name, format!("{PREFIX}{meant}"))),
                None => unknown.others.push(name),
            }
        }
        unknown.others.sort();
        unknown
    }

    /// Warns of those that are likely to be mistakes.
    pub(crate) fn warn(&self) {
        for (name, meant) in &self.mistyped {
            warn!("{name} is not a setting and has no effect; did you mean {meant}?");
        }
    }

    /// Mentions all others.
    pub(crate) fn mention(&self) {
        if !self.others.is_empty() {
            info!("variables that are not settings have no effect: {}", self.others.join(", "));
        }
    }
}

/// Whether Kubernetes made a variable, for a service with a name like `coscribe`: `COSCRIBE_SERVICE_HOST`, and
/// `COSCRIBE_PORT=tcp://…`. <https://kubernetes.io/docs/concepts/services-networking/service/#environment-variables>
fn is_of_a_service(end: &str, value: &str) -> bool {
    let is_port = |end: &str| end == "PORT" || end.ends_with("_PORT");
    let is_protocol = |part: &str| matches!(part, "TCP" | "UDP" | "SCTP");
    format!("_{end}").contains("_SERVICE_HOST")
        || format!("_{end}").contains("_SERVICE_PORT")
        || is_port(end) && value.contains("://")
        || end.contains("PORT_") && end.split('_').any(is_protocol)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn among(variables: &[(&str, &str)]) -> Unknown {
        Unknown::among(variables.iter().map(|&(name, value)| (name.to_owned(), value.to_owned())))
    }

    #[test]
    fn a_mistyped_variable_is_told_apart_from_those_of_others() {
        for (name, meant) in [
            ("COSCRIBE_GRACEE", "COSCRIBE_GRACE"),
            ("COSCRIBE_ORIGIN", "COSCRIBE_ORIGINS"),
            ("COSCRIBE_MAX_ROOM", "COSCRIBE_MAX_ROOMS"),
            ("COSCRIBE_ACCESS_SECRETS_FILE", "COSCRIBE_ACCESS_SECRET_FILE"),
        ] {
            assert_eq!(among(&[(name, "x")]).mistyped, [(name.to_owned(), meant.to_owned())]);
        }
        for name in ["COSCRIBE_BIN", "COSCRIBE_CORPORA", "COSCRIBE_REQUIRE_PROXIES", "COSCRIBE_PORT"] {
            assert_eq!(among(&[(name, "8080")]).others, [name]);
        }
    }

    #[test]
    fn settings_and_what_kubernetes_makes_for_a_service_are_not_mentioned() {
        let variables = [
            ("COSCRIBE_GRACE", "1s"),
            ("COSCRIBE_CONFIG", "a.toml"),
            ("COSCRIBE_SERVICE_HOST", "10.0.0.11"),
            ("COSCRIBE_SERVICE_PORT", "1234"),
            ("COSCRIBE_SERVICE_PORT_HTTP", "1234"),
            ("COSCRIBE_PORT", "tcp://10.0.0.11:1234"),
            ("COSCRIBE_PORT_1234_TCP", "tcp://10.0.0.11:1234"),
            ("COSCRIBE_PORT_1234_TCP_ADDR", "10.0.0.11"),
            ("COSCRIBE_ADMIN_SERVICE_HOST", "10.0.0.12"),
            ("PATH", "/bin"),
        ];
        assert_eq!(among(&variables), Unknown::default());
    }
}
