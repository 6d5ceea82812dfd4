//! The end-to-end bench: this far, the programs that make, relay and take its traffic.

#![cfg_attr(
    test,
    allow(clippy::unwrap_used, reason = "a test fails by it, where it is wrong")
)]

mod failure;
mod flow;
mod load;
mod pattern;
mod relay;
mod route;
mod target;

use std::io::Read as _;
use std::net::SocketAddr;
use std::process::ExitCode;

use clap::{Parser, Subcommand};

use crate::failure::Result;
use crate::load::LoadArgs;

/// Measures Titan's real daemons beside two plain relays.
#[derive(Debug, Parser)]
#[command(name = "titan-bench")]
struct Cli {
    #[command(subcommand)]
    child: Child,
}

/// The other parts that this program plays.
#[derive(Debug, Subcommand)]
enum Child {
    /// Generates load.
    #[command(hide = true)]
    Load(LoadArgs),
    /// Relays to an address.
    #[command(hide = true)]
    Relay {
        /// Where each connection goes on to.
        next: SocketAddr,
    },
    /// Is the target.
    #[command(hide = true)]
    Target,
}

#[tokio::main(flavor = "current_thread")]
async fn main() -> ExitCode {
    match Cli::parse().child.run().await {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => {
            eprintln!("error: {failure}");
            ExitCode::FAILURE
        }
    }
}

impl Child {
    async fn run(self) -> Result<()> {
        std::thread::spawn(end_with_parent);
        match self {
            Self::Load(args) => {
                let (values, held) = load::run(&args).await?;
                println!("{}", serde_json::to_string(&values)?);
                if !held.is_empty() {
                    std::future::pending::<()>().await;
                }
                return Ok(());
            }
            Self::Relay { next } => println!("{}", relay::start(next).await?),
            Self::Target => {
                let target = target::start().await?;
                println!("{} {}", target.address, target.control);
            }
        }
        std::future::pending().await
    }
}

/// Ends this process when the bench, which holds the other end of standard input, is gone for whatever reason.
fn end_with_parent() {
    // It never writes, so the read returns only at the end.
    let _ = std::io::stdin().read(&mut [0]);
    std::process::exit(1);
}
