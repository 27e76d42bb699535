//! The warning about buffers of offloaded modules, which stay on an accelerator while their weights come and go.

use std::collections::HashSet;

use super::amount::Amount;
use super::device::PlanDevice;
use super::place::Placed;
use super::sizing::Sizing;
use crate::module_tree::ModuleTree;

/// Bytes of buffers in modules on `cpu` and `disk`, where there is an accelerator and none has room for them all.
pub(super) fn too_large_for_any_accelerator(tree: &ModuleTree, sizing: &Sizing<'_>, placed: &Placed) -> Option<Amount> {
    let offloaded = |device: PlanDevice| !device.is_accelerator();
    let bytes: Amount = placed
        .modules
        .iter()
        .filter(|(_, device)| offloaded(*device))
        .map(|&(module, _)| buffer_bytes(tree, sizing, module))
        .sum();
    let mut accelerators = placed.slots.iter().filter(|slot| !offloaded(slot.device)).peekable();
    accelerators.peek()?;
    let has_room = accelerators.any(|slot| slot.budget.is_some_and(|budget| budget >= bytes + slot.used));
    (bytes > Amount::ZERO && !has_room).then_some(bytes)
}

/// Bytes of all buffers in a module and below it, those of a module object registered twice once.
///
/// Special dtypes are looked up by names relative to the module, as in Accelerate 1.4.0.
fn buffer_bytes(tree: &ModuleTree, sizing: &Sizing<'_>, module: usize) -> Amount {
    let path = tree.modules().get(module).map_or("", |module| module.path.as_str());
    let mut objects = HashSet::new();
    tree.subtree(module)
        .flat_map(|module| tree.direct_buffers(module))
        .filter_map(|&tensor| tree.tensors().get(tensor))
        .filter(|tensor| objects.insert(tree.first_name(&tensor.name)))
        .map(|tensor| {
            let below = tensor.name.strip_prefix(path).unwrap_or(&tensor.name);
            sizing.bytes(tensor, below.strip_prefix('.').unwrap_or(below))
        })
        .sum()
}
