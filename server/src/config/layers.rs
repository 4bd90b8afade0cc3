//! Where values come from: defaults < file (`--config`, TOML) < environment (`COSCRIBE_*`) < flags.
//!
//! Each value is checked where it is read, so that an error can name the flag, the variable or the line of the file.

use std::fs;
use std::path::{Path, PathBuf};

use clap::parser::ValueSource;
use clap::{Arg, ArgMatches, Args, Command, FromArgMatches};
use tracing_subscriber::filter::LevelFilter;

use super::{AccessConfig, Config, ConfigError, Listen, Pattern, parse, shown};
use crate::observe::logs::LogFormat;

/// The flags and variables of `coscribe serve`: any value.
#[derive(Debug)]
pub(crate) struct ServeArgs {
    /// Without the defaults: these are below the file.
    given: ArgMatches,
}

/// The flags and variables of the commands that work on stored documents: where these are, and how to treat them.
#[derive(Debug)]
pub(crate) struct StoreArgs {
    given: ArgMatches,
}

/// The flags and variables of the commands that sign and explain tokens: the table `[access]`.
#[derive(Debug)]
pub(crate) struct AccessArgs {
    /// Without the defaults: these are below the file.
    given: ArgMatches,
}

/// The flags and variables of the command that asks a running server: where that listens.
#[derive(Debug)]
pub(crate) struct ListenArgs {
    given: ArgMatches,
}

/// The flag that names the file.
#[derive(Args, Debug)]
struct FileArg {
    /// A TOML file with settings. Its keys are the names of the flags, with `_` for `-`; those of `--access-…` are in the
    /// table `[access]`, where `--access-ask` is `ask`
    #[arg(long, value_name = "FILE")]
    config: Option<PathBuf>,
}

impl ServeArgs {
    /// Puts the layers together.
    pub(crate) fn resolve(self) -> Result<Config, ConfigError> {
        let mut config = read_file(&self.given)?;
        config.update_from_arg_matches(&self.given).expect("all values are among the arguments");
        Ok(config)
    }
}

impl StoreArgs {
    /// The arguments of [`ServeArgs`] that these commands have as well.
    const IDS: [&str; 5] = ["config", "data", "log", "log_format", "keep_deleted"];

    /// Puts the layers together.
    pub(crate) fn resolve(self) -> Result<Config, ConfigError> {
        let mut config = read_file(&self.given)?;
        if let Some(data) = self.given.get_one::<PathBuf>("data") {
            config.data.clone_from(data);
        }
        if let Some(&log) = self.given.get_one::<LevelFilter>("log") {
            config.log = log;
        }
        if let Some(&format) = self.given.get_one::<LogFormat>("log_format") {
            config.log_format = format;
        }
        if let Some(patterns) = self.given.get_many::<Pattern>("keep_deleted") {
            config.keep_deleted = patterns.cloned().collect();
        }
        Ok(config)
    }
}

impl AccessArgs {
    /// Puts the layers together.
    pub(crate) fn resolve(self) -> Result<Config, ConfigError> {
        let mut config = read_file(&self.given)?;
        config
            .access
            .update_from_arg_matches(&self.given)
            .expect("all of its values are among the arguments");
        Ok(config)
    }
}

impl ListenArgs {
    /// The arguments of [`ServeArgs`] that this command has as well.
    const IDS: [&str; 3] = ["config", "listen", "admin_listen"];

    /// Puts the layers together: the listener for those who run the server, if there is one, or that for everybody.
    pub(crate) fn resolve(self) -> Result<Listen, ConfigError> {
        let file = read_file(&self.given)?;
        let given = |id| self.given.get_one::<Listen>(id).cloned();
        Ok(given("admin_listen").or(file.admin_listen).or(given("listen")).unwrap_or(file.listen))
    }
}

/// The environment variable for a flag or a key.
pub(crate) fn variable(name: &str) -> String {
    format!("COSCRIBE_{}", name.trim_start_matches("--").replace('-', "_").to_uppercase())
}

/// Whether a flag's value may be a secret.
pub(crate) fn is_hidden(flag: &str) -> bool {
    let command = ServeArgs::augment_args(Command::new("serve"));
    let is_hidden = |arg: &Arg| arg.get_long() == flag.strip_prefix("--") && arg.is_hide_env_values_set();
    command.get_arguments().any(is_hidden)
}

fn with_variable(arg: Arg) -> Arg {
    let variable = variable(arg.get_id().as_str());
    arg.env(variable)
}

