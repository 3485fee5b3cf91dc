//! `token`: who may use the service. Works on the tokens file; a service that uses it reads it again
//! by itself.
use std::path::PathBuf;
use std::time::{Duration, SystemTime};

use clap::{Args, Subcommand};
use rewardpool_client::Token;
use rewardpool_core::name::PoolId;
use rewardpool_engine::Chain;
use rewardpool_server::auth::{AuthError, Role, Roles, digest, edit_tokens_file, read_tokens_file};
use rewardpool_server::config::{ConfigError, QuotaConfig, TokenEntry, is_principal};
use serde_json::{Value, json};

use super::Failure;
use super::failure::exit;
use super::output::{self, Align, Format, Table};

const EXAMPLES: &str = "\
Examples:
  rewardpool token new --name shop --role drawer --pool summer --expires 90d
  rewardpool token ls
  rewardpool token revoke shop

The file is that of `auth.tokens_file` in the configuration of the service, which reads it again
within a second. It holds no token, only what recognises one.";
const NEW_EXAMPLES: &str = "\
Examples:
  rewardpool token new --name ops --role admin
  rewardpool token new --name shop --role drawer --role reader --pool summer
  rewardpool token new --name shop --role drawer --draws-per-second 1000 > shop.token";
const LS_EXAMPLES: &str = "Example:\n  rewardpool token ls --file /etc/rewardpool/tokens.yaml";
const REVOKE_EXAMPLES: &str = "Example:\n  rewardpool token revoke shop";

/// Say who may use the service, and what for
#[derive(Subcommand, Debug)]
#[command(after_help = EXAMPLES)]
pub(crate) enum TokenCommand {
    /// Make a token and print it, this once
    #[command(after_help = NEW_EXAMPLES)]
    New(NewArgs),
    /// List who may use the service
    #[command(alias = "list", after_help = LS_EXAMPLES)]
    Ls {
        #[command(flatten)]
        file: FileArgs,
    },
    /// Take the right to use the service from somebody
    #[command(after_help = REVOKE_EXAMPLES)]
    Revoke {
        /// Their name
        name: String,
        #[command(flatten)]
        file: FileArgs,
    },
}

/// Which tokens file is meant.
#[derive(Args, Debug)]
pub(crate) struct FileArgs {
    /// The tokens file
    #[arg(long, value_name = "FILE", default_value = "tokens.yaml")]
    file: PathBuf,
}

#[derive(Args, Debug)]
pub(crate) struct NewArgs {
    /// Who gets it; the name stands in the log for what they change
    #[arg(long)]
    name: String,
    /// What they may do: `reader`, `drawer` or `admin`; may be given several times
    #[arg(long = "role", value_name = "ROLE", required = true, value_parser = parse_role)]
    roles: Vec<Role>,
    /// Only in this pool; may be given several times [default: everywhere]
    #[arg(long = "pool", value_name = "POOL")]
    pools: Vec<String>,
    /// Until when: a moment such as 2030-12-31T23:59:59Z, or 90d from now [default: for ever]
    #[arg(long, value_name = "WHEN", value_parser = parse_expiry)]
    expires: Option<SystemTime>,
    /// Draws in a second, over time; 0 is no limit [default: what the configuration says]
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(..=1_000_000_000))]
    draws_per_second: Option<u32>,
    /// Draws at once, and in one request, after a pause [default: those of a second]
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..=1_000_000_000))]
    draws_burst: Option<u32>,
    /// Calls at the same time; 0 is no limit [default: what the configuration says]
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(..=1_000_000))]
    streams: Option<u32>,
    /// Let a client certificate with this name (DNS or URI) be enough, without a token
    #[arg(long, value_name = "NAME")]
    certificate: Option<String>,
    #[command(flatten)]
    file: FileArgs,
}

fn parse_role(text: &str) -> Result<Role, &'static str> {
    Role::of_name(text).ok_or("a role is `reader`, `drawer` or `admin`")
}

fn parse_expiry(text: &str) -> Result<SystemTime, &'static str> {
    let rule = "it is a moment such as 2030-12-31T23:59:59Z, or a time from now such as 90d or 12h";
    if let Ok(moment) = humantime::parse_rfc3339(text) {
        return Ok(moment);
    }
    let from_now = humantime::parse_duration(text).ok().filter(|time| *time > Duration::ZERO);
    from_now.and_then(|time| SystemTime::now().checked_add(time)).ok_or(rule)
}

pub(crate) fn run(command: &TokenCommand, format: Format) -> Result<(), Failure> {
    match command {
        TokenCommand::New(args) => new(args, format),
        TokenCommand::Ls { file } => {
            let entries = read_tokens_file(&file.file)?;
            output::print(
                format,
                || table(&entries),
                || json!({ "tokens": entries.iter().map(json).collect::<Vec<_>>() }),
            )
        }
        TokenCommand::Revoke { name, file } => {
            edit_tokens_file(&file.file, |entries| {
                let before = entries.len();
                entries.retain(|entry| entry.name != *name);
                if entries.len() == before {
                    let what = format!("{}: there is no {name:?}", file.file.display());
                    return Err(Failure::usage(what, "`rewardpool token ls` lists the names"));
                }
                Ok(())
            })?;
            output::print(format, || format!("{name} revoked\n"), || json!({ "revoked": name }))
        }
    }
}

