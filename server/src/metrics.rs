//! The counters of the server, for Prometheus: enough to explain a slow minute, nothing per document, and no more than a few
//! atomic additions for each message.

use std::fmt;

use coscribe_websocket::WireBytes;
use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::encoding::text::encode;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::metrics::histogram::{Histogram, exponential_buckets};
use prometheus_client::registry::{Registry, Unit};

use crate::budget::{Budget, Debtor};
use crate::observe::lines;

/// The content type of the text that [`Metrics::encode`] gives.
pub(crate) const CONTENT_TYPE: &str = "application/openmetrics-text; version=1.0.0; charset=utf-8";

/// All counters.
#[derive(Debug)]
pub(crate) struct Metrics {
    /// Open WebSockets.
    pub(crate) connections: Gauge,
    /// How many of these there may be.
    pub(crate) max_connections: Gauge,
    /// 1 while updates can be stored, else 0.
    pub(crate) ready: Gauge,
    /// Open documents.
    pub(crate) rooms: Gauge,
    /// Peers whose outbox is over its limit.
    pub(crate) lagging_peers: Gauge,
    /// WebSocket messages from clients.
    pub(crate) messages_received: Counter,
    /// WebSocket messages to clients.
    pub(crate) messages_sent: Counter,
    /// Updates from clients that brought something new.
    pub(crate) updates_received: Counter,
    /// Updates to clients; one that goes to ten counts ten times.
    pub(crate) updates_sent: Counter,
    /// Bytes of messages from clients, after decompression.
    pub(crate) received_bytes: Counter,
    /// Bytes of messages to clients, before compression.
    pub(crate) sent_bytes: Counter,
    /// Bytes from and to the sockets.
    pub(crate) wire_bytes: WireBytes,
    /// Bytes that a flush sends to each peer, before compression.
    pub(crate) flush_bytes: Histogram,
    /// The time that a flush and its writing cost.
    pub(crate) flush_seconds: Histogram,
    /// Bytes of the log.
    pub(crate) log_bytes: Gauge,
    /// Bytes of its records that no snapshot has.
    pub(crate) log_live_bytes: Gauge,
    /// Bytes that are free on the disk.
    pub(crate) disk_free_bytes: Gauge,
    /// 1 while there is no space for new documents, else 0.
    pub(crate) disk_short: Gauge,
    /// From when an update is handed to the log to when it is on disk.
    pub(crate) log_append_seconds: Histogram,
    /// Records that the log could not take. Their documents are appended once more when it can.
    pub(crate) records_unstored: Counter,
    /// One write and one sync, for whatever came together.
    pub(crate) log_sync_seconds: Histogram,
    /// Tokens that took the place of another one on an open connection.
    pub(crate) tokens_refreshed: Counter,
    /// Tokens and subjects that were revoked.
    pub(crate) revocations: Counter,
    /// Peers whose access to a document changed, or ended, while they were connected.
    pub(crate) access_changed: Counter,
    rejected: Family<Reason, Counter>,
    gave_way: Family<Owed, Counter>,
    grants: Family<Granted, Counter>,
    denials: Family<Reason, Counter>,
    registry: Registry,
}

/// Why something was turned away, closed or denied.
#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct Reason {
    reason: &'static str,
}

/// Who owes memory.
#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct Owed {
    debtor: &'static str,
}

/// How somebody came who was granted a document.
#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct Granted {
    dialect: &'static str,
}

