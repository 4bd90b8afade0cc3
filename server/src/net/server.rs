//! The parts of the server that a request may need.

use std::sync::Arc;

use crate::access::{Authorizer, Refusals};
use crate::config::Config;
use crate::connection::register::Connections;
use crate::metrics::Metrics;
use crate::observe::Tracer;
use crate::rooms::Rooms;

/// The parts of a running server.
pub(crate) struct Server {
    /// The configuration in force.
    pub(crate) config: Arc<Config>,
    /// The open documents.
    pub(crate) rooms: Arc<Rooms>,
    /// The open WebSockets.
    pub(crate) connections: Arc<Connections>,
    /// Decides who may do what.
    pub(crate) authorizer: Arc<Authorizer>,
    /// How often addresses were refused.
    pub(crate) refusals: Arc<Refusals>,
    /// Starts traces.
    pub(crate) tracer: Tracer,
    /// The counters.
    pub(crate) metrics: Arc<Metrics>,
}
