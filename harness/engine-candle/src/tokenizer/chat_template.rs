//! Chat templates: Jinja as transformers renders it.
//!
//! A template comes with the model, so it is somebody else's program: it sees nothing but the turns, and it is stopped
//! when it runs for too long.

use minijinja::syntax::SyntaxConfig;
use minijinja::value::{Kwargs, Serde, Value};
use minijinja::{Environment, Error, ErrorKind, context};
use placebench_core::protocol::Message;
use serde::Serialize;
use thiserror::Error as ThisError;

/// Steps after which a template is taken to be endless. A chat of a thousand turns needs about a hundredth.
const MOST_STEPS: u64 = 10_000_000;

/// The texts of tokens that templates mention.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct SpecialTokens {
    /// The begin of a text.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub bos_token: Option<String>,
    /// The end of a text or turn.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub eos_token: Option<String>,
    /// What is unknown.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub unk_token: Option<String>,
    /// Filling.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub pad_token: Option<String>,
}

/// A chat template with the tokens it mentions.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ChatTemplate {
    source: String,
    tokens: SpecialTokens,
}

/// Why a template makes no text of the turns.
#[derive(Debug, Clone, PartialEq, Eq, ThisError)]
pub enum TemplateError {
    /// The template itself refuses, through `raise_exception`.
    #[error("the chat template refuses the messages: {0}")]
    Raised(String),
    /// It cannot be rendered.
    #[error("the chat template cannot be rendered: {0}")]
    Broken(String),
}

impl ChatTemplate {
    /// A template of that source.
    #[must_use]
    pub fn new(source: String, tokens: SpecialTokens) -> Self {
        Self { source, tokens }
    }

    /// The text of a chat, with the generation prompt.
    ///
    /// # Errors
    /// When the template is broken or refuses the turns.
    pub fn render(&self, messages: &[Message]) -> Result<String, TemplateError> {
        let environment = environment().map_err(|error| TemplateError::Broken(error.to_string()))?;
        let values = context! {
            messages => Serde(messages),
            add_generation_prompt => true,
            tools => Value::from(()),
            documents => Value::from(()),
            ..Value::from(Serde(&self.tokens))
        };
        environment
            .render_str(&self.source, values)
            .map_err(|error| match raised(&error) {
                Some(message) => TemplateError::Raised(message),
                None => TemplateError::Broken(error.to_string()),
            })
    }
}

/// Transformers' environment: blocks leave no lines behind, `break` and `continue`, Python's methods on values.
fn environment() -> Result<Environment<'static>, Error> {
    let mut environment = Environment::new();
    environment.set_syntax(SyntaxConfig::builder().trim_blocks(true).lstrip_blocks(true).build()?);
    environment.set_fuel(Some(MOST_STEPS));
    environment.set_unknown_method_callback(minijinja_contrib::pycompat::unknown_method_callback);
    environment.add_function("raise_exception", raise_exception);
    environment.add_function("strftime_now", strftime_now);
    environment.add_filter("tojson", tojson);
    Ok(environment)
}

/// Marks errors of `raise_exception` among all others of the same kind.
const RAISED: &str = "raise_exception: ";

fn raise_exception(message: String) -> Result<Value, Error> {
    Err(Error::new(ErrorKind::InvalidOperation, format!("{RAISED}{message}")))
}

fn raised(error: &Error) -> Option<String> {
    let message = error.detail()?.strip_prefix(RAISED)?;
    Some(crate::shown::shown(message))
}

/// The date in the words of a format, always that of 26 July 2024.
///
/// Transformers takes today's, so that the same chat has other tokens tomorrow. A test must not, and this is the date that
/// Llama's templates fall back to where the function is absent.
fn strftime_now(format: String) -> Result<String, Error> {
    let mut text = String::new();
    let mut rest = format.chars();
    while let Some(next) = rest.next() {
        if next != '%' {
            text.push(next);
            continue;
        }
        let mut specifier: String = rest.next().into_iter().collect();
        if specifier == "-" {
            specifier.extend(rest.next());
        }
        text.push_str(match specifier.as_str() {
            "d" | "e" | "-d" => "26",
            "b" | "h" => "Jul",
            "B" => "July",
            "m" => "07",
            "-m" => "7",
            "Y" => "2024",
            "y" => "24",
            "A" => "Friday",
            "a" => "Fri",
            "j" => "208",
            "F" => "2024-07-26",
            "H" | "M" | "S" => "00",
            "I" => "12",
            "p" => "AM",
            "%" => "%",
            other => {
                let message = format!("strftime_now does not know %{other}");
                return Err(Error::new(ErrorKind::InvalidOperation, message));
            }
        });
    }
    Ok(text)
}