impl Metrics {
    /// All at zero, beside what the budget counts.
    pub(crate) fn new(budget: &Budget) -> Metrics {
        // From 64 bytes to 16 MiB, and from 20 µs to 10 s.
        let sizes = || Histogram::new(exponential_buckets(64.0, 4.0, 10));
        let times = || Histogram::new(exponential_buckets(20e-6, 2.0, 20));
        let mut metrics = Metrics {
            connections: Gauge::default(),
            max_connections: Gauge::default(),
            ready: Gauge::default(),
            rooms: Gauge::default(),
            lagging_peers: Gauge::default(),
            messages_received: Counter::default(),
            messages_sent: Counter::default(),
            updates_received: Counter::default(),
            updates_sent: Counter::default(),
            received_bytes: Counter::default(),
            sent_bytes: Counter::default(),
            wire_bytes: WireBytes::default(),
            flush_bytes: sizes(),
            flush_seconds: times(),
            log_bytes: Gauge::default(),
            log_live_bytes: Gauge::default(),
            disk_free_bytes: Gauge::default(),
            disk_short: Gauge::default(),
            log_append_seconds: times(),
            records_unstored: Counter::default(),
            log_sync_seconds: times(),
            tokens_refreshed: Counter::default(),
            revocations: Counter::default(),
            access_changed: Counter::default(),
            rejected: Family::default(),
            gave_way: Family::default(),
            grants: Family::default(),
            denials: Family::default(),
            registry: Registry::with_prefix("coscribe"),
        };
        metrics.register();
        metrics.register_memory(budget);
        metrics
    }

    /// Counts something that was turned away, or closed by us, for one of a few reasons.
    pub(crate) fn reject(&self, reason: &'static str) {
        self.rejected.get_or_create(&Reason { reason }).inc();
    }

    /// Counts connections or documents that were sent away for want of memory.
    pub(crate) fn gave_way(&self, debtor: &'static str, count: u64) {
        self.gave_way.get_or_create(&Owed { debtor }).inc_by(count);
    }

    /// Counts a document that somebody may have, by the dialect in which it was asked for: `y-websocket`, `hocuspocus` or
    /// `y-sweet`.
    pub(crate) fn granted(&self, dialect: &'static str) {
        self.grants.get_or_create(&Granted { dialect }).inc();
    }

    /// Counts a document that somebody may not have, for one of a few reasons.
    pub(crate) fn denied(&self, reason: &'static str) {
        self.denials.get_or_create(&Reason { reason }).inc();
    }

    /// Everything as text, for a scraper.
    pub(crate) fn encode(&self) -> Result<String, fmt::Error> {
        let mut text = String::new();
        encode(&mut text, &self.registry)?;
        Ok(text)
    }

    fn register_memory(&mut self, budget: &Budget) {
        let registry = self.registry.sub_registry_with_prefix("memory");
        let bound = Gauge::<i64>::default();
        bound.set(budget.bound().try_into().unwrap_or(i64::MAX));
        registry.register_with_unit("bound", "What may be held for others", Unit::Bytes, bound);
        for (debtor, label) in
            [(Debtor::Connection, "connection"), (Debtor::Document, "document"), (Debtor::Request, "request")]
        {
            let held = registry.sub_registry_with_label(("debtor".into(), label.into()));
            let gauge = budget.held_for(debtor).clone();
            held.register_with_unit("held", "What is held for others", Unit::Bytes, gauge);
        }
        registry.register("gave_way", "Sent away for want of memory", self.gave_way.clone());
        for debtor in ["connection", "document"] {
            self.gave_way(debtor, 0);
        }
    }

