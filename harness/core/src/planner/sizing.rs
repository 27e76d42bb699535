//! The size of one tensor under a request.

use std::collections::HashMap;

use super::amount::Amount;
use super::dtype::{bytes_per_element, is_integral};
use super::error::PlanError;
use super::request::{Dialect, PlanRequest};
use crate::module_tree::Tensor;

/// What the size of a tensor depends on besides its shape: a tree has thousands of tensors but few dtypes.
#[derive(Clone, Copy)]
pub(super) struct DtypeTraits {
    /// Bytes of an element; `None` for packed formats.
    own: Option<Amount>,
    is_integral: bool,
}

impl DtypeTraits {
    pub(super) fn of(dtype: &str) -> Self {
        Self {
            own: bytes_per_element(dtype),
            is_integral: is_integral(dtype),
        }
    }
}

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
        self.bytes_as(tensor, name, DtypeTraits::of(&tensor.dtype))
    }

    /// [`Self::bytes`] for many tensors, with what follows from the tensor's dtype looked up before.
    pub(super) fn bytes_as(&self, tensor: &Tensor, name: &str, dtype: DtypeTraits) -> Amount {
        // A packed format is loaded as it is, whatever is asked for.
        let Some(own) = dtype.own else {
            return tensor.bytes;
        };
        let per_element = match self.special(name) {
            Some(special) => special,
            None => match self.dialect {
                Dialect::Accelerate => self.converted(own, dtype.is_integral),
                Dialect::Transformers5 => self.created(tensor, own, dtype.is_integral),
            },
        };
        per_element.times(tensor.elements())
    }

    fn special(&self, name: &str) -> Option<Amount> {
        if self.special.is_empty() {
            return None;
        }
        self.special.get(name).copied()
    }

    /// Accelerate 1.4.0: the requested dtype never enlarges, and applies to floating-point buffers as well.
    fn converted(&self, own: Amount, is_integral: bool) -> Amount {
        match self.asked {
            Some(asked) if !is_integral => asked.min(own),
            _ => own,
        }
    }

    /// Transformers 5.23.0: parameters are created in the requested dtype, buffers keep theirs, a bool takes a byte.
    ///
    /// A buffer without dimensions is made from a plain number (Gemma's embedding scale) and so takes the requested
    /// dtype too, whereas rotary frequencies are explicitly float32.
    fn created(&self, tensor: &Tensor, own: Amount, is_integral: bool) -> Amount {
        let follows = !tensor.kind.is_buffer() || tensor.shape.is_empty();
        match self.asked {
            Some(asked) if follows && !is_integral => asked,
            _ => own.max(Amount::Whole(1)),
        }
    }
}
