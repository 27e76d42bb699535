//! "Loading": weights are charged, and stand for themselves by a number.

use placebench_core::device::DeviceId;
use placebench_core::fault::FaultKind;
use placebench_core::module_tree::ModuleTree;
use placebench_core::outcome::WorkerFailure;
use placebench_core::protocol::{MemoryKind, RealisedModule};
use placebench_core::units::Bytes;

use super::ledger::Ledger;
use super::mix;
use super::model::{EMBEDDING, HEAD, MockModel};
use crate::Context;
use crate::tie::{Tied, torn};

/// A loaded module.
#[derive(Debug, Clone)]
struct Loaded {
    module: String,
    device: DeviceId,
    bytes: Bytes,
    /// What its weights are.
    contents: u64,
}

/// Loads every module to its device. A tied head on the embedding's device uses the embedding's weights; on another it
/// has a copy, which must be the same.
pub(super) fn load(
    model: MockModel,
    modules: &[(String, DeviceId)],
    tree: &ModuleTree,
    ledger: &mut Ledger,
    context: &mut Context,
) -> Result<Vec<RealisedModule>, WorkerFailure> {
    let mut loaded: Vec<Loaded> = Vec::with_capacity(modules.len());
    for (index, (module, device)) in modules.iter().enumerate() {
        let _ = context.enter_module(index);
        let bytes = tree
            .tensor_index(&format!("{module}.weight"))
            .and_then(|index| tree.tensors().get(index))
            .map_or(Bytes(0), |tensor| Bytes(tensor.bytes.whole_bytes()));
        let made = Loaded {
            module: module.clone(),
            device: device.clone(),
            bytes,
            contents: contents(module),
        };
        let embedding = loaded.first().filter(|_| model.tied && module == HEAD);
        let made = match embedding {
            Some(embedding) => tied_to(embedding, made, context),
            None => made,
        };
        ledger.charge(device, MemoryKind::Weights, made.bytes, module, context)?;
        loaded.push(made);
    }
    check_tie(model, &loaded, context)?;
    let realised = loaded.into_iter().map(|loaded| RealisedModule {
        module: loaded.module,
        device: loaded.device,
        bytes: loaded.bytes,
        rank: None,
    });
    Ok(realised.collect())
}

fn tied_to(embedding: &Loaded, head: Loaded, context: &Context) -> Loaded {
    if head.device == embedding.device {
        return Loaded {
            bytes: Bytes(0),
            contents: embedding.contents,
            ..head
        };
    }
    let contents = if context.fault_strikes(FaultKind::SplitTie) {
        mix(embedding.contents)
    } else {
        embedding.contents
    };
    Loaded { contents, ..head }
}

/// Reads back what was loaded.
fn check_tie(model: MockModel, loaded: &[Loaded], context: &Context) -> Result<(), WorkerFailure> {
    let (Some(embedding), Some(head)) = (loaded.first(), loaded.last()) else {
        return Ok(());
    };
    if !model.tied || head.contents == embedding.contents {
        return Ok(());
    }
    let tied = |loaded: &'_ Loaded| -> (String, DeviceId) { (loaded.module.clone(), loaded.device.clone()) };
    let ((head_module, head_device), (module, device)) = (tied(head), tied(embedding));
    let copy = Tied {
        module: &head_module,
        device: &head_device,
    };
    let original = Tied {
        module: &module,
        device: &device,
    };
    let how = format!("{:016x} and {:016x}", head.contents, embedding.contents);
    Err(torn(context, copy, original, &how))
}

/// A number for the weights of a module: a tied head has the embedding's.
fn contents(module: &str) -> u64 {
    let named = if module == HEAD { EMBEDDING } else { module };
    named.bytes().fold(7, |hash, byte| mix(hash ^ u64::from(byte)))
}
