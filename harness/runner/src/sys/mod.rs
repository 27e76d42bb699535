//! The only place that asks the operating system for more than `std` offers.

#[cfg(unix)]
mod unix;
#[cfg(unix)]
pub(crate) use unix::*;

#[cfg(not(unix))]
compile_error!("supervision is built on process groups; a system without them needs a module beside `sys/unix.rs`");
