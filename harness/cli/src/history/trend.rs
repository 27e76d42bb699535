//! `placebench history trend`.

use std::path::{Path, PathBuf};

use placebench_core::exit_code::ExitCode;
use placebench_core::selection::parse;
use placebench_core::statistics::ChangePointSpec;
use placebench_core::trend::{Trend, TrendSpec};
use placebench_history::{TrendQuery, names_of_metrics};
use placebench_report::view::trend::{ChangeView, TrendView};

use super::{failed, open};
use crate::args::{TrendArgs, TrendFormat};
use crate::diagnostics::bad_filter;
use crate::error::CliError;
use crate::terminal::{self, out, printable};
use crate::{browser, page_file};

/// Series without a change that are printed.
const MOST_QUIET: usize = 30;

const PAGE: &str = "trend.html";

pub(crate) fn run(args: &TrendArgs) -> Result<ExitCode, CliError> {
    let query = query(args)?;
    let history = open(&args.database)?;
    let trend = history.trend(&query).map_err(|error| failed(&error))?;
    match args.format {
        TrendFormat::Json => {
            let value = serde_json::to_value(&trend)
                .map_err(|error| CliError::setup(format!("the trend cannot be put into JSON: {error}")))?;
            out(&terminal::pretty_json(&value));
        }
        TrendFormat::Human => show(&TrendView::new(&trend)),
        TrendFormat::Html => {
            let page = args.output.clone().unwrap_or_else(|| beside(history.path()));
            write(&trend, &page)?;
            out(&printable(&page.display().to_string()));
            if args.open {
                browser::open_page(&page);
            }
        }
    }
    Ok(ExitCode::Passed)
}

fn query(args: &TrendArgs) -> Result<TrendQuery, CliError> {
    if (args.output.is_some() || args.open) && args.format != TrendFormat::Html {
        let message = "--output and --open are for the page of --format html; the others go to standard output";
        return Err(CliError::with_code(ExitCode::Usage, message));
    }
    let known = names_of_metrics();
    let metrics: Vec<String> = match args.metric.iter().any(|name| name == "all") {
        true => known.iter().map(|name| (*name).to_owned()).collect(),
        false => args.metric.clone(),
    };
    if let Some(unknown) = metrics.iter().find(|name| !known.contains(&name.as_str())) {
        let message = format!(
            "no figure is called `{}`; there are {}, and all",
            unknown.escape_debug(),
            known.join(", ")
        );
        return Err(CliError::with_code(ExitCode::Usage, message));
    }
    let any: Vec<String> = args.filterset.iter().map(|text| format!("({text})")).collect();
    let filterset = match args.filterset.as_slice() {
        [] => None,
        [one] => Some(parse(one).map_err(|problem| bad_filter("filterset", one, problem))?),
        _ => {
            // Each by itself first, so that a mistake is shown where it was made.
            for text in &args.filterset {
                parse(text).map_err(|problem| bad_filter("filterset", text, problem))?;
            }
            let text = any.join(" or ");
            Some(parse(&text).map_err(|problem| bad_filter("filterset", &text, problem))?)
        }
    };
    Ok(TrendQuery {
        filterset,
        metrics,
        machine: args.machine.clone(),
        last: args.last as usize,
        spec: TrendSpec {
            changes: ChangePointSpec {
                min_change: args.min_change / 100.0,
                ..ChangePointSpec::default()
            },
        },
    })
}

fn beside(database: &Path) -> PathBuf {
    database.with_file_name(PAGE)
}

fn write(trend: &Trend, page: &Path) -> Result<(), CliError> {
    let html = placebench_report::format::html::trend::render(&TrendView::new(trend))
        .map_err(|error| CliError::setup(format!("the page cannot be made: {error}")))?;
    page_file::write(page, &html)
}

fn show(view: &TrendView) {
    let say = |text: &str| out(&printable(text));
    say(&format!("{}. {}", view.headline, view.summary));
    for machine in &view.machines {
        say(&format!("machine {}: {}", machine.key, machine.words));
    }
    if !view.states.is_empty() {
        out("");
        out("States");
    }
    for state in &view.states {
        say(&format!("  {}: {}  [{}]", state.case, state.now, state.machine));
        show_change(state.changes.first());
    }
    if !view.figures.is_empty() {
        out("");
        out("Figures");
    }
    let width = |of: &dyn Fn(usize) -> usize| (0..view.figures.len()).map(of).max().unwrap_or(0).min(60);
    let case = width(&|index| view.figures[index].case.chars().count());
    let metric = width(&|index| view.figures[index].metric.chars().count());
    let changed = view.figures.iter().filter(|figure| figure.sense != "quiet");
    let quiet = || view.figures.iter().filter(|figure| figure.sense == "quiet");
    let worse = changed.clone().filter(|figure| figure.sense != "better");
    let better = changed.filter(|figure| figure.sense == "better");
    for figure in worse.chain(better).chain(quiet().take(MOST_QUIET)) {
        say(&format!(
            "  {:<case$}  {:<metric$}  {:<24}  {:>10}  {:>4} runs  [{}]",
            figure.case, figure.metric, figure.sparkline, figure.last, figure.runs, figure.machine
        ));
        show_change(figure.changes.first());
    }
    if let Some(more) = quiet().count().checked_sub(MOST_QUIET).filter(|more| *more > 0) {
        out(&format!("  and {more} more without a change"));
    }
}

fn show_change(change: Option<&ChangeView>) {
    if let Some(change) = change {
        let sense = match change.sense {
            "other" => "changed",
            sense => sense,
        };
        out(&printable(&format!("    {sense}: {}, {}", change.size, change.date)));
        out(&printable(&format!(
            "    between {}: {}",
            change.between,
            change.beside.join("; ")
        )));
    }
}
