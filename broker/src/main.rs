//! `headwater-broker`: the broker as a server.

use std::io::Write;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::Arc;

use broker::server::{ServerConfig, serve};
use broker::{Broker, BrokerConfig};
use clap::Parser;
use streams_core::time::{Clock, SystemClock};
use tokio::net::TcpListener;
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::watch;

/// A Kafka-compatible broker on one node.
#[derive(Debug, Parser)]
#[command(name = "headwater-broker", version)]
struct Arguments {
    /// Address to listen on; port 0 takes any that is free.
    #[arg(long, default_value = "127.0.0.1:9092")]
    listen: SocketAddr,
    /// Where the topics live. Created if missing; one broker at a time uses it.
    #[arg(long)]
    data_dir: PathBuf,
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
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .thread_name("broker")
        .build()
        .map_err(|error| format!("cannot start threads: {error}"))?;
    runtime.block_on(run_until_stopped(arguments))
}

async fn run_until_stopped(arguments: &Arguments) -> Result<(), String> {
    // The address first: clients are told the port that was really taken.
    let listener = TcpListener::bind(arguments.listen)
        .await
        .map_err(|error| format!("cannot listen on {}: {error}", arguments.listen))?;
    let address = listener
        .local_addr()
        .map_err(|error| format!("cannot tell the address of the listener: {error}"))?;
    let mut config = BrokerConfig::server();
    config.host = address.ip().to_string();
    config.port = i32::from(address.port());
    let clock: Arc<dyn Clock> = Arc::new(SystemClock::default());
    let broker = Broker::open(
        &arguments.data_dir,
        config,
        broker::ids::RandomIds,
        clock.now_ms(),
    )
    .map_err(|error| error.to_string())?;
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
    announce(address)?;
    serve(broker.clone(), clock, listener, ServerConfig::default(), stopped).await;
    broker.close().map_err(|error| error.to_string())?;
    tracing::info!("stopped");
    Ok(())
}

/// The line that scripts wait for.
fn announce(address: SocketAddr) -> Result<(), String> {
    let mut stdout = std::io::stdout().lock();
    writeln!(stdout, "headwater-broker ready: listening on {address}")
        .and_then(|()| stdout.flush())
        .map_err(|error| format!("cannot write to stdout: {error}"))
}
