//! Command-line arguments and their help.
#![expect(clippy::doc_markdown, reason = "the texts are help on a terminal, not markdown")]

use std::net::IpAddr;
use std::path::PathBuf;

use clap::{Args as ClapArgs, Parser, Subcommand};
use ipnet::IpNet;
use pilothouse_cdn_providers::{EdgeKind, ForwardedProto, PerDomain, SecretSource};
use pilothouse_log_intake::{Format, ShipFrom};

/// One control room for a small fleet: release tasks, configuration, CDN.
#[derive(Debug, Parser)]
#[command(name = "pilothouse", version = env!("BUILD_VERSION"))]
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
    /// Address to listen on [env: PILOTHOUSE_LISTEN] [default: 127.0.0.1:8080]
    #[arg(long, global = true, value_name = "ADDRESS:PORT")]
    pub(crate) listen: Option<String>,
    /// Folder for everything that is kept [env: PILOTHOUSE_DATA_DIR] [default: pilothouse-data]
    #[arg(long, global = true, value_name = "FOLDER")]
    pub(crate) data_dir: Option<String>,
    /// sqlite:FILE, postgres://… or memory: [env: PILOTHOUSE_DATABASE_URL] [default: pilothouse.db in data_dir]
    #[arg(long, global = true, value_name = "URL")]
    pub(crate) database_url: Option<String>,
    /// URL that links begin with [env: PILOTHOUSE_PUBLIC_URL] [default: the host of each request]
    #[arg(long, global = true, value_name = "URL")]
    pub(crate) public_url: Option<String>,
    /// text or json [env: PILOTHOUSE_LOG_FORMAT] [default: text]
    #[arg(long, global = true, value_name = "FORMAT")]
    pub(crate) log_format: Option<String>,
}

/// Commands of the program.
#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Migrate, then serve and do the background work
    Serve(Serve),
    /// Bring the database to this version's schema and say what was applied
    Migrate,
    /// Make an account with every right; asks for its password on a terminal
    CreateSuperuser(Superuser),
    /// Ask every provider for its domains and record them
    Sync,
    /// Take access logs into the statistics
    Ingest(Ingest),
    /// Take out of the statistics what ingest read of logs by mistake, so that they can be read again
    ForgetLog(Ingest),
    /// Follow an edge's log on its machine and ship it to a server elsewhere
    Ship(Ship),
    /// Make profiles equal to a folder of files, as one change set each, and print what differed
    Apply(Apply),
    /// Import what other systems knew: everything in the file, or nothing
    Import(Import),
    /// Do only the background work
    Worker,
    /// Write a consistent copy of the embedded store while it runs
    Backup {
        /// The file to write; it must not exist
        file: PathBuf,
        /// Keep the newest N backups that are intact, this one included, and remove the others; backups are files beside it
        /// whose names differ only in numbers
        #[arg(long, value_name = "N", value_parser = at_least_one)]
        keep: Option<usize>,
    },
    /// Put a backup in the place of the embedded store, which no server may be using
    Restore {
        /// The backup
        file: PathBuf,
        /// Put a store that is there aside
        #[arg(long)]
        replace: bool,
    },
    /// Have every node read its configuration again, after the database was restored by other means
    RenewEpoch,
    /// Print the changes of an app's configuration as they reach its nodes
    Watch(Watch),
    /// Check the settings and what they name, without writing anything
    Check,
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

/// Options of `serve`.
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
    /// Log-in name
    #[arg(long)]
    pub(crate) name: String,
    /// Mail address
    #[arg(long)]
    pub(crate) mail: String,
    /// Read its password from standard input, one line, instead of asking for it
    #[arg(long)]
    pub(crate) password_stdin: bool,
}

/// Arguments of `ingest` and `forget-log`.
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
    /// Format of the lines
    #[arg(long, value_name = "combined|vhost_combined|tsv|json")]
    pub(crate) format: Format,
    /// Domain of the lines, where the format names no host
    #[arg(long, value_name = "DOMAIN")]
    pub(crate) domain: Option<String>,
}

/// Options of `ship`.
#[derive(ClapArgs, Clone, Debug)]
pub(crate) struct Ship {
    /// The cdn the edge belongs to
    #[arg(long, value_name = "NAME")]
    pub(crate) cdn: String,
    /// The edge that writes the log
    #[arg(long, value_name = "NAME")]
    pub(crate) edge: String,
    /// The log; rotated files are looked for beside it
    #[arg(long)]
    pub(crate) file: PathBuf,
    /// The server
    #[arg(long)]
    pub(crate) url: String,
    /// The edge's key, as in the server's settings
    #[arg(long, value_name = "env:NAME|file:PATH")]
    pub(crate) key: SecretSource,
    /// Where it is kept what was shipped [default: FILE with .ship after it]
    #[arg(long, value_name = "FILE")]
    pub(crate) state: Option<PathBuf>,
    /// A folder that rotation moves files to
    #[arg(long, value_name = "FOLDER")]
    pub(crate) rotated_dir: Option<PathBuf>,
    /// First byte of FILE to ship, only at the first start [default: start, or what follows the bytes the server has]
    #[arg(long, value_name = "start|end|BYTES")]
    pub(crate) from: Option<ShipFrom>,
    /// Trust only the authorities in this PEM file [default: the system's]
    #[arg(long, value_name = "FILE")]
    pub(crate) ca: Option<PathBuf>,
    /// Ship what is there, and end
    #[arg(long)]
    pub(crate) once: bool,
}

