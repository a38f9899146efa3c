//! The checks of a deployment from outside: the proxy and the server, as a client sees them.
//!
//! The checks need no configuration. They register a temporary account, start a chat, and delete the chat afterwards.
//! The server may send anything: each step has a timeout, and reads a limited number of bytes.

mod account;
mod body;
mod chat;
mod client_address;
mod connection;
mod http;
mod probes;
mod socket;
mod sockets;
mod stream;
mod target;
mod text;
mod tls;

use std::{io::Write, net::IpAddr, path::PathBuf, pin::pin, time::Duration};

use chrono::Utc;
use clap::{Args, value_parser};
use loco_rs::{Error, Result};
use tokio::select;

pub use self::target::Target;
use self::{
    account::{Account, Credentials},
    chat::Chat,
    connection::Connector,
    http::{Http, Reply},
    tls::TlsClient,
};
use super::report::{Finding, Report};

/// The names of all checks, in their order.
const CHECKS: [&str; 23] = [
    "DNS",
    "TCP",
    "TLS",
    "redirect",
    "/_ping",
    "clock",
    "/_health",
    "/_readiness",
    "host name",
    "registration",
    "login",
    "start-chat",
    "cookie",
    "rich socket",
    "base socket",
    "foreign origin",
    "no credential",
    "event stream",
    "large body",
    "too large body",
    "foreign host",
    "client address",
    "idle socket",
];

/// The check of the things that remain after all other checks.
const CLEAN_UP: &str = "clean-up";

/// The options of the checks from outside.
#[derive(Args)]
#[command(next_help_heading = "Options with a URL")]
pub struct OutsideOptions {
    /// Connect to this IP address instead of the addresses of the name
    #[arg(long, value_name = "IP", requires = "url")]
    address: Option<IpAddr>,
    /// Also trust the authorities of this PEM file
    #[arg(long, value_name = "FILE", requires = "url")]
    ca_file: Option<PathBuf>,
    /// Log in as this user instead of registering a temporary account
    #[arg(long, value_name = "NAME", requires = "url")]
    username: Option<String>,
    /// Read the password of --username from this file instead of SALAM_DOCTOR_PASSWORD
    #[arg(long, value_name = "FILE", requires = "username")]
    password_file: Option<PathBuf>,
    /// Keep a socket idle for this number of seconds [default: 60]
    #[arg(long, value_name = "SECONDS", default_value_t = 60, requires = "url")]
    #[arg(hide_default_value = true, value_parser = value_parser!(u64).range(1..=3600))]
    idle_seconds: u64,
    /// Skip the check of an idle socket
    #[arg(long, requires = "url", conflicts_with = "idle_seconds")]
    no_idle: bool,
    /// Wait for each answer at most this number of seconds [default: 10]
    #[arg(long, value_name = "SECONDS", default_value_t = 10, requires = "url")]
    #[arg(hide_default_value = true, value_parser = value_parser!(u64).range(1..=600))]
    timeout: u64,
}

impl OutsideOptions {
    const fn limit(&self) -> Duration {
        Duration::from_secs(self.timeout)
    }
}

/// Runs all checks. Returns `true` if no check failed.
///
/// # Errors
/// When an option is invalid, or the output cannot be written.
pub async fn run_checks<W: Write>(
    target: &Target,
    options: &OutsideOptions,
    mut report: Report<W>,
) -> Result<bool> {
    let credentials = Credentials::from_options(options).map_err(Error::Message)?;
    let tls = match target.is_https() {
        true => Some(TlsClient::new(options.ca_file.as_deref()).map_err(Error::Message)?),
        false => None,
    };
    if options.address.is_some() && target.ip().is_some() {
        let message = "--address needs a URL with a name instead of an address";
        return Err(Error::Message(message.to_owned()));
    }
    let version = env!("CARGO_PKG_VERSION");
    report.fit_names(&CHECKS);
    report.write_line(&format!("Salam {version} checks {}", target.origin()));
    report.write_line("");
    let connector = Connector {
        target: target.clone(),
        addresses: Vec::new(),
        tls,
        limit: options.limit(),
    };
    let interrupted = check_all(connector, &credentials, options, &mut report).await;
    let reason = match (interrupted, report.last_failed()) {
        (Some(Interrupted), _) => {
            report.interrupt();
            INTERRUPTED.to_owned()
        }
        (None, Some(failed)) => format!("was not checked: see {failed}"),
        (None, None) => "was not checked".to_owned(),
    };
    report.skip_missing(&CHECKS, &reason);
    Ok(report.finish()?)
}

/// The user interrupted the checks (Ctrl-C).
struct Interrupted;

/// Runs the checks until one fails on which all others depend.
async fn check_all<W: Write>(
    connector: Connector,
    credentials: &Credentials,
    options: &OutsideOptions,
    report: &mut Report<W>,
) -> Option<Interrupted> {
    // One future for all checks, so that a signal between two of them is not lost.
    let mut interrupt = pin!(tokio::signal::ctrl_c());
    let reached = select! {
        reached = reach(connector, options, report) => reached,
        _ = &mut interrupt => return Some(Interrupted),
    };
    let (probe, ping) = reached?;
    let registration = credentials.register(&probe.http).await;
    let is_refused = registration.has_failed();
    report.add("registration", registration);
    if is_refused {
        return None;
    }
    let (finding, account) = credentials.log_in(&probe.http).await;
    report.add("login", finding);
    let Some(account) = account else {
        report.skip_missing(&CHECKS, "was not checked: see login");
        let rest = credentials.describe_rest("nothing was started", &[]);
        report.add(CLEAN_UP, rest);
        return None;
    };
    let (finding, chat) = chat::start(&probe.http, &probe.connector.target, &account).await;
    report.add("start-chat", finding);
    let interrupted = match &chat {
        Some(chat) => {
            let session = Session {
                probe: &probe,
                account: &account,
                chat,
                ping: &ping,
            };
            select! {
                () = session.check(options, report) => None,
                _ = &mut interrupt => Some(Interrupted),
            }
        }
        None => None,
    };
    let group = chat.as_ref().map(|chat| chat.group.as_str());
    let reason = match interrupted {
        Some(Interrupted) => INTERRUPTED,
        None => "was not checked: see start-chat",
    };
    report.skip_missing(&CHECKS, reason);
    report.add(CLEAN_UP, account.clean_up(&probe.http, group).await);
    interrupted
}

