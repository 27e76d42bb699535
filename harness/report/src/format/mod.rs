//! One module a format; each turns a record, or the view of it, into text. `FORMATS.md` beside this crate's manifest says
//! what each holds.

pub mod bencher;
pub mod bisect;
pub mod csv;
mod figures;
pub mod github;
pub mod github_benchmark;
pub mod html;
pub mod junit;
pub mod markdown;
