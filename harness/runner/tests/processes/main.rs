//! Tests with real processes. All of them use the worker of `examples/fake_worker.rs`, and none depends on how fast the
//! machine is: what is to be caught hangs for ever, and what is not to be caught has limits it comes nowhere near.

#[cfg(test)]
mod evidence;
#[cfg(test)]
mod failures;
#[cfg(test)]
mod fake;
#[cfg(test)]
mod memory;
#[cfg(test)]
mod orphans;
#[cfg(test)]
mod protocol;
#[cfg(test)]
mod run;
#[cfg(test)]
mod stacks;
#[cfg(test)]
mod supervision;
