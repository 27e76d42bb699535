//! The size of one tensor under a request.

use std::collections::HashMap;

use super::amount::Amount;
use super::dtype::{bytes_per_element, is_integral};
use super::error::PlanError;
use super::request::{Dialect, PlanRequest};
use crate::module_tree::Tensor;

/// Rules for tensor sizes, with dtypes resolved to bytes per element.
pub(super) struct Sizing<'a> {
    dialect: Dialect,
    asked: Option<Amount>,
    special: HashMap<&'a str, Amount>,
}

fn element_bytes(dtype: &str) -> Result<Amount, PlanError> {
    bytes_per_element(dtype).ok_or_else(|| PlanError::UnknownDtype {
        dtype: dtype.to_owned(),
    })
}

impl<'a> Sizing<'a> {
    pub(super) fn new(request: &'a PlanRequest) -> Result<Self, PlanError> {
        let special = request
            .special_dtypes
            .iter()
            .map(|(name, dtype)| Ok((name.as_str(), element_bytes(dtype)?)));
        Ok(Self {
            dialect: request.dialect,
            asked: request.dtype.as_deref().map(element_bytes).transpose()?,
            special: special.collect::<Result<_, PlanError>>()?,
        })
    }

    /// The tensor's bytes; `name` is what special dtypes are looked up by.
    pub(super) fn bytes(&self, tensor: &Tensor, name: &str) -> Amount {
        // A packed format is loaded as it is, whatever is asked for.
        let Some(own) = bytes_per_element(&tensor.dtype) else {
            return tensor.bytes;
        };
        let per_element = match self.special.get(name) {
            Some(&special) => special,
            None => match self.dialect {
                Dialect::Accelerate => self.converted(tensor, own),
                Dialect::Transformers5 => self.created(tensor, own),
            },
        };
        per_element.times(tensor.elements())
    }

    /// Accelerate 1.4.0: the requested dtype never enlarges, and applies to floating-point buffers as well.
    fn converted(&self, tensor: &Tensor, own: Amount) -> Amount {
        match self.asked {
            Some(asked) if !is_integral(&tensor.dtype) => asked.min(own),
            _ => own,
        }
    }

    /// Transformers 5.23.0: parameters are created in the requested dtype, buffers keep theirs, a bool takes a byte.
    ///
    /// A buffer without dimensions is made from a plain number (Gemma's embedding scale) and so takes the requested
    /// dtype too, whereas rotary frequencies are explicitly float32.
    fn created(&self, tensor: &Tensor, own: Amount) -> Amount {
        let follows = !tensor.kind.is_buffer() || tensor.shape.is_empty();
        match self.asked {
            Some(asked) if follows && !is_integral(&tensor.dtype) => asked,
            _ => own.max(Amount::Whole(1)),
        }
    }
}
