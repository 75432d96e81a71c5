//! The command line.
#![expect(clippy::doc_markdown, reason = "the texts are help on a terminal, not markdown")]

use std::net::IpAddr;
use std::path::PathBuf;

use clap::{Args as ClapArgs, Parser, Subcommand};
use ipnet::IpNet;
use pilothouse_access_log::Format;
use pilothouse_cdn_providers::{EdgeKind, SecretSource};

/// One control room for a small fleet: release tasks, configuration, CDN.
#[derive(Debug, Parser)]
#[command(name = "pilothouse", version)]
pub(crate) struct Args {
    #[command(flatten)]
    pub(crate) settings: Flags,
    #[command(subcommand)]
    pub(crate) command: Option<Command>,
}

/// Settings as flags; each beats the environment, which beats the file.
#[derive(ClapArgs, Debug, Default)]
pub(crate) struct Flags {
    /// The settings file (TOML) [env: PILOTHOUSE_CONFIG]
    #[arg(long, global = true, value_name = "FILE")]
    pub(crate) config: Option<PathBuf>,
    /// Where to listen [env: PILOTHOUSE_LISTEN] [default: 127.0.0.1:8080]
    #[arg(long, global = true, value_name = "ADDRESS:PORT")]
    pub(crate) listen: Option<String>,
    /// Where files are kept [env: PILOTHOUSE_DATA_DIR] [default: pilothouse-data]
    #[arg(long, global = true, value_name = "FOLDER")]
    pub(crate) data_dir: Option<String>,
    /// sqlite:FILE, postgres://… or memory: [env: PILOTHOUSE_DATABASE_URL] [default: pilothouse.db in data_dir]
    #[arg(long, global = true, value_name = "URL")]
    pub(crate) database_url: Option<String>,
    /// How clients reach this server [env: PILOTHOUSE_PUBLIC_URL] [default: http:// and listen]
    #[arg(long, global = true, value_name = "URL")]
    pub(crate) public_url: Option<String>,
    /// text or json [env: PILOTHOUSE_LOG_FORMAT] [default: text]
    #[arg(long, global = true, value_name = "FORMAT")]
    pub(crate) log_format: Option<String>,
}

/// What to do.
#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Migrate, then serve and do the background work
    Serve(Serve),
    /// Bring the database to this version's schema and say what was applied
    Migrate,
    /// Make an account with every right; one line of standard input is the password
    CreateSuperuser(Superuser),
    /// Ask every provider for its domains and record them
    Sync,
    /// Take access logs into the statistics
    Ingest(Ingest),
    /// Do only the background work
    Worker,
    /// Write a consistent copy of the embedded store while it runs
    Backup {
        /// The file to write; it must not exist
        file: PathBuf,
    },
    /// Print the changes of an app's configuration as they reach its nodes
    Watch(Watch),
    /// Print the API description (OpenAPI)
    Openapi,
    /// Print the configuration of an edge, to be installed there
    EdgeConfig(EdgeOptions),
}

impl Default for Command {
    fn default() -> Self {
        Self::Serve(Serve::default())
    }
}

/// How to serve.
#[derive(ClapArgs, Debug, Default)]
pub(crate) struct Serve {
    /// Make this account with every right first, if there is none of that name
    #[arg(long, value_name = "NAME:MAIL", requires = "password_stdin")]
    pub(crate) superuser: Option<String>,
    /// Read its password from standard input, one line
    #[arg(long, requires = "superuser")]
    pub(crate) password_stdin: bool,
}

/// The account to make.
#[derive(ClapArgs, Debug)]
pub(crate) struct Superuser {
    /// Its name
    #[arg(long)]
    pub(crate) name: String,
    /// Its mail
    #[arg(long)]
    pub(crate) mail: String,
    /// Read its password from standard input, one line; there is no default
    #[arg(long, required = true)]
    pub(crate) password_stdin: bool,
}

/// Which logs, and of what.
#[derive(ClapArgs, Clone, Debug)]
pub(crate) struct Ingest {
    /// The logs, gzipped or not; - is standard input
    #[arg(required = true, value_name = "FILE")]
    pub(crate) files: Vec<PathBuf>,
    /// The cdn the edge belongs to
    #[arg(long, value_name = "NAME")]
    pub(crate) cdn: String,
    /// The edge that wrote them
    #[arg(long, value_name = "NAME")]
    pub(crate) edge: String,
    /// How they are written
    #[arg(long, value_name = "combined|vhost_combined|tsv|json")]
    pub(crate) format: Format,
    /// Whose lines they are, where the format names no host
    #[arg(long, value_name = "DOMAIN")]
    pub(crate) domain: Option<String>,
}

/// What to watch.
#[derive(ClapArgs, Clone, Debug)]
pub(crate) struct Watch {
    /// The app
    #[arg(long, value_name = "NAME")]
    pub(crate) app: String,
    /// The profile
    #[arg(long, value_name = "NAME")]
    pub(crate) profile: String,
    /// The server [default: public_url]
    #[arg(long, value_name = "URL")]
    pub(crate) url: Option<String>,
    /// Where one of the app's keys is
    #[arg(long, value_name = "env:NAME|file:PATH", default_value = "env:APP_KEY")]
    pub(crate) key: String,
    /// As which node; by default one of its own
    #[arg(long, value_name = "ID")]
    pub(crate) node_id: Option<String>,
}

/// Which edge.
#[derive(ClapArgs, Clone, Debug)]
pub(crate) struct EdgeOptions {
    /// The program that runs there
    #[arg(long, value_name = "varnish|nginx")]
    pub(crate) kind: EdgeKind,
    /// Where it fetches from
    #[arg(long, value_name = "HOST:PORT")]
    pub(crate) origin: String,
    /// Where it listens, as the program writes it [default: port 80]
    #[arg(long)]
    pub(crate) listen: Option<String>,
    /// An address or block from which Pilothouse comes; may be given more than once
    #[arg(long, value_name = "ADDRESS", required = true, value_parser = address)]
    pub(crate) allow: Vec<IpNet>,
    /// The edge's key, as in its settings: env:NAME or file:PATH
    #[arg(long)]
    pub(crate) key: Option<SecretSource>,
    /// The file of its access log [default: in /var/log]
    #[arg(long, value_name = "FILE")]
    pub(crate) log: Option<PathBuf>,
    /// The folder of nginx's cache [default: in /var/cache]
    #[arg(long, value_name = "FOLDER")]
    pub(crate) cache: Option<PathBuf>,
}

fn address(text: &str) -> Result<IpNet, &'static str> {
    let block = text.parse().ok().or_else(|| text.parse::<IpAddr>().ok().map(IpNet::from));
    block.ok_or("must be an address or a block")
}