/// Options of `apply`.
#[derive(ClapArgs, Clone, Debug)]
pub(crate) struct Apply {
    /// The folder, with APP/PROFILE/FILE.properties, .yaml, .yml or .json; a key that no file of its profile has is deleted
    #[arg(value_name = "DIR")]
    pub(crate) folder: PathBuf,
    /// The server
    #[arg(long)]
    pub(crate) url: String,
    /// Token of an account that may change the apps
    #[arg(long, value_name = "env:NAME|file:PATH")]
    pub(crate) token: SecretSource,
    /// Trust only the authorities in this PEM file [default: the system's]
    #[arg(long, value_name = "FILE")]
    pub(crate) ca: Option<PathBuf>,
    /// Print what differs, and change nothing; exit status 0 the same, 3 would change
    #[arg(long)]
    pub(crate) dry_run: bool,
}

/// Arguments of `import`.
#[derive(ClapArgs, Clone, Debug)]
pub(crate) struct Import {
    /// The JSON file; - is standard input
    pub(crate) file: PathBuf,
    /// Do everything, say what it would come to, and change nothing
    #[arg(long)]
    pub(crate) dry_run: bool,
}

/// Options of `watch`.
#[derive(ClapArgs, Clone, Debug)]
pub(crate) struct Watch {
    /// Name of the app
    #[arg(long, value_name = "NAME")]
    pub(crate) app: String,
    /// Profile within the app
    #[arg(long, value_name = "NAME")]
    pub(crate) profile: String,
    /// The server [default: public_url, or http:// and listen]
    #[arg(long, value_name = "URL")]
    pub(crate) url: Option<String>,
    /// One of the app's keys
    #[arg(long, value_name = "env:NAME|file:PATH", default_value = "env:APP_KEY")]
    pub(crate) key: String,
    /// As which node; by default one of its own
    #[arg(long, value_name = "ID")]
    pub(crate) node_id: Option<String>,
}

/// Options of `edge-config`.
#[derive(ClapArgs, Clone, Debug)]
pub(crate) struct EdgeOptions {
    /// The program that runs there
    #[arg(long, value_name = "varnish|nginx")]
    pub(crate) kind: EdgeKind,
    /// Origin of a domain (cdn.example.com, *.example.com), or of all others: HOST:PORT, a URL of http or, on nginx,
    /// of https, without a path; may be given more than once
    #[arg(long = "origin", value_name = "[DOMAIN=]ORIGIN", required_unless_present = "log_writer")]
    pub(crate) origins: Vec<PerDomain>,
    /// Host header that the origin gets instead of the domain; may be given more than once
    #[arg(long = "host-header", value_name = "[DOMAIN=]HOST")]
    pub(crate) host_headers: Vec<PerDomain>,
    /// TOML file of cache rules by domain: lifetimes, ignored queries, ignored cookies
    #[arg(long, value_name = "FILE")]
    pub(crate) rules: Option<PathBuf>,
    /// Address it listens on, as the program writes it, on nginx also '443 ssl'; may be given more than once [default: port 80]
    #[arg(long)]
    pub(crate) listen: Vec<String>,
    /// The file of nginx's certificate with its chain, there; may be given more than once
    #[arg(long = "certificate", value_name = "[DOMAIN=]FILE")]
    pub(crate) certificates: Vec<PerDomain>,
    /// The file of the certificate's key, there; may be given more than once
    #[arg(long = "certificate-key", value_name = "[DOMAIN=]FILE")]
    pub(crate) certificate_keys: Vec<PerDomain>,
    /// The file of the authorities that https origins are checked against, there [default: the system's]
    #[arg(long, value_name = "FILE")]
    pub(crate) origin_ca: Option<PathBuf>,
    /// Scheme that origins are told in X-Forwarded-Proto [default: https if it listens with TLS or behind PROXY]
    #[arg(long, value_name = "http|https")]
    pub(crate) forwarded_proto: Option<ForwardedProto>,
    /// An address or block from which Pilothouse comes; may be given more than once
    #[arg(long, value_name = "ADDRESS", required_unless_present = "log_writer", value_parser = address)]
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
    /// Print the script that writes a Varnish edge's access log instead
    #[arg(long)]
    pub(crate) log_writer: bool,
}

fn at_least_one(text: &str) -> Result<usize, &'static str> {
    text.parse().ok().filter(|count| *count > 0).ok_or("must be a number from 1 on")
}

fn address(text: &str) -> Result<IpNet, &'static str> {
    let block = text.parse().ok().or_else(|| text.parse::<IpAddr>().ok().map(IpNet::from));
    block.ok_or("must be an address or a block")
}