/// The ways to the deployment.
struct Probe {
    connector: Connector,
    http: Http,
}

/// Runs the checks without an account. Returns `None` if a check failed on which all others depend.
async fn reach<W: Write>(
    mut connector: Connector,
    options: &OutsideOptions,
    report: &mut Report<W>,
) -> Option<(Probe, Reply)> {
    let (target, limit) = (connector.target.clone(), connector.limit);
    let (finding, addresses) = connection::resolve(&target, options.address, limit).await;
    add_required(report, "DNS", finding)?;
    let (finding, addresses) = connection::check_tcp(addresses, limit).await;
    add_required(report, "TCP", finding)?;
    connector.addresses = addresses;
    add_required(report, "TLS", tls::check(&connector).await)?;
    let http = match Http::new(&connector) {
        Ok(http) => http,
        Err(error) => {
            report.add("/_ping", Finding::failed_with(error));
            return None;
        }
    };
    let redirect = probes::check_redirect(&http, &target).await;
    add_required(report, "redirect", redirect)?;
    let (finding, ping) = probes::check_liveness(&http, "/_ping").await;
    report.add("/_ping", finding);
    let ping = ping?;
    report.add("clock", probes::check_clock(&ping, Utc::now()));
    let (finding, _) = probes::check_liveness(&http, "/_health").await;
    report.add("/_health", finding);
    let finding = probes::check_readiness(&http, "/_readiness").await;
    report.add("/_readiness", finding);
    add_required(
        report,
        "host name",
        probes::check_host(&http, &target).await,
    )?;
    Some((Probe { connector, http }, ping))
}

/// Adds a finding. Returns `None` if the check failed.
fn add_required<W: Write>(
    report: &mut Report<W>,
    name: &'static str,
    finding: Finding,
) -> Option<()> {
    let has_failed = finding.has_failed();
    report.add(name, finding);
    (!has_failed).then_some(())
}

/// The checks with an account and a group.
struct Session<'a> {
    probe: &'a Probe,
    account: &'a Account<'a>,
    chat: &'a Chat,
    ping: &'a Reply,
}

impl Session<'_> {
    /// Runs the checks. The idle socket waits while the other checks run.
    async fn check<W: Write>(&self, options: &OutsideOptions, report: &mut Report<W>) {
        let Self { account, chat, .. } = *self;
        let connector = &self.probe.connector;
        let cookie = chat::check_cookie(&account.login, &connector.target, chat.own_address);
        report.add("cookie", cookie);
        let rich = sockets::check_rich(connector, account, chat).await;
        let has_sockets = !rich.has_failed();
        report.add("rich socket", rich);
        let idling = async {
            if options.no_idle {
                return Finding::skipped("--no-idle");
            }
            if !has_sockets {
                return Finding::skipped(NO_SOCKETS);
            }
            sockets::check_idle(connector, account, options.idle_seconds).await
        };
        let others = async {
            self.check_sockets(has_sockets, report).await;
            self.check_http(report).await;
        };
        let (idle, ()) = tokio::join!(idling, others);
        report.add("idle socket", idle);
    }

    async fn check_sockets<W: Write>(&self, has_sockets: bool, report: &mut Report<W>) {
        let Self { account, chat, .. } = *self;
        let connector = &self.probe.connector;
        if !has_sockets {
            report.skip_missing(
                &["base socket", "foreign origin", "no credential"],
                NO_SOCKETS,
            );
            return;
        }
        let base = sockets::check_base(connector, account, chat).await;
        report.add("base socket", base);
        let foreign = sockets::check_foreign_origin(connector, account, chat).await;
        report.add("foreign origin", foreign);
        let anonymous = sockets::check_no_credential(connector, chat).await;
        report.add("no credential", anonymous);
    }

    async fn check_http<W: Write>(&self, report: &mut Report<W>) {
        let Self { account, chat, .. } = *self;
        let Probe { connector, http } = self.probe;
        let stream = stream::check(http, connector.limit, account, chat).await;
        report.add("event stream", stream);
        let large = body::check_accepted(http, account, chat).await;
        report.add("large body", large);
        let too_large = body::check_refused(http, account, chat).await;
        report.add("too large body", too_large);
        let foreign = match chat.own_address {
            // The server does not get the header `Host` of the client.
            chat::OwnAddress::WrongHost => Finding::skipped("was not checked: see start-chat"),
            _ => probes::check_foreign_host(http, &connector.target).await,
        };
        report.add("foreign host", foreign);
        let address = client_address::check(http, connector, account, self.ping).await;
        report.add("client address", address);
    }
}

const INTERRUPTED: &str = "was not checked: the command was interrupted";

const NO_SOCKETS: &str = "was not checked: see rich socket";
