//! `placebench doctor`: [`examine()`](examine::examine) asks one probe after the other and makes the report, [`show`]
//! prints it.

pub(crate) mod ask;
pub(crate) mod calibrate;
pub(crate) mod driver;
pub(crate) mod examine;
pub(crate) mod injected;
mod machine;
mod pci;
pub(crate) mod show;
