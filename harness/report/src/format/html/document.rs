//! What every page of ours is made of: one style, one palette, one set of templates, one way to put charts into it.
//!
//! A page is one file that loads nothing; its content security policy says so to the browser too. All text goes through
//! the template engine's escaping; only charts, which escape their own labels, and our own style are put in as they are.

use std::fmt::Write as _;

use minijinja::syntax::SyntaxConfig;
use minijinja::value::Serde;
use minijinja::{AutoEscape, Environment, UndefinedBehavior, Value};
use serde::Serialize;

use crate::RenderError;
use crate::plot::palette::{Scheme, css_classes, css_variables};
use crate::plot::scene::Scene;
use crate::plot::svg::{NARROW, svg};

/// Widths at which every chart is laid out: one for reading at a desk and on paper, one for a phone.
const WIDTHS: [(f64, &str); 2] = [(1080.0, "wide"), (340.0, NARROW)];

/// The styles, in the order in which they are written.
const STYLES: &[&str] = &[
    include_str!("../../../assets/css/base.css"),
    include_str!("../../../assets/css/answer.css"),
    include_str!("../../../assets/css/overview.css"),
    include_str!("../../../assets/css/prompt.css"),
    include_str!("../../../assets/css/compared.css"),
    include_str!("../../../assets/css/latency.css"),
    include_str!("../../../assets/css/placement.css"),
    include_str!("../../../assets/css/memory.css"),
    include_str!("../../../assets/css/stages.css"),
    include_str!("../../../assets/css/case.css"),
    include_str!("../../../assets/css/trend.css"),
    include_str!("../../../assets/css/compare.css"),
    include_str!("../../../assets/css/controls.css"),
    include_str!("../../../assets/css/media.css"),
];

/// What went well and what waits, which no picture paints: light, then dark.
const TONES: [&str; 2] = ["--good:#0f7f4a;--wait:#8f5b00;", "--good:#5ecb97;--wait:#e9b045;"];

/// Colours of devices that the style knows.
const DEVICES: usize = 8;

/// A template by the name that others include it by: its path below `assets/`.
macro_rules! template {
    ($name:literal) => {
        ($name, include_str!(concat!("../../../assets/", $name)))
    };
}

/// Every template there is.
const TEMPLATES: &[(&str, &str)] = &[
    template!("page/head.jinja"),
    template!("page/macros.jinja"),
    template!("report/report.html.jinja"),
    template!("report/header.jinja"),
    template!("report/answer.jinja"),
    template!("report/contents.jinja"),
    template!("report/gate.jinja"),
    template!("report/failures.jinja"),
    template!("report/overview.jinja"),
    template!("report/overview_matrix.jinja"),
    template!("report/overview_rows.jinja"),
    template!("report/all_cases.jinja"),
    template!("report/expected.jinja"),
    template!("report/faults.jinja"),
    template!("report/not_run.jinja"),
    template!("report/scenario.jinja"),
    template!("report/prompt.jinja"),
    template!("report/compared.jinja"),
    template!("report/placement.jinja"),
    template!("report/latency.jinja"),
    template!("report/memory.jinja"),
    template!("report/forecast.jinja"),
    template!("report/audit.jinja"),
    template!("report/case.jinja"),
    template!("report/case_text.jinja"),
    template!("report/case_placement.jinja"),
    template!("report/case_hang.jinja"),
    template!("report/case_details.jinja"),
    template!("report/environment.jinja"),
    template!("compare/compare.html.jinja"),
    template!("trend/trend.html.jinja"),
];

/// What the head of a page needs; `shell` in templates.
#[derive(Debug, Serialize)]
pub(super) struct Shell {
    style: String,
    /// The content security policy.
    policy: String,
    script: String,
}

impl Shell {
    /// A page that runs our script and no other.
    pub(super) fn new() -> Self {
        let script = super::script::script();
        Self {
            style: style(),
            policy: policy(&script),
            script,
        }
    }
}

/// Nothing is loaded, sent or run, but for the one script.
fn policy(script: &str) -> String {
    let hash = super::script::source_hash(script);
    format!("default-src 'none'; style-src 'unsafe-inline'; script-src '{hash}'; base-uri 'none'; form-action 'none'")
}

fn style() -> String {
    let [light, dark] = [(Scheme::Light, TONES[0]), (Scheme::Dark, TONES[1])]
        .map(|(scheme, tones)| format!("{}{tones}", css_variables(scheme)));
    // A reader's choice goes before the system's; paper is always light.
    let mut style = format!(
        ":root{{color-scheme:light dark;{light}}}\n:root[data-theme=light]{{color-scheme:light}}\n\
         @media screen and (prefers-color-scheme:dark){{:root:not([data-theme=light]){{{dark}}}}}\n\
         @media screen{{:root[data-theme=dark]{{color-scheme:dark;{dark}}}}}\n{}\n",
        css_classes(),
    );
    for device in 0..DEVICES {
        // Nothing is lost where it cannot be written: a String takes everything.
        let _ = writeln!(
            style,
            "[data-device=\"{device}\"] :is(svg,.chips) :is([class*=f-d],[class*=s-d]):not(.f-d{device},.s-d{device}){{opacity:.15}}"
        );
    }
    for sheet in STYLES {
        let _ = writeln!(style, "{}", sheet.trim_end());
    }
    style
}

/// Fills a page: `name` is its template, `page` what the template asks for.
///
/// # Errors
/// When a template does not fit.
pub(super) fn fill(name: &str, page: impl Serialize) -> Result<String, RenderError> {
    let mut environment = Environment::new();
    environment.set_auto_escape_callback(|_| AutoEscape::Html);
    environment.set_undefined_behavior(UndefinedBehavior::Strict);
    environment.set_syntax(SyntaxConfig::builder().trim_blocks(true).lstrip_blocks(true).build()?);
    environment.add_filter("figures", crate::view::no_break::unbroken);
    environment.add_filter("code", super::prose::code);
    for (name, source) in TEMPLATES {
        environment.add_template(name, source)?;
    }
    Ok(environment.get_template(name)?.render(Value::from(Serde(page)))?)
}

/// A chart at every width; the style shows the one that fits.
pub(super) fn chart(at_width: impl Fn(f64) -> Scene) -> String {
    let widths = WIDTHS.iter().map(|(width, class)| svg(&at_width(*width), class));
    widths.collect()
}

/// The same, known to the script by its name.
pub(super) fn named_chart(name: &str, at_width: impl Fn(f64) -> Scene) -> String {
    format!("<div data-chart=\"{name}\">{}</div>", chart(at_width))
}
