//! `coscribe token`: signs a token for trying things out, or explains one.

mod inspect;

use std::fs;
use std::path::PathBuf;
use std::process::ExitCode;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use anyhow::{Context as _, bail};
use coscribe_terminal::say;
use serde_json::{Map, Value, json};

use crate::access::keys::{Signer, secret};
use crate::config::{AccessArgs, AccessConfig, Config, Pattern, time, trimmed};
use crate::limits::PATTERNS_PER_TOKEN;

/// The arguments of `coscribe token`.
#[derive(Debug, clap::Args)]
#[command(args_conflicts_with_subcommands = true, subcommand_negates_reqs = true)]
pub(crate) struct Args {
    #[command(subcommand)]
    command: Option<Command>,
    #[command(flatten)]
    claims: ClaimArgs,
    #[command(flatten)]
    access: AccessArgs,
}

/// What else than signing.
#[derive(Debug, clap::Subcommand)]
enum Command {
    /// Explain a token: its claims, its key, and whether it is valid
    ///
    /// Exits with 0 if the server would accept the token for some document, 1 if not. Secrets and the token itself are not shown.
    Inspect {
        /// The token; without it, or with -, it is read from stdin
        #[arg(default_value = "-", hide_default_value = true)]
        token: String,
        #[command(flatten)]
        access: AccessArgs,
    },
}

/// The claims of a token.
#[derive(Debug, clap::Args)]
struct ClaimArgs {
    /// The application's user id
    #[arg(long, value_name = "ID", required = true)]
    subject: Option<String>,
    /// Documents that may be read and written: notes, 'team/*' (directly below team), 'team/**' (everything below it)
    #[arg(long, value_name = "PATTERN,…", value_delimiter = ',', value_parser = trimmed::<String>)]
    write: Vec<String>,
    /// Documents that may be read
    #[arg(long, value_name = "PATTERN,…", value_delimiter = ',', value_parser = trimmed::<String>)]
    read: Vec<String>,
    /// How long it is valid
    #[arg(long, value_name = "TIME", default_value = "1h", value_parser = time)]
    expires: Duration,
    /// The name that people see
    #[arg(long, value_name = "NAME")]
    name: Option<String>,
    /// Its id, by which it can be revoked [default: a random one]
    #[arg(long, value_name = "ID")]
    id: Option<String>,
    /// A private key that signs instead of the secret: a PEM file (RSA, P-256 or Ed25519)
    #[arg(long, value_name = "FILE")]
    key: Option<PathBuf>,
    /// The id of the key
    #[arg(long, value_name = "KID")]
    kid: Option<String>,
}

/// Prints a token alone on stdout, or explains one.
pub(crate) fn run(args: Args, logged: impl FnOnce(Config) -> Config) -> anyhow::Result<ExitCode> {
    match args.command {
        Some(Command::Inspect { token, access }) => inspect::run(&token, &logged(access.resolve()?).access),
        None => {
            say!("{}", sign(&args.claims, &logged(args.access.resolve()?).access)?);
            Ok(ExitCode::SUCCESS)
        }
    }
}

fn sign(args: &ClaimArgs, config: &AccessConfig) -> anyhow::Result<String> {
    let patterns = [&args.read, &args.write];
    if patterns.iter().all(|patterns| patterns.is_empty()) {
        bail!("the token would allow nothing: --write or --read names documents");
    }
    if args.read.len() + args.write.len() > PATTERNS_PER_TOKEN {
        bail!("a token has at most {PATTERNS_PER_TOKEN} patterns");
    }
    for pattern in patterns.into_iter().flatten() {
        pattern.parse::<Pattern>().map_err(anyhow::Error::msg)?;
    }
    let signer = signer(args, config)?;
    Ok(signer.sign(&Value::Object(claims(args, config)?))?)
}

fn signer(args: &ClaimArgs, config: &AccessConfig) -> anyhow::Result<Signer> {
    if let Some(path) = &args.key {
        let pem = fs::read(path).with_context(|| format!("cannot read {path:?}"))?;
        return Signer::pem(args.kid.clone(), &pem).with_context(|| format!("--key {path:?}"));
    }
    let Some((name, secret)) = secret(config)? else {
        bail!(
            "there is nothing to sign with: set access.secret (COSCRIBE_ACCESS_SECRET) as the server has it, or give a private key with --key"
        );
    };
    Signer::secret(args.kid.clone(), secret.reveal().as_bytes()).context(name)
}

fn claims(args: &ClaimArgs, config: &AccessConfig) -> anyhow::Result<Map<String, Value>> {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    let id = match &args.id {
        Some(id) => id.clone(),
        None => random_id()?,
    };
    let mut claims = Map::new();
    let texts = [("iss", config.issuer.first()), ("aud", config.audience.first()), ("jti", Some(&id))];
    for (name, value) in texts {
        claims.extend(value.map(|value| (name.to_owned(), json!(value))));
    }
    claims.insert("iat".to_owned(), json!(now.as_secs()));
    claims.insert("exp".to_owned(), json!(now.saturating_add(args.expires).as_secs()));
    set(&mut claims, &config.subject_claim, args.subject.clone().map(Value::from))?;
    set(&mut claims, &config.name_claim, args.name.clone().map(Value::from))?;
    set(&mut claims, &config.read_claim, some(&args.read))?;
    set(&mut claims, &config.write_claim, some(&args.write))?;
    Ok(claims)
}

fn some(patterns: &[String]) -> Option<Value> {
    (!patterns.is_empty()).then(|| json!(patterns))
}

/// Sets a claim by its name or, as `/app/user`, in objects within others.
fn set(claims: &mut Map<String, Value>, name: &str, value: Option<Value>) -> anyhow::Result<()> {
    let Some(value) = value else { return Ok(()) };
    let Some(path) = name.strip_prefix('/') else {
        claims.insert(name.to_owned(), value);
        return Ok(());
    };
    let mut steps: Vec<_> = path.split('/').map(|step| step.replace("~1", "/").replace("~0", "~")).collect();
    let last = steps.pop().unwrap_or_default();
    let mut object = claims;
    for step in steps {
        let inner = object.entry(step).or_insert_with(|| json!({}));
        object = inner.as_object_mut().with_context(|| format!("the claim {name} is within another one"))?;
    }
    object.insert(last, value);
    Ok(())
}

fn random_id() -> anyhow::Result<String> {
    let mut random = [0; 8];
    getrandom::fill(&mut random).context("no random bytes")?;
    Ok(format!("{:016x}", u64::from_le_bytes(random)))
}