/// Python's `json.dumps(value, ensure_ascii=False, indent=indent)`: unlike Jinja's own filter it escapes nothing for HTML.
fn tojson(value: Value, options: Kwargs) -> Result<Value, Error> {
    let indent: Option<usize> = options.get("indent")?;
    // Further options of Python's would change what is written: refused rather than ignored.
    options.assert_all_used()?;
    let failed = |error: serde_json::Error| Error::new(ErrorKind::BadSerialization, error.to_string());
    let mut bytes = Vec::new();
    match indent {
        Some(width) => {
            let indent = vec![b' '; width.min(16)];
            let formatter = serde_json::ser::PrettyFormatter::with_indent(&indent);
            let mut serializer = serde_json::Serializer::with_formatter(&mut bytes, formatter);
            value.serialize(&mut serializer).map_err(failed)?;
        }
        None => {
            let mut serializer = serde_json::Serializer::with_formatter(&mut bytes, PythonFormatter);
            value.serialize(&mut serializer).map_err(failed)?;
        }
    }
    Ok(Value::from(String::from_utf8_lossy(&bytes).into_owned()))
}

/// A space after each comma and colon.
struct PythonFormatter;

impl serde_json::ser::Formatter for PythonFormatter {
    fn begin_array_value<W: ?Sized + std::io::Write>(&mut self, writer: &mut W, first: bool) -> std::io::Result<()> {
        if first { Ok(()) } else { writer.write_all(b", ") }
    }

    fn begin_object_key<W: ?Sized + std::io::Write>(&mut self, writer: &mut W, first: bool) -> std::io::Result<()> {
        if first { Ok(()) } else { writer.write_all(b", ") }
    }

    fn begin_object_value<W: ?Sized + std::io::Write>(&mut self, writer: &mut W) -> std::io::Result<()> {
        writer.write_all(b": ")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn render(source: &str) -> Result<String, TemplateError> {
        let turn = |role: &str, content: &str| Message {
            role: role.into(),
            content: content.into(),
        };
        let tokens = SpecialTokens {
            bos_token: Some("<s>".into()),
            ..SpecialTokens::default()
        };
        ChatTemplate::new(source.into(), tokens).render(&[turn("system", " Be brief. "), turn("user", "<a> & \"b\" é")])
    }

    fn check(source: &str, expected: &str) {
        assert_eq!(render(source).as_deref(), Ok(expected), "{source}");
    }

    #[test]
    fn blocks_leave_no_lines_behind() {
        check(
            "{% for m in messages %}\n  {% if m.role %}\n{{ m.role }}\n  {% endif %}\n{% endfor %}\n",
            "system\nuser\n",
        );
    }

    #[test]
    fn python_methods_and_slices_work() {
        check("{{ messages[0]['content'].strip().upper() }}", "BE BRIEF.");
        check(
            "{% for m in messages[1:] %}{{ m.content.split(' ')[0] }}{% endfor %}",
            "<a>",
        );
        check("{{ messages[0].items() | list | length }}", "2");
        check(
            "{% for m in messages %}{% if loop.last %}{% break %}{% endif %}{{ m['role'] }}{% endfor %}",
            "system",
        );
        check(
            "{% set ns = namespace(n=0) %}{% for m in messages %}{% set ns.n = ns.n + 1 %}{% endfor %}{{ ns.n }}",
            "2",
        );
        check(
            "{{ bos_token }}{{ eos_token }}{% if tools is not none %}t{% endif %}{% if tools %}t{% endif %}",
            "<s>",
        );
    }

    #[test]
    fn json_is_pythons() {
        check(
            r#"{{ messages[1] | tojson }}"#,
            r#"{"role": "user", "content": "<a> & \"b\" é"}"#,
        );
        check("{{ [1, 2] | tojson(indent=2) }}", "[\n  1,\n  2\n]");
    }

    #[test]
    fn the_date_stands_still() {
        check("{{ strftime_now('%d %b %Y') }}", "26 Jul 2024");
        assert!(matches!(
            render("{{ strftime_now('%Q') }}"),
            Err(TemplateError::Broken(_))
        ));
    }

    #[test]
    fn refusals_are_told_from_defects() {
        assert_eq!(
            render("{{ raise_exception('roles must alternate') }}"),
            Err(TemplateError::Raised("roles must alternate".into()))
        );
        assert!(matches!(render("{% for %}"), Err(TemplateError::Broken(_))));
    }

    #[test]
    fn an_endless_template_is_stopped() {
        let source = "{% for a in range(9999) %}{% for b in range(9999) %}{% endfor %}{% endfor %}";
        assert!(matches!(render(source), Err(TemplateError::Broken(_))));
    }
}