    fn register(&mut self) {
        let registry = &mut self.registry;
        for (gauge, name, help) in [
            (&self.connections, "connections", "Open WebSockets"),
            (&self.max_connections, "max_connections", "How many WebSockets may be open"),
            (&self.ready, "ready", "Whether updates can be stored: 1, or 0 as soon as one cannot"),
            (&self.rooms, "rooms", "Open documents"),
            (&self.lagging_peers, "lagging_peers", "Connections that are too slow, and will be resynced"),
            (
                &self.disk_short,
                "disk_short",
                "Whether new documents are refused for want of disk space: 1 or 0",
            ),
        ] {
            registry.register(name, help, gauge.clone());
        }
        for (gauge, name, help) in [
            (&self.log_bytes, "log", "Size of the log"),
            (&self.log_live_bytes, "log_live", "Size of the records in the log that no snapshot has"),
            (&self.disk_free_bytes, "disk_free", "Free space in the file system of the documents"),
        ] {
            registry.register_with_unit(name, help, Unit::Bytes, gauge.clone());
        }
        for (counter, name, help) in [
            (&self.messages_received, "messages_received", "WebSocket messages from clients"),
            (&self.messages_sent, "messages_sent", "WebSocket messages to clients"),
            (&self.updates_received, "updates_received", "Updates from clients that were new"),
            (&self.updates_sent, "updates_sent", "Updates to clients, counted for each of them"),
            (
                &self.records_unstored,
                "records_unstored",
                "Records that could not be stored, until their documents are once more",
            ),
            (
                &self.tokens_refreshed,
                "tokens_refreshed",
                "Tokens that replaced another on an open connection",
            ),
            (&self.revocations, "revocations", "Tokens and subjects that were revoked"),
            (&self.access_changed, "access_changed", "Peers whose access changed while they were connected"),
            (&lines::dropped(), "log_lines_dropped", "Lines of the log that nobody read in time"),
        ] {
            registry.register(name, help, counter.clone());
        }
        for (counter, name, help) in [
            (&self.received_bytes, "received", "Messages from clients, after decompression"),
            (&self.wire_bytes.received, "received_wire", "Read from WebSockets, before decompression"),
            (&self.sent_bytes, "sent", "Messages to clients, before compression"),
            (&self.wire_bytes.sent, "sent_wire", "Written to WebSockets, after compression"),
        ] {
            registry.register_with_unit(name, help, Unit::Bytes, counter.clone());
        }
        registry.register_with_unit(
            "flush",
            "Bytes that a flush sends to each peer, before compression",
            Unit::Bytes,
            self.flush_bytes.clone(),
        );
        for (times, name, help) in [
            (&self.flush_seconds, "flush", "Time that a flush and its writing cost"),
            (&self.log_append_seconds, "log_append", "Time until an update is on disk"),
            (&self.log_sync_seconds, "log_sync", "Time of one write and sync of the log"),
        ] {
            registry.register_with_unit(name, help, Unit::Seconds, times.clone());
        }
        for (family, name, help) in [
            (&self.rejected, "rejected", "Connections turned away or closed, by reason"),
            (&self.denials, "denials", "Documents that somebody may not have, by reason"),
        ] {
            registry.register(name, help, family.clone());
        }
        registry.register("grants", "Documents that somebody may have, by dialect", self.grants.clone());
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::budget::Account;

    #[test]
    fn everything_is_in_the_text_with_its_unit() {
        let budget = Budget::new(1 << 20);
        let metrics = Metrics::new(&budget);
        metrics.connections.inc();
        metrics.sent_bytes.inc_by(5);
        metrics.flush_bytes.observe(100.0);
        metrics.reject("too_large");
        metrics.granted("y-sweet");
        metrics.denied("no_token");
        metrics.revocations.inc();
        metrics.gave_way("document", 2);
        let _account = Account::new(&budget, Debtor::Connection, None, 1);
        let text = metrics.encode().unwrap();
        for line in [
            "coscribe_connections 1",
            "coscribe_sent_bytes_total 5",
            "coscribe_flush_bytes_count 1",
            "coscribe_flush_seconds_count 0",
            "coscribe_rejected_total{reason=\"too_large\"} 1",
            "coscribe_grants_total{dialect=\"y-sweet\"} 1",
            "coscribe_denials_total{reason=\"no_token\"} 1",
            "coscribe_tokens_refreshed_total 0",
            "coscribe_revocations_total 1",
            "coscribe_access_changed_total 0",
            "coscribe_memory_bound_bytes 1048576",
            "coscribe_memory_held_bytes{debtor=\"connection\"} 16384",
            "coscribe_memory_held_bytes{debtor=\"document\"} 0",
            "coscribe_memory_gave_way_total{debtor=\"document\"} 2",
            "# EOF",
        ] {
            assert!(text.lines().any(|found| found == line), "{line} is missing in\n{text}");
        }
    }
}
