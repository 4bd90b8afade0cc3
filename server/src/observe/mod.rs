//! What is seen of a server from outside beside its metrics: logs, and traces for those who have a collector.

mod collector;
pub(crate) mod lines;
pub(crate) mod logs;
pub(crate) mod trace;

pub(crate) use self::trace::{Span, Tracer};