/// The values of the file, if there is one, over the defaults.
fn read_file(given: &ArgMatches) -> Result<Config, ConfigError> {
    match given.get_one::<PathBuf>("config") {
        Some(path) => parse_file(path),
        None => Ok(Config::default()),
    }
}

fn parse_file(path: &Path) -> Result<Config, ConfigError> {
    let text =
        fs::read_to_string(path).map_err(|error| ConfigError::Unreadable { path: shown(path), error })?;
    parse(&text).map_err(|mistake| ConfigError::Wrong { path: shown(path), mistake })
}

/// The arguments that were given, without the defaults that clap has put among them.
fn without_defaults(matches: &ArgMatches) -> ArgMatches {
    let mut given = matches.clone();
    for id in matches.ids().map(clap::Id::as_str) {
        if matches.value_source(id) == Some(ValueSource::DefaultValue) {
            // Only an unknown id is an error.
            let _ = given.try_clear_id(id);
        }
    }
    given
}

impl Args for ServeArgs {
    fn augment_args(command: Command) -> Command {
        Config::augment_args(FileArg::augment_args(command)).mut_args(with_variable)
    }

    fn augment_args_for_update(command: Command) -> Command {
        ServeArgs::augment_args(command)
    }
}

impl FromArgMatches for ServeArgs {
    fn from_arg_matches(matches: &ArgMatches) -> Result<ServeArgs, clap::Error> {
        Ok(ServeArgs { given: without_defaults(matches) })
    }

    fn update_from_arg_matches(&mut self, matches: &ArgMatches) -> Result<(), clap::Error> {
        *self = ServeArgs::from_arg_matches(matches)?;
        Ok(())
    }
}

/// Gives a command some of the arguments of [`ServeArgs`].
fn augment_with(command: Command, ids: &[&str]) -> Command {
    let all = ServeArgs::augment_args(Command::new("serve"));
    let these = all.get_arguments().filter(|arg| ids.contains(&arg.get_id().as_str()));
    command.args(these.cloned())
}

impl Args for StoreArgs {
    fn augment_args(command: Command) -> Command {
        // The name of a document may follow.
        augment_with(command, &StoreArgs::IDS).mut_arg("keep_deleted", |arg| arg.require_equals(true))
    }

    fn augment_args_for_update(command: Command) -> Command {
        StoreArgs::augment_args(command)
    }
}

impl FromArgMatches for StoreArgs {
    fn from_arg_matches(matches: &ArgMatches) -> Result<StoreArgs, clap::Error> {
        Ok(StoreArgs { given: without_defaults(matches) })
    }

    fn update_from_arg_matches(&mut self, matches: &ArgMatches) -> Result<(), clap::Error> {
        *self = StoreArgs::from_arg_matches(matches)?;
        Ok(())
    }
}

impl Args for AccessArgs {
    fn augment_args(command: Command) -> Command {
        let all =
            AccessConfig::augment_args(FileArg::augment_args(Command::new("token"))).mut_args(with_variable);
        // Below those of the command itself.
        command.args(all.get_arguments().cloned().map(|arg| arg.help_heading("Access")))
    }

    fn augment_args_for_update(command: Command) -> Command {
        AccessArgs::augment_args(command)
    }
}

impl FromArgMatches for AccessArgs {
    fn from_arg_matches(matches: &ArgMatches) -> Result<AccessArgs, clap::Error> {
        Ok(AccessArgs { given: without_defaults(matches) })
    }

    fn update_from_arg_matches(&mut self, matches: &ArgMatches) -> Result<(), clap::Error> {
        *self = AccessArgs::from_arg_matches(matches)?;
        Ok(())
    }
}

impl Args for ListenArgs {
    fn augment_args(command: Command) -> Command {
        augment_with(command, &ListenArgs::IDS)
    }

    fn augment_args_for_update(command: Command) -> Command {
        ListenArgs::augment_args(command)
    }
}

impl FromArgMatches for ListenArgs {
    fn from_arg_matches(matches: &ArgMatches) -> Result<ListenArgs, clap::Error> {
        Ok(ListenArgs { given: without_defaults(matches) })
    }

