//! Whole scenarios against relays on real sockets: one that is sound, and others that are not.

use std::net::SocketAddr;
use std::num::NonZeroUsize;
use std::sync::mpsc;
use std::time::Duration;

use coscribe_bench::crowd::Target;
use coscribe_bench::dialect::Dialect;
use coscribe_bench::relay::{self, Fault};
use coscribe_bench::scenarios::hostile::{self, Report};
use coscribe_bench::scenarios::{defaults, idle, join, presence, typing};
use coscribe_bench::servers::Running;
use tokio::net::TcpListener;
use tokio::task::LocalSet;

/// People in one document.
const TWO: NonZeroUsize = NonZeroUsize::new(2).unwrap();

/// Starts a relay on a thread of its own, which ends with the tests.
fn relay(fault: Fault) -> Running {
    let (tell, address) = mpsc::channel::<SocketAddr>();
    std::thread::spawn(move || serve(fault, &tell).expect("a relay serves until the tests end"));
    let address = address.recv_timeout(Duration::from_secs(10)).expect("a relay listens");
    let target = Target { address, dialect: Dialect::Relay, path: "/{}".to_owned(), offer_deflate: true };
    Running::external(target, Some(std::process::id()))
}

fn serve(fault: Fault, tell: &mpsc::Sender<SocketAddr>) -> anyhow::Result<()> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    LocalSet::new().block_on(&runtime, async {
        let listener = TcpListener::bind("127.0.0.1:0").await?;
        tell.send(listener.local_addr()?)?;
        relay::serve(listener, fault).await
    })
}

fn short_typing() -> typing::Load {
    typing::Load { people: 4, rate: 50.0, seconds: 0.4, warm_up: 0.2, patience: 0.3, rooms: 2, ..defaults() }
}

#[test]
fn everything_that_is_typed_is_accounted_for() {
    let report = typing::run(&relay(Fault::None), &short_typing()).unwrap();
    assert!(report.is_complete() && report.keeps_up(), "{report:?}");
    assert!(report.written >= 2 * 4 * 25, "{report:?}");
    assert!(report.latency.count > 0 && report.latency.count <= report.deliveries);
    assert!(report.cpu_micros_per_delivery.unwrap() > 0.0);
    assert!(report.cost.traffic.frames_in >= report.deliveries);
}

#[test]
fn one_lost_frame_fails_the_run() {
    let report = typing::run(&relay(Fault::DropFrame(50)), &short_typing()).unwrap();
    assert!(!report.is_complete());
    assert_eq!((report.missing, report.editors_missing), (1, 1), "{report:?}");
}

#[test]
fn a_frame_that_comes_twice_is_no_second_delivery() {
    let report = typing::run(&relay(Fault::RepeatFrame(50)), &short_typing()).unwrap();
    assert!(report.is_complete(), "{report:?}");
    assert_eq!(report.repeated, 1);
}

#[test]
fn a_connection_that_ends_fails_the_run() {
    let report = typing::run(&relay(Fault::CloseAfter(50)), &short_typing()).unwrap();
    assert!(!report.is_complete() && report.broken.is_some(), "{report:?}");
}

#[test]
fn idle_connections_are_counted() {
    let load = idle::Load { connections: 100, rooms: 25, seconds: 0.1 };
    let report = idle::run(&relay(Fault::None), &load).unwrap();
    assert!(report.broken.is_none(), "{report:?}");
    // Each sends its request and nothing else, as a relay isn't greeted.
    assert_eq!(report.connecting.traffic.frames_out, 0);
    assert!(report.connecting.traffic.bytes_in >= 100 * 100);
}

#[test]
fn everybody_sees_every_cursor() {
    let load = presence::Load { cursors: 5, seconds: 0.5, warm_up: 0.2, ..defaults() };
    let report = presence::run(&relay(Fault::None), &load).unwrap();
    assert_eq!(report.stuck_pairs, 0, "{report:?}");
    assert!(report.sightings >= 5 * 4 * 3, "{report:?}");
    assert!(report.gaps.max_ms < 1000.0);
}

#[test]
fn a_relay_has_no_documents_to_join() {
    assert!(join::run(&mut relay(Fault::None), &defaults()).is_err());
}

fn attacked(fault: Fault, attack: &str) -> Report {
    let load = hostile::Load {
        attack: attack.to_owned(),
        documents: NonZeroUsize::MIN,
        people: TWO,
        rate: 20.0,
        ..defaults()
    };
    hostile::run(&mut relay(fault), &load).expect("the relay is reached")
}

#[test]
fn an_attack_on_what_a_relay_does_not_have_is_left_out() {
    let Report::LeftOut { left_out } = attacked(Fault::None, "paste-any") else { panic!() };
    assert_eq!(left_out, "has no documents");
    let Report::LeftOut { left_out } = attacked(Fault::None, "bad-tokens") else { panic!() };
    assert_eq!(left_out, "checks no tokens of this kind");
    assert!(
        hostile::run(&mut relay(Fault::None), &hostile::Load { attack: "none".into(), ..defaults() })
            .is_err()
    );
}

#[test]
fn who_types_beside_an_attack_is_told_what_they_lost() {
    let report = attacked(Fault::None, "quiet");
    assert!(report.is_sound(), "{report:?}");
    let report = attacked(Fault::DropFrame(50), "quiet");
    let Report::Measured(measured) = &report else { panic!() };
    assert_eq!((measured.missing, report.is_sound()), (1, false), "{report:?}");
    assert!(!attacked(Fault::CloseAfter(50), "quiet").is_sound());
}
