//! `placebench`: does this placement generate the right text, at what cost, and is it still so today?

mod against;
mod args;
mod audit;
mod baseline;
mod bisect;
mod browser;
mod commands;
mod compare;
mod diagnostics;
mod doctor;
mod engine_check;
mod engines;
mod error;
mod fetch_bar;
mod foreign;
mod gate;
mod github;
mod history;
mod json_args;
mod judged;
mod model_source;
mod neighbours;
mod page_file;
mod placement_table;
mod plan;
mod progress;
mod python;
mod rates;
mod review;
mod selection;
mod settings;
mod snapshots;
mod standing;
mod suite;
mod summary;
mod terminal;
mod text_table;
mod waiting;

use std::process::ExitCode;

use clap::Parser;

fn main() -> ExitCode {
    let code = match commands::dispatch(args::Args::parse()) {
        Ok(code) => code.number(),
        Err(error) => error.report(),
    };
    ExitCode::from(code)
}
