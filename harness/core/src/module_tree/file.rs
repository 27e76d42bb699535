//! The JSON form of a module tree.

use serde::{Deserialize, Serialize};

use super::build::ModuleTreeBuilder;
use super::{Module, ModuleTree, Tensor, TreeError};

/// A tree as it is written; checks and order are [`ModuleTreeBuilder`]'s.
#[derive(Clone, Serialize, Deserialize)]
pub(super) struct TreeFile {
    #[serde(default)]
    id: String,
    #[serde(default)]
    architecture: String,
    #[serde(default)]
    config: Option<serde_json::Value>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    about: Option<String>,
    #[serde(default)]
    no_split_classes: Vec<String>,
    #[serde(default)]
    no_split_modules: Vec<String>,
    #[serde(default)]
    tied: Vec<Vec<String>>,
    modules: Vec<Module>,
    tensors: Vec<Tensor>,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    same_module: Vec<(String, String)>,
}

impl TryFrom<TreeFile> for ModuleTree {
    type Error = TreeError;

    fn try_from(file: TreeFile) -> Result<Self, TreeError> {
        ModuleTreeBuilder::from_parts(file.id, file.architecture, file.modules, file.tensors)
            .config(file.config)
            .about(file.about)
            .no_split_classes(file.no_split_classes)
            .ties(file.tied)
            .same_modules(file.same_module)
            .build()
    }
}

impl From<ModuleTree> for TreeFile {
    fn from(tree: ModuleTree) -> Self {
        let no_split_modules = tree.no_split_modules().into_iter().map(str::to_owned).collect();
        Self {
            id: tree.id,
            architecture: tree.architecture,
            config: tree.config,
            about: tree.about,
            no_split_classes: tree.no_split_classes,
            no_split_modules,
            tied: tree.tied,
            modules: tree.modules,
            tensors: tree.tensors,
            same_module: tree.same_module,
        }
    }
}