    fn update_from_arg_matches(&mut self, matches: &ArgMatches) -> Result<(), clap::Error> {
        *self = ListenArgs::from_arg_matches(matches)?;
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use clap::Parser;
    use coscribe_persistence::DocumentName;

    use super::*;

    #[derive(Parser)]
    struct Serve {
        #[command(flatten)]
        args: ServeArgs,
    }

    #[derive(Parser)]
    struct Other {
        #[command(flatten)]
        args: StoreArgs,
    }

    /// A file with this text, which is kept as long as the directory.
    fn file(text: &str) -> (tempfile::TempDir, String) {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("coscribe.toml");
        fs::write(&path, text).unwrap();
        (dir, format!("--config={}", path.display()))
    }

    #[test]
    fn a_flag_wins_over_the_file_and_defaults_fill_the_rest() {
        let (_dir, config) = file("grace = \"1s\"\noutbox_bytes = 4096\nlisten = \"[::1]:80\"\ndata = \"d\"");
        // Also a flag with the value of the default.
        let flags = ["coscribe", &config, "--grace", "250ms", "--outbox-bytes", "1MiB"];
        let config = Serve::try_parse_from(flags).unwrap().args.resolve().unwrap();
        assert_eq!(config.grace.get(), Duration::from_millis(250));
        assert_eq!(config.outbox_bytes.get(), 1 << 20);
        assert_eq!(config.listen.port(), 80);
        assert_eq!(config.data, Path::new("d"));
        assert_eq!(config.max_rooms.get(), 100_000);
    }

    #[test]
    fn a_command_on_stored_documents_reads_the_same_file_and_has_some_of_the_flags() {
        let (_dir, config) = file("data = \"d\"\nlog = \"warn\"\nkeep_deleted = [\"a\"]\ngrace = \"1s\"");
        let resolve = |flags: &[&str]| {
            let flags = ["coscribe", &config].into_iter().chain(flags.iter().copied());
            Other::try_parse_from(flags).map(|other| other.args.resolve().unwrap())
        };
        let keeps = |config: &Config, name| config.keeps_deleted(&DocumentName::new(name).unwrap());
        let from_file = resolve(&[]).unwrap();
        assert_eq!((from_file.data.as_path(), from_file.log), (Path::new("d"), LevelFilter::WARN));
        assert!(keeps(&from_file, "a") && !keeps(&from_file, "b"));
        let from_flags = resolve(&["--data", "e", "--log=debug", "--keep-deleted=b"]).unwrap();
        assert_eq!((from_flags.data.as_path(), from_flags.log), (Path::new("e"), LevelFilter::DEBUG));
        assert!(keeps(&from_flags, "b") && !keeps(&from_flags, "a"));
        assert!(resolve(&["--grace", "1s"]).is_err());
    }

    #[test]
    fn access_is_a_table_of_the_file_and_a_prefix_of_flags() {
        let (_dir, config) =
            file("[access]\nask = \"https://a.example\"\nleeway = \"3s\"\naudience = [\"b\", \"c\"]");
        let flags =
            ["coscribe", &config, "--access-ask", "https://d.example/", "--access-keys", "e.pem, f=g.pem"];
        let access = Serve::try_parse_from(flags).unwrap().args.resolve().unwrap().access;
        assert_eq!(access.ask.unwrap().to_string(), "https://d.example/");
        assert_eq!((access.leeway.get(), access.keys.len()), (Duration::from_secs(3), 2));
        assert_eq!((access.audience, &*access.name_claim), (vec!["b".to_owned(), "c".to_owned()], "name"));
        assert_eq!(Config::default().access.audience, ["coscribe"]);
        let wrong = Serve::try_parse_from(["coscribe", "--access-leeway", "long"]).err().unwrap();
        assert!(wrong.to_string().contains("--access-leeway"), "{wrong}");
    }

    #[test]
    fn deleted_content_is_kept_of_all_documents_or_of_some() {
        let (_dir, config) = file("keep_deleted = [\"from/the/file\"]");
        for (flags, kept, others) in [
            ("", &["from/the/file"][..], &["a"][..]),
            ("--keep-deleted", &["a", "a/b", "from/the/file"], &[]),
            ("--keep-deleted --grace 1s", &["a", "a/b"], &[]),
            ("--keep-deleted a,b/*", &["a", "b/c"], &["b", "from/the/file"]),
            ("--keep-deleted a --keep-deleted b/*", &["a", "b/c"], &["b", "from/the/file"]),
        ] {
            let given = ["coscribe", &config].into_iter().chain(flags.split_whitespace());
            let resolved = Serve::try_parse_from(given).unwrap().args.resolve().unwrap();
            let keeps = |name: &&str| resolved.keeps_deleted(&DocumentName::new(name).unwrap());
            assert!(kept.iter().all(keeps) && !others.iter().any(keeps), "{flags}");
        }
    }
}
