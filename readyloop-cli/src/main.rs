//! The program `readyloop`: ready-made services on the readyloop reactor.
//!
//! It is built only on the library's public API, so it is the first proof that the API is enough.
//! Standard output is for whoever started it (the ready line), standard error is for people (logs,
//! errors); that nobody reads them is no reason to end, nor to wait. What was measured, or help, is
//! all that there is: that it is lost is an error.
//!
//! Exit status: 0 after a stop that was asked for, 1 when the machine said no, 2 when the options
//! must change.

mod args;
mod bench;
mod compare;
mod echo;
mod failure;
mod framing;
mod http;
mod kv;
mod log;
mod logged;
mod options;
mod output;
mod progress;
mod rooms;
mod serve;
mod signals;
mod topology;
mod units;

use std::process::ExitCode;

use args::{Command, Service};
use failure::Failure;

fn serve_one(service: &Service) -> Result<(), Failure> {
    log::start(&service.server().log)?;
    let served = match service {
        Service::Echo(options) => echo::serve(options),
        Service::Http(options) => http::serve(options),
        Service::Kv(options) => kv::serve(options),
        Service::Rooms(options) => rooms::serve(options),
    };
    Ok(served?)
}

/// Prints help, or what is wrong with the command line: that goes to standard error.
fn explain(answer: &clap::Error) -> Result<ExitCode, Failure> {
    let printed = answer.print();
    if !answer.use_stderr() {
        output::told(printed)?;
    }
    Ok(ExitCode::from(u8::try_from(answer.exit_code()).unwrap_or(2)))
}

fn run() -> Result<ExitCode, Failure> {
    let args = match args::parse(std::env::args_os()) {
        Ok(args) => args,
        Err(answer) => return explain(&answer),
    };
    match &args.command {
        Command::Serve(service) => serve_one(service)?,
        Command::Bench(bench) => bench::run(bench)?,
        Command::Compare(options) => compare::run(options)?,
    }
    Ok(ExitCode::SUCCESS)
}

fn main() -> ExitCode {
    let _finish = log::Finish;
    match run() {
        Ok(code) => code,
        Err(error) => {
            log::say(&format!("readyloop: {error}"));
            ExitCode::from(error.status())
        }
    }
}
