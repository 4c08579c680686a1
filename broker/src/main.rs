//! `headwater-broker`: the broker as a server.

use std::io::Write;
use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::Arc;

use broker::config::{BrokerConfigError, Properties};
use broker::ids::RandomIds;
use broker::server::{bind, serve};
use broker::{Broker, BrokerConfig};
use clap::Parser;
use streams_core::time::{Clock, SystemClock};
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::watch;

/// A Kafka-compatible broker on one node.
#[derive(Debug, Parser)]
#[command(name = "headwater-broker", version)]
struct Arguments {
    /// Address to listen on without encryption; port 0 takes any that is free. Stands for `listeners=PLAINTEXT://ADDRESS`.
    #[arg(long, value_name = "HOST:PORT")]
    listen: Option<String>,
    /// Where the topics live. Created if missing; one broker at a time uses it. Stands for `log.dirs=DIR`.
    #[arg(long, value_name = "DIR")]
    data_dir: Option<String>,
    /// Settings, in the format of Kafka's `server.properties`.
    #[arg(long, value_name = "FILE")]
    config: Option<PathBuf>,
    /// One setting, over those of the file; may be given several times.
    #[arg(long, value_name = "KEY=VALUE")]
    set: Vec<String>,
}

impl Arguments {
    fn properties(&self) -> Result<Properties, BrokerConfigError> {
        let mut properties = match &self.config {
            Some(path) => Properties::read(path)?,
            None => Properties::default(),
        };
        if let Some(address) = &self.listen {
            properties.set("listeners", &format!("PLAINTEXT://{address}"))?;
            properties.remove("advertised.listeners");
        }
        if let Some(dir) = &self.data_dir {
            properties.set("log.dirs", dir)?;
        }
        for argument in &self.set {
            properties.set_argument(argument)?;
        }
        Ok(properties)
    }
}

fn main() -> ExitCode {
    tracing_subscriber::fmt()
        .with_writer(std::io::stderr)
        .with_env_filter(
            tracing_subscriber::EnvFilter::try_from_default_env()
                .unwrap_or_else(|_| tracing_subscriber::EnvFilter::new("info")),
        )
        .init();
    let arguments = Arguments::parse();
    match run(&arguments) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            tracing::error!("{error}");
            ExitCode::FAILURE
        }
    }
}

fn run(arguments: &Arguments) -> Result<(), String> {
    // Connections have threads of their own.
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .map_err(|error| format!("cannot start threads: {error}"))?;
    runtime.block_on(run_until_stopped(arguments))
}

async fn run_until_stopped(arguments: &Arguments) -> Result<(), String> {
    let mut config = arguments
        .properties()
        .and_then(BrokerConfig::from_properties)
        .map_err(|error| error.to_string())?;
    // The sockets first: clients are told the ports that were really taken.
    let listeners = bind(&config.network.listeners, config.network.listen_backlog)
        .await
        .map_err(|error| error.to_string())?;
    config.network.listeners = listeners.iter().map(|bound| bound.listener.clone()).collect();
    if let Some(first) = config.network.listeners.first() {
        config.host.clone_from(&first.advertised_host);
        config.port = i32::from(first.advertised_port);
    }
    let data_dir = config.data_dir();
    let clock: Arc<dyn Clock> = Arc::new(SystemClock::default());
    let broker =
        Broker::open(&data_dir, config, RandomIds, clock.now_ms()).map_err(|error| error.to_string())?;
    let broker = Arc::new(broker);

    let (stop, stopped) = watch::channel(false);
    let mut terminate = signal(SignalKind::terminate()).map_err(|error| error.to_string())?;
    let mut interrupt = signal(SignalKind::interrupt()).map_err(|error| error.to_string())?;
    tokio::spawn(async move {
        tokio::select! {
            _ = terminate.recv() => {}
            _ = interrupt.recv() => {}
        }
        tracing::info!("stopping");
        stop.send_replace(true);
    });
    let addresses: Vec<String> = listeners.iter().map(|bound| bound.address.to_string()).collect();
    announce(&addresses.join(", "))?;
    serve(broker.clone(), clock, listeners, stopped)
        .await
        .map_err(|error| format!("cannot start the threads for connections: {error}"))?;
    broker.close().map_err(|error| error.to_string())?;
    tracing::info!("stopped");
    Ok(())
}

/// The line that scripts wait for.
fn announce(addresses: &str) -> Result<(), String> {
    let mut stdout = std::io::stdout().lock();
    writeln!(stdout, "headwater-broker ready: listening on {addresses}")
        .and_then(|()| stdout.flush())
        .map_err(|error| format!("cannot write to stdout: {error}"))
}
