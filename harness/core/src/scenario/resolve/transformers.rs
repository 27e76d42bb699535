//! How the stack of Hugging Face is run.

use toml::Spanned;

use crate::record::TransformersSpec;
use crate::scenario::file::ScenarioFile;
use crate::scenario::problem::Problem;
use crate::scenario::rules;

pub(super) fn resolve_transformers(file: &ScenarioFile, problems: &mut Vec<Problem>) -> Option<TransformersSpec> {
    let table = file.transformers.as_ref()?.get_ref();
    if let Some(environment) = &table.environment {
        rules::name(environment, "Python environment", problems);
    }
    let plain = |key: &Option<Spanned<String>>| key.as_ref().map(|value| value.get_ref().clone());
    Some(TransformersSpec {
        environment: plain(&table.environment),
        attention: plain(&table.attention),
        move_to: plain(&table.move_to),
        inputs_on: plain(&table.inputs_on),
    })
}
