//! `placebench`: does this placement generate the right text, at what cost, and is it still so today?

mod args;
mod audit;
mod baseline;
mod bisect;
mod commands;
mod compare;
mod diagnostics;
mod doctor;
mod engines;
mod error;
mod fetch_bar;
mod foreign;
mod gate;
mod json_args;
mod judged;
mod model_source;
mod plan;
mod progress;
mod rates;
mod selection;
mod settings;
mod snapshots;
mod standing;
mod suite;
mod summary;
mod terminal;

use std::process::ExitCode;

use clap::Parser;

fn main() -> ExitCode {
    let code = match commands::dispatch(args::Args::parse()) {
        Ok(code) => code.number(),
        Err(error) => error.report(),
    };
    ExitCode::from(code)
}
