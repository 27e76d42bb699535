//! `placebench doctor`: whether this machine's devices and the links between them are sound, and how fast they are.
//!
//! [`probe`] is what doctor and its child processes say to each other, [`report`] the document that is printed and kept,
//! [`advice`] what the findings mean for a person. Each pair of devices is probed in a child of its own, because a
//! broken link hangs as readily as it lies.

pub mod advice;
pub mod machine;
pub mod noise;
pub mod probe;
pub mod report;
