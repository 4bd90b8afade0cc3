//! The parts of the server that a request may need.

use std::sync::Arc;

use axum::Router;

use crate::access::y_sweet::Gate;
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
    /// Who may use y-sweet.
    pub(crate) gate: Arc<Gate>,
    /// Starts traces.
    pub(crate) tracer: Tracer,
    /// The counters.
    pub(crate) metrics: Arc<Metrics>,
    /// Plain HTTP.
    pub(crate) routes: Router,
}