fn new(args: &NewArgs, format: Format) -> Result<(), Failure> {
    if !is_principal(&args.name) {
        let what = format!("--name is {:?}", args.name);
        let hint = "a name has 1 to 64 letters, digits, `.`, `_`, `-`, `@` and `/`";
        return Err(Failure::usage(what, hint));
    }
    let pools = args.pools.iter().map(|pool| {
        let id = PoolId::new(pool);
        id.map_err(|error| Failure::usage(format!("--pool: {error}"), "see `rewardpool pool ls`"))
    });
    let pools = pools.collect::<Result<Vec<_>, _>>()?;
    let token = if args.certificate.is_none() {
        Some(Token::generate().map_err(|error| {
            let what = format!("the system gives no randomness: {error}");
            Failure::new(exit::INPUT_OUTPUT, what, "try again")
        })?)
    } else {
        None
    };
    let entry = TokenEntry {
        name: args.name.clone(),
        roles: args.roles.iter().fold(Roles::default(), |roles, role| roles.with(*role)),
        pools: (!pools.is_empty()).then_some(pools),
        expires: args.expires,
        sha256: token.as_ref().map(digest),
        certificate: args.certificate.clone(),
        quotas: QuotaConfig {
            draws_per_second: args.draws_per_second,
            draws_burst: args.draws_burst,
            streams: args.streams,
        },
    };
    let file = &args.file.file;
    edit_tokens_file(file, |entries| {
        if entries.iter().any(|known| known.name == entry.name) {
            let what = format!("{}: {} has a token already", file.display(), entry.name);
            let hint = "choose another name, or `rewardpool token revoke` the old one first";
            return Err(Failure::usage(what, hint));
        }
        entries.push(entry.clone());
        Ok(())
    })?;
    output::print(
        format,
        || match &token {
            Some(token) => format!("{}\n", token.reveal()),
            None => format!("{} may use the service\n", entry.name),
        },
        || {
            let mut shown = json(&entry);
            if let (Some(token), Some(fields)) = (&token, shown.as_object_mut()) {
                fields.insert("token".to_owned(), json!(token.reveal()));
            }
            shown
        },
    )
}

fn table(entries: &[TokenEntry]) -> String {
    let mut table = Table::new([
        ("NAME", Align::Left),
        ("ROLES", Align::Left),
        ("POOLS", Align::Left),
        ("EXPIRES", Align::Left),
        ("SHOWS", Align::Left),
    ]);
    for entry in entries {
        let pools = entry
            .pools
            .as_ref()
            .map(|pools| pools.iter().map(PoolId::as_str).collect::<Vec<_>>().join(", "));
        table.push([
            entry.name.clone(),
            entry.roles.to_string(),
            pools.unwrap_or_else(|| "all".to_owned()),
            expiry(entry).unwrap_or_else(|| "never".to_owned()),
            shows(entry).join(" and "),
        ]);
    }
    table.render()
}

fn expiry(entry: &TokenEntry) -> Option<String> {
    let moment = entry.expires?;
    let text = humantime::format_rfc3339_seconds(moment).to_string();
    Some(if moment <= SystemTime::now() { format!("{text} (over)") } else { text })
}

fn shows(entry: &TokenEntry) -> Vec<String> {
    let token = entry.sha256.map(|_| "a token".to_owned());
    let certificate = entry.certificate.as_ref().map(|name| format!("a certificate of {name}"));
    token.into_iter().chain(certificate).collect()
}

fn json(entry: &TokenEntry) -> Value {
    let roles = Role::ALL.into_iter().filter(|role| entry.roles.has(*role)).map(Role::name);
    let expires = entry.expires.map(|moment| humantime::format_rfc3339_seconds(moment).to_string());
    json!({
        "name": entry.name,
        "roles": roles.collect::<Vec<_>>(),
        "pools": entry.pools.as_ref().map(|ids| ids.iter().map(PoolId::as_str).collect::<Vec<_>>()),
        "expires": expires,
        "has_token": entry.sha256.is_some(),
        "certificate": entry.certificate,
        "draws_per_second": entry.quotas.draws_per_second,
        "draws_burst": entry.quotas.draws_burst,
        "streams": entry.quotas.streams,
    })
}

impl From<AuthError> for Failure {
    fn from(error: AuthError) -> Self {
        let (code, hint) = match error {
            AuthError::Wrong(error @ ConfigError::Invalid { .. }) => return error.into(),
            AuthError::Mode { .. } => (exit::CONFIG, "nobody else needs to use it"),
            AuthError::Read { .. } | AuthError::Wrong(_) | _ => {
                (exit::INPUT_OUTPUT, "`rewardpool token new` makes a tokens file")
            }
        };
        Self::new(code, Chain(&error).to_string(), hint)
    }
}
