//! One module a format; each turns a record, or the view of it, into text.

pub mod bisect;
pub mod csv;
pub mod html;
pub mod junit;
pub mod markdown;
pub mod trend;
